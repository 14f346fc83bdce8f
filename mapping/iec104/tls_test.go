package iec104

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates for both sides.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	return &authority{cert, key}
}

func (a *authority) sign(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// IEC 62351-3: both sides show certificates of an authority that the other trusts.
func TestTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	s := NewStation(&Config{TLS: &tls.Config{Certificates: []tls.Certificate{ours.sign(t)}, ClientCAs: ours.pool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}})
	s.Update(sample(), noon)
	address := serveStation(t, s)
	talk := func(cfg *tls.Config) error {
		conn, err := tls.Dial("tcp", address, cfg)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write(frame("07000000")); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 6))
		return err
	}
	require.NoError(t, talk(&tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{ours.sign(t)}}))
	require.Error(t, talk(&tls.Config{RootCAs: ours.pool()}), "no certificate")
	require.Error(t, talk(&tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{other.sign(t)}}), "of another authority")
	require.Error(t, talk(&tls.Config{RootCAs: other.pool(), Certificates: []tls.Certificate{ours.sign(t)}}), "the master does not trust us")
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(frame("07000000"))
	require.NoError(t, err)
	answer, _ := io.ReadAll(conn)
	require.NotContains(t, string(answer), string(frame("0b000000")), "in the clear")
}
