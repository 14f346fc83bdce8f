package meter

import (
	"context"
	"encoding/hex"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/keys"
)

// callIn connects to address as soon as somebody listens there, says hello, and goes on as serves does.
func callIn(t *testing.T, address string, hello []byte, serves Simulator) net.Conn {
	t.Helper()
	var c net.Conn
	require.Eventually(t, func() (ok bool) {
		var err error
		c, err = net.Dial("tcp", address)
		return err == nil
	}, 5*time.Second, 5*time.Millisecond)
	t.Cleanup(func() { _ = c.Close() })
	_, err := c.Write(hello)
	require.NoError(t, err)
	if serves != nil {
		go func() { _ = serves.Serve(context.Background(), c) }()
	}
	return c
}

// Meters call in: one says its name, one pushes at first, one is silent; others talk
// nonsense, hang up or never answer, and keep nobody from being read.
func TestAccept(t *testing.T) {
	address := freeAddress(t)
	set := keys.Set{Encryption: secret(0, 16), Authentication: secret(0xD0, 16), SystemTitle: secret('A', 8)}
	secured, err := NewSimulator("dlms", &SimulatorConfig{Config: Config{Keys: set, Counters: &security.MemoryCounters{}, DLMS: DLMSConfig{Auth: "hls-gmac"}}})
	require.NoError(t, err)
	open, err := NewSimulator("dlms", nil)
	require.NoError(t, err)
	push, err := hex.DecodeString("000100010010001e" + "0f0000000000" + "0201" + "0203" + "09060100010800ff" + "06000003e8" + "02020f00161e")
	require.NoError(t, err)
	push[7] = byte(len(push) - 8)

	cfg := &Config{Counters: &security.MemoryCounters{}, Timeout: 500 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	type told struct {
		id     string
		pushed int
		name   string
		err    error
	}
	calls := make(chan told, 16)
	done := make(chan error, 1)
	go func() {
		done <- Accept(ctx, "listen+dlms://"+address, cfg, func(ctx context.Context, c *Call, err error) {
			if err != nil {
				calls <- told{id: c.ID, err: err}
				return
			}
			r, err := c.Session.Read(ctx)
			name := ""
			if r != nil {
				name = r.Meter.ID
			}
			calls <- told{c.ID, len(c.Pushed), name, err}
		})
	}()
	var held []net.Conn
	for range 64 {
		held = append(held, callIn(t, address, nil, nil)) // never answers
	}
	next := func() told {
		for {
			select {
			case c := <-calls:
				if c.err == nil || c.id != "" {
					return c
				}
			case <-time.After(10 * time.Second):
				t.Fatal("nobody was told of")
			}
		}
	}
	callIn(t, address, nil, open)
	require.Equal(t, "OSM0000012345678", next().name)
	callIn(t, address, push, open)
	got := next()
	require.NoError(t, got.err)
	require.Equal(t, 1, got.pushed)

	callIn(t, address, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), nil)
	require.Error(t, next().err)
	require.NoError(t, callIn(t, address, []byte{0, 1, 0}, nil).Close())
	callIn(t, address, nil, open)
	require.Equal(t, "OSM0000012345678", next().name)

	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Len(t, held, 64)

	address = freeAddress(t)
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	own := *cfg
	own.DLMS.Auth = "hls-gmac"
	own.Keys.Find = func(id string) (keys.Set, bool) { return set, id == "METER-7" }
	go func() {
		done <- Accept(ctx, "listen+dlms://"+address, &own, func(ctx context.Context, c *Call, err error) {
			if err == nil {
				_, err = c.Session.Read(ctx)
			}
			calls <- told{id: c.ID, err: err}
		})
	}()
	callIn(t, address, []byte("METER-7\r\n"), secured)
	got = next()
	require.Equal(t, "METER-7", got.id)
	require.NoError(t, got.err)
	callIn(t, address, []byte("METER-8\r\n"), secured)
	got = next()
	require.ErrorIs(t, got.err, ErrMissingKey, "its keys are not known")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestAcceptRefuses(t *testing.T) {
	require.ErrorIs(t, Accept(t.Context(), "tcp://127.0.0.1:1", nil, nil), ErrNotSupported)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	require.ErrorIs(t, Accept(t.Context(), "listen+dlms://"+taken.Addr().String(), nil, nil), ErrConnect)
}

// Who waits for a meter gets it in spite of strangers that call.
func TestDialInAfterStrangers(t *testing.T) {
	sim, err := NewSimulator("dlms", nil)
	require.NoError(t, err)
	for name, says := range map[string]string{"silent": "", "web": "GET / HTTP/1.1\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			at := l.Addr().String()
			require.NoError(t, l.Close())
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			call := func(serve func(net.Conn)) {
				for ctx.Err() == nil {
					if c, err := net.Dial("tcp", at); err == nil {
						serve(c)
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
			go func() {
				for range 3 {
					call(func(c net.Conn) { _, _ = c.Write([]byte(says)) })
				}
				call(func(c net.Conn) { _ = sim.Serve(ctx, c) })
			}()
			s, err := Dial(ctx, "listen+dlms://"+at, nil)
			require.NoError(t, err)
			_ = s.Close(ctx)
		})
	}
}
