package meter

import (
	"context"
	"errors"

	"github.com/openusm/meter/obis"
)

// Found is a meter that a scan found.
type Found struct {
	Protocol Protocol
	Address  string // what Config.Address or Config.DLMS.Server must be to reach it
	Meter    obis.Meter
	Note     string // what else there is to say: a collision that could not be resolved
}

// Scanner is told how a scan goes. Nil functions hear nothing.
type Scanner struct {
	Found    func(Found)
	Progress func(done float64) // from 0 to 1
	// Primary tries all primary addresses of an M-Bus; Secondary searches the
	// secondary ones. Neither means both.
	Primary, Secondary bool
}

func (s *Scanner) found(f Found) {
	if s.Found != nil {
		s.Found(f)
	}
}

func (s *Scanner) progress(done float64) {
	if s.Progress != nil {
		s.Progress(done)
	}
}

// Scan finds the meters at a target: the slaves of an M-Bus by primary and by
// secondary address, the logical devices of a DLMS meter, or the one meter that
// speaks another protocol. It ends.
func Scan(ctx context.Context, target string, cfg *Config, s *Scanner) error {
	if s == nil {
		s = &Scanner{}
	}
	t, err := ParseTarget(target)
	if err != nil {
		return err
	}
	cfg = cfg.prepared(true)
	if t.Scheme == "sim" {
		if cfg.Protocol, err = cfg.simulated(t.Address); err != nil {
			return err
		}
		if cfg.Address == "" {
			cfg.Address = "0" // all slaves, not one
		}
	}
	if d := cfg.driver(cfg.Protocol); d != nil && d.Scan != nil {
		return d.Scan(ctx, t, cfg, s)
	}
	session, err := Dial(ctx, target, cfg)
	if err != nil {
		if d := cfg.driver(MBus); errors.Is(err, errSeveral) && d != nil && d.Scan != nil {
			return d.Scan(ctx, t, cfg, s)
		}
		return err
	}
	protocol := session.Protocol()
	if d := cfg.driver(protocol); d != nil && d.Scan != nil {
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
	s.found(Found{Protocol: protocol, Address: cfg.Address, Meter: result.Meter})
	s.progress(1)
	return nil
}

// errSeveral reports answers that garble each other, as those of several meters do.
var errSeveral = errors.New("several meters answer at once")
