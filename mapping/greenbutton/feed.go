// Package greenbutton reads and writes Green Button files: the Atom feeds in
// which ESPI 4.0 (NAESB REQ.21) describes what a customer consumed. Electricity,
// gas, water and heat; registers and intervals.
//
//	feed
//	  entry  UsagePoint       one for each kind of service
//	  entry  MeterReading     one for each quantity
//	  entry  ReadingType      what it is: the numbers of IEC 61968-9
//	  entry  IntervalBlock    the values: 48-bit integers and a power of ten
//
// A [Feed] keeps all that a file says, also what this package does not know, in
// its order: written again it is the same document.
package greenbutton

import (
	"strconv"

	"github.com/openusm/meter/internal/xmltext"
	"github.com/openusm/meter/mapping/cim"
)

const (
	atomSpace = "http://www.w3.org/2005/Atom"
	espiSpace = "http://naesb.org/espi"
)

// Feed is a document: an Atom feed, or a single entry or resource as the root.
type Feed struct {
	ID, Title, Updated string
	Links              []Link
	Entries            []Entry

	root   string // the root's name where it is not "feed"
	attrs  []xmltext.Attr
	layout []part   // how it was read; nil for a feed that was made
	unread []string // what had bad numbers

	points map[pointKey]int // of a feed that was made: the numbers of the usage points
	count  int              // of what was numbered so far
}

// Link is an Atom link; those of ESPI tell which resource belongs to which.
type Link struct{ Rel, Href, Type string }

// Entry is an Atom entry with its resources.
type Entry struct {
	ID, Title, Published, Updated string
	Links                         []Link
	Content                       []Resource

	layout []part
}

// Resource is one of [*UsagePoint], [*MeterReading], [*ReadingType], [*IntervalBlock] and [*Other].
type Resource interface {
	append(dst []byte) []byte
}

// UsagePoint is where a service is delivered.
type UsagePoint struct {
	Service int // ServiceKind: 0 electricity, 1 gas, 2 water, 4 heat
	node    *xmltext.Node
}

// MeterReading is a quantity that is measured at a usage point. Its type and its
// values are resources of their own.
type MeterReading struct{ node *xmltext.Node }

// ReadingType is what a quantity is.
type ReadingType struct {
	Type           cim.ReadingType
	IntervalLength uint32 // seconds
	present        uint32 // which elements there are, by their place in typeElements
	quality        int32  // defaultQuality
	other          []*xmltext.Node
}

// IntervalBlock is a run of values.
type IntervalBlock struct {
	Interval *Period
	Readings []IntervalReading
	other    []*xmltext.Node
}

// Period is a stretch of time.
type Period struct {
	Duration uint32 // seconds
	Start    int64  // seconds since 1970, UTC

	noDuration, noStart bool // it was read without
}

// IntervalReading is one value; Value times the power of ten of its type is in
// the unit of its type.
type IntervalReading struct {
	Period
	Value     int64
	Cost      int64
	Qualities []int32 // QualityOfReading
	Tier      int16
	TOU       int16
	CPP       int16
	has       fields
	other     []*xmltext.Node
	bad       *xmltext.Node // all of it, where it has a bad number
}

// fields says which elements an interval reading has.
type fields uint8

const (
	hasCost fields = 1 << iota
	hasPeriod
	hasValue
	hasTier
	hasTOU
	hasCPP
)

// Missing reports whether there is no value.
func (r *IntervalReading) Missing() bool { return r.has&hasValue == 0 }

// Other is a resource that this package carries along: summaries, times, authorizations.
type Other struct{ node *xmltext.Node }

// Name returns the name of its element.
func (o *Other) Name() string { return o.node.Name.Local }

// part is a child of a feed or an entry, in the order in which it was read.
type part struct {
	kind  partKind
	index int            // of the link, the entry
	attrs []xmltext.Attr // of a text, a link, the content
	node  *xmltext.Node  // of what is unknown
}

type partKind uint8

const (
	partNode partKind = iota
	partID
	partTitle
	partPublished
	partUpdated
	partLink
	partEntry
	partContent
)

var feedLayout = []partKind{partID, partTitle, partUpdated, partLink, partEntry}
var entryLayout = []partKind{partID, partLink, partTitle, partContent, partPublished, partUpdated}

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// AppendXML appends the document.
func (f *Feed) AppendXML(dst []byte) []byte {
	dst = append(dst, xmlHeader...)
	switch {
	case f.root == "entry":
		return append(f.Entries[0].append(dst, ""), '\n')
	case f.root != "":
		return append(f.Entries[0].Content[0].append(dst), '\n')
	}
	dst = append(dst, `<feed xmlns="`+atomSpace+`"`...)
	dst = append(appendAttrs(dst, f.attrs), '>')
	layout := f.layout
	if layout == nil {
		layout = expand(feedLayout, len(f.Links), len(f.Entries))
	}
	for _, p := range layout {
		switch p.kind {
		case partID:
			dst = appendText(dst, "id", f.ID, p.attrs)
		case partTitle:
			dst = appendText(dst, "title", f.Title, p.attrs)
		case partUpdated:
			dst = appendText(dst, "updated", f.Updated, p.attrs)
		case partLink:
			dst = f.Links[p.index].append(dst, p.attrs)
		case partEntry:
			dst = f.Entries[p.index].append(dst, atomSpace)
		default:
			dst = p.node.Append(dst, atomSpace)
		}
	}
	return append(dst, "</feed>\n"...)
}

// expand makes the layout of a feed or an entry that was not read.
func expand(kinds []partKind, links, entries int) (layout []part) {
	for _, k := range kinds {
		n := 1
		switch k {
		case partLink:
			n = links
		case partEntry:
			n = entries
		}
		for i := range n {
			layout = append(layout, part{kind: k, index: i})
		}
	}
	return layout
}

func appendAttrs(dst []byte, attrs []xmltext.Attr) []byte {
	n := xmltext.Node{Name: xmltext.Name{Local: ""}, Attrs: attrs}
	// A node without name, text and children is "<" attributes "/>".
	text := n.Append(nil, "")
	return append(dst, text[1:len(text)-len("/>")]...)
}

func appendText(dst []byte, name, text string, attrs []xmltext.Attr) []byte {
	dst = appendAttrs(append(append(dst, '<'), name...), attrs)
	dst = xmltext.AppendEscaped(append(dst, '>'), text)
	return append(append(append(dst, "</"...), name...), '>')
}

// append appends the link, as it was read where it is still the same.
func (l *Link) append(dst []byte, read []xmltext.Attr) []byte {
	dst = append(dst, "<link"...)
	if len(read) > 0 && linkOf(read) == *l {
		return append(appendAttrs(dst, read), "/>"...)
	}
	for _, a := range [...]struct{ name, value string }{{"rel", l.Rel}, {"type", l.Type}, {"href", l.Href}} {
		if a.value != "" {
			dst = append(append(append(dst, ' '), a.name...), `="`...)
			dst = append(xmltext.AppendEscaped(dst, a.value), '"')
		}
	}
	return append(dst, "/>"...)
}

func (e *Entry) append(dst []byte, space string) []byte {
	dst = append(dst, "<entry"...)
	if space != atomSpace {
		dst = append(dst, ` xmlns="`+atomSpace+`"`...)
	}
	dst = append(dst, '>')
	layout := e.layout
	if layout == nil {
		layout = expand(entryLayout, len(e.Links), 0)
	}
	for _, p := range layout {
		switch p.kind {
		case partID:
			dst = appendText(dst, "id", e.ID, p.attrs)
		case partTitle:
			dst = appendText(dst, "title", e.Title, p.attrs)
		case partPublished:
			dst = appendText(dst, "published", e.Published, p.attrs)
		case partUpdated:
			dst = appendText(dst, "updated", e.Updated, p.attrs)
		case partLink:
			dst = e.Links[p.index].append(dst, p.attrs)
		case partContent:
			dst = append(appendAttrs(append(dst, "<content"...), p.attrs), '>')
			for _, c := range e.Content {
				dst = c.append(dst)
			}
			dst = append(dst, "</content>"...)
		default:
			dst = p.node.Append(dst, atomSpace)
		}
	}
	return append(dst, "</entry>"...)
}

func (u *UsagePoint) append(dst []byte) []byte {
	if u.node != nil {
		return u.node.Append(dst, "")
	}
	dst = append(dst, `<UsagePoint xmlns="`+espiSpace+`"><ServiceCategory><kind>`...)
	return append(strconv.AppendInt(dst, int64(u.Service), 10), "</kind></ServiceCategory></UsagePoint>"...)
}

func (m *MeterReading) append(dst []byte) []byte {
	if m.node != nil {
		return m.node.Append(dst, "")
	}
	return append(dst, `<MeterReading xmlns="`+espiSpace+`"/>`...)
}

func (o *Other) append(dst []byte) []byte { return o.node.Append(dst, "") }

// typeElements are the elements of a ReadingType in the order of the schema, and
// the parts of the type that they are; -1 is for what is no part of it.
var typeElements = [...]struct {
	name string
	part int
}{
	{"accumulationBehaviour", cim.Accumulation}, {"commodity", cim.Commodity}, {"consumptionTier", cim.ConsumptionTier},
	{"currency", cim.Currency}, {"dataQualifier", cim.Aggregate}, {"defaultQuality", -1}, {"flowDirection", cim.FlowDirection},
	{"intervalLength", -1}, {"kind", cim.MeasurementKind}, {"phase", cim.Phases}, {"powerOfTenMultiplier", cim.Multiplier},
	{"timeAttribute", cim.MacroPeriod}, {"tou", cim.TOU}, {"uom", cim.Unit}, {"cpp", cim.CPP},
	{"interharmonic", cim.InterharmonicNumerator}, {"measuringPeriod", cim.MeasuringPeriod}, {"argument", cim.ArgumentNumerator},
}

// hasDefaultQuality is that of ReadingType.present.
const hasDefaultQuality = 1 << 5

func (t *ReadingType) append(dst []byte) []byte {
	dst = append(dst, `<ReadingType xmlns="`+espiSpace+`">`...)
	for _, n := range t.other {
		dst = n.Append(dst, espiSpace)
	}
	for i, e := range typeElements {
		if t.present&(1<<i) == 0 {
			continue
		}
		switch e.name {
		case "defaultQuality":
			dst = appendInt(dst, e.name, int64(t.quality))
		case "intervalLength":
			dst = appendInt(dst, e.name, int64(t.IntervalLength))
		case "interharmonic", "argument":
			dst = append(append(append(dst, '<'), e.name...), '>')
			dst = appendInt(dst, "numerator", int64(t.Type[e.part]))
			dst = appendInt(dst, "denominator", int64(t.Type[e.part+1]))
			dst = append(append(append(dst, "</"...), e.name...), '>')
		default:
			dst = appendInt(dst, e.name, int64(t.Type[e.part]))
		}
	}
	return append(dst, "</ReadingType>"...)
}

func appendInt(dst []byte, name string, n int64) []byte {
	dst = strconv.AppendInt(append(append(append(dst, '<'), name...), '>'), n, 10)
	return append(append(append(dst, "</"...), name...), '>')
}

func (b *IntervalBlock) append(dst []byte) []byte {
	dst = append(dst, `<IntervalBlock xmlns="`+espiSpace+`">`...)
	for _, n := range b.other {
		dst = n.Append(dst, espiSpace)
	}
	if b.Interval != nil {
		dst = b.Interval.append(dst, "interval")
	}
	for i := range b.Readings {
		dst = b.Readings[i].append(dst)
	}
	return append(dst, "</IntervalBlock>"...)
}

func (p *Period) append(dst []byte, name string) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	if !p.noDuration {
		dst = appendInt(dst, "duration", int64(p.Duration))
	}
	if !p.noStart {
		dst = appendInt(dst, "start", p.Start)
	}
	return append(append(append(dst, "</"...), name...), '>')
}

func (r *IntervalReading) append(dst []byte) []byte {
	if r.bad != nil {
		return r.bad.Append(dst, espiSpace)
	}
	dst = append(dst, "<IntervalReading>"...)
	for _, n := range r.other {
		dst = n.Append(dst, espiSpace)
	}
	if r.has&hasCost != 0 {
		dst = appendInt(dst, "cost", r.Cost)
	}
	for _, q := range r.Qualities {
		dst = append(appendInt(append(dst, "<ReadingQuality>"...), "quality", int64(q)), "</ReadingQuality>"...)
	}
	if r.has&hasPeriod != 0 {
		dst = r.Period.append(dst, "timePeriod")
	}
	if r.has&hasValue != 0 {
		dst = appendInt(dst, "value", r.Value)
	}
	if r.has&hasTier != 0 {
		dst = appendInt(dst, "consumptionTier", int64(r.Tier))
	}
	if r.has&hasTOU != 0 {
		dst = appendInt(dst, "tou", int64(r.TOU))
	}
	if r.has&hasCPP != 0 {
		dst = appendInt(dst, "cpp", int64(r.CPP))
	}
	return append(dst, "</IntervalReading>"...)
}
