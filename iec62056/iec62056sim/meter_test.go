package iec62056sim_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/iec62056sim"
	"github.com/stretchr/testify/require"
)

// serve runs a meter at the far end of a serial line and returns the near end.
func serve(t *testing.T, cfg *iec62056sim.Config) *iec62056sim.Port {
	near, far := iec62056sim.Line()
	done := make(chan error, 1)
	go func() { done <- iec62056sim.New(cfg).Serve(t.Context(), far) }()
	t.Cleanup(func() {
		_ = near.Close()
		<-done
	})
	return near
}

func TestReadoutByMode(t *testing.T) {
	for _, test := range []struct {
		name, ident string
		mode        iec62056.Mode
		baud        int
	}{
		{"mode A stays at 300", "OUM METERSIM", iec62056.ModeA, 300},
		{"mode B switches by itself", "OUMEMETERSIM", iec62056.ModeB, 9600},
		{"mode C switches to 9600", "OUM5METERSIM", iec62056.ModeC, 9600},
		{"mode C with the short reaction time", "OUm6METERSIM", iec62056.ModeC, 19200},
		{"mode C at 300", "OUM0METERSIM", iec62056.ModeC, 300},
		{"mode E read as C", `OUM5\2METERSIM`, iec62056.ModeE, 9600},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near := serve(t, &iec62056sim.Config{Identification: test.ident})
				c := iec62056.NewClient(near, nil)
				require.NoError(t, c.Open(t.Context()))
				require.Equal(t, test.mode, c.Identification().Mode())
				require.Equal(t, "METERSIM", c.Identification().Model())
				r, err := c.Readout(t.Context())
				require.NoError(t, err)
				require.Empty(t, r.BadLines())
				readings := r.AppendReadings(nil)
				require.Greater(t, len(readings), 30)
				require.Equal(t, "12345678", r.Meter().Serial)
				require.NoError(t, c.Close(t.Context()))
			})
		})
	}
}

func TestReadoutOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_ = iec62056sim.New(nil).Serve(ctx, conn)
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	c := iec62056.NewClient(conn, &iec62056.Config{Timeout: time.Second})
	start := time.Now()
	r, err := c.Readout(ctx)
	require.NoError(t, err)
	require.True(t, r.Framed)
	require.Less(t, time.Since(start), time.Second, "no pauses for a rate that does not exist")
	require.NoError(t, c.Close(ctx))
}
