package dlms

import (
	"bytes"
	"fmt"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// profile is a profile of which rows came. Columns are only added, at the end.
type profile struct {
	code    obis.Code
	period  int32
	columns []column
	news    int // how often rows came
	counted int // what news was when the rows were counted
	entries int // how many there were
}

// column is a column of a profile, and the object whose value it has.
type column struct {
	code   obis.Code
	rawID  string
	nth    int // of those that have both the same
	object int
}

// learn takes what there is of profiles.
func (d *device) learn(list []*obis.Profile) {
	if len(list) == 0 {
		return
	}
	var lost []mapping.Loss
	d.mu.Lock()
	for i, p := range list {
		lost = append(lost, losses(i, p)...)
		if p == nil || !p.Code.Valid() {
			continue
		}
		of := d.profileOf(p.Code)
		if of == nil {
			if n, taken := d.byCode[p.Code]; taken {
				lost = append(lost, mapping.Loss{Part: mapping.Profile, Index: i, Reason: fmt.Sprintf("%v is %v already", p.Code, d.objects[n].class)})
				continue
			}
			of = &profile{code: p.Code}
			d.profiles = append(d.profiles, of)
		}
		of.period = p.Period
		of.news++
		if lacks := d.columns(of, p); lacks != "" {
			lost = append(lost, mapping.Loss{Part: mapping.Profile, Index: i, Reason: lacks})
		}
	}
	d.mu.Unlock()
	for _, l := range lost {
		p := list[l.Index]
		l = mapping.Loss{Part: l.Part, Flags: l.Flags, Reason: l.Reason} // each kind is told once, however many rows
		text := l.String()
		if p != nil && p.Code.Valid() {
			text = p.Code.String() + ": " + text
		}
		d.face.warner.Say(fmt.Sprintf("%s: %s", d.id, text))
	}
}

// profileOf returns the profile of a code. d.mu is held.
func (d *device) profileOf(code obis.Code) *profile {
	for _, of := range d.profiles {
		if of.code == code {
			return of
		}
	}
	return nil
}

// columns adds the columns that are new, and objects for those that have none. d.mu is held.
func (d *device) columns(of *profile, p *obis.Profile) (lacks string) {
	for i := range p.Columns {
		c := &p.Columns[i]
		if !c.Code.Valid() || c.Code == clockName {
			lacks = "a column without OBIS code"
			continue
		}
		if of.find(p, i) >= 0 {
			continue
		}
		n, known := d.byCode[c.Code]
		if !known {
			o := object{code: c.Code, class: cosem.ClassData, unit: c.Unit, reading: -1}
			if len(c.Values) == 0 {
				o.class, o.scaler = cosem.ClassRegister, c.Exp
			}
			n = d.add(o)
		}
		of.columns = append(of.columns, column{c.Code, string(c.RawID), nth(p, i), n})
	}
	return lacks
}

// nth returns how many columns before this one have its code and raw id.
func nth(p *obis.Profile, i int) (n int) {
	for k := range p.Columns[:i] {
		if p.Columns[k].Code == p.Columns[i].Code && bytes.Equal(p.Columns[k].RawID, p.Columns[i].RawID) {
			n++
		}
	}
	return n
}

// find returns which column that of some rows is, -1 for none.
func (of *profile) find(p *obis.Profile, i int) int {
	c := &p.Columns[i]
	for k := range of.columns {
		if own := &of.columns[k]; own.code == c.Code && own.rawID == string(c.RawID) && own.nth == nth(p, i) {
			return k
		}
	}
	return -1
}

// profile returns the profile that an attribute is of, nil where a client sees none.
func (d *device) profile(p *dlms.Partner, a cosem.Attribute) *profile {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a.Class != cosem.ClassProfileGeneric || d.gone || d.hides(p) {
		return nil
	}
	return d.profileOf(a.Name)
}

// capture is a column as clients know it.
type capture struct {
	cosem.Capture
	object
	column int // of the profile, -1 for the time
}

// captures returns the columns, the time first.
func (d *device) captures(of *profile) []capture {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := []capture{{Capture: cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassClock, Name: clockName, Index: 2}}, column: -1}}
	for i, c := range of.columns {
		o := d.objects[c.object]
		list = append(list, capture{cosem.Capture{Attribute: cosem.Attribute{Class: o.class, Name: o.code, Index: 2}}, o, i})
	}
	return list
}

func (d *device) getProfile(of *profile, index int8, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	columns := d.captures(of)
	if s != nil && index != 2 {
		return cosem.Data{}, cosem.TypeUnmatched
	}
	switch index {
	case 1:
		return cosem.Name(of.code), cosem.Success
	case 2:
		return d.rows(of, columns, s)
	case 3:
		list := make([]cosem.Capture, len(columns))
		for i := range columns {
			list[i] = columns[i].Capture
		}
		return cosem.CaptureObjects(list), cosem.Success
	case 4:
		d.mu.RLock()
		defer d.mu.RUnlock()
		return cosem.Uint32(uint32(max(of.period, 0))), cosem.Success
	case 5:
		return cosem.Enum(1), cosem.Success // first in, first out
	case 6:
		return cosem.CaptureObjects([]cosem.Capture{columns[0].Capture}).At(0), cosem.Success
	case 7, 8:
		return d.count(of)
	}
	return cosem.Data{}, cosem.ObjectUndefined
}

// count returns how many rows are kept, which are counted where some came since.
func (d *device) count(of *profile) (cosem.Data, cosem.DataAccessResult) {
	d.mu.RLock()
	n, counted, news := of.entries, of.counted, of.news
	d.mu.RUnlock()
	if counted == news {
		return cosem.Uint32(uint32(n)), cosem.Success
	}
	n = 0
	for p, err := range d.face.source.Rows(d.id, of.code, time.Time{}, time.Time{}) {
		if err != nil {
			return cosem.Data{}, cosem.TemporaryFailure
		}
		n += p.Len()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	of.entries, of.counted = n, news
	return cosem.Uint32(uint32(n)), cosem.Success
}

// selected is what of a profile is asked for.
type selected struct {
	from, to    time.Time // zero for all
	first, last int       // rows from 0; last is exclusive, and negative for all
	columns     []capture
}

// selection reads what a client asks for.
func (d *device) selection(columns []capture, s *cosem.Selection) (sel selected, ok bool) {
	sel = selected{last: -1, columns: columns}
	if s == nil {
		return sel, true
	}
	if r, is := s.Range(); is {
		if r.Restricting.Class != cosem.ClassClock || r.Restricting.Index != 2 || r.Restricting.Name != clockName {
			return sel, false
		}
		d.mu.RLock()
		clock := obis.Clock{}
		if d.data != nil {
			clock = d.data.Clock
		}
		d.mu.RUnlock()
		var ok1, ok2 bool
		sel.from, ok1 = bound(r.From, clock)
		sel.to, ok2 = bound(r.To, clock)
		if len(r.Columns) > 0 {
			sel.columns = nil
		}
		for _, wanted := range r.Columns {
			found := false
			for _, c := range columns {
				if c.Attribute == wanted.Attribute && !found {
					sel.columns, found = append(sel.columns, c), true
				}
			}
			ok1 = ok1 && found && wanted.Element == 0
		}
		return sel, ok1 && ok2
	}
	n, ok := s.Entries()
	if !ok || n.FirstRow == 0 || n.FirstColumn == 0 || int(n.FirstColumn) > len(columns) {
		return sel, false
	}
	sel.first = int(n.FirstRow) - 1
	if n.LastRow != 0 {
		sel.last = int(n.LastRow)
	}
	last := len(columns)
	if n.LastColumn != 0 {
		last = min(last, int(n.LastColumn))
	}
	if last < int(n.FirstColumn) {
		return sel, false
	}
	sel.columns = columns[n.FirstColumn-1 : last]
	return sel, true
}

// bound returns the moment of one end of a range, zero where it is left open. Where nobody
// knows the meter's zone its times are ordered as if they were UTC, here as in the source.
func bound(data cosem.Data, clock obis.Clock) (time.Time, bool) {
	t, ok := data.Time()
	at, instant := t.Instant(clock)
	if !instant {
		at, _ = t.Instant(obis.Clock{Zone: time.UTC})
	}
	return at, ok
}

// rows returns the rows that a selection names.
func (d *device) rows(of *profile, columns []capture, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	sel, ok := d.selection(columns, s)
	if !ok {
		return cosem.Data{}, cosem.TypeUnmatched
	}
	var list []cosem.Data
	size, number := 0, 0
	for p, err := range d.face.source.Rows(d.id, of.code, sel.from, sel.to) {
		if err != nil {
			return cosem.Data{}, cosem.TemporaryFailure
		}
		places := d.places(of, p, len(columns))
		for row := range p.Times {
			number++
			if number <= sel.first {
				continue
			}
			if sel.last >= 0 && number > sel.last {
				return cosem.Array(list...), cosem.Success
			}
			cells := make([]cosem.Data, len(sel.columns))
			for i := range sel.columns {
				cells[i] = cell(p, row, &sel.columns[i], places)
			}
			r := cosem.Structure(cells...)
			if size += len(r.Binary()); size > maxAnswer {
				return cosem.Data{}, cosem.DataBlockUnavailable
			}
			list = append(list, r)
		}
	}
	return cosem.Array(list...), cosem.Success
}

// places returns where in some rows the columns of the profile are, -1 where they are not.
func (d *device) places(of *profile, p *obis.Profile, columns int) []int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	places := make([]int, columns)
	for i := range places {
		places[i] = -1
	}
	for i := range p.Columns {
		if k := of.find(p, i); k >= 0 && k < columns {
			places[k] = i
		}
	}
	return places
}

// cell returns a value with the scaler of its object. What is missing is dont-care, as
// null-data would repeat the row before.
func cell(p *obis.Profile, row int, c *capture, places []int) cosem.Data {
	if c.column < 0 {
		return cosem.DateTime(p.Times[row])
	}
	if places[c.column] < 0 {
		return cosem.DontCare()
	}
	from := &p.Columns[places[c.column]]
	v := from.At(row)
	switch {
	case v.IsNone() || (p.Quality.At(row).Flags|from.Quality.At(row).Flags)&(obis.Invalid|obis.Missing) != 0:
		return cosem.DontCare()
	case isNumber(v) && (c.object.class == cosem.ClassData || from.Unit == c.object.unit):
		return number(v, c.scaler)
	case c.object.class != cosem.ClassData:
		return cosem.DontCare() // another unit, or no number
	}
	if data, _, ok := cosem.FromValue(v); ok {
		return data
	}
	return cosem.DontCare()
}
