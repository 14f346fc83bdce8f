package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/obis"
)

// attributeSource is what DLMS knows of a reading beside the model.
type attributeSource struct {
	Class     uint16 `json:"class"`
	ClassName string `json:"class_name,omitempty"`
	Attribute int8   `json:"attribute"`
}

// attributeSources adds what is known of the readings' attributes.
func (r *Result) attributeSources(attribute func(obis.Reading) cosem.Attribute) {
	for i := range r.Readings {
		x := &r.Readings[i]
		a := attribute(*x)
		x.Source = uint32(len(r.Sources))
		if a.Class == 0 {
			r.Sources = append(r.Sources, nil)
			continue
		}
		r.Sources = append(r.Sources, attributeSource{uint16(a.Class), a.Class.String(), a.Index})
	}
}

// dlmsDecoder decodes a capture of DLMS frames.
type dlmsDecoder struct {
	cfg         *Config
	result      *Result
	segment     map[[2]hdlc.Address][]byte // by destination and source: what segments have brought so far
	blocks      []byte                     // what blocks of a long PDU have brought so far
	asked       []apdu.Get                 // what the last request asked for
	clientTitle []byte                     // as the AARQ and the AARE of the capture have them
	serverTitle []byte
	partial     error
	decoded     bool // something was decoded
}

func decodeDLMS(b []byte, cfg *Config) (*Result, error) {
	d := &dlmsDecoder{cfg: cfg, result: &Result{Protocol: DLMS, Clock: cfg.Clock}, segment: map[[2]hdlc.Address][]byte{}}
	if isWrapper(b) {
		return d.finish(d.wrapper(b))
	}
	return d.finish(d.hdlc(b))
}

func decodeAPDU(b []byte, cfg *Config) (*Result, error) {
	d := &dlmsDecoder{cfg: cfg, result: &Result{Protocol: DLMS, Clock: cfg.Clock}}
	return d.finish(d.apdu(withoutLLC(b)))
}

// finish returns what there is, with an error for what there is not.
func (d *dlmsDecoder) finish(err error) (*Result, error) {
	switch {
	case err == nil:
		return d.result, d.partial
	case !d.decoded, len(d.result.Readings) == 0 && (errors.Is(err, ErrAuth) || errors.Is(err, ErrMissingKey)):
		return nil, err
	}
	d.result.warn("%v", err)
	return d.result, fmt.Errorf("meter: %w: %w", ErrPartial, err)
}

func (d *dlmsDecoder) wrapper(b []byte) error {
	for len(b) > 0 {
		f, n, err := wrapper.Parse(b)
		if err != nil {
			return fmt.Errorf("meter: %w: %w", ErrFrame, err)
		}
		d.result.Layers = append(d.result.Layers, Layer{Name: "wrapper"})
		if err := d.apdu(f.APDU); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// hdlc decodes frames with whatever noise is between them.
func (d *dlmsDecoder) hdlc(b []byte) error {
	var s hdlc.Scanner
	s.Feed(b)
	var bad error
	for {
		before := s.Stats()
		f, err := s.Next()
		if noise := s.Stats().Since(before).Skipped; noise > 0 {
			d.result.warn("%d octets between frames are no HDLC", noise)
		}
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
			if s.Pending() && bad == nil {
				bad = fmt.Errorf("meter: %w: %w", ErrFrame, err)
			}
			return bad
		case err != nil:
			bad = fmt.Errorf("meter: %w: %w", ErrFrame, err)
			continue
		}
		if err := d.frame(f); err != nil {
			return err
		}
	}
}

// frame takes one HDLC frame, and decodes the PDU that its last segment completes.
func (d *dlmsDecoder) frame(f hdlc.Frame) error {
	d.result.Layers = append(d.result.Layers, Layer{Name: "hdlc", Control: f.Control.String()})
	if !f.Control.IsInformation() && f.Control.Kind() != hdlc.UI {
		d.decoded = true
		return nil
	}
	way := [2]hdlc.Address{f.Destination, f.Source}
	pdu := append(d.segment[way], f.Info...)
	if f.Segmented {
		d.segment[way] = pdu
		return nil
	}
	delete(d.segment, way)
	body := withoutLLC(pdu)
	err := d.apdu(body)
	if err != nil && len(body) == len(pdu) && f.Control.IsInformation() {
		// Without an LLC header it may be a last segment whose beginning is not in the capture.
		d.decoded = true
		d.result.warn("a segment of %d octets without its beginning", len(pdu))
		d.partial = errors.Join(d.partial, fmt.Errorf("meter: %w: %w", ErrPartial, err))
		return nil
	}
	return err
}

// withoutLLC removes the LLC header of requests and responses, where there is one.
func withoutLLC(pdu []byte) []byte {
	for _, header := range [][]byte{{0xE6, 0xE6, 0x00}, {0xE6, 0xE7, 0x00}} {
		if rest, ok := bytes.CutPrefix(pdu, header); ok {
			return rest
		}
	}
	return pdu
}

// dlmsSession is a DLMS association.
type dlmsSession struct {
	client *dlms.Client
	cfg    *Config
	meter  *obis.Meter
}

// dialDLMS opens an association, over the wrapper on network targets and over HDLC on others.
func dialDLMS(ctx context.Context, t Target, cfg *Config) (Session, error) {
	switch t.Scheme {
	case "tcp":
		answered := false // in wrapper frames, which settles what the meter speaks
		own := *cfg
		own.Trace = func(send bool, frame []byte) {
			answered = answered || !send
			if cfg.Trace != nil {
				cfg.Trace(send, frame)
			}
		}
		if s, err := dialWrapper(ctx, t, &own); err == nil || answered || !unheard(err) {
			return s, err
		}
		return dialHDLC(ctx, t, cfg)
	case "udp":
		return dialWrapper(ctx, t, cfg)
	}
	return dialHDLC(ctx, t, cfg)
}

func dialWrapper(ctx context.Context, t Target, cfg *Config) (Session, error) {
	return associate(ctx, t, cfg, dlms.LinkWrapper)
}

func dialHDLC(ctx context.Context, t Target, cfg *Config) (Session, error) {
	return associate(ctx, t, cfg, dlms.LinkHDLC)
}

func associate(ctx context.Context, t Target, cfg *Config, l dlms.Link) (Session, error) {
	if cfg.Counters == nil && len(cfg.Keys.Encryption) > 0 {
		counters, err := newCounters(ctx, t, cfg, l)
		if err != nil {
			return nil, err
		}
		own := *cfg
		own.Counters, cfg = counters, &own
	}
	rw, err := cfg.open(ctx, t, 9600, "8N1")
	if err != nil {
		return nil, err
	}
	return associateOver(ctx, rw, cfg, l)
}

// associateOver opens an association on a connection, which it then owns.
func associateOver(ctx context.Context, rw io.ReadWriteCloser, cfg *Config, l dlms.Link) (Session, error) {
	own, err := dlmsConfig(cfg, l)
	if err != nil {
		_ = rw.Close()
		return nil, err
	}
	client := dlms.NewClient(rw, own)
	if err := client.Open(ctx); err != nil {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = client.Close(leave)
		return nil, dlmsError(err)
	}
	return &dlmsSession{client: client, cfg: cfg}, nil
}

func dlmsConfig(cfg *Config, l dlms.Link) (*dlms.Config, error) {
	auth, err := mechanism(cfg)
	if err != nil {
		return nil, err
	}
	keys, err := dlmsSecurity(cfg)
	if err != nil {
		return nil, err
	}
	own := &dlms.Config{
		Link: l, Client: cfg.Client, Server: uint16(cfg.Server), Auth: auth, Password: cfg.Keys.Password, Security: keys,
		Timeout: cfg.Timeout, Retries: cfg.Retries, Clock: cfg.Clock, Trace: cfg.Trace, Logger: cfg.Logger,
	}
	if own.Client == 0 && (auth != apdu.MechanismNone || keys != nil) {
		own.Client = 1
	}
	return own, nil
}

// dlmsError gives the errors of the DLMS packages the sentinel on which callers branch.
func dlmsError(err error) error {
	var netError net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hdlc.ErrTimeout), errors.Is(err, dlms.ErrTimeout):
		return fmt.Errorf("meter: %w: %w", ErrTimeout, err)
	case errors.Is(err, security.ErrNoKey):
		return fmt.Errorf("meter: %w: %w", ErrMissingKey, err)
	case errors.Is(err, dlms.ErrRefused), errors.Is(err, dlms.ErrWrongKey), errors.Is(err, security.ErrAuthentication), errors.Is(err, security.ErrSignature), errors.Is(err, security.ErrReplay):
		return fmt.Errorf("meter: %w: %w", ErrAuth, err)
	case errors.As(err, new(cosem.DataAccessResult)), errors.As(err, new(cosem.ActionResult)):
		return fmt.Errorf("meter: %w: %w", ErrRefused, err)
	case errors.As(err, new(*hdlc.ParseError)), errors.As(err, new(*wrapper.ParseError)), errors.As(err, new(*apdu.ParseError)), errors.As(err, new(*cosem.ParseError)):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	case errors.As(err, &netError) && netError.Timeout():
		return fmt.Errorf("meter: %w: %w", ErrTimeout, err)
	}
	return outcome(err)
}

func (s *dlmsSession) Protocol() Protocol { return DLMS }

func (s *dlmsSession) Close(ctx context.Context) error { return dlmsError(s.client.Close(ctx)) }

// result returns an empty result with the identity of the meter, which is read once.
func (s *dlmsSession) result(ctx context.Context) (*Result, error) {
	if s.meter == nil {
		m, err := s.client.Meter(ctx)
		if err != nil && m == (obis.Meter{}) {
			return nil, dlmsError(err)
		}
		s.meter = &m
	}
	return &Result{Protocol: DLMS, Meter: *s.meter, Clock: s.cfg.Clock}, nil
}

func (s *dlmsSession) Read(ctx context.Context, patterns ...obis.Pattern) (*Result, error) {
	result, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	codes, err := s.expand(ctx, patterns)
	if err != nil {
		return nil, err
	}
	if result.Readings, err = s.client.Read(ctx, codes...); err != nil {
		if len(result.Readings) == 0 {
			return nil, dlmsError(err)
		}
		result.warn("%v", err)
		err = fmt.Errorf("meter: %w: %w", ErrPartial, err)
	}
	result.attributeSources(s.client.Attribute)
	if err != nil {
		return result, err
	}
	return result.choose(patterns)
}

// expand returns the codes of the meter's objects that match the patterns.
// A pattern of one code that the meter does not list is asked for all the same.
func (s *dlmsSession) expand(ctx context.Context, patterns []obis.Pattern) (codes []obis.Code, err error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	objects, err := s.client.Objects(ctx)
	if err != nil {
		return nil, dlmsError(err)
	}
	seen := map[obis.Code]bool{}
	for _, p := range patterns {
		for _, o := range objects {
			if p.Match(o.Name) && !seen[o.Name] {
				seen[o.Name] = true
				codes = append(codes, o.Name)
			}
		}
		if code, ok := p.Code(); ok && !seen[code] {
			seen[code] = true
			codes = append(codes, code)
		}
	}
	if len(codes) == 0 {
		return nil, fmt.Errorf("meter: %w: no object matches", ErrNotSupported)
	}
	return codes, nil
}

// profileCodes returns the codes of the meter's profiles: logs of events, or all others.
func (s *dlmsSession) profileCodes(ctx context.Context, logs bool) (codes []obis.Code, err error) {
	objects, err := s.client.Objects(ctx)
	if err != nil {
		return nil, dlmsError(err)
	}
	for _, o := range objects {
		if o.Class == cosem.ClassProfileGeneric && logs == isEventLog(o.Name) {
			codes = append(codes, o.Name)
		}
	}
	return codes, nil
}

// isEventLog knows the names of event logs: C is 99 and D 97 or 98.
func isEventLog(c obis.Code) bool { return c[2] == 99 && (c[3] == 97 || c[3] == 98) }

func (s *dlmsSession) Profiles(ctx context.Context) ([]*obis.Profile, error) {
	codes, err := s.profileCodes(ctx, false)
	if err != nil {
		return nil, err
	}
	var profiles []*obis.Profile
	var failed error
	for _, code := range codes {
		p := &obis.Profile{Code: code}
		if err := s.client.DescribeProfile(ctx, code, p); err != nil {
			failed = fmt.Errorf("meter: %w: %w", ErrPartial, err)
		}
		profiles = append(profiles, p)
	}
	return profiles, failed
}

func (s *dlmsSession) Profile(ctx context.Context, code obis.Code, from, to time.Time) (*Result, error) {
	result, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	if !code.Valid() {
		codes, err := s.profileCodes(ctx, false)
		if err != nil {
			return nil, err
		}
		if code = mainProfile(codes); !code.Valid() {
			return nil, fmt.Errorf("meter: %w: the meter has no profile", ErrNotSupported)
		}
	}
	p := &obis.Profile{}
	if err := s.client.Profile(ctx, code, from, to, p); err != nil {
		return nil, dlmsError(err)
	}
	result.Profiles = []*obis.Profile{p}
	return result, nil
}

// mainProfile prefers load profiles (99.1) to others.
func mainProfile(codes []obis.Code) (main obis.Code) {
	for _, c := range codes {
		if !main.Valid() || c[2] == 99 && c[3] == 1 && !(main[2] == 99 && main[3] == 1) {
			main = c
		}
	}
	return main
}

func (s *dlmsSession) Events(ctx context.Context, from, to time.Time) (*Result, error) {
	result, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	logs, err := s.profileCodes(ctx, true)
	if err != nil {
		return nil, err
	}
	if len(logs) == 0 {
		return nil, fmt.Errorf("meter: %w: the meter has no event log", ErrNotSupported)
	}
	var failed error
	for _, log := range logs {
		events, err := s.client.Events(ctx, log, from, to)
		if err != nil {
			result.warn("%v: %v", log, err)
			failed = fmt.Errorf("meter: %w: %w", ErrPartial, err)
		}
		result.Events = append(result.Events, events...)
	}
	return result, failed
}

// simulatedDLMS describes the simulated meter.
func simulatedDLMS(cfg *SimulatorConfig) (*cosemsim.Config, error) {
	access, err := dlmsAccess(&cfg.Config)
	if err != nil {
		return nil, err
	}
	own := &cosemsim.Config{Access: access}
	if access[0].Client != dlms.DefaultClient {
		own.Access = append(access, dlms.Access{Client: dlms.DefaultClient})
		// What a real meter shows to anybody: its name, its clock and the counter that it expects.
		own.Public = []obis.Code{obis.MustParse("0-0:42.0.0"), obis.MustParse("0-0:1.0.0"), obis.MustParse("0-0:43.1.0"), obis.MustParse("0-0:40.0.0")}
	}
	return own, nil
}

// serverTitle is the system title of our servers.
var serverTitle = security.Title{'O', 'S', 'M', 0, 0, 0xBC, 0x61, 0x4E}

// dlmsAccess says who may associate with a server of ours: who knows the keys or
// the password as client 1 and, where there are neither, anybody as client 16.
func dlmsAccess(cfg *Config) ([]dlms.Access, error) {
	keys, err := dlmsSecurity(cfg)
	if err != nil {
		return nil, err
	}
	var access []dlms.Access
	if keys == nil && len(cfg.Keys.Password) == 0 {
		access = append(access, dlms.Access{Client: dlms.DefaultClient})
	}
	if keys != nil {
		keys.Counters = &security.MemoryCounters{} // of this server alone
		keys.Title = serverTitle
		if len(cfg.Keys.MeterSystemTitle) == len(keys.Title) {
			keys.Title = security.Title(cfg.Keys.MeterSystemTitle)
		}
		keys.Peer = security.Title{} // whoever knows the keys
	}
	password := len(cfg.Keys.Password) > 0
	for _, m := range []struct {
		auth    apdu.Mechanism
		allowed bool
	}{
		{apdu.MechanismNone, keys != nil}, {apdu.MechanismLow, password}, {apdu.MechanismManufacturer, password},
		{apdu.MechanismMD5, password}, {apdu.MechanismSHA1, password}, {apdu.MechanismGMAC, keys != nil},
		{apdu.MechanismSHA256, password}, {apdu.MechanismECDSA, keys != nil && keys.Signing != nil},
	} {
		if m.allowed {
			access = append(access, dlms.Access{Client: 1, Auth: m.auth, Password: cfg.Keys.Password, Security: keys})
		}
	}
	return access, nil
}
