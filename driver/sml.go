package driver

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/iec62056/iec62056sim"
	"github.com/openusm/meter/iec62056/sml"
)

// smlDriver hears meters that push SML files.
func smlDriver() Driver {
	return Driver{
		Protocol: SML,
		Detect:   sml.Detect,
		Heard:    HeardAlways,
		Reader:   func(*Config) (Reader, error) { return &smlReader{}, nil },
		Explainer: func(_ *Config, note func(Note)) (Explainer, error) {
			return explains{note, sml.Explain, sml.ExplainCut}, nil
		},
		Rate:     9600,
		Simulate: func(*SimulatorConfig) (Simulator, error) { return iec62056sim.NewSML(nil), nil },
	}
}

// smlReader reads SML files.
type smlReader struct {
	stream  sml.Stream
	decoder sml.Decoder
	ended   bool
	skipped uint64 // octets of the capture that belong to no file, as told
}

func (r *smlReader) Feed(b []byte) { r.stream.Feed(b) }
func (r *smlReader) End()          { r.ended = true }
func (r *smlReader) Stats() Stats  { return r.stream.Stats() }
func (r *smlReader) Pending() int  { return len(r.stream.Pending()) }
func (r *smlReader) Forgot() bool  { return true }

func (r *smlReader) Next(into *Result) error {
	frame, err := r.stream.Next()
	switch {
	case err == nil:
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	case !r.ended:
		return io.ErrUnexpectedEOF
	default:
		if left := r.Pending(); left > 0 {
			r.stream, r.skipped = sml.Stream{}, 0
			return fmt.Errorf("meter: %w: %d octets that end no file: %w", ErrFrame, left, err)
		}
		r.ended = false
		return io.EOF
	}
	c := r.decoder.Decode(frame)
	into.Protocol, into.Meter = SML, c.Meter
	into.Readings = append(into.Readings, c.Readings...)
	into.Layers = append(into.Layers, Layer{Name: "sml", Control: frame.Check.String()})
	for _, tag := range c.Messages {
		into.Layers = append(into.Layers, Layer{Name: tag.String()})
	}
	if now := r.stream.Stats().Skipped; now > r.skipped {
		into.Warn("%d octets belong to no file", now-r.skipped)
		r.skipped = now
	}
	if c.Err != nil {
		into.Warn("%v", c.Err)
	}
	return nil
}
