// Package driver speaks each protocol for the front door: a row of one table, and a
// session, a reader and an explanation of the messages in the terms of all protocols.
//
// Programs use it by package meter, which has its types under the same names, and import it
// only to make drivers of their own. It is the only package that knows every protocol, and
// composes what crosses them: 62056-21 that hands its port to DLMS, DLMS that M-Bus or a
// customer port carries.
package driver

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/openusm/meter/internal/wire"
)

// Driver is how the front door speaks one protocol. What a protocol does not
// have is nil. A program may bring drivers of its own in [Config].Drivers.
type Driver struct {
	Protocol Protocol
	// Of is the protocol by whose name messages of this form are known, too: a bare
	// APDU is DLMS.
	Of Protocol
	// Detect reports whether b begins with a message of the protocol. The drivers are
	// asked in a fixed order: those whose messages carry checks first.
	Detect func(b []byte) bool
	// Reader returns what finds and decodes messages, for Decode, Listen and reads of meters that push.
	Reader func(cfg *Config) (Reader, error)
	// Heard says whether [Listen] hears the protocol, and Unchecked that it has no
	// checksum by which a message is told from noise.
	Heard     Heard
	Unchecked bool
	// Explainer returns what explains messages, one after the other.
	Explainer func(cfg *Config, note func(Note)) (Explainer, error)
	// Rate is the rate in baud, 8N1, at which meters push that are heard: without Dial,
	// a session with one waits for what it sends.
	Rate int
	// Dial opens a session.
	Dial func(ctx context.Context, t Target, cfg *Config) (Session, error)
	// Tries are ways to reach a meter whose protocol is not known.
	Tries func(t Target) []Try
	// Scan finds the meters at a target; nil reads the one that Dial finds.
	Scan func(ctx context.Context, t Target, cfg *Config, s *Scanner) error
	// Simulate returns a simulated meter.
	Simulate func(cfg *SimulatorConfig) (Simulator, error)
}

// Heard says when [Listen] hears a protocol.
type Heard uint8

// When a protocol is heard.
const (
	NotHeard    Heard = iota
	HeardByName       // where Config.Protocol names it
	HeardAlways       // also where no protocol is named
)

// Reader finds the messages of one protocol in octets that come in pieces.
type Reader interface {
	// Feed adds what arrived. It copies b.
	Feed(b []byte)
	// End says that nothing more will come, as at the end of a capture: what would
	// wait for more is read as far as it goes.
	End()
	// Next adds what the next message says to r, which is valid until the next call
	// of any method. The error is io.ErrUnexpectedEOF where more octets are needed,
	// io.EOF behind the last message after End; another error is that of one message,
	// and goes with what of it could be read where it wraps ErrPartial.
	Next(r *Result) error
	// Pending returns how many octets wait for the rest of a message.
	Pending() int
	// Stats returns what was met so far.
	Stats() Stats
}

// Forgetter is a Reader that says whether it is, at the end of a capture, as good as
// new: it learnt nothing from one that it would use for the next.
type Forgetter interface{ Forgot() bool }

// Stats counts what a Reader met: messages, wrong checksums, what was malformed
// in another way, and octets that belong to no message.
type Stats = wire.Stats

// Explainer explains messages field by field. What it learns from one, such as
// system titles and segments, it uses for those that follow.
type Explainer interface {
	// Explain notes the fields of the first message of b, whose first octet has the
	// given offset in the input, and returns how many octets it took. Where n is 0
	// the error is io.ErrUnexpectedEOF, and more octets are needed; with any other
	// error the message was noted as far as it goes.
	Explain(b []byte, offset int) (n int, err error)
	// End notes what a capture ends with.
	End(b []byte, offset int) error
}

// Try is one way to reach a meter.
type Try struct {
	Name string // "M-Bus at 2400 8E1"
	Rank int    // lower ones are tried first
	Dial func(ctx context.Context, t Target, cfg *Config) (Session, error)
}

var (
	tableOnce sync.Once
	table     []Driver // ours, once made never changed
)

// ours returns our drivers, in the order in which they are asked what octets are:
// those that recognise themselves by more than a guess first, radio last but bare APDUs.
func ours() []Driver {
	tableOnce.Do(func() {
		table = []Driver{
			smlDriver(), mmsDriver(), hdlcDriver(), wrapperDriver(), carriedDriver(), mbusDriver(), p1Driver(), iec62056Driver(),
			c1218Driver(), c1222Driver(), apduDriver(), wmbusDriver(), cutDriver(), c1219Driver(), osgpDriver(), gooseDriver(),
		}
	})
	return table
}

// All calls yield for each driver until it returns false: ours in their order, those
// that cfg brings before them.
func All(cfg *Config) iter.Seq[*Driver] { return cfg.drivers }

func (cfg *Config) drivers(yield func(*Driver) bool) {
	for i := range cfg.Drivers {
		if !yield(&cfg.Drivers[i]) {
			return
		}
	}
	list := ours()
	for i := range list {
		if cfg.own(list[i].Protocol) == nil && !yield(&list[i]) {
			return
		}
	}
}

// own returns the driver that cfg brings for a protocol.
func (cfg *Config) own(p Protocol) *Driver {
	for i := range cfg.Drivers {
		if cfg.Drivers[i].Protocol == p {
			return &cfg.Drivers[i]
		}
	}
	return nil
}

// Of returns the driver of a protocol, nil where there is none.
func Of(cfg *Config, p Protocol) *Driver {
	for d := range cfg.drivers {
		if d.Protocol == p {
			return d
		}
	}
	return nil
}

// Detect returns the driver of what b begins with, or that of cfg's protocol. It
// errs on the side of ignorance: an error wraps [ErrUnknown].
func Detect(cfg *Config, b []byte) (*Driver, error) {
	if cfg.Protocol != "" && cfg.Protocol != Auto {
		for d := range cfg.drivers {
			if (d.Protocol == cfg.Protocol || d.Of == cfg.Protocol) && d.Detect != nil && d.Detect(b) {
				return d, nil
			}
		}
		if d := Of(cfg, cfg.Protocol); d != nil {
			return d, nil
		}
		return nil, fmt.Errorf("meter: %w %q", ErrUnknown, cfg.Protocol)
	}
	for d := range cfg.drivers {
		if d.Detect != nil && d.Detect(b) {
			return d, nil
		}
	}
	head := b
	if len(head) > 8 {
		head = head[:8]
	}
	return nil, fmt.Errorf("meter: %w starts with % x", ErrUnknown, head)
}
