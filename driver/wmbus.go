package driver

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/wmbus"
	"github.com/openusm/meter/mbus/wmbus/wmbussim"
	"github.com/openusm/meter/result"
)

// wmbusDriver hears M-Bus by radio (EN 13757-4 and -7), from receivers.
func wmbusDriver() Driver {
	return Driver{
		Protocol:  WMBus,
		Detect:    wmbus.DetectTelegram,
		Reader:    func(cfg *Config) (Reader, error) { return newRadioReader(cfg), nil },
		Heard:     HeardAlways,
		Unchecked: true,
		Explainer: func(cfg *Config, note func(Note)) (Explainer, error) {
			d := &newRadioReader(cfg).Decoder
			return explains{note, func(b []byte, note fieldNote) (int, error) { return d.Explain(b, note) }, nil}, nil
		},
		Rate: 9600,
		Simulate: func(cfg *SimulatorConfig) (Simulator, error) {
			return wmbussim.New(&wmbussim.Config{Keys: mbusKeys(&cfg.Config)})
		},
	}
}

// radioReader reads telegrams, as receivers send them or as captures have them.
type radioReader struct {
	wmbus.Listener
	records records
}

func newRadioReader(cfg *Config) *radioReader {
	r := &radioReader{}
	r.Capture = !cfg.live
	configureMBus(&r.Decoder.Decoder, cfg)
	return r
}

func (r *radioReader) Pending() int { return len(r.Receiver.Pending()) }

func (r *radioReader) Next(into *Result) error {
	t, err := r.Listener.Next()
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return err
	case errors.As(err, new(*wmbus.ParseError)) || errors.Is(err, wmbus.ErrCRC) || errors.Is(err, wmbus.ErrFragment):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	case err != nil:
		return mbusError(err)
	}
	into.Protocol = WMBus
	into.Layers = append(into.Layers, Layer{Name: "wmbus-link", Control: t.Frame.C.String()})
	if t.ELL.CI != 0 {
		layer := Layer{Name: "ell", Control: ellNames[t.ELL.CI&3]}
		if t.ELL.Encryption() != 0 {
			layer.Security = "AES-CTR"
		}
		into.Layers = append(into.Layers, layer)
	}
	if t.AFL.Control != 0 {
		into.Layers = append(into.Layers, Layer{Name: "afl"})
	}
	err = r.records.add(&t.Telegram, r.Decoder.Report(&t.Telegram), into)
	if into.Meter.ID == "" {
		into.Meter = t.Frame.Address.Meter()
	}
	return err
}

// ellNames are the CI fields of the extended link layer, 8C to 8F.
var ellNames = [4]string{"8C", "8D", "8E", "8F"}

// configureMBus gives a decoder the keys, and on a line what it must remember.
func configureMBus(d *mbus.Decoder, cfg *Config) {
	d.Keys, d.Formats = mbusKeys(cfg), &mbus.MemoryFormats{}
	d.AcceptUnprotected = func(a mbus.Address) bool { m := a.Meter(); return cfg.accepts(m.Serial, m.ID) }
	switch {
	case cfg.live && cfg.Counters != nil:
		d.Counters = keptCounters{cfg.Counters}
	case cfg.live:
		d.Counters = &mbus.MemoryCounters{}
	}
}

// mbusKeys looks up the key of a meter by its eight digits or by its id with the manufacturer.
func mbusKeys(cfg *Config) func(mbus.Address) *mbus.Key {
	return func(a mbus.Address) *mbus.Key {
		m := a.Meter()
		key, err := mbus.NewKey(cfg.Keys.For(m.ID, m.Serial).Key)
		if err != nil {
			return nil
		}
		return key
	}
}

// keptCounters keeps the counters of telegrams where those of DLMS are kept: the
// first octets of their id stand for a system title.
type keptCounters struct{ security.Counters }

// keyTelegrams tells the counters of telegrams from those of DLMS messages.
const keyTelegrams security.KeyName = 100

func telegramID(id mbus.CounterID) security.CounterID {
	return security.CounterID{Title: security.Title(id[:security.TitleLen]), Key: keyTelegrams, Receive: true}
}

func (k keptCounters) Counter(id mbus.CounterID) (uint32, bool) {
	known, ok := k.Counters.(interface {
		Expected(security.CounterID) uint32
	})
	if !ok {
		return 0, false
	}
	n := known.Expected(telegramID(id))
	return n - 1, n > 0
}

func (k keptCounters) SetCounter(id mbus.CounterID, counter uint32) error {
	err := k.Accept(telegramID(id), counter)
	if errors.Is(err, security.ErrReplay) {
		return mbus.ErrReplay
	}
	return err
}

// records adds telegrams to results.
type records struct {
	security mbus.Security // of the telegram before, and its text
	text     string
}

// add adds what one telegram says, whether it came by wire or by radio.
func (r *records) add(t *mbus.Telegram, report *mbus.Report, into *Result) error {
	s := t.Security
	layer := Layer{Name: "mbus", Control: t.CI.String(), Counter: s.Counter, Counted: s.Counted}
	if s.Counter = 0; s != r.security {
		if r.security, r.text = s, ""; s.Mode != 0 {
			r.text = fmt.Sprintf("mode %d", s.Mode)
		}
	}
	layer.Security = r.text
	switch {
	case s.Verified:
		layer.Tag = result.TagVerified
	case s.Unverified && s.Mode != 0:
		layer.Tag = result.TagUnchecked
	}
	into.Layers = append(into.Layers, layer)
	into.Meter = report.Meter
	into.Readings = append(into.Readings, report.Readings...)
	for i := range report.Profiles {
		into.Profiles = append(into.Profiles, &report.Profiles[i])
	}
	into.Sources = slices.Grow(into.Sources, len(t.Records))
	for i := range t.Records {
		into.Sources = append(into.Sources, (*recordSource)(&t.Records[i]))
	}
	if e, ok := t.AppError(); ok {
		into.Warn("%v", e)
	}
	if alarm, ok := t.Alarm(); ok {
		into.Warn("alarm 0x%02x", alarm)
	}
	if s.Ambiguous {
		into.Warn("the configuration field names security mode %d, but what follows was read as it is", s.Mode)
	}
	if t.Broken != nil {
		into.Warn("%v", t.Broken)
		return fmt.Errorf("meter: %w: %w", ErrPartial, t.Broken)
	}
	return nil
}
