package tables

import (
	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/obis"
)

// source is an entry of table 16 with what belongs to it.
type source struct {
	uom         ansic12.UOM
	known       bool // it has an entry in table 12
	engineering bool // values are in engineering units, not pulses
	scaled      bool // multiplier and offset are to be applied
	multiplier  obis.Value
	offset      obis.Value
}

// The bits of an entry of table 16.
const (
	hasUOM       = 1 << 0
	hasConstants = 1 << 3
	inUnits      = 1 << 4
	toBeApplied  = 1 << 5
)

// source returns an entry of table 16. The tables 12 and 15 have entries only for
// those sources that say so: the first for the first such source, and so on.
func (d *Device) source(index int) source {
	if d.sources == nil {
		d.sources = d.readSources()
	}
	if index < 0 || index >= len(d.sources) {
		return source{}
	}
	return d.sources[index]
}

func (d *Device) readSources() []source {
	units := d.units()
	multipliers, offsets := d.constants()
	all := []source{}
	for _, link := range d.raw[16] {
		s := source{engineering: link&inUnits != 0}
		if link&hasUOM != 0 && len(units) > 0 {
			s.uom, s.known = units[0], true
			units = units[1:]
		}
		if link&hasConstants != 0 && len(multipliers) > 0 && len(offsets) > 0 {
			s.multiplier, s.offset = multipliers[0], offsets[0]
			s.scaled = link&toBeApplied != 0
			multipliers, offsets = multipliers[1:], offsets[1:]
		}
		all = append(all, s)
	}
	return all
}

func (d *Device) units() (units []ansic12.UOM) {
	for b := d.raw[12]; len(b) >= 4; b = b[4:] {
		units = append(units, ansic12.UOM(d.Config.uint(b[:4])))
	}
	return units
}

func (d *Device) constants() (multipliers, offsets []obis.Value) {
	if b, ok := d.raw[15]; ok {
		_ = d.Walk(15, b, func(f *Field) {
			switch f.Name {
			case "MULTIPLIER":
				multipliers = append(multipliers, f.Value)
			case "OFFSET":
				offsets = append(offsets, f.Value)
			}
		})
	}
	return multipliers, offsets
}

// scale turns a number of the source into its unit. Where that cannot be done
// exactly, or nobody knows how, the number stays and a flag says so.
func (s *source) scale(raw obis.Value) (v obis.Value, unit obis.Unit, flags obis.Flags) {
	if raw.IsNone() {
		return raw, s.uom.Unit(), 0
	}
	if !s.known || !s.engineering && !s.scaled {
		return raw, obis.UnitUnknown, obis.ScalerUnknown
	}
	v, ok := raw, true
	if s.scaled {
		if v, ok = multiply(raw, s.multiplier); ok {
			v, ok = s.shifted(v)
		}
	}
	if ok {
		v, ok = v.Shift(int(s.uom.Exp()))
	}
	if !ok {
		return raw, obis.UnitUnknown, obis.ScalerUnknown
	}
	return v, s.uom.Unit(), 0
}

// shifted adds the offset.
func (s *source) shifted(v obis.Value) (obis.Value, bool) {
	if n, _, ok := integral(s.offset); ok && n == 0 {
		return v, true
	}
	return add(v, s.offset)
}
