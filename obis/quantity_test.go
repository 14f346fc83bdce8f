package obis

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContradicts(t *testing.T) {
	for code, units := range map[string][2][]Unit{ // those that fit, those that contradict
		"1-0:1.8.0":   {{WattHour, Joule, Count, UnitUnknown, OtherUnit}, {Watt, VarHour, CubicMetre, Second}},
		"1-0:1.7.0":   {{Watt}, {WattHour, Var, VoltAmpere}},
		"1-0:6.8.0":   {{VarHour}, {WattHour, Joule}},
		"1-0:6.26.0":  {{Var}, {CubicMetre}},
		"1-0:29.8.0":  {{VoltAmpereHour}, {WattHour}},
		"1-0:71.7.0":  {{Ampere}, {Volt, Watt}},
		"1-0:52.7.0":  {{Volt}, {Ampere}},
		"1-0:12.8.0":  {{Volt, WattHour}, nil}, // nobody says what its integral is
		"1-0:1.35.0":  {{Watt, Second, Count}, nil},
		"1-0:94.7.0":  {{Watt, CubicMetre}, nil},
		"0-1:24.2.1":  {{CubicMetre, Joule}, nil},
		"6-0:1.0.0":   {{Joule, WattHour}, {CubicMetre, VarHour}},
		"9-0:1.0.0":   {{CubicMetre, Litre}, {WattHour, CubicMetrePerHour}},
		"7-0:3.0.0":   {{CubicMetre, CubicFoot}, {WattHour}},
		"15-0:1.0.0":  {{CubicMetre, WattHour}, nil},
		"1-0:200.8.0": {{CubicMetre}, nil},
	} {
		c := MustParse(code)
		for _, u := range units[0] {
			require.False(t, c.Contradicts(u), "%s %s", code, u)
		}
		for _, u := range units[1] {
			require.True(t, c.Contradicts(u), "%s %s", code, u)
		}
	}
	require.False(t, Code{}.Contradicts(WattHour))
	require.False(t, MustParse("1-0:1.8.0").Contradicts(60000))
}

func TestDoubt(t *testing.T) {
	r := Reading{Code: MustParse("1-0:1.8.0"), Unit: OtherUnit}
	r.Doubt()
	require.Equal(t, Questionable, r.Quality.Flags)
	r = Reading{Code: r.Code, Unit: CubicMetre}
	r.Doubt()
	require.Equal(t, Inconsistent, r.Quality.Flags)
	r = Reading{Code: r.Code, Unit: WattHour}
	r.Doubt()
	require.Zero(t, r.Quality.Flags)
}

func TestDoubtfulColumn(t *testing.T) {
	c := Column{Code: MustParse("1-0:1.8.0"), Unit: Watt}
	c.AppendInt(1)
	c.AppendInt(2)
	c.Quality.Add(1, Quality{Flags: Estimated})
	c.Doubt()
	require.Equal(t, Inconsistent, c.Quality.At(0).Flags)
	require.Equal(t, Inconsistent|Estimated, c.Quality.At(1).Flags)
	c = Column{Code: c.Code, Unit: WattHour}
	c.AppendInt(1)
	c.Doubt()
	require.Empty(t, c.Quality)
}

func TestUnitsInTheWrongLetters(t *testing.T) {
	for text, want := range map[string]string{
		"kwh": "Wh 3", "KWH": "Wh 3", "kWH": "Wh 3", "MWH": "Wh 6", "Mwh": "Wh 6", "gwh": "", "mwh": "", "wh": "Wh 0", "w": "W 0", "v": "V 0", "a": "a 0", "ka": "",
		"VAR": "var 0", "KVAR": "var 3", "KVA": "VA 3", "kv": "V 3", "mv": "", "hz": "Hz 0", "khz": "Hz 3", "BAR": "bar 0", "M3/H": "m3/h 0", "j": "J 0", "kj": "J 3",
		"M": "", "D": "", "c": "", "t": "", "k": "", "": "", "kilowatthours": "", "Sec": "s 0", "PA": "Pa 0", "Secs": "s 0",
	} {
		u, exp, ok := ParseUnit([]byte(text))
		require.Equal(t, want != "", ok, text)
		if ok {
			require.Equal(t, want, u.String()+" "+Int(int64(exp), 0).String(), text)
		}
	}
}
