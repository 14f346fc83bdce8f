// Package mapping holds what all mappings from the OBIS model to other documents
// share: what goes in ([Data]), the rules that say where it goes ([Table]), and
// what was lost on the way ([Loss]). Each mapping is a pure package below this
// one, named after what it makes, and returns beside its document what it could
// not carry.
package mapping

import (
	"fmt"
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
	Received time.Time  // when it came, by our clock; zero where nobody said
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

// Loss is something that a document could not carry.
type Loss struct {
	Part   Part
	Index  int        // index of the reading (or the profile, or the event) in the mapper's input
	Flags  obis.Flags // quality flags that have no counterpart
	Reason string     // what else was lost, and why; "" where only flags were
}

// String says what was lost.
func (l Loss) String() string {
	switch {
	case l.Reason == "":
		return fmt.Sprintf("%v %d: quality %v not carried", l.Part, l.Index, l.Flags)
	case l.Flags == 0:
		return fmt.Sprintf("%v %d: %s", l.Part, l.Index, l.Reason)
	}
	return fmt.Sprintf("%v %d: %s; quality %v not carried", l.Part, l.Index, l.Reason, l.Flags)
}

// Describe says what was lost, and of which reading.
func (d *Data) Describe(l Loss) string {
	if l.Part == Reading && l.Index < len(d.Readings) {
		return d.Readings[l.Index].ID() + ": " + l.String()
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
	return lost
}
