package security

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var owner = Title{'O', 'S', 'M', 0, 0, 0, 0, 2}

// certificate issues one for a new key, by an authority or by itself.
func certificate(t *testing.T, edit func(*x509.Certificate), ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: owner.String()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
	if edit != nil {
		edit(c)
	}
	if ca == nil {
		ca, caKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, caKey)
	require.NoError(t, err)
	c, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return c, key
}

func authority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.Subject.CommonName = true, true, x509.KeyUsageCertSign, "CA"
}

func TestCertificates(t *testing.T) {
	ca, caKey := certificate(t, authority, nil, nil)
	otherCA, otherKey := certificate(t, authority, nil, nil)
	roots := [][]byte{ca.Raw}
	good, key := certificate(t, nil, ca, caKey)
	public, err := CertifiedKey(good.Raw, roots, owner)
	require.NoError(t, err)
	signer, err := SigningKeyFrom(key)
	require.NoError(t, err)
	require.Equal(t, signer.Public(), public)
	self, _ := certificate(t, nil, nil, nil)
	_, err = CertifiedKey(self.Raw, nil, owner)
	require.NoError(t, err, "pinned")

	issued := func(edit func(*x509.Certificate)) []byte {
		c, _ := certificate(t, edit, ca, caKey)
		return c.Raw
	}
	strange, _ := certificate(t, nil, otherCA, otherKey)
	for name, der := range map[string][]byte{
		"of another authority": strange.Raw,
		"of itself":            self.Raw,
		"of another title":     issued(func(c *x509.Certificate) { c.Subject.CommonName = Title{1}.String() }),
		"of nobody":            issued(func(c *x509.Certificate) { c.Subject.CommonName = "" }),
		"expired":              issued(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not yet valid":        issued(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"for key agreement":    issued(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }),
		"issued by a leaf": func() []byte {
			c, _ := certificate(t, nil, good, key)
			return c.Raw
		}(),
		"damaged": append([]byte{0}, good.Raw...),
	} {
		_, err := CertifiedKey(der, roots, owner)
		require.ErrorIs(t, err, ErrCertificate, name)
	}
	expired, _ := certificate(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, nil)
	_, err = CertifiedKey(expired.Raw, nil, owner)
	require.ErrorIs(t, err, ErrCertificate, "pinned, and expired")
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// Vectors of RFC 6979, A.2.5 and A.2.6, and numbers that no signature may have.
func TestSignatureVectors(t *testing.T) {
	for suite, v := range map[Suite]struct{ private, x, y, r, s, order string }{
		Suite1: {
			"C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
			"60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6", "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299",
			"EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716", "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
			"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
		},
		Suite2: {
			"6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
			"EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13",
			"8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720",
			"94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
			"99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
			"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
		},
	} {
		private, err := NewSigningKey(suite, unhex(t, v.private))
		require.NoError(t, err)
		public := unhex(t, v.x+v.y)
		require.Equal(t, public, private.Public())
		require.NoError(t, VerifySignature(suite, public, []byte("sample"), unhex(t, v.r+v.s)))
		zero := strings.Repeat("0", len(v.r))
		for name, signature := range map[string]string{
			"r is 0": zero + v.s, "s is 0": v.r + zero, "both are 0": zero + zero, "r is the order": v.order + v.s, "s is the order": v.r + v.order,
			"r and s swapped": v.s + v.r, "half": v.r, "longer": v.r + v.s + "00", "all ones": strings.Repeat("F", 2*len(v.r)),
		} {
			require.ErrorIs(t, VerifySignature(suite, public, []byte("sample"), unhex(t, signature)), ErrSignature, name)
		}
		signature := unhex(t, v.r+v.s)
		for name, key := range map[string]string{"not on the curve": v.x + v.x, "infinity": zero + zero, "short": v.x} {
			require.Error(t, VerifySignature(suite, unhex(t, key), []byte("sample"), signature), name)
		}
		agreement, err := NewAgreementKey(suite, unhex(t, v.private))
		require.NoError(t, err)
		_, err = agreement.Agree(unhex(t, v.x+v.x))
		require.Error(t, err)
	}
}

// hardware is a key that does not leave its place.
type hardware struct{ key *ecdsa.PrivateKey }

func (h hardware) Public() crypto.PublicKey { return h.key.Public() }
func (h hardware) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return h.key.Sign(r, digest, o)
}

func TestKeysOfOtherKinds(t *testing.T) {
	for suite, curve := range map[Suite]elliptic.Curve{Suite1: elliptic.P256(), Suite2: elliptic.P384()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		signer, err := SigningKeyFrom(hardware{key})
		require.NoError(t, err)
		signature, err := signer.Sign([]byte("message"))
		require.NoError(t, err)
		require.NoError(t, VerifySignature(suite, signer.Public(), []byte("message"), signature))
		private, err := key.ECDH()
		require.NoError(t, err)
		agreement, err := AgreementKeyFrom(private)
		require.NoError(t, err)
		require.Equal(t, signer.Public(), agreement.Public())
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	for _, key := range []any{x, nil, "key"} {
		_, err = AgreementKeyFrom(key)
		require.ErrorIs(t, err, ErrSuite)
		_, err = SigningKeyFrom(key)
		require.ErrorIs(t, err, ErrSuite)
	}
}

func TestChallenged(t *testing.T) {
	for _, mechanism := range []uint8{2, 3, 4, 5, 6, 7} {
		h := Handshake{Mechanism: mechanism, OwnChallenge: NewChallenge(mechanism)}
		require.NoError(t, h.Challenged(NewChallenge(mechanism)))
		require.ErrorIs(t, h.Challenged(h.OwnChallenge), ErrAuthentication)
		require.ErrorIs(t, h.Challenged(make([]byte, 65)), ErrAuthentication)
		require.ErrorIs(t, h.Challenged(make([]byte, 7)), ErrAuthentication)
	}
	h := Handshake{Mechanism: 7, Suite: Suite1}
	require.ErrorIs(t, h.Check(make([]byte, 64)), ErrNoIdentity)
}
