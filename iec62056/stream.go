package iec62056

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/internal/wire"
)

// Stats counts what a stream met.
type Stats = wire.Stats

// Incoming is what a [Stream] found: a readout or, where it is asked for them,
// another message of the protocol, whose Kind then is not zero.
type Incoming struct {
	Readout Readout
	Message Message
}

// Stream finds readouts in what a meter of mode D (or A) sends by itself: it
// joins pieces, skips noise, and goes on behind a broken readout. The zero
// Stream is ready. It is not safe for concurrent use.
type Stream struct {
	MaxSize int // octets of one readout; 0 means 65,536. No more are kept once Next has asked for more
	// Conversation makes Next return what reader and meter say to each other too,
	// as recordings have it, and blocks without an identification.
	Conversation bool

	buf   wire.Buffer
	id    Identification // what was said last before a block without one
	ident []byte         // of it
	stats Stats
}

// Feed adds a copy of what arrived. Octets with parity bits lose them.
func (s *Stream) Feed(b []byte) {
	s.buf.Feed(b)
	rest := s.buf.Rest()
	rest = rest[len(rest)-len(b):]
	for ; len(rest) >= 8; rest = rest[8:] {
		binary.NativeEndian.PutUint64(rest, binary.NativeEndian.Uint64(rest)&0x7F7F7F7F7F7F7F7F)
	}
	for i := range rest {
		rest[i] &= 0x7F
	}
}

// Stats returns what was seen so far.
func (s *Stream) Stats() Stats { return s.stats }

// Pending returns the octets in which Next found no end of a readout yet. At
// the end of a capture [Salvage] reads what they hold. It is valid until the
// next Feed.
func (s *Stream) Pending() []byte { return s.buf.Rest() }

// Next returns the next readout, which is valid until the next Feed. An error
// that wraps [io.ErrUnexpectedEOF] asks for more octets; any other tells of a
// message that was damaged and skipped.
func (s *Stream) Next() (in Incoming, err error) {
	limit := s.MaxSize
	if limit <= 0 {
		limit = 1 << 16
	}
	for {
		rest := s.buf.Rest()
		n := s.start(rest)
		if s.Conversation && s.stats == (Stats{}) && mostlyText(rest[:n]) && hasDataSet(rest[:n]) {
			if n == len(rest) && n < limit {
				return Incoming{}, errMore // a recording that begins in a readout may end there, too
			}
			s.stats.Messages++
			s.buf.Take(n)
			return Incoming{Readout: Salvage(rest[:n])}, nil
		}
		s.skip(n)
		rest = rest[n:]
		if len(rest) == 0 {
			return Incoming{}, errMore
		}
		if s.Conversation && isTalk(rest) {
			return s.talk(rest)
		}
		again, begun := 0, true
		if rest[0] == '/' {
			again, begun = field.Restart(rest)
		}
		if again > 0 {
			s.skip(again)
			if begun {
				s.stats.Malformed++
				return Incoming{}, errNoEnd
			}
			continue
		}
		in.Readout, n, err = ParseReadout(rest)
		if s.Conversation && errors.Is(err, errStart) {
			return s.talk(rest)
		}
		switch {
		case err == nil:
			s.stats.Messages++
			s.buf.Take(n)
			if in.Readout.Identification.IsZero() {
				in.Readout.Identification = s.id
			}
			return in, nil
		case errors.Is(err, io.ErrUnexpectedEOF) && len(rest) < limit:
			return Incoming{}, err
		case errors.Is(err, io.ErrUnexpectedEOF):
			err = errNoEndInSize
		case errors.Is(err, ErrChecksum):
			s.stats.ChecksumErrors++
			s.skip(checked(err) + 1)
			return Incoming{}, err
		}
		s.skip(1)
		if begun {
			s.stats.Malformed++
			return Incoming{}, err
		}
	}
}

var (
	errMore        = &ParseError{"data block", 0, io.ErrUnexpectedEOF}
	errNoEndInSize = &ParseError{"data block", 0, errTooLong}
	errNoEnd       = &ParseError{"data block", 0, errors.New("another identification comes before its end")}
)

// start returns where something that may be a message begins, or the length of b.
func (s *Stream) start(b []byte) int {
	for i, c := range b {
		switch c {
		case '/':
			return i
		case soh, stx, ack, nak:
			if s.Conversation {
				return i
			}
		}
	}
	return len(b)
}

// isTalk reports whether b begins with a message of a conversation that is no readout.
func isTalk(b []byte) bool {
	return b[0] == soh || b[0] == ack || b[0] == nak || b[0] == '/' && len(b) > 1 && b[1] == '?'
}

// talk returns the message at the start of b that is no readout. What a meter
// says of itself counts for the block that follows.
func (s *Stream) talk(b []byte) (Incoming, error) {
	m, n, err := ParseMessage(b)
	switch {
	case err == nil && m.Kind == KindAck && len(b) == 1:
		return Incoming{}, errMore // an option may follow
	case err == nil:
		s.stats.Messages++
		s.buf.Take(n)
		if m.Kind == KindIdentification {
			s.ident = append(s.ident[:0], m.Identification.Ident...)
			s.id = m.Identification
			s.id.Ident = s.ident
		}
		return Incoming{Message: m}, nil
	case errors.Is(err, io.ErrUnexpectedEOF) && len(b) < maxTalk:
		return Incoming{}, err
	case errors.Is(err, ErrChecksum):
		s.stats.ChecksumErrors++
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errNoEndInSize
		s.stats.Malformed++
	default:
		s.stats.Malformed++
	}
	s.skip(1)
	return Incoming{}, err
}

// maxTalk bounds a message of a conversation; commands have a few dozen octets.
const maxTalk = 1 << 12

func (s *Stream) skip(n int) {
	s.buf.Take(n)
	s.stats.Skipped += uint64(n)
}

func checked(err error) int {
	var pe *ParseError
	if errors.As(err, &pe) {
		return pe.Offset
	}
	return 0
}
