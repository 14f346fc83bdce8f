// Package result is what was read from a meter or a capture, and its JSON form.
// It knows no protocol: tools that only handle results need not link them.
package result

import (
	"fmt"
	"slices"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Protocol names what a meter or a capture speaks.
type Protocol string

// Result is what was read from a meter or a capture.
type Result struct {
	Protocol Protocol // "dlms", "mbus", …
	Meter    obis.Meter
	Readings []obis.Reading
	Profiles []*obis.Profile
	Events   []obis.Event
	Layers   []Layer  // what was unwrapped, outermost first
	Warnings []string // what could not be read or verified, for people

	// Received is when we got it, by our clock; zero where nobody said.
	Received time.Time

	// Sources hold what the protocol knew of a reading and the model does not; a
	// Reading's Source is the index. An entry may be nil.
	Sources []Source
	// Clock turns local times into instants for MarshalJSON.
	Clock obis.Clock
}

// Source is what a protocol knows of a reading besides the model. It keeps the
// octets, and makes text only when it is asked for it.
type Source interface {
	// AppendJSON appends a JSON object.
	AppendJSON(dst []byte) []byte
	// Clone puts sources with memory of their own in the place of those at the start of
	// list, of which it is the first, that are of its kind or nil, and returns how many.
	Clone(list []Source) int
}

// Layer is one protocol layer of a frame, under its standard's name.
type Layer struct {
	Name     string
	Control  string
	Security string // how it was protected; "" for not at all
	Tag      Tag
	Counter  uint32 // invocation or message counter, where Counted
	Counted  bool
}

// Tag says what is known of the authentication tag of a layer.
type Tag uint8

// What is known of a tag.
const (
	TagNone      Tag = iota // there is none
	TagUnchecked            // there is one, and no key to check it
	TagVerified             // it was right
)

// Reset empties r and keeps its memory.
func (r *Result) Reset() {
	*r = Result{
		Readings: r.Readings[:0], Profiles: r.Profiles[:0], Events: r.Events[:0],
		Layers: r.Layers[:0], Warnings: r.Warnings[:0], Sources: r.Sources[:0],
	}
}

// Clone returns the result with memory of its own.
func (r *Result) Clone() *Result {
	c := *r
	c.Readings, c.Sources = slices.Clone(r.Readings), slices.Clone(r.Sources)
	return c.Detach()
}

// Detach is Clone that takes the lists of readings and sources along: r has none any more.
func (r *Result) Detach() *Result {
	c := *r
	r.Readings, r.Sources = nil, nil
	obis.OwnReadings(c.Readings)
	c.Profiles = make([]*obis.Profile, len(r.Profiles))
	for i, p := range r.Profiles {
		c.Profiles[i] = p.Clone()
	}
	c.Events = slices.Clone(r.Events)
	size := 0
	for i := range c.Events {
		size += len(c.Events[i].Params)
	}
	params := make([]obis.Reading, 0, size)
	for i := range c.Events {
		n := len(params)
		params = append(params, c.Events[i].Params...)
		c.Events[i].Params = params[n:len(params):len(params)]
	}
	obis.OwnReadings(params)
	c.Layers, c.Warnings = slices.Clone(r.Layers), slices.Clone(r.Warnings)
	for rest := c.Sources; len(rest) > 0; {
		n := 1
		if rest[0] != nil {
			n = rest[0].Clone(rest)
		}
		rest = rest[n:]
	}
	return &c
}

// Copies puts copies of the sources at the start of list that are of kind P in
// their place, and returns the piece of memory in which they lie.
func Copies[P interface {
	*T
	Source
}, T any](list []Source) []T {
	n := 0
	for n < len(list) {
		if _, same := list[n].(P); !same && list[n] != nil {
			break
		}
		n++
	}
	all := make([]T, n)
	for i := range all {
		if s, ok := list[i].(P); ok {
			all[i] = *s
			list[i] = P(&all[i])
		}
	}
	return all
}

// Add appends the content of o, whose memory it goes on to use.
func (r *Result) Add(o *Result) {
	if r.Protocol == "" {
		r.Protocol = o.Protocol
	}
	if r.Meter.ID == "" && o.Meter != (obis.Meter{}) || o.Meter.ID != "" && (r.Meter.ID == o.Meter.ID || r.Meter.Serial == o.Meter.Serial) {
		r.Meter = o.Meter // what is known of a meter grows
	}
	base := uint32(len(r.Sources))
	n := len(r.Readings)
	r.Readings = append(r.Readings, o.Readings...)
	shift := func(list []obis.Reading) {
		for i := range list {
			if list[i].Source != obis.NoSource {
				list[i].Source += base
			}
		}
	}
	shift(r.Readings[n:])
	for i := range o.Events {
		shift(o.Events[i].Params)
	}
	r.Sources = append(r.Sources, o.Sources...)
	r.Profiles = append(r.Profiles, o.Profiles...)
	r.Events = append(r.Events, o.Events...)
	r.Layers = append(r.Layers, o.Layers...)
	r.Warnings = append(r.Warnings, o.Warnings...)
}

// Warn adds a warning.
func (r *Result) Warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Mark flags all readings, rows and events.
func (r *Result) Mark(f obis.Flags) {
	for i := range r.Readings {
		r.Readings[i].Quality.Flags |= f
	}
	for i := range r.Events {
		r.Events[i].Quality.Flags |= f
	}
	for _, p := range r.Profiles {
		var marked obis.Runs
		for row := range p.Len() {
			marked.Add(row, p.Quality.At(row).With(f))
		}
		p.Quality = marked
	}
}

// Data returns what the result says, for a mapping or a site. It shares the memory of r.
func (r *Result) Data() *mapping.Data {
	return &mapping.Data{Meter: r.Meter, Readings: r.Readings, Profiles: r.Profiles, Events: r.Events, Clock: r.Clock, Received: r.Received}
}

// Verified reports whether a layer's tag was right.
func (r *Result) Verified() bool {
	return slices.ContainsFunc(r.Layers, func(l Layer) bool { return l.Tag == TagVerified })
}

// Choose keeps the readings that match one of the patterns, where there are any,
// and returns the patterns that match none.
func (r *Result) Choose(patterns []obis.Pattern) (missing []string) {
	if len(patterns) == 0 {
		return nil
	}
	matched := make([]bool, len(patterns))
	kept := r.Readings[:0]
	for _, x := range r.Readings {
		keep := false
		for i, p := range patterns {
			if p.Match(x.Code) {
				keep, matched[i] = true, true
			}
		}
		if keep {
			kept = append(kept, x)
		}
	}
	r.Readings = kept
	for i, p := range patterns {
		if !matched[i] {
			missing = append(missing, p.String())
		}
	}
	return missing
}
