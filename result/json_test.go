package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
)

// full has one of everything that the model has, in a form that comes back as it was.
func full() *Result {
	at := obis.FromTime(time.Date(2026, 11, 20, 12, 0, 0, 0, time.FixedZone("", 3600)))
	local := obis.LocalTime(2026, 10, 25, 2, 30, 0)
	summer, winter := local, local
	summer.Status, winter.Status = obis.TimeDST, 0
	wild := obis.LocalTime(2026, 1, 1, 0, 0, 0)
	wild.Year, wild.Day, wild.Minute = obis.YearUnspecified, obis.Unspecified, obis.Unspecified
	r := &Result{Protocol: "dlms", Meter: obis.Meter{ID: "X", Model: "m ", Medium: obis.HotWater, Version: "1", SystemTitle: "00"}, Received: at2(at),
		Warnings: []string{"w"}, Layers: []Layer{{Name: "hdlc", Control: "I"}, {Name: "glo", Security: "s", Tag: TagVerified, Counter: 7, Counted: true}}}
	for i, v := range []obis.Value{
		{}, obis.Int(-5, -3), obis.Uint(18446744073709551615, 0), obis.Int(9, 0), obis.Bool(true), obis.Bool(false), obis.Enum(3),
		obis.Bits([]byte{0xA5, 0x80}, 9), obis.Octets([]byte{}), obis.Octets([]byte{1}), obis.Tree([]byte{2, 0}), obis.Text([]byte("plain")), obis.Text(nil),
		obis.Text([]byte("0x12")), obis.Text([]byte("0b01")), obis.Text([]byte("2026-11-20")), obis.Text([]byte("12:30:00")), obis.Text([]byte("5s")),
		obis.Text([]byte("G\xFC")), obis.Text([]byte("\"\\\x00\u00e9")), obis.Moment(at), obis.Moment(local), obis.Moment(winter), obis.Moment(summer), obis.Moment(wild),
		obis.Moment(obis.Relative(-5)),
	} {
		r.Readings = append(r.Readings, obis.Reading{Code: obis.Code{1, 0, byte(i + 1), 8, 0, 255}, Rule: obis.RuleDerived, Value: v, Source: uint32(i)})
	}
	for flag := obis.Flags(1); flag.String() != ""; flag <<= 1 {
		r.Readings = append(r.Readings, obis.Reading{RawID: []byte("raw"), Quality: obis.Quality{Flags: flag}})
	}
	for kind := obis.StatusDLMSClock; kind <= obis.StatusVendor; kind++ {
		r.Readings = append(r.Readings, obis.Reading{RawID: []byte("0x1"), Quality: obis.Quality{Raw: 0x8001, Kind: kind}, Unit: obis.WattHour})
	}
	r.Readings = append(r.Readings,
		obis.Reading{RawID: []byte{7}, Start: summer, Time: winter, Value: obis.Int(1, 0)},
		obis.Reading{RawID: []byte{7}, Start: at, Time: local, Value: obis.Int(1, 0)},
		obis.Reading{RawID: []byte{7}, Time: summer, Value: obis.Int(1, 0)},
		obis.Reading{Code: obis.Code{1, 0, 1, 8, 0, 255}, RawID: []byte("both"), Time: obis.Relative(100)})
	for i := range r.Readings {
		r.Readings[i].Source = uint32(i)
		r.Sources = append(r.Sources, nil)
	}
	r.Sources[3] = &textSource{[]byte(`{"line":"1.8.0(1)"}`)}
	r.Events = []obis.Event{{Log: obis.Code{0, 0, 99, 98, 0, 255}, ID: 4294967295, Time: winter, Text: "t", Quality: obis.Quality{Flags: obis.Old, Raw: 1, Kind: obis.StatusVDEW}}}
	p := &obis.Profile{Code: obis.Code{1, 0, 99, 1, 0, 255}, Period: 900, Times: []obis.Time{at, local, summer, winter, {}},
		Columns: []obis.Column{{Code: obis.Code{1, 0, 1, 29, 0, 255}, RawID: []byte("raw"), Unit: obis.WattHour, Rule: obis.RuleDeclared}, {RawID: []byte{1}}}}
	p.Quality.Add(1, obis.Quality{Flags: obis.PowerDown | obis.Estimated, Raw: 0xC0, Kind: obis.StatusVDEW})
	for row := range p.Times {
		p.Columns[0].AppendInt(int64(row))
		p.Columns[1].Append([]obis.Value{obis.Text([]byte("0x")), {}, obis.Enum(2), obis.Int(5, -1), obis.Octets([]byte{9})}[row])
	}
	p.Columns[0].Quality.Add(2, obis.Quality{Flags: obis.Overflow, Raw: 2, Kind: obis.StatusC1219LP})
	p.Columns[1].Quality.Add(4, obis.Quality{Flags: obis.Invalid})
	q := &obis.Profile{Times: []obis.Time{at, summer, winter}, Starts: []obis.Time{{}, at, summer}, Columns: []obis.Column{{RawID: []byte("raw")}}}
	for row := range q.Times {
		q.Columns[0].AppendInt(int64(row))
	}
	r.Readings[5].Unit, r.Readings[5].UnitText = obis.OtherUnit, []byte("furlong")
	r.Profiles = []*obis.Profile{p, q}
	return r
}

func at2(t obis.Time) time.Time {
	at, _ := t.Instant(obis.Clock{})
	return at.UTC()
}

func TestJSONKeepsAll(t *testing.T) {
	want := full()
	doc := want.AppendJSON(nil)
	var spread bytes.Buffer
	require.NoError(t, json.Indent(&spread, doc, "", "  "))
	for _, text := range [][]byte{doc, spread.Bytes()} {
		var got Result
		require.NoError(t, json.Unmarshal(text, &got))
		require.Equal(t, len(want.Readings), len(got.Readings))
		for i := range want.Readings {
			a, b := want.Readings[i], got.Readings[i]
			require.Equal(t, a.Value.String(), b.Value.String())
			require.True(t, a.Value.Equal(b.Value), "%d: %v is %v", i, a.Value.Kind(), b.Value.Kind())
			a.Value, b.Value = obis.Value{}, obis.Value{}
			if a.RawID = nil; a.Code.Valid() && want.Sources[i] != nil {
				b.RawID = nil
			} else {
				a.RawID = want.Readings[i].RawID
			}
			require.Equal(t, a, b, "%d", i)
		}
		require.Equal(t, string(want.Sources[3].AppendJSON(nil)), string(got.Sources[3].AppendJSON(nil)))
		for i, p := range want.Profiles {
			q := got.Profiles[i]
			require.Equal(t, p.Times, q.Times)
			require.Equal(t, p.Starts, q.Starts)
			for row := range p.Times {
				require.Equal(t, p.Quality.At(row), q.Quality.At(row))
				for i := range p.Columns {
					require.True(t, p.Columns[i].At(row).Equal(q.Columns[i].At(row)), "row %d column %d", row, i)
					require.Equal(t, p.Columns[i].Quality.At(row), q.Columns[i].Quality.At(row), "row %d column %d", row, i)
				}
			}
			for i := range p.Columns {
				a, b := p.Columns[i], q.Columns[i]
				require.Equal(t, []any{a.Code, string(a.RawID), a.Unit, a.Rule}, []any{b.Code, string(b.RawID), b.Unit, b.Rule})
			}
		}
		require.Equal(t, want.Events, got.Events)
		require.Equal(t, want.Layers, got.Layers)
		require.Equal(t, want.Warnings, got.Warnings)
		require.Equal(t, want.Meter, got.Meter)
		require.Equal(t, want.Received, got.Received)
		require.Equal(t, string(doc), string(got.AppendJSON(nil)))
	}
}

// A time that is none costs neither the value nor the document.
func TestJSONBadTime(t *testing.T) {
	var r Result
	doc := `{"schema":"meterctl/v1","readings":[{"value":1,"time":"1500-01-40T00:00:00"}],"profiles":[{"rows":[["never","good",1]],"columns":[{}]}]}`
	require.NoError(t, json.Unmarshal([]byte(doc), &r))
	require.Equal(t, obis.ClockInvalid, r.Readings[0].Quality.Flags)
	require.Equal(t, "1", r.Readings[0].Value.String())
	require.Equal(t, obis.ClockInvalid, r.Profiles[0].Quality.At(0).Flags)
	require.Len(t, r.Warnings, 2)
}

func FuzzJSON(f *testing.F) {
	f.Add(full().AppendJSON(nil))
	f.Add(sample().AppendJSON(nil))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var r, again Result
		if r.UnmarshalJSON(doc) != nil {
			return
		}
		require.True(t, json.Valid(doc))
		text := r.AppendJSON(nil)
		require.NoError(t, again.UnmarshalJSON(text), "%s", text)
		require.Equal(t, string(text), string(again.AppendJSON(nil)))
	})
}

type resultJSON struct {
	Schema   string        `json:"schema"`
	Protocol Protocol      `json:"protocol,omitempty"`
	Meter    meterJSON     `json:"meter"`
	Readings []readingJSON `json:"readings"`
	Events   []eventJSON   `json:"events"`
	Profiles []profileJSON `json:"profiles"`
	Layers   []layerJSON   `json:"layers,omitempty"`
	Warnings []string      `json:"warnings"`
}

type meterJSON struct {
	ID           string `json:"id,omitempty"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Serial       string `json:"serial,omitempty"`
	Model        string `json:"model,omitempty"`
	Firmware     string `json:"firmware,omitempty"`
	Version      string `json:"version,omitempty"`
	SystemTitle  string `json:"system_title,omitempty"`
	Medium       string `json:"medium,omitempty"`
}

type readingJSON struct {
	OBIS    string          `json:"obis,omitempty"`
	RawID   string          `json:"raw_id,omitempty"`
	Name    string          `json:"name,omitempty"`
	Value   json.RawMessage `json:"value"`
	Unit    string          `json:"unit,omitempty"`
	UCUM    string          `json:"ucum,omitempty"`
	Start   string          `json:"start,omitempty"`
	End     string          `json:"end,omitempty"`
	Time    string          `json:"time,omitempty"`
	Quality []string        `json:"quality"`
	Rule    string          `json:"rule"`
	Source  json.RawMessage `json:"source,omitempty"`
}

type eventJSON struct {
	Log     string        `json:"log,omitempty"`
	ID      uint32        `json:"id"`
	Time    string        `json:"time,omitempty"`
	Text    string        `json:"text,omitempty"`
	Params  []readingJSON `json:"params,omitempty"`
	Quality []string      `json:"quality"`
}

type profileJSON struct {
	OBIS    string              `json:"obis,omitempty"`
	Period  int32               `json:"period_s"`
	Columns []columnJSON        `json:"columns"`
	Rows    [][]json.RawMessage `json:"rows"`
}

type columnJSON struct {
	OBIS  string `json:"obis,omitempty"`
	RawID string `json:"raw_id,omitempty"`
	Name  string `json:"name,omitempty"`
	Unit  string `json:"unit,omitempty"`
}

type layerJSON struct {
	Name     string  `json:"name"`
	Control  string  `json:"control"`
	Security string  `json:"security"`
	Verified *bool   `json:"verified"`
	Counter  *uint32 `json:"counter"`
}

// telegram is what a meter of thirty registers says.
func telegram() []byte {
	r := &Result{Protocol: "p1", Meter: obis.Meter{ID: "E0043007052870318", Serial: "E0043007052870318", Medium: obis.Electricity}}
	at := obis.FromTime(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	for i := range 30 {
		r.Readings = append(r.Readings, obis.Reading{Code: obis.Code{1, 0, byte(i + 1), 8, byte(i % 3), 255}, Rule: obis.RuleTransmitted,
			Unit: obis.WattHour, Value: obis.Int(123456789+int64(i), 0), Time: at, Source: uint32(i)})
		r.Sources = append(r.Sources, &textSource{fmt.Appendf(nil, `{"line":"1-0:%d.8.%d(123456.789*kWh)"}`, i+1, i%3)})
	}
	return r.AppendJSON(nil)
}

// Both ways beside encoding/json, which has a struct of the same members: twice as fast and more.
func BenchmarkJSON(b *testing.B) {
	doc := telegram()
	b.Run("written", func(b *testing.B) {
		var r Result
		var v resultJSON
		require.NoError(b, r.UnmarshalJSON(doc))
		require.NoError(b, json.Unmarshal(doc, &v))
		var out []byte
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		for b.Loop() {
			out = r.AppendJSON(out[:0])
		}
		golden.OfFloor(b, func() { _, _ = json.Marshal(&v) })
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		for b.Loop() {
			var r Result
			if err := r.UnmarshalJSON(doc); err != nil { // json.Unmarshal looks through it twice more
				b.Fatal(err)
			}
		}
		golden.OfFloor(b, func() {
			var v resultJSON
			_ = json.Unmarshal(doc, &v)
		})
	})
}

// What was logged with an event names its own source, or none, also in a result
// that was added to another.
func TestSourcesOfWhatWasLogged(t *testing.T) {
	log := func(source uint32) []obis.Event {
		return []obis.Event{{ID: 1, Params: []obis.Reading{{Value: obis.Int(5, 0), Source: source}}}}
	}
	r := &Result{Readings: []obis.Reading{{}}, Sources: []Source{&textSource{[]byte(`{"n":0}`)}}, Events: log(obis.NoSource)}
	r.Add(&Result{Readings: []obis.Reading{{}}, Sources: []Source{&textSource{[]byte(`{"n":1}`)}, &textSource{[]byte(`{"n":2}`)}}, Events: log(1)})
	r.Add(&Result{Events: log(obis.NoSource)})
	got := string(r.AppendJSON(nil))
	require.Equal(t, 1, strings.Count(got, `{"n":0}`), got)
	require.Equal(t, 1, strings.Count(got, `{"n":1}`), got)
	require.Equal(t, 1, strings.Count(got, `{"n":2}`), got)
	require.Contains(t, got[strings.Index(got, `"events"`):], `{"n":2}`)
}
