// Package keys holds the secrets of meters: as values that do not print
// themselves, by meter, from files or from a key store.
package keys

import (
	"crypto"
	"crypto/ecdh"
	"crypto/x509"
	"fmt"
	"io"
	"sync"
)

// Set are the secrets of one meter, or of several by their ids.
type Set struct {
	Encryption     Secret // DLMS global unicast encryption key (EK), P1
	Authentication Secret // DLMS authentication key (AK)
	Dedicated      Secret // DLMS dedicated key
	Master         Secret // DLMS key encryption key (KEK)
	Key            Secret // M-Bus and P1 user key
	Password       Secret // password as text

	SystemTitle      Secret // ours, eight octets
	MeterSystemTitle Secret // the meter's, eight octets, where it does not send it

	SigningKey   crypto.Signer     // for HLS 7 and general-signing
	AgreementKey *ecdh.PrivateKey  // for general-ciphering with agreed keys
	Certificate  *x509.Certificate // of SigningKey

	// PeerCertificate is the certificate of the other side, Authorities are those
	// who may sign it. Without either nobody proves who he is by a signature.
	PeerCertificate *x509.Certificate
	Authorities     []*x509.Certificate

	// ByMeter has the secrets of meters by id: eight-digit M-Bus id, P1 equipment id,
	// logical device name, or system title as sixteen hexadecimal digits.
	ByMeter map[string]Set
	// Find asks a key store for what ByMeter does not have. It may be called by
	// several goroutines, see [Remember]. Nil finds nothing.
	Find func(id string) (Set, bool)
}

// For returns the secrets of the meter that has one of these ids, or s itself
// where none has any.
func (s Set) For(ids ...string) Set {
	for _, id := range ids {
		if own, ok := s.ByMeter[id]; ok {
			return own
		}
	}
	if s.Find == nil {
		return s
	}
	for _, id := range ids {
		if id == "" {
			continue
		}
		if own, ok := s.Find(id); ok {
			return own
		}
	}
	return s
}

// All yields s and the secrets of each meter in ByMeter.
func (s Set) All(yield func(Set) bool) {
	if !yield(s) {
		return
	}
	for _, own := range s.ByMeter {
		if !yield(own) {
			return
		}
	}
}

// Remember returns a Find that asks find once for each id, and remembers the
// answers to the last limit of them, also that there is none.
func Remember(find func(id string) (Set, bool), limit int) func(id string) (Set, bool) {
	type answer struct {
		set Set
		ok  bool
	}
	var mu sync.Mutex
	known := map[string]answer{}
	var order []string // ring of the ids in known, the next to be forgotten at at
	at := 0
	return func(id string) (Set, bool) {
		mu.Lock()
		defer mu.Unlock()
		if a, ok := known[id]; ok {
			return a.set, a.ok
		}
		var a answer
		a.set, a.ok = find(id)
		if len(order) < limit {
			order = append(order, id)
		} else if limit > 0 {
			delete(known, order[at])
			order[at] = id
			at = (at + 1) % limit
		}
		if limit > 0 {
			known[id] = a
		}
		return a.set, a.ok
	}
}

// Secret is a key that does not print itself.
type Secret []byte

// String returns "" for no secret and "redacted" for any other.
func (s Secret) String() string {
	if len(s) == 0 {
		return ""
	}
	return "redacted"
}

// GoString is String: %#v must not print keys either.
func (s Secret) GoString() string { return s.String() }

// Format prints String whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
