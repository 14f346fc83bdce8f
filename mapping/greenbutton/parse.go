package greenbutton

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/openusm/meter/internal/xmltext"
)

// ParseError says which element of a document could not be read, and where.
type ParseError struct {
	Field  string // the element
	Offset int    // octets from the start of the document
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("greenbutton: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// reader reads a document. It does not mind the order of elements, nor those
// that it does not know; numbers must be numbers.
type reader struct {
	*xmltext.Reader
	unread map[string]int // how many resources and intervals were not read, by the element that was no number
	order  []*ParseError  // the first of each
}

func (r *reader) wrap(field string, err error) error {
	var own *ParseError
	if err == nil || errors.As(err, &own) {
		return err
	}
	at := r.Offset()
	var x *xmltext.Error
	if errors.As(err, &x) {
		at, err = x.Offset, x.Err
	}
	return &ParseError{Field: field, Offset: at, Err: err}
}

// errNumber is of a number that is none, or out of its bounds: it costs the
// resource or the interval in which it stands, not the document.
var errNumber = errors.New("not a number within its bounds")

// attempt reads the element that has just started with read or, where a number
// in it is none, as a tree that says so.
func (r *reader) attempt(read func() error) (bad *xmltext.Node, err error) {
	saved := *r.Reader
	attrs := slices.Clone(r.Attrs) // whose memory is used again
	if err = read(); !errors.Is(err, errNumber) {
		return nil, err
	}
	*r.Reader = saved
	r.Attrs = attrs
	if r.unread == nil {
		r.unread = map[string]int{}
	}
	var at *ParseError
	_ = errors.As(err, &at)
	if len(r.order) < maxUnread && r.unread[at.Field] == 0 {
		r.order = append(r.order, at)
	}
	r.unread[at.Field]++
	return r.Tree()
}

// maxUnread is how many kinds of bad numbers are named one by one.
const maxUnread = 64

// bad says what was not read, each kind once.
func (r *reader) bad() (list []string) {
	for _, e := range r.order {
		list = append(list, fmt.Sprintf("%d with a bad %s, the first: %v", r.unread[e.Field], e.Field, e))
	}
	return list
}

// child goes on to the next element within the one that was started last, and
// returns false at its end.
func (r *reader) child() (bool, error) {
	for {
		switch k, err := r.Next(); {
		case err != nil:
			return false, err
		case k == xmltext.Start:
			return true, nil
		case k == xmltext.End:
			return false, nil
		}
	}
}

// Parse reads a document: an Atom feed or entry, or a single resource of ESPI.
func Parse(doc []byte) (*Feed, error) {
	r := &reader{Reader: xmltext.NewReader(doc)}
	if _, err := r.Next(); err != nil {
		return nil, r.wrap("document", err)
	}
	f := &Feed{}
	var err error
	switch name := r.Name; {
	case name.Space == atomSpace && name.Local == "feed":
		err = r.feed(f)
	case name.Space == atomSpace && name.Local == "entry":
		f.root = name.Local
		f.Entries = make([]Entry, 1)
		err = r.entry(&f.Entries[0])
	default:
		f.root = name.Local
		var c Resource
		c, err = r.resource()
		f.Entries = []Entry{{Content: []Resource{c}}}
	}
	if err != nil {
		return nil, r.wrap("document", err)
	}
	if _, err := r.Next(); err != io.EOF {
		return nil, r.wrap("document", err)
	}
	f.unread = r.bad()
	return f, nil
}

func (r *reader) feed(f *Feed) error {
	f.attrs = slices.Clone(r.Attrs)
	h := head{id: &f.ID, title: &f.Title, updated: &f.Updated, links: &f.Links}
	err := r.children(&h, func(p *part) (err error) {
		if r.Name.Local != "entry" {
			p.node, err = r.Tree()
			return err
		}
		p.kind, p.index = partEntry, len(f.Entries)
		f.Entries = append(f.Entries, Entry{})
		return r.entry(&f.Entries[p.index])
	})
	f.layout = h.layout
	return r.wrap("feed", err)
}

func (r *reader) entry(e *Entry) error {
	h := head{id: &e.ID, title: &e.Title, published: &e.Published, updated: &e.Updated, links: &e.Links}
	err := r.children(&h, func(p *part) (err error) {
		if r.Name.Local != "content" || h.seen[partContent] || !markup(p.attrs) {
			p.node, err = r.Tree()
			return err
		}
		p.kind, h.seen[partContent] = partContent, true
		return r.content(e)
	})
	e.layout = h.layout
	return r.wrap("entry", err)
}

// head is what feeds and entries have in common.
type head struct {
	id, title, published, updated *string
	links                         *[]Link
	layout                        []part
	seen                          [partContent + 1]bool // the kinds that stand once and were read
}

// children reads the children of a feed or an entry; those that are not of the
// head it gives to other, which reads them to their end.
func (r *reader) children(h *head, other func(p *part) error) error {
	h.layout = []part{}
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		p := part{attrs: slices.Clone(r.Attrs)}
		kind, text := h.element(r.Name.Local)
		switch {
		case text != nil && !h.seen[kind]:
			p.kind, h.seen[kind] = kind, true
			err = r.text(text)
		case r.Name.Local == "link":
			p.kind, p.index = partLink, len(*h.links)
			*h.links = append(*h.links, linkOf(r.Attrs))
			err = r.Skip()
		default:
			err = other(&p)
		}
		if err != nil {
			return err
		}
		h.layout = append(h.layout, p)
	}
}

// element returns where the text of an element of the head goes.
func (h *head) element(name string) (partKind, *string) {
	switch name {
	case "id":
		return partID, h.id
	case "title":
		return partTitle, h.title
	case "published":
		return partPublished, h.published
	case "updated":
		return partUpdated, h.updated
	}
	return partNode, nil
}

// markup reports whether a content is XML, which ESPI's is.
func markup(attrs []xmltext.Attr) bool {
	for _, a := range attrs {
		if a.Name.Local == "type" {
			return a.Value != "text" && a.Value != "html" && a.Value != "xhtml"
		}
	}
	return true
}

func linkOf(attrs []xmltext.Attr) (l Link) {
	for _, a := range attrs {
		switch a.Name.Local {
		case "rel":
			l.Rel = a.Value
		case "href":
			l.Href = a.Value
		case "type":
			l.Type = a.Value
		}
	}
	return l
}

func (r *reader) text(to *string) error {
	b, err := r.Whole()
	*to = string(b)
	return err
}

func (r *reader) content(e *Entry) error {
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		c, err := r.resource()
		if err != nil {
			return err
		}
		e.Content = append(e.Content, c)
	}
}

func (r *reader) resource() (Resource, error) {
	if r.Name.Space == espiSpace {
		switch r.Name.Local {
		case "ReadingType":
			t := &ReadingType{}
			bad, err := r.attempt(func() error { return r.wrap("ReadingType", r.readingType(t)) })
			if bad != nil {
				return &Other{bad}, err
			}
			return t, err
		case "IntervalBlock":
			b := &IntervalBlock{}
			return b, r.wrap("IntervalBlock", r.block(b))
		}
	}
	n, err := r.Tree()
	if err != nil {
		return nil, err
	}
	if n.Name.Space == espiSpace {
		switch n.Name.Local {
		case "UsagePoint":
			u := &UsagePoint{Service: -1, node: n}
			if kind := n.Child("ServiceCategory").Child("kind"); kind != nil {
				if k, err := strconv.Atoi(strings.TrimSpace(kind.Text)); err == nil {
					u.Service = k
				}
			}
			return u, nil
		case "MeterReading":
			return &MeterReading{n}, nil
		}
	}
	return &Other{n}, nil
}

// integer reads the element that was started last as a number between the bounds.
func (r *reader) integer(lo, hi int64) (int64, error) {
	name := r.Name.Local
	b, err := r.Content()
	if err != nil {
		return 0, r.wrap(name, err)
	}
	n, ok := parseInt(b)
	if !ok || n < lo || n > hi {
		return 0, &ParseError{Field: name, Offset: r.Offset(), Err: fmt.Errorf("%w: %q, want %d to %d", errNumber, b[:min(len(b), 40)], lo, hi)}
	}
	return n, nil
}

// parseInt is strconv.ParseInt on octets.
func parseInt(b []byte) (n int64, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	b = bytes.TrimPrefix(b, []byte("-"))
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

func (r *reader) readingType(t *ReadingType) error {
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		i := slices.IndexFunc(typeElements[:], func(e struct {
			name string
			part int
		}) bool {
			return e.name == r.Name.Local
		})
		if i < 0 {
			n, err := r.Tree()
			if err != nil {
				return err
			}
			t.other = append(t.other, n)
			continue
		}
		t.present |= 1 << i
		part := typeElements[i].part
		var n int64
		switch name := typeElements[i].name; name {
		case "interharmonic", "argument":
			err = r.ratio(t, part)
		case "intervalLength":
			n, err = r.integer(0, math.MaxUint32)
			t.IntervalLength = uint32(n)
		case "defaultQuality":
			n, err = r.integer(math.MinInt16, math.MaxInt16)
			t.quality = int32(n)
		default:
			n, err = r.integer(math.MinInt32, math.MaxInt32)
			t.Type[part] = int32(n)
		}
		if err != nil {
			return err
		}
	}
}

func (r *reader) ratio(t *ReadingType, part int) error {
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		to := &t.Type[part]
		if r.Name.Local == "denominator" {
			to = &t.Type[part+1]
		}
		n, err := r.integer(math.MinInt32, math.MaxInt32)
		if err != nil {
			return err
		}
		*to = int32(n)
	}
}

func (r *reader) block(b *IntervalBlock) error {
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		switch r.Name.Local {
		case "interval":
			p := &Period{}
			var bad *xmltext.Node
			if bad, err = r.attempt(func() error { return r.period(p) }); bad != nil {
				b.other = append(b.other, bad)
			} else {
				b.Interval = p
			}
		case "IntervalReading":
			b.Readings = append(b.Readings, IntervalReading{})
			x := &b.Readings[len(b.Readings)-1]
			var bad *xmltext.Node
			if bad, err = r.attempt(func() error { return r.intervalReading(x) }); bad != nil {
				*x = IntervalReading{bad: bad}
			}
		default:
			var n *xmltext.Node
			n, err = r.Tree()
			b.other = append(b.other, n)
		}
		if err != nil {
			return err
		}
	}
}

func (r *reader) period(p *Period) error {
	p.noDuration, p.noStart = true, true
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		var n int64
		switch r.Name.Local {
		case "duration":
			n, err = r.integer(0, math.MaxUint32)
			p.Duration, p.noDuration = uint32(n), false
		case "start":
			p.Start, err = r.integer(-maxSeconds, maxSeconds)
			p.noStart = false
		default:
			err = r.Skip()
		}
		if err != nil {
			return err
		}
	}
}

const (
	maxSeconds = 1 << 37    // the year 6325
	maxInt48   = 1<<47 - 1  // of ESPI, whose schema has one more
	minInt48   = -(1 << 47) //
)

func (r *reader) intervalReading(x *IntervalReading) error {
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		var n int64
		switch r.Name.Local {
		case "cost":
			x.Cost, err = r.integer(minInt48, maxInt48+1)
			x.has |= hasCost
		case "ReadingQuality":
			err = r.quality(x)
		case "timePeriod":
			err = r.period(&x.Period)
			x.has |= hasPeriod
		case "value":
			x.Value, err = r.integer(minInt48, maxInt48+1)
			x.has |= hasValue
		case "consumptionTier":
			n, err = r.integer(math.MinInt16, math.MaxInt16)
			x.Tier = int16(n)
			x.has |= hasTier
		case "tou":
			n, err = r.integer(math.MinInt16, math.MaxInt16)
			x.TOU = int16(n)
			x.has |= hasTOU
		case "cpp":
			n, err = r.integer(math.MinInt16, math.MaxInt16)
			x.CPP = int16(n)
			x.has |= hasCPP
		default:
			var node *xmltext.Node
			node, err = r.Tree()
			x.other = append(x.other, node)
		}
		if err != nil {
			return r.wrap("IntervalReading", err)
		}
	}
}

func (r *reader) quality(x *IntervalReading) error {
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		if r.Name.Local != "quality" {
			if err := r.Skip(); err != nil {
				return err
			}
			continue
		}
		n, err := r.integer(math.MinInt16, math.MaxInt16)
		if err != nil {
			return err
		}
		x.Qualities = append(x.Qualities, int32(n))
	}
}
