package mbus

import (
	"math"
	"time"

	"github.com/openusm/meter/obis"
)

// A compact profile (EN 13757-3, annex F) is a record of variable length whose
// data are
//
//	control | spacing | element | element …
//
// The elements follow the base value in time, those of an inverse profile go
// before it. Of a profile with registers each element is also the register of
// the next storage number.
//
// control: bits 7, 6 mode; 5, 4 unit of the spacing; 3 to 0 the size of an
// element, as in a DIF. The record of the same storage number, tariff, subunit
// and VIF without the extension has the base value, the record of the date of
// that storage number the base time.

// profileMode says what the elements of a compact profile are.
type profileMode byte

const (
	profileAbsolute   profileMode = iota // values
	profileIncrement                     // unsigned growth
	profileDecrement                     // unsigned decline
	profileDifference                    // the younger minus the older value
)

const profileQualifiers = QualifierCompactProfile | QualifierInverseCompactProfile | QualifierCompactProfileWithRegisters

// AppendProfiles appends a profile of one column for each compact profile among
// the records. Rows without a known value are missing; rows whose time is not
// known have a relative time, or none where no spacing was sent either. Profiles
// in the capacity of dst lend their memory.
func (d *Decoder) AppendProfiles(dst []obis.Profile, t *Telegram) []obis.Profile {
	d.survey(t.Records)
	for i := range t.Records {
		r := &t.Records[i]
		if r.Qualifiers&profileQualifiers == 0 || r.Error != 0 || r.flags&obis.Invalid != 0 {
			continue
		}
		if n := len(dst); n < cap(dst) {
			dst = dst[:n+1]
		} else {
			dst = append(dst, obis.Profile{})
		}
		if n := len(dst) - 1; !d.profile(&dst[n], t, r) {
			dst = dst[:n]
		}
	}
	return dst
}

// profile expands one record into p, whose memory is used again.
func (d *Decoder) profile(p *obis.Profile, t *Telegram, r *Record) bool {
	if len(r.Data) < 2 {
		return false
	}
	control, spacing := r.Data[0], r.Data[1]
	code := control & 0x0F
	size := int(codeLen[code])
	if size == 0 || code == codeFloat {
		return false
	}
	p.Reset()
	p.Code = obis.Code{}
	if len(p.Columns) != 1 {
		p.Columns = make([]obis.Column, 1)
	}
	column := &p.Columns[0]
	column.RawID, column.Unit, column.Exp = r.ID, r.Unit, 0
	plain := *r
	plain.Qualifiers &^= profileQualifiers
	plain.Storage = 0
	column.Code, column.Rule = plain.code(t.Header.Address.Type.Medium(), t.Header.Address.Type)
	s := d.scaleOf(r)
	base, known := profileBase(t.Records, r, s.exp)
	step := profileStep(control>>4&3, spacing)
	var start obis.Time
	if at := d.timeOf(r); at != nil {
		start = at.time
	}
	inverse := r.Qualifiers&QualifierInverseCompactProfile != 0
	mode := profileMode(control >> 6)
	p.Period = step.seconds
	n := 0
	for data := r.Data[2:]; len(data) >= size; data = data[size:] {
		n++
		v, valid := element(data[:size], code, mode)
		base, known = mode.next(base, known, v, valid, inverse)
		shown := known
		if mode == profileAbsolute {
			shown = valid
		}
		if shown && math.MinInt8 <= s.exp && s.exp <= math.MaxInt8 {
			column.Append(obis.Int(base, int8(s.exp)))
		} else {
			column.AppendMissing()
		}
		at := n
		if inverse {
			at = -n
		}
		p.Times = append(p.Times, step.from(start, at))
	}
	return n > 0
}

// next returns the value of an element from that of the one before.
func (m profileMode) next(base int64, known bool, v int64, valid, inverse bool) (int64, bool) {
	switch {
	case m == profileAbsolute:
		return v, valid
	case !known || !valid:
		return 0, false
	}
	if (m == profileDecrement) != inverse {
		v = -v
	}
	sum := base + v
	return sum, (sum > base) == (v > 0)
}

// element reads an element: absolute values and differences are signed.
func element(data []byte, code byte, mode profileMode) (v int64, valid bool) {
	var r Record
	switch {
	case isBCD>>code&1 != 0:
		decodeBCD(&r, data, 0)
	case mode == profileIncrement || mode == profileDecrement:
		decodeUnsigned(&r, data, typeUnsigned, 0)
	default:
		decodeSigned(&r, data, 0)
	}
	v, _, valid = r.Value.Decimal()
	return v, valid
}

// scaleOf reads the VIB of a record once more, for its exponent.
func (d *Decoder) scaleOf(r *Record) (s scale) {
	var again Record
	b := r.ID
	i := int(r.dibLen)
	if i >= len(b) {
		return s
	}
	if b[i] < 0x7B && b[i] != 0x6F {
		s.exp = int(vifTable[0][b[i]].exp)
		return s
	}
	if _, err := d.vib(&again, &s, b, 0, i); err != nil {
		return scale{}
	}
	if again.plainLen > 0 {
		again.ID, again.dibLen = b, r.dibLen
		again.namePlain(&s)
	}
	return s
}

// profileBase finds the base value of a profile among the records.
func profileBase(records []Record, r *Record, exp int) (base int64, known bool) {
	for i := range records {
		b := &records[i]
		if b.Storage != r.Storage || b.Tariff != r.Tariff || b.Subunit != r.Subunit || b.Quantity != r.Quantity ||
			b.Function != r.Function || b.Qualifiers != r.Qualifiers&^profileQualifiers || exp < math.MinInt8 || exp > math.MaxInt8 {
			continue
		}
		if v, ok := b.Value.Rescale(int8(exp)); ok {
			m, _, ok := v.Decimal()
			return m, ok
		}
	}
	return 0, false
}

// profileSpacing is the time between elements.
type profileSpacing struct {
	seconds int32
	months  int
}

// profileStep reads unit and spacing.
func profileStep(unit, spacing byte) profileSpacing {
	switch {
	case 1 <= spacing && spacing <= 250:
		return profileSpacing{seconds: int32(spacing) * [...]int32{1, 60, 3600, 86400}[unit]}
	case spacing == 254 && unit > 0:
		return profileSpacing{months: [...]int{1: 6, 2: 3, 3: 1}[unit]}
	}
	return profileSpacing{} // an array, a spacing that is reserved, or half months
}

// from returns the time that is n steps behind base.
func (s profileSpacing) from(base obis.Time, n int) obis.Time {
	switch {
	case s == profileSpacing{}:
		return obis.Time{}
	case !base.HasDate():
		if s.seconds == 0 || int64(n)*int64(s.seconds) > math.MaxInt32 || int64(n)*int64(s.seconds) < math.MinInt32 {
			return obis.Time{}
		}
		return obis.Relative(int32(n) * s.seconds)
	}
	clock := base.HasClock()
	if !clock { // a date is that of its first moment
		base.Hour, base.Minute, base.Second = 0, 0, obis.Unspecified
	}
	t, ok := base, true
	if s.months != 0 {
		t = addMonths(base, n*s.months)
	} else if t, ok = base.Later(n, s.seconds); !ok {
		return obis.Time{}
	}
	if t.Weekday = obis.Unspecified; !clock && s.seconds%86400 == 0 {
		t.Hour, t.Minute = obis.Unspecified, obis.Unspecified
	}
	return t
}

// addMonths adds months to a date; the last day of a month stays the last.
func addMonths(t obis.Time, n int) obis.Time {
	day := time.Date(int(t.Year), time.Month(t.Month), int(t.Day), 0, 0, 0, 0, time.UTC)
	first := time.Date(day.Year(), day.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	on := min(day.Day(), last)
	if day.AddDate(0, 0, 1).Day() == 1 {
		on = last
	}
	t.Year, t.Month, t.Day = uint16(first.Year()), uint8(first.Month()), uint8(on)
	if t.Status == obis.TimeDST || t.Status == 0 {
		t.Status = obis.TimeUnspecified // of another season perhaps
	}
	return t
}
