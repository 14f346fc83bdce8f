package hdlc

import (
	"bytes"
	"errors"
	"io"
)

// Scanner finds frames in what comes from a line. The zero Scanner is ready.
type Scanner struct {
	buf  []byte
	used int // octets of buf that Next has done with
}

// Write adds octets from the line. It never fails.
func (s *Scanner) Write(b []byte) (int, error) {
	if s.used > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[s.used:])]
		s.used = 0
	}
	s.buf = append(s.buf, b...)
	return len(b), nil
}

// Next returns the next frame, the octets from flag to flag, and how many
// octets before it were noise. An error that wraps [io.ErrUnexpectedEOF] means
// that more must come; any other one concerns octets that looked like a frame
// and were none, and scanning goes on behind their flag. The results alias
// memory that the next Write uses again.
func (s *Scanner) Next() (f Frame, raw []byte, noise int, err error) {
	for {
		at := bytes.IndexByte(s.buf[s.used:], flag)
		if at < 0 {
			noise += len(s.buf) - s.used
			s.used = len(s.buf)
			return Frame{}, nil, noise, short("flag", nil)
		}
		s.used += at
		noise += at
		b := s.buf[s.used:]
		if len(b) > 1 && b[1] == flag { // fill between frames
			s.used++
			continue
		}
		f, n, err := Parse(b)
		switch {
		case err == nil:
			s.used += n - 1 // the closing flag may open the next frame
			return f, b[:n], noise, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Frame{}, nil, noise, err
		}
		s.used++
		var pe *ParseError
		if errors.As(err, &pe) && (pe.Field == "format" || errors.Is(err, errAddress)) {
			noise++ // the flag closed a frame, or belonged to noise
			continue
		}
		return Frame{}, b, noise, err
	}
}

// Pending reports whether a frame has begun and not ended.
func (s *Scanner) Pending() bool {
	b := s.buf[s.used:]
	return len(b) > 1 || len(b) == 1 && b[0] != flag
}

// Skip gives up on the frame that has begun; scanning goes on behind its flag.
func (s *Scanner) Skip() {
	if s.used < len(s.buf) {
		s.used++
	}
}
