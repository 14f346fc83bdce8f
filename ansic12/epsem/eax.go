package epsem

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
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
	header, err := m.canonical(make([]byte, 0, len(m.raw)+slack))
	if err != nil {
		return Opened{}, err
	}
	if len(header) <= aes.BlockSize {
		return Opened{}, fmt.Errorf("epsem: cleartext of %d octets: %w", len(header), ErrMAC)
	}
	e := newEAX(block)
	if m.Security() == Authenticated {
		if !m.tagged(e.mac(append(header, m.Body...), nil)) {
			return Opened{}, fmt.Errorf("epsem: %w", ErrMAC)
		}
		list, err := split(m.Body)
		return Opened{Services: list, Weak: true}, err
	}
	if !m.tagged(e.mac(header, m.Body)) {
		return Opened{}, fmt.Errorf("epsem: %w", ErrMAC)
	}
	// What was covered has been checked, and makes room for the plaintext.
	list, err := split(e.cipher(header[:0], m.Body))
	return Opened{Services: list, Weak: true}, err
}

// tagged reports whether a MAC is that of the message.
func (m *Message) tagged(mac [macLen]byte) bool {
	return subtle.ConstantTimeCompare(mac[:], m.MAC[:]) == 1
}

// slack is how much longer than a message the cleartext of it may be: both titles
// become absolute.
const slack = 32

// canonical appends the cleartext that the MAC covers.
func (m *Message) canonical(out []byte) ([]byte, error) {
	for _, tag := range [...]byte{TagContext, TagCalled, TagCalledID, TagQualifier, TagCallingID, TagMechanism, TagAuthValue} {
		out = m.appendElements(out, tag)
	}
	info := m.Elements[m.userInfo]
	head := m.epsem + 1 + len(m.Class)
	first := head - 1 - len(m.Class) - m.lengths[1] - m.lengths[2]
	out = append(out, TagUserInfo)
	out = appendLength(out, len(info.Content))
	out = append(out, m.raw[first:head]...)
	out = m.appendElements(out, TagCalling)
	key, iv, ok := m.authentication()
	if !ok {
		return nil, &ParseError{Field: "authentication value", Offset: info.offset, Err: errMissing}
	}
	return append(append(out, key...), iv...), nil
}

// appendElements appends all elements with a tag, relative titles as absolute ones.
func (m *Message) appendElements(out []byte, tag byte) []byte {
	for _, e := range m.Elements {
		if e.Tag != tag {
			continue
		}
		title := Title(e.Content)
		if tag != TagCalled && tag != TagCalling || !title.relative() || len(title.content()) == 0 {
			out = append(appendLength(append(out, tag), len(e.Content)), e.Content...)
			continue
		}
		n := len(rootOID) + len(title.content())
		head := 2
		if n >= 0x80 {
			head = 3
		}
		out = append(appendLength(append(out, tag), head+n), tagAbsolute)
		out = append(append(appendLength(out, n), rootOID...), title.content()...)
	}
	return out
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

// eax is EAX' with one key. Its blocks are in one place, as a cipher takes them there.
type eax struct {
	block            cipher.Block
	d, q, state, end [aes.BlockSize]byte
	header           [aes.BlockSize]byte // CMAC of the header, from which the counter begins
}

func newEAX(block cipher.Block) *eax {
	e := &eax{block: block}
	e.block.Encrypt(e.state[:], e.state[:])
	e.d = double(e.state)
	e.q = double(e.d)
	return e
}

// mac returns the MAC of header and ciphertext.
func (e *eax) mac(header, ciphertext []byte) (mac [macLen]byte) {
	e.state = e.d
	e.cmac(header)
	e.header = e.state
	if len(ciphertext) > 0 {
		e.state = e.q
		e.cmac(ciphertext)
		subtle.XORBytes(e.state[:], e.state[:], e.header[:])
	}
	copy(mac[:], e.state[aes.BlockSize-macLen:])
	return mac
}

// cipher appends what is ciphered in the clear, or the other way round, once the
// MAC of the header is known.
func (e *eax) cipher(dst, b []byte) []byte {
	start := e.header
	start[12] &= 0x7F
	start[14] &= 0x7F
	n := len(dst)
	dst = slices.Grow(dst, len(b))[:n+len(b)]
	e.end = start
	cipher.NewCTR(e.block, e.end[:]).XORKeyStream(dst[n:], b)
	return dst
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

// cmac is the CMAC of EAX', which begins with a block that is not zero: the state.
func (e *eax) cmac(b []byte) {
	for len(b) > aes.BlockSize {
		subtle.XORBytes(e.state[:], e.state[:], b[:aes.BlockSize])
		e.block.Encrypt(e.state[:], e.state[:])
		b = b[aes.BlockSize:]
	}
	var last [aes.BlockSize]byte
	end := &e.d
	if n := copy(last[:], b); n < aes.BlockSize {
		last[n] = 0x80
		end = &e.q
	}
	for i := range e.state {
		e.state[i] ^= last[i] ^ end[i]
	}
	e.block.Encrypt(e.state[:], e.state[:])
}
