package p1

import (
	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Events returns the power failure log: one event for each long failure, at the
// time at which it ended, with its duration as parameter.
//
//	1-0:99.97.0(n)(0-0:96.7.19)(time)(duration*s)…
func (t Telegram) Events() (events []obis.Event) {
	for d, err := range t.DataSets() {
		code, ok := field.Code(d.ID)
		if err != nil || !ok || code[2] != 99 || code[3] != 97 {
			continue
		}
		rest := d.Values
		field.Cut(&rest) // the number of entries; what is there counts
		id, _, ok := field.Cut(&rest)
		if !ok {
			continue
		}
		duration := obis.Reading{RawID: id}
		if code, ok := field.Code(id); ok {
			duration.Code, duration.Rule = code, obis.RuleTransmitted
		}
		for n := uint32(1); ; n++ {
			when, _, ok := field.Cut(&rest)
			text, unit, more := field.Cut(&rest)
			if !ok || !more {
				break
			}
			e := obis.Event{Log: code, ID: n, Text: "end of a long power failure", Quality: obis.Quality{Flags: obis.PowerDown}}
			if e.Time, ok = field.ParseTime(when); !ok {
				e.Quality.Flags |= obis.ClockInvalid
			}
			r := duration
			r.Value, r.Unit, r.Quality.Flags = field.Value(field.Number, text, unit)
			r.Time = e.Time
			e.Params = append(e.Params, r)
			events = append(events, e)
		}
	}
	return events
}

// Profiles returns the history of monthly peaks that Belgian meters send: for
// each month the time of its peak and the peak.
//
//	0-0:98.1.0(n)(id)(id)(end of month)(time of peak)(peak*kW)…
func (t Telegram) Profiles() (all []*obis.Profile) {
	for d, err := range t.DataSets() {
		code, ok := field.Code(d.ID)
		if err != nil || !ok || code[2] != 98 {
			continue
		}
		rest := d.Values
		field.Cut(&rest)
		id, _, _ := field.Cut(&rest)
		second, _, ok := field.Cut(&rest)
		if !ok {
			continue
		}
		p := &obis.Profile{Code: code, Columns: []obis.Column{column(id), column(second)}}
		for appendPeak(p, &rest) {
		}
		all = append(all, p)
	}
	return all
}

func column(id []byte) obis.Column {
	c := obis.Column{RawID: id}
	if code, ok := field.Code(id); ok {
		c.Code, c.Rule = code, obis.RuleTransmitted
	}
	return c
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
