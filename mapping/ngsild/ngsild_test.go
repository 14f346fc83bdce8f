package ngsild

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func TestTables(t *testing.T) {
	require.Equal(t, len(builtin().Rules), bytes.Count(attributesCSV, []byte("\n"))-4)
	require.Len(t, units(), bytes.Count(unitsCSV, []byte("\n"))-3)
	require.Len(t, limits(), bytes.Count(limitsCSV, []byte("\n"))-3)
	require.Len(t, differences(), bytes.Count(differencesCSV, []byte("\n"))-2)
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
	require.Equal(t, `[reading 3: another reading has ACMeasurement.totalActiveEnergyImport (1-0:1.8.0*255) reading 7: no value (1-0:2.8.0*255)`+
		` reading 8: UN/CEFACT has no common code for the unit HCA (abc) reading 9: no finite number (1-0:14.7.0*255) event 0: this target has no events reading 0: ACMeasurement requires location, which nobody said (1-0:1.8.0*255)]`, fmt.Sprint(lost))
	var entities []map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(out, &entities))
	require.Len(t, entities, 6)
	require.Equal(t, `{"type":"Property","value":"2026-11-20T11:00:00Z"}`, string(entities[0]["dateObserved"]))
	ac := entities[0]
	require.Equal(t, `"urn:ngsi-ld:ACMeasurement:A%20B%2F1"`, string(ac["id"]))
	require.Equal(t, `{"type":"Property","value":"threePhase"}`, string(ac["phaseType"]))
	require.Equal(t, `{"type":"Property","value":1.2345,"unitCode":"KWH","observedAt":"2026-11-20T11:00:00Z","obis":{"type":"Property","value":"1-0:1.8.0*255"}}`,
		string(ac["totalActiveEnergyImport"]))
	require.Equal(t, `{"type":"Property","value":{"L1":230.1,"L2":230.2},"unitCode":"VLT","observedAt":"2026-11-20T11:00:00Z",`+
		`"obis":{"type":"Property","value":{"L1":"1-0:32.7.0*255","L2":"1-0:52.7.0*255"}},"quality":{"type":"Property","value":{"L1":"good","L2":"estimated"}}}`,
		string(ac["phaseVoltage"]))
	require.Equal(t, `"WaterConsumptionObserved" {"type":"Property","value":1,"unitCode":"MTQ","obis":{"type":"Property","value":"8-1:1.0.0*255"}}`, string(entities[4]["type"])+" "+string(entities[4]["waterConsumption"]))
	require.Equal(t, `{"type":"Property","value":1.23,"unitCode":"MTQ","obis":{"type":"Property","value":"8-1:1.0.0*255"}}`, string(entities[3]["numValue"]))
	require.Equal(t, `{"type":"Property","value":5000000000,"unitCode":"JOU","obis":{"type":"Property","value":"6-0:1.0.0*255"}}`, string(entities[1]["numValue"]))
}

func parsed(t *testing.T, d *mapping.Data) (entities map[string]map[string]any, lost string) {
	out, losses := Append(nil, d, nil)
	var list []map[string]any
	require.NoError(t, json.Unmarshal(out, &list), "%s", out)
	entities = map[string]map[string]any{}
	for _, e := range list {
		id := e["id"].(string)
		require.NotContains(t, entities, id)
		values := map[string]any{}
		for name, p := range e {
			if property, ok := p.(map[string]any); ok && property["type"] == "Property" {
				values[name] = property["value"]
			}
		}
		values["raw"] = e
		entities[strings.TrimPrefix(id, "urn:ngsi-ld:")] = values
	}
	return entities, fmt.Sprint(losses)
}

func number(code string, u obis.Unit, m int64, exp int8) obis.Reading {
	return obis.Reading{Code: obis.MustParse(code), Unit: u, Value: obis.Int(m, exp)}
}

// Import and export are one attribute with a sign, THD a ratio; what the schema does not allow is exact elsewhere.
func TestSchemas(t *testing.T) {
	d := &mapping.Data{Meter: obis.Meter{ID: "M"}, Received: time.Unix(1795176007, 0), Readings: []obis.Reading{
		number("1-0:2.7.0", obis.Watt, 500, 0), number("1-0:1.7.0", obis.Watt, 0, 0), number("1-0:3.7.0", obis.Var, 3, 0), number("1-0:4.7.0", obis.Var, 7, 0),
		number("1-0:21.7.0", obis.Watt, 9, 0), number("1-0:22.7.0", obis.Watt, 1, 0), number("1-0:41.7.0", obis.Watt, 1, 0), number("1-0:42.7.0", obis.Watt, 9, 0),
		number("1-0:76.7.0", obis.Watt, -5, 0), number("1-0:32.7.124", obis.Percent, 21, -1), number("1-0:31.7.124", obis.Percent, 2100, -1), number("1-0:13.7.0", obis.Count, -5, -1),
		number("8-0:1.0.0", obis.Litre, 12345, 0), number("9-0:1.0.0", obis.CubicMetre, 7000, -3), number("8-0:2.0.0", obis.CubicMetrePerHour, 5, -1),
	}}
	d.Readings[5].Quality.Flags = obis.Questionable
	d.Readings[14].Start, d.Readings[14].Time = obis.FromTime(time.Unix(1795175100, 0).UTC()), obis.FromTime(time.Unix(1795176000, 0).UTC())
	e, lost := parsed(t, d)
	ac := e["ACMeasurement:M"]
	require.Equal(t, map[string]any{"totalActivePower": -500.0, "totalReactivePower": -4.0, "activePower": map[string]any{"L1": 8.0}, "thdVoltage": map[string]any{"L1": 0.021},
		"totalPowerFactor": -0.5, "phaseType": "singlePhase", "dateObserved": "2026-11-20T12:00:07Z", "raw": ac["raw"]}, ac)
	raw := ac["raw"].(map[string]any)
	require.Equal(t, "received", raw["dateObserved"].(map[string]any)["timeSource"].(map[string]any)["value"])
	require.Equal(t, "1-0:1.7.0*255 - 1-0:2.7.0*255", raw["totalActivePower"].(map[string]any)["obis"].(map[string]any)["value"])
	require.Equal(t, map[string]any{"L1": "questionable,derived"}, raw["activePower"].(map[string]any)["quality"].(map[string]any)["value"])
	require.Equal(t, "[reading 9: ACMeasurement requires location, which nobody said (1-0:32.7.124*255)]", lost)
	for id, want := range map[string]float64{"1-0:2.7.0*255": 500, "1-0:76.7.0*255": -5, "1-0:31.7.124*255": 210, "1-0:42.7.0*255": 9, "8-0:1.0.0*255": 12345} {
		require.Equal(t, want, e["DeviceMeasurement:M:"+id]["numValue"], id)
	}
	require.Equal(t, 12.0, e["WaterConsumptionObserved:M"]["waterConsumption"])
	require.NotContains(t, e["WaterConsumptionObserved:M"], "waterType")
	require.Equal(t, 7.0, e["WaterConsumptionObserved:M:hot"]["waterConsumption"])
	require.Equal(t, "hotWater", e["WaterConsumptionObserved:M:hot"]["waterType"])
	require.NotContains(t, e, "DeviceMeasurement:M:9-0:1.0.0*255")
	flow := e["DeviceMeasurement:M:8-0:2.0.0*255"]["raw"].(map[string]any)["numValue"].(map[string]any)
	require.Equal(t, "2026-11-20T12:00:00Z 2026-11-20T11:45:00Z", fmt.Sprint(flow["observedAt"], " ", flow["intervalStart"].(map[string]any)["value"]))

	// Of different times there is no difference, and without any time that is said.
	d.Received = time.Time{}
	d.Readings = d.Readings[:2]
	d.Readings[0].Time = obis.FromTime(time.Unix(5, 0).UTC())
	e, lost = parsed(t, d)
	require.NotContains(t, e, "ACMeasurement:M")
	require.Equal(t, "[]", lost)
	_, lost = parsed(t, &mapping.Data{Readings: []obis.Reading{number("1-0:14.7.0", obis.Hertz, 50, 0)}})
	require.Equal(t, "[reading 0: ACMeasurement requires location and dateObserved, which nobody said (1-0:14.7.0*255)]", lost)
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
		{Code: obis.MustParse("8-0:1.0.0"), Unit: obis.CubicMetre, Value: obis.Int(123, 0)},
	}}, nil)
	fmt.Println(string(out[:148]), lost)
	// Output: [{"id":"urn:ngsi-ld:WaterConsumptionObserved:ABC1","type":"WaterConsumptionObserved","waterConsumption":{"type":"Property","value":123,"unitCode":"M []
}
