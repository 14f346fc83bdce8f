package dlms_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	face "github.com/openusm/meter/gateway/dlms"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// Meters that come, go, change and answer with other codes, clients that read all of them, and
// a face that ends under load: nobody gets the value of another meter.
func TestUnderLoad(t *testing.T) {
	const meters = 8
	s := site.New(nil)
	id := func(i int) site.ID { return site.ID(fmt.Sprint("m", i)) }
	value := func(meter, n int) int64 { return int64(1000*(meter+1) + n%1000) }
	saps := map[site.ID]uint16{}
	for i := range meters {
		require.NoError(t, s.Add(id(i), obis.Meter{}))
		saps[id(i)] = uint16(16 + i)
	}
	ctx, stop := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer stop()
	var all sync.WaitGroup
	for i := range meters {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				switch rand.IntN(20) {
				case 0:
					_ = s.Remove(id(i))
					_ = s.Add(id(i), obis.Meter{Serial: fmt.Sprint(n)})
				case 1:
					_ = s.Fail(id(i), "test", time.Time{})
				case 2:
					d := profile(0, int64(n), int64(n+1))
					_ = s.Put(id(i), d, site.Stamp{Job: "profile"})
				default:
					d := wattHours(value(i, n), 0)
					if rand.IntN(2) == 0 { // another code before it
						other := obis.Reading{Code: obis.Code{1, 0, byte(rand.IntN(60)), 7, 0, 255}, Unit: obis.Watt, Value: obis.Int(1, 0)}
						d.Readings = append([]obis.Reading{other}, d.Readings...)
					}
					_ = s.Put(id(i), d, site.Stamp{Job: "test"})
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	served := 0
	var mu sync.Mutex
	for range 3 {
		at := make(chan net.Addr, 1)
		f, err := face.New(&face.Config{Listen: "127.0.0.1:0", SAPs: saps, Ready: func(a net.Addr) { at <- a }, Warn: func(string) {}}, s, nil)
		require.NoError(t, err)
		running, end := context.WithTimeout(t.Context(), 500*time.Millisecond)
		done := make(chan error, 1)
		go func() { done <- f.Serve(running) }()
		address := (<-at).String()
		for range 4 {
			all.Go(func() {
				for running.Err() == nil {
					i := rand.IntN(meters)
					c, err := dial(running, address, uint16(16+i))
					if err != nil {
						continue
					}
					for range 20 {
						d, err := c.Get(running, cosem.Attribute{Class: cosem.ClassRegister, Name: energy, Index: 2}, nil)
						if v, ok := d.Uint(); err == nil && ok {
							if int64(v)/1000 != int64(i+1) {
								t.Errorf("meter %d shows %d", i, v)
							}
							mu.Lock()
							served++
							mu.Unlock()
						}
						_, _ = c.Get(running, cosem.Attribute{Class: cosem.ClassProfileGeneric, Name: load, Index: 2}, nil)
						_, _ = c.Objects(running)
					}
					_ = c.Close(running)
				}
			})
		}
		require.NoError(t, <-done)
		end()
	}
	stop()
	all.Wait()
	require.Greater(t, served, 100)
}
