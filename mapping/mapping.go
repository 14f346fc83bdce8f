// Package mapping holds what all mappings from the OBIS model to other documents
// share: what goes in ([Data]), the rules that say where it goes ([Table]), and
// what was lost on the way ([Loss]). Each mapping is a pure package below this
// one, named after what it makes, and returns beside its document what it could
// not carry.
package mapping

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openusm/meter/obis"
)

// Data is what a meter said, for a mapping to carry.
type Data struct {
	Meter    obis.Meter
	Readings []obis.Reading
	Profiles []*obis.Profile
	Events   []obis.Event
	Clock    obis.Clock // turns the meter's times into instants
	Received time.Time  // when we got it, by our clock; zero where nobody said
}

// Part is a part of [Data].
type Part uint8

// The parts.
const (
	Reading Part = iota
	Profile
	Event
)

var partNames = [...]string{"reading", "profile", "event"}

// String returns "reading", "profile" or "event".
func (p Part) String() string { return partNames[p] }

// Loss is something that a document could not carry of one reading, profile or
// event, or of several. Mappings tell each kind of loss once; see [Data.Gather].
type Loss struct {
	Part   Part
	Index  int        // index of the reading (or the profile, or the event) in the mapper's input
	More   []int      // the others that lost the same
	Names  []string   // the ids of the first readings of them
	Rows   int        // of profiles: how many of their rows; 0 where it is not of rows
	Flags  obis.Flags // quality flags that have no counterpart
	Reason string     // what else was lost, and why; "" where only flags were
}

// maxNames is how many readings a loss names.
const maxNames = 5

// String says what was lost, and of what.
func (l Loss) String() string {
	out := fmt.Appendf(nil, "%v %d", l.Part, l.Index)
	if len(l.More) > 0 {
		out = fmt.Appendf(out, " and %d more", len(l.More))
	}
	out = append(append(out, ": "...), l.Reason...)
	if l.Flags != 0 {
		if l.Reason != "" {
			out = append(out, "; "...)
		}
		out = fmt.Appendf(out, "quality %v not carried", l.Flags)
	}
	switch {
	case l.Rows == 1:
		out = append(out, " (1 row)"...)
	case l.Rows > 1:
		out = fmt.Appendf(out, " (%d rows)", l.Rows)
	case len(l.Names) > 0 && len(l.Names) <= len(l.More):
		out = fmt.Appendf(out, " (%s, …)", strings.Join(l.Names, ", "))
	case len(l.Names) > 0:
		out = fmt.Appendf(out, " (%s)", strings.Join(l.Names, ", "))
	}
	return string(out)
}

// Gather makes one loss of those of one kind, in the order of the first of each,
// and names the readings.
func (d *Data) Gather(lost []Loss) []Loss {
	type kind struct {
		part   Part
		flags  obis.Flags
		reason string
	}
	var seen map[kind]int
	if len(lost) > 1 {
		seen = make(map[kind]int, len(lost))
	}
	out := lost[:0]
	for _, l := range lost {
		k := kind{l.Part, l.Flags, l.Reason}
		i, known := seen[k]
		if !known {
			if seen != nil {
				seen[k] = len(out)
			}
			i = len(out)
			out = append(out, l)
		}
		first := &out[i]
		if known {
			first.Rows += l.Rows
			if l.Index == first.last() {
				continue
			}
			first.More = append(first.More, l.Index)
		}
		switch {
		case len(l.Names) > 0 && !known: // it has been gathered before
		case len(l.Names) > 0:
			first.Names = append(first.Names, l.Names...)
		case l.Part == Reading && l.Index < len(d.Readings):
			if id := d.Readings[l.Index].ID(); id != "" {
				first.Names = append(first.Names, id)
			}
		}
		first.Names = first.Names[:min(len(first.Names), maxNames)]
	}
	return out
}

// last returns the index of the last one that lost the same.
func (l *Loss) last() int {
	if n := len(l.More); n > 0 {
		return l.More[n-1]
	}
	return l.Index
}

// Describe says what was lost, and of which reading.
func (d *Data) Describe(l Loss) string {
	if l.Part == Reading && l.Index < len(d.Readings) && len(l.Names) == 0 {
		l.Names = []string{d.Readings[l.Index].ID()}
	}
	return l.String()
}

// TimeLost says what the instant of a time does not tell, "" where it tells all.
func TimeLost(t obis.Time) string {
	const doubtful = obis.TimeInvalid | obis.TimeDoubtful | obis.TimeDifferentBase | obis.TimeBadStatus
	if t.Status != obis.TimeUnspecified && t.Status&doubtful != 0 {
		return "that its time is not to be relied upon"
	}
	return ""
}

// ReadingsOnly returns what a target loses that has neither profiles nor events.
func ReadingsOnly(d *Data) (lost []Loss) {
	for i := range d.Profiles {
		lost = append(lost, Loss{Part: Profile, Index: i, Reason: "this target has no profiles"})
	}
	for i := range d.Events {
		lost = append(lost, Loss{Part: Event, Index: i, Flags: d.Events[i].Quality.Flags, Reason: "this target has no events"})
	}
	return d.Gather(lost)
}

// StatusLost returns what a target loses that has no place for the meter's own
// status words.
func StatusLost(d *Data) (lost []Loss) {
	const reason = "the meter's own status word"
	for i := range d.Readings {
		if d.Readings[i].Quality.Raw != 0 {
			lost = append(lost, Loss{Index: i, Reason: reason})
		}
	}
	for i, p := range d.Profiles {
		if hasStatus(p) {
			lost = append(lost, Loss{Part: Profile, Index: i, Reason: reason})
		}
	}
	for i := range d.Events {
		if d.Events[i].Quality.Raw != 0 {
			lost = append(lost, Loss{Part: Event, Index: i, Reason: reason})
		}
	}
	return lost
}

// hasStatus reports whether a row or a cell of the profile has a status word.
func hasStatus(p *obis.Profile) bool {
	said := func(r obis.Run) bool { return r.Quality.Raw != 0 }
	return slices.ContainsFunc(p.Quality, said) || slices.ContainsFunc(p.Columns, func(c obis.Column) bool { return slices.ContainsFunc(c.Quality, said) })
}
