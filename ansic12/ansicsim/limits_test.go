package ansicsim

import (
	"context"
	"fmt"
	"io"
	"net"
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
