package tables

import (
	"bytes"
	"runtime"
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

// Octets that say nothing are not megabytes of readings, in no table, whether it is
// known how long its arrays are or not.
func TestManyReadings(t *testing.T) {
	limits := bytes.Repeat([]byte{0xFF}, 64)
	for name, d := range map[string]*Device{"nothing known": Bare(Config{}), "greatest limits": Bare(Config{Time: TimeOctets}), "no times": Bare(Config{})} {
		if name != "nothing known" {
			for _, table := range []uint16{11, 21, 41, 51, 61, 71} {
				_ = d.Add(table, limits)
			}
		}
		for table := range uint16(100) {
			if !d.Described(table) {
				continue
			}
			for _, octet := range []byte{0, 1, 0xFF} {
				for _, size := range []int{100, 60_000} {
					b := bytes.Repeat([]byte{octet}, size)
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					readings, sources, _ := d.AppendReadings(nil, nil, table, b)
					runtime.ReadMemStats(&after)
					require.Len(t, sources, len(readings))
					require.LessOrEqual(t, len(readings), min(maxReadings, 64+9*size), "%s: table %d of %02x", name, table, octet)
					require.LessOrEqual(t, int(after.TotalAlloc-before.TotalAlloc), 1<<20+min(8192*size, 64<<20), "%s: table %d of %02x", name, table, octet)
				}
			}
		}
	}
	for table, most := range map[uint16]int{12: 1, 16: 1, 22: 0, 27: 1} {
		readings, _, _ := Bare(Config{}).AppendReadings(nil, nil, table, make([]byte, 60_000))
		require.LessOrEqual(t, len(readings), most, table)
	}
	readings, _, err := Bare(Config{}).AppendReadings(nil, nil, 16, bytes.Repeat([]byte{1}, 60_000))
	require.NoError(t, err)
	require.Len(t, readings, 255*7+1)
	readings, _, err = Bare(Config{}).AppendReadings(nil, nil, 16, []byte{1, 0, 9, 0})
	require.NoError(t, err)
	require.Len(t, readings, 4*7, "zeros of a table that is no longer than tables are")
}
