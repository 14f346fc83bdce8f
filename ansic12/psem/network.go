package psem

import (
	"encoding/binary"
	"fmt"

	"github.com/openusm/meter/internal/wire"
)

// The kinds of station in a registration (node type).
const (
	NodeRelay              = 1 << 0
	NodeMasterRelay        = 1 << 1
	NodeHost               = 1 << 2
	NodeNotificationHost   = 1 << 3
	NodeAuthenticationHost = 1 << 4
	NodeEndDevice          = 1 << 5
)

// ClassLen is the length of an end device class.
const ClassLen = 4

// Register tells a relay of C12.22 that a station is there, and how to reach it.
type Register struct {
	Node       byte // see the Node… constants
	Connection byte // what kinds of connection the station takes part in
	Class      [ClassLen]byte
	Title      []byte // AP title, with tag and length; empty asks for one (0D 00)
	Serial     []byte // electronic serial number, an object identifier with tag and length
	Address    []byte // native address, at most 255 octets
	Period     uint32 // seconds until the next registration, 24 bits
	Domain     []byte // pattern of the domain, at most 255 octets
}

// Lookup is a service about a station that is known by its AP title: deregister,
// resolve (where is it) and trace (over which relays).
type Lookup struct {
	Code  Service
	Title []byte // with tag and length
}

func (Register) request() {}
func (Lookup) request()   {}

// Service returns the first octet of the request.
func (r Register) Service() Service { return ServiceRegister }
func (r Lookup) Service() Service   { return r.Code }

func parseRegister(c *wire.Cursor) Request {
	r := Register{Node: c.Uint8("node type"), Connection: c.Uint8("connection type")}
	copy(r.Class[:], c.Bytes(ClassLen, "device class"))
	r.Title = title(c, "AP title")
	r.Serial = title(c, "serial number")
	r.Address = c.Bytes(int(c.Uint8("address length")), "native address")
	r.Period = uint24(c, "period")
	r.Domain = c.Bytes(int(c.Uint8("domain length")), "domain pattern")
	return r
}

// title reads an object identifier with its tag and its length of one octet.
func title(c *wire.Cursor, field string) []byte {
	at := c.Offset()
	tag, size := c.Uint8(field), c.Uint8(field)
	if size >= 0x80 {
		c.Fail(field, at+1, fmt.Errorf("length 0x%02x, want at most 127", size))
	}
	content := c.Bytes(int(size), field)
	if c.Err() != nil {
		return nil
	}
	return append([]byte{tag, size}, content...)
}

// appendTitle appends a title, an empty one as an empty relative identifier.
func appendTitle(dst, t []byte, field string) ([]byte, error) {
	if len(t) == 0 {
		t = []byte{0x0D, 0}
	}
	if len(t) < 2 || t[1] >= 0x80 || len(t) != 2+int(t[1]) {
		return dst, &ParseError{Field: field, Err: fmt.Errorf("% x is no identifier with tag and length", t)}
	}
	return append(dst, t...), nil
}

// AppendBinary appends the request.
func (r Register) AppendBinary(dst []byte) ([]byte, error) {
	if len(r.Address) > 0xFF || len(r.Domain) > 0xFF || r.Period > 1<<24-1 {
		return dst, fmt.Errorf("psem: %w: address of %d and domain of %d octets, period of %d s", ErrTooLong, len(r.Address), len(r.Domain), r.Period)
	}
	out := append(dst, byte(ServiceRegister), r.Node, r.Connection)
	out, err := appendTitle(append(out, r.Class[:]...), r.Title, "AP title")
	if err != nil {
		return dst, err
	}
	if out, err = appendTitle(out, r.Serial, "serial number"); err != nil {
		return dst, err
	}
	out = append(append(out, byte(len(r.Address))), r.Address...)
	out = append(out, byte(r.Period>>16), byte(r.Period>>8), byte(r.Period))
	return append(append(out, byte(len(r.Domain))), r.Domain...), nil
}

// AppendBinary appends the request.
func (r Lookup) AppendBinary(dst []byte) ([]byte, error) {
	out, err := appendTitle(append(dst, byte(r.Code)), r.Title, "AP title")
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Registration is the answer to register.
type Registration struct {
	Title  []byte // under which the station is known, with tag and length
	Delay  uint16 // seconds at most by which the station puts off registering after a power failure
	Period uint32 // seconds until it must have registered again; 0 is never
	Info   byte
}

// Registration returns the answer to register.
func (r Response) Registration() (Registration, error) {
	c := wire.NewCursor(r.Body, 0)
	g := Registration{Title: title(&c, "AP title"), Delay: c.Uint16("delay"), Period: uint24(&c, "period"), Info: c.Uint8("information")}
	if err := c.Err(); err != nil {
		return Registration{}, asParseError(err)
	}
	return g, nil
}

// Response returns the answer to register as a response.
func (g Registration) Response() (Response, error) {
	b, err := appendTitle(nil, g.Title, "AP title")
	if err != nil || g.Period > 1<<24-1 {
		return Response{}, fmt.Errorf("psem: registration for %d s: %w", g.Period, ErrTooLong)
	}
	b = binary.BigEndian.AppendUint16(b, g.Delay)
	return Response{Body: append(b, byte(g.Period>>16), byte(g.Period>>8), byte(g.Period), g.Info)}, nil
}

// Address returns the answer to resolve: the native address of the station.
func (r Response) Address() ([]byte, error) {
	c := wire.NewCursor(r.Body, 0)
	address := c.Bytes(int(c.Uint8("length")), "native address")
	return address, asParseError(c.Err())
}

// AddressResponse returns the answer to resolve as a response.
func AddressResponse(address []byte) (Response, error) {
	if len(address) > 0xFF {
		return Response{}, fmt.Errorf("psem: %w: native address of %d octets", ErrTooLong, len(address))
	}
	return Response{Body: append([]byte{byte(len(address))}, address...)}, nil
}

// Titles returns the answer to trace: the AP titles of the relays on the way.
func (r Response) Titles() (titles [][]byte, err error) {
	c := wire.NewCursor(r.Body, 0)
	for c.Err() == nil && c.Len() > 0 {
		titles = append(titles, title(&c, "AP title"))
	}
	if err := c.Err(); err != nil {
		return nil, asParseError(err)
	}
	return titles, nil
}
