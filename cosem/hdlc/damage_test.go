package hdlc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

// Of frames one bit of which was flipped no scanner makes one with other information.
func TestNoFrameIsMadeOfADamagedOne(t *testing.T) {
	whole := func(b []byte, each func(Frame)) {
		var s Scanner
		s.Feed(b)
		for {
			f, err := s.Next()
			switch {
			case err == nil:
				each(f)
			case errors.Is(err, io.ErrUnexpectedEOF):
				if s.Pending() == 0 {
					return
				}
				s.Skip()
			}
		}
	}
	for _, row := range golden.Corpus[struct{ Layer, Hex string }](t, "dlms.jsonl") {
		sent, err := hex.DecodeString(row.Hex)
		if err != nil || !strings.HasPrefix(row.Layer, "hdlc") && row.Layer != "wire" || len(sent) == 0 || sent[0] != flag {
			continue
		}
		truth := map[string]bool{}
		whole(sent, func(f Frame) { truth[string(f.Info)] = true })
		for i := range 8 * len(sent) {
			b := bytes.Clone(sent)
			b[i/8] ^= 1 << (i % 8)
			whole(b, func(f Frame) { require.True(t, truth[string(f.Info)], "%x, bit %d", sent, i) })
		}
	}
}
