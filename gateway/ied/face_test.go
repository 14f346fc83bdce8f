package ied

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/ied"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
	"github.com/openusm/meter/site"
	"github.com/openusm/meter/site/sitetest"
)

// reader is a client as the suite wants it.
type reader struct{ *client.Client }

func (r reader) Read(ctx context.Context, id site.ID, _ obis.Code) (sitetest.Reading, error) {
	v, err := r.ReadOne(ctx, mms.DomainName("METER"+string(id), "MMTR1$ST$DmdWh"))
	if err != nil {
		return sitetest.Reading{}, err
	}
	q := v.At(1).Quality()
	return sitetest.Reading{Value: v.At(0).String(), Old: q.Validity() == iec61850.Questionable && q&iec61850.OldData != 0}, nil
}

func dial(ctx context.Context, address string) (*client.Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return client.New(ctx, conn, nil)
}

func TestSuite(t *testing.T) {
	sitetest.Run(t, sitetest.Subject{
		New: func(address string, source site.Source, commander site.Commander) (site.Face, error) {
			return New(&Config{Listen: address, State: filepath.Join(t.TempDir(), "state.json")}, source, commander)
		},
		Dial: func(ctx context.Context, address string) (sitetest.Client, error) {
			c, err := dial(ctx, address)
			return reader{c}, err
		},
		Silent: func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		},
	})
}

// stage is a face that runs, and its site.
func stage(t *testing.T, cfg *Config, s *site.Site, commander site.Commander) (f *Face, connect func() *client.Client, stop func()) {
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
	connect = func() (c *client.Client) {
		require.Eventually(t, func() (ok bool) { c, err = dial(context.Background(), cfg.Listen); return err == nil }, 60*time.Second, 5*time.Millisecond)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return f, connect, stop
}

func put(t *testing.T, s *site.Site, id site.ID, list ...obis.Reading) {
	require.NoError(t, s.Put(id, &mapping.Data{Readings: list}, site.Stamp{Job: list[0].ID(), Until: time.Now().Add(time.Hour)}))
}

func number(code string, u obis.Unit, n int64, exp int8) obis.Reading {
	return obis.Reading{Code: obis.MustParse(code), Unit: u, Value: obis.Int(n, exp), Rule: obis.RuleTransmitted}
}

func eventually(t *testing.T, c *client.Client, device, item, want string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		v, err := c.ReadOne(t.Context(), mms.DomainName(device, item))
		if got = fmt.Sprint(v, err); err == nil && v.String() == want {
			return
		}
	}
	t.Fatalf("%s/%s: %s, want %s", device, item, got, want)
}

// What a client has configured means the same after a restart, whatever comes first then.
func TestModelSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	list := []obis.Reading{number("1-0:1.8.2", obis.WattHour, 2, 0), number("0-0:96.5.0", obis.Count, 50, 0), number("0-0:96.5.1", obis.Count, 51, 0), number("1-0:1.8.0", obis.WattHour, 3, 0)}
	run := func(list []obis.Reading) (names []string) {
		s := site.New(nil)
		_, connect, stop := stage(t, &Config{State: path}, s, nil)
		require.NoError(t, s.Add("a/1", obis.Meter{}))
		for i, r := range list {
			put(t, s, "a/1", r)
			if i == 0 {
				c := connect()
				require.Eventually(t, func() bool { d, _ := c.Domains(t.Context()); return len(d) == 1 }, 60*time.Second, 5*time.Millisecond)
			}
		}
		c := connect()
		eventually(t, c, "METERa_1", "MMTR3$ST$DmdWh$actVal", "2")
		eventually(t, c, "METERa_1", "MMTR1$ST$DmdWh$actVal", "3")
		eventually(t, c, "METERa_1", "GGIO1$ST$CntVal1$actVal", "50")
		eventually(t, c, "METERa_1", "GGIO1$ST$CntVal2$actVal", "51")
		names, err := c.Names(t.Context(), mms.NamedVariables, "METERa_1")
		require.NoError(t, err)
		revision, err := c.ReadOne(t.Context(), mms.DomainName("METERa_1", "LLN0$DC$NamPlt$configRev"))
		require.NoError(t, err)
		stop()
		return append(names, revision.String())
	}
	first := run(list)
	slices.Reverse(list)
	require.Equal(t, first, run(list))
}

// Where the rules are others after a restart, what they change is another revision.
func TestOtherRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	run := func(rules string, item string) string {
		cfg := &Config{State: path}
		if rules != "" {
			var err error
			cfg.Rules, err = ied.ReadRules(strings.NewReader("obis,class,object,cdc,siunit,sign,when\n" + rules + "\n"))
			require.NoError(t, err)
		}
		s := site.New(nil)
		require.NoError(t, s.Add("m", obis.Meter{}))
		put(t, s, "m", number("8-0:1.0.0", obis.CubicMetre, 1, 0))
		_, connect, stop := stage(t, cfg, s, nil)
		c := connect()
		eventually(t, c, "METERm", item, "1")
		v, err := c.ReadOne(t.Context(), mms.DomainName("METERm", "LLN0$BR$brcbCounters01$ConfRev"))
		require.NoError(t, err)
		stop()
		return v.String()
	}
	require.Equal(t, "1", run("", "GGIO1$ST$CntVal1$actVal"))
	require.Equal(t, "1", run("", "GGIO1$ST$CntVal1$actVal"))
	const water = "8-x:1.0.0,MMTR,TotVol,BCR,42,1,"
	require.Equal(t, "2", run(water, "MMTR1$ST$TotVol$actVal"))
	require.Equal(t, "2", run(water, "MMTR1$ST$TotVol$actVal"))
}

// A face that ended serves again.
func TestServesAgain(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("m", obis.Meter{}))
	put(t, s, "m", number("1-0:1.8.0", obis.WattHour, 1, 0))
	f, connect, stop := stage(t, &Config{}, s, nil)
	eventually(t, connect(), "METERm", "MMTR1$ST$DmdWh$actVal", "1")
	stop()
	put(t, s, "m", number("1-0:1.8.0", obis.WattHour, 2, 0))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx) }()
	eventually(t, connect(), "METERm", "MMTR1$ST$DmdWh$actVal", "2")
	cancel()
	require.NoError(t, <-done)
}

// The time of a frozen value is the meter's or none: it does not move with the polls.
func TestFrozenTimeStands(t *testing.T) {
	f, err := New(nil, nil, nil)
	require.NoError(t, err)
	d := &mapping.Data{Readings: []obis.Reading{number("1-0:1.8.0*255", obis.WattHour, 12, 0), number("1-0:1.8.0*3", obis.WattHour, 9, 0),
		number("1-0:1.7.0*255", obis.Watt, 1, 0), number("1-0:2.7.0*255", obis.Watt, 5, 0)}}
	change := func(second int64, set ...int) {
		f.change(site.Change{Meter: "m", Data: d, Set: set, Received: time.Unix(second, 0)})
	}
	at := func(node, object, attribute string) uint32 {
		dev := f.meters["m"].device.Logical()
		return dev.Get(dev.Node(node).Object(object).Attribute(attribute, 0)).Time().Seconds
	}
	change(1.7e9)
	require.EqualValues(t, 1.7e9, at("MMTR1", "DmdWh", "t"))
	require.Zero(t, at("MMTR1", "DmdWh", "frTm"))
	change(1.7e9+60, 1, 2)
	require.EqualValues(t, 1.7e9+60, at("MMXU1", "TotW", "t"))
	require.Zero(t, at("MMTR1", "DmdWh", "frTm"))
	own := *d
	own.Readings = append(slices.Clone(d.Readings), obis.Reading{Code: obis.MustParse("1-0:0.1.2*3"), Value: obis.Moment(obis.FromTime(time.Unix(1.6e9, 0).UTC()))})
	d = &own
	change(1.7e9+120, 4)
	require.EqualValues(t, 1.6e9, at("MMTR1", "DmdWh", "frTm"))
}

// What a model cannot show of a meter is told once.
func TestWarnings(t *testing.T) {
	var list []string
	f, err := New(&Config{Warn: func(w string) { list = append(list, w) }}, nil, nil)
	require.NoError(t, err)
	d := &mapping.Data{Readings: []obis.Reading{number("1-0:1.8.0", obis.WattHour, 1, 0), number("8-0:1.0.0", obis.CubicMetre, 1, 0), number("1-0:32.7.0", obis.Volt, 123456789, -4)}}
	for range 3 {
		f.change(site.Change{Meter: "m", Data: d, Set: []int{0, 1, 2}})
	}
	require.Equal(t, []string{"m: reading 2: digits beyond single precision (1-0:32.7.0*255)", "m: reading 1: no logical node has it: GGIO1.CntVal1 (8-0:1.0.0*255)"}, list)
}

// A meter that says ever other things does not make its model grow for ever.
func TestGrowthEnds(t *testing.T) {
	var list []string
	f, err := New(&Config{Warn: func(w string) { list = append(list, w) }}, nil, nil)
	require.NoError(t, err)
	d := &mapping.Data{}
	for i := range maxRegisters + 2 {
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{1, 0, 1, 8, byte(i % 200), byte(i / 200)}, Unit: obis.WattHour, Value: obis.Int(1, 0)})
	}
	f.change(site.Change{Meter: "m", Data: &mapping.Data{Readings: d.Readings[:10]}})
	f.change(site.Change{Meter: "m", Data: d})
	require.Len(t, slices.Concat(f.known["m"].batches...), maxRegisters)
	require.Len(t, list, 2)
	require.Contains(t, list[0], "no object")
}

// A report of one meter tells of that meter alone, among meters of the same shape.
func TestReportsOfManyMeters(t *testing.T) {
	s := site.New(nil)
	f, connect, _ := stage(t, &Config{}, s, nil)
	for i := range 3 {
		id := site.ID(fmt.Sprint("m", i))
		require.NoError(t, s.Add(id, obis.Meter{Serial: fmt.Sprint(i)}))
		put(t, s, id, number("1-0:1.8.0", obis.WattHour, int64(i), 0))
	}
	c := connect()
	eventually(t, c, "METERm2", "MMTR1$ST$DmdWh$actVal", "2")
	require.Len(t, f.shapes, 1)
	reports := make(chan client.Report, 10)
	conn, err := net.Dial("tcp", f.cfg.Listen)
	require.NoError(t, err)
	watching, err := client.New(t.Context(), conn, &client.Config{Information: func(i mms.Information) {
		if r, ok, err := client.ParseReport(i); ok && err == nil {
			reports <- r
		}
	}})
	require.NoError(t, err)
	defer watching.Close()
	require.NoError(t, watching.WriteOne(t.Context(), mms.DomainName("METERm1", "LLN0$BR$brcbCounters02$RptEna"), iec61850.Bool(true)))
	other, err := c.ReadOne(t.Context(), mms.DomainName("METERm2", "LLN0$BR$brcbCounters02$RptEna"))
	require.NoError(t, err)
	require.False(t, other.Bool(), "each meter has its own blocks")
	put(t, s, "m0", number("1-0:1.8.0", obis.WattHour, 70, 0))
	put(t, s, "m1", number("1-0:1.8.0", obis.WattHour, 71, 0))
	select {
	case r := <-reports:
		require.Equal(t, "71", r.Data[0].Value.At(0).String())
		require.Contains(t, r.DataSet, "METERm1/")
	case <-time.After(5 * time.Second):
		t.Fatal("no report")
	}
	eventually(t, c, "METERm0", "MMTR1$ST$DmdWh$actVal", "70")

	// A model that grows has a new revision; who had a report of the one before comes anew.
	put(t, s, "m1", number("1-0:2.8.0", obis.WattHour, 5, 0))
	select {
	case <-watching.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the client of the old model is still there")
	}
	eventually(t, c, "METERm1", "LLN0$BR$brcbCounters02$ConfRev", "2")
	eventually(t, c, "METERm0", "LLN0$BR$brcbCounters02$ConfRev", "1")
	require.NoError(t, s.Remove("m0"))
	require.Eventually(t, func() bool {
		d, err := c.Domains(t.Context())
		return err == nil && slices.Equal(d, []string{"METERm1", "METERm2"})
	}, 60*time.Second, 5*time.Millisecond)
}

type commands struct {
	mu   sync.Mutex
	list []string
}

func (c *commands) Command(_ context.Context, cmd site.Command) (site.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, fmt.Sprintf("%s %s %s %v %v", cmd.Actor.Face, cmd.Meter, cmd.Code, cmd.Value, cmd.Step))
	if cmd.Meter == "m0" {
		return site.Answer{}, site.ErrPolicy
	}
	return site.Answer{}, nil
}

// Operating a switch of any meter goes to the commander; without one it is refused.
func TestControls(t *testing.T) {
	for name, commander := range map[string]*commands{"with": {}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			s := site.New(nil)
			var by site.Commander
			if commander != nil {
				by = commander
			}
			_, connect, _ := stage(t, &Config{}, s, by)
			for _, id := range []site.ID{"m0", "m1"} {
				require.NoError(t, s.Add(id, obis.Meter{}))
				put(t, s, id, obis.Reading{Code: obis.MustParse("0-0:96.3.10"), Value: obis.Bool(true)})
			}
			c := connect()
			eventually(t, c, "METERm1", "XSWI1$ST$Pos$stVal", "10")
			operate := func(device string) error {
				oper := iec61850.Struct(iec61850.Bool(false), iec61850.Struct(iec61850.Int(3), iec61850.Octets([]byte("desk"))), iec61850.Uint(1),
					iec61850.NewTimestamp(time.Now(), 10).Value(), iec61850.Bool(false), iec61850.Bits(0, 2))
				return c.WriteOne(t.Context(), mms.DomainName(device, "XSWI1$CO$Pos$Oper"), oper)
			}
			require.Error(t, operate("METERm0"))
			if commander == nil {
				require.Error(t, operate("METERm1"))
				return
			}
			require.NoError(t, operate("METERm1"))
			require.Eventually(t, func() bool { commander.mu.Lock(); defer commander.mu.Unlock(); return len(commander.list) == 3 }, 60*time.Second, time.Millisecond)
			require.Equal(t, []string{"iec61850 m0 0-0:96.3.10*255 false check", "iec61850 m1 0-0:96.3.10*255 false check", "iec61850 m1 0-0:96.3.10*255 false operate"}, commander.list)
		})
	}
}

// A model that was given keeps its names and does not grow: what it has no object for is told.
func TestGivenModel(t *testing.T) {
	known := []obis.Reading{number("1-0:1.8.1", obis.WattHour, 1, 0), number("1-0:32.7.0", obis.Volt, 2301, -1), number("1-0:1.7.0", obis.Watt, 5, 0), number("1-0:2.7.0", obis.Watt, 3, 0),
		number("1-0:52.7.0", obis.Volt, 230, 0), number("1-0:31.7.0", obis.Ampere, 1, 0), number("1-0:81.7.4", obis.Degree, 30, 0), number("1-0:32.7.3", obis.Volt, 7, 0),
		{RawID: []byte("VENDOR.1"), Value: obis.Int(9, 0), Rule: obis.RuleNone}}
	file, _, err := AppendSCL(nil, &result.Result{Readings: known}, &SCLOptions{IED: "HOUSE", IP: "192.0.2.1"})
	require.NoError(t, err)
	s := site.New(nil)
	var mu sync.Mutex
	var warnings []string
	_, connect, _ := stage(t, &Config{Models: map[site.ID][]byte{"m": file}, Warn: func(w string) { mu.Lock(); warnings = append(warnings, w); mu.Unlock() }}, s, nil)
	require.NoError(t, s.Add("m", obis.Meter{Serial: "4711"}))
	put(t, s, "m", append([]obis.Reading{number("1-0:1.8.2", obis.WattHour, 22, 0)}, known...)...)
	c := connect()
	for item, want := range map[string]string{"MMTR2$ST$DmdWh$actVal": "1", "MMXU1$MX$PhV$phsA$cVal$mag$f": "230.1", "MMXU1$MX$TotW$mag$f": "2", "MMXU1$MX$A$phsA$cVal$ang$f": "30",
		"GGIO1$ST$CntVal1$actVal": "9", "LPHD1$DC$PhyNam$serNum": `"4711"`} {
		eventually(t, c, "HOUSEMTR", item, want)
	}
	v, err := c.ReadOne(t.Context(), mms.DomainName("HOUSEMTR", "MHAI1$MX$HPhV$phsAHar"))
	require.NoError(t, err)
	require.Equal(t, "7", v.At(3).At(0).At(0).String())
	_, err = c.ReadOne(t.Context(), mms.DomainName("HOUSEMTR", "MMTR3$ST$DmdWh$actVal"))
	require.Error(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "m: ")
	require.Contains(t, warnings[0], "1-0:1.8.2")
}

// What a further meter of a shape costs, all in all.
func TestSize(t *testing.T) {
	for n, most := range map[int]int{20: 12 << 10, 100: 40 << 10} {
		f, err := New(nil, nil, nil)
		require.NoError(t, err)
		d := &mapping.Data{Meter: obis.Meter{ID: "M", Serial: "12345678"}}
		for i := range n {
			if i%2 == 0 {
				d.Readings = append(d.Readings, number(fmt.Sprintf("1-0:%d.8.%d", 1+i/2%4, i/8), obis.WattHour, int64(i), 0))
			} else {
				d.Readings = append(d.Readings, number(fmt.Sprintf("1-%d:%d.7.0", i/10, 32+i/2%3*20), obis.Volt, int64(i), -1))
			}
		}
		held := func() int {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		}
		const meters = 100
		begin := held()
		f.change(site.Change{Meter: "first", Data: d})
		before := held()
		for i := range meters {
			f.change(site.Change{Meter: site.ID(fmt.Sprint("meter", i)), Data: d})
		}
		each := (held() - before) / meters
		runtime.KeepAlive(f)
		require.Len(t, f.shapes, 1)
		t.Logf("%d octets for each further meter of %d readings, %d for the first", each, n, before-begin)
		require.LessOrEqual(t, each, most)
	}
}

// BenchmarkChange sets five new values of a meter with 100 readings.
func BenchmarkChange(b *testing.B) {
	f, err := New(nil, nil, nil)
	require.NoError(b, err)
	d := &mapping.Data{}
	for i := range 100 {
		d.Readings = append(d.Readings, number(fmt.Sprintf("1-0:%d.8.%d", 1+i%4, i/4), obis.WattHour, int64(i), 0))
	}
	f.change(site.Change{Meter: "m", Data: d})
	b.ReportAllocs()
	for b.Loop() {
		f.change(site.Change{Meter: "m", Data: d, Set: []int{1, 2, 3, 4, 5}})
	}
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
				put(t, s, id, number(fmt.Sprintf("1-0:1.8.%d", i/50%40), obis.WattHour, i, 0))
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	cfg := &Config{State: filepath.Join(t.TempDir(), "state.json")}
	for range 4 {
		_, _, stop := stage(t, cfg, s, nil)
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() {
				for until := time.Now().Add(150 * time.Millisecond); time.Now().Before(until); {
					if c, err := dial(ctx, cfg.Listen); err == nil {
						_, _ = c.Names(ctx, mms.NamedVariables, "METERm1")
						_ = c.WriteOne(ctx, mms.DomainName("METERm1", "LLN0$BR$brcbCounters01$RptEna"), iec61850.Bool(true))
						_, _ = c.ReadOne(ctx, mms.DomainName("METERm1", "MMTR1$ST"))
						_ = c.Close()
					}
				}
			})
		}
		asking.Wait()
		stop()
	}
}
