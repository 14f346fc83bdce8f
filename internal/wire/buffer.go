package wire

// Stats counts what a reader of a stream met.
type Stats struct {
	Messages       uint64 // that were whole and right
	ChecksumErrors uint64
	Malformed      uint64 // broken in another way
	Skipped        uint64 // octets that belong to no message
}

// Since returns what was counted after before.
func (s Stats) Since(before Stats) Stats {
	return Stats{
		Messages: s.Messages - before.Messages, ChecksumErrors: s.ChecksumErrors - before.ChecksumErrors,
		Malformed: s.Malformed - before.Malformed, Skipped: s.Skipped - before.Skipped,
	}
}

// Move appends the octets of b to dst, and makes b refer to them there.
func Move(dst []byte, b *[]byte) []byte {
	if *b == nil {
		return dst
	}
	n := len(dst)
	dst = append(dst, *b...)
	*b = dst[n:len(dst):len(dst)]
	return dst
}

// Buffer gathers what arrives in pieces until a reader has found the messages
// in it. The zero Buffer is ready.
type Buffer struct {
	buf  []byte
	used int
}

// Feed adds a copy of b. What Rest returned before is no longer valid.
func (f *Buffer) Feed(b []byte) {
	if f.used > 0 {
		f.buf = f.buf[:copy(f.buf, f.buf[f.used:])]
		f.used = 0
	}
	f.buf = append(f.buf, b...)
}

// Rest returns the octets that no one took yet; it is valid until the next Feed.
func (f *Buffer) Rest() []byte { return f.buf[f.used:] }

// Take counts the first n octets of the rest as read.
func (f *Buffer) Take(n int) { f.used += n }

// Reset forgets all octets, and keeps their memory.
func (f *Buffer) Reset() { f.buf, f.used = f.buf[:0], 0 }
