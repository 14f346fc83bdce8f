package timeseries

import (
	"fmt"
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
	require.Equal(t, "[reading 5: no value; quality missing not carried reading 6: not a finite number]", fmt.Sprint(lost))
}

func TestPrometheus(t *testing.T) {
	text, lost := AppendPrometheus(nil, &mapping.Data{Meter: obis.Meter{ID: "M1"}, Readings: sample})
	require.Equal(t, `# TYPE meter_active_energy_import_wh_total counter
meter_active_energy_import_wh_total{meter="M1",obis="1-0:1.8.0*255"} 1234500
meter_active_energy_import_wh_total{meter="M1",obis="1-0:1.8.1*255",tariff="1"} -0.5
# TYPE meter_reading gauge
meter_reading{meter="M1",raw_id="1-1:30D"} 7
# TYPE meter_voltage_v gauge
meter_voltage_v{meter="M1",obis="1-0:32.7.0*255",phase="L1"} 230.1
# TYPE meter_quality gauge
meter_quality{meter="M1",obis="1-0:32.7.0*255",phase="L1",flag="questionable"} 1
`, string(text))
	require.Len(t, lost, 3)
}

func TestCSV(t *testing.T) {
	var b strings.Builder
	b.Write(AppendCSV(nil, &mapping.Data{Meter: obis.Meter{ID: "M1"}, Readings: sample[:4]}, plainTime))
	require.Equal(t, `meter,obis,raw_id,name,value,unit,start,time,quality,rule
M1,1-0:1.8.0*255,,active energy import total,1234500,Wh,,2026-11-20T12:00:00Z,good,none
M1,1-0:1.8.1*255,,active energy import tariff 1,-0.5,Wh,,,good,none
M1,1-0:32.7.0*255,,voltage L1,230.1,V,,,questionable,none
M1,0-0:96.1.0*255,,device id 0,"se""rial, 1",,,,good,none
`, b.String())
}

func TestProfileCSV(t *testing.T) {
	p := &obis.Profile{Times: []obis.Time{utc(2026, 1, 1, 0, 15, 0), utc(2026, 1, 1, 0, 30, 0)}, Columns: []obis.Column{
		{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour}}}
	p.Columns[0].Append(obis.Int(5, 0))
	p.Columns[0].AppendMissing()
	p.Quality.Add(1, obis.Quality{Flags: obis.PowerDown})
	var b strings.Builder
	b.Write(AppendProfileCSV(nil, p, plainTime))
	require.Equal(t, "time,quality,1-0:1.29.0*255 [Wh]\n2026-01-01T00:15:00Z,good,5\n2026-01-01T00:30:00Z,power-down,\n", b.String())
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
	require.Equal(t, "[reading 1: another reading has its id; quality estimated not carried]", fmt.Sprint(lost))
	require.Equal(t, 2, strings.Count(string(out), " 1\n")-strings.Count(string(out), "flag="))
	require.Contains(t, string(out), "{meter=\"a\t\\\"\\\\\\n\u200b\",obis=")
}

func TestInfluxTimes(t *testing.T) {
	r := obis.Reading{Code: obis.MustParse("1-0:1.8.0"), Value: obis.Int(1, 0), Time: obis.LocalTime(2026, 11, 20, 12, 0, 0)}
	far := r
	far.Time = obis.FromTime(time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC))
	out, lost := AppendInflux(nil, &mapping.Data{Readings: []obis.Reading{r, far}})
	require.Equal(t, "[reading 0: its time, which is no instant reading 1: its time, outside of 1678 to 2261]", fmt.Sprint(lost))
	require.Equal(t, strings.Repeat("meter,obis=1-0:1.8.0*255 value=1\n", 2), string(out))
}
