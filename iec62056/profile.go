package iec62056

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// profileGroup is value group C of load profiles and logs.
const profileGroup = 99

// header is what stands before the rows of a load profile or log (VDEW
// specification 2.1):
//
//	P.01(time)(status)(period)(n)(id)(unit)…(id)(unit)
//
// Time is the end of the first period, period is in minutes and empty in logs.
// A status of two digits has the bits of VDEW; longer ones, which Landis+Gyr
// ZMD meters have, and those of logs are kept as the manufacturer's.
type header struct {
	code    obis.Code
	time    obis.Time
	status  uint64
	kind    obis.StatusKind
	period  int32 // minutes
	log     bool
	columns int
	first   []byte // the fields (id)(unit)… and behind them the rows
}

var errHeader = errors.New("not the header of a profile: P.xx(time)(status)(period)(n)")

// maxColumns bounds what a header may announce.
const maxColumns = 255

// parseHeader reads the header of a data set.
func parseHeader(d DataSet) (h header, err error) {
	id, err := obis.ParseBytes(d.ID)
	if err != nil || id.Code[2] != profileGroup {
		return header{}, errHeader
	}
	h.code = id.Code
	rest := d.Values
	var f [4]Field
	for i := range f {
		var ok bool
		if f[i], ok = cutField(&rest); !ok {
			return header{}, errHeader
		}
	}
	var ok bool
	if h.time, ok = field.ParseTime(f[0].Text); !ok {
		return header{}, fmt.Errorf("time %q: %w", f[0].Text, errHeader)
	}
	if h.status, err = strconv.ParseUint(string(f[1].Text), 16, 64); err != nil && len(f[1].Text) > 0 {
		return header{}, fmt.Errorf("status %q: %w", f[1].Text, errHeader)
	}
	h.kind = obis.StatusVDEW
	if len(f[1].Text) > 2 {
		h.kind = obis.StatusVendor // Landis+Gyr meters have 32 bits of their own
	}
	period, err := strconv.ParseUint(string(trim(f[2].Text)), 10, 16)
	h.log = len(trim(f[2].Text)) == 0 || h.code[3] >= 97
	if err != nil && !h.log {
		return header{}, fmt.Errorf("period %q: %w", f[2].Text, errHeader)
	}
	h.period = int32(period)
	n, err := strconv.ParseUint(string(trim(f[3].Text)), 10, 16)
	if err != nil && len(f[3].Text) > 0 || n > maxColumns {
		return header{}, fmt.Errorf("number of columns %q: %w", f[3].Text, errHeader)
	}
	h.columns = int(n)
	h.first = rest
	return h, nil
}

// isProfile reports whether a data set is a load profile or a log.
func isProfile(d DataSet) bool {
	_, err := parseHeader(d)
	return err == nil
}

// ParseProfiles reads the load profiles of a data block, the answer to a read
// command. A meter begins a new header where the time or the status changes;
// stretches of the same columns become one profile, with the status of each in
// the quality of its rows. Data sets that are no profiles are passed over.
func ParseProfiles(b []byte) ([]*obis.Profile, error) { return profiles(b, 0) }

func profiles(b []byte, base int) (all []*obis.Profile, err error) {
	s := newScanner(b, base)
	for {
		d, err := s.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			continue
		}
		h, err := parseHeader(d)
		if err != nil || h.log {
			continue
		}
		if all, err = h.appendProfile(all); err != nil {
			return all, &ParseError{"profile", d.Offset, err}
		}
	}
}

// appendProfile appends the rows of the header to the last profile, or a profile
// with them.
func (h header) appendProfile(all []*obis.Profile) ([]*obis.Profile, error) {
	p, rows, err := h.profile()
	if err != nil {
		return all, err
	}
	if n := len(all); n > 0 && sameColumns(all[n-1], p) {
		p = all[n-1]
	} else {
		all = append(all, p)
	}
	return all, h.appendRows(p, rows)
}

// profile returns an empty profile with the columns of the header, and the rows.
func (h header) profile() (*obis.Profile, []byte, error) {
	p := &obis.Profile{Code: h.code, Period: h.period * 60}
	rest := h.first
	for range h.columns {
		id, ok := cutField(&rest)
		unit, more := cutField(&rest)
		if !ok || !more {
			return nil, nil, fmt.Errorf("%d columns announced, %d there", h.columns, len(p.Columns))
		}
		c := obis.Column{RawID: id.Text, Unit: obis.UnitUnknown}
		if parsed, err := obis.ParseBytes(id.Text); err == nil {
			c.Code, c.Rule = parsed.Code, obis.RuleDeclared
		}
		if len(unit.Text) > 0 {
			var exp int
			c.Unit, exp = field.Unit(unit.Text)
			c.Exp = int8(exp)
		}
		p.Columns = append(p.Columns, c)
	}
	return p, rest, nil
}

func sameColumns(p, q *obis.Profile) bool {
	if p.Code != q.Code || p.Period != q.Period || len(p.Columns) != len(q.Columns) {
		return false
	}
	for i := range p.Columns {
		if a, b := &p.Columns[i], &q.Columns[i]; string(a.RawID) != string(b.RawID) || a.Unit != b.Unit {
			return false
		}
	}
	return true
}

// appendRows appends the rows behind a header. The last one may be incomplete
// only if the meter was cut off, which is an error; what came before it stays. Where
// the first row is a line, a line of more or fewer values has lost or gained some:
// nobody knows which, but the rows behind it are in their columns.
func (h header) appendRows(p *obis.Profile, rows []byte) error {
	if h.columns == 0 {
		return nil
	}
	first, _ := lineOf(rows)
	inLines := first == h.columns
	for n := 0; ; n++ {
		if values, rest := lineOf(rows); inLines && values != 0 && values != h.columns && len(rest) > 0 {
			if next, _ := lineOf(rest); next != 0 && values+next != h.columns && values%h.columns != 0 {
				h.appendDamaged(p, rows[:len(rows)-len(rest)], n)
				rows = rest
				continue
			}
		}
		f, ok := cutField(&rows)
		if !ok {
			return nil
		}
		for i := range p.Columns {
			if i > 0 {
				if f, ok = cutField(&rows); !ok {
					for k := range p.Columns[:i] {
						p.Columns[k].Truncate(p.Len())
					}
					return fmt.Errorf("row %d has %d of %d values", n+1, i, h.columns)
				}
			}
			h.appendCell(&p.Columns[i], i, f, p.Len())
		}
		if h.status != 0 {
			p.Quality.Add(p.Len(), obis.FromStatus(h.kind, h.status))
		}
		h.appendTime(p, n)
	}
}

// appendTime appends the time of the row with number n behind the header. Without a
// period only the first one has one.
func (h header) appendTime(p *obis.Profile, n int) {
	t, ok := h.time.Later(n, 60*h.period)
	switch {
	case n == 0 && !ok:
		t = h.time
	case n > 0 && (h.period == 0 || !ok):
		t = obis.Time{}
		p.Quality.Add(len(p.Times), obis.Quality{Flags: obis.ClockInvalid})
	}
	p.Times = append(p.Times, t)
}

// appendDamaged appends a row whose line has not the number of values that it should.
func (h header) appendDamaged(p *obis.Profile, line []byte, n int) {
	row := len(p.Times)
	for i := range p.Columns {
		c := &p.Columns[i]
		if f, ok := cutField(&line); ok {
			h.appendCell(c, i, f, row)
		} else {
			c.AppendMissing()
		}
		c.Quality.Add(row, obis.Quality{Flags: obis.Invalid})
	}
	if h.status != 0 {
		p.Quality.Add(row, obis.FromStatus(h.kind, h.status))
	}
	h.appendTime(p, n)
}

// lineOf counts the values of the next line that has any, and returns what is behind it.
func lineOf(rows []byte) (values int, rest []byte) {
	for i, c := range rows {
		switch {
		case c == '(':
			values++
		case (c == '\r' || c == '\n') && values > 0:
			return values, rows[i:]
		}
	}
	return values, nil
}

// appendCell appends a value with the prefix of the unit in the header. A unit
// in the row itself counts instead.
func (h header) appendCell(c *obis.Column, column int, f Field, row int) {
	unit := f.Unit
	if unit == nil {
		unit = h.unit(column)
	}
	v, u, flags := field.Value(field.Number, f.Text, unit)
	if f.Unit != nil && u != c.Unit {
		flags |= obis.Questionable
	}
	if c.Code.Contradicts(u) {
		flags |= obis.Inconsistent
	}
	if flags != 0 {
		c.Quality.Add(row, obis.Quality{Flags: flags})
	}
	if c.Present.Count() == 0 {
		c.Exp = v.Exp()
	} else if same, ok := v.Rescale(c.Exp); ok {
		v = same
	}
	c.Append(v)
}

// unit returns the unit of a column as the header has it.
func (h header) unit(column int) []byte {
	rest := h.first
	var f Field
	for range 2*column + 2 {
		f, _ = cutField(&rest)
	}
	return f.Text
}

// ParseEvents reads the entries of logs in a data block, the answer to a read
// command. The number of an event is its status word, whose meaning differs from
// meter to meter beyond the eight bits of the VDEW specification.
func ParseEvents(b []byte) (events []obis.Event) {
	for d, err := range DataSets(b) {
		if err != nil {
			continue
		}
		h, err := parseHeader(d)
		if err != nil || !h.log {
			continue
		}
		events = append(events, h.event(obis.NoSource))
	}
	return events
}

// event returns one log entry, with the values logged beside it, which stand in
// the data set with number source.
func (h header) event(source uint32) obis.Event {
	e := obis.Event{
		Log: h.code, ID: uint32(h.status), Time: h.time,
		Quality: obis.FromStatus(h.kind, h.status),
	}
	p, rows, err := h.profile()
	if err != nil {
		return e
	}
	for i := range p.Columns {
		f, ok := cutField(&rows)
		if !ok {
			break
		}
		c := &p.Columns[i]
		r := obis.Reading{Code: c.Code, Rule: c.Rule, RawID: c.RawID, Time: h.time, Source: source}
		unit := f.Unit
		if unit == nil {
			unit = h.unit(i)
		}
		field.Put(&r, field.ClassOf(c.Code), f.Text, unit)
		e.Params = append(e.Params, r)
	}
	return e
}
