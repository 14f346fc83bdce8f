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
	if len(d.b) < 6 || Tag(d.b[0]) != TagStructure || d.b[1] != 2 {
		return ScalerUnit{}, false
	}
	if len(d.b) == 6 && Tag(d.b[2]) == TagInteger && Tag(d.b[4]) == TagEnum { // as the standard has it
		return ScalerUnit{int8(d.b[3]), obis.Unit(d.b[5]), true}, true
	}
	var f [2]Data
	if !d.Split(f[:]) {
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

// RegisterLayout holds the numbers of the attributes that make a [Register], in
// the order of its fields, 0 for those that the class does not have.
type RegisterLayout struct{ Value, Last, ScalerUnit, Status, Captured, Start int8 }

// RegisterAttributes returns the layout of a class. It is not ok for classes that
// are no registers.
func RegisterAttributes(c Class) (l RegisterLayout, ok bool) {
	switch c {
	case ClassData, ClassClock:
		return RegisterLayout{Value: 2}, true
	case ClassRegister:
		return RegisterLayout{Value: 2, ScalerUnit: 3}, true
	case ClassExtendedRegister:
		return RegisterLayout{Value: 2, ScalerUnit: 3, Status: 4, Captured: 5}, true
	case ClassDemandRegister:
		return RegisterLayout{Value: 2, Last: 3, ScalerUnit: 4, Status: 5, Captured: 6, Start: 7}, true
	}
	return RegisterLayout{}, false
}

// isValue reports whether attribute index is one that makes a reading.
func (l RegisterLayout) isValue(index int8) bool {
	return index != 0 && (index == l.Value || index == l.Last)
}

// Set stores the value of attribute index, if it is one that readings need.
func (r *Register) Set(index int8, d Data) {
	l, ok := RegisterAttributes(r.Class)
	if !ok || index == 0 {
		return
	}
	switch index {
	case l.Value:
		r.Value = d
	case l.Last:
		r.Last = d
	case l.ScalerUnit:
		r.ScalerUnit = d
	case l.Status:
		r.Status = d
	case l.Captured:
		r.Captured = d
	case l.Start:
		r.Start = d
	}
}

// AppendReadings appends the reading of the register; a demand register gives
// two, the second of which is the last average (value group D one higher). The
// Source of a reading is its place in the result.
func (r *Register) AppendReadings(dst []obis.Reading) []obis.Reading {
	into := Readings{List: dst}
	r.appendTo(&into)
	into.stamp(len(dst), obis.Time{})
	return into.List
}

func (r *Register) appendTo(into *Readings) {
	scaler, _ := ParseScalerUnit(r.ScalerUnit)
	if r.Class == ClassData || r.Class == ClassClock {
		scaler = ScalerUnit{Unit: obis.UnitUnknown, Known: true}
	}
	value := into.value(Attribute{r.Class, r.Name, 2}, r.Value, scaler)
	setCaptured(value, r.Captured)
	setStatus(value, r.Status)
	if r.Class != ClassDemandRegister {
		return
	}
	setStart(value, r.Start)
	if r.Last.IsNull() {
		return
	}
	last := into.value(Attribute{r.Class, r.Name, 3}, r.Last, scaler)
	setCaptured(last, r.Captured)
	setStatus(last, r.Status)
}

// value appends the reading of a value, or of the last average of a demand register.
func (r *Readings) value(a Attribute, value Data, scaler ScalerUnit) *obis.Reading {
	reading := r.add(a)
	reading.Value, reading.Unit, reading.Quality = scaler.Apply(plainValue(a.Class, a.Name, value))
	if value.IsNull() {
		reading.Quality.Flags |= obis.Missing
	}
	if t, ok := reading.Value.Time(); ok && a.Class == ClassClock {
		reading.Time = t
		reading.Quality = clockStatus(t)
	}
	if a.Class == ClassDemandRegister && a.Index == 3 {
		switch reading.Code[3] {
		case 4, 14, 24: // current average of demand register 1, 2, 3: the last average follows
			reading.Code[3]++
			reading.Rule = obis.RuleDerived
		}
	}
	return reading
}

func setCaptured(reading *obis.Reading, d Data) {
	if t, ok := d.Time(); ok {
		reading.Time = t
		reading.Quality.Flags |= clockStatus(t).Flags &^ obis.DST
	}
}

func setStatus(reading *obis.Reading, d Data) {
	if s := d.Value(); !s.IsNone() {
		reading.Quality.Raw, reading.Quality.Kind = statusWord(s), obis.StatusVendor
	}
}

// setStart says when the interval of a current average began; it has not ended.
func setStart(reading *obis.Reading, d Data) {
	if start, ok := d.Time(); ok {
		reading.Start, reading.Time = start, obis.Time{}
	}
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
