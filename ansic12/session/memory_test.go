package session_test

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/session"
)

// A session over C12.22 that has read all registers and waits holds little.
func TestHeldBySession(t *testing.T) {
	const n, most = 200, 20_000
	meter := ansicsim.New(nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer l.Close()
	// The meter's ends are closed before the count, so that only ours are in it.
	far := make(chan net.Conn, n)
	var serving sync.WaitGroup
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			far <- c
			serving.Go(func() { _ = meter.ServeNetwork(ctx, c) })
		}
	}()
	open := func() *session.Client {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		s := session.NewNetworkClient(c, session.Network{}, &session.Config{Timeout: 10 * time.Second})
		require.NoError(t, s.Open(ctx))
		_, err = s.Meter(ctx)
		require.NoError(t, err)
		_, _, err = s.Read(ctx)
		require.NoError(t, err)
		return s
	}
	held := func() uint64 {
		for range 3 {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	sessions := make([]*session.Client, n)
	_ = open().Close(ctx) // what all sessions share
	for len(far) > 0 {
		_ = (<-far).Close()
	}
	serving.Wait()
	before := held()
	for i := range sessions {
		sessions[i] = open()
	}
	for len(far) > 0 {
		_ = (<-far).Close()
	}
	serving.Wait()
	each := int(held()-before) / n
	t.Logf("%d octets for each session", each)
	require.LessOrEqual(t, each, most)
	runtime.KeepAlive(sessions)
}
