package epsem

import (
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Seal returns the message secured by EAX' as s says, ready to be sent. Its body are the
// services in the clear; elements that it has in place of an authentication value
// are replaced. The vector must not come twice with the same key, titles and
// invocation id: stations use the seconds since 1970.
//
// EAX' is weak: see the package comment.
func (m Message) Seal(s Security, key []byte, keyID uint8, vector uint32) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != aes.BlockSize {
		return nil, fmt.Errorf("epsem: key of %d octets, want 16", len(key))
	}
	if s != Authenticated && s != Ciphered {
		return nil, fmt.Errorf("epsem: no security %d", s)
	}
	var elements []Element
	for _, e := range m.Elements {
		if e.Tag != TagAuthValue && e.Tag != TagUserInfo {
			elements = append(elements, e)
		}
	}
	m.Elements = append(elements, Element{Tag: TagAuthValue, Content: authValue(keyID, vector)})
	m.Control = m.Control&^maskSecurity | byte(s)<<shiftSecurity
	// The MAC covers lengths, too: they are known once the message is laid out.
	b, err := m.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	out, _, err := Parse(b)
	if err != nil {
		return nil, err
	}
	header, err := out.canonical(make([]byte, 0, len(b)+slack))
	if err != nil {
		return nil, err
	}
	if len(header) <= aes.BlockSize {
		return nil, fmt.Errorf("epsem: message with %d octets of cleartext, want more than %d", len(header), aes.BlockSize)
	}
	e := newEAX(block)
	if s == Authenticated {
		out.MAC = e.mac(append(header, out.Body...), nil)
	} else {
		e.mac(header, nil)
		out.Body = e.cipher(nil, out.Body)
		out.MAC = e.mac(header, out.Body)
	}
	return out.AppendBinary(nil)
}

// authValue is the authentication value of C12.22: key id and vector.
func authValue(keyID uint8, vector uint32) []byte {
	iv := binary.BigEndian.AppendUint32(nil, vector)
	inner := append(wrap(0x80, []byte{keyID}), wrap(0x81, iv)...)
	return wrap(0xA2, wrap(0xA0, wrap(0xA1, inner)))
}

// Vector returns the initialisation vector of a secured message.
func (m *Message) Vector() (uint32, bool) {
	_, iv, ok := m.authentication()
	if !ok || len(iv) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(iv), true
}

// Vectors returns initialisation vectors for messages that are sent with one key.
// None must ever come twice, not even after a restart: two messages under the same
// vector give away what they say.
type Vectors func() (uint32, error)

// ErrNoVectors reports a key without [Vectors].
var ErrNoVectors = errors.New("epsem: a key needs a store for the vectors that were used")

// MemoryVectors returns vectors from the time on that do not survive a restart: two
// programs that begin in the same second, or one that sent more messages than there
// were seconds, use the same. It may be called by several goroutines.
func MemoryVectors() Vectors {
	var mu sync.Mutex
	var last uint32
	return func() (uint32, error) {
		mu.Lock()
		defer mu.Unlock()
		last = max(uint32(time.Now().Unix()), last+1)
		return last, nil
	}
}
