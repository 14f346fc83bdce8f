package driver

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// dialled opens a session with a simulated meter that outlives it.
func dialled(t *testing.T, protocol Protocol, meter, cfg *Config) Session {
	t.Helper()
	sim, err := NewSimulator(string(protocol), &SimulatorConfig{Config: *meter, Slaves: 1})
	require.NoError(t, err)
	own := *cfg
	own.Open = func(context.Context, Target, *Config) (io.ReadWriteCloser, error) {
		near, far := net.Pipe()
		go func() { _ = sim.Serve(t.Context(), far) }()
		return near, nil
	}
	s, err := Of(&own, protocol).Dial(t.Context(), Target{Scheme: "sim", Address: string(protocol)}, Prepared(&own, true))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func command(t *testing.T, s Session, c site.Command) error {
	t.Helper()
	_, err := s.(Controller).Command(t.Context(), c)
	return err
}

// shown returns a register's value as text.
func shown(t *testing.T, s Session, code obis.Code) string {
	t.Helper()
	r, err := s.Read(t.Context(), obis.Exactly(code))
	require.NoError(t, err)
	require.Len(t, r.Readings, 1)
	return r.Readings[0].Value.String()
}

func TestCommandDLMS(t *testing.T) {
	cfg := &Config{Protocol: DLMS, DLMS: DLMSConfig{Auth: "low", Link: "wrapper"}, Keys: keys.Set{Password: keys.Secret("secret")}}
	s := dialled(t, DLMS, cfg, cfg)
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	require.NoError(t, command(t, s, site.Command{Code: Clock, Value: obis.Moment(obis.FromTime(at)), Step: site.Check}))
	require.NotContains(t, shown(t, s, Clock), "2030", "a check writes nothing")
	require.NoError(t, command(t, s, site.Command{Code: Clock, Value: obis.Moment(obis.FromTime(at))}))
	require.Contains(t, shown(t, s, Clock), "2030-01-02T")
	for _, n := range []int64{0, 1} {
		require.NoError(t, command(t, s, site.Command{Code: Breaker, Value: obis.Enum(n), Step: site.Check}))
		require.NoError(t, command(t, s, site.Command{Code: Breaker, Value: obis.Enum(n)}))
		require.Equal(t, n == 1, shown(t, s, Breaker) == "true")
	}
	limit := func() string {
		answer, err := s.(*meterSession).backend.(*dlmsBackend).Get(t.Context(), cosem.Attribute{Class: cosem.ClassLimiter, Name: Limiter, Index: 4}, nil)
		require.NoError(t, err)
		return answer.Value().String()
	}
	require.NoError(t, command(t, s, site.Command{Code: Limiter, Value: obis.Int(45, 2)}))
	require.Equal(t, "4500", limit())
	for _, bad := range []site.Command{
		{Code: Limiter, Value: obis.Int(-1, 0)}, {Code: Limiter, Value: obis.Int(5, 12)}, {Code: Limiter, Value: obis.Int(5, -1)}, {Code: Limiter, Value: obis.Text([]byte("5"))},
		{Code: Breaker, Value: obis.Enum(2)}, {Code: Breaker}, {Code: Clock, Value: obis.Moment(obis.LocalTime(2030, 1, 1, 0, 0, 0))},
		{Code: obis.MustParse("1-0:99.9.0"), Value: obis.Int(1, 0)}, {Code: Clock, Step: site.Select},
		{Code: Clock, Class: 8, Attribute: 2, Payload: []byte{9, 1}},
	} {
		require.ErrorIs(t, command(t, s, bad), ErrNotSupported, "%+v", bad)
	}
	require.Equal(t, "4500", limit())
	require.ErrorIs(t, command(t, s, site.Command{Code: obis.MustParse("1-0:1.8.0"), Value: obis.Int(5, 0)}), ErrRefused)

	require.NoError(t, command(t, s, site.Command{Code: obis.MustParse("0-0:96.13.0"), Class: 1, Attribute: 2, Payload: []byte{9, 2, 'h', 'i'}}))
	require.Equal(t, "hi", shown(t, s, obis.MustParse("0-0:96.13.0")))
	require.NoError(t, command(t, s, site.Command{Code: obis.MustParse("0-0:96.13.0"), Value: obis.Octets([]byte("ho"))}))
	require.Equal(t, "ho", shown(t, s, obis.MustParse("0-0:96.13.0")))
	require.NoError(t, command(t, s, site.Command{Code: Breaker, Class: 70, Method: 1, Payload: []byte{15, 0}}))
	require.Equal(t, "false", shown(t, s, Breaker))
}

// A meter that nobody proved himself to is not changed.
func TestCommandPublic(t *testing.T) {
	meter := &Config{DLMS: DLMSConfig{Auth: "low", Link: "wrapper"}, Keys: keys.Set{Password: keys.Secret("secret")}}
	s := dialled(t, DLMS, meter, &Config{Protocol: DLMS, DLMS: DLMSConfig{Link: "wrapper"}})
	require.Error(t, command(t, s, site.Command{Code: Breaker, Value: obis.Enum(0)}))
	require.ErrorIs(t, command(t, s, site.Command{Code: Breaker, Class: 70, Method: 1, Payload: []byte{15, 0}}), ErrRefused)
}

func TestCommandClocks(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	for _, p := range []Protocol{MBus, C1218, IEC62056} {
		cfg := &Config{Protocol: p, Keys: keys.Set{Password: keys.Secret("00000000")}, C12: C12Config{UserID: 2}, Clock: obis.Clock{Zone: berlin}}
		s := dialled(t, p, cfg, cfg)
		at := obis.Moment(obis.FromTime(time.Date(2030, 7, 2, 3, 4, 5, 0, time.UTC)))
		require.NoError(t, command(t, s, site.Command{Code: Clock, Value: at, Step: site.Check}), p)
		require.NoError(t, command(t, s, site.Command{Code: Clock, Value: at}), p)
		require.ErrorIs(t, command(t, s, site.Command{Code: Breaker, Value: obis.Enum(0)}), ErrNotSupported, p)
	}
}
