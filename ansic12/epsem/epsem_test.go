package epsem

import (
	"crypto/aes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

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
			inner := 0
			require.NoError(t, Explain(b, func(offset, length, depth int, field, _ string) {
				if depth > 2 {
					inner++
					require.LessOrEqual(t, offset+length, at, field)
					return
				}
				require.Equal(t, at, offset, field)
				at += length
			}))
			require.Equal(t, len(b), at)
			for _, s := range services {
				if len(s) > 1 && s[0] >= 0x20 {
					require.Greater(t, inner, 1, "the fields of the service")
				}
			}
			for cut := range b {
				_, n, err := Parse(b[:cut])
				require.Error(t, err)
				require.Zero(t, n)
			}
		})
	}
	require.Equal(t, 10, n)
}

// The standard's example of a secured message has this key, key number and these
// vectors; its services are those below.
const (
	exampleKey     = "01020304050607080102030405060708"
	exampleKeyID   = 2
	exampleVector  = 0x48F3D061
	exampleRequest = "17 51 50415353574f5244202020202020202020202020 0002  08 3f 0001 000010 0010"
	exampleAnswer  = "14 00 0010 4d414e554641435455524552 20534e20 92"
)

// secured makes a message with a MAC.
func secured(t testing.TB, key []byte, s Security, services []byte) []byte {
	t.Helper()
	b, err := Message{Body: services, Elements: []Element{
		{Tag: TagCalled, Content: golden.Unhex(t, "800204 01")},
		{Tag: TagCalling, Content: golden.Unhex(t, "80020502")},
		{Tag: TagCallingID, Content: golden.Unhex(t, "020103")},
	}}.Seal(s, key, exampleKeyID, exampleVector)
	require.NoError(t, err)
	return b
}

func TestVerify(t *testing.T) {
	key := golden.Unhex(t, exampleKey)
	for _, services := range [][]byte{golden.Unhex(t, exampleRequest), golden.Unhex(t, exampleAnswer)} {
		for _, s := range []Security{Authenticated, Ciphered} {
			b := secured(t, key, s, services)
			m, _, err := Parse(b)
			require.NoError(t, err)
			opened, err := m.Verify(key)
			require.NoError(t, err)
			require.True(t, opened.Weak)
			want, err := split(services)
			require.NoError(t, err)
			require.Equal(t, want, opened.Services)
			id, ok := m.KeyID()
			require.True(t, ok)
			require.EqualValues(t, exampleKeyID, id)
			vector, ok := m.Vector()
			require.True(t, ok)
			require.EqualValues(t, exampleVector, vector)

			wrong := append([]byte{}, key...)
			wrong[0] ^= 1
			_, err = m.Verify(wrong)
			require.ErrorIs(t, err, ErrMAC)
			_, err = m.Verify(key[:8])
			require.ErrorContains(t, err, "want 16")
			if s == Ciphered {
				_, err = m.Services()
				require.ErrorIs(t, err, ErrCiphered)
			}
			// The MAC covers everything but itself and the outermost length.
			for at := 2; at < len(b); at++ {
				changed := append([]byte{}, b...)
				changed[at] ^= 1
				if other, _, err := Parse(changed); err == nil && other.Security() != Clear {
					_, err = other.Verify(key)
					require.Error(t, err, "octet %d", at)
				}
			}
		}
	}
}

// Messages whose MACs another program found right.
func TestConfirmed(t *testing.T) {
	text, err := os.ReadFile("testdata/eax.txt")
	require.NoError(t, err)
	key := golden.Unhex(t, exampleKey)
	n := 0
	for line := range strings.Lines(string(text)) {
		name, message, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		want := map[string]Security{"authenticated": Authenticated, "ciphered": Ciphered}[name]
		m, _, err := Parse(golden.Unhex(t, message))
		require.NoError(t, err)
		require.Equal(t, want, m.Security())
		opened, err := m.Verify(key)
		require.NoError(t, err)
		services, err := split(golden.Unhex(t, []string{exampleRequest, exampleAnswer}[n%2]))
		require.NoError(t, err)
		require.Equal(t, services, opened.Services)
		// Sealed again it is the same.
		vector, _ := m.Vector()
		m.Body = nil
		for _, service := range opened.Services {
			m.Body = AppendService(m.Body, service)
		}
		again, err := m.Seal(want, key, exampleKeyID, vector)
		require.NoError(t, err)
		require.Equal(t, golden.Unhex(t, message), again)
		n++
	}
	require.Equal(t, 4, n)
}

func TestSealRefuses(t *testing.T) {
	key := golden.Unhex(t, exampleKey)
	_, err := Message{}.Seal(Ciphered, key[:8], 1, 1)
	require.ErrorContains(t, err, "want 16")
	_, err = Message{}.Seal(Clear, key, 1, 1)
	require.ErrorContains(t, err, "no security 0")
	_, err = Message{Class: []byte{1}}.Seal(Ciphered, key, 1, 1)
	require.ErrorContains(t, err, "device class")
}

// What the MAC covers, put together by hand from a message of the corpus: its
// elements in the order of the standard, the head of EPSEM, the calling title
// behind it, and at last key number and vector without tags.
func TestCanonicalCorpus(t *testing.T) {
	n := 0
	for _, r := range golden.Corpus[struct{ ID, Protocol, Hex string }](t, "ansi_iec.jsonl") {
		if r.Protocol != "c1222" {
			continue
		}
		n++
		m, _, err := Parse(golden.Unhex(t, r.Hex))
		require.NoError(t, err)
		for _, s := range []Security{Authenticated, Ciphered} {
			b, err := m.Seal(s, golden.Unhex(t, exampleKey), exampleKeyID, exampleVector)
			require.NoError(t, err)
			sealed, _, err := Parse(b)
			require.NoError(t, err)
			got, err := sealed.canonical(nil)
			require.NoError(t, err)
			called, _ := m.Get(TagCalled)
			calling, _ := m.Get(TagCalling)
			id, _ := m.Get(TagCallingID)
			value := golden.Unhex(t, "a20da00ba109 800102 810448f3d061")
			inner := 1 + len(m.Body) + macLen
			control := 0x80 | byte(s)<<shiftSecurity
			want := fmt.Sprintf("a2%02x%x a8%02x%x ac%02x%x be%02x28%02x81%02x%02x a6%02x%x 02 48f3d061", len(called), called, len(id), id, len(value), value,
				inner+4, inner+2, inner, control, len(calling), calling)
			require.Equal(t, golden.Unhex(t, want), got, r.ID)
			opened, err := sealed.Verify(golden.Unhex(t, exampleKey))
			require.NoError(t, err)
			services, err := m.Services()
			require.NoError(t, err)
			require.Equal(t, services, opened.Services)
		}
	}
	require.Equal(t, 10, n)
}

func TestTitle(t *testing.T) {
	for text, octets := range map[string]string{
		".42":                           "80012a",
		".42.7.128":                     "80042a078100",
		"1.3.6.1.4.1.18152":             "06082b06010401818d68",
		"2.16.124.113620.1.22.0":        "0608607c86f754011600",
		"2.999":                         "06028837",
		"0.39":                          "060127",
		"2.16.124.113620.1.22.0.42":     "0609607c86f7540116002a",
		"1.3.6.1.4.1.4294967295.2.3":    "060c2b060104018fffffff7f0203",
		"2.16.124.113620.1.22.0.0.1.16": "060b607c86f754011600000110",
	} {
		title, err := ParseTitle(text)
		require.NoError(t, err, text)
		require.Equal(t, golden.Unhex(t, octets), []byte(title), text)
		require.Equal(t, text, title.String())
	}
	for _, text := range []string{"", ".", "1", "3.1", "1.40", ".x", ".1..2", ".4294967296", "." + strings.Repeat("128.", 70) + "1"} {
		_, err := ParseTitle(text)
		require.Error(t, err, text)
	}
	relative, _ := ParseTitle(".42")
	absolute, _ := ParseTitle("2.16.124.113620.1.22.0.42")
	require.True(t, relative.Equal(absolute))
	require.True(t, Title{0x0D, 1, 42}.Equal(relative))
	require.False(t, relative.Equal(Title{0x80, 1, 43}))
	require.Equal(t, "800142aa", Title(golden.Unhex(t, "800142aa")).String())
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
		for _, e := range m.Elements {
			_ = Title(e.Content).String()
		}
		if b, err := m.Seal(Ciphered, make([]byte, 16), 1, 1); err == nil {
			sealed, _, err := Parse(b)
			require.NoError(t, err)
			_, err = sealed.Verify(make([]byte, 16))
			require.NotErrorIs(t, err, ErrMAC)
		}
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

// A secured message is read and checked; the floor is the blocks that AES must encipher for it.
func TestVerifyAllocates(t *testing.T) {
	key := golden.Unhex(t, exampleKey)
	services := AppendService(nil, append([]byte{0, 1, 0}, make([]byte, 257)...))
	for _, security := range []Security{Authenticated, Ciphered} {
		m, _, err := Parse(secured(t, key, security, services))
		require.NoError(t, err)
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := m.Verify(key); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%v: %v", security, allocs)
		require.LessOrEqual(t, allocs, 5.0)
	}
}

// Stations are remembered by their titles, so these are no longer than titles are.
func TestLongTitles(t *testing.T) {
	for _, tag := range []byte{TagCalled, TagCalledID, TagCalling, TagCallingID} {
		for n, ok := range map[int]bool{2 + maxTitle: true, 3 + maxTitle: false} {
			b, err := Message{Control: 0x80, Body: []byte{1, 0x20}, Elements: []Element{{Tag: tag, Content: make([]byte, n)}}}.AppendBinary(nil)
			require.NoError(t, err)
			_, _, err = Parse(b)
			require.Equal(t, ok, err == nil, "tag %#x of %d octets: %v", tag, n, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	key := golden.Unhex(b, exampleKey)
	services := AppendService(nil, append([]byte{0, 1, 0}, make([]byte, 257)...))
	raw := secured(b, key, Ciphered, services)
	block, err := aes.NewCipher(key)
	require.NoError(b, err)
	blocks := 3 + (len(raw)-len(services))/aes.BlockSize + 2*len(services)/aes.BlockSize
	var own, least time.Duration
	var state [aes.BlockSize]byte
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		m, _, err := Parse(raw)
		if err == nil {
			_, err = m.Verify(key)
		}
		if err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		for range blocks {
			block.Encrypt(state[:], state[:])
		}
		own, least = own+middle.Sub(start), least+time.Since(middle)
	}
	b.ReportMetric(float64(least)/float64(own), "of_floor")
}

func ExampleParse() {
	b, _ := hex.DecodeString("6009be072805810380010a")
	m, _, _ := Parse(b)
	services, _ := m.Services()
	fmt.Printf("% x\n", services[0])
	// Output: 0a
}
