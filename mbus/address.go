package mbus

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/openusm/meter/obis"
)

// Address is the identity of a meter: its secondary address on the wire, its
// link address by radio. In a selection an F in ID, or all ones elsewhere,
// stands for any value.
type Address struct {
	ID           uint32 // eight digits, one in each half octet; some meters have hexadecimal ones
	Manufacturer Manufacturer
	Version      byte
	Type         DeviceType
}

// AnyAddress returns the address that selects every slave.
func AnyAddress() Address {
	return Address{ID: 0xFFFFFFFF, Manufacturer: 0xFFFF, Version: 0xFF, Type: 0xFF}
}

// ParseAddress reads
//
//	12345678            the digits of an ID, F for any, other fields any
//	12345678ABCD0104    ID, manufacturer (two octets as on the wire), version and type, all in hexadecimal
//	ABC12345678         the three letters of the manufacturer, and the ID
func ParseAddress(s string) (Address, error) {
	a := AnyAddress()
	digits := s
	if len(s) == 11 {
		m, err := ParseManufacturer(s[:3])
		if err != nil {
			return Address{}, err
		}
		a.Manufacturer, digits = m, s[3:]
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	switch {
	case err != nil || len(digits) != 8 && len(digits) != 16:
		return Address{}, fmt.Errorf("mbus: secondary address %q is neither 8 nor 16 hexadecimal digits", s)
	case len(digits) == 8:
		a.ID = uint32(n)
		return a, nil
	}
	a.ID = uint32(n >> 32)
	a.Manufacturer = Manufacturer(n>>24&0xFF | n>>8&0xFF00)
	a.Version, a.Type = byte(n>>8), DeviceType(n)
	return a, nil
}

// AppendText appends the sixteen hexadecimal digits that [ParseAddress] reads. It never fails.
func (a Address) AppendText(dst []byte) ([]byte, error) {
	return fmt.Appendf(dst, "%08X%02X%02X%02X%02X", a.ID, byte(a.Manufacturer), byte(a.Manufacturer>>8), a.Version, byte(a.Type)), nil
}

// String returns the text of [Address.AppendText].
func (a Address) String() string {
	b, _ := a.AppendText(nil)
	return string(b)
}

// MarshalText returns the text of [Address.AppendText].
func (a Address) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// UnmarshalText reads any form that [ParseAddress] takes.
func (a *Address) UnmarshalText(b []byte) error {
	c, err := ParseAddress(string(b))
	if err == nil {
		*a = c
	}
	return err
}

// Matches reports whether the address is one that the selection s selects.
func (a Address) Matches(s Address) bool {
	for shift := 0; shift < 32; shift += 4 {
		if d := s.ID >> shift & 0xF; d != 0xF && d != a.ID>>shift&0xF {
			return false
		}
	}
	return (s.Manufacturer == 0xFFFF || s.Manufacturer == a.Manufacturer) &&
		(s.Version == 0xFF || s.Version == a.Version) && (s.Type == 0xFF || s.Type == a.Type)
}

// AppendSecondary appends the eight octets in the order of the long header: ID,
// manufacturer, version, type. It is also what a selection carries.
func (a Address) AppendSecondary(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, a.ID)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(a.Manufacturer))
	return append(dst, a.Version, byte(a.Type))
}

// SecondaryAddress reads the eight octets in the order of the long header.
func SecondaryAddress(b [8]byte) Address {
	return Address{
		ID:           binary.LittleEndian.Uint32(b[:]),
		Manufacturer: Manufacturer(binary.LittleEndian.Uint16(b[4:])),
		Version:      b[6], Type: DeviceType(b[7]),
	}
}

// AppendLink appends the eight octets in the order of the radio link layer:
// manufacturer, ID, version, type.
func (a Address) AppendLink(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(a.Manufacturer))
	dst = binary.LittleEndian.AppendUint32(dst, a.ID)
	return append(dst, a.Version, byte(a.Type))
}

// LinkAddress reads the eight octets in the order of the radio link layer.
func LinkAddress(b [8]byte) Address {
	return Address{
		Manufacturer: Manufacturer(binary.LittleEndian.Uint16(b[:])),
		ID:           binary.LittleEndian.Uint32(b[2:]),
		Version:      b[6], Type: DeviceType(b[7]),
	}
}

// Meter returns the identity in the terms of the model.
func (a Address) Meter() obis.Meter {
	id := fmt.Sprintf("%08X", a.ID)
	m := a.Manufacturer.String()
	return obis.Meter{ID: m + id, Manufacturer: m, Serial: id, Version: strconv.Itoa(int(a.Version)), Medium: a.Type.Medium()}
}

// Manufacturer is the coded name of a manufacturer: five bits for each of three
// letters. The highest bit says that the address is not unique worldwide.
type Manufacturer uint16

// ParseManufacturer reads three letters.
func ParseManufacturer(s string) (Manufacturer, error) {
	if len(s) != 3 {
		return 0, fmt.Errorf("mbus: manufacturer %q has not three letters", s)
	}
	var m Manufacturer
	for _, c := range []byte(strings.ToUpper(s)) {
		if c < 'A' || c > 'Z' {
			return 0, fmt.Errorf("mbus: manufacturer %q has not three letters", s)
		}
		m = m<<5 | Manufacturer(c-'A'+1)
	}
	return m, nil
}

// String returns the three letters, "" for 0; characters that are no letters are
// shown as they are coded, from @ to _.
func (m Manufacturer) String() string {
	if m&uniqueMask == 0 {
		return ""
	}
	return string([]byte{byte(m>>10&31) + '@', byte(m>>5&31) + '@', byte(m&31) + '@'})
}

// Letters reports whether the name is three letters, as that of every
// manufacturer is.
func (m Manufacturer) Letters() bool {
	return isLetter(m>>10) && isLetter(m>>5) && isLetter(m)
}

func isLetter(m Manufacturer) bool { return m&31-1 <= 'Z'-'A' }

// DeviceType says what a meter measures (formerly "medium").
type DeviceType byte

// String returns the name of the type, "" for those that no table has.
func (t DeviceType) String() string { return deviceNames[t] }

// Medium returns the medium in the terms of the model.
func (t DeviceType) Medium() obis.Medium { return deviceMedia[t] }
