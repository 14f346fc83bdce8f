// Package ber reads and writes ASN.1 values in the basic encoding rules (X.690)
// with definite lengths.
//
//	identifier(1-4) | length(1-5) | contents
package ber

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// Tag is the identifier octets as one number, the first octet the most
// significant: 0x30, 0xA4, 0xBF41.
type Tag uint32

// Constructed reports whether the contents are elements.
func (t Tag) Constructed() bool {
	for t > 0xFF {
		t >>= 8
	}
	return t&0x20 != 0
}

// Element is one value: its tag and its contents, which alias the input.
type Element struct {
	Tag      Tag
	Contents []byte
	Offset   int // of the contents, from the start of what the outermost Reader was given
}

// Errors of input that is no BER that this package reads.
var (
	ErrIndefinite = errors.New("indefinite length")
	ErrLength     = errors.New("length out of range")
	ErrTag        = errors.New("unexpected tag")
)

// Error says which element could not be read, and where.
type Error struct {
	Field  string
	Offset int
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("%s at octet %d: %v", e.Field, e.Offset, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Parse reads the element at the start of b and returns how many octets it took.
// Input that is only too short gives an error that wraps [io.ErrUnexpectedEOF].
func Parse(b []byte) (e Element, n int, err error) {
	tag, n, err := parseTag(b)
	if err != nil {
		return Element{}, 0, err
	}
	if len(b) == n {
		return Element{}, 0, &Error{"length", n, io.ErrUnexpectedEOF}
	}
	length := int(b[n])
	n++
	if length == 0x80 {
		return Element{}, 0, &Error{"length", n - 1, ErrIndefinite}
	}
	if length > 0x80 {
		octets := length & 0x7F
		if octets > 4 {
			return Element{}, 0, &Error{"length", n - 1, ErrLength}
		}
		length = 0
		for range octets {
			if len(b) == n {
				return Element{}, 0, &Error{"length", n, io.ErrUnexpectedEOF}
			}
			length = length<<8 | int(b[n])
			n++
		}
		if length > math.MaxInt32 {
			return Element{}, 0, &Error{"length", n - octets, ErrLength}
		}
	}
	if len(b)-n < length {
		return Element{}, 0, &Error{"contents", len(b), io.ErrUnexpectedEOF}
	}
	return Element{tag, b[n : n+length : n+length], n}, n + length, nil
}

func parseTag(b []byte) (Tag, int, error) {
	if len(b) == 0 {
		return 0, 0, &Error{"tag", 0, io.ErrUnexpectedEOF}
	}
	tag := Tag(b[0])
	if tag&0x1F != 0x1F {
		return tag, 1, nil
	}
	for n := 1; n < 4; n++ {
		if len(b) == n {
			return 0, 0, &Error{"tag", n, io.ErrUnexpectedEOF}
		}
		tag = tag<<8 | Tag(b[n])
		if b[n]&0x80 == 0 {
			return tag, n + 1, nil
		}
	}
	return 0, 0, &Error{"tag", 0, ErrTag}
}

// Reader reads elements one after the other.
type Reader struct {
	buf  []byte
	off  int
	base int
}

// NewReader returns a reader at the start of b.
func NewReader(b []byte) Reader { return Reader{buf: b} }

// Reader returns a reader of the elements in e.
func (e Element) Reader() Reader { return Reader{buf: e.Contents, base: e.Offset} }

// More reports whether octets are left.
func (r *Reader) More() bool { return r.off < len(r.buf) }

// Offset returns where the next element begins.
func (r *Reader) Offset() int { return r.base + r.off }

// Next reads the next element; the field names it in an error.
func (r *Reader) Next(field string) (Element, error) {
	e, n, err := Parse(r.buf[r.off:])
	if err != nil {
		var be *Error
		errors.As(err, &be)
		return Element{}, &Error{field, r.base + r.off + be.Offset, be.Err}
	}
	e.Offset += r.base + r.off
	r.off += n
	return e, nil
}

// Want reads the next element, which must have the tag.
func (r *Reader) Want(tag Tag, field string) (Element, error) {
	at := r.Offset()
	e, err := r.Next(field)
	if err != nil {
		return Element{}, err
	}
	if e.Tag != tag {
		return Element{}, &Error{field, at, fmt.Errorf("%w 0x%x, want 0x%x", ErrTag, uint32(e.Tag), uint32(tag))}
	}
	return e, nil
}

// Option reads the next element if it has the tag.
func (r *Reader) Option(tag Tag, field string) (e Element, ok bool, err error) {
	if r.Peek() != tag {
		return Element{}, false, nil
	}
	e, err = r.Next(field)
	return e, err == nil, err
}

// Peek returns the tag of the next element, 0 where there is none.
func (r *Reader) Peek() Tag {
	if !r.More() {
		return 0
	}
	t, _, err := parseTag(r.buf[r.off:])
	if err != nil {
		return 0
	}
	return t
}

// Int returns the contents as a signed integer of at most eight octets.
func (e Element) Int(field string) (int64, error) {
	if len(e.Contents) == 0 || len(e.Contents) > 8 {
		return 0, &Error{field, e.Offset, ErrLength}
	}
	v := int64(int8(e.Contents[0]))
	for _, c := range e.Contents[1:] {
		v = v<<8 | int64(c)
	}
	return v, nil
}

// Uint returns the contents as an unsigned integer below 2^64.
func (e Element) Uint(field string) (uint64, error) {
	b := e.Contents
	if len(b) == 9 && b[0] == 0 {
		b = b[1:]
	} else if len(b) > 0 && b[0]&0x80 != 0 {
		return 0, &Error{field, e.Offset, fmt.Errorf("%w: negative", ErrLength)}
	}
	if len(b) == 0 || len(b) > 8 {
		return 0, &Error{field, e.Offset, ErrLength}
	}
	v := uint64(0)
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v, nil
}

// Uint32 returns the contents as an unsigned integer below 2^32.
func (e Element) Uint32(field string) (uint32, error) {
	v, err := e.Uint(field)
	if err == nil && v > math.MaxUint32 {
		return 0, &Error{field, e.Offset, ErrLength}
	}
	return uint32(v), err
}

// Bool returns the contents as a boolean.
func (e Element) Bool(field string) (bool, error) {
	if len(e.Contents) != 1 {
		return false, &Error{field, e.Offset, ErrLength}
	}
	return e.Contents[0] != 0, nil
}

// AppendTag appends the identifier octets.
func AppendTag(dst []byte, t Tag) []byte {
	for shift := (bits.Len32(uint32(t)|1) - 1) / 8 * 8; shift >= 0; shift -= 8 {
		dst = append(dst, byte(t>>shift))
	}
	return dst
}

// AppendLength appends the length octets in their shortest form.
func AppendLength(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= 0xFF:
		return append(dst, 0x81, byte(n))
	case n <= 0xFFFF:
		return append(dst, 0x82, byte(n>>8), byte(n))
	case n <= 0xFFFFFF:
		return append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// LengthSize returns how many octets AppendLength appends.
func LengthSize(n int) int {
	if n < 0x80 {
		return 1
	}
	return 1 + (bits.Len(uint(n))+7)/8
}

// Append appends an element.
func Append[T []byte | string](dst []byte, t Tag, contents T) []byte {
	return append(AppendLength(AppendTag(dst, t), len(contents)), contents...)
}

// AppendInt appends a signed integer in as few octets as it needs.
func AppendInt(dst []byte, t Tag, v int64) []byte {
	n := bits.Len64(uint64(v^v>>63))/8 + 1
	dst = append(AppendTag(dst, t), byte(n))
	for shift := 8 * (n - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(v>>shift))
	}
	return dst
}

// AppendUint appends an unsigned integer in as few octets as it needs.
func AppendUint(dst []byte, t Tag, v uint64) []byte {
	if v <= math.MaxInt64 {
		return AppendInt(dst, t, int64(v))
	}
	dst = append(AppendTag(dst, t), 9, 0)
	for shift := 56; shift >= 0; shift -= 8 {
		dst = append(dst, byte(v>>shift))
	}
	return dst
}

// AppendBool appends a boolean.
func AppendBool(dst []byte, t Tag, v bool) []byte {
	b := byte(0)
	if v {
		b = 0xFF
	}
	return append(AppendTag(dst, t), 1, b)
}

// Open appends a tag and room for a short length; [Close] completes the element
// that whatever is appended in between is the contents of.
func Open(dst []byte, t Tag) (out []byte, mark int) {
	dst = append(AppendTag(dst, t), 0)
	return dst, len(dst)
}

// Close completes the element that Open began.
func Close(dst []byte, mark int) []byte {
	n := len(dst) - mark
	if extra := LengthSize(n) - 1; extra > 0 {
		var room [4]byte
		dst = append(dst, room[:extra]...)
		copy(dst[mark+extra:], dst[mark:mark+n])
	}
	AppendLength(dst[:mark-1], n)
	return dst
}
