// Package session reads meters by ANSI C12.18, C12.21 and C12.22.
//
// A [Client] is for one goroutine at a time. It opens a conversation, reads tables
// whole or in parts, and turns them into readings, profiles and events. It changes
// nothing in the meter unless [Config.Grant] allows it.
package session

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/tables"
)

// Config tells how to talk to the meter. A nil *Config is all zero values.
type Config struct {
	User     string // up to ten characters; "" is spaces
	UserID   uint16
	Password string // up to 20 characters; "" is no security service
	// PasswordPad fills the password up to 20 octets; 0 is a space, as most meters want it.
	PasswordPad byte
	// Key is the DES key of C12.21 authentication, eight octets; nil authenticates only by password.
	Key   []byte
	KeyID byte // which of the meter's keys it is

	Timeout time.Duration // for one answer; 0 is 6 s
	Retries int           // repetitions of a packet; 0 is 3, -1 none
	// PacketSize and Packets are what is proposed to the meter; 0 is 512 octets and 255 packets.
	PacketSize int
	Packets    int
	// Baud is proposed where the connection can change its rate; 0 keeps the rate.
	Baud int
	// Identity is the device on a shared line; 0 is the only one there.
	Identity byte
	// Timing is proposed to a meter of C12.21; nil keeps the standard's times.
	Timing *psem.Timing
	// Signals are set on a connection that has SetRTS and SetDTR, as optical probes
	// draw their power from these lines; 0 is RTSOn.
	Signals Signals

	// Grant lists what the program may do besides reading. 0 is nothing.
	Grant ansic12.Right
	// Descriptions are layouts of manufacturers' tables besides those that are built in.
	Descriptions []*tables.Description

	Trace  func(send bool, frame []byte) // sees every packet and acknowledgement; nil sees nothing
	Logger *slog.Logger                  // nil is silent
}

// Signals are the states of the lines RTS and DTR.
type Signals uint8

// The signals.
const (
	RTSOn       Signals = iota // RTS on, DTR off, as most optical probes want it
	DTROn                      // DTR on, RTS off
	BothOn                     // both on
	KeepSignals                // as they are
)

func (c *Config) timeout() time.Duration {
	if c.Timeout <= 0 {
		return 6 * time.Second
	}
	return c.Timeout
}

func (c *Config) packetSize() uint16 {
	if c.PacketSize <= 0 {
		return 512
	}
	return uint16(min(c.PacketSize, psem.MaxData+psem.Overhead))
}

func (c *Config) packets() uint8 {
	if c.Packets <= 0 {
		return 255
	}
	return uint8(min(c.Packets, 255))
}

// Errors on which callers branch. A refusal is a [psem.Status], a procedure that
// failed an [ansic12.ProcedureResult].
var (
	ErrNoAnswer   = psem.ErrNoAnswer
	ErrAuth       = errors.New("user, password or key refused")
	ErrNotGranted = errors.New("the program may not do this")
	ErrNoTable    = errors.New("the meter has no such table")
	ErrPartial    = errors.New("some tables could not be read")
	ErrOtherReply = errors.New("reply to another request")
	ErrClosed     = errors.New("no session")
)

// RefusedError is a request that the meter refused.
type RefusedError struct {
	Service psem.Service
	Table   uint16 // of reads and writes
	Status  psem.Status
}

func (e *RefusedError) Error() string {
	switch {
	case e.Service >= psem.ServiceRead && e.Service <= psem.ServiceWriteOffset:
		return fmt.Sprintf("session: %v of %s: %v", e.Service, psem.TableName(e.Table), e.Status)
	}
	return fmt.Sprintf("session: %v: %v", e.Service, e.Status)
}

func (e *RefusedError) Unwrap() error { return e.Status }
