package ansic12

import (
	"fmt"
	"strings"

	"github.com/openusm/meter/obis"
)

// UOM is an entry of table 12: what a source measures. The bits are those of
// UOM_ENTRY_BFLD.
type UOM uint32

// TimeBase says over which time a quantity was taken.
type TimeBase uint8

// The time bases.
const (
	Bulk          TimeBase = iota // a register that counts for ever (dial reading)
	Instantaneous                 // a momentary value
	Period                        // over one period of the signal
	SubBlock                      // average over a part of the demand interval
	Block                         // average over the demand interval
	NetBulk                       // a register's difference between two times
	Thermal                       // thermal demand
	EventCount                    // a number of events
)

var timeBaseNames = [...]string{"bulk", "instantaneous", "period", "sub-block average", "block average", "net bulk", "thermal", "event"}

// String returns the time base in words.
func (t TimeBase) String() string { return timeBaseNames[t&7] }

var exponents = [...]int8{0, 2, 3, 6, 9, -2, -3, -6}

// ID returns the ID code: what is measured.
func (u UOM) ID() uint8 { return uint8(u) }

// TimeBase returns over which time.
func (u UOM) TimeBase() TimeBase { return TimeBase(u >> 8 & 7) }

// Exp returns the power of ten by which values are multiplied after all constants.
func (u UOM) Exp() int8 { return exponents[u>>11&7] }

// Quadrants returns the quadrants that are accounted for: bit 0 is quadrant 1.
func (u UOM) Quadrants() uint8 { return uint8(u >> 14 & 0x0F) }

// Net reports whether flows in opposite directions are subtracted.
func (u UOM) Net() bool { return u>>18&1 != 0 }

// Segment returns the phases: 0 all, 1 A-B, 2 B-C, 3 C-A, 4 neutral, 5 A, 6 B, 7 C.
func (u UOM) Segment() uint8 { return uint8(u >> 19 & 7) }

// Harmonic reports whether a harmonic of the quantity is measured.
func (u UOM) Harmonic() bool { return u>>22&1 != 0 }

// NotStandard reports that the entry does not follow the standard (NFS).
func (u UOM) NotStandard() bool { return u>>31 != 0 }

var segmentNames = [...]string{"", " A-B", " B-C", " C-A", " neutral", " A", " B", " C"}

// String returns the entry in words: "active power bulk Q1+Q4".
func (u UOM) String() string {
	q, ok := quantities[u.ID()]
	if !ok {
		q.name = fmt.Sprintf("quantity %d", u.ID())
	}
	var b strings.Builder
	b.WriteString(q.name + segmentNames[u.Segment()] + " " + u.TimeBase().String())
	separator := " "
	for i := range 4 {
		if u.Quadrants()>>i&1 != 0 {
			fmt.Fprintf(&b, "%sQ%d", separator, i+1)
			separator = "+"
		}
	}
	if u.Net() {
		b.WriteString(" net")
	}
	if u.Harmonic() {
		b.WriteString(" harmonic")
	}
	return b.String()
}

// kind says how the OBIS group C of a quantity is found.
type kind uint8

const (
	kindOther kind = iota
	kindActive
	kindReactive
	kindApparent
	kindVoltage
	kindCurrent
	kindFactor
	kindFrequency
	kindThdvoltage
	kindThdcurrent
	kindAnglevoltage
	kindAnglecurrent
	kindVoltsquare
	kindAmpsquare
)

// quantity is a row of catalogue/uom.csv.
type quantity struct {
	name string
	kind kind
	unit obis.Unit // of momentary values and averages
	bulk obis.Unit // of registers
}

// Unit returns the unit without prefix, UnitUnknown where no table has one.
func (u UOM) Unit() obis.Unit {
	q, ok := quantities[u.ID()]
	if !ok || u.NotStandard() {
		return obis.UnitUnknown
	}
	switch u.TimeBase() {
	case Bulk, NetBulk:
		return q.bulk
	case EventCount:
		return obis.Count
	}
	return q.unit
}

// Ratios returns the powers in which the ratios of current and voltage transformers
// go into values of this source. It is not ok for quantities of which nobody knows.
func (u UOM) Ratios() (current, voltage int, ok bool) {
	q, known := quantities[u.ID()]
	if !known || u.NotStandard() {
		return 0, 0, false
	}
	switch q.kind {
	case kindActive, kindReactive, kindApparent:
		return 1, 1, true
	case kindVoltage:
		return 0, 1, true
	case kindCurrent:
		return 1, 0, true
	case kindVoltsquare:
		return 0, 2, true
	case kindAmpsquare:
		return 2, 0, true
	}
	return 0, 0, true
}

// Role is the part that a value of a source plays in the tables.
type Role uint8

// The roles.
const (
	Present       Role = iota // the value itself
	Maximum                   // the greatest demand since the reset
	Minimum                   // the least
	Cumulative                // sum of the maxima of all periods
	PresentDemand             // the demand of the interval that is not over
	Interval                  // of a load profile
)

// Code returns the OBIS code (electricity) of a value of this source. It is not ok
// for quantities and combinations of quadrants for which there is none.
func (u UOM) Code(role Role, tier uint8) (c obis.Code, ok bool) {
	q, known := quantities[u.ID()]
	if !known || u.NotStandard() || u.Harmonic() || tier > 63 {
		return obis.Code{}, false
	}
	group, e, ok := u.group(q.kind)
	if !ok {
		return obis.Code{}, false
	}
	if tier > 0 {
		if e != 0 {
			return obis.Code{}, false
		}
		e = tier
	}
	d, ok := u.groupD(role)
	if !ok || e >= 120 && d != 7 || group == 81 && d != 7 {
		return obis.Code{}, false
	}
	return obis.Code{1, 0, group, d, e, obis.FCurrent}, true
}

// groupD returns what group D is for the role and the time base.
func (u UOM) groupD(role Role) (byte, bool) {
	bulk := u.TimeBase() == Bulk || u.TimeBase() == NetBulk
	switch {
	case u.TimeBase() == EventCount:
		return 0, false
	case role == Interval && bulk:
		return 29, true
	case role == Interval:
		return 5, true
	case bulk && role == Present:
		return 8, true
	case bulk:
		return 0, false
	case role == Maximum:
		return 6, true
	case role == Minimum:
		return 3, true
	case role == Cumulative:
		return 2, true
	case role == PresentDemand:
		return 4, true
	}
	switch u.TimeBase() {
	case Instantaneous, Period:
		return 7, true
	case SubBlock:
		return 4, true
	}
	return 5, true
}

// The quadrants of the sums.
const (
	importing = 1<<0 | 1<<3 // Q1+Q4
	exporting = 1<<1 | 1<<2 // Q2+Q3
	inductive = 1<<0 | 1<<1 // Q1+Q2
	capacious = 1<<2 | 1<<3 // Q3+Q4
	every     = 0x0F
)

// group returns the groups C and E of a kind.
func (u UOM) group(k kind) (group, e byte, ok bool) {
	base, ok := u.base(k)
	if !ok {
		return 0, 0, false
	}
	segment := u.Segment()
	switch k {
	case kindAnglevoltage, kindAnglecurrent:
		if segment < 5 {
			return 0, 0, false
		}
		return 81, base + segment - 5, true
	case kindThdvoltage, kindThdcurrent:
		e = 124
	}
	switch {
	case segment == 0:
		return base, e, true
	case segment >= 5:
		return base + 20*(segment-4), e, true
	case base == 12 && segment == 4:
		return 92, e, true
	case base == 11 && segment == 4:
		return 91, e, true
	case base == 12 && e == 0:
		return 123 + segment, 0, true
	}
	return 0, 0, false
}

// base returns group C for all phases together; for angles group E of phase A.
func (u UOM) base(k kind) (byte, bool) {
	switch k {
	case kindVoltage, kindThdvoltage:
		return 12, true
	case kindCurrent, kindThdcurrent:
		return 11, true
	case kindFactor:
		return 13, true
	case kindFrequency:
		return 14, true
	case kindAnglevoltage:
		return 0, true
	case kindAnglecurrent:
		return 4, true
	case kindVoltsquare:
		return 89, u.Segment() == 0
	case kindAmpsquare:
		return 88, u.Segment() == 0
	}
	c, ok := powers[power{k, u.Quadrants(), u.Net()}]
	return c, ok
}

// power is what tells the powers and energies of OBIS apart.
type power struct {
	kind      kind
	quadrants uint8
	net       bool
}

var powers = map[power]byte{
	{kindActive, importing, false}:   1,
	{kindActive, exporting, false}:   2,
	{kindReactive, inductive, false}: 3,
	{kindReactive, capacious, false}: 4,
	{kindReactive, 1 << 0, false}:    5,
	{kindReactive, 1 << 1, false}:    6,
	{kindReactive, 1 << 2, false}:    7,
	{kindReactive, 1 << 3, false}:    8,
	{kindApparent, importing, false}: 9,
	{kindApparent, exporting, false}: 10,
	{kindActive, every, false}:       15,
	{kindActive, every, true}:        16,
	{kindActive, 1 << 0, false}:      17,
	{kindActive, 1 << 1, false}:      18,
	{kindActive, 1 << 2, false}:      19,
	{kindActive, 1 << 3, false}:      20,
}
