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
)

// Config of a [Station]. A nil Config works.
type Config struct {
	CommonAddress uint16 // of the station; zero means 1
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
	// does; nil means plain connections.
	TLS *tls.Config
	// Groups are the redundancy groups. With any, masters that belong to none are
	// refused; without, each connection is a group of its own.
	Groups []Group
	// Connections is how many there may be at once; zero means 64. Where there are as
	// many, one that does not transfer data makes room for a new one.
	Connections int
	// Events is how many ASDUs with changes a group keeps that nobody has fetched;
	// zero means 1000. The oldest go first.
	Events int
	// Command carries out a command to a point; nil refuses all of them.
	Command func(ctx context.Context, p Point, on bool) error
	Logger  *slog.Logger // nil is silent
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

// Station is a controlled station that shows a meter. Its methods may be called
// by several goroutines.
type Station struct {
	cfg Config
	enc encoder
	now func() time.Time

	mu     sync.Mutex
	image  *image
	groups []*group
	seats  []*seat // of connections, the oldest first
}

// NewStation returns a station without points.
func NewStation(cfg *Config) *Station {
	s := &Station{now: time.Now}
	if cfg != nil {
		s.cfg = *cfg
	}
	s.enc = encoder{common: asdu.CommonAddr(cmp.Or(s.cfg.CommonAddress, 1)), zone: s.cfg.Zone}
	s.image = newImage(s.cfg.Rules)
	for i := range s.cfg.Groups {
		s.groups = append(s.groups, &group{config: &s.cfg.Groups[i]})
	}
	return s
}

// group is a redundancy group at work.
type group struct {
	config  *Group // nil for that of a single connection
	events  [][]byte
	active  *session
	greeted bool // the end of initialization was told
}

// Update takes what the meter said; received stands for times that the meter did
// not give. Changes go to the masters at once. The losses name what cannot be
// shown. Points keep their addresses; readings that are no longer there are
// marked as not topical.
func (s *Station) Update(d *mapping.Data, received time.Time) []mapping.Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, lost := s.image.update(d, received)
	for _, kind := range []Kind{Value, Single, Total} {
		list := ofKind(changed, kind)
		if len(list) == 0 || kind == Total && !s.cfg.Totals {
			continue
		}
		for _, raw := range s.enc.points(kind, asdu.Spontaneous, 0, list, false) {
			for _, g := range s.groups {
				g.add(raw, cmp.Or(s.cfg.Events, 1000))
			}
		}
	}
	for _, g := range s.groups {
		if g.active != nil {
			g.active.rouse()
		}
	}
	return lost
}

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

// Points returns the station's points, in the order of their addresses.
func (s *Station) Points() []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Point, 0, len(s.image.points))
	for _, p := range s.image.points {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Point) int { return cmp.Compare(a.Address, b.Address) })
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
		secured := tls.Server(conn, s.cfg.TLS)
		shaking, cancel := context.WithTimeout(ctx, s.cfg.t1())
		err := secured.HandshakeContext(shaking)
		cancel()
		if err != nil {
			return fmt.Errorf("iec104: %w", err)
		}
		rw = secured
	} else if s.cfg.TLS != nil {
		return errors.New("iec104: TLS over what is no network connection")
	}
	s.mu.Lock()
	g, err := s.join(rw)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	x := &session{station: s, group: g, seat: own, conn: stream.New(rw), link: link{cfg: &s.cfg, heard: s.now()}, wake: make(chan struct{}, 1), results: make(chan result)}
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
