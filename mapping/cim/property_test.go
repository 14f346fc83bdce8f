package cim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Documents of random profiles and events say the same when they are read, but
// for what New said is lost.
func TestRandomThereAndBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(61968, 9))
	for range 500 {
		d := &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Profiles: []*obis.Profile{randomProfile(rnd)}}
		for range rnd.IntN(4) {
			d.Events = append(d.Events, randomEvent(rnd))
		}
		doc, lost := New(d, nil)
		raw := doc.AppendXML(nil)
		parsed, err := Parse(raw)
		require.NoError(t, err)
		back := parsed.data()[0]
		require.Len(t, back.Profiles, 1)
		sameProfile(t, d.Profiles[0], back.Profiles[0], fmt.Sprint(lost))
		require.Len(t, back.Events, len(d.Events))
		for i := range d.Events {
			sameEvent(t, &d.Events[i], &back.Events[i])
		}
	}
}

func randomTime(rnd *rand.Rand) obis.Time {
	at := obis.FromTime(time.Unix(rnd.Int64N(4e9), 0).UTC())
	if rnd.IntN(2) == 0 {
		return obis.LocalTime(int(at.Year), int(at.Month), int(at.Day), int(at.Hour), int(at.Minute), int(at.Second))
	}
	return at
}

func randomNumber(rnd *rand.Rand) obis.Value {
	switch rnd.IntN(8) {
	case 0:
		return obis.Value{}
	case 1:
		return obis.Int(math.MaxInt64, int8(rnd.IntN(256)-128))
	case 2:
		return obis.Uint(math.MaxUint64, 0)
	case 3:
		return obis.Int(-rnd.Int64(), -128)
	}
	return obis.Int(rnd.Int64()>>rnd.IntN(64), int8(rnd.IntN(40)-20))
}

func randomProfile(rnd *rand.Rand) *obis.Profile {
	p := &obis.Profile{Period: []int32{0, 900, 3600, 7200, 86400}[rnd.IntN(5)]}
	for _, c := range []string{"1-0:1.8.0", "1-0:1.29.0", "1-0:32.7.0", "6-0:1.0.0", "7-0:3.1.0"}[rnd.IntN(5):] {
		unit := map[string]obis.Unit{"1-0:32.7.0": obis.Volt, "6-0:1.0.0": obis.Joule, "7-0:3.1.0": obis.CubicMetre}[c]
		if unit == obis.UnitUnknown {
			unit = obis.WattHour
		}
		p.Columns = append(p.Columns, obis.Column{Code: obis.MustParse(c), Unit: unit})
	}
	for row := range rnd.IntN(20) {
		p.Times = append(p.Times, randomTime(rnd))
		for c := range p.Columns {
			p.Columns[c].Append(randomNumber(rnd))
		}
		if rnd.IntN(3) == 0 {
			p.Quality.Add(row, obis.Quality{Flags: obis.Estimated | obis.PowerDown})
		}
	}
	return p
}

func sameProfile(t *testing.T, want, got *obis.Profile, lost string) {
	t.Helper()
	if want.Period == 7200 {
		require.Contains(t, lost, "7200 s")
	} else {
		require.Equal(t, want.Period, got.Period)
	}
	require.Len(t, got.Times, len(want.Times))
	require.Len(t, got.Columns, len(want.Columns))
	for i := range want.Times {
		require.Equal(t, want.Times[i].String(), got.Times[i].String())
	}
	for c := range want.Columns {
		require.Equal(t, want.Columns[c].Code, got.Columns[c].Code)
		require.Equal(t, want.Columns[c].Unit, got.Columns[c].Unit)
		for row := range want.Times {
			a, b := want.Columns[c].At(row), got.Columns[c].At(row)
			require.Equal(t, a.String(), b.String())
			require.Equal(t, a.IsNone(), b.IsNone())
			flags := want.Quality.At(row).Flags
			if a.IsNone() {
				flags |= obis.Missing
			}
			require.Equal(t, flags, got.Columns[c].Quality.At(row).Flags)
			_, _, number := b.Decimal()
			_, _, unsigned := b.Uint64()
			require.True(t, number || unsigned || b.IsNone(), "%v is still a number", b)
		}
	}
}

func randomEvent(rnd *rand.Rand) obis.Event {
	e := obis.Event{ID: rnd.Uint32(), Time: randomTime(rnd), Text: []string{"", "cover <open>", "a & b"}[rnd.IntN(3)]}
	if rnd.IntN(2) == 0 {
		e.Log = obis.MustParse("0-0:99.98.1")
		e.ID = uint32(rnd.IntN(60))
	}
	for range rnd.IntN(3) {
		e.Params = append(e.Params, obis.Reading{Code: obis.MustParse("1-0:32.7.0"), Value: obis.Int(rnd.Int64(), -1)})
	}
	return e
}

func sameEvent(t *testing.T, want, got *obis.Event) {
	t.Helper()
	require.Equal(t, want.Log, got.Log)
	require.Equal(t, want.ID, got.ID)
	require.Equal(t, want.Text, got.Text)
	require.Equal(t, want.Time.String(), got.Time.String())
	require.Len(t, got.Params, len(want.Params))
	for i := range want.Params {
		require.Equal(t, want.Params[i].Code, got.Params[i].Code)
		require.True(t, want.Params[i].Value.Equal(got.Params[i].Value))
	}
}

// Whatever another system writes, a value is never that of another power of ten.
func TestMultipliers(t *testing.T) {
	read := func(ref, value string) obis.Reading {
		doc, err := Parse(fmt.Appendf(nil, `<MeterReadings><MeterReading><Readings><value>%s</value><ReadingType ref="%s"/></Readings></MeterReading></MeterReadings>`, value, ref))
		require.NoError(t, err)
		return doc.data()[0].Readings[0]
	}
	r := read("0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.3.72.0", "1.5")
	require.Equal(t, "1500 Wh good", fmt.Sprint(r.Value, " ", r.Unit, " ", r.Quality.Flags))
	r = read("0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.2000000000.72.0", "1.5")
	require.Equal(t, obis.ScalerUnknown, r.Quality.Flags)
	r = read("0.0.0.1.1.1.99.0.0.0.0.0.0.0.0.3.72.0", "1.5") // a kind without a code
	require.Equal(t, "1500 Wh", fmt.Sprint(r.Value, " ", r.Unit))
	require.Equal(t, "0.0.0.1.1.1.99.0.0.0.0.0.0.0.0.3.72.0", string(r.RawID))
}

// What a meter did not say of itself is not made up from what else it said.
func TestMeterWithoutID(t *testing.T) {
	want := obis.Meter{Serial: "7", Model: " iEM3235  ", Medium: obis.Gas}
	doc, _ := New(&mapping.Data{Meter: want}, nil)
	back, err := Parse(doc.AppendXML(nil))
	require.NoError(t, err)
	require.Equal(t, want, back.data()[0].Meter)
}

// back writes what meters said, and reads it.
func back(t *testing.T, list ...*mapping.Data) (out []*mapping.Data, doc string, lost []mapping.Loss) {
	t.Helper()
	var d Document
	for _, data := range list {
		lost = append(lost, d.Add(data, nil)...)
	}
	raw := d.AppendXML(nil)
	parsed, err := Parse(raw)
	require.NoError(t, err)
	require.Equal(t, string(raw), string(parsed.AppendXML(nil)))
	return parsed.data(), string(raw), lost
}

// Codes of one reading type are told apart by name, in one meter and in several.
func TestCodesOfOneType(t *testing.T) {
	reading := func(code string, unit obis.Unit, value int64) obis.Reading {
		return obis.Reading{Code: obis.MustParse(code), Unit: unit, Value: obis.Int(value, 0)}
	}
	list := []*mapping.Data{
		{Meter: obis.Meter{ID: "1"}, Readings: []obis.Reading{reading("1-0:1.4.0", obis.Watt, 1), reading("1-0:1.5.0", obis.Watt, 2), reading("1-1:1.8.0", obis.WattHour, 5), reading("1-2:1.8.0", obis.WattHour, 6),
			reading("1-0:1.8.0", obis.WattHour, 7), reading("1-2:1.8.0", obis.WattHour, 8), reading("1-0:1.8.0*1", obis.WattHour, 9), reading("1-0:1.8.0*2", obis.WattHour, 10)}},
		{Meter: obis.Meter{ID: "2"}, Readings: []obis.Reading{reading("9-0:1.0.0", obis.CubicMetre, 9), reading("8-0:1.0.0", obis.CubicMetre, 10), reading("1-1:1.8.0", obis.WattHour, 11),
			{RawID: []byte("0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"), Unit: obis.WattHour, Value: obis.Int(12, 0)}}},
	}
	again, _, lost := back(t, list...)
	require.Equal(t, "[reading 0: that the water is hot: there is no number for it (9-0:1.0.0*255)]", fmt.Sprint(lost))
	for i, d := range list {
		require.Len(t, again[i].Readings, len(d.Readings))
		for j, r := range d.Readings {
			got := again[i].Readings[j]
			if r.Code.Valid() {
				require.Equal(t, r.Code, got.Code)
			}
			require.True(t, r.Value.Equal(got.Value))
			require.Equal(t, r.Unit, got.Unit)
		}
	}
}

// Whatever the type, it comes out as it went in, with its value to the digit.
func TestTypesUnchanged(t *testing.T) {
	for _, typ := range []string{
		"11.0.0.1.1.1.12.0.0.0.0.0.0.0.0.3.72.0", "13.0.0.1.1.1.12.0.0.0.0.0.0.0.0.3.72.0", "11.0.0.4.1.1.12.0.0.0.0.0.0.0.0.0.72.0", "13.0.0.4.19.1.12.0.0.0.0.0.0.0.0.0.72.0",
		"0.0.7.1.1.1.12.0.0.0.0.0.0.0.0.3.72.0", "0.0.2.4.1.1.12.0.0.0.0.0.0.0.0.3.72.0", "0.2.2.6.1.1.8.0.0.0.0.0.0.0.0.3.38.0", "0.2.59.6.1.1.8.0.0.0.0.0.0.0.0.3.38.0",
		"0.0.2.4.1.2.12.0.0.0.0.0.0.0.0.3.72.0", "0.8.0.6.1.1.8.0.0.0.0.0.0.0.0.3.38.0", "0.26.0.6.1.1.8.0.0.0.0.0.0.0.0.0.38.0", "26.0.0.6.1.1.8.0.0.0.0.0.0.0.0.0.38.0",
		"0.2.7.6.0.1.158.0.0.0.0.0.0.0.128.0.29.0", "0.0.0.1.1.7.58.0.0.0.0.0.0.0.0.0.119.0", "0.0.0.1.1.7.58.0.0.0.0.0.0.0.0.-3.42.0", "8.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0",
		"22.0.0.1.1.1.12.0.0.0.0.1.0.0.0.3.72.0", "0.0.0.12.0.1.158.0.0.0.0.0.0.0.128.0.29.0", "0.0.0.12.0.1.38.0.0.0.0.0.0.0.0.0.153.0", "0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.3.72.840",
		"0.12.2.4.1.1.12.0.0.0.0.0.0.0.224.3.72.0", "0.0.2.9.15.2.164.0.0.0.0.0.0.0.0.3.73.0", "0.0.0.0.0.1.118.3.5.7.11.1.2.3.4.0.114.0",
	} {
		for _, block := range []bool{false, true} {
			element := "Readings"
			if block {
				element = "IntervalReadings"
			}
			doc := fmt.Sprintf(`<%s><timeStamp>2026-11-20T12:00:00Z</timeStamp><value>1.50</value>`, element)
			if block {
				doc = "<IntervalBlocks>" + doc + "</IntervalReadings>"
			}
			doc += `<ReadingType ref="` + typ + `"/></` + map[bool]string{false: "Readings", true: "IntervalBlocks"}[block] + ">"
			parsed, err := Parse([]byte("<MeterReadings><MeterReading>" + doc + "</MeterReading></MeterReadings>"))
			require.NoError(t, err)
			data := parsed.data()
			_, again, lost := back(t, data...)
			require.Empty(t, lost, typ)
			require.Contains(t, again, doc)
		}
	}
}

// A type that nothing describes says neither unit nor multiplier; one that is described by names or by parts does.
func TestDescribedTypes(t *testing.T) {
	for description, want := range map[string]string{
		"": " 1.5 scaler-unknown",
		"<Names><name>0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.3.72.0</name></Names>": "Wh 1500 good",
		"<accumulation>1</accumulation><commodity>1</commodity><flowDirection>1</flowDirection><measurementKind>12</measurementKind><multiplier>3</multiplier><unit>72</unit>" +
			"<argument><numerator>0</numerator><denominator>0</denominator></argument>": "Wh 1500 good",
		"<accumulation>bulkQuantity</accumulation>": " 1.5 scaler-unknown",
	} {
		doc, err := Parse([]byte(`<MeterReadings><MeterReading><Readings><value>1.5</value><ReadingType ref="t1"/></Readings></MeterReading><ReadingType><mRID>t1</mRID>` + description + `</ReadingType></MeterReadings>`))
		require.NoError(t, err)
		r := doc.data()[0].Readings[0]
		require.Equal(t, want, fmt.Sprint(r.Unit, " ", r.Value, " ", r.Quality.Flags), description)
	}
}

// A document is a message with a header, whose id is that of what it carries.
func TestHeader(t *testing.T) {
	data := &mapping.Data{Meter: obis.Meter{ID: "1"}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour, Value: obis.Int(5, 0), Start: obis.FromTime(noon().Add(-time.Hour)), Time: obis.FromTime(noon())},
	}}
	_, doc, _ := back(t, data)
	require.Regexp(t, `<EventMessage xmlns="http://iec.ch/TC57/2011/schema/message"><Header><Verb>created</Verb><Noun>MeterReadings</Noun><Revision>2.0</Revision>`+
		`<Timestamp>2026-11-20T12:00:00Z</Timestamp><MessageID>[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}</MessageID></Header>`, doc)
	require.Contains(t, doc, "<valuesInterval><end>2026-11-20T12:00:00Z</end><start>2026-11-20T11:00:00Z</start></valuesInterval></MeterReading>")
	_, same, _ := back(t, data)
	require.Equal(t, doc, same)
	data.Readings[0].Value = obis.Int(6, 0)
	_, other, _ := back(t, data)
	id := func(doc string) string {
		return doc[strings.Index(doc, "<MessageID>"):strings.Index(doc, "</MessageID>")]
	}
	require.NotEqual(t, id(doc), id(other))
}

// Intervals that do not follow from their ends keep their own beginnings.
func TestUnequalIntervals(t *testing.T) {
	p := &obis.Profile{Columns: []obis.Column{{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour, Rule: obis.RuleStandard, RawID: []byte("13.0.0.4.1.1.12.0.0.0.0.0.0.0.0.0.72.0")}}}
	for month := range 3 {
		p.Starts = append(p.Starts, obis.FromTime(time.Date(2026, time.Month(1+month), 1, 0, 0, 0, 0, time.UTC)))
		p.Times = append(p.Times, obis.FromTime(time.Date(2026, time.Month(2+month), 1, 0, 0, 0, 0, time.UTC)))
		p.Columns[0].Append(obis.Int(int64(month), 0))
	}
	again, _, lost := back(t, &mapping.Data{Profiles: []*obis.Profile{p}})
	require.Empty(t, lost)
	require.Equal(t, p, again[0].Profiles[0])
}

// The type of an event is that of electricity meters, or as it was.
func TestEventTypes(t *testing.T) {
	again, doc, _ := back(t, &mapping.Data{Events: []obis.Event{{Log: obis.MustParse("0-0:99.98.0"), ID: 1, Text: "power down"}}})
	require.Contains(t, doc, `<EndDeviceEventType ref="3.26.38.85"/>`)
	require.Equal(t, "0-0:99.98.0*255 1 []", fmt.Sprint(again[0].Events[0].Log, " ", again[0].Events[0].ID, " ", again[0].Events[0].Params))
	for _, typ := range []string{"3.12.29.212", "10.26.38.85", "x"} {
		in, err := Parse([]byte(`<MeterReadings><MeterReading><EndDeviceEvents><EndDeviceEventType ref="` + typ + `"/></EndDeviceEvents></MeterReading></MeterReadings>`))
		require.NoError(t, err)
		again, doc, lost := back(t, in.data()...)
		require.Empty(t, lost)
		require.Contains(t, doc, `<EndDeviceEventType ref="`+typ+`"/>`)
		require.Equal(t, in.data()[0].Events[0].Text, again[0].Events[0].Text)
	}
}

// By what rule a code was found no document tells, but for those that the type itself leads to.
func TestRules(t *testing.T) {
	for rule, said := range map[obis.Rule]bool{obis.RuleTransmitted: false, obis.RuleStandard: false, obis.RuleDerived: true, obis.RuleManufacturer: true} {
		_, _, lost := back(t, &mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(5, 0), Rule: rule}}})
		require.Equal(t, said, len(lost) > 0, rule)
	}
}
