package tables_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// The intervals of a block end where elapsed time says, also where clocks were
// changed within it; in the hour that occurs twice the status of the last interval
// tells when the block ended.
func TestBlockOverAChangeOfSeason(t *testing.T) {
	p, raw := block(t)
	status := len(raw) / 96 // five octets of the end before
	for _, test := range []struct{ zone, end string }{
		{"America/New_York", "2026-11-02T04:45:00Z"}, {"America/New_York", "2026-11-01T05:45:00Z"}, {"America/New_York", "2026-11-01T06:45:00Z"},
		{"America/New_York", "2026-03-08T20:00:00Z"}, {"Europe/Berlin", "2026-10-25T10:00:00Z"}, {"Europe/Dublin", "2026-10-25T01:15:00Z"},
		{"Australia/Lord_Howe", "2026-04-04T15:00:00Z"}, {"Australia/Lord_Howe", "2026-04-04T20:00:00Z"}, {"Africa/Casablanca", "2026-02-15T02:30:00Z"},
	} {
		zone, err := time.LoadLocation(test.zone)
		require.NoError(t, err)
		end, err := time.Parse(time.RFC3339, test.end)
		require.NoError(t, err)
		local := end.In(zone)
		b := append([]byte(nil), raw...)
		copy(b, []byte{byte(local.Year() - 2000), byte(local.Month()), byte(local.Day()), byte(local.Hour()), byte(local.Minute())})
		for k := range 96 {
			b[5+k*status] &^= 0x10
			if obis.IsDST(end.Add(time.Duration(k-95) * 15 * time.Minute).In(zone)) {
				b[5+k*status] |= 0x10
			}
		}
		var dst obis.Profile
		p.Describe(&dst)
		require.NoError(t, p.AppendBlock(&dst, b, 96))
		for k, shown := range dst.Times {
			at, ok := shown.Instant(obis.Clock{Zone: zone})
			require.True(t, ok)
			require.Equal(t, end.Add(time.Duration(k-95)*15*time.Minute), at.UTC(), "%s %s interval %d", test.zone, test.end, k)
		}
	}
}
