package field

import "github.com/openusm/meter/obis"

// ParseTime reads the forms in which meters write dates and times:
//
//	YYMMDDhhmm, YYMMDDhhmmss      VDEW ZST10 and ZST12
//	ZYYMMDDhhmm, ZYYMMDDhhmmss    ZSTs11 and ZSTs13: Z is 0 in winter, 1 in summer, 2 for UTC
//	YYMMDDhhmmssS, YYMMDDhhmmssW  DSMR: summer or winter
//	YYMMDD, hhmmss, ZYYMMDD, …    are read by [ParseDate] and [ParseClock]
//	YY-MM-DD hh:mm[:ss]           with separators, and each half alone; YYYY too
//
// It is not ok for anything else, nor for dates that do not exist.
func ParseTime(b []byte) (t obis.Time, ok bool) {
	status, deviation := obis.TimeUnspecified, int16(obis.DeviationUnspecified)
	n := len(b)
	switch n {
	case 11, 13:
		switch last := b[n-1]; {
		case n == 13 && (last == 'S' || last == 's'):
			b, status = b[:12], obis.TimeDST
		case n == 13 && (last == 'W' || last == 'w'):
			b, status = b[:12], 0
		case b[0] == '0':
			b, status = b[1:], 0
		case b[0] == '1':
			b, status = b[1:], obis.TimeDST
		case b[0] == '2':
			b, status, deviation = b[1:], 0, 0
		}
	}
	var d [6]uint8 // YY MM DD hh mm ss
	if (len(b) != 10 && len(b) != 12) || !pairs(d[:len(b)/2], b) {
		return separated(b)
	}
	if len(b) == 10 {
		d[5] = obis.Unspecified
	}
	t = obis.Time{
		Year: 2000 + uint16(d[0]), Month: d[1], Day: d[2], Weekday: obis.Unspecified,
		Hour: d[3], Minute: d[4], Second: d[5], Hundredths: obis.Unspecified,
		Status: status, Deviation: deviation,
	}
	if !t.HasDate() || !t.HasClock() {
		return obis.Time{}, false
	}
	return t, true
}

// pairs reads two digits for each element of d.
func pairs(d []uint8, b []byte) bool {
	for i := range d {
		hi, lo := b[2*i]-'0', b[2*i+1]-'0'
		if hi > 9 || lo > 9 {
			return false
		}
		d[i] = hi*10 + lo
	}
	return true
}

// open is a time of which nothing is given.
var open = obis.Time{
	Year: obis.YearUnspecified, Month: obis.Unspecified, Day: obis.Unspecified, Weekday: obis.Unspecified,
	Hour: obis.Unspecified, Minute: obis.Unspecified, Second: obis.Unspecified, Hundredths: obis.Unspecified,
	Status: obis.TimeUnspecified, Deviation: obis.DeviationUnspecified,
}

// ParseDate reads YYMMDD and ZYYMMDD, with or without separators between the
// pairs, and YYYY-MM-DD.
func ParseDate(b []byte) (t obis.Time, ok bool) {
	var d [3]uint8
	t = open
	if len(b) == 10 && b[0] == '2' && b[1] == '0' && b[4] == b[7] {
		b = b[2:]
	}
	if !triple(&d, b, "-./", &t) {
		return obis.Time{}, false
	}
	t.Year, t.Month, t.Day = 2000+uint16(d[0]), d[1], d[2]
	if !t.HasDate() {
		return obis.Time{}, false
	}
	return t, true
}

// ParseClock reads hhmmss, hhmm and Zhhmmss, with or without colons.
func ParseClock(b []byte) (t obis.Time, ok bool) {
	var d [3]uint8
	t = open
	if len(b) == 5 && b[2] == ':' || len(b) == 4 {
		d[2] = obis.Unspecified
		b2 := [4]byte{b[0], b[1], b[len(b)-2], b[len(b)-1]}
		ok = pairs(d[:2], b2[:])
	} else {
		ok = triple(&d, b, ":", &t)
	}
	t.Hour, t.Minute, t.Second = d[0], d[1], d[2]
	if !ok || !t.HasClock() {
		return obis.Time{}, false
	}
	return t, true
}

// triple reads three pairs of digits, with one of the separators between them
// or none, and the season digit before them.
func triple(d *[3]uint8, b []byte, separators string, t *obis.Time) bool {
	if len(b) == 7 || len(b) == 9 {
		switch b[0] {
		case '0':
			t.Status = 0
		case '1':
			t.Status = obis.TimeDST
		case '2':
			t.Status, t.Deviation = 0, 0
		default:
			return false
		}
		b = b[1:]
	}
	if len(b) == 6 {
		return pairs(d[:], b)
	}
	if len(b) != 8 || b[2] != b[5] {
		return false
	}
	for i := range len(separators) {
		if b[2] == separators[i] {
			return pairs(d[:1], b) && pairs(d[1:2], b[3:]) && pairs(d[2:], b[6:])
		}
	}
	return false
}

// separated reads a date and a time with separators in them and between them.
func separated(b []byte) (obis.Time, bool) {
	if len(b) < 5 || b[2]-'0' <= 9 && b[len(b)-3]-'0' <= 9 {
		return obis.Time{}, false
	}
	if t, ok := ParseClock(b); ok && len(b) <= 8 && b[2] == ':' {
		return t, true
	}
	if t, ok := ParseDate(b); ok {
		return t, true
	}
	for i := 6; i < len(b)-3 && i <= 10; i++ {
		switch b[i] {
		case ' ', ',', ';', 'T':
			date, ok := ParseDate(b[:i])
			if !ok {
				return obis.Time{}, false
			}
			clock, ok := ParseClock(b[i+1:])
			if !ok {
				return obis.Time{}, false
			}
			return Join(date, clock), true
		}
	}
	return obis.Time{}, false
}

// Join returns the date of one time and the clock of the other.
func Join(date, clock obis.Time) obis.Time {
	date.Hour, date.Minute, date.Second = clock.Hour, clock.Minute, clock.Second
	if date.Status == obis.TimeUnspecified {
		date.Status, date.Deviation = clock.Status, clock.Deviation
	}
	return date
}
