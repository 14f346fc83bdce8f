package wmbus

import (
	"testing"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus"
	"github.com/stretchr/testify/require"
)

// benchTelegrams are telegrams bare, of format A, and encrypted in mode 5 and in
// the extended link layer.
func benchTelegrams(t testing.TB, key *mbus.Key) map[string][]byte {
	f, _, err := Parse(golden.Unhex(t, bare), Bare)
	require.NoError(t, err)
	a, err := f.Append(nil, FormatA)
	require.NoError(t, err)
	payload, err := mbus.AppendEncrypted([]byte{0x7A}, mbus.Header{Form: mbus.HeaderShort, Address: f.Address, Access: 7}, golden.Unhex(t, "0c1427048502046d32371f1502fd170000"), key)
	require.NoError(t, err)
	mode5, err := Frame{C: 0x44, Address: f.Address, Payload: payload}.Append(nil, FormatB)
	require.NoError(t, err)
	return map[string][]byte{
		"bare": golden.Unhex(t, bare), "format A": a, "format B, mode 5": mode5,
		"ELL": golden.Unhex(t, "54cd2a442d2c313134331b16d4638d20e903241e202e453cff7cb68c402fc7111964987dac469de3a9c064108e768767b8e2dbb8b8"),
	}
}

func TestDecodingDoesNotAllocate(t *testing.T) {
	key := fuzzKey(t)
	var d Decoder
	d.Keys = func(mbus.Address) *mbus.Key { return key }
	for name, frame := range benchTelegrams(t, key) {
		decode := func() {
			tg, err := d.Parse(frame)
			if err != nil {
				t.Fatal(name, err)
			}
			if r := d.Report(&tg.Telegram); r.Meter.ID == "" {
				t.Fatal(name)
			}
		}
		decode()
		require.Zero(t, testing.AllocsPerRun(100, decode), name)
	}
}

var sink uint16

// BenchmarkTelegram runs beside the CRCs of the same octets, one table and one
// octet at a time being the floor of any receiver.
func BenchmarkTelegram(b *testing.B) {
	key := fuzzKey(b)
	var table [256]uint16
	for i := range table {
		c := uint16(i) << 8
		for range 8 {
			c = c<<1 ^ 0x3D65*(c>>15)
		}
		table[i] = c
	}
	for name, frame := range benchTelegrams(b, key) {
		b.Run(name, func(b *testing.B) {
			var d Decoder
			d.Keys = func(mbus.Address) *mbus.Key { return key }
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				tg, err := d.Parse(frame)
				if err != nil {
					b.Fatal(err)
				}
				d.Report(&tg.Telegram)
			}
			golden.OfFloor(b, func() {
				crc := uint16(0)
				for _, c := range frame {
					crc = crc<<8 ^ table[byte(crc>>8)^c]
				}
				sink += crc
			})
		})
	}
	require.Equal(b, crc16.EN13757(nil), ^uint16(0))
}
