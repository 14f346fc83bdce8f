package meter

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
)

// served returns a configuration whose connections lead to what serves.
func served(t *testing.T, serves Simulator, cfg Config) *Config {
	cfg.Open = func(context.Context, Target, *Config) (io.ReadWriteCloser, error) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(func() { cancel(); _ = near.Close() })
		go func() { _ = serves.Serve(ctx, far) }()
		return near, nil
	}
	return &cfg
}

func secret(first byte, n int) keys.Secret {
	b := make(keys.Secret, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// Each suite and authentication, over the wrapper and over HDLC, with the right
// keys and with wrong ones.
func TestSecuredDLMS(t *testing.T) {
	for suite, size := range []int{16, 16, 32} {
		set := keys.Set{Encryption: secret(0, size), Authentication: secret(0xD0, size), Password: keys.Secret("12345678"), SystemTitle: secret('A', 8)}
		for _, auth := range []string{"none", "low", "hls-manufacturer", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256"} {
			for _, target := range []string{"tcp://192.0.2.1:4059", "/dev/meter"} {
				t.Run(auth+" "+target, func(t *testing.T) {
					server, client := &security.MemoryCounters{}, &security.MemoryCounters{}
					sim, err := NewSimulator("dlms", &SimulatorConfig{Config: Config{Keys: set, DLMS: DLMSConfig{Auth: auth, Suite: suite}, Counters: server}})
					require.NoError(t, err)
					read := func(set keys.Set) (*Result, error) {
						s, err := Dial(t.Context(), target, served(t, sim, Config{
							Protocol: DLMS, DLMS: DLMSConfig{Auth: auth, Suite: suite}, Counters: client, Keys: set, Timeout: 5 * time.Second,
						}))
						if err != nil {
							return nil, err
						}
						defer s.Close(t.Context())
						return s.Read(t.Context(), obis.Exactly(obis.MustParse("1-0:14.7.0")))
					}
					r, err := read(set)
					require.NoError(t, err)
					require.Len(t, r.Readings, 1)
					require.Equal(t, obis.Hertz, r.Readings[0].Unit)

					wrong := set
					wrong.Encryption = secret(1, size)
					_, err = read(wrong)
					require.ErrorIs(t, err, ErrAuth)
					wrong = set
					wrong.Password = keys.Secret("wrong!!!")
					if auth == "none" || auth == "hls-gmac" {
						wrong.Authentication = secret(1, size)
					}
					_, err = read(wrong)
					require.ErrorIs(t, err, ErrAuth)
				})
			}
		}
	}
}

// A session with a meter that only pushes waits for its next message.
func TestPushSessionsWait(t *testing.T) {
	for _, name := range []string{"p1", "sml"} {
		s, err := Dial(t.Context(), "sim:"+name, nil)
		require.NoError(t, err)
		for range 2 {
			r, err := s.Read(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, r.Readings)
		}
		_, err = s.Profile(t.Context(), obis.Code{}, time.Time{}, time.Time{})
		require.ErrorIs(t, err, ErrNotSupported)
		require.NoError(t, s.Close(t.Context()))
	}
}

func TestScan(t *testing.T) {
	var found []Found
	done := 0.0
	require.NoError(t, Scan(t.Context(), "sim:mbus", nil, &Scanner{
		Secondary: true, Found: func(f Found) { found = append(found, f) }, Progress: func(p float64) { done = p },
	}))
	require.Len(t, found, 4)
	require.Equal(t, 1.0, done)
	for _, f := range found {
		require.NotEmpty(t, f.Meter.ID)
		s, err := Dial(t.Context(), "sim:mbus", &Config{Address: f.Address})
		require.NoError(t, err, f.Address)
		r, err := s.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, f.Meter.ID, r.Meter.ID)
		require.NoError(t, s.Close(t.Context()))
	}
	found = nil
	require.NoError(t, Scan(t.Context(), "sim:dlms", nil, &Scanner{Found: func(f Found) { found = append(found, f) }}))
	require.Len(t, found, 1)
	require.Equal(t, "1", found[0].Address)
}
