package tables

import (
	"time"

	"github.com/openusm/meter/obis"
)

// TimeFormat is how a meter writes times (TM_FORMAT).
type TimeFormat uint8

// The formats.
const (
	NoTime TimeFormat = iota
	TimeBCD
	TimeOctets
	TimeMinutes // minutes since 1970 and, in long times, seconds
	TimeSeconds // seconds since 1970
)

var (
	longSizes  = [8]int{0, 6, 6, 5, 4}
	shortSizes = [8]int{0, 5, 5, 4, 4}
	daySizes   = [8]int{0, 3, 3, 4, 4}
)

// time reads a long or a short date and time. It is the zero time where the
// octets are none, as in entries that the meter did not use yet.
func (c *Config) time(b []byte) obis.Time {
	switch c.Time {
	case TimeBCD, TimeOctets:
		return c.calendar(b)
	case TimeMinutes, TimeSeconds:
		if len(b) < 4 {
			return obis.Time{}
		}
		seconds := int64(c.uint(b[:4]))
		if seconds == 0 || seconds == 0xFFFFFFFF {
			return obis.Time{}
		}
		if c.Time == TimeMinutes {
			seconds *= 60
			if len(b) > 4 {
				seconds += int64(b[4])
			}
		}
		t := time.Unix(seconds, 0).UTC()
		return obis.LocalTime(t.Year(), int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second())
	}
	return obis.Time{}
}

func (c *Config) calendar(b []byte) obis.Time {
	var f [6]int
	for i := 0; i < len(b) && i < len(f); i++ {
		f[i] = int(b[i])
		if c.Time == TimeBCD {
			if b[i]>>4 > 9 || b[i]&0x0F > 9 {
				return obis.Time{}
			}
			f[i] = int(b[i]>>4)*10 + int(b[i]&0x0F)
		}
	}
	if len(b) < 5 || f[0] > 99 || f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > 31 || f[3] > 23 || f[4] > 59 || f[5] > 59 {
		return obis.Time{}
	}
	year := 2000 + f[0]
	if f[0] >= 90 {
		year = 1900 + f[0]
	}
	t := obis.LocalTime(year, f[1], f[2], f[3], f[4], f[5])
	if !t.HasDate() {
		return obis.Time{}
	}
	return t
}

// The bits of the time qualifier in tables 52 and 55.
const (
	qualDST = 1 << 3
	qualGMT = 1 << 4
	qualDay = 0x07
)

// qualified adds to a time what the qualifier says of it.
func qualified(t obis.Time, qual uint8) obis.Time {
	if t.IsZero() {
		return t
	}
	if day := qual & qualDay; day < 7 {
		if t.Weekday = day; day == 0 {
			t.Weekday = 7
		}
	}
	t.Status = 0
	if qual&qualDST != 0 {
		t.Status = obis.TimeDST
	}
	if qual&qualGMT != 0 {
		t.Deviation = 0
	}
	return t
}

// AppendTime appends a date and time in the meter's format: a long one where
// long is set, else a short one.
func (c *Config) AppendTime(dst []byte, t time.Time, long bool) []byte {
	switch c.Time {
	case TimeBCD, TimeOctets:
		fields := []int{t.Year() % 100, int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second()}
		if !long {
			fields = fields[:5]
		}
		for _, f := range fields {
			if c.Time == TimeBCD {
				f = f/10<<4 | f%10
			}
			dst = append(dst, byte(f))
		}
		return dst
	case TimeMinutes, TimeSeconds:
		// The count is of the clock on the wall.
		wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC).Unix()
		if c.Time == TimeSeconds {
			return c.appendUint32(dst, uint32(wall))
		}
		dst = c.appendUint32(dst, uint32(wall/60))
		if long {
			dst = append(dst, byte(wall%60))
		}
	}
	return dst
}

func (c *Config) appendUint32(dst []byte, n uint32) []byte {
	if c.BigEndian {
		return append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}
