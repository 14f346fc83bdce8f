package apdu

import (
	"bytes"
	"errors"
	"io"
)

// Begins reports whether b may be the beginning of an APDU of which the rest is missing.
func Begins(b []byte) bool {
	b = withoutLLC(b)
	p, _, err := Parse(b)
	if len(b) < 3 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || b[0] == TagAARQ && !isCOSEM(b) || b[0] == TagAARE && !isCOSEM(b) {
		return false
	}
	_, unknown := p.(Unknown)
	return !unknown
}

// isCOSEM knows the object identifiers of DLMS/COSEM.
func isCOSEM(b []byte) bool {
	return bytes.Contains(b[:min(len(b), 64)], []byte{0x60, 0x85, 0x74, 0x05, 0x08, 0x01})
}

func withoutLLC(b []byte) []byte {
	if len(b) >= 3 && b[0] == 0xE6 && (b[1] == 0xE6 || b[1] == 0xE7) && b[2] == 0 {
		return b[3:]
	}
	return b
}
