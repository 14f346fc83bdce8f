package mms

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/openusm/meter/internal/ber"
)

// Selectors are the addresses of one side within its host; nil fields are empty.
type Selectors struct{ Transport, Session, Presentation []byte }

// DefaultSelectors are what most clients and servers use.
func DefaultSelectors() Selectors {
	return Selectors{[]byte{0, 1}, []byte{0, 1}, []byte{0, 0, 0, 1}}
}

// EventKind says what [Stack.Next] found.
type EventKind uint8

// The events.
const (
	NoEvent       EventKind = iota // octets were taken, but nothing is complete
	TransportOpen                  // the transport connection stands; a caller sends AppendAssociate
	AssociateIn                    // a request to associate: answer with AppendAccept or AppendRefuse
	AssociateOut                   // the answer to our request
	PDUIn                          // an MMS PDU
	Released                       // the peer released the association; the answer is in out
	Aborted                        // the peer aborted or disconnected
)

// Event is what [Stack.Next] found. Its slices alias the input or memory of the
// stack, until the next call.
type Event struct {
	Kind EventKind
	ACSE ACSE   // of AssociateIn and AssociateOut
	PDU  []byte // of PDUIn, and the initiate PDU of AssociateIn and AssociateOut
}

type phase uint8

const (
	phaseClosed phase = iota
	phaseTransport
	phaseAsked
	phaseOpen
	phaseDone
)

// Stack is one side of one association: transport to ACSE, without I/O. The
// zero Stack waits for a caller.
type Stack struct {
	// MaxTSDU is the longest message that is put together from fragments; zero means 65,536 octets.
	MaxTSDU int

	caller   bool
	phase    phase
	size     int // of TPDUs that may be sent
	contexts Contexts
	called   Selectors
	tsdu     []byte // fragments that came so far
}

// ErrUnexpected reports a message that the state of the association does not allow.
var ErrUnexpected = errors.New("unexpected here")

// AppendConnect appends the first message of a caller, the request for a transport connection.
func (s *Stack) AppendConnect(dst []byte, calling, called Selectors) ([]byte, error) {
	s.caller, s.phase, s.size = true, phaseTransport, DefaultTPDU
	return TPDU{Kind: ConnectRequest, Src: 1, Size: DefaultTPDU, Calling: calling.Transport, Called: called.Transport}.Append(dst)
}

// Next reads the first packet of in. It returns how many octets it took,
// appends to out what must be sent at once, and says what came. Input that is
// only too short gives an error that wraps [io.ErrUnexpectedEOF]; after any other
// error the connection is to be closed.
func (s *Stack) Next(in, out []byte) (ev Event, n int, answer []byte, err error) {
	raw, n, err := ParseTPKT(in)
	if err != nil {
		return Event{}, 0, out, err
	}
	t, err := ParseTPDU(raw)
	if err != nil {
		return Event{}, 0, out, shift(err, tpktHeader)
	}
	switch {
	case t.Kind == TransportData && s.phase > phaseTransport:
		ev, out, err = s.data(t, out)
	case t.Kind == ConnectRequest && s.phase == phaseClosed && !s.caller:
		s.size = min(DefaultTPDU, t.Size)
		if t.Size == 0 {
			s.size = 1024
		}
		s.phase = phaseAsked
		ev.Kind = TransportOpen
		out, err = TPDU{Kind: ConnectConfirm, Dst: t.Src, Src: 1, Size: s.size, Calling: t.Calling, Called: t.Called}.Append(out)
	case t.Kind == ConnectConfirm && s.phase == phaseTransport:
		if t.Size > 0 {
			s.size = min(s.size, t.Size)
		}
		s.phase = phaseAsked
		ev.Kind = TransportOpen
	case t.Kind == DisconnectRequest, t.Kind == TransportError:
		s.phase = phaseDone
		ev.Kind = Aborted
	default:
		err = &ParseError{"cotp", "TPDU", tpktHeader, fmt.Errorf("of code 0x%02x: %w", byte(t.Kind), ErrUnexpected)}
	}
	if err != nil {
		return Event{}, 0, out, err
	}
	return ev, n, out, nil
}

// shift moves the offset of an error.
func shift(err error, by int) error {
	var pe *ParseError
	if errors.As(err, &pe) {
		moved := *pe
		moved.Offset += by
		return &moved
	}
	return err
}

// data puts fragments together and reads the message.
func (s *Stack) data(t TPDU, out []byte) (Event, []byte, error) {
	tsdu := t.Data
	if !t.Last || len(s.tsdu) > 0 {
		limit := s.MaxTSDU
		if limit == 0 {
			limit = 1 << 16
		}
		if len(s.tsdu)+len(t.Data) > limit {
			return Event{}, out, &ParseError{"cotp", "TSDU", tpktHeader, ErrTooLong}
		}
		s.tsdu = append(s.tsdu, t.Data...)
		if !t.Last {
			return Event{}, out, nil
		}
		tsdu, s.tsdu = s.tsdu, s.tsdu[:0]
		if cap(s.tsdu) > DefaultTPDU {
			s.tsdu = nil
		}
	}
	if len(tsdu) == 0 {
		return Event{}, out, nil
	}
	spdu, err := ParseSPDU(tsdu)
	if err != nil {
		return Event{}, out, err
	}
	switch {
	case spdu.Kind == SessionData && s.phase == phaseOpen:
		return s.userData(spdu.Data, out)
	case spdu.Kind == SessionConnect && s.phase == phaseAsked && !s.caller:
		return s.associate(spdu, out, false)
	case spdu.Kind == SessionAccept && s.phase == phaseAsked && s.caller:
		ev, out, err := s.associate(spdu, out, true)
		if err == nil && ev.ACSE.Result == 0 {
			s.phase = phaseOpen
		}
		return ev, out, err
	case spdu.Kind == SessionFinish && s.phase == phaseOpen:
		s.phase = phaseDone
		out, err = s.appendSession(out, SessionDisconnect, appendPDV(nil, s.contexts.ACSE, ACSE{Kind: ReleaseResponse}.Append(nil, 0)))
		return Event{Kind: Released}, out, err
	case spdu.Kind == SessionDisconnect && s.phase == phaseOpen:
		s.phase = phaseDone
		return Event{Kind: Released}, out, nil
	case spdu.Kind == SessionAbort, spdu.Kind == SessionRefuse:
		s.phase = phaseDone
		return Event{Kind: Aborted}, out, nil
	}
	return Event{}, out, &ParseError{"session", "SPDU", 0, fmt.Errorf("of identifier %d: %w", spdu.Kind, ErrUnexpected)}
}

func (s *Stack) userData(b, out []byte) (Event, []byte, error) {
	context, pdu, err := ParseUserData(b)
	if err != nil {
		return Event{}, out, err
	}
	if context != s.contexts.MMS {
		return Event{}, out, &ParseError{"presentation", "context", 0, fmt.Errorf("%d: %w", context, ErrUnexpected)}
	}
	return Event{Kind: PDUIn, PDU: pdu}, out, nil
}

// associate reads the request for an association or the answer to it.
func (s *Stack) associate(spdu SPDU, out []byte, accept bool) (Event, []byte, error) {
	p, err := ParsePresentation(spdu.Data, accept)
	if err != nil {
		return Event{}, out, err
	}
	a, err := ParseACSE(p.Data)
	if err != nil {
		return Event{}, out, err
	}
	kind, want := AssociateIn, AssociateRequest
	if accept {
		kind, want = AssociateOut, AssociateResponse
	}
	if a.Kind != want {
		return Event{}, out, &ParseError{"acse", "APDU", 0, fmt.Errorf("of tag 0x%02x: %w", byte(a.Kind), ErrUnexpected)}
	}
	if !accept {
		if p.Contexts.MMS == 0 || p.Contexts.ACSE == 0 {
			return Event{}, out, &ParseError{"presentation", "contexts", 0, fmt.Errorf("without MMS: %w", ErrUnexpected)}
		}
		s.contexts = p.Contexts
		s.called = Selectors{Session: bytes.Clone(spdu.Called), Presentation: bytes.Clone(p.Called)}
	}
	return Event{Kind: kind, ACSE: a, PDU: a.Data}, out, nil
}

// AppendAssociate appends the request of a caller: the initiate PDU, and the password if it is not nil.
func (s *Stack) AppendAssociate(dst []byte, calling, called Selectors, title, password, initiate []byte) ([]byte, error) {
	s.contexts = proposed
	apdu := ACSE{Kind: AssociateRequest, Title: title, Password: password, Data: initiate}.Append(nil, s.contexts.MMS)
	ppdu := Presentation{Calling: calling.Presentation, Called: called.Presentation, Contexts: s.contexts, Data: apdu}.Append(nil)
	spdu, err := SPDU{Kind: SessionConnect, Calling: calling.Session, Called: called.Session, Data: ppdu}.Append(nil)
	if err != nil {
		return dst, err
	}
	return s.appendMessage(dst, spdu), nil
}

// AppendAccept appends the answer that accepts an association, with the initiate PDU.
func (s *Stack) AppendAccept(dst, initiate []byte) ([]byte, error) {
	s.phase = phaseOpen
	return s.appendAnswer(dst, ACSE{Kind: AssociateResponse, Data: initiate})
}

// AppendRefuse appends the answer that refuses an association for good.
func (s *Stack) AppendRefuse(dst []byte, diagnostic uint8) ([]byte, error) {
	s.phase = phaseDone
	return s.appendAnswer(dst, ACSE{Kind: AssociateResponse, Result: 1, Diagnostic: diagnostic})
}

func (s *Stack) appendAnswer(dst []byte, a ACSE) ([]byte, error) {
	ppdu := Presentation{Accept: true, Called: s.called.Presentation, Contexts: s.contexts, Data: a.Append(nil, s.contexts.MMS)}.Append(nil)
	spdu, err := SPDU{Kind: SessionAccept, Called: s.called.Session, Data: ppdu}.Append(nil)
	if err != nil {
		return dst, err
	}
	return s.appendMessage(dst, spdu), nil
}

// AppendRelease appends the request to release the association.
func (s *Stack) AppendRelease(dst []byte) ([]byte, error) {
	return s.appendSession(dst, SessionFinish, appendPDV(nil, s.contexts.ACSE, ACSE{Kind: ReleaseRequest}.Append(nil, 0)))
}

// AppendAbort appends the abort of the association.
func (s *Stack) AppendAbort(dst []byte) ([]byte, error) {
	s.phase = phaseDone
	pdv := appendPDV(nil, s.contexts.ACSE, ACSE{Kind: ACSEAbort}.Append(nil, 0))
	return s.appendSession(dst, SessionAbort, ber.Append(nil, 0xA0, pdv))
}

func (s *Stack) appendSession(dst []byte, kind SPDUKind, data []byte) ([]byte, error) {
	spdu, err := SPDU{Kind: kind, Data: data}.Append(nil)
	if err != nil {
		return dst, err
	}
	return s.appendMessage(dst, spdu), nil
}

func (s *Stack) appendMessage(dst, tsdu []byte) []byte {
	var room [tpktHeader + dataHeader]byte
	dst = append(dst, room[:]...)
	mark := len(dst)
	return appendTSDU(append(dst, tsdu...), mark, s.size)
}

// AppendPDU appends an MMS PDU as the packets that carry it.
func (s *Stack) AppendPDU(dst, pdu []byte) []byte {
	var room [tpktHeader + dataHeader + 4]byte
	room[tpktHeader+dataHeader], room[tpktHeader+dataHeader+2] = 1, 1
	mark := len(dst) + tpktHeader + dataHeader
	dst = appendPDVHeader(append(dst, room[:]...), s.contexts.MMS, len(pdu))
	return appendTSDU(append(dst, pdu...), mark, s.size)
}
