package link

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

// Of a frame one bit of which was flipped no scanner makes another one with data.
func TestNoFrameIsMadeOfADamagedOne(t *testing.T) {
	frames := [][]byte{golden.Unhex(t, "680C0C680801720C44023456780000 13 8C 16")}
	for _, row := range golden.Corpus[struct{ Kind, Hex string }](t, "mbus.jsonl") {
		if raw, err := hex.DecodeString(row.Hex); err == nil && row.Kind == "wired" {
			frames = append(frames, raw)
		}
	}
	whole := func(b []byte, each func(Frame)) {
		var s Scanner
		s.Feed(b)
		for {
			f, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return
			}
			if err == nil && f.Form == Long {
				each(f)
			}
		}
	}
	for _, sent := range frames {
		truth := map[string]bool{}
		whole(sent, func(f Frame) { truth[string(f.Payload)] = true })
		for i := range 8 * len(sent) {
			b := bytes.Clone(sent)
			b[i/8] ^= 1 << (i % 8)
			whole(b, func(f Frame) { require.True(t, truth[string(f.Payload)], "%x, bit %d", sent, i) })
		}
	}
}
