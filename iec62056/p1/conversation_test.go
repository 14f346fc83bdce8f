package p1

import (
	"bytes"
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
			m, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil || m.IsEncrypted() {
				continue
			}
			for _, r := range d.Decode(m.Telegram).Readings {
				readings[show(r)] = r.Quality.Flags&(obis.Questionable|obis.Unverified|obis.Invalid|obis.Missing) != 0
			}
		}
		require.LessOrEqual(t, len(s.Pending()), maxTelegram+12)
	}
	return readings
}

// FuzzConversation: of a damaged stream of telegrams with a CRC no reading comes
// that the intact one did not have, unless it is flagged.
func FuzzConversation(f *testing.F) {
	messages := [][]byte{load(f, "v5.txt"), load(f, "be.txt"), load(f, "v5.txt"), load(f, "lu.txt"), load(f, "se.txt")}
	intact := decodeAll(f, bytes.Join(messages, nil), 64)
	require.Greater(f, len(intact), 60)
	f.Add([]byte{4, 0, 3, 1, 200, 0}, 7)
	f.Add([]byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 6, 6}, 100)
	f.Fuzz(func(t *testing.T, script []byte, piece int) {
		if piece <= 0 || len(script) > 64 {
			return
		}
		for text, flagged := range decodeAll(t, bytes.Join(golden.Damage(messages, script, nil), nil), piece) {
			if _, had := intact[text]; !had && !flagged {
				t.Fatalf("%s is not of the intact stream", text)
			}
		}
		mended := bytes.Join(golden.Damage(messages, script, func(m []byte) {
			if end := findEnd(m, 1); end > 0 && len(m) >= end+5 {
				const digits = "0123456789ABCDEF"
				crc := crc16.ARC(m[:end+1])
				copy(m[end+1:], []byte{digits[crc>>12], digits[crc>>8&15], digits[crc>>4&15], digits[crc&15]})
			}
		}), nil)
		decodeAll(t, mended, piece)
		_ = explainAll(mended, func(int, int, int, string, string) {})
		_ = Detect(mended)
		if saved, err := Salvage(mended); err == nil {
			new(Decoder).Decode(saved)
		}
	})
}
