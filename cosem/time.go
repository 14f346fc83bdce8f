package cosem

import (
	"time"

	"github.com/openusm/meter/obis"
)

// ParseTime reads the octets of a date-time (12), a date (5) or a time (4).
// Fields that are not there are unspecified. It is not ok for other lengths.
func ParseTime(b []byte) (obis.Time, bool) {
	switch len(b) {
	case 12:
		return obis.TimeFromBinary([12]byte(b)), true
	case 5:
		t := unspecified()
		t.Year = uint16(b[0])<<8 | uint16(b[1])
		t.Month, t.Day, t.Weekday = b[2], b[3], b[4]
		return t, true
	case 4:
		t := unspecified()
		t.Hour, t.Minute, t.Second, t.Hundredths = b[0], b[1], b[2], b[3]
		return t, true
	}
	return obis.Time{}, false
}

func unspecified() obis.Time {
	const u = obis.Unspecified
	return obis.Time{
		Year: obis.YearUnspecified, Month: u, Day: u, Weekday: u, Hour: u, Minute: u, Second: u, Hundredths: u,
		Deviation: obis.DeviationUnspecified, Status: obis.TimeUnspecified,
	}
}

// clockStatus returns the quality that the status of a time implies for what it stamps.
func clockStatus(t obis.Time) obis.Quality {
	if !t.Possible() {
		return obis.Quality{Flags: obis.ClockInvalid}
	}
	if t.Status == obis.TimeUnspecified || t.Status == 0 {
		return obis.Quality{}
	}
	return obis.FromStatus(obis.StatusDLMSClock, uint64(t.Status))
}

// addSeconds moves a fully specified local time; deviation and status stay.
func addSeconds(t obis.Time, seconds int32) (obis.Time, bool) {
	if !t.HasDate() || !t.HasClock() {
		return obis.Time{}, false
	}
	second := t.Second
	if second == obis.Unspecified {
		second = 0
	}
	at := time.Date(int(t.Year), time.Month(t.Month), int(t.Day), int(t.Hour), int(t.Minute), int(second), 0, time.UTC)
	at = at.Add(time.Duration(seconds) * time.Second)
	t.Year, t.Month, t.Day = uint16(at.Year()), uint8(at.Month()), uint8(at.Day())
	t.Hour, t.Minute, t.Second = uint8(at.Hour()), uint8(at.Minute()), uint8(at.Second())
	if t.Weekday != obis.Unspecified {
		t.Weekday = uint8((at.Weekday()+6)%7) + 1
	}
	return t, true
}
