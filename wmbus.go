package meter

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/mbus/wmbus"
	"github.com/openusm/meter/obis"
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
			r := newRadioReader(cfg)
			return explains{note, func(b []byte, note fieldNote) (int, error) { return r.radio.Explain(b, note) }, nil}, nil
		},
		Dial: dialPush(9600),
	}
}

// telegramReader is what readers by wire and by radio share.
type telegramReader struct {
	decoder mbus.Decoder // by wire
	live    bool
	ended   bool
	sources []recordSource
	mode    mbus.Security // of the telegram before, and its text
	text    string
}

func (r *telegramReader) End() { r.ended = true }

// configure gives a decoder the keys, and on a line what it must remember.
func (r *telegramReader) configure(d *mbus.Decoder, cfg *Config) {
	d.Keys, d.Formats, r.live = mbusKeys(cfg), &mbus.MemoryFormats{}, cfg.live
	d.AcceptUnprotected = func(a mbus.Address) bool { m := a.Meter(); return cfg.accepts(m.Serial, m.ID) }
	if !cfg.live {
		return
	}
	d.Counters = &mbus.MemoryCounters{}
	if cfg.Counters != nil {
		d.Counters = keptCounters{cfg.Counters}
	}
}

// end ends a capture: the next one is of another line.
func (r *telegramReader) end(d *mbus.Decoder, pending int, err error, reset func()) error {
	r.ended = false
	if !r.live {
		d.Formats = &mbus.MemoryFormats{}
	}
	if pending == 0 {
		return io.EOF
	}
	r.ended = true
	reset()
	return fmt.Errorf("meter: %w: %w", ErrFrame, err)
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

// mbusKeys looks up the key of a meter by its eight digits or by its id with the manufacturer.
func mbusKeys(cfg *Config) func(mbus.Address) *mbus.Key {
	return func(a mbus.Address) *mbus.Key {
		m := a.Meter()
		own := cfg.Keys.For(m.ID, m.Serial).Key
		if len(own) == 0 {
			return nil
		}
		key, err := mbus.NewKey(own)
		if err != nil {
			return nil
		}
		return key
	}
}

// recordSource is what M-Bus knows of a reading beside the model.
type recordSource struct{ *mbus.Record }

func (s *recordSource) Clone() Source {
	c := s.Record.Clone()
	return &recordSource{&c}
}

// telegram adds what one telegram says, whether it came by wire or by radio.
func (r *telegramReader) telegram(d *mbus.Decoder, t *mbus.Telegram, into *Result) error {
	layer := Layer{Name: "mbus", Control: t.CI.String(), Counter: t.Security.Counter, Counted: t.Security.Counted}
	if t.Security != (mbus.Security{}) {
		layer.Security = r.security(t.Security)
		switch {
		case t.Security.Verified:
			layer.Tag = TagVerified
		case t.Security.Unverified && t.Security.Mode != 0:
			layer.Tag = TagUnchecked
		}
	}
	into.Layers = append(into.Layers, layer)
	report := d.Report(t)
	into.Meter = report.Meter
	into.Readings = append(into.Readings, report.Readings...)
	for i := range report.Profiles {
		into.Profiles = append(into.Profiles, &report.Profiles[i])
	}
	if cap(r.sources) < len(t.Records) {
		r.sources = make([]recordSource, len(t.Records))
	}
	r.sources = r.sources[:len(t.Records)]
	for i := range t.Records {
		r.sources[i].Record = &t.Records[i]
		into.Sources = append(into.Sources, &r.sources[i])
	}
	if e, ok := t.AppError(); ok {
		into.warn("%v", e)
	}
	if alarm, ok := t.Alarm(); ok {
		into.warn("alarm 0x%02x", alarm)
	}
	if t.Security.Ambiguous {
		into.warn("the configuration field names security mode %d, but what follows was read as it is", t.Security.Mode)
	}
	if t.Broken != nil {
		into.warn("%v", t.Broken)
		return fmt.Errorf("meter: %w: %w", ErrPartial, t.Broken)
	}
	return nil
}

// security returns the text of how a telegram was protected, "" for not at all.
func (r *telegramReader) security(s mbus.Security) string {
	s.Counter = 0
	if s != r.mode {
		r.mode, r.text = s, ""
		if s.Mode != 0 {
			r.text = fmt.Sprintf("mode %d", s.Mode)
		}
	}
	return r.text
}

// radioReader reads telegrams, as receivers send them or as captures have them.
type radioReader struct {
	telegramReader
	radio    wmbus.Decoder
	receiver wmbus.Receiver
	begun    error // the fragment of a message whose others did not come
}

func newRadioReader(cfg *Config) *radioReader {
	r := &radioReader{receiver: wmbus.Receiver{Capture: !cfg.live}}
	r.configure(&r.radio.Decoder, cfg)
	return r
}

func (r *radioReader) Feed(b []byte) { r.receiver.Feed(b) }
func (r *radioReader) Stats() Stats  { return r.receiver.Stats() }
func (r *radioReader) Pending() int  { return len(r.receiver.Pending()) }

func (r *radioReader) Next(into *Result) error {
	for {
		reception, err := r.receiver.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) && r.ended {
			reception, err = r.receiver.Flush()
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("meter: %w: %w", ErrFrame, err)
		case !r.ended:
			return io.ErrUnexpectedEOF
		case r.begun != nil:
			err, r.begun = r.begun, nil
			return fmt.Errorf("meter: %w: %w", ErrFrame, err)
		default:
			return r.end(&r.radio.Decoder, r.Pending(), err, func() { r.receiver = wmbus.Receiver{Capture: !r.live} })
		}
		if r.begun = r.frame(reception.Frame, into); !errors.Is(r.begun, wmbus.ErrFragment) {
			err, r.begun = r.begun, nil
			return err
		}
	}
}

// frame adds what one frame says.
func (r *radioReader) frame(b []byte, into *Result) error {
	t, err := r.radio.Parse(b)
	if errors.Is(err, wmbus.ErrFragment) {
		return err
	}
	if err != nil {
		if errors.As(err, new(*wmbus.ParseError)) || errors.Is(err, wmbus.ErrCRC) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("meter: %w: %w", ErrFrame, err)
		}
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
	err = r.telegram(&r.radio.Decoder, &t.Telegram, into)
	if into.Meter.ID == "" {
		into.Meter = t.Frame.Address.Meter()
	}
	return err
}

// ellNames are the CI fields of the extended link layer, 8C to 8F.
var ellNames = [4]string{"8C", "8D", "8E", "8F"}

// mbusExplainer explains the frames of a wire.
func mbusExplainer(cfg *Config, note func(Note)) Explainer {
	decoder := &mbus.Decoder{Keys: mbusKeys(cfg), Formats: &mbus.MemoryFormats{}}
	return explains{note, func(b []byte, note fieldNote) (int, error) { return decoder.ExplainFrame(b, note) }, link.Explain}
}

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
