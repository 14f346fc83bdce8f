package security

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

// Vectors of RFC 3394 and of the published examples of suite 0.
func TestVectors(t *testing.T) {
	for _, v := range golden.Load(t, "testdata/vectors.txt") {
		t.Run(v.Name, func(t *testing.T) {
			field := func(name string) []byte { return golden.Unhex(t, v.Fields[name]) }
			if kek := field("kek"); len(kek) > 0 {
				wrapped, err := Wrap(kek, field("plain"))
				require.NoError(t, err)
				require.Equal(t, v.Hex, wrapped)
				plain, err := Unwrap(kek, wrapped)
				require.NoError(t, err)
				require.Equal(t, field("plain"), []byte(plain))
				wrapped[0] ^= 1
				_, err = Unwrap(kek, wrapped)
				require.ErrorIs(t, err, ErrWrap)
				return
			}
			s, err := NewCipher(field("ek"), field("ak"))
			require.NoError(t, err)
			c, err := ParseContents(v.Hex)
			require.NoError(t, err)
			plain, trust, err := s.Open(nil, c.Control, IV(Title(field("title")), c.Counter), nil, c.Text)
			require.NoError(t, err)
			require.Equal(t, Verified, trust)
			require.Equal(t, field("plain"), plain)
			again, err := AppendSealed(nil, s, c.Control, Title(field("title")), c.Counter, nil, plain)
			require.NoError(t, err)
			require.Equal(t, v.Hex, again)
		})
	}
}

func TestKeysHideThemselves(t *testing.T) {
	key := Key("0123456789abcdef")
	s, err := NewCipher(key, key)
	require.NoError(t, err)
	signing, err := NewSigningKey(Suite1, bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	for _, v := range []any{key, &key, s, signing, struct{ K Key }{key}, []Key{key}, Handshake{Secret: key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			text := fmt.Sprintf(verb, v)
			require.NotContains(t, text, "0123456789", "%s of %T", verb, v)
			require.NotContains(t, text, "30313233", "%s of %T", verb, v)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 16)
	s, err := NewCipher(key, key)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		control Control
		text    []byte
		want    error
	}{
		"compressed": {Compressed | Authenticated, make([]byte, 20), ErrCompressed},
		"no tag":     {Authenticated, make([]byte, 11), io.ErrUnexpectedEOF},
		"wrong tag":  {Authenticated | Encrypted, make([]byte, 20), ErrAuthentication},
		"wrong GMAC": {Authenticated, make([]byte, 20), ErrAuthentication},
	} {
		t.Run(name, func(t *testing.T) {
			_, trust, err := s.Open(nil, test.control, [12]byte{}, nil, test.text)
			require.ErrorIs(t, err, test.want)
			require.Equal(t, Plain, trust)
		})
	}
	_, err = NewCipher(make([]byte, 24), nil)
	require.ErrorIs(t, err, ErrKeyLength)
	_, err = ParseContents([]byte{0x30, 0})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestCounters(t *testing.T) {
	var m MemoryCounters
	id := CounterID{Title: Title{1}}
	for want := uint32(1); want < 4; want++ {
		got, err := m.Next(id)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	in := CounterID{Title: Title{1}, Receive: true}
	require.NoError(t, m.Accept(in, 0))
	require.NoError(t, m.Accept(in, 7))
	require.ErrorIs(t, m.Accept(in, 7), ErrReplay)
	require.ErrorIs(t, m.Accept(in, 3), ErrReplay)
	require.Equal(t, uint32(8), m.Expected(in))
	require.NoError(t, m.Reset(id, counterMax-1))
	_, err := m.Next(id)
	require.NoError(t, err)
	_, err = m.Next(id)
	require.ErrorIs(t, err, ErrExhausted)
}

// Keys of PEM files sign and agree, and a certificate tells the public one.
func TestKeysFromFiles(t *testing.T) {
	for suite, curve := range map[Suite]elliptic.Curve{Suite1: elliptic.P256(), Suite2: elliptic.P384()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
		require.NoError(t, err)
		public, err := CertifiedKey(der, nil, Title{})
		require.NoError(t, err)
		signing, err := SigningKeyFrom(private)
		require.NoError(t, err)
		require.Equal(t, signing.Public(), public)
		signature, err := signing.Sign([]byte("message"))
		require.NoError(t, err)
		require.NoError(t, VerifySignature(suite, public, []byte("message"), signature))
		require.ErrorIs(t, VerifySignature(suite, public, []byte("massage"), signature), ErrSignature)

		agreement, err := AgreementKeyFrom(private)
		require.NoError(t, err)
		ephemeral, err := GenerateAgreementKey(suite)
		require.NoError(t, err)
		ours, err := agreement.Agree(ephemeral.Public())
		require.NoError(t, err)
		theirs, err := ephemeral.Agree(agreement.Public())
		require.NoError(t, err)
		require.Equal(t, ours, theirs)
	}
	other, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)
	_, err = SigningKeyFrom(other)
	require.ErrorIs(t, err, ErrSuite)
	_, err = AgreementKeyFrom(other)
	require.ErrorIs(t, err, ErrSuite)
	_, err = CertifiedKey([]byte("no certificate"), nil, Title{})
	require.Error(t, err)
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte{0x30, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18})
	key := bytes.Repeat([]byte{1}, 16)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseContents(b)
		if err != nil {
			return
		}
		for _, auth := range [][]byte{nil, key} {
			s, err := NewCipher(key, auth)
			require.NoError(t, err)
			plain, trust, err := s.Open(nil, c.Control, IV(Title{}, c.Counter), nil, c.Text)
			if err != nil {
				continue
			}
			if c.Control&Authenticated != 0 && auth == nil {
				require.Equal(t, Unverified, trust)
				continue
			}
			again, err := AppendSealed(nil, s, c.Control, Title{}, c.Counter, nil, plain)
			require.NoError(t, err)
			require.Equal(t, b, again)
		}
	})
}

// BenchmarkOpen deciphers an authenticated and encrypted APDU of 256 octets. The
// floor is the standard library's GCM with a key that is set up once.
func BenchmarkOpen(b *testing.B) {
	key, auth := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16)
	s, err := NewCipher(key, auth)
	require.NoError(b, err)
	plain := bytes.Repeat([]byte{3}, 256)
	iv := IV(Title{1}, 5)
	text, err := s.Seal(nil, Authenticated|Encrypted, iv, nil, plain)
	require.NoError(b, err)

	block, err := aes.NewCipher(key)
	require.NoError(b, err)
	aead, err := cipher.NewGCMWithTagSize(block, 12)
	require.NoError(b, err)
	aad := append([]byte{0x30}, auth...)
	out := make([]byte, 0, 512)
	const rounds = 200000
	start := time.Now()
	for range rounds {
		if out, err = aead.Open(out[:0], iv[:], text, aad); err != nil {
			b.Fatal(err)
		}
	}
	floor := time.Since(start) / rounds

	require.Zero(b, testing.AllocsPerRun(100, func() {
		out, _, err = s.Open(out[:0], Authenticated|Encrypted, iv, nil, text)
	}))
	b.SetBytes(256)
	b.ReportAllocs()
	for b.Loop() {
		if out, _, err = s.Open(out[:0], Authenticated|Encrypted, iv, nil, text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(floor)/(float64(b.Elapsed())/float64(b.N)), "of_floor")
}

func Example() {
	key := Key("0123456789abcdef")
	client, _ := NewCipher(key, Key("fedcba9876543210"))
	message, _ := AppendSealed(nil, client, Authenticated|Encrypted, Title{'A', 'B', 'C'}, 1, nil, []byte("get"))
	c, _ := ParseContents(message)
	plain, trust, err := client.Open(nil, c.Control, IV(Title{'A', 'B', 'C'}, c.Counter), nil, c.Text)
	fmt.Printf("%s, %v, %v, verified: %t\n", plain, c.Control, err, trust == Verified)
	message[7] ^= 1
	_, _, err = client.Open(nil, c.Control, IV(Title{'A', 'B', 'C'}, c.Counter), nil, c.Text)
	fmt.Println(errors.Is(err, ErrAuthentication), key)
	// Output:
	// get, suite 0, authenticated, encrypted, <nil>, verified: true
	// true [redacted]
}
