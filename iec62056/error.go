package iec62056

import (
	"errors"
	"fmt"
)

// ParseError says which part of a message could not be read, and where.
type ParseError struct {
	Field  string // as the standard names it
	Offset int    // octets from the start of the slice that was parsed
	Err    error  // wraps io.ErrUnexpectedEOF where octets are missing
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("iec62056: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// ErrChecksum reports a block check character that does not fit the block.
var ErrChecksum = errors.New("wrong block check character")

var (
	errRestart   = errors.New("STX: another block begins before the end of this one")
	errStart     = errors.New("neither \"/\" nor STX")
	errLetters   = errors.New("not three letters")
	errControl   = errors.New("control character")
	errTooLong   = errors.New("longer than the standard allows")
	errNotMarked = errors.New("wrong start character")
)
