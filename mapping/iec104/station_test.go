package iec104

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/thinkgos/go-iecp5/asdu"
	"github.com/thinkgos/go-iecp5/cs104"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// only returns what a station of one meter shows.
func (s *Station) only() *image { return s.images[s.common[0]] }

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func sample() *mapping.Data {
	return &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(278647624, -1), Time: obis.FromTime(noon)},
		{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1), Quality: obis.Quality{Flags: obis.Substituted}},
		{Code: obis.MustParse("0-0:96.3.10"), Value: obis.Bool(true)},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("1"))},
		{Code: obis.MustParse("6-0:1.0.0"), Unit: obis.WattHour, Value: obis.Int(1<<40, 0)},
		{RawID: []byte("1-1:30D"), Value: obis.Int(7, 0)},
	}, Events: []obis.Event{{}}}
}

func TestImage(t *testing.T) {
	s := NewStation(nil)
	lost := s.Update(sample(), noon)
	require.Equal(t, `[reading 0: digits below 10^0 (1-0:1.8.0*255) reading 3: neither a number nor true or false (0-0:96.1.0*255) reading 4: digits below 10^3 (6-0:1.0.0*255) event 0: this target has no events]`, fmt.Sprint(lost))
	var list []string
	for _, p := range s.Points() {
		list = append(list, p.String())
	}
	require.Equal(t, []string{"960310 M_SP_TB_1 group 3 0-0:96.3.10*255", "1010800 M_IT_TB_1 group 1 1-0:1.8.0*255 10^0 Wh",
		"1320700 M_ME_TF_1 group 1 1-0:32.7.0*255 V", "6010000 M_IT_TB_1 group 2 6-0:1.0.0*255 10^3 Wh", "16697889 M_ME_TF_1 group 0 1-1:30D "}, list)
}

// A counter of 31 bits goes through zero; the reading says so, until it is frozen.
func TestRollover(t *testing.T) {
	rules, err := ReadRules(strings.NewReader("obis,kind,group,ioa,exp\n1-0:1.8.0,total,1,77,-1\n"))
	require.NoError(t, err)
	s := NewStation(&Config{Rules: rules})
	d := &mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(modulus-1, -1)}}}
	require.Empty(t, s.Update(d, noon))
	d.Readings[0].Value = obis.Int(modulus+4, -1)
	require.Equal(t, "[reading 0: 2147483652 counts are shown modulo 2^31 (1-0:1.8.0*255)]", fmt.Sprint(s.Update(d, noon)))
	p := s.only().points[0]
	require.Equal(t, uint32(77), p.Address)
	require.Equal(t, int32(4), p.count)
	require.True(t, p.carry)
	s.only().freeze(0, noon)
	require.True(t, p.frozen.carry)
	require.False(t, p.carry)
	s.only().freeze(1, noon)
	require.Equal(t, uint8(1), p.frozen.number)
}

func TestDescriptor(t *testing.T) {
	require.Len(t, qualities(), bytes.Count(qualitiesCSV, []byte("\n"))-3)
	for flag := obis.Flags(1); flag <= obis.ScalerUnknown; flag <<= 1 {
		bits := descriptor(obis.Quality{Flags: flag})
		for kind, has := range qualityOf {
			lost := Kind(kind).unshown(obis.Quality{Flags: flag})
			if bits&has == 0 {
				require.Equal(t, flag, lost, "%v", flag)
			}
		}
		if v := (obis.Quality{Flags: flag}).Validity(); v == obis.Bad || v == obis.NoValue {
			require.NotZero(t, bits&invalid, "%v", flag)
		}
	}
}

func TestNotTopical(t *testing.T) {
	s := NewStation(nil)
	d := sample()
	s.Update(d, noon)
	d.Readings = d.Readings[:1]
	s.Update(d, noon)
	require.Equal(t, byte(notTopical), s.only().byID["1-0:32.7.0*255"].quality&notTopical)
}

// What a point cannot show as it is, it shows as invalid or not at all, and says so.
func TestBentValues(t *testing.T) {
	rules, err := ReadRules(strings.NewReader("obis,kind,group,ioa,exp\n1-0:1.8.0,total,1,77,-1\n"))
	require.NoError(t, err)
	s := NewStation(&Config{Rules: rules})
	total := obis.Reading{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(modulus-9, -1)}
	single := obis.Reading{Code: obis.MustParse("0-0:96.3.10"), Value: obis.Bool(true)}
	update := func(list ...obis.Reading) string {
		return fmt.Sprint(s.Update(&mapping.Data{Readings: list}, noon))
	}
	require.Equal(t, "[]", update(total, single))
	total.Value, single.Value = obis.Int(3, 0), obis.Int(1, 0)
	require.Equal(t, "[reading 1: neither true nor false: shown as invalid (0-0:96.3.10*255)]", update(total, single))
	require.False(t, s.only().points[0].carry, "a new meter that begins at zero is no overflow")
	total.Value = obis.Int(5, 100)
	require.Equal(t, "[reading 0: more than 2^63 counts of 10^-1: shown as invalid (1-0:1.8.0*255)]", update(total))
	require.NotZero(t, s.only().points[0].quality&invalid)
	total.Value, total.Quality.Flags = obis.Int(4, 0), obis.Estimated
	require.Equal(t, "[reading 0: quality estimated not carried (1-0:1.8.0*255)]", update(total), "a counter reading has no bit for it")
	total.Unit, total.Quality.Flags = obis.VarHour, 0
	require.Equal(t, "[reading 0: its unit, once Wh, is varh now (1-0:1.8.0*255)]", update(total))
	require.NotZero(t, s.only().points[0].quality&notTopical, "the count is that of before")
	s.only().freeze(0, noon)
	require.True(t, s.only().points[0].frozen.bad)
}

// A stop is confirmed when what was sent is acknowledged; what never was, the next connection tells again.
func TestStopAndGiveBack(t *testing.T) {
	s := NewStation(&Config{Groups: []Group{{Name: "a"}}})
	begin := func() *session {
		x := &session{station: s, seat: &seat{}, group: s.groups[0], link: link{cfg: &s.cfg, heard: noon}, wake: make(chan struct{}, 1), results: make(chan result)}
		require.NoError(t, feed(x, "07000000"))
		return x
	}
	s.groups[0].greeted = true
	first := begin()
	s.Update(sample(), noon)
	sent := first.fill(nil)
	require.Len(t, first.link.times, 2)
	require.Len(t, first.waiting, 2)
	_, _, reply, err := first.link.feed(noon, frame("13000000"))
	require.NoError(t, err)
	require.Empty(t, reply, "two frames wait for an acknowledgement")
	_, _, reply, err = first.link.feed(noon, frame("01000400"))
	require.NoError(t, err)
	require.Equal(t, unnumbered(stopCon), reply)
	first.trim()

	second := begin()
	s.leave(first)
	s.Update(&mapping.Data{}, noon) // all is stale now
	list := second.fill(nil)
	require.Len(t, second.waiting, 2)
	third := begin()
	second.displaced()
	require.False(t, second.link.started)
	require.Equal(t, list, third.fill(nil), "what nobody acknowledged is told again")
	require.NotEqual(t, list, sent)
	require.NoError(t, feed(third, "01000200"))
	require.Len(t, third.waiting, 1)
}

func feed(x *session, control string) error {
	_, function, _, err := x.link.feed(noon, frame(control))
	x.trim()
	if function == startAct {
		x.start()
	}
	return err
}

// A station answers broadcasts with its own address, and carries out nothing that is marked as a test.
func TestBroadcastAndTest(t *testing.T) {
	s := NewStation(&Config{CommonAddress: 7})
	s.command = func(context.Context, site.Actor, Point, site.Step, obis.Value) error { panic("a test is no command") }
	s.Update(sample(), noon)
	x := &session{station: s, seat: &seat{}, group: &group{}, link: link{cfg: &s.cfg}}
	require.NoError(t, x.handle(t.Context(), []byte{100, 1, 6, 0, 0xFF, 0xFF, 0, 0, 0, 20}))
	require.Len(t, x.answers, 4)
	for _, a := range x.answers {
		require.Equal(t, []byte{7, 0}, a[4:6])
	}
	x.answers = nil
	require.NoError(t, x.handle(t.Context(), []byte{45, 1, 0x86, 0, 7, 0, 0x36, 0xA7, 0x0E, 1}))
	require.Equal(t, [][]byte{{45, 1, 0x87, 0, 7, 0, 0x36, 0xA7, 0x0E, 1}}, x.answers)
}

func TestReadRulesRefuses(t *testing.T) {
	for row, want := range map[string]string{"1-0:1.8.0,meter,0,,": "no kind", "1-0:1.8.0,total,5,,": "group", "1-0:1.8.0,value,0,0,": "address", "1-x:x.x.x,value,0,1,": "16777215", "1-0:1.8.0,value,0,,x": "exponent"} {
		_, err := ReadRules(strings.NewReader("obis,kind,group,ioa,exp\n" + row + "\n"))
		require.ErrorContains(t, err, want)
	}
	require.Len(t, builtin().Rules, bytes.Count(pointsCSV, []byte("\n"))-7)
}

// A time as IEC 60870-5-4 writes it, and in a zone with summer time.
func TestTime(t *testing.T) {
	require.Equal(t, "6d3c3b1774051a", fmt.Sprintf("%x", cp56(time.Date(2026, 5, 20, 23, 59, 15, 469e6, time.UTC), nil, false)))
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	b := cp56(time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC), berlin, true)
	require.Equal(t, byte(12|0x80), b[3])
	require.Equal(t, byte(0x80), b[2])
}

// serveStation listens for masters until the test ends.
func serveStation(t *testing.T, s *Station) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_ = s.Serve(ctx, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		stop()
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// master is a client of go-iecp5, which we did not write.
type master struct {
	*cs104.Client
	mu   sync.Mutex
	got  []string
	seen chan struct{}
}

func (m *master) note(format string, args ...any) {
	m.mu.Lock()
	m.got = append(m.got, fmt.Sprintf(format, args...))
	m.mu.Unlock()
	select {
	case m.seen <- struct{}{}:
	default:
	}
}

func (m *master) InterrogationHandler(_ asdu.Connect, a *asdu.ASDU) error {
	m.note("interrogation %v neg=%v", a.Coa.Cause, a.Coa.IsNegative)
	return nil
}
func (m *master) CounterInterrogationHandler(_ asdu.Connect, a *asdu.ASDU) error {
	m.note("counters %v neg=%v", a.Coa.Cause, a.Coa.IsNegative)
	return nil
}
func (m *master) ReadHandler(_ asdu.Connect, a *asdu.ASDU) error {
	m.note("read %v neg=%v", a.Coa.Cause, a.Coa.IsNegative)
	return nil
}
func (m *master) TestCommandHandler(_ asdu.Connect, a *asdu.ASDU) error {
	m.note("test %v", a.Coa.Cause)
	return nil
}
func (m *master) ClockSyncHandler(_ asdu.Connect, a *asdu.ASDU) error {
	m.note("clock %v neg=%v", a.Coa.Cause, a.Coa.IsNegative)
	return nil
}
func (m *master) ResetProcessHandler(_ asdu.Connect, a *asdu.ASDU) error {
	m.note("reset %v neg=%v", a.Coa.Cause, a.Coa.IsNegative)
	return nil
}
func (m *master) DelayAcquisitionHandler(asdu.Connect, *asdu.ASDU) error { return nil }

func (m *master) ASDUHandler(_ asdu.Connect, a *asdu.ASDU) error {
	switch a.Type {
	case asdu.M_ME_TF_1:
		for _, v := range a.GetMeasuredValueFloat() {
			m.note("value %d %g q=%02x %v %v", v.Ioa, v.Value, byte(v.Qds), v.Time.UTC().Format(time.RFC3339), a.Coa.Cause)
		}
	case asdu.M_ME_NC_1:
		for _, v := range a.GetMeasuredValueFloat() {
			m.note("value %d %g q=%02x %v", v.Ioa, v.Value, byte(v.Qds), a.Coa.Cause)
		}
	case asdu.M_IT_TB_1:
		for _, v := range a.GetIntegratedTotals() {
			m.note("total %d %d seq=%d %v %v", v.Ioa, v.Value.CounterReading, v.Value.SeqNumber, v.Time.UTC().Format(time.RFC3339), a.Coa.Cause)
		}
	case asdu.M_SP_TB_1, asdu.M_SP_NA_1:
		for _, v := range a.GetSinglePoint() {
			m.note("single %d %v %v", v.Ioa, v.Value, a.Coa.Cause)
		}
	case asdu.C_SC_NA_1:
		m.note("command %v neg=%v", a.Coa.Cause, a.Coa.IsNegative)
	case asdu.M_EI_NA_1:
	default:
		m.note("type %v %v neg=%v", a.Type, a.Coa.Cause, a.Coa.IsNegative)
	}
	return nil
}

// wait waits until so many things have been noted, and takes them.
func (m *master) wait(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.After(5 * time.Second); ; {
		m.mu.Lock()
		if len(m.got) >= n {
			got := m.got
			m.got = nil
			m.mu.Unlock()
			return got
		}
		m.mu.Unlock()
		select {
		case <-m.seen:
		case <-deadline:
			t.Fatalf("%v after 5 s, want %d", m.got, n)
		}
	}
}

func dial(t *testing.T, address string) *master {
	m := &master{seen: make(chan struct{}, 1)}
	o := cs104.NewOption()
	require.NoError(t, o.AddRemoteServer("tcp://"+address))
	o.SetAutoReconnect(false)
	m.Client = cs104.NewClient(m, o)
	up := make(chan struct{}, 1)
	m.SetOnConnectHandler(func(c *cs104.Client) { c.SendStartDt(); up <- struct{}{} })
	require.NoError(t, m.Start())
	select {
	case <-up:
	case <-time.After(5 * time.Second):
		t.Fatal("no connection")
	}
	t.Cleanup(func() { _ = m.Close() })
	time.Sleep(50 * time.Millisecond) // the client knows of no confirmation that data transfer has started
	return m
}

var activation = asdu.CauseOfTransmission{Cause: asdu.Activation}

func TestForeignMaster(t *testing.T) {
	ordered := make(chan string, 1)
	s := NewStation(nil)
	s.command = func(_ context.Context, _ site.Actor, p Point, step site.Step, v obis.Value) error {
		ordered <- fmt.Sprintf("%s %v %v", p.ID, step, v)
		if n, _ := v.Enum(); n == 0 {
			return errors.New("policy")
		}
		return nil
	}
	s.Update(sample(), noon)
	address := serveStation(t, s)
	a, b := dial(t, address), dial(t, address)
	for _, m := range []*master{a, b} {
		require.NoError(t, m.InterrogationCmd(activation, 1, asdu.QOIStation))
		require.Equal(t, []string{"interrogation 7 neg=false", "value 1320700 230.1 q=20 20",
			"value 16697889 7 q=00 20", "single 960310 true 20",
			"interrogation 10 neg=false"}, m.wait(t, 5))
	}
	require.NoError(t, a.CounterInterrogationCmd(activation, 1, asdu.QualifierCountCall{Request: asdu.QCCTotal}))
	require.Equal(t, []string{"counters 7 neg=false", "total 1010800 27864762 seq=0 2026-11-20T12:00:00Z 37",
		"total 6010000 1099511627 seq=0 2026-11-20T12:00:00Z 37", "counters 10 neg=false"}, a.wait(t, 4))
	require.NoError(t, a.CounterInterrogationCmd(activation, 1, asdu.QualifierCountCall{Request: asdu.QCCGroup2}))
	require.Equal(t, "total 6010000 1099511627 seq=0 2026-11-20T12:00:00Z 39", a.wait(t, 3)[1])
	require.NoError(t, a.CounterInterrogationCmd(activation, 1, asdu.QualifierCountCall{Request: asdu.QCCTotal, Freeze: asdu.QCCFrzFreezeReset}))
	require.Equal(t, []string{"counters 7 neg=true"}, a.wait(t, 1))
	require.NoError(t, a.InterrogationCmd(activation, 9, asdu.QOIStation))
	require.Equal(t, []string{"interrogation 46 neg=true"}, a.wait(t, 1))
	require.NoError(t, a.ClockSynchronizationCmd(activation, 1, noon))
	require.Equal(t, []string{"clock 7 neg=true"}, a.wait(t, 1))
	require.NoError(t, a.ReadCmd(asdu.CauseOfTransmission{Cause: asdu.Request}, 1, 1320700))
	require.Equal(t, []string{"value 1320700 230.1 q=20 2026-11-20T12:00:00Z 5"}, a.wait(t, 1))
	require.NoError(t, a.ReadCmd(asdu.CauseOfTransmission{Cause: asdu.Request}, 1, 4711))
	require.Equal(t, []string{"read 47 neg=true"}, a.wait(t, 1))
	require.NoError(t, asdu.SingleCmd(a, asdu.C_SC_NA_1, activation, 1, asdu.SingleCommandInfo{Ioa: 960310, Value: true}))
	require.Equal(t, []string{"command 7 neg=false", "command 10 neg=false"}, a.wait(t, 2))
	require.Equal(t, "0-0:96.3.10*255 operate true", <-ordered)
	require.NoError(t, asdu.SingleCmd(a, asdu.C_SC_NA_1, activation, 1, asdu.SingleCommandInfo{Ioa: 960310}))
	require.Equal(t, []string{"command 7 neg=true"}, a.wait(t, 1))

	d := sample()
	d.Readings[1].Value = obis.Int(2310, -1)
	before := time.Now()
	s.Update(d, noon)
	for _, m := range []*master{a, b} {
		require.Equal(t, []string{"value 1320700 231 q=20 2026-11-20T12:00:00Z 3"}, m.wait(t, 1))
	}
	require.Less(t, time.Since(before), 2*time.Second)
}

// frame makes an APDU.
func frame(control string, asdu ...byte) []byte {
	c, _ := hex.DecodeString(control)
	return append(append([]byte{startByte, byte(4 + len(asdu))}, c...), asdu...)
}

// peer is a master by hand on a pipe.
func peer(t *testing.T, s *Station) (net.Conn, <-chan error) {
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), ours); _ = ours.Close() }()
	t.Cleanup(func() { _ = theirs.Close() })
	return theirs, done
}

func read(t *testing.T, conn net.Conn) string {
	t.Helper()
	head := make([]byte, 2)
	_, err := io.ReadFull(conn, head)
	require.NoError(t, err)
	rest := make([]byte, head[1])
	_, err = io.ReadFull(conn, rest)
	require.NoError(t, err)
	return hex.EncodeToString(rest)
}

// The station sends k frames and no more until they are acknowledged; it
// acknowledges after w, and closes when nobody answers within t1.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &mapping.Data{}
		for i := range 100 {
			d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{1, byte(i), 32, 7, 0, 255}, Unit: obis.Volt, Value: obis.Int(int64(i), 0)})
		}
		s := NewStation(&Config{K: 3, W: 2})
		s.Update(d, noon)
		conn, done := peer(t, s)
		write := func(b []byte) { _, err := conn.Write(b); require.NoError(t, err) }
		write(frame("07000000"))
		require.Equal(t, "0b000000", read(t, conn))
		require.Equal(t, "00000000"+"460104000100"+"00000000", read(t, conn)) // end of initialization
		write(frame("00000000", 100, 1, 6, 0, 1, 0, 0, 0, 0, 20))
		require.Equal(t, "02000200"+"640107000100"+"00000014", read(t, conn))
		require.Equal(t, "0400", read(t, conn)[:4])
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := conn.Read(make([]byte, 1))
		require.ErrorContains(t, err, "timeout", "the window of k is full")
		_ = conn.SetReadDeadline(time.Time{})
		write(frame("01000600"))
		for i := range 3 {
			require.Equal(t, fmt.Sprintf("%02x00", 6+2*i), read(t, conn)[:4])
		}
		_, err = io.Copy(io.Discard, conn)
		require.NoError(t, err)
		require.ErrorIs(t, <-done, errQuiet)
	})
}

// Tests keep a quiet connection alive.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, done := peer(t, NewStation(nil))
		start := time.Now()
		require.Equal(t, "43000000", read(t, conn))
		require.Equal(t, 20*time.Second, time.Since(start))
		_, err := conn.Write(frame("83000000"))
		require.NoError(t, err)
		require.Equal(t, "43000000", read(t, conn))
		_, _ = io.Copy(io.Discard, conn)
		require.ErrorIs(t, <-done, errQuiet)
	})
}

func TestBadInput(t *testing.T) {
	for name, test := range map[string]struct {
		in   []byte
		want string
	}{
		"another protocol":      {[]byte("GET / HTTP/1.1\r\n"), "start at octet 0"},
		"a length of 3":         {[]byte{0x68, 3, 0, 0, 0}, "length at octet 1"},
		"data before start":     {frame("00000000", 100, 1, 6, 0, 1, 0, 0, 0, 0, 20), "STARTDT"},
		"a wrong number":        {append(frame("07000000"), frame("06000000", 100, 1, 6, 0, 1, 0, 0, 0, 0, 20)...), "N(S) at octet 2"},
		"what was not sent":     {append(frame("07000000"), frame("0100ff00")...), "N(R) at octet 4"},
		"an unknown function":   {frame("1b000000"), "U frame"},
		"a long S frame":        {frame("01000000", 1), "length at octet 1"},
		"half an ASDU":          {append(frame("07000000"), frame("00000000", 100, 1, 6, 0, 1, 0)...), "ASDU at octet 6"},
		"an ASDU without octet": {append(frame("07000000"), frame("00000000", 100, 1, 6, 0, 1, 0, 0, 0, 0)...), "ASDU at octet 6"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, done := peer(t, NewStation(nil))
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			_, _ = conn.Write(test.in)
			require.ErrorContains(t, <-done, test.want)
		})
	}
	conn, done := peer(t, NewStation(nil))
	_, err := conn.Write([]byte{0x68, 4, 7})
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.ErrorIs(t, <-done, io.ErrUnexpectedEOF)
}

// What happens while no connection of a redundancy group transfers data is kept for the next.
func TestRedundancyGroup(t *testing.T) {
	s := NewStation(&Config{Groups: []Group{{"control centre", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}, Events: 5})
	s.Update(sample(), noon)
	address := serveStation(t, s)
	first := dial(t, address)
	first.wait(t, 3) // what changed before anybody came
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.groups[0].active == nil }, 5*time.Second, time.Millisecond)
	d := sample()
	for i := range 9 {
		d.Readings[1].Value = obis.Int(int64(i), 0)
		s.Update(d, noon)
	}
	second := dial(t, address)
	got := second.wait(t, 5)
	require.Contains(t, got[0], "value 1320700 4 ", "the oldest went")
	require.Contains(t, got[4], "value 1320700 8 ")
	third := dial(t, address)
	d.Readings[1].Value = obis.Int(99, 0)
	s.Update(d, noon)
	require.Contains(t, third.wait(t, 6)[5], "value 1320700 99 ", "the connection that started last, behind what no one acknowledged")
	require.Empty(t, second.got)

	conn, done := peer(t, s)
	defer conn.Close()
	require.ErrorIs(t, <-done, errRefused)
}

func FuzzSession(f *testing.F) {
	f.Add(append(frame("07000000"), frame("00000000", 100, 1, 6, 0, 1, 0, 0, 0, 0, 20)...))
	f.Add(append(frame("07000000"), frame("00000000", 101, 1, 6, 0, 1, 0, 0, 0, 0, 0x45)...))
	f.Add(append(frame("07000000"), frame("00000000", 45, 1, 6, 0, 1, 0, 0x36, 0xA7, 0x0E, 0x81)...))
	f.Add(append(frame("07000000"), frame("00000000", 102, 1, 5, 0, 1, 0, 1, 0, 0)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := NewStation(nil)
		s.Update(sample(), noon)
		x := &session{station: s, seat: &seat{}, group: &group{}, link: link{cfg: &s.cfg, heard: s.now()}, wake: make(chan struct{}, 1), results: make(chan result)}
		for len(in) > 0 {
			n, err := frameLength(in)
			if err != nil || n == 0 {
				return
			}
			raw, function, _, err := x.link.feed(noon, in[:n])
			if err != nil {
				return
			}
			if function == startAct {
				x.start()
			}
			if raw != nil && x.handle(t.Context(), raw) != nil {
				return
			}
			for _, b := range [][]byte{x.fill(nil)} {
				for len(b) > 0 {
					n, err := frameLength(b)
					require.NoError(t, err)
					require.NotZero(t, n)
					b = b[n:]
				}
			}
			in = in[n:]
		}
	})
}

// BenchmarkInterrogation encodes a thousand measured values; the floor writes
// their octets by hand.
func BenchmarkInterrogation(b *testing.B) {
	d := &mapping.Data{}
	for i := range 1000 {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{1, byte(i / 250), 32, 7, byte(i % 250), 255}, Unit: obis.Volt, Value: obis.Int(int64(i), 0)})
	}
	s := NewStation(nil)
	s.Update(d, noon)
	list := ofKind(s.only().points, Value)
	b.ReportAllocs()
	for b.Loop() {
		s.enc.points(timed[Value], asdu.Spontaneous, 0, list, false)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/point")
	var dst []byte
	golden.OfFloor(b, func() {
		dst = dst[:0]
		for _, p := range list {
			dst = append(dst, byte(p.Address), byte(p.Address>>8), byte(p.Address>>16))
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(p.float))
			tag := cp56(p.at, nil, false)
			dst = append(append(dst, p.quality), tag[:]...)
		}
	})
}

func ExampleStation() {
	s := NewStation(nil)
	lost := s.Update(&mapping.Data{Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(27864762, 0)},
		{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1)},
	}}, time.Now())
	for _, p := range s.Points() {
		fmt.Println(p.String())
	}
	fmt.Println(lost)
	// Output:
	// 1010800 M_IT_TB_1 group 1 1-0:1.8.0*255 10^0 Wh
	// 1320700 M_ME_TF_1 group 1 1-0:32.7.0*255 V
	// []
}
