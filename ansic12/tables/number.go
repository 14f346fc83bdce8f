package tables

import (
	"encoding/binary"
	"math/bits"

	"github.com/openusm/meter/obis"
)

// NumberFormat is how a meter writes the numbers of its registers (NI_FORMAT).
type NumberFormat uint8

// The formats.
const (
	Float64 NumberFormat = iota
	Float32
	FloatChar12
	FloatChar6
	Fixed32 // INT32 with four digits behind the point
	FixedBCD6
	FixedBCD4
	Int24
	Int32
	Int40
	Int48
	Int64
	FixedBCD8
	FloatChar21
)

var numberSizes = [...]int{8, 4, 12, 6, 4, 6, 4, 3, 4, 5, 6, 8, 8, 21}

// Size returns how many octets a number has.
func (f NumberFormat) Size() int { return numberSizes[f] }

// number reads a number of the format. It is none where the octets are not of that
// format; flags say what is not known of it.
func (c *Config) number(f NumberFormat, b []byte) (v obis.Value, flags obis.Flags) {
	switch f {
	case Float64:
		return obis.Float64(c.uint(b), 0).Sound()
	case Float32:
		return obis.Float32(uint32(c.uint(b)), 0).Sound()
	case FloatChar12, FloatChar6, FloatChar21:
		if v, ok := decimalText(b); ok {
			return v, 0
		}
		return obis.Value{}, obis.Invalid
	case Fixed32:
		return obis.Int(c.int(b), -4), 0
	case FixedBCD6, FixedBCD4, FixedBCD8:
		// Where the point stands the meter does not say.
		if n, ok := bcd(b); ok {
			return obis.Int(n, 0), obis.ScalerUnknown
		}
		return obis.Value{}, obis.Invalid
	}
	return obis.Int(c.int(b), 0), 0
}

// decimalText reads a number in characters, with spaces or NULs around it.
func decimalText(b []byte) (obis.Value, bool) {
	for len(b) > 0 && (b[0] == ' ' || b[0] == 0) {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	mantissa, exp := b, 0
	for i, c := range b {
		if c != 'e' && c != 'E' {
			continue
		}
		e, ok := obis.ParseNumber(b[i+1:])
		n, scale, decimal := e.Decimal()
		if !ok || !decimal || scale != 0 || n < -100 || n > 100 {
			return obis.Value{}, false
		}
		mantissa, exp = b[:i], int(n)
		break
	}
	v, ok := obis.ParseNumber(mantissa)
	if !ok {
		return obis.Value{}, false
	}
	return v.Shift(exp)
}

// bcd reads packed decimal digits, the most significant first; D in front is a minus, F is padding.
func bcd(b []byte) (n int64, ok bool) {
	negative, digits := false, 0
	for i, c := range b {
		for j, digit := range [2]byte{c >> 4, c & 0x0F} {
			switch {
			case digit <= 9:
				n = n*10 + int64(digit)
				digits++
			case i == 0 && j == 0 && digit == 0x0D:
				negative = true
			case digit == 0x0F && digits == 0:
			default:
				return 0, false
			}
		}
	}
	if negative {
		n = -n
	}
	return n, digits > 0
}

// uint reads an unsigned integer of up to eight octets.
func (c *Config) uint(b []byte) (n uint64) {
	switch {
	case len(b) == 4 && c.BigEndian:
		return uint64(binary.BigEndian.Uint32(b))
	case len(b) == 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	for i := range b {
		if c.BigEndian {
			n = n<<8 | uint64(b[i])
		} else {
			n |= uint64(b[i]) << (8 * i)
		}
	}
	return n
}

// int reads a signed integer.
func (c *Config) int(b []byte) int64 {
	n := c.uint(b)
	shift := 64 - 8*len(b)
	if int64(n<<shift) >= 0 || len(b) == 0 {
		return int64(n)
	}
	switch c.Integer {
	case 1:
		return -int64(^n << shift >> shift)
	case 2:
		return -int64(n << (shift + 1) >> (shift + 1))
	}
	return int64(n<<shift) >> shift
}

// multiply returns a × b where that is exact.
func multiply(a, b obis.Value) (obis.Value, bool) {
	m, e, ok := a.Decimal()
	n, f, ok2 := b.Decimal()
	if !ok || !ok2 {
		return multiplyFloat(a, b)
	}
	product, ok := times(m, n)
	if !ok {
		return obis.Value{}, false
	}
	return obis.Int(product, 0).Shift(int(e) + int(f))
}

// multiplyFloat is for binary floats, which stay what they are where the other
// factor is a power of ten.
func multiplyFloat(a, b obis.Value) (obis.Value, bool) {
	if _, _, ok := a.Decimal(); ok {
		a, b = b, a
	}
	if n, exp, ok := integral(b); ok {
		for ; n != 0 && n%10 == 0; n /= 10 {
			exp++
		}
		if n == 1 {
			return a.Shift(exp)
		}
		if m, e, ok := integral(a); ok {
			if product, ok := times(m, n); ok {
				return obis.Int(product, 0).Shift(e + exp)
			}
		}
	}
	return obis.Value{}, false
}

// integral returns a number as mantissa and exponent, also a float that is whole.
func integral(v obis.Value) (n int64, exp int, ok bool) {
	if n, e, ok := v.Decimal(); ok {
		return n, int(e), true
	}
	f, exact := v.Float64()
	if !exact || f != float64(int64(f)) || f > 1<<53 || f < -1<<53 {
		return 0, 0, false
	}
	return int64(f), 0, true
}

// times returns a × b unless it leaves the range of int64.
func times(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi != 0 || lo > 1<<63-1 {
		return 0, false
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), true
	}
	return int64(lo), true
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// add returns a + b where that is exact.
func add(a, b obis.Value) (obis.Value, bool) {
	m, e, ok := integral(a)
	n, f, ok2 := integral(b)
	if !ok || !ok2 {
		return obis.Value{}, false
	}
	if m == 0 {
		return b, true
	}
	if n == 0 {
		return a, true
	}
	exp := min(e, f)
	for ; e > exp; e-- {
		if m, ok = times(m, 10); !ok {
			return obis.Value{}, false
		}
	}
	for ; f > exp; f-- {
		if n, ok = times(n, 10); !ok {
			return obis.Value{}, false
		}
	}
	sum := m + n
	if (m > 0) == (n > 0) && (sum > 0) != (m > 0) {
		return obis.Value{}, false
	}
	return obis.Int(sum, 0).Shift(exp)
}
