package security

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
)

// Key is a secret. It never shows in text.
type Key []byte

// String hides the key.
func (Key) String() string { return "[redacted]" }

// GoString hides the key.
func (Key) GoString() string { return "[redacted]" }

// LogValue hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText hides the key.
func (Key) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Format hides the key from every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

var wrapIV = []byte{0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6}

// ErrWrap reports a wrapped key that was not wrapped with this key.
var ErrWrap = errors.New("security: wrapped key does not unwrap: wrong key-encrypting key or damaged")

// Wrap encrypts a key with a key-encrypting key (RFC 3394).
func Wrap(kek, key Key) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("%w: key-encrypting key of %d octets", ErrKeyLength, len(kek))
	}
	n := len(key) / 8
	if len(key)%8 != 0 || n < 2 {
		return nil, fmt.Errorf("%w: key of %d octets", ErrKeyLength, len(key))
	}
	out := append(append([]byte{}, wrapIV...), key...)
	var buf [16]byte
	copy(buf[:8], wrapIV)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(buf[8:], out[8*i:8*i+8])
			block.Encrypt(buf[:], buf[:])
			t := uint64(n*j + i)
			binary.BigEndian.PutUint64(buf[:8], binary.BigEndian.Uint64(buf[:8])^t)
			copy(out[8*i:], buf[8:])
		}
	}
	copy(out, buf[:8])
	return out, nil
}

// Unwrap decrypts what [Wrap] encrypted.
func Unwrap(kek Key, wrapped []byte) (Key, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("%w: key-encrypting key of %d octets", ErrKeyLength, len(kek))
	}
	n := len(wrapped)/8 - 1
	if len(wrapped)%8 != 0 || n < 2 {
		return nil, fmt.Errorf("%w: wrapped key of %d octets", ErrKeyLength, len(wrapped))
	}
	out := append([]byte{}, wrapped[8:]...)
	var buf [16]byte
	copy(buf[:8], wrapped)
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			t := uint64(n*j + i)
			binary.BigEndian.PutUint64(buf[:8], binary.BigEndian.Uint64(buf[:8])^t)
			copy(buf[8:], out[8*i-8:8*i])
			block.Decrypt(buf[:], buf[:])
			copy(out[8*i-8:], buf[8:])
		}
	}
	if subtle.ConstantTimeCompare(buf[:8], wrapIV) != 1 {
		return nil, ErrWrap
	}
	return out, nil
}
