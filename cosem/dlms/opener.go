package dlms

import (
	"errors"
	"fmt"
	"slices"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// Layer is what was around a message, or what a layer below held.
type Layer struct {
	Name    string           // of the link or of the APDU, as the standard has it: "hdlc", "general-glo-ciphering"
	Link    hdlc.Control     // of an HDLC frame
	Control security.Control // of a protection
	Counter uint32           // invocation counter of a protection
	Title   security.Title   // of the sender of a protection
	Trust   security.Trust   // of a protection
}

// sender is what is known of a system title.
type sender struct {
	sec       *Security // nil where its keys are not known
	err       error     // why the keys cannot be used
	global    security.Sealer
	broadcast security.Sealer
	dedicated security.Sealer // of Security.DedicatedKey
	signing   []byte          // its public key for signatures; nil where it is not known
	used      uint64          // when it was needed last

	pushes cosem.Pushes
	meter  obis.Meter // as its last message told it: texts are made once
}

// counted is the invocation counter of the last verified message of a sender in a
// conversation.
type counted struct {
	title   security.Title
	key     security.KeyName
	counter uint32
}

func newSender(title security.Title, sec *Security) *sender {
	s := &sender{sec: sec}
	if sec == nil {
		return s
	}
	if s.signing = sec.PeerSigning; len(s.signing) == 0 && len(sec.PeerCertificate) > 0 {
		s.signing, s.err = security.CertifiedKey(sec.PeerCertificate, nil, title)
	}
	s.global = sec.Sealer
	for _, k := range []struct {
		sealer *security.Sealer
		key    security.Key
	}{{&s.global, sec.Unicast}, {&s.broadcast, sec.Broadcast}, {&s.dedicated, sec.DedicatedKey}} {
		if *k.sealer == nil && len(k.key) > 0 && s.err == nil {
			*k.sealer, s.err = s.cipher(k.key)
		}
	}
	return s
}

// cipher returns the cipher of a key of this sender.
func (s *sender) cipher(key security.Key) (security.Sealer, error) {
	suite := s.sec.Suite
	if len(key) != suite.KeyLen() || len(s.sec.Authentication) != 0 && len(s.sec.Authentication) != suite.KeyLen() {
		return nil, fmt.Errorf("dlms: %w: suite %d wants %d octets", security.ErrKeyLength, suite, suite.KeyLen())
	}
	return security.NewCipher(key, s.sec.Authentication)
}

// demanded returns how messages must be protected as the keys imply.
func (s *sender) demanded() security.Control {
	switch {
	case s.sec == nil:
		return 0
	case s.sec.Protect&(security.Authenticated|security.Encrypted) != 0:
		return s.sec.Protect & (security.Authenticated | security.Encrypted)
	case len(s.sec.Authentication) > 0, s.sec.Sealer != nil:
		return security.Authenticated
	case len(s.sec.Unicast) > 0, len(s.sec.Broadcast) > 0, len(s.sec.DedicatedKey) > 0:
		return security.Encrypted
	case len(s.signing) > 0:
		return security.Authenticated
	}
	return 0
}

// maxSenders bounds how many system titles are remembered.
const maxSenders = 1024

// sender returns what is known of a title; the zero title is whoever does not name itself.
func (r *Receiver) sender(title security.Title) *sender {
	r.clock++
	if s := r.senders[title]; s != nil {
		s.used = r.clock
		return s
	}
	if len(r.senders) >= maxSenders {
		oldest := title
		for t, s := range r.senders {
			if o := r.senders[oldest]; o == nil || s.used < o.used {
				oldest = t
			}
		}
		delete(r.senders, oldest)
	}
	var sec *Security
	if r.cfg.Keys != nil {
		sec = r.cfg.Keys(title)
	}
	s := newSender(title, sec)
	s.used = r.clock
	r.senders[title] = s
	return s
}

// sealed is a protection that is to be taken off.
type sealed struct {
	layer     Layer
	named     bool // the message names its sender
	dedicated bool
	request   bool // by its tag it comes from a client
	contents  []byte
	ciphering *apdu.GeneralCiphering
	signing   *apdu.GeneralSigning
}

// readSealed reads the header of a protected APDU, and returns how many octets it took.
func readSealed(b []byte) (s sealed, n int, err error) {
	var title []byte
	switch b[0] {
	case apdu.TagGeneralGloCiphering, apdu.TagGeneralDedCiphering:
		var p apdu.GeneralCiphered
		if p, n, err = apdu.ParseGeneralCiphered(b); err != nil {
			return sealed{}, 0, err
		}
		s.layer.Name, s.dedicated, s.contents, title = p.Name(), p.Dedicated, p.Contents, p.SystemTitle
	default:
		var p apdu.PDU
		if p, n, err = apdu.Parse(b); err != nil {
			return sealed{}, 0, err
		}
		s.layer.Name = p.Name()
		switch p := p.(type) {
		case apdu.Ciphered:
			s.dedicated, s.request, s.contents = p.Dedicated(), isRequest(p.Tag), p.Contents
		case apdu.GeneralCiphering:
			s.ciphering, s.contents, title = &p, p.Contents, p.Originator
		case apdu.GeneralSigning:
			s.signing, title = &p, p.Originator
		}
	}
	switch len(title) {
	case 0:
	case security.TitleLen:
		s.layer.Title, s.named = security.Title(title), true
	default:
		return sealed{}, 0, fmt.Errorf("dlms: system title of %d octets in the %s: %w", len(title), s.layer.Name, ErrProtocol)
	}
	if s.signing == nil {
		c, err := security.ParseContents(s.contents)
		if err != nil {
			return sealed{}, 0, fmt.Errorf("dlms: %s: %w", s.layer.Name, err)
		}
		s.layer.Control, s.layer.Counter = c.Control, c.Counter
	}
	return s, n, nil
}

// isRequest reports whether a service-specific ciphered APDU comes from a client.
func isRequest(tag byte) bool {
	switch plain, _ := apdu.PlainTag(tag); plain {
	case apdu.TagInitiateRequest, apdu.TagReadRequest, apdu.TagWriteRequest, apdu.TagUnconfirmedWrite,
		apdu.TagGetRequest, apdu.TagSetRequest, apdu.TagActionRequest:
		return true
	}
	return false
}

// maxProtections is how many protections may lie around one another.
const maxProtections = 4

var errSenders = errors.New("the protections name different senders")

// open takes all protections off b, and adds them to the layers of the message.
// What the last of them held is in memory of the receiver.
func (r *Receiver) open(f *flow, b []byte) (plain []byte, err error) {
	m := &r.message
	for depth := range maxProtections {
		if len(b) == 0 || !isProtected(b[0]) {
			return b, nil
		}
		s, n, err := readSealed(b)
		if err != nil {
			return nil, m.nonsense(err)
		}
		if n < len(b) {
			m.warn(fmt.Errorf("dlms: %d octets behind the %s", len(b)-n, s.layer.Name))
		}
		if m.Title != (security.Title{}) {
			if s.named && s.layer.Title != m.Title {
				return nil, fmt.Errorf("dlms: %s of %v in a message of %v: %w", s.layer.Name, s.layer.Title, m.Title, errSenders)
			}
			s.layer.Title = m.Title
		}
		r.explain.sealed(b, &s)
		plain, err := r.unseal(f, &s, r.plain[depth][:0])
		m.Layers = append(m.Layers, s.layer)
		m.Title = s.layer.Title
		if err != nil {
			return nil, err
		}
		if s.signing == nil {
			r.plain[depth] = plain
			m.Control, m.Counter = s.layer.Control, s.layer.Counter
		}
		m.Trust = max(m.Trust, s.layer.Trust)
		r.explain.opened(plain, &s.layer)
		b = plain
	}
	if len(b) > 0 && isProtected(b[0]) {
		return nil, fmt.Errorf("dlms: more than %d protections: %w", maxProtections, ErrProtocol)
	}
	return b, nil
}

// unseal takes one protection off with the keys of its sender or, where there are
// none or they do not fit, with those of the other party of the conversation.
func (r *Receiver) unseal(f *flow, s *sealed, dst []byte) (plain []byte, err error) {
	c := f.conversation
	other := c.client
	if s.layer.Title == (security.Title{}) && s.signing == nil {
		if s.layer.Title = c.server; s.request {
			s.layer.Title = c.client
		}
	}
	if s.layer.Title == c.client {
		other = c.server
	}
	title := s.layer.Title
	if title == (security.Title{}) && s.signing == nil {
		if sec := r.sender(title).sec; sec != nil {
			if title = sec.Peer; s.request {
				title = sec.Title
			}
		}
		if s.layer.Title = title; title == (security.Title{}) {
			return nil, fmt.Errorf("dlms: %w: the system title of the sender of the %s", security.ErrNoKey, s.layer.Name)
		}
	}
	of := r.sender(title)
	if s.signing != nil {
		if s.layer.Trust = security.Unverified; of.sec != nil {
			if s.layer.Trust, err = of.endToEnd().Verify(*s.signing); err != nil {
				return nil, fmt.Errorf("dlms: %s of %v: %w", s.layer.Name, title, err)
			}
			r.message.keys = of
		}
		return s.signing.Contents, nil
	}
	candidates := [3]*sender{of}
	if other != (security.Title{}) {
		candidates[1] = r.sender(other)
	}
	if !s.named {
		candidates[2] = r.sender(security.Title{})
	}
	err = security.ErrNoKey
	for i, keys := range candidates {
		if keys == nil || keys.sec == nil || i > 0 && keys.sec == candidates[0].sec {
			continue
		}
		p, failed := r.decipher(c, keys, s, dst)
		if failed == nil {
			r.message.keys = keys
			if s.layer.Trust == security.Verified {
				failed = r.count(c, s)
			}
			return p, failed
		}
		if errors.Is(err, security.ErrNoKey) {
			err = failed
		}
	}
	return nil, fmt.Errorf("dlms: %s of %v: %w", s.layer.Name, title, err)
}

// decipher takes one protection off.
func (r *Receiver) decipher(c *conversation, keys *sender, s *sealed, dst []byte) (plain []byte, err error) {
	if suite := s.layer.Control.Suite(); suite != keys.sec.Suite {
		return nil, fmt.Errorf("%w: message of suite %d, the keys are of %d", security.ErrSuite, suite, keys.sec.Suite)
	}
	if s.ciphering != nil {
		plain, s.layer.Trust, err = keys.endToEnd().Open(*s.ciphering)
		return plain, err
	}
	if keys.err != nil {
		return nil, keys.err
	}
	sealer := keys.global
	switch {
	case s.dedicated && c.dedicated != nil:
		sealer = c.dedicated
	case s.dedicated:
		sealer = keys.dedicated
	case s.layer.Control&security.Broadcast != 0:
		sealer = keys.broadcast
	}
	if sealer == nil {
		return nil, fmt.Errorf("%w: %v", security.ErrNoKey, s.layer.Control)
	}
	contents, _ := security.ParseContents(s.contents)
	plain, s.layer.Trust, err = sealer.Open(dst, contents.Control, security.IV(s.layer.Title, contents.Counter), nil, contents.Text)
	return plain, err
}

func (s *sender) endToEnd() *security.EndToEnd {
	c := channel{sec: s.sec, peerSigning: s.signing}
	return c.endToEnd()
}

// count takes note of the counter of a verified message; of a live line it
// refuses one that is not above all before.
func (r *Receiver) count(c *conversation, s *sealed) error {
	key := security.KeyUnicast
	switch {
	case s.dedicated:
		key = security.KeyDedicated
	case s.layer.Control&security.Broadcast != 0:
		key = security.KeyBroadcast
	}
	if r.cfg.Counters != nil {
		id := security.CounterID{Title: s.layer.Title, Key: key, Receive: true}
		if err := r.cfg.Counters.Accept(id, s.layer.Counter); err != nil {
			return fmt.Errorf("dlms: %s of %v, counter %d: %w", s.layer.Name, s.layer.Title, s.layer.Counter, err)
		}
	}
	m := &r.message
	m.step, m.counted, m.late = c.count(s.layer.Title, key, s.layer.Counter)
	return nil
}

// counts reports whether a sender used a key before.
func (c *conversation) counts(title security.Title, key security.KeyName) bool {
	return slices.ContainsFunc(c.last, func(l counted) bool { return l.title == title && l.key == key })
}

// count returns how far a counter went since the message before, if there was one
// and it lies below; a message is late where it does not.
func (c *conversation) count(title security.Title, key security.KeyName, counter uint32) (step uint32, ok, late bool) {
	var running *counted
	for i := range c.last {
		l := &c.last[i]
		if l.title == title && l.key == key {
			step, ok = counter-l.counter, counter > l.counter
			l.counter = counter
			return step, ok, !ok
		}
		if l.title == title && l.key == security.KeyUnicast {
			running = l
		}
	}
	if len(c.last) < maxCounted {
		c.last = append(c.last, counted{title, key, counter})
	}
	if key != security.KeyDedicated {
		return 0, false, false
	}
	// A dedicated key begins at 0, or goes on where the global one is.
	if running != nil && counter-running.counter < maxRunning {
		return counter - running.counter, counter > running.counter, false
	}
	return counter, true, false
}
