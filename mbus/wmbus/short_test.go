package wmbus

import (
	"errors"
	"io"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

// Every prefix of a frame is too short, of every format.
func TestFramesAreTooShort(t *testing.T) {
	f, _, err := Parse(golden.Unhex(t, bare), Bare)
	require.NoError(t, err)
	for _, size := range []int{1, 5, 16, 17, 100, 115, 116, 117, 118, 119, 130, 200, 240} {
		f.Payload = make([]byte, size)
		for _, format := range []Format{Bare, FormatA, FormatB} {
			b, err := f.Append(nil, format)
			require.NoError(t, err)
			_, found, n, err := Detect(b)
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			require.Equal(t, format, found)
			for n := range b {
				_, taken, err := Parse(b[:n:n], format)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s: %d of %d", format, n, len(b))
				require.Zero(t, taken)
			}
			for i := range b {
				if i == 0 || format == Bare {
					continue
				}
				b[i] ^= 0x10
				_, _, err := Parse(b, format)
				require.ErrorIs(t, err, ErrCRC)
				b[i] ^= 0x10
			}
		}
	}
}

// Every prefix of the layers between link and application is refused, and so is
// an AFL whose length does not hold the fields that it announces.
func TestLayersAreTooShort(t *testing.T) {
	for name, s := range map[string]string{
		"ELL 8C": "8c 20 01", "ELL 8D": "8d 20 01 00000000 ffff", "ELL 8E": "8e 20 01 93157856341233 03", "ELL 8F": "8f 20 01 9315785634123303 00000000 ffff",
		"AFL with all fields":     "90 1b 003e 67 0102 03040506 00112233445566778899aabbccddeeff 1000",
		"AFL of a later fragment": "90 0a 0204 0011223344556677",
	} {
		t.Run(name, func(t *testing.T) {
			whole := golden.Unhex(t, s)
			for n := 1; n < len(whole); n++ {
				var err error
				if whole[0] == 0x90 {
					_, err = parseAFL(whole[:n:n])
				} else {
					var e ELL
					var taken int
					if e, taken, err = parseELL(whole[:n:n]); err == nil && e.secured() {
						_, err = e.open(nil, whole[taken:n:n], f(t).Address, &new(Decoder).Decoder)
					}
				}
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d octets", n)
			}
			if whole[0] != 0x90 {
				return
			}
			_, err := parseAFL(whole)
			require.NoError(t, err)
			for l := byte(0); l < whole[1]; l++ {
				if name == "AFL of a later fragment" && l >= 2 {
					continue // its code is what is there
				}
				short := append([]byte(nil), whole...)
				short[1] = l
				_, err := parseAFL(short)
				require.Error(t, err, "length %d", l)
				require.False(t, errors.Is(err, io.ErrUnexpectedEOF), "no octet more would help")
			}
		})
	}
}

func f(t *testing.T) Frame {
	frame, _, err := Parse(golden.Unhex(t, bare), Bare)
	require.NoError(t, err)
	return frame
}
