package cosemsim

import (
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/obis"
)

// row is one row of a profile.
type row struct {
	at    time.Time
	cells []cosem.Data
}

// addProfile adds an object of class Profile generic, sorted by its clock.
func (m *Meter) addProfile(name string, columns []cosem.Capture, period, entries uint32, rows func() []row) {
	m.add(cosem.ClassProfileGeneric, name, 8, func(index int8, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
		switch index {
		case 2:
			return selectRows(columns, rows(), s)
		case 3:
			return cosem.CaptureObjects(columns), cosem.Success
		case 4:
			return cosem.Uint32(period), cosem.Success
		case 5:
			return cosem.Enum(1), cosem.Success // FIFO
		case 6:
			return cosem.CaptureObjects(columns[:1]).At(0), cosem.Success
		case 7:
			return cosem.Uint32(uint32(len(rows()))), cosem.Success
		}
		return cosem.Uint32(entries), cosem.Success
	})
}

// selectRows returns the rows, or those that a selection names.
func selectRows(columns []cosem.Capture, rows []row, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	first, last := 0, len(columns)
	var pick []int
	switch {
	case s == nil:
	case s.Selector == 1:
		r, ok := s.Range()
		if !ok {
			return cosem.Data{}, cosem.TypeUnmatched
		}
		from, ok1 := instant(r.From, rows)
		to, ok2 := instant(r.To, rows)
		if !ok1 || !ok2 || r.Restricting.Class != cosem.ClassClock {
			return cosem.Data{}, cosem.TypeUnmatched
		}
		rows = within(rows, from, to)
		for _, want := range r.Columns {
			for i, c := range columns {
				if c == want {
					pick = append(pick, i)
				}
			}
		}
	case s.Selector == 2:
		e, ok := s.Entries()
		if !ok || e.FirstRow == 0 || e.FirstColumn == 0 || int(e.FirstColumn) > len(columns) || int(e.LastColumn) > len(columns) {
			return cosem.Data{}, cosem.TypeUnmatched
		}
		end := len(rows)
		if e.LastRow != 0 {
			end = min(end, int(e.LastRow))
		}
		rows = rows[min(int(e.FirstRow)-1, end):end]
		if first = int(e.FirstColumn) - 1; e.LastColumn != 0 {
			last = int(e.LastColumn)
		}
	default:
		return cosem.Data{}, cosem.TypeUnmatched
	}
	list := make([]cosem.Data, len(rows))
	for i, r := range rows {
		cells := r.cells[first:max(first, last)]
		if pick != nil {
			cells = nil
			for _, k := range pick {
				cells = append(cells, r.cells[k])
			}
		}
		list[i] = cosem.Structure(cells...)
	}
	return cosem.Array(list...), cosem.Success
}

func within(rows []row, from, to time.Time) []row {
	var kept []row
	for _, r := range rows {
		if !r.at.Before(from) && !r.at.After(to) {
			kept = append(kept, r)
		}
	}
	return kept
}

// instant reads a bound of a range; a time without deviation is in the zone of the meter.
func instant(d cosem.Data, rows []row) (time.Time, bool) {
	t, ok := d.Time()
	if !ok {
		return time.Time{}, false
	}
	zone := time.UTC
	if len(rows) > 0 {
		zone = rows[0].at.Location()
	}
	return t.Instant(obis.Clock{Zone: zone})
}
