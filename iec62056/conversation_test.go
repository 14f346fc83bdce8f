package iec62056

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// decodeAll returns what a line delivers in pieces, as text, and what of it is
// flagged.
func decodeAll(t testing.TB, line []byte, piece int, conversation bool) (readings map[string]bool) {
	readings = map[string]bool{}
	s := Stream{Conversation: conversation}
	var d Decoder
	for len(line) > 0 {
		n := min(piece, len(line))
		s.Feed(line[:n])
		line = line[n:]
		for {
			in, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil || in.Message.Kind != 0 || !in.Readout.Framed {
				continue // a block without a frame has no check
			}
			for _, r := range d.Decode(in.Readout).Readings {
				readings[show(r)] = r.Quality.Flags&(obis.Questionable|obis.Invalid|obis.Missing) != 0
			}
		}
		require.LessOrEqual(t, len(s.Pending()), 1<<16)
	}
	return readings
}

// FuzzConversation: of a damaged stream of readouts with a block check no reading
// comes that the intact one did not have.
func FuzzConversation(f *testing.F) {
	head := []byte("/OUM5METERSIM\r\n")
	messages := [][]byte{
		[]byte("/?!\r\n"), head, []byte("\x06050\r\n"), framed("F.F(00)\r\nC.1.0(1234)\r\n1.8.0(0001.5*kWh)\r\n1.6.0(1.2*kW)(0901161030)\r\n!\r\n"),
		append(head[:len(head):len(head)], framed("1.8.0(0002.5*kWh)\r\n2.8.0(7*kWh)\r\n!\r\n")...),
		append(head[:len(head):len(head)], framed("1.8.0(0003.5*kWh)\r\nP.01(0090116104500)(00)(15)(1)(1.5)(kW)\r\n(1)\r\n!\r\n")...),
	}
	line := bytes.Join(messages, nil)
	intact := decodeAll(f, line, 64, true)
	require.Greater(f, len(intact), 6)
	f.Add([]byte{4, 0, 3, 1, 200, 0}, 7)
	f.Add([]byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 6, 6, 5, 5}, 100)
	f.Fuzz(func(t *testing.T, script []byte, piece int) {
		if piece <= 0 || len(script) > 64 {
			return
		}
		damaged := bytes.Join(golden.Damage(messages, script, nil), nil)
		for n, c := range damaged {
			if c&0x7F == etx && !bytes.Contains(line, damaged[max(0, n-1):min(n+2, len(damaged))]) {
				return // an ETX by chance has a BCC by chance: once in 128 times it is right
			}
		}
		for _, conversation := range []bool{false, true} {
			for text, flagged := range decodeAll(t, damaged, piece, conversation) {
				if _, had := intact[text]; !had && !flagged {
					t.Fatalf("%s is not of the intact stream", text)
				}
			}
		}
		_ = explainAll(damaged, func(int, int, int, string, string) {})
		_ = Detect(damaged)
		new(Decoder).Decode(Salvage(damaged))
	})
}
