// Package wire reads binary messages: a cursor over a slice that remembers the
// first error with its field and offset, and never reads past the end.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Error is what went wrong first.
type Error struct {
	Field  string // as the caller named it
	Offset int    // octets from the start of the slice
	Err    error  // wraps io.ErrUnexpectedEOF where octets were missing
}

func (e *Error) Error() string { return fmt.Sprintf("%s at octet %d: %v", e.Field, e.Offset, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Cursor reads a slice from front to back. After the first failure all reads
// return zero and the position stays, so that a parser may check once, at its end.
type Cursor struct {
	buf []byte
	off int
	err error
}

// NewCursor returns a cursor at the start of b.
func NewCursor(b []byte) Cursor { return Cursor{buf: b} }

// Offset returns how many octets were read.
func (c *Cursor) Offset() int { return c.off }

// Len returns how many octets are left.
func (c *Cursor) Len() int { return len(c.buf) - c.off }

// Err returns the first failure, an [*Error].
func (c *Cursor) Err() error { return c.err }

// Fail records a failure of field at the offset, unless there was one before.
func (c *Cursor) Fail(field string, offset int, err error) {
	if c.err == nil {
		c.err = &Error{field, offset, err}
	}
}

// Bytes reads n octets; the result aliases the slice.
func (c *Cursor) Bytes(n int, field string) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > c.Len() {
		c.Fail(field, len(c.buf), io.ErrUnexpectedEOF)
		return nil
	}
	b := c.buf[c.off : c.off+n : c.off+n]
	c.off += n
	return b
}

// Rest reads all that is left.
func (c *Cursor) Rest() []byte { return c.Bytes(c.Len(), "") }

// Peek returns the next octet without reading it.
func (c *Cursor) Peek() (byte, bool) {
	if c.err != nil || c.Len() == 0 {
		return 0, false
	}
	return c.buf[c.off], true
}

// Uint8 reads one octet.
func (c *Cursor) Uint8(field string) uint8 {
	if b := c.Bytes(1, field); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads two octets, the most significant first.
func (c *Cursor) Uint16(field string) uint16 {
	if b := c.Bytes(2, field); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// Uint32 reads four octets, the most significant first.
func (c *Cursor) Uint32(field string) uint32 {
	if b := c.Bytes(4, field); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint16LE reads two octets, the least significant first.
func (c *Cursor) Uint16LE(field string) uint16 {
	if b := c.Bytes(2, field); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}
