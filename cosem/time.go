package cosem

import "github.com/openusm/meter/obis"

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
