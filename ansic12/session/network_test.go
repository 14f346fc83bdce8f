package session_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/session"
	"github.com/openusm/meter/obis"
)

func TestNetwork(t *testing.T) {
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	meter := ansicsim.New(&ansicsim.Config{Password: "secret", Now: func() time.Time { return noon }})
	go func() { done <- meter.ServeNetwork(ctx, far) }()
	names := session.Network{Called: []byte{0x80, 1, 42}, Calling: []byte{0x80, 1, 7}}
	c := session.NewNetworkClient(near, names, &session.Config{Password: "secret"})
	require.NoError(t, c.Open(t.Context()))
	readings, _, err := c.Read(t.Context())
	require.NoError(t, err)
	require.Contains(t, byCode(readings), "1-0:1.8.0*255")
	var p obis.Profile
	require.NoError(t, c.Profile(t.Context(), &p, 1, time.Time{}, time.Time{}))
	require.Equal(t, 9*96+48, p.Len())
	require.NoError(t, c.Close(t.Context()))
	cancel()
	<-done
}

func TestResolve(t *testing.T) {
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var asked []byte
	relay := ansicsim.New(&ansicsim.Config{Faults: ansicsim.Faults{Answer: func(r psem.Request) *psem.Response {
		asked, _ = r.AppendBinary(nil)
		return &psem.Response{Body: []byte{2, 0xC0, 0xA8}}
	}}})
	go func() { done <- relay.ServeNetwork(ctx, far) }()
	c := session.NewNetworkClient(near, session.Network{Called: []byte{0x80, 1, 1}, Calling: []byte{0x80, 1, 7}}, nil)
	address, err := c.Resolve(t.Context(), []byte{0x80, 1, 42})
	require.NoError(t, err)
	require.Equal(t, []byte{0xC0, 0xA8}, address)
	require.Equal(t, []byte{0x25, 0x80, 1, 42}, asked)
	require.NoError(t, c.Close(t.Context()))
	cancel()
	<-done
}
