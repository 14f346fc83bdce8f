package obis

import (
	"strconv"
	"strings"
)

// quantity is what value group C stands for in a medium.
type quantity struct {
	name     string
	next     setD
	harmonic bool   // E is a harmonic, for those D that have such a set
	dips     bool   // and with D 32 a class of voltage dips
	integral string // what its integral is called, where that does not follow from the name
}

// processing is what value group D makes of a quantity.
type processing struct {
	name      string
	next      setE
	harmonic  setE // the set of quantities that have harmonics, where it is another
	integral  bool // an integral over time: power becomes energy
	threshold bool // F is the number of a threshold
}

// choice is what some values of group E stand for.
type choice struct {
	lo, hi byte
	name   string
}

// object names codes that are no quantity of a medium.
type object struct {
	pattern Pattern
	name    string // {E+1} is the value of group E and one
}

// Describe returns what a code stands for, in words: "active energy import
// total", "heat energy", "voltage L1". It classifies by medium first, as the
// groups C to E mean other things for each. Two codes that differ in the groups
// C to F have different names. Codes that no table names, those of manufacturers
// above all, give "".
func Describe(c Code) string { return string(AppendDescription(nil, c)) }

// AppendDescription appends the text of [Describe].
func AppendDescription(dst []byte, c Code) []byte {
	if int(c[0]) >= len(quantities) || 65 <= c[1] && c[1] <= 199 { // of utilities and manufacturers
		return dst
	}
	for i := objectsOfC[c[2]]; i < objectsOfC[int(c[2])+1]; i++ {
		o := &objects[i]
		if !o.pattern.Match(c) {
			continue
		}
		if o.pattern.Lo[5] == 0 && o.pattern.Hi[5] == 255 {
			return appendPeriod(appendTemplate(dst, o.name, c), c, len(dst), ", billing period ")
		}
		return appendTemplate(dst, o.name, c)
	}
	start := len(dst)
	if c[0] == gas && c[2] == profileOf { // D and E are the groups C and D of what it records
		dst = append(dst, "profile of "...)
		c = Code{gas, c[1], c[3], c[4], 0, c[5]}
	}
	q, d := c.quantity()
	if d == nil {
		return dst[:start]
	}
	e := sets[d.set(q)].find(c[4])
	switch {
	case e == nil:
		return dst[:start]
	case c[0] == 1:
		dst = appendElectricity(dst, c, q, d, e)
	default:
		dst = append(append(append(dst, mediumWord[c[0]]...), ' '), q.name...)
		dst = appendPart(dst, ", ", d.name, c)
		dst = appendPart(dst, ", ", e.name, c)
	}
	if d.threshold {
		return appendPeriod(dst, c, start, ", threshold ")
	}
	return appendPeriod(dst, c, start, ", billing period ")
}

// The value groups A of gas, and C of the profiles of one quantity that it has.
const (
	gas       = 7
	profileOf = 99
)

// quantity returns what the groups C and D stand for. The processing is nil where
// no table says so.
func (c Code) quantity() (*quantity, *processing) {
	if int(c[0]) >= len(quantities) {
		return nil, nil
	}
	index := c[2]
	if q := electricityQuantity(c[2]); c[0] == 1 && q != 0 {
		index = q
	}
	list := quantities[c[0]]
	if int(index) >= len(list) || list[index].next == 0 {
		return nil, nil
	}
	q, all := &list[index], processings[list[index].next]
	if int(c[3]) >= len(all) || all[c[3]].next == 0 {
		return q, nil
	}
	return q, &all[c[3]]
}

// set returns the set that says what E means for a quantity.
func (d *processing) set(q *quantity) setE {
	switch {
	case q.harmonic && d.harmonic == eDips && !q.dips:
		return eNone
	case q.harmonic && d.harmonic != 0:
		return d.harmonic
	}
	return d.next
}

func (s set) find(e byte) *choice {
	for i := range s {
		if s[i].lo <= e && e <= s[i].hi {
			return &s[i]
		}
	}
	return nil
}

// set is the choices of group E that belong together.
type set []choice

// appendPart appends a part of a name, where there is one.
func appendPart(dst []byte, between, name string, c Code) []byte {
	if name == "" {
		return dst
	}
	return appendTemplate(append(dst, between...), name, c)
}

// appendPeriod appends what F stands for. It takes the name back that begins at
// start where F stands for nothing that is known.
func appendPeriod(dst []byte, c Code, start int, word string) []byte {
	switch f := c[5]; {
	case len(dst) == start || f == FCurrent:
		return dst
	case f <= 99:
		return strconv.AppendUint(append(dst, word...), uint64(f), 10)
	case f == 101:
		return append(dst, ", last billing period"...)
	case 102 <= f && f <= 125:
		return append(strconv.AppendUint(append(dst, ", last "...), uint64(f)-100, 10), " billing periods"...)
	case f == 126:
		return append(dst, ", recent billing periods"...)
	}
	return dst[:start]
}

// appendTemplate appends a name in which {E+1} stands for the value of group E and
// one.
func appendTemplate(dst []byte, name string, c Code) []byte {
	for {
		before, rest, ok := strings.Cut(name, "{")
		dst = append(dst, before...)
		if !ok {
			return dst
		}
		field, after, _ := strings.Cut(rest, "}")
		offset := 0
		if len(field) > 1 {
			offset, _ = strconv.Atoi(field[1:])
		}
		dst = strconv.AppendInt(dst, int64(c[field[0]-'A'])+int64(offset), 10)
		name = after
	}
}

var mediumWord = [16]string{4: "HCA", 5: "cooling", 6: "heat", 7: "gas", 8: "cold water", 9: "hot water"}

var phaseWord = [...]string{PhaseL1: " L1", PhaseL2: " L2", PhaseL3: " L3", PhaseL1L2: " L1-L2", PhaseL2L3: " L2-L3", PhaseL3L1: " L3-L1"}

// appendElectricity appends the quantity with its phase, then what E and D add. A
// quantity without a name of its own has that of E.
func appendElectricity(dst []byte, c Code, q *quantity, d *processing, e *choice) []byte {
	name, more := q.name, e.name
	if name == "" {
		name, more = e.name, ""
	}
	switch {
	case d.integral && q.integral != "":
		dst = append(dst, q.integral...)
	case d.integral:
		dst = appendIntegral(dst, name)
	default:
		dst = append(dst, name...)
	}
	if p := c.Phase(); int(p) < len(phaseWord) && p != PhaseNeutral {
		dst = append(dst, phaseWord[p]...)
	}
	switch _, rated := c.Tariff(); {
	case rated && c[4] > 0:
		dst = appendPart(dst, " ", more, c)
	case c[3] == 8 && c.Phase() == PhaseSum && c[4] == 0:
		dst = append(dst, " total"...)
	default:
		dst = appendPart(dst, ", ", more, c)
	}
	return appendPart(dst, ", ", d.name, c)
}

// appendIntegral appends the name of the integral of a quantity over time.
func appendIntegral(dst []byte, name string) []byte {
	before, after, power := strings.Cut(name, " power")
	if power {
		return append(append(append(dst, before...), " energy"...), after...)
	}
	return append(append(dst, name...), " integral"...)
}
