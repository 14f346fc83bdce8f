package sml

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// Of a frame one bit of which was flipped nothing is good that was not sent.
func TestNothingDamagedIsGood(t *testing.T) {
	decodings := func(b []byte, each func(string)) {
		var s Stream
		s.Feed(b)
		for {
			f, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return
			}
			if err != nil {
				continue
			}
			list, _ := AppendReadings(nil, f)
			for _, r := range list {
				if r.Quality.Validity() == obis.Good {
					each(r.ID() + " " + r.Value.String() + " " + r.Unit.String())
				}
			}
		}
	}
	frames := 0
	for _, raw := range golden.Corpus[json.RawMessage](t, "ansi_iec.jsonl") {
		var row struct{ Protocol, Hex string }
		require.NoError(t, json.Unmarshal(raw, &row))
		sent, err := hex.DecodeString(row.Hex)
		if row.Protocol != "sml" || err != nil || len(sent) > 1000 {
			continue
		}
		frames++
		truth := map[string]bool{}
		decodings(sent, func(s string) { truth[s] = true })
		for i := range 8 * len(sent) {
			b := bytes.Clone(sent)
			b[i/8] ^= 1 << (i % 8)
			decodings(b, func(s string) { require.True(t, truth[s], "bit %d: %s is good", i, s) })
		}
	}
	require.NotZero(t, frames)
}
