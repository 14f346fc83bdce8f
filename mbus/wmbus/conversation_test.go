package wmbus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

const unsure = obis.Questionable | obis.Unverified | obis.Invalid | obis.Missing

// collect adds the readings of a telegram, as text, and whether they are flagged.
func collect(all map[string]bool, d *mbus.Decoder, t *mbus.Telegram) {
	r := d.Report(t)
	for i := range r.Readings {
		x := &r.Readings[i]
		all[fmt.Sprintf("%s %x %v %v %v", r.Meter.ID, x.RawID, x.Code, x.Value, x.Unit)] = x.Quality.Flags&unsure != 0
	}
	for i := range t.Records {
		_ = t.Records[i].AppendJSON(nil)
	}
}

func fuzzKey(t testing.TB) *mbus.Key {
	key, err := mbus.NewKey(golden.Unhex(t, "000102030405060708090A0B0C0D0E0F"))
	require.NoError(t, err)
	return key
}

// wired decodes what a line delivers in pieces.
func wired(t testing.TB, line []byte, piece int, key *mbus.Key) map[string]bool {
	all := map[string]bool{}
	var s link.Scanner
	var carrier mbus.Carrier
	d := mbus.Decoder{Keys: func(a mbus.Address) *mbus.Key {
		if a.ID == 1 {
			return nil
		}
		return key
	}}
	for len(line) > 0 {
		n := min(piece, len(line))
		s.Feed(line[:n])
		line = line[n:]
		for {
			f, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil || len(f.Payload) == 0 {
				continue
			}
			if f.Payload[0] < 0x20 {
				if c, err := carrier.Add(f.A, f.Payload); err == nil {
					all[fmt.Sprintf("DLMS %d %s", f.A, c.APDU)] = false
				}
				continue
			}
			if tg, err := d.Parse(f.Payload, mbus.Lower{}); err == nil {
				collect(all, &d, &tg)
			}
		}
	}
	return all
}

// passes reports whether a line holds a frame that nobody sent and whose checksum
// is right all the same: a sum of octets cannot tell when two bits make up for one another.
func passes(line []byte, sent [][]byte) bool {
	for i := range line {
		b := line[i:]
		if len(b) < 6 || b[0] != 0x68 || b[3] != 0x68 || b[1] != b[2] || len(b) < int(b[1])+6 {
			continue
		}
		frame, sum := b[:int(b[1])+6], byte(0)
		for _, c := range frame[4 : len(frame)-2] {
			sum += c
		}
		if sum == frame[len(frame)-2] && !slices.ContainsFunc(sent, func(m []byte) bool { return bytes.Equal(m, frame) }) {
			return true
		}
	}
	return false
}

// FuzzWired: of damaged frames of a wire no reading comes that the intact ones did
// not have.
func FuzzWired(f *testing.F) {
	key := fuzzKey(f)
	var messages [][]byte
	add := func(primary byte, payload []byte) {
		frame, err := link.Frame{Form: link.Long, C: link.RspUD, A: primary, Payload: payload}.AppendBinary(nil)
		require.NoError(f, err)
		messages = append(messages, frame)
	}
	abb := mbus.Header{Form: mbus.HeaderLong, Address: mbus.Address{ID: 1, Manufacturer: 0x0442, Version: 2, Type: 2}}
	add(1, append(abb.AppendBinary([]byte{0x72}), golden.Unhex(f, "0e8440 123456789012 0aff59 0050 04fdc9ff01 e8030000 0413 01000000")...))
	sealed, err := mbus.AppendEncrypted([]byte{0x72}, mbus.Header{Form: mbus.HeaderLong, Address: mbus.Address{ID: 2, Manufacturer: 0x1593, Type: 7}, Access: 9}, golden.Unhex(f, "0413 02000000 046d 3b0e543b"), key)
	require.NoError(f, err)
	add(2, sealed)
	add(3, []byte("\x00\x01\x67first "))
	add(3, []byte("\x11\x01\x67second"))
	add(4, golden.Unhex(f, "73 01000000 0a 00 e9 7e 01000000 35010000"))
	add(1, append(abb.AppendBinary([]byte{0x72}), golden.Unhex(f, "0413 02000000 1f")...))
	intact := wired(f, bytes.Join(messages, nil), 64, key)
	require.Greater(f, len(intact), 8)
	f.Add([]byte{4, 0, 3, 1, 200, 0}, 7)
	f.Add([]byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 6, 6, 5, 5}, 100)
	f.Add([]byte("\nd0\xfe.R2"), 34) // two bits that make up for one another
	f.Fuzz(func(t *testing.T, script []byte, piece int) {
		if piece <= 0 || len(script) > 64 {
			return
		}
		line := bytes.Join(golden.Damage(messages, script, nil), nil)
		if passes(line, messages) {
			return
		}
		for text, flagged := range wired(t, line, piece, key) {
			if _, had := intact[text]; !had && !flagged {
				t.Fatalf("%s is not of the intact line", text)
			}
		}
		mended := golden.Damage(messages, script, func(m []byte) {
			if len(m) > 8 {
				sum := byte(0)
				for _, c := range m[4 : len(m)-2] {
					sum += c
				}
				m[len(m)-2] = sum
			}
		})
		wired(t, bytes.Join(mended, nil), piece, key)
		d := mbus.Decoder{Keys: func(mbus.Address) *mbus.Key { return key }}
		for _, m := range mended {
			_, _ = d.ExplainFrame(m, func(int, int, int, string, string) {})
		}
	})
}

// radioMessages are telegrams that a code or CRCs protect: AFL with CMAC and mode
// 7, CCM of mode 10, ELL with CRC in format A, and lines of a CUL.
func radioMessages(t testing.TB) (frames [][]byte) {
	for _, s := range []string{
		"40449315785634123303900f002c25b30a000021924d4f2fb66e017a75002007109058475f4bc91df878b80a1b0f98b629024aac727942bfc549233c0140829b93",
		"3044372c060382533c168c20307a3000ff2a100101000000ee96dcb77c54d3693cf56934a05b182b104c18ede38b67278d",
		"54cd2a442d2c313134331b16d4638d20e903241e202e453cff7cb68c402fc7111964987dac469de3a9c064108e768767b8e2dbb8b8",
	} {
		frames = append(frames, golden.Unhex(t, s))
	}
	return frames
}

// radio decodes frames one by one. Meters that proved a message are known.
func radio(t testing.TB, d *Decoder, frames [][]byte) map[string]bool {
	all := map[string]bool{}
	for _, frame := range frames {
		if tg, err := d.Parse(frame); err == nil {
			collect(all, &d.Decoder, &tg.Telegram)
		}
	}
	return all
}

// FuzzRadio: of damaged and forged frames of meters with keys no reading comes
// that the intact ones did not have, unless it is flagged.
func FuzzRadio(f *testing.F) {
	key, frames := fuzzKey(f), radioMessages(f)
	known := &Decoder{}
	of := map[mbus.Address]bool{}
	known.Keys = func(a mbus.Address) *mbus.Key { of[a] = true; return key }
	// A code does not prove manufacturer, version and type: the key of one meter is no other's.
	keys := func(a mbus.Address) *mbus.Key {
		if of[a] {
			return key
		}
		return nil
	}
	intact := radio(f, known, frames)
	require.Greater(f, len(intact), 4)
	f.Add([]byte{4, 0, 3, 1, 200, 0})
	f.Add([]byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 6, 6, 5, 5})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 64 {
			return
		}
		d := &Decoder{}
		d.Keys = keys
		radio(t, d, frames)
		// All bits may be flipped here: a bare frame has no checksum to mend.
		for text, flagged := range radio(t, d, golden.Damage(frames, script, func([]byte) {})) {
			if _, had := intact[text]; !had && !flagged {
				t.Fatalf("%s is not of the intact frames", text)
			}
		}
		live := &Decoder{}
		live.Keys, live.Counters = keys, &mbus.MemoryCounters{}
		radio(t, live, frames)
		for text := range radio(t, live, golden.Damage(frames[:1], script, nil)) {
			t.Fatalf("%s was read a second time", text)
		}
	})
}

// FuzzReceived: of lines of a CUL, whose frames have CRCs, damaged in any way, no
// reading comes that the intact ones did not have.
func FuzzReceived(f *testing.F) {
	var messages [][]byte
	for n, s := range []string{bare, "1e449315785634123303780c1427048502046d32371f1502fd1700000413"} {
		frame := golden.Unhex(f, s)
		frame[0] = byte(len(frame) - 1)
		l, _, err := Parse(frame, Bare)
		require.NoError(f, err)
		raw, err := l.Append(nil, []Format{FormatA, FormatB}[n])
		require.NoError(f, err)
		messages = append(messages, fmt.Appendf(nil, "b%s%s\r\n", []string{"", "Y"}[n], hex.EncodeToString(raw)))
	}
	messages = append(messages, messages[0])
	read := func(t testing.TB, line []byte, piece int) map[string]bool {
		all := map[string]bool{}
		var r Receiver
		var d Decoder
		for len(line) > 0 {
			n := min(piece, len(line))
			r.Feed(line[:n])
			line = line[n:]
			for {
				rec, err := r.Next()
				if errors.Is(err, io.ErrUnexpectedEOF) {
					break
				}
				if err != nil || rec.Receiver != "cul" {
					continue // others have no CRC left
				}
				if tg, err := d.Parse(rec.Frame); err == nil {
					collect(all, &d.Decoder, &tg.Telegram)
				}
			}
			require.LessOrEqual(t, len(r.buf.Rest()), maxPending)
		}
		return all
	}
	intact := read(f, bytes.Join(messages, nil), 64)
	require.GreaterOrEqual(f, len(intact), 3)
	f.Add([]byte{4, 0, 3, 1, 200, 0}, 7)
	f.Add([]byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 6, 6}, 100)
	f.Fuzz(func(t *testing.T, script []byte, piece int) {
		if piece <= 0 || len(script) > 64 {
			return
		}
		for text, flagged := range read(t, bytes.Join(golden.Damage(messages, script, nil), nil), piece) {
			if _, had := intact[text]; !had && !flagged {
				t.Fatalf("%s is not of the intact lines", text)
			}
		}
	})
}
