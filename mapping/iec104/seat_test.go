package iec104

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serve"
)

// open connects to a station until the test ends.
func open(t testing.TB, s *Station) (conn net.Conn, ended <-chan error) {
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(context.Background(), far)
		_ = far.Close()
	}()
	t.Cleanup(func() { _ = near.Close() })
	return near, done
}

// start starts the transfer of data.
func start(t testing.TB, c net.Conn) {
	_, err := c.Write(unnumbered(startAct))
	require.NoError(t, err)
	b := make([]byte, 6)
	_, err = io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, unnumbered(startCon), b)
	go func() { _, _ = io.Copy(io.Discard, c) }()
}

// Connections that transfer nothing, however many, lock no master out.
func TestUnstartedMakeRoom(t *testing.T) {
	const most = 8
	s := NewStation(&Config{Limits: serve.Config{Max: most}})
	first, ended := open(t, s)
	start(t, first)
	for range 3 * most {
		_, _ = open(t, s)
	}
	time.Sleep(3 * restless)
	for range most - 1 {
		c, _ := open(t, s)
		start(t, c)
	}
	_, refused := open(t, s)
	require.ErrorIs(t, <-refused, errFull)
	require.Empty(t, ended, "who transfers data stays")
	_, err := first.Write(unnumbered(stopAct))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		c, refused := open(t, s)
		defer c.Close()
		select {
		case <-refused:
			return false
		case <-time.After(20 * time.Millisecond):
			return true
		}
	}, 5*time.Second, 10*time.Millisecond, "who has stopped makes room")
}

// A peer that is silent, stops in the middle of a frame, sends an octet a second, takes
// nothing or acknowledges nothing does not keep its connection.
func TestClumsyPeers(t *testing.T) {
	drip := func(c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for i := 0; ; i++ {
			if _, err := c.Write([]byte{startByte, 253, 0, 0, 0, 0, 1}[min(i, 6):][:1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	for name, test := range map[string]struct {
		peer   func(net.Conn)
		within time.Duration
	}{
		"silent":            {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, 35 * time.Second},
		"half a frame":      {func(c net.Conn) { _, _ = c.Write([]byte{startByte, 20, 0}); _, _ = io.Copy(io.Discard, c) }, 35 * time.Second},
		"an octet a second": {drip, 35 * time.Second},
		"takes nothing":     {func(c net.Conn) { _, _ = c.Write(unnumbered(startAct)) }, 15 * time.Second},
		"acknowledges nothing": {func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, _ = c.Write(unnumbered(startAct))
			for {
				if _, err := c.Write(unnumbered(testAct)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, 16 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewStation(nil)
				s.Update(sample(), noon)
				near, far := net.Pipe()
				go test.peer(near)
				begun := time.Now()
				_ = s.Serve(context.Background(), far)
				require.LessOrEqual(t, time.Since(begun), test.within+time.Second)
				_, _ = near.Close(), far.Close()
				time.Sleep(2 * time.Second)
			})
		})
	}
}

// What strangers can have the station hold: the figures of SECURITY.md. The events
// themselves are the same octets for all connections.
func TestHeldByStrangers(t *testing.T) {
	const n, points = 30, 100
	d := &mapping.Data{}
	for i := range points {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{1, 0, byte(i + 1), 7, 0, 255}, Unit: obis.Watt, Value: obis.Int(1, 0)})
	}
	s := NewStation(nil)
	s.Update(d, noon)
	held := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	before := held()
	for range n {
		c, _ := open(t, s)
		start(t, c)
		ask := append([]byte{startByte, 14, 0, 0, 0, 0}, 100, 1, 6, 0, 1, 0, 0, 0, 0, 20)
		for i := range 400 {
			ask[2], ask[3] = byte(i<<1), byte(i>>7)
			_, err := c.Write(ask)
			require.NoError(t, err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	for i := range int64(1200) { // changes that nobody acknowledges
		d.Readings[0].Value = obis.Int(i, 0)
		s.Update(d, noon)
	}
	each := (held() - before) / n
	t.Logf("%d octets for each connection, with %d points", each, points)
	require.LessOrEqual(t, each, 400_000)
}
