// Package timeseries writes readings for time series databases: the InfluxDB
// line protocol, the Prometheus text exposition, the MQTT messages of Home
// Assistant, and CSV. Numbers are written as exact decimals.
package timeseries

import (
	"math/bits"
	"strconv"
	"strings"
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

// exact reports whether a float of 64 bits names the number with all its digits.
func exact(v obis.Value) bool {
	m, exp, ok := v.Uint64()
	if v.Kind() == obis.KindInt && !ok {
		var n int64
		n, exp, ok = v.Decimal()
		m = uint64(-n)
	}
	if !ok || m < 1e15 || exp == 0 && m>>bits.TrailingZeros64(m) < 1<<53 {
		return true // fifteen digits always fit, and whole numbers of 53 bits
	}
	f, _ := v.Float64()
	digits := func(s string) string {
		s, _, _ = strings.Cut(s, "e")
		return strings.Trim(strings.ReplaceAll(strings.TrimPrefix(s, "-"), ".", ""), "0")
	}
	return digits(strconv.FormatFloat(f, 'e', -1, 64)) == digits(v.String())
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
