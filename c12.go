package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

	pushed     bool     // what is being read wants no answer: writes bring the meter's tables
	unverified bool     // a tag of what is being read could not be checked
	parts      struct { // of a table that is read in parts, from its start on
		table      uint16
		data       []byte
		unverified bool
	}
}

// newC12Decoder returns a decoder that knows the table 00 of cfg, if there is one.
func newC12Decoder(p Protocol, cfg *Config) (*c12Decoder, error) {
	d := &c12Decoder{result: &Result{Protocol: p, Clock: cfg.Clock}}
	if len(cfg.Table0) == 0 {
		return d, nil
	}
	var err error
	if d.device, err = tables.NewDevice(cfg.Table0); err != nil {
		return nil, fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	return d, nil
}

func decodeC1218(b []byte, cfg *Config) (*Result, error) {
	d, err := newC12Decoder(C1218, cfg)
	if err != nil {
		return nil, err
	}
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
			d.fail(err)
			break
		}
		b = b[n:]
		d.packet(p)
	}
	return d.finish()
}

// finish reads what still waits, and returns the result.
func (d *c12Decoder) finish() (*Result, error) {
	d.whole()
	if d.device != nil {
		d.result.Meter = d.device.Meter()
	}
	if d.failed != nil {
		return d.result, fmt.Errorf("meter: %w: %w", ErrPartial, d.failed)
	}
	return d.result, nil
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
	switch request := request.(type) {
	case psem.Read:
		d.asked = &request
	case psem.Write:
		if d.pushed && len(request.Indices) == 0 {
			d.part(request.Table, request.ByOffset, request.Offset, request.Data)
		}
	}
}

func (d *c12Decoder) fail(err error) {
	d.result.warn("%v", err)
	d.failed = errors.Join(d.failed, err)
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
	if asked == nil || len(r.Body) == 0 || len(asked.Indices) > 0 {
		return // elements of tables need the whole to be read
	}
	data, err := r.TableData()
	if err != nil {
		d.fail(err)
		return
	}
	d.part(asked.Table, asked.ByOffset, asked.Offset, data)
}

// part takes a table or, by offset, a part of one. Parts that follow each other are joined.
func (d *c12Decoder) part(table uint16, byOffset bool, offset uint32, data []byte) {
	at := int(offset)
	switch have := d.parts.data; {
	case !byOffset:
		d.whole()
		d.table(table, data)
	case have != nil && table == d.parts.table && at == len(have):
		d.parts.data = append(have, data...)
		d.parts.unverified = d.parts.unverified || d.unverified
	case have != nil && table == d.parts.table && at+len(data) <= len(have) && bytes.Equal(have[at:at+len(data)], data):
		// It was sent again.
	case at == 0:
		d.whole()
		d.parts.table, d.parts.data, d.parts.unverified = table, append([]byte{}, data...), d.unverified
	default:
		d.result.warn("table %d: %d octets from octet %d on cannot be read without those before", table, len(data), at)
	}
}

// whole reads the table whose parts have come. Whether more would have followed shows
// only by its layout, so one that is too short is no failure.
func (d *c12Decoder) whole() {
	data := d.parts.data
	if d.parts.data = nil; data == nil {
		return
	}
	before, now := d.failed, d.unverified
	d.unverified = d.parts.unverified
	d.table(d.parts.table, data)
	d.unverified = now
	if errors.Is(d.failed, io.ErrUnexpectedEOF) && !errors.Is(before, io.ErrUnexpectedEOF) {
		d.failed = before
	}
}

// table reads one table.
func (d *c12Decoder) table(number uint16, data []byte) {
	if number == 0 {
		device, err := tables.NewDevice(data)
		if err != nil {
			d.fail(err)
			return
		}
		d.device = device
		return
	}
	if d.device == nil {
		d.device = tables.Bare(tables.Config{}) // a capture without table 00
	}
	_ = d.device.Add(number, data) // its fault is found again below
	if !d.log(number, data) && !d.profile(number, data) {
		d.show(number, data)
	}
}

// show adds what a table holds as readings.
func (d *c12Decoder) show(number uint16, data []byte) {
	readings, sources, err := d.device.AppendReadings(nil, nil, number, data)
	if err != nil {
		d.fail(err)
	}
	if d.unverified {
		for i := range readings {
			readings[i].Quality.Flags |= obis.Unverified
		}
	}
	d.result.addTables(readings, sources)
}

// log reads the entries of a log. It is not ok for other tables and where nobody knows the layout.
func (d *c12Decoder) log(number uint16, data []byte) (ok bool) {
	if number != 74 && number != 76 {
		return false
	}
	events, err := d.device.AppendEvents(nil, number, data)
	d.result.Events = append(d.result.Events, events...)
	return err == nil
}

// profile reads the rows of a load profile. It is not ok for other tables and where the
// tables that say how it is laid out have not come.
func (d *c12Decoder) profile(number uint16, data []byte) (ok bool) {
	if number < 64 || number > 67 {
		return false
	}
	set, err := d.device.LoadProfile(int(number) - 63)
	if err != nil {
		return false
	}
	p := &obis.Profile{}
	set.Describe(p)
	if err := set.AppendTable(p, data); err != nil {
		return false
	}
	d.result.Profiles = append(d.result.Profiles, p)
	return true
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
	d, err := newC12Decoder(C1219, cfg)
	if err != nil {
		return nil, err
	}
	d.table(cfg.Table, b)
	if d.device == nil { // table 00 itself, and it cannot be read
		return nil, fmt.Errorf("meter: %w: %w", ErrFrame, d.failed)
	}
	if cfg.Table == 0 {
		d.show(0, b)
	}
	d.result.Layers = []Layer{{Name: "c12.19", Control: d.device.Name(cfg.Table)}}
	if d.failed != nil && len(d.result.Readings) == 0 {
		return nil, fmt.Errorf("meter: %w: %w", ErrFrame, d.failed)
	}
	return d.finish()
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

// c12Cause returns the sentinel for an error of a session, nil where there is none.
func c12Cause(err error) error {
	switch {
	case errors.Is(err, session.ErrNoAnswer):
		return ErrTimeout
	case errors.Is(err, session.ErrAuth), errors.Is(err, psem.SME), errors.Is(err, psem.ISC):
		return ErrAuth
	case errors.Is(err, session.ErrNoTable):
		return ErrNotSupported
	case errors.As(err, new(*session.RefusedError)):
		return ErrRefused
	case errors.As(err, new(*psem.ParseError)), errors.As(err, new(*epsem.ParseError)), errors.As(err, new(*tables.ParseError)), errors.Is(err, session.ErrOtherReply):
		return ErrFrame
	}
	return nil
}

func c12Error(err error) error {
	if cause := c12Cause(err); err != nil && cause != nil {
		return fmt.Errorf("meter: %w: %w", cause, err)
	}
	return outcome(err)
}

// c12Partial is c12Error where something could be read.
func c12Partial(err error) error {
	if cause := c12Cause(err); cause != nil {
		return fmt.Errorf("meter: %w: %w: %w", ErrPartial, cause, err)
	}
	return fmt.Errorf("meter: %w: %w", ErrPartial, err)
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
	if err == nil {
		return result.choose(patterns)
	}
	if len(patterns) > 0 { // what is not there may be in the tables that could not be read
		result, _ = result.choose(patterns)
	}
	if result == nil || len(result.Readings) == 0 {
		return nil, c12Error(err)
	}
	result.warn("%v", err)
	return result, c12Partial(err)
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
	from, to = s.meterTime(from), s.meterTime(to)
	for _, e := range events {
		at, ok := e.Time.Instant(obis.Clock{Zone: time.UTC})
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
		return result, c12Partial(err)
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
