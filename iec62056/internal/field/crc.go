package field

import (
	"bytes"

	"github.com/openusm/meter/internal/crc16"
)

// CheckCRC reports whether the CRC of a customer port's telegram fits b, which
// goes from "/" to "!": as it is, or with each line end as CR LF, as meters send
// it. It returns what the CRC of b as it is should be.
func CheckCRC(b []byte, crc uint16) (want uint16, fits bool) {
	want = crc16.ARC(b)
	return want, want == crc || crc16.ARC(withCRLF(b)) == crc
}

// withCRLF returns b with CR LF in place of each LF and each CR that stands alone.
func withCRLF(b []byte) []byte {
	out := make([]byte, 0, len(b)+bytes.Count(b, []byte{'\n'})+bytes.Count(b, []byte{'\r'}))
	for i, c := range b {
		switch {
		case c == '\r' && (i+1 == len(b) || b[i+1] != '\n'):
			out = append(out, '\r', '\n')
		case c == '\n' && (i == 0 || b[i-1] != '\r'):
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	return out
}

// IsCRC reports whether b, which stands behind the "!", is the CRC of a customer
// port's telegram.
func IsCRC(b []byte) bool {
	if len(b) != 4 {
		return false
	}
	for _, c := range b {
		if _, ok := HexDigit(c); !ok {
			return false
		}
	}
	return true
}

// HexDigit returns the value of a hexadecimal digit.
func HexDigit(c byte) (byte, bool) {
	switch {
	case c-'0' <= 9:
		return c - '0', true
	case c|0x20-'a' <= 5:
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
