package session_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/session"
	"github.com/openusm/meter/obis"
)

func title(t *testing.T, text string) epsem.Title {
	t.Helper()
	v, err := epsem.ParseTitle(text)
	require.NoError(t, err)
	return v
}

// network connects a client to a simulated meter by C12.22.
func network(t *testing.T, sim *ansicsim.Config, names session.Network, cfg *session.Config) *session.Client {
	t.Helper()
	near, far := net.Pipe()
	if sim.Now == nil {
		sim.Now = func() time.Time { return noon }
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ansicsim.New(sim).ServeNetwork(ctx, far) }()
	t.Cleanup(func() {
		cancel()
		_ = near.Close()
		<-done
	})
	return session.NewNetworkClient(near, names, cfg)
}

var eaxKey = []byte{1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}

// A meter is read with and without session, by either kind of title, in the clear
// and secured.
func TestNetwork(t *testing.T) {
	for name, change := range map[string]func(*session.Network, *ansicsim.Config){
		"session":         func(*session.Network, *ansicsim.Config) {},
		"sessionless":     func(n *session.Network, _ *ansicsim.Config) { n.Sessionless = true },
		"absolute title":  func(n *session.Network, _ *ansicsim.Config) { n.Called = n.Called.Absolute() },
		"no titles":       func(n *session.Network, _ *ansicsim.Config) { n.Called, n.Calling = nil, nil },
		"with context":    func(n *session.Network, _ *ansicsim.Config) { n.Context = []byte{6, 2, 0x2A, 3} },
		"another residue": func(_ *session.Network, c *ansicsim.Config) { c.Residential, c.BigEndian = true, true },
		"authenticated": func(n *session.Network, c *ansicsim.Config) {
			n.Vectors = epsem.MemoryVectors()
			n.Security, n.Key, n.KeyID, c.Network.Key, c.Network.KeyID = epsem.Authenticated, eaxKey, 2, eaxKey, 2
		},
		"ciphered, sessionless": func(n *session.Network, c *ansicsim.Config) {
			n.Sessionless = true
			n.Vectors = epsem.MemoryVectors()
			n.Security, n.Key, n.KeyID, c.Network.Key, c.Network.KeyID = epsem.Ciphered, eaxKey, 2, eaxKey, 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			names := session.Network{Called: title(t, ".42.1"), Calling: title(t, "1.3.6.1.4.1.99")}
			sim := &ansicsim.Config{Password: "secret", Network: ansicsim.NetworkConfig{Title: title(t, ".42.1")}}
			change(&names, sim)
			c := network(t, sim, names, &session.Config{Password: "secret", UserID: 2, Grant: ansic12.RightClock})
			require.NoError(t, c.Open(t.Context()))
			if names.Sessionless {
				require.EqualValues(t, psem.StandardC1222, c.Identity().Standard)
			}
			readings, _, err := c.Read(t.Context())
			require.NoError(t, err)
			require.Contains(t, byCode(readings), "1-0:1.8.0*255")
			var p obis.Profile
			require.NoError(t, c.Profile(t.Context(), &p, 1, time.Time{}, time.Time{}))
			require.Equal(t, 9*96+48, p.Len())
			require.NoError(t, c.SetClock(t.Context(), noon.Add(time.Hour)))
			require.NoError(t, c.Close(t.Context()))
		})
	}
}

func TestNetworkRefusals(t *testing.T) {
	names := session.Network{Called: title(t, ".42"), Calling: title(t, ".7")}
	secured := names
	secured.Security, secured.Key, secured.Vectors = epsem.Ciphered, eaxKey, epsem.MemoryVectors()
	t.Run("another station", func(t *testing.T) {
		c := network(t, &ansicsim.Config{Network: ansicsim.NetworkConfig{Title: title(t, ".43")}}, names, nil)
		require.ErrorIs(t, c.Open(t.Context()), psem.UAT)
	})
	t.Run("the meter wants security", func(t *testing.T) {
		c := network(t, &ansicsim.Config{Network: ansicsim.NetworkConfig{Key: eaxKey}}, names, nil)
		err := c.Open(t.Context())
		require.ErrorIs(t, err, psem.SME)
		require.ErrorIs(t, err, session.ErrAuth)
	})
	t.Run("another key", func(t *testing.T) {
		c := network(t, &ansicsim.Config{Network: ansicsim.NetworkConfig{Key: make([]byte, 16)}}, secured, nil)
		require.ErrorIs(t, c.Open(t.Context()), session.ErrAuth)
	})
	t.Run("an answer in the clear", func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			buf := make([]byte, 4096)
			n, _ := far.Read(buf)
			m, _, _ := epsem.Parse(buf[:n])
			id, _ := m.Get(epsem.TagCallingID)
			b, _ := epsem.Message{Control: 0x80, Body: []byte{3, 0, 0, 60}, Elements: []epsem.Element{{Tag: epsem.TagCalledID, Content: id}}}.AppendBinary(nil)
			_, _ = far.Write(b)
		}()
		c := session.NewNetworkClient(near, secured, nil)
		require.ErrorIs(t, c.Open(t.Context()), session.ErrUnsecured)
	})
	t.Run("wrong password, sessionless", func(t *testing.T) {
		alone := names
		alone.Sessionless = true
		c := network(t, &ansicsim.Config{Password: "secret"}, alone, &session.Config{Password: "wrong"})
		require.NoError(t, c.Open(t.Context()))
		_, err := c.ReadTable(t.Context(), 23)
		require.ErrorIs(t, err, psem.ISC)
	})
	t.Run("a key of eight octets", func(t *testing.T) {
		short := secured
		short.Key = eaxKey[:8]
		c := network(t, &ansicsim.Config{}, short, nil)
		require.ErrorContains(t, c.Open(t.Context()), "want 16")
	})
}

// Answers to other requests, to other stations and from other stations are skipped.
func TestNetworkOtherReplies(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		buf := make([]byte, 4096)
		n, _ := far.Read(buf)
		m, _, _ := epsem.Parse(buf[:n])
		id, _ := m.Get(epsem.TagCallingID)
		us, _ := m.Get(epsem.TagCalling)
		meter, _ := m.Get(epsem.TagCalled)
		other := []byte{0x80, 1, 99}
		for i, elements := range [][]epsem.Element{
			{{Tag: epsem.TagCalled, Content: us}, {Tag: epsem.TagCalledID, Content: []byte{2, 1, 0}}, {Tag: epsem.TagCalling, Content: meter}},
			{{Tag: epsem.TagCalled, Content: other}, {Tag: epsem.TagCalledID, Content: id}, {Tag: epsem.TagCalling, Content: meter}},
			{{Tag: epsem.TagCalled, Content: us}, {Tag: epsem.TagCalledID, Content: id}, {Tag: epsem.TagCalling, Content: other}},
			{{Tag: epsem.TagCalled, Content: us}, {Tag: epsem.TagCalledID, Content: id}, {Tag: epsem.TagCalling, Content: meter}},
		} {
			response, _ := psem.TableResponse([]byte{byte(i)})
			body, _ := response.AppendBinary(nil)
			b, _ := epsem.Message{Control: 0x80, Elements: elements, Body: epsem.AppendService(nil, body)}.AppendBinary(nil)
			_, _ = far.Write(b)
		}
	}()
	c := session.NewNetworkClient(near, session.Network{Called: title(t, ".42"), Calling: title(t, ".7")}, nil)
	b, err := c.ReadTable(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []byte{3}, b)
}

// Datagrams that are lost are sent again; the meter carries out nothing twice.
func TestDatagrams(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	meter := ansicsim.New(&ansicsim.Config{Password: "secret", Now: func() time.Time { return noon }})
	lossy := &lossyConn{PacketConn: server, lose: 2}
	done := make(chan error, 1)
	go func() { done <- meter.ServePacket(ctx, lossy) }()
	conn, err := net.Dial("udp", server.LocalAddr().String())
	require.NoError(t, err)
	names := session.Network{Called: title(t, ".42"), Calling: title(t, ".7"), Datagrams: true, Sessionless: true}
	c := session.NewNetworkClient(conn, names, &session.Config{Password: "secret", Timeout: 400 * time.Millisecond})
	require.NoError(t, c.Open(t.Context()))
	readings, _, err := c.Read(t.Context())
	require.NoError(t, err)
	require.Contains(t, byCode(readings), "1-0:1.8.0*255")
	require.NoError(t, c.Close(t.Context()))
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Zero(t, lossy.lose)
}

// lossyConn loses the first answers.
type lossyConn struct {
	net.PacketConn
	lose int
}

func (c *lossyConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.lose > 0 {
		c.lose--
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// Tables that are too long for the meter's messages are read in parts.
func TestParts(t *testing.T) {
	m := ansicsim.New(&ansicsim.Config{Now: func() time.Time { return noon }})
	c := network(t, &ansicsim.Config{Network: ansicsim.NetworkConfig{MaxAnswer: 100}}, session.Network{}, nil)
	require.NoError(t, c.Open(t.Context()))
	for _, table := range []uint16{0, 5, 12, 15, 23} {
		want, _ := m.Table(table)
		got, err := c.ReadTable(t.Context(), table)
		require.NoError(t, err)
		require.Equal(t, want, got, table)
	}
	_, err := c.ReadTable(t.Context(), 99)
	require.ErrorIs(t, err, psem.IAR)
	readings, _, err := c.Read(t.Context())
	require.NoError(t, err)
	require.Contains(t, byCode(readings), "1-0:1.8.0*255")
}

func TestResolve(t *testing.T) {
	var asked []byte
	c := network(t, &ansicsim.Config{Faults: ansicsim.Faults{Answer: func(r psem.Request) *psem.Response {
		asked, _ = r.AppendBinary(nil)
		return &psem.Response{Body: []byte{2, 0xC0, 0xA8}}
	}}}, session.Network{Called: title(t, ".1"), Calling: title(t, ".7")}, nil)
	address, err := c.Resolve(t.Context(), title(t, ".42"))
	require.NoError(t, err)
	require.Equal(t, []byte{0xC0, 0xA8}, address)
	require.Equal(t, []byte{0x25, 0x80, 1, 42}, asked)
}
