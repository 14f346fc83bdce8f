package meter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/obis"
)

// anySlave is the primary address that every slave answers; it works with one slave on the line.
const anySlave = 254

// mbusSession is a master that reads one slave.
type mbusSession struct {
	master  *bus.Master
	cfg     *Config
	address byte
}

func dialMBus(ctx context.Context, t Target, cfg *Config) (Session, error) {
	address := uint64(anySlave)
	if cfg.Address != "" {
		var err error
		if address, err = strconv.ParseUint(cfg.Address, 10, 8); err != nil || len(cfg.Address) > 3 {
			return nil, fmt.Errorf("meter: M-Bus address %q: want 0 to 250", cfg.Address)
		}
	}
	rw, err := cfg.open(ctx, t, 2400, "8E1")
	if err != nil {
		return nil, err
	}
	master := bus.NewMaster(rw, &bus.Config{
		Baud: t.Baud, Slack: cfg.Timeout, Retries: cfg.Retries, Keys: mbusKeys(cfg.Keys), Formats: &mbus.MemoryFormats{},
		Trace: cfg.Trace, Log: cfg.Logger,
	})
	if err := master.Reset(ctx, byte(address)); err != nil {
		_ = master.Close()
		return nil, busError(err)
	}
	return &mbusSession{master, cfg, byte(address)}, nil
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
	telegrams, failed := s.master.Read(ctx, s.address)
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

func (s *mbusSession) Profiles(context.Context) ([]*obis.Profile, error) {
	return nil, fmt.Errorf("meter: load profiles: %w", ErrNotSupported)
}

func (s *mbusSession) Profile(context.Context, obis.Code, time.Time, time.Time) (*Result, error) {
	return nil, fmt.Errorf("meter: load profiles: %w", ErrNotSupported)
}

func (s *mbusSession) Events(context.Context, time.Time, time.Time) (*Result, error) {
	return nil, fmt.Errorf("meter: event logs: %w", ErrNotSupported)
}

// mbus explains the frames of a wire.
func (e *explainer) mbus() error {
	decoder := &mbus.Decoder{Keys: mbusKeys(e.cfg.Keys), Formats: &mbus.MemoryFormats{}}
	for at := 0; at < len(e.b); {
		part := e.b[at:]
		_, n, err := link.Parse(part)
		if err == nil {
			part = part[:n]
		}
		if err := decoder.ExplainFrame(part, e.at(part, at, 0)); err != nil {
			return err
		}
		at += n
	}
	return nil
}
