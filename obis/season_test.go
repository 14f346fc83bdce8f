package obis

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	require.NoError(t, err)
	return z
}

// changes are moments at which clocks are changed: those of Dublin and Casablanca
// by laws that call summer the standard.
var changes = []struct {
	zone string
	at   string // the first moment of the new offset
}{
	{"Europe/Berlin", "2026-03-29T01:00:00Z"},
	{"Europe/Berlin", "2026-10-25T01:00:00Z"},
	{"America/New_York", "2026-03-08T07:00:00Z"},
	{"America/New_York", "2026-11-01T06:00:00Z"},
	{"Europe/Dublin", "2026-03-29T01:00:00Z"},
	{"Europe/Dublin", "2026-10-25T01:00:00Z"},
	{"Australia/Lord_Howe", "2026-04-04T15:00:00Z"},
	{"Australia/Lord_Howe", "2026-10-03T15:30:00Z"},
	{"Africa/Casablanca", "2026-02-15T02:00:00Z"},
	{"Africa/Casablanca", "2026-03-22T02:00:00Z"},
}

// A clock shows each moment about a change, and its daylight saving bit tells
// which; without a zone's offset too.
func TestMomentsAboutAChange(t *testing.T) {
	for _, c := range changes {
		z := zone(t, c.zone)
		change, err := time.Parse(time.RFC3339, c.at)
		require.NoError(t, err)
		_, before := change.Add(-time.Second).In(z).Zone()
		_, behind := change.In(z).Zone()
		require.NotEqual(t, before, behind, "%s %s", c.zone, c.at)
		for k := -200; k <= 200; k++ {
			at := change.Add(time.Duration(k) * 15 * time.Minute).In(z)
			_, offset := at.Zone()
			require.Equal(t, offset == max(before, behind), IsDST(at), "%s %s", c.zone, at)
			shown := FromTime(at)
			require.Equal(t, IsDST(at), shown.Status&TimeDST != 0)
			shown.Deviation = DeviationUnspecified
			got, ok := shown.Instant(Clock{Zone: z})
			require.True(t, ok)
			require.True(t, at.Equal(got), "%s %s: %s", c.zone, at, got)
			wall := Clock{Zone: z, StandardTime: true}.Wall(at)
			_, standard := wall.Zone()
			require.Equal(t, min(before, behind), standard)
			shown = FromTime(wall)
			shown.Deviation = DeviationUnspecified
			got, ok = shown.Instant(Clock{Zone: z, StandardTime: true})
			require.True(t, ok && at.Equal(got), "%s %s: %s", c.zone, at, got)
		}
	}
}

// Times that were counted from one that a meter gave are as far from it as they
// were counted, whether the meter said in which season it was or not, and as well
// where the count came back from a text with the daylight saving bit.
func TestCountedOverAChange(t *testing.T) {
	for _, c := range changes {
		z := zone(t, c.zone)
		change, _ := time.Parse(time.RFC3339, c.at)
		for _, from := range []int{-5, 5} {
			anchor := change.Add(time.Duration(from) * time.Hour).In(z)
			for _, known := range []bool{true, false} {
				start := FromTime(anchor)
				start.Deviation, start.Hundredths = DeviationUnspecified, Unspecified
				if !known {
					start.Status = TimeUnspecified
				}
				next := start
				for n := 1; n <= 40; n++ {
					step := 1
					if from > 0 {
						step = -1
					}
					var ok bool
					next, ok = next.Later(step, 900)
					require.True(t, ok)
					at := anchor.Add(time.Duration(step*n) * 15 * time.Minute)
					direct, _ := start.Later(step*n, 900)
					require.Equal(t, direct, next)
					got, ok := next.Instant(Clock{Zone: z})
					require.True(t, ok)
					require.True(t, at.Equal(got), "%s %s: %s", c.zone, at, got)
					if back := next; known && back.Status&TimeDST != 0 {
						back.relative = 0
						got, ok := back.Instant(Clock{Zone: z})
						require.True(t, ok && at.Equal(got), "%s %s: %s", c.zone, at, got)
					}
				}
			}
		}
	}
}

func TestLater(t *testing.T) {
	with := LocalTime(2026, 10, 24, 23, 50, 0)
	with.Weekday = 6
	day := LocalTime(2026, 10, 24, 0, 0, 0)
	next, ok := day.Later(2, 86400)
	require.True(t, ok)
	require.Equal(t, LocalTime(2026, 10, 26, 0, 0, 0), next, "days go by the calendar")
	next, ok = LocalTime(2024, 2, 28, 23, 50, Unspecified).Later(1, 900)
	require.True(t, ok)
	require.Equal(t, "2024-02-29T00:05:00", next.String())
	require.EqualValues(t, Unspecified, next.Second)
	next, _ = LocalTime(2024, 3, 1, 0, 5, 30).Later(-1, 400)
	require.Equal(t, "2024-02-29T23:58:50", next.String())
	for _, period := range []int32{60, 900, 1800, 3600, 7200, 86400, 17, 5400} {
		rows := with.AppendLater(nil, -100, 200, period)
		for k, row := range rows {
			want, ok := with.Later(k-100, period)
			require.True(t, ok)
			require.Equal(t, want, row, "period %d row %d", period, k)
		}
	}
	require.Equal(t, make([]Time, 3), Time{}.AppendLater(nil, 0, 3, 900))
	_, ok = LocalTime(2024, 3, 1, Unspecified, Unspecified, Unspecified).Later(1, 900)
	require.False(t, ok)
	_, ok = LocalTime(9999, 12, 31, 23, 59, 0).Later(1, 900)
	require.False(t, ok)
	_, ok = LocalTime(2024, 1, 1, 0, 0, 0).Later(1<<30, 900)
	require.False(t, ok)
	_, relative := next.Relative()
	require.False(t, relative, "it has a date")
	next, _ = with.Later(1, 900)
	require.EqualValues(t, 7, next.Weekday)
	with.Deviation = -120
	next, _ = with.Later(20, 900)
	at, ok := next.Instant(Clock{})
	require.True(t, ok)
	require.Equal(t, "2026-10-25T02:50:00Z", at.UTC().Format(time.RFC3339))
}

// Zones without seasons have no daylight saving, whatever their law was.
func TestZonesWithoutSeasons(t *testing.T) {
	for _, name := range []string{"UTC", "Asia/Tokyo", "Asia/Kolkata"} {
		z := zone(t, name)
		at := time.Date(2026, 7, 1, 12, 0, 0, 0, z)
		require.False(t, IsDST(at))
		require.True(t, at.Equal(Clock{Zone: z, StandardTime: true}.Wall(at)))
	}
	require.False(t, IsDST(time.Date(2026, 7, 1, 12, 0, 0, 0, time.FixedZone("", 7200))))
}
