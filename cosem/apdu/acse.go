package apdu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Context is an application context: the last arc of its object identifier.
type Context uint8

// The application contexts.
const (
	ContextLN         Context = 1
	ContextSN         Context = 2
	ContextLNCiphered Context = 3
	ContextSNCiphered Context = 4
)

// Ciphered reports whether PDUs of the context may be ciphered.
func (c Context) Ciphered() bool { return c == ContextLNCiphered || c == ContextSNCiphered }

// SN reports whether objects are referenced by short names.
func (c Context) SN() bool { return c == ContextSN || c == ContextSNCiphered }

// Mechanism is how a client authenticates: the last arc of the object identifier.
type Mechanism uint8

// The authentication mechanisms.
const (
	MechanismNone         Mechanism = 0 // lowest level security
	MechanismLow          Mechanism = 1 // password
	MechanismManufacturer Mechanism = 2
	MechanismMD5          Mechanism = 3
	MechanismSHA1         Mechanism = 4
	MechanismGMAC         Mechanism = 5
	MechanismSHA256       Mechanism = 6
	MechanismECDSA        Mechanism = 7
)

// String returns the name that command lines use: "none", "low", "hls-gmac", …
func (m Mechanism) String() string {
	names := [...]string{"none", "low", "hls-manufacturer", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256", "hls-ecdsa"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("mechanism %d", uint8(m))
}

// HLS reports whether the mechanism has a challenge in both directions.
func (m Mechanism) HLS() bool { return m >= MechanismManufacturer }

// Tags of the fields of an AARQ and an AARE.
const (
	fieldVersion        = 0x80
	fieldContext        = 0xA1
	fieldRequirements   = 0x8A // of an AARQ
	fieldMechanism      = 0x8B
	fieldAuth           = 0xAC
	fieldRespondReq     = 0x88 // of an AARE
	fieldRespondMech    = 0x89
	fieldRespondAuth    = 0xAA
	fieldImplementation = 0xBD
	fieldUser           = 0xBE
)

// arcs is the object identifier joint-iso-ccitt 2.16.756.5.8 in front of what DLMS names.
var arcs = []byte{0x60, 0x85, 0x74, 0x05, 0x08}

const (
	arcContext   = 1
	arcMechanism = 2
)

var errRunsOver = errors.New("runs over the end of its field")

// tlv reads a field: its tag and its contents, as a reader of its own.
func (r *reader) tlv(field string) (tag byte, contents *reader) {
	at := r.Offset()
	tag = r.Cursor.Uint8(field)
	n := r.berLength(field)
	start := r.Offset()
	r.Cursor.Bytes(n, field)
	if r.note != nil && r.Err() == nil {
		name := field
		if field == "field" {
			if name = r.fieldNames[tag]; name == "" {
				name = "unknown field"
			}
		}
		r.note(at, start-at, r.level, name, fmt.Sprintf("tag 0x%02x, %d octets", tag, n))
	}
	contents = newReader(r.b[:r.Offset()])
	contents.Cursor.Bytes(start, field)
	contents.note, contents.level = r.note, r.level+1
	return tag, contents
}

// berLength reads a definite length of BER.
func (r *reader) berLength(field string) int {
	n := int(r.Cursor.Uint8(field))
	switch n {
	case 0x81:
		n = int(r.Cursor.Uint8(field))
	case 0x82:
		n = int(r.Cursor.Uint16(field))
	default:
		if n >= 0x80 {
			r.Fail(field, r.Offset()-1, fmt.Errorf("length octet 0x%02x: %w", n, errValue))
			return 0
		}
	}
	return n
}

// wrapped reads the contents of one field inside another one: A4 { 04 octets }.
func (r *reader) wrapped(field string, want byte) []byte {
	at := r.Offset()
	tag, contents := r.tlv(field)
	if r.Err() == nil && tag != want {
		r.Fail(field, at, fmt.Errorf("0x%02x, want 0x%02x: %w", tag, want, errTag))
	}
	return contents.leaf(field)
}

// leaf reads all that is left of a field, which is not nil even where that is nothing.
func (r *reader) leaf(field string) []byte {
	at := r.Offset()
	b := r.Cursor.Rest()
	if r.note != nil && len(b) > 0 {
		r.explainLeaf(field, at, b)
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

// integer reads an INTEGER inside a field.
func (r *reader) integer(field string) uint8 {
	at := r.Offset()
	b := r.wrapped(field, 0x02)
	if r.Err() == nil && len(b) != 1 {
		r.Fail(field, at, fmt.Errorf("%d octets, want 1", len(b)))
	}
	if len(b) != 1 {
		return 0
	}
	return b[0]
}

// oid checks an object identifier and returns its last arc.
func (r *reader) oid(field string, at int, b []byte, branch byte) uint8 {
	if r.Err() != nil {
		return 0
	}
	if len(b) != 7 || !bytes.HasPrefix(b, arcs) || b[5] != branch {
		r.Fail(field, at, fmt.Errorf("object identifier % x is not of DLMS", b))
		return 0
	}
	return b[6]
}

// requirements checks that a bit string asks for authentication.
func (r *reader) requirements(field string) bool {
	at, b := r.Offset(), r.leaf(field)
	if len(b) != 2 || b[0] != 7 {
		r.Fail(field, at, fmt.Errorf("% x is no bit string of one bit", b))
		return false
	}
	return b[1]&0x80 != 0
}

// adopt takes over the failure of a field's own reader. The field was complete:
// what was missing in it will not come.
func (r *reader) adopt(field *reader) {
	err := field.err()
	if r.Err() == nil && err == nil && field.Len() > 0 {
		r.Fail("field", field.Offset(), fmt.Errorf("%d octets too many", field.Len()))
	}
	if err == nil {
		return
	}
	var pe *ParseError
	errors.As(err, &pe)
	if errors.Is(pe.Err, io.ErrUnexpectedEOF) {
		pe.Err = errRunsOver
	}
	r.Fail(pe.Field, pe.Offset, pe.Err)
}

// fields reads the fields of an ACSE PDU, each at most once and in any order.
func (r *reader) fields(names map[byte]string, read func(tag byte, contents *reader) bool) {
	r.fieldNames = names
	r.Uint8("tag")
	at := r.Offset()
	end := r.berLength("length")
	if r.note != nil && r.Err() == nil {
		r.note(at, r.Offset()-at, r.level, "length", fmt.Sprint(end))
	}
	end += r.Offset()
	if r.Err() == nil && end > len(r.b) {
		r.Bytes(len(r.b), "fields")
		return
	}
	var seen [256]bool
	for r.Err() == nil && r.Offset() < end {
		at := r.Offset()
		tag, contents := r.tlv("field")
		if r.Err() != nil {
			return
		}
		if r.Offset() > end {
			r.Fail("field", at, errRunsOver)
			return
		}
		if seen[tag] {
			r.Fail("field", at, fmt.Errorf("0x%02x a second time", tag))
			return
		}
		seen[tag] = true
		if !read(tag, contents) {
			r.Fail("field", at, fmt.Errorf("0x%02x: %w", tag, errTag))
			return
		}
		r.adopt(contents)
	}
}

func appendTLV(dst []byte, tag byte, contents ...byte) []byte {
	return append(appendBERLength(append(dst, tag), len(contents)), contents...)
}

func appendBERLength(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= 0xFF:
		return append(dst, 0x81, byte(n))
	}
	return append(dst, 0x82, byte(n>>8), byte(n))
}

// appendWrapped appends { outer { inner octets } } unless octets is nil.
func appendWrapped(dst []byte, outer, inner byte, octets []byte) []byte {
	if octets == nil {
		return dst
	}
	return appendTLV(dst, outer, appendTLV(nil, inner, octets...)...)
}

func appendOID(dst []byte, branch, last byte) []byte {
	return append(append(dst, arcs...), branch, last)
}

// finish puts tag and length before the fields.
func finish(dst []byte, tag byte, fields []byte) ([]byte, error) {
	if len(fields) > 0xFFFF {
		return dst, ErrTooLong
	}
	return appendTLV(dst, tag, fields...), nil
}

// requestFields and responseFields name the fields of AARQ, AARE, RLRQ and RLRE.
var requestFields = map[byte]string{
	fieldVersion: "protocol-version", fieldContext: "application-context-name", 0xA2: "called-AP-title", 0xA3: "called-AE-qualifier",
	0xA4: "called-AP-invocation-id", 0xA5: "called-AE-invocation-id", 0xA6: "calling-AP-title", 0xA7: "calling-AE-qualifier",
	0xA8: "calling-AP-invocation-id", 0xA9: "calling-AE-invocation-id", fieldRequirements: "sender-acse-requirements",
	fieldMechanism: "mechanism-name", fieldAuth: "calling-authentication-value", fieldImplementation: "implementation-information",
	fieldUser: "user-information",
}

var responseFields = map[byte]string{
	fieldVersion: "protocol-version", fieldContext: "application-context-name", 0xA2: "result", 0xA3: "result-source-diagnostic",
	0xA4: "responding-AP-title", 0xA5: "responding-AE-qualifier", 0xA6: "responding-AP-invocation-id", 0xA7: "responding-AE-invocation-id",
	fieldRespondReq: "responder-acse-requirements", fieldRespondMech: "mechanism-name", fieldRespondAuth: "responding-authentication-value",
	fieldImplementation: "implementation-information", fieldUser: "user-information",
}

var releaseFields = map[byte]string{0x80: "reason", fieldUser: "user-information"}
