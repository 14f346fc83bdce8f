package tables

import (
	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/obis"
)

// Decoded is what a single table shows.
type Decoded struct {
	Name     string // of the table
	Meter    obis.Meter
	Readings []obis.Reading
	Sources  []ansic12.Source // a reading's Source is the index
	Events   []obis.Event
}

// Decode reads one table on its own. Its layout follows from table 00, which
// may be nil for tables that do not depend on it (then the low octet is first), and
// for some tables from others, which may be given as more; what cannot be read without
// them is an error. What was read before the fault is returned with it.
func Decode(table00 []byte, table uint16, b []byte, more map[uint16][]byte) (Decoded, error) {
	d := Bare(Config{})
	if table == 0 && table00 == nil {
		table00 = b
	}
	if table00 != nil {
		var err error
		if d, err = NewDevice(table00); err != nil {
			return Decoded{}, err
		}
	}
	// Limits come before what they limit.
	for _, n := range []uint16{1, 3, 5, 11, 12, 15, 16, 21, 22, 27, 41, 51, 61, 62, 63, 71} {
		if other, ok := more[n]; ok {
			if err := d.Add(n, other); err != nil {
				return Decoded{}, err
			}
		}
	}
	out := Decoded{Name: d.Name(table)}
	var err error
	out.Readings, out.Sources, err = d.AppendReadings(nil, nil, table, b)
	if table == 1 || table == 5 {
		_ = d.Add(table, b)
		out.Meter = d.Meter()
	}
	if err == nil && (table == 74 || table == 76) {
		out.Events, err = d.AppendEvents(nil, table, b)
	}
	return out, err
}
