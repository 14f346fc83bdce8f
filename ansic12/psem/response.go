package psem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/internal/wire"
)

// ErrChecksum reports table data whose checksum is wrong.
var ErrChecksum = errors.New("wrong checksum")

// Response is the answer to a request. What its body holds depends on the request.
type Response struct {
	Status Status
	Body   []byte // empty unless Status is OK; aliases the input after parsing
}

// ParseResponse reads the response in b, all of it.
func ParseResponse(b []byte) (Response, int, error) {
	if len(b) == 0 {
		return Response{}, 0, &ParseError{Field: "status", Err: io.ErrUnexpectedEOF}
	}
	return Response{Status(b[0]), b[1:]}, len(b), nil
}

// AppendBinary appends the response. It never fails.
func (r Response) AppendBinary(dst []byte) ([]byte, error) {
	return append(append(dst, byte(r.Status)), r.Body...), nil
}

// TableData returns the octets of a table from the response to a read.
func (r Response) TableData() ([]byte, error) {
	c := wire.NewCursor(r.Body)
	data := counted(&c)
	if err := c.Err(); err != nil {
		return nil, asParseError(err)
	}
	if c.Len() > 0 {
		return nil, &ParseError{Field: "table data", Offset: c.Offset(), Err: fmt.Errorf("%d octets too many", c.Len())}
	}
	return data, nil
}

// TableResponse returns the response to a read: count, data, checksum.
func TableResponse(data []byte) (Response, error) {
	if len(data) > 0xFFFF {
		return Response{}, fmt.Errorf("psem: %w: table part of %d octets", ErrTooLong, len(data))
	}
	return Response{Body: appendCounted(nil, data)}, nil
}

// Standards of an identity.
const (
	StandardC1218 = 0
	StandardC1221 = 2
	StandardC1222 = 3
)

// Identity is the answer to identify.
type Identity struct {
	Standard byte // StandardC1218, …
	Version  byte
	Revision byte
	Features []Feature
}

// Feature is something that a device says of itself after its version.
type Feature struct {
	Code byte   // see the Feature… constants
	Data []byte // without a length octet
}

// The features of C12.21 and C12.22.
const (
	FeatureEnd            = 0x00
	FeatureAuthenticate   = 0x01 // type, algorithm
	FeatureTicket         = 0x02 // type, algorithm, length, ticket
	FeatureDeviceClassOID = 0x04 // universal object identifier in BER
	FeatureDeviceOID      = 0x05
	FeatureDeviceClass    = 0x06 // object identifier in BER
	FeatureDeviceIdentity = 0x07 // length, format, text
)

// Identity returns the answer to identify.
func (r Response) Identity() (Identity, error) {
	c := wire.NewCursor(r.Body)
	id := Identity{Standard: c.Uint8("standard"), Version: c.Uint8("version"), Revision: c.Uint8("revision")}
	for c.Err() == nil && c.Len() > 0 {
		code := c.Uint8("feature")
		if code == FeatureEnd {
			break
		}
		size := featureLen(r.Body[c.Offset():], code)
		id.Features = append(id.Features, Feature{code, c.Bytes(size, "feature")})
	}
	if err := c.Err(); err != nil {
		return Identity{}, asParseError(err)
	}
	return id, nil
}

// featureLen returns how long the feature is that begins with b; one that is not
// known takes all the rest.
func featureLen(b []byte, code byte) int {
	switch code {
	case FeatureAuthenticate:
		return 2
	case FeatureTicket:
		if len(b) > 2 {
			return 3 + int(b[2])
		}
		return 3
	case FeatureDeviceClassOID, FeatureDeviceOID, FeatureDeviceClass:
		if len(b) > 1 {
			return 2 + int(b[1])
		}
		return 2
	case FeatureDeviceIdentity:
		if len(b) > 0 {
			return 1 + int(b[0])
		}
		return 1
	}
	return len(b)
}

// Ticket returns the ticket that the device wants encrypted (C12.21).
func (id Identity) Ticket() (ticket []byte, ok bool) {
	for _, f := range id.Features {
		if f.Code == FeatureTicket && len(f.Data) > 3 {
			return f.Data[3:], true
		}
	}
	return nil, false
}

// Response returns the identity as a response.
func (id Identity) Response() Response {
	body := []byte{id.Standard, id.Version, id.Revision}
	for _, f := range id.Features {
		body = append(append(body, f.Code), f.Data...)
	}
	return Response{Body: append(body, FeatureEnd)}
}

// Negotiated is the answer to negotiate.
type Negotiated struct {
	PacketSize uint16
	Packets    uint8
	Baud       byte // the code of the rate from now on
}

// Negotiated returns the answer to negotiate.
func (r Response) Negotiated() (Negotiated, error) {
	c := wire.NewCursor(r.Body)
	n := Negotiated{c.Uint16("packet size"), c.Uint8("packets"), c.Uint8("rate")}
	return n, asParseError(c.Err())
}

// Response returns the answer to negotiate as a response.
func (n Negotiated) Response() Response {
	return Response{Body: append(binary.BigEndian.AppendUint16(nil, n.PacketSize), n.Packets, n.Baud)}
}

// Timing returns the answer to timing setup.
func (r Response) Timing() (Timing, error) {
	c := wire.NewCursor(r.Body)
	t := parseTiming(&c)
	return t, asParseError(c.Err())
}

// Authentication returns the answer to authenticate.
func (r Response) Authentication() ([]byte, error) {
	c := wire.NewCursor(r.Body)
	data := c.Bytes(int(c.Uint8("length")), "data")
	return data, asParseError(c.Err())
}

func asParseError(err error) error {
	if err == nil {
		return nil
	}
	var e *wire.Error
	if errors.As(err, &e) {
		return &ParseError{Field: e.Field, Offset: e.Offset, Err: e.Err}
	}
	return err
}
