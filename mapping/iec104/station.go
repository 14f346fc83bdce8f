package iec104

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/thinkgos/go-iecp5/asdu"

	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serve"
	"github.com/openusm/meter/site"
)

// Config of a [Face] or a [Station]. A nil Config works for a station.
type Config struct {
	Listen string // address of the face, as ":2404"
	// Addresses are common addresses of meters. Those that are not named get the next free
	// one, which State remembers.
	Addresses map[site.ID]uint16
	// State is a file in which a face keeps which common address a meter has and which
	// point a code is, so that they mean the same after a restart; "" for none.
	State string
	// Limits of connections; their TLS is that of this Config. Where there are as many
	// connections as may be, one that does not transfer data makes room for a new one.
	Limits serve.Config
	// Trace hears of each frame, sent or received; nil for none.
	Trace func(sent bool, frame []byte)
	// Ready hears where the face listens; nil for none.
	Ready func(net.Addr)
	// Warn hears what cannot be shown, each once; nil for none.
	Warn func(string)

	CommonAddress uint16 // of a station; zero means 1
	Rules         *Rules // nil means the built-in ones
	// Zone is that of the time tags; nil means UTC.
	Zone *time.Location
	// Totals are sent when they change, too, and not only when they are asked for.
	Totals bool
	// K is how many frames may wait for an acknowledgement, W after how many the
	// station acknowledges; zero means 12 and 8.
	K, W int
	// T1 to T3 are the times of the standard: an answer is late, an acknowledgement
	// is due, a quiet connection is tested. Zero means 15, 10 and 20 seconds.
	T1, T2, T3 time.Duration
	// TLS (IEC 62351-3) asks for certificates on both sides where its ClientAuth
	// does; nil means plain connections. Who commands is then the subject of the certificate.
	TLS *tls.Config
	// Groups are the redundancy groups. With any, masters that belong to none are
	// refused; without, each connection is a group of its own.
	Groups []Group
	// Events is how many ASDUs with changes a group keeps that nobody has fetched;
	// zero means 1000. The oldest go first.
	Events int
	Logger *slog.Logger // nil is silent
}

// Group is a redundancy group: several connections of one master, of which one
// at a time transfers data. What happens while none does is kept for the next.
type Group struct {
	Name    string
	Masters []netip.Prefix
}

func (c *Config) k() int            { return cmp.Or(c.K, 12) }
func (c *Config) w() int            { return cmp.Or(c.W, 8) }
func (c *Config) t1() time.Duration { return cmp.Or(c.T1, 15*time.Second) }
func (c *Config) t2() time.Duration { return cmp.Or(c.T2, 10*time.Second) }
func (c *Config) t3() time.Duration { return cmp.Or(c.T3, 20*time.Second) }

// connections is how many there may be at once.
func (c *Config) connections() int { return cmp.Or(max(c.Limits.Max, 0), 64) }

// Station is what masters of one port see: meters, each with a common address. Its
// methods may be called by several goroutines.
type Station struct {
	cfg Config
	enc encoder
	now func() time.Time
	// command carries out a command to a point; nil refuses all of them.
	command func(context.Context, site.Actor, Point, site.Step, obis.Value) error

	mu      sync.Mutex
	images  map[uint16]*image
	common  []uint16 // the common addresses, in their order
	groups  []*group
	seats   []*seat             // of connections, the oldest first
	greeted map[netip.Addr]bool // hosts that were told of the end of initialization
}

// NewStation returns a station of one meter, without points.
func NewStation(cfg *Config) *Station {
	s := newStation(cfg)
	s.add(newImage(s.cfg.Rules, "", cmp.Or(s.cfg.CommonAddress, 1)))
	return s
}

func newStation(cfg *Config) *Station {
	s := &Station{now: time.Now, images: map[uint16]*image{}, greeted: map[netip.Addr]bool{}}
	if cfg != nil {
		s.cfg = *cfg
	}
	s.enc = encoder{zone: s.cfg.Zone}
	for i := range s.cfg.Groups {
		s.groups = append(s.groups, &group{config: &s.cfg.Groups[i]})
	}
	return s
}

// add adds a meter. Masters that are there already hear that it has begun.
func (s *Station) add(m *image) {
	s.images[m.common] = m
	at, _ := slices.BinarySearch(s.common, m.common)
	s.common = slices.Insert(s.common, at, m.common)
	for _, g := range s.groups {
		if g.greeted {
			g.add(endOfInitialization(m.common), s.cfg.events())
		}
	}
	s.rouse()
}

// remove takes a meter out.
func (s *Station) remove(m *image) {
	delete(s.images, m.common)
	s.common = slices.DeleteFunc(s.common, func(a uint16) bool { return a == m.common })
}

// group is a redundancy group at work.
type group struct {
	config  *Group // nil for that of a single connection
	events  [][]byte
	active  *session
	greeted bool // the end of initialization was told
}

// Update takes what the meter of a station made by [NewStation] said; received stands
// for times that the meter did not give. Changes go to the masters at once. The losses
// name what cannot be shown. Points keep their addresses; readings that are no longer
// there are marked as not topical.
func (s *Station) Update(d *mapping.Data, received time.Time) []mapping.Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, lost := s.images[s.common[0]].update(d, received)
	s.tell(changed)
	return lost
}

// tell tells the masters of changes of one meter.
func (s *Station) tell(changed []*Point) {
	if len(s.groups) == 0 || len(changed) == 0 {
		return
	}
	for _, kind := range []Kind{Value, Single, Total} {
		list := ofKind(changed, kind)
		if len(list) == 0 || kind == Total && !s.cfg.Totals {
			continue
		}
		for _, raw := range s.enc.points(timed[kind], asdu.Spontaneous, 0, list, false) {
			for _, g := range s.groups {
				g.add(raw, s.cfg.events())
			}
		}
	}
	s.rouse()
}

// rouse has sessions look for events.
func (s *Station) rouse() {
	for _, g := range s.groups {
		if g.active != nil {
			g.active.rouse()
		}
	}
}

func (c *Config) events() int { return cmp.Or(c.Events, 1000) }

func (g *group) add(event []byte, most int) {
	if len(g.events) >= most {
		g.events = slices.Delete(g.events, 0, len(g.events)-most+1)
	}
	g.events = append(g.events, event)
}

func ofKind(points []*Point, kind Kind) (list []*Point) {
	for _, p := range points {
		if p.Kind == kind {
			list = append(list, p)
		}
	}
	return list
}

// Points returns the points of all meters, in the order of their addresses.
func (s *Station) Points() (list []Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, common := range s.common {
		for _, p := range s.images[common].points {
			list = append(list, *p)
		}
	}
	slices.SortFunc(list, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Common, b.Common), cmp.Compare(a.Address, b.Address))
	})
	return list
}

// errRefused reports a master that belongs to no redundancy group.
var errRefused = errors.New("iec104: a master of no redundancy group")

// join returns the group of a connection.
func (s *Station) join(rw io.ReadWriteCloser) (*group, error) {
	if len(s.cfg.Groups) == 0 {
		g := &group{}
		s.groups = append(s.groups, g)
		return g, nil
	}
	conn, ok := rw.(net.Conn)
	if !ok {
		return nil, errRefused
	}
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return nil, errRefused
	}
	for _, g := range s.groups {
		if slices.ContainsFunc(g.config.Masters, func(p netip.Prefix) bool { return p.Contains(remote.Addr().Unmap()) }) {
			return g, nil
		}
	}
	return nil, fmt.Errorf("%w: %v", errRefused, remote)
}

// leave takes a session from its group, and the group where it was its only one.
func (s *Station) leave(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.group.active == x {
		x.group.active = nil
	}
	x.giveBack()
	if x.group.config == nil {
		s.groups = slices.DeleteFunc(s.groups, func(g *group) bool { return g == x.group })
	}
}

// Serve serves one connection of a master until it ends or ctx does.
func (s *Station) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own := &seat{host: hostOf(rw), begun: time.Now(), leave: cancel}
	if !s.sit(own) {
		return errFull
	}
	defer s.rise(own)
	if conn, ok := rw.(net.Conn); ok && s.cfg.TLS != nil {
		if _, done := rw.(*tls.Conn); !done {
			rw = tls.Server(conn, s.cfg.TLS)
		}
	} else if s.cfg.TLS != nil {
		return errors.New("iec104: TLS over what is no network connection")
	}
	actor, err := s.meet(ctx, rw)
	if err != nil {
		return err
	}
	s.mu.Lock()
	g, err := s.join(rw)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	x := &session{station: s, group: g, seat: own, actor: actor, conn: stream.New(rw), link: link{cfg: &s.cfg, heard: s.now()}, wake: make(chan struct{}, 1), results: make(chan result)}
	defer s.leave(x)
	err = x.run(ctx)
	if s.cfg.Logger != nil && err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
		s.cfg.Logger.Warn("connection of a master ended", "error", err)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// meet returns who is at the other end, agreeing on TLS first where that is wanted.
func (s *Station) meet(ctx context.Context, rw io.ReadWriteCloser) (actor site.Actor, err error) {
	actor.Face = "iec104"
	if conn, ok := rw.(net.Conn); ok {
		actor.Remote = conn.RemoteAddr().String()
	}
	if secured, ok := rw.(*tls.Conn); ok {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.t1())
		defer cancel()
		if err := secured.HandshakeContext(ctx); err != nil {
			return actor, fmt.Errorf("iec104: %w", err)
		}
		if chains := secured.ConnectionState().VerifiedChains; len(chains) > 0 {
			actor.Name = chains[0][0].Subject.CommonName
		}
	}
	return actor, nil
}
