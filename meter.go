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
	"time"

	"github.com/openusm/meter/obis"
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
