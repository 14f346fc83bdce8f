// Command mbus writes the generated tables of package mbus from its CSV files.
// It runs in the folder of that package and writes there, or where -out says.
package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/openusm/meter/internal/gen"
	"github.com/openusm/meter/obis"
)

func main() {
	g := &generator{index: map[string]int{}}
	gen.Main("mbus", []string{"github.com/openusm/meter/obis"},
		gen.File{Name: "zvif.go", Write: g.vifs},
		gen.File{Name: "zvife.go", Write: g.vifes},
		gen.File{Name: "zci.go", Write: g.cis},
		gen.File{Name: "zdevice.go", Write: g.devices},
		gen.File{Name: "zobis.go", Write: g.obis},
		gen.File{Name: "zmanufacturer.go", Write: g.manufacturers},
		gen.File{Name: "zformat.go", Write: g.formats},
	)
}

// generator remembers the numbers that were given to quantities.
type generator struct {
	quantities []string
	index      map[string]int
}

func (g *generator) quantity(name string) int {
	n, ok := g.index[name]
	if !ok {
		g.quantities = append(g.quantities, name)
		n = len(g.quantities)
		g.index[name] = n
	}
	return n
}

// constant makes a Go name of words.
func constant(prefix, words string) string {
	name := prefix
	for _, w := range strings.FieldsFunc(words, func(r rune) bool { return r == ' ' || r == '-' }) {
		name += strings.ToUpper(w[:1]) + w[1:]
	}
	return name
}

func unit(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	u, ok := obis.UnitByName(name)
	if !ok {
		return 0, fmt.Errorf("unit %q is not in the model", name)
	}
	return int(u), nil
}

var types = map[string]string{
	"": "typeNone", "number": "typeNumber", "unsigned": "typeUnsigned", "bits": "typeBits", "time": "typeTime",
	"identifier": "typeIdentifier", "octets": "typeOctets", "twelfth": "typeTwelfth",
}

func (g *generator) vifs(b *bytes.Buffer) error {
	var body bytes.Buffer
	body.WriteString("// vifTable holds the primary fields, then those behind FB, FD and FD FD.\nvar vifTable = [4][128]vif{\n")
	for _, name := range []string{"vif.csv", "vif_fb.csv", "vif_fd.csv", "vif_fdfd.csv"} {
		body.WriteString("{\n")
		if err := g.vifRows(&body, name); err != nil {
			return err
		}
		body.WriteString("},\n")
	}
	body.WriteString("}\n\n// fixedTable holds the units of the fixed data structure.\nvar fixedTable = [64]vif{\n")
	if err := g.vifRows(&body, "fixed_units.csv"); err != nil {
		return err
	}
	body.WriteString("}\n")
	b.WriteString("// The quantities of the tables, the names of VIFs. The numbers follow the tables:\n// keep names, not numbers.\nconst (\n")
	for i, q := range g.quantities {
		fmt.Fprintf(b, "%s Quantity = %d\n", constant("Quantity", q), i+1)
	}
	fmt.Fprintf(b, "\nquantityCount = %d\n)\n\nvar quantityNames = [quantityCount]string{\n", len(g.quantities)+1)
	for i, q := range g.quantities {
		fmt.Fprintf(b, "%d: %q,\n", i+1, q)
	}
	b.WriteString("}\n\n")
	b.Write(body.Bytes())
	return nil
}

func (g *generator) vifRows(b *bytes.Buffer, name string) error {
	rows, err := gen.Table(name)
	if err != nil {
		return err
	}
	for _, r := range rows {
		u, err := unit(r["unit"])
		if err != nil {
			return err
		}
		t, ok := types[r["type"]]
		if !ok {
			return fmt.Errorf("%s: type %q", name, r["type"])
		}
		fmt.Fprintf(b, "0x%s: {%s, %d, %s, %s},\n", r["code"], constant("Quantity", r["quantity"]), u, r["exp"], t)
		g.quantity(r["quantity"])
	}
	return nil
}

func (g *generator) vifes(b *bytes.Buffer) error {
	var names []string
	number := map[string]int{}
	var units []string
	unitNumber := map[string]int{}
	errors := map[int]string{}
	var body bytes.Buffer
	for _, file := range []string{"vife.csv", "vife_fc.csv"} {
		rows, err := gen.Table(file)
		if err != nil {
			return err
		}
		body.WriteString("{\n")
		reserved := map[string]bool{} // the codes that are not in the table
		for c := range 128 {
			reserved[fmt.Sprintf("%02X", c)] = true
		}
		for _, r := range rows {
			delete(reserved, r["code"])
			set := "0"
			if r["qualifiers"] != "" {
				set = ""
				for i, q := range strings.Split(r["qualifiers"], "|") {
					if _, ok := number[q]; !ok {
						number[q] = len(names)
						names = append(names, q)
					}
					if i > 0 {
						set += " | "
					}
					set += constant("Qualifier", q)
				}
			}
			effect, argument := "effectNone", r["argument"]
			if r["effect"] != "" {
				effect = constant("effect", r["effect"])
			}
			switch r["effect"] {
			case "per", "times":
				text := map[string]string{"per": "/", "times": "."}[r["effect"]] + argument
				if _, ok := unitNumber[text]; !ok {
					units = append(units, text)
					unitNumber[text] = len(units)
				}
				argument = strconv.Itoa(unitNumber[text])
				effect = "effectUnit"
			case "duration":
				u, err := unit(argument)
				if err != nil {
					return err
				}
				argument = strconv.Itoa(u)
			case "error":
				code, err := strconv.ParseUint(r["code"], 16, 8)
				if err != nil {
					return err
				}
				errors[int(code)] = argument
				argument = strconv.Itoa(int(code))
			case "":
				argument = "0"
			}
			if argument == "" {
				argument = "0"
			}
			fmt.Fprintf(&body, "0x%s: {%s, %s, %s},\n", r["code"], set, effect, argument)
		}
		for _, c := range slices.Sorted(maps.Keys(reserved)) {
			fmt.Fprintf(&body, "0x%s: {QualifierReserved, effectNone, 0},\n", c)
		}
		body.WriteString("},\n")
	}
	names = append(names, "reserved")
	if len(names) > 64 {
		return fmt.Errorf("%d qualifiers do not fit 64 bits", len(names))
	}
	b.WriteString("// The qualifiers, what extensions say of a value. The numbers follow the tables:\n// keep names, not numbers.\nconst (\n")
	for i, q := range names {
		fmt.Fprintf(b, "%s Qualifiers = 1 << %d\n", constant("Qualifier", q), i)
	}
	b.WriteString(")\n\nvar qualifierNames = [...]string{\n")
	for _, q := range names {
		fmt.Fprintf(b, "%q,\n", q)
	}
	b.WriteString("}\n\n// unitChanges holds what extensions make of a unit.\nvar unitChanges = [...]string{\n\"\",\n")
	for _, u := range units {
		fmt.Fprintf(b, "%q,\n", u)
	}
	b.WriteString("}\n\nvar recordErrors = [32]string{\n")
	for code := range 32 {
		if errors[code] != "" {
			fmt.Fprintf(b, "%d: %q,\n", code, errors[code])
		}
	}
	b.WriteString("}\n\n// vifeTable holds the combinable extensions, then those behind FC.\nvar vifeTable = [2][128]vife{\n")
	b.Write(body.Bytes())
	b.WriteString("}\n")
	return nil
}

func (g *generator) cis(b *bytes.Buffer) error {
	rows, err := gen.Table("ci.csv")
	if err != nil {
		return err
	}
	var names bytes.Buffer
	b.WriteString("var ciTable = [256]ciInfo{\n")
	for _, r := range rows {
		first, err := strconv.ParseUint(r["first"], 16, 8)
		if err != nil {
			return err
		}
		last, err := strconv.ParseUint(r["last"], 16, 8)
		if err != nil {
			return err
		}
		for ci := first; ci <= last; ci++ {
			fmt.Fprintf(b, "0x%02X: {%s, %s},\n", ci, constant("Header", r["header"]), constant("Content", r["content"]))
			fmt.Fprintf(&names, "0x%02X: %q,\n", ci, r["name"])
		}
	}
	fmt.Fprintf(b, "}\n\nvar ciNames = [256]string{\n%s}\n", names.String())
	return nil
}

func (g *generator) devices(b *bytes.Buffer) error {
	rows, err := gen.Table("device_types.csv")
	if err != nil {
		return err
	}
	var media bytes.Buffer
	b.WriteString("var deviceNames = [256]string{\n")
	for _, r := range rows {
		m, err := medium(r["medium"])
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "0x%s: %q,\n", r["code"], r["name"])
		fmt.Fprintf(&media, "0x%s: %d,\n", r["code"], m)
	}
	fmt.Fprintf(b, "}\n\nvar deviceMedia = [256]obis.Medium{\n%s}\n", media.String())
	return nil
}

func medium(name string) (obis.Medium, error) {
	for m := obis.Electricity; m <= obis.Other; m++ {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("medium %q is not in the model", name)
}

var rules = map[string]string{"": "obis.RuleNone", "standard": "obis.RuleStandard", "derived": "obis.RuleDerived"}

func (g *generator) obis(b *bytes.Buffer) error {
	rows, err := gen.Table("obis.csv")
	if err != nil {
		return err
	}
	lines := map[obis.Medium]map[int]string{}
	for m := obis.Unknown; m <= obis.Other; m++ {
		lines[m] = map[int]string{}
	}
	for _, r := range rows {
		q, ok := g.index[r["quantity"]]
		if !ok {
			return fmt.Errorf("obis.csv: quantity %q is in no table", r["quantity"])
		}
		d, e, _ := strings.Cut(r["d"], ".")
		line := func(m obis.Medium) string {
			a := m.A()
			if r["a"] == "0" {
				a = 0
			}
			return fmt.Sprintf("{obis.Code{%d, 0, %s, %s, %s, 255}, obis.Code{%d, 0, %s, 2, 0, 255}, [3]byte{%s, %s, %s}, %s, %s, %s, %s}",
				a, r["import"], d, zero(e), a, r["import"], zero(r["export"]), zero(r["net"]), zero(r["absolute"]),
				constant("code", r["kind"]), rules[r["rule"]], rules[r["tariff_rule"]], rules[r["stored_rule"]])
		}
		if r["medium"] == "any" {
			for m := range lines {
				lines[m][q] = line(m)
			}
			continue
		}
		m, err := medium(r["medium"])
		if err != nil {
			return err
		}
		lines[m][q] = line(m)
	}
	b.WriteString("// codeTable is indexed by medium and quantity.\nvar codeTable = [...][quantityCount]codeRow{\n")
	for m := obis.Unknown; m <= obis.Other; m++ {
		fmt.Fprintf(b, "%d: { // %s\n", m, m)
		for q := range len(g.quantities) + 1 {
			if line := lines[m][q]; line != "" {
				fmt.Fprintf(b, "%s: %s,\n", constant("Quantity", g.quantities[q-1]), line)
			}
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n")
	return nil
}

func zero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

func (g *generator) manufacturers(b *bytes.Buffer) error {
	rows, err := gen.Table("manufacturers.csv")
	if err != nil {
		return err
	}
	last := ""
	b.WriteString("// manufacturerTable has the rows of a manufacturer together.\nvar manufacturerTable = [...]manufacturerRow{\n")
	seen := map[string]bool{}
	for _, r := range rows {
		if r["manufacturer"] != last && seen[r["manufacturer"]] {
			return fmt.Errorf("manufacturers.csv: %s stands in two places", r["manufacturer"])
		}
		last = r["manufacturer"]
		seen[last] = true
		q, ok := g.index[r["quantity"]]
		if !ok {
			return fmt.Errorf("manufacturers.csv: quantity %q is in no table", r["quantity"])
		}
		code, err := obis.ParseCode(r["code"])
		if err != nil {
			return err
		}
		u, err := unit(r["unit"])
		if err != nil {
			return err
		}
		var m int
		for _, c := range last {
			m = m<<5 | int(c-'A'+1)
		}
		key := "noExtension"
		if r["extension"] != "" {
			key = "0x" + r["extension"]
		}
		number := r["exp"] != ""
		fmt.Fprintf(b, "{0x%04x, %s, %s, %s, obis.Code{%d, %d, %d, %d, %d, %d}, %d, %s, %t}, // %s\n", m, constant("Quantity", g.quantities[q-1]),
			key, r["subunit"], code[0], code[1], code[2], code[3], code[4], code[5], u, zero(r["exp"]), number, last)
	}
	b.WriteString("}\n")
	return nil
}

func (g *generator) formats(b *bytes.Buffer) error {
	rows, err := gen.Table("formats.csv")
	if err != nil {
		return err
	}
	b.WriteString("// formatTable holds the formats that are known beforehand.\nvar formatTable = [...]struct {\nsignature uint16\nheaders   string\n}{\n")
	for _, r := range rows {
		headers, err := hex.DecodeString(r["headers"])
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "{0x%s, %q}, // %s\n", r["signature"], headers, r["meters"])
	}
	b.WriteString("}\n")
	return nil
}
