package epsem

import (
	"crypto/aes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

func TestCorpus(t *testing.T) {
	n := 0
	for _, r := range golden.Corpus[struct{ ID, Protocol, Hex string }](t, "ansi_iec.jsonl") {
		if r.Protocol != "c1222" {
			continue
		}
		n++
		t.Run(r.ID, func(t *testing.T) {
			b := golden.Unhex(t, r.Hex)
			m, size, err := Parse(b)
			require.NoError(t, err)
			require.Equal(t, len(b), size)
			again, err := m.AppendBinary(nil)
			require.NoError(t, err)
			require.Equal(t, b, again)
			require.Equal(t, Clear, m.Security())
			services, err := m.Services()
			require.NoError(t, err)
			require.NotEmpty(t, services)
			for _, tag := range []byte{TagCalled, TagCalling, TagCallingID} {
				_, ok := m.Get(tag)
				require.True(t, ok)
			}
			at := 0
			require.NoError(t, Explain(b, func(offset, length, _ int, field, _ string) {
				require.Equal(t, at, offset, field)
				at += length
			}))
			require.Equal(t, len(b), at)
			for cut := range b {
				_, n, err := Parse(b[:cut])
				require.Error(t, err)
				require.Zero(t, n)
			}
		})
	}
	require.Equal(t, 10, n)
}

// secured makes a message with a MAC, for the tests of what Verify refuses.
func secured(t testing.TB, key []byte, s Security, services []byte) []byte {
	t.Helper()
	m := Message{Control: byte(s) << shiftSecurity, Body: services, Elements: []Element{
		{Tag: TagCalled, Content: golden.Unhex(t, "800204 01")},
		{Tag: TagCalling, Content: golden.Unhex(t, "80020502")},
		{Tag: TagCallingID, Content: golden.Unhex(t, "020103")},
		{Tag: TagAuthValue, Content: golden.Unhex(t, "a20da00ba10980010281 0448f3d061")},
	}}
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	m, _, err = Parse(b)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	header, err := m.canonical()
	require.NoError(t, err)
	if s == Authenticated {
		m.MAC, _ = eax(block, append(header, services...), nil)
	} else {
		_, m.Body = eax(block, header, services)
		m.MAC, _ = eax(block, header, m.Body)
	}
	b, err = m.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

func TestVerify(t *testing.T) {
	key := golden.Unhex(t, "01020304050607080102030405060708")
	services := AppendService(nil, golden.Unhex(t, "3f0001000010 0010"))
	for _, s := range []Security{Authenticated, Ciphered} {
		b := secured(t, key, s, services)
		m, _, err := Parse(b)
		require.NoError(t, err)
		opened, err := m.Verify(key)
		require.NoError(t, err)
		require.True(t, opened.Weak)
		require.Equal(t, [][]byte{services[1:]}, opened.Services)
		id, ok := m.KeyID()
		require.True(t, ok)
		require.EqualValues(t, 2, id)

		wrong := append([]byte{}, key...)
		wrong[0] ^= 1
		_, err = m.Verify(wrong)
		require.ErrorIs(t, err, ErrMAC)
		_, err = m.Verify(key[:8])
		require.ErrorContains(t, err, "want 16")
		m.MAC[0] ^= 1
		_, err = m.Verify(key)
		require.ErrorIs(t, err, ErrMAC)
		if s == Ciphered {
			_, err = m.Services()
			require.ErrorIs(t, err, ErrCiphered)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct{ hex, field string }{
		"another tag":         {"61020000", "APDU"},
		"no user information": {"6004a2020600", "user information"},
		"element too long":    {"6004a2100600", "element"},
		"no EPSEM":            {"6006be0428028100", "EPSEM control"},
		"length of length":    {"6083000000", "APDU length"},
		"no room for a MAC":   {"6008be0628048102840 1", "MAC"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Parse(golden.Unhex(t, test.hex))
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Equal(t, test.field, pe.Field)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(golden.Unhex(f, "600cbe0a28088106800130022000"))
	f.Add(secured(f, make([]byte, 16), Ciphered, []byte{1, 0x20}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := Parse(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		_, _ = m.Services()
		_, _ = m.Verify(make([]byte, 16))
		_ = Explain(b, func(offset, length, _ int, field, _ string) {
			if length <= 0 || offset+length > n {
				t.Fatalf("%s at %d+%d of %d", field, offset, length, n)
			}
		})
		again, err := m.AppendBinary(nil)
		require.NoError(t, err)
		second, _, err := Parse(again)
		require.NoError(t, err)
		third, err := second.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, again, third)
	})
}

func ExampleParse() {
	b, _ := hex.DecodeString("6009be072805810380010a")
	m, _, _ := Parse(b)
	services, _ := m.Services()
	fmt.Printf("% x\n", services[0])
	// Output: 0a
}
