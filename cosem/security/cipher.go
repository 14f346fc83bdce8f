// Package security has the cryptography of DLMS/COSEM (IEC 62056-5-3): security
// suites 0, 1 and 2, the authentication mechanisms HLS 2 to 7, key wrap, key
// agreement and signatures, and the counters that keep messages from being
// replayed. It does no I/O.
//
// The contents of a ciphered APDU are
//
//	security control(1) | invocation counter(4) | payload | tag(12, if authenticated)
//
// ciphered with AES-GCM under the initialisation vector system title(8) | invocation
// counter(4). The associated data are security control | authentication key, and the
// plaintext where it is only authenticated.
package security

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Suite is a security suite.
type Suite uint8

// The security suites.
const (
	Suite0 Suite = 0 // AES-GCM-128, AES-128 key wrap
	Suite1 Suite = 1 // suite 0 with ECDSA and ECDH on P-256, SHA-256
	Suite2 Suite = 2 // AES-GCM-256, AES-256 key wrap, ECDSA and ECDH on P-384, SHA-384
)

// KeyLen returns the octets of a symmetric key.
func (s Suite) KeyLen() int {
	if s == Suite2 {
		return 32
	}
	return 16
}

// Control is the security control octet.
type Control uint8

// The bits of a Control besides the suite.
const (
	Authenticated Control = 0x10
	Encrypted     Control = 0x20
	Broadcast     Control = 0x40 // ciphered with the broadcast key
	Compressed    Control = 0x80
)

// Suite returns bits 0 to 3.
func (c Control) Suite() Suite { return Suite(c & 0x0F) }

// String returns "suite 0, authenticated, encrypted" and the like.
func (c Control) String() string {
	s := fmt.Sprintf("suite %d", c.Suite())
	for _, b := range []struct {
		bit  Control
		name string
	}{{Authenticated, "authenticated"}, {Encrypted, "encrypted"}, {Broadcast, "broadcast key"}, {Compressed, "compressed"}} {
		if c&b.bit != 0 {
			s += ", " + b.name
		}
	}
	return s
}

// Title is a system title: three letters of the manufacturer and a number.
type Title [8]byte

// String returns sixteen hexadecimal digits.
func (t Title) String() string { return fmt.Sprintf("%X", t[:]) }

// TitleLen is the length of a system title.
const TitleLen = 8

const (
	tagLen     = 12
	headerLen  = 5 // security control and invocation counter
	counterMax = 0xFFFFFFFF
)

// Trust says what is known of the sender of a message.
type Trust uint8

// The degrees of trust.
const (
	Plain      Trust = iota // nothing was protected
	Unsigned                // encrypted, without a tag
	Unverified              // there was a tag, and no authentication key to check it
	Verified                // the tag, or the signature, was right
)

// Errors of this package that callers branch on.
var (
	ErrAuthentication = errors.New("security: authentication tag is wrong: wrong key or damaged message")
	ErrSignature      = errors.New("security: signature is wrong")
	ErrNoKey          = errors.New("security: key is missing")
	ErrKeyLength      = errors.New("security: key of the wrong length")
	ErrCompressed     = errors.New("security: compressed messages are not supported")
	ErrNoIdentity     = errors.New("security: nothing says whose signatures to believe: neither a key, a certificate nor an authority")
	ErrCertificate    = errors.New("security: certificate is not believed")
	ErrSuite          = errors.New("security: suite does not match")
	ErrReplay         = errors.New("security: invocation counter was used before")
	ErrExhausted      = errors.New("security: invocation counter is exhausted: a new key is needed")
)

// Sealer protects and checks messages with one encryption and one
// authentication key. A [Cipher] is one; a hardware security module may be another.
type Sealer interface {
	// Seal appends the payload and, where c says so, the tag to dst. Header is
	// further associated data, nil for most messages.
	Seal(dst []byte, c Control, iv [12]byte, header, plain []byte) ([]byte, error)
	// Open appends the plaintext of a payload with its tag to dst.
	Open(dst []byte, c Control, iv [12]byte, header, text []byte) ([]byte, Trust, error)
}

// Cipher is the [Sealer] that holds its keys in memory. It is not safe for use
// by several goroutines.
type Cipher struct {
	block   cipher.Block
	aead    cipher.AEAD
	auth    []byte
	scratch []byte // associated data, and what is compared with it
	nonce   [16]byte
}

// NewCipher returns a cipher for an encryption key of 16 or 32 octets. The
// authentication key may be nil: then nothing can be authenticated, and what
// comes is [Unverified].
func NewCipher(encryption, authentication []byte) (*Cipher, error) {
	if n := len(encryption); n != 16 && n != 32 {
		return nil, fmt.Errorf("%w: encryption key of %d octets", ErrKeyLength, n)
	}
	if n := len(authentication); n != 0 && n != 16 && n != 32 {
		return nil, fmt.Errorf("%w: authentication key of %d octets", ErrKeyLength, n)
	}
	block, err := aes.NewCipher(encryption)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithTagSize(block, tagLen)
	if err != nil {
		return nil, err
	}
	return &Cipher{block: block, aead: aead, auth: append([]byte(nil), authentication...)}, nil
}

// String says that it is a cipher, without its keys.
func (c *Cipher) String() string { return "security.Cipher" }

// GoString is String.
func (c *Cipher) GoString() string { return c.String() }

// additional returns the associated data; the result is valid until the next call.
func (c *Cipher) additional(sc Control, header, plain []byte) []byte {
	c.scratch = append(append(c.scratch[:0], byte(sc)), c.auth...)
	c.scratch = append(c.scratch, header...)
	if sc&Encrypted == 0 {
		c.scratch = append(c.scratch, plain...)
	}
	return c.scratch
}

// Seal implements [Sealer]. It does not allocate where dst is large enough.
func (c *Cipher) Seal(dst []byte, sc Control, iv [12]byte, header, plain []byte) ([]byte, error) {
	copy(c.nonce[:], iv[:])
	switch {
	case sc&Compressed != 0:
		return dst, ErrCompressed
	case sc&Authenticated != 0 && len(c.auth) == 0:
		return dst, fmt.Errorf("%w: authentication key", ErrNoKey)
	case sc&Authenticated == 0 && sc&Encrypted == 0:
		return append(dst, plain...), nil
	case sc&Authenticated == 0:
		return c.crypt(dst, plain), nil
	case sc&Encrypted == 0:
		dst = append(dst, plain...)
		return c.aead.Seal(dst, c.nonce[:12], nil, c.additional(sc, header, plain)), nil
	}
	return c.aead.Seal(dst, c.nonce[:12], plain, c.additional(sc, header, nil)), nil
}

// Open implements [Sealer]. It does not allocate where dst is large enough.
func (c *Cipher) Open(dst []byte, sc Control, iv [12]byte, header, text []byte) ([]byte, Trust, error) {
	copy(c.nonce[:], iv[:])
	switch {
	case sc&Compressed != 0:
		return dst, Plain, ErrCompressed
	case sc&Authenticated == 0 && sc&Encrypted == 0:
		return append(dst, text...), Plain, nil
	case sc&Authenticated == 0:
		return c.crypt(dst, text), Unsigned, nil
	case len(text) < tagLen:
		return dst, Plain, fmt.Errorf("security: %d octets are too few for a tag: %w", len(text), io.ErrUnexpectedEOF)
	}
	body, tag := text[:len(text)-tagLen], text[len(text)-tagLen:]
	switch {
	case len(c.auth) == 0 && sc&Encrypted == 0:
		return append(dst, body...), Unverified, nil
	case len(c.auth) == 0:
		return c.crypt(dst, body), Unverified, nil
	case sc&Encrypted == 0:
		if _, err := c.aead.Open(nil, c.nonce[:12], tag, c.additional(sc, header, body)); err != nil {
			return dst, Plain, ErrAuthentication
		}
		return append(dst, body...), Verified, nil
	}
	out, err := c.aead.Open(dst, c.nonce[:12], text, c.additional(sc, header, nil))
	if err != nil {
		return dst, Plain, ErrAuthentication
	}
	return out, Verified, nil
}

// crypt appends text, encrypted or decrypted in the counter mode that is inside
// GCM: the counter of the first block is 2.
func (c *Cipher) crypt(dst, text []byte) []byte {
	binary.BigEndian.PutUint32(c.nonce[12:], 2)
	start := len(dst)
	dst = append(dst, text...)
	cipher.NewCTR(c.block, c.nonce[:]).XORKeyStream(dst[start:], dst[start:])
	return dst
}

// IV returns the initialisation vector of a message.
func IV(sender Title, counter uint32) (iv [12]byte) {
	copy(iv[:], sender[:])
	binary.BigEndian.PutUint32(iv[TitleLen:], counter)
	return iv
}

// Contents is the beginning of what a ciphered APDU holds.
type Contents struct {
	Control Control
	Counter uint32
	Text    []byte // payload and tag; it aliases the input
}

// ParseContents splits the contents of a ciphered APDU.
func ParseContents(b []byte) (Contents, error) {
	if len(b) < headerLen {
		return Contents{}, fmt.Errorf("security: header at octet %d: %w", len(b), io.ErrUnexpectedEOF)
	}
	return Contents{Control(b[0]), binary.BigEndian.Uint32(b[1:]), b[headerLen:]}, nil
}

// AppendSealed appends contents: header, payload and tag.
func AppendSealed(dst []byte, s Sealer, c Control, sender Title, counter uint32, header, plain []byte) ([]byte, error) {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(append(dst, byte(c)), counter)
	out, err := s.Seal(dst, c, IV(sender, counter), header, plain)
	if err != nil {
		return dst[:start], err
	}
	return out, nil
}
