package sml

import (
	"bytes"
	"errors"
	"io"

	"github.com/openusm/meter/iec62056"
)

// maxFrame bounds what a frame may be; those of meters have a few hundred octets.
const maxFrame = 1 << 16

// Stream finds frames in what a meter pushes: it joins pieces, skips noise, and
// goes on behind a broken frame. The zero Stream is ready. It is not safe for
// concurrent use.
type Stream struct {
	buf   []byte
	used  int // octets of buf that were handed out
	stats iec62056.Stats
}

// Feed adds what arrived.
func (s *Stream) Feed(b []byte) {
	s.buf = append(s.buf[:0], s.buf[s.used:]...)
	s.used = 0
	s.buf = append(s.buf, b...)
}

// Stats returns what was seen so far.
func (s *Stream) Stats() iec62056.Stats { return s.stats }

// Next returns the next frame, which is valid until the next Feed. It is not ok
// where more octets are needed.
func (s *Stream) Next() (f Frame, ok bool) {
	for {
		rest := s.buf[s.used:]
		begin := bytes.Index(rest, start)
		if begin < 0 {
			s.skip(max(0, len(rest)-startLen+1))
			return Frame{}, false
		}
		s.skip(begin)
		rest = rest[begin:]
		f, n, err := ParseFrame(rest)
		switch {
		case err == nil:
			s.stats.Messages++
			s.used += n
			return f, true
		case errors.Is(err, io.ErrUnexpectedEOF) && len(rest) < maxFrame:
			return Frame{}, false
		case errors.Is(err, ErrChecksum):
			s.stats.ChecksumErrors++
		default:
			s.stats.Malformed++
		}
		// Another frame may begin within the broken one.
		s.skip(startLen)
	}
}

func (s *Stream) skip(n int) {
	s.used += n
	s.stats.Skipped += uint64(n)
}
