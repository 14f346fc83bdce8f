// Package field turns the text between two parentheses into a value: what
// IEC 62056-21 readouts and P1 telegrams have in common.
package field

import (
	"bytes"
	_ "embed"
	"strconv"
	"sync"

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/obis"
)

// Class says what the values of an object are where they have no unit.
type Class uint8

// The classes.
const (
	Text      Class = iota // identifiers, status words, messages
	Number                 // a quantity whose unit was left out
	Count                  // a number without dimension
	Clock                  // date and time
	TimeOfDay              // a time without date
	Date                   // a date without time
)

// ClassOf returns the class of the values of an object. The zero Code, where
// the id is no OBIS code, has text: a number there may be anything.
func ClassOf(c obis.Code) Class {
	switch {
	case !c.Valid():
		return Text
	case c[2] == 96:
		return classService(c)
	case c[0] == 0:
		if c[2] == 1 && c[3] == 0 {
			return Clock
		}
		return abstractClass(c)
	case c[2] == 0:
		return abstractClass(c)
	case c[2] >= 97 && c[2] <= 99:
		return Text
	case c[0] == 1 && (31 <= c[3] && c[3] <= 33 || 35 <= c[3] && c[3] <= 37):
		// Thresholds, counts and durations of sags and swells.
		if c[3] == 32 || c[3] == 36 {
			return Count
		}
	}
	return Number
}

// abstractClass is for the general objects C = 0 of each medium and the
// abstract ones with C below 94.
func abstractClass(c obis.Code) Class {
	if c[2] != 0 {
		switch {
		case c[2] == 24 && c[3] == 2, c[2] == 17:
			return Number
		case c[2] == 24 && (c[3] == 1 || c[3] == 4):
			return Count // type of the sub-meter, state of its valve
		}
		return Text
	}
	switch c[3] {
	case 1:
		if c[4] == 0 || c[4] == 1 {
			return Count // billing period counter, number of periods
		}
		return Clock
	case 3, 4, 7, 8, 10, 11:
		return Number
	case 9:
		switch c[4] {
		case 1, 6:
			return TimeOfDay
		case 2, 7:
			return Date
		}
		return Clock
	}
	return Text
}

// classService is for the service entries C = 96.
func classService(c obis.Code) Class {
	switch c[3] {
	case 2:
		if c[4] == 0 || c[4] == 10 {
			return Count // configuration program changes
		}
		return Clock
	case 3:
		if c[4] == 10 {
			return Count // state of the breaker
		}
	case 6, 8, 9:
		return Number
	case 14:
		return Count // tariff in force; text where it is a letter
	case 7:
		if 10 <= c[4] && c[4] <= 18 {
			return Clock // times of power failures
		}
		if c[4] == 19 || 15 <= c[4] && c[4] <= 18 {
			return Number
		}
		return Count
	case 15, 20:
		return Count
	}
	return Text
}

// Extend appends an empty reading, in memory that is there already if it can.
func Extend(dst []obis.Reading) []obis.Reading {
	if n := len(dst); n < cap(dst) {
		dst = dst[:n+1]
		dst[n] = obis.Reading{}
		return dst
	}
	return append(dst, obis.Reading{})
}

// Value turns text and unit into a value: a number with its unit where there is
// one or where the object's class says so, a time, or text. A text with a unit
// that is no number keeps its characters and is flagged invalid, and so is one that
// is no time where there should be one; an empty one is missing. The value aliases text.
func Value(class Class, text, unit []byte) (obis.Value, obis.Unit, obis.Flags) {
	if len(unit) > 0 {
		return quantity(text, unit)
	}
	switch class {
	case Number, Count:
		if v, ok := parseNumber(text); ok {
			if class == Count {
				return v, obis.Count, 0
			}
			return v, obis.UnitUnknown, 0
		}
	case Clock, TimeOfDay, Date:
		if t, ok := class.time(text); ok {
			return obis.Moment(t), obis.UnitUnknown, 0
		}
		if !blank(text) {
			return obis.Text(text), obis.UnitUnknown, obis.Invalid
		}
	case Text:
		return obis.Text(text), obis.UnitUnknown, 0
	}
	if blank(text) {
		return obis.Value{}, obis.UnitUnknown, obis.Missing
	}
	return obis.Text(text), obis.UnitUnknown, 0
}

// Put gives a reading the value, which contradicts its code or is not understood
// where that is marked.
func Put(r *obis.Reading, class Class, text, unit []byte) {
	r.Value, r.Unit, r.Quality.Flags = Value(class, text, unit)
	doubt(r, unit)
	if r.Value.Kind() == obis.KindText {
		r.Doubt()
	}
}

// doubt marks a unit that is not understood, and keeps its text, and one that
// contradicts the code.
func doubt(r *obis.Reading, unit []byte) {
	if r.Unit == obis.OtherUnit {
		r.UnitText = unit
		r.Quality.Flags |= obis.Questionable
	} else if r.Code.Contradicts(r.Unit) {
		r.Quality.Flags |= obis.Inconsistent
	}
}

// Fill is [Put] for a data set that has one value.
func Fill(r *obis.Reading, set *Set) {
	if len(set.Unit) == 0 {
		Put(r, ClassOf(r.Code), set.Text, nil)
		return
	}
	// Nearly all values are plain digits with a unit: the value is written where it belongs.
	if m, point, ok := digits(set.Text); ok {
		var exp int
		r.Unit, exp = Unit(set.Unit)
		r.Value = obis.Int(m, int8(point+exp))
		doubt(r, set.Unit)
		return
	}
	Put(r, Number, set.Text, set.Unit)
}

func (c Class) time(text []byte) (obis.Time, bool) {
	switch c {
	case TimeOfDay:
		return ParseClock(text)
	case Date:
		return ParseDate(text)
	}
	return ParseTime(text)
}

func quantity(text, unit []byte) (obis.Value, obis.Unit, obis.Flags) {
	u, exp := Unit(unit)
	var flags obis.Flags
	if u == obis.OtherUnit {
		flags = obis.Questionable
	}
	v, ok := parseNumber(text)
	switch {
	case ok:
		if exp != 0 {
			if v, ok = v.Shift(exp); !ok {
				return obis.Text(text), u, obis.Invalid
			}
		}
		return v, u, flags
	case blank(text):
		return obis.Value{}, u, obis.Missing
	}
	return obis.Text(text), u, obis.Invalid
}

// blank reports whether text has neither a digit nor a letter: "", "   ", "-----".
func blank(text []byte) bool {
	for _, c := range text {
		if c-'0' <= 9 || c|0x20-'a' <= 'z'-'a' {
			return false
		}
	}
	return true
}

// parseNumber reads a decimal number, with spaces around it.
func parseNumber(b []byte) (obis.Value, bool) {
	if m, point, ok := digits(b); ok {
		return obis.Int(m, int8(point)), true
	}
	return obis.ParseNumber(bytes.TrimSpace(b))
}

// digits reads up to 18 characters, digits and a point among them: the number is
// m × 10^exp, and exp is -17 to 0.
func digits(b []byte) (m int64, exp int, ok bool) {
	n := len(b)
	if n == 0 || n > 18 {
		return 0, 0, false
	}
	point := -1
	for i, c := range b {
		if d := c - '0'; d <= 9 {
			m = m*10 + int64(d)
		} else if c == '.' && point < 0 {
			point = i
		} else {
			return 0, 0, false
		}
	}
	if point < 0 {
		return m, 0, true
	}
	return m, point + 1 - n, n > 1
}

// Unit reads a unit and returns the power of ten of its prefix. A unit that is
// not known gives [obis.OtherUnit]: there was one.
func Unit(text []byte) (u obis.Unit, exp int) {
	switch string(text) {
	case "kWh":
		return obis.WattHour, 3
	case "kW":
		return obis.Watt, 3
	case "V":
		return obis.Volt, 0
	case "A":
		return obis.Ampere, 0
	case "m3":
		return obis.CubicMetre, 0
	case "kvarh":
		return obis.VarHour, 3
	case "kvar":
		return obis.Var, 3
	case "s":
		return obis.Second, 0
	}
	if u, exp, ok := special(text); ok {
		return u, exp
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) < len(text) && len(trimmed) > 0 {
		return Unit(trimmed)
	}
	u, prefix, ok := obis.ParseUnit(text)
	if !ok {
		return obis.OtherUnit, 0
	}
	return u, int(prefix)
}

//go:embed units.csv
var unitsCSV []byte

type meant struct {
	unit obis.Unit
	exp  int
}

var units = sync.OnceValue(func() map[string]meant {
	rows, err := csvrows.Read(unitsCSV)
	if err != nil {
		panic(err) // the table is part of the program, and tested
	}
	all := make(map[string]meant, len(rows))
	for _, row := range rows {
		m := meant{unit: obis.OtherUnit}
		if row[1] != "" {
			var ok bool
			if m.unit, ok = obis.UnitByName(row[1]); !ok {
				panic("units.csv: no unit " + row[1])
			}
		}
		if m.exp, err = strconv.Atoi(row[2]); err != nil {
			panic(err)
		}
		all[row[0]] = m
	}
	return all
})

// special reads the units that meters mean otherwise than the model does.
func special(text []byte) (u obis.Unit, exp int, ok bool) {
	m, ok := units()[string(text)]
	return m.unit, m.exp, ok
}
