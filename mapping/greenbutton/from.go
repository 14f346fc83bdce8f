package greenbutton

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/openusm/meter/internal/uuid"
	"github.com/openusm/meter/internal/xmltext"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/cim"
	"github.com/openusm/meter/obis"
)

// Options of [New]. Nil Options work.
type Options struct {
	Rules   *cim.Rules // give codes their reading types; nil means the built-in ones
	Updated time.Time  // of all entries; zero means the time of the newest value
}

// New makes a feed of what a meter said: a usage point for each kind of service.
// Profiles become interval blocks, each reading a block with one value. A raw id
// that is a reading type is written as that type. The losses name what the feed
// cannot carry: readings without a reading type or that are no numbers, times
// that are no instants, quality flags and events.
//
// What [Feed.Data] made of costs, tariffs, summaries and time parameters is so
// again. Titles keep what ESPI has no place for: that of a reading type the OBIS
// code where the type alone does not lead to it, that of a meter reading the code
// of its profile.
func New(d *mapping.Data, o *Options) (*Feed, []mapping.Loss) {
	f := &Feed{}
	return f, f.Add(d, o)
}

// Add adds to a feed that was made what another meter said, or the same one later.
func (f *Feed) Add(d *mapping.Data, o *Options) []mapping.Loss {
	if f.points == nil {
		f.points = map[pointKey]int{}
	}
	b := builder{feed: f, data: d, root: "/" + pathSegment(d.Meter.ID), first: len(f.Entries), resources: resources{nodes: map[string]*xmltext.Node{}, whole: map[*xmltext.Node]bool{}}}
	if o != nil {
		b.opts = *o
	}
	for i := 0; i < len(d.Readings); {
		i += b.reading(i)
	}
	for i := range d.Profiles {
		b.profile(i)
	}
	b.addResources()
	for i := range d.Events {
		b.lose(mapping.Event, i, d.Events[i].Quality.Flags, "ESPI has no events")
	}
	b.finish()
	return d.Gather(append(b.lost, mapping.StatusLost(d)...))
}

// pointKey is the root of a meter's links and a service.
type pointKey struct {
	root    string
	service int
}

type builder struct {
	feed     *Feed
	data     *mapping.Data
	opts     Options
	root     string // of the meter's links
	first    int    // the number of the first entry that is added
	services []int  // of the usage points, in their order
	newest   int64
	resources
	lost []mapping.Loss
}

func (b *builder) lose(part mapping.Part, i int, flags obis.Flags, format string, args ...any) {
	b.lost = append(b.lost, mapping.Loss{Part: part, Index: i, Flags: flags, Reason: fmt.Sprintf(format, args...)})
}

// finish gives the entries their times and ids.
func (b *builder) finish() {
	at := b.opts.Updated
	if at.IsZero() {
		at = time.Unix(b.newest, 0)
	}
	updated := at.UTC().Format(time.RFC3339)
	f := b.feed
	if f.ID == "" {
		f.ID, f.Title, f.Links = urn(b.root), "Meter "+b.data.Meter.ID, []Link{{Rel: "self", Href: b.root}}
	}
	f.Updated = max(f.Updated, updated)
	for i := range f.Entries[b.first:] {
		e := &f.Entries[b.first+i]
		e.ID, e.Published, e.Updated = urn(e.Links[0].Href), updated, updated
	}
}

// urn returns the id of a link, so that the same meter has the same ids in every file.
func urn(href string) string { return "urn:uuid:" + uuid.Of(href) }

// pathSegment makes an id one segment of a path.
func pathSegment(id string) string {
	var out []byte
	for i := range len(id) {
		c := id[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '.' || c == '_' {
			out = append(out, c)
			continue
		}
		out = append(append(out, '%'), hex.EncodeToString([]byte{c})...)
	}
	if len(out) == 0 {
		return "meter"
	}
	return string(out)
}

// point returns the link of the usage point of a service, whose entry it makes where there is none.
func (b *builder) point(service int) string {
	if !slices.Contains(b.services, service) {
		b.services = append(b.services, service)
	}
	key := pointKey{b.root, service}
	if i, ok := b.feed.points[key]; ok {
		return b.feed.Entries[i].Links[0].Href
	}
	up := b.root + "/UsagePoint"
	href := up + "/" + strconv.Itoa(service)
	b.feed.points[key] = len(b.feed.Entries)
	b.feed.Entries = append(b.feed.Entries, Entry{
		Links:   []Link{{Rel: "self", Href: href}, {Rel: "up", Href: up}, {Rel: "related", Href: href + "/MeterReading"}},
		Title:   b.data.Meter.ID,
		Content: []Resource{&UsagePoint{Service: service}},
	})
	return href
}

// addResources adds the summaries and the time parameters, which are those of the first usage point.
func (b *builder) addResources() {
	for _, o := range b.resources.list {
		service := cim.ServiceOf(0, b.data.Meter.Medium)
		if len(b.services) > 0 {
			service = b.services[0]
		}
		b.feed.count++
		up := b.point(service) + "/" + o.Name()
		point := &b.feed.Entries[b.feed.points[pointKey{b.root, service}]]
		href := up + "/" + strconv.Itoa(b.feed.count)
		point.Links = append(point.Links, Link{Rel: "related", Href: href})
		b.feed.Entries = append(b.feed.Entries, Entry{Links: []Link{{Rel: "self", Href: href}, {Rel: "up", Href: up}}, Content: []Resource{o}})
	}
}

// add adds a meter reading with its type and its values. The power of ten of the
// type is that of the values, which are multiples of it.
func (b *builder) add(t *ReadingType, name, title string, block *IntervalBlock) {
	b.feed.count++
	point := b.point(cim.ServiceOf(t.Type[cim.Commodity], b.data.Meter.Medium))
	href := point + "/MeterReading/" + strconv.Itoa(b.feed.count)
	typeUp := b.root + "/ReadingType"
	typeHref := typeUp + "/" + strconv.Itoa(b.feed.count)
	block.Interval = span(block.Readings)
	if block.Interval != nil {
		b.newest = max(b.newest, block.Interval.Start+int64(block.Interval.Duration))
	}
	b.feed.Entries = append(b.feed.Entries, Entry{
		Links: []Link{{Rel: "self", Href: href}, {Rel: "up", Href: point + "/MeterReading"},
			{Rel: "related", Href: href + "/IntervalBlock"}, {Rel: "related", Href: typeHref}},
		Title: title, Content: []Resource{&MeterReading{}},
	}, Entry{
		Links: []Link{{Rel: "self", Href: typeHref}, {Rel: "up", Href: typeUp}},
		Title: name, Content: []Resource{t},
	}, Entry{
		Links:   []Link{{Rel: "self", Href: href + "/IntervalBlock/1"}, {Rel: "up", Href: href + "/IntervalBlock"}},
		Content: []Resource{block},
	})
}

const titlePrefix = "OBIS "

func titleOf(code obis.Code) string { return titlePrefix + code.String() }

// span returns the stretch of time over which the values reach, nil where none has a time.
func span(readings []IntervalReading) *Period {
	var p *Period
	var end int64
	for i := range readings {
		r := &readings[i]
		if r.has&hasPeriod == 0 {
			continue
		}
		if p == nil {
			p = &Period{Start: r.Start}
		}
		p.Start = min(p.Start, r.Start)
		end = max(end, r.Start+int64(r.Duration))
	}
	if p != nil {
		p.Duration = uint32(min(end-p.Start, 1<<32-1))
	}
	return p
}

// typeOf returns the ReadingType of a type.
func typeOf(t cim.ReadingType, interval int32) *ReadingType {
	out := &ReadingType{Type: t, IntervalLength: uint32(max(interval, 0))}
	for i, e := range typeElements {
		written := e.part >= 0 && t[e.part] != 0
		switch e.name {
		case "accumulationBehaviour", "commodity", "dataQualifier", "flowDirection", "kind", "phase", "powerOfTenMultiplier", "timeAttribute", "uom":
			written = true // what every reader asks for
		case "intervalLength":
			written = interval > 0
		}
		if written {
			out.present |= 1 << i
		}
	}
	return out
}

// exponents are the powers of ten that a ReadingType may have, from the greatest.
var exponents = []int8{12, 9, 6, 3, 2, 1, 0, -1, -2, -3, -6, -9, -12}

// exponentFor returns the greatest power of ten of which numbers with this exponent are multiples.
func exponentFor(exp int8) (int8, bool) {
	for _, e := range exponents {
		if e <= exp {
			return e, true
		}
	}
	return 0, false
}

// scaled returns v as a multiple of 10^exp that 48 bits hold.
func scaled(v obis.Value, exp int8) (int64, bool) {
	r, ok := v.Rescale(exp)
	if !ok {
		return 0, false
	}
	n, _, ok := r.Decimal()
	return n, ok && n >= minInt48 && n <= maxInt48
}

// typeFor returns the reading type of a quantity, the power of ten from its unit
// to that of the type, and the title that names its code where the type alone
// does not. What it loses it says of the part.
func (b *builder) typeFor(part mapping.Part, i int, raw []byte, rule obis.Rule, q cim.Quantity) (t cim.ReadingType, exp int, name string, ok bool) {
	if t, exp, ok = b.opts.Rules.TypeFor(raw, q); !ok {
		return t, exp, "", false
	}
	if lost := cim.MediumLost(q.Medium); lost != "" && q.Code.Valid() {
		b.lose(part, i, 0, "%s", lost)
	}
	of := t
	if of[cim.MeasuringPeriod] == 0 {
		of[cim.MeasuringPeriod] = cim.MeasuringPeriodOf(q.Period)
	}
	back, _ := b.opts.Rules.Resolve(of, obis.Code{})
	if q.Code.Valid() && (back.Code != q.Code || rule != obis.RuleStandard) {
		name = titleOf(q.Code)
	}
	if rule >= obis.RuleDerived || rule == obis.RuleStandard && name != "" {
		b.lose(part, i, 0, "by what rule it has its code: %v", rule)
	}
	if lost := b.opts.Rules.UnitLost(t, q); lost != "" {
		b.lose(part, i, 0, "%s", lost)
	}
	return t, exp, name, true
}

// reading adds a reading with what was said besides, and returns how many readings that are.
func (b *builder) reading(i int) (used int) {
	r := &b.data.Readings[i]
	flags := r.Quality.Flags
	if isResource(r.RawID) && !r.Code.Valid() {
		if lost := b.resources.add(r, b.seconds); lost != "" || flags != 0 {
			b.lose(mapping.Reading, i, flags, "%s", lost)
		}
		return 1
	}
	start, end, timed, reason := b.interval(r)
	x := IntervalReading{}
	if timed {
		x.Period = Period{Duration: uint32(end - start), Start: start}
		x.has |= hasPeriod
	}
	used = 1 + b.extras(&x, i)
	if r.Value.IsNone() && used == 1 {
		b.lose(mapping.Reading, i, flags, "no value")
		return used
	}
	q := cim.Quantity{Code: r.Code, Unit: r.Unit, Medium: cim.MediumOf(b.data, r.Code)}
	if timed {
		q.Period = int32(min(end-start, 1<<31-1))
	}
	t, exp, name, ok := b.typeFor(mapping.Reading, i, r.RawID, r.Rule, q)
	if !ok {
		b.lose(mapping.Reading, i, flags, "ESPI has no reading type for it in %q", r.Unit)
		return used
	}
	value, shifted := r.Value.Shift(exp)
	ten, _ := typeExponent(&t, value)
	if x.Value, ok = scaled(value, ten); !r.Value.IsNone() && (!ok || !shifted) {
		b.lose(mapping.Reading, i, flags, "no number of 48 bits")
		return used
	}
	if !r.Value.IsNone() {
		x.has |= hasValue
	}
	if reason = cmp.Or(reason, mapping.TimeLost(r.Time), mapping.TimeLost(r.Start)); reason != "" {
		b.lose(mapping.Reading, i, 0, "%s", reason)
	}
	t[cim.Multiplier] = int32(ten)
	var left obis.Flags
	if x.Qualities, left = cim.ESPIQualities(flags); left != 0 {
		b.lose(mapping.Reading, i, left, "")
	}
	title := obis.Describe(r.Code)
	b.add(typeOf(t, 0), name, title, &IntervalBlock{Readings: []IntervalReading{x}})
	return used
}

// typeExponent returns the power of ten in which a value is written: that of its
// type where it is a multiple of it, else the greatest of which it is one.
func typeExponent(t *cim.ReadingType, v obis.Value) (int8, bool) {
	if own := t[cim.Multiplier]; own != 0 && own == int32(int8(own)) && slices.Contains(exponents, int8(own)) {
		if _, ok := scaled(v, int8(own)); ok {
			return int8(own), true
		}
	}
	_, exp, ok := v.Decimal()
	ten, fits := exponentFor(exp)
	return ten, ok && fits
}

// extras gives an interval what the readings behind a reading say besides, and returns how many they are.
func (b *builder) extras(x *IntervalReading, i int) (n int) {
	r := &b.data.Readings[i]
	for next := i + 1; next < len(b.data.Readings); next++ {
		y := &b.data.Readings[next]
		e := extraOf(r.RawID, r.Code, y.RawID, y.Code)
		if e == nil || y.Time != r.Time || x.has&e.has != 0 {
			return n
		}
		n++
		if !e.set(x, y.Value) {
			b.lose(mapping.Reading, next, 0, "a value that %s cannot hold", e.name)
		}
		if f := y.Quality.Flags; f != 0 {
			b.lose(mapping.Reading, next, f, "")
		}
	}
	return n
}

// extraOf returns what the second of two says besides the first, by their raw ids; nil where it is something else.
func extraOf(of []byte, code obis.Code, rawID []byte, own obis.Code) *extra {
	slash := bytes.LastIndexByte(rawID, '/')
	if slash < 0 || own.Valid() {
		return nil
	}
	if !bytes.Equal(rawID[:slash], of) && (len(of) > 0 || !code.Valid()) { // a code may stand without its raw id
		return nil
	}
	for i := range extras {
		if extras[i].name == string(rawID[slash+1:]) {
			return &extras[i]
		}
	}
	return nil
}

// set sets what an interval says besides. It is not ok for what the element cannot hold.
func (e *extra) set(x *IntervalReading, v obis.Value) bool {
	if v.IsNone() {
		return true
	}
	n, ok := scaled(v, e.exp)
	if !ok || e.has != hasCost && n != int64(int16(n)) {
		return false
	}
	x.has |= e.has
	switch e.has {
	case hasCost:
		x.Cost = n
	case hasTier:
		x.Tier = int16(n)
	case hasTOU:
		x.TOU = int16(n)
	default:
		x.CPP = int16(n)
	}
	return true
}

// seconds returns a time as ESPI has it.
func (b *builder) seconds(t obis.Time) (int64, bool) {
	at, ok := t.Instant(b.data.Clock)
	return at.Unix(), ok && at.Nanosecond() == 0
}

// interval returns the seconds at which a reading begins and ends, the same for one of a moment.
func (b *builder) interval(r *obis.Reading) (start, end int64, timed bool, lost string) {
	if r.Time.IsZero() {
		if !r.Start.IsZero() {
			lost = "the start of its interval, which has no end"
		}
		return 0, 0, false, lost
	}
	at, ok := r.Time.Instant(b.data.Clock)
	if !ok {
		return 0, 0, false, "its time, which is no instant"
	}
	start, end = at.Unix(), at.Unix()
	if at.Nanosecond() != 0 {
		lost = "the fraction of a second of its time"
	}
	if !r.Start.IsZero() {
		from, ok := r.Start.Instant(b.data.Clock)
		if !ok || from.After(at) {
			return start, end, true, "the start of its interval"
		}
		if start = from.Unix(); end-start > 1<<32-1 {
			return end, end, true, "the start of its interval"
		}
		if from.Nanosecond() != 0 {
			lost = "the fraction of a second of its time"
		}
	}
	return start, end, true, lost
}

// interval is the time of a row.
type interval struct {
	row        int
	start, end int64
	own        bool // start is the row's own
}

func (b *builder) profile(i int) {
	p := b.data.Profiles[i]
	rows := make([]interval, 0, p.Len())
	untimed, fractions, starts, doubtful := 0, 0, 0, 0
	for row, t := range p.Times {
		at, ok := t.Instant(b.data.Clock)
		if !ok {
			untimed++
			continue
		}
		if at.Nanosecond() != 0 {
			fractions++
		}
		if mapping.TimeLost(t) != "" {
			doubtful++
		}
		r := interval{row: row, end: at.Unix()}
		if row < len(p.Starts) && !p.Starts[row].IsZero() {
			from, ok := p.Starts[row].Instant(b.data.Clock)
			if r.start, r.own = from.Unix(), ok && !from.After(at) && at.Unix()-from.Unix() < 1<<32; !r.own {
				starts++
			}
		}
		rows = append(rows, r)
	}
	b.loseRows(i, untimed, 0, "rows whose time is no instant")
	b.loseRows(i, doubtful, 0, "that their times are not to be relied upon")
	b.loseRows(i, fractions, 0, "the fractions of the seconds of their times")
	b.loseRows(i, starts, 0, "the starts of their intervals")
	for c := 0; c < len(p.Columns); {
		c += b.column(i, c, rows)
	}
}

func (b *builder) loseRows(i, rows int, flags obis.Flags, reason string) {
	if rows > 0 {
		b.lost = append(b.lost, mapping.Loss{Part: mapping.Profile, Index: i, Rows: rows, Flags: flags, Reason: reason})
	}
}

// column adds a column with those that say something besides, and returns how many columns that are.
func (b *builder) column(i, c int, rows []interval) (used int) {
	p := b.data.Profiles[i]
	col := &p.Columns[c]
	used = 1
	block := &IntervalBlock{Readings: make([]IntervalReading, len(rows))}
	for next := c + 1; next < len(p.Columns); next++ {
		e := extraOf(col.RawID, col.Code, p.Columns[next].RawID, p.Columns[next].Code)
		if e == nil {
			break
		}
		b.extraColumn(i, next, e, rows, block.Readings)
		used++
	}
	q := cim.Quantity{Code: col.Code, Unit: col.Unit, Period: p.Period, Medium: cim.MediumOf(b.data, col.Code)}
	t, exp, name, ok := b.typeFor(mapping.Profile, i, col.RawID, col.Rule, q)
	if !ok {
		id := obis.Reading{Code: col.Code, RawID: col.RawID}
		b.lose(mapping.Profile, i, 0, "ESPI has no reading type for column %s in %q", id.ID(), col.Unit)
		return used
	}
	ten := columnExponent(&t, col, rows, exp)
	t[cim.Multiplier] = int32(ten)
	regular := durationOf(&t, p.Period)
	var lost obis.Flags
	flagged, bad := 0, 0
	for k, r := range rows {
		x := &block.Readings[k]
		x.Period = Period{Duration: uint32(regular), Start: r.end - regular}
		if r.own {
			x.Period = Period{Duration: uint32(r.end - r.start), Start: r.start}
		}
		x.has |= hasPeriod
		flags := p.Quality.At(r.row).Flags | col.Quality.At(r.row).Flags
		if v := col.At(r.row); !v.IsNone() {
			v, shifted := v.Shift(exp)
			n, exact := scaled(v, ten)
			if shifted && exact {
				x.Value = n
				x.has |= hasValue
			} else {
				bad++
			}
		} else {
			flags &^= obis.Missing // an interval reading without a value says it
		}
		if flags == 0 {
			continue
		}
		var left obis.Flags
		if x.Qualities, left = cim.ESPIQualities(flags); left != 0 {
			lost |= left
			flagged++
		}
	}
	b.loseRows(i, bad, 0, "values that are no numbers of 48 bits")
	b.loseRows(i, flagged, lost, "")
	title := obis.Describe(col.Code)
	if p.Code.Valid() {
		title = titleOf(p.Code)
	}
	of := typeOf(t, p.Period)
	of.setDefaultQuality(block.Readings)
	b.add(of, name, title, block)
	return used
}

// setDefaultQuality gives the type the quality that all its values have. They
// keep it, too, for readers that do not look for a default.
func (t *ReadingType) setDefaultQuality(values []IntervalReading) {
	for i := range values {
		if q := values[i].Qualities; len(q) != 1 || q[0] != values[0].Qualities[0] {
			return
		}
	}
	if len(values) > 0 {
		t.quality = values[0].Qualities[0]
		t.present |= hasDefaultQuality
	}
}

func (b *builder) extraColumn(i, c int, e *extra, rows []interval, values []IntervalReading) {
	col := &b.data.Profiles[i].Columns[c]
	bad, flagged := 0, 0
	var lost obis.Flags
	for k, r := range rows {
		if !e.set(&values[k], col.At(r.row)) {
			bad++
		}
		if f := col.Quality.At(r.row).Flags &^ obis.Missing; f != 0 {
			lost |= f
			flagged++
		}
	}
	b.loseRows(i, bad, 0, "values that "+e.name+" cannot hold")
	b.loseRows(i, flagged, lost, "")
}

// Accumulations whose values are of the time before their stamp.
const (
	deltaData  = 4
	indicating = 6
)

// durationOf returns the seconds of an interval of a type whose rows are a
// period apart, and say nothing else.
func durationOf(t *cim.ReadingType, period int32) int64 {
	if over := t[cim.Accumulation]; over == deltaData || over == indicating {
		return int64(period)
	}
	return 0
}

// columnExponent returns the power of ten in which the values of a column are
// written: that of the type where they are multiples of it, else the greatest
// of which all are.
func columnExponent(t *cim.ReadingType, col *obis.Column, rows []interval, shift int) int8 {
	least, found := int8(0), false
	own := t[cim.Multiplier] == int32(int8(t[cim.Multiplier])) && slices.Contains(exponents, int8(t[cim.Multiplier])) && t[cim.Multiplier] != 0
	for _, r := range rows {
		v, ok := col.At(r.row).Shift(shift)
		_, exp, number := v.Decimal()
		if !ok || !number {
			continue
		}
		if !found || exp < least {
			least, found = exp, true
		}
		if own {
			_, own = scaled(v, int8(t[cim.Multiplier]))
		}
	}
	if own {
		return int8(t[cim.Multiplier])
	}
	ten, _ := exponentFor(least)
	return ten
}
