package meter

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/iec62056/p1"
	"github.com/openusm/meter/iec62056/sml"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/wmbus"
)

// decodeP1 decodes the telegrams of a customer port, plain or ciphered.
func decodeP1(b []byte, cfg *Config) (*Result, error) {
	result := &Result{Protocol: P1, Clock: cfg.Clock}
	b = withoutParity(b, result)
	for len(b) > 0 {
		part, n, err := nextP1(b, cfg)
		switch {
		case err == nil:
			result.add(part)
		case len(result.Layers) == 0:
			return nil, err
		default:
			result.warn("%v", err)
			return result, fmt.Errorf("meter: %w: %w", ErrPartial, err)
		}
		b = bytes.TrimLeft(b[n:], "\x00\r\n ")
	}
	return result, nil
}

func nextP1(b []byte, cfg *Config) (*Result, int, error) {
	if b[0] != '/' {
		e, n, err := p1.ParseEncrypted(b)
		if err != nil {
			return nil, 0, fmt.Errorf("meter: %w: %w", ErrFrame, err)
		}
		part, err := decodeAPDU(e.APDU, cfg)
		return part, n, err
	}
	t, n, err := p1.Parse(b)
	if errors.Is(err, io.ErrUnexpectedEOF) && bytes.IndexByte(b, '!') < 0 {
		if t, cut := p1.Salvage(b); cut == nil || len(t.Data) > 0 {
			part := telegramResult(t, cfg)
			part.warn("the telegram is incomplete: %v", err)
			return part, len(b), nil
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return telegramResult(t, cfg), n, nil
}

// telegramResult turns a telegram of a customer port into a result.
func telegramResult(t p1.Telegram, cfg *Config) *Result {
	result := &Result{Protocol: P1, Meter: t.Meter(), Clock: cfg.Clock, Events: t.Events(), Profiles: t.Profiles()}
	for _, r := range t.AppendReadings(nil) {
		result.Readings = append(result.Readings, r.Clone())
	}
	for set := range t.DataSets() {
		result.Sources = append(result.Sources, lineSource{string(set.Line())})
	}
	for _, err := range t.BadLines() {
		result.warn("%v", &err)
	}
	v := t.Version()
	layer := Layer{Name: "p1", Control: v.Dialect.String()}
	if v.Number != "" {
		layer.Control += " " + v.Number
	}
	result.Layers = []Layer{layer}
	return result
}

// decodeSML decodes the frames of a capture, which may begin in the middle of one.
func decodeSML(b []byte, cfg *Config) (*Result, error) {
	result := &Result{Protocol: SML, Clock: cfg.Clock}
	frame, n, err := sml.ParseFrame(b)
	if err == nil && n == len(b) {
		return smlResult(frame, cfg), nil
	}
	var stream sml.Stream
	stream.Feed(b)
	for {
		frame, err := stream.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			continue
		}
		result.add(smlResult(frame, cfg))
	}
	stats := stream.Stats()
	if stats.Messages == 0 {
		return nil, fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	if stats.Skipped > 0 {
		result.warn("%d octets belong to no frame", stats.Skipped)
	}
	if broken := stats.ChecksumErrors + stats.Malformed; broken > 0 {
		result.warn("%d frames are broken", broken)
		return result, fmt.Errorf("meter: %w: %d broken frames", ErrPartial, broken)
	}
	return result, nil
}

func smlResult(frame sml.Frame, cfg *Config) *Result {
	result := &Result{Protocol: SML, Meter: frame.Meter(), Clock: cfg.Clock, Layers: []Layer{{Name: "sml", Control: frame.Check.String()}}}
	readings, err := sml.AppendReadings(nil, frame)
	if err != nil {
		result.warn("%v", err)
	}
	for _, r := range readings {
		result.Readings = append(result.Readings, r.Clone())
	}
	for m, err := range frame.Messages() {
		if err != nil {
			continue // AppendReadings has told of it
		}
		result.Layers = append(result.Layers, Layer{Name: m.Tag.String()})
	}
	return result
}

// decodeWMBus decodes one radio telegram.
func decodeWMBus(b []byte, cfg *Config) (*Result, error) {
	d := radioDecoder(cfg)
	return d.result(b, cfg)
}

// radio is a decoder of radio telegrams; it joins what comes in fragments.
type radio struct{ wmbus.Decoder }

func radioDecoder(cfg *Config) *radio {
	return &radio{wmbus.Decoder{Decoder: mbus.Decoder{Keys: mbusKeys(cfg.Keys), Formats: &mbus.MemoryFormats{}}}}
}

func (d *radio) result(b []byte, cfg *Config) (*Result, error) {
	t, err := d.Parse(b)
	if err != nil {
		var pe *wmbus.ParseError
		if errors.As(err, &pe) || errors.Is(err, wmbus.ErrCRC) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("meter: %w: %w", ErrFrame, err)
		}
		return nil, mbusError(err)
	}
	result := &Result{Protocol: WMBus, Clock: cfg.Clock}
	result.Layers = append(result.Layers, Layer{Name: "wmbus-link", Control: t.Frame.C.String()})
	if t.ELL.CI != 0 {
		layer := Layer{Name: "ell", Control: fmt.Sprintf("%02X", t.ELL.CI)}
		if t.ELL.Encryption() != 0 {
			layer.Security, layer.Verified = "AES-CTR", &t.ELL.Verified
		}
		result.Layers = append(result.Layers, layer)
	}
	if t.AFL.Control != 0 {
		result.Layers = append(result.Layers, Layer{Name: "afl"})
	}
	err = result.addTelegram(&d.Decoder.Decoder, &t.Telegram)
	if result.Meter.ID == "" {
		result.Meter = t.Frame.Address.Meter()
	}
	return result, err
}

func (e *explainer) wmbus() error {
	d := radioDecoder(e.cfg)
	_, err := d.Decoder.Explain(e.b, e.at(e.b, 0, 0))
	return err
}
