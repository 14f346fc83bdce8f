package dlms

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/cosem/apdu"
)

// Association is the client's side of an application association: what it asks
// for, what was agreed, and the PDUs that open and close it. It does no I/O.
type Association struct {
	cfg         Config
	conformance apdu.Conformance
	maxSend     int // octets of an APDU that the server receives
	invoke      apdu.InvokeID
}

// ErrRefused is wrapped by the errors of associations that the server refused.
var ErrRefused = errors.New("association refused")

// RefusedError says why a server refused an association.
type RefusedError struct {
	Result     apdu.AssociationResult
	Diagnostic apdu.Diagnostic
	Service    error // the confirmed-service-error in it, if there was one
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("dlms: %v: %v", ErrRefused, e.Diagnostic)
	if e.Service != nil {
		s += ": " + e.Service.Error()
	}
	return s
}

// Unwrap returns [ErrRefused] and the service error.
func (e *RefusedError) Unwrap() []error { return []error{ErrRefused, e.Service} }

// NewAssociation prepares an association as the configuration says.
func NewAssociation(cfg *Config) *Association {
	return &Association{cfg: cfg.withDefaults(), maxSend: 0xFFFF}
}

// Conformance returns the services that both sides know.
func (a *Association) Conformance() apdu.Conformance { return a.conformance }

// Request returns the AARQ.
func (a *Association) Request() ([]byte, error) {
	initiate, _ := a.initiate().AppendBinary(nil)
	p := apdu.AARQ{Context: apdu.ContextLN, UserInformation: initiate}
	switch a.cfg.Auth {
	case apdu.MechanismNone:
	case apdu.MechanismLow:
		p.Authentication, p.Mechanism = true, a.cfg.Auth
		p.Value = append([]byte{}, a.cfg.Password...)
	default:
		return nil, fmt.Errorf("dlms: authentication %v: %w", a.cfg.Auth, errors.ErrUnsupported)
	}
	return p.AppendBinary(nil)
}

func (a *Association) initiate() apdu.InitiateRequest {
	return apdu.InitiateRequest{Version: 6, Conformance: a.cfg.Conformance, MaxPDU: a.cfg.MaxPDU}
}

// Accept takes the answer to the AARQ.
func (a *Association) Accept(answer []byte) error {
	p, err := parse(answer)
	if err != nil {
		return err
	}
	aare, ok := p.(apdu.AARE)
	if !ok {
		return unexpected(p, "AARE")
	}
	refused := &RefusedError{Result: aare.Result, Diagnostic: aare.Diagnostic}
	if len(aare.UserInformation) == 0 {
		if aare.Result != apdu.Accepted {
			return refused
		}
		// Some meters leave out what they would merely repeat.
		a.conformance = a.cfg.Conformance
		return nil
	}
	user, err := parse(aare.UserInformation)
	if err != nil {
		return fmt.Errorf("dlms: user-information of the AARE: %w", err)
	}
	switch user := user.(type) {
	case apdu.InitiateResponse:
		a.conformance = user.Conformance & a.cfg.Conformance
		if user.MaxPDU > 0 {
			a.maxSend = int(user.MaxPDU)
		}
	case apdu.ConfirmedServiceError:
		refused.Service = user
		return refused
	default:
		return unexpected(user, "initiate-response")
	}
	if aare.Result != apdu.Accepted {
		return refused
	}
	return nil
}

// Release returns the RLRQ.
func (a *Association) Release() ([]byte, error) {
	reason := uint8(0)
	return apdu.RLRQ{Reason: &reason}.AppendBinary(nil)
}

// next numbers a request.
func (a *Association) next() apdu.InvokeID {
	a.invoke = (a.invoke + 1) & 0x0F
	return a.invoke | apdu.Confirmed | apdu.HighPriority
}

// parse reads an APDU that fills b.
func parse(b []byte) (apdu.PDU, error) {
	p, n, err := apdu.Parse(b)
	if err != nil {
		return nil, err
	}
	if n < len(b) {
		return nil, &apdu.ParseError{Field: p.Name(), Offset: n, Err: fmt.Errorf("%d octets too many", len(b)-n)}
	}
	return p, nil
}

// unexpected makes an error of a PDU that answers something else, or that is an error itself.
func unexpected(p apdu.PDU, want string) error {
	if err, ok := p.(error); ok {
		return err
	}
	return fmt.Errorf("dlms: %s where %s was expected: %w", p.Name(), want, errProtocol)
}

var errProtocol = errors.New("protocol error")

// closed reports whether an error means that the connection is gone.
func closed(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) }
