package meter

import (
	"context"
	"fmt"
	"time"

	"github.com/openusm/meter/obis"
)

// backend is a conversation with a meter in the terms of its protocol.
type backend interface {
	// Meter returns the identity of the meter, the zero one where only reading tells it.
	Meter(ctx context.Context) (obis.Meter, error)
	// Read adds the registers that match the patterns, or those of the meter's choice.
	Read(ctx context.Context, patterns []obis.Pattern, into *Result) error
	Profiles(ctx context.Context) ([]*obis.Profile, error)
	// Profile returns none where the meter has no such profile.
	Profile(ctx context.Context, code obis.Code, from, to time.Time) ([]*obis.Profile, error)
	Events(ctx context.Context, from, to time.Time) ([]obis.Event, error)
	Close(ctx context.Context) error
}

// meterSession is a [Session] made of a backend. Err gives errors their sentinels.
type meterSession struct {
	backend
	protocol Protocol
	cfg      *Config
	err      func(error) error
	layers   []Layer // that carry the conversation
	meter    *obis.Meter
}

func (s *meterSession) Protocol() Protocol { return s.protocol }

func (s *meterSession) Close(ctx context.Context) error { return s.err(s.backend.Close(ctx)) }

// result returns an empty result with the identity of the meter, which is read once.
func (s *meterSession) result(ctx context.Context) (*Result, error) {
	if s.meter == nil {
		m, err := s.backend.Meter(ctx)
		if err != nil && m == (obis.Meter{}) {
			return nil, s.err(err)
		}
		s.meter = &m
	}
	return &Result{Protocol: s.protocol, Meter: *s.meter, Clock: s.cfg.Clock, Layers: append([]Layer(nil), s.layers...)}, nil
}

func (s *meterSession) Read(ctx context.Context, patterns ...obis.Pattern) (*Result, error) {
	r, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	err = s.backend.Read(ctx, patterns, r)
	if err == nil {
		return choose(r, patterns)
	}
	r.Choose(patterns) // what is not there may be in what could not be read
	return partial(r, s.err(err))
}

func (s *meterSession) Profiles(ctx context.Context) ([]*obis.Profile, error) {
	profiles, err := s.backend.Profiles(ctx)
	if err = s.err(err); err != nil && len(profiles) > 0 {
		err = fmt.Errorf("meter: %w: %w", ErrPartial, err)
	}
	return profiles, err
}

func (s *meterSession) Profile(ctx context.Context, code obis.Code, from, to time.Time) (*Result, error) {
	r, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	r.Profiles, err = s.backend.Profile(ctx, code, from, to)
	switch {
	case err != nil:
		return partial(r, s.err(err))
	case len(r.Profiles) == 0 && code.Valid():
		return nil, fmt.Errorf("meter: %w: profile %v", ErrNotSupported, code)
	case len(r.Profiles) == 0:
		return nil, fmt.Errorf("meter: %w: load profile", ErrNotSupported)
	}
	return r, nil
}

func (s *meterSession) Events(ctx context.Context, from, to time.Time) (*Result, error) {
	r, err := s.result(ctx)
	if err != nil {
		return nil, err
	}
	if r.Events, err = s.backend.Events(ctx, from, to); err != nil {
		return partial(r, s.err(err))
	}
	return r, nil
}
