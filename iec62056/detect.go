package iec62056

import (
	"bytes"
	"errors"
	"io"

	"github.com/openusm/meter/iec62056/internal/field"
)

// detected is how much of a capture is looked at.
const detected = 4096

// Detect reports whether b begins with a message of the protocol, with or
// without parity bits: a sign-on, an identification, an option select message, a
// command or a block whose check is right or whose end is not there yet; or
// whether it is the middle of a readout, text with data sets.
func Detect(b []byte) bool {
	b = bytes.TrimLeft(b[:min(len(b), detected)], "\x00")
	if hasParity(b[:min(len(b), 64)]) {
		b = bytes.Clone(b)
		StripParity(b)
	}
	if len(b) < 3 {
		return false
	}
	switch b[0] {
	case '/':
		m, _, err := ParseMessage(b)
		if err != nil {
			return errors.Is(err, io.ErrUnexpectedEOF) && len(b) > 4 && isBaud(b[4])
		}
		return m.Kind == KindRequest || m.Identification.Baud == 0 || isBaud(m.Identification.Baud)
	case ack:
		m, _, err := ParseMessage(b)
		return err == nil && m.Kind == KindOption
	case soh, stx:
		_, _, err := ParseMessage(b)
		return err == nil || errors.Is(err, io.ErrUnexpectedEOF) && mostlyText(b[1:]) && bytes.IndexByte(b, '(') >= 0
	}
	return mostlyText(b) && hasDataSet(b)
}

// isBaud reports whether meters send such a baud character: some that is no rate
// is a letter too.
func isBaud(c byte) bool { return c-'0' <= 9 || c|0x20-'a' <= 'z'-'a' || c == '-' || c == '_' }

// mostlyText reports whether b is text but for the frames of a readout and a few
// characters that the line has damaged.
func mostlyText(b []byte) bool {
	text := 0
	for _, c := range b {
		if c >= ' ' && c < 0x7F || c == '\r' || c == '\n' || c == stx || c == etx {
			text++
		}
	}
	return text*10 >= len(b)*8
}

// hasDataSet reports whether one of the lines of b is a data set, to its end.
func hasDataSet(b []byte) bool {
	s := newScanner(b, 0)
	var set field.Set
	for {
		err := s.Next(&set)
		if err == io.EOF {
			return false
		}
		end := set.Offset + len(set.ID) + len(set.Values)
		if err == nil && len(set.ID) > 0 && end < len(b) && (b[end] == '\r' || b[end] == '\n' || b[end] == '!') {
			return true
		}
	}
}
