package ied

import (
	"strings"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/obis"
)

// GivenShape returns the shape of a logical device whose objects carry the codes of their
// readings in their descriptions, as those that [New] makes do. It has objects for those
// readings alone, in their units. The device is not to be changed afterwards.
func GivenShape(dev *iec61850.Device, o *Options) (*Shape, error) {
	d := &Device{index: map[id]int{}, given: true}
	if o != nil {
		d.opts = *o
	}
	d.opts.defaults()
	g := &givenModel{d: d, reader: reader{d.opts.Rules.all()}, seen: map[string]int{}}
	for _, n := range dev.Nodes {
		for _, o := range n.Objects {
			g.object(n.ClassName(), "", o)
		}
	}
	for i := range d.points {
		if q := d.points[i].object.Attribute("q", 0); q != nil {
			if err := q.Init(iec61850.Invalid.Value()); err != nil {
				return nil, err
			}
		}
	}
	d.device = dev.Share(dev.Inst)
	return &Shape{device: d}, nil
}

// givenModel finds the points of a model.
type givenModel struct {
	reader
	d    *Device
	seen map[string]int
}

func (g *givenModel) add(name string, p point) {
	g.d.index[id{name, g.seen[name]}] = len(g.d.points)
	g.seen[name]++
	g.d.points = append(g.d.points, p)
}

// object finds those of an object, which is a phase of whole, or "" where it is none.
func (g *givenModel) object(class, whole string, o *iec61850.Object) {
	for _, sub := range o.Objects {
		g.object(class, o.Name, sub)
	}
	for i := range g.rules {
		if r := &g.rules[i]; r.Target.when == "sum" && r.Target.class == class && r.Target.object == o.Name && o.Attribute("stVal", 0) != nil {
			g.d.sums = append(g.d.sums, &summary{object: o, rule: r})
			break
		}
	}
	d := o.Attribute("d", iec61850.DC)
	if d == nil {
		return
	}
	text := d.Get().Text()
	if minuend, subtrahend, net := strings.Cut(text, " - "); net {
		g.d.nets = append(g.d.nets, &balance{o, side{key: id{name: minuend}}, side{key: id{name: subtrahend}}})
		return
	}
	code, err := obis.ParseCode(text)
	switch {
	case err != nil && !strings.HasPrefix(text, "raw:"):
		return
	case o.CDC == "HWYE" || o.CDC == "HMV":
		g.harmonics(class, code, o)
		return
	}
	name := text
	if err == nil {
		name = code.String()
	}
	p := point{object: o, reverse: err == nil && g.reversed(class, code)}
	angle, vector := g.angleCode(class, whole, code, o)
	p.shares = vector
	g.add(name, p)
	if vector {
		g.add(angle.String(), point{object: o, angle: true, shares: true})
	}
	if frozen := o.Attribute("dU", iec61850.DC); frozen != nil && o.Attribute("frVal", 0) != nil {
		if c, err := obis.ParseCode(frozen.Get().Text()); err == nil {
			g.add(c.String(), point{object: o, frozen: true})
		}
	}
}

// harmonics finds the elements of the arrays of an object.
func (g *givenModel) harmonics(class string, like obis.Code, o *iec61850.Object) {
	for _, a := range o.Attributes {
		c, ok := g.harmonicCode(like, class, o, a)
		if a.Count == 0 || !ok {
			continue
		}
		for i := 1; i < a.Count; i++ {
			c[4] = byte(i)
			g.add(c.String(), point{object: o, array: a, element: i})
		}
	}
}

// angleCode returns the code of the angle of a phase, where its vector has one.
func (x reader) angleCode(class, whole string, like obis.Code, o *iec61850.Object) (obis.Code, bool) {
	if o.CDC != "CMV" || o.Attribute("cVal", 0) == nil || o.Attribute("cVal", 0).Child("ang") == nil {
		return obis.Code{}, false
	}
	for i := range x.rules {
		if r := &x.rules[i].Target; r.when == "angle" && r.class == class && r.object == whole && r.part == o.Name {
			c := x.rules[i].Codes[0].Lo
			c[1] = like[1]
			return c, true
		}
	}
	return obis.Code{}, false
}

// sameUnit reports whether an object of a model that was given shows a unit as it is.
func sameUnit(o *iec61850.Object, u obis.Unit) bool {
	have := unit(o)
	return u == obis.UnitUnknown || have == obis.UnitUnknown || have == u || o.CDC == "CMV" && u == obis.Degree
}
