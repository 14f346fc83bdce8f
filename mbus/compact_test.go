package mbus

import (
	"testing"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

func TestKnownFormats(t *testing.T) {
	for _, f := range formatTable {
		require.Equal(t, f.signature, Signature([]byte(f.headers)))
	}
}

// The example of OMS annex G.5: a full, a format and a compact frame of one content.
func TestCompact(t *testing.T) {
	full := golden.Unhex(t, "78 0202d204 02152e16 022a3423")
	format := golden.Unhex(t, "69 08 313b 0202 0215 022a")
	compact := golden.Unhex(t, "79 313b 42a6 d204 2e16 3423")
	for name, teacher := range map[string][]byte{"full frame": full, "format frame": format} {
		t.Run(name, func(t *testing.T) {
			var formats MemoryFormats
			d := Decoder{Formats: &formats}
			_, err := d.Parse(compact, Lower{})
			require.ErrorIs(t, err, ErrUnknownFormat)
			_, err = d.Parse(teacher, Lower{})
			require.NoError(t, err)
			again := Decoder{Formats: &formats} // another decoder, the same store
			tg, err := again.Parse(compact, Lower{})
			require.NoError(t, err)
			require.Len(t, tg.Records, 3)
			require.Equal(t, "123.4", tg.Records[0].Value.String())
			compact[len(compact)-1] ^= 1
			_, err = again.Parse(compact, Lower{})
			require.ErrorIs(t, err, ErrFormatMismatch)
			compact[len(compact)-1] ^= 1
		})
	}
	format[3] ^= 1
	_, err := Parse(format)
	require.Error(t, err)
	_, err = Parse(compact[:4])
	require.Error(t, err)
}

// A compact frame of a water meter needs no teacher.
func TestCompactOfKnownFormat(t *testing.T) {
	headers := knownHeaders(t, 0xA8ED)
	data := golden.Unhex(t, "7100 08190000 08190000 7f 13")
	full, ok := new(Decoder).rebuild(headers, data)
	require.True(t, ok)
	sum := crc16.EN13757(full)
	tg, err := Parse(append([]byte{0x79, 0xED, 0xA8, byte(sum), byte(sum >> 8)}, data...))
	require.NoError(t, err)
	require.Len(t, tg.Records, 5)
	require.Equal(t, "6.408", tg.Records[1].Value.String())
	require.Equal(t, Minimum, tg.Records[3].Function)
}

func knownHeaders(t *testing.T, signature uint16) []byte {
	t.Helper()
	headers := new(Decoder).knownFormat(signature)
	require.NotNil(t, headers)
	return headers
}
