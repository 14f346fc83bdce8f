package driver

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/mbus/mbussim"
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

func (r *mbusReader) Forgot() bool { return r.carried == nil }

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
		return fmt.Errorf("meter: %w: %w: %w (name one with its address)", ErrFrame, ErrSeveral, err)
	}
	if found := sentinel(err, mbusCauses); found != nil {
		return found
	}
	if errors.As(err, new(*mbus.ParseError)) || errors.As(err, new(*link.ParseError)) {
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return Outcome(err)
}

// recordSource is what M-Bus knows of a reading beside the model, and originSource the
// same in memory of its own.
type (
	recordSource mbus.Record
	originSource mbus.Origin
)

func (s *recordSource) AppendJSON(dst []byte) []byte { return (*mbus.Record)(s).AppendJSON(dst) }

func (s *originSource) AppendJSON(dst []byte) []byte { return (*mbus.Origin)(s).AppendJSON(dst) }

func (*originSource) Clone([]Source) int { return 1 } // it never changes

func (*recordSource) Clone(list []Source) int {
	n, size := 0, 0
	for ; n < len(list); n++ {
		s, ok := list[n].(*recordSource)
		if !ok {
			break
		}
		size += len(s.ID) + len(s.Data)
	}
	octets, all := make([]byte, 0, size), make([]originSource, n)
	for i := range all {
		var o mbus.Origin
		o, octets = (*mbus.Record)(list[i].(*recordSource)).Origin(octets)
		all[i], list[i] = originSource(o), &all[i]
	}
	return n
}
