package meter

import (
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

// Dial opens a session with the meter at a target (see [ParseTarget]). Where
// the protocol is Auto it finds out, which takes a few seconds on a serial line.
func Dial(ctx context.Context, target string, cfg *Config) (Session, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	t, err := ParseTarget(target)
	if err != nil {
		return nil, err
	}
	switch t.Scheme {
	case "file", "stdin":
		return nil, fmt.Errorf("meter: %s is no meter: decode it", target)
	case "sim":
		protocol, err := simulatedProtocol(t.Address)
		if err != nil {
			return nil, err
		}
		own := *cfg
		own.Protocol, cfg = protocol, &own
	}
	if cfg.Protocol == "" || cfg.Protocol == Auto {
		return detectSession(ctx, t, cfg)
	}
	return dialProtocol(ctx, t, cfg)
}

// dialProtocol opens a session in the protocol that cfg names.
func dialProtocol(ctx context.Context, t Target, cfg *Config) (Session, error) {
	open := dialer(cfg.Protocol)
	if open == nil {
		return nil, fmt.Errorf("meter: %s: %w: no session in protocol %s", t, ErrNotSupported, cfg.Protocol)
	}
	return open(ctx, t, cfg)
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

// open opens the connection for a protocol whose usual line settings are baud and framing.
func (cfg *Config) open(ctx context.Context, t Target, baud int, framing string) (io.ReadWriteCloser, error) {
	if t.Baud == 0 {
		t.Baud = baud
	}
	if t.Framing == "" {
		t.Framing = framing
	}
	if cfg.Open != nil {
		return cfg.Open(ctx, t, cfg)
	}
	return Open(ctx, t, cfg)
}

// String returns the target as ParseTarget reads it.
func (t Target) String() string {
	switch t.Scheme {
	case "sim":
		return "sim:" + t.Address
	case "file", "stdin":
		return t.Address
	case "serial":
		s := "serial://" + t.Address
		if t.Baud != 0 {
			s += fmt.Sprintf("?baud=%d&framing=%s", t.Baud, t.Framing)
		}
		return s
	}
	return t.Scheme + "://" + t.Address
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

// dialer returns how a session in a protocol is opened, nil where there is none.
func dialer(p Protocol) func(context.Context, Target, *Config) (Session, error) {
	switch p {
	case DLMS:
		return dialDLMS
	case IEC62056:
		return dialIEC62056
	case MBus:
		return dialMBus
	case C1218:
		return dialC1218
	case C1222:
		return dialC1222
	case P1, SML, WMBus:
		return dialPush
	}
	return nil
}

// attempts returns the ways to reach a meter of unknown protocol, the likeliest first.
func attempts(t Target) []attempt {
	switch t.Scheme {
	case "udp":
		return []attempt{{"DLMS wrapper", DLMS, dialWrapper}, {"C12.22", C1222, tryC1222}}
	case "tcp":
		return []attempt{
			{"DLMS wrapper", DLMS, dialWrapper}, {"DLMS HDLC", DLMS, dialHDLC},
			{"M-Bus", MBus, dialMBus}, {"IEC 62056-21", IEC62056, dialModeE}, {"C12.18", C1218, dialC1218}, {"C12.22", C1222, tryC1222},
			{"push", Auto, heardPush(0, "", 12*time.Second)},
		}
	}
	return []attempt{
		{"push at 115200 8N1", Auto, heardPush(115200, "8N1", 11*time.Second)},
		{"push at 9600 8N1", Auto, heardPush(9600, "8N1", 11*time.Second)},
		{"push at 2400 8E1", Auto, heardPush(2400, "8E1", 6*time.Second)},
		{"IEC 62056-21 sign-on at 300 7E1", IEC62056, dialModeE},
		{"DLMS HDLC at 9600 8N1", DLMS, dialHDLC},
		{"M-Bus at 2400 8E1", MBus, dialMBus},
		{"C12.18 at 9600 8N1", C1218, dialC1218},
	}
}
