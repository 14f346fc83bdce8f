package obis

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseTime(t *testing.T) {
	for _, text := range []string{
		"2026-11-20T12:00:00Z", "2026-11-20T12:00:00+01:00", "2026-11-20T12:00:00-03:30", "2026-11-20T12:00:00", "2026-11-20T12:00:00.25Z",
		"2026-11-20", "????-11-??T12:??:00", "????-??-01", "12:30:00", "??:30:00", "2026-11-20T??:30:00", "+3600s", "-3600s", "+0s", "0001-01-01T00:00:00Z",
	} {
		got, err := ParseTime(text)
		require.NoError(t, err, text)
		require.Equal(t, text, got.String())
	}
	got, err := ParseTime("2026-11-20T12:00:00+01:00")
	require.NoError(t, err)
	require.Equal(t, FromTime(time.Date(2026, 11, 20, 12, 0, 0, 0, time.FixedZone("", 3600))), got)
	none, err := ParseTime("")
	require.NoError(t, err)
	require.True(t, none.IsZero())
	for _, bad := range []string{"2026", "2026-13-01", "2026-11-20T24:00:00", "2026-11-20 12:00:00", "2026-11-20T12", "20??-11-20", "s", "+xs", "2026-11-20Z", "2026-11-20T12:00:00+1", "99999999999s"} {
		_, err := ParseTime(bad)
		require.Error(t, err, bad)
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("2026-11-20T12:00:00.25+01:00", []byte("\x07\xEA\x0B\x14\x05\x0C\x00\x00\x00\xFF\xC4\x00"))
	f.Add("????-11-??", []byte("\xFF\xFF\xFE\xFD\xFF\xFF\xFF\xFF\xFF\x80\x00\xFF"))
	f.Fuzz(func(t *testing.T, text string, b []byte) {
		if got, err := ParseTime(text); err == nil && text != "" {
			again, err := ParseTime(got.String())
			require.NoError(t, err, "%q as %q", text, got)
			require.Equal(t, got.String(), again.String())
		}
		if len(b) != 12 {
			return
		}
		tm := TimeFromBinary([12]byte(b))
		if !tm.HasDate() || !tm.HasClock() || tm.Deviation != DeviationUnspecified && (tm.Deviation < -1439 || tm.Deviation > 1439) {
			return
		}
		back, err := ParseTime(tm.String())
		require.NoError(t, err, "%v", tm)
		require.Equal(t, tm.String(), back.String())
	})
}

func TestParseDecimal(t *testing.T) {
	for text, want := range map[string]Value{
		"0": Int(0, 0), "-0.50": Int(-50, -2), "9000000000000000000000": Int(9, 21), "18446744073709551615": Uint(18446744073709551615, 0), "-9223372036854775808": Int(-9223372036854775808, 0),
		"1844674407370955161.5": Uint(18446744073709551615, -1), "1e3": Int(1, 3), "1.50E-2": Int(15, -3), "123456789012345678900000": Int(1234567890123456789, 5),
		"0.00000000000000000000001": Int(1, -23), "0e5": Int(0, 0), "0.0e-2": Int(0, -1),
	} {
		got, ok := ParseDecimal([]byte(text))
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	for _, bad := range []string{"", "-", ".", "e3", "1e", "1e+", "1.2.3", "1e99999", "1e400", "123456789012345678901234567890", "-9223372036854775809", "0x10", "1 "} {
		_, ok := ParseDecimal([]byte(bad))
		require.False(t, ok, bad)
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, seed := range []string{"1.50E-2", "9000000000000000000000", "-0.000001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := ParseDecimal([]byte(text))
		if !ok {
			return
		}
		want, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)
		have, ok := new(big.Rat).SetString(got.String())
		require.True(t, ok, got.String())
		require.Zero(t, want.Cmp(have), "%q is %v", text, got)
	})
}

func TestStatusKinds(t *testing.T) {
	for k := StatusNone; k <= StatusVendor; k++ {
		back, ok := ParseStatusKind(k.String())
		require.True(t, ok)
		require.Equal(t, k, back)
	}
	require.Empty(t, (StatusVendor + 1).String())
	_, ok := ParseStatusKind("else")
	require.False(t, ok)
}
