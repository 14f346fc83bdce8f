package greenbutton

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Feeds of random readings and profiles say the same when they are read.
func TestRandomThereAndBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(21, 4))
	codes := map[string]obis.Unit{"1-0:1.8.0": obis.WattHour, "1-0:1.29.0": obis.WattHour, "1-0:32.7.0": obis.Volt, "1-0:1.8.0*7": obis.WattHour, "1-0:1.4.0": obis.Watt}
	for range 300 {
		d := &mapping.Data{Meter: obis.Meter{ID: "A/ 1"}}
		for _, code := range slices.Sorted(maps.Keys(codes)) {
			if rnd.IntN(2) == 0 {
				r := obis.Reading{Code: obis.MustParse(code), Unit: codes[code], Value: randomNumber(rnd), Time: moment(rnd.Int64N(4e9))}
				if rnd.IntN(3) == 0 {
					end, _ := r.Time.Instant(obis.Clock{})
					r.Start = obis.FromTime(end.Add(-time.Duration(rnd.IntN(1e5)+1) * time.Second))
				}
				d.Readings = append(d.Readings, r)
			}
		}
		for i := range rnd.IntN(3) {
			d.Profiles = append(d.Profiles, randomProfile(rnd, byte(i+1)))
		}
		feed, lost := New(d, nil)
		require.Empty(t, lost)
		parsed, err := Parse(feed.AppendXML(nil))
		require.NoError(t, err)
		list, unread := parsed.Data(nil)
		require.Empty(t, unread)
		if len(d.Readings)+len(d.Profiles) == 0 {
			continue
		}
		require.Len(t, list, 1)
		require.Equal(t, d.Meter.ID, list[0].Meter.ID)
		require.Len(t, list[0].Readings, len(d.Readings))
		for i := range d.Readings {
			require.Equal(t, describe(&d.Readings[i]), describe(&list[0].Readings[i]))
		}
		require.Len(t, list[0].Profiles, len(d.Profiles))
		for i, p := range d.Profiles {
			sameProfile(t, p, list[0].Profiles[i])
		}
	}
}

func describe(r *obis.Reading) string {
	v := r.Value.String()
	if strings.Contains(v, ".") {
		v = strings.TrimSuffix(strings.TrimRight(v, "0"), ".")
	}
	return fmt.Sprint(r.Code, " ", v, " ", r.Unit, " ", r.Start, " ", r.Time)
}

func randomNumber(rnd *rand.Rand) obis.Value {
	return obis.Int((rnd.Int64()-1<<62)>>(24+rnd.IntN(40)), int8(rnd.IntN(16)-3))
}

func randomProfile(rnd *rand.Rand, channel byte) *obis.Profile {
	p := &obis.Profile{Code: obis.Code{1, channel, 99, 1, 0, 255}, Period: []int32{0, 900, 7200, 86400}[rnd.IntN(4)],
		Columns: []obis.Column{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour}, {Code: obis.MustParse("1-0:2.29.0"), Unit: obis.WattHour}}}
	start := rnd.Int64N(4e9)
	for row := range rnd.IntN(9) + 1 {
		p.Times = append(p.Times, moment(start+int64(row)*int64(max(p.Period, 1))))
		for c := range p.Columns {
			p.Columns[c].Append([]obis.Value{{}, obis.Int(rnd.Int64N(1<<40), -1)}[rnd.IntN(2)])
		}
		if rnd.IntN(3) == 0 {
			p.Quality.Add(row, obis.Quality{Flags: obis.Estimated})
		}
	}
	return p
}

func sameProfile(t *testing.T, want, got *obis.Profile) {
	t.Helper()
	require.Equal(t, want.Code, got.Code)
	require.Equal(t, want.Period, got.Period)
	require.Equal(t, len(want.Times), len(got.Times))
	require.Len(t, got.Columns, len(want.Columns))
	for row := range want.Times {
		require.Equal(t, want.Times[row].String(), got.Times[row].String())
		for c := range want.Columns {
			require.Equal(t, want.Columns[c].Code, got.Columns[c].Code)
			a, b := want.Columns[c].At(row), got.Columns[c].At(row)
			require.True(t, a.Equal(b), "%v and %v", a, b)
			require.Equal(t, want.Quality.At(row).Flags, got.Columns[c].Quality.At(row).Flags)
		}
	}
}

// A power of ten that no value has is said to be unknown.
func TestMultiplierOutOfBounds(t *testing.T) {
	for ten, want := range map[int]string{3: "5000 good", 300: "5 scaler-unknown", -2000000000: "5 scaler-unknown"} {
		doc := fmt.Sprintf(`<feed xmlns="%s"><entry><content><UsagePoint xmlns="%s"/></content></entry><entry><content><MeterReading xmlns="%[2]s"/></content></entry>`+
			`<entry><content><ReadingType xmlns="%[2]s"><powerOfTenMultiplier>%[3]d</powerOfTenMultiplier></ReadingType></content></entry>`+
			`<entry><content><IntervalBlock xmlns="%[2]s"><IntervalReading><value>5</value></IntervalReading></IntervalBlock></content></entry></feed>`, atomSpace, espiSpace, ten)
		feed, err := Parse([]byte(doc))
		require.NoError(t, err)
		list, _ := feed.Data(nil)
		r := list[0].Readings[0]
		require.Equal(t, want, fmt.Sprint(r.Value, " ", r.Quality.Flags))
	}
}

// Neither many readings nor many elements that stand once take longer than their number.
func TestManyEntries(t *testing.T) {
	d := &mapping.Data{Meter: obis.Meter{ID: "1"}}
	for i := range 1000 {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{1, byte(i / 60), 1, 8, byte(i % 60), 255}, Unit: obis.WattHour, Value: obis.Int(int64(i), 0)})
	}
	feed, _ := New(d, nil)
	start := time.Now()
	list, _ := feed.Data(nil)
	require.Len(t, list[0].Readings, 1000)
	_, err := Parse([]byte(`<feed xmlns="` + atomSpace + `">` + strings.Repeat("<link/>", 1e5) + strings.Repeat("<id/>", 1e5) + "</feed>"))
	require.NoError(t, err)
	const summary = "<UsageSummary><currency>1</currency></UsageSummary>"
	long := strings.Repeat("/", 1e5)
	parsed, err := Parse(feedOf(strings.Repeat(entry(point, "self=/p", "related=/q"), 5000), strings.Repeat(entry(summary, "self=/q/1"), 5000), strings.Repeat(entry(point, "self=/x", "related=/y"), 5000), strings.Repeat(entry(summary, "self=/y"), 5000),
		entry("<MeterReading/>", "self="+long+"a", "up="+long+"b")))
	require.NoError(t, err)
	list, _ = parsed.Data(nil)
	require.Len(t, list[0].Readings, 5000)
	summaries := &mapping.Data{}
	for i := range 20000 {
		summaries.Readings = append(summaries.Readings, obis.Reading{RawID: fmt.Appendf(nil, "UsageSummary/a%d", i), Value: obis.Int(1, 0)})
	}
	feed, _ = New(summaries, nil)
	feed.Data(nil)
	require.Less(t, time.Since(start), 5*time.Second)
}

// Of several meters in one feed each keeps its id.
func TestSeveralMeters(t *testing.T) {
	reading := []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(5, 0)}}
	all, _ := New(&mapping.Data{Meter: obis.Meter{ID: "a b "}, Readings: reading}, nil)
	all.Add(&mapping.Data{Meter: obis.Meter{ID: "c"}, Readings: reading}, nil)
	all, err := Parse(all.AppendXML(nil))
	require.NoError(t, err)
	list, _ := all.Data(nil)
	require.Len(t, list, 2)
	require.Equal(t, "a b ", list[0].Meter.ID)
	require.Equal(t, "c", list[1].Meter.ID)
}

// What one meter says several times, or of several services, is neither mixed up nor taken for one.
func TestSeveralTimes(t *testing.T) {
	reading := func(code string, unit obis.Unit, value int64, at int64) *mapping.Data {
		return &mapping.Data{Meter: obis.Meter{ID: "a"}, Readings: []obis.Reading{{Code: obis.MustParse(code), Unit: unit, Value: obis.Int(value, 0), Time: moment(at)}}}
	}
	var feed Feed
	feed.Add(reading("1-0:1.8.0", obis.WattHour, 5, 900), nil)
	feed.Add(reading("7-0:3.0.0", obis.CubicMetre, 6, 900), nil)
	feed.Add(reading("1-0:32.7.0", obis.Volt, 230, 1800), nil)
	feed.Add(reading("1-0:1.8.0", obis.WattHour, 7, 1800), nil)
	parsed, err := Parse(feed.AppendXML(nil))
	require.NoError(t, err)
	list, unread := parsed.Data(nil)
	require.Empty(t, unread)
	require.Len(t, list, 2)
	var got []string
	for _, d := range list {
		for _, r := range d.Readings {
			got = append(got, fmt.Sprint(r.Code, " ", r.Value, " ", r.Unit, " ", r.Time))
		}
	}
	require.Equal(t, []string{"1-0:1.8.0*255 5 Wh 1970-01-01T00:15:00Z", "1-0:32.7.0*255 230 V 1970-01-01T00:30:00Z", "1-0:1.8.0*255 7 Wh 1970-01-01T00:30:00Z", "7-0:3.0.0*255 6 m3 1970-01-01T00:15:00Z"}, got)
}
