package iec62056

import (
	"bytes"
	"io"
	"iter"
)

// DataSet is one entry of a readout, of a telegram or of an answer in
// programming mode: an id and one or more values in parentheses. A line that
// begins with a parenthesis continues the data set of the line before.
//
//	id(value*unit)(value*unit)…
//
// All fields alias the input.
type DataSet struct {
	ID     []byte // as sent; empty in answers that do not repeat the address
	Values []byte // all values with their parentheses, and any line ends between them
	Offset int    // of the id, from the start of the slice that was parsed
}

// Field is what one pair of parentheses holds.
type Field struct {
	Text []byte // the value, or all of it where there is no unit
	Unit []byte // behind the "*"
}

// Fields returns the values one by one.
func (d DataSet) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		rest := d.Values
		for f, ok := cutField(&rest); ok; f, ok = cutField(&rest) {
			if !yield(f) {
				return
			}
		}
	}
}

// Field returns the value with number i, counted from zero.
func (d DataSet) Field(i int) (Field, bool) {
	rest := d.Values
	for {
		f, ok := cutField(&rest)
		if !ok || i == 0 {
			return f, ok
		}
		i--
	}
}

// cutField takes the next pair of parentheses from values, whose form was checked before.
func cutField(values *[]byte) (Field, bool) {
	b := *values
	open := bytes.IndexByte(b, '(')
	if open < 0 {
		return Field{}, false
	}
	b = b[open+1:]
	end := bytes.IndexByte(b, ')')
	if end < 0 {
		return Field{}, false
	}
	*values = b[end+1:]
	text := b[:end:end]
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] == '*' {
			return Field{Text: text[:i:i], Unit: text[i+1:]}, true
		}
	}
	return Field{Text: text}, true
}

// Line returns the data set as it was sent.
func (d DataSet) Line() []byte {
	return append(append(make([]byte, 0, len(d.ID)+len(d.Values)), d.ID...), d.Values...)
}

// DataSets reads the data sets of b, the lines of a readout without what frames
// it. A line that cannot be read gives an error with its offset in b, with as
// much of the data set as there was, and leaves the others. The end of b ends
// the last line.
func DataSets(b []byte) iter.Seq2[DataSet, error] {
	return func(yield func(DataSet, error) bool) {
		s := scanner{b: b}
		for {
			d, err := s.next()
			if err == io.EOF || !yield(d, err) {
				return
			}
		}
	}
}

// scanner goes through the lines of a data block.
type scanner struct {
	b    []byte
	off  int
	base int // added to all offsets that are reported
}

// next returns the next data set, a [*ParseError] for a bad line, or io.EOF.
func (s *scanner) next() (DataSet, error) {
	b, i := s.b, s.off
	for i < len(b) && (b[i] == '\r' || b[i] == '\n') {
		i++
	}
	if i == len(b) {
		s.off = i
		return DataSet{}, io.EOF
	}
	start := i
	for i < len(b) && b[i] != '(' {
		if c := b[i]; c < ' ' || c == ')' {
			return s.bad(start, start, i)
		}
		i++
	}
	if i == len(b) {
		return s.bad(start, start, i)
	}
	open := i
	for {
		for i++; i < len(b) && b[i] != ')'; i++ {
			if c := b[i]; c == '\r' || c == '\n' || c == '(' {
				return s.bad(start, open, i)
			}
		}
		if i == len(b) {
			return s.bad(start, open, i)
		}
		i++
		next := i
		for next < len(b) && (b[next] == '\r' || b[next] == '\n') {
			next++
		}
		if next == len(b) || b[next] != '(' {
			break
		}
		i = next
	}
	s.off = i
	return DataSet{ID: b[start:open:open], Values: b[open:i:i], Offset: s.base + start}, nil
}

// bad reports the line from start, whose values begin at open and which broke
// at i, and goes on behind its end.
func (s *scanner) bad(start, open, i int) (DataSet, error) {
	b := s.b
	field, err := "data set", errControl
	switch {
	case open == start && (i == len(b) || b[i] == '\r' || b[i] == '\n' || b[i] == ')'):
		err = errNoValue
	case open > start:
		field, err = "value", errUnclosed
		if i < len(b) && b[i] == '(' {
			err = errNested
		}
	}
	end := bytes.IndexAny(b[i:], "\r\n")
	if end < 0 {
		end = len(b) - i
	}
	s.off = i + end
	d := DataSet{Offset: s.base + start}
	if open > start {
		d.ID = b[start:open:open]
	}
	d.Values = b[start+len(d.ID) : s.off : s.off]
	return d, &ParseError{field, s.base + i, err}
}
