package site

import (
	"context"
	"errors"
	"time"

	"github.com/openusm/meter/obis"
)

// Actor is who commands.
type Actor struct {
	Face   string // "dlms", "iec61850", …
	Name   string // as he was authenticated; "" for nobody
	Remote string // where he is
}

// Step is a step of a command that is selected before it is carried out.
type Step uint8

// The steps.
const (
	Operate Step = iota // carry it out
	Check               // say whether it would be
	Select              // hold it for one who will operate
	Cancel              // give up what was selected
)

var stepNames = [...]string{"operate", "check", "select", "cancel"}

// String returns the step in lower case.
func (s Step) String() string {
	if int(s) < len(stepNames) {
		return stepNames[s]
	}
	return "unknown"
}

// Command is what an actor wants of a meter.
type Command struct {
	Meter ID
	Actor Actor
	// Code is what is meant. Without Class it is the value behind the code: a breaker, a
	// limit, the clock; with it the attribute or method of an object.
	Code              obis.Code
	Class             uint16
	Attribute, Method int8
	Value             obis.Value
	Unit              obis.Unit
	Payload           []byte // A-XDR of an attribute or of what a method is given; opaque here
	At, Until         time.Time
	Step              Step
}

// Answer is what a meter said to a command.
type Answer struct {
	Value   obis.Value
	Payload []byte
}

// Commander carries out commands. Those that guard, log or ask a second person wrap
// one another. A nil Commander refuses everything: see [Do].
type Commander interface {
	Command(context.Context, Command) (Answer, error)
}

// Errors of commanders; a refusal of the meter itself is its own error.
var (
	ErrPolicy      = errors.New("site: not allowed")
	ErrUnknown     = errors.New("site: nothing that can be commanded")
	ErrSelected    = errors.New("site: selected by another")
	ErrNotSelected = errors.New("site: not selected")
	// ErrUncertain: it was sent and not answered. Nobody repeats it by himself.
	ErrUncertain = errors.New("site: sent, but not answered")
)

// Do has a command carried out by c, and refuses it where c is nil.
func Do(ctx context.Context, c Commander, cmd Command) (Answer, error) {
	if c == nil {
		return Answer{}, ErrPolicy
	}
	return c.Command(ctx, cmd)
}
