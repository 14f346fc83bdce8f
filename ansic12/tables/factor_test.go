package tables

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

// A factor that would take a recorded value out of its range, and one that was never
// set, leave the value as it was recorded.
func TestProfileFactors(t *testing.T) {
	s := source{known: true, engineering: true, uom: 1 << 14}
	for scalar, exact := range map[int64]bool{0: false, 1: true, 1 << 31: false, maxFactor: true} {
		require.Equal(t, exact, channel(&s, scalar, 1).Exact, scalar)
	}
	s.scaled, s.constants = true, &constants{multiplier: obis.Int(0, 0), offset: obis.Int(0, 0)}
	require.False(t, channel(&s, 1, 1).Exact)
	_, unit, flags := s.scale(obis.Int(5, 0))
	require.Equal(t, obis.UnitUnknown, unit)
	require.Equal(t, obis.ScalerUnknown, flags)
}

// Many octets of zeros are not many megabytes of readings.
func TestManyReadings(t *testing.T) {
	d := Bare(Config{})
	readings, sources, err := d.AppendReadings(nil, nil, 16, make([]byte, 60_000))
	require.ErrorIs(t, err, errReadings)
	require.Len(t, readings, maxReadings)
	require.Len(t, sources, maxReadings)
}
