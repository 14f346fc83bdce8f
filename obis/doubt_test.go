package obis

import (
	"fmt"
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
	r := Reading{Code: MustParse("1-0:1.8.0"), Unit: CubicMetre}
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

func TestDoubtOfNumbers(t *testing.T) {
	for _, v := range []Value{
		Float32(0x7FC00000, 0), Float32(0x7F800000, 0), Float32(0xFF800000, -3), Float32(0x7F800001, 0),
		Float64(0x7FF8000000000000, 0), Float64(0x7FF0000000000000, 3), Float64(0xFFF0000000000000, 0),
	} {
		r := Reading{Value: v}
		r.Doubt()
		require.True(t, r.Value.IsNone())
		require.Equal(t, Invalid, r.Quality.Flags)
		var c Column
		c.AppendInt(7)
		c.Append(v)
		c.AppendInt(8)
		require.Equal(t, 3, c.Len())
		require.True(t, c.At(1).IsNone())
		require.Equal(t, Invalid, c.Quality.At(1).Flags)
		require.Zero(t, c.Quality.At(0).Flags|c.Quality.At(2).Flags)
	}
	r := Reading{Value: Float32(0x7F7FFFFF, 0)}
	r.Doubt()
	require.Zero(t, r.Quality.Flags)
}

func TestDoubtOfTimes(t *testing.T) {
	const u = Unspecified
	open := Time{Year: YearUnspecified, Month: u, Day: u, Weekday: u, Hour: u, Minute: u, Second: u, Hundredths: u, Status: TimeUnspecified, Deviation: DeviationUnspecified}
	with := func(change func(*Time)) Time {
		v := open
		change(&v)
		return v
	}
	for _, v := range []Time{
		{}, Relative(5), open, LocalTime(2024, 2, 29, 23, 59, 59),
		with(func(v *Time) { v.Month, v.Day = 2, 29 }), with(func(v *Time) { v.Month, v.Day = 0xFE, 0xFD }),
		with(func(v *Time) { v.Deviation = -840 }), with(func(v *Time) { v.Weekday = 7 }), with(func(v *Time) { v.Day = 31 }),
	} {
		require.True(t, v.Possible(), "%+v", v)
	}
	for _, v := range []Time{
		LocalTime(2023, 2, 29, 0, 0, 0), LocalTime(1500, 1, 40, 0, 0, 0), LocalTime(2024, 13, 1, 0, 0, 0), LocalTime(2024, 0, 1, 0, 0, 0), LocalTime(2024, 1, 0, 0, 0, 0),
		LocalTime(2024, 1, 1, 24, 0, 0), LocalTime(2024, 1, 1, 0, 60, 0), LocalTime(2024, 1, 1, 0, 0, 60),
		with(func(v *Time) { v.Month, v.Day = 4, 31 }), with(func(v *Time) { v.Deviation = 29440 }),
	} {
		require.False(t, v.Possible(), "%+v", v)
		r := Reading{Value: Moment(v), Time: v}
		r.Doubt()
		require.Equal(t, Invalid|ClockInvalid, r.Quality.Flags)
		require.True(t, r.Time.IsZero())
	}
	require.Equal(t, "1500-01-40T00:00:00", with(func(v *Time) { *v = LocalTime(1500, 1, 40, 0, 0, 0); v.Deviation = 29440 }).String())
}

// What is no number is no quantity, whether the code or the unit asks for one.
func TestTextInPlaceOfAQuantity(t *testing.T) {
	energy, id, count := MustParse("1-0:1.8.0"), MustParse("0-0:96.1.0"), MustParse("1-0:1.32.0")
	octets := []byte("ABC")
	for _, v := range []Value{Text(octets), Octets(octets), Tree(octets), Bits(octets, 24), Bool(true)} {
		for _, r := range []Reading{{Code: energy, Value: v}, {Code: energy, Value: v, Unit: WattHour}, {Value: v, Unit: CubicMetre}, {Code: id, Value: v, Unit: OtherUnit}} {
			r.Doubt()
			require.Equal(t, Invalid, r.Quality.Flags, "%s %s", r.Code, v)
		}
		for _, r := range []Reading{{Code: id, Value: v}, {Value: v}, {Code: count, Value: v}, {Code: id, Value: v, Unit: Count}} {
			r.Doubt()
			require.Zero(t, r.Quality.Flags, "%s %s", r.Code, v)
		}
	}
	r := Reading{Code: energy, Value: Moment(Time{Year: 2026, Month: 11, Day: 20})}
	r.Doubt()
	require.Zero(t, r.Quality.Flags, "the time of a maximum")
}

// A unit that no table has is not understood, and a time of which nothing is given is none.
func TestWhatNobodyKnows(t *testing.T) {
	for _, u := range []Unit{59, 75, 96, 200, 253, 5000} {
		r := Reading{Code: MustParse("1-0:1.8.0"), Unit: u, Value: Int(1, 0)}
		r.Doubt()
		require.Equal(t, Questionable, r.Quality.Flags, "%d", u)
		require.Equal(t, OtherUnit, r.Unit)
		require.Equal(t, fmt.Sprint("unit ", uint16(u)), string(r.UnitText))
		c := Column{Unit: u}
		c.AppendInt(1)
		c.Doubt()
		require.Equal(t, OtherUnit, c.Unit)
		require.Equal(t, Questionable, c.Quality.At(0).Flags)
	}
	for _, u := range []Unit{UnitUnknown, OtherUnit, Count, WattHour} {
		r := Reading{Unit: u, Value: Int(1, 0)}
		r.Doubt()
		require.Zero(t, r.Quality.Flags, "%d", u)
	}
	open := Time{Year: YearUnspecified, Month: Unspecified, Day: Unspecified, Weekday: Unspecified, Hour: Unspecified, Minute: Unspecified, Second: Unspecified,
		Hundredths: Unspecified, Deviation: DeviationUnspecified}
	r := Reading{Value: Moment(open), Time: open}
	r.Doubt()
	require.Equal(t, Reading{Quality: Quality{Flags: Missing}}, r)
	open.Minute = 5
	r = Reading{Value: Moment(open)}
	r.Doubt()
	require.Zero(t, r.Quality.Flags)
}

func TestTextAmongTheCells(t *testing.T) {
	c := Column{Code: MustParse("1-0:1.29.0")}
	for _, v := range []Value{Int(1, 0), Text([]byte("ABC")), Int(2, 0), Octets([]byte{1})} {
		c.Append(v)
	}
	c.Quality.Add(3, Quality{Flags: Estimated})
	for range 2 {
		c.Doubt()
		for row, want := range []Flags{0, Invalid, 0, Invalid | Estimated} {
			require.Equal(t, want, c.Quality.At(row).Flags, row)
		}
	}
}
