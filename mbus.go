package meter

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
)

// recordSource is what M-Bus knows of a reading beside the model.
type recordSource struct {
	Function   string   `json:"function"`
	Storage    uint64   `json:"storage"`
	Tariff     uint32   `json:"tariff"`
	Subunit    uint16   `json:"subunit"`
	DIB        string   `json:"dib"`
	VIB        string   `json:"vib"`
	Quantity   string   `json:"quantity,omitempty"`
	Unit       string   `json:"unit,omitempty"` // as text, where the model has no such unit
	Qualifiers []string `json:"qualifiers,omitempty"`
	Error      string   `json:"error,omitempty"` // why there is no value, as the meter says
	Data       string   `json:"data,omitempty"`  // the octets, where they give no value
}

func newRecordSource(r *mbus.Record) recordSource {
	s := recordSource{
		Function: r.Function.String(), Storage: r.Storage, Tariff: r.Tariff, Subunit: r.Subunit,
		DIB: hexUpper(r.DIB()), VIB: hexUpper(r.VIB()), Quantity: r.Quantity.String(), Qualifiers: r.Qualifiers.Names(nil),
	}
	if text := r.UnitText(); text != r.Unit.String() {
		s.Unit = text
	}
	if r.Error != 0 {
		s.Error = r.Error.String()
	}
	if r.Value.IsNone() {
		s.Data = hexUpper(r.Data)
	}
	return s
}

func hexUpper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// mbusKeys looks up the key of a meter by its eight digits or by its id with the manufacturer.
func mbusKeys(keys Keys) func(mbus.Address) *mbus.Key {
	return func(a mbus.Address) *mbus.Key {
		m := a.Meter()
		own := keys.Key
		for _, id := range []string{m.Serial, m.ID} {
			if k, ok := keys.ByMeter[id]; ok {
				own = k.Key
			}
		}
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

// decodeMBus decodes the frames of a wired capture.
func decodeMBus(b []byte, cfg *Config) (*Result, error) {
	result := &Result{Protocol: MBus, Clock: cfg.Clock}
	decoder := &mbus.Decoder{Keys: mbusKeys(cfg.Keys), Formats: &mbus.MemoryFormats{}}
	var partial error
	decoded := false
	carried := dlmsCarrier{}
	for at := 0; at < len(b); {
		frame, n, err := link.Parse(b[at:])
		if err == nil {
			err = result.addFrame(decoder, &carried, frame, cfg)
		}
		switch {
		case err == nil || errors.Is(err, ErrPartial):
			decoded, partial = true, errors.Join(partial, err)
		case !decoded:
			return nil, unreadable(err)
		default:
			result.warn("octet %d: %v", at, err)
			return result, fmt.Errorf("meter: %w: %w", ErrPartial, err)
		}
		at += n
	}
	return result, partial
}

// unreadable gives the error of a capture of which nothing could be read its sentinel.
func unreadable(err error) error {
	if errors.As(err, new(*mbus.SecurityError)) {
		return err // which has one
	}
	return fmt.Errorf("meter: %w: %w", ErrFrame, err)
}

// addFrame appends what one frame of a wire says.
func (r *Result) addFrame(decoder *mbus.Decoder, carried *dlmsCarrier, frame link.Frame, cfg *Config) error {
	r.Layers = append(r.Layers, Layer{Name: "mbus-link", Control: frame.Form.String()})
	if len(frame.Payload) == 0 {
		return nil
	}
	t, err := decoder.Parse(frame.Payload, mbus.Lower{})
	if err != nil {
		return mbusError(err)
	}
	if t.Content == mbus.ContentDLMS {
		return r.addCarried(carried, frame.Payload, cfg)
	}
	return r.addTelegram(decoder, &t)
}

// addTelegram appends what one telegram says, whether it came by wire or by radio.
func (r *Result) addTelegram(decoder *mbus.Decoder, t *mbus.Telegram) error {
	layer := Layer{Name: "mbus", Control: t.CI.String()}
	if t.Security.Mode != 0 {
		layer.Security = fmt.Sprintf("mode %d", t.Security.Mode)
		if t.Security.Verified {
			layer.Verified = &t.Security.Verified
		}
	}
	part := &Result{Protocol: r.Protocol, Meter: t.Meter(), Layers: []Layer{layer}}
	for _, x := range decoder.AppendReadings(nil, t) {
		part.Readings = append(part.Readings, x.Clone()) // the decoder's memory is used again
	}
	profiles := decoder.AppendProfiles(nil, t)
	for i := range profiles {
		part.Profiles = append(part.Profiles, profiles[i].Clone())
	}
	for i := range t.Records {
		part.Sources = append(part.Sources, newRecordSource(&t.Records[i]))
	}
	if e, ok := t.AppError(); ok {
		part.warn("%v", e)
	}
	if t.Security.Ambiguous {
		part.warn("the configuration field says security mode %d: a signature of an old meter, or these are encrypted octets", t.Security.Mode)
	}
	if alarm, ok := t.Alarm(); ok {
		part.warn("alarm 0x%02x", alarm)
	}
	r.add(part)
	if t.Broken != nil {
		r.warn("%v", t.Broken)
		return fmt.Errorf("meter: %w: %w", ErrPartial, t.Broken)
	}
	return nil
}

// mbusError gives the errors of the M-Bus packages the sentinel on which callers branch.
func mbusError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mbus.ErrNoKey):
		return fmt.Errorf("meter: %w: %w", ErrMissingKey, err)
	case errors.Is(err, mbus.ErrWrongKey), errors.Is(err, mbus.ErrBadMAC), errors.Is(err, mbus.ErrReplay), errors.Is(err, mbus.ErrUnprotected):
		return fmt.Errorf("meter: %w: %w", ErrAuth, err)
	case errors.Is(err, mbus.ErrUnsupported):
		return fmt.Errorf("meter: %w: %w", ErrNotSupported, err)
	case errors.As(err, new(*mbus.ParseError)), errors.As(err, new(*link.ParseError)):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return outcome(err)
}

// dlmsCarrier collects the APDU that M-Bus frames carry in segments.
type dlmsCarrier struct{ apdu []byte }

// addCarried takes one segment: CI, source and destination, part of the APDU.
// The low half of CI counts the segments; 0x10 marks the last.
func (r *Result) addCarried(c *dlmsCarrier, payload []byte, cfg *Config) error {
	const first, last, header = 0x0F, 0x10, 3
	if len(payload) < header {
		return fmt.Errorf("meter: %w: mbus: a segment of DLMS without its addresses", ErrFrame)
	}
	if payload[0]&first == 0 {
		c.apdu = c.apdu[:0:0]
	}
	c.apdu = append(c.apdu, payload[header:]...)
	if payload[0]&last == 0 {
		return nil
	}
	part, err := decodeAPDU(c.apdu, cfg)
	if part != nil {
		r.add(part)
	}
	return err
}
