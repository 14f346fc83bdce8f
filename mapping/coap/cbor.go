package coap

import (
	"encoding/binary"
	"math"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// The labels of RFC 8428, table 6, that are written.
const (
	labelBaseName = -2
	labelName     = 0
	labelUnit     = 1
	labelValue    = 2
	labelString   = 3
	labelBool     = 4
	labelTime     = 6
	labelData     = 8
)

// The major types of CBOR (RFC 8949), and what this package writes of type 7.
const (
	cborUint   = 0 << 5
	cborNegint = 1 << 5
	cborBytes  = 2 << 5
	cborText   = 3 << 5
	cborArray  = 4 << 5
	cborMap    = 5 << 5
	cborTag    = 6 << 5
	cborFalse  = 0xF4
	cborTrue   = 0xF5
	cborDouble = 0xFB

	decimalFraction = 4 // the tag of [exponent, mantissa]
)

// AppendSenMLCBOR appends a SenML pack in CBOR (application/senml+cbor), which
// carries what [AppendSenML] does. Numbers are integers, decimal fractions (tag
// 4) or floats.
func AppendSenMLCBOR(dst []byte, d *mapping.Data) ([]byte, []mapping.Loss) {
	p := openPack(dst, SenMLCBOR, d.Meter.ID)
	lost := eachRecord(d, p.add)
	return p.close(), lost
}

// appendHead appends the head of a data item.
func appendHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= math.MaxUint8:
		return append(dst, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

func appendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, cborNegint, uint64(-(n + 1)))
	}
	return appendHead(dst, cborUint, uint64(n))
}

func appendString[S string | []byte](dst []byte, major byte, s S) []byte {
	return append(appendHead(dst, major, uint64(len(s))), s...)
}

// appendNumber appends a number: whole ones as integers, others as a decimal
// fraction or a float.
func appendNumber(dst []byte, v obis.Value) []byte {
	if n, ok := v.Enum(); ok {
		return appendInt(dst, n)
	}
	if m, exp, ok := v.Decimal(); ok {
		if whole, ok := v.Rescale(0); ok && exp > 0 {
			m, exp, _ = whole.Decimal()
		}
		if exp == 0 {
			return appendInt(dst, m)
		}
		dst = appendHead(appendHead(dst, cborTag, decimalFraction), cborArray, 2)
		return appendInt(appendInt(dst, int64(exp)), m)
	}
	if m, exp, ok := v.Uint64(); ok && exp == 0 {
		return appendHead(dst, cborUint, m)
	}
	if bits, width, _ := v.FloatBits(); width == 32 && v.Exp() == 0 {
		return binary.BigEndian.AppendUint32(append(dst, cborFloat), uint32(bits))
	}
	f, _ := v.Float64()
	return binary.BigEndian.AppendUint64(append(dst, cborDouble), math.Float64bits(f))
}

// appendCBOR appends the record; base is the base name, which the first record has.
func (r *record) appendCBOR(dst []byte, base string) []byte {
	pairs := uint64(2)
	for _, more := range []bool{base != "", r.unit != "", !r.at.IsZero()} {
		if more {
			pairs++
		}
	}
	dst = appendHead(dst, cborMap, pairs)
	if base != "" {
		dst = appendInt(dst, labelBaseName)
		dst = shiftHead(append(appendName(dst, base), '/'), len(dst), cborText)
	}
	dst = appendInt(dst, labelName)
	dst = shiftHead(r.appendID(dst), len(dst), cborText)
	if r.unit != "" {
		dst = appendString(appendInt(dst, labelUnit), cborText, r.unit)
	}
	switch v := r.value; v.Kind() {
	case obis.KindBool:
		n, _ := v.Enum()
		dst = append(appendInt(dst, labelBool), cborFalse+byte(n))
	case obis.KindText, obis.KindTime, obis.KindBits:
		dst = appendInt(dst, labelString)
		dst = shiftHead(v.Append(dst), len(dst), cborText)
	case obis.KindOctets, obis.KindTree:
		b, _ := v.Bytes()
		dst = appendString(appendInt(dst, labelData), cborBytes, b)
	default:
		dst = appendNumber(appendInt(dst, labelValue), v)
	}
	if !r.at.IsZero() {
		dst = appendNumber(appendInt(dst, labelTime), seconds(r.at))
	}
	return dst
}

// shiftHead puts the head of a string before its octets, which begin at start.
func shiftHead(dst []byte, start int, major byte) []byte {
	return insertHead(dst, start, major, uint64(len(dst)-start))
}

// insertHead puts a head before what begins at start.
func insertHead(dst []byte, start int, major byte, n uint64) []byte {
	var room [9]byte
	head := appendHead(room[:0], major, n)
	dst = append(dst, head...)
	copy(dst[start+len(head):], dst[start:])
	copy(dst[start:], head)
	return dst
}
