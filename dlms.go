package meter

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/openusm/meter/cosem/dlms"
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
	if err == nil || ctx.Err() != nil || !unheard(err) || answered && brief.Err() == nil {
		return s, err
	}
	if !answered {
		if s, err := quick(dialOver(dlms.LinkHDLC))(ctx, t, cfg); err == nil || !unheard(err) {
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
		rw, err := cfg.open(ctx, t, 9600, "8N1")
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
	return &dlmsSession{client: client, cfg: cfg}, nil
}

// dlmsSession is a DLMS association.
type dlmsSession struct {
	client *dlms.Client
	cfg    *Config
	meter  *obis.Meter
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
	codes, err := s.client.Select(ctx, patterns...)
	if err != nil {
		return nil, dlmsError(err)
	}
	if len(patterns) > 0 && len(codes) == 0 {
		return nil, fmt.Errorf("meter: %w: no object matches", ErrNotSupported)
	}
	result.Readings, err = s.client.Read(ctx, codes...)
	sources := make([]attributeSource, len(result.Readings))
	for i := range result.Readings {
		result.Readings[i].Source = uint32(i)
		result.Sources = append(result.Sources, sources[i].of(s.client.Attribute(result.Readings[i])))
	}
	if err != nil {
		return result.partial(dlmsError(err))
	}
	return result.choose(patterns)
}

func (s *dlmsSession) Profiles(ctx context.Context) (profiles []*obis.Profile, failed error) {
	codes, err := s.client.Profiles(ctx)
	if err != nil {
		return nil, dlmsError(err)
	}
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
		if code, err = s.client.LoadProfile(ctx); err != nil {
			return nil, dlmsError(err)
		}
		if !code.Valid() {
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

func (s *dlmsSession) Events(ctx context.Context, from, to time.Time) (*Result, error) {
	result, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	logs, err := s.client.EventLogs(ctx)
	if err != nil {
		return nil, dlmsError(err)
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
