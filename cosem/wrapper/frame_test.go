package wrapper

import (
	"encoding/hex"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// An AARQ from the public client (SAP 16) to the management logical device (1).
const aarq = "000100100001001f601da109060760857405080101be10040e01000000065f1f0400007e1fffff"

func TestParse(t *testing.T) {
	raw := unhex(t, aarq)
	f, n, err := Parse(raw)
	require.NoError(t, err)
	require.Equal(t, len(raw), n)
	require.Equal(t, Frame{Source: 16, Destination: 1, APDU: raw[8:]}, f)
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		hex    string
		field  string
		offset int
		short  bool
	}{
		"half a header": {"00010010", "header", 4, true},
		"version 2":     {"0002001000010000", "version", 0, false},
		"half an APDU":  {"0001001000010004c001", "APDU", 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := Parse(unhex(t, test.hex))
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Zero(t, n)
			require.Equal(t, test.field, pe.Field)
			require.Equal(t, test.offset, pe.Offset)
			if test.short {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(unhex(f, aarq))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, err := Parse(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		again, err := frame.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b[:n], again)
	})
}

func BenchmarkParse(b *testing.B) {
	raw := unhex(b, aarq)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}
