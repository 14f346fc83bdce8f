package field

import (
	"testing"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"0901161030":          "2009-01-16T10:30:00",
		"090116103015":        "2009-01-16T10:30:15",
		"00901161030":         "2009-01-16T10:30:00",
		"1090716103015":       "2009-07-16T10:30:15",
		"2090116103015":       "2009-01-16T10:30:15Z",
		"090116103015W":       "2009-01-16T10:30:15",
		"090716103015S":       "2009-07-16T10:30:15",
		"09-01-16 10:30":      "2009-01-16T10:30:00",
		"09-01-16 10:30:15":   "2009-01-16T10:30:15",
		"09-01-16,10:30:15":   "2009-01-16T10:30:15",
		"2021-07-12 22:20:17": "2021-07-12T22:20:17", // Apator NORAX
		"2021-07-12":          "2021-07-12",
		"10:30":               "10:30:00",
		"10:30:15":            "10:30:15",
		"09-01-16":            "2009-01-16",
		"632525252525W":       "",
		"0913161030":          "",
		"0901162430":          "",
		"3090116103015":       "",
		"12345678":            "",
		"":                    "",
		"0901161a30":          "",
		"0000000000":          "",
	} {
		got, ok := ParseTime([]byte(in))
		require.Equal(t, want != "", ok, in)
		require.Equal(t, want, got.String(), in)
	}
	summer, _ := ParseTime([]byte("1090716103015"))
	require.Equal(t, obis.TimeDST, summer.Status)
	winter, _ := ParseTime([]byte("090116103015W"))
	require.Zero(t, winter.Status)
	unknown, _ := ParseTime([]byte("090116103015"))
	require.Equal(t, obis.TimeUnspecified, unknown.Status)
}

func TestParseDateAndClock(t *testing.T) {
	for in, want := range map[string]string{"090116": "2009-01-16", "1090716": "2009-07-16", "09.01.16": "2009-01-16", "0901": "", "091316": "", "5090716": ""} {
		got, ok := ParseDate([]byte(in))
		require.Equal(t, want != "", ok, in)
		require.Equal(t, want, got.String(), in)
	}
	for in, want := range map[string]string{"103015": "10:30:15", "1030": "10:30:00", "10:30": "10:30:00", "1103015": "10:30:15", "10-30-15": "", "256000": "", "": ""} {
		got, ok := ParseClock([]byte(in))
		require.Equal(t, want != "", ok, in)
		require.Equal(t, want, got.String(), in)
	}
}

func TestNumbersAgreeWithTheModel(t *testing.T) {
	for _, s := range []string{"0", "000.5", "12.", ".5", ".", "", "-1.5", "+7", "1.2.3", "12a", " 42 ", "999999999999999999", "9999999999999999999", "0000000000000000000042.50"} {
		want, ok := obis.ParseNumber(bytesTrim(s))
		got, gotOK := parseNumber([]byte(s))
		require.Equal(t, ok, gotOK, "%q", s)
		require.Equal(t, want, got, "%q", s)
	}
}

func bytesTrim(s string) []byte {
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return []byte(s)
}

// TestUnitsAgreeWithTheModel holds the short cuts against package obis.
func TestUnitsAgreeWithTheModel(t *testing.T) {
	for _, s := range []string{"kWh", "kW", "V", "A", "m3", "kvarh", "kvar", "s", "MWh", "GJ", "Hz", "bar", "%"} {
		want, exp, ok := obis.ParseUnit([]byte(s))
		require.True(t, ok)
		got, gotExp := Unit([]byte(s))
		require.Equal(t, want, got, s)
		require.Equal(t, int(exp), gotExp, s)
	}
	u, exp := Unit([]byte("imp/kWh"))
	require.Equal(t, "1/Wh", u.String())
	require.Equal(t, -3, exp)
	u, _ = Unit([]byte("1/kvarh"))
	require.Equal(t, "1/varh", u.String())
	u, _ = Unit([]byte(" kWh "))
	require.Equal(t, obis.WattHour, u)
	u, _ = Unit([]byte("furlong"))
	require.Equal(t, obis.OtherUnit, u)
}

func FuzzParseTime(f *testing.F) {
	f.Add([]byte("1090716103015"))
	f.Add([]byte("09-01-16 10:30:15"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := ParseTime(b)
		require.Equal(t, ok, !got.IsZero())
		if ok {
			require.True(t, got.HasDate() || got.HasClock())
		}
		_, _ = ParseDate(b)
		_, _ = ParseClock(b)
	})
}
