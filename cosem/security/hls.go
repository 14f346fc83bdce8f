package security

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// Handshake is what one side knows of a high level security handshake (HLS).
// The numbers of the mechanisms are those of the application context: 2 of the
// manufacturer, 3 MD5, 4 SHA-1, 5 GMAC, 6 SHA-256, 7 ECDSA.
type Handshake struct {
	Mechanism      uint8
	Suite          Suite
	Secret         Key   // of mechanisms 2, 3, 4 and 6
	Own, Peer      Title // system titles, of mechanisms 5, 6 and 7
	OwnChallenge   []byte
	PeerChallenge  []byte
	Sealer         Sealer // of mechanism 5
	Signer         Signer // of mechanism 7
	PeerPublic     []byte // of mechanism 7: x and y of the peer's signing key
	OwnCounter     uint32 // of mechanism 5: the invocation counter for the answer
	LastCounter    uint32 // of mechanism 5: after Check, the counter that the peer used
	CheckedCounter bool   // LastCounter holds
}

// NewChallenge returns a random challenge for a mechanism.
func NewChallenge(mechanism uint8) []byte {
	n := 16
	if mechanism == 7 {
		n = 32
	}
	c := make([]byte, n)
	_, _ = rand.Read(c) // which never fails
	return c
}

// The lengths of a challenge that the standard allows.
const (
	minChallenge = 8
	maxChallenge = 64
)

// Challenged takes the peer's challenge. It refuses one that is too short or too
// long, and our own, which would have us prove to ourselves what the peer cannot.
func (h *Handshake) Challenged(challenge []byte) error {
	n := minChallenge
	if h.Mechanism == 7 {
		n = 32
	}
	if len(challenge) < n || len(challenge) > maxChallenge {
		return fmt.Errorf("%w: challenge of %d octets, want %d to %d", ErrAuthentication, len(challenge), n, maxChallenge)
	}
	if subtle.ConstantTimeCompare(challenge, h.OwnChallenge) == 1 {
		return fmt.Errorf("%w: the challenge is our own", ErrAuthentication)
	}
	h.PeerChallenge = append([]byte(nil), challenge...)
	return nil
}

// Answer returns f(challenge) of this side.
func (h *Handshake) Answer() ([]byte, error) {
	switch h.Mechanism {
	case 5:
		return h.gmac(h.Own, h.OwnCounter, h.PeerChallenge)
	case 7:
		if h.Signer == nil {
			return nil, fmt.Errorf("%w: signing key", ErrNoKey)
		}
		return h.Signer.Sign(signed(h.Own, h.Peer, h.PeerChallenge, h.OwnChallenge))
	}
	return h.digest(h.Own, h.Peer, h.PeerChallenge, h.OwnChallenge)
}

// Check reports whether the peer's answer is right: nil, [ErrAuthentication] or [ErrSignature].
func (h *Handshake) Check(answer []byte) error {
	switch h.Mechanism {
	case 5:
		if len(answer) != headerLen+tagLen {
			return fmt.Errorf("%w (%d octets, want %d)", ErrAuthentication, len(answer), headerLen+tagLen)
		}
		if Control(answer[0]) != Authenticated|Control(h.Suite) {
			return fmt.Errorf("%w (security control 0x%02x)", ErrAuthentication, answer[0])
		}
		h.LastCounter, h.CheckedCounter = binary.BigEndian.Uint32(answer[1:]), true
		want, err := h.gmac(h.Peer, h.LastCounter, h.OwnChallenge)
		return compare(want, answer, err)
	case 7:
		if len(h.PeerPublic) == 0 {
			return ErrNoIdentity
		}
		return VerifySignature(h.Suite, h.PeerPublic, signed(h.Peer, h.Own, h.OwnChallenge, h.PeerChallenge), answer)
	}
	want, err := h.digest(h.Peer, h.Own, h.OwnChallenge, h.PeerChallenge)
	return compare(want, answer, err)
}

func compare(want, have []byte, err error) error {
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(want, have) != 1 {
		return ErrAuthentication
	}
	return nil
}

// digest returns the answer of the mechanisms with a secret: that of the party
// with the title own, to the challenge received.
func (h *Handshake) digest(own, peer Title, received, sent []byte) ([]byte, error) {
	switch h.Mechanism {
	case 2:
		return h.manufacturer(received)
	case 3:
		sum := md5.Sum(append(append([]byte{}, received...), h.Secret...))
		return sum[:], nil
	case 4:
		sum := sha1.Sum(append(append([]byte{}, received...), h.Secret...))
		return sum[:], nil
	case 6:
		sum := sha256.Sum256(append(append([]byte{}, h.Secret...), signed(own, peer, received, sent)...))
		return sum[:], nil
	}
	return nil, fmt.Errorf("security: authentication mechanism %d has no handshake", h.Mechanism)
}

// signed returns the titles and challenges in the order in which they are hashed.
func signed(own, peer Title, received, sent []byte) []byte {
	b := append(append([]byte{}, own[:]...), peer[:]...)
	return append(append(b, received...), sent...)
}

// manufacturer is the mechanism that is left to manufacturers, as most do it:
// AES-128-CBC of the challenge under the secret, both filled with zeros.
func (h *Handshake) manufacturer(challenge []byte) ([]byte, error) {
	key := make([]byte, 16)
	if copy(key, h.Secret) < len(h.Secret) {
		return nil, fmt.Errorf("%w: secret of %d octets", ErrKeyLength, len(h.Secret))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, (len(challenge)+15)/16*16)
	copy(out, challenge)
	cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(out, out)
	return out, nil
}

// gmac returns security control, counter and tag over a challenge.
func (h *Handshake) gmac(sender Title, counter uint32, challenge []byte) ([]byte, error) {
	if h.Sealer == nil {
		return nil, fmt.Errorf("%w: global unicast key", ErrNoKey)
	}
	c := Authenticated | Control(h.Suite)
	sealed, err := AppendSealed(nil, h.Sealer, c, sender, counter, nil, challenge)
	if err != nil {
		return nil, err
	}
	return append(sealed[:headerLen:headerLen], sealed[len(sealed)-tagLen:]...), nil
}
