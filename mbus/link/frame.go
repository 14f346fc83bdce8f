// Package link reads and writes the frames of wired M-Bus (EN 13757-2, format
// class FT1.2).
//
//	acknowledgement  E5
//	short            10 C A checksum 16
//	control          68 03 03 68 C A CI checksum 16
//	long             68 L L 68 C A CI data checksum 16
//
// L counts the octets from C to the last of the data, 3 to 255. The checksum is
// their sum.
package link

import (
	"errors"
	"fmt"
	"io"
)

const (
	startShort = 0x10
	startLong  = 0x68
	stop       = 0x16
	ack        = 0xE5

	shortLen  = 5
	headerLen = 4 // of a control or long frame: 68 L L 68
	// MaxPayload is the greatest length of the CI field and the data of a frame.
	MaxPayload = 253
	// MaxFrame is the greatest length of a frame.
	MaxFrame = headerLen + 255 + 2
)

// Form is the form of a frame.
type Form uint8

// The forms.
const (
	Ack     Form = iota + 1 // a single octet
	Short                   // C and A alone
	Control                 // C, A and CI
	Long                    // C, A, CI and data
)

// String returns the form in lower case.
func (f Form) String() string {
	switch f {
	case Ack:
		return "ack"
	case Short:
		return "short"
	case Control:
		return "control"
	case Long:
		return "long"
	}
	return "none"
}

// Frame is one frame. An Ack has none of the other fields, a Short frame has
// no payload.
type Frame struct {
	Form    Form
	C       C
	A       byte
	Payload []byte // the CI field and the data, 1 to 253 octets; after Parse it aliases the input
}

// Parse reads the frame at the start of b and returns how many octets it took.
// Input that is only too short gives an error that wraps [io.ErrUnexpectedEOF].
func Parse(b []byte) (f Frame, n int, err error) {
	if len(b) == 0 {
		return Frame{}, 0, &ParseError{Field: "start", Err: io.ErrUnexpectedEOF}
	}
	switch b[0] {
	case ack:
		return Frame{Form: Ack}, 1, nil
	case startShort:
		return parseShort(b)
	case startLong:
		return parseLong(b)
	}
	return Frame{}, 0, &ParseError{Field: "start", Err: fmt.Errorf("0x%02x, want 0xe5, 0x10 or 0x68", b[0])}
}

func parseShort(b []byte) (f Frame, n int, err error) {
	if len(b) < shortLen {
		return Frame{}, 0, &ParseError{Field: "short frame", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	if err := check(b, 1, 3); err != nil {
		return Frame{}, 0, err
	}
	return Frame{Form: Short, C: C(b[1]), A: b[2]}, shortLen, nil
}

func parseLong(b []byte) (f Frame, n int, err error) {
	switch {
	case len(b) >= 2 && b[1] < 3:
		return Frame{}, 0, &ParseError{Field: "length", Offset: 1, Err: fmt.Errorf("%d, want at least 3", b[1])}
	case len(b) >= 3 && b[1] != b[2]:
		return Frame{}, 0, &ParseError{Field: "second length", Offset: 2, Err: fmt.Errorf("%d, the first is %d", b[2], b[1])}
	case len(b) >= headerLen && b[3] != startLong:
		return Frame{}, 0, &ParseError{Field: "second start", Offset: 3, Err: fmt.Errorf("0x%02x, want 0x68", b[3])}
	case len(b) < headerLen:
		return Frame{}, 0, &ParseError{Field: "header", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	end := headerLen + int(b[1])
	if len(b) < end+2 {
		return Frame{}, 0, &ParseError{Field: "frame", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	if err := check(b, headerLen, end); err != nil {
		return Frame{}, 0, err
	}
	f = Frame{Form: Long, C: C(b[4]), A: b[5], Payload: b[6:end:end]}
	if b[1] == 3 {
		f.Form = Control
	}
	return f, end + 2, nil
}

// check compares the checksum of b[first:end], which stands at end, and the stop octet.
func check(b []byte, first, end int) error {
	if sum := checksum(b[first:end]); b[end] != sum {
		return &ParseError{Field: "checksum", Offset: end, Err: fmt.Errorf("%w: 0x%02x, want 0x%02x", ErrChecksum, b[end], sum)}
	}
	if b[end+1] != stop {
		return &ParseError{Field: "stop", Offset: end + 1, Err: fmt.Errorf("0x%02x, want 0x16", b[end+1])}
	}
	return nil
}

func checksum(b []byte) (sum byte) {
	for _, c := range b {
		sum += c
	}
	return sum
}

// AppendBinary appends the frame to dst. On error dst is returned unchanged.
// The payload decides whether the frame is a control or a long frame.
func (f Frame) AppendBinary(dst []byte) ([]byte, error) {
	switch f.Form {
	case Ack:
		return append(dst, ack), nil
	case Short:
		return append(dst, startShort, byte(f.C), f.A, byte(f.C)+f.A, stop), nil
	case Control, Long:
	default:
		return dst, fmt.Errorf("link: frame of form %d", f.Form)
	}
	if len(f.Payload) < 1 || len(f.Payload) > MaxPayload {
		return dst, fmt.Errorf("link: %w: payload of %d octets, want 1 to %d", ErrLength, len(f.Payload), MaxPayload)
	}
	l := byte(2 + len(f.Payload))
	dst = append(dst, startLong, l, l, startLong, byte(f.C), f.A)
	dst = append(dst, f.Payload...)
	return append(dst, byte(f.C)+f.A+checksum(f.Payload), stop), nil
}

// CI returns the control information field, and whether the frame has one.
func (f Frame) CI() (byte, bool) {
	if len(f.Payload) == 0 {
		return 0, false
	}
	return f.Payload[0], true
}

// ErrChecksum reports a frame whose checksum is wrong.
var ErrChecksum = errors.New("wrong checksum")

// ErrLength reports a payload that no frame can carry.
var ErrLength = errors.New("bad length")

// ParseError says which field of a frame could not be read, and where.
type ParseError struct {
	Field  string // as the standard names it
	Offset int    // octets from the start of the slice given to Parse
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("link: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }
