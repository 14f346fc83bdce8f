package p1

import (
	"bytes"
	"encoding/hex"
	"unicode"
	"unicode/utf8"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// AppendReadings is [Decoder.AppendReadings] with a Decoder of its own.
func (t Telegram) AppendReadings(dst []obis.Reading) []obis.Reading {
	return new(Decoder).AppendReadings(dst, t)
}

// fill gives a reading the only value of its line.
func (d *Decoder) fill(r *obis.Reading, set *field.Set) {
	field.Fill(r, set)
	if set.Unit != nil {
		return
	}
	switch {
	case isIDCode(r.Code):
		if text, ok := d.unhex(set.Text, isIDText); ok {
			r.Value = obis.Text(text)
		}
	case isMessage(r.Code):
		if text, ok := d.unhex(set.Text, isMessageText); ok {
			r.Value = obis.Text(text)
		}
	}
}

// isIDCode reports whether values of the object are equipment ids, octet strings
// that telegrams write as hexadecimal digits.
func isIDCode(c obis.Code) bool {
	return c[2] == 96 && c[3] == 1 && c[4] != 4 || c[0] == 0 && c[2] == 42
}

// isMessage is [isIDCode] for the text messages.
func isMessage(c obis.Code) bool { return c[2] == 96 && c[3] == 13 }

// shortestID is how many digits the ids have that are hexadecimal text although
// none of the digits is a letter: eight characters. Meters that do not follow
// DSMR write their number, of fewer digits, as it is.
const shortestID = 16

// isIDText tells hexadecimal text from an id that is digits itself: by a letter
// among the digits, or by being longer than numbers are and letters and digits
// within.
func isIDText(digits, text []byte) bool {
	plain := len(digits) < shortestID
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	for _, c := range digits {
		if c-'0' > 9 {
			return true
		}
	}
	for _, c := range text {
		plain = plain || c != ' ' && c-'0' > 9 && c|0x20-'a' > 'z'-'a'
	}
	return !plain
}

// isMessageText tells the text of a message, ASCII or what national alphabets
// make of it, from anything else.
func isMessageText(_, text []byte) bool {
	if !utf8.Valid(text) {
		for _, c := range text {
			if c < 0xA0 && isControl(rune(c)) {
				return false
			}
		}
		return true
	}
	return bytes.IndexFunc(text, isControl) < 0
}

// isControl reports whether r is a control character other than those that end lines.
func isControl(r rune) bool { return unicode.IsControl(r) && r != '\r' && r != '\n' && r != '\t' }

// unhex decodes the digits into the Decoder's memory. It is not ok where they are
// not hexadecimal, and where is says that they stand for themselves.
func (d *Decoder) unhex(digits []byte, is func(digits, text []byte) bool) ([]byte, bool) {
	if len(digits) == 0 || len(digits)%2 != 0 {
		return nil, false
	}
	start := len(d.text)
	out, err := hex.AppendDecode(d.text, digits)
	if err != nil || !is(digits, out[start:]) {
		return nil, false
	}
	d.text = out
	return out[start:len(out):len(out)], true
}

// appendMany completes the last reading of dst, which stands for a line of
// several values, and appends more where there are more, or removes it.
func appendMany(dst []obis.Reading, set *field.Set) []obis.Reading {
	r := &dst[len(dst)-1]
	switch c := r.Code; {
	case c[2] == 98 || c[2] == 99:
		return dst[:len(dst)-1]
	case c[0] == 0 && c[2] == 24 && c[3] == 3:
		if history(r, set.Values) {
			return dst
		}
	case len(set.Text) == stampLen && set.Unit == nil:
		if stamped(r, set.Values) {
			return dst
		}
	}
	template := *r
	return appendGeneric(dst[:len(dst)-1], template, set)
}

// appendGeneric leaves the rest to the rules of IEC 62056-21.
func appendGeneric(dst []obis.Reading, r obis.Reading, set *field.Set) []obis.Reading {
	return iec62056.DataSet{ID: set.ID, Values: set.Values}.AppendReadings(dst, r.Source)
}

// stampLen is the length of YYMMDDhhmmssX.
const stampLen = 13

// stamped reads (time)(value*unit), if that is all there is. The time is
// 632525252525 where the meter has none.
func stamped(r *obis.Reading, values []byte) bool {
	when, _, _ := field.Cut(&values)
	text, unit, ok := field.Cut(&values)
	if _, _, more := field.Cut(&values); !ok || more {
		return false
	}
	t, known := field.ParseTime(when)
	if !known && !isStamp(when) {
		return false
	}
	r.Time = t
	field.Put(r, field.Number, text, unit)
	switch {
	case known:
	case isUnspecified(when):
		r.Quality.Flags |= obis.Invalid
	default:
		r.Quality.Flags |= obis.ClockInvalid // 31 February, or 25 o'clock
	}
	return true
}

// isStamp reports whether b is written as a time is, even of a day that does not exist.
func isStamp(b []byte) bool {
	if len(b) != stampLen || b[12] != 'S' && b[12] != 'W' {
		return false
	}
	for _, c := range b[:12] {
		if c-'0' > 9 {
			return false
		}
	}
	return true
}

// isUnspecified recognises a COSEM date-time of unspecified fields, as P1
// writes it: 632525252525 and a season.
func isUnspecified(b []byte) bool {
	return len(b) == stampLen && string(b[:12]) == "632525252525"
}

// history reads the line of a sub-meter before version 4:
//
//	0-n:24.3.0(time)(status)(period)(1)(id)(unit) CR LF (value)
//
// The reading gets the code that the line names.
func history(r *obis.Reading, values []byte) bool {
	var f [7][]byte
	for i := range f {
		text, unit, ok := field.Cut(&values)
		if !ok || i < 6 && unit != nil {
			return false
		}
		f[i] = text
	}
	if _, _, more := field.Cut(&values); more || string(f[3]) != "1" {
		return false
	}
	code, ok := field.Code(f[4])
	t, known := field.ParseTime(f[0])
	if !ok {
		return false
	}
	r.Code, r.Time = code, t
	field.Put(r, field.Number, f[6], f[5])
	if !known {
		r.Quality.Flags |= obis.Invalid
	}
	return true
}
