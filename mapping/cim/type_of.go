package cim

import (
	"slices"

	"github.com/openusm/meter/obis"
)

// Macro periods: of values that were taken at the end of a billing period, and of
// those that were at the end of a day, a month, a week.
const (
	billing = 8
	daily   = 11
	monthly = 13
	weekly  = 24
	day     = 24 * 3600 // seconds
)

// Quantity is what a reading type says of a value.
type Quantity struct {
	Code   obis.Code
	Unit   obis.Unit
	Exp    int         // power of ten from the unit of the model to that of the type
	Period int32       // seconds over which the value was measured, 0 where it is not said
	Medium obis.Medium // of the device, where the code does not say it (M-Bus channels of DSMR)
}

// TypeOf returns the reading type of a quantity, and the power of ten by which
// its values are to be divided. It is not ok where no rule is for the code, or
// not for its unit.
func (r *Rules) TypeOf(q Quantity) (t ReadingType, exp int, ok bool) {
	p := r.table().FindFunc(q.Code, func(p *pattern) bool { return p.takes(&q) })
	if p == nil {
		return ReadingType{}, 0, false
	}
	t = p.parts
	if p.vars[Unit] == 'U' {
		u := data().unit(q.Unit)
		t[Unit], exp = u.number, u.exp
	}
	if p.vars[FlowDirection] == 'Q' {
		t[FlowDirection] = data().flow(q.Code).number
	}
	if p.vars[MeasuringPeriod] == 'T' {
		t[MeasuringPeriod] = byKey(data().periods, q.Period)
	}
	switch {
	case p.vars[MacroPeriod] != 'F':
	case q.Code[5] != obis.FCurrent:
		t[MacroPeriod] = billing
	case q.Period == day:
		t[MacroPeriod], t[MeasuringPeriod] = daily, 0
	}
	if p.vars[Commodity] == 'M' {
		t[Commodity] = data().medium(q.Medium).commodity
	}
	if p.vars[TOU] == 'E' {
		t[TOU] = int32(q.Code[4])
	}
	if p.vars[InterharmonicNumerator] == 'H' {
		t[InterharmonicNumerator] = int32(q.Code[4])
	}
	if p.vars[Phases] == 'P' {
		t[Phases] = byKey(data().phases, int32(q.Code.Phase()))
	}
	return t, exp, true
}

// takes reports whether the pattern is for the unit and the medium of a quantity with its code.
func (p *pattern) takes(q *Quantity) bool {
	if p.vars[Commodity] == 'M' && data().medium(q.Medium) == nil {
		return false
	}
	if own := q.Unit == obis.UnitUnknown && p.unit == obis.Count; p.vars[Unit] != 'U' && (own || q.Unit != p.unit) {
		return own
	}
	u := data().unit(q.Unit)
	if u == nil || p.vars[FlowDirection] != 'Q' {
		return u != nil || p.vars[Unit] != 'U'
	}
	f := data().flow(q.Code)
	return f != nil && f.quantity == u.quantity
}

// unit returns the row of a unit of the model.
func (t *tables) unit(u obis.Unit) *unit {
	for i := range t.units {
		if t.units[i].unit == u {
			return &t.units[i]
		}
	}
	return nil
}

// flow returns the row of the flow of a code that we write.
func (t *tables) flow(c obis.Code) *flow {
	base := (int32(c[2])-1)%20 + 1
	for i := range t.flows {
		if t.flows[i].c == base && !t.flows[i].read {
			return &t.flows[i]
		}
	}
	return nil
}

func byKey(list []numbered, key int32) int32 {
	for _, n := range list {
		if n.key == key {
			return n.number
		}
	}
	return 0
}

func byNumber(list []numbered, number int32) (key int32, ok bool) {
	for _, n := range list {
		if n.number == number {
			return n.key, true
		}
	}
	return 0, false
}

// TypeFor returns the reading type of a quantity as [Rules.TypeOf] does, but the
// very type of which it was read where raw, its raw id, is one with its unit.
// Of that type the multiplier is kept, too: the power of ten is from the model's
// unit to that of the type, without the multiplier.
func (r *Rules) TypeFor(raw []byte, q Quantity) (t ReadingType, exp int, ok bool) {
	if len(raw) == 0 || len(raw) > maxTypeText {
		return r.TypeOf(q)
	}
	t, err := ParseReadingType(string(raw))
	if err != nil || t[Multiplier] < -128 || t[Multiplier] > 127 {
		return r.TypeOf(q)
	}
	if own, _ := r.Resolve(t, q.Code); own.Unit == q.Unit {
		return t, own.Exp, true
	}
	return r.TypeOf(q)
}

// UnitLost says that values of a quantity with this type come back in another
// unit, "" where they do not.
func (r *Rules) UnitLost(t ReadingType, q Quantity) string {
	back, _ := r.Resolve(t, q.Code)
	if back.Unit == q.Unit || q.Unit == obis.UnitUnknown {
		return ""
	}
	return "its unit " + q.Unit.String() + ", for which stands " + back.Unit.String()
}

// maxTypeText is how long a reading type may be: eighteen numbers of 32 bits.
const maxTypeText = 18 * len("-2147483648.")

// Resolve returns what a reading type stands for that has been given the name of
// a code, or the zero code where it has none, and how it came by its code.
func (r *Rules) Resolve(t ReadingType, name obis.Code) (q Quantity, rule obis.Rule) {
	q, ok := r.QuantityOf(t)
	rule = obis.RuleStandard
	if !ok {
		q, rule = Quantity{}, obis.RuleNone
		q.Unit, q.Exp = UnitOf(t[Unit])
		q.Period, _ = byNumber(data().periods, t[MeasuringPeriod])
	}
	if !name.Valid() || ok && q.Code == name {
		return q, rule
	}
	q.Code = name
	own := func(p *pattern) bool { return p.vars[Unit] == 0 && p.parts[Unit] == t[Unit] }
	if p := r.table().FindFunc(name, own); p != nil {
		q.Unit, q.Exp = p.unit, 0
	}
	return q, obis.RuleDeclared
}

// QuantityOf returns what a reading type stands for: the first code that has
// it, or has what other systems write instead. The multiplier and the currency
// are not looked at. It is not ok where no code is known, or too many: a value
// of some past billing period does not say of which.
func (r *Rules) QuantityOf(t ReadingType) (q Quantity, ok bool) {
	const (
		normal         = 12 // an aggregate that says no more than none
		electricity    = 1
		primaryMetered = 2 // electricity that is measured at a transformer's high-voltage side
	)
	if t[Aggregate] == normal {
		t[Aggregate] = 0
	}
	if t[Commodity] == primaryMetered {
		t[Commodity] = electricity
	}
	if t[MeasuringPeriod] != 0 {
		if q.Period, ok = byNumber(data().periods, t[MeasuringPeriod]); !ok {
			return Quantity{}, false
		}
	}
	rules := r.table().Rules
	for i := range rules {
		p := &rules[i].Target
		if !p.fits(t) {
			continue
		}
		for _, codes := range rules[i].Codes {
			for c := int(codes.Lo[2]); c <= int(codes.Hi[2]); c++ {
				if found, ok := p.quantity(t, codes, byte(c)); ok {
					found.Period = max(found.Period, q.Period)
					return found, true
				}
			}
		}
	}
	return Quantity{}, false
}

// fits reports whether the parts that are numbers are those of t.
func (p *pattern) fits(t ReadingType) bool {
	for i, n := range p.parts {
		if p.vars[i] == 0 && t[i] != n && i != Multiplier && i != Currency {
			return false
		}
	}
	return true
}

// quantity returns the code of the set with this group C, if the letters of the pattern give it the type.
func (p *pattern) quantity(t ReadingType, codes obis.Pattern, c byte) (q Quantity, ok bool) {
	q.Code = codes.Lo
	q.Code[2] = c
	q.Unit = p.unit
	if codes.Hi[5] == obis.FCurrent {
		q.Code[5] = obis.FCurrent
	}
	switch {
	case p.vars[MacroPeriod] != 'F' && p.parts[MacroPeriod] == daily:
		q.Period = day
	case p.vars[MacroPeriod] != 'F', t[MacroPeriod] == 0, t[MacroPeriod] == monthly, t[MacroPeriod] == weekly:
	case t[MacroPeriod] == daily && (t[MeasuringPeriod] == 0 || byKey(data().periods, day) == t[MeasuringPeriod]):
		q.Period = day
	default:
		return Quantity{}, false
	}
	var quantity string
	if u := data().unit(p.unit); u != nil {
		quantity = u.quantity
	}
	if p.vars[Unit] == 'U' {
		u := data().unitNumber(t[Unit])
		if u == nil {
			return Quantity{}, false
		}
		q.Unit, q.Exp, quantity = u.unit, u.exp, u.quantity
	}
	if p.vars[FlowDirection] == 'Q' && !data().hasFlow(q.Code, t[FlowDirection], quantity) {
		return Quantity{}, false
	}
	if p.vars[Commodity] == 'M' {
		i := slices.IndexFunc(data().media, func(m medium) bool { return m.commodity == t[Commodity] })
		if i < 0 {
			return Quantity{}, false
		}
		q.Medium = data().media[i].medium
	}
	for part, letter := range map[int]byte{TOU: 'E', InterharmonicNumerator: 'H'} {
		if p.vars[part] != letter {
			continue
		}
		if t[part] < int32(codes.Lo[4]) || t[part] > int32(codes.Hi[4]) {
			return Quantity{}, false
		}
		q.Code[4] = byte(t[part])
	}
	if p.vars[Phases] == 'P' {
		phase, known := byNumber(data().phases, t[Phases])
		if own := q.Code.Phase(); !known || int32(own) != phase {
			return Quantity{}, false
		}
	}
	return q, true
}

func (t *tables) unitNumber(n int32) *unit {
	for i := range t.units {
		if t.units[i].number == n {
			return &t.units[i]
		}
	}
	return nil
}

// hasFlow reports whether a code of group C has the flow, written or only read.
func (t *tables) hasFlow(c obis.Code, number int32, quantity string) bool {
	base := (int32(c[2])-1)%20 + 1
	for i := range t.flows {
		if f := &t.flows[i]; f.c == base && f.number == number && f.quantity == quantity {
			return true
		}
	}
	return false
}
