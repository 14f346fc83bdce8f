package meter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/session"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/obis"
)

// c12Decoder decodes a capture of C12.18 packets: it joins packets, remembers
// which table was asked for, and reads each table as those before it say.
type c12Decoder struct {
	result *Result
	joined []byte
	asked  *psem.Read
	device *tables.Device
	failed error
}

func decodeC1218(b []byte, cfg *Config) (*Result, error) {
	d := &c12Decoder{result: &Result{Protocol: C1218, Clock: cfg.Clock}}
	for len(b) > 0 {
		if b[0] == psem.ACK || b[0] == psem.NAK {
			b = b[1:]
			continue
		}
		p, n, err := psem.Parse(b)
		if err != nil {
			if len(d.result.Layers) == 0 {
				return nil, fmt.Errorf("meter: %w: %w", ErrFrame, err)
			}
			d.result.warn("%v", err)
			return d.result, fmt.Errorf("meter: %w: %w", ErrPartial, err)
		}
		b = b[n:]
		d.packet(p)
	}
	if d.device != nil {
		d.result.Meter = d.device.Meter()
	}
	return d.result, d.failed
}

// packet takes one packet, and the message that it completes.
func (d *c12Decoder) packet(p psem.Packet) {
	if !p.Multi || p.First {
		d.joined = d.joined[:0:0]
	}
	d.joined = append(d.joined, p.Data...)
	if p.Sequence > 0 || len(d.joined) == 0 {
		return
	}
	message := d.joined
	d.joined = nil
	d.service(message)
}

// service takes one request or response.
func (d *c12Decoder) service(message []byte) {
	if message[0] < 0x20 {
		d.response(message)
		return
	}
	request, _, err := psem.ParseRequest(message)
	if err != nil {
		d.fail(err)
		return
	}
	d.result.Layers = append(d.result.Layers, Layer{Name: "c12.18", Control: request.Service().String()})
	d.asked = nil
	if read, ok := request.(psem.Read); ok {
		d.asked = &read
	}
}

func (d *c12Decoder) fail(err error) {
	d.result.warn("%v", err)
	d.failed = errors.Join(d.failed, fmt.Errorf("meter: %w: %w", ErrPartial, err))
}

// response reads the table that was asked for, if it was.
func (d *c12Decoder) response(message []byte) {
	r, _, err := psem.ParseResponse(message)
	if err != nil {
		d.fail(err)
		return
	}
	d.result.Layers = append(d.result.Layers, Layer{Name: "c12.18", Control: r.Status.String()})
	asked := d.asked
	d.asked = nil
	if asked == nil || len(r.Body) == 0 || asked.ByOffset || len(asked.Indices) > 0 {
		return // parts of tables need the whole to be read
	}
	data, err := r.TableData()
	if err != nil {
		d.fail(err)
		return
	}
	d.table(asked.Table, data)
}

// table reads one table.
func (d *c12Decoder) table(number uint16, data []byte) {
	var err error
	switch {
	case number == 0:
		d.device, err = tables.NewDevice(data)
	case d.device == nil:
		d.device = tables.Bare(tables.Config{}) // a capture without table 00
		err = d.device.Add(number, data)
	default:
		err = d.device.Add(number, data)
	}
	if err != nil {
		d.fail(err)
	}
	if d.device == nil || number == 0 {
		return
	}
	readings, sources, err := d.device.AppendReadings(nil, nil, number, data)
	if err != nil {
		d.fail(err)
	}
	d.result.addTables(readings, sources)
}

// addTables appends readings with what C12.19 knows of them.
func (r *Result) addTables(readings []obis.Reading, sources []ansic12.Source) {
	part := &Result{Readings: readings}
	for _, s := range sources {
		part.Sources = append(part.Sources, s)
	}
	r.add(part)
}

// decodeC1219 decodes the octets of the table that cfg names.
func decodeC1219(b []byte, cfg *Config) (*Result, error) {
	device := tables.Bare(tables.Config{})
	if len(cfg.Table0) > 0 {
		var err error
		if device, err = tables.NewDevice(cfg.Table0); err != nil {
			return nil, fmt.Errorf("meter: %w: %w", ErrFrame, err)
		}
	}
	result := &Result{Protocol: C1219, Clock: cfg.Clock, Layers: []Layer{{Name: "c12.19", Control: device.Name(cfg.Table)}}}
	failed := device.Add(cfg.Table, b)
	readings, sources, err := device.AppendReadings(nil, nil, cfg.Table, b)
	result.addTables(readings, sources)
	result.Meter = device.Meter()
	if failed = errors.Join(failed, err); failed == nil {
		return result, nil
	}
	if len(readings) == 0 {
		return nil, fmt.Errorf("meter: %w: %w", ErrFrame, failed)
	}
	result.warn("%v", failed)
	return result, fmt.Errorf("meter: %w: %w", ErrPartial, failed)
}

// c12Session is a conversation by C12.18 or C12.22.
type c12Session struct {
	client   *session.Client
	cfg      *Config
	protocol Protocol
	layers   []Layer // that carry the services
}

func dialC1218(ctx context.Context, t Target, cfg *Config) (Session, error) {
	rw, err := cfg.open(ctx, t, 9600, "8N1")
	if err != nil {
		return nil, err
	}
	own := sessionConfig(cfg)
	own.Key = desKey(cfg.Keys.Key)
	return (&c12Session{client: session.NewClient(rw, own), cfg: cfg, protocol: C1218}).open(ctx)
}

func sessionConfig(cfg *Config) *session.Config {
	return &session.Config{
		UserID: cfg.Client, User: cfg.User, Password: string(cfg.Keys.Password),
		Timeout: cfg.Timeout, Retries: cfg.Retries, Trace: cfg.Trace, Logger: cfg.Logger,
	}
}

// open opens the conversation, and closes the connection where that fails.
func (s *c12Session) open(ctx context.Context) (Session, error) {
	err := s.client.Open(ctx)
	if err == nil {
		return s, nil
	}
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.client.Close(leave)
	return nil, c12Error(err)
}

// desKey returns the key of C12.21 where one of its length was given.
func desKey(key Secret) []byte {
	if len(key) == 8 {
		return key
	}
	return nil
}

func c12Error(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, session.ErrNoAnswer):
		return fmt.Errorf("meter: %w: %w", ErrTimeout, err)
	case errors.Is(err, session.ErrAuth), errors.Is(err, psem.SME):
		return fmt.Errorf("meter: %w: %w", ErrAuth, err)
	case errors.Is(err, session.ErrNoTable):
		return fmt.Errorf("meter: %w: %w", ErrNotSupported, err)
	case errors.As(err, new(*session.RefusedError)):
		return fmt.Errorf("meter: %w: %w", ErrRefused, err)
	case errors.As(err, new(*psem.ParseError)), errors.As(err, new(*epsem.ParseError)), errors.As(err, new(*tables.ParseError)), errors.Is(err, session.ErrOtherReply):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return outcome(err)
}

func (s *c12Session) Protocol() Protocol { return s.protocol }

func (s *c12Session) Close(ctx context.Context) error { return c12Error(s.client.Close(ctx)) }

// result returns an empty result with the identity of the meter.
func (s *c12Session) result(ctx context.Context) (*Result, error) {
	m, err := s.client.Meter(ctx)
	if err != nil && m == (obis.Meter{}) {
		return nil, c12Error(err)
	}
	return &Result{Protocol: s.protocol, Meter: m, Clock: s.cfg.Clock, Layers: s.layers}, nil
}

func (s *c12Session) Read(ctx context.Context, patterns ...obis.Pattern) (*Result, error) {
	result, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	readings, sources, err := s.client.Read(ctx)
	result.addTables(readings, sources)
	if err != nil {
		if len(readings) == 0 {
			return nil, c12Error(err)
		}
		result.warn("%v", err)
		return result, fmt.Errorf("meter: %w: %w", ErrPartial, err)
	}
	return result.choose(patterns)
}

// Profiles lists the sets of load profile data.
func (s *c12Session) Profiles(ctx context.Context) ([]*obis.Profile, error) {
	sets, err := s.client.Profiles(ctx)
	if err != nil {
		return nil, c12Error(err)
	}
	var profiles []*obis.Profile
	for _, set := range sets {
		p := &obis.Profile{}
		set.Describe(p)
		profiles = append(profiles, p)
	}
	return profiles, nil
}

func (s *c12Session) Profile(ctx context.Context, code obis.Code, from, to time.Time) (*Result, error) {
	result, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	sets, err := s.client.Profiles(ctx)
	if err != nil {
		return nil, c12Error(err)
	}
	for _, set := range sets {
		p := &obis.Profile{}
		set.Describe(p)
		if code.Valid() && p.Code != code {
			continue
		}
		if err := s.client.Profile(ctx, p, set.Set, s.meterTime(from), s.meterTime(to)); err != nil {
			return nil, c12Error(err)
		}
		result.Profiles = []*obis.Profile{p}
		return result, nil
	}
	return nil, fmt.Errorf("meter: %w: profile %v", ErrNotSupported, code)
}

// meterTime shows an instant as the meter's clock does.
func (s *c12Session) meterTime(t time.Time) time.Time {
	if t.IsZero() || s.cfg.Clock.Zone == nil {
		return t
	}
	t = t.In(s.cfg.Clock.Zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

func (s *c12Session) Events(ctx context.Context, from, to time.Time) (*Result, error) {
	result, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	events, err := s.client.Events(ctx)
	for _, e := range events {
		at, ok := e.Time.Instant(s.cfg.Clock)
		if ok && (!from.IsZero() && at.Before(from) || !to.IsZero() && at.After(to)) {
			continue
		}
		result.Events = append(result.Events, e)
	}
	if err != nil {
		if len(events) == 0 {
			return nil, c12Error(err)
		}
		result.warn("%v", err)
		return result, fmt.Errorf("meter: %w: %w", ErrPartial, err)
	}
	return result, nil
}

// simulatedC1218 describes the simulated meter.
func simulatedC1218(cfg *SimulatorConfig) *ansicsim.Config {
	return &ansicsim.Config{Password: string(cfg.Keys.Password), Key: desKey(cfg.Keys.Key)}
}

// psem explains the packets of a capture.
func (e *explainer) psem() error {
	for at := 0; at < len(e.b); {
		part := e.b[at:]
		if part[0] == psem.ACK || part[0] == psem.NAK {
			meaning := "ACK"
			if part[0] == psem.NAK {
				meaning = "NAK"
			}
			e.note(Note{Offset: at, Octets: part[:1], Field: "acknowledgement", Meaning: meaning})
			at++
			continue
		}
		_, n, err := psem.Parse(part)
		if err == nil {
			part = part[:n]
		}
		if err := psem.Explain(part, e.at(part, at, 0)); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// table explains the octets of a C12.19 table.
func (e *explainer) table() error {
	device := tables.Bare(tables.Config{})
	if len(e.cfg.Table0) > 0 {
		var err error
		if device, err = tables.NewDevice(e.cfg.Table0); err != nil {
			return err
		}
	}
	return device.Explain(e.cfg.Table, e.b, e.at(e.b, 0, 0))
}
