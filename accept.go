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
	"sync/atomic"
	"time"

	"github.com/openusm/meter/driver"
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
	// maxStrangers is how many are asked at a time while the first meter is awaited.
	maxStrangers = 64
)

// Accept waits at a target such as "listen+dlms://:4059" for meters that call in,
// opens a session with each, and hands it to handle in a goroutine of its own; the
// session ends when handle returns. The keys are those of the id that the meter
// tells. Errors of single meters come as calls without session. It returns when
// ctx ends.
func Accept(ctx context.Context, target string, cfg *Config, handle func(context.Context, *Call, error)) error {
	t, err := driver.ParseTarget(target)
	if err != nil {
		return err
	}
	if t.Scheme != "listen" {
		return fmt.Errorf("meter: %s: %w: want for example listen+dlms://:4059", t, ErrNotSupported)
	}
	cfg = driver.Prepared(cfg, true)
	limits := &serve.Config{Max: maxCallers, Idle: -1, Logger: cfg.Logger}
	err = serve.Listen(ctx, "tcp", t.Address, limits, nil, func(ctx context.Context, c net.Conn) error {
		call, err := answer(ctx, t, c, cfg)
		handle(ctx, call, err)
		if call.Session == nil {
			return c.Close()
		}
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), driver.DetectTimeout)
		defer cancel()
		return call.Session.Close(leave)
	})
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrConnect, err)
	}
	return ctx.Err()
}

// dialIn waits for the first meter with which a session can be opened. Others that
// call keep it from nothing.
func dialIn(ctx context.Context, t Target, cfg *Config) (Session, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", t.Address)
	if err != nil {
		return nil, fmt.Errorf("meter: %w: %w", ErrConnect, err)
	}
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	found, failed := make(chan Session), make(chan error, 1)
	go func() {
		places := make(chan struct{}, maxStrangers)
		for {
			c, err := l.Accept()
			if err != nil {
				failed <- err
				return
			}
			select {
			case places <- struct{}{}:
			default:
				_ = c.Close()
				continue
			}
			go func() {
				defer func() { <-places }()
				own, cancel := context.WithCancel(ctx)
				stop := context.AfterFunc(waiting, cancel)
				call, err := answer(own, t, c, cfg)
				if err != nil {
					cancel()
					if cfg.Tried != nil && waiting.Err() == nil {
						cfg.Tried(fmt.Sprintf("%v, which called in: %v", call.From, err))
					}
					return
				}
				stop() // the session lives on under own
				select {
				case found <- call.Session:
				case <-waiting.Done():
					_ = call.Session.Close(context.WithoutCancel(ctx))
				}
			}()
		}
	}()
	select {
	case s := <-found:
		return s, nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil, driver.Outcome(ctx.Err())
		}
		return nil, fmt.Errorf("meter: %w: %w", ErrConnect, err)
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
		return call, driver.Outcome(err)
	}
	own.Keys = cfg.Keys.For(call.ID)
	own.Open = func(context.Context, Target, *Config) (io.ReadWriteCloser, error) { return conn, nil }
	session, err := dialProtocol(ctx, Target{Scheme: "tcp", Address: c.RemoteAddr().String()}, &own)
	conn.settled.Store(true)
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

// answered is the connection of a meter that called in, which several protocols try
// in turn: it is not called back.
type answered struct {
	net.Conn
	settled atomic.Bool // one of them has it
}

// Close closes the connection, once it is settled whose it is.
func (a *answered) Close() error {
	if a.settled.Load() {
		return a.Conn.Close()
	}
	return a.SetDeadline(time.Time{})
}

// SetLine accepts any rate: there is no line.
func (*answered) SetLine(int, string) error { return nil }
