package cosem

import (
	"bytes"

	"github.com/openusm/meter/obis"
)

// ScalerUnit is the attribute scaler_unit of registers.
type ScalerUnit struct {
	Scaler int8
	Unit   obis.Unit
	Known  bool // false: nothing is known of scaler and unit
}

// ParseScalerUnit reads structure{integer scaler, enum unit}.
func ParseScalerUnit(d Data) (s ScalerUnit, ok bool) {
	var f [2]Data
	if d.Tag() != TagStructure || !d.Split(f[:]) {
		return ScalerUnit{}, false
	}
	scaler, ok1 := f[0].Int()
	unit, ok2 := f[1].Uint()
	if !ok1 || !ok2 || f[1].Tag() != TagEnum || scaler < -128 || scaler > 127 {
		return ScalerUnit{}, false
	}
	return ScalerUnit{int8(scaler), obis.Unit(unit), true}, true
}

// Data returns the attribute.
func (s ScalerUnit) Data() Data { return Structure(Int8(s.Scaler), Enum(uint8(s.Unit))) }

// Apply returns the value multiplied by the scaler, with its unit. Where
// nothing is known of them, a number gets the flag ScalerUnknown and no unit.
func (s ScalerUnit) Apply(v obis.Value) (obis.Value, obis.Unit, obis.Quality) {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64:
		if !s.Known {
			return v, obis.UnitUnknown, obis.Quality{Flags: obis.ScalerUnknown}
		}
		shifted, ok := v.Shift(int(s.Scaler))
		if !ok {
			return v, s.Unit, obis.Quality{Flags: obis.ScalerUnknown}
		}
		return shifted, s.Unit, obis.Quality{}
	}
	return v, obis.UnitUnknown, obis.Quality{}
}

// Register holds the attributes of an object of class Register, Extended
// register, Demand register, Data or Clock from which readings are made.
// Attributes that were not read stay null-data.
type Register struct {
	Class      Class
	Name       obis.Code
	Value      Data // attribute 2; of a demand register current_average_value
	Last       Data // last_average_value of a demand register
	ScalerUnit Data
	Status     Data // of an extended or a demand register
	Captured   Data // capture_time of an extended or a demand register
	Start      Data // start_time_current of a demand register
}

// RegisterAttributes returns the numbers of the attributes that make a
// [Register] of the class, in the order of its fields, 0 where it has none. It
// is not ok for classes that are no registers.
func RegisterAttributes(c Class) (value, last, scalerUnit, status, captured, start int8, ok bool) {
	switch c {
	case ClassData, ClassClock:
		return 2, 0, 0, 0, 0, 0, true
	case ClassRegister:
		return 2, 0, 3, 0, 0, 0, true
	case ClassExtendedRegister:
		return 2, 0, 3, 4, 5, 0, true
	case ClassDemandRegister:
		return 2, 3, 4, 5, 6, 7, true
	}
	return 0, 0, 0, 0, 0, 0, false
}

// Set stores the value of attribute index, if it is one that readings need.
func (r *Register) Set(index int8, d Data) {
	value, last, scaler, status, captured, start, ok := RegisterAttributes(r.Class)
	if !ok || index == 0 {
		return
	}
	switch index {
	case value:
		r.Value = d
	case last:
		r.Last = d
	case scaler:
		r.ScalerUnit = d
	case status:
		r.Status = d
	case captured:
		r.Captured = d
	case start:
		r.Start = d
	}
}

// AppendReadings appends the reading of the register; a demand register gives
// two, the second of which is the last average (value group D one higher).
func (r *Register) AppendReadings(dst []obis.Reading) []obis.Reading {
	scaler, _ := ParseScalerUnit(r.ScalerUnit)
	if r.Class == ClassData || r.Class == ClassClock {
		scaler = ScalerUnit{Unit: obis.UnitUnknown, Known: true}
	}
	dst = append(dst, r.reading(r.Value, 2, scaler))
	if r.Class != ClassDemandRegister {
		return dst
	}
	average := &dst[len(dst)-1]
	if start, ok := r.Start.Time(); ok {
		average.Start, average.Time = start, obis.Time{}
	}
	if r.Last.IsNull() {
		return dst
	}
	last := r.reading(r.Last, 3, scaler)
	switch last.Code[3] {
	case 4, 14, 24: // current average of demand register 1, 2, 3: the last average follows
		last.Code[3]++
		last.Rule = obis.RuleDerived
	}
	return append(dst, last)
}

func (r *Register) reading(value Data, index int8, scaler ScalerUnit) obis.Reading {
	reading := obis.Reading{
		Code: r.Name, Rule: obis.RuleTransmitted,
		Source: Attribute{r.Class, r.Name, index}.Source(),
		RawID:  append(append(make([]byte, 0, 7), r.Name[:]...), byte(index)),
	}
	if !reading.Code.Valid() {
		reading.Rule = obis.RuleNone
	}
	reading.Value, reading.Unit, reading.Quality = scaler.Apply(plainValue(r.Class, r.Name, value))
	if value.IsNull() {
		reading.Quality.Flags |= obis.Missing
	}
	if t, ok := r.Captured.Time(); ok {
		reading.Time = t
		reading.Quality.Flags |= clockStatus(t).Flags &^ obis.DST
	}
	if s := r.Status.Value(); !s.IsNone() {
		reading.Quality.Raw, reading.Quality.Kind = statusWord(s), obis.StatusVendor
	}
	if t, ok := reading.Value.Time(); ok && r.Class == ClassClock {
		reading.Time = t
		reading.Quality = clockStatus(t)
	}
	return reading
}

// statusWord packs a status of any type into a word.
func statusWord(v obis.Value) uint64 {
	if u, _, ok := v.Uint64(); ok {
		return u
	}
	if n, ok := v.Enum(); ok {
		return uint64(n)
	}
	b, n, ok := v.Bits()
	if !ok {
		b, _ = v.Bytes()
		n = 8 * len(b)
	}
	var w uint64
	for i := range min(n, 64) {
		w = w<<1 | uint64(b[i/8]>>(7-i%8)&1)
	}
	return w
}

// plainValue returns a value for reading: octet-strings that hold times become
// times, identifiers that are printable become text, without the zeros that fill them up.
func plainValue(c Class, name obis.Code, d Data) obis.Value {
	if d.Tag() != TagOctetString {
		return d.Value()
	}
	b, _ := d.Bytes()
	if t, ok := d.Time(); ok && (c == ClassClock || isTimeCode(name)) {
		return obis.Moment(t)
	}
	if text := bytes.TrimRight(b, "\x00"); printable(text) && !isTimeCode(name) {
		return obis.Text(text)
	}
	return obis.Octets(b)
}

// isTimeCode reports whether a code stands for a date, a time or both.
func isTimeCode(c obis.Code) bool {
	switch {
	case c[0] == 0 && c[2] == 1 && c[3] == 0: // clock
		return true
	case c[2] == 0 && (c[3] == 9 && (c[4] == 1 || c[4] == 2) || c[3] == 1 && c[4] == 2): // time, date, billing reset
		return true
	case c[0] == 0 && c[2] == 96 && c[3] == 2: // date of the last change
		return true
	}
	return false
}

// printable reports whether octets are ASCII text.
func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7E {
			return false
		}
	}
	return len(b) > 0
}
