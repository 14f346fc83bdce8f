// Command ansic12 writes the generated tables of package ansic12 from its CSV files.
// It runs in the folder of that package and writes there, or where -out says.
package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/openusm/meter/internal/gen"
)

// folder has another name than in other packages: tables is a package here.
const folder = "catalogue"

func main() {
	gen.MainFrom(folder, "ansic12", []string{"github.com/openusm/meter/obis"},
		gen.File{Name: "zuom.go", Write: quantities},
		gen.File{Name: "zevent.go", Write: events},
		gen.File{Name: "zprocedure.go", Write: procedures},
	)
}

func quantities(b *bytes.Buffer) error {
	rows, err := gen.TableFrom(folder, "uom.csv")
	if err != nil {
		return err
	}
	b.WriteString("// quantities are the ID codes of table 12.\nvar quantities = map[uint8]quantity{\n")
	for _, r := range rows {
		kind := r["kind"]
		if kind == "" {
			kind = "other"
		}
		fmt.Fprintf(b, "%s: {%q, kind%s, obis.%s, obis.%s},\n", r["id"], r["name"], strings.ToUpper(kind[:1])+kind[1:], unit(r["unit"]), unit(r["bulk"]))
	}
	b.WriteString("}\n")
	return nil
}

func unit(name string) string {
	if name == "" {
		return "UnitUnknown"
	}
	return name
}

func events(b *bytes.Buffer) error {
	rows, err := gen.TableFrom(folder, "event.csv")
	if err != nil {
		return err
	}
	b.WriteString("// eventTexts are the standard's events by their codes.\nvar eventTexts = [...]string{\n")
	for _, r := range rows {
		fmt.Fprintf(b, "%s: %q,\n", r["code"], r["text"])
	}
	b.WriteString("}\n")
	return nil
}

func procedures(b *bytes.Buffer) error {
	rows, err := gen.TableFrom(folder, "procedure.csv")
	if err != nil {
		return err
	}
	b.WriteString("// procedures are the standard's procedures by their numbers.\nvar procedures = map[uint16]procedure{\n")
	for _, r := range rows {
		fmt.Fprintf(b, "%s: {%q, Right%s},\n", r["number"], r["name"], r["right"])
	}
	b.WriteString("}\n")
	return nil
}
