package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/obis"
)

// scanMBus searches both kinds of address.
func scanMBus(ctx context.Context, t Target, cfg *Config, s *Scanner) error {
	master, err := openMaster(ctx, t, cfg)
	if err != nil {
		return err
	}
	defer master.Close()
	both := s.Primary == s.Secondary
	return mbusError(master.ScanAll(ctx, both || s.Primary, both || s.Secondary, func(f bus.Found) {
		out := Found{Protocol: MBus, Address: f.Address.String(), Meter: f.Address.Meter()}
		if f.Address == (mbus.Address{}) {
			out.Address, out.Meter = fmt.Sprint(f.Primary), obis.Meter{}
		}
		if f.Collision {
			out.Note = "several slaves answer to this address"
		} else if f.Primary != 0 && f.Address != (mbus.Address{}) {
			out.Note = fmt.Sprintf("primary address %d", f.Primary)
		}
		s.found(out)
	}, s.progress))
}

// slave is a master that reads one slave.
type slave struct {
	*bus.Master
	cfg     *Config
	address bus.Slave
	records records
}

// openMaster opens the master of a bus.
func openMaster(ctx context.Context, t Target, cfg *Config) (*bus.Master, error) {
	rw, err := cfg.Connect(ctx, t, 2400, "8E1")
	if err != nil {
		return nil, err
	}
	slack := cfg.Timeout
	if host, _, err := net.SplitHostPort(t.Address); slack == 0 && t.Scheme == "sim" {
		slack = 20 * time.Millisecond
	} else if ip := net.ParseIP(host); slack == 0 && err == nil && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		slack = 150 * time.Millisecond // 0 allows for gateways far away
	}
	var d mbus.Decoder
	configureMBus(&d, cfg)
	return bus.NewMaster(rw, &bus.Config{
		Baud: t.Baud, Slack: slack, Retries: cfg.Retries, Keys: d.Keys, Formats: d.Formats, Counters: d.Counters, AcceptUnprotected: d.AcceptUnprotected,
		Trace: cfg.Trace, Log: cfg.Logger,
	}), nil
}

func dialMBus(ctx context.Context, t Target, cfg *Config) (Session, error) {
	address, err := bus.ParseSlave(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("meter: %w", err)
	}
	master, err := openMaster(ctx, t, cfg)
	if err != nil {
		return nil, err
	}
	if err := master.Begin(ctx, address); err != nil {
		_ = master.Close()
		return nil, mbusError(err)
	}
	return &meterSession{backend: &slave{Master: master, cfg: cfg, address: address}, protocol: MBus, cfg: cfg, err: mbusError}, nil
}

func (s *slave) Close(context.Context) error { return s.Master.Close() }

func (s *slave) Meter(context.Context) (m obis.Meter, err error) { return m, nil }

func (s *slave) Read(ctx context.Context, _ []obis.Pattern, into *Result) error {
	telegrams, err := s.ReadAll(ctx, s.address)
	var decoder mbus.Decoder
	for i := range telegrams {
		part := &Result{}
		err = errors.Join(err, s.records.add(&telegrams[i], decoder.Report(&telegrams[i]), part))
		into.Add(part.Clone())
	}
	return err
}

// Profiles lists the compact profiles that the slave's telegrams carry.
func (s *slave) Profiles(ctx context.Context) ([]*obis.Profile, error) {
	var r Result
	err := s.Read(ctx, nil, &r)
	for _, p := range r.Profiles {
		p.Reset()
	}
	return r.Profiles, err
}

// Profile returns the compact profile of this code, or the first one for the
// zero code.
func (s *slave) Profile(ctx context.Context, code obis.Code, from, to time.Time) ([]*obis.Profile, error) {
	var r Result
	err := s.Read(ctx, nil, &r)
	for _, p := range r.Profiles {
		if p.Code == code || !code.Valid() {
			return []*obis.Profile{p.Between(from, to, s.cfg.Clock)}, err
		}
	}
	return nil, err
}

func (s *slave) Events(context.Context, time.Time, time.Time) ([]obis.Event, error) {
	return nil, fmt.Errorf("%w: event logs", ErrNotSupported)
}
