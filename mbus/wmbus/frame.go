// Package wmbus reads telegrams of wireless M-Bus (EN 13757-4 and -7): from
// what a receiver delivers to the records of package mbus.
//
//	format A  L C M(2) A(6) CRC(2) | CI … in blocks of 16 octets, each with CRC(2)
//	format B  L C M(2) A(6) CI … up to octet 126, CRC(2) | the rest, CRC(2)
//
// L counts what follows; in format A without the CRCs, in format B with them.
// Most receivers check and take away the CRCs. Between this link layer and the
// application there may be an extended link layer (ELL) with encryption of its
// own, and an authentication and fragmentation layer (AFL).
package wmbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/mbus"
)

// Format is the form of the link layer.
type Format uint8

// The formats.
const (
	Bare    Format = iota // without CRC, as most receivers deliver it
	FormatA               // modes S, T, and C with sync 54CD
	FormatB               // mode C with sync 543D
)

// String returns the name of the format.
func (f Format) String() string {
	switch f {
	case FormatA:
		return "A"
	case FormatB:
		return "B"
	}
	return "bare"
}

const (
	headerLen  = 10 // L C M A
	blockLen   = 16 // of format A
	firstPartB = 126
	crcLen     = 2
)

// Frame is a telegram on the link layer.
type Frame struct {
	C       C
	Address mbus.Address // of the sender
	Payload []byte       // from the first CI field on
}

// C is a control field.
type C byte

// String names the field as the standard does.
func (c C) String() string {
	switch c &^ 0x30 { // FCB and FCV, or ACD and DFC
	case 0x44:
		return "SND_NR"
	case 0x46:
		return "SND_IR"
	case 0x47:
		return "ACC_NR"
	case 0x48:
		return "ACC_DMD"
	case 0x40:
		return "SND_NKE"
	case 0x43:
		return "SND_UD"
	case 0x4A:
		return "REQ_UD1"
	case 0x4B:
		return "REQ_UD2"
	case 0x00:
		return "ACK"
	case 0x06:
		return "CNF_IR"
	case 0x08:
		return "RSP_UD"
	}
	return fmt.Sprintf("C 0x%02x", byte(c))
}

// Parse reads the frame of a format at the start of b and returns how many
// octets it took. The payload aliases b where the format is Bare, and else has
// memory of its own.
func Parse(b []byte, format Format) (f Frame, n int, err error) { return parse(nil, b, format) }

// parse is Parse with memory for the octets without CRC.
func parse(buf, b []byte, format Format) (f Frame, n int, err error) {
	if len(b) == 0 {
		return Frame{}, 0, &ParseError{Field: "L", Err: io.ErrUnexpectedEOF}
	}
	octets := b
	switch format {
	case Bare:
		if n = 1 + int(b[0]); n <= headerLen {
			return Frame{}, 0, &ParseError{Field: "L", Err: fmt.Errorf("%d, want at least %d", b[0], headerLen)}
		}
		if len(b) < n {
			return Frame{}, 0, &ParseError{Field: "frame", Offset: len(b), Err: io.ErrUnexpectedEOF}
		}
		octets = b[:n:n]
	case FormatA:
		octets, n, err = stripA(buf, b)
	case FormatB:
		octets, n, err = stripB(buf, b)
	default:
		err = fmt.Errorf("wmbus: format %d", format)
	}
	if err != nil {
		return Frame{}, 0, err
	}
	return Frame{C: C(octets[1]), Address: mbus.LinkAddress([8]byte(octets[2:])), Payload: octets[headerLen:]}, n, nil
}

// stripA appends the octets of a frame of format A without their CRCs.
func stripA(buf, b []byte) (octets []byte, n int, err error) {
	left := 1 + int(b[0]) // octets without CRC
	if left <= headerLen {
		return nil, 0, &ParseError{Field: "L", Err: fmt.Errorf("%d, want at least %d", b[0], headerLen)}
	}
	block := headerLen
	for left > 0 {
		size := min(block, left)
		if len(b) < n+size+crcLen {
			return nil, 0, &ParseError{Field: "block", Offset: len(b), Err: io.ErrUnexpectedEOF}
		}
		if err := checkCRC(b, n, size); err != nil {
			return nil, 0, err
		}
		buf = append(buf, b[n:n+size]...)
		n += size + crcLen
		left -= size
		block = blockLen
	}
	return buf, n, nil
}

// stripB appends the octets of a frame of format B without their CRCs.
func stripB(buf, b []byte) (octets []byte, n int, err error) {
	total := 1 + int(b[0])
	if total <= headerLen+crcLen || total > firstPartB+crcLen && total <= firstPartB+2*crcLen {
		return nil, 0, &ParseError{Field: "L", Err: fmt.Errorf("%d does not fit format B", b[0])}
	}
	if len(b) < total {
		return nil, 0, &ParseError{Field: "frame", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	size := min(total-crcLen, firstPartB)
	if err := checkCRC(b, 0, size); err != nil {
		return nil, 0, err
	}
	buf = append(buf, b[:size]...)
	if rest := size + crcLen; rest < total {
		if err := checkCRC(b, rest, total-rest-crcLen); err != nil {
			return nil, 0, err
		}
		buf = append(buf, b[rest:total-crcLen]...)
	}
	return buf, total, nil
}

// checkCRC compares the CRC of b[at:at+size], which stands behind it, high octet first.
func checkCRC(b []byte, at, size int) error {
	end := at + size
	have, want := uint16(b[end])<<8|uint16(b[end+1]), crc16.EN13757(b[at:end])
	if have != want {
		return &ParseError{Field: "CRC", Offset: end, Err: fmt.Errorf("%w: 0x%04x, want 0x%04x", ErrCRC, have, want)}
	}
	return nil
}

// Append appends the frame in a format to dst. On error dst is returned unchanged.
func (f Frame) Append(dst []byte, format Format) ([]byte, error) {
	l := headerLen - 1 + len(f.Payload)
	if format == FormatB {
		l += crcLen
		if l+1 > firstPartB+crcLen {
			l += crcLen
		}
	}
	if l > 255 || len(f.Payload) == 0 {
		return dst, fmt.Errorf("wmbus: payload of %d octets does not fit a frame", len(f.Payload))
	}
	octets := append([]byte{byte(l), byte(f.C)}, f.Address.AppendLink(nil)...)
	octets = append(octets, f.Payload...)
	if format == Bare {
		return append(dst, octets...), nil
	}
	block := headerLen
	if format == FormatB {
		block = firstPartB
	}
	for len(octets) > 0 {
		part := octets[:min(block, len(octets))]
		crc := crc16.EN13757(part)
		dst = append(append(dst, part...), byte(crc>>8), byte(crc))
		octets = octets[len(part):]
		if format == FormatA {
			block = blockLen
		}
	}
	return dst, nil
}

// The sync words of mode C behind the preamble, which some receivers leave in.
const (
	syncC  = 0x54
	syncCA = 0xCD
	syncCB = 0x3D
)

// Detect reads a frame of which the format is not known: it takes the one whose
// CRCs are right, or Bare where the length alone fits and it is not one with CRCs
// of which a bit was flipped. A sync word of mode C in front says which format it is.
func Detect(b []byte) (f Frame, format Format, n int, err error) { return detect(nil, b) }

func detect(buf, b []byte) (f Frame, format Format, n int, err error) {
	if syncLen(b) > 0 {
		format = FormatA
		if b[1] == syncCB {
			format = FormatB
		}
		if f, n, err = parse(buf, b[2:], format); err != nil {
			return Frame{}, format, 0, shift(err, 2)
		}
		return f, format, n + 2, nil
	}
	switch {
	case fitsB(b):
		f, n, err = parse(buf, b, FormatB)
		return f, FormatB, n, err
	case fitsA(b):
		f, n, err = parse(buf, b, FormatA)
		return f, FormatA, n, err
	}
	if f, n, err = parse(buf, b, Bare); err != nil {
		return f, Bare, n, err
	}
	if format, err = damaged(f, n, b); err != nil {
		return Frame{}, format, 0, err
	}
	return f, Bare, n, nil
}

// fitsA reports whether b begins with a frame of format A whose CRCs are right.
func fitsA(b []byte) bool {
	return len(b) > 0 && b[0] >= headerLen && crcsFit(b, 1+int(b[0]), headerLen, blockLen)
}

// fitsB reports whether b begins with a frame of format B whose CRCs are right.
func fitsB(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	octets := 1 + int(b[0]) - crcLen
	if octets > firstPartB {
		if octets -= crcLen; octets <= firstPartB {
			return false
		}
	}
	return octets > headerLen && crcsFit(b, octets, firstPartB, firstPartB)
}

// crcsFit reports whether the CRCs are right of so many octets, of which the
// first block has at most first, and each of the others at most others.
func crcsFit(b []byte, octets, first, others int) bool {
	for n, block := 0, first; octets > 0; block = others {
		size := min(block, octets)
		if len(b) < n+size+crcLen || crc16.EN13757(b[n:n+size]) != binary.BigEndian.Uint16(b[n+size:]) {
			return false
		}
		n, octets = n+size+crcLen, octets-size
	}
	return true
}

// ErrCRC reports a wrong checksum.
var ErrCRC = errors.New("wrong CRC")

// ParseError says which field of a layer could not be read, and where.
type ParseError struct {
	Layer  string // "link", "ELL" or "AFL"
	Field  string // as the standard names it
	Offset int    // octets from the start of the slice that the caller passed
	Err    error
}

func (e *ParseError) Error() string {
	layer := e.Layer
	if layer == "" {
		layer = "link"
	}
	return fmt.Sprintf("wmbus: %s: %s at octet %d: %v", layer, e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }
