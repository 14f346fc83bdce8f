package cosem

import (
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// xt211 is a push with descriptors that have no tags, made by hand.
const xt211 = "0202 0900 0105" +
	"0202 0001 00002a0000ff 02 0908 3132333435363738" +
	"0202 0003 0100010800ff 02 0600001234" +
	"0202 0003 0100020800ff 02 0600000000" +
	"0202 0046 0000600304ff 02 0301" +
	"0203 0003 0100200700ff 02 120906 0202 0fff 1623"

func TestBareDescriptors(t *testing.T) {
	raw := golden.Unhex(t, xt211)
	_, _, err := ParseData(raw)
	require.Error(t, err, "it is no A-XDR")
	body, ok := ParseBare(raw)
	require.True(t, ok)
	var got []string
	for _, r := range AppendPushed(nil, body, obis.Time{}) {
		got = append(got, r.ID()+" "+r.Value.String()+" "+r.Unit.String())
	}
	require.Equal(t, []string{
		"0-0:42.0.0*255 12345678 ", "1-0:1.8.0*255 4660 ", "1-0:2.8.0*255 0 ", "0-0:96.3.4*255 true ", "1-0:32.7.0*255 231.0 V",
	}, got[1:])
	for i := range raw {
		_, ok := ParseBare(raw[:i])
		require.False(t, ok, "cut at %d", i)
	}
	_, ok = ParseBare(append(raw, 0))
	require.False(t, ok)
	for _, standard := range []string{"0202 1100 0600001234", "0103 0600000001 0600000002 0600000003", "00", ""} {
		_, ok := ParseBare(golden.Unhex(t, standard))
		require.False(t, ok, standard)
	}
}

// What says which objects there are is not what they show.
func TestListsOfObjects(t *testing.T) {
	captures := "0103 0204 120008 09060000010000ff 0f02 120000 0204 120003 09060100010800ff 0f02 120000 0204 120003 09060100200700ff 0f02 120000"
	objects := "0102 0204 120003 1100 09060100010800ff 0202 0101 0203 0f02 1601 00 0100 0204 120008 1100 09060000010000ff 0202 0101 0203 0f02 1601 00 0100"
	short := "0101 0204 10fa00 120003 1100 09060100010800ff"
	for name, list := range map[string]string{"capture objects": captures, "object list": objects, "object list by short names": short} {
		d, n, err := ParseData(golden.Unhex(t, list))
		require.NoError(t, err, name)
		require.Equal(t, len(golden.Unhex(t, list)), n)
		require.Empty(t, AppendPushed(nil, d, obis.Time{}), name)
		require.Empty(t, AppendPushed(nil, Structure(OctetString([]byte("\x01\x02")), d), obis.Time{})[1:], name)
		var r Readings
		r.Raw(d, obis.Time{})
		require.Empty(t, r.List, name)
	}
	registers, _, err := ParseData(golden.Unhex(t, "0102 0204 120003 09060100010800ff 0f02 120000 0204 120004 09060100200700ff 0f02 120000"))
	require.NoError(t, err)
	var r Readings
	r.Raw(registers, obis.Time{})
	require.Empty(t, r.List, "nothing says that these are values")
	values, _, err := ParseData(golden.Unhex(t, "0102 0204 120003 09060100200700ff 0f02 120906 0204 120003 09060100010700ff 0f02 120000"))
	require.NoError(t, err)
	require.Len(t, AppendPushed(nil, values, obis.Time{}), 2, "values of a word")
}

// What cannot be is not good: by pushes, in registers and in the rows of profiles.
func TestWhatCannotBe(t *testing.T) {
	impossible := golden.Unhex(t, "05dc0128010000000073 0000")
	impossible[9], impossible[10] = 0x73, 0x00
	clock := Register{Class: ClassClock, Name: obis.MustParse("0-0:1.0.0"), Value: OctetString(impossible)}
	r := clock.AppendReadings(nil)[0]
	require.Equal(t, obis.Bad, r.Quality.Validity())
	require.True(t, r.Time.IsZero())

	at, _ := ParseTime(impossible)
	pushed := AppendPushed(nil, Structure(Name(obis.MustParse("1-0:1.8.0")), Uint32(5)), at)
	require.True(t, pushed[0].Time.IsZero())
	require.NotZero(t, pushed[0].Quality.Flags&obis.ClockInvalid)

	for _, nan := range []Data{Float32(0x7FC00000), Float32(0xFF800000), Float64(0x7FF0000000000000)} {
		register := Register{Class: ClassRegister, Name: obis.MustParse("1-0:1.7.0"), Value: nan, ScalerUnit: ScalerUnit{0, obis.Watt, true}.Data()}
		r := register.AppendReadings(nil)[0]
		require.True(t, r.Value.IsNone())
		require.Equal(t, obis.Bad, r.Quality.Validity())

		l := Layout{Name: obis.MustParse("1-0:99.1.0"), Columns: []Column{
			{Capture: Capture{Attribute: Attribute{ClassClock, clock.Name, 2}}},
			{Capture: Capture{Attribute: Attribute{ClassRegister, register.Name, 2}}, ScalerUnit: ScalerUnit{0, obis.Watt, true}},
		}}
		var p obis.Profile
		l.Describe(&p)
		stamp := OctetString(golden.Unhex(t, "07e8010101000000ff800000"))
		require.NoError(t, l.Append(&p, Array(Structure(stamp, nan), Structure(OctetString(impossible), Uint32(1)), Structure(stamp, Uint32(2)))))
		require.Equal(t, obis.Bad, p.Columns[0].Quality.At(0).Validity())
		require.True(t, p.Times[1].IsZero())
		require.NotZero(t, p.Quality.At(1).Flags&obis.ClockInvalid)
		require.Zero(t, p.Quality.At(2).Flags)
	}
	// Rows that are read column by column.
	l := Layout{Name: obis.MustParse("1-0:99.1.0"), Columns: []Column{
		{Capture: Capture{Attribute: Attribute{ClassClock, clock.Name, 2}}},
		{Capture: Capture{Attribute: Attribute{ClassRegister, obis.MustParse("1-0:1.8.0"), 2}}, ScalerUnit: ScalerUnit{0, obis.WattHour, true}},
	}}
	var p obis.Profile
	l.Describe(&p)
	stamp := OctetString(golden.Unhex(t, "07e8010101000000ff800000"))
	require.NoError(t, l.Append(&p, Array(Structure(stamp, Uint32(1)), Structure(OctetString(impossible), Uint32(1)), Structure(stamp, Uint32(2)))))
	require.True(t, p.Times[1].IsZero())
	require.NotZero(t, p.Quality.At(1).Flags&obis.ClockInvalid)
	require.Zero(t, p.Quality.At(0).Flags|p.Quality.At(2).Flags)
}

func TestRegisterWithAnotherUnit(t *testing.T) {
	l := Layout{Name: obis.MustParse("1-0:99.1.0"), Columns: []Column{
		{Capture: Capture{Attribute: Attribute{ClassRegister, obis.MustParse("1-0:1.8.0"), 2}}, ScalerUnit: ScalerUnit{0, obis.Watt, true}},
		{Capture: Capture{Attribute: Attribute{ClassRegister, obis.MustParse("1-0:1.7.0"), 2}}, ScalerUnit: ScalerUnit{0, obis.Watt, true}},
	}}
	var p obis.Profile
	l.Describe(&p)
	require.NoError(t, l.Append(&p, Array(Structure(Uint32(1), Uint32(1)), Structure(Uint32(1), Uint32(1)))))
	require.Equal(t, obis.Inconsistent, p.Columns[0].Quality.At(1).Flags)
	require.Empty(t, p.Columns[1].Quality)
	register := Register{Class: ClassRegister, Name: obis.MustParse("1-0:1.8.0"), Value: Uint32(5), ScalerUnit: ScalerUnit{0, obis.CubicMetre, true}.Data()}
	require.Equal(t, obis.Inconsistent, register.AppendReadings(nil)[0].Quality.Flags)
}

func FuzzParseBare(f *testing.F) {
	f.Add(golden.Unhex(f, xt211))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, ok := ParseBare(b); ok {
			AppendPushed(nil, d, obis.Time{})
			out, err := d.AppendBinary(nil)
			require.NoError(t, err)
			require.LessOrEqual(t, len(out), 2*len(b))
		}
	})
}
