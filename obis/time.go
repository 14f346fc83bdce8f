package obis

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// ClockStatus tells how far a meter trusts a time (the DLMS clock_status octet).
type ClockStatus uint8

// The bits of a ClockStatus. StatusUnspecified stands alone.
const (
	TimeInvalid       ClockStatus = 0x01 // the time could not be recovered
	TimeDoubtful      ClockStatus = 0x02 // recovered, but not to be relied upon
	TimeDifferentBase ClockStatus = 0x04 // not the meter's own time base
	TimeBadStatus     ClockStatus = 0x08 // this very status is invalid
	TimeDST           ClockStatus = 0x80 // daylight saving time is in force
	TimeUnspecified   ClockStatus = 0xFF
)

// Unspecified is the value of a field of a [Time] that the meter left open.
// A year is unspecified as 0xFFFF, a deviation as [DeviationUnspecified].
const (
	Unspecified          = 0xFF
	YearUnspecified      = 0xFFFF
	DeviationUnspecified = -0x8000
)

// Time is a date and time as a meter gave it, any field of which may be
// unspecified. It has the fields of the COSEM date-time (IEC 62056-6-2), which
// are a superset of those of the other protocols. The zero Time means "none".
type Time struct {
	Year       uint16
	Month      uint8 // 1 to 12, 0xFE begin of daylight saving, 0xFD its end
	Day        uint8 // 1 to 31, 0xFE the last of the month, 0xFD the second last
	Weekday    uint8 // 1 Monday to 7 Sunday
	Hour       uint8
	Minute     uint8
	Second     uint8
	Hundredths uint8
	Status     ClockStatus
	Deviation  int16 // minutes that lead from local time to UTC: UTC = local + deviation; Berlin in winter: -60

	// Of a time without a date: seconds since an unknown start, 0 for none, 1 for
	// 0 s, 2 for 1 s, -1 for -1 s, …. Of one with a date: the seconds by which it was
	// counted from a time that the meter gave, see Later.
	relative int32
}

// Relative returns a time that is only known as seconds since an unknown start
// (SML seconds index, M-Bus profiles without a base time).
func Relative(seconds int32) Time {
	if seconds >= 0 && seconds < math.MaxInt32 {
		seconds++
	}
	return Time{relative: seconds}
}

// Relative returns the seconds since an unknown start, if t is such a time.
func (t Time) Relative() (seconds int32, ok bool) {
	switch {
	case t.Month != 0 || t.relative == 0:
		return 0, false
	case t.relative > 0:
		return t.relative - 1, true
	}
	return t.relative, true
}

const secondsOfDay = 24 * 60 * 60

// Later returns the time n periods of so many seconds after t, or before it where
// n is negative. Periods of whole days go by the calendar, and end at the same
// time of each day, in the season of that day. All others are elapsed time: the result shows what a clock
// shows that is not put forward or back since t, and [Time.Instant] finds the
// moment over any change of season between them. It is not ok where t has no date
// or no time of day.
func (t Time) Later(n int, period int32) (Time, bool) {
	if !t.HasDate() || !t.HasClock() {
		return Time{}, false
	}
	seconds := int64(n) * int64(period)
	if period%secondsOfDay != 0 {
		counted := int64(t.relative) + seconds
		if counted != int64(int32(counted)) {
			return Time{}, false
		}
		t.relative = int32(counted)
	} else if n != 0 {
		t = t.anySeason()
	}
	of := int64(t.Hour)*3600 + int64(t.Minute)*60 + int64(specified(t.Second)) + seconds
	if of < 0 || of >= secondsOfDay {
		days := of / secondsOfDay
		if of %= secondsOfDay; of < 0 {
			of, days = of+secondsOfDay, days-1
		}
		if days != int64(int32(days)) {
			return Time{}, false
		}
		day := time.Date(int(t.Year), time.Month(t.Month), int(t.Day)+int(days), 0, 0, 0, 0, time.UTC)
		t.Year, t.Month, t.Day = uint16(day.Year()), uint8(day.Month()), uint8(day.Day())
		if t.Weekday != Unspecified {
			t.Weekday = uint8((day.Weekday()+6)%7) + 1
		}
		if day.Year() < 1 || !t.HasDate() {
			return Time{}, false
		}
	}
	t.Hour, t.Minute = uint8(of/3600), uint8(of/60%60)
	if t.Second != Unspecified || period%60 != 0 {
		t.Second = uint8(of % 60)
	}
	return t, true
}

// FromTime returns t as a fully specified Time, cut to hundredths of a second,
// with the zone of t as deviation.
func FromTime(t time.Time) Time {
	_, offset := t.Zone()
	u := Time{
		Year: uint16(t.Year()), Month: uint8(t.Month()), Day: uint8(t.Day()),
		Weekday: uint8((t.Weekday()+6)%7) + 1,
		Hour:    uint8(t.Hour()), Minute: uint8(t.Minute()), Second: uint8(t.Second()),
		Hundredths: uint8(t.Nanosecond() / 1e7),
		Deviation:  int16(-offset / 60),
	}
	if IsDST(t) {
		u.Status |= TimeDST
	}
	return u
}

// IsDST reports whether clocks in the zone of t are ahead of their standard time.
// [time.Time.IsDST] tells the opposite of zones whose law calls summer the
// standard and puts clocks back in winter (Dublin) or in Ramadan (Casablanca).
func IsDST(t time.Time) bool {
	if start, end := t.ZoneBounds(); start.IsZero() && end.IsZero() {
		return false
	}
	_, offset := t.Zone()
	standard, seasons := standardOffset(t)
	return seasons && offset > standard
}

// LocalTime returns a date and time of which neither zone nor status is known.
func LocalTime(year int, month, day, hour, minute, second int) Time {
	return Time{
		Year: uint16(year), Month: uint8(month), Day: uint8(day), Weekday: Unspecified,
		Hour: uint8(hour), Minute: uint8(minute), Second: uint8(second), Hundredths: Unspecified,
		Status: TimeUnspecified, Deviation: DeviationUnspecified,
	}
}

// AppendLater appends the times of count rows, each [Time.Later] by a period than
// the one before it; t is that of row 0, and first the first to append. Where t has
// no date or no time of day zero times are appended.
func (t Time) AppendLater(dst []Time, first, count int, period int32) []Time {
	next, ok := t.Later(first, period)
	minutes := uint8(period / 60)
	short := 0 < period && period < 3600 && period%60 == 0
	for k := range count {
		switch {
		case k == 0:
		case ok && short && next.Minute+minutes < 60:
			next.Minute += minutes
			next.relative += period
		case ok && short && next.Hour < 23:
			next.Hour, next.Minute = next.Hour+1, next.Minute+minutes-60
			next.relative += period
		case ok:
			next, ok = next.Later(1, period)
		}
		dst = append(dst, next)
	}
	return dst
}

// anySeason returns t without what it says of the season, for another day.
func (t Time) anySeason() Time {
	if t.Status&^TimeDST == 0 {
		t.Status = TimeUnspecified
	}
	return t
}

// IsZero reports whether there is no time at all.
func (t Time) IsZero() bool { return t == Time{} }

// blank reports whether it is a time all of whose fields are left open.
func (t Time) blank() bool {
	return t.Year == YearUnspecified && t.Month == Unspecified && t.Day == Unspecified && t.Hour == Unspecified && t.Minute == Unspecified &&
		t.Weekday == Unspecified && t.Second == Unspecified
}

// HasDate reports whether year, month and day are all given and exist in the calendar.
func (t Time) HasDate() bool {
	return t.Year >= 1 && t.Year < 10000 && 1 <= t.Month && t.Month <= 12 && 1 <= t.Day && int(t.Day) <= daysIn(t.Year, t.Month)
}

// HasClock reports whether hour and minute are given and exist. Seconds may be missing.
func (t Time) HasClock() bool {
	return t.Hour <= 23 && t.Minute <= 59 && (t.Second <= 59 || t.Second == Unspecified)
}

// maxDeviation is how many minutes the local time of any place differs from UTC.
const maxDeviation = 14 * 60

// Possible reports whether each field that is given is one that a date and time
// can have, and the date is in the calendar. Fields may be missing, all of them
// even; a date without a year is one of any year. Weekday and hundredths, which
// name no other moment, are not looked at.
func (t Time) Possible() bool {
	if t.Month-1 < 12 && t.Day-1 < 28 && t.Hour < 24 && t.Minute < 60 && t.Second < 60 && t.Year-1 < 9999 &&
		(t.Deviation == DeviationUnspecified || uint16(t.Deviation+maxDeviation) <= 2*maxDeviation) {
		return true // as nearly all are
	}
	return t.possible()
}

func (t *Time) possible() bool {
	if _, relative := t.Relative(); relative || *t == (Time{}) {
		return true
	}
	const special = 0xFD // from here on fields are left open, or say "last" and the like
	switch {
	case t.Month == 0 || t.Month > 12 && t.Month < special, t.Day == 0 || t.Day > 31 && t.Day < special,
		t.Hour > 23 && t.Hour != Unspecified, t.Minute > 59 && t.Minute != Unspecified, t.Second > 59 && t.Second != Unspecified,
		t.Deviation != DeviationUnspecified && (t.Deviation > maxDeviation || t.Deviation < -maxDeviation):
		return false
	case t.Month > 12 || t.Day > 31:
		return true
	case t.Year == YearUnspecified:
		return int(t.Day) <= daysIn(2000, t.Month)
	}
	return t.HasDate()
}

func daysIn(year uint16, month uint8) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// Clock is what must be known of a meter's clock to turn its times into instants.
type Clock struct {
	// Zone is the zone in which the meter shows local time where it sends no
	// deviation. Nil: such times have no instant.
	Zone *time.Location
	// DeviationReversed is for meters whose deviation is local minus UTC.
	DeviationReversed bool
	// StandardTime is for meters that stay on standard time all year while
	// Zone has daylight saving.
	StandardTime bool
}

// Wall returns t as the meter's clock shows it, in UTC where no zone is known.
func (c Clock) Wall(t time.Time) time.Time {
	if c.Zone == nil {
		return t.UTC()
	}
	t = t.In(c.Zone)
	if c.StandardTime {
		if standard, seasons := standardOffset(t); seasons {
			return t.In(time.FixedZone("", standard))
		}
	}
	return t
}

// Instant returns the moment that t names. Unspecified seconds and hundredths
// count as zero. It is not ok where the date, the hour or the minute is
// missing, where neither deviation nor zone is known, and where a local time
// does not exist. About a change of season the daylight saving bit of the status
// decides, in the hour that occurs twice and beside it, where a clock was not yet
// put forward or back; without a status the first occurrence is taken.
func (t Time) Instant(c Clock) (time.Time, bool) {
	if !t.HasDate() || !t.HasClock() {
		return time.Time{}, false
	}
	utc := time.Date(int(t.Year), time.Month(t.Month), int(t.Day), int(t.Hour), int(t.Minute), int(specified(t.Second)),
		int(specified(t.Hundredths))*1e7, time.UTC)
	if t.Deviation != DeviationUnspecified {
		d := time.Duration(t.Deviation) * time.Minute
		if c.DeviationReversed {
			d = -d
		}
		zone := time.UTC
		if d != 0 {
			zone = time.FixedZone("", -int(d/time.Second))
		}
		return utc.Add(d).In(zone), true
	}
	if c.Zone == nil {
		return time.Time{}, false
	}
	counted := time.Duration(t.relative) * time.Second
	at, ok := t.inZone(utc.Add(-counted), c)
	return at.Add(counted), ok
}

// inZone finds the instant at which clocks in c.Zone show what wall shows in UTC.
func (t Time) inZone(wall time.Time, c Clock) (time.Time, bool) {
	if c.StandardTime {
		if standard, seasons := standardOffset(wall.In(c.Zone)); seasons {
			return wall.Add(-time.Duration(standard) * time.Second).In(c.Zone), true
		}
	}
	_, before := wall.Add(-24 * time.Hour).In(c.Zone).Zone()
	_, behind := wall.Add(24 * time.Hour).In(c.Zone).Zone()
	summer, inSummer := shown(wall, c.Zone, max(before, behind))
	if before == behind {
		return summer, inSummer
	}
	winter, inWinter := shown(wall, c.Zone, min(before, behind))
	switch known := t.Status != TimeUnspecified; {
	case known && t.Status&TimeDST != 0:
		return summer, true
	case known && (inWinter || !inSummer):
		return winter, true
	case inSummer: // which comes first
		return summer, true
	}
	return winter, inWinter
}

// shown returns the instant at which clocks that are offset seconds ahead of UTC
// show wall, and whether those of the zone are.
func shown(wall time.Time, zone *time.Location, offset int) (at time.Time, are bool) {
	at = wall.Add(-time.Duration(offset) * time.Second).In(zone)
	_, there := at.Zone()
	return at, there == offset
}

// maxSeasons is how many changes of clocks a year has at most, more than any had.
const maxSeasons = 16

// standardOffset returns the smallest of the offsets that the zone of t has in that
// year, and whether it has seasons at all.
func standardOffset(t time.Time) (offset int, seasons bool) {
	at := time.Date(t.Year(), 1, 1, 0, 0, 0, 0, t.Location())
	_, offset = at.Zone()
	for range maxSeasons {
		_, there := at.Zone()
		offset, seasons = min(offset, there), seasons || at.IsDST()
		_, end := at.ZoneBounds()
		if end.IsZero() || end.Year() > t.Year() {
			break
		}
		at = end
	}
	return offset, seasons
}

func specified(b uint8) uint8 {
	if b == Unspecified {
		return 0
	}
	return b
}

// Append appends RFC 3339 text. A deviation of zero is "Z", another one an
// offset, an unspecified one is left out; so are unspecified seconds and zero
// hundredths, and the whole date or clock where it is not given. Fields that
// are unspecified one by one are written as "??".
func (t Time) Append(dst []byte) []byte {
	if s, ok := t.Relative(); ok {
		if s >= 0 {
			dst = append(dst, '+')
		}
		return append(strconv.AppendInt(dst, int64(s), 10), 's')
	}
	if t.IsZero() {
		return dst
	}
	date := t.Year != YearUnspecified || t.Month != Unspecified || t.Day != Unspecified
	clock := t.Hour != Unspecified || t.Minute != Unspecified
	if date {
		dst = appendYear(dst, t.Year)
		dst = append2(append(dst, '-'), t.Month)
		dst = append2(append(dst, '-'), t.Day)
	}
	if !clock {
		return dst
	}
	if date {
		dst = append(dst, 'T')
	}
	dst = append2(dst, t.Hour)
	dst = append2(append(dst, ':'), t.Minute)
	if t.Second != Unspecified {
		dst = append2(append(dst, ':'), t.Second)
	} else {
		dst = append(dst, ":00"...)
	}
	if h := t.Hundredths; h != 0 && h < 100 {
		dst = append2(append(dst, '.'), h)
	}
	if date {
		dst = t.appendZone(dst)
	}
	return dst
}

func appendYear(dst []byte, y uint16) []byte {
	if y == YearUnspecified {
		return append(dst, "????"...)
	}
	for limit := uint16(1000); limit > y && limit > 1; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendUint(dst, uint64(y), 10)
}

func (t Time) appendZone(dst []byte) []byte {
	switch d := int(t.Deviation); {
	case d < -maxDeviation || d > maxDeviation: // none, or one that cannot be
		return dst
	case d == 0:
		return append(dst, 'Z')
	case d > 0:
		return append2(append(append2(append(dst, '-'), uint8(d/60)), ':'), uint8(d%60))
	default:
		return append2(append(append2(append(dst, '+'), uint8(-d/60)), ':'), uint8(-d%60))
	}
}

func append2(dst []byte, b uint8) []byte {
	if b >= 100 {
		return append(dst, "??"...)
	}
	return append(dst, '0'+b/10, '0'+b%10)
}

// String returns the text of [Time.Append].
func (t Time) String() string { return string(t.Append(nil)) }

// AppendBinary appends the twelve octets of the COSEM date-time. It never fails;
// a relative time and the zero Time become all fields unspecified.
func (t Time) AppendBinary(dst []byte) ([]byte, error) {
	if _, relative := t.Relative(); relative || t.IsZero() {
		return append(dst, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0x00, 0xFF), nil
	}
	dst = binary.BigEndian.AppendUint16(dst, t.Year)
	dst = append(dst, t.Month, t.Day, t.Weekday, t.Hour, t.Minute, t.Second, t.Hundredths)
	dst = binary.BigEndian.AppendUint16(dst, uint16(t.Deviation))
	return append(dst, byte(t.Status)), nil
}

// TimeFromBinary reads the twelve octets of a COSEM date-time. All contents are
// possible; [Time.HasDate] and [Time.HasClock] tell what they are worth.
func TimeFromBinary(b [12]byte) Time {
	return Time{
		Year: binary.BigEndian.Uint16(b[:]), Month: b[2], Day: b[3], Weekday: b[4],
		Hour: b[5], Minute: b[6], Second: b[7], Hundredths: b[8],
		Deviation: int16(binary.BigEndian.Uint16(b[9:])), Status: ClockStatus(b[11]),
	}
}

// pack fits a time into the spare fields of a Value; exp 1 marks a relative one.
func (t Time) pack() (num int64, aux uint32, exp int8) {
	if s, ok := t.Relative(); ok {
		return int64(s), 0, 1
	}
	var b [12]byte
	_, _ = t.AppendBinary(b[:0])
	return int64(binary.BigEndian.Uint64(b[:])), binary.BigEndian.Uint32(b[8:]), 0
}

func unpackTime(num int64, aux uint32, exp int8) Time {
	if exp == 1 {
		return Relative(int32(num))
	}
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], uint64(num))
	binary.BigEndian.PutUint32(b[8:], aux)
	return TimeFromBinary(b)
}
