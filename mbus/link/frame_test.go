package link

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// An answer with one volume record.
const response = "6815156808057278563412931533032a0000000c13270485026c16"

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		hex  string
		want Frame
	}{
		"acknowledgement": {"e5", Frame{Form: Ack}},
		"request":         {"107b017c16", Frame{Form: Short, C: ReqUD2.WithFCB(true), A: 1}},
		"reset":           {"1040fe3e16", Frame{Form: Short, C: SndNKE, A: 254}},
		"control":         {"680303685301bd1116", Frame{Form: Control, C: SndUD.WithFCB(false), A: 1, Payload: []byte{0xBD}}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := unhex(t, test.hex)
			f, n, err := Parse(raw)
			require.NoError(t, err)
			require.Equal(t, len(raw), n)
			require.Equal(t, test.want, f)
			again, err := f.AppendBinary(nil)
			require.NoError(t, err)
			require.Equal(t, raw, again)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		hex    string
		field  string
		offset int
		short  bool
	}{
		"nothing":                  {"", "start", 0, true},
		"half a short frame":       {"107b01", "short frame", 3, true},
		"half a header":            {"681313", "header", 3, true},
		"half a frame":             {"68131368080572", "frame", 7, true},
		"no start":                 {"7b017c16", "start", 0, false},
		"length 2":                 {"68020268", "length", 1, false},
		"lengths differ":           {"681314", "second length", 2, false},
		"no second start":          {"68131310", "second start", 3, false},
		"wrong checksum":           {"107b017d16", "checksum", 3, false},
		"wrong stop":               {"107b017c17", "stop", 4, false},
		"checksum of long frame":   {"680303685301bd1216", "checksum", 7, false},
		"stop octet of long frame": {"680303685301bd1117", "stop", 8, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, n, err := Parse(unhex(t, test.hex))
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Zero(t, n)
			require.Zero(t, f)
			require.Equal(t, test.field, pe.Field)
			require.Equal(t, test.offset, pe.Offset)
			require.Equal(t, test.short, errors.Is(err, io.ErrUnexpectedEOF))
			require.Equal(t, test.field == "checksum", errors.Is(err, ErrChecksum))
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	dst := []byte("kept")
	for _, f := range []Frame{{}, {Form: Long}, {Form: Long, Payload: make([]byte, MaxPayload+1)}} {
		out, err := f.AppendBinary(dst)
		require.Error(t, err)
		require.Equal(t, dst, out)
	}
}

func TestControl(t *testing.T) {
	require.Equal(t, C(0x7B), ReqUD2.WithFCB(true))
	require.Equal(t, C(0x5A), ReqUD1.WithFCB(false))
	fcb, valid := C(0x73).FCB()
	require.True(t, fcb && valid)
	_, valid = C(0x40).FCB()
	require.False(t, valid)
	require.True(t, C(0x38).ACD() && C(0x38).DFC() && !C(0x38).Primary())
	require.Equal(t, "RSP_UD ACD", C(0x28).String())
	require.Equal(t, "REQ_UD2 FCB FCV", C(0x7B).String())
	require.Equal(t, "C 0x4f", C(0x4F).String())
}

func TestExplain(t *testing.T) {
	var lines []string
	err := Explain(unhex(t, "680303685301bd1116"), func(offset, length, depth int, field, meaning string) {
		lines = append(lines, fmt.Sprintf("%d+%d %d %s: %s", offset, length, depth, field, meaning))
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		"0+1 0 start: control or long frame", "1+1 0 length: 3 octets", "2+1 0 second length: the same", "3+1 0 second start: ",
		"4+1 0 C: SND_UD FCV", "5+1 0 A: slave 1", "6+1 1 payload: CI field and data", "7+1 0 checksum: correct", "8+1 0 stop: control frame ends",
	}, lines)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"e5", "107b017c16", "680303685301bd1116", response} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		next := 0
		explained := Explain(b, func(offset, length, depth int, field, meaning string) {
			require.Equal(t, next, offset)
			require.Positive(t, length)
			next += length
			require.LessOrEqual(t, next, len(b))
		})
		frame, n, err := Parse(b)
		require.Equal(t, err, explained)
		if err != nil {
			require.Zero(t, n)
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.LessOrEqual(t, pe.Offset, len(b))
			return
		}
		require.Equal(t, n, next)
		again, err := frame.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b[:n], again)
		for i := range n {
			_, _, err := Parse(bytes.Clone(b[:i]))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	f := Frame{Form: Long, C: RspUD, A: 1, Payload: make([]byte, 119)}
	raw, err := f.AppendBinary(nil)
	require.NoError(b, err)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}
