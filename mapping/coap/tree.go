package coap

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Format is a content format of CoAP (RFC 7252, section 12.3).
type Format uint16

// The content formats of the resources.
const (
	Text       Format = 0     // text/plain
	LinkFormat Format = 40    // application/link-format
	SenMLJSON  Format = 110   // application/senml+json
	SenMLCBOR  Format = 112   // application/senml+cbor
	LwM2MTLV   Format = 11542 // application/vnd.oma.lwm2m+tlv

	AnyFormat Format = 65535 // for a request without Accept
)

// String returns the media type.
func (f Format) String() string {
	switch f {
	case Text:
		return "text/plain"
	case LinkFormat:
		return "application/link-format"
	case SenMLJSON:
		return "application/senml+json"
	case SenMLCBOR:
		return "application/senml+cbor"
	case LwM2MTLV:
		return "application/vnd.oma.lwm2m+tlv"
	}
	return "content format " + strconv.Itoa(int(f))
}

// What [Tree.Get] fails with: the response codes 4.04, 4.06 and 4.00.
var (
	ErrNotFound      = errors.New("coap: no such resource")
	ErrNotAcceptable = errors.New("coap: the resource has no such content format")
	ErrBadRequest    = errors.New("coap: bad request")
)

// Tree is the resources of a meter at one moment:
//
//	/.well-known/core  links to the others (RFC 6690); queries filter them
//	/id                who the meter is, as SenML
//	/m                 all readings, as SenML
//	/m/1-0:1.8.0       the readings of one name, as SenML or as plain text
//	/p                 links to the load profiles
//	/p/1-0:99.1.0      a load profile, as SenML
//	/e                 the events, as SenML: their number is the end of the name, what they say the value
//	/3305 /3305/0      an object of LwM2M and an instance of it, as SenML or TLV
//	/3305/0/5800       one resource, also as plain text
//
// Names are those of [AppendSenML]. It never changes, and is safe for use by
// several goroutines; each representation is made once.
type Tree struct {
	data     *mapping.Data
	readings map[string][]int // by their names
	profiles map[string][]int
	rules    *Rules
	resource map[string]*resource
	order    []*resource // as the links list them

	mu      sync.Mutex
	objects []value // of LwM2M, in order
	fresh   bool    // they are those of data
	made    map[key]*Representation
}

type key struct {
	path   string
	format Format
}

// Representation is a resource in one content format.
type Representation struct {
	Format Format
	Body   []byte // must not be changed
	ETag   [8]byte
}

// resource says of what kind a resource is, and how it is written.
type resource struct {
	link   Link
	object bool // of LwM2M
	append func(t *Tree, dst []byte, path string, f Format) []byte
}

var (
	packFormats   = []Format{SenMLJSON, SenMLCBOR}
	valueFormats  = []Format{SenMLJSON, SenMLCBOR, Text}
	objectFormats = []Format{SenMLJSON, SenMLCBOR, LwM2MTLV}
	leafFormats   = []Format{SenMLJSON, SenMLCBOR, LwM2MTLV, Text}
)

// NewTree returns the resources of a meter, which keep d, and what they cannot
// carry. The objects of LwM2M are those that the rules give.
func NewTree(d *mapping.Data, rules *Rules) (*Tree, []mapping.Loss) {
	t := &Tree{data: d, rules: rules, readings: map[string][]int{}, profiles: map[string][]int{}, resource: map[string]*resource{}, made: map[key]*Representation{}}
	t.add(Link{Path: "/id", Type: "meter.id", Interface: "core.rp", Formats: packFormats, Title: "identity"}, (*Tree).appendIdentity)
	t.add(Link{Path: "/m", Type: "meter.readings", Interface: "core.b", Formats: packFormats, Observable: true, Title: "readings"}, (*Tree).appendReadings)
	t.addReadings()
	t.add(Link{Path: "/p", Type: "meter.profiles", Interface: "core.ll", Formats: []Format{LinkFormat}, Title: "load profiles"}, (*Tree).appendProfileLinks)
	t.addProfiles()
	t.add(Link{Path: "/e", Type: "meter.events", Interface: "core.rp", Formats: packFormats, Observable: true, Title: "events"}, (*Tree).appendEvents)
	t.addObjects()
	return t, append(eachRecord(&mapping.Data{Readings: d.Readings, Profiles: d.Profiles, Clock: d.Clock}, func(record) {}), t.lostEvents()...)
}

// With returns the resources of the same meter with d, in which the readings of set, and they
// alone, are other ones than before. It shares with t what stays, so that it costs little
// where only values are new.
func (t *Tree) With(d *mapping.Data, set []int) *Tree {
	if len(d.Readings) != len(t.data.Readings) || len(d.Profiles)+len(t.data.Profiles) > 0 || slices.ContainsFunc(set, func(i int) bool { return !alike(&t.data.Readings[i], &d.Readings[i]) }) {
		anew, _ := NewTree(d, t.rules)
		return anew
	}
	return &Tree{data: d, rules: t.rules, readings: t.readings, profiles: t.profiles, resource: t.resource, order: t.order, made: map[key]*Representation{}}
}

// alike reports whether two readings are at the same resources.
func alike(a, b *obis.Reading) bool {
	if a.Code != b.Code || a.Unit != b.Unit || a.Value.Kind() != b.Value.Kind() || !bytes.Equal(a.RawID, b.RawID) {
		return false
	}
	_, one := newRecord(a.Code, a.RawID, a.Unit, a.Value)
	_, other := newRecord(b.Code, b.RawID, b.Unit, b.Value)
	return one == other
}

// values returns the resources of LwM2M objects. t.mu is held, or nobody else has the tree.
func (t *Tree) values() []value {
	if !t.fresh {
		t.objects, _ = lwm2mValues(t.data, t.rules) // what LwM2M cannot carry, /m does
		t.fresh = true
	}
	return t.objects
}

// Old reports whether a resource shows a reading that is not to be relied upon any more.
func (t *Tree) Old(path string) bool {
	old := func(i int) bool { return t.data.Readings[i].Quality.Flags&obis.Old != 0 }
	r := t.resource[path]
	switch name, one := strings.CutPrefix(path, "/m/"); {
	case one:
		return slices.ContainsFunc(t.readings[name], old)
	case path == "/m":
		return slices.ContainsFunc(t.data.Readings, func(r obis.Reading) bool { return r.Quality.Flags&obis.Old != 0 })
	case r == nil || !r.object:
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.values(), func(v value) bool { return v.from > 0 && v.below(path) && old(v.from-1) })
}

func (t *Tree) add(l Link, write func(*Tree, []byte, string, Format) []byte) {
	r := &resource{link: l, append: write}
	t.resource[l.Path] = r
	t.order = append(t.order, r)
}

func (t *Tree) addReadings() {
	first := map[string]*obis.Reading{}
	for i := range t.data.Readings {
		r := &t.data.Readings[i]
		rec, reason := newRecord(r.Code, r.RawID, r.Unit, r.Value)
		if reason != "" {
			continue
		}
		name := string(rec.appendID(nil))
		if first[name] == nil {
			first[name] = r
		}
		t.readings[name] = append(t.readings[name], i)
	}
	for _, name := range slices.Sorted(maps.Keys(t.readings)) {
		l := Link{Path: "/m/" + name, Type: "meter.reading", Interface: "core.s", Formats: valueFormats, Observable: true}
		if r := first[name]; r.Code.Valid() {
			l.Title = obis.Describe(r.Code)
		}
		t.add(l, (*Tree).appendReading)
	}
}

func (t *Tree) addProfiles() {
	for i, p := range t.data.Profiles {
		name := "profile"
		if p.Code.Valid() {
			name = string(appendCode(nil, p.Code))
		}
		t.profiles[name] = append(t.profiles[name], i)
	}
	for _, name := range slices.Sorted(maps.Keys(t.profiles)) {
		p := t.data.Profiles[t.profiles[name][0]]
		title := fmt.Sprintf("%s, %d rows", cmp.Or(obis.Describe(p.Code), "profile"), p.Len())
		t.add(Link{Path: "/p/" + name, Type: "meter.profile", Interface: "core.rp", Formats: packFormats, Title: title}, (*Tree).appendProfile)
	}
}

// addObjects adds the objects of LwM2M, their instances and their resources.
func (t *Tree) addObjects() {
	for i := range t.values() {
		v := &t.objects[i]
		object := fmt.Sprintf("/%d", v.object)
		instance := fmt.Sprintf("%s/%d", object, v.instance)
		leaf := fmt.Sprintf("%s/%d", instance, v.resource)
		if t.resource[object] == nil {
			t.add(Link{Path: object, Type: "oma.lwm2m", Formats: objectFormats, Observable: true, Title: objectNames[v.object]}, (*Tree).appendObjects)
			t.resource[object].object = true
		}
		if t.resource[instance] == nil {
			t.add(Link{Path: instance, Formats: objectFormats, Observable: true}, (*Tree).appendObjects)
			t.resource[instance].object = true
		}
		if t.resource[leaf] == nil {
			t.resource[leaf] = &resource{Link{Path: leaf, Formats: leafFormats, Observable: true}, true, (*Tree).appendObjects}
		}
	}
}

// Links returns the links of /.well-known/core. Resources of LwM2M objects have
// none: their instances do.
func (t *Tree) Links() []Link {
	links := make([]Link, len(t.order))
	for i, r := range t.order {
		links[i] = r.link
	}
	return links
}

// wellKnown is where the links are.
const wellKnown = "/.well-known/core"

// Get returns what a GET of path gives: in the format accept, or in the
// resource's first one. Queries are those of the Uri-Query options. It fails
// with [ErrNotFound], [ErrNotAcceptable] or [ErrBadRequest].
func (t *Tree) Get(path string, query []string, accept Format) (*Representation, error) {
	if path == wellKnown {
		return GetLinks(t.Links(), query, accept)
	}
	r := t.resource[path]
	if r == nil {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, path)
	}
	if accept == AnyFormat {
		accept = r.link.Formats[0]
	}
	if !slices.Contains(r.link.Formats, accept) {
		return nil, fmt.Errorf("%w: %v of %s", ErrNotAcceptable, accept, path)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	made := t.made[key{path, accept}]
	if made == nil {
		made = represent(accept, r.append(t, nil, path, accept))
		t.made[key{path, accept}] = made
	}
	return made, nil
}

// GetLinks returns what a GET of a list of links gives: those that the queries ask for. It
// fails as [Tree.Get] does.
func GetLinks(links []Link, query []string, accept Format) (*Representation, error) {
	if accept != AnyFormat && accept != LinkFormat {
		return nil, fmt.Errorf("%w: %v of links", ErrNotAcceptable, accept)
	}
	links, err := filter(links, query)
	if err != nil {
		return nil, err
	}
	return represent(LinkFormat, AppendLinks(nil, links)), nil
}

func represent(f Format, body []byte) *Representation {
	r := &Representation{Format: f, Body: body}
	h := fnv.New64a()
	h.Write(body)
	h.Sum(r.ETag[:0])
	return r
}

// Observable reports whether the resource of a path may be observed (RFC 7641).
func (t *Tree) Observable(path string) bool {
	r := t.resource[path]
	return r != nil && r.link.Observable
}

func (t *Tree) appendIdentity(dst []byte, _ string, f Format) []byte {
	m := &t.data.Meter
	p := openPack(dst, f, m.ID)
	for _, x := range []struct{ name, value string }{
		{"id", m.ID}, {"manufacturer", m.Manufacturer}, {"serial", m.Serial}, {"model", m.Model}, {"firmware", m.Firmware},
		{"system-title", m.SystemTitle}, {"version", m.Version}, {"medium", m.Medium.String()},
	} {
		p.text(x.name, strings.ToValidUTF8(x.value, "\uFFFD"))
	}
	return p.close()
}

func (t *Tree) appendReadings(dst []byte, _ string, f Format) []byte {
	return t.pack(dst, f, &mapping.Data{Readings: t.data.Readings})
}

func (t *Tree) pack(dst []byte, f Format, d *mapping.Data) []byte {
	d.Meter, d.Clock = t.data.Meter, t.data.Clock
	p := openPack(dst, f, d.Meter.ID)
	eachRecord(d, p.add)
	return p.close()
}

func (t *Tree) appendReading(dst []byte, path string, f Format) []byte {
	d := &mapping.Data{}
	for _, i := range t.readings[strings.TrimPrefix(path, "/m/")] {
		d.Readings = append(d.Readings, t.data.Readings[i])
	}
	if f != Text {
		return t.pack(dst, f, d)
	}
	for i := range d.Readings {
		r := &d.Readings[i]
		if rec, reason := newRecord(r.Code, r.RawID, r.Unit, r.Value); reason == "" {
			if i > 0 {
				dst = append(dst, '\n')
			}
			dst = rec.value.Append(dst)
		}
	}
	return dst
}

func (t *Tree) appendProfileLinks(dst []byte, _ string, _ Format) []byte {
	var links []Link
	for _, r := range t.order {
		if strings.HasPrefix(r.link.Path, "/p/") {
			links = append(links, r.link)
		}
	}
	return AppendLinks(dst, links)
}

func (t *Tree) appendProfile(dst []byte, path string, f Format) []byte {
	d := &mapping.Data{}
	for _, i := range t.profiles[strings.TrimPrefix(path, "/p/")] {
		d.Profiles = append(d.Profiles, t.data.Profiles[i])
	}
	return t.pack(dst, f, d)
}

// appendEvents appends a record for each event: "0-0:99.98.0/47" is event 47 of
// the standard log.
func (t *Tree) appendEvents(dst []byte, _ string, f Format) []byte {
	p := openPack(dst, f, t.data.Meter.ID)
	for i := range t.data.Events {
		e := &t.data.Events[i]
		r := record{name: eventName(e), value: obis.Text([]byte(strings.ToValidUTF8(e.Text, "\uFFFD")))}
		r.at, _ = e.Time.Instant(t.data.Clock)
		p.add(r)
	}
	return p.close()
}

func eventName(e *obis.Event) string {
	log := []byte("log")
	if e.Log.Valid() {
		log = appendCode(nil, e.Log)
	}
	return string(strconv.AppendUint(append(log, '/'), uint64(e.ID), 10))
}

func (t *Tree) lostEvents() (lost []mapping.Loss) {
	for i := range t.data.Events {
		e := &t.data.Events[i]
		var reasons []string
		if _, ok := e.Time.Instant(t.data.Clock); !ok && !e.Time.IsZero() {
			reasons = append(reasons, "its time, which is no instant")
		}
		if len(e.Params) > 0 {
			reasons = append(reasons, "its parameters")
		}
		if len(reasons) > 0 || e.Quality.Flags != 0 {
			lost = append(lost, mapping.Loss{Part: mapping.Event, Index: i, Flags: e.Quality.Flags, Reason: strings.Join(reasons, ", ")})
		}
	}
	return lost
}
