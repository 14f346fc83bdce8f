// Package hdlc frames DLMS/COSEM PDUs on serial lines (IEC 62056-46, frame type 3).
//
// A frame is
//
//	7E | format(2) | destination(1,2,4) | source(1,2,4) | control | HCS(2) | information | FCS(2) | 7E
//
// with format = A, a segmentation bit, and the length of all between the flags
// in eleven bits. There is no byte stuffing: the length delimits a frame, and a
// 7E inside it means nothing. A frame without information has no HCS. The
// closing flag may open the next frame.
package hdlc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	flag      = 0x7E
	frameType = 0xA000
	segmented = 0x0800
	maxLength = 0x07FF // octets between the flags
)

// Frame is one HDLC frame.
type Frame struct {
	Segmented   bool // more segments of the same PDU follow
	Destination Address
	Source      Address
	Control     Control
	Info        []byte // after Parse it aliases the input; nil for none
}

// Errors that readers of a line branch on.
var (
	ErrChecksum = errors.New("checksum")
	ErrTooLong  = errors.New("longer than 2,047 octets")

	errNoFlag  = errors.New("no flag")
	errAddress = errors.New("more than four octets")
	errFormat  = errors.New("frame type is not 3")
	errLength  = errors.New("too short for its fields")
)

// Parse reads the frame at the start of b, from flag to flag, and returns how
// many octets it took; the closing flag is among them. Input that is only too
// short gives an error that wraps [io.ErrUnexpectedEOF].
func Parse(b []byte) (f Frame, n int, err error) {
	if len(b) == 0 {
		return Frame{}, 0, short("flag", b)
	}
	if b[0] != flag {
		return Frame{}, 0, &ParseError{"flag", 0, fmt.Errorf("0x%02x: %w", b[0], errNoFlag)}
	}
	if len(b) >= 2 && b[1]&0xF0 != frameType>>8 {
		return Frame{}, 0, &ParseError{"format", 1, fmt.Errorf("0x%02x: %w", b[1], errFormat)}
	}
	if len(b) < 3 {
		return Frame{}, 0, short("format", b)
	}
	format := binary.BigEndian.Uint16(b[1:])
	length := int(format & maxLength)
	if length < 7 {
		return Frame{}, 0, &ParseError{"format", 1, fmt.Errorf("length %d: %w", length, errLength)}
	}
	f.Segmented = format&segmented != 0
	end := 1 + length // of the FCS
	have := b[:min(len(b), end)]
	at, err := f.header(have, end)
	if err != nil {
		return Frame{}, 0, err
	}
	if len(b) < end+1 {
		return Frame{}, 0, short("closing flag", b)
	}
	if err := check("FCS", b[1:end]); err != nil {
		return Frame{}, 0, err
	}
	if b[end] != flag {
		return Frame{}, 0, &ParseError{"closing flag", end, fmt.Errorf("0x%02x: %w", b[end], errNoFlag)}
	}
	if at < end {
		f.Info = b[at : end-2 : end-2]
	}
	return f, end + 1, nil
}

// header reads addresses, control and HCS, and returns where the information starts.
func (f *Frame) header(b []byte, end int) (at int, err error) {
	if f.Destination, at, err = parseAddress("destination address", b, 3); err != nil {
		return 0, err
	}
	if f.Source, at, err = parseAddress("source address", b, at); err != nil {
		return 0, err
	}
	if at+3 > end {
		return 0, &ParseError{"control", at, errLength}
	}
	if at >= len(b) {
		return 0, short("control", b)
	}
	f.Control = Control(b[at])
	if at += 3; at == end { // these two octets are the FCS
		return at, nil
	}
	if at+2 > end {
		return 0, &ParseError{"HCS", at - 2, errLength}
	}
	if at > len(b) {
		return 0, short("HCS", b)
	}
	return at, check("HCS", b[1:at])
}

// check compares the last two octets of b, which starts behind the flag, with the checksum of the others.
func check(field string, b []byte) error {
	n := len(b) - 2
	if have, want := binary.LittleEndian.Uint16(b[n:]), checksum(b[:n]); have != want {
		return &ParseError{field, 1 + n, fmt.Errorf("0x%04x, want 0x%04x: %w", have, want, ErrChecksum)}
	}
	return nil
}

// AppendBinary appends the frame from flag to flag. On error dst is returned unchanged.
func (f Frame) AppendBinary(dst []byte) ([]byte, error) {
	length := 2 + f.Destination.size() + f.Source.size() + 1 + 2
	if len(f.Info) > 0 {
		length += 2 + len(f.Info)
	}
	if length > maxLength {
		return dst, fmt.Errorf("hdlc: frame of %d octets: %w", length, ErrTooLong)
	}
	format := uint16(frameType | length)
	if f.Segmented {
		format |= segmented
	}
	start := len(dst) + 1
	dst = binary.BigEndian.AppendUint16(append(dst, flag), format)
	dst = f.Source.append(f.Destination.append(dst))
	dst = append(dst, byte(f.Control))
	if len(f.Info) > 0 {
		dst = binary.LittleEndian.AppendUint16(dst, checksum(dst[start:]))
		dst = append(dst, f.Info...)
	}
	dst = binary.LittleEndian.AppendUint16(dst, checksum(dst[start:]))
	return append(dst, flag), nil
}

// checksum is CRC-16/X-25, four octets at a time.
func checksum(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for ; len(b) >= 4; b = b[4:] {
		crc ^= binary.LittleEndian.Uint16(b)
		crc = crcTables[3][byte(crc)] ^ crcTables[2][crc>>8] ^ crcTables[1][b[2]] ^ crcTables[0][b[3]]
	}
	for _, c := range b {
		crc = crc>>8 ^ crcTables[0][byte(crc)^c]
	}
	return ^crc
}

// crcTables[n] holds what an octet becomes that n others follow.
var crcTables = func() (t [4][256]uint16) {
	for i := range t[0] {
		crc := uint16(i)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8408
			} else {
				crc >>= 1
			}
		}
		t[0][i] = crc
	}
	for n := 1; n < len(t); n++ {
		for i, crc := range t[n-1] {
			t[n][i] = crc>>8 ^ t[0][byte(crc)]
		}
	}
	return t
}()

// ParseError says which field of a frame could not be read, and where.
type ParseError struct {
	Field  string // as the standard names it
	Offset int    // octets from the start of the slice given to Parse
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("hdlc: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

func short(field string, b []byte) error {
	return &ParseError{field, len(b), io.ErrUnexpectedEOF}
}
