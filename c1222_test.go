package meter

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

// A C12.22 meter over TCP and UDP, in a session and without, in the clear and secured.
func TestC1222(t *testing.T) {
	keys := Keys{Password: Secret("secret"), ByMeter: map[string]Keys{"c1222-5": {Key: secret(1, 16)}}}
	for name, cfg := range map[string]Config{
		"no names":               {Keys: Keys{Password: Secret("secret")}},
		"session, in the clear":  {Address: ".42.7,.1", Keys: Keys{Password: Secret("secret")}},
		"session, ciphered":      {Address: ".42.7", Keys: keys},
		"sessionless, ciphered":  {Address: "1.3.6.1.4.1.99,.7,sessionless", Keys: keys},
		"sessionless, no titles": {Address: "sessionless", Keys: Keys{Key: secret(9, 16)}},
	} {
		t.Run(name, func(t *testing.T) {
			sim, err := NewSimulator("c1222", &SimulatorConfig{Config: cfg})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() { _ = sim.Serve(ctx, conn) }()
				}
			}()
			packets, err := net.ListenPacket("udp", "127.0.0.1:0")
			require.NoError(t, err)
			go func() { _ = sim.(PacketSimulator).ServePacket(ctx, packets) }()
			cfg.Protocol = C1222
			for _, target := range []string{"tcp://" + listener.Addr().String(), "udp://" + packets.LocalAddr().String()} {
				s, err := Dial(t.Context(), target, &cfg)
				require.NoError(t, err)
				require.Equal(t, C1222, s.Protocol())
				r, err := s.Read(t.Context(), obis.Exactly(obis.MustParse("1-0:14.7.0")))
				require.NoError(t, err)
				require.Len(t, r.Readings, 1)
				require.Equal(t, "OUSM", r.Meter.Manufacturer)
				require.Equal(t, "c12.22", r.Layers[0].Name)
				require.Equal(t, len(cfg.Keys.Key) > 0 || cfg.Keys.ByMeter != nil, r.Layers[0].Security == "EAX' (weak)")
				p, err := s.Profile(t.Context(), obis.Code{}, time.Time{}, time.Time{})
				require.NoError(t, err)
				require.NotZero(t, p.Profiles[0].Len())
				events, err := s.Events(t.Context(), time.Time{}, time.Time{})
				require.NoError(t, err)
				require.NotEmpty(t, events.Events)
				require.NoError(t, s.Close(t.Context()))
			}
			wrong := cfg
			wrong.Keys = Keys{Key: secret(77, 16), Password: Secret("secret")}
			_, err = Dial(t.Context(), "tcp://"+listener.Addr().String(), &wrong)
			require.ErrorIs(t, err, ErrAuth)
		})
	}
}

func TestC1222Address(t *testing.T) {
	for _, address := range []string{"42", ".1,.2,.3", ".x", "1.2,nobody"} {
		_, err := Dial(t.Context(), "sim:c1222", &Config{Address: address})
		require.Error(t, err, address)
	}
	_, err := Dial(t.Context(), "udp://127.0.0.1:9", &Config{Protocol: C1222, Timeout: 50 * time.Millisecond, Retries: -1})
	require.Error(t, err)
}

// A meter of C12.22 is found, though the address is meant for another protocol.
func TestC1222Detected(t *testing.T) {
	sim, err := NewSimulator("c1222", nil)
	require.NoError(t, err)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = sim.(PacketSimulator).ServePacket(t.Context(), packets) }()
	s, err := Dial(t.Context(), "udp://"+packets.LocalAddr().String(), &Config{Timeout: 200 * time.Millisecond, Address: "5"})
	require.NoError(t, err)
	require.Equal(t, C1222, s.Protocol())
	require.NoError(t, s.Close(t.Context()))
}

// A capture of ciphered messages is decoded and explained with the key, and says what it lacks without.
func TestC1222Capture(t *testing.T) {
	keys := Keys{Password: Secret("secret"), ByMeter: map[string]Keys{"c1222-5": {Key: secret(1, 16)}}}
	var capture []byte
	s, err := Dial(t.Context(), "sim:c1222", &Config{Address: ".42,.1,sessionless", Keys: keys, Trace: func(_ bool, frame []byte) { capture = append(capture, frame...) }})
	require.NoError(t, err)
	read, err := s.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))

	r, err := Decode(capture, &Config{Protocol: C1222, Keys: keys})
	require.NoError(t, err)
	require.Equal(t, read.Meter, r.Meter)
	require.Greater(t, len(r.Readings), 40)
	fields := map[string]int{}
	require.NoError(t, Explain(capture, &Config{Protocol: C1222, Keys: keys}, func(n Note) {
		fields[n.Field]++
		if n.Field == "table" {
			require.Len(t, n.Octets, 2)
		}
	}))
	require.Greater(t, fields["table"], 10)
	require.Equal(t, fields["MAC"]/2, fields["answer"])

	for _, message := range []string{"`\x0c\xbe\x0a(\x08\x81\x06\x80\x01 \x01 \x01", string(capture)} {
		protocol, err := Detect([]byte(message))
		require.NoError(t, err)
		require.Equal(t, C1222, protocol)
	}

	_, err = Decode(capture, &Config{Protocol: C1222})
	require.ErrorIs(t, err, ErrMissingKey)
	clear(fields)
	require.NoError(t, Explain(capture, &Config{Protocol: C1222}, func(n Note) { fields[n.Field]++ }))
	require.Zero(t, fields["table"])
	require.NotZero(t, fields["MAC"])
	wrong := Keys{Key: secret(9, 16)}
	require.ErrorIs(t, Explain(capture, &Config{Protocol: C1222, Keys: wrong}, func(Note) {}), ErrAuth)
}
