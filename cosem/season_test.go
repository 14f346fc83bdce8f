package cosem

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// Rows whose clock is left out are one period later, whatever the clocks do, with
// a deviation or without.
func TestRowsOverAChangeOfSeason(t *testing.T) {
	for _, test := range []struct{ zone, first string }{
		{"Europe/Berlin", "2026-10-25T00:30:00Z"}, {"Europe/Berlin", "2026-03-29T00:30:00Z"}, {"America/New_York", "2026-11-01T05:30:00Z"},
		{"Europe/Dublin", "2026-10-25T00:30:00Z"}, {"Australia/Lord_Howe", "2026-04-04T14:30:00Z"}, {"Africa/Casablanca", "2026-02-15T01:30:00Z"},
	} {
		zone, err := time.LoadLocation(test.zone)
		require.NoError(t, err)
		first, err := time.Parse(time.RFC3339, test.first)
		require.NoError(t, err)
		for _, deviation := range []bool{true, false} {
			stamp := obis.FromTime(first.In(zone))
			if !deviation {
				stamp.Deviation = obis.DeviationUnspecified
			}
			raw, _ := stamp.AppendBinary(nil)
			l := Layout{Name: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []Column{
				{Capture: Capture{Attribute: Attribute{ClassClock, obis.MustParse("0-0:1.0.0"), 2}}},
				{Capture: Capture{Attribute: Attribute{ClassRegister, obis.MustParse("1-0:1.8.0"), 2}}, ScalerUnit: ScalerUnit{0, obis.WattHour, true}},
			}}
			rows := []Data{Structure(OctetString(raw), Uint32(1))}
			for range 20 {
				rows = append(rows, Structure(Null(), Uint32(1)))
			}
			var p obis.Profile
			l.Describe(&p)
			require.NoError(t, l.Append(&p, Array(rows...)))
			for n, shown := range p.Times {
				at, ok := shown.Instant(obis.Clock{Zone: zone})
				require.True(t, ok)
				require.Equal(t, first.Add(time.Duration(n)*15*time.Minute), at.UTC(), "%s row %d", test.zone, n)
			}
		}
	}
}
