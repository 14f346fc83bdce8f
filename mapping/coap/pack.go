package coap

import (
	"slices"

	"github.com/openusm/meter/obis"
)

// pack writes a SenML pack in either form, record by record.
type pack struct {
	dst    []byte
	start  int
	format Format
	base   string // the meter's id, for the first record
	count  uint64

	secondary bool // a unit of RFC 8798 was used
}

// secondaryVersion is the version of SenML with the feature 4, secondary units (RFC 9100, section 6).
const secondaryVersion = 10 + 1<<4

func openPack(dst []byte, format Format, base string) *pack {
	p := &pack{dst: dst, format: format, base: base}
	if format == SenMLJSON {
		p.dst = append(p.dst, '[')
	}
	p.start = len(p.dst)
	return p
}

func (p *pack) add(r record) {
	switch {
	case p.format == SenMLCBOR:
		p.dst = r.appendCBOR(p.dst, p.base)
	case p.count > 0:
		p.dst = r.appendJSON(append(p.dst, ',', '{'))
	default:
		p.dst = append(p.dst, '{')
		if p.base != "" {
			p.dst = append(appendName(append(p.dst, `"bn":"`...), p.base), `/",`...)
		}
		p.dst = r.appendJSON(p.dst)
	}
	p.base = ""
	p.count++
	p.secondary = p.secondary || r.secondary
}

func (p *pack) close() []byte {
	if p.secondary && p.format == SenMLCBOR {
		p.dst[p.start]++ // one pair more in the map that is the first record
		p.dst = slices.Insert(p.dst, p.start+1, cborNegint, cborUint|24, secondaryVersion)
	} else if p.secondary {
		p.dst = slices.Insert(p.dst, p.start+1, []byte(`"bver":26,`)...)
	}
	if p.format == SenMLCBOR {
		return insertHead(p.dst, p.start, cborArray, p.count)
	}
	return append(p.dst, ']')
}

// text adds a record with a text, unless it is empty. The name is one that SenML allows.
func (p *pack) text(name, s string) {
	if s != "" {
		p.add(record{name: name, value: obis.Text([]byte(s))})
	}
}
