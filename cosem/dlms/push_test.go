package dlms_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

var meterTitle = security.Title{'O', 'S', 'M', 0, 0, 0, 0, 7}

// pushFrame returns a push of one energy register.
func pushFrame(t testing.TB, cfg *dlms.Config) []byte {
	body := cosem.Array(cosem.Structure(cosem.Name(obis.MustParse("1-0:1.8.0")), cosem.Uint32(12345),
		cosem.ScalerUnit{Scaler: 1, Unit: obis.WattHour, Known: true}.Data()))
	b, err := dlms.Push(cfg, apdu.DataNotification{Invoke: 1, Body: body})
	require.NoError(t, err)
	return b
}

func TestListener(t *testing.T) {
	key, auth := security.Key("0123456789abcdef"), security.Key("fedcba9876543210")
	meter := &dlms.Security{Title: meterTitle, Unicast: key, Authentication: auth, Counters: &security.MemoryCounters{}}
	counters := &security.MemoryCounters{}
	for name, test := range map[string]struct {
		push  dlms.Config
		keys  *dlms.Security
		flags obis.Flags
		err   error
	}{
		"plain, HDLC":                 {push: dlms.Config{}},
		"plain, and keys are known":   {push: dlms.Config{}, keys: &dlms.Security{Unicast: key, Authentication: auth}, err: dlms.ErrUnprotected},
		"plain, wrapper":              {push: dlms.Config{Link: dlms.LinkWrapper}},
		"ciphered, HDLC":              {push: dlms.Config{Security: meter}, keys: &dlms.Security{Unicast: key, Authentication: auth}},
		"ciphered, wrapper":           {push: dlms.Config{Link: dlms.LinkWrapper, Security: meter}, keys: &dlms.Security{Unicast: key, Authentication: auth}},
		"without authentication key":  {push: dlms.Config{Security: meter}, keys: &dlms.Security{Unicast: key}, flags: obis.Unverified},
		"wrong key":                   {push: dlms.Config{Security: meter}, keys: &dlms.Security{Unicast: auth, Authentication: auth}, err: security.ErrAuthentication},
		"wrong key, none to check it": {push: dlms.Config{Security: meter}, keys: &dlms.Security{Unicast: auth}, err: dlms.ErrWrongKey},
		"no key":                      {push: dlms.Config{Security: meter}, err: security.ErrNoKey},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan struct{})
			l := dlms.NewListener(&dlms.ListenerConfig{
				Receiver: dlms.ReceiverConfig{Counters: counters, Keys: func(security.Title) *dlms.Security { return test.keys }},
				Handle: func(_ net.Addr, m *dlms.Message, err error) {
					require.ErrorIs(t, err, test.err)
					if test.err == nil {
						require.Len(t, m.Readings, 1)
						require.Equal(t, "123450", m.Readings[0].Value.String())
						require.Equal(t, test.flags, m.Readings[0].Quality.Flags)
						require.Equal(t, test.push.Security != nil, m.Title == meterTitle)
					}
					close(got)
				},
			})
			near, far := net.Pipe()
			go func() { _ = l.Serve(t.Context(), far) }()
			_, err := near.Write(pushFrame(t, &test.push))
			require.NoError(t, err)
			<-got
			require.NoError(t, near.Close())
		})
	}
}

// A push that was heard before is refused.
func TestListenerRefusesReplay(t *testing.T) {
	key := security.Key("0123456789abcdef")
	frame := pushFrame(t, &dlms.Config{Link: dlms.LinkWrapper, Security: &dlms.Security{Title: meterTitle, Unicast: key, Authentication: key, Counters: &security.MemoryCounters{}}})
	got := make(chan error, 2)
	l := dlms.NewListener(&dlms.ListenerConfig{
		Receiver: dlms.ReceiverConfig{Keys: func(security.Title) *dlms.Security { return &dlms.Security{Unicast: key, Authentication: key} }},
		Handle:   func(_ net.Addr, _ *dlms.Message, err error) { got <- err },
	})
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer socket.Close()
	go func() { _ = l.ServePacket(t.Context(), socket) }()
	conn, err := net.Dial("udp", socket.LocalAddr().String())
	require.NoError(t, err)
	for range 2 {
		_, err := conn.Write(frame)
		require.NoError(t, err)
	}
	require.NoError(t, <-got)
	require.ErrorIs(t, <-got, security.ErrReplay)
}

// Frames of a push may come with gaps of seconds; what never ends is given up.
func TestListenerWaits(t *testing.T) {
	got := make(chan int, 2)
	l := dlms.NewListener(&dlms.ListenerConfig{FrameTimeout: 800 * time.Millisecond, Handle: func(_ net.Addr, m *dlms.Message, err error) {
		if err == nil {
			got <- len(m.Readings)
		}
	}})
	near, far := net.Pipe()
	go func() { _ = l.Serve(t.Context(), far) }()
	frame := pushFrame(t, &dlms.Config{})
	for _, part := range [][]byte{frame[:10], frame[10:20], frame[20:]} {
		_, err := near.Write(part)
		require.NoError(t, err)
		time.Sleep(20 * time.Millisecond)
	}
	require.Equal(t, 1, <-got)
	_, err := near.Write(append([]byte{0x7E, 0xA7, 0xFF, 0x21, 0x03, 0x13}, frame...)) // a frame that never ends before a good one
	require.NoError(t, err)
	require.Equal(t, 1, <-got)
	require.NoError(t, near.Close())
}

// A heat meter that was read by M-Bus is read again by DLMS.
func ExampleExposed() {
	device := &dlms.Exposed{}
	device.Update(obis.Meter{Manufacturer: "KAM", Serial: "12345678"}, []obis.Reading{
		{Code: obis.MustParse("6-0:1.0.0"), Value: obis.Int(12345, 3), Unit: obis.WattHour},
		{Code: obis.MustParse("6-0:10.0.0"), Value: obis.Int(652, -1), Unit: obis.Celsius},
	}, nil)
	server, err := dlms.NewServer(&dlms.ServerConfig{Link: dlms.LinkAuto, Devices: map[uint16]dlms.Device{1: device}})
	if err != nil {
		fmt.Println(err)
		return
	}
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = server.Serve(ctx, far) }()

	client := dlms.NewClient(near, &dlms.Config{Link: dlms.LinkWrapper})
	if err := client.Open(ctx); err != nil {
		fmt.Println(err)
		return
	}
	readings, err := client.Read(ctx, obis.MustParse("6-0:1.0.0"), obis.MustParse("6-0:10.0.0"))
	for _, r := range readings {
		fmt.Println(r.Code, r.Value, r.Unit)
	}
	fmt.Println(err, client.Close(ctx))
	// Output:
	// 6-0:1.0.0*255 12345000 Wh
	// 6-0:10.0.0*255 65.2 Cel
	// <nil> <nil>
}

func TestExposedProfile(t *testing.T) {
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Exp: 1}, {Code: obis.MustParse("1-0:2.8.0"), Unit: obis.WattHour},
	}}
	start := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	for i := range 8 {
		p.Times = append(p.Times, obis.FromTime(start.Add(time.Duration(i)*15*time.Minute)))
		p.Columns[0].AppendInt(int64(100 + i))
		if i == 3 {
			p.Columns[1].AppendMissing()
		} else {
			p.Columns[1].AppendInt(int64(i))
		}
	}
	device := &dlms.Exposed{Clock: func() time.Time { return start }}
	device.Update(obis.Meter{ID: "X"}, []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Value: obis.Int(5, -1), Unit: obis.WattHour}}, []*obis.Profile{p})
	server, err := dlms.NewServer(&dlms.ServerConfig{Link: dlms.LinkAuto, Devices: map[uint16]dlms.Device{1: device}})
	require.NoError(t, err)
	near, far := net.Pipe()
	go func() { _ = server.Serve(context.Background(), far) }()
	c := dlms.NewClient(near, &dlms.Config{Link: dlms.LinkHDLC})
	require.NoError(t, c.Open(t.Context()))
	var got obis.Profile
	require.NoError(t, c.Profile(t.Context(), p.Code, start.Add(30*time.Minute), start.Add(time.Hour), &got))
	require.Equal(t, 3, got.Len())
	require.Equal(t, "1020.0", got.Columns[0].At(0).String(), "with the scaler of the register")
	require.True(t, got.Columns[1].At(1).IsNone(), "missing stays missing")
	require.Equal(t, "4", got.Columns[1].At(2).String())
	require.NoError(t, c.Close(t.Context()))
}
