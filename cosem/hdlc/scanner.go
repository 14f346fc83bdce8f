package hdlc

import (
	"bytes"
	"errors"
	"io"

	"github.com/openusm/meter/internal/wire"
)

// Stats counts what a [Scanner] met.
type Stats = wire.Stats

// maxPending bounds the octets that wait for somebody to call Next; one frame
// has at most 2,049.
const maxPending = 1 << 16

// Scanner finds frames in what comes from a line. The zero Scanner is ready.
type Scanner struct {
	in    wire.Buffer
	raw   []byte
	stats Stats
}

// Feed adds octets from the line, of which it makes a copy.
func (s *Scanner) Feed(b []byte) {
	if n := len(s.in.Rest()); n > maxPending {
		s.stats.Skipped += uint64(n)
		s.in.Reset()
	}
	s.in.Feed(b)
}

// Next returns the next frame. An error that wraps [io.ErrUnexpectedEOF] means
// that more must come; any other one concerns octets that looked like a frame
// and were none, and scanning goes on behind their flag. The frame aliases
// memory that the next Feed uses again.
func (s *Scanner) Next() (Frame, error) {
	for {
		b := s.in.Rest()
		at := bytes.IndexByte(b, flag)
		if at < 0 {
			s.skip(len(b))
			return Frame{}, errNothing
		}
		s.skip(at)
		b = b[at:]
		if len(b) == 1 {
			return Frame{}, errFlagOnly
		}
		if b[1] == flag { // fill between frames
			s.in.Take(1)
			continue
		}
		f, n, err := Parse(b)
		switch {
		case err == nil:
			s.stats.Messages++
			s.raw = b[:n]
			s.in.Take(n - 1) // the closing flag may open the next frame
			return f, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Frame{}, err
		}
		s.in.Take(1)
		if noFrame(err) {
			s.stats.Skipped++ // the flag closed a frame, or belonged to noise
			continue
		}
		s.raw = b
		if errors.Is(err, ErrChecksum) {
			s.stats.ChecksumErrors++
		} else {
			s.stats.Malformed++
		}
		return Frame{}, err
	}
}

// What is left behind a frame, made once.
var errNothing, errFlagOnly = short("flag", nil), short("format", []byte{flag})

// noFrame reports whether what follows a flag does not even begin as a frame does.
func noFrame(err error) bool {
	var pe *ParseError
	return errors.As(err, &pe) && (pe.Field == "format" || errors.Is(err, errAddress))
}

func (s *Scanner) skip(n int) {
	s.stats.Skipped += uint64(n)
	s.in.Take(n)
}

// Raw returns the octets of the last frame, from flag to flag; they are valid
// until the next Feed.
func (s *Scanner) Raw() []byte { return s.raw }

// Stats returns what was counted so far. A closing flag that opens no other
// frame counts as skipped.
func (s *Scanner) Stats() Stats { return s.stats }

// Pending returns how many octets a frame has that has begun and not ended.
func (s *Scanner) Pending() int {
	b := s.in.Rest()
	if len(b) == 1 && b[0] == flag {
		return 0
	}
	return len(b)
}

// Skip gives up on the frame that has begun; scanning goes on behind its flag.
func (s *Scanner) Skip() {
	if len(s.in.Rest()) > 0 {
		s.skip(1)
	}
}
