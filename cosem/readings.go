package cosem

import (
	"bytes"

	"github.com/openusm/meter/obis"
)

// Readings gathers the readings of a message and, beside each, the attribute
// that it was read from. Its memory is used again after Reset; the zero Readings
// is ready.
type Readings struct {
	List       []obis.Reading
	Attributes []Attribute // by [obis.Reading.Source]; the class is zero where the message did not tell it
	Dropped    int         // readings beyond MaxReadings

	beyond  obis.Reading // where those go
	ids     []byte       // memory of the readings' RawID
	list    []Data       // elements of the lists that are being read, the innermost last
	path    []byte       // to the element that is being read
	waiting []item       // attributes that came before the value to which they belong
}

// MaxReadings is how many readings of a message are kept: each takes many times
// the octets from which it is made.
const MaxReadings = 1 << 16

const keptReadings = 1 << 10 // of which the memory is used again

// Reset forgets all readings.
func (r *Readings) Reset() {
	if cap(r.List) > keptReadings || cap(r.list) > keptReadings {
		*r = Readings{}
		return
	}
	r.List, r.Attributes, r.ids, r.Dropped = r.List[:0], r.Attributes[:0], r.ids[:0], 0
}

// add appends a reading of an attribute, without a value.
func (r *Readings) add(a Attribute) *obis.Reading {
	at := len(r.ids)
	if len(r.List) < MaxReadings {
		r.ids = append(append(r.ids, a.Name[:]...), byte(a.Index))
	}
	reading := r.next(a, r.ids[at:len(r.ids):len(r.ids)])
	reading.Code = a.Name
	if a.Name.Valid() {
		reading.Rule = obis.RuleTransmitted
	}
	return reading
}

// next appends a reading that has only a raw id.
func (r *Readings) next(a Attribute, id []byte) *obis.Reading {
	n := len(r.List)
	if n >= MaxReadings {
		r.Dropped++
		r.beyond = obis.Reading{RawID: id}
		return &r.beyond
	}
	r.Attributes = append(r.Attributes, a)
	r.List = append(r.List, obis.Reading{RawID: id, Source: uint32(n)})
	return &r.List[n]
}

// Register appends the readings of a register; those without a time of their own
// get at.
func (r *Readings) Register(register *Register, at obis.Time) {
	n := len(r.List)
	register.appendTo(r)
	r.stamp(n, at)
}

// stamp gives readings without a time of their own, from the first on, one, and
// marks what cannot be.
func (r *Readings) stamp(first int, at obis.Time) {
	for i := first; i < len(r.List); i++ {
		if r.List[i].Time.IsZero() {
			r.List[i].Time = at
		}
		r.List[i].Doubt()
	}
}

// Raw appends the values of data of which nobody knows what they are: readings
// without a code, whose raw id is the way to the value, one octet a level.
func (r *Readings) Raw(d Data, at obis.Time) {
	n := len(r.List)
	r.path = r.path[:0]
	r.raw(d)
	r.stamp(n, at)
}

func (r *Readings) raw(d Data) {
	switch {
	case d.IsNull(), listsObjects(d, false):
	case tags[d.Tag()].kind == kindList || d.Tag() == TagCompactArray:
		for i, e := range d.Elements() {
			r.path = append(r.path, byte(i))
			r.raw(e)
			r.path = r.path[:len(r.path)-1]
		}
	default:
		r.leaf(d)
	}
}

// leaf appends a value that has no code; its raw id is the path to it.
func (r *Readings) leaf(d Data) *obis.Reading {
	at := len(r.ids)
	if len(r.List) < MaxReadings {
		r.ids = append(r.ids, r.path...)
	}
	reading := r.next(Attribute{}, r.ids[at:len(r.ids):len(r.ids)])
	reading.Value, reading.Unit, reading.Quality = ScalerUnit{}.Apply(plainValue(0, obis.Code{}, d))
	return reading
}

// Identify returns what the readings say of the meter, as the function does.
// Where a text is that of known, it is used again.
func (r *Readings) Identify(known *obis.Meter) obis.Meter { return identify(r.List, known) }

// Identify returns what readings say of the meter: its logical device name,
// serial number and firmware.
func Identify(readings []obis.Reading) obis.Meter { return identify(readings, &obis.Meter{}) }

func identify(readings []obis.Reading, known *obis.Meter) obis.Meter {
	var m obis.Meter
	for i := range readings {
		r := &readings[i]
		if r.Value.IsNone() {
			continue
		}
		switch c := r.Code; {
		case c == obis.Code{0, 0, 42, 0, 0, 255}:
			m.ID = identity(r.Value, known.ID)
			if b, ok := r.Value.Bytes(); ok && len(b) > 3 && isFlagID(b[:3]) {
				m.Manufacturer = m.ID[:3]
			}
		case c[0] <= 1 && c[2] == 96 && c[3] == 1 && c[4] == 0 && c[5] == 255, c == obis.Code{1, 1, 0, 0, 5, 255}:
			m.Serial = identity(r.Value, known.Serial)
		case c == obis.Code{1, 1, 96, 1, 1, 255}, c == obis.Code{0, 0, 96, 1, 7, 255}:
			m.Model = identity(r.Value, known.Model)
		case c[2] == 0 && c[3] == 2 && c[4] == 0 && c[5] == 255:
			m.Firmware = identity(r.Value, known.Firmware)
		}
		if m.Medium == obis.Unknown && r.Code.Valid() {
			if medium := r.Code.Medium(); medium != obis.Abstract {
				m.Medium = medium
			}
		}
	}
	return m
}

// identity returns a value as text, which is known where it is the same.
func identity(v obis.Value, known string) string {
	b, ok := v.Bytes()
	switch {
	case !ok || !printable(b):
		return v.String()
	case string(b) == known:
		return known
	}
	return string(b)
}

// isFlagID reports whether three octets are the letters of a manufacturer.
func isFlagID(b []byte) bool {
	return !bytes.ContainsFunc(b, func(c rune) bool { return c < 'A' || c > 'Z' })
}
