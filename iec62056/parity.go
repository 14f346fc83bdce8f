package iec62056

import (
	"encoding/binary"
	"math/bits"
)

// StripParity turns what a port of eight bits without parity shows of a line
// with seven bits and even parity into the characters that were sent, in place.
// It returns how many octets had odd parity; those lose their eighth bit too.
func StripParity(b []byte) (wrong int) {
	for i, c := range b {
		wrong += bits.OnesCount8(c) & 1
		b[i] = c & 0x7F
	}
	return wrong
}

// AddParity gives each character of seven bits its even parity bit, in place,
// so that a port of eight bits without parity sends what one of seven bits with
// even parity would.
func AddParity(b []byte) {
	for i, c := range b {
		c &= 0x7F
		b[i] = c | byte(bits.OnesCount8(c)&1)<<7
	}
}

// hasParity reports whether b is text of which the eighth bit is even parity:
// at least one octet has that bit and none has odd parity.
func hasParity(b []byte) bool {
	high := false
	for _, c := range b {
		if bits.OnesCount8(c)&1 != 0 {
			return false
		}
		high = high || c >= 0x80
	}
	return high
}

// BlockCheck returns the block check character of a block: the exclusive or of
// all characters behind the first SOH or STX up to and with ETX or EOT, seven
// bits of each.
func BlockCheck(b []byte) byte {
	var all uint64
	for len(b) >= 8 {
		all ^= binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	all ^= all >> 32
	all ^= all >> 16
	bcc := byte(all ^ all>>8)
	for _, c := range b {
		bcc ^= c
	}
	return bcc & 0x7F
}
