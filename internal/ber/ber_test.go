package ber

import (
	"bytes"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		in   []byte
		tag  Tag
		n    int
		at   int
		skip int
	}{
		"short":             {[]byte{0x30, 2, 1, 2, 9}, 0x30, 4, 2, 2},
		"long length":       {append([]byte{0xA4, 0x81, 0x80}, make([]byte, 128)...), 0xA4, 131, 3, 128},
		"high tag":          {[]byte{0xBF, 0x41, 0}, 0xBF41, 3, 3, 0},
		"not shortest form": {[]byte{0x80, 0x82, 0, 1, 7}, 0x80, 5, 4, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e, n, err := Parse(test.in)
			require.NoError(t, err)
			require.Equal(t, test.tag, e.Tag)
			require.Equal(t, test.n, n)
			require.Equal(t, test.at, e.Offset)
			require.Len(t, e.Contents, test.skip)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		in  []byte
		err error
	}{
		"nothing":       {nil, io.ErrUnexpectedEOF},
		"half a tag":    {[]byte{0xBF}, io.ErrUnexpectedEOF},
		"no length":     {[]byte{0x30}, io.ErrUnexpectedEOF},
		"half a length": {[]byte{0x30, 0x82, 1}, io.ErrUnexpectedEOF},
		"half contents": {[]byte{0x30, 2, 1}, io.ErrUnexpectedEOF},
		"indefinite":    {[]byte{0x30, 0x80, 0, 0}, ErrIndefinite},
		"huge":          {[]byte{0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}, ErrLength},
		"nine octets":   {[]byte{0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1}, ErrLength},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := Parse(test.in)
			require.ErrorIs(t, err, test.err)
			require.Zero(t, n)
		})
	}
}

// X.690 8.3: two's complement in the fewest octets.
func TestIntegers(t *testing.T) {
	for v, want := range map[int64]string{
		0: "\x02\x01\x00", 127: "\x02\x01\x7f", 128: "\x02\x02\x00\x80", -128: "\x02\x01\x80", -129: "\x02\x02\xff\x7f",
		math.MaxInt64: "\x02\x08\x7f\xff\xff\xff\xff\xff\xff\xff", math.MinInt64: "\x02\x08\x80\x00\x00\x00\x00\x00\x00\x00",
	} {
		b := AppendInt(nil, 2, v)
		require.Equal(t, want, string(b))
		e, _, err := Parse(b)
		require.NoError(t, err)
		got, err := e.Int("v")
		require.NoError(t, err)
		require.Equal(t, v, got)
	}
	for _, v := range []uint64{0, 255, 1 << 63, math.MaxUint64} {
		e, _, err := Parse(AppendUint(nil, 2, v))
		require.NoError(t, err)
		got, err := e.Uint("v")
		require.NoError(t, err)
		require.Equal(t, v, got)
	}
}

func TestOpenClose(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 255, 256, 65535, 65536} {
		dst, mark := Open([]byte("x"), 0xBF48)
		dst = append(dst, bytes.Repeat([]byte{7}, size)...)
		dst = Close(dst, mark)
		require.Equal(t, Append([]byte("x"), 0xBF48, bytes.Repeat([]byte{7}, size)), dst)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0x30, 3, 2, 1, 5})
	f.Add([]byte{0xBF, 0x41, 0x81, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, n, err := Parse(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		again, m, err := Parse(Append(nil, e.Tag, e.Contents))
		require.NoError(t, err)
		require.LessOrEqual(t, m, n)
		require.Equal(t, e.Tag, again.Tag)
		require.True(t, bytes.Equal(e.Contents, again.Contents))
		for i := range n {
			_, _, err := Parse(b[:i])
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	})
}
