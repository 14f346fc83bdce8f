package link

import (
	"errors"
	"io"

	"github.com/openusm/meter/internal/wire"
)

// Stats counts what a scanner met.
type Stats = wire.Stats

// Scanner finds frames in what a line delivers: it joins pieces, skips noise, and
// goes on behind a damaged frame. Once Next has asked for
// more it keeps less than [MaxFrame] octets. The zero Scanner is ready. It is
// not safe for concurrent use.
type Scanner struct {
	buf   wire.Buffer
	lost  bool // the last octet was noise: a lone E5 is no acknowledgement
	stats Stats
}

// Feed adds a copy of what arrived.
func (s *Scanner) Feed(b []byte) { s.buf.Feed(b) }

// Stats returns what was seen so far.
func (s *Scanner) Stats() Stats { return s.stats }

// Pending returns the octets in which Next found no end of a frame yet. It is valid
// until the next Feed.
func (s *Scanner) Pending() []byte { return s.buf.Rest() }

// Next returns the next frame, which is valid until the next Feed. An error
// that wraps [io.ErrUnexpectedEOF] asks for more octets; any other tells of a
// frame that was damaged and skipped.
func (s *Scanner) Next() (Frame, error) {
	for {
		rest := s.buf.Rest()
		if len(rest) == 0 {
			return Frame{}, errMore
		}
		f, n, err := Parse(rest)
		switch {
		case err == nil && f.Form == Ack && s.lost:
			s.skip(1)
			continue
		case err == nil:
			s.lost = false
			s.stats.Messages++
			s.buf.Take(n)
			return f, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Frame{}, err
		}
		if begun := rest[0] == startLong && len(rest) > headerLen && rest[1] == rest[2] && rest[3] == startLong && rest[1] >= 3; !begun {
			s.skip(noise(rest))
			continue
		}
		return Frame{}, s.fail(rest, err)
	}
}

// errMore asks for the next frame.
var errMore = &ParseError{Field: "start", Err: io.ErrUnexpectedEOF}

// noise returns how many octets of b surely begin no frame.
func noise(b []byte) int {
	for i, c := range b[1:] {
		if c == startLong || c == startShort || c == ack {
			return i + 1
		}
	}
	return len(b)
}

// fail counts a damaged long frame and skips it: all of it where it ends as its
// length says, else its first octet, as another frame may begin within.
func (s *Scanner) fail(b []byte, err error) error {
	if !errors.Is(err, ErrChecksum) {
		s.stats.Malformed++
		s.skip(1)
		return err
	}
	s.stats.ChecksumErrors++
	n := headerLen + int(b[1]) + 2
	if b[n-1] == stop {
		s.skip(n)
		s.lost = false
	} else {
		s.skip(1)
	}
	return err
}

func (s *Scanner) skip(n int) {
	s.buf.Take(n)
	s.stats.Skipped += uint64(n)
	s.lost = true
}
