package iec62056

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/openusm/meter/obis"
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

// A Decoder says what the methods of a readout say, readout after readout.
func TestDecoder(t *testing.T) {
	var d Decoder
	for range 2 {
		for _, lines := range []string{
			"C.1.0(1234)\r\n0.0.0(99)\r\n0.2.0(V1)\r\n1.8.0(1*kWh)\r\nbroken(\r\n",
			"0.0.0( 7 )\r\n6-0:1.0.0(2*MWh)\r\nP.01(0090116104500)(00)(15)(1)(1.5)(kW)\r\n(1)\r\n(2)\r\nP.01(0090116111500)(08)(15)(1)(1.5)(kW)(3)\r\n",
			"P.98(0090116104500)(0080)()(0)\r\nP.01(0090116104500)(00)(15)(2)(1.5)(kW)\r\n1.8.0(2*kWh)\r\n",
			"",
		} {
			r, _, err := ParseReadout(append([]byte("/OUM5SIM\r\n"), framed(lines+"!\r\n")...))
			require.NoError(t, err)
			c := d.Decode(r)
			require.Equal(t, len(r.AppendReadings(nil)), len(c.Readings))
			for i, want := range r.AppendReadings(nil) {
				require.Equal(t, want, c.Readings[i])
				require.Contains(t, string(c.Line(want.Source)), string(want.RawID))
			}
			profiles, err := r.Profiles()
			require.Equal(t, err, c.Err)
			require.Equal(t, len(profiles), len(c.Profiles))
			for i := range profiles {
				require.Equal(t, profiles[i], c.Profiles[i])
			}
			require.Equal(t, len(r.Events()), len(c.Events))
			fresh := new(Decoder).Decode(r)
			require.Equal(t, fresh.Meter, c.Meter)
			require.Equal(t, len(fresh.BadLines), len(c.BadLines))
		}
	}
	require.Equal(t, obis.Meter{Manufacturer: "OUM", Model: "SIM"}, d.content.Meter)
}

func TestDecodeAllocatesNothing(t *testing.T) {
	raw := benchBytes(t)
	var s Stream
	var d Decoder
	decode := func() {
		s.Feed(raw)
		in, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if c := d.Decode(in.Readout); len(c.Readings) == 0 {
			t.Fatal(len(c.Readings))
		}
	}
	decode()
	require.Zero(t, testing.AllocsPerRun(100, decode))
}

// What was saved of a block that had a frame is not believed as if it had been checked.
func TestSalvageIsQuestionable(t *testing.T) {
	whole := framed("1.8.0(1*kWh)\r\n!\r\n")
	for _, b := range [][]byte{whole[:len(whole)-2], whole[:len(whole)-1], whole[1:]} {
		for _, r := range Salvage(b).AppendReadings(nil) {
			require.NotZero(t, r.Quality.Flags&obis.Questionable)
		}
	}
	for _, r := range Salvage([]byte("1.8.0(1*kWh)\r\n")).AppendReadings(nil) {
		require.Zero(t, r.Quality.Flags, "lines that never had a frame")
	}
}

// Every readout of a capture is explained, and of a part of one nothing is noted
// that would be noted again.
func TestExplainStream(t *testing.T) {
	one := append([]byte("/OUM3SIM\r\n"), framed("1.8.0(1*kWh)\r\n!\r\n")...)
	line := bytes.Join([][]byte{[]byte("noise"), one, one, []byte("\r\n"), one}, nil)
	found := 0
	require.NoError(t, explainAll(line, func(offset, length, _ int, field, _ string) {
		require.LessOrEqual(t, offset+length, len(line))
		if field == "BCC" {
			found++
		}
	}))
	require.Equal(t, 3, found)
	for end := range line {
		for at := 0; at < end; {
			noted := 0
			n, err := Explain(line[at:end], func(offset, length, _ int, _, _ string) {
				noted++
				require.LessOrEqual(t, at+offset+length, end)
			})
			if n == 0 {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Zero(t, noted)
				break
			}
			require.NoError(t, err)
			at += n
		}
	}
}

// Heat meters end their last line with the "!" of the block.
func TestEndBehindAValue(t *testing.T) {
	const readout = "/SIE32WR5\r\n6.8(0029.055*MWh)6.26(01589.28*m3)9.21(x!y)\r\n0.0(00010213)!\r\n"
	var s Stream
	for range 3 {
		s.Feed([]byte(readout))
	}
	n := 0
	for in := range found(&s) {
		require.True(t, bytes.HasSuffix(in.Readout.Data, []byte("0.0(00010213)")), "%q", in.Readout.Data)
		n++
	}
	require.Equal(t, 3, n)
	require.Empty(t, s.Pending())
	r, _, err := ParseReadout(append([]byte("/SIE32WR5\r\n"), framed("0.0(00010213)!\r\n")...))
	require.NoError(t, err)
	require.Equal(t, "0.0(00010213)", string(r.Data))
	require.Len(t, r.AppendReadings(nil), 1)
}

// Each prefix of each message is too short.
func TestMessagesAreTooShort(t *testing.T) {
	for _, m := range []Message{
		{Kind: KindRequest, Address: []byte("1234")}, {Kind: KindCommand, Command: [2]byte{'R', '5'}, HasData: true, Data: []byte("P.01()")},
		{Kind: KindCommand, Command: [2]byte{'B', '0'}}, {Kind: KindData, Data: []byte("1.8.0(1)\r\n!\r\n")}, {Kind: KindData, Data: []byte("1.8.0(1)"), Partial: true},
		{Kind: KindOption, Option: Option{'0', '5', '1'}}, {Kind: KindIdentification, Identification: Identification{Manufacturer: [3]byte{'O', 'U', 'M'}, Baud: '5', Ident: []byte("SIM")}},
	} {
		b, err := m.AppendBinary(nil)
		require.NoError(t, err)
		for n := range b {
			if m.Kind == KindOption && n == 1 {
				continue // an acknowledgement
			}
			_, taken, err := ParseMessage(b[:n:n])
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s: %d", m.Kind, n)
			require.Zero(t, taken)
		}
		_, taken, err := ParseMessage(b)
		require.NoError(t, err)
		require.Equal(t, len(b), taken)
	}
}

// Each prefix of a readout is too short, and no octet of a block may be another.
func TestReadoutsAreChecked(t *testing.T) {
	framedOne := append([]byte("/OUM3SIM\r\n"), framed("1.8.0(1*kWh)\r\n2.8.0(2*kWh)\r\n!\r\n")...)
	for name, whole := range map[string][]byte{"framed": framedOne, "bare": []byte("/OUM3SIM\r\n\r\n1.8.0(1*kWh)\r\n!\r\n"), "block": framedOne[10:]} {
		for n := range whole {
			_, taken, err := ParseReadout(whole[:n:n])
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s: %d octets", name, n)
			require.Zero(t, taken)
		}
		_, taken, err := ParseReadout(whole)
		require.NoError(t, err)
		require.Equal(t, len(whole), taken)
	}
	for i := 11; i < len(framedOne); i++ {
		damaged := bytes.Clone(framedOne)
		damaged[i] ^= 0x08
		_, _, err := ParseReadout(damaged)
		require.Error(t, err, "octet %d", i)
	}
}
