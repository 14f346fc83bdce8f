package iec62056

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

// A value that a line has lost does not move those of all rows behind it into
// other columns; a row that is several lines, or a line that is several rows, is read as it is.
func TestRowsThatLostAValue(t *testing.T) {
	const head = "P.01(1261120001500)(00)(15)(2)(1.5)(kW)(1.8.0)(kWh)\r\n"
	for rows, want := range map[string]string{
		"(0.1)(5)\r\n(6)\r\n(0.3)(7)\r\n":            "100 5000 | 6000! ! | 300 7000",
		"(0.1)(5)\r\n(0.2)(6)(1)\r\n(0.3)(7)\r\n":    "100 5000 | 200! 6000! | 300 7000",
		"(0.1)(5)\r\n(0.2)\r\n(6)\r\n(0.3)(7)\r\n":   "100 5000 | 200 6000 | 300 7000",
		"(0.1)\r\n(5)\r\n(0.2)\r\n(6)\r\n":           "100 5000 | 200 6000",
		"(0.1)(5)(0.2)(6)\r\n(0.3)(7)\r\n":           "100 5000 | 200 6000 | 300 7000",
		"(0.1)(5)\r\n(0.2)(6)(0.3)(7)\r\n(1)(2)\r\n": "100 5000 | 200 6000 | 300 7000 | 1000 2000",
	} {
		profiles, err := ParseProfiles([]byte(head + rows + "!\r\n"))
		require.NoError(t, err, rows)
		require.Len(t, profiles, 1)
		p, got := profiles[0], ""
		for row := range p.Len() {
			if row > 0 {
				got += " | "
			}
			for i := range p.Columns {
				if i > 0 {
					got += " "
				}
				f, _ := p.Columns[i].At(row).Float64()
				if p.Columns[i].At(row).Kind() != obis.KindNone {
					got += fmt.Sprint(f)
				}
				if p.Columns[i].Quality.At(row).Flags&obis.Invalid != 0 {
					got += "!"
				}
			}
		}
		require.Equal(t, want, got, rows)
		require.Equal(t, "2026-11-20T00:30:00", p.Times[1].String())
	}
}

// Of a profile whose period is nothing only the first row has a time, and one whose
// header cannot be read is no list of good readings.
func TestProfilesOfDoubtfulHeaders(t *testing.T) {
	profiles, err := ParseProfiles([]byte("P.01(1261120001500)(00)(00)(1)(1.5)(kW)\r\n(0.1)\r\n(0.2)\r\n!\r\n"))
	require.NoError(t, err)
	p := profiles[0]
	require.Equal(t, "2026-11-20T00:15:00", p.Times[0].String())
	require.True(t, p.Times[1].IsZero())
	require.Equal(t, obis.ClockInvalid, p.Quality.At(1).Flags)
	for _, r := range Salvage([]byte("P.01(1261320001500)(00)(15)(1)(1.5)(kW)\r\n(0.1)\r\n!\r\n")).AppendReadings(nil) {
		require.NotEqual(t, obis.Good, r.Quality.Validity(), show(r))
	}
}
