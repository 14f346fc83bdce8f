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
	scaled      bool // constants are to be applied
	constants   *constants
}

// constants are an entry of table 15.
type constants struct {
	multiplier obis.Value
	offset     obis.Value
	sets       [2]ratios
}

// ratios are a set of transformer ratios.
type ratios struct {
	pending bool       // the meter has the set, and has not applied it
	current obis.Value // RATIO_F1
	voltage obis.Value // RATIO_P1
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

// maxSources is how many sources a meter has, and entries of the tables for them:
// their number is one octet.
const maxSources = 255

func (d *Device) readSources() []source {
	units := d.units()
	entries := d.constants()
	all := []source{}
	for _, link := range d.raw[16][:min(len(d.raw[16]), maxSources)] {
		s := source{engineering: link&inUnits != 0}
		if link&hasUOM != 0 && len(units) > 0 {
			s.uom, s.known = units[0], true
			units = units[1:]
		}
		if link&hasConstants != 0 && len(entries) > 0 {
			if s.scaled = link&toBeApplied != 0; s.scaled {
				s.constants = &entries[0]
			}
			entries = entries[1:]
		}
		all = append(all, s)
	}
	return all
}

func (d *Device) units() (units []ansic12.UOM) {
	for b := d.raw[12]; len(b) >= 4 && len(units) < maxSources; b = b[4:] {
		units = append(units, ansic12.UOM(d.Config.uint(b[:4])))
	}
	return units
}

func (d *Device) constants() (all []constants) {
	b, ok := d.raw[15]
	if !ok {
		return nil
	}
	_ = d.Walk(15, b, func(f *Field) {
		if f.Name == "MULTIPLIER" && len(all) < maxSources {
			all = append(all, constants{multiplier: f.Value})
		}
		if len(all) == 0 {
			return
		}
		entry := &all[len(all)-1]
		set := &entry.sets[0]
		if len(f.Path) > 1 && f.Path[1].Name == "SET2_CONSTANTS" {
			set = &entry.sets[1]
		}
		switch f.Name {
		case "OFFSET":
			entry.offset = f.Value
		case "SET_APPLIED_FLAG":
			n, _, _ := f.Value.Decimal()
			set.pending = n == 0
		case "RATIO_F1":
			set.current = f.Value
		case "RATIO_P1":
			set.voltage = f.Value
		}
	})
	return all
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
		if v, ok = multiplyRatio(raw, s.constants.multiplier, true); ok {
			v, ok = s.shifted(v)
		}
		if ok {
			v, ok = s.transformed(v)
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
	if n, _, ok := integral(s.constants.offset); ok && n == 0 {
		return v, true
	}
	return add(v, s.constants.offset)
}

// transformed multiplies by the ratios of the instrument transformers that the meter has
// not yet applied, as often as they go into the quantity. It is not ok where that
// is not known, and where a ratio is none.
func (s *source) transformed(v obis.Value) (obis.Value, bool) {
	current, voltage, known := s.uom.Ratios()
	for _, set := range s.constants.sets {
		if !set.pending {
			continue
		}
		ok := known
		for range current {
			v, ok = multiplyRatio(v, set.current, ok)
		}
		for range voltage {
			v, ok = multiplyRatio(v, set.voltage, ok)
		}
		if !ok {
			return v, false
		}
	}
	return v, true
}

// multiplyRatio multiplies by a constant. One that is 0 was never set.
func multiplyRatio(v, ratio obis.Value, ok bool) (obis.Value, bool) {
	if f, _ := ratio.Float64(); f == 0 || !ok {
		return v, false
	}
	return multiply(v, ratio)
}
