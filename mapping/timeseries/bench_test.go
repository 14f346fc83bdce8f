package timeseries

import (
	"testing"

	"github.com/openusm/meter/obis"
)

// thousand readings of a meter.
func thousand() (list []obis.Reading) {
	for i := range 1000 {
		list = append(list, obis.Reading{Code: obis.Code{1, byte(i / 100), byte(1 + i%10), 8, byte(i / 10 % 10), 255}, Unit: obis.WattHour, Value: obis.Int(int64(i)*7919, -1), Time: utc(2026, 11, 20, 12, 0, i%60)})
	}
	return list
}

func report(b *testing.B, size int) {
	b.SetBytes(int64(size))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
}

// The targets write a thousand readings; the floor copies as many octets.
func BenchmarkWrite(b *testing.B) {
	readings, m := thousand(), obis.Meter{ID: "ABC12345678"}
	var dst []byte
	b.Run("influx", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = AppendInflux(dst[:0], m, readings, obis.Clock{})
		}
		report(b, len(dst))
	})
	b.Run("prometheus", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = AppendPrometheus(dst[:0], m, readings)
		}
		report(b, len(dst))
	})
	b.Run("csv", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendCSV(dst[:0], m, readings, plainTime)
		}
		report(b, len(dst))
	})
	b.Run("floor", func(b *testing.B) {
		src := make([]byte, len(dst))
		for b.Loop() {
			dst = append(dst[:0], src...)
		}
		report(b, len(dst))
	})
}
