// Command iec61850 writes the common data classes of IEC 61850 from their tables.
package main

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/openusm/meter/internal/gen"
)

func main() {
	gen.Main("iec61850", nil, gen.File{Name: "zclasses.go", Write: classes}, gen.File{Name: "zenumerations.go", Write: enumerations})
}

func classes(b *bytes.Buffer) error {
	rows, err := gen.Table("cdc.csv")
	if err != nil {
		return err
	}
	fmt.Fprintln(b, "// classes are the common data classes.\nvar classes = map[string][]ClassRow{")
	err = groups(b, rows, "cdc", func(r map[string]string) error {
		trigger := map[string]string{"": "0", "d": "DataChange", "q": "QualityChange", "u": "DataUpdate"}[r["trigger"]]
		if trigger == "" || r["presence"] != "M" && r["presence"] != "O" {
			return fmt.Errorf("row %v", r)
		}
		fmt.Fprintf(b, "\t\t{%q, %q, %q, %s, %s, %v, %v},\n",
			r["name"], r["type"], r["enum"], cmp.Or(r["fc"], "0"), trigger, r["array"] == "y", r["presence"] == "O")
		return nil
	})
	if err != nil {
		return err
	}
	rows, err = gen.Table("structures.csv")
	if err != nil {
		return err
	}
	fmt.Fprintln(b, "\n// structures are the constructed attribute classes.\nvar structures = map[string][]ClassRow{")
	return groups(b, rows, "structure", func(r map[string]string) error {
		fmt.Fprintf(b, "\t\t{Name: %q, Type: %q, Enum: %q},\n", r["name"], r["type"], r["enum"])
		return nil
	})
}

func enumerations(b *bytes.Buffer) error {
	rows, err := gen.Table("enumerations.csv")
	if err != nil {
		return err
	}
	fmt.Fprintln(b, "// enumerations are those of attributes of the common data classes.\nvar enumerations = map[string][]EnumValue{")
	if err := groups(b, rows, "enum", func(r map[string]string) error {
		fmt.Fprintf(b, "\t\t{%s, %q},\n", r["ord"], r["name"])
		return nil
	}); err != nil {
		return err
	}
	if rows, err = gen.Table("objects.csv"); err != nil {
		return err
	}
	fmt.Fprintln(b, "\n// objectEnums are the enumerations of the values of objects.\nvar objectEnums = map[string]string{")
	for _, r := range rows {
		fmt.Fprintf(b, "\t%q: %q,\n", r["object"], r["enum"])
	}
	fmt.Fprintln(b, "}")
	return nil
}

// groups writes the rows as the lists of a map, by a column; rows of one key stand together.
func groups(b *bytes.Buffer, rows []map[string]string, column string, write func(map[string]string) error) error {
	key := ""
	for _, r := range rows {
		if r[column] != key {
			if key != "" {
				fmt.Fprintln(b, "\t},")
			}
			key = r[column]
			fmt.Fprintf(b, "\t%q: {\n", key)
		}
		if err := write(r); err != nil {
			return err
		}
	}
	fmt.Fprintln(b, "\t},\n}")
	return nil
}
