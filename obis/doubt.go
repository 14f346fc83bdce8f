package obis

import (
	"slices"
	"strconv"
)

// Doubt marks what cannot be as it stands, whatever protocol it came by: a unit
// of another quantity than the code makes the reading inconsistent; NaN, an
// infinity and a date that does not exist make it invalid, the former without a
// value, and so does text in the place of a quantity; a time that does not exist is
// taken away and the clock invalid. A unit that no table has is the meter's number of
// it, and questionable.
func (r *Reading) Doubt() {
	switch r.Value.kind {
	case KindFloat32, KindFloat64, KindTime:
		var f Flags
		r.Value, f = r.Value.Sound()
		r.Quality.Flags |= f
	case KindText, KindOctets, KindTree, KindBits, KindBool:
		if quantified(r.Code, r.Unit) {
			r.Quality.Flags |= Invalid
		}
	}
	if !r.Unit.defined() {
		r.UnitText = strconv.AppendUint([]byte("unit "), uint64(r.Unit), 10)
		r.Unit = OtherUnit
		r.Quality.Flags |= Questionable
	}
	if r.Unit != UnitUnknown && r.Code.Contradicts(r.Unit) {
		r.Quality.Flags |= Inconsistent
	}
	if !r.Time.Possible() {
		r.Time = Time{}
		r.Quality.Flags |= ClockInvalid
	} else if r.Time.blank() {
		r.Time = Time{}
	}
	if !r.Start.Possible() {
		r.Start = Time{}
		r.Quality.Flags |= ClockInvalid
	}
}

func textual(v Value) bool {
	switch v.kind {
	case KindText, KindOctets, KindTree, KindBits, KindBool:
		return true
	}
	return false
}

// Sound returns the value, or none in place of a number that is NaN or infinite and
// of a time of which nothing is given, and what a reading of it is: invalid where it
// is such a number, or a time that does not exist.
func (v Value) Sound() (Value, Flags) {
	switch v.kind {
	case KindFloat32:
		if uint32(v.num)&exponent32 == exponent32 {
			return Value{}, Invalid
		}
	case KindFloat64:
		if uint64(v.num)&exponent64 == exponent64 {
			return Value{}, Invalid
		}
	case KindTime:
		switch t := unpackTime(v.num, v.aux, v.exp); {
		case !t.Possible():
			return v, Invalid
		case t.blank():
			return Value{}, Missing
		}
	}
	return v, 0
}

// The exponents of IEEE 754 of which all bits are set where it is no number.
const (
	exponent32 = 0x7F800000
	exponent64 = 0x7FF0000000000000
)

// quantified reports whether what has the code or the unit is a quantity, whose value is a number.
func quantified(c Code, u Unit) bool {
	return u != UnitUnknown && u != Count || c.measured() != 0
}

// Doubt does for all cells of a column, once it has them, what [Reading.Doubt]
// does for the unit of a reading, and for text in the place of a quantity.
func (c *Column) Doubt() {
	if quantified(c.Code, c.Unit) && slices.ContainsFunc(c.Values, textual) {
		var marked Runs
		for row := range c.Len() {
			q := c.Quality.At(row)
			if textual(c.At(row)) {
				q.Flags |= Invalid
			}
			if q != (Quality{}) {
				marked.Add(row, q)
			}
		}
		c.Quality = marked
	}
	if !c.Unit.defined() {
		c.Unit = OtherUnit
		c.Quality.mark(c.Len(), Questionable)
	}
	if c.Code.Contradicts(c.Unit) {
		c.Quality.mark(c.Len(), Inconsistent)
	}
}
