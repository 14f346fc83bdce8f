package coap

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// What is written in the form in which it is shown is the value again.
func TestParseWritten(t *testing.T) {
	code := obis.MustParse("1-0:1.8.0")
	for _, r := range []obis.Reading{
		{Code: code, Unit: obis.WattHour, Value: obis.Int(12345, -1)}, {Code: code, Unit: obis.Celsius, Value: obis.Int(215, -1)}, {Code: code, Value: obis.Bool(true)},
		{Code: code, Value: obis.Int(7, 0)}, {Code: code, Value: obis.Text([]byte("hello"))}, {Code: code, Unit: obis.WattHour, Value: obis.Uint(1<<40, 0)},
	} {
		tree, _ := NewTree(&mapping.Data{Readings: []obis.Reading{r}}, nil)
		for _, f := range []Format{Text, SenMLJSON, SenMLCBOR} {
			rep, err := tree.Get("/m/1-0:1.8.0", nil, f)
			require.NoError(t, err)
			v, unit, err := ParseWritten(rep.Body, f, code, r.Unit)
			require.NoError(t, err, "%s", rep.Body)
			require.Equal(t, r.Value.String(), v.String(), "%v %s", f, rep.Body)
			require.Equal(t, r.Unit, unit)
		}
	}
	v, _, err := ParseWritten([]byte("2026-10-25T03:04:05Z"), AnyFormat, code, obis.UnitUnknown)
	require.NoError(t, err)
	require.Equal(t, obis.KindTime, v.Kind())
	v, unit, err := ParseWritten([]byte(`[{"u":"W","v":5}]`), SenMLJSON, code, obis.UnitUnknown)
	require.NoError(t, err)
	require.Equal(t, []any{"5", obis.Watt}, []any{v.String(), unit})
	for body, f := range map[string]Format{
		"": Text, "five": Text, "\xff": Text, "[]": SenMLJSON, `[{"v":1},{"n":"2","v":2}]`: SenMLJSON, `[{"n":"1-0:2.8.0","v":2}]`: SenMLJSON, `[{"u":"W","v":5}]`: SenMLJSON, "x": SenMLCBOR,
	} {
		_, _, err := ParseWritten([]byte(body), f, code, obis.WattHour)
		require.ErrorIs(t, err, ErrBadRequest, "%q", body)
	}
	_, _, err = ParseWritten([]byte("1"), LwM2MTLV, code, obis.WattHour)
	require.ErrorIs(t, err, ErrNotAcceptable)
}

// A tree with new values is as one that is made anew, and says what is old.
func TestWith(t *testing.T) {
	before := &mapping.Data{Meter: obis.Meter{ID: "x"}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(1, 0)}, {Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(230, 0)},
	}}
	tree, _ := NewTree(before, nil)
	for _, change := range []obis.Reading{
		{Unit: obis.Volt, Value: obis.Int(231, 0)}, {Unit: obis.Volt, Value: obis.Int(230, 0), Quality: obis.Quality{Flags: obis.Old}}, {Unit: obis.Volt}, {Unit: obis.Ampere, Value: obis.Int(5, 0)},
		{Value: obis.Text([]byte("x"))},
	} {
		after := *before
		change.Code = before.Readings[1].Code
		after.Readings = []obis.Reading{before.Readings[0], change}
		with := tree.With(&after, []int{1})
		anew, _ := NewTree(&after, nil)
		require.Equal(t, anew.Links(), with.Links())
		for path, r := range anew.resource {
			want, err := anew.Get(path, nil, AnyFormat)
			require.NoError(t, err)
			got, err := with.Get(path, nil, AnyFormat)
			require.NoError(t, err)
			require.Equal(t, string(want.Body), string(got.Body), path)
			require.Equal(t, anew.Old(path), with.Old(path))
			require.False(t, r.object && path[:5] == "/3331" && with.Old(path))
		}
		old := change.Quality.Flags != 0
		require.Equal(t, []bool{old, old, false, false}, []bool{with.Old("/m/1-0:32.7.0"), with.Old("/m"), with.Old("/m/1-0:1.8.0"), with.Old("/id")})
	}
}

func BenchmarkWith(b *testing.B) {
	d := &mapping.Data{}
	for i := range 100 {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{1, 0, byte(i), 7, 0, 255}, Unit: obis.Watt, Value: obis.Int(int64(i), 0)})
	}
	tree, _ := NewTree(d, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tree.With(d, []int{3, 5}).Get("/m/1-0:3.7.0", nil, AnyFormat); err != nil {
			b.Fatal(err)
		}
	}
}
