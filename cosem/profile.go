package cosem

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/openusm/meter/obis"
)

// Column says what a column of a profile buffer holds.
type Column struct {
	Capture
	ScalerUnit ScalerUnit
}

// Layout is what must be known of an object of class Profile generic to read
// its buffer. It keeps no state between buffers.
type Layout struct {
	Name    obis.Code
	Period  int32 // capture_period in seconds, 0 for rows captured on events
	Columns []Column
	// Status is what a status column of 8 bits is taken for; zero means
	// [obis.StatusDLMSProfile], the bits of IDIS and DSMR.
	Status obis.StatusKind
}

// ParseCaptureObjects reads attribute capture_objects.
func ParseCaptureObjects(d Data) ([]Capture, error) {
	if t := d.Tag(); t != TagArray && t != TagCompactArray {
		return nil, fmt.Errorf("cosem: capture objects are %v, want array", t)
	}
	columns := make([]Capture, 0, min(d.Len(), len(d.b)/8))
	for i, e := range d.Elements() {
		c, ok := ParseCapture(e)
		if !ok {
			return nil, fmt.Errorf("cosem: capture object %d is no structure of class, name, attribute, index", i+1)
		}
		columns = append(columns, c)
	}
	return columns, nil
}

// isClock reports whether a column stamps the rows.
func (c Column) isClock() bool { return c.Class == ClassClock && c.Index == 2 }

// isStatus reports whether a column is the status of the rows (AMR profile status).
func (c Column) isStatus() bool {
	return c.Name[0] == 0 && c.Name[2] == 96 && c.Name[3] == 10 && c.Index == 2
}

// Describe writes code, period and columns to p, which loses all rows. The
// first clock column becomes the times of the rows, the first status column
// their quality; neither is a column of p. The memory of p is used again.
func (l *Layout) Describe(p *obis.Profile) {
	p.Code, p.Period = l.Name, l.Period
	p.Reset()
	n := 0
	for i, c := range l.Columns {
		if l.role(i) != roleValue {
			continue
		}
		if n == len(p.Columns) {
			p.Columns = append(p.Columns, obis.Column{})
		}
		column := &p.Columns[n]
		n++
		column.Code, column.Rule = c.Name, obis.RuleDeclared
		column.RawID = append(append(column.RawID[:0], c.Name[:]...), byte(c.Index))
		column.Unit, column.Exp = c.ScalerUnit.Unit, c.ScalerUnit.Scaler
		if !c.ScalerUnit.Known {
			column.Unit, column.Exp = obis.UnitUnknown, 0
		}
	}
	p.Columns = p.Columns[:n]
}

type role uint8

const (
	roleValue role = iota
	roleClock
	roleStatus
)

// role returns what column i is for the rows.
func (l *Layout) role(i int) role {
	c := l.Columns[i]
	if !c.isClock() && !c.isStatus() {
		return roleValue
	}
	for _, before := range l.Columns[:i] {
		if c.isClock() && before.isClock() || c.isStatus() && before.isStatus() {
			return roleValue
		}
	}
	if c.isClock() {
		return roleClock
	}
	return roleStatus
}

// Append appends the rows of a buffer to p, which [Layout.Describe] prepared.
// Null-data in a row stands for the value of the row before, in the clock column
// for one period later. Delta values are added to the row before. Rows that are
// missing stay missing. Text and octets in p alias the buffer.
//
// A row that does not fit the layout makes an error; the rows before it stay.
// Cells whose unit contradicts the code of their column are inconsistent.
func (l *Layout) Append(p *obis.Profile, buffer Data) error {
	err := l.append(p, buffer)
	for i := range p.Columns {
		p.Columns[i].Doubt()
	}
	return err
}

func (l *Layout) append(p *obis.Profile, buffer Data) error {
	switch buffer.Tag() {
	case TagArray:
	case TagCompactArray:
		expanded, err := buffer.Expand(nil)
		if err != nil {
			return err
		}
		buffer = expanded
	case TagNull:
		return nil
	default:
		return fmt.Errorf("cosem: profile buffer is %v, want array", buffer.Tag())
	}
	rows, at, err := length(buffer.b, 1, "array")
	if err != nil {
		return err
	}
	if rows == 0 {
		return nil
	}
	if done, end := l.appendFixed(p, buffer, at, rows); done > 0 {
		at, rows = end, rows-done
	}
	r := rowReader{layout: l, profile: p, roles: make([]role, len(l.Columns))}
	for i := range l.Columns {
		r.roles[i] = l.role(i)
	}
	for i := range rows {
		if at, err = r.row(buffer.b, at); err != nil {
			return fmt.Errorf("cosem: row %d of the profile: %w", i+1, err)
		}
	}
	return nil
}

// rowReader reads rows one by one, whatever their encoding.
type rowReader struct {
	layout  *Layout
	profile *obis.Profile
	roles   []role // of the layout's columns
}

// row reads the structure at off, and returns where it ends.
func (r *rowReader) row(b []byte, off int) (end int, err error) {
	if Tag(b[off]) != TagStructure {
		return 0, &ParseError{Field: "structure", Offset: off, Err: fmt.Errorf("%v, want structure", Tag(b[off]))}
	}
	n, at, err := length(b, off+1, "structure")
	if err != nil {
		return 0, err
	}
	if n != len(r.layout.Columns) {
		return 0, &ParseError{Field: "structure", Offset: off, Err: fmt.Errorf("%d columns, want %d", n, len(r.layout.Columns))}
	}
	column, row := 0, r.profile.Len()
	var stamp obis.Time
	var quality obis.Quality
	stamped := false
	for i := range n {
		if end, err = checkData(b, at, MaxDepth); err != nil {
			return 0, err
		}
		d := Data{b: b[at:end:end]}
		at = end
		switch r.roles[i] {
		case roleClock:
			stamp, stamped = r.stamp(d, row), true
		case roleStatus:
			quality = r.status(d, row)
		default:
			r.cell(&r.profile.Columns[column], &r.layout.Columns[i], d, row)
			column++
		}
	}
	r.profile.Times = append(r.profile.Times, stamp)
	if stamped && stamp.IsZero() {
		quality.Flags |= obis.ClockInvalid
	}
	quality.Flags |= clockStatus(stamp).Flags
	if quality != (obis.Quality{}) {
		r.profile.Quality.Add(row, quality)
	}
	return at, nil
}

// stamp returns the time of a row; null-data is one period after the row before.
func (r *rowReader) stamp(d Data, row int) obis.Time {
	if t, ok := d.Time(); ok && t.Possible() {
		return t
	}
	if d.IsNull() && row > 0 && r.layout.Period > 0 {
		t, _ := r.profile.Times[row-1].Later(1, r.layout.Period)
		return t
	}
	return obis.Time{}
}

// status returns the quality of a row; null-data is that of the row before.
func (r *rowReader) status(d Data, row int) obis.Quality {
	if d.IsNull() {
		if row > 0 {
			before := r.profile.Quality.At(row - 1)
			return obis.FromStatus(before.Kind, before.Raw)
		}
		return obis.Quality{}
	}
	return r.layout.quality(d)
}

// quality returns what a status column says of its row.
func (l *Layout) quality(d Data) obis.Quality {
	word := statusWord(d.Value())
	kind := l.Status
	if kind == obis.StatusNone {
		kind = obis.StatusDLMSProfile
	}
	if bits, n, ok := d.Bits(); d.Tag() != TagUnsigned && !(ok && n == 8 && len(bits) == 1) {
		kind = obis.StatusVendor
	}
	if word == 0 {
		return obis.Quality{}
	}
	return obis.FromStatus(kind, word)
}

// cell appends the value of a row to a column, which the layout describes.
func (r *rowReader) cell(c *obis.Column, about *Column, d Data, row int) {
	switch tag := d.Tag(); {
	case tag == TagNull:
		if row > 0 {
			c.Append(c.At(row - 1))
			r.sameQuality(c, row)
			return
		}
		c.AppendMissing()
		return
	case tag >= TagDeltaInteger && tag <= TagDeltaDoubleLongU:
		delta, _ := d.Int()
		before, exp, ok := c.At(row - 1).Decimal()
		if sum := before + delta; ok && (sum > before) == (delta > 0) {
			c.Append(obis.Int(sum, exp))
			r.sameQuality(c, row)
			return
		}
		c.AppendMissing()
		c.Quality.Add(row, obis.Quality{Flags: obis.Invalid})
		return
	}
	v, _, q := about.ScalerUnit.Apply(plainValue(about.Class, c.Code, d))
	if v.IsNone() {
		c.AppendMissing()
		return
	}
	c.Append(v)
	if q != (obis.Quality{}) {
		c.Quality.Add(row, q)
	}
}

// sameQuality gives a cell that repeats or continues the one before its quality, too.
func (r *rowReader) sameQuality(c *obis.Column, row int) {
	if q := c.Quality.At(row - 1); q != (obis.Quality{}) {
		c.Quality.Add(row, q)
	}
}

// maxFixed is how many columns the reader of uniform rows handles.
const maxFixed = 64

// field is one column of a uniform row.
type field struct {
	at   int // offset of the tag in the row
	tag  Tag
	role role
}

// appendFixed appends the leading rows that are encoded exactly alike: the same
// tags and lengths at the same places, integers and a clock only. It reads them
// column by column, and returns how many there were and where they end.
func (l *Layout) appendFixed(p *obis.Profile, buffer Data, off, rows int) (done, end int) {
	var buf [maxFixed]field
	b := buffer.b
	fields, size := l.uniform(&buf, b[off:])
	if size == 0 {
		return 0, off
	}
	n := min(rows, int(buffer.alike))
	if n == 0 || size != int(buffer.size) {
		n = countAlike(b[off:], size, rows)
	}
	l.appendColumns(p, fields, b[off:off+n*size], size, n)
	return n, off + n*size
}

// uniform describes the row at the start of b, if all its columns are integers
// or the clock; otherwise size is 0.
func (l *Layout) uniform(buf *[maxFixed]field, b []byte) (fields []field, size int) {
	if len(b) < 2 || Tag(b[0]) != TagStructure || int(b[1]) != len(l.Columns) || len(l.Columns) > maxFixed {
		return nil, 0
	}
	at := 2
	for i := range l.Columns {
		f := field{at: at, role: l.role(i)}
		if at >= len(b) {
			return nil, 0
		}
		f.tag = Tag(b[at])
		switch f.tag {
		case TagOctetString:
			if f.role != roleClock || at+1 >= len(b) || b[at+1] != 12 {
				return nil, 0
			}
			at += 14
		case TagInteger, TagUnsigned, TagLong, TagLongUnsigned, TagDoubleLong, TagDoubleLongUnsigned, TagLong64:
			if f.role == roleClock || f.role == roleStatus && f.tag != TagUnsigned {
				return nil, 0
			}
			if f.role == roleValue && !l.Columns[i].ScalerUnit.Known {
				return nil, 0
			}
			at += 1 + int(tags[f.tag].width)
		default:
			return nil, 0
		}
		buf[i] = f
	}
	if at > len(b) {
		return nil, 0
	}
	return buf[:len(l.Columns)], at
}

// appendColumns reads n uniform rows of size octets each.
func (l *Layout) appendColumns(p *obis.Profile, fields []field, b []byte, size, n int) {
	first := p.Len()
	column := 0
	clock := false
	for i := range fields {
		f := &fields[i]
		switch f.role {
		case roleClock:
			clock = true
			p.Times = slices.Grow(p.Times, n)[:first+n]
			for i, at := first, f.at+2; i < len(p.Times); i, at = i+1, at+size {
				p.Times[i] = obis.TimeFromBinary([12]byte(b[at:]))
			}
		case roleValue:
			c := &p.Columns[column]
			column++
			if c.Len() == 0 {
				c.Exp = l.Columns[i].ScalerUnit.Scaler
			}
			if c.Exp != l.Columns[i].ScalerUnit.Scaler || len(c.Values) > 0 {
				for at := f.at; at < len(b); at += size {
					c.Append(obis.Int(fixedInt(f.tag, b[at+1:]), l.Columns[i].ScalerUnit.Scaler))
				}
				continue
			}
			appendInts(c, f.tag, b[f.at+1:], size, n)
		}
	}
	if !clock {
		for range n {
			p.Times = append(p.Times, obis.Time{})
		}
	}
	l.appendQuality(p, fields, b, size, first, n)
}

// appendInts appends n numbers that lie size octets apart.
func appendInts(c *obis.Column, tag Tag, b []byte, size, n int) {
	setRange(&c.Present, len(c.Nums), n)
	c.Nums = slices.Grow(c.Nums, n)
	nums := c.Nums[len(c.Nums) : len(c.Nums)+n]
	c.Nums = c.Nums[:len(c.Nums)+n]
	at := 0
	if tag == TagDoubleLongUnsigned {
		for i := range nums {
			nums[i] = int64(binary.BigEndian.Uint32(b[at:]))
			at += size
		}
		return
	}
	for i := range nums {
		nums[i] = fixedInt(tag, b[at:])
		at += size
	}
}

// setRange adds n rows from the first on.
func setRange(b *obis.Bitmap, first, n int) {
	for end := first + n; first < end; {
		next := min((first|63)+1, end)
		b.Set(first)
		(*b)[first>>6] |= (^uint64(0) >> (64 - (next - first))) << (first & 63)
		first = next
	}
}

func fixedInt(tag Tag, b []byte) int64 {
	switch tag {
	case TagInteger:
		return int64(int8(b[0]))
	case TagUnsigned:
		return int64(b[0])
	case TagLong:
		return int64(int16(binary.BigEndian.Uint16(b)))
	case TagLongUnsigned:
		return int64(binary.BigEndian.Uint16(b))
	case TagDoubleLong:
		return int64(int32(binary.BigEndian.Uint32(b)))
	case TagDoubleLongUnsigned:
		return int64(binary.BigEndian.Uint32(b))
	}
	return int64(binary.BigEndian.Uint64(b))
}

// appendQuality sets the quality of uniform rows from their status and their clock.
func (l *Layout) appendQuality(p *obis.Profile, fields []field, b []byte, size, first, n int) {
	status := -1
	for i := range fields {
		if fields[i].role == roleStatus {
			status = fields[i].at
		}
	}
	for i := range n {
		var q obis.Quality
		if status >= 0 && b[i*size+status+1] != 0 {
			at := i*size + status
			q = l.quality(Data{b: b[at : at+2]})
		}
		t := &p.Times[first+i]
		if !t.Possible() {
			*t = obis.Time{}
			q.Flags |= obis.ClockInvalid
		} else if t.Status != 0 && t.Status != obis.TimeUnspecified {
			q.Flags |= clockStatus(*t).Flags
		}
		if q != (obis.Quality{}) {
			p.Quality.Add(first+i, q)
		}
	}
}
