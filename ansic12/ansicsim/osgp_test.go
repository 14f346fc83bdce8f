package ansicsim_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/obis"
)

// A reader of OSGP reads basic tables, whole and in parts, and they read as those of C12.19.
func TestOSGP(t *testing.T) {
	key, address := osgp.Key{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, osgp.Address{Subnet: 2, Node: 7}
	meter := ansicsim.New(&ansicsim.Config{Password: "secret", OSGP: ansicsim.OSGPConfig{Key: key, Address: address}})
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- meter.ServeOSGP(ctx, server) }()
	conn, err := net.Dial("udp", server.LocalAddr().String())
	require.NoError(t, err)
	defer conn.Close()

	sequence := uint32(0xFFFFFFF0) // it runs over
	ask := func(q osgp.Request) osgp.Response {
		t.Helper()
		sequence++
		q.Sequence = sequence
		require.NoError(t, q.Sign(&key, address))
		b, err := q.AppendBinary(nil)
		require.NoError(t, err)
		_, err = conn.Write(b)
		require.NoError(t, err)
		buf := make([]byte, 256)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
		n, err := conn.Read(buf)
		require.NoError(t, err)
		require.LessOrEqual(t, n, osgp.MaxAPDU)
		r, _, err := osgp.ParseResponse(buf[:n])
		require.NoError(t, err)
		require.NoError(t, r.Check(&key, address, q))
		return r
	}
	// table reads a table in parts; those that are not there end it.
	table := func(number uint16) (b []byte) {
		want, _ := meter.Table(number)
		for len(b) < len(want) {
			r := ask(osgp.Request{Service: osgp.ReadPart, Table: number, Offset: uint32(len(b)), Count: uint16(min(osgp.MaxRead, len(want)-len(b)))})
			require.Equal(t, osgp.OK, r.Status)
			b = append(b, r.Data...)
		}
		return b
	}
	d, err := tables.NewDevice(ask(osgp.Request{Service: osgp.ReadTable, Table: 0}).Data)
	require.NoError(t, err)
	for _, number := range []uint16{1, 11, 12, 15, 16, 21, 22, 27} {
		require.NoError(t, d.Add(number, table(number)))
	}
	readings, _, err := d.AppendReadings(nil, nil, 28, table(28))
	require.NoError(t, err)
	found := false
	for _, r := range readings {
		found = found || r.Code == obis.MustParse("1-0:14.7.0*255") && r.Unit == obis.Hertz
	}
	require.True(t, found)
	require.Equal(t, osgp.ONP, ask(osgp.Request{Service: osgp.ReadTable, Table: 12}).Status, "too long for one message")
	require.Equal(t, osgp.IAR, ask(osgp.Request{Service: osgp.ReadTable, Table: 99}).Status)
	require.Equal(t, osgp.OK, ask(osgp.Request{Service: osgp.WritePart, Table: 6, Data: []byte("OWNER")}).Status)
	require.Equal(t, "OWNER", string(ask(osgp.Request{Service: osgp.ReadPart, Table: 6, Count: 5}).Data))
	require.Equal(t, osgp.OK, ask(osgp.Request{Service: osgp.WriteTable, Table: 7, Data: []byte{9, 0, 1, 1}}).Status)
	sequence -= 2
	require.Equal(t, osgp.SEQ, ask(osgp.Request{Service: osgp.ReadTable, Table: 1}).Status)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// A request that comes again is answered as it was, one with a wrong digest refused, and what is no
// request is not answered.
func TestOSGPRequests(t *testing.T) {
	meter := ansicsim.New(nil)
	q := osgp.Request{Service: osgp.WriteTable, Table: 7, Data: []byte{9, 0, 1, 1}, Sequence: 1}
	require.NoError(t, q.Sign(&osgp.Key{}, osgp.Address{}))
	b, err := q.AppendBinary(nil)
	require.NoError(t, err)
	first := meter.AnswerOSGP(b)
	before, _ := meter.Table(23)
	require.Equal(t, first, meter.AnswerOSGP(b))
	after, _ := meter.Table(23)
	require.Equal(t, before[0], after[0], "the demand reset was done once")
	b[len(b)-1]++
	r, _, err := osgp.ParseResponse(meter.AnswerOSGP(b))
	require.NoError(t, err)
	require.Equal(t, osgp.DIG, r.Status)
	require.Nil(t, meter.AnswerOSGP(b[:5]))
	require.Nil(t, meter.AnswerOSGP(append(b, 0)))
}
