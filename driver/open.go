package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// connectTimeout is how long Open waits for a network connection.
const connectTimeout = 10 * time.Second

// DetectTimeout is how long each attempt of detection waits for an answer where the caller names no time.
const DetectTimeout = 2 * time.Second

// quick returns a way to dial that waits no longer for an answer than detection may.
func quick(dial func(context.Context, Target, *Config) (Session, error)) func(context.Context, Target, *Config) (Session, error) {
	return func(ctx context.Context, t Target, cfg *Config) (Session, error) {
		own := *cfg
		if own.Timeout == 0 {
			own.Timeout = DetectTimeout
		}
		return dial(ctx, t, &own)
	}
}

// Unheard reports whether an attempt failed as one in a protocol that the meter does not speak.
func Unheard(err error) bool {
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

// Outcome gives the errors of connections the sentinel on which callers branch.
func Outcome(err error) error {
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
