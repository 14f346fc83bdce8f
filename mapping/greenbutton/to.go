package greenbutton

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/cim"
	"github.com/openusm/meter/obis"
)

// Data returns what the feed says of each usage point. The raw id of a value is
// the numbers of its type, also where it has a code. What an interval says
// besides its value (cost, tou, cpp, consumptionTier) is a column or a reading
// of its own behind it, with the raw id of the value, "/" and the name of the
// element. Summaries and time parameters are readings with the path of each
// element as raw id. Unread names what was not read, joined to nothing, or not
// told by the quality flags.
func (f *Feed) Data(rules *cim.Rules) (list []*mapping.Data, unread []string) {
	x := &index{feed: f, rules: rules, joined: map[*Entry]bool{}, qualities: map[int32]int{}}
	x.find()
	for i, e := range x.points {
		d := &mapping.Data{Meter: obis.Meter{ID: meterID(e), Medium: x.medium(i)}}
		for j := range x.readings {
			if x.parents[j] == i {
				x.meterReading(d, j)
			}
		}
		list = append(list, d)
	}
	if len(list) == 0 && len(x.readings)+len(x.blocks) > 0 { // a part of a feed
		list = append(list, x.withoutPoint())
	}
	seen := map[resourceKey]int{}
	shared := maxShared * (1 + len(f.Entries)) // what may be told again of what several usage points share
	for _, o := range x.others {
		if !o.carried() || len(o.points) == 0 {
			x.unread = append(x.unread, o.Name())
			continue
		}
		for n, i := range o.points {
			before := len(list[i].Readings)
			key := resourceKey{i, o.Name()}
			seen[key]++
			addNode(list[i], step(o.Name(), seen[key]), o.node)
			if shared -= len(list[i].Readings) - before; shared < 0 && n+1 < len(o.points) {
				x.unread = append(x.unread, fmt.Sprintf("%s of %d more usage points", o.Name(), len(o.points)-n-1))
				break
			}
		}
	}
	x.orphans()
	return list, slices.Concat(f.unread, x.unread)
}

// withoutPoint returns what meter readings without a usage point say, and a
// block of intervals that is the whole document.
func (x *index) withoutPoint() *mapping.Data {
	d := &mapping.Data{}
	for j := range x.readings {
		x.meterReading(d, j)
	}
	if x.feed.root != "" && len(x.readings) == 0 {
		x.joined[x.blocks[0]] = true
		x.values(d, nil, nil, x.blocks)
	}
	return d
}

// orphans names what belongs to nothing, and what is not told of qualities.
func (x *index) orphans() {
	for j, m := range x.readings {
		if x.parents[j] < 0 && len(x.points) > 0 {
			x.unread = append(x.unread, fmt.Sprintf("MeterReading %s: no link joins it to a usage point", self(m)))
			for _, b := range x.blocksOf[j] {
				x.joined[b] = true // named with it
			}
		}
	}
	for _, b := range x.blocks {
		if !x.joined[b] {
			x.unread = append(x.unread, fmt.Sprintf("IntervalBlock %s: no link joins it to a meter reading", self(b)))
		}
	}
	for _, t := range x.types {
		if !x.joined[t] {
			x.unread = append(x.unread, fmt.Sprintf("ReadingType %s: no link joins it to a meter reading", self(t)))
		}
	}
	for number := range int32(256) {
		if n := x.qualities[number]; n > 0 {
			_, unsaid := cim.ESPIFlags(number)
			x.unread = append(x.unread, fmt.Sprintf("quality %d, %d×: %s", number, n, unsaid))
			delete(x.qualities, number)
		}
	}
	others := 0
	for _, n := range x.qualities {
		others += n
	}
	if others > 0 {
		x.unread = append(x.unread, fmt.Sprintf("qualities that ESPI does not have, %d×", others))
	}
}

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

// path returns a link without scheme, host and a slash at its end: feeds mix links with and without them.
func path(href string) string {
	if _, rest, ok := strings.Cut(href, "://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			href = rest[i:]
		}
	}
	return strings.TrimSuffix(href, "/")
}

// index finds which resources belong together.
type index struct {
	feed      *Feed
	rules     *cim.Rules
	points    []*Entry
	readings  []*Entry
	parents   []int // of each meter reading: the number of its usage point, -1 where it has none
	blocks    []*Entry
	blocksOf  map[int][]*Entry  // the blocks of each meter reading
	byLink    map[string]*Entry // the types by their links
	types     []*Entry
	others    []other
	joined    map[*Entry]bool // blocks and types that belong to a meter reading
	qualities map[int32]int   // how many values have a quality that is not read whole
	unread    []string
}

// other is a resource of the usage points with these numbers.
type other struct {
	*Other
	points []int
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
	points, readings := newFamily(x.points), newFamily(x.readings)
	for _, m := range x.readings {
		x.parents = append(x.parents, points.parent(m))
	}
	x.blocksOf = map[int][]*Entry{}
	for _, b := range x.blocks {
		if j := readings.parent(b); j >= 0 {
			x.blocksOf[j] = append(x.blocksOf[j], b)
			x.joined[b] = true
		}
	}
	x.byLink = make(map[string]*Entry, len(x.types))
	for _, e := range slices.Backward(x.types) { // the first of a link counts
		x.byLink[path(self(e))] = e
	}
	related := map[string][]int{} // the usage points of each link to what belongs to them
	for i, p := range x.points {
		for _, l := range p.Links {
			href := path(l.Href)
			if n := len(related[href]); l.Rel == "related" && href != "" && (n == 0 || related[href][n-1] != i) {
				related[href] = append(related[href], i)
			}
		}
	}
	for i := range x.feed.Entries {
		e := &x.feed.Entries[i]
		for _, c := range e.Content {
			if o, ok := c.(*Other); ok {
				x.others = append(x.others, other{o, x.pointsOf(e, points, related)})
			}
		}
	}
}

// maxShared is how many elements of shared resources each entry of a feed may stand for.
const maxShared = 8

// resourceKey is the number of a usage point and the name of its resources.
type resourceKey struct {
	point int
	name  string
}

// pointsOf returns the usage points that are related to a resource, or else the one to which it belongs.
func (x *index) pointsOf(e *Entry, points *family, related map[string][]int) []int {
	if list := related[path(self(e))]; len(list) > 0 {
		return list
	}
	if i := points.parent(e); i >= 0 {
		return []int{i}
	}
	return nil
}

func appendOnce(list []*Entry, e *Entry) []*Entry {
	if len(list) > 0 && list[len(list)-1] == e {
		return list
	}
	return append(list, e)
}

// family are the entries to which others may belong.
type family struct {
	list    []*Entry
	self    map[string]int // by their own links, the first of each
	related map[string]int // by the links to what belongs to them
}

func newFamily(list []*Entry) *family {
	f := &family{list, make(map[string]int, len(list)), map[string]int{}}
	for i, e := range slices.Backward(list) {
		if own := path(self(e)); own != "" {
			f.self[own] = i
		}
		for _, l := range e.Links {
			if href := path(l.Href); l.Rel == "related" && href != "" {
				f.related[href] = i
			}
		}
	}
	return f
}

// parent returns which one an entry belongs to: the one that is related to it, or
// to the collection in which it is, or to what is above that; else the one whose
// link is the longest that begins its own; else, where there are no links
// that could say, the only one there is. It is -1 where none is.
func (f *family) parent(e *Entry) int {
	own, up := path(self(e)), ""
	for link, n := own, 0; link != "" && n < maxLevels; link, n = above(link), n+1 {
		if i, ok := f.related[link]; ok {
			return i
		}
	}
	for _, l := range e.Links {
		if l.Rel != "up" {
			continue
		}
		up = path(l.Href)
		if i, ok := f.related[up]; ok {
			return i
		}
	}
	for link, n := above(own), 0; link != "" && n < maxLevels; link, n = above(link), n+1 {
		if i, ok := f.self[link]; ok {
			return i
		}
	}
	if len(f.list) == 1 && (own+up == "" || len(f.self)+len(f.related) == 0) {
		return 0
	}
	return -1
}

// maxLevels is how many segments above a link are looked at.
const maxLevels = 32

// above returns a link without its last segment.
func above(link string) string { return link[:max(strings.LastIndexByte(link, '/'), 0)] }

// medium returns what a usage point measures.
func (x *index) medium(point int) obis.Medium {
	for _, c := range x.points[point].Content {
		if u, ok := c.(*UsagePoint); ok {
			return cim.MediumOfService(u.Service)
		}
	}
	return obis.Unknown
}

// meterReading adds the values of the meter reading of a number.
func (x *index) meterReading(d *mapping.Data, number int) {
	m := x.readings[number]
	e := x.typeOf(m)
	if e == nil {
		x.unread = append(x.unread, fmt.Sprintf("MeterReading %s: no link joins it to a reading type", self(m)))
	}
	x.values(d, m, e, x.blocksOf[number])
}

// typeOf returns the entry with the type of a meter reading, nil where it has
// none: the only type there is counts where a meter reading names none.
func (x *index) typeOf(m *Entry) *Entry {
	named := false
	for _, l := range m.Links {
		if l.Rel != "related" {
			continue
		}
		if e := x.byLink[path(l.Href)]; e != nil && l.Href != "" {
			x.joined[e] = true
			return e
		}
		named = named || strings.Contains(l.Href, "ReadingType")
	}
	if len(x.types) == 1 && len(x.readings) == 1 && !named {
		x.joined[x.types[0]] = true
		return x.types[0]
	}
	return nil
}

// quantity is what the values of a meter reading are.
type quantity struct {
	*ReadingType
	cim.Quantity
	rule  obis.Rule
	raw   []byte
	exp   int8       // power of ten of the values in the model's unit
	scale obis.Flags // scaler-unknown where the power of ten is not known
}

func (x *index) quantity(m, e *Entry) quantity {
	q := quantity{ReadingType: &ReadingType{}, scale: obis.ScalerUnknown}
	if m != nil {
		q.raw = []byte(self(m))
	}
	if len(q.raw) == 0 {
		q.raw = []byte("MeterReading")
	}
	if e == nil {
		return q
	}
	for _, c := range e.Content {
		if t, ok := c.(*ReadingType); ok {
			q.ReadingType = t
			break
		}
	}
	name, _ := codeOf(e.Title)
	of := q.Type
	if of[cim.MeasuringPeriod] == 0 {
		of[cim.MeasuringPeriod] = cim.MeasuringPeriodOf(q.period())
	}
	q.Quantity, q.rule = x.rules.Resolve(of, name)
	q.raw = q.Type.Append(nil)
	// No power of ten of the model: the digits are all that is known.
	if exp := int(q.Type[cim.Multiplier]) - q.Exp; exp >= -128 && exp <= 127 {
		q.exp, q.scale = int8(exp), 0
	}
	return q
}

// period returns the length of the intervals.
func (t *ReadingType) period() int32 { return int32(min(t.IntervalLength, 1<<31-1)) }

// codeOf returns the code in a title that this package wrote.
func codeOf(title string) (obis.Code, bool) {
	text, ok := strings.CutPrefix(title, titlePrefix)
	if !ok {
		return obis.Code{}, false
	}
	code, err := obis.ParseCode(text)
	return code, err == nil
}

// values adds the values of a meter reading, which may be nil, as its type, that
// may be nil, too: a reading, or a column of a profile.
func (x *index) values(d *mapping.Data, m, typeEntry *Entry, blocks []*Entry) {
	q := x.quantity(m, typeEntry)
	var values []IntervalReading
	for _, e := range blocks {
		for _, c := range e.Content {
			if b, ok := c.(*IntervalBlock); ok {
				values = b.appendTo(values, q.ReadingType)
			}
		}
	}
	flags := make([]obis.Flags, len(values))
	for i := range values {
		flags[i] = q.scale
		for _, number := range values[i].Qualities {
			f, unsaid := cim.ESPIFlags(number)
			flags[i] |= f
			if unsaid != "" {
				x.qualities[number]++
			}
		}
	}
	var profile obis.Code
	if m != nil {
		profile, _ = codeOf(m.Title)
	}
	if q.IntervalLength == 0 && len(values) == 1 && !profile.Valid() {
		q.addReading(d, &values[0], flags[0])
		return
	}
	p := q.profile(d, profile, values)
	col := obis.Column{Code: q.Code, Unit: q.Unit, Rule: q.rule, RawID: q.raw}
	for i := range values {
		if v := &values[i]; v.Missing() {
			col.AppendMissing()
		} else {
			col.Append(obis.Int(v.Value, q.exp))
		}
		if flags[i] != 0 {
			col.Quality.Add(i, obis.Quality{Flags: flags[i]})
		}
	}
	p.Columns = append(p.Columns, col)
	for _, e := range extras {
		if !slices.ContainsFunc(values, func(v IntervalReading) bool { return v.has&e.has != 0 }) {
			continue
		}
		col := obis.Column{RawID: e.rawID(q.raw), Unit: e.unit}
		for i := range values {
			col.Append(e.value(&values[i]))
		}
		p.Columns = append(p.Columns, col)
	}
}

// appendTo appends the values of the block. Those without a time, or without the
// duration of it, have it from their place in the block and the length that
// their type gives, and those without a quality have that of their type.
func (b *IntervalBlock) appendTo(values []IntervalReading, t *ReadingType) []IntervalReading {
	values = slices.Grow(values, len(b.Readings))
	for i := range b.Readings {
		v := b.Readings[i]
		if v.bad != nil {
			continue
		}
		if v.noStart {
			v.has &^= hasPeriod
		}
		if v.noDuration && v.has&hasPeriod != 0 {
			v.Duration = uint32(durationOf(&t.Type, t.period()))
		}
		if v.has&hasPeriod == 0 && b.Interval != nil && !b.Interval.noStart && (t.IntervalLength > 0 || len(b.Readings) == 1) {
			v.Period = Period{Duration: t.IntervalLength, Start: b.Interval.Start + int64(i)*int64(t.IntervalLength)}
			if t.IntervalLength == 0 {
				v.Duration = b.Interval.Duration
			}
			v.has |= hasPeriod
		}
		v.noDuration, v.noStart = false, false
		if len(v.Qualities) == 0 && t.present&hasDefaultQuality != 0 {
			v.Qualities = []int32{t.quality}
		}
		values = append(values, v)
	}
	return values
}

// extra is what an interval says besides its value.
type extra struct {
	name string // of its element
	has  fields
	exp  int8 // power of ten of the element's number
	unit obis.Unit
}

// extras are all of them, in their order. A cost is in hundred-thousandths of the currency of the type.
var extras = [...]extra{
	{"cost", hasCost, -5, obis.Currency}, {"consumptionTier", hasTier, 0, obis.UnitUnknown}, {"tou", hasTOU, 0, obis.UnitUnknown}, {"cpp", hasCPP, 0, obis.UnitUnknown},
}

// rawID returns the raw id of what belongs to the value with this one.
func (e *extra) rawID(of []byte) []byte { return fmt.Appendf(nil, "%s/%s", of, e.name) }

func (e *extra) value(r *IntervalReading) obis.Value {
	if r.has&e.has == 0 {
		return obis.Value{}
	}
	switch e.has {
	case hasCost:
		return obis.Int(r.Cost, e.exp)
	case hasTier:
		return obis.Int(int64(r.Tier), 0)
	case hasTOU:
		return obis.Int(int64(r.TOU), 0)
	}
	return obis.Int(int64(r.CPP), 0)
}

// addReading adds a single value, and what it says besides.
func (q *quantity) addReading(d *mapping.Data, r *IntervalReading, flags obis.Flags) {
	out := obis.Reading{Code: q.Code, Unit: q.Unit, Rule: q.rule, RawID: q.raw, Quality: obis.Quality{Flags: flags}}
	if !r.Missing() {
		out.Value = obis.Int(r.Value, q.exp)
	}
	if r.has&hasPeriod != 0 {
		out.Time = moment(r.Start + int64(r.Duration))
		if r.Duration > 0 {
			out.Start = moment(r.Start)
		}
	}
	d.Readings = append(d.Readings, out)
	for _, e := range extras {
		if v := e.value(r); !v.IsNone() {
			d.Readings = append(d.Readings, obis.Reading{RawID: e.rawID(q.raw), Unit: e.unit, Value: v, Start: out.Start, Time: out.Time})
		}
	}
}

func moment(seconds int64) obis.Time { return obis.FromTime(time.Unix(seconds, 0).UTC()) }

// profile returns the profile for values: the last one where its times are the same, else a new one.
func (q *quantity) profile(d *mapping.Data, code obis.Code, values []IntervalReading) *obis.Profile {
	p := &obis.Profile{Code: code, Period: q.period()}
	p.Times = make([]obis.Time, len(values))
	regular := durationOf(&q.Type, p.Period)
	for i := range values {
		v := &values[i]
		if v.has&hasPeriod == 0 {
			continue
		}
		p.Times[i] = moment(v.Start + int64(v.Duration))
		if int64(v.Duration) != regular && p.Starts == nil {
			p.Starts = make([]obis.Time, len(values))
		}
	}
	for i := range p.Starts {
		if v := &values[i]; v.has&hasPeriod != 0 {
			p.Starts[i] = moment(v.Start)
		}
	}
	if n := len(d.Profiles); n > 0 {
		last := d.Profiles[n-1]
		if last.Period == p.Period && last.Code == p.Code && slices.Equal(last.Times, p.Times) && slices.Equal(last.Starts, p.Starts) {
			return last
		}
	}
	d.Profiles = append(d.Profiles, p)
	return p
}
