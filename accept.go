package meter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/serve"
)

// Call is a meter that called in.
type Call struct {
	Session Session
	From    net.Addr
	// ID is what the meter said of itself before it was asked: its system title or id
	// by a push, or the text with which it announced itself. "" where it was silent.
	ID string
	// Pushed is what it pushed before it was asked.
	Pushed []*Result
}

const (
	maxCallers = 1024
	// greeting is how long a meter that calls in may take to say who it is.
	greeting    = time.Second
	maxGreeting = 4096
)

// Accept waits at a target such as "listen+dlms://:4059" for meters that call in,
// opens a session with each, and hands it to handle in a goroutine of its own; the
// session ends when handle returns. The keys are those of the id that the meter
// tells. Errors of single meters come as calls without session. It returns when
// ctx ends.
func Accept(ctx context.Context, target string, cfg *Config, handle func(context.Context, *Call, error)) error {
	t, err := ParseTarget(target)
	if err != nil {
		return err
	}
	if t.Scheme != "listen" {
		return fmt.Errorf("meter: %s: %w: want for example listen+dlms://:4059", t, ErrNotSupported)
	}
	cfg = cfg.prepared(true)
	limits := &serve.Config{Max: maxCallers, Idle: -1, Logger: cfg.Logger}
	err = serve.Listen(ctx, "tcp", t.Address, limits, nil, func(ctx context.Context, c net.Conn) error {
		call, err := answer(ctx, t, c, cfg)
		handle(ctx, call, err)
		if call.Session == nil {
			return c.Close()
		}
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), detectTimeout)
		defer cancel()
		return call.Session.Close(leave)
	})
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrConnect, err)
	}
	return ctx.Err()
}

// dialIn waits for the first meter with which a session can be opened.
func dialIn(ctx context.Context, t Target, cfg *Config) (Session, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", t.Address)
	if err != nil {
		return nil, fmt.Errorf("meter: %w: %w", ErrConnect, err)
	}
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil, outcome(ctx.Err())
		}
		if err != nil {
			return nil, fmt.Errorf("meter: %w: %w", ErrConnect, err)
		}
		call, err := answer(ctx, t, c, cfg)
		switch {
		case err == nil:
			return call.Session, nil
		case !unheard(err):
			return nil, err
		}
	}
}

// answer opens a session with a meter that called in. It owns c until it has one.
func answer(ctx context.Context, t Target, c net.Conn, cfg *Config) (*Call, error) {
	call := &Call{From: c.RemoteAddr()}
	own := *cfg
	own.Protocol = t.Protocol
	conn := &answered{Conn: c}
	if err := call.greet(ctx, conn, &own); err != nil {
		_ = c.Close()
		return call, outcome(err)
	}
	own.Keys = cfg.Keys.For(call.ID)
	var once sync.Once
	own.Open = func(context.Context, Target, *Config) (io.ReadWriteCloser, error) {
		err := fmt.Errorf("meter: %w: a meter that calls in is not called back", ErrConnect)
		once.Do(func() { err = nil })
		return conn, err
	}
	session, err := dialProtocol(ctx, Target{Scheme: "tcp", Address: c.RemoteAddr().String()}, &own)
	if err != nil {
		_ = c.Close()
		return call, err
	}
	call.Session = session
	return call, nil
}

// greet hears what a meter says before it is asked.
func (call *Call) greet(ctx context.Context, c *answered, cfg *Config) error {
	conn := stream.New(c.Conn)
	b := make([]byte, maxGreeting)
	n, err := conn.Read(ctx, time.Now().Add(greeting), b)
	if n == 0 {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		return err
	}
	if cfg.Trace != nil {
		cfg.Trace(false, b[:n])
	}
	l, err := newListener(cfg, func(r *Result, err error) {
		if r != nil && err == nil {
			call.Pushed = append(call.Pushed, r.Clone())
		}
	})
	if err != nil {
		return err
	}
	l.feed(b[:n])
	if l.heard {
		for _, r := range call.Pushed {
			if call.ID == "" {
				call.ID = cmp.Or(r.Meter.SystemTitle, r.Meter.ID, r.Meter.Serial)
			}
		}
		return nil
	}
	call.ID = strings.TrimFunc(string(b[:n]), func(r rune) bool { return r <= ' ' || r > '~' })
	return nil
}

// answered is the connection of a meter that called in.
type answered struct{ net.Conn }

// SetLine accepts any rate: there is no line.
func (*answered) SetLine(int, string) error { return nil }
