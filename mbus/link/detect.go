package link

import (
	"errors"
	"io"
)

// Detect reports whether b begins with a frame, after an acknowledgement
// perhaps: one whose checksum is right, or a control or long frame that begins
// as such and is damaged or not complete.
func Detect(b []byte) bool {
	if len(b) == 1 && b[0] == ack {
		return true
	}
	for len(b) > 0 && b[0] == ack {
		b = b[1:]
	}
	if len(b) == 0 || b[0] != startShort && b[0] != startLong {
		return false
	}
	f, _, err := Parse(b)
	if err == nil {
		return f.Form == Short || f.Form == Control || f.Form == Long
	}
	return len(b) >= headerLen && b[0] == startLong && (errors.Is(err, ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF))
}
