package obis

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValueText(t *testing.T) {
	for want, v := range map[string]Value{
		"":                      {},
		"1581.123":              Int(1581123, -3),
		"1234500":               Int(12345, 2),
		"-0.005":                Int(-5, -3),
		"12.00":                 Int(1200, -2),
		"0.00":                  Int(0, -2),
		"0":                     Int(0, 5),
		"-9223372036854775808":  Int(math.MinInt64, 0),
		"18446744073709551.615": Uint(math.MaxUint64, -3),
		"7":                     Uint(7, 0),
		"0.1":                   Float32(math.Float32bits(0.1), 0),
		"100":                   Float32(math.Float32bits(0.1), 3),
		"-12.5":                 Float64(math.Float64bits(-12.5), 0),
		"NaN":                   Float32(math.Float32bits(float32(math.NaN())), 0),
		"true":                  Bool(true),
		"3":                     Enum(3),
		"0b1010010":             Bits([]byte{0xA5}, 7),
		"0xdead":                Octets([]byte{0xDE, 0xAD}),
		"abc":                   Text([]byte("abc")),
		"2026-11-20T12:00:00":   Moment(LocalTime(2026, 11, 20, 12, 0, 0)),
		"+90s":                  Moment(Relative(90)),
	} {
		require.Equal(t, want, v.String())
	}
	require.True(t, Bits([]byte{1}, 9).IsNone())
	require.True(t, Moment(Time{}).IsNone())
}

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]Value{
		"001581.123": Int(1581123, -3), "0": Int(0, 0), "-1.50": Int(-150, -2), "+7": Int(7, 0), "00.000": Int(0, -3),
		"9223372036854775807": Int(math.MaxInt64, 0),
	} {
		v, ok := ParseNumber([]byte(text))
		require.True(t, ok, text)
		require.Equal(t, want, v, text)
	}
	for _, bad := range []string{"", "-", ".", "1.2.3", "1e5", "9223372036854775808", "12 ", "0x1", "99999999999999999999"} {
		_, ok := ParseNumber([]byte(bad))
		require.False(t, ok, bad)
	}
}

func TestRescale(t *testing.T) {
	v, ok := Int(1500, -3).Rescale(-1)
	require.True(t, ok)
	require.Equal(t, Int(15, -1), v)
	v, ok = Int(15, 2).Rescale(0)
	require.True(t, ok)
	require.Equal(t, Int(1500, 0), v)
	for _, lossy := range []struct {
		v   Value
		exp int8
	}{{Int(1501, -3), -1}, {Int(math.MaxInt64, 1), 0}, {Int(math.MinInt64, 1), 0}, {Int(1, 100), -100}, {Int(1, -100), 100}} {
		_, ok := lossy.v.Rescale(lossy.exp)
		require.False(t, ok, "%v", lossy)
	}
	v, ok = Int(0, -100).Rescale(100)
	require.True(t, ok)
	require.Equal(t, Int(0, 100), v)
	require.True(t, Int(150, -2).Equal(Int(15, -1)))
	require.False(t, Int(151, -2).Equal(Int(15, -1)))
	_, ok = Int(1, 127).Shift(1)
	require.False(t, ok)
}

func TestFloat64(t *testing.T) {
	f, exact := Int(1581123, -3).Float64()
	require.Equal(t, 1581.123, f)
	require.False(t, exact)
	f, exact = Int(5, 3).Float64()
	require.Equal(t, 5000.0, f)
	require.True(t, exact)
	_, exact = Int(math.MaxInt64, 0).Float64()
	require.False(t, exact)
	f, _ = Text([]byte("x")).Float64()
	require.True(t, math.IsNaN(f))
}

func FuzzParseNumber(f *testing.F) {
	f.Add("001581.123")
	f.Add("-0.5")
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := ParseNumber([]byte(s))
		if !ok {
			return
		}
		again, ok := ParseNumber([]byte(v.String()))
		require.True(t, ok)
		require.True(t, v.Equal(again), "%q gave %v", s, v)
	})
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]struct {
		unit Unit
		exp  int8
	}{
		"kWh": {WattHour, 3}, "MWh": {WattHour, 6}, "Wh": {WattHour, 0}, "kvarh": {VarHour, 3}, "kW": {Watt, 3},
		"V": {Volt, 0}, "A": {Ampere, 0}, "mA": {Ampere, -3}, "Hz": {Hertz, 0}, "m3": {CubicMetre, 0}, "m³": {CubicMetre, 0},
		"GJ": {Joule, 9}, "s": {Second, 0}, "dm3": {CubicMetre, -3}, "°C": {Celsius, 0}, "min": {Minute, 0}, "m": {Metre, 0}, "kVAh": {VoltAmpereHour, 3},
	} {
		u, exp, ok := ParseUnit([]byte(text))
		require.True(t, ok, text)
		require.Equal(t, want.unit, u, text)
		require.Equal(t, want.exp, exp, text)
	}
	for _, bad := range []string{"", "W1", "SS", "kkWh", "xyz", "mmin", "k"} {
		_, _, ok := ParseUnit([]byte(bad))
		require.False(t, ok, bad)
	}
	require.Equal(t, "varh", VarHour.String())
	require.Equal(t, "W.h", WattHour.UCUM())
	require.Equal(t, "°C", Celsius.Symbol())
	require.Equal(t, "", Unit(9999).String())
	for u := range Unit(len(unitTable)) {
		if name := u.String(); name != "" {
			got, ok := UnitByName(name)
			require.True(t, ok, name)
			require.Equal(t, name, got.String())
		}
	}
}
