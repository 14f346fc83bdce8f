package cim

import (
	"fmt"
	"math"
	"math/rand/v2"
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
		back := parsed.Data(nil)[0]
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
		return doc.Data(nil)[0].Readings[0]
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
	require.Equal(t, want, back.Data(nil)[0].Meter)
}

// A type of one document cannot be cold water for one meter and hot water for another.
func TestTypesOfSeveralMeters(t *testing.T) {
	water := func(code string) *mapping.Data {
		return &mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse(code), Unit: obis.CubicMetre, Value: obis.Int(5, 0)}}}
	}
	var doc Document
	require.Empty(t, doc.Add(water("9-0:1.0.0"), nil))
	require.Equal(t, "[reading 0: its code: 9-0:1.0.0*255 has the same reading type]", fmt.Sprint(doc.Add(water("8-0:1.0.0"), nil)))
	require.Empty(t, doc.Add(water("9-0:1.0.0"), nil))
	require.Len(t, doc.ReadingTypes, 1)
}
