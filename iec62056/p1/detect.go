package p1

import (
	"bytes"

	"github.com/openusm/meter/iec62056/internal/field"
)

// Detect reports whether b begins with a telegram of a customer port, with or
// without parity bits: an identification, and lines whose ids are all written
// A-B:C.D.E, or a CRC behind the "!". A telegram that is cut off needs a whole
// line.
func Detect(b []byte) bool {
	b = bytes.TrimLeft(b[:min(len(b), maxTelegram)], "\x00\r\n ")
	if len(b) > 0 && b[0] == slash {
		plain := make([]byte, len(b))
		for i, c := range b {
			plain[i] = c & 0x7F
		}
		b = plain
	}
	if len(b) < 6 || b[0] != '/' || !letters(b[1:4]) || b[4] == '/' {
		return false
	}
	head, rest, ok := bytes.Cut(b, []byte("\n"))
	if head = bytes.TrimSuffix(head, []byte("\r")); !ok || len(head) < 5 || !printable(head) {
		return false
	}
	lines := 0
	for len(rest) > 0 {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case len(line) > 0 && line[0] == '!':
			return lines > 0 || field.IsCRC(line[1:])
		case !whole: // cut off
			return lines > 0
		case len(line) == 0 || line[0] == '(' && lines > 0:
		case !isID(line):
			return field.IsCRC(crcLine(rest))
		default:
			lines++
		}
		rest = after
	}
	return lines > 0
}

// crcLine returns what follows the "!" that begins a line.
func crcLine(b []byte) []byte {
	_, crc, _ := bytes.Cut(b, []byte("\n!"))
	crc, _, _ = bytes.Cut(crc, []byte("\n"))
	return bytes.TrimSuffix(crc, []byte("\r"))
}

// isID reports whether a line begins with A-B:C.D.E and a value.
func isID(line []byte) bool {
	group, digits := 0, 0
	for _, c := range line {
		switch {
		case c-'0' <= 9:
			digits++
		case digits == 0 || digits > 3:
			return false
		case group == 4:
			return c == '('
		case c != "-:.."[group]:
			return false
		default:
			group, digits = group+1, 0
		}
	}
	return false
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
