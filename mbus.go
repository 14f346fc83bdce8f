package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/mbus/mbussim"
	"github.com/openusm/meter/obis"
)

// mbusDriver speaks M-Bus by wire (EN 13757-2 and -3).
func mbusDriver() Driver {
	return Driver{
		Protocol:  MBus,
		Detect:    link.Detect,
		Reader:    func(cfg *Config) (Reader, error) { return newMBusReader(cfg) },
		Explainer: func(cfg *Config, note func(Note)) (Explainer, error) { return mbusExplainer(cfg, note), nil },
		Heard:     HeardByName,
		Dial:      dialMBus,
		Tries: func(t Target) []Try {
			switch t.Scheme {
			case "tcp":
				return []Try{{"M-Bus", 30, quick(dialMBus)}}
			case "serial":
				return []Try{{"M-Bus at 2400 8E1", 30, quick(dialMBus)}}
			}
			return nil
		},
		Scan: scanMBus,
		Simulate: func(cfg *SimulatorConfig) (Simulator, error) {
			return mbussim.New(&mbussim.Config{Slaves: cfg.Slaves}), nil
		},
	}
}

// carriedDriver reads DLMS/COSEM in M-Bus frames.
func carriedDriver() Driver {
	return Driver{
		Protocol: DLMS,
		Detect: func(b []byte) bool {
			return link.Detect(b) && len(b) > 6 && mbus.CI(b[6]).Content() == mbus.ContentDLMS
		},
		Reader:    func(cfg *Config) (Reader, error) { return newMBusReader(cfg) },
		Heard:     HeardAlways,
		Explainer: func(cfg *Config, note func(Note)) (Explainer, error) { return mbusExplainer(cfg, note), nil },
	}
}

// mbusReader reads the frames of a wire, among them those that carry DLMS.
type mbusReader struct {
	telegramReader
	scanner link.Scanner
	carrier mbus.Carrier
	carried *dlmsReader
}

func newMBusReader(cfg *Config) (*mbusReader, error) {
	carried, err := newDLMSReader(cfg, dlms.LinkNone)
	r := &mbusReader{carried: carried}
	r.configure(&r.decoder, cfg)
	return r, err
}

func (r *mbusReader) Feed(b []byte) { r.scanner.Feed(b) }
func (r *mbusReader) Stats() Stats  { return r.scanner.Stats() }
func (r *mbusReader) Pending() int  { return len(r.scanner.Pending()) }

func (r *mbusReader) Next(into *Result) error {
	for {
		frame, err := r.scanner.Next()
		switch {
		case err == nil:
		case !errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("meter: %w: %w", ErrFrame, err)
		case !r.ended:
			return io.ErrUnexpectedEOF
		default:
			return r.end(&r.decoder, r.Pending(), err, func() { r.scanner = link.Scanner{} })
		}
		into.Protocol = MBus
		into.Layers = append(into.Layers, Layer{Name: "mbus-link", Control: frame.Form.String()})
		switch {
		case len(frame.Payload) == 0 && r.live:
			into.reset() // acknowledgements say nothing
		case len(frame.Payload) == 0:
			return nil
		case mbus.CI(frame.Payload[0]).Content() == mbus.ContentDLMS:
			carried, err := r.carrier.Add(frame.A, frame.Payload)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				continue
			}
			if err != nil {
				return mbusError(err)
			}
			err = r.carried.apdu(carried.APDU, into)
			into.Protocol = MBus
			return err
		default:
			t, err := r.decoder.Parse(frame.Payload, mbus.Lower{})
			if err != nil {
				return mbusError(err)
			}
			return r.telegram(&r.decoder, &t, into)
		}
	}
}

var mbusCauses = []cause{
	{mbus.ErrNoKey, ErrMissingKey}, {mbus.ErrWrongKey, ErrAuth}, {mbus.ErrBadMAC, ErrAuth}, {mbus.ErrReplay, ErrAuth}, {mbus.ErrUnprotected, ErrAuth},
	{mbus.ErrUnsupported, ErrNotSupported}, {bus.ErrNoAnswer, ErrTimeout}, {bus.ErrUnexpected, ErrFrame},
}

// mbusError gives the errors of the M-Bus packages the sentinel on which callers branch.
func mbusError(err error) error {
	if errors.Is(err, bus.ErrGarbled) {
		return fmt.Errorf("meter: %w: %w: %w (name one with its address)", ErrFrame, errSeveral, err)
	}
	if found := sentinel(err, mbusCauses); found != nil {
		return found
	}
	if errors.As(err, new(*mbus.ParseError)) || errors.As(err, new(*link.ParseError)) {
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return outcome(err)
}

// mbusSession is a master that reads one slave.
type mbusSession struct {
	master *bus.Master
	cfg    *Config
	slave  bus.Slave
	reader telegramReader
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
		Baud: t.Baud, Slack: slack, Retries: cfg.Retries, Keys: mbusKeys(cfg), Formats: &mbus.MemoryFormats{},
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
	slave, err := bus.ParseSlave(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("meter: %w", err)
	}
	master, err := openMaster(ctx, t, cfg)
	if err != nil {
		return nil, err
	}
	if err := master.Begin(ctx, slave); err != nil {
		_ = master.Close()
		return nil, mbusError(err)
	}
	return &mbusSession{master: master, cfg: cfg, slave: slave}, nil
}

func (s *mbusSession) Protocol() Protocol { return MBus }

func (s *mbusSession) Close(context.Context) error { return s.master.Close() }

func (s *mbusSession) Read(ctx context.Context, patterns ...obis.Pattern) (*Result, error) {
	result := &Result{Protocol: MBus, Clock: s.cfg.Clock}
	telegrams, err := s.master.ReadAll(ctx, s.slave)
	var decoder mbus.Decoder
	var broken error
	for i := range telegrams {
		part := &Result{}
		broken = errors.Join(broken, s.reader.telegram(&decoder, &telegrams[i], part))
		result.add(part.Clone())
	}
	switch {
	case err != nil:
		return result.partial(mbusError(err))
	case broken != nil:
		return result, broken
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
			p = p.Between(from, to, s.cfg.Clock)
			result.Profiles, result.Readings, result.Sources = []*obis.Profile{p}, nil, nil
			return result, err
		}
	}
	return nil, errors.Join(err, fmt.Errorf("meter: %w: the telegrams carry no such profile", ErrNotSupported))
}

func (s *mbusSession) Events(context.Context, time.Time, time.Time) (*Result, error) {
	return nil, fmt.Errorf("meter: event logs: %w", ErrNotSupported)
}
