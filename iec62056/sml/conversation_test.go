package sml

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// decodeAll returns what a port delivers in pieces, as text, and what of it is
// flagged.
func decodeAll(t testing.TB, line []byte, piece int) (readings map[string]bool) {
	readings = map[string]bool{}
	var s Stream
	var d Decoder
	for len(line) > 0 {
		n := min(piece, len(line))
		s.Feed(line[:n])
		line = line[n:]
		for {
			f, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				continue
			}
			for _, r := range d.Decode(f).Readings {
				readings[show(r)] = r.Quality.Flags&(obis.Questionable|obis.Invalid|obis.Missing) != 0
			}
		}
		require.LessOrEqual(t, len(s.buf.Rest()), maxFrame)
	}
	return readings
}

// FuzzConversation: of a damaged stream of frames no reading comes that the
// intact one did not have.
func FuzzConversation(f *testing.F) {
	other := bytes.Clone(testServer)
	other[len(other)-1]++
	messages := [][]byte{
		testFrame(testServer), testFrame(other), testFrame(testServer, Entry{Name: []byte{1, 0, 96, 1, 0, 255}, Value: obis.Octets(bytes.Repeat([]byte{0x1B}, 9))}), testFrame(testServer),
	}
	intact := decodeAll(f, bytes.Join(messages, nil), 64)
	require.Greater(f, len(intact), 4)
	f.Add([]byte{4, 0, 3, 1, 200, 0}, 7)
	f.Add([]byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 6, 6, 5, 5}, 100)
	f.Fuzz(func(t *testing.T, script []byte, piece int) {
		if piece <= 0 || len(script) > 64 {
			return
		}
		for text, flagged := range decodeAll(t, bytes.Join(golden.Damage(messages, script, nil), nil), piece) {
			if _, had := intact[text]; !had && !flagged {
				t.Fatalf("%s is not of the intact stream", text)
			}
		}
		// With the check of the frame mended those of the messages still tell.
		mended := bytes.Join(golden.Damage(messages, script, func(m []byte) {
			if len(m) > 16 {
				binary.LittleEndian.PutUint16(m[len(m)-2:], crc16.X25(m[:len(m)-2]))
			}
		}), nil)
		for text, flagged := range decodeAll(t, mended, piece) {
			if _, had := intact[text]; !had && !flagged {
				t.Fatalf("%s is not of the intact stream", text)
			}
		}
		_ = explainAll(mended, func(int, int, int, string, string) {})
	})
}
