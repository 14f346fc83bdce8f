package cosem

import (
	"github.com/openusm/meter/obis"
)

// Events turns the rows of a log into events. The event's number is taken from
// the column that holds event codes (0-x:96.11.x), else from the first column
// of whole numbers; the other columns become parameters.
func Events(p *obis.Profile) []obis.Event {
	number := eventColumn(p)
	events := make([]obis.Event, 0, p.Len())
	for row, at := range p.Times {
		e := obis.Event{Log: p.Code, Time: at, Quality: p.Quality.At(row)}
		for i := range p.Columns {
			c := &p.Columns[i]
			v := c.At(row)
			if i == number {
				e.ID = eventNumber(v)
				continue
			}
			if v.IsNone() {
				continue
			}
			e.Params = append(e.Params, obis.Reading{
				Code: c.Code, Unit: c.Unit, Rule: c.Rule, Value: v, Time: at, Quality: c.Quality.At(row), RawID: c.RawID, Source: obis.NoSource,
			})
		}
		events = append(events, e)
	}
	return events
}

func eventColumn(p *obis.Profile) int {
	numeric := -1
	for i := range p.Columns {
		c := &p.Columns[i]
		if c.Code[0] == 0 && c.Code[2] == 96 && c.Code[3] == 11 {
			return i
		}
		if numeric < 0 && len(c.Nums) > 0 {
			numeric = i
		}
	}
	return numeric
}

func eventNumber(v obis.Value) uint32 {
	if n, ok := v.Enum(); ok {
		return uint32(n)
	}
	n, _, _ := v.Uint64()
	return uint32(min(n, 1<<32-1))
}
