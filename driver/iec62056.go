package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/iec62056sim"
)

// iec62056Driver speaks IEC 62056-21.
func iec62056Driver() Driver {
	return Driver{
		Protocol: IEC62056,
		Detect:   iec62056.Detect,
		Reader:   func(*Config) (Reader, error) { return &iecReader{stream: iec62056.Stream{Conversation: true}}, nil },
		Explainer: func(_ *Config, note func(Note)) (Explainer, error) {
			return explains{note, iec62056.Explain, iec62056.ExplainCut}, nil
		},
		Dial: dialIEC62056,
		Tries: func(t Target) []Try {
			switch t.Scheme {
			case "tcp":
				return []Try{{"IEC 62056-21", 40, quick(dialModeE)}}
			case "serial":
				return []Try{{"IEC 62056-21 sign-on at 300 7E1", 10, quick(dialModeE)}}
			}
			return nil
		},
		Simulate: func(cfg *SimulatorConfig) (Simulator, error) {
			return iec62056sim.New(&iec62056sim.Config{Zone: cfg.Clock.Zone}), nil
		},
	}
}

// iecReader reads the readouts of a recording, and names its other messages.
type iecReader struct {
	stream  iec62056.Stream
	decoder iec62056.Decoder
	ended   bool
	lines   []lineSource
}

func (r *iecReader) Feed(b []byte) { r.stream.Feed(b) }
func (r *iecReader) End()          { r.ended = true }
func (r *iecReader) Stats() Stats  { return r.stream.Stats() }
func (r *iecReader) Pending() int  { return len(r.stream.Pending()) }
func (r *iecReader) Forgot() bool  { return true }

func (r *iecReader) Next(into *Result) error {
	in, err := r.stream.Next()
	switch {
	case err == nil && in.Message.Kind != 0:
		into.Protocol = IEC62056
		into.Layers = append(into.Layers, Layer{Name: "iec62056-21", Control: in.Message.Kind.String()})
		return nil
	case err == nil:
		r.readout(in.Readout, into)
		return nil
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	case !r.ended:
		return io.ErrUnexpectedEOF
	}
	rest := bytes.Clone(r.stream.Pending())
	if len(rest) == 0 {
		r.ended = false
		return io.EOF
	}
	r.stream = iec62056.Stream{Conversation: true}
	if m, n, err := iec62056.ParseMessage(rest); err == nil && n == len(rest) {
		into.Protocol = IEC62056
		into.Layers = append(into.Layers, Layer{Name: "iec62056-21", Control: m.Kind.String()})
		return nil
	}
	if r.readout(iec62056.Salvage(rest), into); len(into.Readings)+len(into.Events)+len(into.Profiles) == 0 {
		into.Reset()
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	into.Warn("the readout is incomplete: %v", err)
	return fmt.Errorf("meter: %w: %w", ErrPartial, err)
}

// readout adds what a readout says.
func (r *iecReader) readout(readout iec62056.Readout, into *Result) {
	c := r.decoder.Decode(readout)
	into.Protocol, into.Meter = IEC62056, c.Meter
	into.Profiles = append(into.Profiles, c.Profiles...)
	r.lines = appendLines(into, c.Readings, c.Events, r.lines, c.Line)
	for i := range c.BadLines {
		into.Warn("%v", &c.BadLines[i])
	}
	if c.Err != nil {
		into.Warn("%v", c.Err)
	}
	into.Layers = append(into.Layers, Layer{Name: "iec62056-21"})
}

// signOn opens the connection and signs on.
func signOn(ctx context.Context, t Target, cfg *Config) (*iec62056.Client, error) {
	rw, err := cfg.Connect(ctx, t, 300, "7E1")
	if err != nil {
		return nil, err
	}
	client := iec62056.NewClient(rw, &iec62056.Config{
		Address: cfg.Address, Password: string(cfg.Keys.For(cfg.Address).Password), Timeout: cfg.Timeout, Retries: cfg.Retries,
		Trace: cfg.Trace, Logger: cfg.Logger,
	})
	if err := client.Open(ctx); err != nil {
		_ = client.Close(context.WithoutCancel(ctx))
		return nil, iecError(err)
	}
	return client, nil
}

func dialIEC62056(ctx context.Context, t Target, cfg *Config) (Session, error) {
	client, err := signOn(ctx, t, cfg)
	if err != nil {
		return nil, err
	}
	return iecSession(client, cfg), nil
}

// dialModeE signs on and follows the identification: a meter that announces
// HDLC (mode E) is read by DLMS on the same connection, others go on as they are.
func dialModeE(ctx context.Context, t Target, cfg *Config) (Session, error) {
	client, err := signOn(ctx, t, cfg)
	if err != nil {
		return nil, err
	}
	if client.Identification().Mode() != iec62056.ModeE {
		return iecSession(client, cfg), nil
	}
	rw, err := client.HandOver(ctx)
	if err != nil {
		_ = client.Close(context.WithoutCancel(ctx))
		return nil, iecError(err)
	}
	return associate(ctx, rw, cfg, dlms.LinkHDLC)
}

var iecCauses = []cause{
	{iec62056.ErrNoAnswer, ErrTimeout}, {iec62056.ErrPassword, ErrAuth}, {iec62056.ErrRefused, ErrRefused},
	{iec62056.ErrChecksum, ErrFrame}, {iec62056.ErrGarbled, ErrFrame},
}

func iecError(err error) error {
	if found := sentinel(err, iecCauses); found != nil {
		return found
	}
	if errors.As(err, new(*iec62056.ParseError)) {
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return Outcome(err)
}
