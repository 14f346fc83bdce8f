package mbus

import "github.com/openusm/meter/obis"

// manufacturerRow is a row of the table of manufacturers' own codes.
type manufacturerRow struct {
	manufacturer Manufacturer
	quantity     Quantity
	extension    uint32 // octets behind FF, see ownExtension
	subunit      uint16
	code         obis.Code
	unit         obis.Unit // UnitUnknown: as sent
	exp          int8
	number       bool // the value is a number with exp
}

// noExtension is the extension of records without FF.
const noExtension = 1 << 31

// uniqueMask leaves out the bit that says that an address is not unique.
const uniqueMask = 0x7FFF

// rulesOf returns the rows of a manufacturer.
func rulesOf(m Manufacturer) []manufacturerRow {
	m &= uniqueMask
	first := -1
	for i := range manufacturerTable {
		switch {
		case manufacturerTable[i].manufacturer == m && first < 0:
			first = i
		case manufacturerTable[i].manufacturer != m && first >= 0:
			return manufacturerTable[first:i]
		}
	}
	if first >= 0 {
		return manufacturerTable[first:]
	}
	return nil
}

// rulesOf is the function of the same name, with a memory for the last manufacturer.
func (d *Decoder) rulesOf(m Manufacturer) []manufacturerRow {
	if m != d.maker {
		d.maker, d.rules = m, rulesOf(m)
	}
	return d.rules
}

// ownCode gives a reading the code that its manufacturer's table has for it.
func (d *Decoder) ownCode(out *obis.Reading, r *Record, rules []manufacturerRow) {
	if r.Function != Instantaneous || r.Qualifiers&^QualifierManufacturerSpecific != 0 || r.Storage > 99 || r.Tariff > 63 {
		return
	}
	extension := r.ownExtension()
	for i := range rules {
		row := &rules[i]
		if row.quantity != r.Quantity || row.extension != extension || row.subunit != r.Subunit {
			continue
		}
		code := row.code
		if code[0] == 1 && code[3] == 8 {
			code[4] = byte(r.Tariff)
		} else if r.Tariff != 0 {
			return
		}
		if r.Storage > 0 {
			code[5] = byte(r.Storage)
		}
		out.Code, out.Rule = code, obis.RuleManufacturer
		if row.unit != obis.UnitUnknown {
			out.Unit = row.unit
		}
		if row.number {
			d.ownNumber(out, r, row)
		}
		return
	}
}

// ownNumber reads the value of a record whose VIF leaves it open.
func (d *Decoder) ownNumber(out *obis.Reading, r *Record, row *manufacturerRow) {
	if r.variable || r.Error != 0 {
		return
	}
	kind := typeNumber
	if row.unit == obis.UnitUnknown {
		kind = typeBits
	}
	again := Record{Data: r.Data}
	d.decode(&again, r.ID[0]&0x0F, kind, int(row.exp))
	out.Value = again.Value
	out.Quality.Flags |= again.flags
}

// ownExtension returns the octets behind FF, one behind the other without their
// extension bits; a closing 00, the "no error" of a record, is left out.
func (r *Record) ownExtension() uint32 {
	vib := r.VIB()
	at := 1
	if r.Quantity != QuantityManufacturerSpecific {
		if r.Qualifiers&QualifierManufacturerSpecific == 0 {
			return noExtension
		}
		_, at = tableOf(vib)
		for at++; at < len(vib) && vib[at] != 0xFF; at++ {
			if vib[at] == 0xFC {
				at++
			}
		}
		at++
	}
	if at >= len(vib) || len(vib)-at > 3 {
		return noExtension
	}
	own := vib[at:]
	if n := len(own); n > 1 && own[n-1] == 0 {
		own = own[:n-1]
	}
	key := uint32(0)
	for _, c := range own {
		key = key<<8 | uint32(c&0x7F)
	}
	return key
}
