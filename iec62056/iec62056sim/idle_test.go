package iec62056sim_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openusm/meter/iec62056/iec62056sim"
	"github.com/stretchr/testify/require"
)

// Who says nothing, sends half a request octet by octet, or takes no answer does
// not keep a connection.
func TestIdleConnectionsEnd(t *testing.T) {
	for name, peer := range map[string]func(conn net.Conn){
		"silent":       func(net.Conn) {},
		"half request": func(conn net.Conn) { _, _ = conn.Write([]byte("/?1234")) },
		"octet by octet": func(conn net.Conn) {
			for range 1000 {
				if _, err := conn.Write([]byte("\x01")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
		"takes no answer": func(conn net.Conn) { _, _ = conn.Write([]byte("/?!\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				done := make(chan error, 1)
				start := time.Now()
				go func() { done <- iec62056sim.New(nil).Serve(context.Background(), far) }()
				peer(near)
				<-done
				require.LessOrEqual(t, time.Since(start), 5*time.Minute)
				_ = near.Close()
			})
		})
	}
}

// A customer port whose telegrams nobody takes is closed.
func TestPushThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- iec62056sim.NewP1(nil).Serve(context.Background(), far) }()
		require.Error(t, <-done)
		_ = near.Close()
	})
}
