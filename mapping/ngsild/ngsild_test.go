package ngsild

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func TestTables(t *testing.T) {
	require.Equal(t, len(builtin().Rules), bytes.Count(attributesCSV, []byte("\n"))-4)
	require.Len(t, units(), bytes.Count(unitsCSV, []byte("\n"))-2)
	for _, r := range builtin().Rules {
		require.Contains(t, contexts, r.Target.entity)
		require.Contains(t, units(), r.Target.unit)
	}
}

func TestAppend(t *testing.T) {
	at := obis.LocalTime(2026, 11, 20, 12, 0, 0)
	at.Deviation = -60
	out, lost := Append(nil, &mapping.Data{Meter: obis.Meter{ID: "A B/1"}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, -1), Time: at},
		{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1), Time: at},
		{Code: obis.MustParse("1-0:52.7.0"), Unit: obis.Volt, Value: obis.Int(2302, -1), Quality: obis.Quality{Flags: obis.Estimated}, Time: at},
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(1, 0)},
		{Code: obis.MustParse("6-0:1.0.0"), Unit: obis.Joule, Value: obis.Int(5, 9)},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("\"x\xE9"))},
		{Code: obis.MustParse("8-1:1.0.0"), Unit: obis.CubicMetre, Value: obis.Int(123, -2)},
		{Code: obis.MustParse("1-0:2.8.0"), Unit: obis.WattHour},
		{RawID: []byte("abc"), Value: obis.Int(5, 0), Unit: obis.HCAUnit},
		{Code: obis.MustParse("1-0:14.7.0"), Unit: obis.Hertz, Value: obis.Float32(0x7F800000, 0)},
	}, Events: []obis.Event{{}}}, nil)
	require.True(t, json.Valid(out), "%s", out)
	require.Equal(t, `[reading 3: another reading has ACMeasurement.totalActiveEnergyImport reading 7: no value`+
		` reading 8: UN/CEFACT has no common code for the unit HCA reading 9: no finite number event 0: this target has no events]`, fmt.Sprint(lost))
	var entities []map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(out, &entities))
	require.Len(t, entities, 5)
	ac := entities[0]
	require.Equal(t, `"urn:ngsi-ld:ACMeasurement:A%20B%2F1"`, string(ac["id"]))
	require.Equal(t, `{"type":"Property","value":"threePhase"}`, string(ac["phaseType"]))
	require.Equal(t, `{"type":"Property","value":1.2345,"unitCode":"KWH","observedAt":"2026-11-20T11:00:00Z","obis":{"type":"Property","value":"1-0:1.8.0*255"}}`,
		string(ac["totalActiveEnergyImport"]))
	require.Equal(t, `{"type":"Property","value":{"L1":230.1,"L2":230.2},"unitCode":"VLT","observedAt":"2026-11-20T11:00:00Z",`+
		`"obis":{"type":"Property","value":{"L1":"1-0:32.7.0*255","L2":"1-0:52.7.0*255"}},"quality":{"type":"Property","value":{"L1":"good","L2":"estimated"}}}`,
		string(ac["phaseVoltage"]))
	require.Equal(t, `"WaterConsumptionObserved"`, string(entities[3]["type"]))
	require.Equal(t, `{"type":"Property","value":5000000000,"unitCode":"JOU","obis":{"type":"Property","value":"6-0:1.0.0*255"}}`, string(entities[1]["numValue"]))
}

func TestReadRules(t *testing.T) {
	rules, err := ReadRules(strings.NewReader("obis,entity,attribute,member,unit\n1-0:1.8.0,ACMeasurement,mine,,Wh\n"))
	require.NoError(t, err)
	out, _ := Append(nil, &mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(1, 0)}}}, rules)
	require.Contains(t, string(out), `"mine":{`)
	_, err = ReadRules(strings.NewReader("obis,entity,attribute,member,unit\n1-0:1.8.0,ACMeasurement,mine,,furlong\n"))
	require.ErrorContains(t, err, "furlong")
}

// BenchmarkAppend writes a thousand readings, each an entity; the floor is a loop for just such entities.
func BenchmarkAppend(b *testing.B) {
	d := &mapping.Data{Meter: obis.Meter{ID: "ABC1"}}
	for i := range 1000 {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{6, byte(i / 250), 1, 0, byte(i % 250), 255}, Unit: obis.WattHour, Value: obis.Int(int64(i), 0)})
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = Append(dst[:0], d, nil)
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
	golden.OfFloor(b, func() {
		dst = dst[:0]
		for i := range 1000 {
			dst = strconv.AppendInt(append(dst, `{"id":"urn:ngsi-ld:DeviceMeasurement:ABC1:6-`...), int64(i), 10)
			dst = append(dst, `","type":"DeviceMeasurement","refDevice":{"type":"Relationship","object":"urn:ngsi-ld:Device:ABC1"},"numValue":{"type":"Property","value":`...)
			dst = strconv.AppendInt(dst, int64(i), 10)
			dst = append(dst, `,"unitCode":"KWH","obis":{"type":"Property","value":"6-0:1.0.0*255"}},"@context":["`...)
			dst = append(append(dst, contexts["DeviceMeasurement"]...), `","`+coreContext+`"]},`...)
		}
	})
}

func ExampleAppend() {
	out, lost := Append(nil, &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Readings: []obis.Reading{
		{Code: obis.MustParse("8-0:1.0.0"), Unit: obis.CubicMetre, Value: obis.Int(123456, -3)},
	}}, nil)
	fmt.Println(string(out[:148]), lost)
	// Output: [{"id":"urn:ngsi-ld:WaterConsumptionObserved:ABC1","type":"WaterConsumptionObserved","waterConsumption":{"type":"Property","value":123.456,"unitCode []
}
