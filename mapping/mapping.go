// Package mapping holds what all mappings from the OBIS model to other documents
// share: what goes in ([Data]), the rules that say where it goes ([Table]), and
// what was lost on the way ([Loss]). Each mapping is a pure package below this
// one, named after what it makes, and returns beside its document what it could
// not carry.
package mapping

import (
	"fmt"

	"github.com/openusm/meter/obis"
)

// Data is what a meter said, for a mapping to carry.
type Data struct {
	Meter    obis.Meter
	Readings []obis.Reading
	Profiles []*obis.Profile
	Events   []obis.Event
	Clock    obis.Clock // turns the meter's times into instants
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
// event, or of several. Mappings tell each kind of loss once; see [Gather].
type Loss struct {
	Part   Part
	Index  int        // index of the reading (or the profile, or the event) in the mapper's input
	More   []int      // the others that lost the same
	Rows   int        // of profiles: how many of their rows; 0 where it is not of rows
	Flags  obis.Flags // quality flags that have no counterpart
	Reason string     // what else was lost, and why; "" where only flags were
}

// String says what was lost.
func (l Loss) String() string { return l.of(fmt.Sprintf("%v %d", l.Part, l.Index)) }

// of says what was lost of what has the name first, and of others like it.
func (l *Loss) of(first string) string {
	if len(l.More) > 0 {
		first = fmt.Sprintf("%s and %d more", first, len(l.More))
	}
	rows := ""
	if l.Rows > 0 {
		rows = fmt.Sprintf(" (%d rows)", l.Rows)
	}
	switch {
	case l.Reason == "":
		return fmt.Sprintf("%s: quality %v not carried%s", first, l.Flags, rows)
	case l.Flags == 0:
		return first + ": " + l.Reason + rows
	}
	return fmt.Sprintf("%s: %s; quality %v not carried%s", first, l.Reason, l.Flags, rows)
}

// Gather makes one loss of those of one kind, in the order of the first of each.
func Gather(lost []Loss) []Loss {
	if len(lost) < 2 {
		return lost
	}
	type kind struct {
		part   Part
		flags  obis.Flags
		reason string
	}
	seen := make(map[kind]int, len(lost))
	out := lost[:0]
	for _, l := range lost {
		k := kind{l.Part, l.Flags, l.Reason}
		i, known := seen[k]
		if !known {
			seen[k] = len(out)
			out = append(out, l)
			continue
		}
		first := &out[i]
		first.Rows += l.Rows
		if last := first.last(); l.Index != last {
			first.More = append(first.More, l.Index)
		}
		first.More = append(first.More, l.More...)
	}
	return out
}

func (l *Loss) last() int {
	if n := len(l.More); n > 0 {
		return l.More[n-1]
	}
	return l.Index
}

// Describe says what was lost, and of which reading.
func (d *Data) Describe(l Loss) string {
	if l.Part == Reading && l.Index < len(d.Readings) {
		return l.of(d.Readings[l.Index].ID())
	}
	return l.String()
}

// ReadingsOnly returns what a target loses that has neither profiles nor events.
func ReadingsOnly(d *Data) (lost []Loss) {
	for i := range d.Profiles {
		lost = append(lost, Loss{Part: Profile, Index: i, Reason: "this target has no profiles"})
	}
	for i := range d.Events {
		lost = append(lost, Loss{Part: Event, Index: i, Flags: d.Events[i].Quality.Flags, Reason: "this target has no events"})
	}
	return Gather(lost)
}
