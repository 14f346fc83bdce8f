package timeseries

import (
	"strconv"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// thousand readings of a meter.
func thousand() (list []obis.Reading) {
	for i := range 1000 {
		list = append(list, obis.Reading{Code: obis.Code{1, byte(i / 100), byte(1 + i%10), 8, byte(i / 10 % 10), 255}, Unit: obis.WattHour, Value: obis.Int(int64(i)*7919, -1), Time: utc(2026, 11, 20, 12, 0, i%60)})
	}
	return list
}

func report(b *testing.B, dst []byte, row func(dst []byte, i int64) []byte) {
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
	golden.OfFloor(b, func() {
		dst = dst[:0]
		for i := range int64(1000) {
			dst = row(dst, i)
		}
	})
}

// The targets write a thousand readings; the floors are loops for just these rows.
func BenchmarkWrite(b *testing.B) {
	d := &mapping.Data{Meter: obis.Meter{ID: "ABC12345678"}, Readings: thousand()}
	var dst []byte
	b.Run("influx", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = AppendInflux(dst[:0], d)
		}
		report(b, dst, func(dst []byte, i int64) []byte {
			dst = strconv.AppendInt(append(dst, "meter,id=ABC12345678,obis=1-0:1.8.0*255,unit=Wh value="...), i*7919, 10)
			return append(strconv.AppendInt(append(dst, ' '), 1795176000000000000+i, 10), '\n')
		})
	})
	b.Run("prometheus", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = AppendPrometheus(dst[:0], d)
		}
		report(b, dst, func(dst []byte, i int64) []byte {
			dst = append(dst, `meter_active_energy_import_wh_total{meter="ABC12345678",obis="1-0:1.8.0*255",tariff="1"} `...)
			return append(strconv.AppendInt(dst, i*7919, 10), '\n')
		})
	})
	b.Run("csv", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendCSV(dst[:0], plainTime, d)
		}
		report(b, dst, func(dst []byte, i int64) []byte {
			dst = strconv.AppendInt(append(dst, "ABC12345678,1-0:1.8.0*255,,active energy import total,"...), i*7919, 10)
			return append(dst, ",Wh,,2026-11-20T12:00:00Z,good,none\n"...)
		})
	})
	b.Run("homeassistant", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = dst[:0]
			HomeAssistant(d, "meter", func(topic, payload []byte) { dst = append(append(dst, topic...), payload...) })
		}
		report(b, dst, func(dst []byte, i int64) []byte {
			dst = strconv.AppendInt(append(dst, `"meter_abc12345678_1_0_1_8_`...), i, 10)
			dst = append(dst, `_255":{"p":"sensor","name":"active energy import total","unique_id":"meter_abc12345678_1_0_1_8_0_255","default_entity_id":"sensor.meter_abc12345678_1_0_1_8_0_255",`...)
			dst = append(dst, `"state_topic":"meter/ABC12345678/1-0:1.8.0_255","value_template":"{{ value_json.value }}","json_attributes_topic":"meter/ABC12345678/1-0:1.8.0_255",`...)
			dst = append(dst, `"json_attributes_template":"{{ {'quality': value_json.quality | default('good')} | tojson }}","state_class":"total_increasing","device_class":"energy","unit_of_measurement":"Wh"},`...)
			dst = strconv.AppendInt(append(dst, `meter/ABC12345678/1-0:1.8.0_255{"value":`...), i*7919, 10)
			return append(dst, `,"time":"2026-11-20T12:00:00Z"}`...)
		})
	})
}
