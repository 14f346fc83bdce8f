package tables

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Config is what table 00 says of all others. The zero Config is for tables
// without table 00: the low octet first, characters of ISO 646, no time.
type Config struct {
	BigEndian    bool       // DATA_ORDER
	Characters   uint8      // CHAR_FORMAT: 1 ISO 646, 2 ISO 8859-1, 3 UTF-8, 4 UTF-16, 5 UTF-32
	Time         TimeFormat // TM_FORMAT
	Access       uint8      // DATA_ACCESS_METHOD: 0 whole tables, 1 by offset, 2 by index, 3 both
	BCD          bool       // ID_FORM: identifiers are BCD, not characters
	Integer      uint8      // INT_FORMAT: 0 two's complement, 1 one's complement, 2 sign and magnitude
	NI1          NumberFormat
	NI2          NumberFormat
	Manufacturer [4]byte
	Nameplate    uint8 // 0 gas, 1 water, 2 electric
	DefaultSet   uint8
	MaxProcedure uint8
	MaxResponse  uint8
	Version      uint8
	Revision     uint8

	StandardTables     Set
	ManufacturerTables Set
	StandardProcs      Set
	ManufacturerProcs  Set
	StandardWrite      Set
	ManufacturerWrite  Set
}

// Set is a set of numbers: bit 0 of the first octet is number 0.
type Set []byte

// Has reports whether a number is in the set.
func (s Set) Has(n int) bool { return n >= 0 && n/8 < len(s) && s[n/8]>>(n%8)&1 != 0 }

const configLen = 19

// ParseConfig reads table 00 at the start of b and returns how many octets it took.
// The sets alias b.
func ParseConfig(b []byte) (c Config, n int, err error) {
	if len(b) < configLen {
		return Config{}, 0, &ParseError{Table: 0, Field: "GEN_CONFIG_TBL", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	c = Config{
		BigEndian: b[0]&1 != 0, Characters: b[0] >> 1 & 7,
		Time: TimeFormat(b[1] & 7), Access: b[1] >> 3 & 3, BCD: b[1]>>5&1 != 0, Integer: b[1] >> 6,
		NI1: NumberFormat(b[2] & 0x0F), NI2: NumberFormat(b[2] >> 4),
		Nameplate: b[7], DefaultSet: b[8], MaxProcedure: b[9], MaxResponse: b[10], Version: b[11], Revision: b[12],
	}
	copy(c.Manufacturer[:], b[3:])
	if c.Time > TimeSeconds {
		return Config{}, 0, &ParseError{Table: 0, Field: "TM_FORMAT", Offset: 1, Err: fmt.Errorf("%d is reserved", c.Time)}
	}
	if c.NI1 > FloatChar21 || c.NI2 > FloatChar21 {
		return Config{}, 0, &ParseError{Table: 0, Field: "NI_FORMAT", Offset: 2, Err: fmt.Errorf("0x%02x is reserved", b[2])}
	}
	n = configLen
	for _, s := range []struct {
		set  *Set
		size byte
	}{
		{&c.StandardTables, b[13]}, {&c.ManufacturerTables, b[14]}, {&c.StandardProcs, b[15]}, {&c.ManufacturerProcs, b[16]},
		{&c.StandardWrite, b[13]}, {&c.ManufacturerWrite, b[14]},
	} {
		if len(b)-n < int(s.size) {
			return Config{}, 0, &ParseError{Table: 0, Field: "sets", Offset: len(b), Err: io.ErrUnexpectedEOF}
		}
		*s.set = append(Set(nil), b[n:n+int(s.size)]...) // they outlive the octets
		n += int(s.size)
	}
	return c, n, nil
}

// Uses reports whether the meter has a table, by its number on the wire.
func (c *Config) Uses(table uint16) bool {
	if table&manufacturerTable != 0 {
		return c.ManufacturerTables.Has(int(table & tableNumber))
	}
	return c.StandardTables.Has(int(table))
}

const (
	manufacturerTable = 0x0800
	tableNumber       = 0x07FF
)

// charLen returns how many octets a character has.
func (c *Config) charLen() int {
	switch c.Characters {
	case 4:
		return 2
	case 5:
		return 4
	}
	return 1
}

// text returns characters as UTF-8 without the padding.
func (c *Config) text(b []byte) string {
	var s strings.Builder
	size := c.charLen()
	for ; len(b) >= size; b = b[size:] {
		r := rune(b[0])
		switch {
		case size == 2 && c.BigEndian:
			r = rune(binary.BigEndian.Uint16(b))
		case size == 2:
			r = rune(binary.LittleEndian.Uint16(b))
		case size == 4 && c.BigEndian:
			r = rune(binary.BigEndian.Uint32(b))
		case size == 4:
			r = rune(binary.LittleEndian.Uint32(b))
		case c.Characters == 3:
			s.WriteByte(b[0])
			continue
		}
		s.WriteRune(r)
	}
	return strings.TrimSpace(strings.ReplaceAll(s.String(), "\x00", " "))
}
