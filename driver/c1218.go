package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/receive"
	"github.com/openusm/meter/ansic12/session"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// c1218Driver speaks ANSI C12.18 and C12.21.
func c1218Driver() Driver {
	return Driver{
		Protocol: C1218,
		Detect:   func(b []byte) bool { return len(b) >= psem.Overhead && b[0] == 0xEE },
		Reader:   func(cfg *Config) (Reader, error) { return newC12Reader(C1218, receive.Packets, cfg) },
		Explainer: func(_ *Config, note func(Note)) (Explainer, error) {
			return explains{note, psem.ExplainFirst, nil}, nil
		},
		Dial: dialC1218,
		Tries: func(t Target) []Try {
			switch t.Scheme {
			case "tcp":
				return []Try{{"C12.18", 50, quick(dialC1218)}}
			case "serial":
				return []Try{{"C12.18 at 9600 8N1", 50, quick(dialC1218)}}
			}
			return nil
		},
		Simulate: func(cfg *SimulatorConfig) (Simulator, error) { return ansicsim.New(simulatedC12(cfg)), nil },
	}
}

// simulatedC12 describes the simulated meter.
func simulatedC12(cfg *SimulatorConfig) *ansicsim.Config {
	return &ansicsim.Config{Password: string(cfg.Keys.Password), Key: desKey(cfg.Keys.Key)}
}

// desKey returns the key of C12.21 where one of its length was given.
func desKey(key keys.Secret) []byte {
	if len(key) == 8 {
		return key
	}
	return nil
}

// c12Reader reads what one of the forms of C12 brings.
type c12Reader struct {
	*receive.Receiver
	protocol Protocol
}

func c12Reading(p Protocol, form receive.Form) func(cfg *Config) (Reader, error) {
	return func(cfg *Config) (Reader, error) { return newC12Reader(p, form, cfg) }
}

func newC12Reader(p Protocol, form receive.Form, cfg *Config) (Reader, error) {
	own := &receive.Config{Form: form, Table: cfg.C12.Table, Table0: cfg.C12.Table0, Live: cfg.live, AcceptUnprotected: cfg.accepts()}
	if err := secureC12(own, cfg); err != nil {
		return nil, err
	}
	r, err := receive.New(own)
	if err != nil {
		return nil, fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return &c12Reader{Receiver: r, protocol: p}, nil
}

func (r *c12Reader) Next(into *Result) error {
	m, err := r.Receiver.Next()
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return err
	case err != nil:
		return c12Error(err)
	}
	into.Protocol, into.Meter = r.protocol, m.Meter
	for _, l := range m.Layers {
		layer := Layer{Name: l.Name, Control: l.Control, Security: l.Security, Counter: l.Counter, Counted: l.Counted}
		if l.Tagged {
			layer.Tag = result.TagUnchecked
			if l.Verified {
				layer.Tag = result.TagVerified
			}
		}
		into.Layers = append(into.Layers, layer)
	}
	into.Readings, into.Events = append(into.Readings, m.Readings...), append(into.Events, m.Events...)
	into.Profiles, into.Warnings = append(into.Profiles, m.Profiles...), append(into.Warnings, m.Warnings...)
	into.Sources = appendC12Sources(into.Sources, m.Sources)
	if m.Err != nil {
		return fmt.Errorf("meter: %w: %w", ErrPartial, m.Err)
	}
	return nil
}

func dialC1218(ctx context.Context, t Target, cfg *Config) (Session, error) {
	rw, err := cfg.Connect(ctx, t, 9600, "8N1")
	if err != nil {
		return nil, err
	}
	own := c12Config(cfg)
	own.Key = desKey(cfg.Keys.Key)
	return openC12(ctx, session.NewClient(rw, own), C1218, cfg)
}

func c12Config(cfg *Config) *session.Config {
	return &session.Config{
		UserID: cfg.C12.UserID, User: cfg.C12.User, Password: string(cfg.Keys.Password),
		Timeout: cfg.Timeout, Retries: cfg.Retries, Trace: cfg.Trace, Logger: cfg.Logger,
		Grant: ansic12.RightClock, // by a Controller alone
	}
}

// c12Causes are the sentinels for errors of C12; the first that an error is, holds.
var c12Causes = []cause{
	{session.ErrNoAnswer, ErrTimeout}, {session.ErrAuth, ErrAuth}, {psem.SME, ErrAuth}, {psem.ISC, ErrAuth}, {epsem.ErrMAC, ErrAuth}, {osgp.ErrDigest, ErrAuth},
	{receive.ErrReplay, ErrAuth}, {receive.ErrUnprotected, ErrAuth}, {receive.ErrNoKey, ErrMissingKey}, {epsem.ErrNoVectors, ErrMissingKey}, {session.ErrUnsecured, ErrAuth}, {session.ErrNoTable, ErrNotSupported},
	{session.ErrOtherReply, ErrFrame},
}

func c12Error(err error) error {
	if found := sentinel(err, c12Causes); found != nil {
		return found
	}
	switch {
	case errors.As(err, new(*session.RefusedError)):
		return fmt.Errorf("meter: %w: %w", ErrRefused, err)
	case errors.As(err, new(*psem.ParseError)), errors.As(err, new(*epsem.ParseError)), errors.As(err, new(*tables.ParseError)), errors.As(err, new(*osgp.ParseError)):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return Outcome(err)
}

// openC12 opens the conversation, and closes the connection where that fails.
func openC12(ctx context.Context, client *session.Client, p Protocol, cfg *Config, layers ...Layer) (Session, error) {
	err := client.Open(ctx)
	if err == nil {
		return &meterSession{backend: &c12Backend{client, cfg}, protocol: p, cfg: cfg, err: c12Error, layers: layers}, nil
	}
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = client.Close(leave)
	return nil, c12Error(err)
}

// c12Backend is a conversation by C12.18 or C12.22.
type c12Backend struct {
	*session.Client
	cfg *Config
}

func (b *c12Backend) Read(ctx context.Context, _ []obis.Pattern, into *Result) error {
	readings, sources, err := b.Client.Read(ctx)
	into.Readings, into.Sources = readings, appendC12Sources(nil, sources)
	return err
}

// Profiles lists the sets of load profile data.
func (b *c12Backend) Profiles(ctx context.Context) (profiles []*obis.Profile, err error) {
	sets, err := b.Client.Profiles(ctx)
	for _, set := range sets {
		p := &obis.Profile{}
		set.Describe(p)
		profiles = append(profiles, p)
	}
	return profiles, err
}

func (b *c12Backend) Profile(ctx context.Context, code obis.Code, from, to time.Time) ([]*obis.Profile, error) {
	p := &obis.Profile{}
	found, err := b.ProfileByCode(ctx, p, code, b.cfg.wall(from), b.cfg.wall(to))
	if err != nil || !found {
		return nil, err
	}
	return []*obis.Profile{p}, nil
}

func (b *c12Backend) Events(ctx context.Context, from, to time.Time) ([]obis.Event, error) {
	events, err := b.Client.Events(ctx)
	return within(events, b.cfg.wall(from), b.cfg.wall(to)), err
}
