package ied

import (
	"slices"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// balance is an object that is the difference of two readings, import and export.
type balance struct {
	object              *iec61850.Object
	minuend, subtrahend side
}

// side is a reading of a difference as it was last.
type side struct {
	key     id
	reading obis.Reading
	update  int // the update that brought it; 0 for none yet
}

// differences returns the items that rules make of two readings which a meter shows once each.
func (b *builder) differences(readings []obis.Reading) (items []item) {
	once := map[obis.Code]int{}
	for i := range readings {
		if _, twice := once[readings[i].Code]; twice {
			once[readings[i].Code] = none
		} else {
			once[readings[i].Code] = i
		}
	}
	for n, list := 0, b.d.opts.Rules.all(); n < len(list); n++ {
		rule := &list[n]
		if !rule.Target.net {
			continue
		}
		for i := range readings {
			c := readings[i].Code
			if !rule.Codes[0].Match(c) || once[c] == none {
				continue
			}
			other := c
			other[2] = rule.Codes[1].Lo[2]
			j, there := once[other]
			if !there || j == none || !rule.Codes[1].Match(other) || readings[i].Unit != readings[j].Unit ||
				!b.applies(&rule.Target, &readings[i]) || !b.applies(&rule.Target, &readings[j]) {
				continue
			}
			items = append(items, item{rule: n, code: c, reading: i, subtrahend: j})
		}
	}
	return items
}

// difference gives the difference of two readings its place, unless a reading has it.
func (b *builder) difference(r *rule, x, y *obis.Reading) error {
	node, err := b.node(r, x.Code, 0)
	slot := ""
	if err == nil {
		slot = node.Name + "." + r.object + "." + r.part
	}
	if err != nil || b.slots[slot] {
		return err
	}
	b.slots[slot] = true
	o, err := place(node, r.object, r, x.Unit)
	if err != nil {
		return err
	}
	if o.CDC == "CMV" {
		if err := b.polar(o, false, ""); err != nil {
			return err
		}
	}
	b.d.nets = append(b.d.nets, &balance{o, side{key: id{name: x.Code.String()}}, side{key: id{name: y.Code.String()}}})
	return describe(o, x.Code.String()+" - "+y.Code.String(), r.unit, x.Unit)
}

// balance sets a difference whose readings came with the update: at one time, and of the
// worse quality of both. It returns the reading of which it is not ok, as the other is of another time.
func (u *update) balance(n *balance, readings []obis.Reading, keys []id) (index int, ok bool) {
	index = -1
	for _, s := range []*side{&n.subtrahend, &n.minuend} {
		if i := slices.Index(keys, s.key); i >= 0 {
			s.reading, s.update, index = readings[i], u.d.updates, i
			s.reading.Value = s.reading.Value.Clone()
		}
	}
	a, b := &n.minuend, &n.subtrahend
	if index < 0 || a.update == 0 || b.update == 0 {
		return index, true
	}
	qa, _ := quality(&a.reading)
	qb, _ := quality(&b.reading)
	s := stamp{worse(qa, qb), u.d.stamp(&a.reading)}
	if t := u.d.stamp(&b.reading); t.Time().After(s.t.Time()) {
		s.t = t
	}
	together := u.together(a, b)
	v, known := mapping.Difference(a.reading.Value, b.reading.Value)
	if known && together {
		known = !failed(u.value(point{object: n.object}, v))
	}
	if !known || !together {
		s.q = s.q&^iec61850.Questionable | iec61850.Invalid
	}
	_ = u.setStamp(n.object, s) // of a class that has both
	return index, together
}

// failed reports whether a value was not set; one that is rounded was.
func failed(err error) bool {
	_, still := err.(note)
	return err != nil && !still
}

// together reports whether two readings are of one time: the meter's or, where it
// says none of both, that of one update.
func (u *update) together(a, b *side) bool {
	x, timed := a.reading.Time.Instant(u.d.opts.Clock)
	y, other := b.reading.Time.Instant(u.d.opts.Clock)
	if timed && other {
		return x.Equal(y)
	}
	return timed == other && a.update == b.update
}
