package mbus

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
)

// Security says what was done about the encryption of a telegram.
type Security struct {
	Mode      int  // security mode of the configuration field, 0 for none
	Encrypted bool // octets of it were encrypted
	Verified  bool // a message authentication code was checked and right
}

// The reasons for which a telegram stays encrypted. What Parse returns with
// them has its header, and the encrypted octets as payload.
var (
	ErrNoKey       = errors.New("telegram is encrypted and there is no key for this meter")
	ErrWrongKey    = errors.New("wrong key, or the telegram was damaged")
	ErrBadMAC      = errors.New("wrong message authentication code")
	ErrUnsupported = errors.New("security mode is not supported")
)

// SecurityError says why a telegram stays encrypted.
type SecurityError struct {
	Address Address
	Mode    int
	Err     error // one of [ErrNoKey], [ErrWrongKey], [ErrBadMAC] and [ErrUnsupported]
}

func (e *SecurityError) Error() string {
	return fmt.Sprintf("mbus: meter %s, security mode %d (%s): %v", e.Address, e.Mode, modeName(e.Mode), e.Err)
}

func (e *SecurityError) Unwrap() error { return e.Err }

var modeNames = [32]string{
	0: "none", 2: "DES", 3: "DES with IV", 5: "AES-CBC", 7: "AES-CBC with ephemeral key", 8: "AES-CTR with CMAC", 9: "AES-GCM", 10: "AES-CCM", 13: "TLS",
}

func modeName(mode int) string {
	if modeNames[mode&31] == "" {
		return "reserved"
	}
	return modeNames[mode&31]
}

// Key is an AES-128 key, expanded once. It never shows itself.
type Key struct {
	block cipher.Block
}

// NewKey makes a key of 16 octets.
func NewKey(key []byte) (*Key, error) {
	if len(key) != 16 {
		return nil, fmt.Errorf("mbus: key of %d octets, want 16", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &Key{block: block}, nil
}

// String returns no part of the key.
func (k *Key) String() string { return "(redacted)" }

// GoString returns no part of the key.
func (k *Key) GoString() string { return "(redacted)" }

// encryptable reports whether the configuration field of a wired meter can be
// that of an encrypted telegram: old meters have a signature in its place.
func encryptable(c Config) bool {
	switch c.Mode() {
	case 5, 7:
		return c.Blocks() > 0
	}
	return false
}

// decrypt replaces the payload of t, which stands at b[n:], by its plain text.
func (d *Decoder) decrypt(t *Telegram, b []byte, n int, lower Lower) error {
	mode := t.Header.Config.Mode()
	t.Security.Mode = mode
	fail := func(err error) error { return &SecurityError{t.Header.Address, mode, err} }
	switch mode {
	case 5:
		return d.decryptCBC(t, fail)
	}
	return fail(ErrUnsupported)
}

// decryptCBC decrypts mode 5: whole blocks, the initial vector being made of
// address and access number; the plain text begins with two fillers.
func (d *Decoder) decryptCBC(t *Telegram, fail func(error) error) error {
	n := 16 * t.Header.Config.Blocks()
	if n == 0 {
		return nil
	}
	t.Security.Encrypted = true
	if n > len(t.Payload) {
		return &ParseError{Field: "encrypted blocks", Offset: len(t.Payload), Err: fmt.Errorf("%d octets announced: %w", n, io.ErrUnexpectedEOF)}
	}
	key := d.key(t.Header.Address)
	if key == nil {
		return fail(ErrNoKey)
	}
	d.iv = cbcVector(t.Header)
	d.plain = append(d.plain[:0], t.Payload...)
	cbcDecrypt(key.block, &d.iv, d.plain[:n], t.Payload[:n])
	if d.plain[0] != difFiller || d.plain[1] != difFiller {
		return fail(ErrWrongKey)
	}
	t.Payload = d.plain
	return nil
}

func (d *Decoder) key(a Address) *Key {
	if d.Keys == nil {
		return nil
	}
	return d.Keys(a)
}

// cbcDecrypt decrypts whole blocks of src to dst, which must not overlap.
func cbcDecrypt(block cipher.Block, iv *[16]byte, dst, src []byte) {
	last := iv[:]
	for len(src) >= 16 {
		block.Decrypt(dst[:16], src[:16])
		for i := range 16 {
			dst[i] ^= last[i]
		}
		last = src[:16]
		dst, src = dst[16:], src[16:]
	}
}

// AppendEncrypted appends a header and records encrypted in mode 5, for which it
// sets the configuration field and fills up the last block.
func AppendEncrypted(dst []byte, h Header, records []byte, key *Key) ([]byte, error) {
	blocks := (2 + len(records) + 15) / 16
	if blocks > 15 {
		return dst, fmt.Errorf("mbus: %d octets of records are more than mode 5 can encrypt", len(records))
	}
	h.Config = h.Config&^0x1FF0 | 0x0500 | Config(blocks)<<4
	dst = h.AppendBinary(dst)
	at := len(dst)
	dst = append(append(dst, difFiller, difFiller), records...)
	for len(dst)-at < 16*blocks {
		dst = append(dst, difFiller)
	}
	iv := cbcVector(h)
	cipher.NewCBCEncrypter(key.block, iv[:]).CryptBlocks(dst[at:], dst[at:])
	return dst, nil
}

// cbcVector is the initial vector of mode 5: link address and eight times the access number.
func cbcVector(h Header) (iv [16]byte) {
	h.Address.AppendLink(iv[:0])
	for i := 8; i < 16; i++ {
		iv[i] = h.Access
	}
	return iv
}
