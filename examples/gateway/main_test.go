package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
)

func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// A DLMS client reads all three meters at one port, and sets the clock that it may set.
func TestRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	at := listen{free(t), free(t), free(t), "coap://" + free(t)}
	done := make(chan error, 1)
	go func() { done <- run(ctx, at, 100*time.Millisecond) }()
	codes := map[string]bool{}
	require.Eventually(t, func() bool {
		for sap := range uint16(3) {
			s, err := meter.Dial(ctx, "tcp://"+at.dlms, &meter.Config{Protocol: meter.DLMS, DLMS: meter.DLMSConfig{Link: "wrapper", Server: 16 + sap}})
			if err != nil {
				return false
			}
			r, err := s.Read(ctx)
			_ = s.Close(ctx)
			if err != nil {
				return false
			}
			for _, x := range r.Readings {
				codes[x.Code.String()] = true
			}
		}
		return codes["1-0:1.8.0*255"] && codes["6-0:1.0.0*255"] && codes["1-0:31.7.0*255"]
	}, 20*time.Second, 50*time.Millisecond)
	for _, address := range []string{at.iec61850, at.iec104} {
		c, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	stop()
	require.NoError(t, <-done)
}
