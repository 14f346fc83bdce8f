package meter

import (
	"bufio"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"
)

// ParseKeys reads a key file: lines "name = HEX", "[ID]" before the keys of one
// meter of several, "#" before comments. The names are ek, ak, dk, kek, key,
// system-title (ours), meter-system-title, and password as text; signing-key,
// agreement-key and certificate name PEM files. Errors never hold a key.
func ParseKeys(r io.Reader) (Keys, error) {
	var all Keys
	var own Keys
	section, to := "", &all
	end := func() {
		if section != "" {
			if all.ByMeter == nil {
				all.ByMeter = map[string]Keys{}
			}
			all.ByMeter[section] = own
		}
	}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "", line[0] == '#':
			continue
		case line[0] == '[':
			end()
			name, ok := strings.CutSuffix(line[1:], "]")
			if section = strings.TrimSpace(name); !ok || section == "" {
				return Keys{}, fmt.Errorf("keys: line %d: want [ID]", n)
			}
			own, to = Keys{}, &own
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return Keys{}, fmt.Errorf("keys: line %d: want name = value", n)
		}
		if err := to.set(strings.TrimSpace(name), strings.TrimSpace(value)); err != nil {
			return Keys{}, fmt.Errorf("keys: line %d: %w", n, err)
		}
	}
	end()
	return all, lines.Err()
}

// set gives the key with this name its value.
func (k *Keys) set(name, value string) (err error) {
	secrets := map[string]struct {
		to   *Secret
		size []int // allowed octets
	}{
		"ek": {&k.Encryption, []int{16, 32}}, "ak": {&k.Authentication, []int{16, 32}}, "dk": {&k.Dedicated, []int{16, 32}},
		"kek": {&k.Master, []int{16, 32}}, "key": {&k.Key, []int{16}},
		"system-title": {&k.SystemTitle, []int{8}}, "meter-system-title": {&k.MeterSystemTitle, []int{8}},
	}
	if s, ok := secrets[name]; ok {
		value, _, _ = strings.Cut(value, "#")
		b, err := hex.DecodeString(strings.Join(strings.Fields(value), ""))
		if err != nil {
			return fmt.Errorf("%s is not hexadecimal", name)
		}
		for _, size := range s.size {
			if len(b) == size {
				*s.to = b
				return nil
			}
		}
		return fmt.Errorf("%s has %d octets, want %v", name, len(b), s.size)
	}
	switch name {
	case "password":
		k.Password = Secret(value)
	case "signing-key":
		var key *ecdsa.PrivateKey
		if key, err = readPrivateKey(value); err == nil {
			k.SigningKey = key
		}
	case "agreement-key":
		var key *ecdsa.PrivateKey
		if key, err = readPrivateKey(value); err == nil {
			var agreement *ecdh.PrivateKey
			if agreement, err = key.ECDH(); err == nil {
				k.AgreementKey = agreement
			}
		}
	case "certificate":
		k.Certificate, err = readCertificate(value)
	default:
		return fmt.Errorf("unknown name %q", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func readPEM(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", file)
	}
	return block.Bytes, nil
}

func readPrivateKey(file string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		return ec, nil
	}
	return nil, fmt.Errorf("%s holds a %T, want an EC key", file, key)
}

func readCertificate(file string) (*x509.Certificate, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
