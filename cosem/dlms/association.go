package dlms

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
)

// Association is the client's side of an application association: what it asks
// for, what was agreed, and the PDUs that open and close it. It does no I/O.
type Association struct {
	cfg         Config
	channel     *channel
	handshake   security.Handshake
	dedicated   []byte // the key that was proposed
	state       state
	required    required
	proofTag    security.Trust // of the message that brought the server's proof
	unverified  bool           // the last message that was taken says less than it should of who sent it
	conformance apdu.Conformance
	maxSend     int // octets of an APDU that the server receives
	invoke      apdu.InvokeID
}

// ErrRefused is wrapped by the errors of associations that the server refused.
var ErrRefused = errors.New("association refused")

// ErrClosed reports a request where no association is open.
var ErrClosed = errors.New("dlms: no association is open")

// RefusedError says why a server refused an association.
type RefusedError struct {
	Result     apdu.AssociationResult
	Diagnostic apdu.Diagnostic
	Service    error // the confirmed-service-error in it, if there was one
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("dlms: %v: %v", ErrRefused, e.Diagnostic)
	if !e.Diagnostic.Provider && e.Diagnostic.Code == apdu.DiagnosticContextNotSupported {
		s += " (it may have short names, or want messages ciphered, or not)"
	}
	if e.Service != nil {
		s += ": " + e.Service.Error()
	}
	return s
}

// Unwrap returns [ErrRefused] and the service error.
func (e *RefusedError) Unwrap() []error { return []error{ErrRefused, e.Service} }

// NewAssociation prepares an association as the configuration says.
func NewAssociation(cfg *Config) (*Association, error) {
	a := &Association{cfg: cfg.withDefaults(), maxSend: 0xFFFF, invoke: 1}
	err := a.cfg.check()
	if err != nil {
		return nil, err
	}
	if a.channel, err = newAssociationChannel(a.cfg.Security); err != nil {
		return nil, err
	}
	a.required = a.channel.required()
	return a, a.channel.able(a.cfg.Auth, false)
}

// take has something happen to the association. What is protected less than
// required is taken, and marked, where the configuration says so.
func (a *Association) take(e event, how protection) error {
	next, err := a.state.take(e, a.required, how)
	a.unverified = how.trust == security.Unverified
	if a.required.control != 0 && how.trust != security.Verified && transitions[a.state][e].demand == agreed {
		// Without a tag that was checked it is as required only where the caller asked for that.
		a.unverified = a.unverified || a.cfg.Security.Protect&(security.Authenticated|security.Encrypted) != security.Encrypted
	}
	if errors.Is(err, ErrUnprotected) && a.cfg.AcceptUnprotected {
		next, err, a.unverified = transitions[a.state][e].next, nil, true
	}
	if err != nil {
		return err
	}
	a.state = next
	return nil
}

// Conformance returns the services that both sides know.
func (a *Association) Conformance() apdu.Conformance { return a.conformance }

// SN reports whether objects are referenced by short names.
func (a *Association) SN() bool { return a.cfg.ShortNames }

// context returns the application context that is asked for.
func (a *Association) context() apdu.Context {
	switch {
	case a.cfg.ShortNames && a.channel.ciphers():
		return apdu.ContextSNCiphered
	case a.cfg.ShortNames:
		return apdu.ContextSN
	case a.channel.ciphers():
		return apdu.ContextLNCiphered
	}
	return apdu.ContextLN
}

// Request returns the AARQ.
func (a *Association) Request() ([]byte, error) {
	p := apdu.AARQ{Context: a.context()}
	_ = a.take(eventAsk, protection{})
	if sec := a.cfg.Security; sec != nil && (a.channel.ciphers() || a.cfg.Auth >= apdu.MechanismGMAC) {
		p.CallingAPTitle = sec.Title[:]
		p.CallingAEQualifier = sec.Certificate
	}
	if a.cfg.UserID != 0 {
		p.CallingAEInvocation = []byte{a.cfg.UserID}
	}
	switch {
	case a.cfg.Auth == apdu.MechanismNone:
	case a.cfg.Auth == apdu.MechanismLow:
		p.Authentication, p.Mechanism = true, a.cfg.Auth
		p.Value = append([]byte{}, a.cfg.Password...)
	case a.cfg.Auth.HLS():
		if err := a.challenge(); err != nil {
			return nil, err
		}
		p.Authentication, p.Mechanism, p.Value = true, a.cfg.Auth, a.handshake.OwnChallenge
	}
	var err error
	if p.UserInformation, err = a.initiate(); err != nil {
		return nil, err
	}
	return p.AppendBinary(nil)
}

// challenge begins a handshake.
func (a *Association) challenge() error {
	a.handshake = security.Handshake{Mechanism: uint8(a.cfg.Auth), Secret: security.Key(a.cfg.Password)}
	if sec := a.cfg.Security; sec != nil {
		h := &a.handshake
		h.Suite, h.Own, h.Signer, h.Sealer = sec.Suite, sec.Title, sec.Signing, a.channel.global
	}
	a.handshake.OwnChallenge = security.NewChallenge(uint8(a.cfg.Auth))
	if !clientChallenges.fresh(a.handshake.OwnChallenge) {
		return fmt.Errorf("dlms: %w: the source of random numbers repeats itself", security.ErrAuthentication)
	}
	return nil
}

// initiate returns the initiate-request, ciphered in a context that ciphers.
func (a *Association) initiate() ([]byte, error) {
	p := apdu.InitiateRequest{Version: 6, Conformance: a.cfg.Conformance, MaxPDU: a.cfg.MaxPDU}
	if !a.channel.ciphers() {
		return p.AppendBinary(nil)
	}
	if sec := a.cfg.Security; sec.Dedicated || len(sec.DedicatedKey) > 0 {
		p.DedicatedKey = sec.DedicatedKey
		if len(p.DedicatedKey) == 0 {
			p.DedicatedKey = make([]byte, sec.Suite.KeyLen())
			if _, err := rand.Read(p.DedicatedKey); err != nil {
				return nil, err
			}
		}
	}
	a.dedicated = p.DedicatedKey
	plain, err := p.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	how := protection{control: a.channel.control(), style: StyleService}
	if len(a.dedicated) > 0 {
		how.control |= security.Encrypted
	}
	out, err := a.channel.protect(plain, how)
	return append([]byte(nil), out...), err
}

// Accept takes the answer to the AARQ. Where a handshake must follow, more is true.
func (a *Association) Accept(answer []byte) (more bool, err error) {
	p, err := parse(answer)
	if err != nil {
		return false, err
	}
	aare, ok := p.(apdu.AARE)
	if !ok {
		return false, unexpected(p, "AARE")
	}
	refused := &RefusedError{Result: aare.Result, Diagnostic: aare.Diagnostic}
	if aare.Result == apdu.Accepted {
		if aare.Context != a.context() {
			return false, fmt.Errorf("dlms: AARE of application context %d, asked for %d: %w", aare.Context, a.context(), ErrProtocol)
		}
		if err := a.channel.identify(aare.RespondingAPTitle, aare.RespondingAEQual); err != nil {
			return false, err
		}
	}
	how, err := a.negotiated(aare, refused)
	if err != nil {
		return false, err
	}
	e := eventAccepted
	if a.cfg.Auth.HLS() {
		e = eventChallenged
		if err := a.challenged(aare); err != nil {
			return false, err
		}
	}
	if err := a.take(e, how); err != nil {
		return false, fmt.Errorf("dlms: AARE: %w", err)
	}
	if len(a.dedicated) > 0 {
		if err := a.channel.setDedicated(a.dedicated); err != nil {
			return false, err
		}
	}
	return e == eventChallenged, nil
}

// challenged takes the server's challenge.
func (a *Association) challenged(aare apdu.AARE) error {
	if aare.Authentication && aare.Mechanism != a.cfg.Auth {
		return fmt.Errorf("dlms: AARE of %v, asked for %v: %w", aare.Mechanism, a.cfg.Auth, ErrProtocol)
	}
	if err := a.channel.able(a.cfg.Auth, true); err != nil {
		return err
	}
	a.handshake.Peer, a.handshake.PeerPublic = a.channel.peer, a.channel.peerSigning
	if err := a.handshake.Challenged(aare.Value); err != nil {
		return fmt.Errorf("dlms: AARE: %w", err)
	}
	if !clientChallenges.fresh(aare.Value) {
		return fmt.Errorf("dlms: AARE: %w: the challenge was used before", security.ErrAuthentication)
	}
	return nil
}

// negotiated reads the user-information of an AARE, and returns how it is protected.
func (a *Association) negotiated(aare apdu.AARE, refused *RefusedError) (how protection, err error) {
	if len(aare.UserInformation) == 0 {
		if aare.Result != apdu.Accepted {
			return how, refused
		}
		// Some meters leave out what they would merely repeat.
		a.conformance = a.cfg.Conformance
		return how, nil
	}
	plain, how, err := a.channel.unprotect(aare.UserInformation)
	if err != nil && aare.Result != apdu.Accepted {
		return how, refused // what refuses us may not know our key
	}
	var user apdu.PDU
	if err == nil {
		user, err = parse(plain)
	}
	if err != nil {
		return how, fmt.Errorf("dlms: user-information of the AARE: %w", err)
	}
	switch user := user.(type) {
	case apdu.InitiateResponse:
		if aare.Result != apdu.Accepted {
			return how, refused
		}
		a.conformance = user.Conformance & a.cfg.Conformance
		if user.MaxPDU > 0 {
			a.maxSend = int(user.MaxPDU)
		}
	case apdu.ConfirmedServiceError:
		refused.Service = user
		return how, refused
	default:
		return how, unexpected(user, "initiate-response")
	}
	return how, nil
}

// Prove returns f(challenge) of the server's challenge, for reply_to_HLS_authentication.
func (a *Association) Prove() ([]byte, error) {
	if a.cfg.Auth == apdu.MechanismGMAC {
		var err error
		if a.handshake.OwnCounter, err = a.channel.next(); err != nil {
			return nil, err
		}
	}
	return a.handshake.Answer()
}

// Check takes f(challenge) of our own challenge.
func (a *Association) Check(answer []byte) error {
	if err := a.handshake.Check(answer); err != nil {
		return fmt.Errorf("dlms: the server does not know the secret: %w", err)
	}
	if err := a.channel.proved(&a.handshake, a.proofTag); err != nil {
		return err
	}
	a.state = stateOpen
	return nil
}

// Release returns the RLRQ, with a protected initiate-request in a context that ciphers.
func (a *Association) Release() ([]byte, error) {
	if err := a.take(eventLeave, protection{}); err != nil {
		return nil, err
	}
	reason := uint8(0)
	p := apdu.RLRQ{Reason: &reason}
	if a.channel.ciphers() {
		plain, err := apdu.InitiateRequest{Version: 6, Conformance: a.cfg.Conformance, MaxPDU: a.cfg.MaxPDU}.AppendBinary(nil)
		if err != nil {
			return nil, err
		}
		if p.UserInformation, err = a.channel.protect(plain, protection{control: a.channel.control(), style: StyleService}); err != nil {
			return nil, err
		}
	}
	return p.AppendBinary(nil)
}

// Protect returns the APDU that carries a request; it is valid until the next call.
func (a *Association) Protect(plain []byte) ([]byte, error) {
	if transitions[a.state][eventSend].demand == refused {
		return nil, ErrClosed
	}
	if !a.channel.ciphers() && !(a.cfg.Security != nil && a.cfg.Security.Sign) {
		return plain, nil
	}
	how := a.channel.standard(a.conformance&apdu.GeneralProtection != 0)
	if a.state == statePending {
		how.dedicated = false // the proof comes under the global key
	}
	return a.channel.protect(plain, how)
}

// Unprotect returns the APDU that an answer, or a push, carries, and how far it
// can be trusted; it is valid until the next call. What is protected less than
// the request was makes [ErrUnprotected], but for an exception-response or a
// confirmed-service-error, which only say that something failed.
func (a *Association) Unprotect(b []byte) ([]byte, security.Trust, error) {
	plain, how, err := a.channel.unprotect(b)
	if err != nil {
		return nil, how.trust, err
	}
	if len(plain) == 0 {
		return nil, how.trust, fmt.Errorf("dlms: empty APDU: %w", ErrProtocol)
	}
	e := a.state.answerEvent(plain[0])
	if e == eventProved { // whose contents are still to be checked
		a.proofTag = how.tag
		_, err = a.state.take(e, a.required, how)
		if errors.Is(err, ErrUnprotected) && a.cfg.AcceptUnprotected {
			err = nil
		}
	} else {
		err = a.take(e, how)
	}
	if err != nil {
		return nil, how.trust, fmt.Errorf("dlms: 0x%02x, which is %v: %w", b[0], how, err)
	}
	return plain, how.trust, nil
}

// overhead returns how many octets protection adds to an APDU at most.
func (a *Association) overhead() int {
	if !a.channel.ciphers() {
		return 0
	}
	n := 1 + 1 + security.TitleLen + 4 + 5 + 12
	if a.cfg.Security.Sign || a.cfg.Security.Style == StyleCiphering {
		n += 400
	}
	return n
}

// next numbers a request. The number changes only when an answer is overdue,
// so that it is told from the next one; some meters always answer with the same.
func (a *Association) next() apdu.InvokeID {
	return a.invoke&0x0F | apdu.Confirmed | apdu.HighPriority
}

// overdue makes the answer that did not come a late one.
func (a *Association) overdue() { a.invoke++ }

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
	return fmt.Errorf("dlms: %s where %s was expected: %w", p.Name(), want, ErrProtocol)
}

// ErrProtocol reports what the standard has no room for.
var ErrProtocol = errors.New("protocol error")

// closed reports whether an error means that the connection is gone.
func closed(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) }
