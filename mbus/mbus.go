// Package mbus reads the application layer of M-Bus (EN 13757-3 and -7), wired
// and wireless, and turns its records into readings with OBIS codes.
//
//	CI | header: none, short or long | records
//	record: DIF DIFE… | VIF VIFE… | data
//
// [Parse] takes what follows the link layer, from the CI field on: the payload
// of a frame of package link, or of a telegram of package wmbus. A [Decoder]
// does the same without allocating, and knows keys and formats.
package mbus

//go:generate go run ../internal/gen/mbus

import "fmt"

// ParseError says which field could not be read, and where.
type ParseError struct {
	Field  string // as the standard names it
	Offset int    // octets from the start of the slice that the caller passed
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("mbus: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }
