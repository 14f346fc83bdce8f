package cosemsim_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/obis"
)

var noon = time.Date(2026, 3, 10, 12, 7, 30, 0, time.UTC)

func Example() {
	meterSide, clientSide := net.Pipe()
	meter, err := cosemsim.New(&cosemsim.Config{Now: func() time.Time { return noon }})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	go meter.Serve(ctx, meterSide)

	client := dlms.NewClient(clientSide, &dlms.Config{Link: dlms.LinkWrapper})
	if err := client.Open(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	readings, err := client.Read(ctx, obis.MustParse("1-0:1.8.0"), obis.MustParse("1-0:32.7.0"))
	for _, r := range readings {
		fmt.Println(r.Code, obis.Describe(r.Code), r.Value, r.Unit)
	}
	fmt.Println(err)
	// Output:
	// 1-0:1.8.0*255 active energy import total 21106937.5 Wh
	// 1-0:32.7.0*255 voltage L1 230.4 V
	// <nil>
}

func simulate(t testing.TB, cfg *cosemsim.Config) *cosemsim.Meter {
	t.Helper()
	m, err := cosemsim.New(cfg)
	require.NoError(t, err)
	return m
}

func open(t *testing.T, sim cosemsim.Config, cfg dlms.Config) *dlms.Client {
	t.Helper()
	near, far := net.Pipe()
	if sim.Now == nil {
		sim.Now = func() time.Time { return noon }
	}
	done := make(chan error, 1)
	meter := simulate(t, &sim)
	go func() { done <- meter.Serve(context.Background(), far) }()
	cfg.Timeout = 2 * time.Second
	c := dlms.NewClient(near, &cfg)
	require.NoError(t, c.Open(t.Context()))
	t.Cleanup(func() {
		require.NoError(t, c.Close(context.Background()))
		require.NoError(t, <-done)
	})
	return c
}

func TestReadEverything(t *testing.T) {
	for name, test := range map[string]struct {
		sim cosemsim.Config
		cfg dlms.Config
	}{
		"HDLC":                  {},
		"HDLC, address of 2":    {cfg: dlms.Config{AddressSize: 2, Physical: 17}},
		"HDLC, address of 4":    {cfg: dlms.Config{AddressSize: 4, Physical: 0x1234}},
		"HDLC, window 7":        {cosemsim.Config{HDLC: hdlc.Parameters{WindowSend: 7, WindowReceive: 7}}, dlms.Config{HDLC: hdlc.Parameters{WindowSend: 7, WindowReceive: 7}}},
		"HDLC, long frames":     {cosemsim.Config{HDLC: hdlc.Parameters{MaxInfoSend: 2030, MaxInfoReceive: 2030}}, dlms.Config{HDLC: hdlc.Parameters{MaxInfoSend: 2030, MaxInfoReceive: 2030}}},
		"HDLC, blocks":          {cfg: dlms.Config{MaxPDU: 200}},
		"wrapper":               {cfg: dlms.Config{Link: dlms.LinkWrapper}},
		"wrapper, blocks":       {cfg: dlms.Config{Link: dlms.LinkWrapper, MaxPDU: 100}},
		"wrapper, no lists":     {cosemsim.Config{Conformance: apdu.ServiceGet | apdu.BlockTransferGet | apdu.SelectiveAccess}, dlms.Config{Link: dlms.LinkWrapper}},
		"wrapper, low security": {cosemsim.Config{Access: []dlms.Access{{Auth: apdu.MechanismLow, Password: []byte("secret")}}}, dlms.Config{Link: dlms.LinkWrapper, Auth: apdu.MechanismLow, Password: []byte("secret")}},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, test.sim, test.cfg)
			meter, err := c.Meter(t.Context())
			require.NoError(t, err)
			require.Equal(t, obis.Meter{ID: "OSM0000012345678", Manufacturer: "OSM", Serial: "12345678", Firmware: "1.0", Medium: obis.Electricity}, meter)

			readings, err := c.Read(t.Context())
			require.NoError(t, err)
			require.Len(t, readings, 3+17+1+2)
			byCode := map[string]obis.Reading{}
			for _, r := range readings {
				byCode[r.Code.String()] = r
			}
			require.Equal(t, "2026-03-10T12:07:30Z", byCode["0-0:1.0.0*255"].Value.String())
			require.Equal(t, "49.98", byCode["1-0:14.7.0*255"].Value.String())
			require.Equal(t, obis.Hertz, byCode["1-0:14.7.0*255"].Unit)
			require.Equal(t, "2026-03-01T18:30:00Z", byCode["1-0:1.6.0*255"].Time.String())
			require.Equal(t, "2026-03-10T12:00:00Z", byCode["1-0:1.4.0*255"].Start.String())
			require.Equal(t, obis.RuleDerived, byCode["1-0:1.5.0*255"].Rule)

			var p obis.Profile
			from := time.Date(2026, 3, 10, 1, 0, 0, 0, time.UTC)
			require.NoError(t, c.Profile(t.Context(), obis.MustParse("1-0:99.1.0"), from, from.Add(time.Hour), &p))
			require.Equal(t, 5, p.Len())
			require.Equal(t, "2026-03-10T01:00:00Z", p.Times[0].String())
			require.Len(t, p.Columns, 4)
			require.Equal(t, "21094700.0", p.Columns[0].At(0).String())
			require.NoError(t, c.Profile(t.Context(), obis.MustParse("1-0:99.1.0"), time.Time{}, time.Time{}, &p))
			require.Equal(t, 960, p.Len())

			events, err := c.Events(t.Context(), obis.MustParse("0-0:99.98.0"), time.Time{}, time.Time{})
			require.NoError(t, err)
			require.Len(t, events, 20)
			require.Equal(t, uint32(1), events[0].ID)
			require.Equal(t, "2025-12-30T01:00:00Z", events[0].Time.String())
		})
	}
}

// echoing is a two-wire line on which a station hears itself, with noise before what others say.
type echoing struct {
	net.Conn
	heard chan []byte
}

func newEchoing(c net.Conn, noise []byte) *echoing {
	e := &echoing{c, make(chan []byte, 1024)}
	go func() {
		defer close(e.heard)
		for {
			b := make([]byte, 512)
			n, err := c.Read(b)
			if err != nil {
				return
			}
			e.heard <- append(append([]byte{}, noise...), b[:n]...)
		}
	}()
	return e
}

func (e *echoing) Write(b []byte) (int, error) {
	e.heard <- append([]byte{}, b...)
	return e.Conn.Write(b)
}

func (e *echoing) Read(b []byte) (int, error) {
	heard, ok := <-e.heard
	if !ok {
		return 0, io.EOF
	}
	return copy(b, heard), nil
}

// SetReadDeadline says that this line knows no deadlines.
func (e *echoing) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

func TestEchoAndNoise(t *testing.T) {
	for name, noise := range map[string][]byte{"echo": nil, "echo and noise": {0x00, 0x7E, 0xA0, 0x55, 0xFF}} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			meter := simulate(t, &cosemsim.Config{Now: func() time.Time { return noon }})
			go func() { _ = meter.Serve(context.Background(), far) }()
			c := dlms.NewClient(newEchoing(near, noise), &dlms.Config{Echo: true, Timeout: 2 * time.Second})
			require.NoError(t, c.Open(t.Context()))
			readings, err := c.Read(t.Context())
			require.NoError(t, err)
			require.Len(t, readings, 23)
			require.NoError(t, c.Close(t.Context()))
		})
	}
}
