package meter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// connectTimeout is how long Open waits for a network connection.
const connectTimeout = 10 * time.Second

// Dial opens a session with the meter at a target (see [ParseTarget]). Where
// the protocol is Auto it finds out, which takes a few seconds on a serial line.
// At a target where meters call in it waits for the first one: see [Accept].
func Dial(ctx context.Context, target string, cfg *Config) (Session, error) {
	t, err := ParseTarget(target)
	if err != nil {
		return nil, err
	}
	cfg = cfg.prepared(true)
	switch t.Scheme {
	case "file", "stdin":
		return nil, fmt.Errorf("meter: %s is no meter: decode it", target)
	case "listen":
		return dialIn(ctx, t, cfg)
	case "sim":
		if cfg.Protocol, err = cfg.simulated(t.Address); err != nil {
			return nil, err
		}
	}
	if cfg.Protocol == "" || cfg.Protocol == Auto {
		return detectSession(ctx, t, cfg)
	}
	return dialProtocol(ctx, t, cfg)
}

// dialProtocol opens a session in the protocol that cfg names.
func dialProtocol(ctx context.Context, t Target, cfg *Config) (Session, error) {
	d := cfg.driver(cfg.Protocol)
	if d == nil || d.Dial == nil {
		return nil, fmt.Errorf("meter: %s: %w: no session in protocol %s", t, ErrNotSupported, cfg.Protocol)
	}
	return d.Dial(ctx, t, cfg)
}

// detectTimeout is how long each attempt waits for an answer where the caller names no time.
const detectTimeout = 2 * time.Second

// detectSession tries the protocols one after the other and reports what it tried.
func detectSession(ctx context.Context, t Target, cfg *Config) (Session, error) {
	var tries []Try
	var protocols []Protocol
	for d := range cfg.drivers {
		if d.Tries == nil {
			continue
		}
		for _, try := range d.Tries(t) {
			at, _ := slices.BinarySearchFunc(tries, try, func(a, b Try) int { return cmp.Or(cmp.Compare(a.Rank, b.Rank), -1) })
			tries, protocols = slices.Insert(tries, at, try), slices.Insert(protocols, at, d.Protocol)
		}
	}
	var tried []string
	last := ErrNotSupported
	for i, try := range tries {
		if cfg.Tried != nil {
			cfg.Tried(try.Name)
		}
		own := *cfg
		own.Protocol = protocols[i]
		if own.Retries == 0 {
			own.Retries = -1
		}
		s, err := try.Dial(ctx, t, &own)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil || !unheard(err) {
			return nil, err
		}
		tried, last = append(tried, try.Name), err
	}
	return nil, fmt.Errorf("meter: %s: tried %s: %w", t, strings.Join(tried, ", "), last)
}

// quick returns a way to dial that waits no longer for an answer than detection may.
func quick(dial func(context.Context, Target, *Config) (Session, error)) func(context.Context, Target, *Config) (Session, error) {
	return func(ctx context.Context, t Target, cfg *Config) (Session, error) {
		own := *cfg
		if own.Timeout == 0 {
			own.Timeout = detectTimeout
		}
		return dial(ctx, t, &own)
	}
}

// unheard reports whether an attempt failed as one in a protocol that the meter does not speak.
func unheard(err error) bool {
	return errors.Is(err, ErrTimeout) || errors.Is(err, ErrHungUp) || errors.Is(err, ErrFrame)
}

// Open opens the connection of a target at the given line settings, which only
// serial targets heed, and those of the target itself prevail. It is what
// Config.Open falls back on.
func Open(ctx context.Context, t Target, cfg *Config) (io.ReadWriteCloser, error) {
	switch t.Scheme {
	case "serial":
		if cfg.OpenSerial == nil {
			return nil, fmt.Errorf("meter: %s: %w: Config.OpenSerial is not set", t, ErrConnect)
		}
		rw, err := cfg.OpenSerial(t.Address, t.Baud, t.Framing)
		if err != nil {
			return nil, fmt.Errorf("meter: %w: %w", ErrConnect, err)
		}
		return rw, nil
	case "tcp", "udp":
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		var d net.Dialer
		conn, err := d.DialContext(ctx, t.Scheme, t.Address)
		if err != nil {
			return nil, fmt.Errorf("meter: %w: %w", ErrConnect, err)
		}
		return conn, nil
	case "sim":
		return openSimulated(ctx, t.Address, cfg)
	}
	return nil, fmt.Errorf("meter: %s: %w: no connection", t, ErrConnect)
}

// Connect opens the connection of a target for a driver whose usual line settings are baud and framing.
func (cfg *Config) Connect(ctx context.Context, t Target, baud int, framing string) (io.ReadWriteCloser, error) {
	t.Baud, t.Framing = cmp.Or(t.Baud, baud), cmp.Or(t.Framing, framing)
	if cfg.Open != nil {
		return cfg.Open(ctx, t, cfg)
	}
	return Open(ctx, t, cfg)
}

// outcome gives the errors of connections the sentinel on which callers branch.
func outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("meter: %w: %w", ErrTimeout, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("meter: %w: %w", ErrHungUp, err)
	}
	return fmt.Errorf("meter: %w", err)
}
