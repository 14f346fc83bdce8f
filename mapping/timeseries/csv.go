package timeseries

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// AppendTime appends a time as text.
type AppendTime func(dst []byte, t obis.Time) []byte

// AppendCSV appends tables (RFC 4180, lines end with CR and LF), with an empty line
// between them: one of the readings of all meters, which is there also where there is
// nothing, one for each profile, and one of all events. Rows of profiles have the meter and
// the profile's code, their time, the start of their interval where that is not a period
// before, their quality, and the columns, each with one for the quality of its cells behind
// it where that is not good throughout. Column dst tells what a time that has no zone says
// of daylight saving, column received when we got the reading. What the protocol knew
// beyond the model is not carried.
func AppendCSV(dst []byte, at AppendTime, list ...*mapping.Data) []byte {
	start := len(dst)
	next := func() {
		if len(dst) > start {
			dst = append(dst, "\r\n"...)
		}
	}
	readings, others := 0, 0
	for _, d := range list {
		readings += len(d.Readings)
		others += len(d.Profiles) + len(d.Events)
	}
	if readings > 0 || others == 0 {
		dst = append(dst, "meter,obis,raw_id,name,value,unit,start,time,quality,rule,status,dst,received\r\n"...)
		for _, d := range list {
			dst = appendReadings(dst, d, at)
		}
	}
	events := 0
	for _, d := range list {
		for _, p := range d.Profiles {
			next()
			dst = appendProfile(dst, d, p, at)
		}
		events += len(d.Events)
	}
	if events > 0 {
		next()
		dst = append(dst, "meter,log,id,time,text,params,quality,status,dst\r\n"...)
		for _, d := range list {
			dst = appendEvents(dst, d, at)
		}
	}
	return dst
}

func appendReadings(dst []byte, d *mapping.Data, at AppendTime) []byte {
	for i := range d.Readings {
		r := &d.Readings[i]
		dst = append(appendCell(dst, d.Meter.ID), ',')
		if r.Code.Valid() {
			dst, _ = r.Code.AppendText(dst)
		}
		dst = append(appendCell(append(dst, ','), obis.RawIDText(r.RawID)), ',')
		dst = append(quote(obis.AppendDescription(dst, r.Code), len(dst)), ',')
		dst = append(appendValue(dst, r.Value, at), ',')
		dst = append(appendCell(dst, unitText(r)), ',')
		dst = append(at(dst, r.Start), ',')
		dst = append(at(dst, r.Time), ',')
		dst = append(appendFlags(dst, r.Quality.Flags), ',')
		dst = append(append(dst, r.Rule.String()...), ',')
		dst = append(appendStatus(dst, r.Quality), ',')
		when := r.Time
		if t, ok := r.Value.Time(); ok && when.IsZero() {
			when = t
		}
		dst = append(appendSeason(dst, when, d.Clock), ',')
		if !d.Received.IsZero() {
			dst = d.Received.UTC().AppendFormat(dst, time.RFC3339)
		}
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// hasSeason reports whether the season that t tells is not in its text, as it has no zone.
func hasSeason(t obis.Time, clock obis.Clock) bool {
	if t.IsZero() || t.Status == obis.TimeUnspecified || !t.HasClock() {
		return false
	}
	_, zoned := t.Instant(clock)
	return !zoned
}

func appendSeason(dst []byte, t obis.Time, clock obis.Clock) []byte {
	if hasSeason(t, clock) {
		return strconv.AppendBool(dst, t.Status&obis.TimeDST != 0)
	}
	return dst
}

// unitText returns the unit, or how the meter wrote one that was not understood.
func unitText(r *obis.Reading) string {
	if len(r.UnitText) > 0 {
		return text(obis.Text(r.UnitText))
	}
	return r.Unit.String()
}

// appendStatus appends the meter's own status word, where it says something.
func appendStatus(dst []byte, q obis.Quality) []byte {
	if q.Raw == 0 {
		return dst
	}
	return strconv.AppendUint(append(dst, "0x"...), q.Raw, 16)
}

func appendProfile(dst []byte, d *mapping.Data, p *obis.Profile, at AppendTime) []byte {
	dst = append(dst, "meter,profile,time,quality"...)
	seasons := slices.ContainsFunc(p.Times, func(t obis.Time) bool { return hasSeason(t, d.Clock) })
	if seasons {
		dst = append(dst, ",dst"...)
	}
	if len(p.Starts) > 0 {
		dst = append(dst, ",start"...)
	}
	for i := range p.Columns {
		c := &p.Columns[i]
		name := c.Code.String()
		if !c.Code.Valid() {
			name = obis.RawIDText(c.RawID)
		}
		if u := c.Unit.String(); u != "" && u != "1" {
			name += " [" + u + "]"
		}
		dst = appendCell(append(dst, ','), name)
		if len(c.Quality) > 0 {
			dst = appendCell(append(dst, ','), "quality of "+name)
		}
	}
	dst = append(dst, "\r\n"...)
	for row := range p.Len() {
		dst = append(appendCell(dst, d.Meter.ID), ',')
		dst = append(appendCell(dst, p.Code.String()), ',')
		dst = append(at(dst, p.Times[row]), ',')
		dst = appendFlags(dst, p.Quality.At(row).Flags)
		if seasons {
			dst = appendSeason(append(dst, ','), p.Times[row], d.Clock)
		}
		if row < len(p.Starts) {
			dst = at(append(dst, ','), p.Starts[row])
		} else if len(p.Starts) > 0 {
			dst = append(dst, ',')
		}
		for i := range p.Columns {
			c := &p.Columns[i]
			dst = appendValue(append(dst, ','), c.At(row), at)
			if len(c.Quality) > 0 {
				dst = appendFlags(append(dst, ','), c.Quality.At(row).Flags)
			}
		}
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func appendEvents(dst []byte, d *mapping.Data, at AppendTime) []byte {
	for i := range d.Events {
		e := &d.Events[i]
		dst = append(appendCell(dst, d.Meter.ID), ',')
		if e.Log.Valid() {
			dst, _ = e.Log.AppendText(dst)
		}
		dst = strconv.AppendUint(append(dst, ','), uint64(e.ID), 10)
		dst = append(at(append(dst, ','), e.Time), ',')
		dst = append(appendCell(dst, e.Text), ',')
		start := len(dst)
		for k := range e.Params {
			x := &e.Params[k]
			if k > 0 {
				dst = append(dst, "; "...)
			}
			if id := x.ID(); id != "" {
				dst = append(append(dst, id...), '=')
			}
			dst = append(dst, valueText(x.Value, at)...)
			if u := unitText(x); u != "" {
				dst = append(append(dst, ' '), u...)
			}
		}
		dst = append(quote(dst, start), ',')
		dst = append(appendFlags(dst, e.Quality.Flags), ',')
		dst = append(appendStatus(dst, e.Quality), ',')
		dst = append(appendSeason(dst, e.Time, d.Clock), "\r\n"...)
	}
	return dst
}

func appendFlags(dst []byte, f obis.Flags) []byte {
	if f == 0 {
		return append(dst, "good"...)
	}
	return appendCell(dst, f.String())
}

// appendValue appends a cell with a value.
func appendValue(dst []byte, v obis.Value, at AppendTime) []byte {
	if numeric(v) || v.IsNone() {
		return v.Append(dst)
	}
	return appendCell(dst, valueText(v, at))
}

func valueText(v obis.Value, at AppendTime) string {
	if t, ok := v.Time(); ok {
		return string(at(nil, t))
	}
	return text(v)
}

func appendCell(dst []byte, s string) []byte {
	start := len(dst)
	return quote(append(dst, s...), start)
}

// quote puts the cell that begins at start in quotes where it needs them.
func quote(dst []byte, start int) []byte {
	cell := dst[start:]
	if len(cell) == 0 || !bytes.ContainsAny(cell, ",\"\r\n") && cell[0] != ' ' {
		return dst
	}
	quotes := bytes.Count(cell, []byte{'"'})
	dst = append(dst, make([]byte, quotes+2)...)
	to := len(dst) - 1
	dst[to] = '"'
	for from := len(cell) - 1; from >= 0; from-- {
		to--
		dst[to] = dst[start+from]
		if dst[to] == '"' {
			to--
			dst[to] = '"'
		}
	}
	dst[start] = '"'
	return dst
}
