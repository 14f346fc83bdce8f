package osgp

import (
	"crypto/subtle"
	"fmt"
	"math/bits"
)

// KeyLen is the length of an OMA key.
const KeyLen = 12

// Key is an OMA key, of which the digest is made.
type Key [KeyLen]byte

// Address is a device in a domain of EN 14908: the digest covers it.
type Address struct{ Subnet, Node byte }

// blockLen is how many octets go with the key's bits: each of its 96 bits with one, and the
// first 48 again.
const blockLen = 144

// digest is the OMA digest. Each octet changes one octet of the state, from the last to
// the first and around again, as the key's bit says; the message is filled up with zeros.
func digest(key *Key, message []byte) (state [DigestLen]byte) {
	for first := 0; first < len(message); first += blockLen {
		for i := range blockLen {
			octet := byte(0)
			if first+i < len(message) {
				octet = message[first+i]
			}
			j := 7 - i%8
			sum := state[(j+1)%8] + octet
			turned := ^(state[j] + byte(j))
			if key[i/8%KeyLen]>>(7-j)&1 != 0 {
				state[j] = sum + bits.RotateLeft8(turned, 1)
			} else {
				state[j] = sum - bits.RotateLeft8(turned, -1)
			}
		}
	}
	return state
}

// Sign sets the digest of a request to a device. It protects nothing: see the package comment.
func (r *Request) Sign(key *Key, to Address) error {
	b, err := r.appendSigned([]byte{to.Subnet, to.Node})
	if err == nil {
		r.Digest = digest(key, b)
	}
	return err
}

// Check reports whether the digest of a request to a device is right. That it is
// proves nothing: see the package comment.
func (r *Request) Check(key *Key, to Address) error {
	own := *r
	if err := own.Sign(key, to); err != nil {
		return err
	}
	return compare(own.Digest, r.Digest)
}

// Sign sets the digest of the response to a request to a device, which covers the
// request, too.
func (r *Response) Sign(key *Key, to Address, request Request) error {
	b, err := request.appendSigned([]byte{to.Subnet, to.Node})
	if err != nil {
		return err
	}
	before := len(b)
	b = r.appendSigned(b)
	r.Digest = digest(key, append(b, byte(len(b)-before)))
	return nil
}

// Check reports whether the digest of the response to a request is right, as
// [Request.Check] does.
func (r *Response) Check(key *Key, to Address, request Request) error {
	own := *r
	if err := own.Sign(key, to, request); err != nil {
		return err
	}
	return compare(own.Digest, r.Digest)
}

func compare(want, got [DigestLen]byte) error {
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return fmt.Errorf("osgp: %w", ErrDigest)
	}
	return nil
}

// String does not show the key.
func (Key) String() string { return "redacted" }

// GoString is String.
func (Key) GoString() string { return "redacted" }

// Format prints String whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("redacted")) }
