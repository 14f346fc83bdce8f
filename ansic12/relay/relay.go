// Package relay passes messages of ANSI C12.22 between stations by their AP titles.
//
// Stations register with the relay over a connection of their own, and stay known
// until they deregister, hang up or let their registration run out. A message for a
// registered station goes over its connection, as it came; an answer goes back to
// where the request came from. Services for the relay itself are register,
// deregister, resolve, trace and identify.
//
//	reader ──► relay ──► meter
//	        .1        .42
//
// The relay believes what stations say of themselves and cannot read what they say to
// each other where that is secured. It belongs in a network that is closed otherwise.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/internal/stream"
)

// Config describes a relay. A nil *Config is all zero values.
type Config struct {
	Title    epsem.Title   // of the relay; nil is .1
	Stations int           // that may be registered; 0 is 4096
	Period   time.Duration // for which a registration lasts at most; 0 is one hour
	Idle     time.Duration // after which a silent connection of a station ends; 0 is one hour
	Complete time.Duration // for the first message of a connection, and for any message once it began; 0 is 30 s
	Now      func() time.Time
	Trace    func(send bool, frame []byte) // sees every message; nil sees nothing
	Logger   *slog.Logger                  // nil is silent
}

const (
	maxMessage    = 1 << 16
	maxServices   = 64
	maxRoutes     = 256 // titles that one connection may speak for without being registered
	writeDeadline = 10 * time.Second
	maxPeriod     = 1<<24 - 1
)

// Relay is a relay. All methods may be used concurrently.
type Relay struct {
	cfg Config

	mu       sync.Mutex
	stations map[string]*Station
	routes   map[string]*connection // of callers that are not registered
}

// Station is a registered station.
type Station struct {
	Title   epsem.Title
	Address []byte // its native address as it said
	Node    byte   // see psem.NodeEndDevice and so on
	Until   time.Time
	conn    *connection
}

// connection is one connection to a station.
type connection struct {
	relay  *Relay
	conn   *stream.Conn
	write  sync.Mutex
	dead   bool // under write
	id     uint16
	routes int
}

// New returns a relay.
func New(cfg *Config) *Relay {
	r := &Relay{stations: map[string]*Station{}, routes: map[string]*connection{}}
	if cfg != nil {
		r.cfg = *cfg
	}
	if r.cfg.Title == nil {
		r.cfg.Title = epsem.Title{0x80, 1, 1}
	}
	if r.cfg.Stations <= 0 {
		r.cfg.Stations = 4096
	}
	if r.cfg.Period <= 0 {
		r.cfg.Period = time.Hour
	}
	if r.cfg.Idle <= 0 {
		r.cfg.Idle = time.Hour
	}
	if r.cfg.Complete <= 0 {
		r.cfg.Complete = 30 * time.Second
	}
	if r.cfg.Now == nil {
		r.cfg.Now = time.Now
	}
	return r
}

// Stations returns the stations that are registered now.
func (r *Relay) Stations() (list []Station) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire()
	for _, s := range r.stations {
		list = append(list, *s)
	}
	return list
}

// Serve serves one connection until it ends or ctx does.
func (r *Relay) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	c := &connection{relay: r, conn: stream.New(rw)}
	defer c.conn.Close()
	defer r.forget(c)
	var in []byte
	var buf [4096]byte
	until := time.Now().Add(r.cfg.Complete)
	for {
		m, n, err := epsem.Parse(in)
		switch {
		case err == nil:
			r.trace(false, in[:n])
			c.take(ctx, &m, in[:n])
			in = append([]byte(nil), in[n:]...)
			if until = time.Now().Add(r.cfg.Idle); len(in) > 0 {
				until = time.Now().Add(r.cfg.Complete)
			}
			continue
		case !errors.Is(err, io.ErrUnexpectedEOF) || len(in) > maxMessage:
			return fmt.Errorf("relay: %w", err)
		}
		n, err = c.conn.Read(ctx, until, buf[:])
		if n > 0 && len(in) == 0 { // octet by octet it takes no longer
			until = earlier(until, time.Now().Add(r.cfg.Complete))
		}
		in = append(in, buf[:n]...)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
				return ctx.Err()
			}
			return err
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (r *Relay) trace(send bool, frame []byte) {
	if r.cfg.Trace != nil {
		r.cfg.Trace(send, frame)
	}
}

// key is a title as the key of a map.
func key(t epsem.Title) string { return string(t.Absolute()) }

// take passes a message on or, where it is for the relay, carries it out.
func (c *connection) take(ctx context.Context, m *epsem.Message, raw []byte) {
	r := c.relay
	called, addressed := m.Get(epsem.TagCalled)
	calling, named := m.Get(epsem.TagCalling)
	_, answer := m.Get(epsem.TagCalledID)
	if named && !answer {
		r.learn(key(calling), c)
	}
	if !addressed || r.cfg.Title.Equal(called) {
		if !answer {
			c.serve(ctx, m)
		}
		return
	}
	to := r.find(key(called), answer)
	status := psem.UAT
	if to != nil {
		if to.send(ctx, raw) == nil {
			return
		}
		status = psem.NETR
	}
	if r.cfg.Logger != nil {
		r.cfg.Logger.Debug("not delivered", "called", epsem.Title(called), "calling", epsem.Title(calling), "status", status)
	}
	if !answer {
		c.reply(ctx, m, []byte{1, byte(status)}, true)
	}
}

// find returns the connection to a station: a registered one or, for answers only, one
// that has asked.
func (r *Relay) find(title string, answer bool) *connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire()
	if s, ok := r.stations[title]; ok {
		return s.conn
	}
	if answer {
		return r.routes[title]
	}
	return nil
}

// learn remembers where a caller is, for the answers to it.
func (r *Relay) learn(title string, c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.routes[title]
	if old == c || c.routes >= maxRoutes {
		return
	}
	if old != nil {
		old.routes--
	}
	r.routes[title] = c
	c.routes++
}

// forget forgets a connection that ended.
func (r *Relay) forget(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for title, s := range r.stations {
		if s.conn == c {
			delete(r.stations, title)
		}
	}
	for title, other := range r.routes {
		if other == c {
			delete(r.routes, title)
		}
	}
}

// expire forgets stations whose registration has run out.
func (r *Relay) expire() {
	now := r.cfg.Now()
	for title, s := range r.stations {
		if now.After(s.Until) {
			delete(r.stations, title)
		}
	}
}

// send sends a message over the connection, which ends where the station does not
// take it: what follows half a message would be nothing.
func (c *connection) send(ctx context.Context, b []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	if c.dead {
		return net.ErrClosed
	}
	c.relay.trace(true, b)
	err := c.conn.Write(ctx, time.Now().Add(writeDeadline), b)
	if err != nil {
		c.dead = true
		_ = c.conn.Close()
	}
	return err
}

// serve carries out the services of a message for the relay. The relay has no keys.
func (c *connection) serve(ctx context.Context, m *epsem.Message) {
	services, err := m.Services()
	if m.Security() != epsem.Clear || err != nil || len(services) > maxServices {
		c.reply(ctx, m, []byte{1, byte(psem.SME)}, true)
		return
	}
	var body []byte
	failed := false
	for _, service := range services {
		response := c.relay.carryOut(c, service)
		b, _ := response.AppendBinary(nil)
		body = epsem.AppendService(body, b)
		if failed = response.Status != psem.OK; failed {
			break
		}
	}
	c.reply(ctx, m, body, failed)
}

// reply answers a message where it wants an answer.
func (c *connection) reply(ctx context.Context, m *epsem.Message, body []byte, failed bool) {
	if response := m.Response(); len(body) == 0 || response == epsem.ResponseNever || response == epsem.ResponseOnException && !failed {
		return
	}
	out := epsem.Message{Control: 0x80, Body: body}
	add := func(tag byte, content []byte, ok bool) {
		if ok {
			out.Elements = append(out.Elements, epsem.Element{Tag: tag, Content: content})
		}
	}
	calling, ok := m.Get(epsem.TagCalling)
	add(epsem.TagCalled, calling, ok)
	id, ok := m.Get(epsem.TagCallingID)
	add(epsem.TagCalledID, id, ok)
	called, ok := m.Get(epsem.TagCalled)
	if !ok {
		called = c.relay.cfg.Title
	}
	add(epsem.TagCalling, called, true)
	c.id = (c.id + 1) & 0x7FFF
	add(epsem.TagCallingID, []byte{2, 2, byte(c.id >> 8), byte(c.id)}, true)
	b, err := out.AppendBinary(nil)
	if err == nil {
		_ = c.send(ctx, b) // a caller that is gone ends its own connection
	}
}

// carryOut carries out a service for the relay.
func (r *Relay) carryOut(c *connection, service []byte) psem.Response {
	request, _, err := psem.ParseRequest(service)
	if err != nil {
		return psem.Response{Status: psem.Err}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire()
	switch q := request.(type) {
	case psem.Register:
		return r.register(c, q)
	case psem.Lookup:
		return r.lookup(c, q)
	case psem.Plain:
		if q.Code == psem.ServiceIdentify {
			return psem.Identity{Standard: psem.StandardC1222, Version: 1}.Response()
		}
	}
	return psem.Response{Status: psem.SNS}
}

// register makes a station known. A title that another connection has registered
// is not given away.
func (r *Relay) register(c *connection, q psem.Register) psem.Response {
	title := epsem.Title(append([]byte(nil), q.Title...))
	if len(title) <= 2 {
		return psem.Response{Status: psem.IAR} // the relay gives no titles away
	}
	old, known := r.stations[key(title)]
	if known && old.conn != c || r.cfg.Title.Equal(title) {
		return psem.Response{Status: psem.IAR}
	}
	if !known && len(r.stations) >= r.cfg.Stations && !r.makeRoom(c) {
		return psem.Response{Status: psem.BSY}
	}
	period := r.cfg.Period
	if asked := time.Duration(q.Period) * time.Second; asked > 0 && asked < period {
		period = asked
	}
	r.stations[key(title)] = &Station{
		Title: title, Address: append([]byte(nil), q.Address...), Node: q.Node, Until: r.cfg.Now().Add(period), conn: c,
	}
	response, err := psem.Registration{Title: title, Period: uint32(min(period/time.Second, maxPeriod))}.Response()
	if err != nil {
		return psem.Response{Status: psem.Err}
	}
	return response
}

// makeRoom forgets a station of the connection that has registered most, the one
// whose registration runs out first, if that has at least two more than c.
func (r *Relay) makeRoom(c *connection) bool {
	count := map[*connection]int{}
	for _, s := range r.stations {
		count[s.conn]++
	}
	var title string
	var leaves *Station
	for name, s := range r.stations {
		n := count[s.conn]
		if n < count[c]+2 {
			continue
		}
		if leaves == nil || n > count[leaves.conn] || n == count[leaves.conn] && (s.Until.Before(leaves.Until) || s.Until.Equal(leaves.Until) && name < title) {
			leaves, title = s, name
		}
	}
	delete(r.stations, title)
	return leaves != nil
}

// lookup answers deregister, resolve and trace.
func (r *Relay) lookup(c *connection, q psem.Lookup) psem.Response {
	s, ok := r.stations[key(q.Title)]
	if !ok {
		return psem.Response{Status: psem.UAT}
	}
	switch q.Code {
	case psem.ServiceDeregister:
		if s.conn != c {
			return psem.Response{Status: psem.IAR}
		}
		delete(r.stations, key(q.Title))
		return psem.Response{}
	case psem.ServiceResolve:
		response, err := psem.AddressResponse(s.Address)
		if err != nil {
			return psem.Response{Status: psem.Err}
		}
		return response
	}
	return psem.Response{Body: r.cfg.Title}
}
