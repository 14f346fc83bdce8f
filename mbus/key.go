package mbus

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
)

// Key is an AES-128 key, expanded once. It never shows itself. It is safe for
// use by several goroutines.
type Key struct {
	block  cipher.Block
	k1, k2 [16]byte // subkeys of CMAC
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
	k := &Key{block: block}
	block.Encrypt(k.k1[:], k.k1[:])
	double(&k.k1)
	k.k2 = k.k1
	double(&k.k2)
	return k, nil
}

// double multiplies by x in the field of CMAC.
func double(b *[16]byte) {
	carry := byte(0)
	for i := 15; i >= 0; i-- {
		b[i], carry = b[i]<<1|carry, b[i]>>7
	}
	b[15] ^= 0x87 * carry
}

// String returns no part of the key.
func (k *Key) String() string { return "(redacted)" }

// Format prints no part of the key, whatever the verb.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// The derivation constants of key derivation function A (EN 13757-7).
const (
	DeriveEncryption            = 0x00 // meter to partner, encryption
	DeriveAuthentication        = 0x01 // meter to partner, authentication
	DeriveEncryptionToMeter     = 0x10 // partner to meter, encryption
	DeriveAuthenticationToMeter = 0x11 // partner to meter, authentication
)

// Derive returns the key of one message: the CMAC of constant, message counter
// and the ID of the meter.
func (k *Key) Derive(constant byte, counter, id uint32) (*Key, error) {
	in := [16]byte{0: constant, 9: 7, 10: 7, 11: 7, 12: 7, 13: 7, 14: 7, 15: 7}
	binary.LittleEndian.PutUint32(in[1:], counter)
	binary.LittleEndian.PutUint32(in[5:], id)
	mac := k.CMAC(in[:])
	return NewKey(mac[:])
}

// CMAC returns the AES-CMAC (RFC 4493) of the parts one behind the other.
func (k *Key) CMAC(parts ...[]byte) (mac [16]byte) {
	n := 0 // octets of the last block that are in mac
	for _, part := range parts {
		for _, c := range part {
			if n == 16 {
				k.block.Encrypt(mac[:], mac[:])
				n = 0
			}
			mac[n] ^= c
			n++
		}
	}
	last := &k.k1
	if n < 16 {
		mac[n] ^= 0x80
		last = &k.k2
	}
	subtle.XORBytes(mac[:], mac[:], last[:])
	k.block.Encrypt(mac[:], mac[:])
	return mac
}

// ctr encrypts or decrypts src to dst, which may be the same, with a key stream
// that begins at the counter block, in memory for that and a block of the stream.
func (k *Key) ctr(counter, stream *[16]byte, dst, src []byte) {
	for len(src) > 0 {
		k.block.Encrypt(stream[:], counter[:])
		n := subtle.XORBytes(dst, src, stream[:])
		dst, src = dst[n:], src[n:]
		for i := 15; i >= 0; i-- {
			if counter[i]++; counter[i] != 0 {
				break
			}
		}
	}
}

// DecryptCTR decrypts b in place with a key stream that begins at the counter block.
func (d *Decoder) DecryptCTR(key *Key, counter [16]byte, b []byte) {
	d.iv = counter
	key.ctr(&d.iv, &d.stream, b, b)
}

// decryptCBC decrypts whole blocks of src to dst, which must not overlap.
func (k *Key) decryptCBC(iv *[16]byte, dst, src []byte) {
	last := iv[:]
	for len(src) >= 16 {
		k.block.Decrypt(dst[:16], src[:16])
		subtle.XORBytes(dst[:16], dst[:16], last)
		last = src[:16]
		dst, src = dst[16:], src[16:]
	}
}

// openCCM appends the plain text of AES-CCM (RFC 3610) with a nonce of 13 octets
// and reports whether the tag is right.
func (k *Key) openCCM(dst []byte, nonce [13]byte, aad, sealed, tag []byte) (plain []byte, ok bool) {
	at := len(dst)
	dst = append(dst, sealed...)
	counter, stream := ccmBlock(1, nonce, 1), [16]byte{}
	k.ctr(&counter, &stream, dst[at:], sealed)
	mac := k.ccmMAC(nonce, aad, dst[at:], len(tag))
	return dst, subtle.ConstantTimeCompare(mac[:len(tag)], tag) == 1
}

// ccmBlock is a counter block, or B0 of the MAC without its flags of length.
func ccmBlock(flags byte, nonce [13]byte, n uint16) (b [16]byte) {
	b[0] = flags
	copy(b[1:], nonce[:])
	binary.BigEndian.PutUint16(b[14:], n)
	return b
}

// ccmMAC is the encrypted CBC-MAC of CCM.
func (k *Key) ccmMAC(nonce [13]byte, aad, plain []byte, tag int) (mac [16]byte) {
	flags := byte((tag-2)/2)<<3 | 1
	if len(aad) > 0 {
		flags |= 0x40
	}
	mac = ccmBlock(flags, nonce, uint16(len(plain)))
	k.block.Encrypt(mac[:], mac[:])
	n := 0
	add := func(b []byte) {
		for _, c := range b {
			mac[n] ^= c
			if n++; n == 16 {
				k.block.Encrypt(mac[:], mac[:])
				n = 0
			}
		}
	}
	pad := func() {
		if n > 0 {
			k.block.Encrypt(mac[:], mac[:])
			n = 0
		}
	}
	if len(aad) > 0 {
		add([]byte{byte(len(aad) >> 8), byte(len(aad))})
		add(aad)
		pad()
	}
	add(plain)
	pad()
	counter, stream := ccmBlock(1, nonce, 0), [16]byte{}
	k.ctr(&counter, &stream, mac[:], mac[:])
	return mac
}
