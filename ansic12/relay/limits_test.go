package relay_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/relay"
	"github.com/openusm/meter/ansic12/session"
)

// request is a message with one service.
func request(t testing.TB, called, calling string, r psem.Request) []byte {
	service, err := r.AppendBinary(nil)
	require.NoError(t, err)
	m := epsem.Message{Control: 0x80, Body: epsem.AppendService(nil, service), Elements: []epsem.Element{
		{Tag: epsem.TagCalled, Content: title(called)}, {Tag: epsem.TagCalling, Content: title(calling)}, {Tag: epsem.TagCallingID, Content: []byte{2, 1, 1}}}}
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// Peers who are silent, stop in the middle of a message or send an octet a second
// do not keep their connection.
func TestClumsyPeers(t *testing.T) {
	long := append([]byte{0x60, 0x82, 0xFF, 0xFF}, make([]byte, 500)...)
	slowly := func(c net.Conn) {
		for i := 0; ; i++ {
			if _, err := c.Write(long[i%len(long):][:1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	for name, test := range map[string]struct {
		peer   func(net.Conn)
		within time.Duration
	}{
		"silent":            {func(net.Conn) {}, 30 * time.Second},
		"half a message":    {func(c net.Conn) { _, _ = c.Write(long) }, 31 * time.Second},
		"an octet a second": {slowly, 31 * time.Second},
		"a station that is silent": {func(c net.Conn) {
			_, _ = c.Write(request(t, ".1", ".42", psem.Register{Title: title(".42")}))
			_, _ = io.Copy(io.Discard, c)
		}, time.Hour},
		"a station that sends octet by octet": {func(c net.Conn) {
			_, _ = c.Write(request(t, ".1", ".42", psem.Register{Title: title(".42")}))
			go func() { _, _ = io.Copy(io.Discard, c) }()
			slowly(c)
		}, 32 * time.Second},
		"never reads": {func(c net.Conn) { _, _ = c.Write(request(t, ".1", ".42", psem.Register{Title: title(".42")})) }, 11 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				go test.peer(near)
				begun := time.Now()
				_ = relay.New(nil).Serve(context.Background(), far)
				require.LessOrEqual(t, time.Since(begun), test.within)
				require.Greater(t, time.Since(begun), test.within/2)
				_ = near.Close()
				time.Sleep(2 * time.Second) // until the peer has noticed
			})
		})
	}
}

// A station that takes nothing holds up the others once, and is gone.
func TestStationTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		r := relay.New(nil)
		open := func() net.Conn {
			near, far := net.Pipe()
			go func() { _ = r.Serve(ctx, far) }()
			return near
		}
		deaf, caller := open(), open()
		_, err := deaf.Write(request(t, ".1", ".42", psem.Register{Title: title(".42")}))
		require.NoError(t, err)
		_, err = deaf.Read(make([]byte, 200))
		require.NoError(t, err)
		begun := time.Now()
		for i := range 10 {
			_, err = caller.Write(request(t, ".42", ".7", psem.Plain{Code: psem.ServiceIdentify}))
			require.NoError(t, err)
			b := make([]byte, 200)
			n, err := caller.Read(b)
			require.NoError(t, err)
			m, _, err := epsem.Parse(b[:n])
			require.NoError(t, err)
			require.Contains(t, []byte{byte(psem.NETR), byte(psem.UAT)}, m.Body[1], i)
		}
		require.LessOrEqual(t, time.Since(begun), 11*time.Second)
		synctest.Wait()
		require.Empty(t, r.Stations())
		cancel()
		_, _ = deaf.Close(), caller.Close()
		synctest.Wait()
	})
}

// One connection that registers all there is room for makes room for others.
func TestRegistersEverything(t *testing.T) {
	b := bench{t, relay.New(&relay.Config{Stations: 8})}
	ctx := t.Context()
	greedy, modest := session.NewNetworkClient(b.connect(), b.reader(".1"), nil), session.NewNetworkClient(b.connect(), b.reader(".1"), nil)
	for i := range 8 {
		_, err := greedy.Register(ctx, psem.Register{Title: title(fmt.Sprintf(".9.%d", i))})
		require.NoError(t, err)
	}
	_, err := greedy.Register(ctx, psem.Register{Title: title(".9.99")})
	require.Error(t, err)
	for i := range 4 {
		_, err := modest.Register(ctx, psem.Register{Title: title(fmt.Sprintf(".10.%d", i))})
		require.NoError(t, err, i)
	}
	_, err = modest.Register(ctx, psem.Register{Title: title(".10.99")})
	require.Error(t, err, "each has a half")
	require.Len(t, b.relay.Stations(), 8)
}

// What one connection can have the relay hold by titles of its own choice: the figures of SECURITY.md.
func TestHeldByStrangers(t *testing.T) {
	held := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	b := bench{t, relay.New(nil)}
	before := held()
	conn := b.connect()
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	long := func(i int) string {
		text := fmt.Sprintf(".%d", i)
		for range 20 {
			text += ".4294967295"
		}
		return text
	}
	for i := range 1000 { // of which 256 are remembered
		_, err := conn.Write(request(t, long(9999), long(i), psem.Plain{Code: psem.ServiceIdentify}))
		require.NoError(t, err)
	}
	_, err := conn.Write(append([]byte{0x60, 0x82, 0xFF, 0xFF}, make([]byte, 65_000)...))
	require.NoError(t, err)
	routes := held() - before
	t.Logf("%d octets for a connection", routes)
	require.LessOrEqual(t, routes, 400_000)
	registering := b.connect()
	go func() { _, _ = io.Copy(io.Discard, registering) }()
	before = held()
	for i := range 500 {
		_, err := registering.Write(request(t, ".1", ".8", psem.Register{Title: title(long(i)), Address: make([]byte, 255)}))
		require.NoError(t, err)
	}
	each := (held() - before) / 500
	t.Logf("%d octets for each station", each)
	require.LessOrEqual(t, each, 2000)
	runtime.KeepAlive(b.relay)
}
