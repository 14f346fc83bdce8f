package obis

import (
	"math/bits"
	"sort"
	"time"
)

// Profile is a table that a meter recorded: rows in time, one column for each
// quantity. It is columnar and meant for reuse: [Profile.Reset] keeps its memory.
type Profile struct {
	Code    Code   // of the profile itself
	Period  int32  // seconds between rows; 0 for rows recorded on events
	Times   []Time // of each row, the end of its interval
	Starts  []Time // of the intervals, one for each row; empty where each begins a Period before its end, or rows are of moments
	Columns []Column
	Quality Runs // of whole rows
}

// Len returns the number of rows.
func (p *Profile) Len() int { return len(p.Times) }

// Reset removes the rows and keeps columns, their descriptions and all memory.
func (p *Profile) Reset() {
	p.Times = p.Times[:0]
	p.Starts = p.Starts[:0]
	p.Quality = p.Quality[:0]
	for i := range p.Columns {
		p.Columns[i].reset()
	}
}

// Mark adds flags to the quality of each row.
func (p *Profile) Mark(f Flags) { p.Quality.mark(p.Len(), f) }

// Clone returns a profile with memory of its own.
func (p *Profile) Clone() *Profile {
	q := *p
	q.Times = append([]Time(nil), p.Times...)
	q.Starts = append([]Time(nil), p.Starts...)
	q.Quality = append(Runs(nil), p.Quality...)
	q.Columns = append([]Column(nil), p.Columns...)
	for i := range q.Columns {
		q.Columns[i] = q.Columns[i].clone()
	}
	return &q
}

// Column is one quantity of a profile. All its numbers share unit and
// exponent; a column with any other kind of value holds Values instead.
type Column struct {
	Code    Code
	RawID   []byte // what identifies the column where there is no code, and beside it
	Unit    Unit
	Rule    Rule
	Exp     int8    // power of ten of Nums; meaningless where Values is used
	Nums    []int64 // mantissas, 0 where missing
	Present Bitmap  // which rows have a value
	Values  []Value // used instead of Nums as soon as one value does not fit there
	Quality Runs    // of single cells, beside the quality of the row
}

func (c *Column) reset() {
	c.Nums = c.Nums[:0]
	c.Present = c.Present[:0]
	c.Values = c.Values[:0]
	c.Quality = c.Quality[:0]
}

func (c Column) clone() Column {
	c.RawID = append([]byte(nil), c.RawID...)
	c.Nums = append([]int64(nil), c.Nums...)
	c.Present = append(Bitmap(nil), c.Present...)
	c.Quality = append(Runs(nil), c.Quality...)
	values := c.Values
	c.Values = nil
	for _, v := range values {
		c.Values = append(c.Values, v.Clone())
	}
	return c
}

// Len returns the number of rows.
func (c *Column) Len() int { return max(len(c.Nums), len(c.Values)) }

// AppendInt appends a number with the column's exponent.
func (c *Column) AppendInt(mantissa int64) {
	if len(c.Values) > 0 {
		c.Values = append(c.Values, Int(mantissa, c.Exp))
		return
	}
	c.Present.Set(len(c.Nums))
	c.Nums = append(c.Nums, mantissa)
}

// AppendMissing appends a row without a value.
func (c *Column) AppendMissing() {
	if len(c.Values) > 0 {
		c.Values = append(c.Values, Value{})
		return
	}
	c.Nums = append(c.Nums, 0)
}

// Append appends any value. A number that the column's exponent cannot express,
// or another kind of value, turns the column from Nums to Values. What is not
// sound (see [Value.Sound]) makes the cell invalid.
func (c *Column) Append(v Value) {
	if v.kind != KindInt {
		var f Flags
		if v, f = v.Sound(); f != 0 {
			c.Quality.Add(c.Len(), Quality{Flags: f})
		}
	}
	if len(c.Values) == 0 {
		if v.IsNone() {
			c.AppendMissing()
			return
		}
		if len(c.Nums) == 0 && v.kind == KindInt {
			c.Exp = v.exp
		}
		if v.kind == KindInt && v.exp == c.Exp {
			c.AppendInt(v.num)
			return
		}
		c.widen()
	}
	c.Values = append(c.Values, v)
}

// widen moves the numbers to Values.
func (c *Column) widen() {
	for row := range c.Nums {
		c.Values = append(c.Values, c.At(row))
	}
	c.Nums, c.Present = c.Nums[:0], c.Present[:0]
}

// Truncate removes the rows from the given one on.
func (c *Column) Truncate(rows int) {
	c.Values = c.Values[:min(rows, len(c.Values))]
	c.Nums = c.Nums[:min(rows, len(c.Nums))]
	c.Present = c.Present[:min((rows+63)/64, len(c.Present))]
	if last := rows >> 6; rows&63 != 0 && last < len(c.Present) {
		c.Present[last] &= 1<<(rows&63) - 1
	}
}

// At returns the value of a row, none where it is missing.
func (c *Column) At(row int) Value {
	switch {
	case row < 0:
	case row < len(c.Values):
		return c.Values[row]
	case row < len(c.Nums) && c.Present.Get(row):
		return Int(c.Nums[row], c.Exp)
	}
	return Value{}
}

// Bitmap is a set of row numbers.
type Bitmap []uint64

// Set adds row i.
func (b *Bitmap) Set(i int) {
	for i>>6 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[i>>6] |= 1 << (i & 63)
}

// Get reports whether row i is in the set.
func (b Bitmap) Get(i int) bool { return i>>6 < len(b) && b[i>>6]>>(i&63)&1 != 0 }

// Count returns how many rows are in the set.
func (b Bitmap) Count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// Runs is the quality of consecutive rows, run-length encoded. Rows behind the last run are good.
type Runs []Run

// Run is a stretch of rows of the same quality. It begins where the run before it ends.
type Run struct {
	End     int // the first row behind the run
	Quality Quality
}

// Add gives row, which must be the last that was added before or lie behind it, a
// quality; one that it has already is joined with it.
func (r *Runs) Add(row int, q Quality) {
	if n := len(*r); n > 0 && row < (*r)[n-1].End { // the last row once more
		before := r.At(row)
		r.cut(row)
		q = Quality{Flags: before.Flags | q.Flags, Raw: q.Raw, Kind: q.Kind}
		if q.Kind == StatusNone {
			q.Raw, q.Kind = before.Raw, before.Kind
		}
	}
	if r.end() < row {
		r.extend(row, Quality{})
	}
	r.extend(row+1, q)
}

// cut removes the rows from the given one on.
func (r *Runs) cut(row int) {
	n := len(*r)
	for n > 0 && (*r)[n-1].End > row {
		if n > 1 && (*r)[n-2].End >= row || row == 0 {
			n--
			continue
		}
		(*r)[n-1].End = row
	}
	*r = (*r)[:n]
}

func (r Runs) end() int {
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1].End
}

func (r *Runs) extend(end int, q Quality) {
	if n := len(*r); n > 0 && (*r)[n-1].Quality == q {
		(*r)[n-1].End = end
		return
	}
	*r = append(*r, Run{end, q})
}

// mark adds flags to the rows below the given one.
func (r *Runs) mark(rows int, f Flags) {
	marked := (*r)[:0]
	for _, run := range *r {
		marked.extend(run.End, run.Quality.With(f))
	}
	if marked.end() < rows {
		marked.extend(rows, Quality{Flags: f})
	}
	*r = marked
}

// At returns the quality of a row.
func (r Runs) At(row int) Quality {
	i := sort.Search(len(r), func(i int) bool { return row < r[i].End })
	if i == len(r) {
		return Quality{}
	}
	return r[i].Quality
}

// RunReader reads the qualities of rows that are asked for in their order.
type RunReader struct {
	runs Runs
	next int
}

// Reader returns a reader of the runs, which is faster than [Runs.At] for row after row.
func (r Runs) Reader() RunReader { return RunReader{runs: r} }

// At returns the quality of a row, which must not lie before the one asked for last.
func (r *RunReader) At(row int) Quality {
	for r.next < len(r.runs) && row >= r.runs[r.next].End {
		r.next++
	}
	if r.next == len(r.runs) {
		return Quality{}
	}
	return r.runs[r.next].Quality
}

// Between returns the rows from one instant to another, both included, with
// memory of their own; zero times mean all. Rows without an instant stay.
func (p *Profile) Between(from, to time.Time, clock Clock) *Profile {
	out := p.Clone()
	out.Reset()
	for row, t := range p.Times {
		at, ok := t.Instant(clock)
		if ok && (!from.IsZero() && at.Before(from) || !to.IsZero() && at.After(to)) {
			continue
		}
		out.AppendRow(p, row)
	}
	return out
}

// AppendRow appends a row of a profile with the same columns. Its values alias those of from.
func (p *Profile) AppendRow(from *Profile, row int) {
	n := len(p.Times)
	if q := from.Quality.At(row); q != (Quality{}) {
		p.Quality.Add(n, q)
	}
	if row < len(from.Starts) {
		for len(p.Starts) < n {
			p.Starts = append(p.Starts, Time{})
		}
		p.Starts = append(p.Starts, from.Starts[row])
	}
	for i := range p.Columns {
		c := &from.Columns[i]
		if q := c.Quality.At(row); q != (Quality{}) {
			p.Columns[i].Quality.Add(n, q)
		}
		p.Columns[i].Append(c.At(row))
	}
	p.Times = append(p.Times, from.Times[row])
}
