package iec104

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/thinkgos/go-iecp5/asdu"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
	"github.com/openusm/meter/site/sitetest"
)

// hand is a master by hand, which asks one thing after the other.
type hand struct {
	net.Conn
	face      *Face
	sent, got uint16
}

func dialHand(ctx context.Context, address string) (*hand, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	h := &hand{Conn: c}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err = c.Write(unnumbered(startAct)); err == nil {
		_, err = io.ReadFull(c, make([]byte, 6))
	}
	return h, err
}

// ask sends an ASDU and returns what came until one that ends it.
func (h *hand) ask(raw []byte, ends func(raw []byte) bool) (answers [][]byte, err error) {
	_ = h.SetDeadline(time.Now().Add(5 * time.Second))
	head := binary.LittleEndian.AppendUint16([]byte{startByte, byte(4 + len(raw))}, h.sent<<1)
	head = binary.LittleEndian.AppendUint16(head, h.got<<1)
	h.sent++
	if _, err := h.Write(append(head, raw...)); err != nil {
		return nil, err
	}
	for {
		b := make([]byte, 2)
		if _, err := io.ReadFull(h, b); err != nil {
			return nil, err
		}
		b = append(b, make([]byte, b[1])...)
		if _, err := io.ReadFull(h, b[2:]); err != nil {
			return nil, err
		}
		if b[2]&1 != 0 {
			continue
		}
		h.got++
		ack := binary.LittleEndian.AppendUint16([]byte{startByte, 4, 1, 0}, h.got<<1)
		if _, err := h.Write(ack); err != nil {
			return nil, err
		}
		answers = append(answers, b[6:])
		if ends(b[6:]) {
			return answers, nil
		}
	}
}

// readIOA asks for one object.
func (h *hand) readIOA(p Point) ([]byte, error) {
	raw := []byte{byte(asdu.C_RD_NA_1), 1, 5, 0, byte(p.Common), byte(p.Common >> 8), byte(p.Address), byte(p.Address >> 8), byte(p.Address >> 16)}
	answers, err := h.ask(raw, func(b []byte) bool {
		return b[0] == byte(asdu.C_RD_NA_1) || b[2]&0x3F == byte(asdu.Request)
	})
	if err != nil {
		return nil, err
	}
	last := answers[len(answers)-1]
	if last[2]&0x40 != 0 {
		return nil, fmt.Errorf("negative, cause %d", last[2]&0x3F)
	}
	return last[9:], nil
}

// register reads a register as the suite wants it.
func (h *hand) register(id site.ID, code obis.Code) (r sitetest.Reading, err error) {
	list := h.face.Points()
	at := slices.IndexFunc(list, func(p Point) bool { return p.Meter == id && p.Code == code })
	if at < 0 {
		return r, errors.New("no point")
	}
	p := list[at]
	b, err := h.readIOA(p)
	if err != nil {
		return r, err
	}
	if p.Kind == Total {
		return sitetest.Reading{Value: obis.Int(int64(int32(binary.LittleEndian.Uint32(b))), p.Exp).String(), Old: b[4]&0x80 != 0}, nil
	}
	return sitetest.Reading{Value: fmt.Sprint(math.Float32frombits(binary.LittleEndian.Uint32(b))), Old: b[4]&(invalid|notTopical) != 0}, nil
}

// client is a hand as the suite wants it.
type client struct{ h *hand }

func (c client) Read(_ context.Context, id site.ID, code obis.Code) (sitetest.Reading, error) {
	return c.h.register(id, code)
}
func (c client) Close() error { return c.h.Close() }

func TestFaceSuite(t *testing.T) {
	var mu sync.Mutex
	faces := map[string]*Face{}
	sitetest.Run(t, sitetest.Subject{
		New: func(address string, source site.Source, commander site.Commander) (site.Face, error) {
			f, err := New(&Config{Listen: address, State: filepath.Join(t.TempDir(), "state.json")}, source, commander)
			mu.Lock()
			faces[address] = f
			mu.Unlock()
			return f, err
		},
		Dial: func(ctx context.Context, address string) (sitetest.Client, error) {
			h, err := dialHand(ctx, address)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			h.face = faces[address]
			mu.Unlock()
			return client{h}, nil
		},
		Silent: func(ctx context.Context, address string) (net.Conn, error) {
			h, err := dialHand(ctx, address)
			if err != nil {
				return nil, err
			}
			return h.Conn, nil
		},
	})
}

// stage is a face that runs, and its site.
func stage(t *testing.T, cfg *Config, s *site.Site, commander site.Commander) (f *Face, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg.Listen = l.Addr().String()
	require.NoError(t, l.Close())
	f, err = New(cfg, s, commander)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); require.NoError(t, <-done) })
	t.Cleanup(stop)
	return f, stop
}

func putReadings(t *testing.T, s *site.Site, id site.ID, list ...obis.Reading) {
	require.NoError(t, s.Put(id, &mapping.Data{Readings: list}, site.Stamp{Job: fmt.Sprint(list[0].ID()), Until: time.Now().Add(time.Hour)}))
}

func number(code string, u obis.Unit, n int64, exp int8) obis.Reading {
	return obis.Reading{Code: obis.MustParse(code), Unit: u, Value: obis.Int(n, exp), Rule: obis.RuleTransmitted}
}

// What a master has configured means the same after a restart, in whatever order the
// meters and their telegrams come.
func TestAddressesSurviveRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	energy, volt := number("1-0:1.8.0", obis.WattHour, 9_000_000_000, 0), number("1-0:32.7.0", obis.Volt, 2301, -1)
	other := obis.Reading{RawID: []byte("1-1:30D"), Value: obis.Int(7, 0)}
	rules, err := ReadRules(strings.NewReader("obis,kind,group,ioa,exp\n1-0:21.7.0 1-0:(12-99).7.(0-9),value,1,77,\n"))
	require.NoError(t, err)
	run := func(rules *Rules, ids []site.ID, list ...obis.Reading) (signals []string) {
		s := site.New(nil)
		f, stop := stage(t, &Config{State: path, Rules: rules}, s, nil)
		for _, id := range ids {
			require.NoError(t, s.Add(id, obis.Meter{}))
			for _, r := range list {
				putReadings(t, s, id, r)
			}
			require.Eventually(t, func() bool {
				return slices.ContainsFunc(f.Points(), func(p Point) bool { return p.Meter == id && p.quality&invalid == 0 })
			}, 5*time.Second, time.Millisecond)
		}
		require.Eventually(t, func() bool { return len(f.Points()) >= len(ids)*len(list) }, 5*time.Second, time.Millisecond)
		stop()
		for _, p := range f.Points() {
			signals = append(signals, fmt.Sprint(p.Meter, " ", p.Common, " ", p.String()))
		}
		return signals
	}
	first := run(rules, []site.ID{"b", "a"}, energy, volt, other)
	require.Equal(t, []string{"b 1 278 M_ME_TF_1 group 1 1-0:32.7.0*255 V", "b 1 1010800 M_IT_TB_1 group 1 1-0:1.8.0*255 10^0 Wh", "b 1 16697889 M_ME_TF_1 group 0 1-1:30D "}, first[:3])
	energy.Value = obis.Int(1, 3)
	require.Equal(t, first, run(nil, []site.ID{"a", "b"}, other, volt, energy))
	info, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, info, 1, "no half a file is left")
}

// Without a state, too, the order of telegrams does not decide.
func TestAddressesFollowCodes(t *testing.T) {
	list := []obis.Reading{number("1-0:1.8.0", obis.WattHour, 5, 0), number("1-0:1.8.1", obis.WattHour, 3, 0), number("1-1:32.7.0", obis.Volt, 230, 0),
		number("1-0:1.8.0*1", obis.WattHour, 5, 0), number("1-0:129.7.0", obis.Volt, 1, 0), number("0-0:0.0.0", obis.Count, 1, 0)}
	points := func() (all []string) {
		m := newImage(nil, "", 1)
		for i := range list {
			p, reason := m.point(&list[i])
			require.Empty(t, reason)
			require.NotZero(t, p.Address)
			all = append(all, p.String())
		}
		slices.Sort(all)
		return all
	}
	first := points()
	slices.Reverse(list)
	require.Equal(t, first, points())
}

// The addresses of a rule count from its first code, whichever comes first.
func TestAddressesOfRules(t *testing.T) {
	rules, err := ReadRules(strings.NewReader("obis,kind,group,ioa,exp\n1-0:1.8.(0-4) 1-0:2.8.(0-4),total,1,100,\n"))
	require.NoError(t, err)
	m := newImage(rules, "", 1)
	for code, want := range map[string]uint32{"1-0:2.8.1": 106, "1-0:1.8.0": 100, "1-0:1.8.4": 104, "1-0:2.8.0": 105, "1-0:3.8.0": 1030800} {
		r := number(code, obis.WattHour, 1, 0)
		p, _ := m.point(&r)
		require.Equal(t, want, p.Address, code)
	}
}

type commands struct {
	mu   sync.Mutex
	list []string
}

func (c *commands) Command(_ context.Context, cmd site.Command) (site.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, fmt.Sprintf("%s %s %s %v %v %v", cmd.Actor.Face, cmd.Meter, cmd.Code, cmd.Value, cmd.Unit, cmd.Step))
	if cmd.Meter == "meter1" {
		return site.Answer{}, site.ErrPolicy
	}
	return site.Answer{}, nil
}

// Commands go to the commander of all meters; set points are numbers.
func TestFaceCommands(t *testing.T) {
	for name, commander := range map[string]*commands{"with": {}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			s := site.New(nil)
			var c site.Commander
			if commander != nil {
				c = commander
			}
			f, _ := stage(t, &Config{}, s, c)
			breaker := obis.Reading{Code: obis.MustParse("0-0:96.3.10"), Value: obis.Bool(true)}
			for _, id := range []site.ID{"meter1", "meter2"} {
				require.NoError(t, s.Add(id, obis.Meter{}))
				putReadings(t, s, id, breaker)
				putReadings(t, s, id, number("0-0:17.0.0", obis.Watt, 5000, 0))
				putReadings(t, s, id, obis.Reading{Code: obis.MustParse("0-0:96.3.11"), Value: obis.Enum(1)})
			}
			require.Eventually(t, func() bool { return len(f.Points()) == 6 }, 5*time.Second, time.Millisecond)
			h, err := dialHand(t.Context(), f.station.cfg.Listen)
			require.NoError(t, err)
			defer h.Close()
			order := func(typ asdu.TypeID, cause, common byte, ioa uint32, element ...byte) (causes []byte) {
				raw := append([]byte{byte(typ), 1, cause, 0, common, 0, byte(ioa), byte(ioa >> 8), byte(ioa >> 16)}, element...)
				_, err := h.ask(raw, func(b []byte) bool {
					if b[0] != byte(typ) {
						return false
					}
					causes = append(causes, b[2])
					return b[2] != byte(asdu.ActivationCon) || b[len(b)-1]&0x80 != 0 // of what is only selected nothing more comes
				})
				require.NoError(t, err)
				return causes
			}
			short := binary.LittleEndian.AppendUint32(nil, math.Float32bits(4600.5))
			if commander == nil {
				require.Equal(t, []byte{7 | 0x40}, order(asdu.C_SC_NA_1, 6, 2, 960310, 0))
				return
			}
			require.Equal(t, []byte{7 | 0x40}, order(asdu.C_SC_NA_1, 6, 1, 960310, 0))
			require.Equal(t, []byte{7, 10}, order(asdu.C_SC_NA_1, 6, 2, 960310, 0))
			require.Equal(t, []byte{7}, order(asdu.C_DC_NA_1, 6, 2, 960310, 0x82))
			require.Equal(t, []byte{9}, order(asdu.C_DC_NA_1, 8, 2, 960310, 0x82))
			require.Equal(t, []byte{7, 10}, order(asdu.C_SE_NC_1, 6, 2, 170000, append(short, 0)...))
			require.Equal(t, []byte{7, 10}, order(asdu.C_SC_NA_1, 6, 2, 960311, 1), "a switch that tells its state as a number")
			require.Equal(t, []byte{47 | 0x40}, order(asdu.C_SC_NA_1, 6, 2, 170000, 1), "no switch")
			require.Equal(t, []byte{7, 10}, order(asdu.C_SE_NB_1, 6, 2, 170000, 0x10, 0x27, 0))
			require.Equal(t, []byte{47 | 0x40}, order(asdu.C_SE_NC_1, 6, 2, 960310, append(short, 0)...), "no number for a switch")
			require.Equal(t, []byte{44 | 0x40}, order(asdu.C_SE_NA_1, 6, 2, 170000, 0x10, 0x27, 0), "nobody said of what range it is a part")
			require.Equal(t, []string{"iec104 meter1 0-0:96.3.10*255 false  operate", "iec104 meter2 0-0:96.3.10*255 false  operate",
				"iec104 meter2 0-0:96.3.10*255 true  select", "iec104 meter2 0-0:96.3.10*255 true  cancel",
				"iec104 meter2 0-0:17.0.0*255 4600.5 W operate", "iec104 meter2 0-0:96.3.11*255 true  operate", "iec104 meter2 0-0:17.0.0*255 10000 W operate"}, commander.list)
		})
	}
}

// A general interrogation of all stations is answered by each with its own address and
// without times; a station that is taken out is unknown then.
func TestInterrogationOfAll(t *testing.T) {
	s := site.New(nil)
	f, _ := stage(t, &Config{Addresses: map[site.ID]uint16{"c": 900}}, s, nil)
	for _, id := range []site.ID{"a", "b", "c"} {
		require.NoError(t, s.Add(id, obis.Meter{}))
		putReadings(t, s, id, number("1-0:32.7.0", obis.Volt, 230, 0))
	}
	require.Eventually(t, func() bool { return len(f.Points()) == 3 }, 5*time.Second, time.Millisecond)
	h, err := dialHand(t.Context(), f.station.cfg.Listen)
	require.NoError(t, err)
	defer h.Close()
	ended := 0
	answers, err := h.ask([]byte{100, 1, 6, 0, 0xFF, 0xFF, 0, 0, 0, 20}, func(b []byte) bool {
		if b[0] == 100 && b[2] == 10 {
			ended++
		}
		return ended == 3
	})
	require.NoError(t, err)
	var got []string
	for _, a := range answers {
		got = append(got, fmt.Sprintf("%d:%d:%d", a[0], a[2], binary.LittleEndian.Uint16(a[4:])))
	}
	require.Equal(t, "[70:4:1 70:4:2 70:4:900 100:7:1 13:20:1 100:10:1 100:7:2 13:20:2 100:10:2 100:7:900 13:20:900 100:10:900]", fmt.Sprint(got))
	require.NoError(t, s.Remove("b"))
	require.Eventually(t, func() bool { return len(f.Points()) == 2 }, 5*time.Second, time.Millisecond)
	answers, err = h.ask([]byte{100, 1, 6, 0, 2, 0, 0, 0, 0, 20}, func(b []byte) bool { return b[0] == 100 })
	require.NoError(t, err)
	require.Equal(t, byte(46|0x40), answers[0][2])
}

// What 10,000 meters of 20 readings take.
func TestFaceSize(t *testing.T) {
	const n, readings = 200, 20
	f, err := New(nil, nil, nil)
	require.NoError(t, err)
	d := &mapping.Data{}
	for i := range readings {
		d.Readings = append(d.Readings, number(fmt.Sprintf("1-0:%d.7.0", i+21), obis.Watt, 1, 0))
	}
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	for i := range n {
		f.change(site.Change{Meter: site.ID(fmt.Sprint(i)), Data: d, Received: noon})
	}
	each := (held() - before) / n
	runtime.KeepAlive(f)
	t.Logf("%d octets for each meter of %d readings", each, readings)
	require.LessOrEqual(t, each, uint64(12<<10))
}

// A face that ended serves again.
func TestServesAgain(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("m", obis.Meter{}))
	putReadings(t, s, "m", number("1-0:32.7.0", obis.Volt, 230, 0))
	f, stop := stage(t, &Config{}, s, nil)
	stop()
	putReadings(t, s, "m", number("1-0:32.7.0", obis.Volt, 231, 0))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx) }()
	require.Eventually(t, func() bool {
		h, err := dialHand(ctx, f.station.cfg.Listen)
		if err != nil {
			return false
		}
		defer h.Close()
		h.face = f
		r, err := h.register("m", obis.MustParse("1-0:32.7.0"))
		return err == nil && r.Value == "231"
	}, 5*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

// Faces that end and begin while meters say new things and clients ask lose nothing.
func TestRestartUnderLoad(t *testing.T) {
	s := site.New(nil)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	ids := []site.ID{"m0", "m1", "m2"}
	for _, id := range ids {
		require.NoError(t, s.Add(id, obis.Meter{}))
		all.Go(func() {
			for i := int64(0); ctx.Err() == nil; i++ {
				putReadings(t, s, id, number(fmt.Sprintf("1-0:1.8.%d", i/50%40), obis.WattHour, i, 0))
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	cfg := &Config{State: filepath.Join(t.TempDir(), "state.json")}
	for range 4 {
		_, stop := stage(t, cfg, s, nil)
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() {
				for until := time.Now().Add(150 * time.Millisecond); time.Now().Before(until); {
					if h, err := dialHand(ctx, cfg.Listen); err == nil {
						_, _ = h.ask([]byte{100, 1, 6, 0, 0xFF, 0xFF, 0, 0, 0, 20}, func(b []byte) bool { return b[0] == 100 && b[2] == 10 })
						_ = h.Close()
					}
				}
			})
		}
		asking.Wait()
		stop()
	}
}
