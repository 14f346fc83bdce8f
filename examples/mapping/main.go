// Command mapping turns readings into the document of somebody who has names of his own:
// a table says which register becomes which point, in which unit, and what the table
// or the document cannot carry is told.
//
//	meterctl read sim:dlms -o ndjson | go run ./mapping
package main

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

//go:embed points.csv
var table string // obis,point,unit,shift: a value is multiplied by ten to the power of shift

func main() {
	rules, err := parse(table)
	if err == nil {
		err = run(os.Stdin, os.Stdout, os.Stderr, rules)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// rule makes a point of a register.
type rule struct {
	codes obis.Pattern
	point string
	unit  obis.Unit
	shift int
}

func parse(table string) (rules []rule, err error) {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, row := range rows[1:] {
		r := rule{point: row[1]}
		if r.codes, err = obis.ParsePattern(row[0]); err != nil {
			return nil, err
		}
		var ok bool
		if r.unit, ok = obis.UnitByName(row[2]); !ok {
			return nil, fmt.Errorf("no unit %q", row[2])
		}
		if r.shift, err = strconv.Atoi(row[3]); err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// point is what the receiver wants: an exact number, and whether it may be used.
type point struct {
	Point string      `json:"point"`
	Value json.Number `json:"value"`
	Good  bool        `json:"good"`
}

// points maps the data of a meter, and returns what is lost.
func points(d *mapping.Data, rules []rule) (list []point, lost []mapping.Loss) {
	for i := range d.Readings {
		x := &d.Readings[i]
		reason := "no rule has it"
		for _, r := range rules {
			if !r.codes.Match(x.Code) {
				continue
			}
			v, ok := x.Value.Shift(r.shift)
			_, _, number := v.Decimal()
			if reason = "another unit, or no number"; !ok || !number || x.Unit != r.unit {
				continue
			}
			list = append(list, point{r.point, json.Number(v.String()), x.Quality.Validity() == obis.Good})
			reason = ""
			break
		}
		if reason != "" {
			lost = append(lost, mapping.Loss{Part: mapping.Reading, Index: i, Reason: reason})
		}
	}
	return list, append(lost, mapping.ReadingsOnly(d)...)
}

func run(in io.Reader, out, warnings io.Writer, rules []rule) error {
	documents, to := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r result.Result
		if err := documents.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		d := r.Data()
		list, lost := points(d, rules)
		for _, l := range d.Gather(lost) {
			fmt.Fprintln(warnings, "not carried:", l)
		}
		if err := to.Encode(list); err != nil {
			return err
		}
	}
}
