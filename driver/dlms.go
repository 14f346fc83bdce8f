package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// dialDLMS opens an association in the frames that cfg names or that the target
// has by its kind; by TCP in those that the meter answers.
func dialDLMS(ctx context.Context, t Target, cfg *Config) (Session, error) {
	switch {
	case cfg.DLMS.Link == "hdlc", cfg.DLMS.Link == "" && t.Scheme != "tcp" && t.Scheme != "udp":
		return dialOver(dlms.LinkHDLC)(ctx, t, cfg)
	case cfg.DLMS.Link == "wrapper", cfg.DLMS.Link == "" && t.Scheme == "udp":
		return dialOver(dlms.LinkWrapper)(ctx, t, cfg)
	case cfg.DLMS.Link != "":
		return nil, fmt.Errorf("meter: DLMS link %q: want hdlc or wrapper", cfg.DLMS.Link)
	}
	answered := false // in wrapper frames, which settles what the meter speaks
	own := *cfg
	own.Trace = func(send bool, frame []byte) {
		answered = answered || !send
		if cfg.Trace != nil {
			cfg.Trace(send, frame)
		}
	}
	brief, cancel := context.WithTimeout(ctx, probe)
	defer cancel()
	s, err := dialOver(dlms.LinkWrapper)(brief, t, &own)
	if err == nil || ctx.Err() != nil || !Unheard(err) || answered && brief.Err() == nil {
		return s, err
	}
	if !answered {
		if s, err := quick(dialOver(dlms.LinkHDLC))(ctx, t, cfg); err == nil || !Unheard(err) {
			return s, err
		}
	}
	return dialOver(dlms.LinkWrapper)(ctx, t, cfg) // it is slow
}

// probe is how long a meter may take to answer frames of the wrapper before HDLC
// is tried: in HDLC it says nothing to those.
const probe = time.Second

func dialOver(link dlms.Link) func(context.Context, Target, *Config) (Session, error) {
	return func(ctx context.Context, t Target, cfg *Config) (Session, error) {
		if _, err := dlmsConfig(cfg, link); err != nil {
			return nil, err // before a port is opened
		}
		rw, err := cfg.Connect(ctx, t, 9600, "8N1")
		if err != nil {
			return nil, err
		}
		return associate(ctx, rw, cfg, link)
	}
}

// associate opens an association on a connection, which it then owns.
func associate(ctx context.Context, rw io.ReadWriteCloser, cfg *Config, link dlms.Link) (Session, error) {
	own, err := dlmsConfig(cfg, link)
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
	return &meterSession{backend: &dlmsBackend{client}, protocol: DLMS, cfg: cfg, err: dlmsError}, nil
}

// dlmsBackend is a DLMS association.
type dlmsBackend struct{ *dlms.Client }

func (b *dlmsBackend) Read(ctx context.Context, patterns []obis.Pattern, into *Result) error {
	codes, err := b.Select(ctx, patterns...)
	if err != nil {
		return err
	}
	if len(patterns) > 0 && len(codes) == 0 {
		return fmt.Errorf("%w: no object matches", ErrNotSupported)
	}
	into.Readings, err = b.Client.Read(ctx, codes...)
	sources := make([]attributeSource, len(into.Readings))
	for i := range into.Readings {
		into.Readings[i].Source = uint32(i)
		into.Sources = append(into.Sources, sources[i].of(b.Attribute(into.Readings[i])))
	}
	return err
}

func (b *dlmsBackend) Profiles(ctx context.Context) (profiles []*obis.Profile, failed error) {
	codes, err := b.Client.Profiles(ctx)
	if err != nil {
		return nil, err
	}
	for _, code := range codes {
		p := &obis.Profile{Code: code}
		failed = errors.Join(failed, b.DescribeProfile(ctx, code, p))
		profiles = append(profiles, p)
	}
	return profiles, failed
}

func (b *dlmsBackend) Profile(ctx context.Context, code obis.Code, from, to time.Time) ([]*obis.Profile, error) {
	if !code.Valid() {
		var err error
		if code, err = b.LoadProfile(ctx); err != nil || !code.Valid() {
			return nil, err
		}
	}
	p := &obis.Profile{}
	if err := b.Client.Profile(ctx, code, from, to, p); err != nil {
		return nil, err
	}
	return []*obis.Profile{p}, nil
}

func (b *dlmsBackend) Events(ctx context.Context, from, to time.Time) (events []obis.Event, failed error) {
	logs, err := b.EventLogs(ctx)
	if err != nil {
		return nil, err
	}
	if len(logs) == 0 {
		return nil, fmt.Errorf("%w: the meter has no event log", ErrNotSupported)
	}
	for _, log := range logs {
		entries, err := b.Client.Events(ctx, log, from, to)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%v: %w", log, err))
		}
		events = append(events, entries...)
	}
	return events, failed
}

// scanDLMS finds the logical devices that the meter lists, or else the one that answers.
func scanDLMS(ctx context.Context, t Target, cfg *Config, sc *Scanner) error {
	opened, err := dialDLMS(ctx, t, cfg)
	if err != nil {
		return err
	}
	defer opened.Close(context.WithoutCancel(ctx))
	defer sc.progress(1)
	s := opened.(*meterSession)
	devices, err := s.backend.(*dlmsBackend).LogicalDevices(ctx)
	if err != nil || len(devices) == 0 {
		r, err := s.result(ctx)
		if err != nil {
			return err
		}
		sc.found(Found{Protocol: DLMS, Address: fmt.Sprint(max(cfg.DLMS.Server, 1)), Meter: r.Meter})
		return nil
	}
	for _, d := range devices {
		name := []obis.Reading{{Code: obis.Code{0, 0, 42, 0, 0, 255}, Value: obis.Text([]byte(d.Name))}}
		sc.found(Found{Protocol: DLMS, Address: fmt.Sprint(d.SAP), Meter: cosem.Identify(name)})
	}
	return nil
}

// simulateDLMS returns the simulated meter, which is read as cfg says.
func simulateDLMS(cfg *SimulatorConfig) (Simulator, error) {
	own := cfg.Config
	title := own.Keys.MeterSystemTitle
	if len(title) != security.TitleLen {
		title = []byte{'O', 'S', 'M', 0, 0, 0xBC, 0x61, 0x4E}
		if ours := own.Keys.SystemTitle; len(ours) == security.TitleLen { // of another installation, another meter
			copy(title[3:], ours[3:])
		}
	}
	own.Keys.SystemTitle = title
	access, err := DLMSAccess(&own)
	if err != nil {
		return nil, err
	}
	return cosemsim.New(&cosemsim.Config{Access: access, Counters: cfg.Counters})
}
