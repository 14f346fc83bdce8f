package sml

import "bytes"

// Detect reports whether b begins with a frame or, in its first 64 KiB, holds
// the start of one, as a capture does that begins in the middle.
func Detect(b []byte) bool { return bytes.Contains(b[:min(len(b), maxFrame)], start) }
