package relay_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/relay"
	"github.com/openusm/meter/ansic12/session"
)

func title(text string) epsem.Title {
	t, _ := epsem.ParseTitle(text) // the tests' own, all of them right
	return t
}

// bench is a relay to which stations connect.
type bench struct {
	t     *testing.T
	relay *relay.Relay
}

func (b bench) connect() net.Conn {
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.relay.Serve(ctx, far) }()
	b.t.Cleanup(func() {
		cancel()
		_ = near.Close()
		<-done
	})
	return near
}

// meter registers a simulated meter under a title.
func (b bench) meter(text string, key []byte) {
	conn := b.connect()
	c := session.NewNetworkClient(conn, session.Network{Called: title(".1"), Calling: title(text)}, nil)
	g, err := c.Register(b.t.Context(), psem.Register{Node: psem.NodeEndDevice, Title: title(text), Address: []byte("meter " + text), Period: 600})
	require.NoError(b.t, err)
	require.Equal(b.t, title(text), epsem.Title(g.Title))
	require.EqualValues(b.t, 600, g.Period)
	sim := ansicsim.New(&ansicsim.Config{Password: "secret", Serial: "SERIAL " + text, Network: ansicsim.NetworkConfig{Title: title(text), Key: key}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sim.ServeNetwork(ctx, conn) }()
	b.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (b bench) reader(called string) session.Network {
	return session.Network{Called: title(called), Calling: title(".7.7")}
}

// Two meters behind a relay are read by their titles, one of them by messages that
// the relay cannot read.
func TestRelay(t *testing.T) {
	b := bench{t, relay.New(nil)}
	key := []byte("0123456789abcdef")
	b.meter(".42", nil)
	b.meter(".43", key)
	conn := b.connect()
	for _, text := range []string{".42", ".43", "2.16.124.113620.1.22.0.42"} {
		names := b.reader(text)
		if text == ".43" {
			names.Security, names.Key, names.Vectors = epsem.Ciphered, key, epsem.MemoryVectors()
		}
		names.Sessionless = text == ".42"
		c := session.NewNetworkClient(keepOpen{conn}, names, &session.Config{Password: "secret"})
		require.NoError(t, c.Open(t.Context()))
		m, err := c.Meter(t.Context())
		require.NoError(t, err)
		require.Equal(t, "SERIAL "+names.Called.String()[len(names.Called.String())-3:], m.Serial[:min(len(m.Serial), 10)])
		_, _, err = c.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, c.Close(t.Context()))
	}
	require.Len(t, b.relay.Stations(), 2)
}

// keepOpen leaves a connection open for the next client.
type keepOpen struct{ net.Conn }

func (keepOpen) Close() error { return nil }

func TestServices(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	b := bench{t, relay.New(&relay.Config{Stations: 1, Now: func() time.Time { return now }})}
	b.meter(".42", nil)
	c := session.NewNetworkClient(b.connect(), b.reader(".1"), nil)
	address, err := c.Resolve(t.Context(), title("2.16.124.113620.1.22.0.42"))
	require.NoError(t, err)
	require.Equal(t, "meter .42", string(address))
	relays, err := c.TraceRoute(t.Context(), title(".42"))
	require.NoError(t, err)
	require.Equal(t, []epsem.Title{title(".1")}, relays)
	_, err = c.Resolve(t.Context(), title(".99"))
	require.ErrorIs(t, err, psem.UAT)
	require.ErrorIs(t, c.Deregister(t.Context(), title(".42")), psem.IAR, "the station of another")
	for text, want := range map[string]psem.Status{".42": psem.IAR, ".1": psem.IAR, ".44": psem.BSY} {
		_, err = c.Register(t.Context(), psem.Register{Title: title(text)})
		require.ErrorIs(t, err, want, text)
	}
	_, err = c.Register(t.Context(), psem.Register{})
	require.ErrorIs(t, err, psem.IAR)
	_, err = c.ReadTable(t.Context(), 0)
	require.ErrorIs(t, err, psem.SNS)

	now = now.Add(11 * time.Minute)
	_, err = c.Resolve(t.Context(), title(".42"))
	require.ErrorIs(t, err, psem.UAT, "the registration has run out")
	require.Empty(t, b.relay.Stations())
	_, err = c.Register(t.Context(), psem.Register{Title: title(".44")})
	require.NoError(t, err)
	require.NoError(t, c.Deregister(t.Context(), title(".44")))
	require.Empty(t, b.relay.Stations())
}

func TestUnknownStation(t *testing.T) {
	b := bench{t, relay.New(nil)}
	c := session.NewNetworkClient(b.connect(), b.reader(".99"), nil)
	require.ErrorIs(t, c.Open(t.Context()), psem.UAT)
	// A station that only asked cannot be called.
	asked := session.NewNetworkClient(b.connect(), session.Network{Called: title(".1"), Calling: title(".50")}, nil)
	_, err := asked.Resolve(t.Context(), title(".42"))
	require.ErrorIs(t, err, psem.UAT)
	c = session.NewNetworkClient(b.connect(), b.reader(".50"), nil)
	require.ErrorIs(t, c.Open(t.Context()), psem.UAT)
}

// A station that hangs up is forgotten.
func TestHangUp(t *testing.T) {
	r := relay.New(nil)
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- r.Serve(t.Context(), far) }()
	c := session.NewNetworkClient(near, session.Network{Called: title(".1"), Calling: title(".42")}, nil)
	_, err := c.Register(t.Context(), psem.Register{Title: title(".42")})
	require.NoError(t, err)
	require.Len(t, r.Stations(), 1)
	require.NoError(t, c.Close(t.Context()))
	require.NoError(t, <-done)
	require.Empty(t, r.Stations())
}

// A connection that sends what is no message ends, and its station with it.
func TestNonsense(t *testing.T) {
	r := relay.New(nil)
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- r.Serve(t.Context(), far) }()
	_, err := near.Write([]byte("GET / HTTP/1.1\r\n"))
	require.NoError(t, err)
	var pe *epsem.ParseError
	require.ErrorAs(t, <-done, &pe)
}

func ExampleRelay() {
	r := relay.New(&relay.Config{Title: title(".1")})
	near, far := net.Pipe()
	go func() { _ = r.Serve(context.Background(), far) }()
	c := session.NewNetworkClient(near, session.Network{Called: title(".1"), Calling: title(".42")}, nil)
	ctx := context.Background()
	g, err := c.Register(ctx, psem.Register{Node: psem.NodeEndDevice, Title: title(".42"), Address: []byte("192.0.2.7:1153")})
	fmt.Println(epsem.Title(g.Title), g.Period, err)
	_ = c.Close(ctx)
	// Output: .42 3600 <nil>
}
