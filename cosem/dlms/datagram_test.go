package dlms_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/obis"
)

// G3-PLC meters arrive over UDP and IPv6.
func TestDatagrams(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		socket, err := net.ListenPacket("udp", address)
		if err != nil && address[0] == '[' {
			t.Skip("no IPv6 here")
		}
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		meter, err := cosemsim.New(nil)
		require.NoError(t, err)
		go func() { done <- meter.ServePacket(ctx, socket) }()
		conn, err := net.Dial("udp", socket.LocalAddr().String())
		require.NoError(t, err)
		c := dlms.NewClient(conn, &dlms.Config{Link: dlms.LinkWrapper, MaxPDU: 1200, Timeout: 5 * time.Second})
		require.NoError(t, c.Open(ctx))
		readings, err := c.Read(ctx)
		require.NoError(t, err)
		require.NotEmpty(t, readings)
		require.NoError(t, c.Close(ctx))
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	}
}

// A meter behind a gateway is reached by the gateway protocol header.
func TestGatewayHeader(t *testing.T) {
	address := serve(t, nil)
	c := connect(t, address, dlms.Config{Timeout: 5 * time.Second, Gateway: &dlms.Gateway{Network: 1, Address: []byte{0, 17}}})
	readings, err := c.Read(t.Context(), obis.MustParse("1-0:1.8.0"))
	require.NoError(t, err)
	require.Len(t, readings, 1)
	require.NoError(t, c.Close(t.Context()))
}

func TestRows(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 7, 30, 0, time.UTC)
	address := serve(t, &cosemsim.Config{Now: func() time.Time { return now }})
	c := connect(t, address, dlms.Config{Timeout: 5 * time.Second})
	n := 0
	var last string
	for row, err := range c.Rows(t.Context(), obis.MustParse("1-0:99.1.0"), now.Add(-72*time.Hour), now) {
		require.NoError(t, err)
		require.Len(t, row.Values, 4)
		require.NotEqual(t, last, row.Time.String())
		last = row.Time.String()
		n++
	}
	require.Equal(t, 288, n)
	for _, err := range c.Rows(t.Context(), obis.MustParse("1-0:99.2.0"), now, now) {
		require.Error(t, err)
	}
	require.NoError(t, c.Close(t.Context()))
}
