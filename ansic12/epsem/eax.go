package epsem

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
)

// ErrMAC reports a message that was made with another key or changed under way.
var ErrMAC = errors.New("wrong MAC: another key, or the message was changed")

// rootOID is the object identifier below which relative titles stand.
var rootOID = []byte{0x60, 0x7C, 0x86, 0xF7, 0x54, 0x01, 0x16, 0x00}

// Opened is what a secured message holds once its MAC has been checked.
type Opened struct {
	Services [][]byte
	// Weak is always true: EAX' can be forged, so a right MAC proves little.
	Weak bool
}

// Verify checks the MAC of a secured message and deciphers it. The key has 16 octets.
// A wrong MAC is [ErrMAC]. Cleartext of 16 octets and less is refused, as for that
// anybody can make a MAC.
func (m *Message) Verify(key []byte) (Opened, error) {
	if m.Security() == Clear {
		list, err := m.Services()
		return Opened{Services: list, Weak: true}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != 16 {
		return Opened{}, fmt.Errorf("epsem: key of %d octets, want 16", len(key))
	}
	header, err := m.canonical()
	if err != nil {
		return Opened{}, err
	}
	if len(header) <= aes.BlockSize {
		return Opened{}, fmt.Errorf("epsem: cleartext of %d octets: %w", len(header), ErrMAC)
	}
	var ciphertext []byte
	if m.Security() == Ciphered {
		ciphertext = m.Body
	} else {
		header = append(header[:len(header):len(header)], m.Body...)
	}
	mac, plain := eax(block, header, ciphertext)
	if subtle.ConstantTimeCompare(mac[:], m.MAC[:]) != 1 {
		return Opened{}, fmt.Errorf("epsem: %w", ErrMAC)
	}
	if m.Security() == Authenticated {
		plain = m.Body
	}
	list, err := split(plain)
	return Opened{Services: list, Weak: true}, err
}

// canonical returns the cleartext that the MAC covers.
func (m *Message) canonical() ([]byte, error) {
	var out []byte
	add := func(tag byte) {
		for _, e := range m.Elements {
			if e.Tag == tag {
				out = append(out, wrap(tag, absolute(tag, e.Content))...)
			}
		}
	}
	for _, tag := range []byte{TagContext, TagCalled, TagCalledID, TagQualifier, TagCallingID, TagMechanism, TagAuthValue} {
		add(tag)
	}
	info := m.Elements[m.userInfo]
	head := m.epsem + 1 + len(m.Class)
	first := head - 1 - len(m.Class) - m.lengths[1] - m.lengths[2]
	out = append(out, TagUserInfo)
	out = appendLength(out, len(info.Content))
	out = append(out, m.raw[first:head]...)
	add(TagCalling)
	key, iv, ok := m.authentication()
	if !ok {
		return nil, &ParseError{Field: "authentication value", Offset: info.offset, Err: errMissing}
	}
	return append(append(out, key...), iv...), nil
}

// absolute expands a relative title.
func absolute(tag byte, content []byte) []byte {
	if tag != TagCalled && tag != TagCalling {
		return content
	}
	return Title(content).Absolute()
}

// authentication returns key id and initialisation vector of the authentication value:
// A2 { A0 { A1 { 80 key id, 81 vector } } }.
func (m *Message) authentication() (key, iv []byte, ok bool) {
	b, ok := m.Get(TagAuthValue)
	for _, tag := range []byte{0xA2, 0xA0, 0xA1} {
		if !ok || len(b) == 0 || b[0] != tag {
			return nil, nil, false
		}
		content, _, err := element(b, 0, "authentication value")
		b, ok = content, err == nil
	}
	for at := 0; at < len(b); {
		content, n, err := element(b, at, "authentication value")
		if err != nil {
			return nil, nil, false
		}
		switch b[at] {
		case 0x80:
			key = content
		case 0x81:
			iv = content
		}
		at += n
	}
	return key, iv, len(iv) > 0
}

// KeyID returns the number of the key with which the message was secured.
func (m *Message) KeyID() (uint8, bool) {
	key, _, ok := m.authentication()
	if !ok || len(key) != 1 {
		return 0, false
	}
	return key[0], true
}

// eax is EAX': the MAC of header and ciphertext, and the plaintext. It is its own inverse
// but for the MAC, which is of the ciphertext.
func eax(block cipher.Block, header, ciphertext []byte) (mac [macLen]byte, plain []byte) {
	var l, d, q [aes.BlockSize]byte
	block.Encrypt(l[:], l[:])
	d = double(l)
	q = double(d)
	n := cmac(block, d, d, q, header)
	tag := n
	if len(ciphertext) > 0 {
		c := cmac(block, q, d, q, ciphertext)
		for i := range tag {
			tag[i] ^= c[i]
		}
		start := n
		start[12] &= 0x7F
		start[14] &= 0x7F
		plain = make([]byte, len(ciphertext))
		cipher.NewCTR(block, start[:]).XORKeyStream(plain, ciphertext)
	}
	copy(mac[:], tag[aes.BlockSize-macLen:])
	return mac, plain
}

// double doubles in the field of 2^128 elements, the first octet being the lowest.
func double(in [aes.BlockSize]byte) (out [aes.BlockSize]byte) {
	carry := byte(0)
	for i, c := range in {
		out[i] = c<<1 | carry
		carry = c >> 7
	}
	if carry != 0 {
		out[0] ^= 0x87
	}
	return out
}

// cmac is the CMAC of EAX', which begins with a block that is not zero.
func cmac(block cipher.Block, state, d, q [aes.BlockSize]byte, b []byte) [aes.BlockSize]byte {
	for len(b) > aes.BlockSize {
		subtle.XORBytes(state[:], state[:], b[:aes.BlockSize])
		block.Encrypt(state[:], state[:])
		b = b[aes.BlockSize:]
	}
	var last [aes.BlockSize]byte
	end := d
	if n := copy(last[:], b); n < aes.BlockSize {
		last[n] = 0x80
		end = q
	}
	for i := range state {
		state[i] ^= last[i] ^ end[i]
	}
	block.Encrypt(state[:], state[:])
	return state
}
