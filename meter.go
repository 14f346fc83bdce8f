// Package meter is the front door: bytes or a meter's address in, OBIS-keyed
// readings out, whatever protocol the meter speaks.
//
// [Decode] turns captured frames into a [Result], [Explain] shows the same
// frames field by field, and [Dial] opens a [Session] with a meter:
//
//	s, err := meter.Dial(ctx, "tcp://192.0.2.7:4059", nil)
//	…
//	defer s.Close(ctx)
//	result, err := s.Read(ctx)
//
// It is the only package that knows every protocol, and the place where what
// crosses them is composed. Programs that need one protocol only, or no
// allocation, import its package (cosem, mbus, iec62056, …) instead.
package meter

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// Protocol names what a meter or a capture speaks.
type Protocol string

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
	MMS      Protocol = "mms"   // IEC 61850-8-1: the packets of an association, for Explain
	GOOSE    Protocol = "goose" // IEC 61850-8-1: messages behind their EtherType, for Explain
)

// ParseProtocol reads the name of a protocol; "" is Auto.
func ParseProtocol(name string) (Protocol, error) {
	switch p := Protocol(strings.ToLower(name)); p {
	case "":
		return Auto, nil
	case Auto, DLMS, IEC62056, P1, SML, MBus, WMBus, C1218, C1222, APDU, C1219, MMS, GOOSE:
		return p, nil
	}
	return "", fmt.Errorf("meter: unknown protocol %q", name)
}

// Config tells what a target needs. A nil *Config is all zero values.
type Config struct {
	Protocol Protocol // "" is Auto
	Address  string   // M-Bus slave (primary number or secondary address) or 62056-21 device address; "" is the only one there
	Keys     Keys
	Timeout  time.Duration // for one answer; 0 is the protocol's default
	Retries  int           // repeats of an unanswered request; 0 is the protocol's default, -1 none

	// C12.19: the table that Decode and Explain are given, and table 00 of its
	// meter, where its layout depends on that. User is the name for C12.18's logon.
	Table  uint16
	Table0 []byte
	User   string

	// DLMS associations.
	Auth   string // none, low, hls-manufacturer, hls-md5, …; "" is low with a password, else none
	Client uint16 // client SAP; 0 is 16, the public client, without authentication and 1 with it. For C12.18 the user id
	Server uint32 // logical device (wrapper) or HDLC server address; 0 is 1
	Suite  int    // security suite 0, 1 or 2
	// Counters keeps the invocation counters of ciphered associations, for example
	// a file that dlms.OpenCounters opens. Nil asks the meter as public client for
	// the counter that it expects and, where it does not tell, begins with the
	// seconds since 2020.
	Counters security.Counters

	Clock obis.Clock // how to read times that the meter sent without deviation

	// OpenSerial opens a serial port; without it serial targets fail.
	// Package github.com/openusm/meter/serial has one.
	OpenSerial func(name string, baud int, framing string) (io.ReadWriteCloser, error)
	// Open replaces Open for all targets, for recording and replaying. Nil is [Open].
	Open func(ctx context.Context, t Target, cfg *Config) (io.ReadWriteCloser, error)

	Trace  func(send bool, frame []byte) // sees every frame on the wire; nil sees nothing
	Logger *slog.Logger                  // nil is silent
	Tried  func(what string)             // hears what detection tries; nil hears nothing
}

// Keys are the secrets of one meter, or of several by their ids. They print as "redacted".
type Keys struct {
	Encryption     Secret // DLMS global unicast encryption key (EK), P1
	Authentication Secret // DLMS authentication key (AK)
	Dedicated      Secret // DLMS dedicated key
	Master         Secret // DLMS key encryption key (KEK)
	Key            Secret // M-Bus and P1 user key
	Password       Secret // password as text

	SystemTitle      Secret // ours, eight octets; empty is a fixed one
	MeterSystemTitle Secret // the meter's, eight octets, where it does not send it

	SigningKey   crypto.Signer     // for HLS 7 and general-signing
	AgreementKey *ecdh.PrivateKey  // for general-ciphering with agreed keys
	Certificate  *x509.Certificate // of SigningKey

	ByMeter map[string]Keys // by meter id: eight-digit M-Bus id, P1 equipment id, logical device name
}

// For returns the keys of the meter with this id, or k itself where it has none of its own.
func (k Keys) For(id string) Keys {
	if own, ok := k.ByMeter[id]; ok {
		return own
	}
	return k
}

// Secret is a key that does not print itself.
type Secret []byte

// String returns "" for no secret and "redacted" for any other.
func (s Secret) String() string {
	if len(s) == 0 {
		return ""
	}
	return "redacted"
}

// GoString is String: %#v must not print keys either.
func (s Secret) GoString() string { return s.String() }

// Format prints String whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Result is what was read from a meter or a capture.
type Result struct {
	Protocol Protocol
	Meter    obis.Meter
	Readings []obis.Reading
	Profiles []*obis.Profile
	Events   []obis.Event
	Layers   []Layer  // what was unwrapped, outermost first
	Warnings []string // what could not be read or verified, for people

	// Sources holds what the protocol knew of a reading and the model does not;
	// a Reading's Source is the index. Each marshals to a JSON object.
	Sources []any
	// Clock turns local times into instants for MarshalJSON.
	Clock obis.Clock
}

// Layer is one protocol layer of a frame, under its standard's name.
type Layer struct {
	Name     string `json:"name"`
	Control  string `json:"control,omitempty"`
	Security string `json:"security,omitempty"`
	Verified *bool  `json:"verified,omitempty"` // whether an authentication tag was checked; nil where there is none
}

// add appends the content of o.
func (r *Result) add(o *Result) {
	if r.Protocol == "" {
		r.Protocol = o.Protocol
	}
	if r.Meter == (obis.Meter{}) {
		r.Meter = o.Meter
	}
	for _, reading := range o.Readings {
		reading.Source += uint32(len(r.Sources))
		r.Readings = append(r.Readings, reading)
	}
	r.Sources = append(r.Sources, o.Sources...)
	r.Profiles = append(r.Profiles, o.Profiles...)
	r.Events = append(r.Events, o.Events...)
	r.Layers = append(r.Layers, o.Layers...)
	r.Warnings = append(r.Warnings, o.Warnings...)
}

func (r *Result) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

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

// Errors on which callers branch. They are wrapped, with the cause in words.
var (
	ErrPartial      = errors.New("partial result")
	ErrConnect      = errors.New("cannot connect")
	ErrTimeout      = errors.New("no answer in time")
	ErrHungUp       = errors.New("the other side closed the connection")
	ErrAuth         = errors.New("authentication or decryption refused")
	ErrMissingKey   = errors.New("key missing")
	ErrRefused      = errors.New("refused by the meter")
	ErrFrame        = errors.New("bad frame")
	ErrUnknown      = errors.New("no known protocol")
	ErrNotSupported = errors.New("the meter or its protocol has no such thing")
)
