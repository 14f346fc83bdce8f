package dlms

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/internal/stream"
)

// ListenerConfig describes a listener.
type ListenerConfig struct {
	// Receiver says whose keys are known and what is believed. All connections
	// share its counters; where there are none, they live in memory.
	Receiver ReceiverConfig
	// Handle is called for every message, or with the error of one that cannot be
	// read, one at a time for each connection. The message is valid until it
	// returns. From is nil where the connection has no addresses.
	Handle func(from net.Addr, m *Message, err error)
	// FrameTimeout ends an HDLC frame of which the rest does not come; zero means hdlc.DefaultFrameTimeout.
	FrameTimeout time.Duration
	Logger       *slog.Logger // nil is silent
}

// Listener takes what meters push, with HDLC or the wrapper.
type Listener struct{ cfg ListenerConfig }

// NewListener returns a listener.
func NewListener(cfg *ListenerConfig) *Listener {
	l := &Listener{}
	if cfg != nil {
		l.cfg = *cfg
	}
	l.cfg.Receiver.Link = LinkAuto
	if l.cfg.Receiver.Counters == nil {
		l.cfg.Receiver.Counters = &security.MemoryCounters{}
	}
	if l.cfg.FrameTimeout == 0 {
		l.cfg.FrameTimeout = hdlc.DefaultFrameTimeout
	}
	if l.cfg.Logger == nil {
		l.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return l
}

// Serve listens on one connection until it ends or the context does. It closes rw.
func (l *Listener) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	conn := stream.New(rw)
	defer conn.Close()
	r := NewReceiver(&l.cfg.Receiver)
	var from net.Addr
	if c, ok := rw.(interface{ RemoteAddr() net.Addr }); ok {
		from = c.RemoteAddr()
	}
	var buf [2048]byte
	for {
		var until time.Time
		if r.Pending() > 0 {
			until = time.Now().Add(l.cfg.FrameTimeout)
		}
		n, err := conn.Read(ctx, until, buf[:])
		switch {
		case n > 0:
			r.Feed(buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.Skip()
		case closed(err):
			return nil
		default:
			return err
		}
		l.messages(r, from)
	}
}

// ServePacket listens for datagrams, until the connection is closed or the
// context ends. Each sender has a state of its own.
func (l *Listener) ServePacket(ctx context.Context, conn net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1<<16)
	receivers := map[string]*Receiver{}
	for {
		n, from, err := conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		r := receivers[from.String()]
		if r == nil {
			if len(receivers) >= maxDatagramSessions {
				clear(receivers) // they only lose what was begun
			}
			r = NewReceiver(&l.cfg.Receiver)
			receivers[from.String()] = r
		}
		r.Feed(buf[:n])
		l.messages(r, from)
		for r.Pending() > 0 { // a datagram begins a frame
			r.Skip()
		}
	}
}

// messages hands on what has come.
func (l *Listener) messages(r *Receiver, from net.Addr) {
	for {
		m, err := r.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil {
			l.cfg.Logger.Warn("push that cannot be read", "error", err)
		}
		if l.cfg.Handle != nil {
			l.cfg.Handle(from, m, err)
		}
	}
}
