package coap

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/coap"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// Face shows the meters of a source: each under a prefix,
//
//	/.well-known/core  /m    links to the meters
//	/m/ID                    links to the resources of a meter
//	/m/ID/m/1-0:1.8.0        and those of [coap.Tree] below the prefix
//	/m/ID/p/1-0:99.1.0       a load profile: the last day of it, or rows from one time to
//	                         another, as "from=2026-10-25T00:00:00Z&to=…", or in seconds since
//	                         1970; either may be left out, and it may be 42 days
//
// A resource with readings that are old has a Max-Age of 0, and those who observe it are told.
// PUT and POST of a value to the resource of a reading, or of what can be commanded under its
// code, go to the Commander. In the clear the client has no name, and has to return an Echo
// first; his messages are carried out once, however often they come.
type Face struct {
	server    *Server
	source    site.Source
	commander site.Commander
	told      chan struct{} // profiles or events came
	warner    site.Warner

	mu     sync.RWMutex
	meters map[string]*meter // by their segments of paths
	links  *representation   // to the meters; nil where they changed
}

var (
	_ site.Face = (*Face)(nil)
	_ shown     = (*Face)(nil)
)

// meter is what is shown of one.
type meter struct {
	id     site.ID
	prefix string // of paths: "/m/ID"

	mu       sync.Mutex
	data     *mapping.Data // the newest; it does not change
	counted  int           // readings of which it was told what is lost
	lost     obis.Flags    // of which it was told
	tree     *coap.Tree    // nil before somebody asks
	set      []int         // what is new since it was made
	asked    bool          // somebody asked since the last change
	events   []obis.Event  // the last ones
	profiles map[obis.Code]time.Time
	day      *coap.Tree // of the last day of the profiles
}

const (
	// maxEvents is how many events of a meter are shown.
	maxEvents = 128
	// maxRows is how many rows of a profile are shown at once.
	maxRows = 4096
	// maxSpan is how long the time is of which rows may be asked for: 4,032 quarters of an hour.
	maxSpan = 42 * 24 * time.Hour
	// relearn is how often what was missed of profiles and events is looked for.
	relearn = time.Minute
)

// New returns a face that shows what source has. A nil commander refuses all commands.
func New(cfg *Config, source site.Source, commander site.Commander) (*Face, error) {
	s, err := NewServer(cfg)
	if err != nil {
		return nil, err
	}
	f := &Face{server: s, source: source, commander: commander, told: make(chan struct{}, 1), meters: map[string]*meter{}}
	s.shown = f
	f.warner.Hear = func(text string) {
		s.cfg.Logger.Warn("coap: not shown in full", "what", text)
		if s.cfg.Warn != nil {
			s.cfg.Warn(text)
		}
	}
	return f, nil
}

// Serve listens on the address of the Config, and serves until ctx ends, which is no error.
func (f *Face) Serve(ctx context.Context) error {
	address := f.server.cfg.Listen
	if !strings.Contains(address, "://") {
		address = "coap://" + address
	}
	l, err := f.server.Listen(address)
	if err != nil {
		return err
	}
	if f.server.cfg.Ready != nil {
		f.server.cfg.Ready(l.Addr())
	}
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() {
		for c := range f.source.Watch(ctx) {
			f.show(c)
		}
	})
	all.Go(func() { f.learn(ctx) })
	all.Go(func() { f.remind(ctx) })
	if err := l.Serve(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

// remind has those who observe told again what did not change.
func (f *Face) remind(ctx context.Context) {
	tick := time.NewTicker(max(f.server.cfg.MaxAge/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.wake("")
		}
	}
}

// wake tells those who observe something below a path; "" is all.
func (f *Face) wake(prefix string) {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	for _, r := range f.server.remotes {
		if r.observes(prefix) {
			r.wake()
		}
	}
}

// observes reports whether a client observes something below a path.
func (r *remote) observes(prefix string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.observations {
		if strings.HasPrefix(o.query.path, prefix) && (prefix == "" || strings.HasPrefix(o.query.path[len(prefix):], "/")) {
			return true
		}
	}
	return false
}

// segment returns what stands for a meter in paths.
func segment(id site.ID) string { return strings.ReplaceAll(string(id), "/", "_") }

// meter returns what is shown of a meter; nil where another has its path.
func (f *Face) meter(id site.ID) *meter {
	name := segment(id)
	f.mu.Lock()
	m := f.meters[name]
	if m == nil && name != "" && len(name) <= 255 {
		m = &meter{id: id, prefix: "/m/" + name, profiles: map[obis.Code]time.Time{}}
		f.meters[name], f.links = m, nil
	}
	f.mu.Unlock()
	if m == nil || m.id != id {
		f.warner.Say(fmt.Sprintf("%s: %q is no path, or that of another meter", id, "/m/"+name))
		return nil
	}
	return m
}

// show takes what is new of a meter.
func (f *Face) show(c site.Change) {
	if c.Data == nil {
		f.mu.Lock()
		if m := f.meters[segment(c.Meter)]; m != nil && m.id == c.Meter {
			delete(f.meters, segment(c.Meter))
			f.links = nil
		}
		f.mu.Unlock()
		f.wake("/m/" + segment(c.Meter))
		return
	}
	m := f.meter(c.Meter)
	if m == nil {
		return
	}
	for _, l := range m.change(c, f.server.cfg.Rules) {
		f.warner.Say(fmt.Sprintf("%s: %s", m.id, c.Data.Describe(l)))
	}
	if len(c.Data.Profiles)+len(c.Data.Events) > 0 {
		select {
		case f.told <- struct{}{}:
		default:
		}
	}
	f.wake(m.prefix)
}

// change takes a change, and returns what of it cannot be shown and was not told yet.
func (m *meter) change(c site.Change, rules *coap.Rules) (lost []mapping.Loss) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.asked || m.data == nil || m.data.Meter != c.Data.Meter || len(m.set)+len(c.Set) > 4*len(c.Data.Readings):
		m.tree, m.day, m.set = nil, nil, nil
	case m.tree != nil:
		m.set = append(m.set, c.Set...)
	}
	m.asked = false
	m.data = c.Data
	if len(c.Data.Readings) != m.counted {
		m.counted = len(c.Data.Readings)
		_, lost = coap.NewTree(m.shown(), rules)
	}
	for _, i := range c.Set {
		if flags := c.Data.Readings[i].Quality.Flags &^ (m.lost | obis.Old); flags != 0 {
			m.lost |= flags
			lost = append(lost, mapping.Loss{Index: i, Flags: flags})
		}
	}
	for i := range lost {
		lost[i].Flags &^= obis.Old // which the age tells
	}
	return slices.DeleteFunc(lost, func(l mapping.Loss) bool { return l.Part == mapping.Event || l.Flags == 0 && l.Reason == "" })
}

// shown returns what there is but for profiles.
func (m *meter) shown() *mapping.Data {
	return &mapping.Data{Meter: m.data.Meter, Readings: m.data.Readings, Events: m.events, Clock: m.data.Clock, Received: m.data.Received}
}

// current returns the resources but for profiles. m.mu is held.
func (m *meter) current(rules *coap.Rules) *coap.Tree {
	m.asked = true
	switch {
	case m.tree == nil:
		m.tree, _ = coap.NewTree(m.shown(), rules)
	case len(m.set) > 0:
		slices.Sort(m.set)
		m.tree = m.tree.With(m.shown(), slices.Compact(m.set))
	}
	m.set = nil
	return m.tree
}

// learn takes profiles and events from what the source keeps: of changes that came at once
// a watcher sees but the last.
func (f *Face) learn(ctx context.Context) {
	tick := time.NewTicker(relearn)
	defer tick.Stop()
	for seq := uint64(0); ; {
		for c, err := range f.source.After(seq) {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				continue // a gap: what is kept follows
			}
			seq = c.Seq
			f.mu.RLock()
			m := f.meters[segment(c.Meter)]
			f.mu.RUnlock()
			if c.Data == nil || len(c.Data.Profiles)+len(c.Data.Events) == 0 {
				continue
			}
			if m == nil {
				if _, there := f.source.Last(c.Meter); !there {
					continue
				}
				m = f.meter(c.Meter)
			}
			if m == nil || m.id != c.Meter {
				continue
			}
			m.learn(c.Data)
			if len(c.Data.Events) > 0 {
				f.wake(m.prefix)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.told:
		}
	}
}

func (m *meter) learn(d *mapping.Data) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range d.Profiles {
		newest := m.profiles[p.Code]
		for _, t := range p.Times {
			if at := instant(t, d.Clock); at.After(newest) {
				newest = at
			}
		}
		m.profiles[p.Code] = newest
		m.day = nil
	}
	if len(d.Events) == 0 {
		return
	}
	m.events = slices.Concat(m.events, d.Events)
	m.events = m.events[max(0, len(m.events)-maxEvents):]
	m.tree, m.set = nil, nil
}

// instant returns the moment of a row. Where nobody knows the meter's zone its times are
// ordered as if they were UTC, here as in the source.
func instant(t obis.Time, clock obis.Clock) time.Time {
	at, ok := t.Instant(clock)
	if !ok {
		at, _ = t.Instant(obis.Clock{Zone: time.UTC})
	}
	return at
}

// split returns the meter of a path, nil for none, and the path below its prefix.
func (f *Face) split(path string) (m *meter, rest string) {
	name, ok := strings.CutPrefix(path, "/m/")
	if !ok {
		return nil, ""
	}
	if i := strings.IndexByte(name, '/'); i >= 0 {
		name, rest = name[:i], name[i:]
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.meters[name], rest
}

// get implements shown.
func (f *Face) get(q query) (*representation, error) {
	if q.path == "/.well-known/core" || q.path == "/m" {
		return f.list(q)
	}
	m, rest := f.split(q.path)
	if m == nil {
		return nil, fmt.Errorf("%w: %q", coap.ErrNotFound, q.path)
	}
	rep, old, err := m.get(rest, q, f)
	if err != nil {
		return nil, err
	}
	out := &representation{Representation: rep}
	if !old {
		out.until = time.Now().Add(f.server.cfg.MaxAge)
	}
	return out, nil
}

// list returns the links to the meters, which are made once.
func (f *Face) list(q query) (*representation, error) {
	until := time.Now().Add(f.server.cfg.MaxAge)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.links != nil && q.queries == "" && (q.accept == coap.AnyFormat || q.accept == coap.LinkFormat) {
		return &representation{f.links.Representation, until}, nil
	}
	links := make([]coap.Link, 0, len(f.meters))
	for _, m := range f.meters {
		links = append(links, coap.Link{Path: m.prefix, Type: "meter", Interface: "core.ll", Formats: []coap.Format{coap.LinkFormat}})
	}
	slices.SortFunc(links, func(a, b coap.Link) int { return cmp.Compare(a.Path, b.Path) })
	rep, err := coap.GetLinks(links, q.list(), q.accept)
	if err != nil {
		return nil, err
	}
	if q.queries == "" {
		f.links = &representation{rep, until}
	}
	return &representation{rep, until}, nil
}

// observable implements shown.
func (f *Face) observable(path string) bool {
	m, rest := f.split(path)
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data != nil && m.current(f.server.cfg.Rules).Observable(rest)
}

// costly implements shown: rows are looked for and written.
func (f *Face) costly(q query) bool { return q.queries != "" && strings.Contains(q.path, "/p/") }

// get returns what a GET of a path below the prefix gives, and whether it is old.
func (m *meter) get(path string, q query, f *Face) (rep *coap.Representation, old bool, err error) {
	if strings.HasPrefix(path, "/p/") && q.queries != "" {
		rep, err = m.rows(path, q, f)
		return rep, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data == nil {
		return nil, false, errNothing
	}
	switch tree := m.current(f.server.cfg.Rules); {
	case path == "", path == "/p":
		var links []coap.Link
		if path == "" {
			links = tree.Links()
		}
		day, err := m.lastDay(f)
		if err != nil {
			return nil, false, err
		}
		for _, l := range day.Links() {
			if strings.HasPrefix(l.Path, "/p/") {
				links = append(links, l)
			}
		}
		for i := range links {
			links[i].Path = m.prefix + links[i].Path
		}
		rep, err = coap.GetLinks(links, q.list(), q.accept)
		return rep, false, err
	case strings.HasPrefix(path, "/p/"):
		day, err := m.lastDay(f)
		if err != nil {
			return nil, false, err
		}
		rep, err = day.Get(path, nil, q.accept)
		return rep, false, err
	case path == "/.well-known/core":
		return nil, false, fmt.Errorf("%w: %q", coap.ErrNotFound, path)
	default:
		rep, err = tree.Get(path, q.list(), q.accept)
		return rep, err == nil && tree.Old(path), err
	}
}

// lastDay returns the resources of the last day of the profiles. m.mu is held.
func (m *meter) lastDay(f *Face) (*coap.Tree, error) {
	if m.day != nil {
		return m.day, nil
	}
	d := &mapping.Data{Meter: m.data.Meter, Clock: m.data.Clock}
	for code, newest := range m.profiles {
		if err := m.read(d, code, newest.Add(-24*time.Hour), time.Time{}, f); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(d.Profiles, func(a, b *obis.Profile) int { return cmp.Compare(a.Code.String(), b.Code.String()) })
	m.day, _ = coap.NewTree(d, f.server.cfg.Rules)
	return m.day, nil
}

var errMany = fmt.Errorf("%w: more than %d rows: ask for less", coap.ErrBadRequest, maxRows)

// read adds rows of a profile to d.
func (m *meter) read(d *mapping.Data, code obis.Code, from, to time.Time, f *Face) error {
	rows := 0
	for p, err := range f.source.Rows(m.id, code, from, to) {
		if err != nil {
			return err
		}
		if rows += p.Len(); rows > maxRows {
			return errMany
		}
		d.Profiles = append(d.Profiles, p)
	}
	return nil
}

// rows returns the rows of a profile that a query asks for.
func (m *meter) rows(path string, q query, f *Face) (*coap.Representation, error) {
	var from, to time.Time
	for _, x := range q.list() {
		name, text, _ := strings.Cut(x, "=")
		at, err := moment(text)
		switch {
		case err != nil:
			return nil, err
		case name == "from":
			from = at
		case name == "to":
			to = at
		default:
			return nil, fmt.Errorf("%w: want from and to", coap.ErrBadRequest)
		}
	}
	switch {
	case from.IsZero():
		from = to.Add(-maxSpan)
	case to.IsZero():
		to = from.Add(maxSpan)
	case to.Sub(from) > maxSpan:
		return nil, errMany
	}
	code, ok := codeOf(strings.TrimPrefix(path, "/p/"))
	m.mu.Lock()
	_, known := m.profiles[code]
	known = known && ok && m.data != nil
	d := &mapping.Data{}
	if known {
		d.Meter, d.Clock = m.data.Meter, m.data.Clock
	}
	m.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("%w: %q", coap.ErrNotFound, path)
	}
	if err := m.read(d, code, from, to, f); err != nil {
		return nil, err
	}
	if len(d.Profiles) == 0 {
		d.Profiles = []*obis.Profile{{Code: code}}
	}
	tree, _ := coap.NewTree(d, f.server.cfg.Rules)
	return tree.Get(path, nil, q.accept)
}

// moment reads a time of a query.
func moment(text string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%w: %q is no time", coap.ErrBadRequest, text)
	}
	return at, nil
}

// codeOf reads the name of a resource that is an OBIS code.
func codeOf(name string) (obis.Code, bool) {
	code, err := obis.ParseCode(strings.Replace(name, "_", "*", 1))
	return code, err == nil
}
