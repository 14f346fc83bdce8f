// Package mapping holds what all mappings from OBIS readings to other
// documents share. Each mapping is a pure package below this one, named after
// what it makes, and returns beside its document what it could not carry.
package mapping

import (
	"fmt"

	"github.com/openusm/meter/obis"
)

// Loss is something of a reading that a document could not carry.
type Loss struct {
	Reading int        // index of the reading in the mapper's input
	Flags   obis.Flags // quality flags that have no counterpart
	Reason  string     // what else was lost, and why; "" where only flags were
}

// String says what was lost.
func (l Loss) String() string {
	switch {
	case l.Reason == "":
		return fmt.Sprintf("reading %d: quality %v not carried", l.Reading, l.Flags)
	case l.Flags == 0:
		return fmt.Sprintf("reading %d: %s", l.Reading, l.Reason)
	}
	return fmt.Sprintf("reading %d: %s; quality %v not carried", l.Reading, l.Reason, l.Flags)
}
