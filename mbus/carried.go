package mbus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Frames with a CI field from 00 to 1F carry APDUs of DLMS/COSEM in segments:
//
//	CI | source | destination | part of the APDU
//
// The low half of CI counts the segments from 0; its bit 4 marks the last.
const (
	carriedHeader = 3
	carriedFinal  = 0x10
	carriedCount  = 0x0F
	// maxCarried is how many APDUs may be on their way at once; the one that was
	// begun first goes first. Each has at most 16 segments of one frame.
	maxCarried = 16
)

// The reasons for which a segment of a carried APDU is refused. The APDU is given up.
var (
	ErrLostSegment    = errors.New("a segment is missing")
	ErrAlteredSegment = errors.New("a segment was repeated with other octets")
)

// Carried is an APDU that came whole. It is valid until the next call of [Carrier.Add].
type Carried struct {
	Source, Destination byte
	APDU                []byte
}

// Carrier joins the segments of APDUs, each between two partners at one primary
// address. The zero Carrier is ready. It is not safe for concurrent use.
type Carrier struct {
	open []carried // oldest first
	done []byte
}

// carried is an APDU of which not all segments have come.
type carried struct {
	from [3]byte // primary address, source, destination
	last byte    // number of the last segment
	part int     // where that begins in apdu
	apdu []byte
}

// Add takes the payload of a frame of a slave's primary address, from the CI
// field on. An error that wraps [io.ErrUnexpectedEOF] means that more segments
// are needed. A segment 0 begins anew, a repeated segment changes nothing.
func (c *Carrier) Add(primary byte, payload []byte) (Carried, error) {
	if len(payload) < carriedHeader {
		return Carried{}, &ParseError{Field: "DLMS segment", Offset: len(payload), Err: errShortSegment}
	}
	ci := payload[0]
	if ci > carriedFinal|carriedCount {
		return Carried{}, &ParseError{Field: "CI", Err: fmt.Errorf("0x%02x carries no segment of DLMS", ci)}
	}
	from, part := [3]byte{primary, payload[1], payload[2]}, payload[carriedHeader:]
	number := ci & carriedCount
	i := c.find(from)
	switch {
	case number == 0:
		i = c.begin(i, from)
	case i < 0:
		return Carried{}, lostSegment(number, 0)
	case number == c.open[i].last && bytes.Equal(part, c.open[i].apdu[c.open[i].part:]):
		return Carried{}, errMoreSegments
	case number == c.open[i].last:
		c.drop(i)
		return Carried{}, &ParseError{Field: "CI", Err: fmt.Errorf("segment %d: %w", number, ErrAlteredSegment)}
	case number != c.open[i].last+1:
		want := c.open[i].last + 1
		c.drop(i)
		return Carried{}, lostSegment(number, want)
	}
	o := &c.open[i]
	o.last, o.part = number, len(o.apdu)
	o.apdu = append(o.apdu, part...)
	if ci&carriedFinal == 0 {
		return Carried{}, errMoreSegments
	}
	c.done = append(c.done[:0], o.apdu...)
	c.drop(i)
	return Carried{Source: from[1], Destination: from[2], APDU: c.done}, nil
}

var (
	errShortSegment = errors.New("shorter than its addresses")
	errMoreSegments = &ParseError{Field: "DLMS segment", Err: fmt.Errorf("more segments follow: %w", io.ErrUnexpectedEOF)}
)

func lostSegment(have, want byte) error {
	return &ParseError{Field: "CI", Err: fmt.Errorf("segment %d, want %d: %w", have, want, ErrLostSegment)}
}

func (c *Carrier) find(from [3]byte) int {
	for i := range c.open {
		if c.open[i].from == from {
			return i
		}
	}
	return -1
}

// begin makes room for a new APDU, in the memory of the one at i or of the oldest
// where there are too many.
func (c *Carrier) begin(i int, from [3]byte) int {
	if i < 0 && len(c.open) == maxCarried {
		i = 0
	}
	if i >= 0 {
		c.drop(i)
	}
	n := len(c.open)
	if n < cap(c.open) {
		c.open = c.open[:n+1]
	} else {
		c.open = append(c.open, carried{})
	}
	o := &c.open[n]
	o.from, o.last, o.part, o.apdu = from, 0, 0, o.apdu[:0]
	return n
}

// drop gives up the APDU at i, and keeps its memory for the next.
func (c *Carrier) drop(i int) {
	gone := c.open[i]
	copy(c.open[i:], c.open[i+1:])
	c.open[len(c.open)-1] = gone
	c.open = c.open[:len(c.open)-1]
}
