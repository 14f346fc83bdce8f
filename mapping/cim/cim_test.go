package cim

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/internal/xmltext"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func TestTables(t *testing.T) {
	for file, count := range map[string]int{
		"flows.csv": len(data().flows), "units.csv": len(data().units), "qualities.csv": len(data().qualities), "espi_qualities.csv": len(data().espi), "phases.csv": len(data().phases),
		"periods.csv": len(data().periods), "events.csv": len(data().events), "media.csv": len(data().media), "services.csv": len(data().services), "reading_types.csv": len(builtin().Rules),
	} {
		f, err := os.Open(file)
		require.NoError(t, err)
		r := csv.NewReader(f)
		r.Comment = '#'
		rows, err := r.ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, count+1, file)
		require.NoError(t, f.Close())
	}
}

func TestTypeOf(t *testing.T) {
	for _, test := range []struct {
		code   string
		unit   obis.Unit
		period int32
		want   string
	}{
		{"1-0:1.8.0", obis.WattHour, 0, "0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"},
		{"1-0:2.8.2", obis.WattHour, 0, "0.0.0.9.19.1.12.0.0.0.0.2.0.0.0.0.72.0"},
		{"1-0:3.8.0", obis.VarHour, 0, "0.0.0.1.5.1.12.0.0.0.0.0.0.0.0.0.73.0"},
		{"1-0:8.8.0", obis.VarHour, 0, "0.0.0.1.18.1.12.0.0.0.0.0.0.0.0.0.73.0"},
		{"1-0:16.8.0", obis.WattHour, 0, "0.0.0.1.4.1.12.0.0.0.0.0.0.0.0.0.72.0"},
		{"1-0:41.8.0", obis.WattHour, 0, "0.0.0.1.1.1.12.0.0.0.0.0.0.0.64.0.72.0"},
		{"1-0:1.8.0", obis.WattHour, 900, "0.0.2.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"},
		{"1-0:1.29.0", obis.WattHour, 900, "0.0.2.4.1.1.12.0.0.0.0.0.0.0.0.0.72.0"},
		{"1-0:1.8.0*3", obis.WattHour, 0, "8.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"},
		{"1-0:32.7.0", obis.Volt, 0, "0.0.0.12.0.1.54.0.0.0.0.0.0.0.128.0.29.0"},
		{"1-0:52.7.5", obis.Volt, 0, "0.0.0.12.0.1.54.5.1.0.0.0.0.0.64.0.29.0"},
		{"1-0:91.7.0", obis.Ampere, 0, "0.0.0.12.0.1.4.0.0.0.0.0.0.0.16.0.5.0"},
		{"1-0:13.7.0", obis.Count, 0, "0.0.0.12.0.1.38.0.0.0.0.0.0.0.0.0.65.0"},
		{"1-0:1.6.1", obis.Watt, 900, "8.8.2.6.1.1.8.0.0.0.0.1.0.0.0.0.38.0"},
		{"6-0:1.0.0", obis.Joule, 0, "0.0.0.1.1.12.12.0.0.0.0.0.0.0.0.0.31.0"},
		{"6-0:11.0.0", obis.Celsius, 0, "0.0.0.12.19.12.46.0.0.0.0.0.0.0.0.0.23.0"},
		{"7-0:3.1.0", obis.CubicMetre, 0, "0.0.0.1.1.7.58.0.0.0.0.0.0.0.0.0.167.0"},
		{"8-0:1.0.0", obis.CubicMetre, 0, "0.0.0.1.1.9.58.0.0.0.0.0.0.0.0.0.42.0"},
		{"1-0:1.8.0", obis.WattHour, 86400, "11.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"},
		{"1-0:1.29.0", obis.WattHour, 86400, "0.0.4.4.1.1.12.0.0.0.0.0.0.0.0.0.72.0"},
		{"8-0:1.0.0", obis.CubicMetre, 86400, "11.0.0.1.1.9.58.0.0.0.0.0.0.0.0.0.42.0"},
		{"1-0:1.4.0", obis.Watt, 900, "0.2.2.6.1.1.8.0.0.0.0.0.0.0.0.0.38.0"},
		{"1-0:1.5.0", obis.Watt, 900, "0.2.2.6.1.1.8.0.0.0.0.0.0.0.0.0.38.0"},
		{"6-0:12.0.0", obis.Kelvin, 0, "0.0.0.12.0.12.46.0.0.0.0.0.0.0.0.0.6.0"},
		{"7-0:42.0.0", obis.Bar, 0, "0.0.0.12.0.7.0.0.0.0.0.0.0.0.0.0.39.0"},
		{"7-0:3.1.0", obis.CubicMetreCorrected, 0, "0.0.0.1.1.7.58.0.0.0.0.0.0.0.0.0.167.0"},
		{"4-0:1.0.0", obis.HCAUnit, 0, "0.0.0.1.1.12.0.0.0.0.0.0.0.0.0.0.111.0"},
		{"1-0:1.8.0", obis.VarHour, 0, ""}, // a unit that the code cannot have
		{"1-0:96.1.0", obis.UnitUnknown, 0, ""},
		{"1-0:14.7.0", obis.UnitUnknown, 0, ""},
	} {
		got, _, ok := (*Rules)(nil).TypeOf(Quantity{Code: obis.MustParse(test.code), Unit: test.unit, Period: test.period})
		require.Equal(t, test.want != "", ok, test.code)
		if ok {
			require.Equal(t, test.want, got.String(), test.code)
		}
	}
}

// What other systems write for the same quantity.
func TestQuantityOf(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.2.4.1.1.12.0.0.0.0.0.0.0.0.3.72.0":     "1-0:1.29.0*255 Wh 900",
		"0.0.0.1.2.1.12.0.0.0.0.0.0.0.0.3.73.0":     "1-0:3.8.0*255 varh 0",
		"0.0.0.1.19.1.12.0.0.0.0.0.0.0.0.0.71.0":    "1-0:10.8.0*255 VAh 0",
		"0.12.7.4.1.1.12.0.0.0.0.0.0.0.769.0.72.0":  "1-0:1.29.0*255 Wh 3600",
		"0.0.0.12.0.1.54.0.0.0.0.0.0.0.65.0.29.0":   "1-0:52.7.0*255 V 0",
		"0.0.0.1.1.7.58.0.0.0.0.0.0.0.0.0.42.0":     "7-0:3.0.0*255 m3 0",
		"11.0.0.1.1.1.12.0.0.0.0.0.0.0.0.3.72.0":    "1-0:1.8.0*255 Wh 86400",
		"0.0.4.1.1.1.12.0.0.0.0.0.0.0.0.3.72.0":     "1-0:1.8.0*255 Wh 86400",
		"0.2.59.6.1.1.8.0.0.0.0.0.0.0.0.3.38.0":     "1-0:1.5.0*255 W 3600",
		"0.2.53.6.1.1.8.0.0.0.0.0.0.0.0.3.38.0":     "1-0:1.5.0*255 W 900",
		"0.0.0.12.0.1.158.0.0.0.0.0.0.0.128.0.29.0": "1-0:32.7.0*255 V 0",
		"0.0.0.6.0.1.54.0.0.0.0.0.0.0.128.0.29.0":   "1-0:32.7.0*255 V 0",
		"0.0.0.12.1.1.4.0.0.0.0.0.0.0.64.0.5.0":     "1-0:51.7.0*255 A 0",
		"0.0.0.12.0.1.38.0.0.0.0.0.0.0.0.0.0.0":     "1-0:13.7.0*255 1 0",
		"0.2.0.6.1.1.37.0.0.0.0.0.0.0.0.0.61.0":     "1-0:9.7.0*255 VA 0",
		"0.0.0.1.1.7.58.0.0.0.0.0.0.0.0.0.166.0":    "7-0:3.0.0*255 m3 0",
		"0.2.0.6.0.9.58.0.0.0.0.0.0.0.0.0.125.0":    "8-0:2.0.0*255 m3/h 0",
		"8.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0":     "",
		"13.0.0.1.1.1.12.0.0.0.0.0.0.0.0.3.72.0":    "1-0:1.8.0*255 Wh 0",
		"13.0.0.9.1.1.12.0.0.0.0.2.0.0.0.3.72.0":    "1-0:1.8.2*255 Wh 0",
		"13.0.0.4.19.1.12.0.0.0.0.0.0.0.0.3.72.0":   "1-0:2.29.0*255 Wh 0",
		"11.0.0.4.1.1.12.0.0.0.0.0.0.0.0.3.72.0":    "1-0:1.29.0*255 Wh 86400",
		"0.0.2.4.1.2.12.0.0.0.0.0.0.0.0.3.72.0":     "1-0:1.29.0*255 Wh 900",
		"0.8.0.6.1.1.8.0.0.0.0.0.0.0.0.3.38.0":      "1-0:1.6.0*255 W 0",
		"0.2.7.6.0.1.158.0.0.0.0.0.0.0.128.0.29.0":  "1-0:32.24.0*255 V 3600",
		"0.0.0.1.1.7.58.0.0.0.0.0.0.0.0.0.119.0":    "7-0:3.0.0*255 [cft_i] 0",
		"0.0.7.4.1.1.0.0.0.0.0.0.0.0.0.0.72.0":      "1-0:1.29.0*255 Wh 3600",
		"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0":       "",
	} {
		rt, err := ParseReadingType(text)
		require.NoError(t, err)
		q, ok := (*Rules)(nil).QuantityOf(rt)
		require.Equal(t, want != "", ok, text)
		if ok {
			require.Equal(t, want, fmt.Sprint(q.Code, " ", q.Unit, " ", q.Period), text)
		}
	}
}

// There and back: every code that has a type is found again from it, or is named
// beside it in the document.
func TestThereAndBack(t *testing.T) {
	d := &mapping.Data{Meter: obis.Meter{ID: "ABC1", Serial: "1", Medium: obis.Electricity}}
	at := obis.LocalTime(2026, 11, 20, 12, 0, 0)
	at.Deviation = -60
	for _, u := range data().units {
		for c := range 128 {
			for _, de := range [][2]byte{{8, 0}, {8, 3}, {9, 0}, {29, 0}, {7, 0}, {7, 5}, {6, 1}, {4, 0}, {5, 0}, {0, 0}, {1, 0}, {2, 0}} {
				for _, a := range []byte{0, 1, 4, 5, 6, 7, 8, 9} {
					code := obis.Code{a, 0, byte(c), de[0], de[1], 255}
					if builtin().Find(code) == nil {
						continue
					}
					d.Readings = append(d.Readings, obis.Reading{Code: code, Unit: u.unit, Value: obis.Int(int64(c)*7+1, -1), Time: at})
				}
			}
		}
	}
	doc, lost := New(d, nil)
	parsed, err := Parse(doc.AppendXML(nil))
	require.NoError(t, err)
	back := parsed.data()
	require.Len(t, back, 1)
	require.Equal(t, d.Meter, back[0].Meter)
	skipped := map[int]bool{}
	for _, l := range lost {
		for _, i := range append(l.More, l.Index) {
			skipped[i] = skipped[i] || strings.Contains(l.Reason, "no reading type")
		}
	}
	n := 0
	for i, r := range d.Readings {
		t1, _, ok := (*Rules)(nil).TypeOf(Quantity{Code: r.Code, Unit: r.Unit, Medium: r.Code.Medium()})
		if !ok {
			require.True(t, skipped[i])
			continue
		}
		got := back[0].Readings[n]
		n++
		require.Equal(t, r.Code, got.Code, "%v", t1)
		require.True(t, r.Value.Equal(got.Value) || r.Unit != got.Unit, "%v: %v and %v", t1, r, got)
		want, _ := r.Time.Instant(obis.Clock{})
		have, _ := got.Time.Instant(obis.Clock{})
		require.True(t, want.Equal(have))
	}
	require.Len(t, back[0].Readings, n)
	require.Greater(t, n, 500)
}

func TestQualities(t *testing.T) {
	for flag := obis.Flags(1); flag <= obis.ScalerUnknown; flag <<= 1 {
		list, left := qualitiesOf(flag)
		require.LessOrEqual(t, len(list), 1)
		if left == 0 {
			require.Equal(t, flag, flagOf(list[0].Type))
		} else {
			require.Equal(t, flag, left)
		}
	}
	list, left := qualitiesOf(obis.Substituted)
	require.Equal(t, "1.7.0", list[0].Type)
	require.Equal(t, obis.Substituted, left, "it comes back as edited")
	require.Equal(t, obis.Estimated, flagOf("3.8.8"))
	require.Equal(t, obis.Missing, flagOf("2.5.259"))
	require.Equal(t, obis.Flags(0), flagOf("1.0.0"))
}

func TestProfileAndEvents(t *testing.T) {
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour}, {Code: obis.MustParse("0-0:96.10.1")}}}
	for i := range 4 {
		at := obis.LocalTime(2026, 11, 20, 12, 15*i, 0)
		at.Deviation = 0
		p.Times = append(p.Times, at)
		p.Columns[1].Append(obis.Int(0, 0))
	}
	p.Columns[0].Append(obis.Int(10, 1))
	p.Columns[0].AppendMissing()
	p.Columns[0].Append(obis.Int(12, 1))
	p.Columns[0].Append(obis.Int(13, 1))
	p.Quality.Add(2, obis.Quality{Flags: obis.PowerDown | obis.DST})
	d := &mapping.Data{Profiles: []*obis.Profile{p}, Events: []obis.Event{
		{Log: obis.MustParse("0-0:99.98.0"), ID: 1, Text: "power down", Time: p.Times[0], Params: []obis.Reading{{Code: obis.MustParse("1-0:32.7.0"), Value: obis.Int(2300, -1)}}},
		{Log: obis.MustParse("0-0:99.98.7"), ID: 77},
	}}
	doc, lost := New(d, nil)
	require.Equal(t, `[profile 0: its code: CIM has no names for blocks of intervals profile 0: quality dst not carried (1 row) profile 0: CIM has no reading type for column 0-0:96.10.1*255 in "" `+
		`event 1: no EndDeviceEventType: carried by its log and number alone]`, fmt.Sprint(lost))
	parsed, err := Parse(doc.AppendXML(nil))
	require.NoError(t, err)
	back := parsed.data()[0]
	require.Len(t, back.Profiles, 1)
	got := back.Profiles[0]
	require.Equal(t, int32(900), got.Period)
	for i, want := range []string{"100", "", "120", "130"} {
		require.Equal(t, want, got.Columns[0].At(i).String())
	}
	require.Equal(t, obis.Missing, got.Columns[0].Quality.At(1).Flags)
	require.Equal(t, obis.PowerDown, got.Columns[0].Quality.At(2).Flags)
	require.Equal(t, d.Events[0].Log, back.Events[0].Log)
	require.Equal(t, uint32(77), back.Events[1].ID)
	require.Equal(t, "230.0", back.Events[0].Params[0].Value.String())
}

// The corpus: every document is read, and written again it says the same.
func TestCorpus(t *testing.T) {
	root := os.Getenv("METER_CORPUS")
	if root == "" {
		t.Skip("METER_CORPUS is not set: the corpus is no part of the repository")
	}
	names, err := filepath.Glob(filepath.Join(root, "cim", "cim61968", "*.xml"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		doc, err := Parse(raw)
		require.NoError(t, err, name)
		before, err := xmltext.ParseTree(raw)
		require.NoError(t, err)
		after, err := xmltext.ParseTree(doc.AppendXML(nil))
		require.NoError(t, err)
		require.True(t, before.Equal(after), "%s", after.Append(nil, ""))
		d := doc.data()[0]
		require.Equal(t, "M0000001", d.Meter.ID)
		require.Equal(t, "1-0:1.29.0*255", d.Profiles[0].Columns[0].Code.String())
		require.Equal(t, "6519095.5", d.Profiles[0].Columns[0].At(0).String())
	}
}

func TestMessage(t *testing.T) {
	doc, _ := New(&mapping.Data{Meter: obis.Meter{ID: "a<b"}, Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(5, 0)}}}, nil)
	doc.Header = &Header{Verb: "created", Noun: "MeterReadings", MessageID: "1"}
	back, err := Parse(doc.AppendXML(nil))
	require.NoError(t, err)
	require.Equal(t, "created", back.Header.Verb)
	require.Equal(t, "a<b", back.Readings[0].Meter.MRID)
	require.True(t, back.data()[0].Readings[0].Time.IsZero(), "no time is made up")
}

func TestEndDeviceEvents(t *testing.T) {
	doc, err := Parse([]byte(`<EventMessage xmlns="http://iec.ch/TC57/2011/schema/message"><Header><Verb>created</Verb><Noun>EndDeviceEvents</Noun></Header><Payload>
<EndDeviceEvents xmlns="http://iec.ch/TC57/2011/EndDeviceEvents#"><EndDeviceEvent><mRID>1</mRID><createdDateTime>2026-11-20T12:00:00Z</createdDateTime>
<Assets><mRID>M1</mRID><Names><name>meter 1</name></Names></Assets><EndDeviceEventType ref="0.26.38.85"/></EndDeviceEvent></EndDeviceEvents></Payload></EventMessage>`))
	require.NoError(t, err)
	d := doc.data()[0]
	require.Equal(t, "M1", d.Meter.ID)
	require.Equal(t, "0-0:99.98.0*255 1 2026-11-20T12:00:00Z", fmt.Sprint(d.Events[0].Log, " ", d.Events[0].ID, " ", d.Events[0].Time))
}

func TestParseControls(t *testing.T) {
	list, err := ParseControls([]byte(`<EndDeviceControls xmlns="http://iec.ch/TC57/2011/EndDeviceControls#"><EndDeviceControl>
<mRID>c1</mRID><reason>payment</reason><EndDeviceControlType ref="3.31.0.23"/><EndDevices><Names><name>M1</name></Names></EndDevices>
<scheduledInterval><end>2026-11-21T00:00:00Z</end><start>2026-11-20T00:00:00Z</start></scheduledInterval></EndDeviceControl></EndDeviceControls>`))
	require.NoError(t, err)
	require.Equal(t, []Control{{MRID: "c1", Reason: "payment", Type: "3.31.0.23", Devices: []string{"M1"},
		Start: DateTime{text: "2026-11-20T00:00:00Z"}, End: DateTime{text: "2026-11-21T00:00:00Z"}}}, list)
	for _, bad := range []string{"", "<a/>", "<Message/>", "<EndDeviceControls><EndDeviceControl>"} {
		_, err := ParseControls([]byte(bad))
		require.Error(t, err)
	}
}

func FuzzParse(f *testing.F) {
	doc, _ := New(&mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse("7-0:3.2.0"), Unit: obis.CubicMetre, Value: obis.Int(5, -2), Quality: obis.Quality{Flags: obis.Estimated}}}}, nil)
	f.Add(doc.AppendXML(nil))
	doc.Header = &Header{Verb: "get"}
	f.Add(doc.AppendXML(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = ParseControls(raw)
		doc, err := Parse(raw)
		if err != nil {
			require.Nil(t, doc)
			return
		}
		_, _ = doc.Data(nil)
		once := doc.AppendXML(nil)
		again, err := Parse(once)
		require.NoError(t, err, "%s", once)
		require.Equal(t, string(once), string(again.AppendXML(nil)))
	})
}

// BenchmarkWrite writes a thousand readings; the floor is a loop for just this document.
func BenchmarkWrite(b *testing.B) {
	d := &mapping.Data{Meter: obis.Meter{ID: "ABC1"}}
	at := obis.LocalTime(2026, 11, 20, 12, 0, 0)
	at.Deviation = 0
	for i := range 1000 {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(int64(i), -1), Time: at})
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		doc, _ := New(d, nil)
		dst = doc.AppendXML(dst[:0])
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
	instant := noon()
	golden.OfFloor(b, func() {
		dst = dst[:0]
		for i := range 1000 {
			dst = append(dst, "<Readings><timeStamp>"...)
			dst = instant.AppendFormat(dst, time.RFC3339Nano)
			dst = strconv.AppendInt(append(dst, "</timeStamp><value>"...), int64(i)/10, 10)
			dst = strconv.AppendInt(append(dst, '.'), int64(i)%10, 10)
			dst = append(dst, `</value><ReadingType ref="0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"/></Readings>`...)
		}
	})
}

func noon() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

func Example() {
	data := &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2)},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("1"))},
	}}
	doc, lost := New(data, nil)
	fmt.Println(doc.Readings[0].Readings[0].Type, doc.Readings[0].Readings[0].Value)
	fmt.Println(slices.Concat(lost))
	// Output:
	// 0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0 1234500
	// [reading 1: CIM has no reading type for it in "" (0-0:96.1.0*255)]
}

// A payload may hold meter readings without a meter, and then events.
func TestReadingsAndEvents(t *testing.T) {
	doc, err := Parse([]byte(`<Message xmlns="m"><Payload><MeterReadings><MeterReading/></MeterReadings><EndDeviceEvents><EndDeviceEvent/></EndDeviceEvents></Payload></Message>`))
	require.NoError(t, err)
	require.Len(t, doc.Readings, 2)
}

// data is what the tests read of a document.
func (d *Document) data() []*mapping.Data {
	list, _ := d.Data(nil)
	return list
}

// What is not understood is named, once and with how often.
func TestUnread(t *testing.T) {
	reading := func(inner string) string { return "<Readings>" + inner + "<value>1</value></Readings>" }
	const typ = `<ReadingType ref="0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"/>`
	doc, err := Parse([]byte("<MeterReadings><MeterReading>" + reading(`<ReadingType ref="x"/>`) + reading(`<ReadingType ref="x"/>`) +
		reading("<timeStamp>2026-13-01T00:00:00Z</timeStamp>"+typ) + reading(`<ReadingQualities><ReadingQualityType ref="5.4.260"/></ReadingQualities>`+typ) +
		reading(`<timeStamp>2026-11-20T12:00:00Z</timeStamp><ReadingQualities><ReadingQualityType ref="1.0.0"/></ReadingQualities>`+typ) + "</MeterReading></MeterReadings>"))
	require.NoError(t, err)
	_, unread := doc.Data(nil)
	require.Equal(t, []string{`the reading type "x", 2×`, `the time "2026-13-01T00:00:00Z", 1×`, `the quality "5.4.260", 1×`}, unread)
}
