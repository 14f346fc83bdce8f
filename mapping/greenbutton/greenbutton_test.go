package greenbutton

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

func at(minute int) obis.Time {
	return obis.FromTime(time.Date(2026, 11, 20, 12, minute, 0, 0, time.UTC))
}

// sample is a meter for electricity with a gas meter on its M-Bus.
func sample() *mapping.Data {
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{
		{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour}, {Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour}, {Code: obis.MustParse("0-0:96.10.1")}}}
	for i := range 4 {
		p.Times = append(p.Times, at(15*i))
		p.Columns[1].Append(obis.Int(int64(1000+i), 1))
		p.Columns[2].Append(obis.Int(0, 0))
	}
	p.Columns[0].Append(obis.Int(125, -1))
	p.Columns[0].AppendMissing()
	p.Columns[0].Append(obis.Int(13, 0))
	p.Columns[0].Append(obis.Int(-1, -4))
	p.Quality.Add(2, obis.Quality{Flags: obis.Estimated})
	p.Quality.Add(3, obis.Quality{Flags: obis.PowerDown})
	return &mapping.Data{
		Meter: obis.Meter{ID: "ABC 1", Medium: obis.Electricity},
		Readings: []obis.Reading{
			{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2), Time: at(0)},
			{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1)},
			{Code: obis.MustParse("0-1:24.1.0"), Value: obis.Int(3, 0)},
			{Code: obis.MustParse("0-1:24.2.1"), Unit: obis.CubicMetre, Value: obis.Int(1234567, -3), Time: at(0), Quality: obis.Quality{Flags: obis.Estimated | obis.DST}},
			{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("1234"))},
			{Code: obis.MustParse("1-0:2.8.0"), Unit: obis.WattHour},
			{Code: obis.MustParse("1-0:2.8.0"), Unit: obis.WattHour, Value: obis.Int(1<<50, 0)},
			{Code: obis.MustParse("1-0:3.8.0"), Unit: obis.VarHour, Value: obis.Int(5, 0), Time: obis.LocalTime(2026, 11, 20, 12, 0, 0)},
		},
		Profiles: []*obis.Profile{p},
		Events:   []obis.Event{{ID: 1}},
	}
}

func TestThereAndBack(t *testing.T) {
	d := sample()
	feed, lost := New(d, nil)
	require.Equal(t, `[reading 2 and 1 more: ESPI has no reading type for it in "" (0-1:24.1.0*255, 0-0:96.1.0*255) reading 3: quality dst not carried (0-1:24.2.1*255)`+
		` reading 5: no value (1-0:2.8.0*255) reading 6: no number of 48 bits (1-0:2.8.0*255) reading 7: its time, which is no instant (1-0:3.8.0*255) profile 0: quality power-down not carried (2 rows) profile 0: ESPI has no reading type for column 0-0:96.10.1*255 in ""`+
		` event 0: ESPI has no events]`, fmt.Sprint(lost))
	raw := feed.AppendXML(nil)
	parsed, err := Parse(raw)
	require.NoError(t, err)
	require.Equal(t, string(raw), string(parsed.AppendXML(nil)))
	back, unread := parsed.Data(nil)
	require.Empty(t, unread)
	require.Len(t, back, 2)
	require.Equal(t, obis.Meter{ID: "ABC 1", Medium: obis.Electricity}, back[0].Meter)
	require.Equal(t, obis.Meter{ID: "ABC 1", Medium: obis.Gas}, back[1].Meter)
	var got []string
	for _, b := range back {
		for _, r := range b.Readings {
			got = append(got, fmt.Sprint(r.Code, " ", r.Value, " ", r.Unit, " ", r.Time, " ", r.Quality.Flags))
		}
	}
	require.Equal(t, []string{"1-0:1.8.0*255 1234500 Wh 2026-11-20T12:00:00Z good", "1-0:32.7.0*255 230.1 V  good",
		"1-0:3.8.0*255 5 varh  good", "0-1:24.2.1*255 1234.567 m3 2026-11-20T12:00:00Z estimated"}, got)
	require.Len(t, back[0].Profiles, 1)
	p := back[0].Profiles[0]
	require.Equal(t, d.Profiles[0].Code, p.Code)
	require.Equal(t, d.Profiles[0].Times, p.Times)
	require.Equal(t, int32(900), p.Period)
	for i := range 4 {
		for c := range 2 {
			require.True(t, d.Profiles[0].Columns[c].At(i).Equal(p.Columns[c].At(i)), "%v", p.Columns[c].At(i))
		}
	}
	require.Equal(t, obis.Estimated, p.Columns[0].Quality.At(2).Flags)
}

// The schema of ESPI 4.0, where the corpus and xmllint are there.
func TestSchema(t *testing.T) {
	schema := corpus(t, "schemas", "espi.xsd")
	lint, err := exec.LookPath("xmllint")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("xmllint is not installed")
	}
	require.NoError(t, err)
	besides := &mapping.Data{Readings: []obis.Reading{
		{RawID: []byte("0.0.0.4.1.1.12.0.0.0.0.0.0.0.0.-3.72.840"), Unit: obis.WattHour, Value: obis.Int(5, 0), Time: at(0), Quality: obis.Quality{Flags: obis.Invalid | obis.Edited}},
		{RawID: []byte("0.0.0.4.1.1.12.0.0.0.0.0.0.0.0.-3.72.840/cost"), Unit: obis.Currency, Value: obis.Int(15, -2), Time: at(0)},
		{RawID: []byte("0.0.0.4.1.1.12.0.0.0.0.0.0.0.0.-3.72.840/tou"), Value: obis.Int(2, 0), Time: at(0)},
		{RawID: []byte("UsageSummary/currency"), Value: obis.Int(840, 0)},
		{RawID: []byte("UsageSummary/overallConsumptionLastPeriod"), Unit: obis.WattHour, Value: obis.Int(5, 3), Time: at(0)},
		{RawID: []byte("UsageSummary/statusTimeStamp"), Value: obis.Int(1767225600, 0)},
		{RawID: []byte("LocalTimeParameters/dstEndRule"), Value: obis.Text([]byte("B40E2000"))}, {RawID: []byte("LocalTimeParameters/dstOffset"), Value: obis.Int(3600, 0)},
		{RawID: []byte("LocalTimeParameters/dstStartRule"), Value: obis.Text([]byte("360E2000"))}, {RawID: []byte("LocalTimeParameters/tzOffset"), Value: obis.Int(-18000, 0)},
	}}
	for name, d := range map[string]*mapping.Data{"all": sample(), "none": {}, "besides": besides} {
		feed, lost := New(d, nil)
		require.Equal(t, name != "none", len(lost) > 0)
		file := filepath.Join(t.TempDir(), name+".xml")
		require.NoError(t, os.WriteFile(file, feed.AppendXML(nil), 0o600))
		out, err := exec.Command(lint, "--nonet", "--noout", "--schema", schema, file).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

func corpus(t *testing.T, path ...string) string {
	root := os.Getenv("METER_CORPUS")
	if root == "" {
		t.Skip("METER_CORPUS is not set: the corpus is no part of the repository")
	}
	return filepath.Join(append([]string{root}, path...)...)
}

// Every file of the corpus is read, and written again says the same.
func TestCorpus(t *testing.T) {
	raw, err := os.ReadFile(corpus(t, "cim", "index.jsonl"))
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		var row struct {
			File, Kind string
			Intervals  int            `json:"interval_readings"`
			Resources  map[string]int `json:"resources"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		if row.Kind != "greenbutton" {
			continue
		}
		doc, err := os.ReadFile(corpus(t, "cim", row.File))
		require.NoError(t, err)
		feed, err := Parse(doc)
		require.NoError(t, err, row.File)
		before, err := xmltext.ParseTree(doc)
		require.NoError(t, err)
		written := feed.AppendXML(nil)
		after, err := xmltext.ParseTree(written)
		require.NoError(t, err, row.File)
		require.True(t, before.Equal(after), row.File)
		data, _ := feed.Data(nil)
		values := 0
		for _, d := range data {
			for _, p := range d.Profiles {
				for _, c := range p.Columns {
					if !strings.Contains(string(c.RawID), "/") { // not of what is said besides
						values += p.Len()
					}
				}
			}
			for _, r := range d.Readings {
				if !strings.Contains(string(r.RawID), "/") { // neither that nor of a summary
					values++
				}
			}
		}
		require.Equal(t, row.Intervals, values, row.File)
		require.Equal(t, row.Resources["UsagePoint"], len(data), row.File)
	}
}

func TestParseRefuses(t *testing.T) {
	for doc, field := range map[string]string{
		"":    "document",
		"<a>": "document",
		"<feed xmlns='http://www.w3.org/2005/Atom'><entry>": "entry",
	} {
		_, err := Parse([]byte(doc))
		var e *ParseError
		require.ErrorAs(t, err, &e, "%s", doc)
		require.Equal(t, field, e.Field, "%s", doc)
	}
}

// A number that is none costs its interval, its type or its block's time, and is named.
func TestBadNumbers(t *testing.T) {
	for doc, want := range map[string]string{
		"<IntervalReading><value>1.5</value></IntervalReading>":                              "value",
		"<IntervalReading><value>999999999999999</value></IntervalReading>":                  "value",
		"<IntervalReading><timePeriod><start>1.5</start></timePeriod></IntervalReading>":     "start",
		"<interval><duration>-1</duration></interval>":                                       "duration",
		"<IntervalReading><ReadingQuality><quality/></ReadingQuality></IntervalReading>":     "quality",
		"<IntervalReading a='b'><x/><tou>99999</tou><value>7</value></IntervalReading>":      "tou",
		"<IntervalReading><cost>1</cost><cpp>-</cpp><y><z a='1'>2</z></y></IntervalReading>": "cpp",
	} {
		doc = "<IntervalBlock xmlns='http://naesb.org/espi'><IntervalReading><value>5</value></IntervalReading>" + doc +
			"<IntervalReading><value>6</value></IntervalReading></IntervalBlock>"
		feed, err := Parse([]byte(doc))
		require.NoError(t, err, doc)
		list, unread := feed.Data(nil)
		require.Contains(t, unread[0], "1 with a bad "+want)
		require.Equal(t, "5", list[0].Profiles[0].Columns[0].At(0).String())
		require.Equal(t, 2, list[0].Profiles[0].Len(), doc)
		before, err := xmltext.ParseTree([]byte(doc))
		require.NoError(t, err)
		after, err := xmltext.ParseTree(feed.AppendXML(nil))
		require.NoError(t, err)
		if want != "duration" { // which stands before the readings, as it should
			require.True(t, before.Equal(after), "%s", feed.AppendXML(nil))
		}
	}
	feed, err := Parse([]byte("<ReadingType xmlns='http://naesb.org/espi'><uom>x</uom><argument><numerator>z</numerator></argument></ReadingType>"))
	require.NoError(t, err)
	_, unread := feed.Data(nil)
	require.Contains(t, fmt.Sprint(unread), "1 with a bad uom")
}

func FuzzParse(f *testing.F) {
	feed, _ := New(sample(), nil)
	f.Add(feed.AppendXML(nil))
	f.Add([]byte("<IntervalBlock xmlns='http://naesb.org/espi'><interval><duration>1</duration><start>2</start></interval><x/></IntervalBlock>"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		feed, err := Parse(raw)
		if err != nil {
			require.Nil(t, feed)
			return
		}
		_, _ = feed.Data(nil)
		once := feed.AppendXML(nil)
		again, err := Parse(once)
		require.NoError(t, err, "%s", once)
		require.Equal(t, string(once), string(again.AppendXML(nil)))
	})
}

// BenchmarkYear writes and reads a year of quarter hours. The floors write the
// same rows in a loop for just them, and read the document's elements and nothing more.
func BenchmarkYear(b *testing.B) {
	p := &obis.Profile{Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour}}}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 35040 {
		p.Times = append(p.Times, obis.FromTime(start.Add(time.Duration(i+1)*15*time.Minute)))
		p.Columns[0].AppendInt(int64(i % 997))
	}
	d := &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Profiles: []*obis.Profile{p}}
	var doc []byte
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			feed, _ := New(d, nil)
			doc = feed.AppendXML(doc[:0])
		}
		b.SetBytes(int64(len(doc)))
		var dst []byte
		golden.OfFloor(b, func() {
			dst = dst[:0]
			for i := range 35040 {
				dst = append(dst, "<IntervalReading><timePeriod><duration>900</duration><start>"...)
				dst = strconv.AppendInt(dst, 1767225600+int64(i)*900, 10)
				dst = append(dst, "</start></timePeriod><value>"...)
				dst = strconv.AppendInt(dst, int64(i%997), 10)
				dst = append(dst, "</value></IntervalReading>"...)
			}
		})
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			feed, err := Parse(doc)
			if err != nil {
				b.Fatal(err)
			}
			if back, _ := feed.Data(nil); back[0].Profiles[0].Len() != p.Len() {
				b.Fatal("rows are missing")
			}
		}
		golden.OfFloor(b, func() {
			if err := elements(doc); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func elements(doc []byte) error {
	r := xmltext.NewReader(doc)
	if _, err := r.Next(); err != nil {
		return err
	}
	return r.Skip()
}

func Example() {
	data := &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2)},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("1"))},
	}}
	feed, lost := New(data, nil)
	feed, err := Parse(feed.AppendXML(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	back, _ := feed.Data(nil)
	fmt.Println(back[0].Readings[0].Code, back[0].Readings[0].Value, back[0].Readings[0].Unit, lost)
	// Output: 1-0:1.8.0*255 1234500 Wh [reading 1: ESPI has no reading type for it in "" (0-0:96.1.0*255)]
}
