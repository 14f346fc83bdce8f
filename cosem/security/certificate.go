package security

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"strings"
)

// CertifiedKey returns the public key, x and y, of a certificate in DER for
// signatures. It must be valid today, be for signatures, and name its owner by
// the system title; a zero title takes any. Where there are authorities, one of
// them must have issued it; where there are none, the caller trusts it already.
func CertifiedKey(der []byte, authorities [][]byte, owner Title) ([]byte, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	roots := x509.NewCertPool()
	for _, der := range authorities {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%w: authority: %w", ErrCertificate, err)
		}
		roots.AddCert(ca)
	}
	if len(authorities) == 0 {
		roots.AddCert(c) // it is its own authority, and the dates are looked at
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, fmt.Errorf("%w: it is not for signatures", ErrCertificate)
	}
	if name := c.Subject.CommonName; owner != (Title{}) && !strings.EqualFold(name, owner.String()) {
		return nil, fmt.Errorf("%w: it is of %q, want system title %v", ErrCertificate, name, owner)
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it holds no elliptic curve key", ErrCertificate)
	}
	b, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return b[1:], nil
}
