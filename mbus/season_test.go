package mbus

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// The elements of a compact profile of hours are hours apart, those of one of
// days come at the same time of each day.
func TestCompactProfileOverAChangeOfSeason(t *testing.T) {
	for _, test := range []struct{ zone, base string }{
		{"Europe/Berlin", "2026-10-25T00:30:00Z"}, {"Europe/Berlin", "2026-03-29T00:30:00Z"},
		{"America/New_York", "2026-11-01T05:30:00Z"}, {"Europe/Dublin", "2026-10-25T00:30:00Z"},
		{"Australia/Lord_Howe", "2026-04-04T14:30:00Z"}, {"Australia/Lord_Howe", "2026-10-03T15:00:00Z"}, {"Africa/Casablanca", "2026-02-15T01:30:00Z"},
	} {
		zone, err := time.LoadLocation(test.zone)
		require.NoError(t, err)
		base, err := time.Parse(time.RFC3339, test.base)
		require.NoError(t, err)
		for vife, sign := range map[byte]int{0x1F: 1, 0x13: -1} {
			for unit, step := range map[byte]func(time.Time, int) time.Time{
				2: func(t time.Time, n int) time.Time { return t.Add(time.Duration(n) * time.Hour) },
				3: func(t time.Time, n int) time.Time { return t.AddDate(0, 0, n) },
			} {
				b := []byte{0x78, 0x44, 0x6D}
				b, err = AppendTimeF(b, base.In(zone))
				require.NoError(t, err)
				b = append(b, 0x44, 0x13, 100, 0, 0, 0, 0x4D, 0x93, vife, 10, 0x40|unit<<4|1, 1, 1, 2, 3, 4, 5, 6, 7, 8)
				var d Decoder
				tg, err := d.Parse(b, Lower{})
				require.NoError(t, err)
				require.NoError(t, tg.Broken)
				p := d.AppendProfiles(nil, &tg)
				require.Len(t, p, 1)
				for n, shown := range p[0].Times {
					at, ok := shown.Instant(obis.Clock{Zone: zone})
					require.True(t, ok)
					require.Equal(t, step(base.In(zone), sign*(n+1)).UTC(), at.UTC(), "%s unit %d row %d", test.zone, unit, n)
				}
			}
		}
	}
}
