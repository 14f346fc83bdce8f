package dlms_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/wrapper"
)

// BenchmarkClientGet counts the GETs of one client over loopback TCP, beside
// those of a loop that only writes and reads the same octets.
func BenchmarkClientGet(b *testing.B) {
	address := serve(b, nil)
	b.Run("client", func(b *testing.B) {
		c := connect(b, address, dlms.Config{Timeout: 10 * time.Second})
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Get(ctx, energy, nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "GET/s")
		require.NoError(b, c.Close(ctx))
	})
	b.Run("floor", func(b *testing.B) {
		conn, err := net.Dial("tcp", address)
		require.NoError(b, err)
		defer conn.Close()
		a, err := dlms.NewAssociation(nil)
		require.NoError(b, err)
		aarq, err := a.Request()
		require.NoError(b, err)
		answer := make([]byte, 256)
		exchange := func(frame []byte) {
			if _, err := conn.Write(frame); err != nil {
				b.Fatal(err)
			}
			if n, err := io.ReadAtLeast(conn, answer, 8); err != nil || n < 8+int(answer[7]) {
				b.Fatal(n, err)
			}
		}
		frame := func(p []byte) []byte {
			f, err := wrapper.Frame{Source: 16, Destination: 1, APDU: p}.AppendBinary(nil)
			require.NoError(b, err)
			return f
		}
		exchange(frame(aarq))
		get, err := apdu.GetRequestNormal{Invoke: 0xC1, Get: apdu.Get{Attribute: energy}}.AppendBinary(nil)
		require.NoError(b, err)
		request := frame(get)
		for b.Loop() {
			exchange(request)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "GET/s")
	})
}
