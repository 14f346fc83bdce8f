// Package sml reads the Smart Message Language 1.04 (BSI TR-03109-1, IEC
// 62056-5-3-8) that electricity meters push to their optical port.
//
//	1b1b1b1b 01010101                       start of a file (transport protocol 1)
//	messages, "1b1b1b1b" within them doubled, zero octets up to a multiple of four
//	1b1b1b1b 1a padding(1) CRC(2)           end
//
//	76 transaction group abort 72 tag body CRC 00        a message
//
// Everything in a message is an element: an octet of type and length, more of
// them where the length needs it, and content. [ParseFrame] takes the transport
// apart, [ParseMessage] a message, [Message.List] and [Message.Profile] what
// it carries. A [Decoder] does all of it at once, and a [Stream] finds the frames.
package sml

import (
	"errors"
	"fmt"
)

// ParseError says which part could not be read, and where.
type ParseError struct {
	Layer  string // "transport", "message" or the name of the message
	Field  string
	Offset int   // octets from the start of the slice that was parsed
	Err    error // wraps io.ErrUnexpectedEOF where octets are missing
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("sml: %s: %s at octet %d: %v", e.Layer, e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// ErrChecksum reports a wrong CRC.
var ErrChecksum = errors.New("wrong CRC")

// Check says which CRC a frame or a message had.
type Check uint8

// The checks. Some Holley meters compute the one of messages as CRC-16/KERMIT.
const (
	CheckX25 Check = iota + 1
	CheckKermit
	CheckSwapped // CRC-16/X-25 with its octets the other way round
)

// String returns the name of the algorithm.
func (c Check) String() string {
	switch c {
	case CheckX25:
		return "CRC-16/X-25"
	case CheckKermit:
		return "CRC-16/KERMIT"
	case CheckSwapped:
		return "CRC-16/X-25 swapped"
	}
	return "none"
}
