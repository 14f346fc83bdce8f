package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/obis"
)

// lineSource is what IEC 62056-21 and P1 know of a reading beside the model.
type lineSource struct {
	Line string `json:"line"`
}

// decodeIEC62056 decodes the readouts of a capture, and names its other messages.
func decodeIEC62056(b []byte, cfg *Config) (*Result, error) {
	result := &Result{Protocol: IEC62056, Clock: cfg.Clock}
	b = withoutParity(b, result)
	for len(b) > 0 {
		readout, n, err := iec62056.ParseReadout(b)
		m, size, other := iec62056.ParseMessage(b)
		switch {
		case err == nil:
		case other == nil:
			result.Layers = append(result.Layers, Layer{Name: "iec62056-21", Control: m.Kind.String()})
			b = b[size:]
			continue
		case errors.Is(err, io.ErrUnexpectedEOF), isDataLines(b):
			readout, n = iec62056.Salvage(b), len(b)
			result.warn("the readout is incomplete: %v", err)
		case len(result.Readings) > 0:
			result.warn("what follows is no readout: %v", err)
			return result, fmt.Errorf("meter: %w: %w", ErrPartial, err)
		default:
			return nil, fmt.Errorf("meter: %w: %w", ErrFrame, err)
		}
		result.add(readoutResult(readout, cfg))
		b = bytes.TrimLeft(b[n:], "\x00\r\n ")
	}
	if len(result.Layers) == 0 {
		return nil, fmt.Errorf("meter: %w: iec62056: no data line", ErrFrame)
	}
	return result, nil
}

// withoutParity returns b as seven bits where the capture shows the parity bits
// of a line with seven bits and even parity.
func withoutParity(b []byte, result *Result) []byte {
	if len(b) == 0 || b[0]&0x80 == 0 {
		return b
	}
	b = bytes.Clone(b)
	if wrong := iec62056.StripParity(b); wrong > 0 {
		result.warn("%d octets have wrong parity", wrong)
	}
	return b
}

func readoutResult(readout iec62056.Readout, cfg *Config) *Result {
	result := &Result{Protocol: IEC62056, Meter: readout.Meter(), Clock: cfg.Clock}
	result.Readings = readout.AppendReadings(nil)
	for set := range readout.DataSets() {
		result.Sources = append(result.Sources, lineSource{string(set.Line())})
	}
	for _, err := range readout.BadLines() {
		result.warn("%v", &err)
	}
	result.Events = readout.Events()
	profiles, err := readout.Profiles()
	if err != nil {
		result.warn("%v", err)
	}
	result.Profiles = profiles
	result.Layers = []Layer{{Name: "iec62056-21"}}
	return result
}

// iecSession is a conversation by IEC 62056-21.
type iecSession struct {
	client *iec62056.Client
	cfg    *Config
}

// signOn opens the connection and signs on.
func signOn(ctx context.Context, t Target, cfg *Config) (*iec62056.Client, error) {
	rw, err := cfg.open(ctx, t, 300, "7E1")
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
	return &iecSession{client, cfg}, nil
}

// dialModeE signs on and follows the identification: a meter that announces
// HDLC (mode E) is read by DLMS on the same connection, others go on as they are.
func dialModeE(ctx context.Context, t Target, cfg *Config) (Session, error) {
	client, err := signOn(ctx, t, cfg)
	if err != nil {
		return nil, err
	}
	if client.Identification().Mode() != iec62056.ModeE {
		return &iecSession{client, cfg}, nil
	}
	rw, err := client.HandOver(ctx)
	if err != nil {
		_ = client.Close(context.WithoutCancel(ctx))
		return nil, iecError(err)
	}
	return associateOver(ctx, rw, cfg, dlms.LinkHDLC)
}

func iecError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, iec62056.ErrNoAnswer):
		return fmt.Errorf("meter: %w: %w", ErrTimeout, err)
	case errors.Is(err, iec62056.ErrPassword):
		return fmt.Errorf("meter: %w: %w", ErrAuth, err)
	case errors.Is(err, iec62056.ErrRefused):
		return fmt.Errorf("meter: %w: %w", ErrRefused, err)
	case errors.Is(err, iec62056.ErrChecksum), errors.Is(err, iec62056.ErrGarbled), errors.As(err, new(*iec62056.ParseError)):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return outcome(err)
}

func (s *iecSession) Protocol() Protocol { return IEC62056 }

func (s *iecSession) Close(ctx context.Context) error { return iecError(s.client.Close(ctx)) }

func (s *iecSession) Read(ctx context.Context, patterns ...obis.Pattern) (*Result, error) {
	readout, err := s.client.Readout(ctx)
	if err != nil {
		return nil, iecError(err)
	}
	result := readoutResult(readout, s.cfg)
	for i := range result.Readings {
		result.Readings[i] = result.Readings[i].Clone() // the readout is valid until the next call only
	}
	return result.choose(patterns)
}

// vdewProfiles are the ids of load profiles by their codes.
var vdewProfiles = map[obis.Code]string{obis.MustParse("P.01"): "P.01", obis.MustParse("P.02"): "P.02"}

// Profiles lists the load profile that VDEW meters have; which columns it has
// the meter tells only with its rows.
func (s *iecSession) Profiles(context.Context) ([]*obis.Profile, error) {
	return []*obis.Profile{{Code: obis.MustParse("P.01")}}, nil
}

func (s *iecSession) Profile(ctx context.Context, code obis.Code, from, to time.Time) (*Result, error) {
	if !code.Valid() {
		code = obis.MustParse("P.01")
	}
	id, ok := vdewProfiles[code]
	if !ok {
		return nil, fmt.Errorf("meter: %w: profile %v", ErrNotSupported, code)
	}
	profiles, err := s.client.Profile(ctx, id, s.meterTime(from), s.meterTime(to))
	if err != nil && len(profiles) == 0 {
		return nil, iecError(err)
	}
	result := &Result{Protocol: IEC62056, Meter: s.identity(), Profiles: profiles, Clock: s.cfg.Clock}
	if err != nil {
		result.warn("%v", err)
		err = fmt.Errorf("meter: %w: %w", ErrPartial, err)
	}
	return result, err
}

func (s *iecSession) Events(ctx context.Context, from, to time.Time) (*Result, error) {
	events, err := s.client.Events(ctx, "P.98", s.meterTime(from), s.meterTime(to))
	if err != nil {
		return nil, iecError(err)
	}
	return &Result{Protocol: IEC62056, Meter: s.identity(), Events: events, Clock: s.cfg.Clock}, nil
}

// identity is what the sign-on says of the meter.
func (s *iecSession) identity() obis.Meter {
	return iec62056.Readout{Identification: s.client.Identification()}.Meter()
}

// meterTime shows an instant as the meter's clock does.
func (s *iecSession) meterTime(t time.Time) obis.Time {
	if t.IsZero() {
		return obis.Time{}
	}
	if s.cfg.Clock.Zone != nil {
		t = t.In(s.cfg.Clock.Zone)
	}
	return obis.LocalTime(t.Year(), int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second())
}

func (e *explainer) iec62056() error { return e.each(e.b, 0, iec62056.Explain, iec62056.ExplainCut) }
