// Package crc16 computes the reflected 16-bit cyclic redundancy checks of P1
// and SML.
package crc16

// Table holds, for a polynomial, what each octet contributes to the check sixteen
// octets later, fifteen, and so on (slicing by sixteen).
type Table [16][256]uint16

// The polynomials, least significant bit first.
var (
	arc   = makeTable(0xA001) // CRC-16/ARC: x^16 + x^15 + x^2 + 1
	ccitt = makeTable(0x8408) // x^16 + x^12 + x^5 + 1
)

func makeTable(polynomial uint16) *Table {
	t := new(Table)
	for i := range t[0] {
		crc := uint16(i)
		for range 8 {
			carry := crc & 1
			crc >>= 1
			if carry != 0 {
				crc ^= polynomial
			}
		}
		t[0][i] = crc
	}
	for k := 1; k < len(t); k++ {
		for i := range t[k] {
			last := t[k-1][i]
			t[k][i] = last>>8 ^ t[0][last&0xFF]
		}
	}
	return t
}

func (t *Table) update(crc uint16, b []byte) uint16 {
	for len(b) >= 16 {
		x := b[:16:16]
		crc = t[15][x[0]^byte(crc)] ^ t[14][x[1]^byte(crc>>8)] ^
			t[13][x[2]] ^ t[12][x[3]] ^ t[11][x[4]] ^ t[10][x[5]] ^ t[9][x[6]] ^ t[8][x[7]] ^
			t[7][x[8]] ^ t[6][x[9]] ^ t[5][x[10]] ^ t[4][x[11]] ^ t[3][x[12]] ^ t[2][x[13]] ^ t[1][x[14]] ^ t[0][x[15]]
		b = b[16:]
	}
	for _, c := range b {
		crc = crc>>8 ^ t[0][byte(crc)^c]
	}
	return crc
}

// ARC is the check of P1 telegrams: initial value and final change are zero.
func ARC(b []byte) uint16 { return arc.update(0, b) }

// X25 is the check of SML: initial value and final change are 0xFFFF.
func X25(b []byte) uint16 { return ccitt.update(0xFFFF, b) ^ 0xFFFF }

// UpdateX25 continues X25 over more octets; a check of none is zero.
func UpdateX25(crc uint16, b []byte) uint16 { return ccitt.update(crc^0xFFFF, b) ^ 0xFFFF }

// Kermit is the check that some SML meters use for messages: initial value and
// final change are zero.
func Kermit(b []byte) uint16 { return ccitt.update(0, b) }
