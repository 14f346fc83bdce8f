package field

import "bytes"

// maxHead is the longest identification that Restart looks for.
const maxHead = 72

// Restart returns where, in a message that begins at b[0] with "/", another one
// begins before the first has ended: an identification with an empty line or
// STX behind it. It returns 0 where there is none. Begun tells whether b itself
// is the beginning of a message, and not some "/" in other data.
func Restart(b []byte) (at int, begun bool) {
	return restart(b), begins(b)
}

func restart(b []byte) int {
	for at := 1; at < len(b); at++ {
		i := bytes.IndexByte(b[at:], '/')
		if i < 0 {
			return 0
		}
		if ends(b[at-1 : at+i]) {
			return 0
		}
		at += i
		if begins(b[at:]) {
			return at
		}
	}
	return 0
}

// ends reports whether the end of a message is among the lines of b.
func ends(b []byte) bool {
	for i := 1; i < len(b); i++ {
		next := bytes.IndexByte(b[i:], '!')
		if next < 0 {
			return false
		}
		if i += next; b[i-1] == '\n' || EndsLine(b, i) {
			return true
		}
	}
	return false
}

// EndsLine reports whether the "!" at b[i] stands behind a value at the end of a
// line, as the last one of heat meters does.
func EndsLine(b []byte, i int) bool {
	return i > 0 && b[i-1] == ')' && i+1 < len(b) && (b[i+1] == '\r' || b[i+1] == '\n')
}

// begins reports whether b is surely the beginning of a message and not a value
// with a "/" in it.
func begins(b []byte) bool {
	i := 1
	for ; i < len(b) && b[i] != '\r' && b[i] != '\n'; i++ {
		c := b[i]
		if c < ' ' || c > '~' || c == '(' || c == ')' || i < 4 && (c|0x20 < 'a' || c|0x20 > 'z') || i > maxHead {
			return false
		}
	}
	if i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
		i++
	}
	if i < 4 || i+1 >= len(b) {
		return false
	}
	next := b[i+1]
	return next == '\r' || next == '\n' || next == 0x02
}
