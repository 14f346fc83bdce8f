package iec61850

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kind is the kind of a value on the wire (ISO 9506-2, Data).
type Kind uint8

// The kinds.
const (
	None Kind = iota // no value
	Structure
	Array
	Boolean
	BitString
	Integer
	Unsigned
	Float
	OctetString
	VisibleString
	EntryTime // binary time of six octets
	UTF8String
	UTCTime
)

var kindNames = [...]string{"none", "structure", "array", "boolean", "bit-string", "integer", "unsigned", "floating-point",
	"octet-string", "visible-string", "binary-time", "mms-string", "utc-time"}

// String returns the name that MMS has for the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Value is one value of the data model: a number, a text, a time, or a list of
// values. The zero Value has the kind None. Texts and lists are shared when a
// Value is copied; they are not edited in place.
type Value struct {
	kind Kind
	size uint8 // bits of a BitString or of a Float
	num  uint64
	text string // octets of the strings, and of a BitString longer than 64 bits
	list []Value
}

// Kind returns what the value holds.
func (v Value) Kind() Kind { return v.kind }

// Bool returns a boolean value.
func Bool(b bool) Value {
	if b {
		return Value{kind: Boolean, num: 1}
	}
	return Value{kind: Boolean}
}

// Int returns a signed integer value.
func Int(i int64) Value { return Value{kind: Integer, num: uint64(i)} }

// Uint returns an unsigned integer value.
func Uint(u uint64) Value { return Value{kind: Unsigned, num: u} }

// Float32 returns a number of single precision.
func Float32(f float32) Value {
	return Value{kind: Float, size: 32, num: uint64(math.Float32bits(f))}
}

// Float64 returns a number of double precision.
func Float64(f float64) Value { return Value{kind: Float, size: 64, num: math.Float64bits(f)} }

// Visible returns a visible string.
func Visible(s string) Value { return Value{kind: VisibleString, text: s} }

// UTF8 returns a string of Unicode characters.
func UTF8(s string) Value { return Value{kind: UTF8String, text: s} }

// Octets returns an octet string.
func Octets(b []byte) Value { return Value{kind: OctetString, text: string(b)} }

// Bits returns a bit string of n bits, at most 64. Bit 0 of the string is the
// highest of the n low bits of b.
func Bits(b uint64, n uint8) Value {
	n = min(n, 64)
	if n < 64 {
		b &= 1<<n - 1
	}
	return Value{kind: BitString, size: n, num: b}
}

// LongBits returns a bit string from octets of which the last has unused bits.
func LongBits(b []byte, unused uint8) Value {
	n := len(b)*8 - int(unused&7)
	switch {
	case n <= 0:
		return Bits(0, 0)
	case n <= 64:
		v := uint64(0)
		for _, c := range b[:len(b)-1] {
			v = v<<8 | uint64(c)
		}
		used := 8 - unused&7
		return Bits(v<<used|uint64(b[len(b)-1])>>(unused&7), uint8(n))
	}
	last := len(b) - 1
	s := append(slices.Clone(b[:last]), b[last]&^(1<<(unused&7)-1))
	return Value{kind: BitString, size: 0xFF, num: uint64(n), text: string(s)}
}

// Struct returns a structure.
func Struct(members ...Value) Value { return Value{kind: Structure, list: members} }

// ArrayOf returns an array.
func ArrayOf(elements ...Value) Value { return Value{kind: Array, list: elements} }

// Bool returns the truth of a boolean, false for other kinds.
func (v Value) Bool() bool { return v.kind == Boolean && v.num != 0 }

// Int returns the number of an integer; ok tells whether there is one that int64 holds.
func (v Value) Int() (i int64, ok bool) {
	switch v.kind {
	case Integer:
		return int64(v.num), true
	case Unsigned:
		return int64(v.num), v.num <= math.MaxInt64
	}
	return 0, false
}

// Uint returns the number of an integer that is not negative.
func (v Value) Uint() (u uint64, ok bool) {
	switch v.kind {
	case Unsigned:
		return v.num, true
	case Integer:
		return v.num, int64(v.num) >= 0
	}
	return 0, false
}

// Float returns the number of a floating-point value or of an integer.
func (v Value) Float() (f float64, ok bool) {
	switch {
	case v.kind == Float && v.size == 32:
		return float64(math.Float32frombits(uint32(v.num))), true
	case v.kind == Float:
		return math.Float64frombits(v.num), true
	case v.kind == Integer:
		return float64(int64(v.num)), true
	case v.kind == Unsigned:
		return float64(v.num), true
	}
	return 0, false
}

// FloatBits returns the IEEE 754 bits of a floating-point value and their number, 32 or 64.
func (v Value) FloatBits() (bits uint64, width uint8) { return v.num, v.size }

// BitLen returns the number of bits of a bit string.
func (v Value) BitLen() int {
	if v.kind != BitString {
		return 0
	}
	if v.size == 0xFF {
		return int(v.num)
	}
	return int(v.size)
}

// Bits returns a bit string of at most 64 bits as a number, see [Bits].
func (v Value) Bits() uint64 {
	if v.kind != BitString || v.size == 0xFF {
		return 0
	}
	return v.num
}

// Bit reports whether a bit of a bit string is set; bits behind its end are not.
func (v Value) Bit(i int) bool {
	if i < 0 || i >= v.BitLen() {
		return false
	}
	if v.size == 0xFF {
		return v.text[i/8]&(0x80>>(i%8)) != 0
	}
	return v.num>>(int(v.size)-1-i)&1 != 0
}

// AppendBits appends the octets of a bit string and returns how many bits of the last are unused.
func (v Value) AppendBits(dst []byte) (out []byte, unused uint8) {
	n := v.BitLen()
	unused = uint8(-n & 7)
	if v.size == 0xFF {
		return append(dst, v.text...), unused
	}
	left := v.num << (64 - uint(n)&63)
	if n == 64 {
		left = v.num
	}
	for range (n + 7) / 8 {
		dst = append(dst, byte(left>>56))
		left <<= 8
	}
	return dst, unused
}

// Text returns the characters or octets of a string.
func (v Value) Text() string {
	if v.kind == BitString {
		return ""
	}
	return v.text
}

// Len returns the number of members of a structure or elements of an array.
func (v Value) Len() int { return len(v.list) }

// At returns a member or element; the zero Value where there is none.
func (v Value) At(i int) Value {
	if i < 0 || i >= len(v.list) {
		return Value{}
	}
	return v.list[i]
}

// Equal reports whether two values are the same in kind and content. A float
// that is not a number equals itself.
func (v Value) Equal(w Value) bool {
	if v.kind != w.kind || v.size != w.size || v.num != w.num || v.text != w.text || len(v.list) != len(w.list) {
		return false
	}
	return slices.EqualFunc(v.list, w.list, Value.Equal)
}

// String returns the value as text for people.
func (v Value) String() string { return string(v.append(nil)) }

func (v Value) append(b []byte) []byte {
	switch v.kind {
	case None:
		return append(b, '-')
	case Structure, Array:
		open, end := byte('{'), byte('}')
		if v.kind == Array {
			open, end = '[', ']'
		}
		b = append(b, open)
		for i, m := range v.list {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = m.append(b)
		}
		return append(b, end)
	case Boolean:
		return strconv.AppendBool(b, v.num != 0)
	case Integer:
		return strconv.AppendInt(b, int64(v.num), 10)
	case Unsigned:
		return strconv.AppendUint(b, v.num, 10)
	case Float:
		f, _ := v.Float()
		return strconv.AppendFloat(b, f, 'g', -1, int(v.size))
	case BitString:
		for i := range v.BitLen() {
			bit := byte('0')
			if v.Bit(i) {
				bit = '1'
			}
			b = append(b, bit)
		}
		return b
	case OctetString:
		return fmt.Appendf(b, "0x%x", v.text)
	case UTCTime:
		return append(b, v.Time().String()...)
	case EntryTime:
		return append(b, v.EntryTime().String()...)
	}
	return strconv.AppendQuote(b, v.text)
}

// Type describes the values that an attribute may take.
type Type struct {
	Kind Kind
	// Size is the width in bits of integers (8 to 64), floats (32, 64) and bit
	// strings, and the greatest length of strings. A negative size of a bit or
	// octet string means that it may be shorter.
	Size    int
	Count   int      // elements of an array
	Element *Type    // of an array
	Members []Member // of a structure
}

// Member is a named member of a structure.
type Member struct {
	Name string
	Type Type
}

// Zero returns the value that an attribute of the type has before it is set.
func (t Type) Zero() Value {
	switch t.Kind {
	case Structure:
		list := make([]Value, len(t.Members))
		for i := range list {
			list[i] = t.Members[i].Type.Zero()
		}
		return Struct(list...)
	case Array:
		list := make([]Value, t.Count)
		for i := range list {
			list[i] = t.Element.Zero()
		}
		return ArrayOf(list...)
	case BitString:
		n := max(t.Size, -t.Size)
		return LongBits(make([]byte, (n+7)/8), uint8(-n&7))
	case Float:
		return Value{kind: Float, size: uint8(t.Size)}
	case OctetString:
		return Value{kind: OctetString, text: strings.Repeat("\x00", max(t.Size, 0))}
	}
	return Value{kind: t.Kind}
}

// Fits returns the value as the type has it, and whether it is one of the type.
// Signed and unsigned integers are taken for each other where the number fits.
func (t Type) Fits(v Value) (Value, bool) {
	switch t.Kind {
	case Integer:
		i, ok := v.Int()
		return Int(i), ok && (t.Size >= 64 || i >= -1<<(t.Size-1) && i < 1<<(t.Size-1))
	case Unsigned:
		u, ok := v.Uint()
		return Uint(u), ok && (t.Size >= 64 || u < 1<<t.Size)
	}
	if v.kind != t.Kind {
		return Value{}, false
	}
	switch t.Kind {
	case Float:
		return v, int(v.size) == t.Size
	case BitString:
		return v, v.BitLen() == t.Size || t.Size <= 0 && v.BitLen() <= -t.Size
	case OctetString:
		return v, len(v.text) == t.Size || t.Size <= 0 && len(v.text) <= -t.Size
	case VisibleString, UTF8String:
		return v, len([]rune(v.text)) <= t.Size
	case Array:
		if v.Len() != t.Count {
			return Value{}, false
		}
		return fitList(v, func(int) Type { return *t.Element })
	case Structure:
		if v.Len() != len(t.Members) {
			return Value{}, false
		}
		return fitList(v, func(i int) Type { return t.Members[i].Type })
	}
	return v, true
}

func fitList(v Value, member func(int) Type) (Value, bool) {
	list := make([]Value, v.Len())
	for i := range list {
		var ok bool
		if list[i], ok = member(i).Fits(v.At(i)); !ok {
			return Value{}, false
		}
	}
	return Value{kind: v.kind, list: list}, true
}

// Equal reports whether two types are the same.
func (t Type) Equal(u Type) bool {
	if t.Kind != u.Kind || t.Size != u.Size || t.Count != u.Count || (t.Element == nil) != (u.Element == nil) {
		return false
	}
	if t.Element != nil && !t.Element.Equal(*u.Element) {
		return false
	}
	return slices.EqualFunc(t.Members, u.Members, func(a, b Member) bool { return a.Name == b.Name && a.Type.Equal(b.Type) })
}
