package wmbussim

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/wmbus"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

func testKey(mbus.Address) *mbus.Key {
	k, _ := mbus.NewKey([]byte("0123456789abcdef"))
	return k
}

// heardBy goes through what a listener hears of octets, which come in pieces.
func heardBy(t *testing.T, l *wmbus.Listener, b []byte, piece int, each func(*wmbus.Telegram, error)) {
	t.Helper()
	for len(b) > 0 {
		n := min(piece, len(b))
		l.Feed(b[:n])
		b = b[n:]
		for {
			tg, err := l.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			each(tg, err)
		}
	}
}

// Each receiver hands over each telegram, in each mode of security; those who know
// the keys read all of them, and others what is in the clear.
func TestReceivers(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, receiver := range []Receiver{CUL, Amber, Raw, IMST, RTL, HexLine} {
		for _, keys := range []func(mbus.Address) *mbus.Key{nil, testKey} {
			air, err := New(&Config{Receiver: receiver, Keys: keys, Now: func() time.Time { return now }})
			require.NoError(t, err)
			require.Len(t, air.Meters(), 6)
			var sent []byte
			for range 12 {
				b, err := air.Telegram()
				require.NoError(t, err)
				sent = append(sent, b...)
				now = now.Add(time.Hour)
			}
			for _, piece := range []int{1, 50, len(sent)} {
				l := &wmbus.Listener{}
				l.Decoder.Keys, l.Counters = keys, &mbus.MemoryCounters{}
				last := map[mbus.Address]int64{}
				modes := map[int]int{}
				n := 0
				heardBy(t, l, sent, piece, func(tg *wmbus.Telegram, err error) {
					require.NoError(t, err, "%s, telegram %d", receiver, n)
					require.NoError(t, tg.Broken)
					require.Equal(t, air.Meters()[n%6], tg.Header.Address)
					modes[tg.Security.Mode]++
					require.Equal(t, tg.Security.Mode == 7, tg.Security.Verified)
					readings := l.AppendReadings(nil, &tg.Telegram)
					require.Greater(t, len(readings), 3)
					moved := false
					for _, r := range readings {
						require.Equal(t, obis.Good, r.Quality.Validity(), "%s %s", receiver, r.ID())
						if m, _, ok := r.Value.Decimal(); ok && !moved {
							moved = true
							require.NotEqual(t, last[tg.Header.Address], m, "the register moves")
							last[tg.Header.Address] = m
						}
					}
					n++
				})
				require.Equal(t, 12, n, "%s in pieces of %d", receiver, piece)
				if keys == nil {
					require.Equal(t, map[int]int{0: 12}, modes)
				} else {
					require.Equal(t, map[int]int{5: 6, 7: 6}, modes)
				}
			}
			if keys == nil {
				continue
			}
			refused := 0
			heardBy(t, &wmbus.Listener{}, sent, 64, func(_ *wmbus.Telegram, err error) {
				require.ErrorIs(t, err, mbus.ErrNoKey)
				refused++
			})
			require.Equal(t, 12, refused)
			twice := &wmbus.Listener{}
			twice.Decoder.Keys, twice.Counters = testKey, &mbus.MemoryCounters{}
			replayed := 0
			heardBy(t, twice, append(append([]byte(nil), sent...), sent...), 64, func(_ *wmbus.Telegram, err error) {
				if errors.Is(err, mbus.ErrReplay) {
					replayed++
				}
			})
			require.Equal(t, 6, replayed, "counters of mode 7")
		}
	}
}

// The frames have the formats of their modes.
func TestFormats(t *testing.T) {
	air, err := New(nil)
	require.NoError(t, err)
	formats := map[wmbus.Format]int{}
	for range 6 {
		b, err := air.Telegram()
		require.NoError(t, err)
		line := string(b[1 : len(b)-2])
		if line[0] == 'Y' {
			line = line[1:]
		}
		raw, err := hex.DecodeString(line)
		require.NoError(t, err)
		_, format, n, err := wmbus.Detect(raw)
		require.NoError(t, err)
		require.Equal(t, len(raw)-1, n, "signal strength is behind it")
		require.Equal(t, format == wmbus.FormatB, b[1] == 'Y')
		formats[format]++
	}
	require.Equal(t, map[wmbus.Format]int{wmbus.FormatA: 4, wmbus.FormatB: 2}, formats)
	require.Equal(t, "T1", T1.String())
	require.Equal(t, "C1", C1.String())
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]*Config{
		"receiver":     {Receiver: "ear"},
		"mode":         {Meters: []Meter{{Security: 3, Key: testKey(mbus.Address{}), Records: func(time.Time) []byte { return nil }}}},
		"key":          {Meters: []Meter{{Security: 5, Records: func(time.Time) []byte { return nil }}}},
		"long, mode 5": {Meters: []Meter{{Security: 5, Key: testKey(mbus.Address{}), Records: func(time.Time) []byte { return make([]byte, 300) }}}},
		"long, mode 7": {Meters: []Meter{{Security: 7, Key: testKey(mbus.Address{}), Records: func(time.Time) []byte { return make([]byte, 300) }}}},
	} {
		_, err := New(cfg)
		require.Error(t, err, name)
	}
}

func TestServe(t *testing.T) {
	air, err := New(&Config{Interval: time.Millisecond})
	require.NoError(t, err)
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- air.Serve(ctx, far) }()
	l := &wmbus.Listener{}
	heard := 0
	for b := make([]byte, 64); heard < 3; {
		n, err := near.Read(b)
		require.NoError(t, err)
		heardBy(t, l, b[:n], n, func(_ *wmbus.Telegram, err error) {
			require.NoError(t, err)
			heard++
		})
	}
	cancel()
	require.NoError(t, near.Close())
	require.ErrorIs(t, <-done, context.Canceled)
}

// Of the frames of format B one bit of which was flipped nothing is good that was
// not sent, in the clear and in each mode of security.
func TestDamagedFrames(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, keys := range []func(mbus.Address) *mbus.Key{nil, testKey} {
		air, err := New(&Config{Keys: keys, Receiver: HexLine, Now: func() time.Time { return now }})
		require.NoError(t, err)
		for range 6 {
			line, err := air.Telegram()
			require.NoError(t, err)
			bare, err := hex.DecodeString(string(line[:len(line)-2]))
			require.NoError(t, err)
			for _, format := range []wmbus.Format{wmbus.FormatA, wmbus.FormatB} {
				f, _, err := wmbus.Parse(bare, wmbus.Bare)
				require.NoError(t, err)
				sent, err := f.Append(nil, format)
				require.NoError(t, err)
				truth := map[string]bool{}
				readings := func(b []byte, each func(string)) {
					var d wmbus.Decoder
					d.Keys = keys
					tg, err := d.Parse(b)
					if err != nil {
						return
					}
					for _, r := range d.AppendReadings(nil, &tg.Telegram) {
						if r.Quality.Validity() == obis.Good {
							each(r.ID() + " " + r.Value.String() + " " + r.Unit.String())
						}
					}
				}
				readings(sent, func(s string) { truth[s] = true })
				require.NotEmpty(t, truth)
				for i := range 8 * len(sent) {
					b := append([]byte(nil), sent...)
					b[i/8] ^= 1 << (i % 8)
					readings(b, func(s string) { require.True(t, truth[s], "format %s, bit %d: %s is good", format, i, s) })
				}
			}
		}
	}
}
