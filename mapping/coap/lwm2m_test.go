package coap

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func reading(code string, unit obis.Unit, m int64, exp int8) obis.Reading {
	return obis.Reading{Code: obis.MustParse(code), Unit: unit, Value: obis.Int(m, exp)}
}

func TestLwM2MSinglePhase(t *testing.T) {
	at := obis.FromTime(time.Unix(1795176000, 0).UTC())
	power := reading("1-0:1.7.0", obis.Watt, 1250, 0)
	power.Time = at
	doc, lost := AppendLwM2M(nil, &mapping.Data{Meter: obis.Meter{Manufacturer: "ABC", Serial: "1"}, Readings: []obis.Reading{
		power, reading("1-0:1.8.0", obis.WattHour, 12345, 2), reading("1-0:32.7.0", obis.Volt, 2301, -1), reading("1-0:12.7.0", obis.Volt, 2302, -1),
		{Code: obis.MustParse("1-0:13.7.0"), Value: obis.Int(97, -2), Quality: obis.Quality{Flags: obis.Test}},
		reading("1-0:1.8.1", obis.Joule, 5, 0), reading("1-0:88.8.0", obis.Unit(60), 1, 0), {RawID: []byte("x"), Value: obis.Int(1, 0)}, {Code: obis.MustParse("1-0:2.8.0")},
	}, Profiles: []*obis.Profile{{}}, Events: []obis.Event{{}}}, nil)
	require.Equal(t, `[{"bn":"/3305/0/","n":"5800","v":1250,"t":1795176000},{"n":"5805","v":1234500},{"n":"5820","v":0.97},`+
		`{"bn":"/3331/0/","n":"5700","v":1234500},{"n":"5701","vs":"Wh"},{"n":"5750","vs":"active energy import total 1-0:1.8.0*255"},`+
		`{"bn":"/3421/0/","n":"1","v":230.1},{"n":"13","v":0.97},{"n":"16","v":1250,"t":1795176000},{"n":"25","v":1234500},`+
		`{"bn":"/10243/0/","n":"0","vs":"ABC"},{"n":"2","vs":"1"},{"n":"4","v":230.1},{"n":"6","v":1.250,"t":1795176000},{"n":"11","v":0.97},{"n":"14","v":1234.5}]`,
		string(doc))
	require.Equal(t, "[reading 3: another reading has /10243/0/4 (1-0:12.7.0*255) reading 4: quality test not carried (1-0:13.7.0*255) reading 5: /3331/11/5700 takes no value in J (1-0:1.8.1*255) reading 6 and 1 more: no object has it (1-0:88.8.0*255, 0x78) reading 8: no value (1-0:2.8.0*255) profile 0: objects have no profiles event 0: objects have no events]", fmt.Sprint(lost))
}

func TestLwM2MThreePhases(t *testing.T) {
	doc, lost := AppendLwM2M(nil, &mapping.Data{Readings: []obis.Reading{
		reading("1-0:52.7.0", obis.Volt, 231, 0), reading("1-0:32.7.0", obis.Volt, 230, 0), reading("1-0:90.7.0", obis.Ampere, 5, 0), reading("1-0:61.7.0", obis.Watt, 7, 0),
		{Code: obis.MustParse("0-0:96.7.21"), Unit: obis.Count, Value: obis.Int(3, 0)}, {Code: obis.MustParse("0-0:96.7.9"), Unit: obis.Count, Value: obis.Int(35, -1)},
	}}, nil)
	require.Equal(t, `[{"bn":"/3421/0/","n":"1","v":230},{"bn":"/3421/1/","n":"1","v":231},{"bn":"/3421/2/","n":"16","v":7},`+
		`{"bn":"/3422/0/","n":"4","v":5},{"n":"29","v":3},{"n":"36","v":0},{"n":"37","v":1},{"n":"38","v":2},`+
		`{"bn":"/10242/0/","n":"4","v":230},{"n":"14","v":231},{"n":"26","v":0.007}]`, string(doc))
	require.Equal(t, "[reading 5: /3422/0/30 is of type integer (0-0:96.7.9*255)]", fmt.Sprint(lost))
}

func TestLwM2MHeat(t *testing.T) {
	doc, lost := AppendLwM2M(nil, &mapping.Data{Readings: []obis.Reading{
		reading("6-0:1.0.0", obis.Joule, 36, 5), reading("6-0:9.0.0", obis.CubicMetrePerHour, 9, -1), reading("6-0:8.5.0", obis.Watt, 12, 2), reading("8-0:1.0.0", obis.CubicMetre, 12345, -3),
	}}, nil)
	require.Equal(t, `[{"bn":"/3331/2/","n":"5700","v":3600000},{"n":"5701","vs":"J"},{"n":"5750","vs":"heat energy 6-0:1.0.0*255"},{"bn":"/3424/0/","n":"1","v":12.345},`+
		`{"bn":"/10257/0/","n":"17","v":0.00025},{"n":"5802/0","v":1200},{"n":"5805","v":1000}]`, string(doc))
	require.Empty(t, lost)
}

// Every built-in rule is of a resource that the registry has, with its type and in its unit.
func TestRegistry(t *testing.T) {
	f, err := os.Open("testdata/lwm2m_registry.csv")
	require.NoError(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	rows, err := r.ReadAll()
	require.NoError(t, err)
	registry := map[[2]uint16][]string{}
	for _, row := range rows[1:] {
		object, err1 := strconv.ParseUint(row[0], 10, 16)
		resource, err2 := strconv.ParseUint(row[2], 10, 16)
		require.NoError(t, err1)
		require.NoError(t, err2)
		registry[[2]uint16{uint16(object), uint16(resource)}] = row
	}
	table := builtinTable()
	require.NotEmpty(t, table.Rules)
	seen := map[uint16]bool{}
	for _, rule := range table.Rules {
		x := &rule.Target
		row := registry[[2]uint16{x.object, x.resource}]
		require.NotNil(t, row, "%v", x.path)
		require.Equal(t, row[6], lwm2mTypes[x.kind], "%v", x.path)
		require.Equal(t, row[4] == "multiple", x.sub >= 0, "%v", x.path)
		require.NotEmpty(t, x.units)
		seen[x.object] = true
		if x.object == 3331 { // says its unit itself
			continue
		}
		want := map[string]obis.Unit{"": obis.Count, "/100": obis.Percent}[row[7]]
		scale := 0
		if want == 0 {
			name, kilo := strings.CutPrefix(row[7], "k")
			if kilo {
				scale = 3
			}
			u, ok := obis.UnitByName(name)
			require.True(t, ok, row[7])
			want = u
		}
		require.Equal(t, divisor{unit: want, exp: scale}, x.units[0], "%v: %s", x.path, row[7])
	}
	for object := range objectNames {
		require.True(t, seen[object], "%d", object)
	}
	// what the code writes besides
	for id, name := range map[[2]uint16]string{{3331, sensorUnits}: "Sensor Units", {3331, applicationType}: "Application Type", {10242, 0}: "Manufacturer", {10243, 1}: "Model Number",
		{10257, 2}: "Serial Number", {threePhases, firstInstance}: "L1 Meter Instance", {threePhases, firstInstance + 2}: "L3 Meter Instance"} {
		require.Equal(t, name, registry[id][3])
	}
}

func TestReadRules(t *testing.T) {
	own, err := ReadRules(strings.NewReader("obis,path,type,unit,phases\n1-0:1.8.0,3305/7/5805,float,Wh=1000,\n0-0:96.1.0,3/0/2,string,,\n1-0:0.1.0,3/0/13,time,,\n0-0:96.3.10,3312/0/5850,boolean,,\n"))
	require.NoError(t, err)
	doc, lost := AppendLwM2M(nil, &mapping.Data{Readings: []obis.Reading{
		reading("1-0:1.8.0", obis.WattHour, 5, 2), {Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("A\"1"))}, {Code: obis.MustParse("0-0:96.3.10"), Value: obis.Bool(true)},
		{Code: obis.MustParse("1-0:0.1.0"), Value: obis.Moment(obis.FromTime(time.Unix(1795176000, 0).UTC()))},
	}}, own)
	require.Empty(t, lost)
	require.Equal(t, `[{"bn":"/3/0/","n":"2","vs":"A\"1"},{"n":"13","v":1795176000},{"bn":"/3305/7/","n":"5805","v":0.5},`+
		`{"bn":"/3312/0/","n":"5850","vb":true},{"bn":"/3331/0/","n":"5700","v":500},{"n":"5701","vs":"Wh"},{"n":"5750","vs":"active energy import total 1-0:1.8.0*255"},`+
		`{"bn":"/3421/0/","n":"25","v":500},{"bn":"/10243/0/","n":"14","v":0.5}]`, string(doc))
	for row, want := range map[string]string{
		"1-0:1.8.0,3305/0,float,Wh,":         "path",
		"1-0:1.8.0,3305/0/70000,float,Wh,":   "70000",
		"1-0:1.8.0,3305/0/1,double,Wh,":      "no type",
		"1-0:1.8.0,3305/0/1,float,furlong,":  "no unit",
		"1-0:1.8.0,3305/0/1,float,Wh=0,":     "divisor",
		"1-0:1.8.0,3305/0/1,float,Wh,2":      "phases",
		"1-0:1.8.0,3305/0/1/x,float,Wh,":     "is no id",
		"1-0:1.8.0,3305/0/1,float,Wh=Inf,":   "divisor",
		"1-0:1.8.0.1.2.3,3305/0/1,float,Wh,": "line 2",
	} {
		_, err := ReadRules(strings.NewReader("obis,path,type,unit,phases\n" + row + "\n"))
		require.ErrorContains(t, err, want)
	}
}

// The example of LwM2M 1.0, section 6.4.3.3: resources of a device object.
func TestTLV(t *testing.T) {
	list := []value{
		{path: path{3, 0, 0, -1}, kind: lwm2mString, value: obis.Text([]byte("Open Mobile Alliance"))},
		{path: path{3, 0, 1, -1}, kind: lwm2mString, value: obis.Text([]byte("Lightweight M2M Client"))},
		{path: path{3, 0, 6, 0}, kind: lwm2mInteger, value: obis.Int(1, 0)},
		{path: path{3, 0, 6, 1}, kind: lwm2mInteger, value: obis.Int(5, 0)},
		{path: path{3, 0, 7, 0}, kind: lwm2mInteger, value: obis.Int(3800, 0)},
		{path: path{3, 0, 7, 1}, kind: lwm2mInteger, value: obis.Int(5000, 0)},
		{path: path{3, 0, 9, -1}, kind: lwm2mInteger, value: obis.Int(100, 0)},
		{path: path{3, 0, 13, -1}, kind: lwm2mTime, value: obis.Int(1367491215, 0)},
	}
	want := "c800144f70656e204d6f62696c6520416c6c69616e6365" + "c801164c69676874776569676874204d324d20436c69656e74" + "8606410001410105" + "880708420" + "00ed842011388" + "c10964" + "c40d5182428f"
	require.Equal(t, want, hex.EncodeToString(appendTLV(nil, list, false)))
	require.Equal(t, "08004c"+want, hex.EncodeToString(appendTLV(nil, list, true)))
	require.Equal(t, "e8164408"+"40934a456d5cfaad", hex.EncodeToString(appendTLV(nil, []value{{path: path{3331, 0, 5700, -1}, kind: lwm2mFloat, value: obis.Int(12345678, -4)}}, false)))
}

// Whatever readings there are, the document is JSON in order, and each reading
// is carried or lost.
func FuzzLwM2M(f *testing.F) {
	f.Add([]byte{1, 0, 1, 8, 0, 255, 30, 5, 1, 0, 52, 7, 0, 255, 35, 9})
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := &mapping.Data{}
		for chunk := range slices.Chunk(raw, 8) {
			if len(chunk) == 8 {
				d.Readings = append(d.Readings, obis.Reading{Code: obis.Code(chunk[:6]), Unit: obis.Unit(chunk[6]), Value: obis.Int(int64(int8(chunk[7])), int8(chunk[7])/16)})
			}
		}
		doc, lost := AppendLwM2M(nil, d, nil)
		require.True(t, json.Valid(doc), "%s", doc)
		list, _ := lwm2mValues(d, nil)
		require.True(t, slices.IsSortedFunc(list, func(a, b value) int { return a.compare(b.path) }))
		told := 0
		for _, l := range lost {
			told += 1 + len(l.More)
		}
		require.GreaterOrEqual(t, len(list)+told, len(d.Readings))
		tree, _ := NewTree(d, nil)
		for _, l := range tree.Links() {
			for _, format := range l.Formats {
				r, err := tree.Get(l.Path, nil, format)
				require.NoError(t, err)
				require.Equal(t, format, r.Format)
			}
		}
	})
}

func ExampleAppendLwM2M() {
	doc, lost := AppendLwM2M(nil, &mapping.Data{Readings: []obis.Reading{
		{Code: obis.MustParse("8-0:1.0.0"), Unit: obis.CubicMetre, Value: obis.Int(12345, -3)},
		{Code: obis.MustParse("8-0:3.0.0"), Unit: obis.Celsius, Value: obis.Int(12, 0)},
	}}, nil)
	fmt.Println(string(doc))
	fmt.Println(lost)
	// Output:
	// [{"bn":"/3424/0/","n":"1","v":12.345}]
	// [reading 1: no object has it (8-0:3.0.0*255)]
}

// everyCode returns a reading for each code of three-phase meters that a rule names.
func everyCode() *mapping.Data {
	d := &mapping.Data{}
	for _, rule := range builtinTable().Rules {
		if rule.Target.phases == 1 {
			continue
		}
		code := rule.Codes[0].Lo
		if !slices.ContainsFunc(d.Readings, func(r obis.Reading) bool { return r.Code == code }) {
			d.Readings = append(d.Readings, obis.Reading{Code: code, Unit: rule.Target.units[0].unit, Value: obis.Int(1234, 0), Time: obis.FromTime(time.Unix(1795176000, 0).UTC())})
		}
	}
	return d
}

// Of every code something is carried.
func TestEveryCode(t *testing.T) {
	_, lost := AppendLwM2M(nil, everyCode(), nil)
	require.Empty(t, lost)
}

// BenchmarkLwM2M writes what every rule names; the floor is a loop for as many resources.
func BenchmarkLwM2M(b *testing.B) {
	d := everyCode()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendLwM2M(dst[:0], d, nil)
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(d.Readings)), "ns/reading")
	golden.OfFloor(b, func() {
		dst = dst[:0]
		for i := range 170 {
			dst = append(strconv.AppendInt(append(dst, `{"n":"`...), int64(5800+i), 10), `","v":1234,"t":1795176000},`...)
		}
	})
}
