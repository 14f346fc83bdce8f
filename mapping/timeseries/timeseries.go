// Package timeseries writes readings for time series databases: the InfluxDB
// line protocol, the Prometheus text exposition and CSV. Numbers are written as
// exact decimals.
package timeseries

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// AppendInflux appends one line for each reading:
//
//	meter,id=ABC12345678,obis=1-0:1.8.0*255,unit=Wh value=1234500 1763640000000000000
//
// Readings that are no numbers get the field "text" instead of "value"; a
// quality other than good is the field "quality". The time stamp, in
// nanoseconds, is left out where the meter's time is no instant. Readings without
// a value, or without any id, are not carried; nor are profiles and events.
func AppendInflux(dst []byte, d *mapping.Data) ([]byte, []mapping.Loss) {
	var lost []mapping.Loss
	for i := range d.Readings {
		r := &d.Readings[i]
		if reason := unfit(r); reason != "" {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
			continue
		}
		dst = append(dst, "meter"...)
		dst = appendTag(dst, "id", d.Meter.ID)
		if r.Code.Valid() {
			dst = append(dst, ",obis="...)
			dst, _ = r.Code.AppendText(dst)
		} else {
			dst = appendTag(dst, "raw_id", obis.RawIDText(r.RawID))
		}
		dst = appendTag(dst, "unit", r.Unit.String())
		if numeric(r.Value) {
			dst = r.Value.Append(append(dst, " value="...))
		} else {
			dst = appendString(append(dst, " text="...), text(r.Value))
		}
		if r.Quality.Flags != 0 {
			dst = appendString(append(dst, ",quality="...), r.Quality.Flags.String())
		}
		switch at, ok := r.Time.Instant(d.Clock); {
		case ok && inNanoseconds(at):
			dst = strconv.AppendInt(append(dst, ' '), at.UnixNano(), 10)
		case ok:
			lost = append(lost, mapping.Loss{Index: i, Reason: "its time, outside of 1678 to 2261"})
		case !r.Time.IsZero():
			lost = append(lost, mapping.Loss{Index: i, Reason: "its time, which is no instant"})
		}
		dst = append(dst, '\n')
	}
	return dst, append(lost, mapping.ReadingsOnly(d)...)
}

// inNanoseconds reports whether 64 bits hold the nanoseconds of a time since 1970.
func inNanoseconds(t time.Time) bool { return t.Year() > 1677 && t.Year() < 2262 }

// appendTag appends a tag with its escapes; InfluxDB knows no empty tags.
func appendTag(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, ','), key...), '=')
	for _, r := range value {
		switch r {
		case ',', '=', ' ':
			dst = append(dst, '\\')
		case '\n', '\r', '\\':
			r = '_'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// appendString appends a field value in quotes.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			dst = append(dst, '\\')
		case '\n', '\r':
			r = ' '
		}
		dst = utf8.AppendRune(dst, r)
	}
	return append(dst, '"')
}

// unfit says why a reading cannot be written, "" where it can.
func unfit(r *obis.Reading) string {
	switch {
	case r.Value.IsNone():
		return "no value"
	case !r.Code.Valid() && len(r.RawID) == 0:
		return "no id"
	case infinite(r.Value):
		return "not a finite number"
	}
	return ""
}

// infinite reports whether v is a float without decimal form.
func infinite(v obis.Value) bool {
	bits, width, ok := v.FloatBits()
	return ok && (width == 32 && bits>>23&0xFF == 0xFF || width == 64 && bits>>52&0x7FF == 0x7FF)
}

func numeric(v obis.Value) bool {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64, obis.KindEnum:
		return true
	}
	return false
}

// text returns a value that is no number, texts of Latin-1 in UTF-8.
func text(v obis.Value) string {
	s := v.String()
	if v.Kind() == obis.KindText && !utf8.ValidString(s) {
		runes := make([]rune, len(s))
		for i := range len(s) {
			runes[i] = rune(s[i])
		}
		return string(runes)
	}
	return s
}

// AppendPrometheus appends the readings that are numbers in the text exposition
// format. A metric is named after the quantity and its unit
// (meter_active_energy_import_wh_total); tariff, phase and code are labels. A
// quality other than good is a sample of meter_quality for each flag. Of readings
// with one id and unit only the first is carried: a second sample of a series
// would spoil the whole exposition.
func AppendPrometheus(dst []byte, d *mapping.Data) ([]byte, []mapping.Loss) {
	var lost []mapping.Loss
	samples := make([]promSample, 0, len(d.Readings))
	names := map[metricKey]string{}
	series := make(map[seriesKey]bool, len(d.Readings))
	flagged := false
	for i := range d.Readings {
		r := &d.Readings[i]
		reason := unfit(r)
		if reason == "" && !numeric(r.Value) {
			reason = "not a number"
		}
		id := seriesKey{code: r.Code, unit: r.Unit}
		if !r.Code.Valid() {
			id.raw = string(r.RawID)
		}
		if reason == "" && series[id] {
			reason = "another reading has its id"
		}
		if reason != "" {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
			continue
		}
		series[id] = true
		key := metricKey{withoutLabels(r.Code), r.Unit}
		name, ok := names[key]
		if !ok {
			name = metricName(key, r.Code.Cumulative())
			names[key] = name
		}
		samples = append(samples, promSample{name, r})
		flagged = flagged || r.Quality.Flags != 0
	}
	slices.SortStableFunc(samples, func(a, b promSample) int { return strings.Compare(a.metric, b.metric) })
	last := ""
	for _, s := range samples {
		if s.metric != last {
			kind := " gauge\n"
			if s.reading.Code.Cumulative() {
				kind = " counter\n"
			}
			dst = append(append(append(dst, "# TYPE "...), s.metric...), kind...)
			last = s.metric
		}
		dst = append(appendLabels(append(dst, s.metric...), d.Meter, s.reading, ""), ' ')
		dst = append(s.reading.Value.Append(dst), '\n')
	}
	if !flagged {
		return dst, append(lost, mapping.ReadingsOnly(d)...)
	}
	dst = append(dst, "# TYPE meter_quality gauge\n"...)
	for _, s := range samples {
		if s.reading.Quality.Flags == 0 {
			continue
		}
		for _, flag := range s.reading.Quality.Flags.Names(nil) {
			dst = append(appendLabels(append(dst, "meter_quality"...), d.Meter, s.reading, flag), " 1\n"...)
		}
	}
	return dst, append(lost, mapping.ReadingsOnly(d)...)
}

type promSample struct {
	metric  string
	reading *obis.Reading
}

// seriesKey tells samples apart.
type seriesKey struct {
	code obis.Code
	unit obis.Unit
	raw  string
}

// metricKey is what a metric is named after.
type metricKey struct {
	code obis.Code
	unit obis.Unit
}

// withoutLabels returns a code without the phase and the tariff, which are labels.
func withoutLabels(c obis.Code) obis.Code {
	if _, ok := c.Tariff(); ok {
		c[4] = 0
	}
	if c.Phase() >= obis.PhaseL1 && c.Phase() <= obis.PhaseL3 && c[2] <= 80 {
		c[2] = (c[2]-1)%20 + 1
	}
	return c
}

// metricName names the quantity of readings.
func metricName(k metricKey, cumulative bool) string {
	name := strings.TrimSuffix(obis.Describe(k.code), " total")
	if name == "" {
		name = "reading"
	}
	name = "meter " + name
	if u := k.unit.String(); u != "" && u != "1" {
		name += " " + u
	}
	if cumulative {
		name += " total"
	}
	return slug(name)
}

// slug turns words into a metric name: lower case letters, digits and single underscores.
func slug(s string) string { return string(appendSlug(nil, s)) }

func appendSlug(b []byte, s string) []byte {
	start := len(b)
	for _, r := range s {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b = append(b, byte(r))
		case r == '%':
			b = append(b, "percent"...)
		case len(b) > start && b[len(b)-1] != '_':
			b = append(b, '_')
		}
	}
	if len(b) > start && b[len(b)-1] == '_' {
		b = b[:len(b)-1]
	}
	return b
}

var phaseLabel = [...]string{
	obis.PhaseL1: "L1", obis.PhaseL2: "L2", obis.PhaseL3: "L3", obis.PhaseNeutral: "N",
	obis.PhaseL1L2: "L1-L2", obis.PhaseL2L3: "L2-L3", obis.PhaseL3L1: "L3-L1",
}

// appendLabels appends the labels of a reading; flag is that of a sample of its quality.
func appendLabels(dst []byte, m obis.Meter, r *obis.Reading, flag string) []byte {
	start := len(dst)
	dst = appendLabel(dst, "meter", m.ID)
	if r.Code.Valid() {
		dst = append(dst, `,obis="`...)
		dst, _ = r.Code.AppendText(dst)
		dst = append(dst, '"')
	} else {
		dst = appendLabel(dst, "raw_id", obis.RawIDText(r.RawID))
	}
	if p := int(r.Code.Phase()); p < len(phaseLabel) {
		dst = appendLabel(dst, "phase", phaseLabel[p])
	}
	if t, ok := r.Code.Tariff(); ok && t > 0 {
		dst = append(strconv.AppendUint(append(dst, `,tariff="`...), uint64(t), 10), '"')
	}
	dst = appendLabel(dst, "flag", flag)
	if len(dst) == start {
		return dst
	}
	dst[start] = '{' // in place of the first comma
	return append(dst, '}')
}

func appendLabel(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, ','), key...), '=', '"')
	for _, r := range value { // the format has these three escapes and no others
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', byte(r))
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// csvHeader names the columns of AppendCSV.
const csvHeader = "meter,obis,raw_id,name,value,unit,start,time,quality,rule\n"

// AppendTime appends a time as text.
type AppendTime func(dst []byte, t obis.Time) []byte

// AppendCSV appends a header, and one row for each reading of d (RFC 4180, lines end
// with LF). It loses nothing but what the protocol knew beyond the model.
func AppendCSV(dst []byte, d *mapping.Data, at AppendTime) []byte {
	dst = append(dst, csvHeader...)
	for i := range d.Readings {
		r := &d.Readings[i]
		dst = append(appendCell(dst, d.Meter.ID), ',')
		dst, _ = r.Code.AppendText(dst)
		dst = append(appendCell(append(dst, ','), obis.RawIDText(r.RawID)), ',')
		dst = append(quote(obis.AppendDescription(dst, r.Code), len(dst)), ',')
		dst = append(appendValue(dst, r.Value), ',')
		dst = append(appendCell(dst, r.Unit.String()), ',')
		dst = append(at(dst, r.Start), ',')
		dst = append(at(dst, r.Time), ',')
		dst = append(appendFlags(dst, r.Quality.Flags), ',')
		dst = append(append(dst, r.Rule.String()...), '\n')
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
func appendValue(dst []byte, v obis.Value) []byte {
	if numeric(v) || v.IsNone() {
		return v.Append(dst)
	}
	return appendCell(dst, text(v))
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

// AppendProfileCSV appends a header, and one row for each row of the profile:
// time, quality, then its columns.
func AppendProfileCSV(dst []byte, p *obis.Profile, at AppendTime) []byte {
	dst = append(dst, "time,quality"...)
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
	}
	dst = append(dst, '\n')
	for row := range p.Len() {
		dst = append(at(dst, p.Times[row]), ',')
		dst = appendFlags(dst, p.Quality.At(row).Flags)
		for i := range p.Columns {
			dst = appendValue(append(dst, ','), p.Columns[i].At(row))
		}
		dst = append(dst, '\n')
	}
	return dst
}
