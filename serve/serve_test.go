package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers each line with itself.
func echo(ctx context.Context, c net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_, err := io.Copy(c, c)
	return err
}

// start serves on loopback until the test ends.
func start(t *testing.T, cfg *Config, handle func(context.Context, net.Conn) error) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	at := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- Listen(ctx, "tcp", "127.0.0.1:0", cfg, func(a net.Addr) { at <- a.String() }, handle)
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return <-at
}

func dial(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", to)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// answers reports whether the other side still echoes.
func answers(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintln(c, "hello"); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && line == "hello\n"
}

func TestSilentConnectionsLockNobodyOut(t *testing.T) {
	to := start(t, &Config{Max: 64}, echo)
	busy := dial(t, "127.0.0.1", to)
	require.True(t, answers(busy))
	for range 200 {
		dial(t, "127.0.0.1", to)
	}
	time.Sleep(2 * restless)
	late := dial(t, "127.0.0.1", to)
	require.True(t, answers(late), "a new client is served")
	require.True(t, answers(busy), "who said something is not the first to go")
}

// Connections that come faster than they are old enough to go leave those alone
// that are served, and of another host's nobody.
func TestFloodLeavesTheServedAlone(t *testing.T) {
	to := start(t, &Config{Max: 16}, echo)
	busy := dial(t, "127.0.0.1", to)
	require.True(t, answers(busy))
	for until := time.Now().Add(4 * restless); time.Now().Before(until); time.Sleep(restless / 50) {
		dial(t, "127.0.0.1", to)
	}
	require.True(t, answers(dial(t, "127.0.0.2", to)), "another host is served in spite of them")
	require.True(t, answers(busy))
}

func TestHostWithMostConnectionsMakesRoom(t *testing.T) {
	to := start(t, &Config{Max: 16}, echo)
	quiet := dial(t, "127.0.0.2", to)
	require.True(t, answers(quiet))
	var greedy []net.Conn
	for range 40 {
		c := dial(t, "127.0.0.1", to)
		answers(c)
		greedy = append(greedy, c)
		time.Sleep(restless / 10)
	}
	time.Sleep(2 * restless)
	require.True(t, answers(dial(t, "127.0.0.3", to)))
	require.True(t, answers(quiet), "one connection of another host stays")
	require.False(t, answers(greedy[0]))
}

func TestPerHost(t *testing.T) {
	var served atomic.Int32
	to := start(t, &Config{Max: 16, PerHost: 2}, func(ctx context.Context, c net.Conn) error {
		served.Add(1)
		defer served.Add(-1)
		return echo(ctx, c)
	})
	for range 6 {
		dial(t, "127.0.0.1", to)
		time.Sleep(restless + 10*time.Millisecond)
	}
	require.Eventually(t, func() bool { return served.Load() == 2 }, time.Second, time.Millisecond)
}

// failing is a listener that is out of descriptors at first.
type failing struct {
	net.Listener
	left atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestOutOfDescriptors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &failing{Listener: l}
	f.left.Store(3)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Accept(ctx, f, nil, echo) }()
	require.True(t, answers(dial(t, "127.0.0.1", l.Addr().String())))
	cancel()
	require.NoError(t, <-ended)
}

func TestEndLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	at, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- Listen(ctx, "tcp", "127.0.0.1:0", nil, func(a net.Addr) { at <- a.String() }, echo)
	}()
	to := <-at
	for range 8 {
		require.True(t, answers(dial(t, "127.0.0.1", to)))
	}
	cancel()
	require.NoError(t, <-ended)
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestListenRefusesABadAddress(t *testing.T) {
	err := Listen(t.Context(), "tcp", "127.0.0.1:-1", nil, nil, echo)
	var op *net.OpError
	require.True(t, errors.As(err, &op), "%v", err)
}

// Who leaves gives the place free, for its host too, and no more places are
// given than there are.
func TestPlacesComeFree(t *testing.T) {
	var most, served atomic.Int32
	to := start(t, &Config{Max: 3, PerHost: 2}, func(ctx context.Context, c net.Conn) error {
		n := served.Add(1)
		defer served.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		return echo(ctx, c)
	})
	for range 8 {
		c := dial(t, "127.0.0.1", to)
		require.True(t, answers(c))
		require.NoError(t, c.Close())
		require.Eventually(t, func() bool { return served.Load() == 0 }, time.Second, time.Millisecond)
	}
	var all []net.Conn
	for _, host := range []string{"127.0.0.1", "127.0.0.1", "127.0.0.2"} {
		c := dial(t, host, to)
		require.True(t, answers(c))
		all = append(all, c)
	}
	require.False(t, answers(dial(t, "127.0.0.3", to)), "the others were heard just now")
	for _, c := range all {
		require.True(t, answers(c))
	}
	require.EqualValues(t, 3, most.Load())
}

// A connection on which nothing comes is closed, one on which something comes is not.
func TestIdleConnectionsEnd(t *testing.T) {
	const idle = 200 * time.Millisecond
	to := start(t, &Config{Idle: idle}, echo)
	quiet, busy := dial(t, "127.0.0.1", to), dial(t, "127.0.0.1", to)
	for began := time.Now(); time.Since(began) < 3*idle; time.Sleep(idle / 8) {
		require.True(t, answers(busy))
	}
	_ = quiet.SetDeadline(time.Now().Add(time.Second))
	_, err := quiet.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.True(t, answers(busy))
}
