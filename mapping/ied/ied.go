// Package ied shows a meter as an IED of IEC 61850: its readings are data
// objects of logical nodes, which a server of package server serves.
//
//	1-0:1.8.0*255  ->  MMTR1.DmdWh    actVal is the register, pulsQty its power of ten
//	1-0:32.7.0*255 ->  MMXU1.PhV.phsA
//	0-0:96.8.0*255 ->  GGIO1.…        what no rule names
//
// Each object carries the OBIS code of its reading in its description d, so that
// [Readings] finds them again.
package ied

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Direction says which way of the energy the objects named Dmd (demand) count.
type Direction uint8

// The directions.
const (
	Busbar Direction = iota // away from the busbar, to the consumer: OBIS import (IEC 61850-7-4)
	ION                     // the other way, as ION meters have it: Sup is what was delivered to the consumer
)

// Options of [New]. Nil Options work.
type Options struct {
	IED       string // name of the IED; "" means METER
	Direction Direction
	Clock     obis.Clock // of the meter, where its times need one
	// Received is the time stamp of readings that have no time themselves; it is
	// marked as not synchronized. Zero leaves them without one.
	Received time.Time
	// Clients is how many report control blocks of each kind there are; zero means 4.
	Clients int
}

// Namespace is the name space of the objects that IEC 61850 does not know.
const Namespace = "openusm:2026"

// Device is a meter as an IED.
type Device struct {
	Model *iec61850.Model

	opts   Options
	points []point
	index  map[id]int
}

// id tells readings apart: the second and later ones of a code or raw id have a number.
type id struct {
	name string
	nth  int
}

// point is where a reading is.
type point struct {
	object  *iec61850.Object
	reverse bool
}

// inst is the name of the logical device.
const inst = "MTR"

// New returns a meter with its readings. The losses name the readings that went
// to GGIO, those that could not be carried, and what of the others could not.
func New(m obis.Meter, readings []obis.Reading, o *Options) (*Device, []mapping.Loss, error) {
	d := &Device{index: map[id]int{}}
	if o != nil {
		d.opts = *o
	}
	if d.opts.IED == "" {
		d.opts.IED = "METER"
	}
	if d.opts.Clients == 0 {
		d.opts.Clients = 4
	}
	dev := &iec61850.Device{Inst: inst}
	d.Model = &iec61850.Model{IED: d.opts.IED, Vendor: cmp.Or(m.Manufacturer, "unknown"), Type: cmp.Or(m.Model, "meter"),
		Revision: cmp.Or(m.Firmware, "-"), Devices: []*iec61850.Device{dev}}
	head, err := identity(m)
	if err != nil {
		return nil, nil, err
	}
	b := &builder{d: d, slots: map[string]bool{}, nodes: map[string]*iec61850.Node{}, instances: map[string][]string{}, ggio: map[string]int{}}
	if err := b.place(readings); err != nil {
		return nil, nil, err
	}
	dev.Nodes = append(head, b.list...)
	if err := d.reports(dev, head[0]); err != nil {
		return nil, nil, err
	}
	return d, append(b.lost, d.Update(readings)...), nil
}

// identity returns LLN0 and LPHD1.
func identity(m obis.Meter) ([]*iec61850.Node, error) {
	var failed error
	object := func(name, cdc string, optional ...string) *iec61850.Object {
		o, err := iec61850.NewObject(name, cdc, optional...)
		failed = cmp.Or(failed, err)
		return o
	}
	plate := object("PhyNam", "DPL", "swRev", "hwRev", "serNum", "model")
	name := object("NamPlt", "LPL", "ldNs")
	mode := []*iec61850.Object{object("Mod", "ENC"), object("Beh", "ENS"), object("Health", "ENS")}
	health, proxy := object("PhyHealth", "ENS"), object("Proxy", "SPS")
	if failed != nil {
		return nil, failed
	}
	for o, values := range map[*iec61850.Object]map[string]string{
		plate: {"vendor": m.Manufacturer, "swRev": m.Firmware, "hwRev": m.Version, "serNum": cmp.Or(m.Serial, m.ID), "model": m.Model},
		name:  {"vendor": m.Manufacturer, "swRev": m.Firmware, "d": m.ID, "ldNs": "IEC 61850-7-4:2007"},
	} {
		for attribute, v := range values {
			if err := o.Attribute(attribute, 0).Init(iec61850.Visible(visible(v))); err != nil {
				return nil, err
			}
		}
	}
	for _, o := range append(mode, health) { // on, and Ok
		if err := o.Attribute("stVal", 0).Init(iec61850.Int(1)); err != nil {
			return nil, err
		}
	}
	if err := proxy.Attribute("stVal", 0).Init(iec61850.Bool(true)); err != nil {
		return nil, err
	}
	return []*iec61850.Node{{Name: "LLN0", Objects: append(mode, name)}, {Name: "LPHD1", Objects: []*iec61850.Object{plate, health, proxy}}}, nil
}

// visible returns text as a visible string has it: printable ASCII, at most 255 characters.
func visible(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 255)]
}

// builder gives the readings their places.
type builder struct {
	d         *Device
	list      []*iec61850.Node
	nodes     map[string]*iec61850.Node
	slots     map[string]bool // objects and phases that are taken
	instances map[string][]string
	ggio      map[string]int // objects of GGIO1 of each kind
	lost      []mapping.Loss
}

// place makes the objects, those that rules name in the order of the rules.
func (b *builder) place(readings []obis.Reading) error {
	keys := keysOf(readings)
	order := make([]int, len(readings))
	for i := range order {
		order[i] = i
	}
	rank := func(i int) (int, string) {
		r := find(readings[i].Code)
		if r < 0 || !fits(readings[i].Value, rules[r].cdc) || !measures(&rules[r], readings[i].Unit) {
			return math.MaxInt, ""
		}
		return r, instance(readings[i].Code)
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, x := rank(i)
		c, y := rank(j)
		if a == math.MaxInt || c == math.MaxInt {
			return cmp.Compare(a, c)
		}
		return cmp.Or(cmp.Compare(rules[a].class, rules[c].class), cmp.Compare(x, y), cmp.Compare(a, c))
	})
	for _, i := range order {
		r := &readings[i]
		if r.Value.IsNone() && !r.Code.Valid() && len(r.RawID) == 0 {
			b.lost = append(b.lost, mapping.Loss{Index: i, Reason: "neither id nor value"})
			continue
		}
		var p point
		var err error
		if rule, key := rank(i); rule != math.MaxInt {
			p, err = b.named(&rules[rule], r, key)
		} else {
			p, err = b.generic(r, keys[i])
			b.lost = append(b.lost, mapping.Loss{Index: i, Reason: "no logical node has it: GGIO1." + p.name() + unitless(r.Unit)})
		}
		if err != nil {
			return err
		}
		b.d.index[keys[i]] = len(b.d.points)
		b.d.points = append(b.d.points, p)
	}
	return nil
}

// unitless says that a unit has no counterpart.
func unitless(u obis.Unit) string {
	if _, ok := siUnits[u]; ok || u == obis.UnitUnknown {
		return ""
	}
	return ", unit " + u.String() + " not carried"
}

func (p point) name() string {
	if p.object == nil {
		return ""
	}
	return p.object.Name
}

// keysOf numbers the readings that have the same id.
func keysOf(readings []obis.Reading) []id {
	keys, seen := make([]id, len(readings)), map[string]int{}
	for i := range readings {
		name := readings[i].Code.String()
		if name == "" {
			name = "raw:" + obis.RawIDText(readings[i].RawID)
		}
		keys[i] = id{name, seen[name]}
		seen[name]++
	}
	return keys
}

// fits reports whether an object of the class can show the value. No value fits all.
func fits(v obis.Value, cdc string) bool {
	if v.IsNone() {
		return true
	}
	if cdc == "BCR" {
		_, _, ok := v.Decimal()
		return ok
	}
	return number(v)
}

// measures reports whether an object of the rule is in the unit. A unit that was
// not transmitted contradicts none.
func measures(r *rule, u obis.Unit) bool {
	const powerFactor = 65
	si, ok := siUnits[u]
	return u == obis.UnitUnknown || ok && si == r.unit || u == obis.Count && r.unit == powerFactor
}

func number(v obis.Value) bool {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64:
		return true
	}
	return false
}

// named returns the place of a reading that a rule names: in the node of its
// instance, or in a further one where that place is taken.
func (b *builder) named(r *rule, reading *obis.Reading, key string) (point, error) {
	object := r.object
	if b.d.opts.Direction == ION {
		if rest, ok := strings.CutPrefix(object, "Dmd"); ok {
			object = "Sup" + rest
		} else if rest, ok := strings.CutPrefix(object, "Sup"); ok {
			object = "Dmd" + rest
		}
	}
	if r.class == "MMTN" {
		key = string('0'+rune(reading.Code.Phase())) + key
	}
	for again := 0; ; again++ {
		k := fmt.Sprintf("%s %s %d", r.class, key, again)
		node := b.nodes[k]
		if node == nil {
			b.instances[r.class] = append(b.instances[r.class], k)
			node = &iec61850.Node{Name: r.class + strconv.Itoa(len(b.instances[r.class])), Class: r.class}
			b.nodes[k] = node
			b.list = append(b.list, node)
		}
		slot := node.Name + "." + object + "." + r.phase
		if b.slots[slot] {
			continue
		}
		b.slots[slot] = true
		o, err := place(node, object, r)
		if err != nil {
			return point{}, err
		}
		return point{o, r.reverse}, describe(o, reading.Code.String(), r.unit, reading.Unit)
	}
}

// place returns the object, or its phase, which it makes where it is missing.
func place(n *iec61850.Node, object string, r *rule) (*iec61850.Object, error) {
	if r.phase == "" {
		o, err := iec61850.NewObject(object, r.cdc, "units", "d")
		if err == nil {
			n.Objects = append(n.Objects, o)
		}
		return o, err
	}
	part, err := iec61850.NewObject(r.phase, "CMV", "units", "d")
	if err != nil {
		return nil, err
	}
	whole := n.Object(object)
	if whole == nil {
		whole = &iec61850.Object{Name: object, CDC: r.cdc}
		n.Objects = append(n.Objects, whole)
	}
	whole.Objects = append(whole.Objects, part)
	return part, nil
}

// describe gives an object its description and its unit, which is that of the
// object unless the meter did not say which one it is.
func describe(o *iec61850.Object, d string, si uint8, u obis.Unit) error {
	if err := o.Attribute("d", 0).Init(iec61850.Visible(visible(d))); err != nil {
		return err
	}
	units := o.Attribute("units", 0)
	if units == nil {
		return nil
	}
	if u == obis.UnitUnknown || si == 0 {
		si = dimensionless
	}
	if u == obis.Percent {
		if err := units.Child("multiplier").Init(iec61850.Int(-2)); err != nil {
			return err
		}
	}
	return units.Child("SIUnit").Init(iec61850.Int(int64(si)))
}

// generic returns a place in GGIO1.
func (b *builder) generic(r *obis.Reading, key id) (point, error) {
	node := b.nodes["GGIO"]
	if node == nil {
		node = &iec61850.Node{Name: "GGIO1", Class: "GGIO"}
		b.nodes["GGIO"] = node
		b.list = append(b.list, node)
	}
	name, cdc := "Str", "VSS"
	_, _, decimal := r.Value.Decimal()
	switch {
	case r.Value.Kind() == obis.KindBool:
		name, cdc = "Ind", "SPS"
	case decimal && number(r.Value) && (r.Code.Cumulative() || r.Value.Exp() == 0):
		name, cdc = "CntVal", "BCR"
	case number(r.Value):
		name, cdc = "AnIn", "MV"
	}
	b.ggio[name]++
	optional := []string{"units", "d"}
	if cdc == "VSS" || cdc == "BCR" {
		optional = append(optional, "dataNs")
	}
	o, err := iec61850.NewObject(name+strconv.Itoa(b.ggio[name]), cdc, optional...)
	if err != nil {
		return point{}, err
	}
	if ns := o.Attribute("dataNs", 0); ns != nil {
		if err := ns.Init(iec61850.Visible(Namespace)); err != nil {
			return point{}, err
		}
	}
	node.Objects = append(node.Objects, o)
	return point{o, false}, describe(o, key.name, siUnits[r.Unit], r.Unit)
}

// reports gives LLN0 the data sets and the report control blocks.
func (d *Device) reports(dev *iec61850.Device, lln0 *iec61850.Node) error {
	sets := map[string]*iec61850.DataSet{}
	domain := dev.FullName(d.Model)
	for _, n := range dev.Nodes[2:] {
		for _, o := range n.Objects {
			set, fc := "Measurements", iec61850.MX
			if o.CDC != "MV" && o.CDC != "WYE" && o.CDC != "DEL" {
				set, fc = "Counters", iec61850.ST
			}
			if sets[set] == nil {
				sets[set] = &iec61850.DataSet{Name: set}
				lln0.DataSets = append(lln0.DataSets, sets[set])
			}
			sets[set].Members = append(sets[set].Members, iec61850.Ref{Device: domain, Item: n.Name + "$" + fc.String() + "$" + o.Name})
		}
	}
	const all = iec61850.DataChange | iec61850.QualityChange | iec61850.DataUpdate | iec61850.Integrity | iec61850.GeneralInterrogation
	const options = iec61850.SequenceNumber | iec61850.ReportTime | iec61850.ReasonForInclusion | iec61850.DataSetName | iec61850.EntryID |
		iec61850.BufferOverflow | iec61850.ConfRevision
	for _, set := range lln0.DataSets {
		for prefix, buffered := range map[string]bool{"urcb": false, "brcb": true} {
			lln0.Reports = append(lln0.Reports, &iec61850.Report{Name: prefix + set.Name, DataSet: set.Name, Buffered: buffered, ConfRev: 1,
				Options: options, Triggers: all, Instances: d.opts.Clients})
		}
	}
	slices.SortFunc(lln0.Reports, func(a, b *iec61850.Report) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}
