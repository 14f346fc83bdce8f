package wmbus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// A frame of format B with one wrong bit is no bare frame, although it has the
// length of one.
func TestDamagedFormatB(t *testing.T) {
	sent := golden.Unhex(t, "1844b409381317051a0d7a760000000c13452301000f00b86f")
	var d Decoder
	tg, err := d.Parse(sent)
	require.NoError(t, err)
	require.Equal(t, FormatB, tg.Format)
	_, err = d.Parse(golden.Unhex(t, "1844b409381317051a0d7a760000000c13453301000f00b86f"))
	require.ErrorIs(t, err, ErrCRC)
	require.False(t, DetectTelegram(golden.Unhex(t, "1844b409381317051a0d7a760000000c13453301000f00b86f")))
}

// goodOf returns the good readings that come of b, as lines.
func goodOf(b []byte) (good []string) {
	var d Decoder
	tg, err := d.Parse(b)
	if err != nil && !errors.As(err, new(*mbus.SecurityError)) {
		return nil
	}
	for _, r := range d.AppendReadings(nil, &tg.Telegram) {
		if r.Quality.Validity() == obis.Good {
			good = append(good, fmt.Sprintf("%s %x %s %s %s", r.Code, r.RawID, r.Value, r.Unit, r.Time))
		}
	}
	return good
}

// Of frames with CRCs one bit of which was flipped nothing is good that was not
// sent, whatever they are taken for.
func TestNothingDamagedIsGood(t *testing.T) {
	frames := [][]byte{
		golden.Unhex(t, "1644b409381317051a0d7a760000000c13452301000f00"),
		golden.Unhex(t, "1444b409381317051a0d7a760000000c1345230100"),
		golden.Unhex(t, "1e44b409381317051a0d7a760000000c13452301000c22452301000b3b123456"),
		golden.Unhex(t, "1444b409381317051a0d7a760000002f2f0313120000"),
	}
	for _, row := range golden.Corpus[corpusRow](t, "mbus.jsonl") {
		if raw, err := hex.DecodeString(row.Hex); err == nil && row.Kind != "wired" {
			frames = append(frames, raw)
		}
	}
	wrong := 0
	for _, frame := range frames {
		f, _, n, err := Detect(frame)
		if err != nil || n != len(frame) || !DetectTelegram(frame) {
			continue
		}
		truth := map[string]bool{}
		for _, s := range goodOf(frame) {
			truth[s] = true
		}
		for _, format := range []Format{FormatA, FormatB} {
			sent, err := f.Append(nil, format)
			if err != nil {
				continue
			}
			for _, s := range goodOf(sent) {
				truth[s] = true
			}
			for i := range 8 * len(sent) {
				b := bytes.Clone(sent)
				b[i/8] ^= 1 << (i % 8)
				for _, s := range goodOf(b) {
					if !truth[s] {
						t.Logf("%s %x, bit %d of octet %d: %s is good", format, sent, i%8, i/8, s)
						wrong++
					}
				}
			}
		}
	}
	require.Zero(t, wrong)
}

// A frame of a wire is never one of radio, whichever of its bits was flipped.
func TestDamagedWiredFrames(t *testing.T) {
	frames := [][]byte{
		golden.Unhex(t, "680C0C680801720C4402345678000013C516"), golden.Unhex(t, "684444680844720844b40938131705000000000C0000FF0000000C13452301000C2245230100000000000000000000000000000000000000000000000000000000000000000000000000004016"),
	}
	for _, row := range golden.Corpus[corpusRow](t, "mbus.jsonl") {
		if raw, err := hex.DecodeString(row.Hex); err == nil && row.Kind == "wired" && len(raw) > 9 {
			frames = append(frames, raw)
		}
	}
	for _, frame := range frames {
		for i := range 8 * len(frame) {
			b := bytes.Clone(frame)
			b[i/8] ^= 1 << (i % 8)
			require.False(t, DetectTelegram(b), "%x", b)
			if i/8 < 4 {
				b[(i/8+1)%4] ^= 1 << (i % 7)
				require.False(t, DetectTelegram(b), "%x", b)
			}
		}
	}
}

// A receiver without command mode sends telegrams of every length, also those
// whose first octets are letters or ends of lines.
func TestRawTelegramsOfEveryLength(t *testing.T) {
	for l := 16; l <= 255; l++ {
		for _, c := range []byte{0x44, 0x46, 0x47, 0x48, 0x08} {
			frame := golden.Unhex(t, "ff44b409381317051a0d7a7600000f")
			frame[0], frame[1] = byte(l), c
			for len(frame) < 1+l {
				frame = append(frame, byte(len(frame)))
			}
			for _, piece := range []int{1, 7, 4096} {
				var r Receiver
				got := 0
				stream := bytes.Repeat(frame, 5)
				for rest := stream; len(rest) > 0; {
					n := min(piece, len(rest))
					r.Feed(rest[:n])
					rest = rest[n:]
					for {
						rec, err := r.Next()
						if err != nil {
							break
						}
						require.Equal(t, frame, rec.Frame)
						got++
					}
				}
				require.Equal(t, 5, got, "L 0x%02x C 0x%02x in pieces of %d", l, c, piece)
			}
		}
	}
}
