package p1

import (
	"errors"
	"io"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/internal/wire"
)

// Message is what a [Stream] found: a telegram, or an encrypted one.
type Message struct {
	Telegram  Telegram
	Encrypted Encrypted
	Raw       []byte // all octets of it
}

// IsEncrypted reports which of the two it is.
func (m Message) IsEncrypted() bool { return m.Encrypted.APDU != nil }

// Stream finds telegrams in what the customer port sends: it joins pieces,
// skips noise, goes on behind a broken telegram, and sees through the parity
// bits of a port of eight bits on a meter of seven (DSMR 2.2 and 3). Once Next
// has asked for more it keeps at most 64 KiB. The zero Stream is ready. It is
// not safe for concurrent use.
type Stream struct {
	buf    wire.Buffer
	parity bool // octets arrive with parity bits
	stats  iec62056.Stats
}

// Feed adds a copy of what arrived.
func (s *Stream) Feed(b []byte) {
	s.buf.Feed(b)
	if s.parity {
		rest := s.buf.Rest()
		iec62056.StripParity(rest[len(rest)-len(b):])
	}
}

// Stats returns what was seen so far.
func (s *Stream) Stats() iec62056.Stats { return s.stats }

// Pending returns the octets in which Next found no end of a telegram yet. At
// the end of a capture [Salvage] reads what they hold. It is valid until the
// next Feed.
func (s *Stream) Pending() []byte { return s.buf.Rest() }

// slash is "/" with even parity.
const slash = '/' | 0x80

// findParity recognises the parity bits of a telegram that begins b, and is not
// ok where b is too short to tell.
func (s *Stream) findParity(b []byte) (ok bool) {
	if len(b) < 4 {
		return false
	}
	head := [4]byte(b)
	if iec62056.StripParity(head[:]) > 0 || !letters(head[1:]) {
		s.skip(1)
		return true
	}
	s.parity = true
	iec62056.StripParity(b)
	return true
}

func letters(b []byte) bool {
	for _, c := range b {
		if c |= 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// Next returns the next telegram, which is valid until the next Feed. An error
// that wraps [io.ErrUnexpectedEOF] asks for more octets; any other tells of a
// telegram that was damaged and skipped.
func (s *Stream) Next() (Message, error) {
	for {
		s.skip(start(s.buf.Rest()))
		rest := s.buf.Rest()
		if len(rest) == 0 || len(rest) == 1 && rest[0] == tagGloCiphering {
			return Message{}, errMore
		}
		if rest[0] == slash {
			if !s.findParity(rest) {
				return Message{}, errMore
			}
			continue
		}
		again, begun := field.Restart(rest)
		if again > 0 && rest[0] == '/' {
			s.skip(again)
			if begun {
				s.stats.Malformed++
				return Message{}, errNoEnd
			}
			continue
		}
		m, n, err := parseMessage(rest)
		switch {
		case err == nil:
			s.stats.Messages++
			s.buf.Take(n)
			return m, nil
		case again > 0: // what looked like an encrypted telegram is noise before a plain one
			s.skip(again)
			continue
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Message{}, err
		}
		if s.fail(err, begun || rest[0] == tagGloCiphering) {
			return Message{}, err
		}
	}
}

var (
	errMore  = &ParseError{"telegram", 0, io.ErrUnexpectedEOF}
	errNoEnd = &ParseError{"telegram", 0, errors.New("another one begins before its end")}
)

// parseMessage reads a telegram or an encrypted one.
func parseMessage(b []byte) (m Message, n int, err error) {
	if b[0] == tagGloCiphering {
		m.Encrypted, n, err = ParseEncrypted(b)
	} else {
		m.Telegram, n, err = Parse(b)
	}
	m.Raw = b[:n:n]
	return m, n, err
}

// fail counts a broken telegram and skips it: all of it where its CRC was
// reached, else its first octet. It reports whether there was a telegram at all.
func (s *Stream) fail(err error, begun bool) bool {
	var pe *ParseError
	if errors.Is(err, ErrChecksum) && errors.As(err, &pe) {
		s.stats.ChecksumErrors++
		s.skip(pe.Offset)
		return true
	}
	if begun {
		s.stats.Malformed++
	}
	s.skip(1)
	return begun
}

func (s *Stream) skip(n int) {
	s.buf.Take(n)
	s.stats.Skipped += uint64(n)
}

// start returns where something that may be a telegram begins, or the length of b.
func start(b []byte) int {
	for i, c := range b {
		switch {
		case c == '/', c == slash:
			return i
		case c == tagGloCiphering && (i+1 == len(b) || b[i+1] == 8):
			return i
		}
	}
	return len(b)
}
