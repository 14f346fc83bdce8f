package meter

import (
	"context"
	"errors"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/obis"
)

// Found is a meter that a scan found.
type Found struct {
	Protocol Protocol
	Address  string // what Config.Address or Config.Server must be to reach it
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
	if cfg == nil {
		cfg = &Config{}
	}
	if s == nil {
		s = &Scanner{}
	}
	t, err := ParseTarget(target)
	if err != nil {
		return err
	}
	own := *cfg
	if t.Scheme == "sim" {
		if own.Protocol, err = simulatedProtocol(t.Address); err != nil {
			return err
		}
		if own.Address == "" {
			own.Address = "0" // all slaves, not one
		}
	}
	if own.Protocol == MBus {
		return scanMBus(ctx, t, &own, s)
	}
	session, err := Dial(ctx, target, cfg)
	if err != nil {
		if garbled := (cfg.Protocol == "" || cfg.Protocol == Auto) && errors.Is(err, bus.ErrGarbled); garbled {
			return scanMBus(ctx, t, &own, s)
		}
		return err
	}
	defer session.Close(context.WithoutCancel(ctx))
	switch session := session.(type) {
	case *mbusSession:
		_ = session.Close(ctx)
		return scanMBus(ctx, t, &own, s)
	case *dlmsSession:
		return session.scan(ctx, s)
	}
	result, err := session.Read(ctx)
	if err != nil && result == nil {
		return err
	}
	s.found(Found{Protocol: session.Protocol(), Address: cfg.Address, Meter: result.Meter})
	s.progress(1)
	return nil
}

// scanMBus searches both kinds of address.
func scanMBus(ctx context.Context, t Target, cfg *Config, s *Scanner) error {
	master, err := openMaster(ctx, t, cfg)
	if err != nil {
		return err
	}
	defer master.Close()
	both := s.Primary == s.Secondary
	share, base := 1.0, 0.0
	if both {
		share = 0.5
	}
	seen := map[mbus.Address]bool{} // both scans find the same slaves
	scan := &bus.Scan{
		Found: func(f bus.Found) {
			if known := f.Address != (mbus.Address{}) && !f.Collision; !known || !seen[f.Address] {
				seen[f.Address] = known
				s.found(newFound(f))
			}
		},
		Progress: func(done float64, _ int) { s.progress(base + share*done) },
	}
	if both || s.Primary {
		if _, err := master.ScanPrimary(ctx, scan); err != nil {
			return busError(err)
		}
		base = 1 - share
	}
	if both || s.Secondary {
		if _, err := master.ScanSecondary(ctx, scan); err != nil {
			return busError(err)
		}
	}
	s.progress(1)
	return nil
}

func newFound(f bus.Found) Found {
	out := Found{Protocol: MBus, Address: f.Address.String(), Meter: f.Address.Meter()}
	if f.Address == (mbus.Address{}) {
		out.Address, out.Meter = fmt.Sprint(f.Primary), obis.Meter{}
	}
	if f.Collision {
		out.Note = "several slaves answer to this address"
	} else if f.Primary != 0 && f.Address != (mbus.Address{}) {
		out.Note = fmt.Sprintf("primary address %d", f.Primary)
	}
	return out
}

// sapAssignment lists the logical devices of a physical one.
var sapAssignment = cosem.Attribute{Class: 17, Name: obis.MustParse("0-0:41.0.0"), Index: 2}

// scan finds the logical devices that the meter lists, or else the one that answers.
func (s *dlmsSession) scan(ctx context.Context, sc *Scanner) error {
	defer sc.progress(1)
	list, err := s.client.Get(ctx, sapAssignment, nil)
	if err != nil || list.Len() == 0 {
		result, err := s.result(ctx)
		if err != nil {
			return err
		}
		sc.found(Found{Protocol: DLMS, Address: fmt.Sprint(max(s.cfg.Server, 1)), Meter: result.Meter})
		return nil
	}
	for _, device := range list.Elements() {
		sap, _ := device.At(0).Uint()
		name, _ := device.At(1).Bytes()
		sc.found(Found{Protocol: DLMS, Address: fmt.Sprint(sap), Meter: cosem.Identify([]obis.Reading{
			{Code: obis.MustParse("0-0:42.0.0"), Value: obis.Octets(name)},
		})})
	}
	return nil
}
