package dlms_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
)

// No trace, of neither side, shows a password, also where its frame is cut.
func TestTraceHidesPasswords(t *testing.T) {
	password := []byte("SuperSecretPassword!")
	for name, cfg := range map[string]dlms.Config{
		"wrapper":         {Link: dlms.LinkWrapper},
		"gateway":         {Link: dlms.LinkWrapper, Gateway: &dlms.Gateway{Network: 1, Address: []byte{0, 17}}},
		"HDLC":            {},
		"HDLC, cut at 32": {HDLC: hdlc.Parameters{MaxInfoSend: 32, MaxInfoReceive: 32}},
		"HDLC, cut at 50": {HDLC: hdlc.Parameters{MaxInfoSend: 50, MaxInfoReceive: 50}},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []byte
			frames := 0
			trace := func(_ bool, frame []byte) {
				mu.Lock()
				defer mu.Unlock()
				frames++
				seen = append(seen, frame...)
			}
			meter, err := cosemsim.New(&cosemsim.Config{HDLC: cfg.HDLC, Trace: trace, Access: []dlms.Access{{Auth: apdu.MechanismLow, Password: password}}})
			require.NoError(t, err)
			near, far := net.Pipe()
			go func() { _ = meter.Serve(context.Background(), far) }()
			cfg.Auth, cfg.Password, cfg.Trace, cfg.Timeout = apdu.MechanismLow, password, trace, 2*time.Second
			c := dlms.NewClient(near, &cfg)
			require.NoError(t, c.Open(t.Context()))
			_, err = c.Get(t.Context(), energy, nil)
			require.NoError(t, err)
			require.NoError(t, c.Close(t.Context()))
			mu.Lock()
			defer mu.Unlock()
			require.GreaterOrEqual(t, frames, 8)
			for n := 4; n <= len(password); n++ {
				require.NotContains(t, string(seen), string(password[n-4:n]), "a part of the password")
			}
			require.True(t, bytes.Contains(seen, []byte("***")), fmt.Sprintf("%x", seen))
		})
	}
}
