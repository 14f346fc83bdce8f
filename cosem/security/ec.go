package security

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
)

// Signer signs with the private key of one party. A [SigningKey] is one; a
// hardware security module may be another.
type Signer interface {
	// Sign returns r and s of ECDSA over the message, hashed as the suite says.
	Sign(message []byte) ([]byte, error)
}

// Agreer takes part in key agreement with a static private key. An
// [AgreementKey] is one; a hardware security module may be another.
type Agreer interface {
	// Agree returns the shared secret with a peer's public key, x and y.
	Agree(public []byte) ([]byte, error)
}

// curve returns the curves and the size of a coordinate for a suite.
func (s Suite) curve() (elliptic.Curve, ecdh.Curve, int, error) {
	switch s {
	case Suite1:
		return elliptic.P256(), ecdh.P256(), 32, nil
	case Suite2:
		return elliptic.P384(), ecdh.P384(), 48, nil
	}
	return nil, nil, 0, fmt.Errorf("%w: suite %d has no elliptic curve", ErrSuite, s)
}

// hash returns the digest of the suite.
func (s Suite) hash(message []byte) []byte {
	if s == Suite2 {
		h := sha512.Sum384(message)
		return h[:]
	}
	h := sha256.Sum256(message)
	return h[:]
}

// SigningKey is a private key for signatures, in memory or behind a [crypto.Signer].
type SigningKey struct {
	suite  Suite
	public []byte
	key    crypto.Signer
}

// NewSigningKey returns the key whose private number is given, 32 or 48 octets.
func NewSigningKey(s Suite, private Key) (*SigningKey, error) {
	c, _, _, err := s.curve()
	if err != nil {
		return nil, err
	}
	k, err := ecdsa.ParseRawPrivateKey(c, private)
	if err != nil {
		return nil, fmt.Errorf("security: private key: %w", err)
	}
	return SigningKeyFrom(k)
}

// SigningKeyFrom returns the key of a [crypto.Signer] on the curve of a suite: an
// *ecdsa.PrivateKey of a parsed PEM or PKCS#8 file, or one in hardware.
func SigningKeyFrom(key any) (*SigningKey, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: signing key is a %T, want a crypto.Signer", ErrSuite, key)
	}
	public, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: signing key of %T, want an EC key", ErrSuite, signer.Public())
	}
	suite, ok := map[elliptic.Curve]Suite{elliptic.P256(): Suite1, elliptic.P384(): Suite2}[public.Curve]
	if !ok {
		return nil, fmt.Errorf("%w: private key of another curve", ErrSuite)
	}
	b, err := public.Bytes()
	if err != nil {
		return nil, fmt.Errorf("security: public key: %w", err)
	}
	return &SigningKey{suite, b[1:], signer}, nil
}

// String hides the key.
func (k *SigningKey) String() string { return "[redacted]" }

// GoString hides the key.
func (k *SigningKey) GoString() string { return "[redacted]" }

// Public returns the public key, x and y.
func (k *SigningKey) Public() []byte { return k.public }

// Sign implements [Signer].
func (k *SigningKey) Sign(message []byte) ([]byte, error) {
	hash := crypto.SHA256
	if k.suite == Suite2 {
		hash = crypto.SHA384
	}
	der, err := k.key.Sign(rand.Reader, k.suite.hash(message), hash)
	if err != nil {
		return nil, err
	}
	var signature struct{ R, S *big.Int }
	size := len(k.public) / 2
	if rest, err := asn1.Unmarshal(der, &signature); err != nil || len(rest) > 0 ||
		signature.R.Sign() < 0 || signature.S.Sign() < 0 || signature.R.BitLen() > 8*size || signature.S.BitLen() > 8*size {
		return nil, fmt.Errorf("security: signature of %d octets is no pair of numbers", len(der))
	}
	out := make([]byte, 2*size)
	signature.R.FillBytes(out[:size])
	signature.S.FillBytes(out[size:])
	return out, nil
}

// VerifySignature checks r and s over a message against a public key, x and y,
// which must be a point of the curve; r and s must lie between 1 and its order.
func VerifySignature(s Suite, public, message, signature []byte) error {
	c, _, size, err := s.curve()
	if err != nil {
		return err
	}
	if len(public) != 2*size {
		return fmt.Errorf("%w: public key of %d octets", ErrKeyLength, len(public))
	}
	key, err := ecdsa.ParseUncompressedPublicKey(c, append([]byte{4}, public...))
	if err != nil {
		return fmt.Errorf("security: public key: %w", err)
	}
	if len(signature) != 2*size {
		return fmt.Errorf("%w: %d octets, want %d", ErrSignature, len(signature), 2*size)
	}
	if !ecdsa.Verify(key, s.hash(message), new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])) {
		return ErrSignature
	}
	return nil
}

// AgreementKey is a private key for key agreement, held in memory.
type AgreementKey struct{ key *ecdh.PrivateKey }

// NewAgreementKey returns the key whose private number is given, 32 or 48 octets.
func NewAgreementKey(s Suite, private Key) (*AgreementKey, error) {
	_, c, _, err := s.curve()
	if err != nil {
		return nil, err
	}
	k, err := c.NewPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("security: private key: %w", err)
	}
	return &AgreementKey{k}, nil
}

// AgreementKeyFrom returns the key of a parsed PEM or PKCS#8 file: an
// *ecdh.PrivateKey, or an *ecdsa.PrivateKey.
func AgreementKeyFrom(key any) (*AgreementKey, error) {
	private, ok := key.(*ecdh.PrivateKey)
	if k, isECDSA := key.(*ecdsa.PrivateKey); isECDSA {
		p, err := k.ECDH()
		if err != nil {
			return nil, fmt.Errorf("security: private key: %w", err)
		}
		private, ok = p, true
	}
	if !ok {
		return nil, fmt.Errorf("%w: agreement key is a %T, want an EC key", ErrSuite, key)
	}
	if c := private.Curve(); c != ecdh.P256() && c != ecdh.P384() {
		return nil, fmt.Errorf("%w: private key of another curve", ErrSuite)
	}
	return &AgreementKey{private}, nil
}

// GenerateAgreementKey returns a new key, for one use.
func GenerateAgreementKey(s Suite) (*AgreementKey, error) {
	_, c, _, err := s.curve()
	if err != nil {
		return nil, err
	}
	k, err := c.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &AgreementKey{k}, nil
}

// String hides the key.
func (k *AgreementKey) String() string { return "[redacted]" }

// GoString hides the key.
func (k *AgreementKey) GoString() string { return "[redacted]" }

// Public returns the public key, x and y.
func (k *AgreementKey) Public() []byte { return k.key.PublicKey().Bytes()[1:] }

// Agree implements [Agreer].
func (k *AgreementKey) Agree(public []byte) ([]byte, error) {
	peer, err := k.key.Curve().NewPublicKey(append([]byte{4}, public...))
	if err != nil {
		return nil, fmt.Errorf("security: public key: %w", err)
	}
	return k.key.ECDH(peer)
}

// algorithm is the identifier of AES-GCM in key derivation.
func (s Suite) algorithm() []byte {
	id := []byte{0x60, 0x85, 0x74, 0x05, 0x08, 0x03, 0x00}
	if s == Suite2 {
		id[6] = 0x01
	}
	return id
}

// DeriveKey returns the key that follows from a shared secret and what
// identifies the parties (concatenation KDF of NIST SP 800-56A).
func DeriveKey(s Suite, secret []byte, partyU, partyV []byte) Key {
	message := binary.BigEndian.AppendUint32(nil, 1)
	message = append(append(message, secret...), s.algorithm()...)
	message = append(append(message, partyU...), partyV...)
	return s.hash(message)[:s.KeyLen()]
}
