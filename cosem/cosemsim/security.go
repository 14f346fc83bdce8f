package cosemsim

import (
	"bytes"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
)

// buildSecurity adds 0-0:43.0.0, by which keys are replaced and certificates
// brought and fetched, and 0-0:43.1.0, the counter that is expected next.
func (m *Meter) buildSecurity() {
	setup := m.security(nil)
	var certificates []cosem.Data
	m.add(cosem.ClassSecuritySetup, "0-0:43.0.0", 6, values(
		func() cosem.Data { return cosem.Enum(m.policy) },
		fixed(cosem.Enum(uint8(setup.Suite))),
		fixed(cosem.OctetString(setup.Peer[:])),
		fixed(cosem.OctetString(setup.Title[:])),
		func() cosem.Data { return cosem.Array(certificates...) }))
	m.objects[len(m.objects)-1].Version = 1
	stored := map[string][]byte{}
	m.methods(8, func(p *dlms.Partner, index int8, d *cosem.Data) (*cosem.Data, cosem.ActionResult) {
		if d == nil {
			return nil, cosem.ActionResult(cosem.TypeUnmatched)
		}
		switch index {
		case 1:
			return nil, m.activate(*d)
		case 2:
			return nil, m.replaceKeys(p, *d)
		case 3:
			return m.agreeKey(p, *d)
		case 6:
			der, ok := d.Bytes()
			if !ok {
				return nil, cosem.ActionResult(cosem.TypeUnmatched)
			}
			stored["imported"] = bytes.Clone(der)
			return nil, 0
		case 7:
			der, ok := stored["imported"]
			if !ok {
				return nil, cosem.ActionResult(cosem.ObjectUnavailable)
			}
			answer := cosem.OctetString(der)
			return &answer, 0
		case 8:
			delete(stored, "imported")
			return nil, 0
		}
		return nil, cosem.ActionResult(cosem.ObjectUnavailable)
	})
	m.add(cosem.ClassData, "0-0:43.1.0", 2, values(func() cosem.Data {
		sec := m.security(nil)
		if sec.Counters == nil {
			sec.Counters = m.cfg.Counters
		}
		c, ok := sec.Counters.(interface {
			Expected(security.CounterID) uint32
		})
		if !ok {
			return cosem.Uint32(0)
		}
		return cosem.Uint32(c.Expected(security.CounterID{Title: sec.Peer, Receive: true}))
	}))
}

// The bits of a security policy, of requests; those of answers stand three
// further. The two below them are what version 0 of the class had in their place.
const (
	policyAuthenticated = 0x04
	policyEncrypted     = 0x08
	policyKnown         = 0x03 | policyAuthenticated<<3 | policyEncrypted<<3 | policyAuthenticated | policyEncrypted
)

// activate carries out security_activate. A policy can only be strengthened, and
// not beyond what the meter has keys for.
func (m *Meter) activate(d cosem.Data) cosem.ActionResult {
	n, ok := d.Uint()
	if !ok || n > policyKnown || uint8(n)&^policyKnown != 0 || uint8(n)&m.policy != m.policy {
		return cosem.ActionResult(cosem.OtherReason)
	}
	sec := m.security(nil)
	requests, answers := controls(uint8(n))
	if need := requests | answers; need != 0 && len(sec.Unicast) == 0 || need&security.Authenticated != 0 && len(sec.Authentication) == 0 {
		return cosem.ActionResult(cosem.OtherReason)
	}
	m.policy = uint8(n)
	return 0
}

// controls returns the protection that a policy calls for.
func controls(policy uint8) (requests, answers security.Control) {
	bit := func(mask uint8, c security.Control) security.Control {
		if policy&mask != 0 {
			return c
		}
		return 0
	}
	both := bit(1, security.Authenticated) | bit(2, security.Encrypted)
	return both | bit(policyAuthenticated, security.Authenticated) | bit(policyEncrypted, security.Encrypted),
		both | bit(policyAuthenticated<<3, security.Authenticated) | bit(policyEncrypted<<3, security.Encrypted)
}

// Policy implements [dlms.Policed]: the policy that was activated holds for all
// but those who see no more than what is public.
func (m *Meter) Policy(p *dlms.Partner) (requests, answers security.Control) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.restricted(p) {
		return 0, 0
	}
	return controls(m.policy)
}

// security returns what the meter knows of the client of an association, or of
// the first client that has keys.
func (m *Meter) security(p *dlms.Partner) dlms.Security {
	for i := range m.access {
		a := &m.access[i]
		if a.Security != nil && (p == nil || p.Access != nil && a.Client == p.Access.Client && a.Auth == p.Access.Auth) {
			return *a.Security
		}
	}
	return dlms.Security{}
}

// replace puts new keys to use, for the associations that follow.
func (m *Meter) replace(p *dlms.Partner, sec dlms.Security) {
	list := append([]dlms.Access(nil), m.access...)
	for i := range list {
		if list[i].Security != nil && p.Access != nil && list[i].Client == p.Access.Client && list[i].Auth == p.Access.Auth {
			list[i].Security = &sec
		}
	}
	if m.server.SetAccess(list) == nil {
		m.access = list
	}
}

// replaceKeys carries out key_transfer.
func (m *Meter) replaceKeys(p *dlms.Partner, d cosem.Data) cosem.ActionResult {
	var list []struct {
		Name    uint8
		Wrapped []byte
	}
	if cosem.Unmarshal(d, &list) != nil {
		return cosem.ActionResult(cosem.TypeUnmatched)
	}
	sec := m.security(p)
	for _, k := range list {
		key, err := security.Unwrap(sec.Master, k.Wrapped)
		if err != nil || len(key) != sec.Suite.KeyLen() {
			return cosem.ActionResult(cosem.OtherReason)
		}
		if !setKey(&sec, security.KeyName(k.Name), key) {
			return cosem.ActionResult(cosem.OtherReason)
		}
	}
	m.replace(p, sec)
	return 0
}

func setKey(sec *dlms.Security, name security.KeyName, key security.Key) bool {
	switch name {
	case security.KeyUnicast:
		sec.Unicast, sec.Counters = key, &security.MemoryCounters{} // a new key counts from the start
	case security.KeyBroadcast:
		sec.Broadcast = key
	case security.KeyAuthentication:
		sec.Authentication = key
	case security.KeyMaster:
		sec.Master = key
	default:
		return false
	}
	return true
}

// agreeKey carries out key_agreement.
func (m *Meter) agreeKey(p *dlms.Partner, d cosem.Data) (*cosem.Data, cosem.ActionResult) {
	sec := m.security(p)
	if d.Len() != 1 || sec.Signing == nil {
		return nil, cosem.ActionResult(cosem.OtherReason)
	}
	name, _, ok := security.ParseAgreement(d.At(0))
	if !ok {
		return nil, cosem.ActionResult(cosem.TypeUnmatched)
	}
	agreement, err := security.NewAgreement(sec.Suite, name)
	if err != nil {
		return nil, cosem.ActionResult(cosem.OtherReason)
	}
	own, err := agreement.Data(sec.Signing)
	if err != nil {
		return nil, cosem.ActionResult(cosem.OtherReason)
	}
	key, err := agreement.Key(d.At(0), sec.PeerSigning, p.Title, sec.Title)
	if err != nil || !setKey(&sec, name, key) {
		return nil, cosem.ActionResult(cosem.OtherReason)
	}
	m.replace(p, sec)
	answer := cosem.Array(own)
	return &answer, 0
}
