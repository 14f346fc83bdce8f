package field

import (
	"bytes"
	"errors"
	"io"

	"github.com/openusm/meter/obis"
)

// Set is one data set: an id and values in parentheses. It aliases the input.
type Set struct {
	ID     []byte
	Values []byte // all values with their parentheses, and line ends between them
	Offset int    // of the id
	Text   []byte // the first value
	Unit   []byte // its unit
	Single bool   // there is no second value
}

// What is wrong with a line.
var (
	ErrControl  = errors.New("control character")
	ErrNoValue  = errors.New("no value in parentheses")
	ErrUnclosed = errors.New("parenthesis is not closed")
	ErrNested   = errors.New("parenthesis within parentheses")
)

// Error is a line that cannot be read.
type Error struct {
	Field  string
	Offset int
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

// Scanner goes through the lines of a data block. A line that begins with a
// parenthesis continues the data set before it.
type Scanner struct {
	b   []byte
	off int
}

// NewScanner returns a scanner of b.
func NewScanner(b []byte) Scanner { return Scanner{b: b} }

// Next reads the next data set into d. It returns io.EOF at the end and an
// [*Error] for a line that cannot be read, of which d then has what there was.
func (s *Scanner) Next(d *Set) error {
	b, i := s.b, s.off
	for i < len(b) && (b[i] == '\r' || b[i] == '\n') {
		i++
	}
	if i == len(b) {
		s.off = i
		return io.EOF
	}
	start := i
	for i < len(b) && b[i] != '(' {
		if c := b[i]; c < ' ' || c == ')' {
			return s.bad(d, start, start, i)
		}
		i++
	}
	if i == len(b) {
		return s.bad(d, start, start, i)
	}
	open, star := i, -1
	for i++; ; i++ {
		if i == len(b) {
			return s.bad(d, start, open, i)
		}
		c := b[i]
		if c > '*' {
			continue
		}
		if c == ')' {
			break
		}
		switch c {
		case '*':
			star = i
		case '\r', '\n', '(':
			return s.bad(d, start, open, i)
		}
	}
	d.ID, d.Offset = b[start:open:open], start
	if star < 0 {
		d.Text, d.Unit = b[open+1:i:i], nil
	} else {
		d.Text, d.Unit = b[open+1:star:star], b[star+1:i:i]
	}
	i++
	if i+2 < len(b) && b[i] == '\r' && b[i+1] == '\n' && b[i+2] != '(' && b[i+2] != '\r' && b[i+2] != '\n' {
		d.Values, d.Single = b[open:i:i], true
		s.off = i + 2
		return nil
	}
	return s.rest(d, start, open, i)
}

// rest reads the values behind the first, which ended before i.
func (s *Scanner) rest(d *Set, start, open, i int) error {
	b := s.b
	d.Single = true
	for {
		next := i
		for next < len(b) && (b[next] == '\r' || b[next] == '\n') {
			next++
		}
		if next == len(b) || b[next] != '(' {
			d.Values = b[open:i:i]
			s.off = i
			return nil
		}
		d.Single = false
		for i = next + 1; i < len(b) && b[i] != ')'; i++ {
			if c := b[i]; c == '\r' || c == '\n' || c == '(' {
				return s.bad(d, start, open, i)
			}
		}
		if i == len(b) {
			return s.bad(d, start, open, i)
		}
		i++
	}
}

// bad reports the line from start, whose values begin at open and which broke
// at i, and goes on behind its end.
func (s *Scanner) bad(d *Set, start, open, i int) error {
	b := s.b
	name, err := "data set", ErrControl
	switch {
	case open == start && (i == len(b) || b[i] == '\r' || b[i] == '\n' || b[i] == ')'):
		err = ErrNoValue
	case open > start:
		name, err = "value", ErrUnclosed
		if i < len(b) && b[i] == '(' {
			err = ErrNested
		}
	}
	end := bytes.IndexAny(b[i:], "\r\n")
	if end < 0 {
		end = len(b) - i
	}
	s.off = i + end
	*d = Set{Offset: start}
	if open > start {
		d.ID = b[start:open:open]
	}
	d.Values = b[start+len(d.ID) : s.off : s.off]
	return &Error{name, i, err}
}

// Cut takes the next pair of parentheses from values, the form of which a
// Scanner has checked.
func Cut(values *[]byte) (text, unit []byte, ok bool) {
	b := *values
	open := bytes.IndexByte(b, '(')
	if open < 0 {
		return nil, nil, false
	}
	b = b[open+1:]
	end := bytes.IndexByte(b, ')')
	if end < 0 {
		return nil, nil, false
	}
	*values = b[end+1:]
	text = b[:end:end]
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] == '*' {
			return text[:i:i], text[i+1:], true
		}
	}
	return text, nil, true
}

// Code reads an id as [obis.ParseBytes] does, the commonest forms A-B:C.D.E and
// C.D.E faster.
func Code(id []byte) (c obis.Code, ok bool) {
	g, v, digits := 0, uint(0), 0
	for i := 0; i < len(id); i++ {
		if d := uint(id[i] - '0'); d <= 9 {
			v = v*10 + d
			digits++
			continue
		}
		if digits == 0 || digits > 3 || v > 255 || g > 3 || id[i] != "-:.."[g] {
			if g != 0 || id[i] != '.' || digits == 0 || digits > 3 || v > 255 {
				return slowCode(id)
			}
			c[0], c[2] = 1, byte(v) // reduced: C comes first
			if v >= 94 && v <= 97 {
				c[0] = 0
			}
			g, v, digits = 3, 0, 0
			continue
		}
		c[g] = byte(v)
		g, v, digits = g+1, 0, 0
	}
	if g != 4 || digits == 0 || digits > 3 || v > 255 {
		return slowCode(id)
	}
	c[4], c[5] = byte(v), obis.FCurrent
	return c, true
}

func slowCode(id []byte) (obis.Code, bool) {
	ident, err := obis.ParseBytes(id)
	return ident.Code, err == nil
}
