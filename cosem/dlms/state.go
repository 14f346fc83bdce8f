package dlms

import (
	"errors"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
)

// state is where an association stands, on either side.
type state uint8

const (
	stateIdle      state = iota // there is none
	stateAsked                  // client: the AARQ is on its way
	statePending                // accepted, but neither side has proved that it knows the secret
	stateOpen                   //
	stateReleasing              // client: the RLRQ is on its way
	states
)

// event is what happens to an association.
type event uint8

const (
	// What a client does, and what comes to it.
	eventAsk        event = iota // it sends an AARQ
	eventAccepted                // an AARE accepts, and that is all
	eventChallenged              // an AARE accepts, and a handshake follows
	eventSend                    // it sends its proof, or a request
	eventProved                  // the answer to its proof
	eventAnswer                  // the answer to a request
	eventRefusal                 // an exception-response or a confirmed-service-error
	eventPush                    // what the server sends of its own accord
	eventLeave                   // it sends an RLRQ
	eventReleased                // an RLRE

	// What comes to a server.
	eventAssociate          // an AARQ
	eventAssociateHLS       // an AARQ after which a handshake follows
	eventProof              // the invocation of reply_to_HLS_authentication
	eventRequest            // any other request
	eventRelease            // an RLRQ
	events            event = iota
)

// demand is how an event must be protected.
type demand uint8

const (
	refused demand = iota // it has no place in this state
	anyhow                // not at all: nothing in it is believed
	agreed                // as the association requires; see [required]
)

// transition is where an event leads, once it is protected as demanded.
type transition struct {
	demand demand
	next   state
}

// transitions is the association, of both sides. What it does not have is refused.
//
// An AARE or AARQ is protected by its user-information. A refusal of a request
// says that something failed, and the RLRE that all is over: both are taken from
// whoever says so, as whoever can say so could also cut the line.
var transitions = [states][events]transition{
	stateIdle: {
		eventAsk:          {anyhow, stateAsked},
		eventAssociate:    {agreed, stateOpen},
		eventAssociateHLS: {agreed, statePending},
		eventRelease:      {anyhow, stateIdle},
	},
	stateAsked: {
		eventAsk:        {anyhow, stateAsked},
		eventAccepted:   {agreed, stateOpen},
		eventChallenged: {agreed, statePending},
		eventRefusal:    {anyhow, stateAsked},
		eventPush:       {agreed, stateAsked},
	},
	statePending: {
		eventAsk:          {anyhow, stateAsked},
		eventSend:         {anyhow, statePending},
		eventProved:       {agreed, stateOpen},
		eventRefusal:      {anyhow, statePending},
		eventPush:         {agreed, statePending},
		eventLeave:        {anyhow, stateReleasing},
		eventAssociate:    {agreed, stateOpen},
		eventAssociateHLS: {agreed, statePending},
		eventProof:        {agreed, stateOpen},
		eventRelease:      {anyhow, stateIdle},
	},
	stateOpen: {
		eventAsk:          {anyhow, stateAsked},
		eventSend:         {anyhow, stateOpen},
		eventAnswer:       {agreed, stateOpen},
		eventRefusal:      {anyhow, stateOpen},
		eventPush:         {agreed, stateOpen},
		eventLeave:        {anyhow, stateReleasing},
		eventAssociate:    {agreed, stateOpen},
		eventAssociateHLS: {agreed, statePending},
		eventRequest:      {agreed, stateOpen},
		eventRelease:      {anyhow, stateIdle},
	},
	stateReleasing: {
		eventAsk:      {anyhow, stateAsked},
		eventRefusal:  {anyhow, stateReleasing},
		eventPush:     {agreed, stateReleasing},
		eventReleased: {anyhow, stateIdle},
	},
}

// ErrUnprotected reports a message that is protected less than its association
// requires, or a push that is less than the keys of its sender imply (with an
// authentication key authenticated, with an encryption key alone encrypted): what it
// says may be anybody's.
var ErrUnprotected = errors.New("dlms: message is protected less than is required")

// required is the protection that an association requires of what comes.
type required struct {
	control security.Control // Authenticated, Encrypted, both or none
	signed  bool
}

// met reports whether a message is protected as required. A tag counts where it
// was checked. The broadcast key does not count: all meters of a network have it.
func (r required) met(how protection) bool {
	switch {
	case r.control&^how.control != 0:
		return false
	case r.control != 0 && how.control&security.Broadcast != 0:
		return false
	case r.control&security.Authenticated != 0 && how.tag != security.Verified:
		return false
	}
	return !r.signed || how.signature == security.Verified
}

// take reports whether an event may happen, protected as it is. It leads to the
// state that it returns.
func (s state) take(e event, r required, how protection) (next state, err error) {
	switch e {
	case eventAccepted, eventChallenged, eventAssociate, eventAssociateHLS:
		r.signed = false // there is no place for a signature in them
	}
	switch t := transitions[s][e]; {
	case t.demand == refused:
		return s, ErrProtocol
	case t.demand == agreed && !r.met(how):
		return s, ErrUnprotected
	default:
		return t.next, nil
	}
}

// answerEvent tells what the plain form of an APDU is that comes to a client.
func (s state) answerEvent(tag byte) event {
	switch {
	case tag == apdu.TagExceptionResponse, tag == apdu.TagConfirmedServiceError:
		return eventRefusal
	case isPush(tag):
		return eventPush
	case tag == apdu.TagRLRE:
		return eventReleased
	case s == statePending:
		return eventProved
	}
	return eventAnswer
}

// isPush reports whether an APDU answers nothing.
func isPush(tag byte) bool {
	return tag == apdu.TagDataNotification || tag == apdu.TagEventNotification || tag == apdu.TagInformationReport
}
