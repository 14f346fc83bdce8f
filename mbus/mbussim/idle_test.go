package mbussim

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

// Who says nothing, sends half a frame octet by octet, or takes no answer does
// not keep a connection.
func TestIdleConnectionsEnd(t *testing.T) {
	for name, peer := range map[string]func(t *testing.T, conn net.Conn){
		"silent":     func(*testing.T, net.Conn) {},
		"half frame": func(t *testing.T, conn net.Conn) { _, _ = conn.Write([]byte{0x68, 0xFF}) },
		"octet by octet": func(t *testing.T, conn net.Conn) {
			for _, c := range append([]byte{0x68, 0xFF, 0xFF, 0x68}, make([]byte, 1000)...) {
				if _, err := conn.Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(200 * time.Millisecond)
			}
		},
		"takes no answer": func(t *testing.T, conn net.Conn) { _, _ = conn.Write(golden.Unhex(t, "1040fe3e16")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				done := make(chan error, 1)
				start := time.Now()
				go func() { done <- New(&Config{Idle: time.Minute}).Serve(context.Background(), far) }()
				peer(t, near)
				<-done
				require.LessOrEqual(t, time.Since(start), 2*time.Minute)
				_ = near.Close()
			})
		})
	}
}
