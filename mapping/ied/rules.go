package ied

import (
	_ "embed" // rules.csv, units.csv
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed rules.csv
var rulesCSV string

// rule says where the codes of some patterns go.
type rule struct {
	class   string
	object  string
	part    string // phase or array; "" where the object has no parts
	cdc     string
	unit    uint8
	reverse bool // the object counts the other direction
	when    string
	net     bool // the object is the difference of the two codes of the rule
}

// Rules say where readings go. A nil *Rules has the built-in ones of rules.csv.
type Rules struct{ list []mapping.Rule[rule] }

// ReadRules reads rules in the form of rules.csv; the built-in ones stand for
// what they do not name. A model that was made with rules is read with them.
func ReadRules(r io.Reader) (*Rules, error) {
	table, err := mapping.ReadTable(r, columns, parseRule)
	if err != nil {
		return nil, err
	}
	for _, rule := range table.Rules {
		for _, p := range rule.Codes {
			if rule.Target.array() && p.Hi[4] >= iec61850.DefaultHarmonics {
				return nil, fmt.Errorf("ied: rule for %v: harmonics up to %d have a place", p, iec61850.DefaultHarmonics-1)
			}
		}
		if rule.Target.net && len(rule.Codes) != 2 {
			return nil, fmt.Errorf("ied: a difference of %d codes", len(rule.Codes))
		}
	}
	return &Rules{append(table.Rules, builtIn()...)}, nil
}

var columns = []string{"class", "object", "cdc", "siunit", "sign", "when"}

// builtIn are the rules of rules.csv. That they can be read is tested.
var builtIn = sync.OnceValue(func() []mapping.Rule[rule] {
	table, err := mapping.ReadTable(strings.NewReader(rulesCSV), columns, parseRule)
	if err != nil {
		return nil
	}
	return table.Rules
})

func (r *Rules) all() []mapping.Rule[rule] {
	if r == nil {
		return builtIn()
	}
	return r.list
}

func parseRule(cells []string) (r rule, err error) {
	r = rule{class: cells[0], cdc: cells[2], reverse: cells[4] == "-1", when: cells[5]}
	if r.net = strings.HasSuffix(r.when, "difference"); r.net {
		r.when = strings.TrimSpace(strings.TrimSuffix(r.when, "difference"))
	}
	r.object, r.part, _ = strings.Cut(cells[1], ".")
	n, err := strconv.ParseUint(cells[3], 10, 8)
	if err != nil {
		return r, err
	}
	r.unit = uint8(n)
	return r, r.check()
}

// whens are the conditions of rules, with the common data classes that they are for.
var whens = map[string]string{"": "BCR MV WYE DEL HMV HWYE", "single": "BCR MV WYE DEL HMV HWYE", "whole": "ASG", "bool": "DPC SPS", "state": "DPC", "sum": "SPS", "angle": "WYE"}

// check reports whether the parts of a rule fit together.
func (r *rule) check() error {
	classes, known := whens[r.when]
	part := r.part != ""
	switch {
	case !known:
		return fmt.Errorf("ied: condition %q is not known", r.when)
	case len(r.class) != 4 || r.object == "":
		return fmt.Errorf("ied: %s.%s is no object of a logical node", r.class, r.object)
	case !slices.Contains(strings.Fields(classes), r.cdc):
		return fmt.Errorf("ied: class %q with the condition %q", r.cdc, r.when)
	case part != (r.array() || r.cdc == "WYE" || r.cdc == "DEL"):
		return fmt.Errorf("ied: %s.%s: class %s and parts do not fit together", r.object, r.part, r.cdc)
	case r.net && (r.array() || r.reverse || r.when != "" && r.when != "single"):
		return fmt.Errorf("ied: %s.%s is no difference", r.class, r.object)
	case r.when == "state" && r.class != "CSWI":
		return fmt.Errorf("ied: control states go to CSWI, not %s", r.class)
	}
	for row := range iec61850.ClassRows(r.cdc) {
		if row.Name == r.part && row.Array == r.array() {
			return nil
		}
	}
	if part {
		return fmt.Errorf("ied: class %s has no %s", r.cdc, r.part)
	}
	return nil
}

// array reports whether the rule is for the elements of an array.
func (r *rule) array() bool { return r.cdc == "HWYE" || r.cdc == "HMV" }

// none says that no rule is for a reading.
const none = -1

// find returns the number of the rule that fits a reading of a meter.
func (b *builder) find(r *obis.Reading) int {
	list := b.d.opts.Rules.all()
	for i := range list {
		if !list[i].Target.net && list[i].Match(r.Code) && b.applies(&list[i].Target, r) {
			return i
		}
	}
	return none
}

func (b *builder) applies(r *rule, x *obis.Reading) bool {
	switch r.when {
	case "single":
		if !b.single {
			return false
		}
	case "bool":
		return x.Value.Kind() == obis.KindBool
	case "state":
		_, ok := state(x.Value)
		return ok
	case "whole":
		denominator := x.Code
		denominator[4] += 3
		if b.codes[denominator] {
			return false
		}
	case "sum":
		return false
	}
	return fits(x.Value, r.cdc) && measures(r, x.Unit)
}

// fits reports whether an object of the class can show the value. No value fits all.
func fits(v obis.Value, cdc string) bool {
	if v.IsNone() {
		return true
	}
	if cdc == "BCR" {
		_, _, ok := v.Decimal()
		return ok
	}
	return number(v)
}

func number(v obis.Value) bool {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64:
		return true
	}
	return false
}

// state returns a control state of COSEM class 70: 0 disconnected, 1 connected, 2 ready for reconnection.
func state(v obis.Value) (n int64, ok bool) {
	if v.Kind() == obis.KindEnum {
		n, ok = v.Enum()
	} else if m, exp, decimal := v.Decimal(); decimal && exp == 0 {
		n, ok = m, true
	}
	return n, ok && 0 <= n && n <= 2
}

// measures reports whether an object of the rule is in the unit. A unit that was
// not transmitted contradicts none.
func measures(r *rule, u obis.Unit) bool {
	if r.when == "angle" {
		return u == obis.Degree
	}
	si, ok := siUnits()[u]
	return u == obis.UnitUnknown || ok && si.same && si.code == r.unit || u == obis.Count && r.unit == powerFactor
}

// singlePhase reports whether a meter has codes of its one phase, but none of phase 2 or 3.
func singlePhase(codes map[obis.Code]bool) bool {
	one := false
	for c := range codes {
		switch {
		case c[0] != 1:
		case c.Phase() == obis.PhaseL2 || c.Phase() == obis.PhaseL3 || c.Phase() >= obis.PhaseL1L2:
			return false
		case c.Phase() == obis.PhaseL1 || c[2] == 11 || c[2] == 12:
			one = true
		}
	}
	return one
}

// instance names what tells codes apart that share an object: channel, quantity
// and processing beyond the object's own, tariff, billing period.
func instance(r *rule, c obis.Code) string {
	e, f := c[4], c[5]
	switch r.class {
	case "MHAI", "MHAN": // E is the number of the harmonic
		e = 0
	case "MMTN":
		return string('0'+rune(c.Phase())) + fmt.Sprintf("%03d.%03d.%03d.%03d", c[1], f^0xFF, e, c[3])
	case "STMP", "QVVR":
		return fmt.Sprintf("%03d.%03d.%03d.%03d.%03d", c[0], c[1], c[2], f^0xFF, e)
	}
	return fmt.Sprintf("%03d.%03d.%03d.%03d", c[1], f^0xFF, e, c[3])
}

// The SIUnits of numbers without unit.
const (
	dimensionless = 1
	powerFactor   = 65
)

//go:embed units.csv
var unitsCSV []byte

// siUnit is how IEC 61850-7-3 has a unit: a value times mul and divided by div is in it.
type siUnit struct {
	code     uint8
	mul, div int64
	same     bool // the model has this very unit
}

// siUnits reads units.csv, which the tests check.
var siUnits = sync.OnceValue(func() map[obis.Unit]siUnit {
	rows, err := csvrows.Read(unitsCSV)
	if err != nil {
		return nil
	}
	list, seen := map[obis.Unit]siUnit{}, map[uint8]bool{}
	for _, row := range rows {
		u, known := obis.UnitByName(row[0])
		code, err := strconv.ParseUint(row[1], 10, 8)
		mul, errMul := strconv.ParseInt(row[2], 10, 64)
		div, errDiv := strconv.ParseInt(row[3], 10, 64)
		if !known || errors.Join(err, errMul, errDiv) != nil {
			return nil
		}
		list[u] = siUnit{uint8(code), mul, div, !seen[uint8(code)] || u == obis.Percent}
		seen[uint8(code)] = true
	}
	return list
})

// baseUnits are the units of the model by their SIUnit.
var baseUnits = sync.OnceValue(func() map[uint8]obis.Unit {
	list := map[uint8]obis.Unit{}
	for u, si := range siUnits() {
		if si.same && u != obis.Percent {
			list[si.code] = u
		}
	}
	return list
})
