package coap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/net/blockwise"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp"
	"github.com/plgd-dev/go-coap/v3/udp/client"
	"github.com/stretchr/testify/require"

	dtlsclient "github.com/plgd-dev/go-coap/v3/dtls"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/coap"
	"github.com/openusm/meter/obis"
)

// sample is a meter with a power of so many watts, and a profile of a day.
func sample(watts int64) *mapping.Data {
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour}}}
	for i := range 96 {
		p.Times = append(p.Times, obis.FromTime(time.Unix(1795176000+int64(i)*900, 0).UTC()))
		p.Columns[0].Append(obis.Int(int64(1000+i), 1))
	}
	return &mapping.Data{Meter: obis.Meter{ID: "ABC12345678"}, Profiles: []*obis.Profile{p}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.7.0"), Unit: obis.Watt, Value: obis.Int(watts, 0)},
		{Code: obis.MustParse("1-0:14.7.0"), Unit: obis.Hertz, Value: obis.Int(4998, -2)},
	}}
}

// serve serves on an address of this machine until the test ends.
func serve(t testing.TB, cfg *Config, scheme string) (*Server, string) {
	s, err := NewServer(cfg)
	require.NoError(t, err)
	s.Update(sample(401))
	l, err := s.Listen(scheme + "://127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(10 * time.Second):
			t.Error("the server does not stop")
		}
	})
	return s, l.Addr().String()
}

func dial(t testing.TB, address string, opts ...udp.Option) *client.Conn {
	conn, err := udp.Dial(address, append([]udp.Option{options.WithErrors(func(error) {})}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func timeout(t testing.TB) context.Context {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(stop)
	return ctx
}

func accept(f coap.Format) message.Option {
	return message.Option{ID: message.Accept, Value: []byte{byte(f >> 8), byte(f)}[min(1, max(0, 1-int(f>>8))):]}
}

func body(t testing.TB, m *pool.Message) string {
	b, err := m.ReadBody()
	require.NoError(t, err)
	return string(b)
}

func TestGet(t *testing.T) {
	_, address := serve(t, nil, "coap")
	conn := dial(t, address)
	tree, _ := coap.NewTree(sample(401), nil)
	for _, path := range []string{"/.well-known/core", "/id", "/m", "/m/1-0:1.7.0", "/p", "/e", "/3305/0"} {
		m, err := conn.Get(timeout(t), path)
		require.NoError(t, err)
		require.Equal(t, codes.Content, m.Code(), path)
		want, err := tree.Get(path, nil, coap.AnyFormat)
		require.NoError(t, err)
		require.Equal(t, string(want.Body), body(t, m))
		format, err := m.ContentFormat()
		require.NoError(t, err)
		require.Equal(t, message.MediaType(want.Format), format)
	}
	m, err := conn.Get(timeout(t), "/m/1-0:1.7.0", accept(coap.Text))
	require.NoError(t, err)
	require.Equal(t, "401", body(t, m))
	m, err = conn.Get(timeout(t), "/.well-known/core", message.Option{ID: message.URIQuery, Value: []byte("rt=meter.readings")})
	require.NoError(t, err)
	require.Equal(t, `</m>;rt="meter.readings";if="core.b";ct="110 112";obs;title="readings"`, body(t, m))
}

func TestIPv6(t *testing.T) {
	s, err := NewServer(nil)
	require.NoError(t, err)
	s.Update(sample(401))
	l, err := s.Listen("coap://[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Serve(ctx) }()
	m, err := dial(t, l.Addr().String()).Get(timeout(t), "/m/1-0:1.7.0", accept(coap.Text))
	require.NoError(t, err)
	require.Equal(t, "401", body(t, m))
	stop()
	<-done
}

func TestRefuses(t *testing.T) {
	_, address := serve(t, nil, "coap")
	conn := dial(t, address)
	proves(t, conn)
	for _, test := range []struct {
		path string
		opt  message.Option
		want codes.Code
	}{
		{"/nothing", accept(coap.SenMLJSON), codes.NotFound},
		{"/m", accept(50), codes.NotAcceptable},
		{"/m", accept(coap.LwM2MTLV), codes.NotAcceptable},
		{"/.well-known/core", message.Option{ID: message.URIQuery, Value: []byte("=x")}, codes.BadRequest},
		{"/m", message.Option{ID: message.Block2, Value: []byte{0x07}}, codes.BadRequest},
		{"/m", message.Option{ID: message.Block2, Value: []byte{0xF0}}, codes.BadRequest},
		{"/m", message.Option{ID: message.ProxyURI, Value: []byte("coap://x")}, codes.ProxyingNotSupported},
		{"/m", message.Option{ID: 2049, Value: []byte("x")}, codes.BadOption},
	} {
		m, err := conn.Get(timeout(t), test.path, test.opt)
		require.NoError(t, err)
		require.Equal(t, test.want, m.Code(), "%s %v", test.path, test.opt)
		require.NotEmpty(t, body(t, m))
	}
	m, err := conn.Put(timeout(t), "/m", message.TextPlain, strings.NewReader("1"))
	require.NoError(t, err)
	require.Equal(t, codes.MethodNotAllowed, m.Code())
}

func TestNothingYet(t *testing.T) {
	s, err := NewServer(nil)
	require.NoError(t, err)
	l, err := s.Listen("udp://127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Serve(ctx) }()
	m, err := dial(t, l.Addr().String()).Get(timeout(t), "/m")
	require.NoError(t, err)
	require.Equal(t, codes.ServiceUnavailable, m.Code())
	stop()
	<-done
}

// What did not change is only confirmed.
func TestETag(t *testing.T) {
	s, address := serve(t, &Config{MaxAge: 30 * time.Second}, "coap")
	conn := dial(t, address)
	m, err := conn.Get(timeout(t), "/m/1-0:1.7.0")
	require.NoError(t, err)
	tag, err := m.ETag()
	require.NoError(t, err)
	age, err := m.GetOptionUint32(message.MaxAge)
	require.NoError(t, err)
	require.InDelta(t, 30, age, 2)
	s.updated.Add(-int64(time.Hour)) // as if that were the last update
	old, err := conn.Get(timeout(t), "/m/1-0:1.7.0")
	require.NoError(t, err)
	age, err = old.GetOptionUint32(message.MaxAge)
	require.NoError(t, err)
	require.Zero(t, age)
	m, err = conn.Get(timeout(t), "/m/1-0:1.7.0", message.Option{ID: message.ETag, Value: tag})
	require.NoError(t, err)
	require.Equal(t, codes.Valid, m.Code())
	require.Empty(t, body(t, m))
	s.Update(sample(402))
	m, err = conn.Get(timeout(t), "/m/1-0:1.7.0", message.Option{ID: message.ETag, Value: tag})
	require.NoError(t, err)
	require.Equal(t, codes.Content, m.Code())
}

func TestBlocks(t *testing.T) {
	_, address := serve(t, nil, "coap")
	tree, _ := coap.NewTree(sample(401), nil)
	want, err := tree.Get("/p/1-0:99.1.0", nil, coap.AnyFormat)
	require.NoError(t, err)
	require.Greater(t, len(want.Body), 4096)
	for _, szx := range []blockwise.SZX{blockwise.SZX16, blockwise.SZX64, blockwise.SZX512, blockwise.SZX1024} {
		t.Run(fmt.Sprint(szx.Size()), func(t *testing.T) {
			conn := dial(t, address, options.WithBlockwise(true, szx, 10*time.Second))
			m, err := conn.Get(timeout(t), "/p/1-0:99.1.0", message.Option{ID: message.Block2, Value: []byte{byte(szx)}})
			require.NoError(t, err)
			require.Equal(t, codes.Content, m.Code())
			require.Equal(t, string(want.Body), body(t, m))
		})
	}
}

// One block at a time, with the readings replaced between them: the transfer goes
// on with the representation with which it began.
func TestBlocksWhileUpdated(t *testing.T) {
	s, address := serve(t, &Config{BlockSize: 64}, "coap")
	conn := dial(t, address, options.WithBlockwise(false, 0, 0))
	proves(t, conn)
	tree, _ := coap.NewTree(sample(401), nil)
	want, err := tree.Get("/m", nil, coap.AnyFormat)
	require.NoError(t, err)
	var got bytes.Buffer
	for number := 0; ; number++ {
		m, err := conn.Get(timeout(t), "/m", message.Option{ID: message.Block2, Value: []byte{byte(number<<4 | 2)}})
		require.NoError(t, err)
		require.Equal(t, codes.Content, m.Code())
		got.WriteString(body(t, m))
		value, err := m.GetOptionUint32(message.Block2)
		require.NoError(t, err)
		require.Equal(t, number, int(value>>4))
		tag, err := m.ETag()
		require.NoError(t, err)
		require.Equal(t, want.ETag[:], tag)
		if number == 0 {
			size, err := m.GetOptionUint32(message.Size2)
			require.NoError(t, err)
			require.Len(t, want.Body, int(size))
		}
		s.Update(sample(500 + int64(number)))
		if value&8 == 0 {
			break
		}
	}
	require.Equal(t, string(want.Body), got.String())
	// blocks of 1024 are asked for, those of 64 are given, from the same offset
	m, err := conn.Get(timeout(t), "/p/1-0:99.1.0", message.Option{ID: message.Block2, Value: []byte{1<<4 | 6}})
	require.NoError(t, err)
	value, err := m.GetOptionUint32(message.Block2)
	require.NoError(t, err)
	require.Equal(t, uint32(16<<4|8|2), value)
}

func TestObserve(t *testing.T) {
	s, address := serve(t, nil, "coap")
	conn := dial(t, address)
	got := make(chan string, 16)
	o, err := conn.Observe(timeout(t), "/m/1-0:1.7.0", func(m *pool.Message) {
		b, _ := m.ReadBody()
		got <- string(b)
	}, accept(coap.Text))
	require.NoError(t, err)
	require.Equal(t, "401", <-got)
	for watts := int64(402); watts < 405; watts++ {
		s.Update(sample(watts))
		require.Equal(t, fmt.Sprint(watts), <-got)
	}
	s.Update(sample(404)) // nothing changed
	time.Sleep(100 * time.Millisecond)
	require.Empty(t, got)
	require.NoError(t, o.Cancel(timeout(t)))
	s.Update(sample(405))
	time.Sleep(100 * time.Millisecond)
	require.Empty(t, got)
}

// What the meter shows no more ends with an error.
func TestObserveGone(t *testing.T) {
	s, address := serve(t, nil, "coap")
	conn := dial(t, address)
	got := make(chan codes.Code, 4)
	_, err := conn.Observe(timeout(t), "/m/1-0:14.7.0", func(m *pool.Message) { got <- m.Code() })
	require.NoError(t, err)
	require.Equal(t, codes.Content, <-got)
	d := sample(401)
	d.Readings = d.Readings[:1]
	s.Update(d)
	require.Equal(t, codes.NotFound, <-got)
	require.Eventually(t, func() bool { return observations(s) == 0 }, 5*time.Second, 10*time.Millisecond)
}

func observations(s *Server) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.remotes {
		r.mu.Lock()
		n += len(r.observations)
		r.mu.Unlock()
	}
	return n
}

func (s *Server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.remotes)
}

// raw is a client that says just what a test tells it.
type raw struct {
	t    testing.TB
	conn net.Conn
}

func newRaw(t testing.TB, address string) raw {
	conn, err := net.Dial("udp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return raw{t, conn}
}

func (r raw) send(b ...byte) {
	_, err := r.conn.Write(b)
	require.NoError(r.t, err)
}

func (r raw) receive(wait time.Duration) []byte {
	require.NoError(r.t, r.conn.SetReadDeadline(time.Now().Add(wait)))
	b := make([]byte, 2048)
	n, err := r.conn.Read(b)
	if err != nil {
		return nil
	}
	return b[:n]
}

// proves shows that the client receives what is sent to it, by a request that is too
// short for anything else than the question for an Echo.
func (r raw) proves() {
	r.send(0x40, 1, 0, 0, 0xB1, 'm')
	answer := r.receive(5 * time.Second)
	require.Equal(r.t, []byte{0x60, byte(codes.Unauthorized), 0, 0, 0xD0 | echoLen, 252 - 13}, answer[:6])
	r.send(append([]byte{0x40, 1, 0, 1, 0xB1, 'm', 0xD0 | echoLen, 252 - 11 - 13}, answer[6:]...)...)
	require.NotNil(r.t, r.receive(5*time.Second))
}

// proves is the same for a client of the library.
func proves(t testing.TB, conn *client.Conn) {
	m, err := conn.Get(timeout(t), "/m/1-0:1.7.0")
	require.NoError(t, err)
	value, err := m.GetOptionBytes(echo)
	require.NoError(t, err)
	_, err = conn.Get(timeout(t), "/m/1-0:1.7.0", message.Option{ID: echo, Value: value})
	require.NoError(t, err)
}

// The bytes of GET /m/1-0:1.7.0 as text with Observe 0, message id 0x1234, token 07.
var observeText = append(append([]byte{0x41, 1, 0x12, 0x34, 7, 0x60, 0x51, 'm', 0x09}, "1-0:1.7.0"...), 0x60)

// A client that resets a notification observes no more (RFC 7641, section 3.6).
func TestObserveReset(t *testing.T) {
	s, address := serve(t, nil, "coap")
	r := newRaw(t, address)
	r.send(observeText...)
	answer := r.receive(5 * time.Second)
	require.Equal(t, []byte{0x61, 0x45, 0x12, 0x34, 7}, answer[:5])
	require.True(t, bytes.HasSuffix(answer, []byte("\xff401")))
	s.Update(sample(402))
	note := r.receive(5 * time.Second)
	require.Equal(t, []byte{0x41, 0x45}, note[:2])
	require.Equal(t, byte(7), note[4])
	require.True(t, bytes.HasSuffix(note, []byte("\xff402")))
	r.send(0x70, 0, note[2], note[3])
	require.Eventually(t, func() bool { return observations(s) == 0 }, 5*time.Second, 10*time.Millisecond)
	s.Update(sample(403))
	require.Nil(t, r.receive(200*time.Millisecond))
}

// A client that is gone is sent a notification five times, and forgotten.
func TestObserverGone(t *testing.T) {
	s, address := serve(t, &Config{AckTimeout: 200 * time.Millisecond}, "coap")
	r := newRaw(t, address)
	r.proves()
	r.send(observeText...)
	require.NotNil(t, r.receive(5*time.Second))
	s.Update(sample(402))
	first := r.receive(5 * time.Second)
	require.NotNil(t, first)
	sent := 1
	for b := r.receive(time.Second); b != nil; b = r.receive(time.Second) {
		require.Equal(t, first, b)
		sent++
	}
	require.Greater(t, sent, 1)
	require.LessOrEqual(t, sent, 1+retransmits)
	require.Eventually(t, func() bool { return observations(s) == 0 && s.count() == 0 }, 10*time.Second, 10*time.Millisecond)
}

// A silent observer that still answers is kept, another client is not.
func TestInactivity(t *testing.T) {
	s, address := serve(t, &Config{Inactivity: 300 * time.Millisecond, AckTimeout: 100 * time.Millisecond}, "coap")
	conn := dial(t, address)
	got := make(chan string, 16)
	_, err := conn.Observe(timeout(t), "/m/1-0:1.7.0", func(m *pool.Message) {
		b, _ := m.ReadBody()
		got <- string(b)
	}, accept(coap.Text))
	require.NoError(t, err)
	newRaw(t, address).send(0x40, 0, 0, 1)
	require.Eventually(t, func() bool { return s.count() == 2 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return s.count() == 1 }, 5*time.Second, 10*time.Millisecond)
	for range 3 {
		require.Equal(t, "401", <-got)
	}
	require.Equal(t, 1, observations(s))
}

func TestPing(t *testing.T) {
	_, address := serve(t, nil, "coap")
	r := newRaw(t, address)
	r.send(0x40, 0, 0xAB, 0xCD)
	require.Equal(t, []byte{0x70, 0, 0xAB, 0xCD}, r.receive(5*time.Second))
	require.NoError(t, dial(t, address).Ping(timeout(t)))
}

// Datagrams that are no CoAP get no answer, and harm nobody.
func TestBadDatagrams(t *testing.T) {
	s, address := serve(t, nil, "coap")
	r := newRaw(t, address)
	for _, b := range [][]byte{
		{0}, bytes.Repeat([]byte{0xFF}, 20), {0x49, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0x80, 1, 0, 1}, {0x40, 1, 0, 1, 0xF1, 1}, {0x40, 1, 0, 1, 0xB5, 'm'},
		{0x44, 0x45, 0, 1, 1, 2, 3, 4, 0xFF, 'x'}, {0x60, 0, 0, 1}, {0x70, 0, 0, 1}, {0x50, 0x45, 0, 2}, {0x40, 0x1F, 0, 9}, bytes.Repeat([]byte{0x40}, 1472), {},
	} {
		r.send(b...)
	}
	r.send(0x48, 1, 0x55, 0x55, 1, 2, 3, 4, 5, 6, 7, 8, 0xB1, 'm')
	for b := r.receive(5 * time.Second); ; b = r.receive(5 * time.Second) {
		require.NotNil(t, b)
		if b[2] == 0x55 {
			require.Equal(t, byte(codes.Content), b[1])
			break
		}
	}
	require.LessOrEqual(t, s.count(), 1)
}

// A non-confirmable request has a non-confirmable answer.
func TestNonConfirmable(t *testing.T) {
	_, address := serve(t, nil, "coap")
	r := newRaw(t, address)
	r.proves()
	r.send(0x51, 1, 0x55, 0x55, 9, 0xB1, 'm')
	answer := r.receive(5 * time.Second)
	require.Equal(t, []byte{0x51, 0x45}, answer[:2])
	require.Equal(t, byte(9), answer[4])
}

func TestLimits(t *testing.T) {
	s, address := serve(t, &Config{MaxRemotes: 2, MaxObservations: 2, MaxTransfers: 2, BlockSize: 16}, "coap")
	conn := dial(t, address)
	proves(t, conn)
	for i, path := range []string{"/m", "/m/1-0:1.7.0", "/m/1-0:14.7.0"} {
		req, err := conn.NewObserveRequest(timeout(t), path)
		require.NoError(t, err)
		m, err := conn.Do(req)
		require.NoError(t, err)
		_, err = m.Observe()
		require.Equal(t, i < 2, err == nil, path)
	}
	for _, path := range []string{"/m", "/id", "/p", "/e"} {
		_, err := conn.Get(timeout(t), path)
		require.NoError(t, err)
	}
	s.mu.Lock()
	for _, r := range s.remotes {
		r.mu.Lock()
		require.Len(t, r.transfers, 2)
		require.Len(t, r.observations, 2)
		kept := 0
		for _, each := range r.transfers {
			kept += len(each.rep.Body)
		}
		require.Equal(t, int64(kept), s.kept.Load())
		r.mu.Unlock()
	}
	s.mu.Unlock()
	second := newRaw(t, address)
	second.proves()
	third := newRaw(t, address)
	third.send(0x40, 1, 0, 1, 0xB1, 'm')
	require.Nil(t, third.receive(300*time.Millisecond))
	require.Equal(t, 2, s.count())
	s.mu.Lock()
	for _, r := range s.remotes {
		r.mu.Lock()
		r.seen = r.seen.Add(-idle - time.Second)
		r.mu.Unlock()
	}
	s.mu.Unlock()
	third.send(0x40, 1, 0, 2, 0xB1, 'm') // in place of the second, which observes nothing
	require.NotNil(t, third.receive(5*time.Second))
	require.Equal(t, 2, s.count())
	require.Equal(t, 2, observations(s))
	require.NoError(t, conn.Close())
}

// Addresses that proved nothing, however many, lock nobody out.
func TestForgedRemotes(t *testing.T) {
	const most = 8
	s, address := serve(t, &Config{MaxRemotes: most}, "coap")
	known := newRaw(t, address)
	known.proves()
	for range 3 * most {
		newRaw(t, address).send(observeText...)
	}
	require.Eventually(t, func() bool { return s.count() == most }, 5*time.Second, time.Millisecond)
	time.Sleep(2 * restless)
	one := newRaw(t, address)
	one.proves()
	known.send(0x40, 1, 0, 7, 0xB1, 'm')
	require.Equal(t, byte(codes.Content), known.receive(5 * time.Second)[1], "who has proven his address keeps his place")
	require.LessOrEqual(t, s.count(), most)
}

// Whatever is asked from an address that proves nothing, it gets at most three times
// the octets that came from there.
func TestAmplification(t *testing.T) {
	core := append(append([]byte{0xBB}, ".well-known"...), append([]byte{0x04}, "core"...)...)
	observe := []byte{0x60, 0x51, 'm'}
	for name, options := range map[string][]byte{
		"the shortest": nil, "readings": {0xB1, 'm'}, "links": core, "one reading": append([]byte{0xB1, 'm', 0x09}, "1-0:1.7.0"...),
		"a profile": append([]byte{0xB1, 'p', 0x0A}, "1-0:99.1.0"...), "nothing": {0xB1, 'x'}, "an option": {0xD1, 0, 1}, "a block": {0xB1, 'm', 0xC1, 0x16},
		"observe all": observe, "observe one": append(append(observe, 0x09), "1-0:1.7.0"...), "observe with format": append(append(append(observe, 0x09), "1-0:1.7.0"...), 0x60),
	} {
		for _, token := range []int{0, 1, 4, 8} {
			t.Run(fmt.Sprint(name, token), func(t *testing.T) {
				t.Parallel()
				s, address := serve(t, &Config{AckTimeout: 20 * time.Millisecond}, "coap")
				r := newRaw(t, address)
				var sent, received int
				request := append(append([]byte{0x40 | byte(token), 1, 1, 1}, make([]byte, token)...), options...)
				for range 3 {
					r.send(request...)
					sent += len(request)
				}
				answers := 0
				for watts := int64(500); watts < 506; watts++ {
					s.Update(sample(watts))
					for b := r.receive(50 * time.Millisecond); b != nil; b = r.receive(50 * time.Millisecond) {
						received += len(b)
						answers++
					}
				}
				t.Logf("%d octets to %d", received, sent)
				require.GreaterOrEqual(t, answers, 3, "each request is answered")
				require.LessOrEqual(t, received, amplification*sent)
			})
		}
	}
}

// What strangers can have the server hold, besides the representations that have a
// limit of their own: the figure of SECURITY.md.
func TestHeldByStrangers(t *testing.T) {
	const n = 30
	s, address := serve(t, nil, "coap")
	held := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	before := held()
	for range n {
		r := newRaw(t, address)
		for i := range 80 { // observations under as many tokens
			r.send(append([]byte{0x48, 1, 1, byte(i), byte(i), 0, 0, 0, 0, 0, 0, 0, 0x60, 0x51, 'm', 0x09}, "1-0:1.7.0"...)...)
			require.NotNil(t, r.receive(time.Second))
		}
		r.send(append([]byte{0x48, 1, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0xB1, 'p', 0x0A}, "1-0:99.1.0"...)...)
	}
	require.Eventually(t, func() bool { return s.count() >= n-2 }, 5*time.Second, 10*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	each := (held() - before) / n
	t.Logf("%d octets for each address", each)
	require.LessOrEqual(t, each, 60_000)
}

// Who guesses message ids proves nothing, and who tells the right one does.
func TestProofByMessage(t *testing.T) {
	for name, guessed := range map[string]int{"right": 0, "right at last": guesses - 1, "too late": guesses} {
		t.Run(name, func(t *testing.T) {
			s, address := serve(t, &Config{AckTimeout: time.Second}, "coap")
			r := newRaw(t, address)
			r.send(observeText...)
			require.NotNil(t, r.receive(5*time.Second))
			s.Update(sample(402))
			note := r.receive(5 * time.Second)
			require.True(t, bytes.HasSuffix(note, []byte("\xff402")))
			for i := range guessed {
				r.send(0x60, 0, note[2], note[3]+byte(i)+1)
			}
			r.send(0x60, 0, note[2], note[3])
			r.send(0x40, 1, 0, 9, 0xB1, 'm')
			answer := r.receive(5 * time.Second)
			want := codes.Content
			if guessed >= guesses {
				want = codes.Unauthorized
			}
			require.Equal(t, byte(want), answer[1])
		})
	}
}

// An observer of what does not fit the limit is asked by a ping, which any client resets.
func TestProofByPing(t *testing.T) {
	s, address := serve(t, &Config{AckTimeout: time.Second}, "coap")
	r := newRaw(t, address)
	r.send(observeText...)
	require.NotNil(t, r.receive(5*time.Second))
	s.mu.Lock()
	for _, one := range s.remotes {
		one.mu.Lock()
		one.credit = pingLen
		one.mu.Unlock()
	}
	s.mu.Unlock()
	s.Update(sample(402))
	ping := r.receive(5 * time.Second)
	require.Equal(t, []byte{0x40, 0}, ping[:2])
	require.Len(t, ping, pingLen)
	r.send(0x70, 0, ping[2], ping[3])
	note := r.receive(5 * time.Second)
	require.True(t, bytes.HasSuffix(note, []byte("\xff402")), "%x", note)
}

func TestConfig(t *testing.T) {
	for _, cfg := range []*Config{{BlockSize: 100}, {BlockSize: 2048}, {MaxRemotes: -1}, {Inactivity: -1}} {
		_, err := NewServer(cfg)
		require.Error(t, err)
	}
	s, err := NewServer(nil)
	require.NoError(t, err)
	for address, want := range map[string]string{
		"tcp://127.0.0.1:1": "want coap://", "coap://:5683": "no single address", "coap://0.0.0.0:5683": "no single address", "coap://[::]:1": "no single address",
		"coaps://127.0.0.1:0": "pre-shared key", "://": "coap:", "coap://224.0.1.187": "no single address", "coap://127.0.0.1:99999": "coap:",
	} {
		_, err := s.Listen(address)
		require.ErrorContains(t, err, want, address)
	}
	l, err := s.Listen("coap://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func psk(identity, key string) dtlsclient.DTLSClientOptions {
	return dtlsclient.NewDTLSClientOptions(dtls.WithPSK(func([]byte) ([]byte, error) { return []byte(key), nil }), dtls.WithPSKIdentityHint([]byte(identity)),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_CCM_8))
}

func TestKeysArePrivate(t *testing.T) {
	cfg := Config{Keys: map[string]Key{"meter1": []byte("0123456789abcdef")}}
	doc, err := json.Marshal(cfg.Keys)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v %#v %x %s %q %d", cfg, cfg.Keys, cfg.Keys, cfg.Keys, cfg.Keys, cfg.Keys["meter1"]), string(doc)} {
		require.NotContains(t, text, "0123456789")
		require.NotContains(t, text, "303132")
		require.NotContains(t, text, "48 49 50")
		require.NotContains(t, text, "MDEy")
	}
}

// lines is a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestDTLS(t *testing.T) {
	log := &lines{}
	s, address := serve(t, &Config{Keys: map[string]Key{"meter1": []byte("0123456789abcdef"), "empty": {}}, Handshake: time.Second,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, "coaps")
	conn, err := dtlsclient.Dial(address, psk("meter1", "0123456789abcdef"), options.WithErrors(func(error) {}))
	require.NoError(t, err)
	defer conn.Close()
	m, err := conn.Get(timeout(t), "/m/1-0:1.7.0", accept(coap.Text))
	require.NoError(t, err)
	require.Equal(t, "401", body(t, m))
	m, err = conn.Get(timeout(t), "/p/1-0:99.1.0")
	require.NoError(t, err)
	tree, _ := coap.NewTree(sample(401), nil)
	want, err := tree.Get("/p/1-0:99.1.0", nil, coap.AnyFormat)
	require.NoError(t, err)
	require.Equal(t, string(want.Body), body(t, m))
	got := make(chan string, 4)
	_, err = conn.Observe(timeout(t), "/m/1-0:1.7.0", func(m *pool.Message) {
		b, _ := m.ReadBody()
		got <- string(b)
	}, accept(coap.Text))
	require.NoError(t, err)
	require.Equal(t, "401", <-got)
	s.Update(sample(402))
	require.Equal(t, "402", <-got)

	for identity, key := range map[string]string{"meter1": "wrong", "nobody": "0123456789abcdef", "empty": "0123456789abcdef"} {
		// The client's own handshake has no end but that of its context.
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		bad, err := dtlsclient.Dial(address, psk(identity, key), options.WithErrors(func(error) {}), options.WithContext(ctx))
		if err == nil {
			_, err = bad.Get(ctx, "/m")
			_ = bad.Close()
		}
		stop()
		require.Error(t, err, "%s %s", identity, key)
	}
	require.Eventually(t, func() bool { return strings.Count(log.String(), "handshake failed") >= 3 }, 10*time.Second, 20*time.Millisecond, "%s", log)
	require.Contains(t, log.String(), "nobody")
	require.Contains(t, log.String(), "the client may have another")
	require.NotContains(t, log.String(), "0123456789abcdef")
	require.Equal(t, 1, s.count())
}

// Handshakes that never end do not fill the memory, and end.
func TestDTLSFlood(t *testing.T) {
	s, address := serve(t, &Config{Keys: map[string]Key{"meter1": []byte("0123456789abcdef")}, Handshake: 500 * time.Millisecond, MaxRemotes: 4}, "coaps")
	hello := []byte{22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0}
	for range 32 {
		newRaw(t, address).send(hello...)
	}
	require.Eventually(t, func() bool {
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		conn, err := dtlsclient.Dial(address, psk("meter1", "0123456789abcdef"), options.WithErrors(func(error) {}), options.WithContext(ctx))
		if err != nil {
			return false
		}
		defer conn.Close()
		m, err := conn.Get(ctx, "/m")
		return err == nil && m.Code() == codes.Content
	}, 20*time.Second, 200*time.Millisecond)
	require.LessOrEqual(t, s.count(), 4)
}

// Nothing is printed, whatever is received.
func TestPrintsNothing(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = w
	_, address := serve(t, nil, "coap")
	bad := newRaw(t, address)
	for range 10 {
		bad.send(0xFF, 0xFF)
	}
	_, err = dial(t, address).Get(timeout(t), "/m")
	os.Stdout = stdout
	require.NoError(t, err)
	require.NoError(t, w.Close())
	printed, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, string(printed))
}

// Clients and updates at once.
func TestTogether(t *testing.T) {
	s, address := serve(t, nil, "coap")
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := int64(0); ctx.Err() == nil; i++ {
			s.Update(sample(i))
			time.Sleep(time.Millisecond)
		}
	})
	var clients sync.WaitGroup
	for range 4 {
		conn := dial(t, address)
		clients.Go(func() {
			for _, path := range []string{"/m", "/m/1-0:1.7.0"} {
				_, _ = conn.Observe(timeout(t), path, func(*pool.Message) {})
			}
			for range 50 {
				m, err := conn.Get(timeout(t), "/p/1-0:99.1.0")
				if err != nil || m.Code() != codes.Content {
					t.Errorf("%v %v", m, err)
				}
			}
		})
	}
	clients.Wait()
	stop()
	wg.Wait()
}

func Example() {
	s, err := NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Update(&mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.7.0"), Unit: obis.Watt, Value: obis.Int(401, 0)}}})
	l, err := s.Listen("coap://127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = l.Serve(ctx) }()

	conn, err := udp.Dial(l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := conn.Get(ctx, "/m/1-0:1.7.0")
	if err != nil {
		fmt.Println(err)
		return
	}
	b, _ := m.ReadBody()
	fmt.Println(m.Code(), string(b))
	_ = conn.Close()
	// Output: Content [{"n":"1-0:1.7.0","u":"W","v":401}]
}

// BenchmarkGet is a request of one reading, beside an echo of as many octets.
func BenchmarkGet(b *testing.B) {
	_, address := serve(b, nil, "coap")
	request := append([]byte{0x40, 1, 0x12, 0x34, 0xB1, 'm', 0x09}, "1-0:1.7.0"...)
	size := 0
	var floor time.Duration
	b.Run("floor", func(b *testing.B) {
		echo, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(b, err)
		defer echo.Close()
		go func() {
			buf := make([]byte, 2048)
			for {
				n, from, err := echo.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = echo.WriteTo(buf[:n], from)
			}
		}()
		r := newRaw(b, echo.LocalAddr().String())
		for b.Loop() {
			r.send(request...)
			_ = r.receive(time.Second)
		}
		floor = b.Elapsed() / time.Duration(b.N)
	})
	b.Run("get", func(b *testing.B) {
		r := newRaw(b, address)
		r.proves()
		b.ReportAllocs()
		for b.Loop() {
			r.send(request...)
			size = len(r.receive(time.Second))
		}
		require.Greater(b, size, 20)
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(floor), "of_floor")
	})
}

// The first datagram of a handshake with a forged sender has that one sent no more
// than three times its octets, again and again included.
func TestDTLSAmplification(t *testing.T) {
	trap, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer trap.Close()
	ctx, stop := context.WithCancel(t.Context())
	dialled := make(chan struct{})
	go func() {
		defer close(dialled)
		_, _ = dtlsclient.Dial(trap.LocalAddr().String(), psk("meter1", "x"), options.WithErrors(func(error) {}), options.WithContext(ctx))
	}()
	hello := make([]byte, 2048)
	require.NoError(t, trap.SetReadDeadline(time.Now().Add(5*time.Second)))
	n, _, err := trap.ReadFrom(hello)
	require.NoError(t, err)
	stop()
	<-dialled
	_, address := serve(t, &Config{Keys: map[string]Key{"meter1": []byte("0123456789abcdef")}, Handshake: time.Second}, "coaps")
	r := newRaw(t, address)
	r.send(hello[:n]...)
	received := 0
	for b := r.receive(2 * time.Second); b != nil; b = r.receive(2 * time.Second) {
		received += len(b)
	}
	t.Logf("%d octets to %d", received, n)
	require.Positive(t, received)
	require.LessOrEqual(t, received, amplification*n)
}
