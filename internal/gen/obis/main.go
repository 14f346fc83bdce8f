// Command obis writes the generated tables of package obis from its CSV files.
// It runs in the folder of that package and writes there, or where -out says.
package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openusm/meter/internal/gen"
)

func main() {
	gen.Main("obis", nil,
		gen.File{Name: "zunit.go", Write: units},
		gen.File{Name: "zquality.go", Write: quality},
		gen.File{Name: "zdescribe.go", Write: describe},
		gen.File{Name: "zquantity.go", Write: measures},
	)
}

func units(b *bytes.Buffer) error {
	rows, err := gen.Table("units.csv")
	if err != nil {
		return err
	}
	b.WriteString("// The units that code refers to by name.\nconst (\n")
	for _, r := range rows {
		if r["const"] != "" {
			fmt.Fprintf(b, "%s Unit = %s // %s\n", r["const"], r["code"], r["description"])
		}
	}
	b.WriteString(")\n\nvar unitTable = [...]unitInfo{\n")
	for _, r := range rows {
		fmt.Fprintf(b, "%s: {%q, %q, %q, %q, %q},\n", r["code"], r["name"], r["ucum"], r["symbol"], r["description"], r["quantity"])
	}
	b.WriteString("}\n\n// unitByText holds the texts that meters write for units without a prefix.\nvar unitByText = map[string]unitText{\n")
	seen, folds, order := map[string]bool{}, map[string]map[string]string{}, []string{}
	for _, r := range rows {
		for _, alias := range strings.Split(r["aliases"]+"|"+r["name"], "|") {
			if alias == "" || alias == "1" || seen[alias] {
				continue
			}
			seen[alias] = true
			fmt.Fprintf(b, "%q: {%s, %t},\n", alias, r["code"], r["prefix"] == "yes")
			folded := strings.ToLower(alias)
			if len(alias) == 1 && (folded == alias || r["prefix"] != "yes") && folded != "a" {
				continue // one small letter, or one of a unit that no meter has, may be anything in capitals
			}
			if folds[folded] == nil {
				folds[folded] = r
				order = append(order, folded)
			} else if folds[folded]["code"] != r["code"] {
				folds[folded] = map[string]string{} // two units, told apart by capital letters
			}
		}
	}
	fmt.Fprintf(b, "}\n\nconst maxFold = %d // the longest text in unitByFold\n\n", maxFold)
	b.WriteString("// unitByFold holds the texts in lower case that stand for one unit alone.\nvar unitByFold = map[string]unitText{\n")
	for _, folded := range order {
		if r := folds[folded]; r["code"] != "" && len(folded) <= maxFold {
			fmt.Fprintf(b, "%q: {%s, %t},\n", folded, r["code"], r["prefix"] == "yes")
		}
	}
	b.WriteString("}\n")
	return nil
}

// maxFold is the longest text whose capital letters meters are forgiven; longer
// ones are names that nobody writes.
const maxFold = 8

func quality(b *bytes.Buffer) error {
	rows, err := gen.Table("quality.csv")
	if err != nil {
		return err
	}
	b.WriteString("// The portable quality flags.\nconst (\n")
	for _, r := range rows {
		fmt.Fprintf(b, "%s Flags = 1 << %s // %s\n", r["const"], r["bit"], r["meaning"])
	}
	b.WriteString(")\n\nvar flagNames = [...]string{\n")
	for _, r := range rows {
		fmt.Fprintf(b, "%s: %q,\n", r["bit"], r["name"])
	}
	b.WriteString("}\n\n")
	if rows, err = gen.Table("status.csv"); err != nil {
		return err
	}
	b.WriteString("var statusTable = [...][]statusBit{\n")
	kind := ""
	for _, r := range rows {
		if r["kind"] != kind {
			if kind != "" {
				b.WriteString("},\n")
			}
			kind = r["kind"]
			fmt.Fprintf(b, "%s: {\n", kind)
		}
		flags := r["flags"]
		if flags == "" {
			flags = "0"
		}
		fmt.Fprintf(b, "{%s, %s, %s}, // %s\n", r["mask"], r["match"], flags, r["meaning"])
	}
	b.WriteString("},\n}\n")
	return nil
}

// describe writes the names of the value groups and of the objects.
func describe(b *bytes.Buffer) error {
	rows, err := gen.Table("groups.csv")
	if err != nil {
		return err
	}
	setsD, setsE := identifiers(rows, "D"), identifiers(rows, "E")
	for _, ids := range []struct {
		kind string
		ids  []string
	}{{"D", setsD}, {"E", setsE}} {
		fmt.Fprintf(b, "// set%s is a set of values of group %[1]s, 0 for none.\ntype set%[1]s uint8\n\n// The sets.\nconst (\n", ids.kind)
		for i, id := range ids.ids {
			fmt.Fprintf(b, "%s set%s = %d\n", identifier(ids.kind, id), ids.kind, i+1)
		}
		b.WriteString(")\n\n")
	}
	if err := quantities(b, rows); err != nil {
		return err
	}
	processings(b, rows, setsD)
	choices(b, rows, setsE)
	return objects(b)
}

// identifiers returns the names of the sets of a group in the order of the file.
func identifiers(rows []map[string]string, group string) (list []string) {
	for _, r := range rows {
		if r["group"] == group && !slices.Contains(list, r["set"]) {
			list = append(list, r["set"])
		}
	}
	return list
}

// identifier names a set: "gas index" of D is dGasIndex.
func identifier(group, set string) string {
	name := strings.ToLower(group)
	for _, word := range strings.Fields(set) {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

func quantities(b *bytes.Buffer, rows []map[string]string) error {
	b.WriteString("// quantities holds what value group C stands for, by value group A and itself.\nvar quantities = [16][]quantity{\n")
	for a := range 16 {
		fmt.Fprintf(b, "%d: {\n", a)
		for _, r := range rows {
			if r["group"] != "C" || !slices.Contains(strings.Split(r["set"], "|"), strconv.Itoa(a)) {
				continue
			}
			if _, err := strconv.ParseUint(r["value"], 10, 8); err != nil {
				return err
			}
			fmt.Fprintf(b, "%s: {name: %q, next: %s", r["value"], r["name"], identifier("D", r["next"]))
			if r["harmonic"] != "" {
				fmt.Fprintf(b, ", harmonic: true, dips: %t", r["harmonic"] == "dips")
			}
			if r["integral"] != "" {
				fmt.Fprintf(b, ", integral: %q", r["integral"])
			}
			b.WriteString("},\n")
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n")
	return nil
}

func processings(b *bytes.Buffer, rows []map[string]string, sets []string) {
	b.WriteString("// processings holds what value group D stands for, by set and itself.\nvar processings = [...][]processing{\n")
	for _, set := range sets {
		fmt.Fprintf(b, "%s: {\n", identifier("D", set))
		for _, r := range rows {
			if r["group"] != "D" || r["set"] != set {
				continue
			}
			fmt.Fprintf(b, "%s: {name: %q, next: %s", r["value"], r["name"], identifier("E", r["next"]))
			if r["harmonic"] != "" {
				fmt.Fprintf(b, ", harmonic: %s", identifier("E", r["harmonic"]))
			}
			if r["integral"] == "yes" {
				b.WriteString(", integral: true")
			}
			if r["f"] == "threshold" {
				b.WriteString(", threshold: true")
			}
			b.WriteString("},\n")
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n")
}

func choices(b *bytes.Buffer, rows []map[string]string, sets []string) {
	b.WriteString("// sets holds what value group E stands for, by set.\nvar sets = [...]set{\n")
	for _, set := range sets {
		fmt.Fprintf(b, "%s: {\n", identifier("E", set))
		for _, r := range rows {
			if r["group"] != "E" || r["set"] != set {
				continue
			}
			lo, hi, ranged := strings.Cut(r["value"], "-")
			if !ranged {
				hi = lo
			}
			fmt.Fprintf(b, "{%s, %s, %q},\n", lo, hi, r["name"])
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n")
}

// objects writes the objects by value group C, for each in the order of the file.
func objects(b *bytes.Buffer) error {
	rows, err := gen.Table("objects.csv")
	if err != nil {
		return err
	}
	var ofC [257]int
	b.WriteString("var objects = [...]object{\n")
	n := 0
	for c := range 256 {
		for _, r := range rows {
			lo, hi, err := pattern(r["pattern"])
			if err != nil {
				return err
			}
			if lo[2] != hi[2] {
				return fmt.Errorf("pattern %q has a range in C", r["pattern"])
			}
			if lo[2] != c {
				continue
			}
			if err := named(r["name"], lo, hi); err != nil {
				return fmt.Errorf("pattern %q: %w", r["pattern"], err)
			}
			fmt.Fprintf(b, "{Pattern{Code{%s}, Code{%s}}, %q},\n", commas(lo), commas(hi), r["name"])
			n++
		}
		ofC[c+1] = n
	}
	b.WriteString("}\n\n// objectsOfC says where the objects of a value of group C begin.\nvar objectsOfC = [257]uint16{\n")
	for c, i := range ofC {
		fmt.Fprintf(b, "%d,", i)
		if c%16 == 15 {
			b.WriteByte('\n')
		}
	}
	b.WriteString("\n}\n")
	return nil
}

// named checks that a name tells the codes of its pattern apart.
func named(name string, lo, hi [6]int) error {
	for g := 3; g < 6; g++ {
		letter := "{" + string("ABCDEF"[g])
		all := g == 5 && lo[g] == 0 && hi[g] == 255 // the periods are added to the name
		if lo[g] != hi[g] && !all && !strings.Contains(name, letter) {
			return fmt.Errorf("%q has no %s}", name, letter)
		}
	}
	return nil
}

func commas(c [6]int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(c)), ", "), "[]")
}

// pattern splits "x-x:0.0.(1-9)*255" into its bounds.
func pattern(s string) (lo, hi [6]int, err error) {
	var ranges []string
	for rest := s; rest != ""; {
		end := strings.IndexAny(rest, "-:.*")
		if rest[0] == '(' {
			end = strings.IndexByte(rest, ')')
			ranges = append(ranges, rest[1:end])
			rest = strings.TrimLeft(rest[end+1:], "-:.*")
			continue
		}
		if end < 0 {
			end = len(rest)
		}
		ranges = append(ranges, rest[:end])
		rest = strings.TrimLeft(rest[end:], "-:.*")
	}
	if len(ranges) != 6 {
		return lo, hi, fmt.Errorf("pattern %q has %d groups", s, len(ranges))
	}
	for g, text := range ranges {
		l, h, ranged := strings.Cut(text, "-")
		switch {
		case text == "x":
			l, h = "0", "255"
		case !ranged:
			h = l
		}
		if lo[g], err = strconv.Atoi(l); err == nil {
			hi[g], err = strconv.Atoi(h)
		}
		if err != nil {
			return lo, hi, fmt.Errorf("pattern %q: %w", s, err)
		}
	}
	return lo, hi, nil
}

// measures writes which quantities a unit and a code are of, as sets of bits.
func measures(b *bytes.Buffer) error {
	rows, err := gen.Table("quantities.csv")
	if err != nil {
		return err
	}
	bits := map[string]uint32{}
	type key struct{ a, c int }
	of := map[key][2]uint32{}
	for _, r := range rows {
		var set uint32
		for _, q := range strings.Split(r["quantities"], "|") {
			if bits[q] == 0 {
				bits[q] = 1 << (len(bits) + 1)
			}
			set |= bits[q]
		}
		medium, err := values(r["a"])
		if err != nil {
			return err
		}
		group, err := values(r["c"])
		if err != nil {
			return err
		}
		for _, a := range medium {
			for _, c := range group {
				for _, c := range phases(a, c) {
					m := of[key{a, c}]
					if r["d"] != "rate" {
						m[0] |= set
					}
					if r["d"] != "integral" {
						m[1] |= set
					}
					of[key{a, c}] = m
				}
			}
		}
	}
	units, err := gen.Table("units.csv")
	if err != nil {
		return err
	}
	b.WriteString("// unitQuantity is the quantity of each unit as a bit; bit 0 is any that no code here measures.\nvar unitQuantity = [...]uint32{\n")
	for _, r := range units {
		if bit := bits[r["quantity"]]; bit != 0 {
			fmt.Fprintf(b, "%s: %#x, // %s\n", r["code"], bit, r["quantity"])
		} else if r["quantity"] != "other" && r["quantity"] != "none" {
			fmt.Fprintf(b, "%s: 1, // %s\n", r["code"], r["quantity"])
		}
	}
	b.WriteString("}\n\n// measures holds the quantities of value groups A and C: where D integrates, and where it does not.\nvar measures = [10][128][2]uint32{\n")
	for a := range 10 {
		fmt.Fprintf(b, "%d: {\n", a)
		for c := range 128 {
			if m := of[key{a, c}]; m != [2]uint32{} {
				fmt.Fprintf(b, "%d: {%#x, %#x},\n", c, m[0], m[1])
			}
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n")
	return nil
}

// values reads "1-3|7".
func values(s string) (all []int, err error) {
	for _, part := range strings.Split(s, "|") {
		lo, hi, ranged := strings.Cut(part, "-")
		if !ranged {
			hi = lo
		}
		first, err := strconv.Atoi(lo)
		if err != nil {
			return nil, err
		}
		last, err := strconv.Atoi(hi)
		if err != nil {
			return nil, err
		}
		for ; first <= last; first++ {
			all = append(all, first)
		}
	}
	return all, nil
}

// phases returns C of electricity for the total and for each phase.
func phases(a, c int) []int {
	if a == 1 && c <= 20 {
		return []int{c, c + 20, c + 40, c + 60}
	}
	return []int{c}
}
