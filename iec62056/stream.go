package iec62056

import (
	"bytes"
	"errors"
	"io"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/internal/wire"
)

// Stats counts what a stream met.
type Stats = wire.Stats

// Stream finds readouts in what a meter of mode D (or A) sends by itself: it
// joins pieces, skips noise, and goes on behind a broken readout. The zero
// Stream is ready. It is not safe for concurrent use.
type Stream struct {
	MaxSize int // octets of one readout; 0 means 65,536

	buf   []byte
	used  int // octets of buf that were handed out
	stats Stats
}

// Feed adds what arrived. Octets with parity bits lose them.
func (s *Stream) Feed(b []byte) {
	s.buf = append(s.buf[:0], s.buf[s.used:]...)
	s.used = 0
	start := len(s.buf)
	s.buf = append(s.buf, b...)
	for i := range s.buf[start:] {
		s.buf[start+i] &= 0x7F
	}
}

// Stats returns what was seen so far.
func (s *Stream) Stats() Stats { return s.stats }

// Next returns the next readout, which is valid until the next Feed. It is not
// ok where more octets are needed.
func (s *Stream) Next() (r Readout, ok bool) {
	limit := s.MaxSize
	if limit <= 0 {
		limit = 1 << 16
	}
	for {
		start := bytes.IndexByte(s.buf[s.used:], '/')
		if start < 0 {
			s.skip(len(s.buf) - s.used)
			return Readout{}, false
		}
		s.skip(start)
		rest := s.buf[s.used:]
		again, begun := field.Restart(rest)
		if again > 0 {
			s.malformed(begun)
			s.skip(again)
			continue
		}
		r, n, err := ParseReadout(rest)
		switch {
		case err == nil:
			s.stats.Messages++
			s.used += n
			return r, true
		case errors.Is(err, io.ErrUnexpectedEOF) && len(rest) < limit:
			return Readout{}, false
		case errors.Is(err, ErrChecksum):
			s.stats.ChecksumErrors++
			s.skip(checked(err) + 1)
		default:
			s.malformed(begun)
			s.skip(1)
		}
	}
}

func (s *Stream) malformed(begun bool) {
	if begun {
		s.stats.Malformed++
	}
}

func (s *Stream) skip(n int) {
	s.used += n
	s.stats.Skipped += uint64(n)
}

func checked(err error) int {
	var pe *ParseError
	if errors.As(err, &pe) {
		return pe.Offset
	}
	return 0
}
