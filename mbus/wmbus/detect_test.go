package wmbus

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus/link"
	"github.com/stretchr/testify/require"
)

func TestDetectTelegram(t *testing.T) {
	frame := golden.Unhex(t, bare)
	f, _, err := Parse(frame, Bare)
	require.NoError(t, err)
	require.True(t, DetectTelegram(frame))
	for _, format := range []Format{FormatA, FormatB} {
		b, err := f.Append(nil, format)
		require.NoError(t, err)
		require.True(t, DetectTelegram(b))
		b[12] ^= 1
		require.False(t, DetectTelegram(b) && format == FormatA, "a wrong CRC")
		sync := []byte{syncC, syncCA}
		if format == FormatB {
			sync[1] = syncCB
		}
		require.False(t, DetectTelegram(append(sync, b...)))
		b[12] ^= 1
		require.True(t, DetectTelegram(append(sync, b...)))
	}
	for n := range frame {
		require.False(t, DetectTelegram(frame[:n]), "too short")
	}
	for at, octet := range map[int]byte{1: 0x55, 2: 0x00, 3: 0x80 ^ 0x94, 10: 0x4F} {
		b := bytes.Clone(frame)
		b[at] = octet
		if at == 2 {
			b[3] = 0
		}
		require.False(t, DetectTelegram(b) && at != 3, "octet %d", at)
	}
	require.True(t, DetectTelegram(append(bytes.Clone(frame), frame...)), "two telegrams")
	require.True(t, DetectTelegram(append(bytes.Clone(frame), 0xC0)), "signal strength")
	require.False(t, DetectTelegram(append(bytes.Clone(frame), make([]byte, 20)...)), "octets that are none")
	apdu := append(golden.Unhex(t, "dd0801020304050607080000"), make([]byte, 222-12)...)
	require.False(t, DetectTelegram(apdu), "general-ciphering")
}

// A wired frame is no radio telegram, whichever bit of its first octet was flipped.
func TestDetectWired(t *testing.T) {
	for _, row := range golden.Corpus[corpusRow](t, "mbus.jsonl") {
		raw, err := hex.DecodeString(row.Hex)
		require.NoError(t, err)
		if row.Kind != "wired" {
			if row.Trust == "agreed" && radioDiffers[row.ID] == "" {
				require.True(t, DetectTelegram(raw), row.ID)
				require.False(t, link.Detect(raw), row.ID)
			}
			continue
		}
		if row.Trust == "agreed" {
			require.True(t, link.Detect(raw), row.ID)
		}
		for bit := range 8 {
			b := bytes.Clone(raw)
			b[0] ^= 1 << bit
			require.False(t, DetectTelegram(b), row.ID)
		}
	}
}

// Octets by chance are radio telegrams seldom.
func TestDetectNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 64)
	found := 0
	for range 100000 {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if DetectTelegram(b[:12+r.IntN(40)]) {
			found++
		}
	}
	require.Less(t, found, 30)
}
