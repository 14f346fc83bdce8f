package iec62056

import (
	"bytes"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// AppendReadings appends one reading for each value of the readout. The codes
// are those that the meter sent; ids that are no OBIS codes stay in RawID.
// Units lose their prefix and the exponent of the value changes instead. The
// Source of a reading is the number of its data set, see [Content.Line].
//
// A line that cannot be read gives a reading without value, flagged invalid,
// where at least its id was there; [Readout.BadLines] has all of them. Load
// profiles and logs give no readings: see [Readout.Profiles] and [Readout.Events].
// The registers of some heat meters (Landis+Gyr Ultraheat, Siemens 2WR), which
// look like OBIS codes and are none, get theirs from a table of the manufacturer
// where it is public. Values stored by automatic and by manual reset under one
// number ("1.8.1*12", "1.8.1&12") are told apart: the latter keep their id alone.
//
// A value whose unit contradicts its code is inconsistent, one whose unit is not
// understood questionable.
func (r Readout) AppendReadings(dst []obis.Reading) []obis.Reading { return r.read(dst, nil) }

// AppendReadings appends the readings of one data set. A date beside a value is
// the time of that reading; further values become readings of the same code.
func (d DataSet) AppendReadings(dst []obis.Reading, source uint32) []obis.Reading {
	set := field.Set{ID: d.ID, Values: d.Values}
	rest := d.Values
	var ok bool
	if set.Text, set.Unit, ok = field.Cut(&rest); !ok {
		return dst
	}
	_, _, more := field.Cut(&rest)
	set.Single = !more
	return appendReadings(dst, &set, source)
}

// appendReadings appends the readings of a data set whose first value is set.Text.
func appendReadings(dst []obis.Reading, set *field.Set, source uint32) []obis.Reading {
	dst = appendStart(dst, set.ID, source)
	r := &dst[len(dst)-1]
	if set.Single {
		field.Fill(r, set)
		return dst
	}
	class := field.ClassOf(r.Code)
	if r.Code[2] == profileGroup && isProfile(DataSet{ID: set.ID, Values: set.Values}) {
		return dst[:len(dst)-1]
	}
	return appendMany(dst[:len(dst)-1], *r, set.Values, class)
}

// appendStart appends the reading of a data set without its value.
func appendStart(dst []obis.Reading, id []byte, source uint32) []obis.Reading {
	dst = field.Extend(dst)
	r := &dst[len(dst)-1]
	r.RawID, r.Source = id, source
	if code, ok := field.Code(id); ok {
		r.Code, r.Rule = code, obis.RuleTransmitted
	}
	return dst
}

// fill gives a reading the value of the field.
func (f Field) fill(r *obis.Reading, class field.Class) {
	field.Put(r, class, f.Text, f.Unit)
}

// appendMany is for data sets of two values and more. Dates among numbers are
// times: of the value before them, or of the next one where that has its time
// or where the date has the letter of DSMR.
func appendMany(dst []obis.Reading, r obis.Reading, values []byte, class field.Class) []obis.Reading {
	dated := class == field.Number || class == field.Count || bytes.IndexByte(values, '*') >= 0
	first := len(dst)
	var when obis.Time
	undated, hasUnit := false, false
	rest := values
	for f, ok := cutField(&rest); ok; f, ok = cutField(&rest) {
		if t, isTime := f.timestamp(); isTime && dated {
			when = t
			if n := len(dst); n > first && !f.seasonal() && takesTime(&dst[n-1], t) {
				when = obis.Time{}
			}
			continue
		}
		hasUnit = hasUnit || f.Unit != nil
		dst = append(dst, r)
		q := &dst[len(dst)-1]
		f.fill(q, class)
		q.Time = when
		when = obis.Time{}
		if dated && f.resemblesTime() {
			undated = true
			q.Value, q.Quality.Flags = obis.Text(f.Text), obis.Invalid
		}
	}
	for i := first; i < len(dst); i++ {
		q := &dst[i]
		if undated && q.Time.IsZero() {
			q.Quality.Flags |= obis.ClockInvalid
		}
		// Beside a value with its unit a number without one is something else: the
		// minutes since the period began, in "1.4.0(05)(1.234*kW)".
		if hasUnit && class == field.Number && q.Unit == obis.UnitUnknown && !q.Value.IsNone() && q.Value.Kind() != obis.KindText {
			q.Quality.Flags |= obis.Questionable
		}
	}
	if !when.IsZero() {
		r.Value = obis.Moment(when)
		dst = append(dst, r)
	}
	return dst
}

// takesTime gives a reading its time if it has none, or the clock to its date.
func takesTime(r *obis.Reading, t obis.Time) bool {
	switch {
	case r.Time.IsZero():
		r.Time = t
	case r.Time.HasDate() && !r.Time.HasClock() && !t.HasDate():
		r.Time = field.Join(r.Time, t)
	default:
		return false
	}
	return true
}

// timestamp reads a date, or a date of zeros by which meters say "never".
func (f Field) timestamp() (obis.Time, bool) {
	if f.Unit != nil || len(f.Text) < 5 {
		return obis.Time{}, false
	}
	if t, ok := field.ParseTime(f.Text); ok {
		return t, true
	}
	if n := len(f.Text); n < 10 || n > 13 {
		return obis.Time{}, false
	}
	for _, c := range f.Text {
		if c != '0' {
			return obis.Time{}, false
		}
	}
	return obis.Time{}, true
}

// resemblesTime reports whether the text, which is no date that exists, is
// written as one: "2602301215", "260230121500S", "26-02-30 12:15".
func (f Field) resemblesTime() bool {
	if f.Unit != nil {
		return false
	}
	text := trim(f.Text)
	digits, separators := 0, 0
	for i, c := range text {
		switch {
		case c-'0' <= 9:
			digits++
		case c == '-' || c == ':' || c == ' ' || c == '/':
			separators++
		case i == 12 && (c|0x20 == 's' || c|0x20 == 'w'):
		default:
			return false
		}
	}
	return digits >= 10 && digits <= 14 && (separators > 0 || len(text) <= 13)
}

// seasonal reports whether a date ends in S or W, as DSMR meters write it.
func (f Field) seasonal() bool {
	n := len(f.Text)
	return n == 13 && (f.Text[n-1] == 'S' || f.Text[n-1] == 'W')
}

func trim(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}
