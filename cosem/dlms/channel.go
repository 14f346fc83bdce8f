package dlms

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
)

// Security is how one party protects its messages, and what it knows to check
// those of the other. Keys never show in text.
type Security struct {
	Suite security.Suite
	Title security.Title // our own system title
	Peer  security.Title // the peer's; zero means what it says of itself when the association opens

	Unicast        security.Key // global unicast encryption key
	Broadcast      security.Key // global broadcast encryption key, for what the peer sends to all
	Authentication security.Key // nil: nothing is authenticated, and what comes is marked unverified
	Master         security.Key // wraps keys that are transferred
	// Sealer replaces Unicast and Authentication, for keys that do not leave
	// their hardware.
	Sealer security.Sealer

	// Protect says how our messages are protected; zero means authenticated and
	// encrypted, or encrypted only where there is no authentication key.
	Protect security.Control
	Style   Style
	// Dedicated makes the client propose a random key for the association.
	Dedicated bool
	// DedicatedKey is proposed in its place, where one is given. Messages under
	// either count on with the global key's counter.
	DedicatedKey security.Key
	// PlainContext has the keys serve the handshake (HLS-GMAC) alone: nothing is
	// ciphered, and nothing that follows the handshake is protected.
	PlainContext bool
	// Counters keep the invocation counters. Where there are keys to seal with
	// there is no default, as a counter that is used twice gives the key away:
	// [FileCounters] survive a restart, [security.MemoryCounters] do not, and are
	// for keys that are new each time.
	Counters security.Counters

	Signing       security.Signer // of HLS 7 and general-signing
	Agreement     security.Agreer // of general-ciphering
	PeerAgreement []byte          // the peer's public key for agreement, x and y
	Certificate   []byte          // sent as AE-qualifier when the association opens; nil for none

	// Whose signatures are believed: the first of these that is given says so.
	// Without any of them there is no HLS 7.
	PeerSigning     []byte   // the peer's public key, x and y
	PeerCertificate []byte   // the peer's certificate, in DER
	Authorities     [][]byte // in DER: who issued the certificate that the peer sends, and for its system title
	// Sign puts a general-signing APDU around every message, and requires one
	// around what comes. It needs keys to cipher with, too, as only ciphered
	// messages have a counter.
	Sign bool
	// KeyInfo is the key of the style StyleCiphering; nil means the global unicast key.
	KeyInfo *apdu.KeyInfo
	// BareData leaves the header of general-ciphering out of the associated
	// data, as Gurux does.
	BareData bool
}

// Style is which APDUs carry ciphered messages.
type Style uint8

// The styles. A server answers in the style of the request.
const (
	StyleAuto      Style = iota // general where the association knows general-protection, else by service
	StyleService                // glo-get-request and the like
	StyleGeneral                // general-glo-ciphering and general-ded-ciphering
	StyleCiphering              // general-ciphering
)

// protection is how one message was protected.
type protection struct {
	control   security.Control
	style     Style
	dedicated bool
	signed    bool
	trust     security.Trust // the best of tag and signature
	tag       security.Trust
	signature security.Trust
	key       *apdu.KeyInfo
}

// Errors of protected messages that callers branch on.
var (
	// ErrWrongKey reports a message that deciphers to nonsense, or that the peer
	// could not decipher.
	ErrWrongKey = errors.New("dlms: wrong key")
	// ErrNoCounters reports keys to seal with, and nowhere to keep their counters.
	ErrNoCounters = errors.New("dlms: keys need a store for their invocation counters")
	// ErrStranger reports a message of, or for, another system title than that of the association.
	ErrStranger = errors.New("dlms: message belongs to another pair of system titles")
)

var errLayers = fmt.Errorf("dlms: layers of protection other than a signature around a cipher: %w", ErrProtocol)

// String says what a message had.
func (p protection) String() string {
	s := "plain"
	if p.control&(security.Authenticated|security.Encrypted) != 0 {
		s = p.control.String()
	}
	if p.signed {
		s += ", signed"
	}
	return s
}

// channel protects the messages of one association. It does no I/O.
type channel struct {
	sec       *Security // nil for none
	own, peer security.Title
	global    security.Sealer
	broadcast security.Sealer
	dedicated security.Sealer
	counters  security.Counters // nil for none
	// seen are the counters that are expected next and end with the association;
	// nil outside of associations.
	seen        map[seen]uint64
	peerSigning []byte // the peer's public key for signatures; nil where it is not known
	out         []byte
	in, spare   []byte // what was deciphered last, and what is deciphered next
}

func newChannel(sec *Security) (*channel, error) {
	c := &channel{sec: sec}
	if sec == nil {
		return c, nil
	}
	c.own, c.peer, c.counters, c.global, c.peerSigning = sec.Title, sec.Peer, sec.Counters, sec.Sealer, sec.PeerSigning
	var err error
	if c.global == nil && len(sec.Unicast) > 0 {
		if c.global, err = newCipher(sec.Suite, sec.Unicast, sec.Authentication); err != nil {
			return nil, err
		}
	}
	if len(sec.Broadcast) > 0 {
		if c.broadcast, err = newCipher(sec.Suite, sec.Broadcast, sec.Authentication); err != nil {
			return nil, err
		}
	}
	if len(c.peerSigning) == 0 && len(sec.PeerCertificate) > 0 {
		if c.peerSigning, err = security.CertifiedKey(sec.PeerCertificate, nil, sec.Peer); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// newAssociationChannel returns the channel of an association, which has one
// peer and can answer.
func newAssociationChannel(sec *Security) (*channel, error) {
	c, err := newChannel(sec)
	if err != nil {
		return nil, err
	}
	if c.global != nil && c.counters == nil {
		return nil, ErrNoCounters
	}
	c.seen = map[seen]uint64{}
	return c, nil
}

// identify takes the peer's title and certificate from the PDU that opens an
// association. Neither is believed: the title must be that which is expected, if
// any, and a certificate must come from an authority.
func (c *channel) identify(title, certificate []byte) error {
	if c.sec == nil {
		return nil
	}
	if len(title) == security.TitleLen {
		if t := security.Title(title); c.sec.Peer != (security.Title{}) && t != c.sec.Peer {
			return fmt.Errorf("%w: it is %v, want %v", ErrStranger, t, c.sec.Peer)
		}
		c.peer = security.Title(title)
	}
	if c.peer == c.own && c.global != nil { // one key, and the same nonces in both directions
		return fmt.Errorf("%w: the peer has our own, %v", ErrStranger, c.own)
	}
	authorities := c.sec.Authorities
	if len(c.sec.PeerSigning) > 0 {
		return nil
	}
	c.peerSigning = nil // what it was in an earlier association
	switch {
	case len(c.sec.PeerCertificate) > 0:
		certificate, authorities = c.sec.PeerCertificate, nil
	case len(certificate) == 0 || len(authorities) == 0:
		return nil
	}
	var err error
	c.peerSigning, err = security.CertifiedKey(certificate, authorities, c.peer)
	return err
}

// able checks that there is what a mechanism needs. Whose signatures are
// believed may have to wait until the peer says who it is.
func (c *channel) able(auth apdu.Mechanism, identified bool) error {
	switch {
	case auth == apdu.MechanismGMAC && (c.sec == nil || c.global == nil):
		return fmt.Errorf("dlms: %v: %w: global unicast key", auth, security.ErrNoKey)
	case auth >= apdu.MechanismGMAC && c.sec == nil:
		return fmt.Errorf("dlms: %v: %w: system title", auth, security.ErrNoKey)
	case auth == apdu.MechanismECDSA && c.sec.Signing == nil:
		return fmt.Errorf("dlms: %v: %w: signing key", auth, security.ErrNoKey)
	case c.sec != nil && c.sec.Sign && !c.ciphers(): // signatures have no counter: each could be replayed
		return fmt.Errorf("dlms: general-signing: %w: to cipher what is signed", security.ErrNoKey)
	case (auth == apdu.MechanismECDSA || c.sec != nil && c.sec.Sign) && len(c.peerSigning) == 0 && (identified || len(c.sec.Authorities) == 0):
		return fmt.Errorf("dlms: signatures: %w", security.ErrNoIdentity)
	}
	return nil
}

// required is the protection that keys imply: what they can check.
func (c *channel) required() required {
	if !c.ciphers() {
		return required{}
	}
	return required{control: c.control() & (security.Authenticated | security.Encrypted), signed: c.sec.Sign}
}

func newCipher(s security.Suite, key, auth security.Key) (security.Sealer, error) {
	if len(key) != s.KeyLen() || len(auth) != 0 && len(auth) != s.KeyLen() {
		return nil, fmt.Errorf("dlms: %w: suite %d wants %d octets", security.ErrKeyLength, s, s.KeyLen())
	}
	return security.NewCipher(key, auth)
}

// ciphers reports whether messages are ciphered at all.
func (c *channel) ciphers() bool { return c.sec.ciphers() }

func (s *Security) ciphers() bool {
	return s != nil && (len(s.Unicast) > 0 || s.Sealer != nil) && !s.PlainContext
}

// setDedicated puts the dedicated key to use.
func (c *channel) setDedicated(key []byte) (err error) {
	c.dedicated, err = newCipher(c.sec.Suite, key, c.sec.Authentication)
	return err
}

// control returns how our own messages are protected.
func (c *channel) control() security.Control {
	control := c.sec.Protect & (security.Authenticated | security.Encrypted)
	if control == 0 {
		control = security.Encrypted
		if len(c.sec.Authentication) > 0 || c.sec.Sealer != nil {
			control |= security.Authenticated
		}
	}
	return control | security.Control(c.sec.Suite)
}

// standard returns how our own requests are protected, once the association is open.
func (c *channel) standard(general bool) protection {
	p := protection{control: c.control(), style: c.sec.Style, dedicated: c.dedicated != nil, signed: c.sec.Sign, key: c.sec.KeyInfo}
	if p.style == StyleAuto {
		p.style = StyleService
		if general {
			p.style = StyleGeneral
		}
	}
	return p
}

// next returns an invocation counter for a message that we send. Global and
// dedicated keys have one counter, as peers want it, so that no key starts again.
func (c *channel) next() (uint32, error) {
	if c.counters == nil {
		return 0, ErrNoCounters
	}
	return c.counters.Next(security.CounterID{Title: c.own})
}

// protect returns the APDU that carries plain; it is valid until the next call.
func (c *channel) protect(plain []byte, p protection) ([]byte, error) {
	out, err := c.seal(plain, p)
	if err != nil || !p.signed {
		return out, err
	}
	signed, err := c.endToEnd().Sign(c.header(), out)
	if err != nil {
		return nil, err
	}
	return signed.AppendBinary(nil)
}

func (c *channel) seal(plain []byte, p protection) ([]byte, error) {
	if p.control&(security.Authenticated|security.Encrypted) == 0 || len(plain) == 0 {
		return plain, nil
	}
	style := p.style
	tag, ok := apdu.CipheredTag(plain[0], p.dedicated)
	if style == StyleService && !ok {
		if plain[0] == apdu.TagExceptionResponse {
			return plain, nil
		}
		style = StyleGeneral
	}
	sealer := c.global
	if p.dedicated {
		sealer = c.dedicated
	}
	if sealer == nil && style != StyleCiphering {
		return nil, fmt.Errorf("dlms: %w: encryption key", security.ErrNoKey)
	}
	counter, err := c.next()
	if err != nil {
		return nil, err
	}
	if style == StyleCiphering {
		return c.sealEndToEnd(plain, p, counter)
	}
	// The contents are written behind room for the largest header, and the header before them.
	const room = 1 + 1 + security.TitleLen + 5
	c.out = append(c.out[:0], make([]byte, room)...)
	if c.out, err = security.AppendSealed(c.out, sealer, p.control, c.own, counter, nil, plain); err != nil {
		return nil, err
	}
	var head [room]byte
	h := head[:0]
	switch {
	case style == StyleService:
		h = append(h, tag)
	case p.dedicated:
		h = append(append(h, apdu.TagGeneralDedCiphering, security.TitleLen), c.own[:]...)
	default:
		h = append(append(h, apdu.TagGeneralGloCiphering, security.TitleLen), c.own[:]...)
	}
	h = cosem.AppendLength(h, len(c.out)-room)
	start := room - len(h)
	copy(c.out[start:], h)
	return c.out[start:], nil
}

func (c *channel) sealEndToEnd(plain []byte, p protection, counter uint32) ([]byte, error) {
	key := p.key
	if key == nil {
		key = &apdu.KeyInfo{Kind: apdu.KeyIdentified}
	}
	g, err := c.endToEnd().Seal(apdu.GeneralCiphering{Header: c.header(), Key: key}, p.control, counter, plain)
	if err != nil {
		return nil, err
	}
	return g.AppendBinary(nil)
}

// header returns the header of an end-to-end protected message.
func (c *channel) header() apdu.Header {
	transaction := make([]byte, 8)
	_, _ = rand.Read(transaction) // which never fails
	return apdu.Header{Transaction: transaction, Originator: c.own[:], Recipient: c.peer[:]}
}

func (c *channel) endToEnd() *security.EndToEnd {
	s := c.sec
	return &security.EndToEnd{
		Suite: s.Suite, Authentication: s.Authentication, Unicast: s.Unicast, Broadcast: s.Broadcast, Master: s.Master,
		Agreement: s.Agreement, PeerAgreement: s.PeerAgreement, Signing: s.Signing, PeerSigning: c.peerSigning, BareData: s.BareData,
	}
}

// unprotect returns the APDU that b carries, b itself where it is plain, and
// how it was protected. The result is valid until the next call.
func (c *channel) unprotect(b []byte) ([]byte, protection, error) {
	var p protection
	for range 3 { // signed, ciphered, plain
		if len(b) == 0 || !isProtected(b[0]) {
			return b, p, nil
		}
		if c.sec == nil {
			return nil, p, fmt.Errorf("dlms: ciphered APDU 0x%02x: %w", b[0], security.ErrNoKey)
		}
		var err error
		if b, err = c.open(b, &p); err != nil {
			return nil, p, err
		}
	}
	return nil, p, errLayers
}

func isProtected(tag byte) bool {
	_, service := apdu.PlainTag(tag)
	return service || tag == apdu.TagGeneralGloCiphering || tag == apdu.TagGeneralDedCiphering || tag == apdu.TagGeneralCiphering || tag == apdu.TagGeneralSigning
}

// open removes one layer of protection. Its result is valid until the call after the next.
func (c *channel) open(b []byte, p *protection) ([]byte, error) {
	parsed, err := parse(b)
	if err != nil {
		return nil, err
	}
	switch g := parsed.(type) {
	case apdu.Ciphered:
		p.style, p.dedicated = StyleService, g.Dedicated()
		return c.openContents(c.peer, g.Contents, p)
	case apdu.GeneralCiphered:
		p.style, p.dedicated = StyleGeneral, g.Dedicated
		sender := c.peer
		if len(g.SystemTitle) == security.TitleLen {
			sender = security.Title(g.SystemTitle)
		}
		if err := c.between(sender[:], nil); err != nil {
			return nil, err
		}
		return c.openContents(sender, g.Contents, p)
	case apdu.GeneralSigning:
		if err := c.between(g.Originator, g.Recipient); err != nil {
			return nil, err
		}
		if len(g.Contents) > 0 && g.Contents[0] == apdu.TagGeneralSigning {
			return nil, errLayers
		}
		if p.signature, err = c.endToEnd().Verify(g); err != nil {
			return nil, err
		}
		p.signed, p.trust = true, p.signature
		return g.Contents, nil
	case apdu.GeneralCiphering:
		if err := c.between(g.Originator, g.Recipient); err != nil {
			return nil, err
		}
		contents, err := security.ParseContents(g.Contents)
		if err != nil {
			return nil, err
		}
		plain, trust, err := c.endToEnd().Open(g)
		if err != nil {
			return nil, err
		}
		p.style, p.control, p.key = StyleCiphering, contents.Control, g.Key
		if k := g.Key; k != nil && k.Kind == apdu.KeyIdentified && k.ID == 1 {
			p.control |= security.Broadcast
		}
		id := security.CounterID{Receive: true}
		copy(id.Title[:], g.Originator)
		return plain, c.accept(id, contents.Counter, plain, trust, p)
	}
	return nil, unexpected(parsed, "ciphered APDU")
}

// between checks the titles of a message of an association; what a message does
// not say is not checked. Outside of associations everybody may speak.
func (c *channel) between(originator, recipient []byte) error {
	if c.seen == nil {
		return nil
	}
	if len(originator) > 0 && !bytes.Equal(originator, c.peer[:]) && c.peer != (security.Title{}) {
		return fmt.Errorf("%w: sent by %X, want %v", ErrStranger, originator, c.peer)
	}
	if len(recipient) > 0 && !bytes.Equal(recipient, c.own[:]) {
		return fmt.Errorf("%w: sent to %X, want %v", ErrStranger, recipient, c.own)
	}
	return nil
}

func (c *channel) openContents(sender security.Title, b []byte, p *protection) ([]byte, error) {
	contents, err := security.ParseContents(b)
	if err != nil {
		return nil, err
	}
	if s := contents.Control.Suite(); s != c.sec.Suite {
		return nil, fmt.Errorf("dlms: %w: message of suite %d, ours is %d", security.ErrSuite, s, c.sec.Suite)
	}
	p.control = contents.Control
	id := security.CounterID{Title: sender, Receive: true}
	sealer := c.global
	switch {
	case p.dedicated:
		sealer, id.Key = c.dedicated, security.KeyDedicated
	case contents.Control&security.Broadcast != 0:
		sealer, id.Key = c.broadcast, security.KeyBroadcast
	}
	if sealer == nil {
		return nil, fmt.Errorf("dlms: %w: %v", security.ErrNoKey, contents.Control)
	}
	// What is opened may be what was opened before: each layer has its own memory.
	plain, trust, err := sealer.Open(c.spare[:0], contents.Control, security.IV(sender, contents.Counter), nil, contents.Text)
	if err != nil {
		return nil, err
	}
	c.in, c.spare = plain, c.in
	if trust == security.Verified && c.seen != nil && c.peer == (security.Title{}) {
		c.peer = sender // which no AARE told
	}
	return plain, c.accept(id, contents.Counter, plain, trust, p)
}

// accept checks that what was deciphered makes sense, and that it is no replay.
//
// Only what was verified moves the counters of the store. What was not, in
// associations that only encrypt, must be newer than all that was verified ever
// and than all that came in this association, and moves the latter: so nobody
// without a key can lock a peer out, and a replay within an association is
// refused. A replay from an earlier association is not: that is what handshakes
// and tags are for.
func (c *channel) accept(id security.CounterID, counter uint32, plain []byte, trust security.Trust, p *protection) error {
	p.tag, p.trust = trust, max(p.trust, trust)
	if trust != security.Verified {
		switch parsed, err := parse(plain); parsed.(type) {
		case nil:
			return fmt.Errorf("dlms: message deciphers to no APDU: %w (%w)", ErrWrongKey, err)
		case apdu.Unknown:
			return fmt.Errorf("dlms: message deciphers to no APDU: %w", ErrWrongKey)
		}
	}
	if len(plain) > 0 && isProtected(plain[0]) {
		return errLayers
	}
	verified := trust == security.Verified
	if id.Key == security.KeyDedicated && len(c.sec.DedicatedKey) == 0 {
		return c.unused(id, counter, verified) // the key ends with the association
	}
	if verified {
		if c.counters == nil {
			return nil
		}
		return c.counters.Accept(id, counter)
	}
	if e, ok := c.counters.(expecter); ok && counter < e.Expected(id) {
		return security.ErrReplay
	}
	return c.unused(id, counter, false)
}

// proved takes the counter of a proof by HLS-GMAC. It lies below that of the
// message that carries it, and says nothing new where that was verified.
func (c *channel) proved(h *security.Handshake, tag security.Trust) error {
	if !h.CheckedCounter || tag == security.Verified || c.counters == nil {
		return nil
	}
	return c.counters.Accept(security.CounterID{Title: c.peer, Receive: true}, h.LastCounter)
}

// seen names a counter that ends with the association.
type seen struct {
	security.CounterID
	verified bool
}

// unused is accept for those.
func (c *channel) unused(id security.CounterID, counter uint32, verified bool) error {
	if c.seen == nil {
		return nil
	}
	next := c.seen[seen{id, true}]
	if !verified {
		next = max(next, c.seen[seen{id, false}])
	}
	if uint64(counter) < next {
		return security.ErrReplay
	}
	c.seen[seen{id, verified}] = uint64(counter) + 1
	return nil
}

// expecter is what counters may tell besides: the lowest counter that would be accepted.
type expecter interface {
	Expected(security.CounterID) uint32
}
