package dlms_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	face "github.com/openusm/meter/gateway/dlms"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serve"
	"github.com/openusm/meter/site"
	"github.com/openusm/meter/site/sitetest"
)

var (
	energy     = obis.MustParse("1-0:1.8.0")
	load       = obis.MustParse("1-0:99.1.0")
	clock      = obis.MustParse("0-0:1.0.0")
	assignment = cosem.Attribute{Class: cosem.ClassSAPAssignment, Name: obis.MustParse("0-0:41.0.0"), Index: 2}
)

// saps returns the logical devices that the management logical device tells of.
func saps(ctx context.Context, address string) (map[string]uint16, error) {
	c, err := dial(ctx, address, dlms.DefaultServer)
	if err != nil {
		return nil, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	d, err := c.Get(ctx, assignment, nil)
	if err != nil {
		return nil, err
	}
	list := map[string]uint16{}
	for _, e := range d.Elements() {
		number, _ := e.At(0).Uint()
		name, _ := e.At(1).Bytes()
		list[string(name)] = uint16(number)
	}
	return list, nil
}

// dial associates with a logical device as the public client.
func dial(ctx context.Context, address string, sap uint16) (*dlms.Client, error) {
	return associate(ctx, address, &dlms.Config{Link: dlms.LinkWrapper, Server: sap})
}

func associate(ctx context.Context, address string, cfg *dlms.Config) (*dlms.Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	own := *cfg
	own.Timeout = 2 * time.Second
	c := dlms.NewClient(conn, &own)
	if err := c.Open(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// reader finds the meters by their names, and reads registers of them.
type reader struct {
	address string
	open    map[site.ID]*dlms.Client
}

func (r *reader) Read(ctx context.Context, meter site.ID, code obis.Code) (out sitetest.Reading, err error) {
	c := r.open[meter]
	if c == nil {
		list, err := saps(ctx, r.address)
		if err != nil {
			return out, err
		}
		sap := list["OUM"+string(meter)]
		if sap == 0 {
			sap = list["OUM"+string(meter[len("meter"):])]
		}
		if c, err = dial(ctx, r.address, sap); err != nil {
			return out, err
		}
		r.open[meter] = c
	}
	d, err := c.Get(ctx, cosem.Attribute{Class: cosem.ClassRegister, Name: code, Index: 2}, nil)
	if errors.Is(err, cosem.TemporaryFailure) {
		return sitetest.Reading{Old: true}, nil
	}
	return sitetest.Reading{Value: d.Value().String()}, err
}

func (r *reader) Close() error {
	for _, c := range r.open {
		_ = c.Close(context.Background())
	}
	return nil
}

func TestFace(t *testing.T) {
	sitetest.Run(t, sitetest.Subject{
		New: func(address string, source site.Source, commander site.Commander) (site.Face, error) {
			return face.New(&face.Config{Listen: address}, source, commander)
		},
		Dial: func(ctx context.Context, address string) (sitetest.Client, error) {
			_, err := saps(ctx, address)
			return &reader{address, map[site.ID]*dlms.Client{}}, err
		},
		Silent: func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
	})
}

// run serves a face until the test ends or stop is called.
func run(t *testing.T, cfg face.Config, source site.Source, commander site.Commander) (address string, stop func()) {
	t.Helper()
	at := make(chan string, 1)
	cfg.Listen, cfg.Ready = "127.0.0.1:0", func(a net.Addr) { at <- a.String() }
	f, err := face.New(&cfg, source, commander)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return <-at, stop
}

func put(t *testing.T, s *site.Site, id site.ID, d *mapping.Data) {
	t.Helper()
	require.NoError(t, s.Put(id, d, site.Stamp{Job: "test"}))
}

func wattHours(n int64, exp int8) *mapping.Data {
	return &mapping.Data{Readings: []obis.Reading{{Code: energy, Unit: obis.WattHour, Value: obis.Int(n, exp)}}}
}

// client associates once the logical device is there.
func client(t *testing.T, address string, cfg dlms.Config) (c *dlms.Client) {
	t.Helper()
	cfg.Link = dlms.LinkWrapper
	require.Eventually(t, func() (ok bool) {
		var err error
		c, err = associate(t.Context(), address, &cfg)
		return err == nil
	}, 60*time.Second, 10*time.Millisecond)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func value(t *testing.T, c *dlms.Client, class cosem.Class, code obis.Code, index int8) string {
	t.Helper()
	d, err := c.Get(t.Context(), cosem.Attribute{Class: class, Name: code, Index: index}, nil)
	if err != nil {
		return err.Error()
	}
	return d.Value().String()
}

// eventually waits until a value is shown.
func eventually(t *testing.T, want string, c *dlms.Client, class cosem.Class, code obis.Code, index int8) {
	t.Helper()
	var got string
	require.Eventually(t, func() bool { got = value(t, c, class, code, index); return got == want }, 60*time.Second, 5*time.Millisecond, "%s", want)
}

// What a client has read once of an object stays so: its class, its scaler and its unit.
func TestObjectsStay(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{Manufacturer: "OUM", Serial: "7"}))
	var mu sync.Mutex
	var warned []string
	address, _ := run(t, face.Config{Warn: func(w string) {
		mu.Lock()
		defer mu.Unlock()
		warned = append(warned, w)
	}}, s, nil)
	at := obis.FromTime(time.Unix(1795176000, 0).UTC())
	put(t, s, "a", &mapping.Data{Readings: []obis.Reading{
		{Code: energy, Unit: obis.WattHour},
		{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1), Time: at, Quality: obis.Quality{Kind: obis.StatusVDEW, Raw: 5}},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("other"))},
		{Code: obis.MustParse("0-0:96.13.0"), Value: obis.Text([]byte("hello"))},
		{RawID: []byte("x"), Value: obis.Int(1, 0)},
		{Code: obis.MustParse("4-0:1.0.0"), Unit: obis.HCAUnit, Value: obis.Int(5, 0), Quality: obis.Quality{Flags: obis.Estimated}},
	}})
	c := client(t, address, dlms.Config{Server: 16})
	eventually(t, "hello", c, cosem.ClassData, obis.MustParse("0-0:96.13.0"), 2)
	_, err := c.Get(t.Context(), cosem.Attribute{Class: cosem.ClassRegister, Name: energy, Index: 2}, nil)
	require.ErrorIs(t, err, cosem.ObjectUndefined, "its first value says what it is")
	put(t, s, "a", wattHours(125, 1))
	eventually(t, "125", c, cosem.ClassRegister, energy, 2)
	put(t, s, "a", wattHours(12345, -1))
	eventually(t, "123.45", c, cosem.ClassRegister, energy, 2)
	put(t, s, "a", wattHours(13, 2))
	eventually(t, "130", c, cosem.ClassRegister, energy, 2)
	d, err := c.Get(t.Context(), cosem.Attribute{Class: cosem.ClassRegister, Name: energy, Index: 3}, nil)
	require.NoError(t, err)
	scaler, ok := cosem.ParseScalerUnit(d)
	require.True(t, ok)
	require.Equal(t, cosem.ScalerUnit{Scaler: 1, Unit: obis.WattHour, Known: true}, scaler)
	volts := obis.MustParse("1-0:32.7.0")
	require.Equal(t, "2301", value(t, c, cosem.ClassExtendedRegister, volts, 2))
	require.Equal(t, "5", value(t, c, cosem.ClassExtendedRegister, volts, 4))
	d, err = c.Get(t.Context(), cosem.Attribute{Class: cosem.ClassExtendedRegister, Name: volts, Index: 5}, nil)
	require.NoError(t, err)
	captured, ok := d.Time()
	require.True(t, ok)
	require.Equal(t, at.String(), captured.String())

	require.NoError(t, s.Fail("a", "test", time.Time{}))
	require.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), cosem.Attribute{Class: cosem.ClassExtendedRegister, Name: volts, Index: 2}, nil)
		return errors.Is(err, cosem.TemporaryFailure)
	}, 60*time.Second, 5*time.Millisecond)
	require.Equal(t, "5", value(t, c, cosem.ClassExtendedRegister, volts, 4), "status and time can be read still")
	_, err = c.Get(t.Context(), cosem.Attribute{Class: cosem.ClassRegister, Name: volts, Index: 2}, nil)
	require.ErrorIs(t, err, cosem.ObjectClassInconsistent)

	mu.Lock()
	require.Equal(t, []string{"a: reading 4: no OBIS code (0x78)", "a: reading 5: its unit HCA, which DLMS does not have (4-0:1.0.0*255)", "a: reading 5: quality estimated not carried (4-0:1.0.0*255)"}, warned)
	mu.Unlock()

	require.NoError(t, s.Remove("a"))
	require.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), cosem.Attribute{Class: cosem.ClassExtendedRegister, Name: volts, Index: 2}, nil)
		return errors.Is(err, cosem.ObjectUnavailable)
	}, 60*time.Second, 5*time.Millisecond)
}

// Our own client reads a logical device as it reads a meter.
func TestReadWhole(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("heat", obis.Meter{}))
	want := heat(t)
	put(t, s, "heat", want.Data())
	address, _ := run(t, face.Config{}, s, nil)
	c := client(t, address, dlms.Config{Server: 16})
	objects, err := c.Objects(t.Context())
	require.NoError(t, err)
	shown := 0
	for _, o := range objects {
		for _, a := range o.Attributes {
			if _, err := c.Get(t.Context(), o.Attribute(a.Index), nil); a.Mode&cosem.AccessRead != 0 {
				require.NoError(t, err, "%v %d", o, a.Index)
				shown++
			}
		}
	}
	require.Greater(t, shown, 30)
	public, err := associate(t.Context(), address, &dlms.Config{Link: dlms.LinkHDLC, Server: 16})
	require.NoError(t, err, "frames of HDLC are taken, too")
	again, err := public.Objects(t.Context())
	require.NoError(t, err)
	require.Equal(t, objects, again)
	require.NoError(t, public.Close(t.Context()))
	old, err := associate(t.Context(), address, &dlms.Config{Link: dlms.LinkWrapper, Server: 16, ShortNames: true})
	require.NoError(t, err, "and short names")
	named, err := old.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, named, len(objects))
	require.NoError(t, old.Close(t.Context()))
}

// profile returns rows of a profile.
func profile(exp int8, rows ...int64) *mapping.Data {
	p := &obis.Profile{Code: load, Period: 900, Columns: []obis.Column{{Code: energy, Unit: obis.WattHour}}}
	for _, r := range rows {
		p.Times = append(p.Times, obis.FromTime(time.Unix(1795176000+900*r, 0).UTC()))
		p.Columns[0].Append(obis.Int(r, exp))
	}
	return &mapping.Data{Profiles: []*obis.Profile{p}}
}

// Rows come from the source, those that came before the face began, too, and those that came
// in any order.
func TestProfiles(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	put(t, s, "a", profile(1, 3, 4, 5))
	put(t, s, "a", wattHours(7, 1))
	address, stop := run(t, face.Config{}, s, nil)
	c := client(t, address, dlms.Config{Server: 16})
	eventually(t, "3", c, cosem.ClassProfileGeneric, load, 7)
	put(t, s, "a", profile(2, 0, 1))
	eventually(t, "5", c, cosem.ClassProfileGeneric, load, 7)
	buffer := cosem.Attribute{Class: cosem.ClassProfileGeneric, Name: load, Index: 2}
	cells := func(sel *cosem.Selection) (out []string) {
		d, err := c.Get(t.Context(), buffer, sel)
		require.NoError(t, err)
		for _, row := range d.Elements() {
			out = append(out, row.At(row.Len()-1).Value().String())
		}
		return out
	}
	require.Equal(t, []string{"0", "10", "3", "4", "5"}, cells(nil), "with the scaler of the column that was first")
	from := func(n int64) obis.Time { return obis.FromTime(time.Unix(1795176000+900*n, 0).UTC()) }
	byClock := cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassClock, Name: clock, Index: 2}}
	require.Equal(t, []string{"10", "3", "4"}, cells(cosem.ByRange(byClock, from(1), from(4))))
	require.Equal(t, []string{"10", "3"}, cells(cosem.ByEntry(2, 3, 1, 0)))
	require.Equal(t, []string{"10", "3"}, cells(cosem.ByEntry(2, 3, 2, 2)))
	column := cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassRegister, Name: energy, Index: 2}}
	require.Equal(t, []string{"4", "5"}, cells(cosem.ByRange(byClock, from(4), from(9), column)))
	for _, bad := range []*cosem.Selection{cosem.ByRange(column, from(1), from(4)), cosem.ByEntry(0, 3, 1, 0), cosem.ByEntry(1, 3, 3, 0), cosem.ByRange(byClock, from(1), from(4), byClock, cosem.Capture{})} {
		_, err := c.Get(t.Context(), buffer, bad)
		require.ErrorIs(t, err, cosem.TypeUnmatched)
	}
	var rows obis.Profile
	require.NoError(t, c.Profile(t.Context(), load, time.Unix(1795176000+3*900, 0), time.Now().Add(24*time.Hour), &rows))
	require.Equal(t, 3, rows.Len())
	require.Equal(t, "30", rows.Columns[0].At(0).String())
	stop()
}

// asked is a commander that remembers what it was asked.
type asked struct {
	mu   sync.Mutex
	list []site.Command
	err  error
}

func (a *asked) Command(_ context.Context, c site.Command) (site.Answer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, c)
	return site.Answer{Payload: []byte{17, 9}}, a.err
}

func (a *asked) last() site.Command {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list[len(a.list)-1]
}

func TestCommands(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	d := wattHours(12, 1)
	d.Readings = append(d.Readings, obis.Reading{Code: obis.MustParse("0-0:96.13.0"), Value: obis.Text([]byte("hello"))})
	put(t, s, "a", d)
	access := []dlms.Access{{}, {Name: "operator", Client: 2, Auth: apdu.MechanismLow, Password: []byte("secret")}, {Client: 3, Auth: apdu.MechanismLow, Password: []byte("secret")}}
	to := &asked{}
	address, _ := run(t, face.Config{Access: access}, s, to)
	operator := client(t, address, dlms.Config{Server: 16, Client: 2, Auth: apdu.MechanismLow, Password: []byte("secret")})
	eventually(t, "12", operator, cosem.ClassRegister, energy, 2)
	register := cosem.Attribute{Class: cosem.ClassRegister, Name: energy, Index: 2}
	require.NoError(t, operator.Set(t.Context(), register, nil, cosem.Uint32(45)))
	got := to.last()
	require.Equal(t, site.Actor{Face: "dlms", Name: "operator", Remote: got.Actor.Remote}, got.Actor)
	require.Contains(t, got.Actor.Remote, "127.0.0.1:")
	require.Equal(t, site.ID("a"), got.Meter)
	require.Equal(t, []any{energy, uint16(0), "450", obis.WattHour}, []any{got.Code, got.Class, got.Value.String(), got.Unit})

	at := time.Date(2026, 10, 25, 3, 4, 5, 0, time.UTC)
	require.NoError(t, operator.Set(t.Context(), cosem.Attribute{Class: cosem.ClassClock, Name: clock, Index: 2}, nil, cosem.DateTime(obis.FromTime(at))))
	moment, _ := to.last().Value.Time()
	instant, ok := moment.Instant(obis.Clock{})
	require.True(t, ok && instant.Equal(at) && to.last().Class == 0)
	require.ErrorIs(t, operator.Set(t.Context(), cosem.Attribute{Class: cosem.ClassClock, Name: clock, Index: 2}, nil, cosem.Uint8(1)), cosem.TypeUnmatched)
	require.ErrorIs(t, operator.Set(t.Context(), register, nil, cosem.OctetString([]byte("x"))), cosem.TypeUnmatched)
	require.ErrorIs(t, operator.Set(t.Context(), cosem.Attribute{Class: cosem.ClassRegister, Name: energy, Index: 3}, nil, cosem.Uint8(1)), cosem.ReadWriteDenied)

	breaker := obis.MustParse("0-0:96.3.10")
	parameters := cosem.Int8(0)
	answer, err := operator.Action(t.Context(), cosem.Method{Class: cosem.ClassDisconnectControl, Name: breaker, Index: 2}, &parameters)
	require.NoError(t, err)
	require.Equal(t, "9", answer.Value().String())
	got = to.last()
	require.Equal(t, []any{breaker, uint16(70), int8(2), []byte{15, 0}, "1"}, []any{got.Code, got.Class, got.Method, got.Payload, got.Value.String()})
	require.NoError(t, operator.Set(t.Context(), cosem.Attribute{Class: cosem.ClassDisconnectControl, Name: breaker, Index: 4}, nil, cosem.Enum(3)))
	got = to.last()
	require.Equal(t, []any{uint16(70), int8(4), []byte{22, 3}}, []any{got.Class, got.Attribute, got.Payload})

	for refusal, want := range map[error]cosem.DataAccessResult{
		site.ErrPolicy: cosem.ReadWriteDenied, fmt.Errorf("meter: %w", cosem.ScopeOfAccessViolated): cosem.ScopeOfAccessViolated,
		site.ErrUnknown: cosem.ObjectUndefined, site.ErrSelected: cosem.TemporaryFailure, site.ErrUncertain: cosem.OtherReason, dlms.ErrValue: cosem.TypeUnmatched,
	} {
		to.mu.Lock()
		to.err = refusal
		to.mu.Unlock()
		require.ErrorIs(t, operator.Set(t.Context(), register, nil, cosem.Uint32(45)), want)
	}
	asked := len(to.list)
	public := client(t, address, dlms.Config{Server: 16})
	require.ErrorIs(t, public.Set(t.Context(), register, nil, cosem.Uint32(45)), cosem.ReadWriteDenied)
	_, err = public.Action(t.Context(), cosem.Method{Class: cosem.ClassDisconnectControl, Name: breaker, Index: 1}, &parameters)
	require.Error(t, err)
	require.Len(t, to.list, asked, "who proved nothing commands nothing")
	_, err = public.Get(t.Context(), register, nil)
	require.ErrorIs(t, err, cosem.ObjectUndefined)
	objects, err := public.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, objects, 3, "association, name and clock")
	other := client(t, address, dlms.Config{Server: 16, Client: 3, Auth: apdu.MechanismLow, Password: []byte("secret")})
	_ = other.Set(t.Context(), register, nil, cosem.Uint32(45))
	require.Equal(t, "client 3", to.last().Actor.Name)
	manager := client(t, address, dlms.Config{Server: 1})
	_, err = manager.Get(t.Context(), assignment, nil)
	require.ErrorIs(t, err, cosem.ObjectUndefined)
}

func TestNoCommander(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	put(t, s, "a", wattHours(12, 1))
	address, _ := run(t, face.Config{}, s, nil)
	c := client(t, address, dlms.Config{Server: 16})
	require.ErrorIs(t, c.Set(t.Context(), cosem.Attribute{Class: cosem.ClassRegister, Name: energy, Index: 2}, nil, cosem.Uint32(45)), cosem.ReadWriteDenied)
}

// The SAP of a meter stays: over restarts, and when meters come and go.
func TestSAPs(t *testing.T) {
	state := filepath.Join(t.TempDir(), "saps")
	s := site.New(nil)
	for _, id := range []site.ID{"b", "c", "d"} {
		require.NoError(t, s.Add(id, obis.Meter{}))
	}
	given := func(cfg face.Config, want map[string]uint16) {
		t.Helper()
		address, stop := run(t, cfg, s, nil)
		defer stop()
		var list map[string]uint16
		require.Eventually(t, func() bool {
			var err error
			list, err = saps(t.Context(), address)
			return err == nil && len(list) == len(want)
		}, 60*time.Second, 5*time.Millisecond)
		require.Equal(t, want, list)
	}
	given(face.Config{SAPs: map[site.ID]uint16{"c": 16}, State: state, Name: "GW"}, map[string]uint16{"GW": 1, "c": 16, "b": 17, "d": 18})
	require.NoError(t, s.Remove("b"))
	require.NoError(t, s.Add("a", obis.Meter{}))
	given(face.Config{SAPs: map[site.ID]uint16{"c": 16}, State: state}, map[string]uint16{"OUMGATEWAY": 1, "c": 16, "d": 18, "a": 19})
	require.NoError(t, s.Add("b", obis.Meter{ID: "new device"}))
	given(face.Config{State: state, SAPs: map[site.ID]uint16{"c": 100}}, map[string]uint16{"OUMGATEWAY": 1, "c": 100, "d": 18, "a": 19, "new device": 17})

	text, err := os.ReadFile(state)
	require.NoError(t, err)
	require.Equal(t, "16 \"c\"\n17 \"b\"\n18 \"d\"\n19 \"a\"\n100 \"c\"\n", string(text))
	require.NoError(t, os.WriteFile(state, append(text, "20 \"to"...), 0o600))
	require.NoError(t, s.Add("e", obis.Meter{}))
	given(face.Config{State: state, SAPs: map[site.ID]uint16{"c": 100}}, map[string]uint16{"OUMGATEWAY": 1, "c": 100, "d": 18, "a": 19, "new device": 17, "e": 20})
	given(face.Config{State: state}, map[string]uint16{"OUMGATEWAY": 1, "c": 100, "d": 18, "a": 19, "new device": 17, "e": 20})
	given(face.Config{State: state, SAPs: map[site.ID]uint16{"d": 19}}, map[string]uint16{"OUMGATEWAY": 1, "c": 100, "d": 19, "a": 21, "new device": 17, "e": 20})
	require.NoError(t, os.WriteFile(state, []byte("nonsense\n"), 0o600))
	_, err = face.New(&face.Config{Listen: ":0", State: state}, s, nil)
	require.ErrorContains(t, err, "line 1")
	for _, bad := range []map[site.ID]uint16{{"a": 1}, {"a": 127}, {"a": 0x4000}, {"a": 20, "b": 20}} {
		_, err = face.New(&face.Config{Listen: ":0", SAPs: bad}, s, nil)
		require.ErrorContains(t, err, "SAP")
	}
}

// A client of TLS is served, one without is not.
func TestTLS(t *testing.T) {
	s := site.New(nil)
	certificate := selfSigned(t)
	address, _ := run(t, face.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Limits: serve.Config{Max: 2}}, s, nil)
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	c := dlms.NewClient(conn, &dlms.Config{Link: dlms.LinkWrapper, Timeout: 5 * time.Second})
	require.NoError(t, c.Open(t.Context()))
	require.NoError(t, c.Close(t.Context()))
	_, err = associate(t.Context(), address, &dlms.Config{Link: dlms.LinkWrapper, Retries: -1})
	require.Error(t, err)
}
