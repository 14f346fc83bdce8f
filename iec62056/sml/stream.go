package sml

import (
	"bytes"
	"errors"
	"io"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/internal/wire"
)

// maxFrame bounds what a frame may be; those of meters have a few hundred octets.
const maxFrame = 1 << 16

// Stream finds frames in what a meter pushes: it joins pieces, skips noise, and
// goes on behind a broken frame. Once Next has asked for more it keeps at most
// 64 KiB. The zero Stream is ready. It is not safe for concurrent use.
type Stream struct {
	buf   wire.Buffer
	plain []byte // a frame without its escapes
	stats iec62056.Stats
}

// Feed adds a copy of what arrived.
func (s *Stream) Feed(b []byte) { s.buf.Feed(b) }

// Stats returns what was seen so far.
func (s *Stream) Stats() iec62056.Stats { return s.stats }

// Pending returns the octets in which Next found no end of a frame yet. It is valid
// until the next Feed.
func (s *Stream) Pending() []byte { return s.buf.Rest() }

// Next returns the next frame, which is valid until the next Feed or Next. An
// error that wraps [io.ErrUnexpectedEOF] asks for more octets; any other tells
// of a frame that was damaged and skipped.
func (s *Stream) Next() (Frame, error) {
	rest := s.buf.Rest()
	begin := bytes.Index(rest, start)
	if begin < 0 {
		keep := min(len(rest), startLen-1)
		for !bytes.HasSuffix(rest, start[:keep]) {
			keep--
		}
		s.skip(len(rest) - keep)
		return Frame{}, errMore
	}
	s.skip(begin)
	rest = rest[begin:]
	f, n, err := parseFrame(rest, &s.plain)
	switch {
	case err == nil:
		s.stats.Messages++
		s.buf.Take(n)
		return f, nil
	case errors.Is(err, io.ErrUnexpectedEOF) && len(rest) < maxFrame:
		return Frame{}, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = &ParseError{"transport", "end", maxFrame, errTooLong}
	}
	if errors.Is(err, ErrChecksum) {
		s.stats.ChecksumErrors++
	} else {
		s.stats.Malformed++
	}
	s.skip(startLen) // another frame may begin within the broken one
	return Frame{}, err
}

var errMore = &ParseError{"transport", "start", 0, io.ErrUnexpectedEOF}

func (s *Stream) skip(n int) {
	s.buf.Take(n)
	s.stats.Skipped += uint64(n)
}
