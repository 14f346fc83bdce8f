// Package coap shows meters to CoAP clients, over UDP in the clear and over DTLS
// with pre-shared keys: the resources of [coap.Tree], observable (RFC 7641) and in
// blocks (RFC 7959).
//
// The message layer and DTLS are those of github.com/plgd-dev/go-coap. Requests
// are answered from the newest readings; a transfer in
// blocks keeps the representation with which it began. All that a client can make
// the server remember has a limit in [Config].
package coap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	coapnet "github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/options/config"
	"github.com/plgd-dev/go-coap/v3/pkg/runner/periodic"
	"github.com/plgd-dev/go-coap/v3/udp/client"

	dtlsserver "github.com/plgd-dev/go-coap/v3/dtls/server"
	udpserver "github.com/plgd-dev/go-coap/v3/udp/server"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/coap"
)

// Config says how a [Face] or a [Server] serves. A nil *Config is the zero Config.
type Config struct {
	// Listen is where a Face listens: "coap://host:port" or host:port in the clear, or
	// "coaps://host:port"; see [Server.Listen].
	Listen string
	Ready  func(net.Addr) // told where a Face listens; nil for none
	Warn   func(string)   // told what a Face cannot show, each once; nil for none

	Keys            map[string]Key // pre-shared keys of DTLS by their identities; empty: coaps is refused
	Rules           *coap.Rules    // of LwM2M objects; nil: the built-in ones
	BlockSize       int            // largest block in octets, a power of two from 16 to 1024; 0: 1024
	MaxMessageSize  int            // octets of a request; 0: 1472
	MaxRemotes      int            // clients at a time, over all listeners; 0: 256
	MaxObservations int            // of one client; 0: 64
	MaxTransfers    int            // transfers in blocks of one client for which a representation is kept; 0: 4
	Transfer        time.Duration  // how long it is kept after the last block; 0: 60 s
	Inactivity      time.Duration  // after which a client is forgotten; one that observes is asked first; 0: 5 min
	MaxAge          time.Duration  // how long after an update clients may think readings fresh; 0: 60 s
	AckTimeout      time.Duration  // after which a notification is sent again, at most four times; 0: 2 s
	Handshake       time.Duration  // within which a DTLS handshake must end; 0: 30 s
	Logger          *slog.Logger   // nil: silent
}

// Key is a pre-shared key. It prints as "redacted".
type Key []byte

// String returns "redacted".
func (Key) String() string { return "redacted" }

// Format prints "redacted" whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "redacted") }

// MarshalText returns "redacted".
func (Key) MarshalText() ([]byte, error) { return []byte("redacted"), nil }

// withDefaults returns the config with what is zero filled in.
func (c *Config) withDefaults() (Config, error) {
	var full Config
	if c != nil {
		full = *c
	}
	for value, or := range map[*int]int{&full.BlockSize: 1024, &full.MaxMessageSize: 1472, &full.MaxRemotes: 256, &full.MaxObservations: 64, &full.MaxTransfers: 4} {
		if *value == 0 {
			*value = or
		}
		if *value < 0 {
			return full, fmt.Errorf("coap: a limit of %d", *value)
		}
	}
	for value, or := range map[*time.Duration]time.Duration{&full.Transfer: time.Minute, &full.Inactivity: 5 * time.Minute, &full.MaxAge: time.Minute,
		&full.AckTimeout: 2 * time.Second, &full.Handshake: 30 * time.Second} {
		if *value == 0 {
			*value = or
		}
		if *value < 0 {
			return full, fmt.Errorf("coap: a time of %v", *value)
		}
	}
	if szxOf(full.BlockSize) < 0 {
		return full, fmt.Errorf("coap: blocks of %d octets: want a power of two from 16 to 1024", full.BlockSize)
	}
	if full.Logger == nil {
		full.Logger = slog.New(slog.DiscardHandler)
	}
	return full, nil
}

// Server answers clients, of one meter or of those of a [Face]. It is safe for use by several goroutines.
type Server struct {
	cfg      Config
	shown    shown
	tree     atomic.Pointer[coap.Tree]
	updated  atomic.Int64  // when, in Unix nanoseconds
	sequence atomic.Uint32 // of notifications, for all
	commands atomic.Int32  // that are under way

	mu      sync.Mutex
	remotes map[*client.Conn]*remote
	kept    atomic.Int64 // octets of representations for transfers in blocks
	warned  atomic.Int64 // unix time of the last warning
}

// warn logs a warning, at most one each second: anybody can cause them.
func (s *Server) warn(text string, args ...any) {
	now := time.Now().Unix()
	level := slog.LevelDebug
	if s.warned.Swap(now) != now {
		level = slog.LevelWarn
	}
	s.cfg.Logger.Log(context.Background(), level, text, args...)
}

// shown is what a server shows.
type shown interface {
	// get returns what a GET gives: an error of package coap, or errNothing.
	get(q query) (*representation, error)
	// observable reports whether a path may be observed.
	observable(path string) bool
}

// representation is a resource in one content format.
type representation struct {
	*coap.Representation
	until time.Time // until when it may be thought fresh
}

// errNothing reports that nothing is known yet.
var errNothing = errors.New("coap: no readings yet")

// NewServer returns a server that shows nothing yet: it answers 5.03.
func NewServer(cfg *Config) (*Server, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: full, remotes: map[*client.Conn]*remote{}}
	s.shown = s
	return s, nil
}

// get is that of one meter.
func (s *Server) get(q query) (*representation, error) {
	tree := s.tree.Load()
	if tree == nil {
		return nil, errNothing
	}
	rep, err := tree.Get(q.path, q.list(), q.accept)
	return &representation{rep, time.Unix(0, s.updated.Load()).Add(s.cfg.MaxAge)}, err
}

func (s *Server) observable(path string) bool {
	tree := s.tree.Load()
	return tree != nil && tree.Observable(path)
}

// Update replaces what is shown by d, which must not change any more, notifies
// those who observe what changed, and returns what cannot be shown. Notifications
// of what did not change are sent when half of its Max-Age is over. Until it is
// called again, the Max-Age of all answers runs out.
func (s *Server) Update(d *mapping.Data) []mapping.Loss {
	tree, lost := coap.NewTree(d, s.cfg.Rules)
	s.tree.Store(tree)
	s.updated.Store(time.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.remotes {
		r.wake()
	}
	return lost
}

// Listener is one address on which a [Server] listens.
type Listener struct {
	server *Server
	udp    *coapnet.UDPConn
	dtls   *dtlsListener
	addr   net.Addr
}

// Listen listens on "coap://host:port" (or "udp://…"), in the clear, or
// "coaps://host:port", with DTLS. In the clear anybody may ask, and who forges a
// sender makes the server send that one at most three times the octets of the
// requests: blocks are that small until an address has returned an Echo option
// (RFC 9175) or acknowledged a notification. The host is one address: answers from
// a wildcard may come from another address than the client asked, and would be
// dropped. Without a port it is the standard's, 5683 or 5684.
func (s *Server) Listen(address string) (*Listener, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("coap: %w", err)
	}
	port, secure := "5683", false
	switch u.Scheme {
	case "coap", "udp":
	case "coaps":
		port, secure = "5684", true
	default:
		return nil, fmt.Errorf("coap: %q: want coap://host:port or coaps://host:port", address)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	at, err := net.ResolveUDPAddr("udp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("coap: %w", err)
	}
	if len(at.IP) == 0 || at.IP.IsUnspecified() || at.IP.IsMulticast() {
		return nil, fmt.Errorf("coap: %q names no single address: listen on each address of the machine that is to answer", address)
	}
	if secure {
		return s.listenDTLS(at)
	}
	socket, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, fmt.Errorf("coap: %w", err)
	}
	return &Listener{server: s, udp: coapnet.NewUDPConn("udp", socket), addr: socket.LocalAddr()}, nil
}

func (s *Server) listenDTLS(at *net.UDPAddr) (*Listener, error) {
	if len(s.cfg.Keys) == 0 {
		return nil, fmt.Errorf("coap: coaps needs a pre-shared key")
	}
	inner, err := dtls.ListenWithOptions("udp", at, s.dtlsOptions()...)
	if err != nil {
		return nil, fmt.Errorf("coap: %w", err)
	}
	l := &dtlsListener{Listener: inner, open: make(chan struct{}, s.cfg.MaxRemotes), warn: s.warn}
	return &Listener{server: s, dtls: l, addr: inner.Addr()}, nil
}

// dtlsOptions is all that is said to pion/dtls.
func (s *Server) dtlsOptions() []dtls.ServerOption {
	return []dtls.ServerOption{
		dtls.WithPSK(func(identity []byte) ([]byte, error) {
			key := s.cfg.Keys[string(identity)]
			if len(key) == 0 {
				return nil, fmt.Errorf("unknown identity %q", identity)
			}
			return key, nil
		}),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256, dtls.TLS_PSK_WITH_AES_128_CCM, dtls.TLS_PSK_WITH_AES_128_CCM_8),
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard}), // whose default is standard output
	}
}

// Addr returns the address.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close closes a listener that was not served.
func (l *Listener) Close() error {
	if l.dtls != nil {
		return l.dtls.Close()
	}
	return l.udp.Close()
}

// Serve serves until ctx ends, and closes the listener.
func (l *Listener) Serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer l.Close()
	s := l.server
	onError := options.WithErrors(func(err error) { s.warn("coap", "listen", l.addr.String(), "err", err) })
	size := options.WithMaxMessageSize(uint32(s.cfg.MaxMessageSize))
	ticks := options.WithPeriodicRunner(periodic.New(ctx.Done(), min(s.cfg.AckTimeout, time.Second)))
	inactive := options.WithInactivityMonitor(s.cfg.Inactivity, s.inactive)
	again := options.WithTransmission(1, s.cfg.AckTimeout, retransmits)
	blocks := options.WithBlockwise(false, 0, 0) // ours need no state for each token
	process := options.WithProcessReceivedMessageFunc(config.ProcessReceivedMessageFunc[*client.Conn](s.process))
	monitor := options.WithRequestMonitor(s.monitor)
	opened := options.WithOnNewConn(func(conn *client.Conn) { s.opened(conn, l.dtls != nil) })
	base := options.WithContext(ctx)
	if l.dtls != nil {
		server := dtlsserver.New(base, onError, size, ticks, inactive, again, blocks, process, monitor, opened, options.WithDTLSHandshakeTimeout(s.cfg.Handshake))
		defer stopping(ctx, server.Stop)()
		return server.Serve(l.dtls)
	}
	server := udpserver.New(base, onError, size, ticks, inactive, again, blocks, process, monitor, opened)
	defer stopping(ctx, server.Stop)()
	return server.Serve(l.udp)
}

// stopping calls stop when ctx ends. What it returns waits until that is done: the library
// closes the socket there, and nobody can listen at the address before.
func stopping(ctx context.Context, stop func()) (wait func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		stop()
	})
	return func() {
		if !cancel() {
			<-done
		}
	}
}

// retransmits is how often a notification is sent again.
const retransmits = 4

// ListenAndServe listens on an address as [Server.Listen] takes it, and serves
// until ctx ends.
func (s *Server) ListenAndServe(ctx context.Context, address string) error {
	l, err := s.Listen(address)
	if err != nil {
		return err
	}
	return l.Serve(ctx)
}

// dtlsListener lets no more connections in than there is room for, counting those
// whose handshake is still under way.
type dtlsListener struct {
	net.Listener
	open chan struct{}
	warn func(string, ...any)
}

func (l *dtlsListener) AcceptWithContext(ctx context.Context) (net.Conn, error) {
	conn, err := l.Accept()
	if err != nil {
		if ctx.Err() != nil {
			return nil, coapnet.ErrListenerIsClosed
		}
		time.Sleep(acceptPause)
		return nil, err
	}
	secure, ok := conn.(*dtls.Conn)
	select {
	case l.open <- struct{}{}:
	default:
		ok = false
		l.warn("coap: too many connections", "remote", conn.RemoteAddr().String())
	}
	if !ok {
		_ = conn.Close()
		return nil, nil
	}
	return &dtlsConn{Conn: secure, release: sync.OnceFunc(func() { <-l.open })}, nil
}

// acceptPause keeps a socket that fails from taking up all of the time.
const acceptPause = 10 * time.Millisecond

// dtlsConn makes room for another when it is closed.
type dtlsConn struct {
	*dtls.Conn
	release func()
}

// HandshakeContext says what the silence of a client most often means: what a
// wrong key protects is dropped without a word.
func (c *dtlsConn) HandshakeContext(ctx context.Context) error {
	err := c.Conn.HandshakeContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("nothing came that the key verifies, the client may have another: %w", err)
	}
	return err
}

func (c *dtlsConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// acquire returns a message of the pool that does not outlive ctx.
func acquire(ctx context.Context, conn *client.Conn) (m *pool.Message, release func()) {
	m = conn.AcquireMessage(ctx)
	return m, func() { conn.ReleaseMessage(m) }
}
