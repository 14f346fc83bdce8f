// Package wrapper carries DLMS/COSEM APDUs over TCP and UDP (IEC 62056-4-7).
//
// A frame is eight octets of header and one APDU:
//
//	version(2)=1 | source wPort(2) | destination wPort(2) | length(2) | APDU
package wrapper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

const (
	headerLen = 8
	version   = 1
)

// Frame is one wrapper PDU.
type Frame struct {
	Source      uint16 // wPort of the sender: a client SAP or a server logical device
	Destination uint16 // wPort of the receiver
	APDU        []byte // at most 65,535 octets; after Parse it aliases the input
}

// Parse reads the frame at the start of b and returns how many octets it took.
// Input that is only too short gives an error that wraps [io.ErrUnexpectedEOF].
func Parse(b []byte) (f Frame, n int, err error) {
	if len(b) >= 1 && b[0] != version>>8 || len(b) >= 2 && b[1] != version&0xFF {
		return Frame{}, 0, &ParseError{Field: "version", Offset: 0, Err: fmt.Errorf("0x%x, want %d", b[:min(len(b), 2)], version)}
	}
	if len(b) < headerLen {
		return Frame{}, 0, &ParseError{Field: "header", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	n = headerLen + int(binary.BigEndian.Uint16(b[6:]))
	if len(b) < n {
		return Frame{}, 0, &ParseError{Field: "APDU", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	return Frame{
		Source:      binary.BigEndian.Uint16(b[2:]),
		Destination: binary.BigEndian.Uint16(b[4:]),
		APDU:        b[headerLen:n:n],
	}, n, nil
}

// AppendBinary appends the frame to dst. On error dst is returned unchanged.
func (f Frame) AppendBinary(dst []byte) ([]byte, error) {
	if len(f.APDU) > math.MaxUint16 {
		return dst, fmt.Errorf("wrapper: APDU of %d octets: %w", len(f.APDU), ErrTooLong)
	}
	dst = binary.BigEndian.AppendUint16(dst, version)
	dst = binary.BigEndian.AppendUint16(dst, f.Source)
	dst = binary.BigEndian.AppendUint16(dst, f.Destination)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.APDU)))
	return append(dst, f.APDU...), nil
}

// ErrTooLong reports an APDU that one frame cannot hold; use block transfer.
var ErrTooLong = errors.New("longer than 65,535 octets")

// ParseError says which field of a frame could not be read, and where.
type ParseError struct {
	Field  string // as the standard names it
	Offset int    // octets from the start of the slice given to Parse
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("wrapper: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }
