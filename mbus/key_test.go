package mbus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

func newKey(t testing.TB, s string) *Key {
	t.Helper()
	k, err := NewKey(golden.Unhex(t, s))
	require.NoError(t, err)
	return k
}

// The examples of RFC 4493.
func TestCMAC(t *testing.T) {
	k := newKey(t, "2b7e1516 28aed2a6 abf71588 09cf4f3c")
	m := golden.Unhex(t, "6bc1bee2 2e409f96 e93d7e11 7393172a ae2d8a57 1e03ac9c 9eb76fac 45af8e51 30c81c46 a35ce411 e5fbc119 1a0a52ef f69f2445 df4f9b17 ad2b417b e66c3710")
	for n, want := range map[int]string{
		0: "bb1d6929 e9593728 7fa37d12 9b756746", 16: "070a16b4 6b4d4144 f79bdd9d d04a287c",
		40: "dfa66747 de9ae630 30ca3261 1497c827", 64: "51f0bebf 7e3b9d92 fc497417 79363cfe",
	} {
		have := k.CMAC(m[:n/3], m[n/3:n])
		require.Equal(t, golden.Unhex(t, want), have[:], "%d octets", n)
	}
}

// Packet vector #1 of RFC 3610.
func TestCCM(t *testing.T) {
	k := newKey(t, "c0c1c2c3 c4c5c6c7 c8c9cacb cccdcecf")
	nonce := [13]byte(golden.Unhex(t, "00000003 020100a0 a1a2a3a4 a5"))
	aad := golden.Unhex(t, "00010203 04050607")
	sealed := golden.Unhex(t, "588c979a 61c663d2 f066d0c2 c0f98980 6d5f6b61 dac384")
	tag := golden.Unhex(t, "17e8d12c fdf926e0")
	plain, ok := k.openCCM([]byte("kept"), nonce, aad, sealed, tag)
	require.True(t, ok)
	require.Equal(t, append([]byte("kept"), golden.Unhex(t, "08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e")...), plain)
	tag[7] ^= 1
	_, ok = k.openCCM(nil, nonce, aad, sealed, tag)
	require.False(t, ok)
}

// The example of CEN/TR 17167, annex F.3.
func TestDerive(t *testing.T) {
	k := newKey(t, "000102030405060708090A0B0C0D0E0F")
	for constant, want := range map[byte]string{
		DeriveEncryption: "ECCF39D475D730B8284FDFDC1995D52F", DeriveAuthentication: "C9CD19FF5A9AAD5A6BBDA13BD2C4C7AD",
	} {
		derived, err := k.Derive(constant, 0x0AB3, 0x12345678)
		require.NoError(t, err)
		require.Equal(t, newKey(t, want).k1, derived.k1)
	}
}

func TestKeyIsSilent(t *testing.T) {
	k := newKey(t, "000102030405060708090A0B0C0D0E0F")
	for _, verb := range []string{"%v", "%s", "%+v", "%#v", "%x", "%q", "%d"} {
		for _, shown := range []string{fmt.Sprintf(verb, k), fmt.Sprintf(verb, []*Key{k})} {
			require.NotContains(t, strings.ToLower(shown), "0d0e0f")
			require.Contains(t, shown, "redacted")
		}
	}
	_, err := NewKey(make([]byte, 15))
	require.Error(t, err)
}

func FuzzCBC(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcde"))
	k := newKey(f, "000102030405060708090A0B0C0D0E0F")
	f.Fuzz(func(t *testing.T, records []byte) {
		h := Header{Form: HeaderLong, Address: Address{ID: 0x12345678, Manufacturer: 0x1593, Version: 1, Type: 7}, Access: 9, Status: 4}
		sealed, err := AppendEncrypted([]byte{0x72}, h, records, k)
		if len(records) > 15*16-2 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		d := Decoder{Keys: func(Address) *Key { return k }}
		tg, err := d.Parse(sealed, Lower{})
		require.NoError(t, err)
		require.Equal(t, h.Address, tg.Header.Address)
		require.Equal(t, records, tg.Payload[2:2+len(records)])
	})
}
