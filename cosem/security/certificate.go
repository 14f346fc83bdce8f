package security

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// PublicKeyOf returns the public key, x and y, of a certificate in DER, or of
// one that is the bare key already.
func PublicKeyOf(certificate []byte) ([]byte, error) {
	if n := len(certificate); n == 64 || n == 96 {
		return certificate, nil
	}
	c, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("security: certificate: %w", err)
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("security: certificate holds no elliptic curve key")
	}
	b, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("security: certificate: %w", err)
	}
	return b[1:], nil
}
