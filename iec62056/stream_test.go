package iec62056

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A recording of reader and meter gives every message, and the block that has
// no identification gets that of the meter that spoke before.
func TestStreamOfAConversation(t *testing.T) {
	block := framed("1.8.0(1*kWh)\r\n!\r\n")
	answer, _ := Message{Kind: KindData, Data: []byte("(1*kWh)")}.AppendBinary(nil)
	command, _ := Message{Kind: KindCommand, Command: [2]byte{'R', '1'}, HasData: true, Data: []byte("1.8.0()")}.AppendBinary(nil)
	line := "/?12345678!\r\n/OUM5METERSIM\r\n\x06050\r\n" + string(block) + "\x15" + string(block) + "\x06" + string(command) + string(answer) + "\x00\x00/?!\r\n"
	for _, piece := range []int{1, 7, len(line)} {
		s := Stream{Conversation: true}
		var got []string
		for rest := []byte(line); len(rest) > 0; {
			size := min(piece, len(rest))
			s.Feed(rest[:size])
			rest = rest[size:]
			for in := range found(&s) {
				if in.Message.Kind != 0 {
					got = append(got, in.Message.Kind.String())
				} else {
					got = append(got, in.Readout.Identification.Model()+" "+string(in.Readout.Data))
				}
			}
		}
		require.Equal(t, []string{
			"request", "identification", "option-select", "METERSIM 1.8.0(1*kWh)", "nak", "METERSIM 1.8.0(1*kWh)", "ack", "command", "METERSIM (1*kWh)", "request",
		}, got, "pieces of %d", piece)
		require.Zero(t, s.Stats().Malformed+s.Stats().ChecksumErrors)
	}
}

// Whatever comes, no more is kept than one readout may have.
func TestStreamIsBounded(t *testing.T) {
	for _, head := range []string{"/OUM5SIM\r\n", "/OUM5SIM\r\n\x02", "/", "\x01R1\x02", "\x02", "\x06"} {
		for _, conversation := range []bool{false, true} {
			s := Stream{Conversation: conversation, MaxSize: 1000}
			s.Feed([]byte(head))
			for range 100 {
				s.Feed([]byte(strings.Repeat("x(1)\r\n/", 20)))
				for {
					if _, err := s.Next(); errors.Is(err, io.ErrUnexpectedEOF) {
						break
					}
				}
				require.LessOrEqual(t, len(s.Pending()), maxTalk, "%q", head)
			}
		}
	}
}

// The end of a capture holds a readout of which the end is missing.
func TestStreamPending(t *testing.T) {
	var s Stream
	s.Feed([]byte("/OUM3SIM\r\n1.8.0(1*kWh)\r\n2.8.0(2"))
	_, err := s.Next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	r := Salvage(s.Pending())
	require.Len(t, r.AppendReadings(nil), 2)
}
