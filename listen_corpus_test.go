package meter

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
)

// heardOf returns what a listener tells of octets that come in pieces, or in one datagram.
func heardOf(t *testing.T, cfg *Config, b []byte, piece int) []string {
	t.Helper()
	own := *cfg
	own.Counters = &security.MemoryCounters{}
	var told []string
	l, err := newListener(driver.Prepared(&own, true), func(r *Result, err error) {
		text := fmt.Sprint(err)
		if err != nil && strings.Contains(err.Error(), "damaged messages") {
			return // told once a minute
		}
		if r != nil {
			require.NotZero(t, r.Received)
			r.Received = time.Time{}
			doc, failed := json.Marshal(r)
			require.NoError(t, failed)
			text += string(doc)
		}
		told = append(told, text)
	})
	require.NoError(t, err)
	if piece == 0 {
		l.datagram(b)
		return told
	}
	for len(b) > 0 {
		n := min(piece, len(b))
		l.feed(b[:n])
		b = b[n:]
	}
	return told
}

// Each frame of the corpus is heard as the same twenty times, whatever the pieces
// in which a line brings it, and twenty times by datagrams.
func TestListenHearsTheSame(t *testing.T) {
	rows, heard := 0, 0
	for _, file := range []string{"dlms.jsonl", "mbus.jsonl", "ansi_iec.jsonl"} {
		for _, r := range golden.Corpus[row](t, file) {
			b := r.octets(t)
			cfg := &Config{}
			if key, err := hex.DecodeString(r.Key); err == nil {
				cfg.Keys.Key = key
			}
			for name, to := range map[string]*keys.Secret{"guek": &cfg.Keys.Encryption, "gak": &cfg.Keys.Authentication} {
				if key, ok := r.Keys[name].(string); ok {
					var err error
					*to, err = hex.DecodeString(key)
					require.NoError(t, err, r.ID)
				}
			}
			line, datagram := heardOf(t, cfg, b, 1), heardOf(t, cfg, b, 0)
			for run := range 20 {
				if !assertSame(t, line, heardOf(t, cfg, b, 1+run*run), "%s in pieces of %d", r.ID, 1+run*run) ||
					!assertSame(t, datagram, heardOf(t, cfg, b, 0), "%s by datagram", r.ID) {
					break
				}
			}
			rows++
			if len(line) > 0 {
				heard++
			}
		}
	}
	t.Logf("%d frames, of which %d are heard where no protocol is named", rows, heard)
	require.Greater(t, heard, rows/3)
}

func assertSame(t *testing.T, want, got []string, format string, args ...any) bool {
	if fmt.Sprint(want) == fmt.Sprint(got) {
		return true
	}
	t.Errorf(format+": %.300q, want %.300q", append(args, got, want)...)
	return false
}

// What is read of each frame of the corpus is read back from its JSON as it was.
func TestJSONOfCorpus(t *testing.T) {
	decoded := 0
	for _, file := range []string{"dlms.jsonl", "mbus.jsonl", "ansi_iec.jsonl"} {
		for _, row := range golden.Corpus[row](t, file) {
			r, _ := Decode(row.octets(t), nil)
			if r == nil {
				continue
			}
			decoded++
			doc := r.AppendJSON(nil)
			var back Result
			require.NoError(t, back.UnmarshalJSON(doc), "%s", doc)
			require.Equal(t, string(doc), string(back.AppendJSON(nil)))
			require.Len(t, back.Warnings, len(r.Warnings), "%s", doc)
			for i := range r.Readings {
				a, b := r.Readings[i], back.Readings[i]
				if _, _, float := a.Value.FloatBits(); !float && a.Value.Kind() != obis.KindTime {
					require.True(t, a.Value.Equal(b.Value), "%v %v is %v", a.Value.Kind(), a.Value, b.Value)
				}
				if _, ok := a.Time.Instant(r.Clock); !ok {
					require.Equal(t, a.Time.Status&obis.TimeDST, b.Time.Status&obis.TimeDST, "%v", a.Time)
				}
				require.Equal(t, a.Quality.Flags, b.Quality.Flags)
				require.Equal(t, a.Quality.Raw, b.Quality.Raw)
			}
		}
	}
	require.Greater(t, decoded, 300)
}
