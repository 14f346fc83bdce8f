// Package sitetest is what every face must do, whatever it speaks: a test suite for
// the faces of this project and of others.
package sitetest

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// Reading is what a client saw of a register.
type Reading struct {
	Value string // as obis.Value has it, in the base unit of the register
	Old   bool   // it is shown as one that may not be relied upon any more
}

// Client is an actor at a face.
type Client interface {
	// Read reads a register of a meter.
	Read(ctx context.Context, meter site.ID, code obis.Code) (Reading, error)
	Close() error
}

// Subject is a face, and how it is reached.
type Subject struct {
	// New makes a face that listens at a TCP or UDP address of this host.
	New func(address string, source site.Source, commander site.Commander) (site.Face, error)
	// Dial connects an actor to it.
	Dial func(ctx context.Context, address string) (Client, error)
	// Silent connects somebody who says nothing and reads nothing, nil for faces without connections.
	Silent func(ctx context.Context, address string) (net.Conn, error)
	// Network is "udp" where the face listens for datagrams; "" is TCP.
	Network string
}

// The register that the meters of the tests have.
var register = obis.MustParse("1-0:1.8.0*255")

// patience is how long a face may take to show what changed.
const patience = 10 * time.Second

// Run tests a face.
func Run(t *testing.T, s Subject) {
	t.Run("many meters", s.manyMeters)
	t.Run("late readings", s.lateReadings)
	t.Run("dead meter", s.deadMeter)
	t.Run("slow client", s.slowClient)
	t.Run("shutdown", s.shutdown)
	t.Run("restart", s.restart)
}

// stage is a face that runs at an address.
type stage struct {
	t       *testing.T
	s       Subject
	site    *site.Site
	address string
	stop    context.CancelFunc
	done    chan error
}

func (s Subject) start(t *testing.T, of *site.Site, address string) *stage {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	face, err := s.New(address, of, nil)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	g := &stage{t: t, s: s, site: of, address: address, stop: stop, done: make(chan error, 1)}
	go func() { g.done <- face.Serve(ctx) }()
	t.Cleanup(g.end)
	return g
}

// end ends the face, which must have closed what it opened.
func (g *stage) end() {
	g.t.Helper()
	if g.stop == nil {
		return
	}
	g.stop()
	g.stop = nil
	select {
	case err := <-g.done:
		if err != nil {
			g.t.Errorf("the face ended with %v", err)
		}
	case <-time.After(patience):
		g.t.Error("the face does not end")
	}
}

// dial connects a client, once the face listens.
func (g *stage) dial() Client {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		c, err := g.s.Dial(ctx, g.address)
		if err == nil {
			g.t.Cleanup(func() { _ = c.Close() })
			return c
		}
		select {
		case <-ctx.Done():
			g.t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// await reads until a register shows what it should.
func (g *stage) await(c Client, meter site.ID, value string, old bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var got Reading
	var err error
	for {
		got, err = c.Read(ctx, meter, register)
		if err == nil && got.Old == old && (old || got.Value == value) {
			return
		}
		select {
		case <-ctx.Done():
			g.t.Fatalf("%s: %+v, %v; want %s, old %t", meter, got, err, value, old)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// free returns an address at which nobody listens.
func (s Subject) free(t *testing.T) string {
	t.Helper()
	if s.Network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// meters returns a site with meters, each with a register of its own value.
func meters(t *testing.T, n int) *site.Site {
	t.Helper()
	s := site.New(nil)
	for i := range n {
		id := name(i)
		if err := s.Add(id, obis.Meter{ID: "OUM" + string(id), Serial: string(id), Manufacturer: "OUM", Medium: obis.Electricity}); err != nil {
			t.Fatal(err)
		}
		put(t, s, id, int64(1000+i))
	}
	return s
}

func name(i int) site.ID { return site.ID(fmt.Sprintf("meter%d", i+1)) }

func put(t *testing.T, s *site.Site, id site.ID, wh int64) {
	t.Helper()
	d := &mapping.Data{Readings: []obis.Reading{
		{Code: register, Rule: obis.RuleTransmitted, Unit: obis.WattHour, Value: obis.Int(wh, 0)},
		{Code: obis.MustParse("1-0:32.7.0*255"), Rule: obis.RuleTransmitted, Unit: obis.Volt, Value: obis.Int(2301, -1)},
	}}
	if err := s.Put(id, d, site.Stamp{Job: "test", Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
}

func (s Subject) manyMeters(t *testing.T) {
	of := meters(t, 5)
	g := s.start(t, of, s.free(t))
	one, two := g.dial(), g.dial()
	for i := range 5 {
		g.await(one, name(i), fmt.Sprint(1000+i), false)
	}
	put(t, of, name(3), 5555)
	g.await(two, name(3), "5555", false)
	g.await(one, name(3), "5555", false)
	g.await(one, name(2), "1002", false)
}

// A face starts before its meters have said anything, and shows those that come.
func (s Subject) lateReadings(t *testing.T) {
	of := site.New(nil)
	if err := of.Add("meter1", obis.Meter{ID: "OUM1", Medium: obis.Electricity}); err != nil {
		t.Fatal(err)
	}
	g := s.start(t, of, s.free(t))
	time.Sleep(100 * time.Millisecond)
	put(t, of, "meter1", 42)
	g.await(g.dial(), "meter1", "42", false)
	if err := of.Add("meter2", obis.Meter{ID: "OUM2", Medium: obis.Electricity}); err != nil {
		t.Fatal(err)
	}
	put(t, of, "meter2", 43)
	g.await(g.dial(), "meter2", "43", false) // a client that comes later at the latest
}

func (s Subject) deadMeter(t *testing.T) {
	of := meters(t, 2)
	g := s.start(t, of, s.free(t))
	c := g.dial()
	g.await(c, "meter1", "1000", false)
	if err := of.Fail("meter1", "test", time.Time{}); err != nil {
		t.Fatal(err)
	}
	g.await(c, "meter1", "", true)
	g.await(c, "meter2", "1001", false)
	put(t, of, "meter1", 1000)
	g.await(c, "meter1", "1000", false)
}

// Somebody who does not read holds up neither the site nor others.
func (s Subject) slowClient(t *testing.T) {
	if s.Silent == nil {
		t.Skip("there are no connections")
	}
	of := meters(t, 2)
	g := s.start(t, of, s.free(t))
	c := g.dial()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 8 {
		silent, err := s.Silent(ctx, g.address)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	begun := time.Now()
	for i := range int64(1000) {
		put(t, of, "meter1", i)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("1000 puts took %v", took)
	}
	g.await(c, "meter1", "999", false)
}

// A face that ends has closed what it opened, and has nobody left.
func (s Subject) shutdown(t *testing.T) {
	before := running()
	of := meters(t, 3)
	address := s.free(t)
	g := s.start(t, of, address)
	c := g.dial()
	g.await(c, "meter1", "1000", false)
	g.end()
	_ = c.Close()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if running() <= before {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if after := running(); after > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines are left:\n%s", after-before, buf[:runtime.Stack(buf, true)])
	}
	if s.Network == "udp" {
		return
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the address is still taken: %v", err)
	}
	_ = l.Close()
}

// running counts the goroutines of this project.
func running() (n int) {
	buf := make([]byte, 4<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "openusm/meter") && !strings.Contains(g, "sitetest.running") && !strings.Contains(g, "testing.(*T).Run(") {
			n++
		}
	}
	return n
}

// A face that begins anew at the same address shows what there is, also to clients that come at once.
func (s Subject) restart(t *testing.T) {
	of := meters(t, 2)
	address := s.free(t)
	for i := range int64(3) {
		g := s.start(t, of, address)
		c := g.dial()
		put(t, of, "meter2", 100+i)
		g.await(c, "meter2", fmt.Sprint(100+i), false)
		g.end()
		_ = c.Close()
	}
}
