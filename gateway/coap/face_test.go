package coap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp"
	"github.com/plgd-dev/go-coap/v3/udp/client"
	"github.com/stretchr/testify/require"

	dtlsclient "github.com/plgd-dev/go-coap/v3/dtls"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/coap"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
	"github.com/openusm/meter/site/sitetest"
)

// reader reads registers as plain text.
type reader struct{ *client.Conn }

func (r reader) Read(ctx context.Context, meter site.ID, code obis.Code) (out sitetest.Reading, err error) {
	m, err := r.Get(ctx, "/m/"+string(meter)+"/m/"+strings.TrimSuffix(code.String(), "*255"), accept(coap.Text))
	if err != nil {
		return out, err
	}
	if m.Code() != codes.Content {
		return out, errors.New(m.Code().String())
	}
	age, err := m.GetOptionUint32(message.MaxAge)
	if err != nil {
		return out, err
	}
	b, err := m.ReadBody()
	return sitetest.Reading{Value: string(b), Old: age == 0}, err
}

func TestFace(t *testing.T) {
	sitetest.Run(t, sitetest.Subject{
		Network: "udp",
		New: func(address string, source site.Source, commander site.Commander) (site.Face, error) {
			return New(&Config{Listen: address}, source, commander)
		},
		Dial: func(ctx context.Context, address string) (sitetest.Client, error) {
			conn, err := udp.Dial(address, options.WithErrors(func(error) {}))
			if err != nil {
				return nil, err
			}
			ctx, stop := context.WithTimeout(ctx, time.Second)
			defer stop()
			if _, err := conn.Get(ctx, "/m"); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return reader{conn}, nil
		},
	})
}

// show serves a face until the test ends.
func show(t *testing.T, cfg Config, source site.Source, commander site.Commander) (f *Face, address string) {
	t.Helper()
	at := make(chan string, 1)
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.Ready = func(a net.Addr) { at <- a.String() }
	f, err := New(&cfg, source, commander)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	return f, <-at
}

func power(watts int64) *mapping.Data {
	return &mapping.Data{Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.7.0"), Rule: obis.RuleTransmitted, Unit: obis.Watt, Value: obis.Int(watts, 0)},
		{Code: obis.MustParse("1-0:32.7.0"), Rule: obis.RuleTransmitted, Unit: obis.Volt, Value: obis.Int(230, 0)},
		{Code: obis.MustParse("0-0:96.13.0"), Value: obis.Text([]byte("hello"))},
	}}
}

func put(t *testing.T, s *site.Site, id site.ID, d *mapping.Data) {
	t.Helper()
	require.NoError(t, s.Put(id, d, site.Stamp{Job: "test"}))
}

// text reads a resource once it is there.
func text(t *testing.T, conn *client.Conn, path string, opts ...message.Option) (out string) {
	t.Helper()
	require.Eventually(t, func() bool {
		m, err := conn.Get(timeout(t), path, opts...)
		if err != nil || m.Code() != codes.Content {
			return false
		}
		out = body(t, m)
		return true
	}, 60*time.Second, 10*time.Millisecond, path)
	return out
}

func TestMeters(t *testing.T) {
	s := site.New(nil)
	for _, id := range []site.ID{"b/1", "a", "b_1"} {
		require.NoError(t, s.Add(id, obis.Meter{ID: "ID of " + string(id)}))
	}
	var mu sync.Mutex
	var warned []string
	f, address := show(t, Config{Warn: func(w string) {
		mu.Lock()
		defer mu.Unlock()
		warned = append(warned, w)
	}}, s, nil)
	d := power(401)
	d.Readings = append(d.Readings, obis.Reading{Code: obis.MustParse("1-0:9.9.0"), Unit: obis.Watt})
	put(t, s, "a", d)
	conn := dial(t, address)
	require.Equal(t, "401", text(t, conn, "/m/a/m/1-0:1.7.0", accept(coap.Text)))
	links := `</m/a>;rt="meter";if="core.ll";ct=40,</m/b_1>;rt="meter";if="core.ll";ct=40`
	require.Equal(t, links, text(t, conn, "/.well-known/core"))
	require.Equal(t, links, text(t, conn, "/m"))
	require.Equal(t, links[:strings.IndexByte(links, ',')], text(t, conn, "/.well-known/core", message.Option{ID: message.URIQuery, Value: []byte("href=/m/a")}))
	require.Equal(t, `</m/a/m/1-0:1.7.0>;rt="meter.reading";if="core.s";ct="110 112 0";obs;title="active power import"`,
		text(t, conn, "/m/a", message.Option{ID: message.URIQuery, Value: []byte("href=/m/a/m/1-0:1.7.0")}))
	require.Contains(t, text(t, conn, "/m/a"), "</m/a/3305/0>;")
	require.Equal(t, `[{"bn":"ID_of_a/","n":"id","vs":"ID of a"}]`, text(t, conn, "/m/a/id"))
	require.Equal(t, `[{"bn":"/3305/0/","n":"5800","v":401}]`, text(t, conn, "/m/a/3305/0/5800"))
	put(t, s, "a", power(402))
	require.Eventually(t, func() bool { return text(t, conn, "/m/a/3305/0/5800") == `[{"bn":"/3305/0/","n":"5800","v":402}]` }, 60*time.Second, 5*time.Millisecond)
	for _, path := range []string{"/", "/id", "/m/c", "/m/a/x", "/m/a/.well-known/core", "/m/a/p/1-0:99.1.0"} {
		m, err := conn.Get(timeout(t), path)
		require.NoError(t, err)
		require.Equal(t, codes.NotFound, m.Code(), path)
	}
	mu.Lock()
	require.Contains(t, warned, `b_1: "/m/b_1" is no path, or that of another meter`)
	require.Contains(t, warned, "a: reading 3: no value (1-0:9.9.0*255)")
	mu.Unlock()
	require.NoError(t, s.Remove("a"))
	require.Eventually(t, func() bool {
		m, err := conn.Get(timeout(t), "/m/a/id")
		return err == nil && m.Code() == codes.NotFound
	}, 60*time.Second, 5*time.Millisecond)
	require.Equal(t, 1, f.server.count())
}

// Who observes a resource is told what is new of it, that it is old, that it is not any more,
// and that it is gone; and nothing of others.
func TestObserveMeter(t *testing.T) {
	s := site.New(nil)
	for _, id := range []site.ID{"a", "b"} {
		require.NoError(t, s.Add(id, obis.Meter{}))
		put(t, s, id, power(1))
	}
	_, address := show(t, Config{}, s, nil)
	conn := dial(t, address)
	text(t, conn, "/m/a/id")
	got := make(chan string, 16)
	_, err := conn.Observe(timeout(t), "/m/a/m/1-0:1.7.0", func(m *pool.Message) {
		b, _ := m.ReadBody()
		age, err := m.GetOptionUint32(message.MaxAge)
		got <- fmt.Sprint(m.Code(), " ", string(b), " ", err == nil && age > 0)
	}, accept(coap.Text))
	require.NoError(t, err)
	next := func() string {
		select {
		case s := <-got:
			return s
		case <-time.After(5 * time.Second):
			return "nothing"
		}
	}
	require.Equal(t, "Content 1 true", next())
	put(t, s, "b", power(2))
	d := power(1)
	d.Readings[1].Value = obis.Int(231, 0)
	put(t, s, "a", d)
	put(t, s, "a", power(3))
	require.Equal(t, "Content 3 true", next())
	require.NoError(t, s.Fail("a", "test", time.Time{}))
	require.Equal(t, "Content 3 false", next())
	put(t, s, "a", power(3))
	require.Equal(t, "Content 3 true", next())
	require.NoError(t, s.Remove("a"))
	require.Contains(t, next(), "NotFound")
}

// What does not change is told again before it would grow old at the observer.
func TestRemind(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	put(t, s, "a", power(1))
	_, address := show(t, Config{MaxAge: 400 * time.Millisecond}, s, nil)
	conn := dial(t, address)
	text(t, conn, "/m/a/id")
	got := make(chan bool, 16)
	_, err := conn.Observe(timeout(t), "/m/a/m/1-0:1.7.0", func(*pool.Message) { got <- true })
	require.NoError(t, err)
	for range 4 {
		select {
		case <-got:
		case <-time.After(2 * time.Second):
			t.Fatal("nothing came")
		}
	}
}

func day(n int64, rows ...int64) *mapping.Data {
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour}}}
	for _, r := range rows {
		p.Times = append(p.Times, obis.FromTime(time.Unix(1795176000+n*86400+900*r, 0).UTC()))
		p.Columns[0].Append(obis.Int(100*n+r, 0))
	}
	return &mapping.Data{Profiles: []*obis.Profile{p}, Events: []obis.Event{{Log: obis.MustParse("0-0:99.98.0"), ID: uint32(n), Time: p.Times[0]}}}
}

// Profiles and events are those that the source keeps, also from before the face began.
func TestProfilesAndEvents(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	put(t, s, "a", day(0, 0, 1, 2))
	put(t, s, "a", day(1, 0, 1))
	put(t, s, "a", power(1))
	_, address := show(t, Config{}, s, nil)
	conn := dial(t, address)
	values := func(query ...message.Option) (out []string) {
		d, _, err := coap.ParseSenML([]byte(text(t, conn, "/m/a/p/1-0:99.1.0", query...)))
		require.NoError(t, err)
		for _, r := range d.Readings {
			out = append(out, r.Value.String())
		}
		for _, p := range d.Profiles {
			for row := range p.Times {
				out = append(out, p.Columns[0].At(row).String())
			}
		}
		return out
	}
	require.Equal(t, []string{"1", "2", "100", "101"}, values(), "a day back from the last row")
	query := func(q string) message.Option { return message.Option{ID: message.URIQuery, Value: []byte(q)} }
	m, err := conn.Get(timeout(t), "/m/a/p/1-0:99.1.0", query("from=1795176000"))
	require.NoError(t, err)
	require.Equal(t, codes.Unauthorized, m.Code(), "strangers have to show that they are where they say")
	value, err := m.GetOptionBytes(echo)
	require.NoError(t, err)
	_, err = conn.Get(timeout(t), "/m", message.Option{ID: echo, Value: value})
	require.NoError(t, err)
	require.Equal(t, []string{"0", "1", "2", "100", "101"}, values(query("from=1795176000")))
	require.Equal(t, []string{"2", "100"}, values(query("from=2026-11-20T12:30:00Z"), query("to=1795262400")))
	require.Contains(t, text(t, conn, "/m/a"), `</m/a/p/1-0:99.1.0>;rt="meter.profile"`)
	require.Equal(t, `</m/a/p/1-0:99.1.0>;rt="meter.profile";if="core.rp";ct="110 112";title="load profile, 4 rows"`, text(t, conn, "/m/a/p"))
	require.Equal(t, 2, strings.Count(text(t, conn, "/m/a/e"), "0-0:99.98.0/"))
	put(t, s, "a", day(2, 0))
	require.Eventually(t, func() bool { return strings.Count(text(t, conn, "/m/a/e"), "0-0:99.98.0/") == 3 }, 90*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{"100", "101", "200"}, values())
	require.Equal(t, []string{"0"}, values(query("to=1795176000")))
	for _, q := range [][]message.Option{{query("from=x")}, {query("since=0")}, {query("from=0"), query("to=1795176000")}} {
		m, err := conn.Get(timeout(t), "/m/a/p/1-0:99.1.0", q...)
		require.NoError(t, err)
		require.Equal(t, codes.BadRequest, m.Code(), q)
	}
}

// asked is a commander that remembers what it was asked.
type asked struct {
	mu    sync.Mutex
	list  []site.Command
	err   error
	delay time.Duration
}

func (a *asked) Command(_ context.Context, c site.Command) (site.Answer, error) {
	time.Sleep(a.delay)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, c)
	return site.Answer{}, a.err
}

func (a *asked) commands() []site.Command {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]site.Command(nil), a.list...)
}

func TestCommands(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	put(t, s, "a", power(1))
	to := &asked{}
	_, address := show(t, Config{Listen: "coaps://127.0.0.1:0", Keys: map[string]Key{"operator": []byte("0123456789abcdef")}}, s, to)
	conn, err := dtlsclient.Dial(address, psk("operator", "0123456789abcdef"), options.WithErrors(func(error) {}))
	require.NoError(t, err)
	defer conn.Close()
	text(t, conn, "/m/a/id")
	write := func(path string, format message.MediaType, body string, opts ...message.Option) codes.Code {
		m, err := conn.Put(timeout(t), path, format, strings.NewReader(body), opts...)
		require.NoError(t, err)
		return m.Code()
	}
	require.Equal(t, codes.Changed, write("/m/a/m/1-0:1.7.0", message.TextPlain, "45"))
	got := to.commands()[0]
	require.Equal(t, site.Command{Meter: "a", Actor: site.Actor{Face: "coap", Name: "operator", Remote: got.Actor.Remote}, Code: obis.MustParse("1-0:1.7.0"), Value: obis.Int(45, 0), Unit: obis.Watt}, got)
	require.Contains(t, got.Actor.Remote, "127.0.0.1:")
	m, err := conn.Post(timeout(t), "/m/a/m/0-0:17.0.0", message.MediaType(coap.SenMLJSON), strings.NewReader(`[{"u":"kW","v":4.5}]`))
	require.NoError(t, err)
	require.Equal(t, codes.Changed, m.Code())
	got = to.commands()[1]
	require.Equal(t, []any{"4500", obis.Watt}, []any{got.Value.String(), got.Unit})
	require.Equal(t, codes.Changed, write("/m/a/m/0-0:1.0.0", message.TextPlain, "2026-10-25T03:04:05Z"))
	require.Equal(t, obis.KindTime, to.commands()[2].Value.Kind())
	asked := len(to.commands())
	for path, want := range map[string]codes.Code{
		"/m/a/id": codes.MethodNotAllowed, "/m/a": codes.MethodNotAllowed, "/m/a/m/x": codes.MethodNotAllowed, "/m/b/m/1-0:1.7.0": codes.NotFound, "/m": codes.NotFound,
	} {
		require.Equal(t, want, write(path, message.TextPlain, "1"), path)
	}
	require.Equal(t, codes.BadRequest, write("/m/a/m/1-0:1.7.0", message.TextPlain, "much"))
	require.Equal(t, codes.UnsupportedMediaType, write("/m/a/m/1-0:1.7.0", message.AppXML, "1"))
	require.Equal(t, codes.PreconditionFailed, write("/m/a/m/1-0:1.7.0", message.TextPlain, "1", message.Option{ID: message.IfMatch, Value: []byte("x")}))
	require.Equal(t, codes.BadOption, write("/m/a/m/1-0:1.7.0", message.TextPlain, "1", message.Option{ID: message.IfNoneMatch, Value: nil}))
	require.Len(t, to.commands(), asked)
	for refusal, want := range map[error]codes.Code{
		site.ErrPolicy: codes.Forbidden, site.ErrUnknown: codes.NotFound, site.ErrSelected: conflict, site.ErrUncertain: codes.GatewayTimeout,
		context.DeadlineExceeded: codes.GatewayTimeout, errors.New("meter: it would not"): codes.BadGateway,
	} {
		to.mu.Lock()
		to.err = refusal
		to.mu.Unlock()
		require.Equal(t, want, write("/m/a/m/1-0:1.7.0", message.TextPlain, "1"))
	}
}

// putPower sets the power to 5: PUT /m/a/m/1-0:1.7.0, message id 0x0101.
var putPower = append(append([]byte{0x40, 3, 1, 1, 0xB1, 'm', 0x01, 'a', 0x01, 'm', 0x09}, "1-0:1.7.0"...), 0xFF, '5')

// A command that comes again is carried out once, and answered again.
func TestRepeatedCommand(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	put(t, s, "a", power(1))
	to := &asked{delay: 200 * time.Millisecond}
	_, address := show(t, Config{}, s, to)
	text(t, dial(t, address), "/m/a/id")
	r := newRaw(t, address)
	r.send(putPower...)
	answer := r.receive(5 * time.Second)
	require.Equal(t, byte(codes.Unauthorized), answer[1], "who forges a sender commands nothing")
	require.Empty(t, to.commands())
	require.LessOrEqual(t, len(answer), amplification*len(putPower))
	r.send(append([]byte{0x40, 1, 0, 8, 0xB1, 'm', 0xD6, 252 - 11 - 13}, answer[6:]...)...)
	require.Equal(t, byte(codes.Content), r.receive(5 * time.Second)[1])
	for range 3 {
		r.send(putPower...)
		time.Sleep(30 * time.Millisecond)
	}
	r.send(0x40, 1, 0, 9, 0xB1, 'm')
	answer = r.receive(5 * time.Second)
	require.Equal(t, []byte{0, 9}, answer[2:4], "other requests need not wait")
	answer = r.receive(5 * time.Second)
	require.Equal(t, []byte{0x60, byte(codes.Changed), 1, 1}, answer)
	require.Nil(t, r.receive(300*time.Millisecond))
	r.send(putPower...)
	require.Equal(t, answer, r.receive(5*time.Second))
	require.Len(t, to.commands(), 1)
	require.Equal(t, site.Actor{Face: "coap", Remote: to.commands()[0].Actor.Remote}, to.commands()[0].Actor, "nobody in particular")
}

// Commands of strangers have no more sent to them than requests to read.
func TestCommandAmplification(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	for name, to := range map[string]site.Commander{"refused": nil, "allowed": &asked{}} {
		_, address := show(t, Config{}, s, to)
		for _, request := range [][]byte{putPower, {0x40, 3, 1, 1}, {0x40, 2, 1, 1, 0xB1, 'm'}, {0x48, 3, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0xB1, 'm', 0xFF, '5'}, {0x40, 3, 1, 1, 0xD1, 0, 1}} {
			r := newRaw(t, address)
			sent, received := 0, 0
			for range 3 {
				r.send(request...)
				sent += len(request)
				for b := r.receive(100 * time.Millisecond); b != nil; b = r.receive(50 * time.Millisecond) {
					received += len(b)
				}
			}
			require.LessOrEqual(t, received, amplification*sent, "%s %x", name, request)
			require.Positive(t, received)
		}
	}
}

func TestNoCommander(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	put(t, s, "a", power(1))
	_, address := show(t, Config{}, s, nil)
	conn := dial(t, address)
	text(t, conn, "/m/a/id")
	m, err := conn.Put(timeout(t), "/m/a/m/1-0:1.7.0", message.TextPlain, strings.NewReader("1"))
	require.NoError(t, err)
	require.Equal(t, codes.MethodNotAllowed, m.Code())
}
