package site

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// View is what an actor may see of a site. The zero View is all of it.
type View struct {
	Meters   []ID           // nil are all
	Patterns []obis.Pattern // codes of readings, profiles and columns, and of logs; nil are all, also those without code
	// Interval is how often a meter may be seen to change. Rows of profiles are not thinned.
	Interval time.Duration
	// Pseudonym names meters otherwise: a function that gives each meter a name of its own.
	// What a meter says of its identity is then left out.
	Pseudonym func(ID) ID
}

// Of returns what the view shows of a source.
func (v View) Of(s Source) Source { return &viewed{View: v, of: s} }

type viewed struct {
	View
	of Source
}

// named returns the name by which the view shows a meter, and whether it does.
func (v *viewed) named(id ID) (ID, bool) {
	if v.Meters != nil && !slices.Contains(v.Meters, id) {
		return "", false
	}
	if v.Pseudonym == nil {
		return id, true
	}
	return v.Pseudonym(id), true
}

// real returns the meter that the view shows by a name.
func (v *viewed) real(name ID) (ID, bool) {
	if v.Pseudonym == nil {
		_, ok := v.named(name)
		return name, ok
	}
	list := v.Meters
	if site, ok := v.of.(*Site); list == nil && ok {
		list = site.Meters()
	}
	for _, id := range list {
		if v.Pseudonym(id) == name {
			return id, true
		}
	}
	return "", false
}

func (v *viewed) matches(c obis.Code) bool {
	if v.Patterns == nil {
		return true
	}
	return slices.ContainsFunc(v.Patterns, func(p obis.Pattern) bool { return p.Match(c) })
}

// shows reports whether the view has a reading.
func (v *viewed) shows(x *obis.Reading) bool {
	return v.matches(x.Code) && (v.Pseudonym == nil || !identifies(x))
}

// identifies reports whether a reading may tell which meter it is of: a text, octets, or
// an identity by its code.
func identifies(x *obis.Reading) bool {
	switch x.Value.Kind() {
	case obis.KindText, obis.KindOctets, obis.KindTree:
		return true
	}
	return !x.Code.Valid() || x.Code[0] == 0 && (x.Code[2] == 42 || x.Code[2] == 96 && x.Code[3] == 1) || x.Code[2] == 0 && x.Code[3] == 0
}

// seen returns what the view shows of a change, and whether there is anything new.
func (v *viewed) seen(c Change) (Change, bool) {
	name, ok := v.named(c.Meter)
	if !ok {
		return c, false
	}
	c.Meter = name
	if c.Data == nil || v.Patterns == nil && v.Pseudonym == nil {
		return c, true
	}
	d := &mapping.Data{Meter: c.Data.Meter, Clock: c.Data.Clock, Received: c.Data.Received}
	if v.Pseudonym != nil {
		d.Meter = obis.Meter{ID: string(name), Medium: c.Data.Meter.Medium}
	}
	var set []int
	fresh := c.Set
	for i := range c.Data.Readings {
		for len(fresh) > 0 && fresh[0] < i {
			fresh = fresh[1:]
		}
		x := &c.Data.Readings[i]
		if !v.shows(x) {
			continue
		}
		if len(fresh) > 0 && fresh[0] == i {
			set = append(set, len(d.Readings))
		}
		own := *x
		if v.Pseudonym != nil {
			own.RawID = nil
		}
		d.Readings = append(d.Readings, own)
	}
	for _, p := range c.Data.Profiles {
		if own := v.profile(p); own != nil {
			d.Profiles = append(d.Profiles, own)
		}
	}
	for i := range c.Data.Events {
		e := c.Data.Events[i]
		if v.Patterns != nil && !v.matches(e.Log) {
			continue
		}
		if v.Pseudonym != nil {
			e.Params = slices.DeleteFunc(slices.Clone(e.Params), func(x obis.Reading) bool { return identifies(&x) })
		}
		d.Events = append(d.Events, e)
	}
	c.Data, c.Set = d, set
	return c, len(set)+len(d.Profiles)+len(d.Events) > 0
}

// profile returns the columns of a profile that the view shows, nil for none.
func (v *viewed) profile(p *obis.Profile) *obis.Profile {
	own := *p
	own.Columns = nil
	for _, c := range p.Columns {
		if !v.matches(c.Code) && !(v.Patterns != nil && v.matches(p.Code)) || v.Pseudonym != nil && !c.Code.Valid() {
			continue
		}
		if v.Pseudonym != nil {
			c.RawID = nil
		}
		own.Columns = append(own.Columns, c)
	}
	if own.Columns == nil && p.Columns != nil {
		return nil
	}
	return &own
}

func (v *viewed) Last(name ID) (Change, bool) {
	id, ok := v.real(name)
	if !ok {
		return Change{}, false
	}
	c, ok := v.of.Last(id)
	if !ok {
		return Change{}, false
	}
	c, _ = v.seen(c)
	return c, true
}

func (v *viewed) Watch(ctx context.Context) iter.Seq[Change] {
	if v.Interval <= 0 {
		return func(yield func(Change) bool) {
			known := map[ID]bool{}
			for c := range v.of.Watch(ctx) {
				c, ok := v.seen(c)
				if first := !known[c.Meter] && c.Data != nil; !ok && !(first && c.Meter != "" && v.included(c)) {
					continue
				}
				known[c.Meter] = c.Data != nil
				if !yield(c) {
					return
				}
			}
		}
	}
	return v.thinned(ctx)
}

// included reports whether a change that has nothing new is of a meter that the view shows.
func (v *viewed) included(c Change) bool {
	if v.Meters == nil {
		return true
	}
	return slices.ContainsFunc(v.Meters, func(id ID) bool {
		name, _ := v.named(id)
		return name == c.Meter
	})
}

// thinned yields the newest of each meter no more often than once in the interval.
func (v *viewed) thinned(ctx context.Context) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		changes := make(chan Change)
		go func() {
			defer close(changes)
			whole := View{Meters: v.Meters, Patterns: v.Patterns, Pseudonym: v.Pseudonym}
			for c := range whole.Of(v.of).Watch(ctx) {
				select {
				case changes <- c:
				case <-ctx.Done():
					return
				}
			}
		}()
		due := map[ID]time.Time{}  // when a meter may be seen again
		waiting := map[ID]Change{} // what is new meanwhile
		timer := time.NewTimer(time.Hour)
		defer timer.Stop()
		for {
			now, next := time.Now(), time.Hour
			for _, id := range slices.Sorted(maps.Keys(waiting)) {
				if wait := due[id].Sub(now); wait > 0 {
					next = min(next, wait)
					continue
				}
				c := waiting[id]
				delete(waiting, id)
				due[id] = now.Add(v.Interval)
				if !yield(c) {
					return
				}
			}
			timer.Reset(next)
			select {
			case c, ok := <-changes:
				if !ok {
					return
				}
				if c.Data == nil {
					delete(waiting, c.Meter)
					delete(due, c.Meter)
					if !yield(c) {
						return
					}
					continue
				}
				waiting[c.Meter] = joined(waiting[c.Meter], c)
			case <-timer.C:
			}
		}
	}
}

// joined is a change that has what another one before it brought.
func joined(before, c Change) Change {
	if before.Data == nil {
		return c
	}
	set := slices.Concat(before.Set, c.Set)
	slices.Sort(set)
	c.Set = slices.Compact(set)
	if len(before.Data.Profiles)+len(before.Data.Events) > 0 {
		d := *c.Data
		d.Profiles = slices.Concat(before.Data.Profiles, d.Profiles)
		d.Events = slices.Concat(before.Data.Events, d.Events)
		c.Data = &d
	}
	return c
}

func (v *viewed) After(seq uint64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		shown := map[ID]time.Time{}
		for c, err := range v.of.After(seq) {
			if err != nil {
				if !yield(Change{}, err) {
					return
				}
				continue
			}
			c, ok := v.seen(c)
			if !ok {
				continue
			}
			if c.Data != nil && v.Interval > 0 && len(c.Data.Profiles)+len(c.Data.Events) == 0 {
				if at, known := shown[c.Meter]; known && c.Received.Sub(at) < v.Interval {
					continue
				}
				shown[c.Meter] = c.Received
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (v *viewed) Rows(name ID, profile obis.Code, from, to time.Time) iter.Seq2[*obis.Profile, error] {
	return func(yield func(*obis.Profile, error) bool) {
		id, ok := v.real(name)
		if !ok {
			return
		}
		for p, err := range v.of.Rows(id, profile, from, to) {
			if err == nil {
				if p = v.profile(p); p == nil {
					continue
				}
			}
			if !yield(p, err) {
				return
			}
		}
	}
}
