// Command cosem writes the generated tables of package cosem from its CSV files.
// It runs in the folder of that package and writes there, or where -out says.
package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/openusm/meter/internal/gen"
)

func main() {
	gen.Main("cosem", nil,
		gen.File{Name: "zclass.go", Write: classes},
		gen.File{Name: "zpush.go", Write: pushes},
	)
}

func classes(b *bytes.Buffer) error {
	rows, err := gen.Table("classes.csv")
	if err != nil {
		return err
	}
	var ids []string
	byID := map[string][]map[string]string{}
	for _, r := range rows {
		if _, err := strconv.ParseUint(r["class_id"], 10, 16); err != nil {
			return err
		}
		if byID[r["class_id"]] == nil {
			ids = append(ids, r["class_id"])
		}
		byID[r["class_id"]] = append(byID[r["class_id"]], r)
	}
	b.WriteString("// The interface classes.\nconst (\n")
	for _, id := range ids {
		fmt.Fprintf(b, "Class%s Class = %s // %s\n", identifier(byID[id][0]["class"]), id, byID[id][0]["class"])
	}
	b.WriteString(")\n\nvar classes = map[Class]ClassInfo{\n")
	for _, id := range ids {
		fmt.Fprintf(b, "%s: {Name: %q, Versions: %q", id, byID[id][0]["class"], byID[id][0]["versions"])
		for _, kind := range []struct{ kind, field string }{{"attribute", "Attributes"}, {"method", "Methods"}} {
			var members []string
			for _, r := range byID[id] {
				if r["kind"] == kind.kind {
					members = append(members, fmt.Sprintf("{%s, %q, %q},\n", r["index"], r["name"], r["type"]))
				}
			}
			if members != nil {
				fmt.Fprintf(b, ", %s: []Member{\n%s}", kind.field, strings.Join(members, ""))
			}
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n")
	return nil
}

// identifier makes a Go name of a class: "Profile generic" → ProfileGeneric.
func identifier(name string) string {
	name, _, _ = strings.Cut(name, " (")
	var id strings.Builder
	upper := true
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			upper = true
		case upper:
			id.WriteRune(unicode.ToUpper(r))
			upper = false
		default:
			id.WriteRune(r)
		}
	}
	return id.String()
}

func pushes(b *bytes.Buffer) error {
	b.WriteString("import \"github.com/openusm/meter/obis\"\n\nvar pushLists = []pushList{\n")
	rows, err := gen.Table("push_lists.csv")
	if err != nil {
		return err
	}
	key := ""
	for _, r := range rows {
		if k := r["first"] + r["count"]; k != key {
			if key != "" {
				b.WriteString("}},\n")
			}
			key = k
			fmt.Fprintf(b, "{%q, %s, []pushItem{\n", r["first"], r["count"])
		}
		if err := item(b, r); err != nil {
			return err
		}
	}
	b.WriteString("}},\n}\n\nvar pushUnits = []pushUnit{\n")
	if rows, err = gen.Table("push_units.csv"); err != nil {
		return err
	}
	for _, r := range rows {
		fmt.Fprintf(b, "{%q, %q, ", r["list"], r["type"])
		if err := item(b, r); err != nil {
			return err
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n")
	return nil
}

// item writes a code with its scaler and unit.
func item(b *bytes.Buffer, r map[string]string) error {
	groups := strings.FieldsFunc(r["code"], func(c rune) bool { return strings.ContainsRune("-:.", c) })
	if len(groups) != 5 {
		return fmt.Errorf("code %q has %d groups", r["code"], len(groups))
	}
	fmt.Fprintf(b, "pushItem{obis.Code{%s, 255}, ScalerUnit{", strings.Join(groups, ", "))
	if r["unit"] != "" {
		fmt.Fprintf(b, "%s, obis.%s, true", r["scaler"], r["unit"])
	}
	b.WriteString("}}")
	if r["index"] != "" {
		b.WriteString(",\n")
	}
	return nil
}
