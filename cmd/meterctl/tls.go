package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
)

// tlsFiles are the PEM files that have a server speak TLS.
type tlsFiles struct {
	cert, key string // of the server
	ca        string // of those who sign for clients; "" asks clients for no certificate
}

func (f *tlsFiles) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "PEM file of our certificate and what links it to an authority: clients must speak TLS")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "PEM file of the key of --tls-cert")
	cmd.Flags().StringVar(&f.ca, "tls-ca", "", "PEM file of the authorities that sign for clients, which must show a certificate then")
}

// server returns the configuration of a server (IEC 62351-3: TLS 1.2 or later),
// nil where no files are named.
func (f *tlsFiles) server() (*tls.Config, error) {
	switch {
	case *f == tlsFiles{}:
		return nil, nil
	case f.cert == "" || f.key == "":
		return nil, usagef("TLS wants both --tls-cert and --tls-key")
	}
	own, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, configf("--tls-cert %s, --tls-key %s: %w", f.cert, f.key, err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
	if f.ca == "" {
		return cfg, nil
	}
	authorities, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, configf("--tls-ca: %w", err)
	}
	cfg.ClientCAs, cfg.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !cfg.ClientCAs.AppendCertsFromPEM(authorities) {
		return nil, configf("--tls-ca %s: no certificate in it", f.ca)
	}
	return cfg, nil
}

// handshakeTime is how long a client may take to agree on TLS.
const handshakeTime = 10 * time.Second

// secured is a face whose clients agree on TLS before they are served.
type secured struct {
	meter.Face
	cfg *tls.Config
}

func (s secured) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	conn, ok := rw.(net.Conn)
	if !ok {
		return fmt.Errorf("TLS: no network connection, but %T", rw)
	}
	secure := tls.Server(conn, s.cfg)
	agreeing, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := secure.HandshakeContext(agreeing); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	return s.Face.Serve(ctx, secure)
}
