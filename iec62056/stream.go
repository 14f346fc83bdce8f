package iec62056

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/openusm/meter/iec62056/internal/field"
)

// Stats counts what a reader of pushed data saw.
type Stats struct {
	Messages       uint64 // that were whole and right
	ChecksumErrors uint64
	Malformed      uint64 // broken in another way
	Skipped        uint64 // octets that belong to no message
}

func (s Stats) since(before Stats) Stats {
	return Stats{
		s.Messages - before.Messages, s.ChecksumErrors - before.ChecksumErrors,
		s.Malformed - before.Malformed, s.Skipped - before.Skipped,
	}
}

// Reporter keeps a bad line from flooding a log: it says when there is
// something to report, and never more often than once in its interval. The
// zero Reporter reports once a minute.
type Reporter struct {
	Every time.Duration // 0 means one minute

	last     time.Time
	reported Stats
}

// Due returns what came since the last report, if there were errors among it
// and the last report is long enough ago. The first error is reported at once.
func (r *Reporter) Due(now time.Time, s Stats) (since Stats, due bool) {
	every := r.Every
	if every <= 0 {
		every = time.Minute
	}
	since = s.since(r.reported)
	if since.ChecksumErrors+since.Malformed == 0 || !r.last.IsZero() && now.Sub(r.last) < every {
		return Stats{}, false
	}
	r.last, r.reported = now, s
	return since, true
}

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
