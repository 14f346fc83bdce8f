package tables

import (
	"fmt"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/obis"
)

// codeLog is the standard event log.
var codeLog = obis.Code{0, 0, 99, 98, 0, 255}

// AppendEvents appends the entries of the history log (table 74) or the event log
// (table 76), the oldest first. On an error the entries before the fault are
// returned with it.
func (d *Device) AppendEvents(dst []obis.Event, table uint16, b []byte) ([]obis.Event, error) {
	var all []obis.Event
	var status struct {
		descending  bool
		valid, last int
	}
	err := d.Walk(table, b, func(f *Field) {
		n, _, _ := f.Value.Decimal()
		switch f.Name {
		case "ORDER":
			status.descending = n != 0
		case "NBR_VALID_ENTRIES":
			status.valid = int(n)
		case "LAST_ENTRY_ELEMENT":
			status.last = int(n)
		}
		if len(f.Path) < 2 || f.Path[0].Name != "ENTRIES" {
			return
		}
		for len(all) <= f.Path[0].Index {
			all = append(all, obis.Event{Log: codeLog})
		}
		event(&all[len(all)-1], f)
	})
	n := len(all)
	valid := min(status.valid, n)
	for i := range valid {
		at := i
		switch {
		case status.descending:
			at = valid - 1 - i
		case status.last < n && err == nil:
			at = (status.last - valid + 1 + i + n) % n
		}
		dst = append(dst, all[at])
	}
	return dst, err
}

// event takes a field of an entry.
func event(e *obis.Event, f *Field) {
	n, _, _ := f.Value.Decimal()
	switch f.Name {
	case "HISTORY_TIME", "EVENT_TIME":
		e.Time, _ = f.Value.Time()
	case "HISTORY_CODE", "EVENT_CODE":
		e.ID = uint32(n & 0x0FFF)
		if n&manufacturerTable == 0 {
			e.Text = ansic12.EventText(uint16(n & tableNumber))
		} else {
			e.Text = fmt.Sprintf("manufacturer's event %d", n&tableNumber)
		}
	case "USER_ID", "HISTORY_ARGUMENT", "EVENT_ARGUMENT", "EVENT_NUMBER", "HISTORY_SEQ_NBR", "EVENT_SEQ_NBR":
		if b, ok := f.Value.Bytes(); ok && len(b) == 0 {
			return
		}
		e.Params = append(e.Params, obis.Reading{Value: f.Value, RawID: []byte(f.Name), Rule: obis.RuleNone, Source: obis.NoSource})
	}
}
