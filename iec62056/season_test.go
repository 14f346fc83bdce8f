package iec62056

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// The rows of one header are as far apart as its period says, also where clocks
// are changed between them, and where the header does not say in which season it
// begins.
func TestProfileOverAChangeOfSeason(t *testing.T) {
	for _, test := range []struct{ zone, first string }{
		{"Europe/Berlin", "2026-10-25T00:45:00Z"}, {"Europe/Berlin", "2026-03-29T00:15:00Z"},
		{"America/New_York", "2026-11-01T04:45:00Z"}, {"America/New_York", "2026-03-08T06:15:00Z"},
		{"Europe/Dublin", "2026-10-25T00:15:00Z"}, {"Europe/Dublin", "2026-03-29T00:15:00Z"},
		{"Australia/Lord_Howe", "2026-04-04T14:00:00Z"}, {"Australia/Lord_Howe", "2026-10-03T15:00:00Z"},
		{"Africa/Casablanca", "2026-02-15T01:15:00Z"}, {"Africa/Casablanca", "2026-03-22T01:15:00Z"},
	} {
		zone, err := time.LoadLocation(test.zone)
		require.NoError(t, err)
		first, err := time.Parse(time.RFC3339, test.first)
		require.NoError(t, err)
		local := first.In(zone)
		season := "0"
		if obis.IsDST(local) {
			season = "1"
		}
		for _, digit := range []string{season, ""} {
			all, err := ParseProfiles([]byte(fmt.Sprintf("P.01(%s%s)(00)(15)(1)(1.5)(kW)\r\n%s", digit, local.Format("060102150405"), strings.Repeat("(1)\r\n", 24))))
			require.NoError(t, err)
			require.Equal(t, 24, all[0].Len())
			for n, shown := range all[0].Times {
				at, ok := shown.Instant(obis.Clock{Zone: zone})
				require.True(t, ok)
				require.Equal(t, first.Add(time.Duration(n)*15*time.Minute).Format(time.RFC3339), at.UTC().Format(time.RFC3339), "%s %q row %d", test.zone, digit, n)
			}
		}
	}
	// Days end at midnight.
	all, err := ParseProfiles([]byte("P.02(1261024000000)(00)(1440)(1)(1.8)(kWh)\r\n(1)\r\n(2)\r\n(3)\r\n"))
	require.NoError(t, err)
	require.Equal(t, "2026-10-26T00:00:00", all[0].Times[2].String())
	berlin, _ := time.LoadLocation("Europe/Berlin")
	at, ok := all[0].Times[2].Instant(obis.Clock{Zone: berlin})
	require.True(t, ok)
	require.Equal(t, "2026-10-26T00:00:00+01:00", at.Format(time.RFC3339))
}
