package driver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/iec62056/iec62056sim"
	"github.com/openusm/meter/iec62056/p1"
	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// p1Driver hears customer ports: DSMR P1 and its relatives, plain or ciphered.
func p1Driver() Driver {
	return Driver{
		Protocol: P1,
		Detect:   p1.Detect,
		Heard:    HeardAlways,
		Reader:   func(cfg *Config) (Reader, error) { return newP1Reader(cfg) },
		Explainer: func(_ *Config, note func(Note)) (Explainer, error) {
			return explains{note, p1.Explain, p1.ExplainCut}, nil
		},
		Rate:     115200,
		Simulate: func(*SimulatorConfig) (Simulator, error) { return iec62056sim.NewP1(nil), nil },
	}
}

// p1Reader reads telegrams. Those that are ciphered are DLMS outside.
type p1Reader struct {
	stream   p1.Stream
	decoder  p1.Decoder
	cfg, own *Config     // own has the key of customer ports
	ciphered *dlmsReader // nil until something is ciphered
	ended    bool
	lines    []lineSource
	version  p1.Version
	control  string // the text of version
}

func newP1Reader(cfg *Config) (*p1Reader, error) {
	own := *cfg
	if len(own.Keys.Encryption) == 0 {
		own.Keys.Encryption = own.Keys.Key // the user key of a customer port
	}
	r := &p1Reader{cfg: cfg, own: &own}
	if !cfg.live {
		return r, nil
	}
	var err error
	r.ciphered, err = newDLMSReader(&own, dlms.LinkNone)
	return r, err
}

func (r *p1Reader) Feed(b []byte) { r.stream.Feed(b) }
func (r *p1Reader) End()          { r.ended = true }
func (r *p1Reader) Stats() Stats  { return r.stream.Stats() }
func (r *p1Reader) Pending() int  { return len(r.stream.Pending()) }
func (r *p1Reader) Forgot() bool  { return r.ciphered == nil }

func (r *p1Reader) Next(into *Result) error {
	m, err := r.stream.Next()
	switch {
	case err == nil && m.IsEncrypted():
		if r.ciphered == nil {
			if r.ciphered, err = newDLMSReader(r.own, dlms.LinkNone); err != nil {
				return err
			}
		}
		return r.ciphered.apdu(m.Encrypted.APDU, into)
	case err == nil:
		r.telegram(m.Telegram, into)
		return r.believe(into)
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	case !r.ended:
		return io.ErrUnexpectedEOF
	}
	return r.rest(into, err)
}

// believe asks the policy about a telegram in the clear: of a meter whose key is
// known it should be ciphered.
func (r *p1Reader) believe(into *Result) error {
	all := &r.cfg.Keys // of which a key without a name may be of another protocol
	named := keys.Set{ByMeter: all.ByMeter, Find: all.Find}.For(into.Meter.ID, into.Meter.Serial)
	if len(named.Key)+len(named.Encryption)+len(all.Encryption) == 0 && (r.cfg.Protocol != P1 || len(all.Key) == 0) {
		return nil
	}
	if r.cfg.live && !r.cfg.accepts(into.Meter.ID, into.Meter.Serial) {
		return fmt.Errorf("meter: %w: telegram of %s: %w", ErrAuth, into.Meter.ID, dlms.ErrUnprotected)
	}
	into.Mark(obis.Unverified)
	return nil
}

// rest reads what a capture holds of a telegram that is cut off, and ends it.
func (r *p1Reader) rest(into *Result, cut error) error {
	rest := bytes.Clone(r.stream.Pending())
	if len(rest) == 0 {
		r.ended = false
		return io.EOF
	}
	r.stream = p1.Stream{}
	t, err := p1.Salvage(rest)
	if err == nil || len(t.Data) > 0 {
		r.telegram(t, into)
		into.Warn("the telegram is incomplete: %v", cut)
		return cmp.Or(r.believe(into), fmt.Errorf("meter: %w: %w", ErrPartial, cut))
	}
	return fmt.Errorf("meter: %w: %w", ErrFrame, cut)
}

// plain adds the telegram that a cipher held.
func (r *p1Reader) plain(m *dlms.Message, into *Result) error {
	t, _, err := p1.Parse(m.Plain)
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	r.telegram(t, into)
	if m.Unverified {
		into.Mark(obis.Unverified)
	}
	return nil
}

// telegram adds what a telegram says.
func (r *p1Reader) telegram(t p1.Telegram, into *Result) {
	c := r.decoder.Decode(t)
	into.Protocol, into.Meter = P1, c.Meter
	into.Profiles = append(into.Profiles, c.Profiles...)
	r.lines = appendLines(into, c.Readings, c.Events, r.lines, c.Line)
	for i := range c.BadLines {
		into.Warn("%v", &c.BadLines[i])
	}
	if c.Version != r.version || r.control == "" {
		r.version, r.control = c.Version, c.Version.Dialect.String()
		if c.Version.Number != "" {
			r.control += " " + c.Version.Number
		}
	}
	into.Layers = append(into.Layers, Layer{Name: "p1", Control: r.control})
}

// lineSource is what IEC 62056-21 and P1 know of a reading beside the model.
type lineSource struct{ line []byte }

func (s *lineSource) AppendJSON(dst []byte) []byte {
	return append(jsontext.AppendString(append(dst, `{"line":`...), s.line), '}')
}

func (*lineSource) Clone(list []Source) int {
	all := result.Copies[*lineSource](list)
	size := 0
	for i := range all {
		size += len(all[i].line)
	}
	octets := make([]byte, 0, size)
	for i := range all {
		n := len(octets)
		octets = append(octets, all[i].line...)
		all[i].line = octets[n:len(octets):len(octets)]
	}
	return len(all)
}

// appendLines adds readings and events, and as the sources of readings and of
// what was logged with events the lines on which they stood. It returns memory
// for the next time.
func appendLines(r *Result, from []obis.Reading, events []obis.Event, memory []lineSource, line func(uint32) []byte) []lineSource {
	size := len(from)
	for i := range events {
		size += len(events[i].Params)
	}
	if cap(memory) < size {
		memory = make([]lineSource, size)
	}
	memory = memory[:0]
	r.Sources = slices.Grow(r.Sources, size)
	n, m := len(r.Readings), len(r.Events)
	r.Readings, r.Events = append(r.Readings, from...), append(r.Events, events...)
	give := func(list []obis.Reading) {
		for i := range list {
			memory = append(memory, lineSource{line(list[i].Source)})
			list[i].Source = uint32(len(r.Sources))
			r.Sources = append(r.Sources, &memory[len(memory)-1])
		}
	}
	give(r.Readings[n:])
	for i := range r.Events[m:] {
		give(r.Events[m+i].Params)
	}
	return memory
}
