package meter

import (
	"context"
	"errors"

	"github.com/openusm/meter/driver"
)

// Scan finds the meters at a target: the slaves of an M-Bus by primary and by
// secondary address, the logical devices of a DLMS meter, or the one meter that
// speaks another protocol. It ends.
func Scan(ctx context.Context, target string, cfg *Config, s *Scanner) error {
	if s == nil {
		s = &Scanner{}
	}
	t, err := driver.ParseTarget(target)
	if err != nil {
		return err
	}
	cfg = driver.Prepared(cfg, true)
	if t.Scheme == "sim" {
		if cfg.Protocol, err = driver.Simulated(cfg, t.Address); err != nil {
			return err
		}
		if cfg.Address == "" {
			cfg.Address = "0" // all slaves, not one
		}
	}
	if d := driver.Of(cfg, cfg.Protocol); d != nil && d.Scan != nil {
		return d.Scan(ctx, t, cfg, s)
	}
	session, err := Dial(ctx, target, cfg)
	if err != nil {
		if d := driver.Of(cfg, MBus); errors.Is(err, driver.ErrSeveral) && d != nil && d.Scan != nil {
			return d.Scan(ctx, t, cfg, s)
		}
		return err
	}
	protocol := session.Protocol()
	if d := driver.Of(cfg, protocol); d != nil && d.Scan != nil {
		if err := session.Close(ctx); err != nil {
			return err
		}
		cfg.Protocol = protocol
		return d.Scan(ctx, t, cfg, s)
	}
	defer session.Close(context.WithoutCancel(ctx))
	result, err := session.Read(ctx)
	if err != nil && result == nil {
		return err
	}
	if s.Found != nil {
		s.Found(Found{Protocol: protocol, Address: cfg.Address, Meter: result.Meter})
	}
	if s.Progress != nil {
		s.Progress(1)
	}
	return nil
}
