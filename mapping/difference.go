package mapping

import (
	"math"

	"github.com/openusm/meter/obis"
)

// Difference returns a - b, exactly where both are decimal numbers. It is not ok
// where one is no number, and where 64 bits do not hold the difference.
func Difference(a, b obis.Value) (obis.Value, bool) {
	_, exp, decimal := a.Decimal()
	_, other, both := b.Decimal()
	if !decimal || !both {
		if !number(a) || !number(b) {
			return obis.Value{}, false
		}
		x, _ := a.Float64()
		y, _ := b.Float64()
		return obis.Float64(math.Float64bits(x-y), 0), true
	}
	exp = min(exp, other)
	x, ok := a.Rescale(exp)
	y, fits := b.Rescale(exp)
	if !ok || !fits {
		return obis.Value{}, false
	}
	m, _, _ := x.Decimal()
	n, _, _ := y.Decimal()
	if d := m - n; (m >= 0) == (n >= 0) || (d >= 0) == (m >= 0) {
		return obis.Int(d, exp), true
	}
	return obis.Value{}, false
}

func number(v obis.Value) bool {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64:
		return true
	}
	return false
}
