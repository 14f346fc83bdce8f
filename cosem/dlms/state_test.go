package dlms

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
)

// Every state takes what the table has, protected as it says, and nothing else.
func TestTransitions(t *testing.T) {
	tagged := protection{control: security.Authenticated | security.Encrypted, tag: security.Verified, trust: security.Verified}
	need := required{control: security.Authenticated | security.Encrypted}
	for s := range states {
		for e := range events {
			t := t
			row := transitions[s][e]
			for name, how := range map[string]protection{
				"plain":               {},
				"without a tag":       {control: security.Encrypted, tag: security.Unsigned},
				"tag not checked":     {control: tagged.control, tag: security.Unverified},
				"authenticated only":  {control: security.Authenticated, tag: security.Verified},
				"by the broadcast":    {control: tagged.control | security.Broadcast, tag: security.Verified},
				"signed by somebody":  {signed: true, signature: security.Verified},
				"tagged and verified": tagged,
			} {
				next, err := s.take(e, need, how)
				switch {
				case row.demand == refused:
					require.ErrorIs(t, err, ErrProtocol, "%d %d %s", s, e, name)
				case row.demand == agreed && how != tagged:
					require.ErrorIs(t, err, ErrUnprotected, "%d %d %s", s, e, name)
				default:
					require.NoError(t, err)
				}
				if err != nil {
					require.Equal(t, s, next, "what is refused leads nowhere")
				}
			}
			_, err := s.take(e, required{}, protection{})
			require.Equal(t, row.demand == refused, err != nil)
		}
	}
	require.False(t, required{signed: true}.met(tagged))
}

// layers puts ciphers and signatures around an APDU as no standard has it.
func layers(t testing.TB, c *channel, plain []byte, how ...protection) []byte {
	b := plain
	for _, p := range how {
		var err error
		if p.signed {
			b, err = c.protect(b, p)
		} else {
			b, err = c.seal(b, p)
		}
		require.NoError(t, err)
		b = bytes.Clone(b)
	}
	return b
}

// Layers other than a signature around a cipher are refused by both sides, in
// every combination, and what was opened first is not overwritten.
func TestNestedProtection(t *testing.T) {
	plain, err := energyValue.AppendBinary(nil)
	require.NoError(t, err)
	void := func(b []byte) []byte {
		out, _ := apdu.GeneralCiphered{SystemTitle: suite0(1).Title[:], Contents: append([]byte{0, 0, 0, 0, 9}, b...)}.AppendBinary(nil)
		return out
	}
	for _, dedicated := range []bool{false, true} {
		for _, outer := range []Style{StyleService, StyleGeneral, StyleCiphering} {
			for _, inner := range []Style{StyleService, StyleGeneral, StyleCiphering} {
				sender, err := newChannel(suite0(1))
				require.NoError(t, err)
				sender.peer = suite0(2).Title
				require.NoError(t, sender.setDedicated(bytes.Repeat([]byte{3}, 16)))
				p := protection{control: sender.control(), style: inner, dedicated: dedicated}
				q := p
				q.style = outer
				for name, b := range map[string][]byte{"twice": layers(t, sender, plain, p, q), "void": void(layers(t, sender, plain, p))} {
					receiver, err := newAssociationChannel(suite0(2))
					require.NoError(t, err)
					receiver.peer = suite0(1).Title
					require.NoError(t, receiver.setDedicated(bytes.Repeat([]byte{3}, 16)))
					_, _, err = receiver.unprotect(b)
					require.ErrorIs(t, err, ErrProtocol, name)
				}
			}
		}
	}
}

// FuzzProtection gives whatever protection to both sides of an association that know all keys.
func FuzzProtection(f *testing.F) {
	plain, err := energyValue.AppendBinary(nil)
	require.NoError(f, err)
	sender, err := newChannel(suite0(1))
	require.NoError(f, err)
	sender.peer = suite0(2).Title
	require.NoError(f, sender.setDedicated(bytes.Repeat([]byte{3}, 16)))
	for _, style := range []Style{StyleService, StyleGeneral, StyleCiphering} {
		for _, control := range []security.Control{0x10, 0x20, 0x30} {
			for _, dedicated := range []bool{false, true} {
				p := protection{control: control, style: style, dedicated: dedicated}
				f.Add(layers(f, sender, plain, p))
				f.Add(layers(f, sender, plain, p, p))
				g, _ := apdu.GeneralCiphered{Dedicated: dedicated, SystemTitle: sender.own[:], Contents: append([]byte{0, 0, 0, 0, 9}, layers(f, sender, plain, p)...)}.AppendBinary(nil)
				f.Add(g)
				g, _ = apdu.GeneralSigning{Header: sender.header(), Contents: g, Signature: []byte{1}}.AppendBinary(nil)
				f.Add(g)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, associated := range []bool{false, true} {
			make := newChannel
			if associated {
				make = newAssociationChannel
			}
			c, err := make(suite0(2))
			require.NoError(t, err)
			c.peer = suite0(1).Title
			require.NoError(t, c.setDedicated(bytes.Repeat([]byte{3}, 16)))
			before := bytes.Clone(b)
			out, how, err := c.unprotect(b)
			require.Equal(t, before, b)
			if err == nil && len(out) > 0 {
				require.False(t, isProtected(out[0]))
			}
			if associated && err == nil && how.tag != security.Verified {
				require.Zero(t, c.counters.(expecter).Expected(security.CounterID{Title: c.peer, Receive: true}))
			}
		}
		s, a := opened(t, Access{Auth: apdu.MechanismGMAC, Security: suite0(2)}, &Config{Auth: apdu.MechanismGMAC, Security: suite0(1)})
		_ = s.handle(bytes.Clone(b))
		_, _, _ = a.Unprotect(b)
	})
}

// Nobody without a key moves a counter, neither of an open association nor of one
// that was refused, and nothing is left of the latter.
func TestCountersAreNotBurnt(t *testing.T) {
	sec := suite0(2)
	s, a := opened(t, Access{Auth: apdu.MechanismGMAC, Security: sec}, &Config{Auth: apdu.MechanismGMAC, Security: suite0(1)})
	id := security.CounterID{Title: suite0(1).Title, Receive: true}
	before := sec.Counters.(expecter).Expected(id)
	plain, err := energyValue.AppendBinary(nil)
	require.NoError(t, err)
	for control := range 0x100 { // some of which decipher to an APDU
		for _, tag := range []byte{0xC8, 0xD0, 0x21} {
			b, _ := apdu.Ciphered{Tag: tag, Contents: append([]byte{byte(control), 0xFF, 0xFF, 0xFF, 0xF0}, plain...)}.AppendBinary(nil)
			_ = s.handle(b)
		}
	}
	require.Equal(t, before, sec.Counters.(expecter).Expected(id))
	require.IsType(t, apdu.GetResponseNormal{}, ask(t, s, a, energyValue))

	// A refused association: an AARQ of which the initiate-request is plain.
	initiate, err := apdu.InitiateRequest{Version: 6, Conformance: 0xFFFFFF}.AppendBinary(nil)
	require.NoError(t, err)
	title := suite0(1).Title
	request, err := apdu.AARQ{Context: apdu.ContextLNCiphered, CallingAPTitle: title[:], Authentication: true, Mechanism: apdu.MechanismGMAC,
		Value: bytes.Repeat([]byte{7}, 16), UserInformation: initiate}.AppendBinary(nil)
	require.NoError(t, err)
	p, err := parse(s.handle(request)[0])
	require.NoError(t, err)
	require.Equal(t, apdu.RejectedPermanent, p.(apdu.AARE).Result)
	require.IsType(t, apdu.GetResponseNormal{}, ask(t, s, a, energyValue), "it ends no association of others")
	s = newSession(s.cfg, s.device, Partner{Client: 16, Server: 1})
	_ = s.handle(request)
	require.Nil(t, s.channel.sec)
	require.Equal(t, stateIdle, s.state)
	for n := range 500 {
		b, _ := apdu.Ciphered{Tag: 0xC8, Contents: append([]byte{0x20, 0xFF, 0xFF, 0xFF, 0xF0, byte(n), byte(n >> 8)}, plain...)}.AppendBinary(nil)
		_ = s.handle(b)
	}
	require.Equal(t, before+2, sec.Counters.(expecter).Expected(id), "the requests that were answered, and no other")
}

// A challenge that is our own, was used before, or has a length that the
// standard does not allow is refused by client and server.
func TestChallenges(t *testing.T) {
	secret := []byte("secret")
	for _, auth := range []apdu.Mechanism{apdu.MechanismManufacturer, apdu.MechanismMD5, apdu.MechanismSHA1, apdu.MechanismGMAC, apdu.MechanismSHA256, apdu.MechanismECDSA} {
		client, server := signing(t, 1), signing(t, 2)
		client.PeerSigning, server.PeerSigning = server.Signing.(*security.SigningKey).Public(), client.Signing.(*security.SigningKey).Public()
		client.PlainContext, server.PlainContext = true, true
		device := &Exposed{}
		srv, err := NewServer(&ServerConfig{Devices: map[uint16]Device{1: device}, Access: []Access{{Auth: auth, Password: secret, Security: server}}})
		require.NoError(t, err)
		ask := func(change func(*apdu.AARQ)) apdu.AARE {
			a, err := NewAssociation(&Config{Auth: auth, Password: secret, Security: client})
			require.NoError(t, err)
			b, err := a.Request()
			require.NoError(t, err)
			p, err := parse(b)
			require.NoError(t, err)
			q := p.(apdu.AARQ)
			if change != nil {
				change(&q)
			}
			b, err = q.AppendBinary(nil)
			require.NoError(t, err)
			p, err = parse(bytes.Clone(newSession(&srv.cfg, device, Partner{Client: 16, Server: 1}).handle(b)[0]))
			require.NoError(t, err)
			return p.(apdu.AARE)
		}
		first := ask(nil)
		require.Equal(t, apdu.Accepted, first.Result, auth)
		for name, challenge := range map[string][]byte{"the server's own": first.Value, "short": {1, 2, 3}, "long": make([]byte, 65), "none": nil} {
			got := ask(func(q *apdu.AARQ) { q.Value = challenge })
			require.Equal(t, apdu.RejectedPermanent, got.Result, "%v %s", auth, name)
		}
		accept := func(change func(own []byte, p *apdu.AARE)) error {
			a, err := NewAssociation(&Config{Auth: auth, Password: secret, Security: client})
			require.NoError(t, err)
			_, err = a.Request()
			require.NoError(t, err)
			aare := first
			aare.Value = security.NewChallenge(uint8(auth))
			change(a.handshake.OwnChallenge, &aare)
			b, err := aare.AppendBinary(nil)
			require.NoError(t, err)
			_, err = a.Accept(b)
			return err
		}
		require.NoError(t, accept(func([]byte, *apdu.AARE) {}))
		var used []byte
		require.NoError(t, accept(func(_ []byte, p *apdu.AARE) { used = p.Value }))
		for name, change := range map[string]func([]byte, *apdu.AARE){
			"our own":       func(own []byte, p *apdu.AARE) { p.Value = own },
			"used before":   func(_ []byte, p *apdu.AARE) { p.Value = used },
			"short":         func(_ []byte, p *apdu.AARE) { p.Value = p.Value[:7] },
			"long":          func(_ []byte, p *apdu.AARE) { p.Value = make([]byte, 65) },
			"none":          func(_ []byte, p *apdu.AARE) { p.Value = nil },
			"our own title": func(_ []byte, p *apdu.AARE) { p.RespondingAPTitle = client.Title[:] },
		} {
			require.Error(t, accept(change), "%v %s", auth, name)
		}
	}
}

// signing returns keys of suite 1, with one for signatures.
func signing(t testing.TB, n byte) *Security {
	sec := suite0(n)
	sec.Suite = security.Suite1
	key, err := security.NewSigningKey(security.Suite1, bytes.Repeat([]byte{n}, 32))
	require.NoError(t, err)
	sec.Signing = key
	return sec
}

// A server that starts anew never seals with a counter that it used, and a key
// that is given does not start again with its association.
func TestNoncesAreUsedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	used := map[string]bool{}
	note := func(b []byte) {
		p, err := parse(b)
		require.NoError(t, err)
		var contents []byte
		switch p := p.(type) {
		case apdu.Ciphered:
			contents = p.Contents
		case apdu.GeneralCiphered:
			contents = append([]byte{}, p.Contents...)
		default:
			return
		}
		id := string(contents[1:5])
		require.False(t, used[id], "counter %x is used twice", id)
		used[id] = true
	}
	clients := &security.MemoryCounters{}
	for round := range 5 {
		counters, err := OpenCounters(path)
		require.NoError(t, err)
		server, client := suite0(2), suite0(1)
		server.Counters, client.Counters, client.DedicatedKey = counters, clients, bytes.Repeat([]byte{9}, 16)
		device := &Exposed{}
		srv, err := NewServer(&ServerConfig{Devices: map[uint16]Device{1: device}, Access: []Access{{Auth: apdu.MechanismGMAC, Security: server}}})
		require.NoError(t, err)
		s := newSession(&srv.cfg, device, Partner{Client: 16, Server: 1})
		a, err := NewAssociation(&Config{Auth: apdu.MechanismGMAC, Security: client})
		require.NoError(t, err)
		request, err := a.Request()
		require.NoError(t, err)
		answer := bytes.Clone(s.handle(request)[0])
		p, err := parse(answer)
		require.NoError(t, err)
		note(p.(apdu.AARE).UserInformation)
		_, err = a.Accept(answer)
		require.NoError(t, err)
		proof, err := a.Prove()
		require.NoError(t, err)
		d := cosem.OctetString(proof)
		plain, err := apdu.ActionRequestNormal{Invoke: 0xC1, Parameters: &d, Method: cosem.Method{Class: cosem.ClassAssociationLN, Name: associationName, Index: 1}}.AppendBinary(nil)
		require.NoError(t, err)
		protected, err := a.Protect(plain)
		require.NoError(t, err)
		require.Equal(t, byte(apdu.TagGeneralGloCiphering), protected[0], "the proof comes under the global key")
		answer = bytes.Clone(s.handle(protected)[0])
		note(answer)
		answer, _, err = a.Unprotect(answer)
		require.NoError(t, err)
		p, err = parse(answer)
		require.NoError(t, err)
		b, _ := p.(apdu.ActionResponseNormal).Return.Data.Bytes()
		require.NoError(t, a.Check(b))
		for range 3 {
			plain, err := energyValue.AppendBinary(nil)
			require.NoError(t, err)
			protected, err := a.Protect(plain)
			require.NoError(t, err)
			require.Equal(t, byte(apdu.TagGeneralDedCiphering), protected[0])
			answer := bytes.Clone(s.handle(protected)[0])
			note(answer)
			_, trust, err := a.Unprotect(answer)
			require.NoError(t, err)
			require.Equal(t, security.Verified, trust)
		}
		require.Equal(t, uint32((round+1)*(1+2+3)+1+round/2*2*ahead), clients.Expected(security.CounterID{Title: client.Title}), "one counter for all keys")
		if round%2 == 0 {
			require.NoError(t, counters.Close())
			continue
		}
		// After a crash a server may refuse some that it has not seen.
		require.NoError(t, clients.Reset(security.CounterID{Title: client.Title}, uint32((round+1)*(1+2+3)+1+(round+1)/2*2*ahead)))
	}
	_, err := NewAssociation(&Config{Security: &Security{Unicast: make([]byte, 16)}})
	require.ErrorIs(t, err, ErrNoCounters)
	_, err = NewServer(&ServerConfig{Access: []Access{{Security: &Security{Unicast: make([]byte, 16)}}}})
	require.ErrorIs(t, err, ErrNoCounters)
	_, err = Push(&Config{Security: &Security{Unicast: make([]byte, 16)}}, apdu.DataNotification{})
	require.ErrorIs(t, err, ErrNoCounters)
}

// Nobody is believed to be who he is by a key that he brings along.
func TestNobodyIdentifiesHimself(t *testing.T) {
	client := signing(t, 1)
	_, err := NewAssociation(&Config{Auth: apdu.MechanismECDSA, Security: client})
	require.ErrorIs(t, err, security.ErrNoIdentity)
	_, err = NewServer(&ServerConfig{Access: []Access{{Auth: apdu.MechanismECDSA, Security: signing(t, 2)}}})
	require.ErrorIs(t, err, security.ErrNoIdentity)
	client.Sign = true
	_, err = NewAssociation(&Config{Auth: apdu.MechanismGMAC, Security: client})
	require.ErrorIs(t, err, security.ErrNoIdentity)
}
