package wmbus

import (
	"errors"
	"fmt"
	"io"
)

// threeOfSix is the code of mode T: six chips, three of them set, for four bits.
var threeOfSix = [16]byte{0x16, 0x0D, 0x0E, 0x0B, 0x1C, 0x19, 0x1A, 0x13, 0x2C, 0x25, 0x26, 0x23, 0x34, 0x31, 0x32, 0x29}

// fromThreeOfSix inverts threeOfSix; 255 is no code.
var fromThreeOfSix = func() (t [64]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range threeOfSix {
		t[c] = byte(i)
	}
	return t
}()

var errNoCode = errors.New("six chips that are no code")

// AppendFromThreeOfSix appends the octets that the chips of mode T stand for, the
// first chip being the most significant bit of b[0]. A preamble and its sync
// word may stand in front. It stops where the chips stop being codes, which is
// an error unless the frame, whose length the first octet has, is complete.
func AppendFromThreeOfSix(dst, b []byte) ([]byte, error) {
	start := len(dst)
	at := syncT(b)
	for at+12 <= 8*len(b) {
		high, low := fromThreeOfSix[six(b, at)], fromThreeOfSix[six(b, at+6)]
		if high == 255 || low == 255 {
			if n := len(dst) - start; n > 0 && n >= lengthA(dst[start]) {
				return dst, nil
			}
			return dst[:start], &ParseError{Field: "3-of-6 code", Offset: at / 8, Err: errNoCode}
		}
		dst = append(dst, high<<4|low)
		at += 12
	}
	if len(dst) == start {
		return dst, &ParseError{Field: "3-of-6 code", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	return dst, nil
}

// lengthA is the length of a frame of format A.
func lengthA(l byte) int {
	octets := 1 + int(l)
	if octets <= headerLen {
		return octets + crcLen
	}
	return octets + crcLen*(1+(octets-headerLen+blockLen-1)/blockLen)
}

// six returns the six chips at a bit of b.
func six(b []byte, at int) byte {
	v := uint16(b[at/8]) << 8
	if at/8+1 < len(b) {
		v |= uint16(b[at/8+1])
	}
	return byte(v >> (10 - at%8) & 63)
}

// syncT returns where the chips behind the sync word of mode T (0000111101)
// begin, which follows at least four pairs 01; 0 if there is no such preamble.
func syncT(b []byte) int {
	const sync, mask = 0b01010101_0000111101, 1<<18 - 1
	word := 0
	for at := range 8 * len(b) {
		word = (word<<1 | int(b[at/8]>>(7-at%8)&1)) & mask
		if at >= 17 && word == sync {
			return at + 1
		}
	}
	return 0
}

// AppendThreeOfSix appends the chips of mode T for the octets, filled up with
// zeros to a whole octet.
func AppendThreeOfSix(dst, b []byte) []byte {
	word, n := uint32(0), 0
	for _, c := range b {
		word = word<<12 | uint32(threeOfSix[c>>4])<<6 | uint32(threeOfSix[c&15])
		for n += 12; n >= 8; n -= 8 {
			dst = append(dst, byte(word>>(n-8)))
		}
	}
	if n > 0 {
		dst = append(dst, byte(word<<(8-n)))
	}
	return dst
}

// AppendFromManchester appends the octets that the chips of mode S stand for:
// 01 for a one and 10 for a zero.
func AppendFromManchester(dst, b []byte) ([]byte, error) {
	start := len(dst)
	for i := 0; i+1 < len(b); i += 2 {
		chips := uint16(b[i])<<8 | uint16(b[i+1])
		var c byte
		for bit := range 8 {
			switch chips >> (14 - 2*bit) & 3 {
			case 0b01:
				c = c<<1 | 1
			case 0b10:
				c <<= 1
			default:
				return dst[:start], &ParseError{Field: "Manchester code", Offset: i + bit/4, Err: fmt.Errorf("two equal chips")}
			}
		}
		dst = append(dst, c)
	}
	if len(dst) == start {
		return dst, &ParseError{Field: "Manchester code", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	return dst, nil
}
