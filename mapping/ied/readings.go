package ied

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/obis"
)

// Readings returns what the objects of a model that [New] made hold, by the
// codes in their descriptions.
func Readings(m *iec61850.Model) (list []obis.Reading) {
	m.View(func() {
		for _, d := range m.Devices {
			for _, n := range d.Nodes {
				for _, o := range n.Objects {
					list = appendReadings(list, o)
				}
			}
		}
	})
	return list
}

func appendReadings(list []obis.Reading, o *iec61850.Object) []obis.Reading {
	for _, sub := range o.Objects {
		list = appendReadings(list, sub)
	}
	d, q, t := o.Attribute("d", iec61850.DC), o.Attribute("q", 0), o.Attribute("t", 0)
	if d == nil || q == nil || t == nil {
		return list
	}
	r := obis.Reading{Rule: obis.RuleDeclared}
	text := d.Get().Text()
	code, err := obis.ParseCode(text)
	switch {
	case err == nil:
		r.Code = code
	case len(text) > 4 && text[:4] == "raw:":
		r.RawID, r.Rule = []byte(text[4:]), obis.RuleNone
	default:
		return list
	}
	have := q.Get().Quality()
	raw := uint64(bits.Reverse16(uint16(have)) >> (16 - iec61850.QualityBits))
	r.Quality = obis.FromStatus(obis.StatusIEC61850, raw)
	if at := t.Get().Time(); at.Seconds != 0 {
		r.Time = obis.FromTime(at.Time())
		if at.Quality&iec61850.ClockNotSynchronized != 0 {
			r.Time.Status |= obis.TimeDoubtful
		}
		if at.Quality&iec61850.ClockFailure != 0 {
			r.Time.Status |= obis.TimeInvalid
		}
	}
	if units := o.Attribute("units", 0); units != nil {
		r.Unit = unit(units)
	}
	r.Value = value(o, r.Code)
	return append(list, r)
}

func unit(a *iec61850.Attribute) obis.Unit {
	n, _ := a.Child("SIUnit").Get().Int()
	multiplier, _ := a.Child("multiplier").Get().Int()
	switch {
	case n == dimensionless && multiplier == -2:
		return obis.Percent
	case n == dimensionless: // a count, or a unit that was not transmitted
		return obis.UnitUnknown
	case n == 65: // power factor
		return obis.Count
	}
	for u, si := range siUnits {
		if int64(si) == n {
			return u
		}
	}
	return obis.UnitUnknown
}

func value(o *iec61850.Object, code obis.Code) obis.Value {
	switch o.CDC {
	case "BCR":
		n, _ := o.Attribute("actVal", 0).Get().Int()
		f, _ := o.Attribute("pulsQty", 0).Get().Float()
		if f <= 0 {
			return obis.Value{}
		}
		return obis.Int(n, int8(math.Round(math.Log10(f))))
	case "MV", "CMV":
		mag := o.Attribute("mag", 0)
		if mag == nil {
			mag = o.Attribute("cVal", 0).Child("mag")
		}
		f, _ := mag.Child("f").Get().Float()
		if r := find(code); r >= 0 && rules[r].reverse {
			f = -f
		}
		v, _ := obis.ParseNumber(strconv.AppendFloat(nil, f, 'f', -1, 32))
		return v
	case "SPS":
		return obis.Bool(o.Attribute("stVal", 0).Get().Bool())
	case "VSS":
		return obis.Text([]byte(o.Attribute("stVal", 0).Get().Text()))
	}
	return obis.Value{}
}
