// Package serve is the accept loop of servers: it accepts connections under
// limits, agrees on TLS, closes those that stay silent and, where there is no
// place left, has the connection that was idle longest make room for a new one.
// So nobody locks others out by connecting and saying nothing.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config are the limits of a listener. A nil Config and zero fields mean the defaults.
type Config struct {
	// TLS has clients agree on TLS before they are served; nil is in the clear.
	TLS *tls.Config
	// Max is how many connections are served at once; zero means 64.
	Max int
	// PerHost is how many of them one address may have; zero means Max.
	PerHost int
	// Idle is after how long a connection on which nothing came is closed; zero
	// means five minutes, negative never.
	Idle time.Duration
	// Logger is told of connections that were refused or made room; nil is silent.
	Logger *slog.Logger
}

const (
	defaultMax  = 64
	defaultIdle = 5 * time.Minute
	// handshake is how long a client may take to agree on TLS.
	handshake = 10 * time.Second
	// restless is how long a connection is left alone before it may have to make room.
	restless = 50 * time.Millisecond
)

// Listen listens on an address, as "tcp" and "127.0.0.1:4059", and serves each
// connection with handle, in a goroutine of its own, until ctx ends; then it
// waits for all of them and returns nil. What handle returns is logged. It is
// given the address on which it listens through ready, which may be nil.
func Listen(ctx context.Context, network, address string, cfg *Config, ready func(net.Addr), handle func(context.Context, net.Conn) error) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, address)
	if err != nil {
		return err
	}
	if ready != nil {
		ready(l.Addr())
	}
	return Accept(ctx, l, cfg, handle)
}

// Accept is [Listen] for a listener that is there already. It closes l.
func Accept(ctx context.Context, l net.Listener, cfg *Config, handle func(context.Context, net.Conn) error) error {
	s := &server{handle: handle, conns: map[*conn]bool{}, hosts: map[netip.Addr]int{}}
	if cfg != nil {
		s.cfg = *cfg
	}
	s.defaults()
	ctx, cancel := context.WithCancel(ctx)
	defer s.all.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	s.all.Go(func() { s.sweep(ctx) })
	return s.accept(ctx, l)
}

type server struct {
	cfg    Config
	handle func(context.Context, net.Conn) error
	all    sync.WaitGroup

	mu    sync.Mutex
	conns map[*conn]bool
	hosts map[netip.Addr]int
}

func (s *server) defaults() {
	c := &s.cfg
	if c.Max <= 0 {
		c.Max = defaultMax
	}
	if c.PerHost <= 0 || c.PerHost > c.Max {
		c.PerHost = c.Max
	}
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func (s *server) accept(ctx context.Context, l net.Listener) error {
	const least, most = 5 * time.Millisecond, time.Second
	wait := least
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of descriptors, for one: whoever is idle makes room
			s.cfg.Logger.Warn("accept", "error", err)
			s.mu.Lock()
			s.evict(netip.Addr{}, netip.Addr{})
			s.mu.Unlock()
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			wait = min(2*wait, most)
			continue
		}
		wait = least
		s.admit(ctx, c)
	}
}

// admit serves a connection, for which another one may have to make room.
func (s *server) admit(ctx context.Context, raw net.Conn) {
	c := &conn{Conn: raw, host: hostOf(raw)}
	c.heard.Store(time.Now().UnixNano())
	s.mu.Lock()
	room := true
	if s.hosts[c.host] >= s.cfg.PerHost {
		room = s.evict(c.host, c.host)
	}
	if room && len(s.conns) >= s.cfg.Max {
		room = s.evict(netip.Addr{}, c.host)
	}
	if room {
		s.conns[c] = true
		s.hosts[c.host]++
	}
	s.mu.Unlock()
	if !room {
		s.cfg.Logger.Warn("connection refused: all places are in use", "peer", raw.RemoteAddr())
		_ = raw.Close()
		return
	}
	s.all.Go(func() {
		defer s.remove(c)
		err := s.serve(ctx, c)
		if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
			s.cfg.Logger.Info("connection ended", "peer", raw.RemoteAddr(), "error", err)
		}
	})
}

func (s *server) serve(ctx context.Context, c *conn) error {
	defer c.Close()
	if s.cfg.TLS == nil {
		return s.handle(ctx, c)
	}
	secure := tls.Server(c, s.cfg.TLS)
	agreeing, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	if err := secure.HandshakeContext(agreeing); err != nil {
		return err
	}
	return s.handle(ctx, secure)
}

func (s *server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
}

// forget gives the place of a connection free. s.mu is held.
func (s *server) forget(c *conn) {
	if !s.conns[c] {
		return
	}
	delete(s.conns, c)
	if s.hosts[c.host]--; s.hosts[c.host] == 0 {
		delete(s.hosts, c.host)
	}
}

// evict closes a connection for one that comes from a host: one of the host among,
// or for the zero address of any. That is one of the host that has most, which never
// said anything, or was idle longest. It reports whether there was one to close: one
// that was heard just now stays, and so does one that has just come, but where its
// host has more than its share. s.mu is held.
func (s *server) evict(among, from netip.Addr) bool {
	var oldest *conn
	for c := range s.conns {
		if among.IsValid() && c.host != among {
			continue
		}
		if oldest == nil || s.yields(c, oldest, among.IsValid()) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	greedy := !oldest.spoke.Load() && oldest.host != from && s.hosts[oldest.host] > s.hosts[from]+1
	if !greedy && time.Since(oldest.last()) < restless {
		return false
	}
	s.cfg.Logger.Info("idle connection makes room for a new one", "peer", oldest.RemoteAddr())
	s.forget(oldest)
	_ = oldest.Close()
	return true
}

// yields reports whether c has to go rather than o.
func (s *server) yields(c, o *conn, sameHost bool) bool {
	if !sameHost && s.hosts[c.host] != s.hosts[o.host] {
		return s.hosts[c.host] > s.hosts[o.host]
	}
	if c.spoke.Load() != o.spoke.Load() {
		return !c.spoke.Load()
	}
	return c.last().Before(o.last())
}

// sweep closes connections on which nothing came for too long.
func (s *server) sweep(ctx context.Context) {
	if s.cfg.Idle < 0 {
		return
	}
	tick := time.NewTicker(max(s.cfg.Idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.mu.Lock()
			for c := range s.conns {
				if now.Sub(c.last()) >= s.cfg.Idle {
					_ = c.Close() // its handler ends, and gives the place free
				}
			}
			s.mu.Unlock()
		}
	}
}

// conn remembers when something came last.
type conn struct {
	net.Conn
	host  netip.Addr
	heard atomic.Int64 // Unix nanoseconds
	spoke atomic.Bool  // something came
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
		c.spoke.Store(true)
	}
	return n, err
}

func (c *conn) last() time.Time { return time.Unix(0, c.heard.Load()) }

// hostOf returns the address of the peer; IPv6 hosts count by their /64.
func hostOf(c net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.IPv6Unspecified()
	}
	host := at.Addr().Unmap().WithZone("")
	if host.Is6() {
		if p, err := host.Prefix(64); err == nil {
			host = p.Addr()
		}
	}
	return host
}
