package sml

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/openusm/meter/obis"
)

// The types of element, bits 6 to 4 of the first octet.
const (
	typeOctets   = 0
	typeBool     = 4
	typeInteger  = 5
	typeUnsigned = 6
	typeList     = 7
)

var (
	errEnd     = errors.New("end of message where an element was expected")
	errShort   = errors.New("length does not cover its own octets")
	errTooLong = errors.New("length beyond what fits")
)

// cursor reads elements. After the first failure it stays where it is.
type cursor struct {
	b     []byte
	off   int
	base  int // added to the offsets of errors
	layer string
	err   error
}

func (c *cursor) fail(field string, at int, err error) {
	if c.err == nil {
		c.err = &ParseError{c.layer, field, c.base + at, err}
	}
}

// tl reads type and length. For lists n is the number of elements, for all
// others the length of the content.
func (c *cursor) tl(field string) (typ byte, n int) {
	if c.err != nil {
		return 0, 0
	}
	if c.off >= len(c.b) {
		c.fail(field, len(c.b), io.ErrUnexpectedEOF)
		return 0, 0
	}
	first := c.b[c.off]
	typ, n = first>>4&7, int(first&0x0F)
	octets := 1
	for more := first&0x80 != 0; more; octets++ {
		if c.off+octets >= len(c.b) {
			c.fail(field, len(c.b), io.ErrUnexpectedEOF)
			return 0, 0
		}
		next := c.b[c.off+octets]
		if n > 1<<20 {
			c.fail(field, c.off, errTooLong)
			return 0, 0
		}
		n = n<<4 | int(next&0x0F)
		more = next&0x80 != 0
	}
	if typ == typeList {
		c.off += octets
		return typ, n
	}
	if first == 0 {
		c.fail(field, c.off, errEnd)
		return 0, 0
	}
	if n -= octets; n < 0 {
		c.fail(field, c.off, errShort)
		return 0, 0
	}
	if c.off+octets+n > len(c.b) {
		c.fail(field, len(c.b), io.ErrUnexpectedEOF)
		return 0, 0
	}
	c.off += octets
	return typ, n
}

// peek returns the first octet of the next element.
func (c *cursor) peek() byte {
	if c.err != nil || c.off >= len(c.b) {
		return 0
	}
	return c.b[c.off]
}

// absent skips an optional element that is not there.
func (c *cursor) absent() bool {
	if c.peek() != 0x01 {
		return false
	}
	c.off++
	return true
}

func (c *cursor) content(n int) []byte {
	b := c.b[c.off : c.off+n : c.off+n]
	c.off += n
	return b
}

// octets reads an octet string; nil where it is absent.
func (c *cursor) octets(field string) []byte {
	if c.absent() {
		return nil
	}
	at := c.off
	typ, n := c.tl(field)
	if c.err != nil {
		return nil
	}
	if typ != typeOctets {
		c.fail(field, at, fmt.Errorf("element of type %d, want an octet string", typ))
		return nil
	}
	return c.content(n)
}

// unsigned reads an unsigned integer of one to eight octets.
func (c *cursor) unsigned(field string) (v uint64, ok bool) {
	if c.absent() {
		return 0, false
	}
	at := c.off
	typ, n := c.tl(field)
	switch {
	case c.err != nil:
		return 0, false
	case typ != typeUnsigned && typ != typeInteger || n == 0 || n > 8:
		c.fail(field, at, fmt.Errorf("element of type %d with %d octets, want an unsigned integer", typ, n))
		return 0, false
	}
	return number(c.content(n)), true
}

// signed reads an integer of one to eight octets.
func (c *cursor) signed(field string) (v int64, ok bool) {
	if c.absent() {
		return 0, false
	}
	at := c.off
	typ, n := c.tl(field)
	switch {
	case c.err != nil:
		return 0, false
	case typ != typeInteger && typ != typeUnsigned || n == 0 || n > 8:
		c.fail(field, at, fmt.Errorf("element of type %d with %d octets, want an integer", typ, n))
		return 0, false
	}
	if typ == typeUnsigned {
		return int64(number(c.content(n))), true
	}
	return extend(number(c.content(n)), n), true
}

func number(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// extend gives a two's complement number of n octets its sign.
func extend(v uint64, n int) int64 {
	shift := 64 - 8*n
	return int64(v<<shift) >> shift
}

// list reads the head of a list that must have n elements, or any number if n < 0.
func (c *cursor) list(field string, want int) int {
	at := c.off
	typ, n := c.tl(field)
	switch {
	case c.err != nil:
		return 0
	case typ != typeList:
		c.fail(field, at, fmt.Errorf("element of type %d, want a list", typ))
	case want >= 0 && n != want:
		c.fail(field, at, fmt.Errorf("list of %d, want %d", n, want))
	case n > len(c.b)-c.off:
		c.fail(field, at, fmt.Errorf("list of %d elements in %d octets: %w", n, len(c.b)-c.off, io.ErrUnexpectedEOF))
	}
	if c.err != nil {
		return 0
	}
	return n
}

// element skips one element with all that is in it and returns it.
func (c *cursor) element(field string) []byte {
	begin := c.off
	for left := 1; left > 0 && c.err == nil; left-- {
		// Most elements are short: one octet of type and length, at most 14 of content.
		if t := c.peek(); t != 0 && t&0x80 == 0 {
			if t>>4 == typeList {
				c.off++
				left += int(t & 0x0F)
				continue
			}
			if next := c.off + int(t&0x0F); next <= len(c.b) && next > c.off {
				c.off = next
				continue
			}
		}
		typ, n := c.tl(field)
		if c.err != nil {
			return nil
		}
		if typ == typeList {
			left += n
			continue
		}
		c.off += n
	}
	if c.err != nil {
		return nil
	}
	return c.b[begin:c.off:c.off]
}

// value reads a value: any simple element, or a list that stays as it is. Width
// is the number of octets of an integer, negative for a signed one.
func (c *cursor) value(field string, exp int8) (v obis.Value, width int) {
	if c.absent() {
		return obis.Value{}, 0
	}
	at := c.off
	typ, n := c.tl(field)
	if c.err != nil {
		return obis.Value{}, 0
	}
	switch {
	case typ == typeOctets:
		return octets(c.content(n)), 0
	case typ == typeBool && n == 1:
		return obis.Bool(c.content(1)[0] != 0), 0
	case typ == typeInteger && 0 < n && n <= 8:
		return obis.Int(extend(number(c.content(n)), n), exp), -n
	case typ == typeUnsigned && 0 < n && n <= 8:
		return obis.Uint(number(c.content(n)), exp), n
	case typ == typeList:
		c.off = at
		return c.choice(field)
	}
	c.fail(field, at, fmt.Errorf("element of type %d with %d octets is no value", typ, n))
	return obis.Value{}, 0
}

// choice reads a list as value: a time, or something that stays undecoded.
func (c *cursor) choice(field string) (obis.Value, int) {
	begin := c.off
	raw := c.element(field)
	if c.err != nil {
		return obis.Value{}, 0
	}
	// SML_ListType: list of tag 1 and a time.
	inner := cursor{b: raw, layer: c.layer}
	if inner.list(field, 2) == 2 {
		if tag, ok := inner.unsigned(field); ok && tag == 1 && inner.peek()>>4 == typeList {
			if t := inner.time(field); inner.err == nil && inner.off == len(raw) {
				return obis.Moment(t), 0
			}
		}
	}
	c.off = begin + len(raw)
	return obis.Tree(raw), 0
}

// octets returns text where all octets are printable ASCII.
func octets(b []byte) obis.Value {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return obis.Octets(b)
		}
	}
	if len(b) == 0 {
		return obis.Octets(b)
	}
	return obis.Text(b)
}

// time reads a SML_Time:
//
//	72 62 01 seconds index | 72 62 02 timestamp | 72 62 03 73 timestamp offset season
//
// Some meters send the bare seconds index without the choice around it.
func (c *cursor) time(field string) obis.Time {
	if c.absent() {
		return obis.Time{}
	}
	if c.peek()>>4&7 == typeUnsigned {
		v, _ := c.unsigned(field)
		return relative(v)
	}
	at := c.off
	c.list(field, 2)
	tag, _ := c.unsigned(field)
	switch {
	case c.err != nil:
		return obis.Time{}
	case tag == 1:
		v, _ := c.unsigned(field)
		return relative(v)
	case tag == 2:
		v, _ := c.unsigned(field)
		return instant(v, 0, 0)
	case tag == 3:
		c.list(field, 3)
		v, _ := c.unsigned(field)
		offset, _ := c.signed(field)
		season, _ := c.signed(field)
		return instant(v, offset, season)
	}
	c.fail(field, at, fmt.Errorf("choice %d of a time", tag))
	return obis.Time{}
}

func relative(seconds uint64) obis.Time {
	if seconds > 1<<31-1 {
		return obis.Time{}
	}
	return obis.Relative(int32(seconds))
}

// instant returns the time of a number of seconds since 1970, shown with the
// offset and the season's offset, both in minutes.
func instant(seconds uint64, offset, season int64) obis.Time {
	if seconds > 1<<32-1 || offset < -1440 || offset > 1440 || season < -1440 || season > 1440 {
		return obis.Time{}
	}
	t := obis.FromTime(time.Unix(int64(seconds)+60*(offset+season), 0).UTC())
	t.Deviation = int16(-(offset + season))
	if season > 0 {
		t.Status = obis.TimeDST
	}
	return t
}
