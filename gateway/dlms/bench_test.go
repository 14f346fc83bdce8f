package dlms

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

func readings(n int) *mapping.Data {
	d := &mapping.Data{}
	for i := range n {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{1, 0, byte(i), 8, 0, 255}, Unit: obis.WattHour, Value: obis.Int(int64(i), 0)})
	}
	return d
}

// BenchmarkChange is a change of five of 100 readings, and one of them being read.
func BenchmarkChange(b *testing.B) {
	f, err := New(&Config{Listen: ":0"}, site.New(nil), nil)
	require.NoError(b, err)
	c := site.Change{Meter: "a", Data: readings(100), Set: []int{3, 7, 11, 50, 99}}
	f.show(c)
	d := f.find(firstSAP)
	p := &dlms.Partner{}
	b.ReportAllocs()
	for b.Loop() {
		f.show(c)
		if _, code := d.Get(p, cosem.Attribute{Class: cosem.ClassRegister, Name: c.Data.Readings[7].Code, Index: 2}, nil); code != cosem.Success {
			b.Fatal(code)
		}
	}
}

// What the face adds to what the site has of 10,000 meters of 20 readings.
func TestSizeOfMany(t *testing.T) {
	const meters = 10_000
	list := make([]site.Change, meters)
	for i := range list {
		list[i] = site.Change{Meter: site.ID(fmt.Sprintf("meter%05d", i)), Data: readings(20)}
	}
	f, err := New(&Config{Listen: ":0"}, site.New(nil), nil)
	require.NoError(t, err)
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, begun := held(), time.Now()
	for _, c := range list {
		f.show(c)
	}
	each := (held() - before) / meters
	t.Logf("%d octets each, %v in all", each, time.Since(begun))
	require.Less(t, each, uint64(4096))
	require.Len(t, f.list(), meters+1)
}
