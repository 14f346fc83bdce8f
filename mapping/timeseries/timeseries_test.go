package timeseries

import (
	"encoding/csv"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

var sample = []obis.Reading{
	{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2), Time: utc(2026, 11, 20, 12, 0, 0)},
	{Code: obis.MustParse("1-0:1.8.1"), Unit: obis.WattHour, Value: obis.Int(-5, -1)},
	{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1), Quality: obis.Quality{Flags: obis.Questionable}},
	{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte(`se"rial, 1`))},
	{RawID: []byte("1-1:30D"), Value: obis.Int(7, 0)},
	{Code: obis.MustParse("1-0:52.7.0"), Unit: obis.Volt, Quality: obis.Quality{Flags: obis.Missing}},
	{Code: obis.MustParse("1-0:72.7.0"), Unit: obis.Volt, Value: obis.Float32(0x7F800000, 0)},
}

func utc(y, mo, d, h, mi, s int) obis.Time {
	t := obis.LocalTime(y, mo, d, h, mi, s)
	t.Deviation = 0
	return t
}

func plainTime(dst []byte, t obis.Time) []byte { return t.Append(dst) }

func TestInflux(t *testing.T) {
	lines, lost := AppendInflux(nil, &mapping.Data{Meter: obis.Meter{ID: "A B,1"}, Readings: sample})
	require.Equal(t, `meter,id=A\ B\,1,obis=1-0:1.8.0*255,unit=Wh value=1234500 1795176000000000000
meter,id=A\ B\,1,obis=1-0:1.8.1*255,unit=Wh value=-0.5
meter,id=A\ B\,1,obis=1-0:32.7.0*255,unit=V value=230.1,quality="questionable"
meter,id=A\ B\,1,obis=0-0:96.1.0*255 text="se\"rial, 1"
meter,id=A\ B\,1,raw_id=1-1:30D value=7
`, string(lines))
	require.Equal(t, "[reading 5: no value; quality missing not carried (1-0:52.7.0*255) reading 6: not a finite number (1-0:72.7.0*255)]", fmt.Sprint(lost))
}

// A reading has the time of its arrival where the meter gave none, and says so.
func TestInfluxReceived(t *testing.T) {
	lines, lost := AppendInflux(nil, &mapping.Data{Received: time.Unix(1795176007, 5), Readings: []obis.Reading{
		sample[0], sample[1], {Code: obis.MustParse("1-0:1.8.2"), Value: obis.Int(1, 0), Time: obis.LocalTime(2026, 11, 20, 12, 0, 0)},
		{Code: obis.MustParse("1-0:1.29.0"), Value: obis.Int(1, 0), Start: utc(2026, 11, 20, 11, 45, 0), Time: utc(2026, 11, 20, 12, 0, 0)}, sample[1],
	}})
	require.Equal(t, `meter,obis=1-0:1.8.0*255,unit=Wh value=1234500 1795176000000000000
meter,obis=1-0:1.8.1*255,unit=Wh value=-0.5,received=true 1795176007000000005
meter,obis=1-0:1.8.2*255 value=1,received=true 1795176007000000005
meter,obis=1-0:1.29.0*255 value=1,start=1795175100000000000i 1795176000000000000
`, string(lines))
	require.Equal(t, "[reading 2: its time, which is no instant (1-0:1.8.2*255) reading 4: another reading has its id and time (1-0:1.8.1*255)]", fmt.Sprint(lost))
}

// A time that the meter does not trust loses that on the way.
func TestDoubtfulTimes(t *testing.T) {
	r := sample[0]
	r.Time.Status = obis.TimeDoubtful
	p := &obis.Profile{Times: []obis.Time{r.Time}, Columns: []obis.Column{{RawID: []byte("abc")}}}
	p.Columns[0].AppendInt(1)
	d := &mapping.Data{Readings: []obis.Reading{r}, Profiles: []*obis.Profile{p}, Events: []obis.Event{{Time: r.Time}}}
	const said = "reading 0: that its time is not to be relied upon (1-0:1.8.0*255)"
	_, lost := AppendInflux(nil, d)
	require.Equal(t, "["+said+" profile 0: that the time of rows is not to be relied upon (1 row) event 0: that its time is not to be relied upon]", fmt.Sprint(lost))
	_, lost = AppendPrometheus(nil, d)
	require.Contains(t, fmt.Sprint(lost), said)
	require.Contains(t, fmt.Sprint(HomeAssistant(d, "base", func(_, _ []byte) {})), said)
}

func TestInfluxProfile(t *testing.T) {
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{
		{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour}, {RawID: []byte("status")}, {RawID: []byte("status")}, {}}}
	for i := range 5 {
		p.Times = append(p.Times, utc(2026, 1, 1, i/4, 15*i%60, 0))
		p.Columns[0].Append(obis.Int(int64(i), -1))
		for c := 1; c < 4; c++ {
			p.Columns[c].Append(obis.Text([]byte("ok")))
		}
	}
	p.Times[2] = obis.LocalTime(2026, 1, 1, 0, 30, 0)
	p.Starts = []obis.Time{utc(2025, 12, 31, 23, 50, 0), {}, {}, {}, obis.LocalTime(2026, 1, 1, 0, 45, 0)}
	p.Times[3] = p.Times[1]
	p.Columns[0].Nums[4], p.Columns[0].Present = 0, obis.Bitmap{0b1111}
	p.Columns = append(p.Columns, obis.Column{Code: obis.MustParse("1-0:2.29.0")})
	for range 5 {
		p.Columns[4].AppendMissing()
	}
	p.Columns[0].Quality.Add(1, obis.Quality{Flags: obis.Estimated})
	p.Quality.Add(4, obis.Quality{Flags: obis.PowerDown})
	event := obis.Event{Log: obis.MustParse("0-0:99.98.0"), ID: 12, Text: "cover opened", Time: utc(2026, 1, 1, 1, 0, 0), Params: sample[:1], Quality: obis.Quality{Flags: obis.Tamper}}
	lines, lost := AppendInflux(nil, &mapping.Data{Meter: obis.Meter{ID: "M1"}, Profiles: []*obis.Profile{p}, Events: []obis.Event{event, {}}})
	require.Equal(t, `meter,id=M1,obis=1-0:1.29.0*255,unit=Wh,profile=1-0:99.1.0*255,period=900 value=0.0,start=1767225000000000000i 1767225600000000000
meter,id=M1,raw_id=status,profile=1-0:99.1.0*255,period=900 text="ok",start=1767225000000000000i 1767225600000000000
meter,id=M1,obis=1-0:1.29.0*255,unit=Wh,profile=1-0:99.1.0*255,period=900 value=0.1,quality="estimated" 1767226500000000000
meter,id=M1,raw_id=status,profile=1-0:99.1.0*255,period=900 text="ok" 1767226500000000000
meter,id=M1,obis=1-0:1.29.0*255,unit=Wh,profile=1-0:99.1.0*255,period=900 quality="power-down" 1767229200000000000
meter,id=M1,raw_id=status,profile=1-0:99.1.0*255,period=900 text="ok",quality="power-down" 1767229200000000000
meter,id=M1,obis=1-0:2.29.0*255,profile=1-0:99.1.0*255,period=900 quality="power-down" 1767229200000000000
meter_event,id=M1,log=0-0:99.98.0*255,event=12 text="cover opened",quality="tamper" 1767229200000000000
`, strings.ReplaceAll(string(lines), "0.0 ", "0 "))
	require.Equal(t, "[profile 0: rows whose time is no instant (1 row) profile 0: rows of the time of another row (1 row) profile 0: 2 values that are missing profile 0: 3 values of columns without an id "+
		"profile 0: 3 values of columns with the id of another profile 0: 3 values whose start is no instant, without it event 0: what was logged with it event 1: its time is no instant]", fmt.Sprint(lost))
}

func TestPrometheus(t *testing.T) {
	text, lost := AppendPrometheus(nil, &mapping.Data{Meter: obis.Meter{ID: "M1"}, Readings: sample, Received: time.Unix(1795176007, 5e8)})
	require.Equal(t, `# HELP meter_active_energy_import_wh_total Active energy import, in Wh
# TYPE meter_active_energy_import_wh_total counter
meter_active_energy_import_wh_total{meter="M1",obis="1-0:1.8.0*255"} 1234500
# HELP meter_reading Reading
# TYPE meter_reading gauge
meter_reading{meter="M1",raw_id="1-1:30D"} 7
# HELP meter_voltage_by_phase_volts Voltage by phase, in V
# TYPE meter_voltage_by_phase_volts gauge
meter_voltage_by_phase_volts{meter="M1",obis="1-0:32.7.0*255",phase="L1"} 230.1
# HELP meter_quality Flags of readings whose quality is not good
# TYPE meter_quality gauge
meter_quality{meter="M1",obis="1-0:32.7.0*255",phase="L1",metric="meter_voltage_by_phase_volts",flag="questionable"} 1
# HELP meter_reading_timestamp_seconds When the meter took the reading, since 1970
# TYPE meter_reading_timestamp_seconds gauge
meter_reading_timestamp_seconds{meter="M1",obis="1-0:1.8.0*255",metric="meter_active_energy_import_wh_total"} 1795176000
# HELP meter_received_timestamp_seconds When the newest readings came, by the receiver's clock, since 1970
# TYPE meter_received_timestamp_seconds gauge
meter_received_timestamp_seconds{meter="M1"} 1795176007.500
`, string(text))
	require.Equal(t, "[reading 1: a counter is never negative (1-0:1.8.1*255) reading 3: not a number (0-0:96.1.0*255) reading 5: no value; quality missing not carried (1-0:52.7.0*255) reading 6: not a finite number (1-0:72.7.0*255)]", fmt.Sprint(lost))
}

// Of many meters each metric has one group; a sum over it counts nothing twice.
func TestPrometheusOfMany(t *testing.T) {
	at := func(meter string, received int64, codes ...string) *mapping.Data {
		d := &mapping.Data{Meter: obis.Meter{ID: meter}, Received: time.Unix(received, 0)}
		for i, c := range codes {
			d.Readings = append(d.Readings, obis.Reading{Code: obis.MustParse(c), Unit: obis.WattHour, Value: obis.Int(int64(100*received)+int64(i), 0)})
		}
		return d
	}
	text, lost := AppendPrometheus(nil, at("A", 1, "1-0:1.8.0", "1-0:1.8.1", "1-0:16.8.0"), at("B", 2, "1-0:1.8.0", "1-0:21.8.0", "1-0:61.8.2"), at("A", 3, "1-0:1.8.0"))
	var got []string
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "# HELP") {
			got = append(got, line)
		}
	}
	require.Equal(t, `# TYPE meter_active_energy_import_by_phase_by_tariff_wh_total counter
meter_active_energy_import_by_phase_by_tariff_wh_total{meter="B",obis="1-0:61.8.2*255",phase="L3",tariff="2"} 202
# TYPE meter_active_energy_import_by_phase_wh_total counter
meter_active_energy_import_by_phase_wh_total{meter="B",obis="1-0:21.8.0*255",phase="L1"} 201
# TYPE meter_active_energy_import_by_tariff_wh_total counter
meter_active_energy_import_by_tariff_wh_total{meter="A",obis="1-0:1.8.1*255",tariff="1"} 101
# TYPE meter_active_energy_import_wh_total counter
meter_active_energy_import_wh_total{meter="B",obis="1-0:1.8.0*255"} 200
meter_active_energy_import_wh_total{meter="A",obis="1-0:1.8.0*255"} 300
# TYPE meter_active_energy_net_wh gauge
meter_active_energy_net_wh{meter="A",obis="1-0:16.8.0*255"} 102
# TYPE meter_received_timestamp_seconds gauge
meter_received_timestamp_seconds{meter="A"} 3
meter_received_timestamp_seconds{meter="B"} 2
`, strings.Join(got, "\n"))
	require.Equal(t, "[reading 0: a later reading has its id (1-0:1.8.0*255)]", fmt.Sprint(lost))
}

// Values are in base units; promlint has nothing to say to the name of any code in any unit.
func TestPrometheusNames(t *testing.T) {
	require.Len(t, promUnits(), 38)
	seen := map[string]bool{}
	for a := range 10 {
		for group := range 128 * 128 {
			for _, e := range []byte{0, 1, 2, 4, 11, 32, 124} {
				k := metricOf(&obis.Reading{Code: obis.Code{byte(a), 0, byte(group >> 7), byte(group & 127), e, obis.FCurrent}})
				seen[newMetric(k).name] = true
			}
		}
	}
	for u := range obis.Unit(270) {
		seen[newMetric(metricKey{code: obis.MustParse("1-0:1.7.0"), unit: u}).name] = true
	}
	abbreviated := regexp.MustCompile(`_(bucket|count|sum)$|_(counter|histogram|summary|untyped|s|ms|us|ns|sec|b|kb|mb|gb|tb|pb|m|h|d|gauge|minutes|hours|days|weeks|kelvins|fahrenheit|rankine|inches|yards|miles|bits|calories|pounds|ounces|(milli|kilo|mega|centi)(amperes|bytes|celsius|grams|joules|kelvin|meters|seconds|volts))(_|$)`)
	for name := range seen {
		require.Regexp(t, `^meter(_[a-z0-9]+)+$`, name)
		require.NotRegexp(t, abbreviated, name)
	}
	for _, test := range []struct {
		unit obis.Unit
		v    obis.Value
		want string
	}{
		{obis.Hour, obis.Int(3, 0), "meter_reading_seconds 10800"}, {obis.Bar, obis.Int(12, -1), "meter_reading_pascals 120000"}, {obis.Percent, obis.Int(5, -1), "meter_reading_ratio 0.005"},
		{obis.Day, obis.Float32(math.Float32bits(0.5), 0), "meter_reading_seconds 43200"}, {obis.Litre, obis.Int(7, 0), "meter_reading_m3 0.007"},
	} {
		r := obis.Reading{Unit: test.unit, Value: test.v, RawID: []byte("x")}
		value, ok := unitOf(r.Unit).in(r.Value)
		require.True(t, ok)
		require.Equal(t, test.want, newMetric(metricOf(&r)).name+" "+value.String())
	}
	require.Equal(t, "outside of the numbers in the base unit", unsampled(&obis.Reading{Unit: obis.Hour, Value: obis.Int(1<<62, 0), RawID: []byte("x")}))
}

func TestCSV(t *testing.T) {
	list := append([]obis.Reading(nil), sample[:5]...)
	list[4].Quality = obis.Quality{Raw: 0x80, Kind: obis.StatusVendor}
	list[4].Unit, list[4].UnitText = obis.OtherUnit, []byte("furlong")
	require.Equal(t, `meter,obis,raw_id,name,value,unit,start,time,quality,rule,status,dst,received
M1,1-0:1.8.0*255,,active energy import total,1234500,Wh,,2026-11-20T12:00:00Z,good,none,,,
M1,1-0:1.8.1*255,,active energy import tariff 1,-0.5,Wh,,,good,none,,,
M1,1-0:32.7.0*255,,voltage L1,230.1,V,,,questionable,none,,,
M1,0-0:96.1.0*255,,device id 0,"se""rial, 1",,,,good,none,,,
M1,,1-1:30D,,7,furlong,,,good,none,0x80,,
`, csvOf(t, &mapping.Data{Meter: obis.Meter{ID: "M1"}, Readings: list}))
	require.Equal(t, "meter,obis,raw_id,name,value,unit,start,time,quality,rule,status,dst,received\n", csvOf(t, &mapping.Data{}))
}

// csvOf returns the tables with lines that end as here, once a reader of RFC 4180 has read each.
func csvOf(t *testing.T, d *mapping.Data) string {
	text := string(AppendCSV(nil, plainTime, d))
	for _, table := range strings.Split(text, "\r\n\r\n") {
		_, err := csv.NewReader(strings.NewReader(table)).ReadAll()
		require.NoError(t, err, "%s", table)
	}
	lines := strings.ReplaceAll(text, "\r\n", "\n")
	require.NotContains(t, lines, "\r")
	return lines
}

func TestCSVTables(t *testing.T) {
	p := &obis.Profile{Times: []obis.Time{utc(2026, 1, 1, 0, 15, 0), utc(2026, 1, 1, 0, 30, 0)}, Columns: []obis.Column{
		{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour}}}
	p.Columns[0].Append(obis.Int(5, 0))
	p.Columns[0].AppendMissing()
	p.Quality.Add(1, obis.Quality{Flags: obis.PowerDown})
	q := p.Clone()
	q.Starts = []obis.Time{utc(2026, 1, 1, 0, 0, 0)}
	q.Columns = append(q.Columns, obis.Column{RawID: []byte("raw")})
	q.Columns[1].Append(obis.Text([]byte("a,b")))
	q.Columns[1].Append(obis.Moment(utc(2026, 1, 1, 0, 0, 0)))
	q.Columns[1].Quality.Add(1, obis.Quality{Flags: obis.Estimated | obis.Old})
	events := []obis.Event{{Log: obis.MustParse("0-0:99.98.0"), ID: 7, Time: utc(2026, 1, 1, 0, 0, 0), Text: "say \"no\"\n",
		Params: []obis.Reading{sample[0], {Value: obis.Text([]byte("x"))}}, Quality: obis.Quality{Raw: 1, Kind: obis.StatusVDEW}}}
	require.Equal(t, `meter,profile,time,quality,1-0:1.29.0*255 [Wh]
M1,,2026-01-01T00:15:00Z,good,5
M1,,2026-01-01T00:30:00Z,power-down,

meter,profile,time,quality,start,1-0:1.29.0*255 [Wh],raw,quality of raw
M1,,2026-01-01T00:15:00Z,good,2026-01-01T00:00:00Z,5,"a,b",good
M1,,2026-01-01T00:30:00Z,power-down,,,2026-01-01T00:00:00Z,"old,estimated"

meter,log,id,time,text,params,quality,status,dst
M1,0-0:99.98.0*255,7,2026-01-01T00:00:00Z,"say ""no""
",1-0:1.8.0*255=1234500 Wh; x,good,0x1,
`, csvOf(t, &mapping.Data{Meter: obis.Meter{ID: "M1"}, Profiles: []*obis.Profile{p, q}, Events: events}))
}

// Several meters share the tables, whose rows tell them apart; a local time keeps its season.
func TestCSVOfSeveralMeters(t *testing.T) {
	local := func(dst bool) obis.Time {
		t := obis.Time{Year: 2026, Month: 10, Day: 25, Hour: 2, Minute: 30, Weekday: obis.Unspecified, Hundredths: obis.Unspecified, Deviation: obis.DeviationUnspecified}
		if dst {
			t.Status = obis.TimeDST
		}
		return t
	}
	meter := func(id string) *mapping.Data {
		p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Times: []obis.Time{local(true), local(false)}, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.29.0")}}}
		p.Columns[0].AppendInt(5)
		p.Columns[0].AppendInt(6)
		return &mapping.Data{
			Meter: obis.Meter{ID: id}, Received: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Profiles: []*obis.Profile{p},
			Readings: []obis.Reading{{Code: obis.MustParse("0-0:1.0.0"), Value: obis.Moment(local(true))}, {Code: obis.MustParse("1-0:1.8.0"), Value: obis.Int(1, 0), Time: local(false)}},
			Events:   []obis.Event{{ID: 7, Time: local(true)}},
		}
	}
	text := strings.ReplaceAll(string(AppendCSV(nil, plainTime, meter("A"), meter("B"))), "\r\n", "\n")
	require.Equal(t, `meter,obis,raw_id,name,value,unit,start,time,quality,rule,status,dst,received
A,0-0:1.0.0*255,,clock,2026-10-25T02:30:00,,,,good,none,,true,2026-11-20T12:00:00Z
A,1-0:1.8.0*255,,active energy import total,1,,,2026-10-25T02:30:00,good,none,,false,2026-11-20T12:00:00Z
B,0-0:1.0.0*255,,clock,2026-10-25T02:30:00,,,,good,none,,true,2026-11-20T12:00:00Z
B,1-0:1.8.0*255,,active energy import total,1,,,2026-10-25T02:30:00,good,none,,false,2026-11-20T12:00:00Z

meter,profile,time,quality,dst,1-0:1.29.0*255
A,1-0:99.1.0*255,2026-10-25T02:30:00,good,true,5
A,1-0:99.1.0*255,2026-10-25T02:30:00,good,false,6

meter,profile,time,quality,dst,1-0:1.29.0*255
B,1-0:99.1.0*255,2026-10-25T02:30:00,good,true,5
B,1-0:99.1.0*255,2026-10-25T02:30:00,good,false,6

meter,log,id,time,text,params,quality,status,dst
A,,7,2026-10-25T02:30:00,,,good,,true
B,,7,2026-10-25T02:30:00,,,good,,true
`, text)
}

// The numbers of time series are floats, and their text is one line: what they do not hold is said.
func TestDigitsAndLinesAreNotLostUnsaid(t *testing.T) {
	for _, test := range []struct {
		v    obis.Value
		lost string
	}{
		{obis.Int(123456789012345678, 0), digitsLost}, {obis.Int(-123456789012345678, -3), digitsLost}, {obis.Uint(math.MaxUint64, 0), digitsLost},
		{obis.Int(9007199254740992, 0), ""}, {obis.Int(123456789012345, -5), ""}, {obis.Int(5e17, 0), ""}, {obis.Int(math.MinInt64, 0), ""}, {obis.Uint(1<<63, 0), ""}, {obis.Int(1, -1), ""}, {obis.Int(12345678901234567, 0), digitsLost},
		{obis.Text([]byte("two\nlines")), lineEndsLost}, {obis.Text([]byte("one line")), ""},
	} {
		d := &mapping.Data{Meter: obis.Meter{ID: "M1"}, Readings: []obis.Reading{{RawID: []byte("x"), Value: test.v, Time: utc(2026, 1, 1, 0, 0, 0)}}}
		_, lost := AppendInflux(nil, d)
		if numeric(test.v) {
			_, prom := AppendPrometheus(nil, d)
			require.Equal(t, lost, prom)
		}
		if test.lost == "" {
			require.Empty(t, lost, test.v)
			continue
		}
		require.Len(t, lost, 1, test.v)
		require.Equal(t, test.lost, lost[0].Reason)
	}
	d := &mapping.Data{Readings: []obis.Reading{{RawID: []byte("x"), Value: obis.Int(1, 0), Quality: obis.Quality{Raw: 0x80, Kind: obis.StatusVendor}}}}
	text, lost := AppendInflux(nil, d)
	require.Empty(t, lost)
	require.Contains(t, string(text), `value=1,status="0x80"`)
}

func ExampleAppendInflux() {
	lines, _ := AppendInflux(nil, &mapping.Data{Meter: obis.Meter{ID: "ABC12345678"}, Readings: []obis.Reading{
		{Code: obis.MustParse("6-0:1.0.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2)},
	}})
	fmt.Print(string(lines))
	// Output: meter,id=ABC12345678,obis=6-0:1.0.0*255,unit=Wh value=1234500
}

// A series has one sample, labels have the escapes of the format, and no time is wrapped.
func TestPrometheusSeries(t *testing.T) {
	r := obis.Reading{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(1, 0), Quality: obis.Quality{Flags: obis.Estimated}}
	other := r
	other.Unit = obis.VarHour
	d := &mapping.Data{Meter: obis.Meter{ID: "a\t\"\\\n\u200b"}, Readings: []obis.Reading{r, r, other}}
	out, lost := AppendPrometheus(nil, d)
	require.Equal(t, "[reading 1: another reading has its id; quality estimated not carried (1-0:1.8.0*255)]", fmt.Sprint(lost))
	require.Equal(t, 2, strings.Count(string(out), " 1\n")-strings.Count(string(out), "flag="))
	require.Equal(t, 2, strings.Count(string(out), "meter_quality{"))
	require.Contains(t, string(out), "{meter=\"a\t\\\"\\\\\\n\u200b\",obis=")
}

func TestInfluxTimes(t *testing.T) {
	r := obis.Reading{Code: obis.MustParse("1-0:1.8.0"), Value: obis.Int(1, 0), Time: obis.LocalTime(2026, 11, 20, 12, 0, 0)}
	far := r
	far.Code[4] = 1
	far.Time = obis.FromTime(time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC))
	out, lost := AppendInflux(nil, &mapping.Data{Readings: []obis.Reading{r, far}})
	require.Equal(t, "[reading 0: its time, which is no instant (1-0:1.8.0*255) reading 1: its time, outside of 1678 to 2261 (1-0:1.8.1*255)]", fmt.Sprint(lost))
	require.Equal(t, "meter,obis=1-0:1.8.0*255 value=1\nmeter,obis=1-0:1.8.1*255 value=1\n", string(out))
}
