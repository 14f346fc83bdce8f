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
func NewAssociation(cfg *Config) (*Association, error) {
	a := &Association{cfg: cfg.withDefaults(), maxSend: 0xFFFF, invoke: 1}
	var err error
	a.channel, err = newChannel(a.cfg.Security)
	return a, err
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
		h.Suite, h.Own, h.Signer, h.PeerPublic, h.Sealer = sec.Suite, sec.Title, sec.Signing, sec.PeerSigning, a.channel.global
	} else if a.cfg.Auth >= apdu.MechanismGMAC {
		return fmt.Errorf("dlms: %v: %w: system title", a.cfg.Auth, security.ErrNoKey)
	}
	var err error
	a.handshake.OwnChallenge, err = security.NewChallenge(uint8(a.cfg.Auth))
	return err
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
	if len(aare.RespondingAPTitle) == security.TitleLen {
		a.channel.peer = security.Title(aare.RespondingAPTitle)
	}
	refused := &RefusedError{Result: aare.Result, Diagnostic: aare.Diagnostic}
	if err := a.negotiated(aare, refused); err != nil {
		return false, err
	}
	if len(a.dedicated) > 0 {
		if err := a.channel.setDedicated(a.dedicated); err != nil {
			return false, err
		}
	}
	if !a.cfg.Auth.HLS() {
		return false, nil
	}
	a.handshake.Peer, a.handshake.PeerChallenge = a.channel.peer, append([]byte(nil), aare.Value...)
	if len(aare.RespondingAEQual) > 0 && len(a.handshake.PeerPublic) == 0 {
		if a.handshake.PeerPublic, err = security.PublicKeyOf(aare.RespondingAEQual); err != nil {
			return false, err
		}
	}
	if len(aare.Value) == 0 {
		return false, fmt.Errorf("dlms: AARE without challenge: %w", errProtocol)
	}
	return true, nil
}

// catchUp goes on with the counter that the server expects, where the
// configuration keeps none: then it began at 1 and the server has seen more. It
// never goes back.
func (a *Association) catchUp(expected uint32) bool {
	m, ok := a.channel.counters.(*security.MemoryCounters)
	id := security.CounterID{Title: a.channel.own}
	if !ok || a.cfg.Security == nil || a.cfg.Security.Counters != nil || expected <= m.Expected(id) {
		return false
	}
	return m.Reset(id, expected) == nil
}

// negotiated reads the user-information of an AARE.
func (a *Association) negotiated(aare apdu.AARE, refused *RefusedError) error {
	if len(aare.UserInformation) == 0 {
		if aare.Result != apdu.Accepted {
			return refused
		}
		// Some meters leave out what they would merely repeat.
		a.conformance = a.cfg.Conformance
		return nil
	}
	plain, _, err := a.channel.unprotect(aare.UserInformation)
	if err != nil && aare.Result != apdu.Accepted {
		return refused // what refuses us may not know our key
	}
	var user apdu.PDU
	if err == nil {
		user, err = parse(plain)
	}
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

// Prove returns f(challenge) of the server's challenge, for reply_to_HLS_authentication.
func (a *Association) Prove() ([]byte, error) {
	if a.cfg.Auth == apdu.MechanismGMAC {
		var err error
		if a.handshake.OwnCounter, err = a.channel.counters.Next(security.CounterID{Title: a.channel.own}); err != nil {
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
	if a.handshake.CheckedCounter && !a.channel.ciphers() {
		return a.channel.counters.Accept(security.CounterID{Title: a.channel.peer, Receive: true}, a.handshake.LastCounter)
	}
	return nil
}

// Release returns the RLRQ, with a protected initiate-request in a context that ciphers.
func (a *Association) Release() ([]byte, error) {
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
	if !a.channel.ciphers() && !(a.cfg.Security != nil && a.cfg.Security.Sign) {
		return plain, nil
	}
	return a.channel.protect(plain, a.channel.standard(a.conformance&apdu.GeneralProtection != 0))
}

// Unprotect returns the APDU that an answer carries, and how far it can be
// trusted; it is valid until the next call.
func (a *Association) Unprotect(b []byte) ([]byte, security.Trust, error) {
	plain, p, err := a.channel.unprotect(b)
	return plain, p.trust, err
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
	return fmt.Errorf("dlms: %s where %s was expected: %w", p.Name(), want, errProtocol)
}

var errProtocol = errors.New("protocol error")

// closed reports whether an error means that the connection is gone.
func closed(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) }
