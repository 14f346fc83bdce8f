package obis

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/bits"
	"strconv"
)

// Kind says what a [Value] holds.
type Kind uint8

// The kinds of value.
const (
	KindNone    Kind = iota // no value: the meter had none, or it could not be used
	KindInt                 // a signed decimal number: mantissa and exponent
	KindUint                // an unsigned decimal number above the range of int64
	KindFloat32             // an IEEE 754 number, bits kept, times a power of ten
	KindFloat64             // likewise
	KindBool
	KindEnum   // a number that names one of a list
	KindBits   // a string of bits, the first is the most significant of the first octet
	KindOctets // octets without further meaning here
	KindText   // characters as the meter sent them, usually ASCII or Latin-1
	KindTime   // date and time, or one of them
	KindTree   // undecoded structured data in the protocol's encoding
)

var kindNames = [...]string{
	"none", "int", "uint", "float32", "float64", "bool", "enum", "bits", "octets", "text", "time", "tree",
}

// String returns the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Value is what a meter showed, exactly: a decimal number is a mantissa and an
// exponent, a binary float keeps its bits, octets and text alias the message
// from which they were read until they are cloned. The zero Value is "none".
type Value struct {
	num  int64  // mantissa, float bits, enum, bool, bit count or the first eight octets of a time
	raw  []byte // KindBits, KindOctets, KindText, KindTree
	aux  uint32 // the last four octets of a time
	exp  int8   // power of ten of the numeric kinds
	kind Kind
}

// Int returns the number mantissa × 10^exp.
func Int(mantissa int64, exp int8) Value { return Value{num: mantissa, exp: exp, kind: KindInt} }

// Uint returns the number mantissa × 10^exp; it is of KindInt where int64 holds it.
func Uint(mantissa uint64, exp int8) Value {
	if mantissa > math.MaxInt64 {
		return Value{num: int64(mantissa), exp: exp, kind: KindUint}
	}
	return Int(int64(mantissa), exp)
}

// Float32 returns the number with these IEEE 754 bits times 10^exp.
func Float32(bits uint32, exp int8) Value {
	return Value{num: int64(bits), exp: exp, kind: KindFloat32}
}

// Float64 returns the number with these IEEE 754 bits times 10^exp.
func Float64(bits uint64, exp int8) Value {
	return Value{num: int64(bits), exp: exp, kind: KindFloat64}
}

// Bool returns a truth value.
func Bool(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.num = 1
	}
	return v
}

// Enum returns one of a numbered list.
func Enum(n int64) Value { return Value{num: n, kind: KindEnum} }

// Bits returns n bits, the first being the most significant of raw[0]. It aliases raw.
// It returns none where raw holds fewer than n bits.
func Bits(raw []byte, n int) Value {
	if n < 0 || n > 8*len(raw) {
		return Value{}
	}
	return Value{num: int64(n), raw: raw[:(n+7)/8], kind: KindBits}
}

// Octets returns uninterpreted octets. It aliases raw.
func Octets(raw []byte) Value { return Value{raw: raw, kind: KindOctets} }

// Text returns characters as the meter sent them. It aliases raw.
func Text(raw []byte) Value { return Value{raw: raw, kind: KindText} }

// Tree returns structured data that was left in its protocol's encoding. It aliases raw.
func Tree(raw []byte) Value { return Value{raw: raw, kind: KindTree} }

// Moment returns a date and time as a value; that of the zero Time is none.
func Moment(t Time) Value {
	if t.IsZero() {
		return Value{}
	}
	v := Value{kind: KindTime}
	v.num, v.aux, v.exp = t.pack()
	return v
}

// Kind says what the value holds.
func (v Value) Kind() Kind { return v.kind }

// IsNone reports whether there is no value.
func (v Value) IsNone() bool { return v.kind == KindNone }

// Decimal returns the number mantissa × 10^exp. It is not ok for values that
// are no decimal numbers, and for those above the range of int64.
func (v Value) Decimal() (mantissa int64, exp int8, ok bool) {
	return v.num, v.exp, v.kind == KindInt
}

// Uint64 returns an unsigned mantissa, where [Value.Decimal] may be too small.
func (v Value) Uint64() (mantissa uint64, exp int8, ok bool) {
	return uint64(v.num), v.exp, v.kind == KindUint || v.kind == KindInt && v.num >= 0
}

// Exp returns the power of ten of a numeric value.
func (v Value) Exp() int8 { return v.exp }

// Enum returns the number of an enumeration or a truth value (0 or 1).
func (v Value) Enum() (int64, bool) { return v.num, v.kind == KindEnum || v.kind == KindBool }

// Bits returns the octets that hold the bits, and how many bits there are.
func (v Value) Bits() (raw []byte, n int, ok bool) { return v.raw, int(v.num), v.kind == KindBits }

// Bytes returns the octets of octets, text and tree values.
func (v Value) Bytes() ([]byte, bool) {
	return v.raw, v.kind == KindOctets || v.kind == KindText || v.kind == KindTree
}

// FloatBits returns the IEEE 754 bits and the width (32 or 64) of a binary float.
func (v Value) FloatBits() (bits uint64, width int, ok bool) {
	switch v.kind {
	case KindFloat32:
		return uint64(v.num), 32, true
	case KindFloat64:
		return uint64(v.num), 64, true
	}
	return 0, 0, false
}

// Time returns the date and time.
func (v Value) Time() (Time, bool) {
	if v.kind != KindTime {
		return Time{}, false
	}
	return unpackTime(v.num, v.aux, v.exp), true
}

// Float64 returns the nearest binary float, and whether it equals the value.
// It is NaN for values that are no numbers.
func (v Value) Float64() (f float64, exact bool) {
	switch v.kind {
	case KindInt:
		f = float64(v.num)
		exact = int64(f) == v.num && v.num != math.MaxInt64
	case KindUint:
		f = float64(uint64(v.num))
		exact = f < 1<<64 && uint64(f) == uint64(v.num)
	case KindFloat32:
		f, exact = float64(math.Float32frombits(uint32(v.num))), true
	case KindFloat64:
		f, exact = math.Float64frombits(uint64(v.num)), true
	case KindBool, KindEnum:
		return float64(v.num), true
	default:
		return math.NaN(), false
	}
	if v.exp == 0 || f == 0 {
		return f, exact
	}
	// The decimal text is exact, and ParseFloat rounds it correctly.
	f, err := strconv.ParseFloat(string(v.appendNumber(nil)), 64)
	return f, exact && err == nil && v.exp > 0 && math.Abs(f) < 1<<53
}

// Rescale returns the same number with the exponent exp. It is not ok where
// digits would be lost or the mantissa would overflow.
func (v Value) Rescale(exp int8) (Value, bool) {
	if v.kind != KindInt {
		return v, v.exp == exp && v.kind == KindUint
	}
	m, ok := v.num, true
	d := int(v.exp) - int(exp)
	switch {
	case m == 0:
	case d > 18 || d < -18:
		return v, false
	case d >= 0:
		hi, lo := bits.Mul64(absolute(m), pow10[d])
		if ok = hi == 0 && lo <= math.MaxInt64; ok {
			m *= int64(pow10[d])
		}
	default:
		p := int64(pow10[-d])
		if ok = m%p == 0; ok {
			m /= p
		}
	}
	if !ok {
		return v, false
	}
	return Int(m, exp), true
}

// Shift multiplies a numeric value by 10^n, without loss. It is not ok where
// the exponent would leave the range of int8, and for other kinds.
func (v Value) Shift(n int) (Value, bool) {
	switch v.kind {
	case KindInt, KindUint, KindFloat32, KindFloat64:
		if e := int(v.exp) + n; -128 <= e && e <= 127 {
			v.exp = int8(e)
			return v, true
		}
	}
	return v, n == 0
}

var pow10 = [...]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
}

// absolute returns |m|, also for the smallest int64.
func absolute(m int64) uint64 {
	if m < 0 {
		return -uint64(m)
	}
	return uint64(m)
}

// Equal reports whether both values are of one kind and hold the same; decimal
// numbers are equal whatever their exponents (1.50 = 1.5).
func (v Value) Equal(w Value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case KindInt:
		if v.exp < w.exp {
			v, w = w, v
		}
		u, ok := v.Rescale(w.exp)
		return ok && u.num == w.num
	case KindUint, KindFloat32, KindFloat64:
		return v.num == w.num && v.exp == w.exp
	}
	return v.num == w.num && v.aux == w.aux && v.exp == w.exp && bytes.Equal(v.raw, w.raw)
}

// Clone returns the value with memory of its own.
func (v Value) Clone() Value {
	v.raw = bytes.Clone(v.raw)
	return v
}

// Append appends the value as text: a number as an exact decimal with all the
// digits that the meter sent, truth values as true and false, bits as "0b…",
// octets and trees as "0x…", text as it is, a time as [Time.Append] has it.
func (v Value) Append(dst []byte) []byte {
	switch v.kind {
	case KindInt, KindUint, KindFloat32, KindFloat64:
		return v.appendNumber(dst)
	case KindBool:
		return strconv.AppendBool(dst, v.num != 0)
	case KindEnum:
		return strconv.AppendInt(dst, v.num, 10)
	case KindBits:
		dst = append(dst, "0b"...)
		for i := range int(v.num) {
			dst = append(dst, '0'+v.raw[i/8]>>(7-i%8)&1)
		}
		return dst
	case KindOctets, KindTree:
		return hex.AppendEncode(append(dst, "0x"...), v.raw)
	case KindText:
		return append(dst, v.raw...)
	case KindTime:
		t, _ := v.Time()
		return t.Append(dst)
	}
	return dst
}

// String returns the text of [Value.Append].
func (v Value) String() string { return string(v.Append(nil)) }

// appendNumber appends the digits of a number, its exponent applied.
func (v Value) appendNumber(dst []byte) []byte {
	var buf [32]byte
	digits, exp := buf[:0], int(v.exp)
	switch v.kind {
	case KindInt:
		digits = strconv.AppendUint(digits, absolute(v.num), 10)
		if v.num < 0 {
			dst = append(dst, '-')
		}
	case KindUint:
		digits = strconv.AppendUint(digits, uint64(v.num), 10)
	default:
		bits, width, _ := v.FloatBits()
		f := math.Float64frombits(bits)
		if width == 32 {
			f = float64(math.Float32frombits(uint32(bits)))
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return strconv.AppendFloat(dst, f, 'g', -1, width)
		}
		if math.Signbit(f) {
			dst = append(dst, '-')
			f = -f
		}
		var e int
		digits, e = floatDigits(digits, f, width)
		exp += e
	}
	return appendDecimal(dst, digits, exp)
}

// floatDigits appends the shortest digits that name f, and returns their exponent.
func floatDigits(dst []byte, f float64, width int) ([]byte, int) {
	var buf [32]byte
	text := strconv.AppendFloat(buf[:0], f, 'e', -1, width) // d.ddde±xx
	e := bytes.IndexByte(text, 'e')
	exp, _ := strconv.Atoi(string(text[e+1:]))
	dst = append(dst, text[0])
	if e > 2 {
		dst = append(dst, text[2:e]...)
		exp -= e - 2
	}
	return dst, exp
}

// appendDecimal appends digits × 10^exp without an exponent.
func appendDecimal(dst, digits []byte, exp int) []byte {
	switch {
	case len(digits) == 1 && digits[0] == '0' && exp >= 0:
		return append(dst, '0')
	case exp >= 0:
		dst = append(dst, digits...)
		for range exp {
			dst = append(dst, '0')
		}
		return dst
	case len(digits) > -exp:
		dst = append(dst, digits[:len(digits)+exp]...)
		dst = append(dst, '.')
		return append(dst, digits[len(digits)+exp:]...)
	}
	dst = append(dst, '0', '.')
	for range -exp - len(digits) {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// ParseNumber reads the whole of s as a decimal number with an optional sign and
// fraction, keeping every digit behind the point. It is not ok for anything
// else, and for numbers whose mantissa leaves the range of int64.
func ParseNumber(s []byte) (Value, bool) {
	i := 0
	negative := len(s) > 0 && s[0] == '-'
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		i++
	}
	var m uint64
	digits, point := 0, -1
	for ; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			if s[i] != '.' || point >= 0 {
				return Value{}, false
			}
			point = i
			continue
		}
		if m > (math.MaxInt64-uint64(d))/10 {
			return Value{}, false
		}
		m = m*10 + uint64(d)
		digits++
	}
	if digits == 0 {
		return Value{}, false
	}
	exp := 0
	if point >= 0 {
		exp = point + 1 - len(s)
	}
	if exp < -128 {
		return Value{}, false
	}
	if negative {
		return Int(-int64(m), int8(exp)), true
	}
	return Int(int64(m), int8(exp)), true
}
