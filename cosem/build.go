package cosem

import (
	"encoding/binary"

	"github.com/openusm/meter/obis"
)

// Null returns null-data.
func Null() Data { return Data{} }

// DontCare returns dont-care: in a profile a value that is not there, where
// null-data would stand for that of the row before.
func DontCare() Data { return Data{b: []byte{byte(TagDontCare)}} }

// Bool returns a boolean.
func Bool(v bool) Data {
	if v {
		return Data{b: []byte{byte(TagBoolean), 1}}
	}
	return Data{b: []byte{byte(TagBoolean), 0}}
}

// Int8 returns an integer.
func Int8(v int8) Data { return Data{b: []byte{byte(TagInteger), byte(v)}} }

// Int16 returns a long.
func Int16(v int16) Data {
	return Data{b: binary.BigEndian.AppendUint16([]byte{byte(TagLong)}, uint16(v))}
}

// Int32 returns a double-long.
func Int32(v int32) Data {
	return Data{b: binary.BigEndian.AppendUint32([]byte{byte(TagDoubleLong)}, uint32(v))}
}

// Int64 returns a long64.
func Int64(v int64) Data {
	return Data{b: binary.BigEndian.AppendUint64([]byte{byte(TagLong64)}, uint64(v))}
}

// Uint8 returns an unsigned.
func Uint8(v uint8) Data { return Data{b: []byte{byte(TagUnsigned), v}} }

// Uint16 returns a long-unsigned.
func Uint16(v uint16) Data {
	return Data{b: binary.BigEndian.AppendUint16([]byte{byte(TagLongUnsigned)}, v)}
}

// Uint32 returns a double-long-unsigned.
func Uint32(v uint32) Data {
	return Data{b: binary.BigEndian.AppendUint32([]byte{byte(TagDoubleLongUnsigned)}, v)}
}

// Uint64 returns a long64-unsigned.
func Uint64(v uint64) Data {
	return Data{b: binary.BigEndian.AppendUint64([]byte{byte(TagLong64Unsigned)}, v)}
}

// Enum returns an enum.
func Enum(v uint8) Data { return Data{b: []byte{byte(TagEnum), v}} }

// Float32 returns a float32 with these IEEE 754 bits.
func Float32(bits uint32) Data {
	return Data{b: binary.BigEndian.AppendUint32([]byte{byte(TagFloat32)}, bits)}
}

// Float64 returns a float64 with these IEEE 754 bits.
func Float64(bits uint64) Data {
	return Data{b: binary.BigEndian.AppendUint64([]byte{byte(TagFloat64)}, bits)}
}

// OctetString returns a copy of v as an octet-string.
func OctetString(v []byte) Data { return str(TagOctetString, v) }

// VisibleString returns v as a visible-string.
func VisibleString(v string) Data { return str(TagVisibleString, []byte(v)) }

// UTF8String returns v as a utf8-string.
func UTF8String(v string) Data { return str(TagUTF8String, []byte(v)) }

func str(tag Tag, v []byte) Data {
	b := make([]byte, 0, len(v)+6)
	return Data{b: append(AppendLength(append(b, byte(tag)), len(v)), v...)}
}

// BitString returns the first n bits of raw, the first being the most significant of raw[0].
// It is null-data where raw holds fewer.
func BitString(raw []byte, n int) Data {
	if n < 0 || n > 8*len(raw) {
		return Data{}
	}
	return Data{b: append(AppendLength([]byte{byte(TagBitString)}, n), raw[:(n+7)/8]...)}
}

// Name returns a logical name as an octet-string.
func Name(c obis.Code) Data { return OctetString(c[:]) }

// DateTime returns a date-time as an octet-string of twelve octets, as attributes hold it.
func DateTime(t obis.Time) Data {
	b, _ := t.AppendBinary([]byte{byte(TagOctetString), 12})
	return Data{b: b}
}

// DateTimeTagged returns a date-time with the type of its own.
func DateTimeTagged(t obis.Time) Data {
	b, _ := t.AppendBinary([]byte{byte(TagDateTime)})
	return Data{b: b}
}

// Structure returns a structure of the elements.
func Structure(elements ...Data) Data { return list(TagStructure, elements) }

// Array returns an array of the elements, which should be of one type.
func Array(elements ...Data) Data { return list(TagArray, elements) }

func list(tag Tag, elements []Data) Data {
	n := 6
	for _, e := range elements {
		n += max(len(e.b), 1)
	}
	b := AppendLength(append(make([]byte, 0, n), byte(tag)), len(elements))
	for _, e := range elements {
		b = e.append(b)
	}
	return Data{b: b}
}

// FromValue returns a value of the model as Data of the type that suits it, and
// the scaler that goes with it. It is not ok for trees of another protocol.
func FromValue(v obis.Value) (d Data, scaler int8, ok bool) {
	switch v.Kind() {
	case obis.KindNone:
		return Null(), 0, true
	case obis.KindInt:
		m, exp, _ := v.Decimal()
		return integer(m), exp, true
	case obis.KindUint:
		m, exp, _ := v.Uint64()
		return Uint64(m), exp, true
	case obis.KindFloat32, obis.KindFloat64:
		bits, width, _ := v.FloatBits()
		if width == 32 {
			return Float32(uint32(bits)), v.Exp(), true
		}
		return Float64(bits), v.Exp(), true
	case obis.KindBool:
		n, _ := v.Enum()
		return Bool(n != 0), 0, true
	case obis.KindEnum:
		n, _ := v.Enum()
		if n < 0 || n > 255 {
			return integer(n), 0, true
		}
		return Enum(uint8(n)), 0, true
	case obis.KindBits:
		raw, n, _ := v.Bits()
		return BitString(raw, n), 0, true
	case obis.KindOctets:
		b, _ := v.Bytes()
		return OctetString(b), 0, true
	case obis.KindText:
		b, _ := v.Bytes()
		return str(TagVisibleString, b), 0, true
	case obis.KindTime:
		t, _ := v.Time()
		return DateTime(t), 0, true
	}
	return Null(), 0, false
}

// integer returns the narrowest of the 32- and 64-bit types that holds m.
func integer(m int64) Data {
	switch {
	case 0 <= m && m <= 0xFFFFFFFF:
		return Uint32(uint32(m))
	case -0x80000000 <= m && m < 0:
		return Int32(int32(m))
	}
	return Int64(m)
}
