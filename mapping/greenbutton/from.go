package greenbutton

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

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
// Profiles become interval blocks, each reading a block with one value. The
// losses name what the feed cannot carry: readings without a reading type or
// that are no numbers, times that are no instants, quality flags and events.
//
// Titles keep what ESPI has no place for: that of a reading type the OBIS code,
// that of a meter reading the code of its profile.
func New(d *mapping.Data, o *Options) (*Feed, []mapping.Loss) {
	b := builder{data: d, points: map[int]string{}}
	if o != nil {
		b.opts = *o
	}
	for i := range d.Readings {
		b.reading(i)
	}
	for i := range d.Profiles {
		b.profile(i)
	}
	for i := range d.Events {
		b.lose(mapping.Event, i, d.Events[i].Quality.Flags, "ESPI has no events")
	}
	return b.finish(), b.lost
}

type builder struct {
	data    *mapping.Data
	opts    Options
	entries []Entry
	points  map[int]string // the link of each usage point by its service
	count   int            // of meter readings
	newest  int64
	lost    []mapping.Loss
}

func (b *builder) lose(part mapping.Part, i int, flags obis.Flags, format string, args ...any) {
	b.lost = append(b.lost, mapping.Loss{Part: part, Index: i, Flags: flags, Reason: fmt.Sprintf(format, args...)})
}

// finish gives the entries their times and ids.
func (b *builder) finish() *Feed {
	at := b.opts.Updated
	if at.IsZero() {
		at = time.Unix(b.newest, 0)
	}
	updated := at.UTC().Format(time.RFC3339)
	root := "/" + pathSegment(b.data.Meter.ID)
	f := &Feed{ID: uuid(root), Title: "Meter " + b.data.Meter.ID, Updated: updated, Links: []Link{{Rel: "self", Href: root}}, Entries: b.entries}
	for i := range f.Entries {
		e := &f.Entries[i]
		e.ID, e.Published, e.Updated = uuid(e.Links[0].Href), updated, updated
	}
	return f
}

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

// uuid returns the URN of the name-based UUID (RFC 9562, version 5) of a link, so
// that the same meter has the same ids in every file.
func uuid(href string) string {
	urlSpace := [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	sum := sha1.Sum(append(urlSpace[:], href...))
	u := sum[:16]
	u[6], u[8] = u[6]&0x0F|0x50, u[8]&0x3F|0x80
	x := hex.EncodeToString(u)
	return "urn:uuid:" + x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// services are the kinds of service of the commodities of a reading type.
var services = map[int32]int{0: 0, 1: 0, 7: 1, 9: 2, 12: 4, 13: 4}

// point returns the link of the usage point of a service, whose entry it makes where there is none.
func (b *builder) point(service int) string {
	if href, ok := b.points[service]; ok {
		return href
	}
	up := "/" + pathSegment(b.data.Meter.ID) + "/UsagePoint"
	href := up + "/" + strconv.Itoa(service)
	b.points[service] = href
	b.entries = append(b.entries, Entry{
		Links:   []Link{{Rel: "self", Href: href}, {Rel: "up", Href: up}, {Rel: "related", Href: href + "/MeterReading"}},
		Title:   b.data.Meter.ID,
		Content: []Resource{&UsagePoint{Service: service}},
	})
	return href
}

// add adds a meter reading with its type and its values. The power of ten of the
// type is that of the values, which are multiples of it.
func (b *builder) add(t *ReadingType, code obis.Code, title string, block *IntervalBlock) {
	b.count++
	point := b.point(services[t.Type[cim.Commodity]])
	href := point + "/MeterReading/" + strconv.Itoa(b.count)
	typeUp := "/" + pathSegment(b.data.Meter.ID) + "/ReadingType"
	typeHref := typeUp + "/" + strconv.Itoa(b.count)
	block.Interval = span(block.Readings)
	if block.Interval != nil {
		b.newest = max(b.newest, block.Interval.Start+int64(block.Interval.Duration))
	}
	b.entries = append(b.entries, Entry{
		Links: []Link{{Rel: "self", Href: href}, {Rel: "up", Href: point + "/MeterReading"},
			{Rel: "related", Href: href + "/IntervalBlock"}, {Rel: "related", Href: typeHref}},
		Title: title, Content: []Resource{&MeterReading{}},
	}, Entry{
		Links: []Link{{Rel: "self", Href: typeHref}, {Rel: "up", Href: typeUp}},
		Title: titleOf(code), Content: []Resource{t},
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

func (b *builder) reading(i int) {
	r := &b.data.Readings[i]
	flags := r.Quality.Flags
	if r.Value.IsNone() {
		b.lose(mapping.Reading, i, flags, "no value")
		return
	}
	var period int32
	start, end, timed, reason := b.interval(r)
	if timed {
		period = int32(min(end-start, 1<<31-1))
	}
	t, exp, ok := b.opts.Rules.TypeOf(cim.Quantity{Code: r.Code, Unit: r.Unit, Period: period, Medium: cim.MediumOf(b.data, r.Code)})
	if !ok {
		b.lose(mapping.Reading, i, flags, "ESPI has no reading type for %s in %q", r.ID(), r.Unit)
		return
	}
	value, _ := r.Value.Shift(exp)
	_, own, ok := value.Decimal()
	ten, fits := exponentFor(own)
	n, exact := scaled(value, ten)
	if !ok || !fits || !exact {
		b.lose(mapping.Reading, i, flags, "no number of 48 bits")
		return
	}
	if reason != "" {
		b.lose(mapping.Reading, i, 0, "%s", reason)
	}
	t[cim.Multiplier] = int32(ten)
	x := IntervalReading{Value: n, has: hasValue}
	if timed {
		x.Period = Period{Duration: uint32(end - start), Start: start}
		x.has |= hasPeriod
	}
	var left obis.Flags
	if x.Qualities, left = cim.ESPIQualities(flags); left != 0 {
		b.lose(mapping.Reading, i, left, "")
	}
	b.add(typeOf(t, 0), r.Code, obis.Describe(r.Code), &IntervalBlock{Readings: []IntervalReading{x}})
}

// interval returns the seconds at which a reading begins and ends, the same for one of a moment.
func (b *builder) interval(r *obis.Reading) (start, end int64, timed bool, lost string) {
	if r.Time.IsZero() {
		return 0, 0, false, ""
	}
	at, ok := r.Time.Instant(b.data.Clock)
	if !ok {
		return 0, 0, false, "its time, which is no instant: " + r.Time.String()
	}
	start, end = at.Unix(), at.Unix()
	if at.Nanosecond() != 0 {
		lost = "the fraction of its second"
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
			lost = "the fraction of its second"
		}
	}
	return start, end, true, lost
}

func (b *builder) profile(i int) {
	p := b.data.Profiles[i]
	times := make([]int64, p.Len())
	for row := range times {
		at, ok := p.Times[row].Instant(b.data.Clock)
		if !ok {
			b.lose(mapping.Profile, i, 0, "row %d: its time, which is no instant: %v", row, p.Times[row])
			return
		}
		if at.Nanosecond() != 0 {
			b.lose(mapping.Profile, i, 0, "row %d: the fraction of its second", row)
		}
		times[row] = at.Unix()
	}
	for c := range p.Columns {
		b.column(i, c, times)
	}
}

func (b *builder) column(i, c int, times []int64) {
	p := b.data.Profiles[i]
	col := &p.Columns[c]
	t, exp, ok := b.opts.Rules.TypeOf(cim.Quantity{Code: col.Code, Unit: col.Unit, Period: p.Period, Medium: cim.MediumOf(b.data, col.Code)})
	if !ok {
		b.lose(mapping.Profile, i, 0, "column %d: ESPI has no reading type for %v in %q", c, col.Code, col.Unit)
		return
	}
	ten, ok := columnExponent(col, len(times), exp)
	if !ok {
		b.lose(mapping.Profile, i, 0, "column %d: values that are no numbers of 48 bits", c)
		return
	}
	t[cim.Multiplier] = int32(ten)
	duration := int64(0)
	if over := t[cim.Accumulation]; over == deltaData || over == indicating {
		duration = int64(p.Period)
	}
	block := &IntervalBlock{Readings: make([]IntervalReading, len(times))}
	var lost obis.Flags
	for row, at := range times {
		x := &block.Readings[row]
		x.Period = Period{Duration: uint32(duration), Start: at - duration}
		x.has = hasPeriod
		flags := p.Quality.At(row).Flags | col.Quality.At(row).Flags
		if v := col.At(row); !v.IsNone() {
			v, _ = v.Shift(exp)
			x.Value, _ = scaled(v, ten)
			x.has |= hasValue
		} else {
			flags &^= obis.Missing // an interval reading without a value says it
		}
		if flags != 0 {
			var left obis.Flags
			x.Qualities, left = cim.ESPIQualities(flags)
			lost |= left
		}
	}
	if lost != 0 {
		b.lose(mapping.Profile, i, lost, "column %d", c)
	}
	title := obis.Describe(col.Code)
	if p.Code.Valid() {
		title = titleOf(p.Code)
	}
	b.add(typeOf(t, p.Period), col.Code, title, block)
}

// Accumulations whose values are of the time before their stamp.
const (
	deltaData  = 4
	indicating = 6
)

// columnExponent returns the power of ten in which all values of a column are whole numbers of 48 bits.
func columnExponent(col *obis.Column, rows int, shift int) (int8, bool) {
	least, found := int8(0), false
	for row := range rows {
		v := col.At(row)
		if v.IsNone() {
			continue
		}
		_, exp, ok := v.Decimal()
		if !ok {
			return 0, false
		}
		if !found || exp < least {
			least, found = exp, true
		}
	}
	shifted := int(least) + shift
	if shifted < -128 || shifted > 127 {
		return 0, false
	}
	ten, ok := exponentFor(int8(shifted))
	for row := range rows {
		v := col.At(row)
		if v.IsNone() || !ok {
			continue
		}
		v, _ = v.Shift(shift)
		_, ok = scaled(v, ten)
	}
	return ten, ok
}
