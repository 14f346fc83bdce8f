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
// What a target needs is in a [Config]. How each protocol is spoken is in package driver.
// Programs that need one protocol only, or no allocation, import its package
// (cosem, mbus, iec62056, …) instead.
package meter

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/result"
)

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

// What the drivers of the protocols are told, and what they are, is in package driver.
type (
	// Config tells what a target needs. A nil *Config is all zero values.
	Config = driver.Config
	// DLMSConfig are the settings of DLMS/COSEM associations.
	DLMSConfig = driver.DLMSConfig
	// C12Config are the settings of ANSI C12.18, C12.21 and C12.22.
	C12Config = driver.C12Config
	// OSGPConfig are the settings of OSGP messages.
	OSGPConfig = driver.OSGPConfig
	// Target is where a meter is.
	Target = driver.Target
	// Session is a conversation with one meter.
	Session = driver.Session
	// Controller is a Session that can change something in the meter.
	Controller = driver.Controller
	// Note is one field of an explained message.
	Note = driver.Note
	// Found is a meter that a scan found.
	Found = driver.Found
	// Scanner is told how a scan goes.
	Scanner = driver.Scanner
	// Simulator is the meter's side of a protocol.
	Simulator = driver.Simulator
	// PacketSimulator is a simulator that answers datagrams, too.
	PacketSimulator = driver.PacketSimulator
	// SimulatorConfig describes a simulated meter.
	SimulatorConfig = driver.SimulatorConfig
	// Driver is how the front door speaks one protocol; a program may bring its own.
	Driver = driver.Driver
	// Reader finds the messages of one protocol.
	Reader = driver.Reader
	// Explainer explains the messages of one protocol.
	Explainer = driver.Explainer
	// Stats counts what a Reader met.
	Stats = driver.Stats
	// Try is one way to reach a meter.
	Try = driver.Try
)

// The protocols. Auto finds out.
const (
	Auto     = driver.Auto
	DLMS     = driver.DLMS
	IEC62056 = driver.IEC62056
	P1       = driver.P1
	SML      = driver.SML
	MBus     = driver.MBus
	WMBus    = driver.WMBus
	C1218    = driver.C1218
	C1222    = driver.C1222
	APDU     = driver.APDU
	C1219    = driver.C1219
	OSGP     = driver.OSGP
	MMS      = driver.MMS
	GOOSE    = driver.GOOSE
)

// What can be commanded of any meter that has it.
var (
	Clock   = driver.Clock
	Breaker = driver.Breaker
	Limiter = driver.Limiter
)

// When [Listen] hears a protocol.
const (
	NotHeard    = driver.NotHeard
	HeardByName = driver.HeardByName
	HeardAlways = driver.HeardAlways
)

// Errors on which callers branch. They are wrapped, with the cause in words.
var (
	ErrPartial      = driver.ErrPartial
	ErrConnect      = driver.ErrConnect
	ErrTimeout      = driver.ErrTimeout
	ErrHungUp       = driver.ErrHungUp
	ErrAuth         = driver.ErrAuth
	ErrMissingKey   = driver.ErrMissingKey
	ErrRefused      = driver.ErrRefused
	ErrFrame        = driver.ErrFrame
	ErrUnknown      = driver.ErrUnknown
	ErrNotSupported = driver.ErrNotSupported
)

// ParseProtocol reads the name of a protocol, ours or that of one of the drivers; "" is Auto.
func ParseProtocol(name string, drivers ...Driver) (Protocol, error) {
	p := Protocol(strings.ToLower(name))
	if p == "" || p == Auto {
		return Auto, nil
	}
	if driver.Of(&Config{Drivers: drivers}, p) == nil {
		return "", fmt.Errorf("meter: unknown protocol %q", name)
	}
	return p, nil
}

// Detect says which of our protocols the octets at the start of b belong to. It
// errs on the side of ignorance: an error wraps [ErrUnknown].
func Detect(b []byte) (Protocol, error) {
	d, err := driver.Detect(&Config{}, b)
	if err != nil {
		return "", err
	}
	return d.Protocol, nil
}

// ParseTarget reads where a meter is: see [driver.ParseTarget].
func ParseTarget(s string) (Target, error) { return driver.ParseTarget(s) }

// Open opens the connection of a target; Config.Open falls back on it.
func Open(ctx context.Context, t Target, cfg *Config) (io.ReadWriteCloser, error) {
	return driver.Open(ctx, t, cfg)
}

// Simulators returns the names of our simulated meters.
func Simulators() []string { return driver.Simulators() }

// NewSimulator returns a simulated meter by its name.
func NewSimulator(name string, cfg *SimulatorConfig) (Simulator, error) {
	return driver.NewSimulator(name, cfg)
}
