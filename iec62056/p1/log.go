package p1

import (
	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// failures takes the entries of the power failure log.
func (d *Decoder) failures(code obis.Code, source uint32, rest []byte) {
	field.Cut(&rest) // the number of entries; what is there counts
	id, _, ok := field.Cut(&rest)
	if !ok {
		return
	}
	duration := obis.Reading{RawID: id, Source: source}
	if code, ok := field.Code(id); ok {
		duration.Code, duration.Rule = code, obis.RuleTransmitted
	}
	for n := uint32(1); ; n++ {
		when, _, ok := field.Cut(&rest)
		text, unit, more := field.Cut(&rest)
		if !ok || !more {
			return
		}
		e := obis.Event{Log: code, ID: n, Text: "end of a long power failure", Quality: obis.Quality{Flags: obis.PowerDown}}
		if e.Time, ok = field.ParseTime(when); !ok {
			e.Quality.Flags |= obis.ClockInvalid
		}
		r := duration
		field.Put(&r, field.Number, text, unit)
		r.Time = e.Time
		d.params = append(d.params, r)
		last := len(d.params)
		e.Params = d.params[last-1 : last : last]
		d.content.Events = append(d.content.Events, e)
	}
}

// peaks takes the monthly peaks.
func (d *Decoder) peaks(code obis.Code, rest []byte) {
	field.Cut(&rest)
	id, _, _ := field.Cut(&rest)
	second, _, ok := field.Cut(&rest)
	if !ok {
		return
	}
	p := d.profile()
	p.Code = code
	describe(&p.Columns[0], id)
	describe(&p.Columns[1], second)
	for appendPeak(p, &rest) {
	}
	d.content.Profiles = append(d.content.Profiles, p)
}

// profile returns an empty profile of two columns.
func (d *Decoder) profile() *obis.Profile {
	n := len(d.spare)
	if n == 0 {
		return &obis.Profile{Columns: make([]obis.Column, 2)}
	}
	p := d.spare[n-1]
	d.spare = d.spare[:n-1]
	p.Reset()
	return p
}

func describe(c *obis.Column, id []byte) {
	c.RawID, c.Code, c.Rule, c.Unit, c.Exp = id, obis.Code{}, obis.RuleNone, obis.UnitUnknown, 0
	if code, ok := field.Code(id); ok {
		c.Code, c.Rule = code, obis.RuleTransmitted
	}
}

// appendPeak appends one month. A month without a peak has the unspecified time.
func appendPeak(p *obis.Profile, rest *[]byte) bool {
	month, _, _ := field.Cut(rest)
	when, _, _ := field.Cut(rest)
	text, unit, ok := field.Cut(rest)
	if !ok {
		return false
	}
	row := p.Len()
	t, known := field.ParseTime(month)
	if !known {
		p.Quality.Add(row, obis.Quality{Flags: obis.ClockInvalid})
	}
	p.Times = append(p.Times, t)
	peak, known := field.ParseTime(when)
	p.Columns[0].Append(obis.Moment(peak))
	v, u, flags := field.Value(field.Number, text, unit)
	if !known {
		flags |= obis.Invalid
	}
	c := &p.Columns[1]
	c.Unit = u
	c.Append(v)
	if flags != 0 {
		c.Quality.Add(row, obis.Quality{Flags: flags})
	}
	return true
}
