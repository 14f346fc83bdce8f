package obis

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseTime reads what [Time.Append] writes: RFC 3339 with or without zone, a date or
// a clock alone, "??" for fields that are unspecified, and seconds from an unknown
// start. Without zone neither deviation nor status is known.
func ParseTime(s string) (Time, error) {
	if s == "" {
		return Time{}, nil
	}
	if text, ok := strings.CutSuffix(s, "s"); ok {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return Time{}, fmt.Errorf("obis: time %q is no number of seconds", s)
		}
		return Relative(int32(n)), nil
	}
	t := Time{
		Year: YearUnspecified, Month: Unspecified, Day: Unspecified, Weekday: Unspecified, Hour: Unspecified, Minute: Unspecified,
		Second: Unspecified, Hundredths: Unspecified, Status: TimeUnspecified, Deviation: DeviationUnspecified,
	}
	p := timeText{s: s}
	dated := len(s) > 4 && s[4] == '-'
	if dated {
		t.Year = p.year()
		t.Month = p.field('-', 1, 12)
		t.Day = p.field('-', 1, 31)
	}
	if !dated || p.next('T') {
		t.clock(&p)
		if dated && p.s != "" {
			t.zone(&p)
		}
	}
	if p.bad || p.s != "" {
		return Time{}, fmt.Errorf("obis: time %q is none such as 2026-11-20T12:00:00Z", s)
	}
	if t.Deviation != DeviationUnspecified && t.HasDate() && t.HasClock() {
		at, _ := t.Instant(Clock{})
		t.Status, t.Weekday = 0, uint8((at.Weekday()+6)%7)+1
		if t.Hundredths == Unspecified {
			t.Hundredths = 0
		}
	}
	return t, nil
}

func (t *Time) clock(p *timeText) {
	t.Hour = p.field(0, 0, 23)
	t.Minute = p.field(':', 0, 59)
	if p.next(':') {
		t.Second = p.field(0, 0, 59)
	}
	if !p.next('.') {
		return
	}
	t.Hundredths = p.field(0, 0, 99)
	for p.s != "" && '0' <= p.s[0] && p.s[0] <= '9' { // what is finer has no room
		p.s = p.s[1:]
	}
}

func (t *Time) zone(p *timeText) {
	west := p.next('-')
	if !west && !p.next('+') {
		p.bad = p.bad || !p.next('Z')
		t.Deviation = 0
		return
	}
	d := int16(p.field(0, 0, 23)) * 60
	if d += int16(p.field(':', 0, 59)); !west {
		d = -d
	}
	t.Deviation = d
}

// timeText is what of a text is still to be read.
type timeText struct {
	s   string
	bad bool
}

func (p *timeText) next(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// year reads four digits.
func (p *timeText) year() uint16 {
	high, low := p.field(0, 0, 99), p.field(0, 0, 99)
	if high == Unspecified && low == Unspecified {
		return YearUnspecified
	}
	p.bad = p.bad || high == Unspecified || low == Unspecified
	return uint16(high)*100 + uint16(low)
}

// field reads two digits, or "??", behind a mark.
func (p *timeText) field(mark byte, lowest, highest uint8) uint8 {
	if mark != 0 && !p.next(mark) || len(p.s) < 2 {
		p.bad = true
		return 0
	}
	text := p.s[:2]
	p.s = p.s[2:]
	if text == "??" {
		return Unspecified
	}
	a, b := text[0]-'0', text[1]-'0'
	n := a*10 + b
	if a > 9 || b > 9 || n < lowest || n > highest {
		p.bad = true
	}
	return n
}
