// Package osgp reads and writes the application messages of the Open Smart Grid
// Protocol (ETSI GS OSG 001), which ask for tables as C12.18 does. Basic tables are laid
// out as in C12.19.
//
//	request   type(1)=0 | service(1) | table(2) | offset(3)* | count(2)* | data* | sequence(4) | digest(8)
//	response  type(1)=0 | status(1) | count(2)* | data* | digest(8)
//
// Numbers have the high octet first. What has a star is there as the service needs
// it: the offset in parts of tables, the count in parts and in writes.
//
// # Security
//
// The OMA digest that authenticates messages is broken: four chosen messages give its
// key away (Jovanovic and Neves, "Practical Cryptanalysis of the Open Smart Grid
// Protocol", FSE 2015), and so is the RC4 that enciphers them (Kursawe and Peters, IACR
// eprint 2015/088). This package computes the digest because meters refuse messages
// without it, and [Request.Check] says no more than that a message was not garbled by
// accident. It has no cipher.
package osgp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/openusm/meter/internal/wire"
)

// Service is what a request asks for.
type Service byte

// The services.
const (
	ReadTable  Service = 0x30
	ReadPart   Service = 0x3F
	WriteTable Service = 0x40
	WritePart  Service = 0x4F
)

var serviceNames = map[Service]string{ReadTable: "full read", ReadPart: "partial read", WriteTable: "full write", WritePart: "partial write"}

// String returns the name in words.
func (s Service) String() string {
	if name, ok := serviceNames[s]; ok {
		return name
	}
	return fmt.Sprintf("service 0x%02x", byte(s))
}

func (s Service) part() bool  { return s == ReadPart || s == WritePart }
func (s Service) write() bool { return s == WriteTable || s == WritePart }

// Status is how a request was answered. Any but OK is an error.
type Status byte

// The statuses.
const (
	OK  Status = 0x00
	Err Status = 0x01 // error without further reason
	SNS Status = 0x02 // service not supported
	ISC Status = 0x03 // insufficient security clearance
	ONP Status = 0x04 // operation not possible
	IAR Status = 0x05 // inappropriate action requested
	BSY Status = 0x06 // device busy
	ISS Status = 0x0A // invalid service sequence state
	DIG Status = 0x0B // wrong digest
	SEQ Status = 0x0C // wrong sequence number
)

var statusNames = map[Status]string{
	OK: "ok", Err: "error", SNS: "service not supported", ISC: "insufficient security clearance", ONP: "operation not possible",
	IAR: "inappropriate action requested", BSY: "device busy", ISS: "invalid service sequence state", DIG: "wrong digest", SEQ: "wrong sequence number",
}

// String returns the status in words.
func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status 0x%02x", byte(s))
}

// Error makes a status that is not OK an error.
func (s Status) Error() string { return "refused by the device: " + s.String() }

// The lengths of messages and their parts.
const (
	MaxAPDU   = 114
	MaxRead   = 84 // octets of a part that is read
	MaxWrite  = 75 // octets of a part that is written
	DigestLen = 8
	maxOffset = 1<<24 - 1
)

// Unified is the number of the first unified table; those of manufacturers begin at 2048.
const Unified = 16384

// Request is a request for a table or a part of it.
type Request struct {
	Service  Service
	Table    uint16
	Offset   uint32 // octets, 24 bits; of parts
	Count    uint16 // octets, of parts that are read; writes have as many as their data
	Data     []byte // of writes; aliases the input after parsing
	Sequence uint32 // counts requests
	Digest   [DigestLen]byte
}

// ParseRequest reads the request at the start of b and returns how many octets it took.
// Input that is only too short gives an error that wraps [io.ErrUnexpectedEOF].
func ParseRequest(b []byte) (r Request, n int, err error) {
	c := wire.NewCursor(b)
	typeCode(&c)
	r.Service = Service(c.Uint8("service"))
	if _, ok := serviceNames[r.Service]; c.Err() == nil && !ok {
		c.Fail("service", 1, fmt.Errorf("0x%02x", byte(r.Service)))
	}
	r.Table = c.Uint16("table")
	if r.Service.part() {
		if high := c.Bytes(3, "offset"); high != nil {
			r.Offset = uint32(high[0])<<16 | uint32(high[1])<<8 | uint32(high[2])
		}
	}
	if r.Service.part() || r.Service.write() {
		r.Count = c.Uint16("count")
	}
	if r.Service.write() {
		r.Data = c.Bytes(int(r.Count), "data")
		r.Count = 0
	}
	r.Sequence = c.Uint32("sequence")
	copy(r.Digest[:], c.Bytes(DigestLen, "digest"))
	if err := c.Err(); err != nil {
		return Request{}, 0, asParseError(err)
	}
	return r, c.Offset(), nil
}

// typeCode reads the message code of EN 14908-1.
func typeCode(c *wire.Cursor) {
	if code := c.Uint8("type"); c.Err() == nil && code != 0 {
		c.Fail("type", 0, fmt.Errorf("%d, want 0", code))
	}
}

// AppendBinary appends the request with the digest that it has. On error dst is
// returned unchanged.
func (r Request) AppendBinary(dst []byte) ([]byte, error) {
	out, err := r.appendSigned(dst)
	if err != nil {
		return dst, err
	}
	return append(out, r.Digest[:]...), nil
}

// appendSigned appends what the digest covers.
func (r Request) appendSigned(dst []byte) ([]byte, error) {
	if _, ok := serviceNames[r.Service]; !ok || r.Offset > maxOffset || len(r.Data) > 0xFFFF {
		return dst, fmt.Errorf("osgp: %v of %d octets at %d: %w", r.Service, len(r.Data), r.Offset, ErrRange)
	}
	dst = append(dst, 0, byte(r.Service))
	dst = binary.BigEndian.AppendUint16(dst, r.Table)
	if r.Service.part() {
		dst = append(dst, byte(r.Offset>>16), byte(r.Offset>>8), byte(r.Offset))
	}
	switch {
	case r.Service.write():
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(r.Data))), r.Data...)
	case r.Service.part():
		dst = binary.BigEndian.AppendUint16(dst, r.Count)
	}
	return binary.BigEndian.AppendUint32(dst, r.Sequence), nil
}

// Response is the answer to a request.
type Response struct {
	Status Status
	Read   bool   // it has a count, as answers to reads have
	Data   []byte // that was read; aliases the input after parsing
	Digest [DigestLen]byte
}

// ParseResponse reads the response in b, all of it: it has a count where it is longer
// than a response without. Where the request is known, [Request.ParseResponse] tells
// better.
func ParseResponse(b []byte) (r Response, n int, err error) {
	r, n, err = parseResponse(b, len(b) > 2+DigestLen)
	if err == nil && n < len(b) {
		return Response{}, 0, &ParseError{Field: "response", Offset: n, Err: fmt.Errorf("%d octets too many", len(b)-n)}
	}
	return r, n, err
}

// ParseResponse reads the response to q at the start of b and returns how many octets it took.
func (q Request) ParseResponse(b []byte) (r Response, n int, err error) {
	return parseResponse(b, len(b) > 1 && Status(b[1]) == OK && !q.Service.write())
}

func parseResponse(b []byte, counted bool) (r Response, n int, err error) {
	c := wire.NewCursor(b)
	typeCode(&c)
	r.Status = Status(c.Uint8("status"))
	if r.Read = counted; r.Read {
		r.Data = c.Bytes(int(c.Uint16("count")), "data")
	}
	copy(r.Digest[:], c.Bytes(DigestLen, "digest"))
	if err := c.Err(); err != nil {
		return Response{}, 0, asParseError(err)
	}
	return r, c.Offset(), nil
}

// AppendBinary appends the response with the digest that it has. On error dst is
// returned unchanged.
func (r Response) AppendBinary(dst []byte) ([]byte, error) {
	if len(r.Data) > 0xFFFF || len(r.Data) > 0 && !r.Read {
		return dst, fmt.Errorf("osgp: response of %d octets: %w", len(r.Data), ErrRange)
	}
	return append(r.appendSigned(dst), r.Digest[:]...), nil
}

func (r Response) appendSigned(dst []byte) []byte {
	dst = append(dst, 0, byte(r.Status))
	if r.Read {
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(r.Data))), r.Data...)
	}
	return dst
}

// Errors on which callers branch.
var (
	ErrRange  = errors.New("outside of what a message can hold")
	ErrDigest = errors.New("wrong digest: another key or address, or the message is garbled")
)

// ParseError says which field of a message could not be read, and where.
type ParseError struct {
	Field  string
	Offset int // octets from the start of the slice that was parsed
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("osgp: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

func asParseError(err error) error {
	var e *wire.Error
	if errors.As(err, &e) {
		return &ParseError{Field: e.Field, Offset: e.Offset, Err: e.Err}
	}
	return err
}

// Message is one message of a capture: a request, or a response and what it answers.
type Message struct {
	Length   int // octets
	Request  *Request
	Response *Response // nil in requests
}

// Name says in words what the message is.
func (m *Message) Name() string {
	if m.Response != nil {
		return m.Response.Status.String()
	}
	return m.Request.Service.String() + " " + TableName(m.Request.Table)
}

// Parse reads the message at the start of b. Services are higher than statuses. A
// response answers the request asked; where that is nil it is all the rest of b.
func Parse(b []byte, asked *Request) (m Message, err error) {
	if len(b) > 1 && b[1] >= byte(ReadTable) {
		m.Request = &Request{}
		*m.Request, m.Length, err = ParseRequest(b)
		return m, err
	}
	m.Request, m.Response = asked, &Response{}
	if asked != nil {
		*m.Response, m.Length, err = asked.ParseResponse(b)
	} else {
		*m.Response, m.Length, err = ParseResponse(b)
	}
	return m, err
}

// Explain calls note for each field of the message at the start of b, which may
// answer the request asked, and returns the message.
func Explain(b []byte, asked *Request, note func(offset, length, depth int, field, meaning string)) (Message, error) {
	m, err := Parse(b, asked)
	if err != nil {
		explainBroken(b, 0, err, note)
		return m, err
	}
	at := 0
	field := func(length int, name, meaning string) {
		if length > 0 {
			note(at, length, 0, name, meaning)
			at += length
		}
	}
	field(1, "type", "application message")
	if m.Response != nil {
		m.Response.explain(field)
	} else {
		m.Request.explain(field)
	}
	field(DigestLen, "digest", "not checked; broken in any case")
	return m, nil
}

// explainBroken notes what can be read of the message at an offset of b, which is not whole.
func explainBroken(b []byte, at int, err error, note func(offset, length, depth int, field, meaning string)) {
	var pe *ParseError
	if !errors.As(err, &pe) {
		return
	}
	known := min(pe.Offset, len(b)) - at
	if known > 0 {
		note(at, 1, 0, "type", "application message")
	}
	switch {
	case known > 1 && b[at+1] >= byte(ReadTable):
		note(at+1, 1, 0, "service", Service(b[at+1]).String())
	case known > 1:
		note(at+1, 1, 0, "status", Status(b[at+1]).String())
	}
	if known > 2 {
		note(at+2, known-2, 0, "rest", "as far as it can be read")
	}
}

func (r *Request) explain(field func(length int, name, meaning string)) {
	field(1, "service", r.Service.String())
	field(2, "table", TableName(r.Table))
	if r.Service.part() {
		field(3, "offset", fmt.Sprint(r.Offset))
	}
	switch {
	case r.Service.write():
		field(2, "count", fmt.Sprintf("%d octets", len(r.Data)))
		field(len(r.Data), "data", "")
	case r.Service.part():
		field(2, "count", fmt.Sprintf("%d octets", r.Count))
	}
	field(4, "sequence", fmt.Sprint(r.Sequence))
}

func (r *Response) explain(field func(length int, name, meaning string)) {
	field(1, "status", r.Status.String())
	if r.Read {
		field(2, "count", fmt.Sprintf("%d octets", len(r.Data)))
	}
	field(len(r.Data), "data", "")
}

// TableName returns a table's short name: "BT 23", "ET 11", "UT 1".
func TableName(table uint16) string {
	switch {
	case table >= Unified:
		return fmt.Sprintf("UT %d", table-Unified)
	case table >= 2048:
		return fmt.Sprintf("ET %d", table-2048)
	}
	return fmt.Sprintf("BT %d", table)
}
