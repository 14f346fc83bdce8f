package security

import (
	"crypto/rand"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
)

// EndToEnd holds what general-ciphering and general-signing need of two parties.
// Fields that a message does not call for may be empty.
type EndToEnd struct {
	Suite          Suite
	Authentication Key
	Unicast        Key // of identified keys
	Broadcast      Key
	Master         Key    // unwraps keys that come along
	Agreement      Agreer // our static key
	PeerAgreement  []byte // the peer's static public key, x and y
	Signing        Signer
	PeerSigning    []byte // the peer's public key for signatures, x and y
	// BareData leaves the header of the message out of the associated data, as
	// Gurux does.
	BareData bool
}

// Ways to agree on a key, the octet key-parameters.
const (
	OnePass       = 1 // one-pass Diffie-Hellman, C(1e, 1s)
	StaticUnified = 2 // static unified model, C(0e, 2s)
)

// Open deciphers a general-ciphering APDU and returns the APDU in it.
func (e *EndToEnd) Open(p apdu.GeneralCiphering) ([]byte, Trust, error) {
	c, err := ParseContents(p.Contents)
	if err != nil {
		return nil, Plain, err
	}
	key, err := e.key(p, c.Control)
	if err != nil {
		return nil, Plain, err
	}
	s, err := NewCipher(key, e.Authentication)
	if err != nil {
		return nil, Plain, err
	}
	originator, err := title(p.Originator)
	if err != nil {
		return nil, Plain, err
	}
	return s.Open(nil, c.Control, IV(originator, c.Counter), e.header(p.Header), c.Text)
}

// Seal ciphers an APDU with the key of p.Key, which it fills in where a new key
// is sent along or agreed upon: Kind, ID and the first octet of Parameters say
// which is wanted.
func (e *EndToEnd) Seal(p apdu.GeneralCiphering, c Control, counter uint32, plain []byte) (apdu.GeneralCiphering, error) {
	originator, err := title(p.Originator)
	if err != nil {
		return p, err
	}
	key, err := e.newKey(&p)
	if err != nil {
		return p, err
	}
	s, err := NewCipher(key, e.Authentication)
	if err != nil {
		return p, err
	}
	p.Contents, err = AppendSealed(nil, s, c|Control(e.Suite), originator, counter, e.header(p.Header), plain)
	return p, err
}

func (e *EndToEnd) header(h apdu.Header) []byte {
	if e.BareData {
		return nil
	}
	return h.Append(nil)
}

func title(b []byte) (Title, error) {
	if len(b) != TitleLen {
		return Title{}, fmt.Errorf("security: system title of %d octets, want %d", len(b), TitleLen)
	}
	return Title(b), nil
}

// key returns the key with which a message was ciphered.
func (e *EndToEnd) key(p apdu.GeneralCiphering, c Control) (Key, error) {
	k := p.Key
	if k == nil {
		k = &apdu.KeyInfo{Kind: apdu.KeyIdentified}
		if c&Broadcast != 0 {
			k.ID = 1
		}
	}
	switch k.Kind {
	case apdu.KeyIdentified:
		return e.identified(k.ID)
	case apdu.KeyWrapped:
		if len(e.Master) == 0 {
			return nil, fmt.Errorf("%w: key-encrypting key", ErrNoKey)
		}
		return Unwrap(e.Master, k.Data)
	}
	return e.agreed(p)
}

func (e *EndToEnd) identified(id uint8) (Key, error) {
	key := e.Unicast
	if id == 1 {
		key = e.Broadcast
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("%w: identified key %d", ErrNoKey, id)
	}
	return key, nil
}

// agreed returns the key that the sender agreed upon with us.
func (e *EndToEnd) agreed(p apdu.GeneralCiphering) (Key, error) {
	if e.Agreement == nil {
		return nil, fmt.Errorf("%w: key agreement", ErrNoKey)
	}
	if len(p.Key.Parameters) != 1 {
		return nil, fmt.Errorf("security: key-parameters of %d octets", len(p.Key.Parameters))
	}
	_, _, size, err := e.Suite.curve()
	if err != nil {
		return nil, err
	}
	switch p.Key.Parameters[0] {
	case OnePass:
		if len(p.Key.Data) != 4*size {
			return nil, fmt.Errorf("security: agreed key of %d octets, want %d", len(p.Key.Data), 4*size)
		}
		public, signature := p.Key.Data[:2*size], p.Key.Data[2*size:]
		if err := VerifySignature(e.Suite, e.PeerSigning, append([]byte{OnePass}, public...), signature); err != nil {
			return nil, fmt.Errorf("security: ephemeral key: %w", err)
		}
		secret, err := e.Agreement.Agree(public)
		if err != nil {
			return nil, err
		}
		return DeriveKey(e.Suite, secret, p.Originator, p.Recipient), nil
	case StaticUnified:
		return e.static(p.Header)
	}
	return nil, fmt.Errorf("security: key agreement %d is unknown", p.Key.Parameters[0])
}

// static returns the key of the static unified model: the transaction makes it new.
func (e *EndToEnd) static(h apdu.Header) (Key, error) {
	secret, err := e.Agreement.Agree(e.PeerAgreement)
	if err != nil {
		return nil, err
	}
	v := append(cosem.AppendLength(nil, len(h.Transaction)), h.Transaction...)
	return DeriveKey(e.Suite, secret, h.Originator, append(v, h.Recipient...)), nil
}

// newKey returns the key for a message that is sent.
func (e *EndToEnd) newKey(p *apdu.GeneralCiphering) (Key, error) {
	if p.Key == nil {
		return e.identified(0)
	}
	k := *p.Key
	p.Key = &k
	switch k.Kind {
	case apdu.KeyIdentified:
		return e.identified(k.ID)
	case apdu.KeyWrapped:
		if len(e.Master) == 0 {
			return nil, fmt.Errorf("%w: key-encrypting key", ErrNoKey)
		}
		key := make(Key, e.Suite.KeyLen())
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		var err error
		p.Key.Data, err = Wrap(e.Master, key)
		return key, err
	}
	if len(k.Parameters) == 1 && k.Parameters[0] == StaticUnified {
		if e.Agreement == nil {
			return nil, fmt.Errorf("%w: key agreement", ErrNoKey)
		}
		return e.static(p.Header)
	}
	return e.onePass(p)
}

// onePass makes an ephemeral key, signs it, and agrees with the peer's static key.
func (e *EndToEnd) onePass(p *apdu.GeneralCiphering) (Key, error) {
	if e.Signing == nil {
		return nil, fmt.Errorf("%w: signing key", ErrNoKey)
	}
	ephemeral, err := GenerateAgreementKey(e.Suite)
	if err != nil {
		return nil, err
	}
	public := ephemeral.Public()
	signature, err := e.Signing.Sign(append([]byte{OnePass}, public...))
	if err != nil {
		return nil, err
	}
	secret, err := ephemeral.Agree(e.PeerAgreement)
	if err != nil {
		return nil, err
	}
	p.Key.Parameters, p.Key.Data = []byte{OnePass}, append(public, signature...)
	return DeriveKey(e.Suite, secret, p.Originator, p.Recipient), nil
}

// Sign returns a general-signing APDU of the contents.
func (e *EndToEnd) Sign(h apdu.Header, contents []byte) (apdu.GeneralSigning, error) {
	if e.Signing == nil {
		return apdu.GeneralSigning{}, fmt.Errorf("%w: signing key", ErrNoKey)
	}
	signature, err := e.Signing.Sign(append(h.Append(nil), contents...))
	return apdu.GeneralSigning{Header: h, Contents: contents, Signature: signature}, err
}

// Verify checks the signature of a general-signing APDU.
func (e *EndToEnd) Verify(p apdu.GeneralSigning) (Trust, error) {
	if len(e.PeerSigning) == 0 {
		return Unverified, nil
	}
	if err := VerifySignature(e.Suite, e.PeerSigning, append(p.Header.Append(nil), p.Contents...), p.Signature); err != nil {
		return Plain, err
	}
	return Verified, nil
}

// TransferKey returns an element of the data of method key_transfer of a Security setup: a key
// wrapped with the master key.
func TransferKey(master Key, name KeyName, key Key) (cosem.Data, error) {
	wrapped, err := Wrap(master, key)
	if err != nil {
		return cosem.Data{}, err
	}
	return cosem.Structure(cosem.Enum(uint8(name)), cosem.OctetString(wrapped)), nil
}

// Agreement is one side of a key agreement by method key_agreement of a Security
// setup (ephemeral unified model, C(2e, 0s)).
type Agreement struct {
	suite     Suite
	name      KeyName
	ephemeral *AgreementKey
}

// NewAgreement begins to agree upon the key of that name.
func NewAgreement(s Suite, name KeyName) (*Agreement, error) {
	k, err := GenerateAgreementKey(s)
	if err != nil {
		return nil, err
	}
	return &Agreement{s, name, k}, nil
}

// Data returns what is sent to the peer: key name, public key and its signature.
func (a *Agreement) Data(signer Signer) (cosem.Data, error) {
	public := a.ephemeral.Public()
	signature, err := signer.Sign(append([]byte{byte(a.name)}, public...))
	if err != nil {
		return cosem.Data{}, err
	}
	return cosem.Structure(cosem.Enum(uint8(a.name)), cosem.OctetString(append(public, signature...))), nil
}

// Key returns the key that follows from what the peer sent.
func (a *Agreement) Key(peer cosem.Data, peerSigning []byte, client, server Title) (Key, error) {
	name, data, ok := ParseAgreement(peer)
	_, _, size, err := a.suite.curve()
	if err != nil {
		return nil, err
	}
	if !ok || name != a.name || len(data) != 4*size {
		return nil, fmt.Errorf("security: key agreement data are not of key %d", a.name)
	}
	public := data[:2*size]
	if err := VerifySignature(a.suite, peerSigning, append([]byte{byte(name)}, public...), data[2*size:]); err != nil {
		return nil, err
	}
	secret, err := a.ephemeral.Agree(public)
	if err != nil {
		return nil, err
	}
	return DeriveKey(a.suite, secret, client[:], server[:]), nil
}

// ParseAgreement reads structure{enum key name, octet-string key data}.
func ParseAgreement(d cosem.Data) (name KeyName, data []byte, ok bool) {
	var f [2]cosem.Data
	if d.Tag() != cosem.TagStructure || !d.Split(f[:]) {
		return 0, nil, false
	}
	n, ok1 := f[0].Uint()
	data, ok2 := f[1].Bytes()
	return KeyName(n), data, ok1 && ok2 && n <= uint64(KeyMaster)
}
