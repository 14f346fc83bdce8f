package iec62056

import (
	"io"
	"iter"

	"github.com/openusm/meter/iec62056/internal/field"
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
func cutField(values *[]byte) (f Field, ok bool) {
	f.Text, f.Unit, ok = field.Cut(values)
	return f, ok
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
		s := newScanner(b, 0)
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
	field.Scanner
	base int // added to all offsets that are reported
}

func newScanner(b []byte, base int) scanner { return scanner{field.NewScanner(b), base} }

// next returns the next data set, a [*ParseError] for a bad line, or io.EOF.
func (s *scanner) next() (d DataSet, err error) {
	var set field.Set
	err = s.Next(&set)
	return s.dataSet(&set), s.report(err)
}

func (s *scanner) dataSet(set *field.Set) DataSet {
	return DataSet{ID: set.ID, Values: set.Values, Offset: s.base + set.Offset}
}

// report turns the error of a bad line into one of this package.
func (s *scanner) report(err error) error {
	if bad, ok := err.(*field.Error); ok {
		return &ParseError{bad.Field, s.base + bad.Offset, bad.Err}
	}
	return err
}
