// Package obis is the model in which all meter protocols meet: readings,
// profiles and events keyed by OBIS code (IEC 62056-6-1, EN 13757-1).
//
// Numbers are exact ([Value] is a mantissa and a decimal exponent), quality is
// never better than what the meter said ([Quality] keeps the meter's own status
// word beside portable flags), and what has no OBIS code keeps its own id
// ([Reading.RawID]).
//
// All types are plain values. None is safe for writing from several
// goroutines; all are safe for reading.
package obis

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Code is an OBIS code, the six value groups A to F in order, and equally the
// logical name of a COSEM object. It is comparable and usable as a map key.
// The zero Code is invalid and means "no code".
type Code [6]byte

// FCurrent in value group F means that the group is not used: the current value.
const FCurrent = 255

// Valid reports whether c is a code at all, that is not the zero Code.
func (c Code) Valid() bool { return c != Code{} }

// Compare orders codes by their groups from A to F, like [bytes.Compare].
func (c Code) Compare(d Code) int { return bytes.Compare(c[:], d[:]) }

// Uint64 packs the six groups into the low 48 bits, A the most significant.
func (c Code) Uint64() uint64 {
	return uint64(binary.BigEndian.Uint16(c[:]))<<32 | uint64(binary.BigEndian.Uint32(c[2:]))
}

// Medium returns what value group A says is measured.
func (c Code) Medium() Medium { return mediumOfA[c[0]] }

// Channel returns value group B and whether it names a measurement channel (1 to 64).
func (c Code) Channel() (b uint8, ok bool) { return c[1], 1 <= c[1] && c[1] <= 64 }

// Tariff returns the rate in value group E, 0 being the total, and whether E
// means a rate for this kind of quantity.
func (c Code) Tariff() (uint8, bool) {
	q, d := c.quantity()
	if d == nil || c[4] > maxTariff {
		return 0, false
	}
	set := d.set(q)
	if set != eTariff && set != eTariffOrNone {
		return 0, false
	}
	return c[4], true
}

// maxTariff is the greatest number of a rate in value group E.
const maxTariff = 63

// BillingPeriod returns value group F and whether it names a stored billing
// period (0 to 99). Whether that is an absolute number or a count backwards
// differs from meter to meter.
func (c Code) BillingPeriod() (uint8, bool) { return c[5], c[5] <= 99 }

// Phase is a phase of an electricity meter, or the sum of all of them.
type Phase uint8

// The phases that value group C tells apart.
const (
	PhaseNone Phase = iota // not an electrical quantity by phase
	PhaseSum               // all phases together
	PhaseL1
	PhaseL2
	PhaseL3
	PhaseNeutral
	PhaseL1L2
	PhaseL2L3
	PhaseL3L1
)

// Phase returns the phase to which an electricity code belongs.
func (c Code) Phase() Phase {
	if c[0] != 1 {
		return PhaseNone
	}
	switch g := c[2]; {
	case 1 <= g && g <= 80:
		return PhaseSum + Phase((g-1)/20)
	case 84 <= g && g <= 87:
		return PhaseSum + Phase(g-84)
	case g == 88, g == 89, g == 90:
		return PhaseSum
	case g == 91, g == 92:
		return PhaseNeutral
	case 124 <= g && g <= 126:
		return PhaseL1L2 + Phase(g-124)
	}
	return PhaseNone
}

// Direction is the direction of the flow of energy, seen from the consumer.
type Direction uint8

// The directions that value group C tells apart.
const (
	DirectionNone Direction = iota // no direction: voltage, temperature, …
	Import                         // towards the consumer
	Export                         // from the consumer
	Net                            // import minus export
	Absolute                       // import plus export
)

// Direction returns the direction of an electrical power or energy.
func (c Code) Direction() Direction {
	if c[0] != 1 {
		return DirectionNone
	}
	switch electricityQuantity(c[2]) {
	case 1, 3, 5, 6, 9, 17, 20:
		return Import
	case 2, 4, 7, 8, 10, 18, 19:
		return Export
	case 15:
		return Absolute
	case 16:
		return Net
	}
	return DirectionNone
}

// electricityQuantity folds the phases of value group C together: it returns
// 1 to 20 for the quantities that exist by phase, and 0 for all others.
func electricityQuantity(c byte) byte {
	if 1 <= c && c <= 80 {
		return (c-1)%20 + 1
	}
	return 0
}

// Cumulative reports whether the code counts upwards for ever (an energy or
// volume register) rather than showing a momentary, averaged or stored value, or
// a difference, which may fall.
func (c Code) Cumulative() bool {
	if c[5] != FCurrent {
		return false
	}
	switch {
	case c[0] == 1:
		q := electricityQuantity(c[2])
		return c[3] == 8 && (q != 0 && q != netPower || c[2] == 82 || c[2] == 83 || c[2] == 88 || c[2] == 89)
	case c[0] == 4:
		return (c[2] == 1 || c[2] == 2) && c[3] == 0
	case c[0] == 5, c[0] == 6:
		return 1 <= c[2] && c[2] <= 7 && c[3] == 0
	case c[0] == 7:
		return (1 <= c[2] && c[2] <= 36 || 61 <= c[2] && c[2] <= 66) && c[3] <= 3
	case c[0] == 8, c[0] == 9:
		return c[2] == 1 && c[3] == 0
	}
	return false
}

// netPower is the value of group C that is import minus export.
const netPower = 16

// AppendText appends the canonical form A-B:C.D.E*F. It never fails.
func (c Code) AppendText(dst []byte) ([]byte, error) {
	for i, b := range c {
		if i > 0 {
			dst = append(dst, "-:..*"[i-1])
		}
		dst = strconv.AppendUint(dst, uint64(b), 10)
	}
	return dst, nil
}

// String returns the canonical form A-B:C.D.E*F, or "" for the zero Code.
func (c Code) String() string {
	if !c.Valid() {
		return ""
	}
	b, _ := c.AppendText(make([]byte, 0, len("255-255:255.255.255*255")))
	return string(b)
}

// MarshalText returns the canonical form.
func (c Code) MarshalText() ([]byte, error) { return c.AppendText(nil) }

// UnmarshalText reads any form that [ParseCode] takes.
func (c *Code) UnmarshalText(b []byte) error {
	d, err := parseCode(b)
	if err == nil {
		*c = d
	}
	return err
}

// AppendBinary appends the six octets of the COSEM logical name. It never fails.
func (c Code) AppendBinary(dst []byte) ([]byte, error) { return append(dst, c[:]...), nil }

// Pattern is a set of codes: in each group the values from Lo to Hi. The zero
// Pattern matches the invalid Code only.
type Pattern struct{ Lo, Hi Code }

// Exactly returns the pattern that matches c alone.
func Exactly(c Code) Pattern { return Pattern{c, c} }

// Match reports whether c is in the set.
func (p Pattern) Match(c Code) bool {
	for i := range c {
		if c[i] < p.Lo[i] || c[i] > p.Hi[i] {
			return false
		}
	}
	return true
}

// Code returns the only code of the set, if it has only one.
func (p Pattern) Code() (Code, bool) { return p.Lo, p.Lo == p.Hi && p.Lo.Valid() }

// ParsePattern reads a code in any form of [Parse], in which each group may
// also be "x" (any value) or a range "1-4" in parentheses, as in
// "1-x:(1-2).8.x" or "1.8.x". Groups that are left out match any value, except that a
// pattern without F matches the current value (255) only; "1.8.0" therefore
// matches that register on every channel.
func ParsePattern(s string) (Pattern, error) {
	if id, err := Parse(s); err == nil {
		p := Exactly(id.Code)
		for g := range p.Lo {
			if id.Have&(1<<g) == 0 && g != 5 {
				p.Lo[g], p.Hi[g] = 0, 255
			}
		}
		if id.Have&HaveF == 0 {
			p.Lo[5], p.Hi[5] = FCurrent, FCurrent
		}
		return p, nil
	}
	return parseWildcards(s)
}

// parseWildcards reads a form with "x" and ranges, where A and B may be left out.
func parseWildcards(s string) (p Pattern, err error) {
	p.Lo[5], p.Hi[5] = FCurrent, FCurrent
	written := len(s)
	switch prefix, _, ok := strings.Cut(s, ":"); {
	case !ok:
		s = "x-x:" + s
	case strings.Trim(prefix, "0123456789x") == "":
		s = "x-" + s
	}
	rest := s
	for g := range 6 {
		var group string
		group, rest, err = cutGroup(rest, g)
		if err == nil {
			p.Lo[g], p.Hi[g], err = parseRange(group)
		}
		if err != nil {
			return Pattern{}, &ParseError{Field: groupName(g), Offset: max(written-len(rest), 0), Err: err}
		}
		if rest == "" {
			if g < 3 {
				return Pattern{}, &ParseError{Field: groupName(g + 1), Offset: written, Err: errMissing}
			}
			if g == 3 {
				p.Hi[4] = 255
			}
			return p, nil
		}
	}
	return Pattern{}, &ParseError{Field: "code", Offset: max(written-len(rest), 0), Err: fmt.Errorf("%q follows", rest)}
}

// cutGroup splits the text of group g, and the separator behind it, from s.
func cutGroup(s string, g int) (group, rest string, err error) {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 && g < 5 && (s[i] == "-:..*"[g] || g == 4 && s[i] == '&') {
			return s[:i], s[i+1:], nil
		}
		if depth < 0 || depth > 1 {
			return "", s, fmt.Errorf("unbalanced parenthesis")
		}
	}
	if g < 3 {
		return "", s, fmt.Errorf("no %q follows", "-:..*"[g])
	}
	return s, "", nil
}

// parseRange reads "x", "7" or "(1-4)".
func parseRange(s string) (lo, hi byte, err error) {
	if s == "x" {
		return 0, 255, nil
	}
	first, last := s, s
	if len(s) > 2 && s[0] == '(' && s[len(s)-1] == ')' {
		var ok bool
		if first, last, ok = strings.Cut(s[1:len(s)-1], "-"); !ok {
			return 0, 0, fmt.Errorf("range %q has no \"-\"", s)
		}
	}
	l, err := strconv.ParseUint(first, 10, 8)
	if err != nil {
		return 0, 0, err
	}
	h, err := strconv.ParseUint(last, 10, 8)
	if err != nil {
		return 0, 0, err
	}
	if h < l {
		return 0, 0, fmt.Errorf("range %q is empty", s)
	}
	return byte(l), byte(h), nil
}

// String returns the pattern in the form that [ParsePattern] reads.
func (p Pattern) String() string {
	var dst []byte
	for i := range p.Lo {
		if i > 0 {
			dst = append(dst, "-:..*"[i-1])
		}
		switch lo, hi := uint64(p.Lo[i]), uint64(p.Hi[i]); {
		case lo == hi:
			dst = strconv.AppendUint(dst, lo, 10)
		case lo == 0 && hi == 255:
			dst = append(dst, 'x')
		default:
			dst = strconv.AppendUint(append(dst, '('), lo, 10)
			dst = strconv.AppendUint(append(dst, '-'), hi, 10)
			dst = append(dst, ')')
		}
	}
	return string(dst)
}
