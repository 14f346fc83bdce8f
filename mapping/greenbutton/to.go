package greenbutton

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/cim"
	"github.com/openusm/meter/obis"
)

// Data returns what the feed says of each usage point. Values whose reading
// type has no code keep the numbers of the type as their raw id; summaries are
// readings with the name of their element as raw id. Unread names the resources
// that are neither.
func (f *Feed) Data(rules *cim.Rules) (list []*mapping.Data, unread []string) {
	x := &index{feed: f, rules: rules}
	x.find()
	for i, e := range x.points {
		d := &mapping.Data{Meter: obis.Meter{ID: meterID(e), Medium: media[x.service(i)]}}
		for j := range x.readings {
			if x.parents[j] == i {
				x.meterReading(d, j)
			}
		}
		list = append(list, d)
	}
	if len(list) == 0 && len(x.blocks) > 0 { // no feed, but a resource by itself
		d := &mapping.Data{}
		x.meterReading(d, -1)
		list = append(list, d)
	}
	for _, o := range x.others {
		if len(list) > 0 && summary(list[min(o.point, len(list)-1)], o.Other) {
			continue
		}
		unread = append(unread, o.Name())
	}
	return list, unread
}

// media are those of the kinds of service.
var media = map[int]obis.Medium{0: obis.Electricity, 1: obis.Gas, 2: obis.Water, 4: obis.Heat}

// meterID is the title of a usage point, where this package wrote it, or its link.
func meterID(e *Entry) string {
	if e.Title != "" && strings.HasPrefix(self(e), "/"+pathSegment(e.Title)+"/UsagePoint/") {
		return e.Title
	}
	return self(e)
}

func self(e *Entry) string {
	for _, l := range e.Links {
		if l.Rel == "self" {
			return l.Href
		}
	}
	return ""
}

// index finds which resources belong together.
type index struct {
	feed     *Feed
	rules    *cim.Rules
	points   []*Entry
	readings []*Entry
	parents  []int // of each meter reading: the number of its usage point
	blocks   []*Entry
	owners   []int             // of each block: the number of its meter reading, -1 where it has none
	byLink   map[string]*Entry // the types by their links
	types    []*Entry
	others   []other
}

type other struct {
	*Other
	point int
}

func (x *index) find() {
	for i := range x.feed.Entries {
		e := &x.feed.Entries[i]
		for _, c := range e.Content {
			switch c.(type) {
			case *UsagePoint:
				x.points = appendOnce(x.points, e)
			case *MeterReading:
				x.readings = appendOnce(x.readings, e)
			case *IntervalBlock:
				x.blocks = appendOnce(x.blocks, e)
			case *ReadingType:
				x.types = appendOnce(x.types, e)
			}
		}
	}
	for _, m := range x.readings {
		x.parents = append(x.parents, parent(x.points, m))
	}
	for _, b := range x.blocks {
		x.owners = append(x.owners, parent(x.readings, b))
	}
	x.byLink = make(map[string]*Entry, len(x.types))
	for _, e := range slices.Backward(x.types) { // the first of a link counts
		x.byLink[self(e)] = e
	}
	for i := range x.feed.Entries {
		e := &x.feed.Entries[i]
		for _, c := range e.Content {
			if o, ok := c.(*Other); ok {
				x.others = append(x.others, other{o, max(parent(x.points, e), 0)})
			}
		}
	}
}

func appendOnce(list []*Entry, e *Entry) []*Entry {
	if len(list) > 0 && list[len(list)-1] == e {
		return list
	}
	return append(list, e)
}

// parent returns which of the candidates an entry belongs to: the one that is
// related to it or to the collection in which it is, else the one whose link
// begins its own, else the only one there is.
func parent(candidates []*Entry, e *Entry) int {
	own := self(e)
	best, length := -1, -1
	for i, c := range candidates {
		for _, l := range c.Links {
			if l.Rel != "related" || l.Href == "" {
				continue
			}
			if l.Href == own || within(own, l.Href) {
				return i
			}
			for _, up := range e.Links {
				if up.Rel == "up" && up.Href == l.Href {
					return i
				}
			}
		}
		if of := self(c); of != "" && within(own, of) && len(of) > length {
			best, length = i, len(of)
		}
	}
	if best < 0 && len(candidates) == 1 {
		return 0
	}
	return best
}

// within reports whether a link lies below another one.
func within(link, above string) bool {
	return len(link) > len(above) && strings.HasPrefix(link, above) && link[len(above)] == '/'
}

func (x *index) service(point int) int {
	for _, c := range x.points[point].Content {
		if u, ok := c.(*UsagePoint); ok {
			return u.Service
		}
	}
	return -1
}

// meterReading adds the values of the meter reading of a number; -1 stands for all there are.
func (x *index) meterReading(d *mapping.Data, number int) {
	var m *Entry
	if number >= 0 {
		m = x.readings[number]
	}
	t, title := x.typeOf(m)
	q, rule, raw := x.quantity(t, title)
	exp, scale := int(t.Type[cim.Multiplier])-q.Exp, obis.Flags(0)
	var values []IntervalReading
	for i, e := range x.blocks {
		if m != nil && max(x.owners[i], 0) != number {
			continue
		}
		for _, c := range e.Content {
			if b, ok := c.(*IntervalBlock); ok {
				values = append(values, b.Readings...)
			}
		}
	}
	if exp < -128 || exp > 127 { // no power of ten of the model: the digits are all that is known
		exp, scale = 0, obis.ScalerUnknown
	}
	if t.IntervalLength == 0 && len(values) == 1 && (m == nil || !strings.HasPrefix(m.Title, titlePrefix)) {
		r := values[0].reading(q, rule, raw, exp)
		r.Quality.Flags |= scale
		d.Readings = append(d.Readings, r)
		return
	}
	p := x.profile(d, m, t, values)
	col := obis.Column{Code: q.Code, Unit: q.Unit, Rule: rule, RawID: raw}
	for i := range values {
		v := &values[i]
		if v.Missing() {
			col.AppendMissing()
		} else {
			col.Append(obis.Int(v.Value, int8(exp)))
		}
		if flags := cim.ESPIFlags(v.Qualities) | scale; flags != 0 {
			col.Quality.Add(i, obis.Quality{Flags: flags})
		}
	}
	p.Columns = append(p.Columns, col)
}

// typeOf returns the reading type of a meter reading, and its title.
func (x *index) typeOf(m *Entry) (*ReadingType, string) {
	var e *Entry
	if len(x.types) == 1 || m == nil && len(x.types) > 0 {
		e = x.types[0]
	} else if m != nil {
		for _, l := range m.Links {
			if l.Rel == "related" && e == nil {
				e = x.byLink[l.Href]
			}
		}
	}
	if e != nil {
		for _, c := range e.Content {
			if t, ok := c.(*ReadingType); ok {
				return t, e.Title
			}
		}
	}
	return &ReadingType{}, ""
}

func (x *index) quantity(t *ReadingType, title string) (q cim.Quantity, rule obis.Rule, raw []byte) {
	of := t.Type
	if p := cim.MeasuringPeriodOf(int32(min(t.IntervalLength, 1<<31-1))); of[cim.MeasuringPeriod] == 0 {
		of[cim.MeasuringPeriod] = p
	}
	q, ok := x.rules.QuantityOf(of)
	rule = obis.RuleStandard
	if !ok {
		rule, raw = obis.RuleNone, t.Type.Append(nil)
		q.Unit, q.Exp = cim.UnitOf(of[cim.Unit])
	}
	if code, err := obis.ParseCode(strings.TrimPrefix(title, titlePrefix)); err == nil && strings.HasPrefix(title, titlePrefix) {
		q.Code, rule, raw = code, obis.RuleDeclared, nil
	}
	return q, rule, raw
}

func (r *IntervalReading) reading(q cim.Quantity, rule obis.Rule, raw []byte, exp int) obis.Reading {
	out := obis.Reading{Code: q.Code, Unit: q.Unit, Rule: rule, RawID: raw, Quality: obis.Quality{Flags: cim.ESPIFlags(r.Qualities)}}
	if !r.Missing() {
		out.Value = obis.Int(r.Value, int8(exp))
	}
	if r.has&hasPeriod != 0 {
		out.Time = moment(r.Start + int64(r.Duration))
		if r.Duration > 0 {
			out.Start = moment(r.Start)
		}
	}
	return out
}

func moment(seconds int64) obis.Time { return obis.FromTime(time.Unix(seconds, 0).UTC()) }

// profile returns the profile for values: the last one where its times are the same, else a new one.
func (x *index) profile(d *mapping.Data, m *Entry, t *ReadingType, values []IntervalReading) *obis.Profile {
	p := &obis.Profile{Period: int32(min(t.IntervalLength, 1<<31-1))}
	if m != nil && strings.HasPrefix(m.Title, titlePrefix) {
		if code, err := obis.ParseCode(m.Title[len(titlePrefix):]); err == nil {
			p.Code = code
		}
	}
	if n := len(d.Profiles); n > 0 {
		if last := d.Profiles[n-1]; last.Period == p.Period && last.Code == p.Code && sameTimes(last, values) {
			return last
		}
	}
	p.Times = make([]obis.Time, len(values))
	for i := range values {
		if v := &values[i]; v.has&hasPeriod != 0 {
			p.Times[i] = moment(v.Start + int64(v.Duration))
		}
	}
	d.Profiles = append(d.Profiles, p)
	return p
}

func sameTimes(p *obis.Profile, values []IntervalReading) bool {
	if p.Len() != len(values) {
		return false
	}
	for i := range values {
		if p.Times[i] != moment(values[i].Start+int64(values[i].Duration)) {
			return false
		}
	}
	return true
}

// summary adds the measurements of a usage summary as readings, and reports
// whether it is one.
func summary(d *mapping.Data, o *Other) bool {
	if o.node.Name.Space != espiSpace || !strings.HasSuffix(o.Name(), "UsageSummary") {
		return false
	}
	for _, n := range o.node.Children {
		uom, ok1 := childInt(o, n.Name.Local, "uom")
		value, ok2 := childInt(o, n.Name.Local, "value")
		if !ok1 || !ok2 {
			continue
		}
		ten, _ := childInt(o, n.Name.Local, "powerOfTenMultiplier")
		if uom != int64(int32(uom)) || ten != int64(int32(ten)) {
			continue
		}
		unit, exp := cim.UnitOf(int32(uom))
		r := obis.Reading{RawID: []byte(n.Name.Local), Unit: unit, Value: obis.Int(value, 0)}
		if shifted, ok := r.Value.Shift(int(ten) - exp); ok {
			r.Value = shifted
		} else {
			r.Quality.Flags = obis.ScalerUnknown
		}
		if at, ok := childInt(o, n.Name.Local, "timeStamp"); ok && at >= -maxSeconds && at <= maxSeconds {
			r.Time = moment(at)
		}
		d.Readings = append(d.Readings, r)
	}
	return true
}

func childInt(o *Other, name, child string) (int64, bool) {
	n := o.node.Child(name).Child(child)
	if n == nil {
		return 0, false
	}
	v, err := strconv.ParseInt(strings.TrimSpace(n.Text), 10, 64)
	return v, err == nil
}
