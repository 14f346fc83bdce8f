package meter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/obis"
)

// anySlave is the primary address that every slave answers; it works with one slave on the line.
const anySlave = 254

// slave is a slave by its primary or by its secondary address.
type slave struct {
	primary   byte
	secondary mbus.Address
	selected  bool // by secondary
}

func parseSlave(text string) (s slave, err error) {
	if text == "" {
		return slave{primary: anySlave}, nil
	}
	if len(text) <= 3 {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			return s, fmt.Errorf("meter: M-Bus address %q: want 0 to 254, or a secondary address such as 12345678", text)
		}
		return slave{primary: byte(n)}, nil
	}
	s.selected = true
	if s.secondary, err = mbus.ParseAddress(text); err != nil {
		return s, fmt.Errorf("meter: M-Bus address %q: %w", text, err)
	}
	return s, nil
}

// mbusSession is a master that reads one slave.
type mbusSession struct {
	master *bus.Master
	cfg    *Config
	slave  slave
}

// openMaster opens the master of a bus.
func openMaster(ctx context.Context, t Target, cfg *Config) (*bus.Master, error) {
	rw, err := cfg.open(ctx, t, 2400, "8E1")
	if err != nil {
		return nil, err
	}
	slack := cfg.Timeout
	if slack == 0 {
		slack = t.slack()
	}
	return bus.NewMaster(rw, &bus.Config{
		Baud: t.Baud, Slack: slack, Retries: cfg.Retries, Keys: mbusKeys(cfg.Keys), Formats: &mbus.MemoryFormats{},
		Trace: cfg.Trace, Log: cfg.Logger,
	}), nil
}

// slack is what the way to a slave adds to the time limits of the bus, 0 for the
// default of package bus, which allows for gateways far away.
func (t Target) slack() time.Duration {
	switch t.Scheme {
	case "sim":
		return 20 * time.Millisecond
	case "tcp":
		if host, _, err := net.SplitHostPort(t.Address); err == nil {
			if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
				return 150 * time.Millisecond
			}
		}
	}
	return 0
}

func dialMBus(ctx context.Context, t Target, cfg *Config) (Session, error) {
	own, err := parseSlave(cfg.Address)
	if err != nil {
		return nil, err
	}
	master, err := openMaster(ctx, t, cfg)
	if err != nil {
		return nil, err
	}
	if own.selected {
		err = master.Select(ctx, own.secondary)
	} else {
		err = master.Reset(ctx, own.primary)
	}
	if err != nil {
		_ = master.Close()
		return nil, busError(err)
	}
	return &mbusSession{master, cfg, own}, nil
}

// telegrams reads all telegrams of the slave.
func (s *mbusSession) telegrams(ctx context.Context) ([]mbus.Telegram, error) {
	if s.slave.selected {
		return s.master.ReadSecondary(ctx, s.slave.secondary)
	}
	return s.master.Read(ctx, s.slave.primary)
}

func busError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bus.ErrNoAnswer):
		return fmt.Errorf("meter: %w: %w", ErrTimeout, err)
	case errors.Is(err, bus.ErrGarbled):
		return fmt.Errorf("meter: %w: %w (several slaves on the line? name one with its address)", ErrFrame, err)
	case errors.Is(err, bus.ErrUnexpected), errors.As(err, new(*link.ParseError)):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return mbusError(err)
}

func (s *mbusSession) Protocol() Protocol { return MBus }

func (s *mbusSession) Close(context.Context) error { return s.master.Close() }

func (s *mbusSession) Read(ctx context.Context, patterns ...obis.Pattern) (*Result, error) {
	result := &Result{Protocol: MBus, Clock: s.cfg.Clock}
	telegrams, failed := s.telegrams(ctx)
	if failed != nil && len(telegrams) == 0 {
		return nil, busError(failed)
	}
	if failed != nil {
		result.warn("%v", failed)
		failed = fmt.Errorf("meter: %w: %w", ErrPartial, failed)
	}
	var decoder mbus.Decoder
	for i := range telegrams {
		failed = errors.Join(failed, result.addTelegram(&decoder, &telegrams[i]))
	}
	if failed != nil {
		return result, failed
	}
	return result.choose(patterns)
}

// Profiles lists the compact profiles that the slave's telegrams carry.
func (s *mbusSession) Profiles(ctx context.Context) ([]*obis.Profile, error) {
	result, err := s.Read(ctx)
	if result == nil {
		return nil, err
	}
	for _, p := range result.Profiles {
		p.Reset()
	}
	return result.Profiles, err
}

// Profile returns the compact profile of this code, or the first one for the
// zero code, whole: telegrams know no range.
func (s *mbusSession) Profile(ctx context.Context, code obis.Code, from, to time.Time) (*Result, error) {
	result, err := s.Read(ctx)
	if result == nil {
		return nil, err
	}
	for _, p := range result.Profiles {
		if p.Code == code || !code.Valid() {
			result.Profiles, result.Readings, result.Sources = []*obis.Profile{between(p, from, to, s.cfg.Clock)}, nil, nil
			return result, err
		}
	}
	return nil, errors.Join(err, fmt.Errorf("meter: %w: the telegrams carry no such profile", ErrNotSupported))
}

// between keeps the rows from one instant to another; rows without an instant stay.
func between(p *obis.Profile, from, to time.Time, clock obis.Clock) *obis.Profile {
	out := p.Clone()
	out.Reset()
	for row, t := range p.Times {
		at, ok := t.Instant(clock)
		if ok && (!from.IsZero() && at.Before(from) || !to.IsZero() && at.After(to)) {
			continue
		}
		if q := p.Quality.At(row); q != (obis.Quality{}) {
			out.Quality.Add(len(out.Times), q)
		}
		out.Times = append(out.Times, t)
		for i := range p.Columns {
			out.Columns[i].Append(p.Columns[i].At(row))
		}
	}
	return out
}

func (s *mbusSession) Events(context.Context, time.Time, time.Time) (*Result, error) {
	return nil, fmt.Errorf("meter: event logs: %w", ErrNotSupported)
}

// mbus explains the frames of a wire.
func (e *explainer) mbus() error {
	decoder := &mbus.Decoder{Keys: mbusKeys(e.cfg.Keys), Formats: &mbus.MemoryFormats{}}
	return e.each(e.b, 0, decoder.ExplainFrame, link.Explain)
}
