package meter

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
)

// Whatever the octets are, they give readings or an error, the readings have a
// JSON form that comes back, and the explanation stays within the input.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"6828286808017278563412430401042a0000000c05452301000c13100235000b2b0042000a5a03070a5e02053a16",
		"105b015c16",
		"7ea00703219300000f017e",
		"0001000100100009c401c100120203e8",
		"e6e7000f0000000000020209060100010800ff0600000001",
		"2f4f554d354d455445520d0a02312e382e3028312a6b5768290d0a210d0a0355",
		"2f4b464d354b414946410d0a0d0a312d303a312e382e312830303135382e3132332a6b5768290d0a210d0a",
		"1b1b1b1b0101010176",
	} {
		b, _ := hex.DecodeString(seed)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		result, err := Decode(b, nil)
		if err != nil && !errors.Is(err, ErrPartial) {
			require.Nil(t, result)
			require.NotEmpty(t, err.Error())
		}
		if result != nil {
			doc, err := json.Marshal(result)
			require.NoError(t, err)
			require.True(t, json.Valid(doc))
		}
		// Deciphered and reassembled octets are not of the input; all others are.
		_ = Explain(b, nil, func(n Note) {
			require.GreaterOrEqual(t, n.Offset, 0)
			require.GreaterOrEqual(t, n.Depth, 0)
			require.NotEmpty(t, n.Field)
		})
	})
}

// A line brings ciphered pushes that are repeated, dropped, swapped, cut, damaged
// behind checksums that are mended, and mixed with noise and with messages in the
// clear, in pieces of any length, where the protocol is named or found: what is
// heard without a mark is what a meter sent, once each and in their order.
func FuzzListen(f *testing.F) {
	frames, cfg := pushes(f, 8)
	values := map[obis.Code]int64{}
	for i := range 20 {
		values[obis.Code{1, 0, byte(i + 1), 8, 0, 255}] = int64(1000 * i)
	}
	plain, err := hex.DecodeString("7ea02303211344b9e6e7000f0000000000020209060100010800ff06000003e80000")
	require.NoError(f, err)
	mend := func(m []byte) {
		if n := len(m); n > 9 {
			sum := crc16.X25(m[1 : n-3])
			m[n-3], m[n-2] = byte(sum), byte(sum>>8)
			head := crc16.X25(m[1:6])
			m[6], m[7] = byte(head), byte(head>>8)
		}
	}
	for i := range byte(14) {
		f.Add([]byte{i, 3, i + 7, 5, 40, 200}, i*9, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, script []byte, piece byte, named bool) {
		if len(script) > 64 {
			return
		}
		own := *cfg
		own.Counters = &security.MemoryCounters{}
		if !named {
			own.Protocol = Auto
		}
		counter := uint32(0)
		l, err := newListener(driver.Prepared(&own, true), func(r *Result, err error) {
			if r == nil || len(r.Readings) == 0 {
				return
			}
			for _, x := range r.Readings {
				if x.Quality.Flags != 0 {
					continue
				}
				want, known := values[x.Code]
				require.True(t, known && x.Value.Equal(obis.Int(want, -1)), "%v is %v", x.Code, x.Value)
			}
			for _, layer := range r.Layers {
				if layer.Counted {
					require.Greater(t, layer.Counter, counter, "a replay")
					counter = layer.Counter
				}
			}
		})
		require.NoError(t, err)
		line := golden.Damage(frames, script, mend)
		if len(script) > 2 && script[2]%3 == 0 {
			line = append(line, plain, frames[0])
		}
		for _, frame := range line {
			for len(frame) > 0 {
				n := min(1+int(piece), len(frame))
				l.feed(frame[:n])
				frame = frame[n:]
			}
		}
	})
}
