package sml

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/openusm/meter/internal/crc16"
)

const (
	startLen = 8
	endLen   = 8
)

var (
	escape = []byte{0x1B, 0x1B, 0x1B, 0x1B}
	start  = []byte{0x1B, 0x1B, 0x1B, 0x1B, 0x01, 0x01, 0x01, 0x01}
)

// Frame is one file of the transport protocol, version 1.
type Frame struct {
	Data    []byte // the messages, without escapes and padding; it aliases the input unless there was an escape
	Padding int    // octets of zero that were behind them, 0 to 3
	Check   Check  // the CRC that fitted
}

// ParseFrame reads the frame at the start of b.
func ParseFrame(b []byte) (f Frame, n int, err error) {
	var plain []byte
	return parseFrame(b, &plain)
}

// parseFrame is ParseFrame with memory for what has escapes.
func parseFrame(b []byte, plain *[]byte) (f Frame, n int, err error) {
	if len(b) < startLen {
		if !bytes.HasPrefix(start, b) {
			return Frame{}, 0, &ParseError{"transport", "start", 0, fmt.Errorf("%x, want %x", b, start)}
		}
		return Frame{}, 0, &ParseError{"transport", "start", len(b), io.ErrUnexpectedEOF}
	}
	if [startLen]byte(b) != [startLen]byte(start) {
		return Frame{}, 0, &ParseError{"transport", "start", 0, fmt.Errorf("%x, want %x", b[:startLen], start)}
	}
	end, escapes, err := findEnd(b)
	if err != nil {
		return Frame{}, 0, err
	}
	n = end + endLen
	f.Padding = int(b[end+5])
	if f.Padding > 3 || end-f.Padding < startLen {
		return Frame{}, 0, &ParseError{"transport", "padding", end + 5, fmt.Errorf("%d octets, want 0 to 3", f.Padding)}
	}
	got := binary.LittleEndian.Uint16(b[end+6:])
	switch want := crc16.X25(b[:end+6]); {
	case got == want:
		f.Check = CheckX25
	case got == crc16.Kermit(b[:end+6]):
		f.Check = CheckKermit
	default:
		return Frame{}, 0, &ParseError{"transport", "CRC", end + 6, fmt.Errorf("%w: %04x, want %04x", ErrChecksum, got, want)}
	}
	f.Data = b[startLen : end-f.Padding : end-f.Padding]
	if escapes > 0 {
		*plain = appendUnescaped((*plain)[:0], f.Data)
		f.Data = *plain
	}
	return f, n, nil
}

// appendUnescaped appends b, of whose doubled escapes one is left.
func appendUnescaped(dst, b []byte) []byte {
	for {
		i := bytes.Index(b, escape)
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i+len(escape)]...)
		b = bytes.TrimPrefix(b[i+len(escape):], escape)
	}
}

// findEnd returns the offset of the end sequence, and how many escapes came before it.
func findEnd(b []byte) (end, escapes int, err error) {
	for at := startLen; ; {
		i := bytes.Index(b[at:], escape)
		if i < 0 || at+i+endLen > len(b) {
			return 0, 0, &ParseError{"transport", "end", len(b), io.ErrUnexpectedEOF}
		}
		at += i
		switch next := b[at+4]; {
		case next == 0x1A:
			return at, escapes, nil
		case bytes.Equal(b[at+4:at+8], escape):
			escapes++
			at += 8
		case next == 0x1B:
			at++ // the data end in 1b, and the end sequence follows
		default:
			return 0, 0, &ParseError{"transport", "escape", at + 4, fmt.Errorf("sequence %x is not of a file of version 1", b[at+4:at+8])}
		}
	}
}

// AppendBinary appends the frame with padding and a CRC-16/X-25. It never fails.
func (f Frame) AppendBinary(dst []byte) ([]byte, error) {
	begin := len(dst)
	dst = append(dst, start...)
	for rest := f.Data; ; {
		i := bytes.Index(rest, escape)
		if i < 0 {
			dst = append(dst, rest...)
			break
		}
		dst = append(append(append(dst, rest[:i]...), escape...), escape...)
		rest = rest[i+4:]
	}
	padding := -(len(dst) - begin) & 3
	for range padding {
		dst = append(dst, 0)
	}
	dst = append(append(dst, escape...), 0x1A, byte(padding))
	return binary.LittleEndian.AppendUint16(dst, crc16.X25(dst[begin:])), nil
}
