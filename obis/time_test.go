package obis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInstant(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	summer := LocalTime(2026, 7, 1, 12, 0, 0)
	deviating := summer
	deviating.Deviation = -120
	twice := LocalTime(2026, 10, 25, 2, 30, 0)
	twiceDST, twiceStandard := twice, twice
	twiceDST.Status, twiceStandard.Status = TimeDST, 0
	for name, test := range map[string]struct {
		time  Time
		clock Clock
		want  string
	}{
		"UTC is local plus deviation":      {deviating, Clock{}, "2026-07-01T10:00:00Z"},
		"deviation the other way round":    {deviating, Clock{DeviationReversed: true}, "2026-07-01T14:00:00Z"},
		"zone where deviation is missing":  {summer, Clock{Zone: berlin}, "2026-07-01T10:00:00Z"},
		"standard time all year":           {summer, Clock{Zone: berlin, StandardTime: true}, "2026-07-01T11:00:00Z"},
		"no zone":                          {summer, Clock{}, ""},
		"hour that is skipped":             {LocalTime(2026, 3, 29, 2, 30, 0), Clock{Zone: berlin}, ""},
		"first of the hour that is twice":  {twiceDST, Clock{Zone: berlin}, "2026-10-25T00:30:00Z"},
		"second of the hour that is twice": {twiceStandard, Clock{Zone: berlin}, "2026-10-25T01:30:00Z"},
		"status unknown: the first":        {twice, Clock{Zone: berlin}, "2026-10-25T00:30:00Z"},
		"no such day":                      {LocalTime(2026, 2, 30, 0, 0, 0), Clock{Zone: berlin}, ""},
		"unspecified year":                 {LocalTime(YearUnspecified, 2, 3, 0, 0, 0), Clock{Zone: berlin}, ""},
		"none":                             {Time{}, Clock{Zone: berlin}, ""},
		"relative":                         {Relative(5), Clock{Zone: berlin}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			at, ok := test.time.Instant(test.clock)
			require.Equal(t, test.want != "", ok)
			if ok {
				require.Equal(t, test.want, at.UTC().Format(time.RFC3339))
			}
		})
	}
}

func TestTimeText(t *testing.T) {
	fixed := FromTime(time.Date(2026, 11, 20, 13, 5, 9, 250e6, time.FixedZone("", 3600)))
	require.Equal(t, "2026-11-20T13:05:09.25+01:00", fixed.String())
	require.EqualValues(t, 5, fixed.Weekday, "a Friday")
	at, ok := fixed.Instant(Clock{})
	require.True(t, ok)
	require.Equal(t, "2026-11-20T12:05:09Z", at.UTC().Format(time.RFC3339))
	for want, tm := range map[string]Time{
		"2026-11-20T12:00:00Z":      FromTime(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)),
		"2026-11-20":                LocalTime(2026, 11, 20, 255, 255, 255),
		"12:30:00":                  LocalTime(YearUnspecified, 255, 255, 12, 30, 255),
		"????-12-??T01:00:00":       LocalTime(YearUnspecified, 12, 255, 1, 0, 0),
		"0007-01-02T03:04:05":       LocalTime(7, 1, 2, 3, 4, 5),
		"2026-01-02T03:04:05-05:30": {Year: 2026, Month: 1, Day: 2, Hour: 3, Minute: 4, Second: 5, Deviation: 330},
		"":                          {},
	} {
		require.Equal(t, want, tm.String())
	}
}

func FuzzTimeBinary(f *testing.F) {
	f.Add([]byte{0x07, 0xEA, 11, 20, 5, 12, 0, 0, 0, 0xFF, 0xC4, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 12 {
			return
		}
		tm := TimeFromBinary([12]byte(b))
		_ = tm.String()
		_, _ = tm.Instant(Clock{Zone: time.UTC})
		if tm.IsZero() {
			return
		}
		again, err := tm.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b, again)
		back, ok := Moment(tm).Time()
		require.True(t, ok)
		require.Equal(t, tm, back)
	})
}

func TestRelative(t *testing.T) {
	for _, s := range []int32{0, 1, -1, 86400, -2147483648} {
		got, ok := Relative(s).Relative()
		require.True(t, ok)
		require.Equal(t, s, got)
		back, _ := Moment(Relative(s)).Time()
		require.Equal(t, Relative(s), back)
	}
	_, ok := LocalTime(2026, 1, 1, 0, 0, 0).Relative()
	require.False(t, ok)
}
