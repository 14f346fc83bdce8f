package hdlc

import "bytes"

// Detect reports whether b begins with a frame: flags, the format of IEC 62056-46
// and, where b is long enough, a flag where the frame ends.
func Detect(b []byte) bool {
	frame := bytes.TrimLeft(b, "\x7E")
	if len(frame) == len(b) || len(frame) < 2 || frame[0]&0xF0 != 0xA0 {
		return false
	}
	n := int(frame[0]&7)<<8 | int(frame[1])
	return n >= 7 && (len(frame) <= n || frame[n] == flag)
}
