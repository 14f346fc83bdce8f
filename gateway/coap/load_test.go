package coap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp"
	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping/coap"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// Meters that come, go, change and answer with other codes, clients that read and observe all
// of them, and a face that ends under load: nobody gets the value of another meter.
func TestUnderLoad(t *testing.T) {
	const meters = 8
	s := site.New(nil)
	id := func(i int) site.ID { return site.ID(fmt.Sprint("m", i)) }
	for i := range meters {
		require.NoError(t, s.Add(id(i), obis.Meter{}))
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
					_ = s.Put(id(i), day(int64(n), 0, 1), site.Stamp{Job: "profile"})
				default:
					d := power(int64(1000*(i+1) + n%1000))
					if rand.IntN(2) == 0 {
						d.Readings[1].Code[2] = byte(rand.IntN(60))
						d.Readings[0], d.Readings[1] = d.Readings[1], d.Readings[0]
					}
					_ = s.Put(id(i), d, site.Stamp{Job: "test"})
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	var served, noticed atomic.Int32
	check := func(i int, m *pool.Message) bool {
		if m.Code() != codes.Content {
			return false
		}
		b, _ := m.ReadBody()
		if v, err := strconv.Atoi(string(b)); err == nil && v/1000 != i+1 {
			t.Errorf("meter %d shows %s", i, b)
		}
		return true
	}
	for range 3 {
		at := make(chan net.Addr, 1)
		f, err := New(&Config{Listen: "127.0.0.1:0", Ready: func(a net.Addr) { at <- a }, Warn: func(string) {}}, s, nil)
		require.NoError(t, err)
		running, end := context.WithTimeout(t.Context(), 500*time.Millisecond)
		done := make(chan error, 1)
		go func() { done <- f.Serve(running) }()
		address := (<-at).String()
		for range 4 {
			all.Go(func() {
				for running.Err() == nil {
					conn, err := udp.Dial(address, options.WithErrors(func(error) {}))
					if err != nil {
						continue
					}
					i := rand.IntN(meters)
					path := "/m/" + string(id(i)) + "/m/1-0:1.7.0"
					_, _ = conn.Observe(running, path, func(m *pool.Message) {
						if check(i, m) {
							noticed.Add(1)
						}
					}, accept(coap.Text))
					for range 20 {
						if m, err := conn.Get(running, path, accept(coap.Text)); err == nil && check(i, m) {
							served.Add(1)
						}
						for _, other := range []string{"", "/e", "/p", "/3305"} {
							_, _ = conn.Get(running, "/m/"+string(id(i))+other)
						}
					}
					_ = conn.Close()
				}
			})
		}
		require.NoError(t, <-done)
		end()
	}
	stop()
	all.Wait()
	require.Greater(t, served.Load(), int32(20))
	require.Greater(t, noticed.Load(), int32(20))
}
