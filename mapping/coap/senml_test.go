package coap

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func sample() *mapping.Data {
	at := obis.FromTime(time.Unix(1795176000, 0).UTC())
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour}}}
	for i := range 3 {
		p.Times = append(p.Times, obis.FromTime(time.Unix(1795176000+int64(i)*900, 0).UTC()))
		p.Columns[0].Append(obis.Int(int64(10+i), 1))
	}
	return &mapping.Data{Meter: obis.Meter{ID: "ABC 1"}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2), Time: at},
		{Code: obis.MustParse("1-0:9.8.0*3"), Unit: obis.VoltAmpereHour, Value: obis.Int(1500, 0)},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("1\"2"))},
		{RawID: []byte("1-1:30D"), Value: obis.Bool(true), Quality: obis.Quality{Flags: obis.Test}},
		{Code: obis.MustParse("6-0:9.0.0"), Unit: obis.CubicMetrePerHour, Value: obis.Int(1, 0)},
		{Code: obis.MustParse("0-0:97.97.0"), Value: obis.Octets([]byte{1, 2})},
		{Code: obis.MustParse("0-0:97.97.1")},
		{Code: obis.MustParse("1-0:14.7.0"), Unit: obis.Hertz, Value: obis.Int(4998, -2)},
	}, Profiles: []*obis.Profile{p}, Events: []obis.Event{{}}}
}

const losses = `[reading 3: quality test not carried (1-1:30D) reading 4: SenML has no unit m3/h (6-0:9.0.0*255) reading 6: no value (0-0:97.97.1*255) event 0: SenML has no events]`

func TestSenML(t *testing.T) {
	pack, lost := AppendSenML(nil, sample())
	require.Equal(t, `[{"bver":26,"bn":"ABC_1/","n":"1-0:1.8.0","u":"Wh","v":1234500,"t":1795176000},`+
		`{"n":"1-0:9.8.0_3","u":"kVAh","v":1.500},{"n":"0-0:96.1.0","vs":"1\"2"},{"n":"1-1:30D","vb":true},{"n":"0-0:97.97.0","vd":"AQI"},`+
		`{"n":"1-0:14.7.0","u":"Hz","v":49.98},{"n":"1-0:99.1.0/1-0:1.8.0","u":"Wh","v":100,"t":1795176000},`+
		`{"n":"1-0:99.1.0/1-0:1.8.0","u":"Wh","v":110,"t":1795176900},{"n":"1-0:99.1.0/1-0:1.8.0","u":"Wh","v":120,"t":1795177800}]`, string(pack))
	require.Equal(t, losses, fmt.Sprint(lost))
	d, unread, err := ParseSenML(pack)
	require.NoError(t, err)
	require.Empty(t, unread)
	requireSample(t, d)
}

func TestSenMLCBOR(t *testing.T) {
	pack, lost := AppendSenMLCBOR(nil, sample())
	require.Equal(t, losses, fmt.Sprint(lost))
	d, unread, err := ParseSenMLCBOR(pack)
	require.NoError(t, err)
	require.Empty(t, unread)
	requireSample(t, d)
}

// requireSample asserts that d is what SenML carries of the sample.
func requireSample(t *testing.T, d *mapping.Data) {
	require.Equal(t, "ABC_1", d.Meter.ID)
	var got []string
	for _, r := range d.Readings {
		got = append(got, fmt.Sprint(r.ID(), " ", r.Value, " ", r.Unit, " ", r.Time))
	}
	require.Equal(t, []string{"1-0:1.8.0*255 1234500 Wh 2026-11-20T12:00:00Z", "1-0:9.8.0*3 1500 VAh ", `0-0:96.1.0*255 1"2  `, "1-1:30D true  ",
		"0-0:97.97.0*255 0x0102  ", "1-0:14.7.0*255 49.98 Hz "}, got)
	require.Len(t, d.Profiles, 1)
	p := d.Profiles[0]
	require.Equal(t, sample().Profiles[0].Times, p.Times)
	require.Equal(t, int32(900), p.Period)
	require.Equal(t, "1-0:99.1.0*255", p.Code.String())
	require.Equal(t, "120", p.Columns[0].At(2).String())
}

// The examples of RFC 8428, sections 5.1 and 6.
func TestPublishedPacks(t *testing.T) {
	d, _, err := ParseSenML([]byte(`[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},{"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]`))
	require.NoError(t, err)
	require.Equal(t, "urn:dev:ow:10e2073a0108006:", d.Meter.ID)
	require.Equal(t, "voltage 120.1 V 2010-06-08T18:01:16Z", fmt.Sprint(string(d.Readings[0].RawID), " ", d.Readings[0].Value, " ", d.Readings[0].Unit, " ", d.Readings[0].Time))
	require.Equal(t, 6, d.Profiles[0].Len())
	require.Equal(t, int32(1), d.Profiles[0].Period)
	require.Equal(t, obis.Ampere, d.Profiles[0].Columns[0].Unit)
	require.Equal(t, "1.7", d.Profiles[0].Columns[0].At(5).String())

	raw, err := hex.DecodeString("87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c7461676501615602fb405e066666666666" +
		"a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666" +
		"a3006763757272656e74062102f93e00a3006763757272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333")
	require.NoError(t, err)
	d, _, err = ParseSenMLCBOR(raw)
	require.NoError(t, err)
	require.Equal(t, "voltage", string(d.Readings[0].RawID))
	require.Equal(t, 6, d.Profiles[0].Len())
	f, _ := d.Profiles[0].Columns[0].At(5).Float64()
	require.InDelta(t, 1.7, f, 0)
}

func TestSenMLRefuses(t *testing.T) {
	for doc, want := range map[string]string{
		`{`:                                 "SenML",
		`[{"n":1}]`:                         "record 0: n",
		`[{"v":"1"}]`:                       "want a number",
		`[{"bver":11,"v":1}]`:               "version 11",
		`[{"n":"a","v":1},{"x_":1}]`:        "record 1: x_",
		`[{"vd":"*"}]`:                      "vd",
		`[{"v":1e999}]`:                     "out of range",
		`[{"bver":27,"v":1}]`:               "version 27",
		`[{"v":1}]x`:                        "behind",
		`[{"n":"a","v":1,"t":"yesterday"}]`: "t: ",
	} {
		_, _, err := ParseSenML([]byte(doc))
		require.ErrorContains(t, err, want, doc)
	}
	_, _, err := ParseSenMLCBOR([]byte{0x81, 0xA1, 0x02, 0x61, 'x'})
	require.ErrorContains(t, err, "record 0: 2")
	_, unread, err := ParseSenML([]byte(`[{"n":"a","u":"lm","v":1},{"n":"b","s":5}]`))
	require.NoError(t, err)
	require.Equal(t, []string{"a: the unit lm", "b: a sum"}, unread)
}

// Every row of the table is of a unit that there is.
func TestUnitTable(t *testing.T) {
	r := csv.NewReader(bytes.NewReader(unitsCSV))
	r.Comment = '#'
	rows, err := r.ReadAll()
	require.NoError(t, err)
	require.Len(t, senmlUnits(), len(rows)-1)
}

// Both forms say the same; only binary floats become decimals in JSON.
func requireSame(t *testing.T, d *mapping.Data) {
	json, _ := AppendSenML(nil, d)
	cbor, _ := AppendSenMLCBOR(nil, d)
	a, _, err := ParseSenML(json)
	require.NoError(t, err, "%s", json)
	b, _, err := ParseSenMLCBOR(cbor)
	require.NoError(t, err, "%x", cbor)
	require.Equal(t, a.Meter, b.Meter)
	require.Len(t, b.Readings, len(a.Readings))
	for i := range a.Readings {
		x, y := &a.Readings[i], &b.Readings[i]
		f, _ := x.Value.Float64()
		g, _ := y.Value.Float64()
		require.True(t, x.Value.Equal(y.Value) || f == g || x.Value.String() == y.Value.String(), "%v %v", x.Value, y.Value)
		require.Equal(t, fmt.Sprint(x.ID(), x.Unit, x.Time), fmt.Sprint(y.ID(), y.Unit, y.Time))
	}
	require.Len(t, b.Profiles, len(a.Profiles))
}

func TestSameInBothForms(t *testing.T) {
	requireSame(t, sample())
	requireSame(t, &mapping.Data{Readings: []obis.Reading{reading("1-0:1.8.0", obis.WattHour, -4998, 16), reading("1-0:2.8.0", obis.WattHour, 0, 100), reading("1-0:3.8.0", obis.VarHour, math.MaxInt64, -18),
		reading("1-0:4.8.0", obis.VarHour, math.MinInt64, 0), {Code: obis.MustParse("1-0:5.8.0"), Value: obis.Uint(math.MaxUint64, 0)}}})
}

func FuzzSenML(f *testing.F) {
	pack, _ := AppendSenML(nil, sample())
	f.Add(pack)
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, _, err := ParseSenML(doc)
		if err != nil {
			return
		}
		once, _ := AppendSenML(nil, d)
		require.True(t, json.Valid(once), "%s", once)
		again, _, err := ParseSenML(once)
		require.NoError(t, err, "%s", once)
		twice, _ := AppendSenML(nil, again) // readings before profiles now
		again, _, err = ParseSenML(twice)
		require.NoError(t, err, "%s", twice)
		thrice, _ := AppendSenML(nil, again)
		require.Equal(t, string(twice), string(thrice))
	})
}

func FuzzSenMLCBOR(f *testing.F) {
	pack, _ := AppendSenMLCBOR(nil, sample())
	f.Add(pack)
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, _, err := ParseSenMLCBOR(doc)
		if err != nil {
			return
		}
		requireSame(t, d)
		once, _ := AppendSenMLCBOR(nil, d)
		_, _, err = ParseSenMLCBOR(once)
		require.NoError(t, err)
	})
}

// thousand returns a thousand readings.
func thousand() *mapping.Data {
	d := &mapping.Data{Meter: obis.Meter{ID: "ABC12345678"}}
	at := obis.FromTime(time.Unix(1795176000, 0).UTC())
	for i := range 1000 {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{1, byte(i / 100), byte(1 + i%10), 8, byte(i / 10 % 10), 255}, Unit: obis.WattHour, Value: obis.Int(int64(i)*7919, -1), Time: at})
	}
	return d
}

// BenchmarkSenML writes a thousand readings; the floor is a loop for just this pack.
func BenchmarkSenML(b *testing.B) {
	d := thousand()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendSenML(dst[:0], d)
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
	golden.OfFloor(b, func() {
		dst = dst[:0]
		for i := range 1000 {
			dst = strconv.AppendInt(append(dst, `{"n":"1-`...), int64(i/100), 10)
			dst = strconv.AppendInt(append(dst, ':'), int64(1+i%10), 10)
			dst = strconv.AppendInt(append(dst, ".8."...), int64(i/10%10), 10)
			dst = strconv.AppendInt(append(dst, `","u":"Wh","v":`...), int64(i)*7919, 10)
			dst = append(dst, `,"t":1795176000},`...)
		}
	})
}

// BenchmarkSenMLCBOR does so in CBOR.
func BenchmarkSenMLCBOR(b *testing.B) {
	d := thousand()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendSenMLCBOR(dst[:0], d)
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
	golden.OfFloor(b, func() {
		dst = dst[:0]
		for i := range 1000 {
			dst = strconv.AppendInt(append(dst, 0xA4, 0, 0x69, '1', '-'), int64(i/100), 10)
			dst = strconv.AppendInt(append(dst, ':'), int64(1+i%10), 10)
			dst = strconv.AppendInt(append(dst, ".8."...), int64(i/10%10), 10)
			dst = append(dst, 1, 0x62, 'W', 'h', 2, 0xC4, 0x82, 0x20, 0x1A)
			dst = binary.BigEndian.AppendUint32(dst, uint32(i*7919))
			dst = append(dst, 6, 0x1A, 0x6A, 0xFF, 0, 0)
		}
	})
}

func ExampleAppendSenML() {
	pack, _ := AppendSenML(nil, &mapping.Data{Meter: obis.Meter{ID: "ABC12345678"}, Readings: []obis.Reading{
		{Code: obis.MustParse("6-0:1.0.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2)},
	}})
	fmt.Println(string(pack))
	// Output: [{"bver":26,"bn":"ABC12345678/","n":"6-0:1.0.0","u":"Wh","v":1234500}]
}

// Nothing in a pack or an object tells an invalid value from a good one: it is not there.
func TestInvalidValuesStayOut(t *testing.T) {
	at := obis.FromTime(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Times: []obis.Time{at, at}, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour}}}
	p.Columns[0].AppendInt(4711)
	p.Columns[0].AppendInt(5)
	p.Columns[0].Quality.Add(0, obis.Quality{Flags: obis.Invalid})
	d := &mapping.Data{Meter: obis.Meter{ID: "M1"}, Profiles: []*obis.Profile{p}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(4711, 0), Time: at, Quality: obis.Quality{Flags: obis.Invalid}},
		{Code: obis.MustParse("1-0:2.8.0"), Unit: obis.WattHour, Value: obis.Int(5, 0), Time: at, Quality: obis.Quality{Flags: obis.Estimated}},
	}}
	pack, lost := AppendSenML(nil, d)
	require.NotContains(t, string(pack), "4711")
	require.Equal(t, 2, strings.Count(string(pack), `"v":5`), "%s", pack)
	require.Contains(t, fmt.Sprint(lost), "reading 0: "+invalid)
	require.Contains(t, fmt.Sprint(lost), "profile 0: "+invalid+" (1 row)")
	list, lost := AppendLwM2M(nil, d, nil)
	require.NotContains(t, string(list), "4711")
	require.Contains(t, fmt.Sprint(lost), "reading 0: "+invalid)
}
