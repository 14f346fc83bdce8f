package wrapper

import (
	"bytes"
	"errors"
	"io"

	"github.com/openusm/meter/internal/wire"
)

// Stats counts what a [Scanner] met.
type Stats = wire.Stats

// maxPending bounds the octets that wait for somebody to call Next; one frame
// has at most 65,543.
const maxPending = 1 << 17

// Scanner finds frames in what comes from a connection. The wrapper has no
// checksum: a place counts as the start of a frame where the version is right and
// the APDU is not empty and does not begin with 0, which no PDU does. The zero
// Scanner is ready.
type Scanner struct {
	in    wire.Buffer
	raw   []byte
	stats Stats
	lost  bool // octets were skipped, and no frame has come since
}

// Feed adds octets from the connection, of which it makes a copy.
func (s *Scanner) Feed(b []byte) {
	if n := len(s.in.Rest()); n > maxPending {
		s.stats.Skipped += uint64(n)
		s.in.Reset()
	}
	s.in.Feed(b)
}

// Next returns the next frame. An error that wraps [io.ErrUnexpectedEOF] means
// that more must come; any other one says that octets were no frame, and scanning
// goes on where the next may start. The frame aliases memory that the next Feed
// uses again.
func (s *Scanner) Next() (Frame, error) {
	for {
		b := s.in.Rest()
		f, n, err := Parse(b)
		switch {
		case err == nil && len(f.APDU) > 0 && f.APDU[0] != 0:
			s.stats.Messages++
			s.lost = false
			s.raw = b[:n]
			s.in.Take(n)
			return f, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Frame{}, err
		case err == nil && n == headerLen:
			s.skip(headerLen)
			err = &ParseError{Field: "length", Offset: 6, Err: errEmpty}
		case err == nil:
			s.skip(start(b))
			err = &ParseError{Field: "APDU", Offset: headerLen, Err: errTag}
		default:
			s.skip(start(b))
		}
		if !s.lost { // one error for all that is skipped
			s.lost = true
			s.stats.Malformed++
			return Frame{}, err
		}
	}
}

var (
	errEmpty = errors.New("no APDU")
	errTag   = errors.New("0x00 is no tag of a PDU")
)

// start returns where behind the first octet of b a frame may start.
func start(b []byte) int {
	if at := bytes.Index(b[1:], []byte{0, version}); at >= 0 {
		return at + 1
	}
	if b[len(b)-1] == 0 && len(b) > 1 {
		return len(b) - 1
	}
	return len(b)
}

func (s *Scanner) skip(n int) {
	s.stats.Skipped += uint64(n)
	s.in.Take(n)
}

// Raw returns the octets of the last frame; they are valid until the next Feed.
func (s *Scanner) Raw() []byte { return s.raw }

// Stats returns what was counted so far.
func (s *Scanner) Stats() Stats { return s.stats }

// Pending returns how many octets a frame has that has begun and not ended.
func (s *Scanner) Pending() int { return len(s.in.Rest()) }

// Skip gives up on the frame that has begun.
func (s *Scanner) Skip() {
	if b := s.in.Rest(); len(b) > 0 {
		s.skip(start(b))
	}
}
