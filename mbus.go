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
		Reader:    newMBusReader,
		Heard:     HeardByName,
		Explainer: explainMBus,
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
			return len(b) > 6 && mbus.CI(b[6]).Content() == mbus.ContentDLMS && link.Detect(b)
		},
		Reader:    newMBusReader,
		Heard:     HeardAlways,
		Explainer: explainMBus,
	}
}

func explainMBus(cfg *Config, note func(Note)) (Explainer, error) {
	decoder := &mbus.Decoder{Keys: mbusKeys(cfg), Formats: &mbus.MemoryFormats{}}
	return explains{note, func(b []byte, note fieldNote) (int, error) { return decoder.ExplainFrame(b, note) }, link.Explain}, nil
}

// mbusReader reads the frames of a wire, among them those that carry DLMS.
type mbusReader struct {
	mbus.Receiver
	records records
	carried *dlmsReader // nil until something is carried
	cfg     *Config
}

func newMBusReader(cfg *Config) (Reader, error) {
	r := &mbusReader{cfg: cfg}
	configureMBus(&r.Decoder, cfg)
	if !cfg.live {
		return r, nil
	}
	var err error
	r.carried, err = newDLMSReader(cfg, dlms.LinkNone)
	return r, err
}

func (r *mbusReader) Next(into *Result) error {
	m, err := r.Receiver.Next()
	for r.cfg.live && err == nil && len(m.Frame.Payload) == 0 {
		m, err = r.Receiver.Next() // a master's, and acknowledgements
	}
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return err
	case err != nil:
		return mbusError(err)
	}
	into.Protocol = MBus
	into.Layers = append(into.Layers, Layer{Name: "mbus-link", Control: m.Frame.Form.String()})
	if m.Telegram != nil {
		return r.records.add(m.Telegram, m.Report, into)
	}
	if m.APDU != nil && r.carried == nil {
		if r.carried, err = newDLMSReader(r.cfg, dlms.LinkNone); err != nil {
			return err
		}
	}
	if m.APDU != nil {
		err = r.carried.apdu(m.APDU, into)
		into.Protocol = MBus
	}
	return err
}

var mbusCauses = []cause{
	{mbus.ErrNoKey, ErrMissingKey}, {mbus.ErrWrongKey, ErrAuth}, {mbus.ErrBadMAC, ErrAuth}, {mbus.ErrReplay, ErrAuth}, {mbus.ErrUnprotected, ErrAuth},
	{mbus.ErrUnsupported, ErrNotSupported}, {bus.ErrNoAnswer, ErrTimeout}, {bus.ErrUnexpected, ErrFrame}, {link.ErrChecksum, ErrFrame},
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
