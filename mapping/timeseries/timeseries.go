// Package timeseries writes readings for time series databases: the InfluxDB
// line protocol, the Prometheus text exposition, the MQTT messages of Home
// Assistant, and CSV. Numbers are written as exact decimals.
package timeseries

import (
	"bytes"
	"unicode/utf8"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

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
		if r.Code.Valid() {
			dst, _ = r.Code.AppendText(dst)
		}
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
// time, quality, then its columns, each with a column for the quality of its cells
// behind it where that is not good throughout.
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
		if len(c.Quality) > 0 {
			dst = appendCell(append(dst, ','), "quality of "+name)
		}
	}
	dst = append(dst, '\n')
	for row := range p.Len() {
		dst = append(at(dst, p.Times[row]), ',')
		dst = appendFlags(dst, p.Quality.At(row).Flags)
		for i := range p.Columns {
			c := &p.Columns[i]
			dst = appendValue(append(dst, ','), c.At(row))
			if len(c.Quality) > 0 {
				dst = appendFlags(append(dst, ','), c.Quality.At(row).Flags)
			}
		}
		dst = append(dst, '\n')
	}
	return dst
}
