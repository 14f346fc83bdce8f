package crc16

import (
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

// The check values of the catalogue of parametrised CRC algorithms.
func TestCheckValues(t *testing.T) {
	b := []byte("123456789")
	require.EqualValues(t, 0xBB3D, ARC(b))
	require.EqualValues(t, 0x906E, X25(b))
	require.EqualValues(t, 0x2189, Kermit(b))
	require.EqualValues(t, 0xC2B7, EN13757(b))
	require.EqualValues(t, 0x906E, UpdateX25(UpdateX25(0, b[:4]), b[4:]))
}

// TestSlices compares runs of every length with one bit at a time.
func TestSlices(t *testing.T) {
	b := make([]byte, 60)
	for i := range b {
		b[i] = byte(i*i*7 + 3)
	}
	for n := range b {
		lsb, msb := uint16(0), uint16(0)
		for _, c := range b[:n] {
			lsb ^= uint16(c)
			msb ^= uint16(c) << 8
			for range 8 {
				lsb = lsb>>1 ^ 0xA001*(lsb&1)
				msb = msb<<1 ^ 0x3D65*(msb>>15)
			}
		}
		require.Equal(t, lsb, ARC(b[:n]))
		require.Equal(t, ^msb, EN13757(b[:n]))
	}
}

var sink uint16

func BenchmarkX25(b *testing.B) {
	octets := make([]byte, 256)
	b.SetBytes(int64(len(octets)))
	b.ReportAllocs()
	for b.Loop() {
		sink += X25(octets)
	}
	golden.OfFloor(b, func() {
		crc := uint16(0xFFFF)
		for _, c := range octets {
			crc = crc>>8 ^ ccitt[0][byte(crc)^c]
		}
		sink += crc
	})
}
