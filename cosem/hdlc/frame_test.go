package hdlc

import (
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

// Frames as captured between a foreign client and a foreign server.
const (
	snrm = "7ea01e032193cd3b818012050180060180070400000001080400000001533b7e"
	disc = "7ea0070321930f017e"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		hex  string
		want Frame
	}{
		"SNRM without information": {disc, Frame{Destination: Server(1, 0), Source: Client(16), Control: SNRM | PollFinal}},
		"SNRM with parameters": {snrm, Frame{Destination: Server(1, 0), Source: Client(16), Control: SNRM | PollFinal,
			Info: Parameters{}.Append(nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			b := unhex(t, test.hex)
			f, n, err := Parse(append(b, 0xA0))
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			require.Equal(t, test.want, f)
			again, err := f.AppendBinary(nil)
			require.NoError(t, err)
			require.Equal(t, b, again)
			for cut := range b {
				_, n, err := Parse(b[:cut])
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", cut)
				require.Zero(t, n)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, a := range []Address{{1, 0, 1}, {0x7F, 0, 1}, {1, 17, 2}, {0x7F, 0x7F, 2}, {1, 0x1234, 4}, {0x3FFF, 0x3FFF, 4}, {1, 0, 2}} {
		f := Frame{Destination: a, Source: Client(16), Control: UI, Info: []byte{1}}
		b, err := f.AppendBinary(nil)
		require.NoError(t, err)
		got, _, err := Parse(b)
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
	require.Equal(t, uint8(2), Server(1, 17).Size)
	require.Equal(t, uint8(4), Server(1, 200).Size)
	require.True(t, Address{0x7F, 0, 1}.IsBroadcast())
	require.False(t, Server(1, 17).IsBroadcast())
	require.Equal(t, "1/17", Server(1, 17).String())
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		hex    string
		field  string
		offset int
	}{
		"no flag":             {"a0", "flag", 0},
		"frame type 9":        {"7e9007", "format", 1},
		"length of 5":         {"7ea005032193", "format", 1},
		"address of 3 octets": {"7ea00b020221", "destination address", 3},
		"endless address":     {"7ea00e0202020202", "destination address", 3},
		"wrong HCS":           {strings.Replace(snrm, "cd3b", "cd3c", 1), "HCS", 6},
		"wrong FCS":           {strings.Replace(snrm, "533b", "533c", 1), "FCS", 29},
		"information changed": {strings.Replace(snrm, "0180", "0181", 1), "FCS", 29},
		"no closing flag":     {strings.TrimSuffix(snrm, "7e") + "7f", "closing flag", 31},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := Parse(unhex(t, test.hex))
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Zero(t, n)
			require.Equal(t, test.field, pe.Field)
			require.Equal(t, test.offset, pe.Offset)
			require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
		})
	}
	_, err := Frame{Info: make([]byte, 2048)}.AppendBinary(nil)
	require.ErrorIs(t, err, ErrTooLong)
}

func TestParameters(t *testing.T) {
	p, err := ParseParameters(unhex(t, "81801205019a06019a070400000001080400000001"))
	require.NoError(t, err)
	require.Equal(t, Parameters{154, 154, 1, 1}, p)
	p, err = ParseParameters(unhex(t, "81801405020200060207ee070400000007080400000003"))
	require.NoError(t, err)
	require.Equal(t, Parameters{512, 2030, 7, 3}, p)
	require.Equal(t, Parameters{128, 128, 1, 1}, Parameters{}.Negotiate(p))
	require.Equal(t, Parameters{300, 512, 2, 7}, Parameters{300, 2030, 2, 7}.Negotiate(p))
	require.Equal(t, "81801405020200060207ee070400000007080400000003", hex.EncodeToString(Parameters{512, 2030, 7, 3}.Append(nil)))
	_, err = ParseParameters(unhex(t, "8180120501"))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = ParseParameters(unhex(t, "818002 0503"[:6]+"0503"))
	require.Error(t, err)
}

func TestControl(t *testing.T) {
	for c, want := range map[Control]string{
		0x10: "I(0,0) P/F", 0x32: "I(1,1) P/F", 0x51: "RR(2) P/F", 0x15: "RNR(0) P/F", 0x93: "SNRM P/F", 0x53: "DISC P/F",
		0x73: "UA P/F", 0x1F: "DM P/F", 0x97: "FRMR P/F", 0x13: "UI P/F", 0x03: "UI",
	} {
		require.Equal(t, want, c.String())
	}
}

// A flag inside a frame means nothing: the length delimits.
func TestScannerKeepsFlagsInside(t *testing.T) {
	f := Frame{Destination: Client(16), Source: Server(1, 0), Control: UI, Info: []byte{0x7E, 0xA0, 0x07, 0x7E, 0x7E, 0xA0, 0x7E}}
	b, err := f.AppendBinary(nil)
	require.NoError(t, err)
	for step := 1; step <= len(b); step++ {
		var s Scanner
		found := 0
		stream := append(append([]byte{}, b...), b[1:]...) // the closing flag opens the next frame
		for len(stream) > 0 {
			n := min(step, len(stream))
			s.Feed(stream[:n])
			stream = stream[n:]
			for {
				got, err := s.Next()
				if err != nil {
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
					break
				}
				require.Equal(t, f, got)
				require.Equal(t, b, s.Raw())
				require.Zero(t, s.Stats().Skipped)
				found++
			}
		}
		require.Equal(t, 2, found, "in steps of %d", step)
	}
}

func TestScannerFindsFramesInNoise(t *testing.T) {
	frame := unhex(t, snrm)
	var s Scanner
	s.Feed(append(append([]byte("\x00\x7Ehello\x7E\xA0"), frame...), append([]byte("\x7E\x7E\x7Enoise"), frame...)...))
	found, damaged := 0, 0
	for {
		_, err := s.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			damaged++
			continue
		}
		require.Equal(t, frame, s.Raw())
		found++
	}
	require.Equal(t, 2, found)
	require.Positive(t, damaged)
	require.EqualValues(t, 2, s.Stats().Messages)
	require.EqualValues(t, damaged, s.Stats().Malformed+s.Stats().ChecksumErrors)
	require.Positive(t, s.Stats().Skipped)
}

// A frame that never ends is given up after the timeout, and what lay in it is found.
func TestScannerSkips(t *testing.T) {
	frame := unhex(t, disc)
	var s Scanner
	s.Feed(append(unhex(t, "7ea7ff032193"), frame...))
	_, err := s.Next()
	require.Error(t, err)
	for s.Pending() > 0 {
		_, err := s.Next()
		if err == nil {
			require.Equal(t, frame, s.Raw())
			return
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			s.Skip()
		}
	}
	t.Fatal("the frame behind the broken one was lost")
}

// The checksum is that of its definition, bit by bit, for every length.
func TestChecksum(t *testing.T) {
	require.Equal(t, uint16(0x906E), checksum([]byte("123456789")), "the check value of CRC-16/X-25")
	for n := range 40 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*i + 7*n)
		}
		crc := uint16(0xFFFF)
		for _, c := range b {
			crc ^= uint16(c)
			for range 8 {
				crc = crc>>1 ^ 0x8408*(crc&1)
			}
		}
		require.Equal(t, ^crc, checksum(b))
	}
}

// Octets that nobody takes do not gather without end.
func TestScannerIsBounded(t *testing.T) {
	var s Scanner
	for range 100 {
		s.Feed(make([]byte, 4096))
	}
	require.LessOrEqual(t, len(s.in.Rest()), maxPending+4096)
	require.Positive(t, s.Stats().Skipped)
}

func FuzzParse(f *testing.F) {
	f.Add(unhex(f, snrm))
	f.Add(unhex(f, disc))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, err := Parse(b)
		explained := Explain(b, func(off, length, _ int, _, _ string) {
			if off < 0 || length < 0 || off+length > len(b) {
				t.Fatalf("note of octets %d to %d of %d", off, off+length, len(b))
			}
		})
		require.Equal(t, err, explained)
		var s Scanner
		s.Feed(b)
		for range len(b) + 1 {
			if _, err := s.Next(); errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
		}
		_, last := s.Next()
		require.ErrorIs(t, last, io.ErrUnexpectedEOF)
		if err != nil {
			require.Zero(t, n)
			return
		}
		again, err := frame.AppendBinary(nil)
		require.NoError(t, err)
		if len(frame.Info) > 0 {
			require.Equal(t, b[:n], again)
		}
	})
}

// BenchmarkParse reads an I frame of 120 octets. The floor is a checksum by a table of octets alone.
func BenchmarkParse(b *testing.B) {
	f := Frame{Destination: Client(16), Source: Server(1, 0), Control: Information(0, 0), Info: make([]byte, 120)}
	raw, err := f.AppendBinary(nil)
	require.NoError(b, err)
	require.Zero(b, testing.AllocsPerRun(100, func() { _, _, _ = Parse(raw) }))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
	sum := uint16(0)
	golden.OfFloor(b, func() {
		crc := uint16(0xFFFF)
		for _, c := range raw {
			crc = crc>>8 ^ crcTables[0][byte(crc)^c]
		}
		sum += crc
	})
	require.NotZero(b, sum)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}
