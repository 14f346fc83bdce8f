package ansicsim

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
)

// network is a pipe that says it is a network connection.
type network struct{ net.Conn }

func (network) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// Peers who are silent, stop in the middle of a frame, send an octet a second or never
// take what they asked for do not keep their connection.
func TestClumsyPeers(t *testing.T) {
	identify := []byte{0xEE, 0, 0, 0, 0, 1, 0x20, 0x13, 0x10}
	message, err := epsem.Message{Control: 0x80, Body: []byte{1, 0x20}}.AppendBinary(nil)
	require.NoError(t, err)
	long := append([]byte{0x60, 0x82, 0xFF, 0xFF}, make([]byte, 1000)...)
	every := func(what []byte) func(net.Conn) {
		return func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			for i := 0; ; i++ {
				if _, err := c.Write(what[i%len(what):][:1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}
	}
	for name, test := range map[string]struct {
		network bool // C12.22
		peer    func(net.Conn)
		within  time.Duration
	}{
		"C12.18 silent":                 {false, func(net.Conn) {}, idleNetwork},
		"C12.18 half a packet":          {false, func(c net.Conn) { _, _ = c.Write(identify[:5]); _, _ = io.Copy(io.Discard, c) }, idleNetwork},
		"C12.18 an octet a second":      {false, every([]byte{0xEE, 0, 0, 0}), idleNetwork},
		"C12.18 noise":                  {false, every([]byte{0x55}), idleNetwork},
		"C12.18 never reads":            {false, func(c net.Conn) { _, _ = c.Write(identify) }, writeDeadline},
		"C12.22 silent":                 {true, func(net.Conn) {}, idleNetwork},
		"C12.22 half a message":         {true, func(c net.Conn) { _, _ = c.Write(long) }, wholeMessage},
		"C12.22 an octet a second":      {true, every(long), wholeMessage},
		"C12.22 a message and then one": {true, func(c net.Conn) { _, _ = c.Write(message); _, _ = io.ReadFull(c, make([]byte, 20)); every(long)(c) }, wholeMessage + time.Second},
		"C12.22 never reads":            {true, func(c net.Conn) { _, _ = c.Write(message) }, writeDeadline},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				go test.peer(near)
				m := New(nil)
				begun := time.Now()
				if test.network {
					_ = m.ServeNetwork(context.Background(), network{far})
				} else {
					_ = m.Serve(context.Background(), network{far})
				}
				require.LessOrEqual(t, time.Since(begun), test.within+5*time.Second)
				require.Greater(t, time.Since(begun), test.within/2)
				_ = near.Close()
				time.Sleep(2 * time.Second) // until the peer has noticed
			})
		})
	}
}

// Under however many titles one asks, the answers that may have to come again have a limit.
func TestKeptAnswers(t *testing.T) {
	s := newStation(New(nil))
	read, err := psem.Read{Table: 64}.AppendBinary(nil)
	require.NoError(t, err)
	asked := 0
	for i := range 4 * maxCallers {
		title, err := epsem.ParseTitle(fmt.Sprintf(".9.%d", i))
		require.NoError(t, err)
		m := epsem.Message{Control: 0x80, Elements: []epsem.Element{{Tag: epsem.TagCalling, Content: title}, {Tag: epsem.TagCallingID, Content: []byte{2, 1, 1}}}}
		for range 8 {
			m.Body = epsem.AppendService(m.Body, read)
		}
		raw, err := m.AppendBinary(nil)
		require.NoError(t, err)
		asked += len(s.answer(&m, raw, ""))
		kept := 0
		for _, c := range s.callers {
			kept += len(c.answer)
		}
		require.Equal(t, kept, s.kept)
		require.LessOrEqual(t, kept, maxKept)
		require.LessOrEqual(t, len(s.callers), maxCallers)
	}
	require.Greater(t, asked, 2*maxKept)
}

// What strangers can have the meter hold for each of their connections, and compute and
// send for one message: the figures of SECURITY.md.
func TestHeldByStrangers(t *testing.T) {
	const n = 50
	held := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	half := append([]byte{0x60, 0x82, 0xFF, 0xFF}, make([]byte, 65_000)...)
	for name, test := range map[string]struct {
		most int
		peer func(net.Conn)
	}{
		"C12.18": {250_000, func(c net.Conn) { // a message in packets, of which the last does not come
			go func() { _, _ = io.Copy(io.Discard, c) }()
			for i := range 254 {
				p := psem.Packet{Multi: true, First: i == 0, Toggle: i%2 == 1, Sequence: byte(254 - i), Data: make([]byte, 8000)}
				p.Data[0] = byte(i)
				b, err := p.AppendBinary(nil)
				require.NoError(t, err)
				_, _ = c.Write(b)
			}
		}},
		"C12.22": {200_000, func(c net.Conn) { _, _ = c.Write(half) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(nil)
			ctx, cancel := context.WithCancel(context.Background())
			var all sync.WaitGroup
			var peers []net.Conn
			before := held()
			for range n {
				near, far := net.Pipe()
				peers = append(peers, near)
				all.Go(func() {
					if name == "C12.22" {
						_ = m.ServeNetwork(ctx, network{far})
					} else {
						_ = m.Serve(ctx, network{far})
					}
				})
				test.peer(near)
			}
			each := (held() - before) / n
			t.Logf("%d octets for each connection", each)
			require.LessOrEqual(t, each, test.most)
			cancel()
			for _, c := range peers {
				_ = c.Close()
			}
			all.Wait()
		})
	}
}

// BenchmarkStranger is the dearest message of C12.22 that one without a password can send.
func BenchmarkStranger(b *testing.B) {
	s := newStation(New(nil))
	read, err := psem.Read{Table: 64}.AppendBinary(nil)
	require.NoError(b, err)
	m := epsem.Message{Control: 0x80}
	for range maxServices {
		m.Body = epsem.AppendService(m.Body, read)
	}
	var sent, got int
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Elements = []epsem.Element{{Tag: epsem.TagCallingID, Content: []byte{2, 2, byte(i >> 8), byte(i)}}}
		raw, err := m.AppendBinary(nil)
		require.NoError(b, err)
		parsed, _, err := epsem.Parse(raw)
		require.NoError(b, err)
		sent, got = sent+len(raw), got+len(s.answer(&parsed, raw, ""))
	}
	b.ReportMetric(float64(got)/float64(b.N), "octets/answer")
	b.ReportMetric(float64(got)/float64(sent), "times")
}
