package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const bench = `
# the bench
ek = 000102030405060708090A0B0C0D0E0F   # unicast
ak = D0D1D2D3 D4D5D6D7 D8D9DADB DCDDDEDF
system-title = 4D45544552000001
password = with # and spaces

[12345678]
key = 0102030405060708090A0B0C0D0E0F10
[E0001]
key = 1102030405060708090A0B0C0D0E0F10
`

func TestParse(t *testing.T) {
	set, err := Parse(strings.NewReader(bench))
	require.NoError(t, err)
	require.Len(t, set.Encryption, 16)
	require.EqualValues(t, 0xDF, set.Authentication[15])
	require.Equal(t, "with # and spaces", string(set.Password))
	require.EqualValues(t, 1, set.For("12345678").Key[0])
	require.EqualValues(t, 0x11, set.For("E0001").Key[0])
	require.EqualValues(t, 0x11, set.For("unknown", "E0001").Key[0])
	require.EqualValues(t, 0, set.For("unknown").Encryption[0])
	set, err = Parse(strings.NewReader("[4d45544552000001]\nek = 0102030405060708090A0B0C0D0E0F10"))
	require.NoError(t, err)
	require.EqualValues(t, 1, set.For("4D45544552000001").Encryption[0], "a system title in small letters")

	for _, bad := range []string{"ek = zz", "ek = 0011", "nonsense", "frob = 00", "[", "[]", "certificate = /nowhere.pem", "ca = /nowhere.pem",
		bench + "key = 0102030405060708090A0B0C0D0E0F10", bench + "[12345678]", "[ABCDEF0000000001]\n[abcdef0000000001]\n"} {
		_, err := Parse(strings.NewReader(bad))
		require.Error(t, err, bad)
		require.NotContains(t, err.Error(), "0011")
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	set := Set{Encryption: Secret("SECRET-ENCRYPT-K"), ByMeter: map[string]Set{"1": {Key: Secret("SECRET-METER-KEY")}}}
	doc, err := json.Marshal(map[string]any{"key": set.Encryption, "meter": set.ByMeter["1"].Key})
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprint(set), fmt.Sprintf("%+v", set), fmt.Sprintf("%#v", set), fmt.Sprintf("%x %q %d", set.Encryption, set.Encryption, set.Encryption), string(doc)} {
		require.NotContains(t, text, "SECRET")
		require.NotContains(t, text, "534543524554")
		require.NotContains(t, text, "83 69 67")
	}
}

// A file that others may read is refused, and so are the private keys that it names.
func TestReadFile(t *testing.T) {
	folder := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "4D45544552000001"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	write := func(name, kind string, der []byte, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode))
	}
	write("key.pem", "PRIVATE KEY", der, 0o600)
	write("cert.pem", "CERTIFICATE", signed, 0o644)
	file := filepath.Join(folder, "keys")
	text := bench + "[signs]\nsigning-key = key.pem\nagreement-key = key.pem\ncertificate = cert.pem\npeer-certificate = cert.pem\nca = cert.pem\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	set, err := ReadFile(file)
	require.NoError(t, err)
	signs := set.For("signs")
	require.Equal(t, key.Public(), signs.SigningKey.Public())
	require.NotNil(t, signs.AgreementKey)
	require.Equal(t, "4D45544552000001", signs.Certificate.Subject.CommonName)
	require.NotNil(t, signs.PeerCertificate)
	require.NotNil(t, signs.Authorities)
	if runtime.GOOS == "windows" {
		return
	}
	require.NoError(t, os.Chmod(filepath.Join(folder, "key.pem"), 0o640))
	_, err = ReadFile(file)
	require.ErrorIs(t, err, ErrExposed)
	require.NoError(t, os.Chmod(filepath.Join(folder, "key.pem"), 0o600))
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o620} {
		require.NoError(t, os.Chmod(file, mode))
		_, err = ReadFile(file)
		require.ErrorIs(t, err, ErrExposed, "%o", mode)
	}
}

// A key store is asked once for each id, and a few answers are remembered.
func TestRemember(t *testing.T) {
	var asked []string
	find := Remember(func(id string) (Set, bool) {
		asked = append(asked, id)
		return Set{Key: Secret(id)}, id != "nobody"
	}, 2)
	set := Set{Find: find, Key: Secret("general")}
	require.Equal(t, "a", string(set.For("a").Key))
	require.Equal(t, "a", string(set.For("", "a").Key))
	require.Equal(t, "general", string(set.For("nobody").Key))
	require.Equal(t, "general", string(set.For("nobody").Key))
	require.Equal(t, []string{"a", "nobody"}, asked)
	set.For("c")
	set.For("a")
	require.Equal(t, []string{"a", "nobody", "c", "a"}, asked)
}

func FuzzParse(f *testing.F) {
	f.Add(bench)
	f.Add("[a]\n[b\nca=x")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "=") && (strings.Contains(text, "-key") || strings.Contains(text, "cert") || strings.Contains(text, "ca")) {
			return // names files
		}
		_, _ = Parse(strings.NewReader(text))
	})
}

// An error names its line, and no secret prints as none.
func TestWhereAndWhether(t *testing.T) {
	_, err := Parse(strings.NewReader("# comment\n\nek = 00\n"))
	require.ErrorContains(t, err, "line 3")
	_, err = Parse(strings.NewReader("[1\n"))
	require.ErrorContains(t, err, "line 1")
	require.Empty(t, Secret(nil).String())
	require.Equal(t, "redacted", Secret{1}.String())
}
