// Package apdu has every PDU of the DLMS/COSEM application layer (IEC 62056-5-3):
// the ACSE PDUs that open and close an association, the xDLMS services, and the
// PDUs that cipher, sign and cut them. One file holds one PDU.
//
// The first octet tells them apart:
//
//	01 08 initiate · 05 06 0C 0D 16 18 SN referencing · 0E 0F D8 errors and pushes
//	60–63 ACSE · C0–C7 LN referencing · D9 DA access · E0 general block transfer
//	21–38 C8–CF ciphered with a global key · 41–58 D0–D7 with a dedicated key
//	DB DC general-glo and -ded · DD general-ciphering · DF general-signing · E6 E7 gateway
//
// PDUs alias the octets from which they were parsed.
package apdu

import (
	"errors"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/internal/wire"
	"github.com/openusm/meter/obis"
)

// PDU is one of the PDUs of this package; those that it does not know are [Unknown].
type PDU interface {
	// AppendBinary appends the encoding. On error dst is returned unchanged.
	AppendBinary(dst []byte) ([]byte, error)
	// Name returns the name of the standard: "get-request-normal".
	Name() string
}

// Tags of PDUs, their first octet.
const (
	TagInitiateRequest       = 0x01
	TagReadRequest           = 0x05
	TagWriteRequest          = 0x06
	TagInitiateResponse      = 0x08
	TagReadResponse          = 0x0C
	TagWriteResponse         = 0x0D
	TagConfirmedServiceError = 0x0E
	TagDataNotification      = 0x0F
	TagUnconfirmedWrite      = 0x16
	TagInformationReport     = 0x18
	TagAARQ                  = 0x60
	TagAARE                  = 0x61
	TagRLRQ                  = 0x62
	TagRLRE                  = 0x63
	TagGetRequest            = 0xC0
	TagSetRequest            = 0xC1
	TagEventNotification     = 0xC2
	TagActionRequest         = 0xC3
	TagGetResponse           = 0xC4
	TagSetResponse           = 0xC5
	TagActionResponse        = 0xC7
	TagExceptionResponse     = 0xD8
	TagAccessRequest         = 0xD9
	TagAccessResponse        = 0xDA
	TagGeneralGloCiphering   = 0xDB
	TagGeneralDedCiphering   = 0xDC
	TagGeneralCiphering      = 0xDD
	TagGeneralSigning        = 0xDF
	TagGeneralBlockTransfer  = 0xE0
	TagGatewayRequest        = 0xE6
	TagGatewayResponse       = 0xE7
)

// Parse reads the PDU at the start of b and returns how many octets it took.
// Input that is only too short gives an error that wraps [io.ErrUnexpectedEOF].
func Parse(b []byte) (PDU, int, error) {
	p, n, err := newReader(b).pdu()
	if err != nil || n < len(b) {
		if p, ok := bareNotification(b); ok {
			return p, len(b), nil
		}
	}
	return p, n, err
}

// pdu reads any PDU.
func (r *reader) pdu() (PDU, int, error) {
	var p PDU
	tag, _ := r.Peek()
	switch {
	case len(r.b) == 0:
		r.Uint8("tag")
	case tag == TagInitiateRequest:
		p = r.initiateRequest()
	case tag == TagInitiateResponse:
		p = r.initiateResponse()
	case tag == TagReadRequest:
		p = r.readRequest()
	case tag == TagReadResponse:
		p = r.readResponse()
	case tag == TagWriteRequest:
		p = r.writeRequest()
	case tag == TagWriteResponse:
		p = r.writeResponse()
	case tag == TagUnconfirmedWrite:
		p = r.unconfirmedWrite()
	case tag == TagInformationReport:
		p = r.informationReport()
	case tag == TagConfirmedServiceError:
		p = r.confirmedServiceError()
	case tag == TagDataNotification:
		p = r.dataNotification()
	case tag == TagAARQ:
		p = r.aarq()
	case tag == TagAARE:
		p = r.aare()
	case tag == TagRLRQ:
		p = r.rlrq()
	case tag == TagRLRE:
		p = r.rlre()
	case tag == TagGetRequest:
		p = r.getRequest()
	case tag == TagGetResponse:
		p = r.getResponse()
	case tag == TagSetRequest:
		p = r.setRequest()
	case tag == TagSetResponse:
		p = r.setResponse()
	case tag == TagActionRequest:
		p = r.actionRequest()
	case tag == TagActionResponse:
		p = r.actionResponse()
	case tag == TagEventNotification:
		p = r.eventNotification()
	case tag == TagExceptionResponse:
		p = r.exceptionResponse()
	case tag == TagAccessRequest:
		p = r.accessRequest()
	case tag == TagAccessResponse:
		p = r.accessResponse()
	case isServiceCiphered(tag):
		p = r.ciphered()
	case tag == TagGeneralGloCiphering, tag == TagGeneralDedCiphering:
		p = r.generalCiphered()
	case tag == TagGeneralCiphering:
		p = r.generalCiphering()
	case tag == TagGeneralSigning:
		p = r.generalSigning()
	case tag == TagGeneralBlockTransfer:
		p = r.generalBlockTransfer()
	case tag == TagGatewayRequest, tag == TagGatewayResponse:
		p = r.gateway()
	default:
		p = Unknown{r.Rest()}
	}
	if err := r.err(); err != nil {
		return nil, 0, err
	}
	return p, r.Offset(), nil
}

// Unknown is a PDU whose tag this package does not know, as it was sent.
type Unknown struct{ Octets []byte }

// Name returns "unknown".
func (Unknown) Name() string { return "unknown" }

// AppendBinary appends the octets. It never fails.
func (u Unknown) AppendBinary(dst []byte) ([]byte, error) { return append(dst, u.Octets...), nil }

// InvokeID is the octet invoke-id-and-priority: bits 0 to 3 number a request,
// bit 6 asks for a response, bit 7 for priority.
type InvokeID uint8

// The flags of an InvokeID.
const (
	Confirmed    InvokeID = 0x40
	HighPriority InvokeID = 0x80
)

// LongInvokeID is the same in four octets: bits 0 to 23 number a request, bit 28 is
// self-descriptive, 29 break on error, 30 asks for a response, 31 for priority.
type LongInvokeID uint32

// The flags of a LongInvokeID.
const (
	LongSelfDescriptive LongInvokeID = 1 << 28
	LongBreakOnError    LongInvokeID = 1 << 29
	LongConfirmed       LongInvokeID = 1 << 30
	LongHighPriority    LongInvokeID = 1 << 31
)

// Result is the outcome of reading one attribute: data, or the reason why there are none.
type Result struct {
	Data cosem.Data
	Code cosem.DataAccessResult // Success where Data holds
}

// Block is a part of a PDU body that was cut into blocks.
type Block struct {
	Last   bool
	Number uint32 // from 1
	Raw    []byte
}

// ParseError says which field of a PDU could not be read, and where.
type ParseError struct {
	Field  string // as the standard names it
	Offset int    // octets from the start of the slice given to Parse
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("apdu: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

var (
	errChoice = errors.New("unknown choice")
	errTag    = errors.New("unexpected tag")
	errValue  = errors.New("value out of range")
	// ErrTooLong reports a PDU with more items, or more octets, than its fields can count.
	ErrTooLong = errors.New("apdu: too long")
)

// reader is a cursor with the parts that PDUs share.
type reader struct {
	wire.Cursor
	b     []byte
	note  Note // nil unless the PDU is to be explained
	level int  // of nesting, for note
	// fieldNames names the fields of an ACSE PDU, for note.
	fieldNames map[byte]string
}

func newReader(b []byte) *reader { return &reader{Cursor: wire.NewCursor(b), b: b} }

// err returns the first failure as a ParseError.
func (r *reader) err() error {
	err := r.Err()
	if err == nil {
		return nil
	}
	var we *wire.Error
	if errors.As(err, &we) {
		return &ParseError{Field: we.Field, Offset: we.Offset, Err: we.Err}
	}
	return err
}

// choice fails for a value that no alternative has.
func (r *reader) choice(field string, v uint8) {
	r.Fail(field, r.Offset()-1, fmt.Errorf("0x%02x: %w", v, errChoice))
}

// length reads a length or count in A-XDR.
func (r *reader) length(field string) int {
	if r.Err() != nil {
		return 0
	}
	v, n, err := cosem.ParseLength(r.b[r.Offset():])
	if err != nil {
		r.Fail(field, r.Offset()+errorOffset(err), errors.Unwrap(err))
		return 0
	}
	r.Bytes(n, field)
	return v
}

// errorOffset returns the offset of an error of package cosem.
func errorOffset(err error) int {
	var pe *cosem.ParseError
	if errors.As(err, &pe) {
		return pe.Offset
	}
	return 0
}

// octets reads a length and that many octets.
func (r *reader) octets(field string) []byte { return r.Bytes(r.length(field), field) }

// count reads a count of items of at least size octets each, and fails where
// so many cannot follow.
func (r *reader) count(field string, size int) int {
	n := r.length(field)
	if n > r.Len()/size {
		r.Bytes(r.Len()+1, field)
		return 0
	}
	return n
}

// data reads a value.
func (r *reader) data(field string) cosem.Data {
	if r.Err() != nil {
		return cosem.Data{}
	}
	at := r.Offset()
	if r.note != nil {
		_, _ = cosem.Explain(r.b[at:], r.level, func(off, n, depth int, f, meaning string) { r.note(at+off, n, depth, f, meaning) })
	}
	d, n, err := cosem.ParseData(r.b[at:])
	if err != nil {
		var pe *cosem.ParseError
		if errors.As(err, &pe) {
			field += " " + pe.Field
		}
		r.Fail(field, r.Offset()+errorOffset(err), errors.Unwrap(err))
		return cosem.Data{}
	}
	r.Cursor.Bytes(n, field)
	return d
}

// attribute reads a cosem-attribute-descriptor.
func (r *reader) attribute() cosem.Attribute {
	a := cosem.Attribute{Class: cosem.Class(r.Uint16("class-id"))}
	if b := r.Bytes(6, "instance-id"); b != nil {
		a.Name = obis.Code(b)
	}
	a.Index = int8(r.Uint8("attribute-id"))
	return a
}

// method reads a cosem-method-descriptor.
func (r *reader) method() cosem.Method {
	m := cosem.Method{Class: cosem.Class(r.Uint16("class-id"))}
	if b := r.Bytes(6, "instance-id"); b != nil {
		m.Name = obis.Code(b)
	}
	m.Index = int8(r.Uint8("method-id"))
	return m
}

// optional reads the presence octet of an optional field.
func (r *reader) optional(field string) bool {
	switch v := r.Uint8(field); v {
	case 0:
		return false
	case 1:
		return true
	default:
		r.choice(field, v)
		return false
	}
}

// boolean reads a boolean; every octet but 0 is true.
func (r *reader) boolean(field string) bool { return r.Uint8(field) != 0 }

// selection reads an optional access-selection.
func (r *reader) selection() *cosem.Selection {
	if !r.optional("access-selection") {
		return nil
	}
	return &cosem.Selection{Selector: r.Uint8("access-selector"), Parameters: r.data("access-parameters")}
}

// result reads a Get-Data-Result.
func (r *reader) result() Result {
	switch c := r.Uint8("result"); c {
	case 0:
		return Result{Data: r.data("data")}
	case 1:
		return r.failure()
	default:
		r.choice("result", c)
	}
	return Result{}
}

// failure reads a data-access-result that must not be success.
func (r *reader) failure() Result {
	code := cosem.DataAccessResult(r.Uint8("data-access-result"))
	if code == cosem.Success {
		r.Fail("data-access-result", r.Offset()-1, errors.New("success without data"))
	}
	return Result{Code: code}
}

// block reads last-block, block-number and raw data.
func (r *reader) block() Block {
	return Block{Last: r.boolean("last-block"), Number: r.Uint32("block-number"), Raw: r.octets("raw-data")}
}

// time reads the optional date-time of a notification: its octets with their
// length, 0 for none. Some meters put the tag of an octet-string or of a
// date-time before it; such a tag is read over.
func (r *reader) time() []byte {
	tag, _ := r.Peek()
	if rest := r.b[r.Offset():]; len(rest) > 1 && tag == byte(cosem.TagOctetString) && rest[1] == 12 {
		r.Uint8("date-time")
	}
	start := r.Offset()
	b := r.octets("date-time")
	if len(b) != 0 && len(b) != 12 {
		r.Fail("date-time", start, fmt.Errorf("%d octets, want 0 or 12", len(b)))
	}
	return b
}

func appendOctets(dst, b []byte) []byte { return append(cosem.AppendLength(dst, len(b)), b...) }

func appendData(dst []byte, d cosem.Data) []byte {
	dst, _ = d.AppendBinary(dst)
	return dst
}

func appendSelection(dst []byte, s *cosem.Selection) []byte {
	if s == nil {
		return append(dst, 0)
	}
	return appendData(append(dst, 1, s.Selector), s.Parameters)
}

func appendResult(dst []byte, r Result) []byte {
	if r.Code != cosem.Success {
		return append(dst, 1, byte(r.Code))
	}
	return appendData(append(dst, 0), r.Data)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendUint32(dst []byte, v uint32) []byte {
	return append(dst, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func appendBlock(dst []byte, b Block) []byte {
	return appendOctets(appendUint32(appendBool(dst, b.Last), b.Number), b.Raw)
}
