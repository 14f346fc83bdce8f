// Package timeseries writes readings for time series databases: the InfluxDB
// line protocol, the Prometheus text exposition and CSV. Numbers are written as
// exact decimals.
package timeseries

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"
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
// nanoseconds, is left out where the meter's time is no instant under clock.
// Readings without a value, or without any id, are not carried.
func AppendInflux(dst []byte, m obis.Meter, readings []obis.Reading, clock obis.Clock) ([]byte, []mapping.Loss) {
	var lost []mapping.Loss
	for i := range readings {
		r := &readings[i]
		if reason := unfit(r); reason != "" {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
			continue
		}
		dst = append(dst, "meter"...)
		dst = appendTag(dst, "id", m.ID)
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
		if at, ok := r.Time.Instant(clock); ok {
			dst = strconv.AppendInt(append(dst, ' '), at.UnixNano(), 10)
		}
		dst = append(dst, '\n')
	}
	return dst, lost
}

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
// quality other than good is a sample of meter_quality for each flag.
func AppendPrometheus(dst []byte, m obis.Meter, readings []obis.Reading) ([]byte, []mapping.Loss) {
	var lost []mapping.Loss
	type sample struct {
		metric, labels string
		reading        *obis.Reading
	}
	var samples []sample
	for i := range readings {
		r := &readings[i]
		reason := unfit(r)
		if reason == "" && !numeric(r.Value) {
			reason = "not a number"
		}
		if reason != "" {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
			continue
		}
		samples = append(samples, sample{metricName(r), labels(m, r), r})
	}
	slices.SortStableFunc(samples, func(a, b sample) int { return strings.Compare(a.metric, b.metric) })
	var flagged []string
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
		dst = append(append(append(dst, s.metric...), s.labels...), ' ')
		dst = append(s.reading.Value.Append(dst), '\n')
		if s.reading.Quality.Flags != 0 {
			for _, name := range s.reading.Quality.Flags.Names(nil) {
				flagged = append(flagged, "meter_quality"+strings.TrimSuffix(s.labels, "}")+`,flag="`+name+"\"} 1\n")
			}
		}
	}
	if len(flagged) > 0 {
		dst = append(dst, "# TYPE meter_quality gauge\n"...)
		for _, line := range flagged {
			dst = append(dst, line...)
		}
	}
	return dst, lost
}

// metricName names the quantity of a reading without its phase and tariff.
func metricName(r *obis.Reading) string {
	c := r.Code
	if _, ok := c.Tariff(); ok {
		c[4] = 0
	}
	if c.Phase() >= obis.PhaseL1 && c.Phase() <= obis.PhaseL3 && c[2] <= 80 {
		c[2] = (c[2]-1)%20 + 1
	}
	name := strings.TrimSuffix(obis.Describe(c), " total")
	if name == "" {
		name = "reading"
	}
	name = "meter " + name
	if u := r.Unit.String(); u != "" && u != "1" {
		name += " " + u
	}
	if r.Code.Cumulative() {
		name += " total"
	}
	return slug(name)
}

// slug turns words into a metric name: lower case letters, digits and single underscores.
func slug(s string) string {
	var b []byte
	for _, r := range strings.ToLower(s) {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b = append(b, byte(r))
		case r == '%':
			b = append(b, "percent"...)
		case len(b) > 0 && b[len(b)-1] != '_':
			b = append(b, '_')
		}
	}
	return strings.TrimSuffix(string(b), "_")
}

var phaseLabel = [...]string{
	obis.PhaseL1: "L1", obis.PhaseL2: "L2", obis.PhaseL3: "L3", obis.PhaseNeutral: "N",
	obis.PhaseL1L2: "L1-L2", obis.PhaseL2L3: "L2-L3", obis.PhaseL3L1: "L3-L1",
}

func labels(m obis.Meter, r *obis.Reading) string {
	var b []byte
	add := func(key, value string) {
		if value == "" {
			return
		}
		b = append(append(b, ","...), key...)
		b = strconv.AppendQuote(append(b, '='), value)
	}
	add("meter", m.ID)
	if r.Code.Valid() {
		add("obis", r.Code.String())
	} else {
		add("raw_id", obis.RawIDText(r.RawID))
	}
	if p := int(r.Code.Phase()); p < len(phaseLabel) {
		add("phase", phaseLabel[p])
	}
	if t, ok := r.Code.Tariff(); ok && t > 0 {
		add("tariff", strconv.Itoa(int(t)))
	}
	if len(b) == 0 {
		return ""
	}
	return "{" + string(b[1:]) + "}"
}

// csvHeader names the columns of WriteCSV.
var csvHeader = []string{"meter", "obis", "raw_id", "name", "value", "unit", "start", "time", "quality", "rule"}

// WriteCSV writes one row for each reading, below a header. It loses nothing but
// what the protocol knew beyond the model.
func WriteCSV(w io.Writer, m obis.Meter, readings []obis.Reading, timeText func(obis.Time) string) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvHeader); err != nil {
		return err
	}
	for i := range readings {
		r := &readings[i]
		if err := out.Write([]string{
			m.ID, r.Code.String(), obis.RawIDText(r.RawID), obis.Describe(r.Code), text(r.Value), r.Unit.String(),
			timeText(r.Start), timeText(r.Time), r.Quality.Flags.String(), r.Rule.String(),
		}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// WriteProfileCSV writes one row for each row of the profile: time, quality, then its columns.
func WriteProfileCSV(w io.Writer, p *obis.Profile, timeText func(obis.Time) string) error {
	out := csv.NewWriter(w)
	header := []string{"time", "quality"}
	for i := range p.Columns {
		c := &p.Columns[i]
		name := c.Code.String()
		if !c.Code.Valid() {
			name = obis.RawIDText(c.RawID)
		}
		if u := c.Unit.String(); u != "" && u != "1" {
			name += " [" + u + "]"
		}
		header = append(header, name)
	}
	if err := out.Write(header); err != nil {
		return err
	}
	for row := range p.Len() {
		cells := []string{timeText(p.Times[row]), p.Quality.At(row).Flags.String()}
		for i := range p.Columns {
			cells = append(cells, text(p.Columns[i].At(row)))
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
