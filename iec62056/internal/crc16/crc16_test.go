package crc16

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The check values of the catalogue of parametrised CRC algorithms.
func TestCheckValues(t *testing.T) {
	b := []byte("123456789")
	require.EqualValues(t, 0xBB3D, ARC(b))
	require.EqualValues(t, 0x906E, X25(b))
	require.EqualValues(t, 0x2189, Kermit(b))
	require.EqualValues(t, 0x906E, UpdateX25(UpdateX25(0, b[:4]), b[4:]))
}

// TestSlices compares runs of every length with one octet at a time.
func TestSlices(t *testing.T) {
	b := make([]byte, 40)
	for i := range b {
		b[i] = byte(i*i*7 + 3)
	}
	for n := range b {
		var crc uint16
		for _, c := range b[:n] {
			crc = crc>>8 ^ arc[0][byte(crc)^c]
		}
		require.Equal(t, crc, ARC(b[:n]))
	}
}
