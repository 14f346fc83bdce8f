package hdlc

import "fmt"

// Address names a station: a client by its SAP in Upper, a server by its
// logical device in Upper and its physical device in Lower.
type Address struct {
	Upper uint16
	Lower uint16
	Size  uint8 // octets on the wire: 1 without Lower, 2 or 4; 0 means the smallest that holds both
}

// Client returns the address of a client SAP.
func Client(sap uint8) Address { return Address{Upper: uint16(sap), Size: 1} }

// Server returns the address of a logical device in a physical device, 0 for
// none, in the smallest form that holds both.
func Server(logical, physical uint16) Address {
	a := Address{Upper: logical, Lower: physical}
	a.Size = uint8(a.size())
	return a
}

func (a Address) size() int {
	switch {
	case a.Size != 0:
		return int(a.Size)
	case a.Upper > 0x7F || a.Lower > 0x7F:
		return 4
	case a.Lower != 0:
		return 2
	}
	return 1
}

// Same reports whether both address the same station, in whatever form.
func (a Address) Same(b Address) bool { return a.Upper == b.Upper && a.Lower == b.Lower }

// IsBroadcast reports whether all stations are addressed.
func (a Address) IsBroadcast() bool {
	switch a.size() {
	case 1:
		return a.Upper == 0x7F
	case 2:
		return a.Upper == 0x7F || a.Lower == 0x7F
	}
	return a.Upper == 0x3FFF || a.Lower == 0x3FFF
}

// String returns "1" or "1/17", upper before lower.
func (a Address) String() string {
	if a.size() == 1 {
		return fmt.Sprintf("%d", a.Upper)
	}
	return fmt.Sprintf("%d/%d", a.Upper, a.Lower)
}

// parseAddress reads the address at off: octets with bit 0 clear until one that has it set.
func parseAddress(field string, b []byte, off int) (a Address, end int, err error) {
	var octets [4]uint16
	for n := range octets {
		if off+n >= len(b) {
			return Address{}, 0, short(field, b)
		}
		octets[n] = uint16(b[off+n] >> 1)
		if b[off+n]&1 == 0 {
			continue
		}
		switch n + 1 {
		case 1:
			return Address{octets[0], 0, 1}, off + 1, nil
		case 2:
			return Address{octets[0], octets[1], 2}, off + 2, nil
		case 4:
			return Address{octets[0]<<7 | octets[1], octets[2]<<7 | octets[3], 4}, off + 4, nil
		}
		return Address{}, 0, &ParseError{field, off, fmt.Errorf("%d octets", n+1)}
	}
	return Address{}, 0, &ParseError{field, off, errAddress}
}

func (a Address) append(dst []byte) []byte {
	switch a.size() {
	case 1:
		return append(dst, byte(a.Upper)<<1|1)
	case 2:
		return append(dst, byte(a.Upper)<<1, byte(a.Lower)<<1|1)
	}
	return append(dst, byte(a.Upper>>7)<<1, byte(a.Upper)<<1, byte(a.Lower>>7)<<1, byte(a.Lower)<<1|1)
}
