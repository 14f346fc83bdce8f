package mms

import (
	"fmt"
	"math"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/internal/ber"
)

// maxDepth is how deep data, types and alternate accesses may be nested.
const maxDepth = 16

var kindTags = [...]ber.Tag{
	iec61850.Structure: 0xA2, iec61850.Array: 0xA1, iec61850.Boolean: 0x83, iec61850.BitString: 0x84, iec61850.Integer: 0x85,
	iec61850.Unsigned: 0x86, iec61850.Float: 0x87, iec61850.OctetString: 0x89, iec61850.VisibleString: 0x8A,
	iec61850.EntryTime: 0x8C, iec61850.UTF8String: 0x90, iec61850.UTCTime: 0x91,
}

// ParseData reads the value at the start of b and returns how many octets it took.
func ParseData(b []byte) (v iec61850.Value, n int, err error) {
	r := ber.NewReader(b)
	e, err := r.Next("data")
	if err == nil {
		v, err = parseData(e, maxDepth)
	}
	if err != nil {
		return iec61850.Value{}, 0, layered("mms", err)
	}
	return v, r.Offset(), nil
}

func parseData(e ber.Element, depth int) (iec61850.Value, error) {
	fail := func(err error) (iec61850.Value, error) {
		return iec61850.Value{}, &ber.Error{Field: "data", Offset: e.Offset, Err: err}
	}
	b := e.Contents
	switch e.Tag {
	case 0xA1, 0xA2:
		if depth == 0 {
			return fail(errTooDeep)
		}
		list, err := parseDataList(e, depth-1)
		if err != nil {
			return iec61850.Value{}, err
		}
		if e.Tag == 0xA1 {
			return iec61850.ArrayOf(list...), nil
		}
		return iec61850.Struct(list...), nil
	case 0x83:
		v, err := e.Bool("boolean")
		return iec61850.Bool(v), err
	case 0x84:
		if len(b) == 0 || b[0] > 7 || len(b) == 1 && b[0] > 0 {
			return fail(fmt.Errorf("bit string without its count of unused bits"))
		}
		return iec61850.LongBits(b[1:], b[0]), nil
	case 0x85:
		v, err := e.Int("integer")
		return iec61850.Int(v), err
	case 0x86:
		v, err := e.Uint("unsigned")
		return iec61850.Uint(v), err
	case 0x87:
		bits := uint64(0)
		for _, c := range b {
			bits = bits<<8 | uint64(c)
		}
		switch {
		case len(b) == 5 && b[0] == 8:
			return iec61850.Float32(math.Float32frombits(uint32(bits))), nil
		case len(b) == 9 && b[0] == 11:
			return iec61850.Float64(math.Float64frombits(bits)), nil
		}
		return fail(fmt.Errorf("floating point of %d octets", len(b)))
	case 0x89:
		return iec61850.Octets(b), nil
	case 0x8A:
		return iec61850.Visible(string(b)), nil
	case 0x8C:
		switch len(b) {
		case 4:
			return iec61850.ParseEntryTime([6]byte{b[0], b[1], b[2], b[3]}), nil
		case 6:
			return iec61850.ParseEntryTime([6]byte(b)), nil
		}
		return fail(fmt.Errorf("binary time of %d octets", len(b)))
	case 0x90:
		return iec61850.UTF8(string(b)), nil
	case 0x91:
		if len(b) != 8 {
			return fail(fmt.Errorf("UTC time of %d octets", len(b)))
		}
		return iec61850.ParseUTCTime([8]byte(b)), nil
	}
	return fail(fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag)))
}

func parseDataList(e ber.Element, depth int) (list []iec61850.Value, err error) {
	r := e.Reader()
	for r.More() {
		e, err := r.Next("data")
		if err != nil {
			return nil, err
		}
		v, err := parseData(e, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// AppendData appends a value. The zero Value is appended as a failed access of
// the reason object-non-existent, which is what MMS has for it.
func AppendData(dst []byte, v iec61850.Value) []byte {
	tag := ber.Tag(0x80)
	if int(v.Kind()) < len(kindTags) {
		tag = kindTags[v.Kind()]
	}
	switch v.Kind() {
	case iec61850.Structure, iec61850.Array:
		dst, mark := ber.Open(dst, tag)
		for i := range v.Len() {
			dst = AppendData(dst, v.At(i))
		}
		return ber.Close(dst, mark)
	case iec61850.Boolean:
		b := byte(0)
		if v.Bool() {
			b = 1
		}
		return append(dst, byte(tag), 1, b)
	case iec61850.BitString:
		n := (v.BitLen() + 7) / 8
		dst = ber.AppendLength(append(dst, byte(tag)), n+1)
		at := len(dst)
		dst, unused := v.AppendBits(append(dst, 0))
		dst[at] = unused
		return dst
	case iec61850.Integer:
		i, _ := v.Int()
		return ber.AppendInt(dst, tag, i)
	case iec61850.Unsigned:
		u, _ := v.Uint()
		return ber.AppendUint(dst, tag, u)
	case iec61850.Float:
		bits, width := v.FloatBits()
		exponent := byte(8)
		if width == 64 {
			exponent = 11
		}
		dst = append(dst, byte(tag), 1+width/8, exponent)
		for shift := int(width) - 8; shift >= 0; shift -= 8 {
			dst = append(dst, byte(bits>>shift))
		}
		return dst
	case iec61850.OctetString, iec61850.VisibleString, iec61850.UTF8String:
		return ber.Append(dst, tag, v.Text())
	case iec61850.EntryTime:
		b := v.EntryTimeOctets()
		return append(append(dst, byte(tag), 6), b[:]...)
	case iec61850.UTCTime:
		b := v.UTCTimeOctets()
		return append(append(dst, byte(tag), 8), b[:]...)
	}
	return AppendFailure(dst, ObjectNonExistent)
}

// AppendFailure appends the failed access of a variable.
func AppendFailure(dst []byte, e AccessError) []byte { return append(dst, 0x80, 1, byte(e)) }

// Result is the outcome of reading one variable.
type Result struct {
	Value iec61850.Value
	Err   error // an AccessError, nil where there is a value
}

func parseResult(e ber.Element) (Result, error) {
	if e.Tag == 0x80 {
		code, err := e.Uint32("failure")
		return Result{Err: AccessError(min(code, 0xFF))}, err
	}
	v, err := parseData(e, maxDepth)
	return Result{Value: v}, err
}

// appendResult appends the outcome of reading one variable.
func appendResult(dst []byte, r Result) []byte {
	if code, ok := r.Err.(AccessError); ok {
		return AppendFailure(dst, code)
	}
	return AppendData(dst, r.Value)
}
