package p1

import (
	"errors"
	"io"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/internal/field"
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
// bits of a port of eight bits on a meter of seven (DSMR 2.2 and 3). The zero
// Stream is ready. It is not safe for concurrent use.
type Stream struct {
	buf    []byte
	used   int  // octets of buf that were handed out
	parity bool // octets arrive with parity bits
	stats  iec62056.Stats
}

// Feed adds what arrived.
func (s *Stream) Feed(b []byte) {
	s.buf = append(s.buf[:0], s.buf[s.used:]...)
	s.used = 0
	start := len(s.buf)
	s.buf = append(s.buf, b...)
	if s.parity {
		iec62056.StripParity(s.buf[start:])
	}
}

// Stats returns what was seen so far.
func (s *Stream) Stats() iec62056.Stats { return s.stats }

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

// Next returns the next telegram, which is valid until the next Feed. It is not
// ok where more octets are needed.
func (s *Stream) Next() (m Message, ok bool) {
	for {
		s.skip(start(s.buf[s.used:]))
		rest := s.buf[s.used:]
		if len(rest) == 0 || len(rest) == 1 && rest[0] == tagGloCiphering {
			return Message{}, false
		}
		if rest[0] == slash {
			if !s.findParity(rest) {
				return Message{}, false
			}
			continue
		}
		again, begun := field.Restart(rest)
		if again > 0 && rest[0] == '/' {
			s.malformed(begun)
			s.skip(again)
			continue
		}
		m, n, err := parseMessage(rest)
		switch {
		case err == nil:
			s.stats.Messages++
			s.used += n
			return m, true
		case again > 0: // what looked like an encrypted telegram is noise before a plain one
			s.skip(again)
			continue
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Message{}, false
		}
		s.fail(err, begun || rest[0] == tagGloCiphering)
	}
}

func (s *Stream) malformed(begun bool) {
	if begun {
		s.stats.Malformed++
	}
}

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
// reached, else its first octet.
func (s *Stream) fail(err error, begun bool) {
	var pe *ParseError
	if errors.Is(err, ErrChecksum) && errors.As(err, &pe) {
		s.stats.ChecksumErrors++
		s.skip(pe.Offset)
		return
	}
	s.malformed(begun)
	s.skip(1)
}

func (s *Stream) skip(n int) {
	s.used += n
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
