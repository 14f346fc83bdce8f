// Package psem is the link and the services of ANSI C12.18 and C12.21: what an
// optical port or a modem carries.
//
// A packet is
//
//	EE | identity(1) | control(1) | sequence(1) | length(2) | data | CRC(2)
//
// and is answered by one octet, ACK (06) or NAK (15). The control octet tells a
// packet of several (80), the first of them (40) and the toggle (20) that tells a
// new packet from a repetition. The sequence counts down to 0, the last packet.
// Its CRC is that of X.25 over all octets before it, the low octet first; all
// other numbers have the high octet first. The data of all packets together are
// one message: a service request or a response.
package psem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The octets that answer a packet.
const (
	ACK = 0x06
	NAK = 0x15
)

const (
	start     = 0xEE
	headerLen = 6
	crcLen    = 2
	// Overhead is how many octets a packet has besides its data.
	Overhead = headerLen + crcLen
	// MaxData is the greatest length of the data of a packet.
	MaxData = 8183

	controlMulti  = 0x80
	controlFirst  = 0x40
	controlToggle = 0x20
	controlSpare  = 0x1C
	controlFormat = 0x03
)

// Packet is one packet.
type Packet struct {
	Identity byte   // 0 between two stations, else the device on a shared line
	Multi    bool   // one of several
	First    bool   // the first of several
	Toggle   bool   // differs from that of the packet before, unless this is its repetition
	Spare    byte   // bits 4 to 2 of the control octet, in place
	Format   byte   // 0: C12.18 or C12.21; 1: C12.22
	Sequence byte   // packets of the message that are still to come
	Data     []byte // at most MaxData octets; after Parse it aliases the input
}

// Parse reads the packet at the start of b and returns how many octets it took.
// Input that is only too short gives an error that wraps [io.ErrUnexpectedEOF].
func Parse(b []byte) (p Packet, n int, err error) {
	if len(b) > 0 && b[0] != start {
		return Packet{}, 0, &ParseError{Field: "start", Err: fmt.Errorf("0x%02x, want 0xee", b[0])}
	}
	if len(b) < headerLen {
		return Packet{}, 0, &ParseError{Field: "header", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size > MaxData {
		return Packet{}, 0, &ParseError{Field: "length", Offset: 4, Err: fmt.Errorf("%d, want at most %d", size, MaxData)}
	}
	end := headerLen + size
	if len(b) < end+crcLen {
		return Packet{}, 0, &ParseError{Field: "data", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	if got, want := binary.LittleEndian.Uint16(b[end:]), CRC(b[:end]); got != want {
		return Packet{}, 0, &ParseError{Field: "CRC", Offset: end, Err: fmt.Errorf("%w: 0x%04x, want 0x%04x", ErrCRC, got, want)}
	}
	return Packet{
		Identity: b[1],
		Multi:    b[2]&controlMulti != 0,
		First:    b[2]&controlFirst != 0,
		Toggle:   b[2]&controlToggle != 0,
		Spare:    b[2] & controlSpare,
		Format:   b[2] & controlFormat,
		Sequence: b[3],
		Data:     b[headerLen:end:end],
	}, end + crcLen, nil
}

// AppendBinary appends the packet to dst. On error dst is returned unchanged.
func (p Packet) AppendBinary(dst []byte) ([]byte, error) {
	if len(p.Data) > MaxData {
		return dst, fmt.Errorf("psem: %w: packet of %d octets, want at most %d", ErrTooLong, len(p.Data), MaxData)
	}
	first := len(dst)
	dst = append(dst, start, p.Identity, p.control(), p.Sequence)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Data)))
	dst = append(dst, p.Data...)
	return binary.LittleEndian.AppendUint16(dst, CRC(dst[first:])), nil
}

func (p Packet) control() byte {
	c := p.Spare&controlSpare | p.Format&controlFormat
	if p.Multi {
		c |= controlMulti
	}
	if p.First {
		c |= controlFirst
	}
	if p.Toggle {
		c |= controlToggle
	}
	return c
}

// CRC returns the check of a packet: the reflected CRC-CCITT of X.25.
func CRC(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, c := range b {
		x := byte(crc) ^ c
		x ^= x << 4
		crc = crc>>8 ^ uint16(x)<<8 ^ uint16(x)<<3 ^ uint16(x)>>4
	}
	return ^crc
}

// Errors on which callers branch.
var (
	ErrCRC     = errors.New("wrong CRC")
	ErrTooLong = errors.New("too long")
)

// ParseError says which field of a packet or a message could not be read, and where.
type ParseError struct {
	Field  string // as the standard names it
	Offset int    // octets from the start of the slice that was parsed
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("psem: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }
