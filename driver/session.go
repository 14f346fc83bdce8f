package driver

import (
	"context"
	"fmt"
	"time"

	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// The protocols. Auto finds out.
const (
	Auto     Protocol = "auto"
	DLMS     Protocol = "dlms"     // DLMS/COSEM in HDLC or wrapper frames
	IEC62056 Protocol = "iec62056" // IEC 62056-21
	P1       Protocol = "p1"       // DSMR P1 and its relatives
	SML      Protocol = "sml"
	MBus     Protocol = "mbus"  // EN 13757-2/-3
	WMBus    Protocol = "wmbus" // EN 13757-4
	C1218    Protocol = "c1218" // ANSI C12.18 and C12.21
	C1222    Protocol = "c1222" // ANSI C12.22
	APDU     Protocol = "apdu"  // a bare xDLMS or ACSE APDU, for Decode and Explain
	C1219    Protocol = "c1219" // the octets of one C12.19 table, for Decode
	OSGP     Protocol = "osgp"  // ETSI GS OSG 001: application messages, for Decode and Explain
	MMS      Protocol = "mms"   // IEC 61850-8-1: the packets of an association, for Explain
	GOOSE    Protocol = "goose" // IEC 61850-8-1: messages behind their EtherType, for Explain
)

// Session is a conversation with one meter. It is for one goroutine at a time.
type Session interface {
	// Read reads the registers that match one of the patterns; without patterns
	// identity, clock and the meter's main registers. What could be read is
	// returned even beside an error that wraps [ErrPartial].
	Read(ctx context.Context, patterns ...obis.Pattern) (*Result, error)
	// Profiles lists the profiles that the meter has, without their rows.
	Profiles(ctx context.Context) ([]*obis.Profile, error)
	// Profile reads the rows of a profile from one time to another, both
	// included; zero times mean all. The zero code is the meter's load profile.
	Profile(ctx context.Context, code obis.Code, from, to time.Time) (*Result, error)
	// Events reads the meter's event logs.
	Events(ctx context.Context, from, to time.Time) (*Result, error)
	// Protocol says what the meter speaks.
	Protocol() Protocol
	// Close takes leave of the meter and closes the connection.
	Close(ctx context.Context) error
}

// What is read from meters and captures is in package result.
type (
	// Protocol names what a meter or a capture speaks.
	Protocol = result.Protocol
	// Result is what was read from a meter or a capture.
	Result = result.Result
	// Layer is one protocol layer of a frame.
	Layer = result.Layer
	// Source is what a protocol knows of a reading besides the model.
	Source = result.Source
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
	r.Received = time.Now()
	if err == nil {
		return Choose(r, patterns)
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
	r.Received = time.Now()
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
	r.Events, err = s.backend.Events(ctx, from, to)
	if r.Received = time.Now(); err != nil {
		return partial(r, s.err(err))
	}
	return r, nil
}
