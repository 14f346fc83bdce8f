package obis

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]struct {
		code string
		have Groups
		mark byte
	}{
		"1-0:1.8.0*255":           {"1-0:1.8.0*255", HaveAll, '*'},
		"1-0:1.8.0&03":            {"1-0:1.8.0*3", HaveAll, '&'},
		"1-1:0.5.1.2":             {"1-1:0.5.1*2", HaveAll, '.'},
		"1-0:1.8.0":               {"1-0:1.8.0*255", HaveAll &^ HaveF, 0},
		"2:1.8.0":                 {"1-2:1.8.0*255", HaveB | HaveC | HaveD | HaveE, 0},
		"1.8.0":                   {"1-0:1.8.0*255", HaveC | HaveD | HaveE, 0},
		"1.8":                     {"1-0:1.8.0*255", HaveC | HaveD, 0},
		"1.8.0*01":                {"1-0:1.8.0*1", HaveC | HaveD | HaveE | HaveF, '*'},
		"C.1.0":                   {"0-0:96.1.0*255", HaveC | HaveD | HaveE, 0},
		"F.F":                     {"0-0:97.97.0*255", HaveC | HaveD, 0},
		"F.F*02":                  {"0-0:97.97.0*2", HaveC | HaveD | HaveF, '*'},
		"L.1":                     {"1-0:98.1.0*255", HaveC | HaveD, 0},
		"P.01":                    {"1-0:99.1.0*255", HaveC | HaveD, 0},
		"0.9.1":                   {"1-0:0.9.1*255", HaveC | HaveD | HaveE, 0},
		"1.0.1.8.0.255":           {"1-0:1.8.0*255", HaveAll, '.'},
		"0100010800FF":            {"1-0:1.8.0*255", HaveAll, '*'},
		"0100010800ff":            {"1-0:1.8.0*255", HaveAll, '*'},
		"1-0:96.1.255*255":        {"1-0:96.1.255*255", HaveAll, '*'},
		"1-65:1.8.0*255":          {"1-65:1.8.0*255", HaveAll, '*'},
		"0-1:24.2.1":              {"0-1:24.2.1*255", HaveAll &^ HaveF, 0},
		"255-255:255.255.255*255": {"255-255:255.255.255*255", HaveAll, '*'},
	} {
		t.Run(text, func(t *testing.T) {
			id, err := Parse(text)
			require.NoError(t, err)
			require.Equal(t, want.code, id.Code.String())
			require.Equal(t, want.have, id.Have)
			require.Equal(t, want.mark, id.Mark)
			again, err := ParseBytes([]byte(text))
			require.NoError(t, err)
			require.Equal(t, id, again)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for text, field := range map[string]string{
		"":                    "group",
		"1":                   "D",
		"1-0":                 "D",
		"1-0:":                "group",
		"1-0:1":               "D",
		"1-1:30D":             "group", // Elster AS1440
		"2.8.A":               "group", // Energomera
		"1-0:1.8.256":         "group",
		"1-0:1.8.0*255*1":     "code",
		"1.1.8.0.255":         "F", // five groups with dots are ambiguous
		"10.0.0.1":            "F",
		"C-0:1.8.0":           "A",
		"1-0:1.8.C":           "E",
		"1-0-1.8.0":           "C",
		"1:0-1.8.0":           "D",
		" 1.8.0":              "group",
		"1.8.0 ":              "group",
		"0100010800F":         "group",
		"1..8":                "group",
		"99999999999999999.8": "group",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := Parse(text)
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Equal(t, field, pe.Field)
			require.LessOrEqual(t, pe.Offset, len(text))
		})
	}
}

func TestIdentIn(t *testing.T) {
	for _, test := range []struct {
		text   string
		medium Medium
		want   string
	}{
		{"1.8.0", Electricity, "1-0:1.8.0*255"},
		{"1.8.0", Unknown, "1-0:1.8.0*255"},
		{"1.0.0", Heat, "6-0:1.0.0*255"},
		{"C.1.0", Heat, "0-0:96.1.0*255"},
		{"1-0:1.8.0", Heat, "1-0:1.8.0*255"},
	} {
		id, err := Parse(test.text)
		require.NoError(t, err)
		require.Equal(t, test.want, id.In(test.medium).String())
	}
}

func TestCodeClassifies(t *testing.T) {
	for _, test := range []struct {
		code      string
		medium    Medium
		phase     Phase
		direction Direction
		total     bool // counts upwards for ever
	}{
		{"1-0:1.8.0*255", Electricity, PhaseSum, Import, true},
		{"1-0:2.8.1*255", Electricity, PhaseSum, Export, true},
		{"1-0:16.7.0*255", Electricity, PhaseSum, Net, false},
		{"1-0:15.8.0*255", Electricity, PhaseSum, Absolute, true},
		{"1-0:21.7.0*255", Electricity, PhaseL1, Import, false},
		{"1-0:52.7.0*255", Electricity, PhaseL2, DirectionNone, false},
		{"1-0:76.7.0*255", Electricity, PhaseL3, Net, false},
		{"1-0:91.7.0*255", Electricity, PhaseNeutral, DirectionNone, false},
		{"1-0:125.7.0*255", Electricity, PhaseL2L3, DirectionNone, false},
		{"6-0:1.0.0*255", Heat, PhaseNone, DirectionNone, true},
		{"1-0:16.8.0*255", Electricity, PhaseSum, Net, false},
		{"1-0:36.8.1*255", Electricity, PhaseL1, Net, false},
		{"1-0:1.8.0*3", Electricity, PhaseSum, Import, false},
		{"4-0:1.2.0*255", HeatCostAllocator, PhaseNone, DirectionNone, false},
		{"6-0:8.0.0*255", Heat, PhaseNone, DirectionNone, false},
		{"7-0:3.1.0*255", Gas, PhaseNone, DirectionNone, true},
		{"8-0:1.0.0*255", Water, PhaseNone, DirectionNone, true},
		{"4-0:1.0.0*255", HeatCostAllocator, PhaseNone, DirectionNone, true},
		{"0-0:96.1.0*255", Abstract, PhaseNone, DirectionNone, false},
	} {
		c := MustParse(test.code)
		require.Equal(t, test.medium, c.Medium(), test.code)
		require.Equal(t, test.phase, c.Phase(), test.code)
		require.Equal(t, test.direction, c.Direction(), test.code)
		require.Equal(t, test.total, c.Cumulative(), test.code)
	}
	tariff, ok := MustParse("1-0:1.8.2*255").Tariff()
	require.True(t, ok)
	require.EqualValues(t, 2, tariff)
	_, ok = MustParse("1-0:32.7.3*255").Tariff()
	require.False(t, ok, "E is a harmonic")
	period, ok := MustParse("1-0:1.8.0*7").BillingPeriod()
	require.True(t, ok)
	require.EqualValues(t, 7, period)
	require.EqualValues(t, 0x0100010800FF, MustParse("1-0:1.8.0*255").Uint64())
}

func TestPattern(t *testing.T) {
	for text, want := range map[string]string{
		"1.8.0":               "x-x:1.8.0*255",
		"1-0:1.8.0":           "1-0:1.8.0*255",
		"1-0:1.8.0*3":         "1-0:1.8.0*3",
		"1-x:(1-2).8.x":       "1-x:(1-2).8.x*255",
		"x-x:x.x.x*x":         "x-x:x.x.x*x",
		"1.8":                 "x-x:1.8.x*255",
		"1.8.x":               "x-x:1.8.x*255",
		"2:(1-3).8.0":         "x-2:(1-3).8.0*255",
		"1-0:(21-40).7.0*255": "1-0:(21-40).7.0*255",
	} {
		p, err := ParsePattern(text)
		require.NoError(t, err, text)
		require.Equal(t, want, p.String())
	}
	p, err := ParsePattern("1-x:(1-2).8.x")
	require.NoError(t, err)
	require.True(t, p.Match(MustParse("1-3:2.8.1")))
	require.False(t, p.Match(MustParse("1-3:3.8.1")))
	require.False(t, p.Match(MustParse("1-3:2.8.1*1")), "F is the current value where it was left out")
	for _, bad := range []string{"", "x", "1-0", "1-0:(3-1).8.0", "1-0:(1.8.0", "1-0:1.8.0*1*2", "1-0:)(.8.0", "1-0:(a-b).1.1"} {
		_, err := ParsePattern(bad)
		require.Error(t, err, bad)
	}
}

func TestDescribe(t *testing.T) {
	for code, want := range map[string]string{
		"1-0:1.8.0*255":    "active energy import total",
		"1-0:1.8.1*255":    "active energy import tariff 1",
		"1-0:21.8.0*255":   "active energy import L1",
		"1-0:1.7.0*255":    "active power import",
		"1-0:1.6.1*3":      "active power import tariff 1, maximum, billing period 3",
		"1-0:32.7.0*255":   "voltage L1",
		"1-0:32.7.3*255":   "voltage L1, harmonic 3",
		"1-0:32.7.124*255": "voltage L1, total harmonic distortion",
		"1-0:32.32.0*255":  "voltage L1, under-limit count",
		"1-0:13.7.0*255":   "power factor",
		"1-0:91.7.0*255":   "neutral current",
		"1-0:81.7.15*255":  "angle I2-U2",
		"1-0:99.1.0*255":   "load profile",
		"6-0:1.0.0*255":    "heat energy",
		"6-0:1.2.0*255":    "heat energy, at set date",
		"5-0:8.0.0*255":    "cooling power",
		"8-0:1.0.2*255":    "cold water volume, tariff 2",
		"7-0:3.1.0*255":    "gas volume, temperature corrected",
		"0-0:1.0.0*255":    "clock",
		"0-0:96.7.2*255":   "power failures in phase 2",
		"1-0:200.7.0*255":  "",
		"128-0:1.8.0*255":  "",
	} {
		require.Equal(t, want, Describe(MustParse(code)), code)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1-0:1.8.0*255", "1.8.0", "F.F*01", "0100010800FF", "1.0.1.8.0.255", "1-1:30D"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		if err != nil {
			require.Zero(t, id)
			return
		}
		again, err := Parse(id.String())
		require.NoError(t, err, "%q gave %q", s, id.String())
		require.Equal(t, id.Code, again.Code)
		require.Equal(t, id.Have, again.Have)
		full, err := ParseCode(id.Code.String())
		if id.Code.Valid() {
			require.NoError(t, err)
			require.Equal(t, id.Code, full)
		}
		if p, err := ParsePattern(s); err == nil {
			require.True(t, p.Match(id.Code))
		}
	})
}

func TestParseDoesNotAllocate(t *testing.T) {
	text := []byte("1-0:1.8.0*255")
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = ParseBytes(text) }))
}

func BenchmarkParse(b *testing.B) {
	for _, text := range []string{"1-0:1.8.0*255", "1.8.0", "0100010800FF"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
