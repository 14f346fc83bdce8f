// Package crc16 computes the 16-bit cyclic redundancy checks of meters'
// protocols, sixteen octets at a time.
package crc16

// table holds, for a polynomial, what each octet contributes to the check one
// octet later, two octets, and so on (slicing by sixteen).
type table [16][256]uint16

var (
	arc     = reflected(0xA001) // x^16 + x^15 + x^2 + 1, least significant bit first
	ccitt   = reflected(0x8408) // x^16 + x^12 + x^5 + 1, likewise
	en13757 = straight(0x3D65)  // of EN 13757-4, most significant bit first
)

func reflected(polynomial uint16) *table {
	t := new(table)
	for i := range t[0] {
		crc := uint16(i)
		for range 8 {
			crc = crc>>1 ^ polynomial*(crc&1)
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

func straight(polynomial uint16) *table {
	t := new(table)
	for i := range t[0] {
		crc := uint16(i) << 8
		for range 8 {
			crc = crc<<1 ^ polynomial*(crc>>15)
		}
		t[0][i] = crc
	}
	for k := 1; k < len(t); k++ {
		for i := range t[k] {
			last := t[k-1][i]
			t[k][i] = last<<8 ^ t[0][last>>8]
		}
	}
	return t
}

// sixteen adds what the sixteen octets of x contribute, of which the check so
// far has changed the first two to first and second.
func (t *table) sixteen(x *[16]byte, first, second byte) uint16 {
	return t[15][first] ^ t[14][second] ^
		t[13][x[2]] ^ t[12][x[3]] ^ t[11][x[4]] ^ t[10][x[5]] ^ t[9][x[6]] ^ t[8][x[7]] ^
		t[7][x[8]] ^ t[6][x[9]] ^ t[5][x[10]] ^ t[4][x[11]] ^ t[3][x[12]] ^ t[2][x[13]] ^ t[1][x[14]] ^ t[0][x[15]]
}

// reflected continues a check whose least significant bit comes first.
func (t *table) reflected(crc uint16, b []byte) uint16 {
	for ; len(b) >= 16; b = b[16:] {
		x := (*[16]byte)(b)
		crc = t.sixteen(x, x[0]^byte(crc), x[1]^byte(crc>>8))
	}
	for _, c := range b {
		crc = crc>>8 ^ t[0][byte(crc)^c]
	}
	return crc
}

// straight continues a check whose most significant bit comes first.
func (t *table) straight(crc uint16, b []byte) uint16 {
	for ; len(b) >= 16; b = b[16:] {
		x := (*[16]byte)(b)
		crc = t.sixteen(x, x[0]^byte(crc>>8), x[1]^byte(crc))
	}
	for _, c := range b {
		crc = crc<<8 ^ t[0][byte(crc>>8)^c]
	}
	return crc
}

// ARC is the check of P1 telegrams: initial value and final change are zero.
func ARC(b []byte) uint16 { return arc.reflected(0, b) }

// X25 is the check of HDLC, PSEM and SML: initial value and final change are 0xFFFF.
func X25(b []byte) uint16 { return ccitt.reflected(0xFFFF, b) ^ 0xFFFF }

// UpdateX25 continues X25 over more octets; a check of none is zero.
func UpdateX25(crc uint16, b []byte) uint16 { return ccitt.reflected(crc^0xFFFF, b) ^ 0xFFFF }

// Kermit is the check that some SML meters use for messages: initial value and
// final change are zero.
func Kermit(b []byte) uint16 { return ccitt.reflected(0, b) }

// EN13757 is the check of radio frames and of the formats of compact frames:
// initial value zero, inverted at the end.
func EN13757(b []byte) uint16 { return ^en13757.straight(0, b) }
