package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/spf13/cobra"
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
