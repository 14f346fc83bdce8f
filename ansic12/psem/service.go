package psem

import (
	"encoding/binary"
	"fmt"

	"github.com/openusm/meter/internal/wire"
)

// Service is the first octet of a request. Those of C12.22 are among them, as
// its services are carried by other packets but are otherwise of one kind.
type Service byte

// The services.
const (
	ServiceIdentify     Service = 0x20
	ServiceTerminate    Service = 0x21
	ServiceDisconnect   Service = 0x22
	ServiceDeregister   Service = 0x24
	ServiceResolve      Service = 0x25
	ServiceTrace        Service = 0x26
	ServiceRegister     Service = 0x27
	ServiceRead         Service = 0x30
	ServiceReadIndex    Service = 0x31 // with one index; up to 0x39 with nine
	ServiceReadDefault  Service = 0x3E
	ServiceReadOffset   Service = 0x3F
	ServiceWrite        Service = 0x40
	ServiceWriteIndex   Service = 0x41 // with one index; up to 0x49 with nine
	ServiceWriteDefault Service = 0x4E
	ServiceWriteOffset  Service = 0x4F
	ServiceLogon        Service = 0x50
	ServiceSecurity     Service = 0x51
	ServiceLogoff       Service = 0x52
	ServiceAuthenticate Service = 0x53
	ServiceNegotiate    Service = 0x60 // with no rate; up to 0x6B with eleven
	ServiceWait         Service = 0x70
	ServiceTiming       Service = 0x71
)

// serviceRanges names the services; the last of a range that is not given is its first.
var serviceRanges = [...]struct {
	first, last Service
	name        string
}{
	{ServiceIdentify, 0, "identify"},
	{ServiceTerminate, 0, "terminate"},
	{ServiceDisconnect, 0, "disconnect"},
	{ServiceDeregister, 0, "deregister"},
	{ServiceResolve, 0, "resolve"},
	{ServiceTrace, 0, "trace"},
	{ServiceRegister, 0, "register"},
	{ServiceRead, 0, "full read"},
	{ServiceReadIndex, 0x39, "partial read by index"},
	{ServiceReadDefault, 0, "default read"},
	{ServiceReadOffset, 0, "partial read by offset"},
	{ServiceWrite, 0, "full write"},
	{ServiceWriteIndex, 0x49, "partial write by index"},
	{ServiceWriteDefault, 0, "default write"},
	{ServiceWriteOffset, 0, "partial write by offset"},
	{ServiceLogon, 0, "logon"},
	{ServiceSecurity, 0, "security"},
	{ServiceLogoff, 0, "logoff"},
	{ServiceAuthenticate, 0, "authenticate"},
	{ServiceNegotiate, 0x6B, "negotiate"},
	{ServiceWait, 0, "wait"},
	{ServiceTiming, 0, "timing setup"},
}

// String returns the name in words.
func (s Service) String() string {
	for _, r := range serviceRanges {
		if s == r.first || s > r.first && s <= r.last {
			return r.name
		}
	}
	return fmt.Sprintf("service 0x%02x", byte(s))
}

const (
	maxIndices = 9
	maxBauds   = 11
	// UserLen and PasswordLen are the lengths of the texts of Logon and Security.
	UserLen     = 10
	PasswordLen = 20
	maxOffset   = 1<<24 - 1
)

// Request is a service request, one of the types of this package.
type Request interface {
	// Service returns the first octet.
	Service() Service
	// AppendBinary appends the request to dst. On error dst is returned unchanged.
	AppendBinary(dst []byte) ([]byte, error)
	request()
}

// Plain is a request of nothing but its service: identify, terminate,
// disconnect, logoff, default read.
type Plain struct{ Code Service }

// Read asks for a table, or with Indices or ByOffset for a part of it.
type Read struct {
	Table    uint16
	Indices  []uint16 // the path to the first element: at most nine; empty is none
	ByOffset bool
	Offset   uint32 // octets from the start of the table, 24 bits, if ByOffset
	Count    uint16 // elements behind an index, octets behind an offset
}

// Write writes a table, or with Indices or ByOffset a part of it.
type Write struct {
	Table    uint16
	Indices  []uint16
	ByOffset bool
	Offset   uint32
	Data     []byte // at most 65,535 octets; aliases the message after parsing
}

// WriteDefault writes the default table.
type WriteDefault struct{ Data []byte }

// Logon opens a session for a user.
type Logon struct {
	UserID      uint16
	User        [UserLen]byte // padded with spaces
	IdleTimeout uint16        // C12.22: seconds
	Extended    bool          // C12.22: the idle time-out is there
}

// Security shows a password.
type Security struct {
	Password [PasswordLen]byte
	UserID   uint16 // C12.22, sessionless
	Extended bool   // C12.22: the user id is there
}

// Authenticate carries a ticket or its answer (C12.21).
type Authenticate struct{ Data []byte }

// Negotiate proposes how packets may look.
type Negotiate struct {
	PacketSize uint16 // octets of a whole packet
	Packets    uint8  // of a message
	Bauds      []byte // codes of rates, see BaudRate; at most eleven, empty keeps the rate
}

// Wait keeps the channel open.
type Wait struct{ Seconds uint8 }

// Timing sets the timers of C12.21. It is the answer, too.
type Timing struct {
	Traffic   uint8 // seconds without a packet after which the channel is given up
	InterChar uint8 // seconds between two octets of a packet
	Response  uint8 // seconds until a packet must be acknowledged
	Retries   uint8
}

// Unknown is a request of a service that this package does not look into, as it was sent.
type Unknown struct{ Raw []byte }

func (Plain) request()        {}
func (Read) request()         {}
func (Write) request()        {}
func (WriteDefault) request() {}
func (Logon) request()        {}
func (Security) request()     {}
func (Authenticate) request() {}
func (Negotiate) request()    {}
func (Wait) request()         {}
func (Timing) request()       {}
func (Unknown) request()      {}

// Service returns the first octet of the request.
func (r Plain) Service() Service        { return r.Code }
func (r Read) Service() Service         { return partial(ServiceRead, r.Indices, r.ByOffset) }
func (r Write) Service() Service        { return partial(ServiceWrite, r.Indices, r.ByOffset) }
func (r WriteDefault) Service() Service { return ServiceWriteDefault }
func (r Logon) Service() Service        { return ServiceLogon }
func (r Security) Service() Service     { return ServiceSecurity }
func (r Authenticate) Service() Service { return ServiceAuthenticate }
func (r Negotiate) Service() Service    { return ServiceNegotiate + Service(len(r.Bauds)) }
func (r Wait) Service() Service         { return ServiceWait }
func (r Timing) Service() Service       { return ServiceTiming }

// Service returns the first octet, 0 where there is none.
func (r Unknown) Service() Service {
	if len(r.Raw) == 0 {
		return 0
	}
	return Service(r.Raw[0])
}

func partial(full Service, indices []uint16, byOffset bool) Service {
	switch {
	case byOffset:
		return full + 0x0F
	case len(indices) > 0:
		return full + Service(len(indices))
	}
	return full
}

// ParseRequest reads the request at the start of b and returns how many octets
// it took. A C12.22 form of logon and security is taken where octets are there for it.
func ParseRequest(b []byte) (Request, int, error) {
	c := wire.NewCursor(b, 0)
	r := parseRequest(&c)
	if err := c.Err(); err != nil {
		return nil, 0, asParseError(err)
	}
	return r, c.Offset(), nil
}

func parseRequest(c *wire.Cursor) Request {
	code := Service(c.Uint8("service"))
	switch {
	case code == ServiceIdentify, code == ServiceTerminate, code == ServiceDisconnect, code == ServiceLogoff, code == ServiceReadDefault:
		return Plain{code}
	case code == ServiceRead, code >= ServiceReadIndex && code < ServiceReadIndex+maxIndices, code == ServiceReadOffset:
		return parseRead(c, code)
	case code == ServiceWrite, code >= ServiceWriteIndex && code < ServiceWriteIndex+maxIndices, code == ServiceWriteOffset:
		return parseWrite(c, code)
	case code == ServiceWriteDefault:
		return WriteDefault{counted(c)}
	case code == ServiceLogon:
		r := Logon{UserID: c.Uint16("user id")}
		copy(r.User[:], c.Bytes(UserLen, "user"))
		if r.Extended = c.Len() >= 2; r.Extended {
			r.IdleTimeout = c.Uint16("idle time-out")
		}
		return r
	case code == ServiceSecurity:
		r := Security{}
		copy(r.Password[:], c.Bytes(PasswordLen, "password"))
		if r.Extended = c.Len() >= 2; r.Extended {
			r.UserID = c.Uint16("user id")
		}
		return r
	case code == ServiceAuthenticate:
		return Authenticate{c.Bytes(int(c.Uint8("length")), "data")}
	case code >= ServiceNegotiate && code <= ServiceNegotiate+maxBauds:
		return Negotiate{PacketSize: c.Uint16("packet size"), Packets: c.Uint8("packets"), Bauds: c.Bytes(int(code-ServiceNegotiate), "rates")}
	case code == ServiceDeregister, code == ServiceResolve, code == ServiceTrace:
		return Lookup{code, title(c, "AP title")}
	case code == ServiceRegister:
		return parseRegister(c)
	case code == ServiceWait:
		return Wait{c.Uint8("seconds")}
	case code == ServiceTiming:
		return parseTiming(c)
	}
	if c.Err() != nil {
		return nil
	}
	return Unknown{append([]byte{byte(code)}, c.Rest()...)}
}

func parseRead(c *wire.Cursor, code Service) Request {
	r := Read{Table: c.Uint16("table")}
	switch {
	case code == ServiceReadOffset:
		r.ByOffset, r.Offset = true, uint24(c, "offset")
		r.Count = c.Uint16("count")
	case code != ServiceRead:
		r.Indices = indices(c, int(code-ServiceRead))
		r.Count = c.Uint16("count")
	}
	return r
}

func parseWrite(c *wire.Cursor, code Service) Request {
	r := Write{Table: c.Uint16("table")}
	switch {
	case code == ServiceWriteOffset:
		r.ByOffset, r.Offset = true, uint24(c, "offset")
	case code != ServiceWrite:
		r.Indices = indices(c, int(code-ServiceWrite))
	}
	r.Data = counted(c)
	return r
}

func parseTiming(c *wire.Cursor) Timing {
	return Timing{c.Uint8("traffic time-out"), c.Uint8("inter-character time-out"), c.Uint8("response time-out"), c.Uint8("retries")}
}

func indices(c *wire.Cursor, n int) []uint16 {
	b := c.Bytes(2*n, "index")
	if b == nil {
		return nil
	}
	list := make([]uint16, n)
	for i := range list {
		list[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return list
}

func uint24(c *wire.Cursor, field string) uint32 {
	b := c.Bytes(3, field)
	if b == nil {
		return 0
	}
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}

// counted reads a count, so many octets and their checksum.
func counted(c *wire.Cursor) []byte {
	data := c.Bytes(int(c.Uint16("count")), "data")
	at := c.Offset()
	if sum := c.Uint8("checksum"); c.Err() == nil && sum != checksum(data) {
		c.Fail("checksum", at, fmt.Errorf("%w: 0x%02x, want 0x%02x", ErrChecksum, sum, checksum(data)))
	}
	return data
}

// checksum is the two's complement of the sum of the octets.
func checksum(b []byte) (sum byte) {
	for _, c := range b {
		sum -= c
	}
	return sum
}

func appendCounted(dst, data []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	dst = append(dst, data...)
	return append(dst, checksum(data))
}

// AppendBinary appends the service alone. It never fails.
func (r Plain) AppendBinary(dst []byte) ([]byte, error) { return append(dst, byte(r.Code)), nil }

// AppendBinary appends the request.
func (r Read) AppendBinary(dst []byte) ([]byte, error) {
	out, err := appendTarget(dst, r.Service(), r.Table, r.Indices, r.ByOffset, r.Offset)
	if err != nil {
		return dst, err
	}
	if r.ByOffset || len(r.Indices) > 0 {
		out = binary.BigEndian.AppendUint16(out, r.Count)
	}
	return out, nil
}

// AppendBinary appends the request.
func (r Write) AppendBinary(dst []byte) ([]byte, error) {
	if len(r.Data) > 0xFFFF {
		return dst, fmt.Errorf("psem: %w: %d octets to write", ErrTooLong, len(r.Data))
	}
	out, err := appendTarget(dst, r.Service(), r.Table, r.Indices, r.ByOffset, r.Offset)
	if err != nil {
		return dst, err
	}
	return appendCounted(out, r.Data), nil
}

func appendTarget(dst []byte, code Service, table uint16, indices []uint16, byOffset bool, offset uint32) ([]byte, error) {
	if len(indices) > maxIndices || byOffset && (len(indices) > 0 || offset > maxOffset) {
		return dst, fmt.Errorf("psem: %w: %d indices, offset %d", ErrTooLong, len(indices), offset)
	}
	dst = append(dst, byte(code))
	dst = binary.BigEndian.AppendUint16(dst, table)
	if byOffset {
		return append(dst, byte(offset>>16), byte(offset>>8), byte(offset)), nil
	}
	for _, i := range indices {
		dst = binary.BigEndian.AppendUint16(dst, i)
	}
	return dst, nil
}

// AppendBinary appends the request.
func (r WriteDefault) AppendBinary(dst []byte) ([]byte, error) {
	if len(r.Data) > 0xFFFF {
		return dst, fmt.Errorf("psem: %w: %d octets to write", ErrTooLong, len(r.Data))
	}
	return appendCounted(append(dst, byte(ServiceWriteDefault)), r.Data), nil
}

// AppendBinary appends the request. It never fails.
func (r Logon) AppendBinary(dst []byte) ([]byte, error) {
	dst = binary.BigEndian.AppendUint16(append(dst, byte(ServiceLogon)), r.UserID)
	dst = append(dst, r.User[:]...)
	if r.Extended {
		dst = binary.BigEndian.AppendUint16(dst, r.IdleTimeout)
	}
	return dst, nil
}

// AppendBinary appends the request. It never fails.
func (r Security) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(append(dst, byte(ServiceSecurity)), r.Password[:]...)
	if r.Extended {
		dst = binary.BigEndian.AppendUint16(dst, r.UserID)
	}
	return dst, nil
}

// AppendBinary appends the request.
func (r Authenticate) AppendBinary(dst []byte) ([]byte, error) {
	if len(r.Data) > 0xFF {
		return dst, fmt.Errorf("psem: %w: %d octets to authenticate", ErrTooLong, len(r.Data))
	}
	return append(append(dst, byte(ServiceAuthenticate), byte(len(r.Data))), r.Data...), nil
}

// AppendBinary appends the request.
func (r Negotiate) AppendBinary(dst []byte) ([]byte, error) {
	if len(r.Bauds) > maxBauds {
		return dst, fmt.Errorf("psem: %w: %d rates", ErrTooLong, len(r.Bauds))
	}
	dst = binary.BigEndian.AppendUint16(append(dst, byte(r.Service())), r.PacketSize)
	return append(append(dst, r.Packets), r.Bauds...), nil
}

// AppendBinary appends the request. It never fails.
func (r Wait) AppendBinary(dst []byte) ([]byte, error) {
	return append(dst, byte(ServiceWait), r.Seconds), nil
}

// AppendBinary appends the request. It never fails.
func (r Timing) AppendBinary(dst []byte) ([]byte, error) {
	return append(dst, byte(ServiceTiming), r.Traffic, r.InterChar, r.Response, r.Retries), nil
}

// AppendBinary appends the octets as they came. It never fails.
func (r Unknown) AppendBinary(dst []byte) ([]byte, error) { return append(dst, r.Raw...), nil }

var baudRates = [...]int{0, 300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 28800, 57600}

// BaudRate returns the rate of a code of the negotiate service. It is not ok
// for 0, a rate outside the list, and for codes that the list does not have.
func BaudRate(code byte) (baud int, ok bool) {
	if code == 0 || int(code) >= len(baudRates) {
		return 0, false
	}
	return baudRates[code], true
}

// BaudCode returns the code of a rate.
func BaudCode(baud int) (code byte, ok bool) {
	for i, b := range baudRates {
		if b == baud && i > 0 {
			return byte(i), true
		}
	}
	return 0, false
}
