package keys

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ReadFile is [Parse] of a file, which others may not read: [ErrExposed]. PEM
// files that it names lie beside it, or in the working directory.
func ReadFile(name string) (Set, error) {
	text, err := readSecret(name)
	if err != nil {
		return Set{}, err
	}
	return parse(bytes.NewReader(text), filepath.Dir(name))
}

// ErrExposed reports a file of keys that other users of the machine may read.
var ErrExposed = errors.New("other users may read it: chmod 600")

// readSecret reads a file that holds secrets.
func readSecret(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// On Windows the bits say nothing of who may read.
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s has mode %#o: %w", name, info.Mode().Perm(), ErrExposed)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d octets", name, maxFile)
	}
	return text, err
}

const maxFile = 64 << 20

// Parse reads a key file: lines "name = HEX", "[ID]" before the keys of one
// meter of several, "#" before comments. The names are ek, ak, dk, kek, key,
// system-title (ours), meter-system-title, and password as text; signing-key,
// agreement-key, certificate, peer-certificate and ca name PEM files. What is
// given twice is refused. Errors
// never hold a key.
func Parse(r io.Reader) (Set, error) { return parse(r, "") }

func parse(r io.Reader, folder string) (Set, error) {
	var all Set
	var own Set
	section, to := "", &all
	given := map[[2]string]bool{} // section and name
	end := func() {
		if section != "" {
			if all.ByMeter == nil {
				all.ByMeter = map[string]Set{}
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
				return Set{}, fmt.Errorf("keys: line %d: want [ID]", n)
			}
			if _, err := hex.DecodeString(section); err == nil && len(section) == 16 {
				section = strings.ToUpper(section) // a system title
			}
			if given[[2]string{section}] {
				return Set{}, fmt.Errorf("keys: line %d: [%s] is there already", n, section)
			}
			given[[2]string{section}] = true
			own, to = Set{}, &own
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return Set{}, fmt.Errorf("keys: line %d: want name = value", n)
		}
		name = strings.TrimSpace(name)
		if given[[2]string{section, name}] {
			return Set{}, fmt.Errorf("keys: line %d: %s is given already", n, name)
		}
		given[[2]string{section, name}] = true
		if err := to.set(name, strings.TrimSpace(value), folder); err != nil {
			return Set{}, fmt.Errorf("keys: line %d: %w", n, err)
		}
	}
	end()
	return all, lines.Err()
}

// set gives the key with this name its value.
func (k *Set) set(name, value, folder string) error {
	secrets := map[string]struct {
		to   *Secret
		size []int // allowed octets
	}{
		"ek": {&k.Encryption, []int{16, 32}}, "ak": {&k.Authentication, []int{16, 32}}, "dk": {&k.Dedicated, []int{16, 32}},
		"kek": {&k.Master, []int{16, 32}}, "key": {&k.Key, []int{8, 12, 16}},
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
	if name == "password" {
		k.Password = Secret(value)
		return nil
	}
	if err := k.setPEM(name, value, folder); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// setPEM reads the file that has a key or a certificate.
func (k *Set) setPEM(name, file, folder string) (err error) {
	file = beside(file, folder)
	var key *ecdsa.PrivateKey
	switch name {
	case "signing-key":
		if key, err = readPrivateKey(file); err == nil {
			k.SigningKey = key
		}
	case "agreement-key":
		if key, err = readPrivateKey(file); err == nil {
			k.AgreementKey, err = key.ECDH()
		}
	case "certificate":
		k.Certificate, err = readCertificate(file)
	case "peer-certificate":
		k.PeerCertificate, err = readCertificate(file)
	case "ca":
		k.Authorities, err = readAuthorities(file)
	default:
		return errors.New("unknown name")
	}
	return err
}

// beside returns the name of a file that lies in a folder, where it does.
func beside(file, folder string) string {
	if folder == "" || filepath.IsAbs(file) {
		return file
	}
	if near := filepath.Join(folder, file); exists(near) {
		return near
	}
	return file
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func readPEM(text []byte, file string) ([]byte, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "EC PARAMETERS" { // which openssl writes before the key
			return block.Bytes, nil
		}
	}
	return nil, fmt.Errorf("%s is no PEM file", file)
}

func readPrivateKey(file string) (*ecdsa.PrivateKey, error) {
	text, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	der, err := readPEM(text, file)
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
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	der, err := readPEM(text, file)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readAuthorities(file string) (list []*x509.Certificate, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return list, nil
}
