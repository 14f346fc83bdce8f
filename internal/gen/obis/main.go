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
	seen := map[string]bool{}
	for _, r := range rows {
		for _, alias := range strings.Split(r["aliases"]+"|"+r["name"], "|") {
			if alias == "" || alias == "1" || seen[alias] {
				continue
			}
			seen[alias] = true
			fmt.Fprintf(b, "%q: {%s, %t},\n", alias, r["code"], r["prefix"] == "yes")
		}
	}
	b.WriteString("}\n")
	return nil
}

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
