package sml

import (
	"bytes"
	"io"
	"testing"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// Octet strings of every length are written as they are read, whatever octets
// their length needs.
func TestLengths(t *testing.T) {
	for n := range 5000 {
		b := appendOctets(nil, make([]byte, n))
		c := cursor{b: b}
		got := c.octets("")
		require.NoError(t, c.err, n)
		require.Len(t, got, n)
		require.Equal(t, len(b), c.off)
		want := 1
		for size := 16; n+want >= size; size *= 16 {
			want++
		}
		require.Equal(t, n+want, len(b), "no octet too many")
		head := cursor{b: appendTL(nil, typeList, n)}
		typ, count := head.tl("")
		require.Equal(t, []int{typeList, n}, []int{int(typ), count})
	}
}

func TestSecondsIndex(t *testing.T) {
	for v, ok := range map[uint64]bool{0: true, 1: true, 1<<31 - 1: true, 1 << 31: false, 1<<32 - 1: false, 1 << 40: false} {
		got := relative(v)
		require.Equal(t, !ok, got == obis.Time{}, v)
		if ok {
			require.Equal(t, obis.Relative(int32(v)), got)
		}
	}
}

// The quirk of DZG meters is one of power, of all phases and of each.
func TestIsPower(t *testing.T) {
	for code, want := range map[obis.Code]bool{
		{1, 0, 16, 7, 0, 255}: true, {1, 0, 36, 7, 0, 255}: true, {1, 0, 56, 7, 0, 255}: true, {1, 0, 76, 7, 0, 255}: true,
		{1, 0, 1, 7, 0, 255}: false, {1, 0, 16, 8, 0, 255}: false, {7, 0, 16, 7, 0, 255}: false, {1, 0, 96, 7, 0, 255}: false,
	} {
		require.Equal(t, want, isPower(code), code)
	}
	id := func(serial ...byte) []byte { return append([]byte("\x0a\x01DZG\x00"), serial...) }
	for serial, want := range map[[4]byte]bool{
		{0x02, 0x80, 0xDE, 0x7F}: false, {0x02, 0x80, 0xDE, 0x80}: true, {0x02, 0xEB, 0xAE, 0x3F}: true, {0x02, 0xEB, 0xAE, 0x40}: false,
	} {
		require.Equal(t, want, unsignedPower(id(serial[:]...)), "% x", serial)
	}
}

// Each prefix of a frame is too short, and no octet of it may be another.
func TestFramesAreChecked(t *testing.T) {
	whole := testFrame(testServer)
	for n := range whole {
		_, taken, err := ParseFrame(whole[:n:n])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d octets", n)
		require.Zero(t, taken)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x04
		_, taken, err := ParseFrame(damaged)
		require.Error(t, err, "octet %d", i)
		require.Zero(t, taken)
	}
}
