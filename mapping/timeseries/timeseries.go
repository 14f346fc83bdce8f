// Package timeseries writes readings for time series databases: the InfluxDB
// line protocol, the Prometheus text exposition, the MQTT messages of Home
// Assistant, and CSV. Numbers are written as exact decimals.
package timeseries

import (
	"unicode/utf8"

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
