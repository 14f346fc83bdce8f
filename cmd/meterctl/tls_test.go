package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850/client"
)

// authority signs certificates, which it keeps as PEM files.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := authority{t.TempDir(), &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, key}
	a.sign(t, "ca", a.cert, key)
	return a
}

func (a authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// sign writes a certificate and the key that it is for.
func (a authority) sign(t *testing.T, name string, template *x509.Certificate, key *ecdsa.PrivateKey) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(a.file(name+"-key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

// issue writes the certificate of a server or client on this machine.
func (a authority) issue(t *testing.T, name string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a.sign(t, name, &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, key)
}

// client returns the configuration of a client with a certificate of this
// authority that trusts servers of another.
func (a authority) client(t *testing.T, trusted authority) *tls.Config {
	cert, err := tls.LoadX509KeyPair(a.file("client"), a.file("client-key"))
	require.NoError(t, err)
	roots, err := os.ReadFile(trusted.file("ca"))
	require.NoError(t, err)
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	require.True(t, cfg.RootCAs.AppendCertsFromPEM(roots))
	return cfg
}

// freeAddress returns an address at which nobody listens.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// A meter shown by TLS associates with the clients of its authority, and with no others.
func TestExposeTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	ours.issue(t, "server")
	ours.issue(t, "client")
	theirs.issue(t, "client")
	address := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan outcome, 1)
	go func() {
		done <- runContext(ctx, "", "expose", "sim:iec62056", "--as", "iec61850", "--listen", "tcp://"+address,
			"--tls-cert", ours.file("server"), "--tls-key", ours.file("server-key"), "--tls-ca", ours.file("ca"))
	}()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, 20*time.Millisecond)

	c, err := client.Dial(ctx, address, &client.Config{TLS: ours.client(t, ours)})
	require.NoError(t, err)
	_, err = c.Identify(ctx)
	require.NoError(t, err)
	require.NoError(t, c.Close())

	stranger := ours.client(t, ours)
	stranger.Certificates = nil
	for what, cfg := range map[string]*tls.Config{
		"client of another authority": theirs.client(t, ours),
		"client without certificate":  stranger,
		"server of another authority": ours.client(t, theirs),
		"plain":                       nil,
	} {
		_, err := client.Dial(ctx, address, &client.Config{TLS: cfg, Timeout: 2 * time.Second})
		require.Error(t, err, what)
	}
	cancel()
	got := <-done
	require.Equal(t, exitOK, got.exit, got.stderr)
}

func TestTLSFiles(t *testing.T) {
	ours := newAuthority(t)
	ours.issue(t, "server")
	cert, key := ours.file("server"), ours.file("server-key")
	for _, test := range []struct {
		files tlsFiles
		exit  int
	}{
		{tlsFiles{cert: cert}, exitUsage},
		{tlsFiles{ca: ours.file("ca")}, exitUsage},
		{tlsFiles{cert: cert, key: ours.file("ca-key")}, exitConfig},
		{tlsFiles{cert: cert, key: ours.file("none")}, exitConfig},
		{tlsFiles{cert: cert, key: key, ca: key}, exitConfig},
		{tlsFiles{cert: cert, key: key, ca: ours.file("none")}, exitConfig},
	} {
		_, err := test.files.server()
		require.Equal(t, test.exit, exitState(err), test.files)
	}
	plain, err := (&tlsFiles{}).server()
	require.NoError(t, err)
	require.Nil(t, plain)
	open, err := (&tlsFiles{cert: cert, key: key}).server()
	require.NoError(t, err)
	require.Equal(t, tls.NoClientCert, open.ClientAuth)
}
