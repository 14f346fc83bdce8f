// Package site is where meters meet the parties that want their data: what is known of
// several meters, who hears of changes, who may see what of them, and who may command
// what. It merges what jobs bring in turn, stamps, clones, and grows old what nobody
// renews, once, for all faces.
//
// Whoever reads meters calls [Site.Put] and [Site.Fail]; faces are made with a [Source],
// which is the Site or a [View] of it. Nobody waits for anybody: a face that is slow gets
// the newest of each meter, and one that must not lose anything reads by sequence.
package site

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// ID names a meter in a configuration. It survives a replacement of the device.
type ID string

// Change is something new of a meter. It is shared by all who hear of it, and never
// changes itself.
type Change struct {
	// Seq grows with each change of the site, over restarts and steps of the clock:
	// it is what a queue remembers.
	Seq   uint64
	Meter ID
	// Data are the merged readings of all jobs, in an order that never changes but grows at
	// its end; of profiles and events only what this change brought. Nil: the meter was taken out.
	Data *mapping.Data
	// Set are the indexes of the readings whose value, unit, quality or own time is new.
	Set []int
	// Tick is the aligned moment for which it was read, zero where it was pushed; Received
	// is when it came, or when it was missed.
	Tick, Received time.Time
	// Stale: nothing came. The readings in Set are the last that are known, marked old.
	Stale bool
}

// Stamp says of what is put which job brought it and when. Times are those of
// time.Now, so that steps of the clock do no harm.
type Stamp struct {
	Job            string    // what it brings now takes the place of what it brought before
	Tick, Received time.Time // as in Change; a zero Received is now
	Until          time.Time // from then on it is old unless it comes again; zero is never
}

// Source is what a face sees: a [Site], or a [View] of one.
type Source interface {
	// Last returns the newest of a meter: all its readings, and what it brought last.
	Last(ID) (Change, bool)
	// Watch yields each meter that there is, and then the newest of each meter that
	// changes. Changes that come while a face is busy become one, whose Set has all that
	// is new to the face; profiles and events of those before are left to After. It ends with ctx.
	Watch(context.Context) iter.Seq[Change]
	// After yields the changes behind a sequence number, 0 for all that are kept, in their order,
	// and ends. An error that is ErrGap says that some are no longer kept.
	After(seq uint64) iter.Seq2[Change, error]
	// Rows yields what is kept of a meter's profile, in the order of the meter's time
	// and both times included; zero times mean all.
	Rows(meter ID, profile obis.Code, from, to time.Time) iter.Seq2[*obis.Profile, error]
}

// Store keeps changes. Its methods may be called by several goroutines at once.
type Store interface {
	// Append keeps changes, which are safe when it returns.
	Append(...Change) error
	// After, Rows and Last are those of a Source.
	After(seq uint64) iter.Seq2[Change, error]
	Rows(meter ID, profile obis.Code, from, to time.Time) iter.Seq2[*obis.Profile, error]
	Last(ID) (Change, bool)
	// Seq returns the highest sequence number that was kept, 0 for none.
	Seq() uint64
}

// Errors of sources.
var (
	ErrGap     = errors.New("site: changes are no longer kept")
	ErrNoMeter = errors.New("site: no such meter")
)

// Face shows meters to one kind of actor. It is made with a Source and a Commander.
type Face interface {
	// Serve serves until ctx ends, which is no error, or until it cannot any more. It has
	// closed what it opened when it returns.
	Serve(ctx context.Context) error
}

// Config configures a Site. The zero Config keeps the last changes in memory.
type Config struct {
	Store Store // nil is one in memory: NewMemory(0)
}

// Site is what is known of several meters. Its methods may be called by several
// goroutines at once.
type Site struct {
	store Store

	mu       sync.Mutex
	seq      uint64
	meters   map[ID]*entry
	watchers map[*watcher]struct{}
	ages     ages
	due      time.Time     // until when Run sleeps
	wake     chan struct{} // told when something grows old before
	queue    []Change      // that the store has not got yet

	storing sync.Mutex
}

// entry is a meter.
type entry struct {
	id      ID
	last    Change
	changed []uint64 // of each reading: the change that brought it
	slots   map[key]int
	jobs    map[string]*job
	owner   []*job // of each reading: the job that brought it last
	until   []time.Time
}

// key tells readings apart: by code and raw id, and by the place among those that have both the same.
type key struct {
	code obis.Code
	raw  string
	nth  int
}

// job is who brings a part of a meter's readings.
type job struct {
	entry *entry
	slots []int     // of what it brought last, in its order
	next  time.Time // when the first of its readings grows old; zero is never
	heap  int       // place in ages, -1 for none
}

// New returns a site without meters; cfg may be nil.
func New(cfg *Config) *Site {
	s := &Site{meters: map[ID]*entry{}, watchers: map[*watcher]struct{}{}, wake: make(chan struct{}, 1)}
	if cfg != nil {
		s.store = cfg.Store
	}
	if s.store == nil {
		s.store = NewMemory(0)
	}
	// Numbers go on where the store ends. A site that forgot everything begins above all
	// that it can have given out, at more than a million changes a second.
	s.seq = max(s.store.Seq(), uint64(max(time.Now().UnixMicro(), 0)))
	return s
}

// Add adds a meter of which nothing has come yet; what is known of one that is there
// already is replaced by m, and its readings stay.
func (s *Site) Add(id ID, m obis.Meter) error {
	s.mu.Lock()
	e := s.meters[id]
	data := &mapping.Data{Meter: m}
	if e == nil {
		e = &entry{id: id, slots: map[key]int{}, jobs: map[string]*job{}}
		s.meters[id] = e
	} else {
		data.Readings, data.Clock = e.last.Data.Readings, e.last.Data.Clock
	}
	s.publish(e, Change{Data: data, Received: time.Now()})
	s.mu.Unlock()
	return s.flush()
}

// Remove takes a meter out. Faces hear of it by a change without data.
func (s *Site) Remove(id ID) error {
	s.mu.Lock()
	e := s.meters[id]
	if e == nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrNoMeter, id)
	}
	delete(s.meters, id)
	for _, j := range e.jobs {
		s.ages.remove(j)
	}
	s.publish(e, Change{Received: time.Now()})
	s.mu.Unlock()
	return s.flush()
}

// Meters returns the meters that there are, in the order of their names.
func (s *Site) Meters() []ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]ID, 0, len(s.meters))
	for id := range s.meters {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// Put merges what a job brought of a meter with what others did, and tells all who
// watch where something is new. It keeps nothing of d. Readings that the job brought
// before and does not bring now stay until they grow old.
func (s *Site) Put(id ID, d *mapping.Data, stamp Stamp) error {
	if stamp.Received.IsZero() {
		stamp.Received = time.Now()
	}
	s.mu.Lock()
	e := s.meters[id]
	if e == nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrNoMeter, id)
	}
	j := e.job(stamp.Job)
	set, readings := e.merge(j, d.Readings, stamp.Until)
	s.ages.renew(j, e.earliest(j))
	if len(s.ages) > 0 && s.ages[0].next.Before(s.due) {
		s.told()
	}
	last := e.last.Data
	identity := last.Meter
	if d.Meter != (obis.Meter{}) {
		identity = d.Meter
	}
	if len(set) == 0 && len(d.Profiles)+len(d.Events) == 0 && identity == last.Meter && d.Clock == last.Clock {
		e.last.Tick, e.last.Received = stamp.Tick, stamp.Received
		s.mu.Unlock()
		return nil
	}
	data := &mapping.Data{Meter: identity, Readings: readings, Clock: d.Clock, Received: stamp.Received}
	for _, p := range d.Profiles {
		data.Profiles = append(data.Profiles, p.Clone())
	}
	data.Events = cloneEvents(d.Events)
	s.publish(e, Change{Data: data, Set: set, Tick: stamp.Tick, Received: stamp.Received})
	s.mu.Unlock()
	return s.flush()
}

// Fail says that a job brought nothing: what it brought last is old now. A zero at is now.
func (s *Site) Fail(id ID, name string, at time.Time) error {
	if at.IsZero() {
		at = time.Now()
	}
	s.mu.Lock()
	e := s.meters[id]
	if e == nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrNoMeter, id)
	}
	j := e.job(name)
	s.ages.remove(j)
	s.age(e, at, func(slot int) bool { return e.owner[slot] == j })
	s.mu.Unlock()
	return s.flush()
}

// Run lets grow old what is not renewed in time, until ctx ends, which is no error.
func (s *Site) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		s.mu.Lock()
		now := time.Now()
		for len(s.ages) > 0 && !s.ages[0].next.After(now) {
			j := s.ages[0]
			e := j.entry
			s.age(e, now, func(slot int) bool {
				return e.owner[slot] == j && !e.until[slot].IsZero() && !e.until[slot].After(now)
			})
			s.ages.renew(j, e.earliest(j))
		}
		if len(s.ages) > 0 {
			wait = min(wait, s.ages[0].next.Sub(now))
		}
		s.due = now.Add(wait)
		s.mu.Unlock()
		if err := s.flush(); err != nil {
			return err
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
		}
	}
}

// age marks the readings that are meant, and tells all who watch where one was not old before.
func (s *Site) age(e *entry, at time.Time, meant func(slot int) bool) {
	list := e.last.Data.Readings
	var set []int
	for slot := range list {
		if list[slot].Quality.Flags&obis.Old == 0 && meant(slot) {
			set = append(set, slot)
		}
	}
	if set == nil {
		if len(list) == 0 && !e.last.Stale { // nothing has come at all
			s.publish(e, Change{Data: e.last.Data, Received: at, Stale: true})
		}
		return
	}
	list = slices.Clone(list)
	for _, slot := range set {
		list[slot].Quality.Flags |= obis.Old
	}
	data := &mapping.Data{Meter: e.last.Data.Meter, Readings: list, Clock: e.last.Data.Clock, Received: e.last.Data.Received}
	s.publish(e, Change{Data: data, Set: set, Received: at, Stale: true})
}

// told wakes Run.
func (s *Site) told() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// publish numbers a change, and hands it to the store and to all who watch.
func (s *Site) publish(e *entry, c Change) {
	s.seq++
	c.Seq, c.Meter = s.seq, e.id
	e.last = c
	if c.Data != nil {
		for len(e.changed) < len(c.Data.Readings) {
			e.changed = append(e.changed, c.Seq)
		}
		for _, slot := range c.Set {
			e.changed[slot] = c.Seq
		}
	}
	s.queue = append(s.queue, c)
	for w := range s.watchers {
		w.add(e)
	}
}

// flush hands what is queued to the store, for several who call it at once.
func (s *Site) flush() error {
	s.storing.Lock()
	defer s.storing.Unlock()
	s.mu.Lock()
	list := s.queue
	s.queue = nil
	s.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	return s.store.Append(list...)
}

// Last returns the newest of a meter.
func (s *Site) Last(id ID) (Change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.meters[id]
	if e == nil {
		return Change{}, false
	}
	return e.last, true
}

// After yields the changes behind a sequence number.
func (s *Site) After(seq uint64) iter.Seq2[Change, error] { return s.store.After(seq) }

// Rows yields what is kept of a profile.
func (s *Site) Rows(meter ID, profile obis.Code, from, to time.Time) iter.Seq2[*obis.Profile, error] {
	return s.store.Rows(meter, profile, from, to)
}

func cloneEvents(list []obis.Event) []obis.Event {
	out := slices.Clone(list)
	for i := range out {
		out[i].Params = slices.Clone(out[i].Params)
		obis.OwnReadings(out[i].Params)
	}
	return out
}
