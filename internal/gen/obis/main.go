// Command obis writes the generated tables of package obis from its CSV files.
// It runs in the folder of that package and writes there, or where -out says.
package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/openusm/meter/internal/gen"
)

func main() {
	gen.Main("obis", nil,
		gen.File{Name: "zunit.go", Write: units},
		gen.File{Name: "zquality.go", Write: quality},
		gen.File{Name: "zdescribe.go", Write: describe},
		gen.File{Name: "zquantity.go", Write: quantities},
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

func describe(b *bytes.Buffer) error {
	rows, err := gen.Table("groups.csv")
	if err != nil {
		return err
	}
	names := map[string]map[int]string{} // "C1" → value → name
	var dims [256]string
	for _, r := range rows {
		v, err := strconv.Atoi(r["value"])
		if err != nil {
			return err
		}
		for _, medium := range strings.Split(r["media"], "|") {
			key := r["group"] + medium
			if names[key] == nil {
				names[key] = map[int]string{}
			}
			names[key][v] = r["name"]
		}
		if r["group"] == "D" && r["media"] == "1" {
			var bits []string
			if r["integral"] == "yes" {
				bits = append(bits, "dimIntegral")
			}
			if r["rated"] == "yes" {
				bits = append(bits, "dimRated")
			}
			dims[v] = strings.Join(bits, "|")
		}
	}
	for _, group := range "CD" {
		fmt.Fprintf(b, "// names%c holds the names of value group %c by value group A.\nvar names%c = [...]map[byte]string{\n", group, group, group)
		for a := range 16 {
			m := names[string(group)+strconv.Itoa(a)]
			if m == nil {
				continue
			}
			fmt.Fprintf(b, "%d: {", a)
			for v := range 256 {
				if name := m[v]; name != "" {
					fmt.Fprintf(b, "%d: %q,\n", v, name)
				}
			}
			b.WriteString("},\n")
		}
		b.WriteString("}\n\n")
	}
	b.WriteString("// dimension says what value group D of electricity makes of the quantity.\nvar dimension = [256]uint8{\n")
	for v, d := range dims {
		if d != "" {
			fmt.Fprintf(b, "%d: %s,\n", v, d)
		}
	}
	b.WriteString("}\n\nvar objects = [...]object{\n")
	if rows, err = gen.Table("objects.csv"); err != nil {
		return err
	}
	for _, r := range rows {
		lo, hi, err := pattern(r["pattern"])
		if err != nil {
			return err
		}
		number := "0"
		if r["number"] != "" {
			number = fmt.Sprintf("'%s'", r["number"])
		}
		fmt.Fprintf(b, "{Pattern{Code{%s}, Code{%s}}, %q, %s},\n", lo, hi, r["name"], number)
	}
	b.WriteString("}\n")
	return nil
}

// quantities writes which quantities a unit and a code are of, as sets of bits.
func quantities(b *bytes.Buffer) error {
	rows, err := gen.Table("quantities.csv")
	if err != nil {
		return err
	}
	bits := map[string]uint32{}
	type key struct{ a, c int }
	measures := map[key][2]uint32{}
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
					m := measures[key{a, c}]
					if r["d"] != "rate" {
						m[0] |= set
					}
					if r["d"] != "integral" {
						m[1] |= set
					}
					measures[key{a, c}] = m
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
			if m := measures[key{a, c}]; m != [2]uint32{} {
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

// pattern splits "x-x:0.0.(1-9)*255" into its bounds.
func pattern(s string) (lo, hi string, err error) {
	fields := strings.FieldsFunc(strings.ReplaceAll(strings.ReplaceAll(s, "(1-", "(1/"), ")", ""), func(r rune) bool {
		return strings.ContainsRune("-:.*", r)
	})
	if len(fields) != 6 {
		return "", "", fmt.Errorf("pattern %q has %d groups", s, len(fields))
	}
	var los, his []string
	for _, f := range fields {
		l, h, ranged := strings.Cut(strings.TrimPrefix(f, "("), "/")
		switch {
		case f == "x":
			l, h = "0", "255"
		case !ranged:
			h = l
		}
		los, his = append(los, l), append(his, h)
	}
	return strings.Join(los, ", "), strings.Join(his, ", "), nil
}
