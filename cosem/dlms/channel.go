package dlms

import (
	"crypto/rand"
	"encoding/binary"
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
	// DedicatedKey is proposed in its place, where one is given.
	DedicatedKey security.Key
	// Counters keep the invocation counters; nil means that they start at 1 and
	// are forgotten. A client without them goes on with what the meter says that
	// it expects, which not all meters say: give it a store for real ones.
	Counters security.Counters

	Signing       security.Signer // of HLS 7 and general-signing
	PeerSigning   []byte          // the peer's public key for signatures, x and y
	Agreement     security.Agreer // of general-ciphering
	PeerAgreement []byte          // the peer's public key for agreement, x and y
	Certificate   []byte          // sent as AE-qualifier when the association opens; nil for none
	// Sign puts a general-signing APDU around every message.
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
	trust     security.Trust
	key       *apdu.KeyInfo
}

// ErrWrongKey reports a message that deciphers to nonsense.
var ErrWrongKey = errors.New("dlms: message deciphers to no APDU: wrong key")

// channel protects the messages of one association. It does no I/O.
type channel struct {
	sec       *Security // nil for none
	own, peer security.Title
	global    security.Sealer
	broadcast security.Sealer
	dedicated security.Sealer
	counters  security.Counters
	count     uint64 // transactions
	out       []byte
	in        []byte
}

func newChannel(sec *Security) (*channel, error) {
	c := &channel{sec: sec}
	if sec == nil {
		return c, nil
	}
	c.own, c.peer, c.counters, c.global = sec.Title, sec.Peer, sec.Counters, sec.Sealer
	if c.counters == nil {
		c.counters = &security.MemoryCounters{}
	}
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
	return c, nil
}

func newCipher(s security.Suite, key, auth security.Key) (security.Sealer, error) {
	if len(key) != s.KeyLen() || len(auth) != 0 && len(auth) != s.KeyLen() {
		return nil, fmt.Errorf("dlms: %w: suite %d wants %d octets", security.ErrKeyLength, s, s.KeyLen())
	}
	return security.NewCipher(key, auth)
}

// ciphers reports whether messages can be ciphered at all.
func (c *channel) ciphers() bool { return c.sec != nil && c.global != nil }

// setDedicated puts the dedicated key to use.
func (c *channel) setDedicated(key []byte) (err error) {
	c.dedicated, err = newCipher(c.sec.Suite, key, c.sec.Authentication)
	if err != nil {
		return err
	}
	for _, id := range []security.CounterID{{Title: c.own, Key: security.KeyDedicated}, {Title: c.peer, Key: security.KeyDedicated, Receive: true}} {
		start := uint32(1)
		if id.Receive {
			start = 0
		}
		if err := c.counters.Reset(id, start); err != nil {
			return err
		}
	}
	return nil
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

// next returns an invocation counter for a message that we send.
func (c *channel) next(p protection) (uint32, error) {
	id := security.CounterID{Title: c.own}
	if p.dedicated {
		id.Key = security.KeyDedicated
	}
	return c.counters.Next(id)
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
	counter, err := c.next(p)
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
	c.count++
	transaction := make([]byte, 8)
	if _, err := rand.Read(transaction); err != nil {
		binary.BigEndian.PutUint64(transaction, c.count)
	}
	return apdu.Header{Transaction: transaction, Originator: c.own[:], Recipient: c.peer[:]}
}

func (c *channel) endToEnd() *security.EndToEnd {
	s := c.sec
	return &security.EndToEnd{
		Suite: s.Suite, Authentication: s.Authentication, Unicast: s.Unicast, Broadcast: s.Broadcast, Master: s.Master,
		Agreement: s.Agreement, PeerAgreement: s.PeerAgreement, Signing: s.Signing, PeerSigning: s.PeerSigning, BareData: s.BareData,
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
	return nil, p, fmt.Errorf("dlms: too many layers of protection: %w", errProtocol)
}

func isProtected(tag byte) bool {
	_, service := apdu.PlainTag(tag)
	return service || tag == apdu.TagGeneralGloCiphering || tag == apdu.TagGeneralDedCiphering || tag == apdu.TagGeneralCiphering || tag == apdu.TagGeneralSigning
}

// open removes one layer of protection.
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
		return c.openContents(sender, g.Contents, p)
	case apdu.GeneralSigning:
		p.signed = true
		trust, err := c.endToEnd().Verify(g)
		if err != nil {
			return nil, err
		}
		p.trust = trust
		return g.Contents, nil
	case apdu.GeneralCiphering:
		contents, err := security.ParseContents(g.Contents)
		if err != nil {
			return nil, err
		}
		plain, trust, err := c.endToEnd().Open(g)
		if err != nil {
			return nil, err
		}
		p.style, p.control, p.trust, p.key = StyleCiphering, contents.Control, trust, g.Key
		id := security.CounterID{Receive: true}
		copy(id.Title[:], g.Originator)
		return plain, c.accept(id, contents.Counter, plain, trust)
	}
	return nil, unexpected(parsed, "ciphered APDU")
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
	var trust security.Trust
	c.in, trust, err = sealer.Open(c.in[:0], contents.Control, security.IV(sender, contents.Counter), nil, contents.Text)
	if err != nil {
		return nil, err
	}
	if p.trust == security.Plain || trust != security.Unsigned {
		p.trust = trust
	}
	return c.in, c.accept(id, contents.Counter, c.in, trust)
}

// accept checks that a message makes sense, and that it is no replay.
func (c *channel) accept(id security.CounterID, counter uint32, plain []byte, trust security.Trust) error {
	if trust != security.Verified {
		switch p, err := parse(plain); p.(type) {
		case nil:
			return fmt.Errorf("%w (%w)", ErrWrongKey, err)
		case apdu.Unknown:
			return ErrWrongKey
		}
	}
	return c.counters.Accept(id, counter)
}
