package meter

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/session"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
)

// A C12.22 meter over TCP and UDP, in a session and without, in the clear and secured.
func TestC1222(t *testing.T) {
	set := keys.Set{Password: keys.Secret("secret"), ByMeter: map[string]keys.Set{"c1222-5": {Key: secret(1, 16)}}}
	for name, cfg := range map[string]Config{
		"no names":               {Keys: keys.Set{Password: keys.Secret("secret")}},
		"session, in the clear":  {C12: C12Config{Called: ".42.7", Calling: ".1"}, Keys: keys.Set{Password: keys.Secret("secret")}},
		"session, ciphered":      {C12: C12Config{Called: ".42.7"}, Keys: set},
		"sessionless, ciphered":  {C12: C12Config{Called: "1.3.6.1.4.1.99", Calling: ".7", Sessionless: true}, Keys: set},
		"sessionless, no titles": {C12: C12Config{Sessionless: true}, Keys: keys.Set{Key: secret(9, 16)}},
	} {
		cfg.Counters = &security.MemoryCounters{}
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
			wrong.Keys = keys.Set{Key: secret(77, 16), Password: keys.Secret("secret")}
			_, err = Dial(t.Context(), "tcp://"+listener.Addr().String(), &wrong)
			require.ErrorIs(t, err, ErrAuth)
		})
	}
}

func TestC1222Address(t *testing.T) {
	for _, titles := range [][2]string{{"42", ""}, {".x", ""}, {"1.2", "nobody"}} {
		_, err := Dial(t.Context(), "sim:c1222", &Config{C12: C12Config{Called: titles[0], Calling: titles[1]}})
		require.Error(t, err, titles)
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
	set := keys.Set{Password: keys.Secret("secret"), ByMeter: map[string]keys.Set{"c1222-5": {Key: secret(1, 16)}}}
	var capture []byte
	s, err := Dial(t.Context(), "sim:c1222", &Config{C12: C12Config{Called: ".42", Calling: ".1", Sessionless: true}, Keys: set, Counters: &security.MemoryCounters{}, Trace: func(_ bool, frame []byte) { capture = append(capture, frame...) }})
	require.NoError(t, err)
	read, err := s.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))

	r, err := Decode(capture, &Config{Protocol: C1222, Keys: set})
	require.NoError(t, err)
	require.Equal(t, read.Meter, r.Meter)
	require.Greater(t, len(r.Readings), 40)
	fields := map[string]int{}
	require.NoError(t, Explain(capture, &Config{Protocol: C1222, Keys: set}, func(n Note) {
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
	wrong := keys.Set{Key: secret(9, 16)}
	require.ErrorIs(t, Explain(capture, &Config{Protocol: C1222, Keys: wrong}, func(Note) {}), ErrAuth)
}

// pushed is a message that brings tables of a meter and wants no answer.
func pushed(t *testing.T, calling string, content map[uint16][]byte, order ...uint16) []byte {
	t.Helper()
	title, err := epsem.ParseTitle(calling)
	require.NoError(t, err)
	m := epsem.Message{Control: 0x80 | byte(epsem.ResponseNever), Elements: []epsem.Element{
		{Tag: epsem.TagCalling, Content: title}, {Tag: epsem.TagCallingID, Content: []byte{2, 1, 7}},
	}}
	for _, table := range order {
		b, err := psem.Write{Table: table, Data: content[table]}.AppendBinary(nil)
		require.NoError(t, err)
		m.Body = epsem.AppendService(m.Body, b)
	}
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// Meters push their tables over UDP and TCP. What a table needs may have come before.
func TestC1222Listen(t *testing.T) {
	near, far := net.Pipe()
	go func() { _ = ansicsim.New(nil).ServeNetwork(t.Context(), far) }()
	client := session.NewNetworkClient(near, session.Network{Sessionless: true}, nil)
	content := map[uint16][]byte{}
	layout := []uint16{0, 1, 5, 11, 12, 15, 16, 21, 22}
	for _, table := range append(layout, 23) {
		b, err := client.ReadTable(t.Context(), table)
		require.NoError(t, err)
		content[table] = b
	}
	require.NoError(t, client.Close(t.Context()))
	known, registers := pushed(t, ".42", content, layout...), pushed(t, ".42", content, 23)
	stranger := pushed(t, ".43", content, 23)

	for _, scheme := range []string{"udp", "tcp"} {
		t.Run(scheme, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			address := freeAddress(t)
			type heard struct {
				*Result
				error
			}
			results := make(chan heard, 64)
			go func() {
				_ = Listen(ctx, scheme+"://"+address, &Config{Protocol: C1222}, func(r *Result, err error) {
					if r != nil {
						r = r.Clone()
					}
					results <- heard{r, err}
				})
			}()
			var conn net.Conn
			var first heard
			require.Eventually(t, func() bool {
				var err error
				if conn, err = net.Dial(scheme, address); err != nil {
					return false
				}
				if _, err = conn.Write(known); err != nil {
					return false
				}
				select {
				case first = <-results:
					return true
				case <-time.After(100 * time.Millisecond):
					return false // nobody was there yet
				}
			}, 5*time.Second, time.Millisecond)
			defer conn.Close()
			require.NoError(t, first.error)
			require.Equal(t, "OUSM0000000000000042", first.Meter.ID)
			_, err := conn.Write(registers)
			require.NoError(t, err)
			second := <-results
			for len(second.Readings) == len(first.Readings) { // the first message, which was sent again
				second = <-results
			}
			require.NoError(t, second.error)
			require.Equal(t, "OUSM", second.Meter.Manufacturer)
			require.Equal(t, "1-0:1.8.0*255", second.Readings[1].Code.String())
			_, err = conn.Write(stranger)
			require.NoError(t, err)
			require.ErrorIs(t, (<-results).error, ErrPartial)
		})
	}
	l, err := newListener(driver.Prepared(&Config{Protocol: C1222}, true), func(r *Result, err error) { require.ErrorIs(t, err, ErrFrame) })
	require.NoError(t, err)
	l.datagram([]byte("nothing"))
	l.datagram(known[:20])
	require.Zero(t, l.finders[0].Pending())
}

// freeAddress is an address of this machine at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Without the password the meter says who it is and no more.
func TestC1218WithoutPassword(t *testing.T) {
	sim, err := NewSimulator("c1218", &SimulatorConfig{Config: Config{Keys: keys.Set{Password: keys.Secret("secret")}}})
	require.NoError(t, err)
	s, err := Dial(t.Context(), "/dev/meter", served(t, sim, Config{Protocol: C1218}))
	require.NoError(t, err)
	defer s.Close(t.Context())
	r, err := s.Read(t.Context())
	require.ErrorIs(t, err, ErrPartial)
	require.ErrorIs(t, err, ErrAuth)
	require.Equal(t, "OUSM", r.Meter.Manufacturer)
	r, err = s.Read(t.Context(), obis.Exactly(obis.MustParse("1-0:14.7.0")))
	require.ErrorIs(t, err, ErrAuth)
	require.NotErrorIs(t, err, ErrPartial)
	require.Nil(t, r)
	_, err = s.Events(t.Context(), time.Time{}, time.Time{})
	require.ErrorIs(t, err, ErrAuth)
}
