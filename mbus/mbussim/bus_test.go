package mbussim

import (
	"bytes"
	"testing"
	"time"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 11, 20, 14, 59, 0, 0, time.UTC)

// sim is a bus whose clock stands still.
func sim(meters ...Meter) *Bus {
	return New(&Config{Meters: meters, Now: func() time.Time { return start }})
}

// ask sends a frame and returns what is on the line then.
func ask(t *testing.T, b *Bus, s string) []byte {
	t.Helper()
	f, n, err := link.Parse(golden.Unhex(t, s))
	require.NoError(t, err)
	require.Equal(t, len(golden.Unhex(t, s)), n)
	return b.answer(f)
}

// A request with the frame count bit as before is answered by the same octets;
// one with the other bit by the next telegram; after a reset comes the first again.
func TestFrameCountBit(t *testing.T) {
	m := Standard(4, start)[3] // two telegrams
	m.Primary = 5
	b := sim(m)
	require.Equal(t, ackFrame, ask(t, b, "1040054516"))
	first := ask(t, b, "107b058016")
	require.Equal(t, first, ask(t, b, "107b058016"))
	second := ask(t, b, "105b056016")
	require.NotEqual(t, first, second)
	require.Equal(t, second, ask(t, b, "105b056016"))
	require.Equal(t, telegramOf(t, first).Header.Access+1, telegramOf(t, second).Header.Access)
	require.True(t, telegramOf(t, first).More)
	require.False(t, telegramOf(t, second).More)
	again := ask(t, b, "107b058016")
	require.Equal(t, telegramOf(t, first).Records[0].ID, telegramOf(t, again).Records[0].ID)
	require.Equal(t, ackFrame, ask(t, b, "1040054516"))
	require.Equal(t, telegramOf(t, first).Records[0].ID, telegramOf(t, ask(t, b, "107b058016")).Records[0].ID)
}

func telegramOf(t *testing.T, frame []byte) mbus.Telegram {
	t.Helper()
	f, _, err := link.Parse(frame)
	require.NoError(t, err)
	tg, err := mbus.Parse(f.Payload)
	require.NoError(t, err)
	require.NoError(t, tg.Broken)
	return tg
}

func TestAddresses(t *testing.T) {
	b := sim(Standard(1, start)...)
	require.Equal(t, ackFrame, ask(t, b, "1040014116"))
	require.Nil(t, ask(t, b, "1040024216"), "another slave's address")
	require.Equal(t, ackFrame, ask(t, b, "1040fe3e16"), "test")
	require.Nil(t, ask(t, b, "1040ff3f16"), "broadcast")
	require.Nil(t, ask(t, b, "107bfd7816"), "not selected")
	require.Nil(t, ask(t, b, "e5"))
}

func TestSelection(t *testing.T) {
	meters := Standard(2, start)
	meters[0].Address.ID, meters[1].Address.ID = 0x1234567A, 0x12345678
	b := sim(meters...)
	// All digits of the first, other fields any; then one that neither has.
	require.Equal(t, ackFrame, ask(t, b, "680b0b6853fd527a563412ffffffffb416"))
	one := ask(t, b, "107bfd7816")
	require.Equal(t, uint32(0x1234567A), telegramOf(t, one).Header.Address.ID)
	require.Nil(t, ask(t, b, "680b0b6853fd5279563412ffffffffb316"))
	require.Nil(t, ask(t, b, "107bfd7816"), "a selection that does not match deselects")
	// The last digit any: both are selected and their answers collide.
	require.Equal(t, ackFrame, ask(t, b, "680b0b6853fd527f563412ffffffffb916"))
	_, _, err := link.Parse(ask(t, b, "107bfd7816"))
	require.Error(t, err)
	require.Equal(t, ackFrame, ask(t, b, "1040fd3d16"))
	require.Nil(t, ask(t, b, "107bfd7816"), "deselected")
}

// A zero hides a one where answers overlap.
func TestOverlap(t *testing.T) {
	b := sim(Standard(1, start)...)
	require.Equal(t, []byte{0x08, 0x55, 0x01}, b.overlap([]byte{0x0C, 0x55}, []byte{0x09, 0xFF, 0x01}))
	require.Equal(t, ackFrame, b.overlap(ackFrame, ackFrame))
	require.Equal(t, byte(0xE5), ackFrame[0])
}

func TestReadoutSelection(t *testing.T) {
	b := sim(Standard(1, start)...)
	require.Equal(t, ackFrame, ask(t, b, "68 07 07 68 53 01 51 08 05 08 13 cd 16")) // energy and volume
	var ids [][]byte
	for _, r := range telegramOf(t, ask(t, b, "107b017c16")).Records {
		ids = append(ids, bytes.Clone(r.ID))
	}
	require.Equal(t, [][]byte{{0x0C, 0x05}, {0x0C, 0x13}, {0x4C, 0x05}}, ids)
	require.Equal(t, ackFrame, ask(t, b, "68 05 05 68 53 01 51 7f 7e a2 16")) // all
	require.Len(t, telegramOf(t, ask(t, b, "107b017c16")).Records, 12)
}

// Counters only grow, every meter has its own address, and each kind can be read.
func TestStandard(t *testing.T) {
	seen := map[mbus.Address]bool{}
	hex := 0
	for i, m := range Standard(260, start) {
		require.False(t, seen[m.Address], "%s twice", m.Address)
		seen[m.Address] = true
		if i < 250 {
			require.Equal(t, byte(i+1), m.Primary)
		} else {
			require.Zero(t, m.Primary)
		}
		for shift := 0; shift < 32; shift += 4 {
			if m.Address.ID>>shift&15 > 9 {
				hex++
				break
			}
		}
		before, after := m.Telegrams(start), m.Telegrams(start.Add(1000*time.Hour))
		require.Len(t, after, len(before))
		for k := range before {
			var d mbus.Decoder
			was, err := d.AppendRecords(nil, before[k])
			require.NoError(t, err)
			is, err := new(mbus.Decoder).AppendRecords(nil, after[k])
			require.NoError(t, err)
			for n := range was {
				if was[n].Quantity == mbus.QuantityEnergy || was[n].Quantity == mbus.QuantityVolume {
					a, _ := was[n].Value.Float64()
					b, _ := is[n].Value.Float64()
					require.LessOrEqual(t, a, b)
				}
			}
		}
	}
	require.Equal(t, 52, hex)
}
