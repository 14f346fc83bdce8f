package mbus

import (
	"encoding/binary"
	"io"
)

// fixedLen is the length of the fixed data structure behind the CI field:
//
//	ID(4) | access number | status | units(2) | counter 1(4) | counter 2(4)
const fixedLen = 16

// Bits of the status of the fixed data structure.
const (
	fixedBinary = 0x01 // the counters are binary, else decimal
	fixedStored = 0x02 // they are of a fixed date, else current
)

// unitHistoric is the unit of a second counter that is a stored value of the first.
const unitHistoric = 0x3E

// fixed reads the fixed data structure at b[n:].
func (d *Decoder) fixed(t *Telegram, b []byte, n int) error {
	p := b[n:]
	if len(p) < fixedLen {
		return &ParseError{Field: "fixed data structure", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	t.Header.Address = Address{ID: binary.LittleEndian.Uint32(p), Type: fixedType(p[6], p[7])}
	if d.msb {
		t.Header.Address.ID = binary.BigEndian.Uint32(p)
	}
	t.Header.Access, t.Header.Status = p[4], p[5]&^(fixedBinary|fixedStored)
	t.Payload = p[:fixedLen]
	d.records = d.records[:0]
	units := [2]byte{p[6] & 0x3F, p[7] & 0x3F}
	for i := range units {
		r := Record{ID: p[6+i : 7+i : 7+i], Offset: n + 6 + i, dibLen: 0, Data: p[8+4*i : 12+4*i : 12+4*i]}
		unit := units[i]
		if p[5]&fixedStored != 0 {
			r.Storage = 1
		}
		if unit == unitHistoric && units[1-i] != unitHistoric {
			unit, r.Storage = units[1-i], 1
		}
		v := &fixedTable[unit]
		r.Quantity, r.Unit = v.quantity, v.unit
		code := byte(0xC)
		if p[5]&fixedBinary != 0 {
			code = 0x4
		}
		kind := v.kind
		if unit <= 1 {
			kind = typeOctets // digits of a time or date, whose order is not told
		}
		d.decode(&r, code, kind, int(v.exp))
		d.records = append(d.records, r)
	}
	t.Records = d.records
	return nil
}

// fixedType puts the medium together from the two high bits of both units.
func fixedType(unit1, unit2 byte) DeviceType {
	switch m := unit1>>6 | unit2>>6<<2; {
	case m <= 7:
		return DeviceType(m)
	case m == 8:
		return 0x08
	case m >= 0xA && m <= 0xE:
		return [...]DeviceType{0x03, 0x04, 0x06, 0x07, 0x08}[m-0xA]
	}
	return 0x0F
}
