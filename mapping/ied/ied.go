// Package ied shows a meter as an IED of IEC 61850: its readings are data
// objects of logical nodes, which a server of package server serves.
//
//	1-0:1.8.0*255  ->  MMTR1.DmdWh    actVal is the register, pulsQty its power of ten
//	1-0:32.7.0*255 ->  MMXU1.PhV.phsA
//	1-0:32.7.3*255 ->  MHAI1.HPhV.phsAHar[3]
//	1-0:1.8.0*1    ->  MMTR1.DmdWh    frVal, frTm: the last billing period, by the meter
//	1-0:81.7.4*255 ->  MMXU1.A.phsA   cVal.ang, which is there only where it was measured
//	0-0:96.8.0*255 ->  GGIO1.…        what no rule names
//
// The totals of active and reactive power and of active energy, and those of the
// phases, are import minus export: the register of the net value or, where the
// meter has none, the difference of two readings of one time.
//
// Each object carries the OBIS code of its reading in its description d, so that
// [Readings] finds them again. The rules are rules.csv.
package ied

import (
	"cmp"
	"fmt"
	"maps"
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
	// Received is the time stamp of readings that have no time themselves, and of
	// the states of the IED; it is marked as not synchronized. Zero leaves them without one.
	Received time.Time
	// Clients is how many report control blocks of each kind there are; zero means 4.
	Clients int
	Rules   *Rules // nil means the built-in ones
}

// Namespace is the name space of the objects that IEC 61850 does not know.
const Namespace = "openusm:2026"

// Device is a meter as an IED.
type Device struct {
	Model *iec61850.Model

	opts   Options
	points []point
	index  map[id]int
	sums   []*summary
	nets   []*balance

	device *iec61850.Device // that shares its nodes, nil for one that has its own
	placed []placing        // of a shape
	given  bool             // the model does not follow from the readings
	begun  bool             // a change was set
	meter  obis.Meter       // that it is called by
	bound  []int32          // the points of the readings of a site, by their index; none where there is none
	pairs  [][2]int32       // the readings of the nets

	received time.Time           // when the readings of the last update came
	updates  int                 // how many there were
	resets   map[reset]obis.Time // when billing periods ended, as the meter said
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
	array   *iec61850.Attribute // of which it is an element; nil for none
	element int
	frozen  bool // it is the frozen value of a counter
	angle   bool // it is the angle of a vector
	shares  bool // its object shows another reading, too
	scale   siUnit
}

// summary is an object that tells whether any of several readings is not zero.
type summary struct {
	object *iec61850.Object
	rule   *mapping.Rule[rule]
	set    map[id]bool // readings that are not zero
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
	d.opts.defaults()
	dev := &iec61850.Device{Inst: inst}
	d.Model = &iec61850.Model{IED: d.opts.IED, Vendor: cmp.Or(m.Manufacturer, "unknown"), Type: cmp.Or(m.Model, "meter"),
		Revision: cmp.Or(m.Firmware, "-"), Devices: []*iec61850.Device{dev}}
	head, err := identity(d.opts.Received)
	if err != nil {
		return nil, nil, err
	}
	b := newBuilder(d)
	d.learn(readings)
	if err := b.place(readings, b.frozen); err != nil {
		return nil, nil, err
	}
	dev.Nodes = append(head, b.list...)
	if err := name(dev, m); err != nil {
		return nil, nil, err
	}
	b.gather(dev.FullName(d.Model))
	b.reports(head[0], 1)
	lost := append(b.lost, d.Update(readings, d.opts.Received)...)
	return d, (&mapping.Data{Readings: readings}).Gather(lost), nil
}

func (o *Options) defaults() {
	o.IED = cmp.Or(o.IED, "METER")
	o.Clients = cmp.Or(o.Clients, 4)
}

func newBuilder(d *Device) *builder {
	return &builder{d: d, codes: map[obis.Code]bool{}, slots: map[string]bool{}, nodes: map[string]*iec61850.Node{}, seen: map[string]int{},
		taken: map[string]bool{}, ggio: map[string]int{}, sets: map[string]*iec61850.DataSet{}, listed: map[*iec61850.Object]bool{}}
}

// identity returns LLN0 and LPHD1, whose states are since the given time.
func identity(since time.Time) ([]*iec61850.Node, error) {
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
	for _, o := range append(mode, health) { // on, and Ok
		if err := o.Attribute("stVal", 0).Init(iec61850.Int(1)); err != nil {
			return nil, err
		}
	}
	if err := proxy.Attribute("stVal", 0).Init(iec61850.Bool(true)); err != nil {
		return nil, err
	}
	for _, o := range append(mode, health, proxy) {
		if err := o.Attribute("t", 0).Init(iec61850.NewTimestamp(since, iec61850.ClockNotSynchronized).Value()); err != nil {
			return nil, err
		}
	}
	return []*iec61850.Node{{Name: "LLN0", Objects: append(mode, name)}, {Name: "LPHD1", Objects: []*iec61850.Object{plate, health, proxy}}}, nil
}

// ldNs is the name space of the logical devices.
const ldNs = "IEC 61850-7-4:2007"

// name tells of which meter a device is.
func name(dev *iec61850.Device, m obis.Meter) error {
	for place, values := range map[[2]string]map[string]string{
		{"LPHD1", "PhyNam"}: {"vendor": m.Manufacturer, "swRev": m.Firmware, "hwRev": m.Version, "serNum": cmp.Or(m.Serial, m.ID), "model": m.Model},
		{"LLN0", "NamPlt"}:  {"vendor": m.Manufacturer, "swRev": m.Firmware, "d": m.ID, "ldNs": ldNs},
	} {
		var o *iec61850.Object
		if n := dev.Node(place[0]); n != nil {
			o = n.Object(place[1])
		}
		if o == nil {
			continue // a model that was given
		}
		for attribute, v := range values {
			if a := o.Attribute(attribute, 0); a != nil {
				if err := dev.Init(a, iec61850.Visible(visible(v))); err != nil {
					return err
				}
			}
		}
	}
	return nil
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
	d      *Device
	list   []*iec61850.Node
	nodes  map[string]*iec61850.Node
	taken  map[string]bool // names of nodes
	slots  map[string]bool // objects and phases that are taken
	seen   map[string]int  // how many readings have an id
	ggio   map[string]int  // objects of GGIO1 of each kind
	single bool            // the meter has one phase
	codes  map[obis.Code]bool
	sets   map[string]*iec61850.DataSet
	listed map[*iec61850.Object]bool // those that were looked at for the data sets, and are to stay as they are
	lost   []mapping.Loss

	// Of the readings that are being placed:
	keys     []id
	counters map[obis.Code]*iec61850.Object
	angles   map[string]int // the readings that are angles, by channel and phase
	vectors  []vector       // the phases that have one
}

// vector is a phase and the reading that is its angle.
type vector struct {
	object *iec61850.Object
	angle  int
}

// item is what gets a place: a reading, or the difference of two.
type item struct {
	rule        int
	code        obis.Code
	reading     int
	subtrahend  int // of a difference; none for a reading
	afterOthers bool
}

// place makes the objects of readings, behind those that there are, those that rules name in
// the order of the rules. frozen tells which readings are frozen values.
func (b *builder) place(readings []obis.Reading, frozen func([]obis.Reading, []int) []bool) error {
	for i := range readings {
		b.codes[readings[i].Code] = true
	}
	b.single = singlePhase(b.codes)
	b.counters, b.angles, b.vectors = map[obis.Code]*iec61850.Object{}, map[string]int{}, nil
	b.keys = keysOf(readings, b.seen)
	keys, list := b.keys, b.d.opts.Rules.all()
	items, found := make([]item, len(readings)), make([]int, len(readings))
	for i := range items {
		found[i] = b.find(&readings[i])
		items[i] = item{found[i], readings[i].Code, i, none, false}
		if found[i] != none && list[found[i]].Target.when == "angle" {
			b.angle(&list[found[i]].Target, readings[i].Code, i)
			items[i].afterOthers = true
		}
	}
	for i, last := range frozen(readings, found) {
		items[i].afterOthers = items[i].afterOthers || last
	}
	items = append(items, b.differences(readings)...)
	slices.SortStableFunc(items, func(x, y item) int {
		if x.rule == none || y.rule == none {
			return cmp.Compare(y.rule, x.rule)
		}
		r, s := &list[x.rule].Target, &list[y.rule].Target
		return cmp.Or(cmp.Compare(r.class, s.class), cmp.Compare(instance(r, x.code), instance(s, y.code)), cmp.Compare(x.rule, y.rule), x.code.Compare(y.code))
	})
	points := make([]point, len(readings))
	for _, it := range items {
		if it.afterOthers {
			continue
		}
		if err := b.item(it, readings, keys, points); err != nil {
			return err
		}
	}
	for i := range b.vectors {
		points[b.vectors[i].angle] = point{object: b.vectors[i].object, angle: true, shares: true}
	}
	for _, it := range items {
		if !it.afterOthers || points[it.reading].object != nil {
			continue
		}
		var err error
		if list[it.rule].Target.when == "angle" {
			points[it.reading], err = b.elsewhere(&readings[it.reading], it.reading, keys[it.reading])
		} else {
			points[it.reading], err = b.freeze(&readings[it.reading])
		}
		if err != nil {
			return err
		}
	}
	for i := range readings {
		if points[i].object != nil {
			points[i].shares = points[i].shares || slices.ContainsFunc(b.vectors, func(v vector) bool { return v.object == points[i].object })
			b.d.index[keys[i]] = len(b.d.points)
			b.d.points = append(b.d.points, points[i])
		}
	}
	return nil
}

// item gives one item its place.
func (b *builder) item(it item, readings []obis.Reading, keys []id, points []point) (err error) {
	i, list := it.reading, b.d.opts.Rules.all()
	r := &readings[i]
	switch {
	case it.subtrahend != none:
		return b.difference(&list[it.rule].Target, r, &readings[it.subtrahend])
	case r.Value.IsNone() && !r.Code.Valid() && len(r.RawID) == 0:
		b.lost = append(b.lost, mapping.Loss{Index: i, Reason: "neither id nor value"})
	case it.rule != none:
		if points[i], err = b.named(&list[it.rule].Target, r); err == nil && points[i].unitless(r.Unit) != "" {
			b.lost = append(b.lost, mapping.Loss{Index: i, Reason: points[i].unitless(r.Unit)})
		}
	default:
		points[i], err = b.elsewhere(r, i, keys[i])
	}
	return err
}

// elsewhere gives a reading that no rule names a place in GGIO1.
func (b *builder) elsewhere(r *obis.Reading, i int, key id) (point, error) {
	p, err := b.generic(r, key)
	if err == nil {
		err = b.sum(r, i, p)
	}
	return p, err
}

// current returns the code of the current value of a code of a billing period.
func current(c obis.Code) obis.Code {
	c[5] = obis.FCurrent
	return c
}

// frozen tells which readings are the last billing period of a counter that is
// there too: the only one, or the latest where all have a time.
func (b *builder) frozen(readings []obis.Reading, found []int) []bool {
	list, periods, seen := b.d.opts.Rules.all(), map[obis.Code][]int{}, map[obis.Code]int{}
	for i := range readings {
		c := readings[i].Code
		if seen[c]++; found[i] == none || list[found[i]].Target.cdc != "BCR" || readings[i].Value.IsNone() {
			continue
		}
		if c[5] != obis.FCurrent {
			periods[current(c)] = append(periods[current(c)], i)
		}
	}
	out := make([]bool, len(readings))
	for c, candidates := range periods {
		if seen[c] != 1 { // no current value, or several
			continue
		}
		last, known := candidates[0], true
		for _, i := range candidates {
			at, ok := b.d.periodEnd(&readings[i]).Instant(b.d.opts.Clock)
			best, _ := b.d.periodEnd(&readings[last]).Instant(b.d.opts.Clock)
			known = known && ok
			if at.After(best) {
				last = i
			}
		}
		at := slices.IndexFunc(readings, func(r obis.Reading) bool { return r.Code == c })
		same := found[at] != none && list[found[at]].Target.cdc == "BCR" && readings[at].Unit == readings[last].Unit
		if same && (known || len(candidates) == 1) && seen[readings[last].Code] == 1 {
			out[last] = true
		}
	}
	return out
}

// freeze gives a counter its frozen value.
func (b *builder) freeze(r *obis.Reading) (point, error) {
	o := b.counters[current(r.Code)]
	with, err := iec61850.NewObject(o.Name, o.CDC, "frVal", "frTm", "dU")
	if err != nil {
		return point{}, err
	}
	name := with.Attribute("dU", 0)
	if err := name.Init(iec61850.UTF8(r.Code.String())); err != nil {
		return point{}, err
	}
	o.Attributes = slices.Insert(o.Attributes, 1, with.Attribute("frVal", 0), with.Attribute("frTm", 0))
	o.Attributes = append(o.Attributes, name)
	return point{object: o, frozen: true}, nil
}

// sum gives a reading without a node of its own a part in an object that sums up several.
func (b *builder) sum(r *obis.Reading, i int, p point) error {
	reason := "no logical node has it: GGIO1." + p.name()
	list := b.d.opts.Rules.all()
	for n := range list {
		rule := &list[n]
		if rule.Target.when != "sum" || !rule.Match(r.Code) {
			continue
		}
		node, err := b.node(&rule.Target, r.Code, 0)
		if err != nil {
			return err
		}
		if node.Object(rule.Target.object) == nil {
			o, err := iec61850.NewObject(rule.Target.object, rule.Target.cdc)
			if err != nil {
				return err
			}
			node.Objects = append(node.Objects, o)
			b.d.sums = append(b.d.sums, &summary{o, rule, map[id]bool{}})
		}
		reason = node.Name + "." + rule.Target.object + " tells only whether it is zero, itself is GGIO1." + p.name()
		break
	}
	if unit := p.unitless(r.Unit); unit != "" {
		reason += ", " + unit
	}
	b.lost = append(b.lost, mapping.Loss{Index: i, Reason: reason})
	return nil
}

// unitless says that an object does not show a unit.
func (p point) unitless(u obis.Unit) string {
	switch {
	case p.scale.div != 0:
		return "unit " + u.String() + " shown as " + baseUnits()[p.scale.code].String()
	case u == obis.UnitUnknown || p.object.Attribute("units", 0) != nil:
		return ""
	}
	return "unit " + u.String() + " not carried"
}

func (p point) name() string {
	if p.object == nil {
		return ""
	}
	return p.object.Name
}

// keysOf numbers the readings that have the same id, behind those that were seen before.
func keysOf(readings []obis.Reading, seen map[string]int) []id {
	keys := make([]id, len(readings))
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

// node returns the node of a class that has a rule's instance of a code, again being how
// many before it have no room; it is made where it is missing.
func (b *builder) node(r *rule, c obis.Code, again int) (*iec61850.Node, error) {
	key, number := fmt.Sprintf("%s %s %d", r.class, instance(r, c), again), b.number(r, c)
	if r.class == "GGIO" || r.when == "sum" { // one has them all
		key, number = r.class, 1
	}
	if n := b.nodes[key]; n != nil {
		return n, nil
	}
	behaviour, err := behaviour(b.d.opts.Received)
	if err != nil {
		return nil, err
	}
	name := r.class + strconv.Itoa(number)
	for b.taken[name] {
		number++
		name = r.class + strconv.Itoa(number)
	}
	b.taken[name] = true
	n := &iec61850.Node{Name: name, Class: r.class, Objects: []*iec61850.Object{behaviour}}
	b.nodes[key] = n
	b.list = append(b.list, n)
	return n, nil
}

// number returns the instance number of a node by what [instance] has of the code, so that
// neither the order of readings nor others of the meter decide it: 1 and the tariff, three
// for each where there are three phases; thousands for a channel, millions for another
// processing or quantity than that of the first rule of the class, 10^9 for a billing period.
// That is twelve digits at most, as the standard has them.
func (b *builder) number(r *rule, c obis.Code) int {
	list := b.d.opts.Rules.all()
	i := slices.IndexFunc(list, func(other mapping.Rule[rule]) bool { return other.Target.class == r.class })
	if i < 0 {
		return 1
	}
	first := list[i].Codes[0].Lo
	n := 1
	switch r.class {
	case "MHAI", "MHAN":
	case "MMTN":
		n = 3 * int(c[4])
		switch c.Phase() {
		case obis.PhaseL2:
			n += 2
		case obis.PhaseL3:
			n += 3
		default:
			n++
		}
	default:
		n += int(c[4] - first[4])
	}
	other := int(c[3] - first[3])
	switch r.class {
	case "STMP":
		if other = int(c[2] - first[2]); c[0] != first[0] { // STMP610 is 6-0:10.0.0
			n, other = 100*int(c[0])+int(c[2]), 0
		}
	case "QVVR": // the rows of all phases, and of each
		n, other = n+int(c[2]-first[2])/20, 0
	}
	return n + 1000*int(c[1]) + 1_000_000*other + 1_000_000_000*int(^c[5])
}

// behaviour returns the object Beh, which every node has: on, since the given time.
func behaviour(since time.Time) (*iec61850.Object, error) {
	o, err := iec61850.NewObject("Beh", "ENS")
	if err == nil {
		err = o.Attribute("stVal", 0).Init(iec61850.Int(1))
	}
	if err == nil {
		err = o.Attribute("t", 0).Init(iec61850.NewTimestamp(since, iec61850.ClockNotSynchronized).Value())
	}
	return o, err
}

// named returns the place of a reading that a rule names: in the node of its
// instance, or in a further one where that place is taken.
func (b *builder) named(r *rule, reading *obis.Reading) (point, error) {
	object := r.object
	if b.d.opts.Direction == ION {
		if rest, ok := strings.CutPrefix(object, "Dmd"); ok {
			object = "Sup" + rest
		} else if rest, ok := strings.CutPrefix(object, "Sup"); ok {
			object = "Dmd" + rest
		}
	}
	for again := 0; ; again++ {
		node, err := b.node(r, reading.Code, again)
		if err != nil {
			return point{}, err
		}
		slot := node.Name + "." + object + "." + r.part
		if r.array() {
			slot += strconv.Itoa(int(reading.Code[4]))
			if o := node.Object(object); o != nil && (b.listed[o] || !sameArray(o, r, reading)) {
				continue
			}
		}
		if b.slots[slot] {
			continue
		}
		b.slots[slot] = true
		if r.array() {
			return placeElement(node, object, r, reading)
		}
		o, err := place(node, object, r, reading.Unit)
		if err != nil {
			return point{}, err
		}
		if o.CDC == "CMV" {
			if err := b.polar(o, again == 0, phaseKey(r, reading.Code)); err != nil {
				return point{}, err
			}
		}
		if r.cdc == "BCR" && reading.Code[5] == obis.FCurrent {
			b.counters[reading.Code] = o
		}
		return point{object: o, reverse: r.reverse}, describe(o, reading.Code.String(), r.unit, reading.Unit)
	}
}

// phaseKey names a phase of a channel.
func phaseKey(r *rule, c obis.Code) string { return fmt.Sprintf("%d %s.%s", c[1], r.object, r.part) }

// angle notes a reading that is the angle of a phase.
func (b *builder) angle(r *rule, c obis.Code, i int) {
	if _, known := b.angles[phaseKey(r, c)]; !known {
		b.angles[phaseKey(r, c)] = i
	}
}

// polar gives the vector of a phase its angle, not a number until it has a value,
// or takes it away where the meter measures none.
func (b *builder) polar(o *iec61850.Object, first bool, phase string) error {
	at := slices.IndexFunc(o.Attributes, func(a *iec61850.Attribute) bool { return a.Name == "cVal" })
	vectorAttribute := o.Attributes[at]
	if i, measured := b.angles[phase]; measured && first {
		b.vectors = append(b.vectors, vector{o, i})
		return vectorAttribute.Child("ang").Child("f").Init(iec61850.Float32(float32(math.NaN())))
	}
	o.Attributes[at] = iec61850.NewStruct(vectorAttribute.Name, vectorAttribute.FC, vectorAttribute.Trigger, vectorAttribute.Child("mag"))
	return nil
}

// sameArray reports whether the arrays of an object are of the unit of the rule,
// and of the medium, channel and billing period of the reading.
func sameArray(o *iec61850.Object, r *rule, reading *obis.Reading) bool {
	have, err := obis.ParseCode(o.Attribute("d", 0).Get().Text())
	c := reading.Code
	return err == nil && have[0] == c[0] && have[1] == c[1] && have[5] == c[5] && unit(o) == reading.Unit && (r.cdc == "HWYE" || have[2] == c[2])
}

// placeElement returns the element of an array of harmonics, which is not a
// number until it has a value.
func placeElement(n *iec61850.Node, object string, r *rule, reading *obis.Reading) (point, error) {
	with, err := iec61850.NewObject(object, r.cdc, append(attributes(reading.Unit), r.part)...)
	if err != nil {
		return point{}, err
	}
	for _, a := range with.Attributes {
		if a.Count == 0 {
			continue
		}
		elements := make([]iec61850.Value, a.Count)
		for i := range elements {
			elements[i] = harmonic(float32(math.NaN()))
		}
		if err := a.Init(iec61850.ArrayOf(elements...)); err != nil {
			return point{}, err
		}
		if err := with.Attribute("numHar", 0).Init(iec61850.Uint(uint64(a.Count))); err != nil {
			return point{}, err
		}
	}
	o := n.Object(object)
	if o == nil {
		o = with
		n.Objects = append(n.Objects, o)
		if err := describe(o, reading.Code.String(), r.unit, reading.Unit); err != nil {
			return point{}, err
		}
	}
	a := o.Attribute(r.part, iec61850.MX)
	if a == nil {
		a = with.Attribute(r.part, iec61850.MX)
		at := slices.IndexFunc(o.Attributes, func(a *iec61850.Attribute) bool { return a.Count == 0 })
		o.Attributes = slices.Insert(o.Attributes, at, a)
	}
	return point{object: o, array: a, element: int(reading.Code[4])}, nil
}

// harmonic returns an element of an array of harmonics: a vector of that magnitude, its angle not known.
func harmonic(f float32) iec61850.Value {
	return iec61850.Struct(iec61850.Struct(iec61850.Float32(f)), iec61850.Struct(iec61850.Float32(float32(math.NaN()))))
}

// place returns the object, or its phase, which it makes where it is missing.
func place(n *iec61850.Node, object string, r *rule, u obis.Unit) (*iec61850.Object, error) {
	if r.part == "" {
		o, err := iec61850.NewObject(object, r.cdc, attributes(u)...)
		if err == nil {
			n.Objects = append(n.Objects, o)
		}
		return o, err
	}
	part, err := iec61850.NewObject(r.part, "CMV", attributes(u)...)
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

// attributes are the optional ones that an object for a reading in the unit has.
func attributes(u obis.Unit) []string {
	if _, ok := siUnits()[u]; ok {
		return []string{"d", "units"}
	}
	return []string{"d"}
}

// describe gives an object its description and, where it is known, its unit.
func describe(o *iec61850.Object, d string, si uint8, u obis.Unit) error {
	if err := o.Attribute("d", 0).Init(iec61850.Visible(visible(d))); err != nil {
		return err
	}
	units := o.Attribute("units", 0)
	if units == nil {
		return nil
	}
	if u == obis.Percent {
		if err := units.Child("multiplier").Init(iec61850.Int(-2)); err != nil {
			return err
		}
	}
	return units.Child("SIUnit").Init(iec61850.Int(int64(si)))
}

// kinds are the objects of GGIO1 that show what is no number, by the kind of the
// value; [Readings] tells the kind from the name.
var kinds = map[obis.Kind]struct{ name, cdc string }{
	obis.KindBool: {"Ind", "SPS"}, obis.KindEnum: {"IntIn", "INS"}, obis.KindText: {"Str", "VSS"}, obis.KindBits: {"Bits", "VSS"},
	obis.KindOctets: {"Oct", "VSS"}, obis.KindTree: {"Tree", "VSS"}, obis.KindTime: {"Tim", "VSS"}, obis.KindNone: {"Str", "VSS"},
}

// generic returns a place in GGIO1.
func (b *builder) generic(r *obis.Reading, key id) (point, error) {
	node, err := b.node(&rule{class: "GGIO"}, r.Code, 0)
	if err != nil {
		return point{}, err
	}
	kind := kinds[r.Value.Kind()]
	name, cdc := kind.name, kind.cdc
	si, known := siUnits()[r.Unit]
	converted := known && !si.same && number(r.Value)
	if number(r.Value) {
		name, cdc = "AnIn", "MV"
		if _, _, decimal := r.Value.Decimal(); decimal && !converted && (current(r.Code).Cumulative() || r.Value.Exp() == 0) {
			name, cdc = "CntVal", "BCR"
		}
	}
	b.ggio[name]++
	optional := attributes(r.Unit)
	if known && !si.same && !converted {
		optional = []string{"d"}
	}
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
	p := point{object: o}
	if converted {
		p.scale = si
	}
	return p, describe(o, key.name, si.code, r.Unit)
}

// gather puts the objects that are new into the data sets, of a device of that name.
func (b *builder) gather(domain string) {
	for _, n := range b.list {
		for _, o := range n.Objects {
			set, fc := "Counters", iec61850.ST
			switch {
			case b.listed[o]:
				continue
			case o.Name == "Beh", o.CDC == "ASG":
				set = ""
			case o.CDC == "MV" || o.CDC == "WYE" || o.CDC == "DEL" || o.CDC == "HMV" || o.CDC == "HWYE":
				set, fc = "Measurements", iec61850.MX
			}
			if b.listed[o] = true; set == "" {
				continue
			}
			if b.sets[set] == nil {
				b.sets[set] = &iec61850.DataSet{Name: set}
			}
			b.sets[set].Members = append(b.sets[set].Members, iec61850.Ref{Device: domain, Item: n.Name + "$" + fc.String() + "$" + o.Name})
		}
	}
}

// reports gives LLN0 the data sets and the report control blocks.
func (b *builder) reports(lln0 *iec61850.Node, revision uint32) {
	const all = iec61850.DataChange | iec61850.QualityChange | iec61850.DataUpdate | iec61850.Integrity | iec61850.GeneralInterrogation
	const options = iec61850.SequenceNumber | iec61850.ReportTime | iec61850.ReasonForInclusion | iec61850.DataSetName | iec61850.EntryID |
		iec61850.BufferOverflow | iec61850.ConfRevision
	for _, name := range slices.Sorted(maps.Keys(b.sets)) {
		lln0.DataSets = append(lln0.DataSets, b.sets[name])
		for prefix, buffered := range map[string]bool{"urcb": false, "brcb": true} {
			lln0.Reports = append(lln0.Reports, &iec61850.Report{Name: prefix + name, DataSet: name, Buffered: buffered, ConfRev: revision,
				Options: options, Triggers: all, Instances: b.d.opts.Clients})
		}
	}
	slices.SortFunc(lln0.Reports, func(a, b *iec61850.Report) int { return cmp.Compare(a.Name, b.Name) })
}
