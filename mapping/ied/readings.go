package ied

import (
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Readings returns what the objects of a model that [New] made hold, by the
// codes in their descriptions. rules are those with which it was made.
func Readings(m *iec61850.Model, rules *Rules) (list []obis.Reading) {
	r := reader{rules.all()}
	m.View(func() {
		for _, d := range m.Devices {
			for _, n := range d.Nodes {
				for _, o := range n.Objects {
					list = r.append(list, n.ClassName(), "", o)
				}
			}
		}
	})
	return list
}

// reader finds readings by the rules that placed them.
type reader struct{ rules []mapping.Rule[rule] }

// append appends what an object holds, which is a phase of whole, or "" where it is none.
func (x reader) append(list []obis.Reading, class, whole string, o *iec61850.Object) []obis.Reading {
	for _, sub := range o.Objects {
		list = x.append(list, class, o.Name, sub)
	}
	d := o.Attribute("d", iec61850.DC)
	if d == nil {
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
	if q := o.Attribute("q", 0); q != nil {
		raw := uint64(bits.Reverse16(uint16(q.Get().Quality())) >> (16 - iec61850.QualityBits))
		r.Quality = obis.FromStatus(obis.StatusIEC61850, raw)
	}
	r.Time = moment(o.Attribute("t", 0))
	r.Unit = unit(o)
	if o.CDC == "HWYE" || o.CDC == "HMV" {
		return x.harmonics(list, r, class, o)
	}
	r.Value = x.value(class, o, r.Code)
	list = x.angle(append(list, r), r, class, whole, o)
	if name := o.Attribute("dU", iec61850.DC); name != nil && o.Attribute("frVal", iec61850.ST) != nil {
		if r.Code, err = obis.ParseCode(name.Get().Text()); err == nil {
			n, _ := o.Attribute("frVal", 0).Get().Int()
			exp, _ := exponent(o.Attribute("pulsQty", 0).Get())
			r.Value, r.Time, r.Quality = obis.Int(n, exp), moment(o.Attribute("frTm", 0)), obis.Quality{}
			list = append(list, r)
		}
	}
	return list
}

// angle appends the angle of a phase, where it was measured. like has what it shares with the magnitude.
func (x reader) angle(list []obis.Reading, like obis.Reading, class, whole string, o *iec61850.Object) []obis.Reading {
	c, ok := x.angleCode(class, whole, like.Code, o)
	if !ok {
		return list
	}
	f, _ := o.Attribute("cVal", 0).Child("ang").Child("f").Get().Float()
	v, ok := obis.ParseNumber(strconv.AppendFloat(nil, f, 'f', -1, 32))
	if !ok {
		return list
	}
	like.Code, like.Unit, like.Value = c, obis.Degree, v
	return append(list, like)
}

// moment returns the time of a time stamp, the zero time where there is none.
func moment(a *iec61850.Attribute) (t obis.Time) {
	if a == nil || a.Get().Time().Seconds == 0 {
		return t
	}
	at := a.Get().Time()
	t = obis.FromTime(at.Time())
	if at.Quality&iec61850.ClockNotSynchronized != 0 {
		t.Status |= obis.TimeDoubtful
	}
	if at.Quality&iec61850.ClockFailure != 0 {
		t.Status |= obis.TimeInvalid
	}
	return t
}

// harmonics appends the elements that are numbers. like has what they
// share, and the code of one of them.
func (x reader) harmonics(list []obis.Reading, like obis.Reading, class string, o *iec61850.Object) []obis.Reading {
	for _, a := range o.Attributes {
		c, ok := x.harmonicCode(like.Code, class, o, a)
		if a.Count == 0 || !ok {
			continue
		}
		for i := range a.Count {
			f, _ := a.Get().At(i).At(0).At(0).Float()
			r := like
			if r.Value, ok = obis.ParseNumber(strconv.AppendFloat(nil, f, 'f', -1, 32)); ok {
				c[4] = byte(i)
				r.Code = c
				list = append(list, r)
			}
		}
	}
	return list
}

// harmonicCode returns the code of the elements of an array, their number left out.
func (x reader) harmonicCode(like obis.Code, class string, o *iec61850.Object, a *iec61850.Attribute) (obis.Code, bool) {
	for i := range x.rules {
		r := &x.rules[i].Target
		if r.class != class || r.object != o.Name || r.part != a.Name {
			continue
		}
		for _, p := range x.rules[i].Codes {
			c := like
			if c[2] = p.Lo[2]; r.cdc == "HMV" { // one array, whose code is that in the description
				c = like
			}
			if c[4] = p.Lo[4]; p.Match(c) {
				return c, true
			}
		}
	}
	return obis.Code{}, false
}

// unit returns the unit of an object, unknown where the meter did not say one.
func unit(o *iec61850.Object) obis.Unit {
	units := o.Attribute("units", 0)
	if units == nil {
		return obis.UnitUnknown
	}
	n, _ := units.Child("SIUnit").Get().Int()
	multiplier, _ := units.Child("multiplier").Get().Int()
	switch {
	case n == dimensionless && multiplier == -2:
		return obis.Percent
	case n == dimensionless || n == powerFactor:
		return obis.Count
	}
	return baseUnits()[uint8(n)]
}

func (x reader) value(class string, o *iec61850.Object, code obis.Code) obis.Value {
	switch o.CDC {
	case "BCR":
		n, _ := o.Attribute("actVal", 0).Get().Int()
		exp, ok := exponent(o.Attribute("pulsQty", 0).Get())
		if !ok {
			return obis.Value{}
		}
		return obis.Int(n, exp)
	case "MV", "CMV", "ASG":
		f, _ := magnitude(o).Child("f").Get().Float()
		if x.reversed(class, code) {
			f = -f
		}
		v, _ := obis.ParseNumber(strconv.AppendFloat(nil, f, 'f', -1, 32))
		return v
	case "SPS":
		return obis.Bool(o.Attribute("stVal", 0).Get().Bool())
	case "INS":
		n, _ := o.Attribute("stVal", 0).Get().Int()
		return obis.Enum(n)
	case "DPC":
		closed := o.Attribute("stVal", 0).Get().Bits() == on
		if class != "CSWI" {
			return obis.Bool(closed)
		}
		if closed {
			return obis.Enum(1)
		}
		return obis.Enum(0)
	case "VSS":
		return parseText(o.Name, o.Attribute("stVal", 0).Get().Text())
	}
	return obis.Value{}
}

// reversed reports whether objects of the class count the other direction for the code.
func (x reader) reversed(class string, code obis.Code) bool {
	for i := range x.rules {
		if r := &x.rules[i].Target; r.class == class && !r.net && x.rules[i].Match(code) {
			return x.rules[i].Target.reverse
		}
	}
	return false
}

// parseText reads the text of a value, of the kind that the name of its object tells.
func parseText(object, text string) obis.Value {
	switch strings.TrimRight(object, "0123456789") {
	case "Bits":
		digits, ok := strings.CutPrefix(text, "0b")
		raw := make([]byte, (len(digits)+7)/8)
		for i, c := range []byte(digits) {
			if raw[i/8] |= (c & 1) << (7 - i%8); c != '0' && c != '1' {
				ok = false
			}
		}
		if ok {
			return obis.Bits(raw, len(digits))
		}
	case "Oct", "Tree":
		digits, ok := strings.CutPrefix(text, "0x")
		if raw, err := hex.DecodeString(digits); ok && err == nil {
			if strings.HasPrefix(object, "Tree") {
				return obis.Tree(raw)
			}
			return obis.Octets(raw)
		}
	case "Tim":
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return obis.Moment(obis.FromTime(at))
		}
		if at, err := time.Parse("2006-01-02T15:04:05", text); err == nil {
			return obis.Moment(obis.LocalTime(at.Year(), int(at.Month()), at.Day(), at.Hour(), at.Minute(), at.Second()))
		}
	}
	return obis.Text([]byte(text))
}

// AppendValues appends a line for each attribute of a model that has a value:
//
//	METERMTR/MMTR1.DmdWh.actVal[ST]=12345
func AppendValues(dst []byte, m *iec61850.Model) []byte {
	m.View(func() {
		for _, d := range m.Devices {
			for _, n := range d.Nodes {
				for _, o := range n.Objects {
					dst = appendObject(dst, d.FullName(m)+"/"+n.Name, o)
				}
			}
		}
	})
	return dst
}

func appendObject(dst []byte, above string, o *iec61850.Object) []byte {
	above += "." + o.Name
	for _, sub := range o.Objects {
		dst = appendObject(dst, above, sub)
	}
	for _, a := range o.Attributes {
		dst = appendAttribute(dst, above, a)
	}
	return dst
}

func appendAttribute(dst []byte, above string, a *iec61850.Attribute) []byte {
	above += "." + a.Name
	if !a.Leaf() {
		for _, m := range a.Attributes {
			dst = appendAttribute(dst, above, m)
		}
		return dst
	}
	return fmt.Appendf(dst, "%s[%v]=%v\n", above, a.FC, a.Get())
}
