package ied

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Register is what of a reading decides where it goes.
type Register struct {
	Code   obis.Code `json:"code,omitzero"`
	RawID  []byte    `json:"raw,omitempty"`
	Unit   string    `json:"unit,omitempty"`
	Kind   string    `json:"kind"`
	Exp    int8      `json:"exp,omitempty"`    // of a decimal number
	State  bool      `json:"state,omitempty"`  // a number from 0 to 2
	Frozen bool      `json:"frozen,omitempty"` // the frozen value of a counter that came with it
}

// samples are values of each kind.
var samples = map[string]obis.Value{
	obis.KindUint.String(): obis.Uint(1<<63, 0), obis.KindFloat32.String(): obis.Float32(0, 0), obis.KindFloat64.String(): obis.Float64(0, 0),
	obis.KindBool.String(): obis.Bool(false), obis.KindBits.String(): obis.Bits([]byte{0}, 8), obis.KindOctets.String(): obis.Octets(nil),
	obis.KindText.String(): obis.Text(nil), obis.KindTime.String(): obis.Moment(obis.FromTime(time.Unix(0, 0).UTC())), obis.KindTree.String(): obis.Tree(nil),
}

// noState is a number that is no control state.
const noState = 9

// sample returns a reading that goes where those of the register do.
func (r *Register) sample() (x obis.Reading, err error) {
	x = obis.Reading{Code: r.Code, RawID: r.RawID, Rule: obis.RuleDeclared}
	known := r.Unit == ""
	if !known {
		x.Unit, known = obis.UnitByName(r.Unit)
	}
	n := int64(noState)
	if r.State {
		n = 0
	}
	switch r.Kind {
	case obis.KindInt.String():
		x.Value = obis.Int(n, r.Exp)
	case obis.KindEnum.String():
		x.Value = obis.Enum(n)
	default:
		x.Value = samples[r.Kind]
	}
	if !known || x.Value.IsNone() || !r.Code.Valid() && len(r.RawID) == 0 {
		return x, fmt.Errorf("ied: register %v %q: id, unit or kind", r.Code, r.RawID)
	}
	return x, nil
}

// Shape is a model that meters with the same registers share.
type Shape struct {
	batches [][]Register
	device  *Device
}

// placing is what the place of a reading does not show of it.
type placing struct {
	key    id
	reason string
}

// NewShape returns the shape of registers that became known together, one batch after the
// other: what a batch adds comes behind what there is, and makes another revision. Of the
// options, Clock and Received do not matter.
func NewShape(batches [][]Register, o *Options) (*Shape, error) {
	d := &Device{index: map[id]int{}}
	if o != nil {
		d.opts = *o
	}
	d.opts.defaults()
	d.opts.Received = time.Time{}
	dev := &iec61850.Device{Inst: inst}
	head, err := identity(time.Time{})
	if err != nil {
		return nil, err
	}
	s, b := &Shape{device: d}, newBuilder(d)
	for _, batch := range batches {
		readings := make([]obis.Reading, len(batch))
		for i := range batch {
			if readings[i], err = batch[i].sample(); err != nil {
				return nil, err
			}
		}
		from := len(d.points)
		frozen := func([]obis.Reading, []int) []bool {
			list := make([]bool, len(batch))
			for i := range batch {
				list[i] = batch[i].Frozen
			}
			return list
		}
		if err := b.place(readings, frozen); err != nil {
			return nil, err
		}
		for i, key := range b.keys {
			at, ok := d.index[key]
			if o := d.points[max(at, 0)].object; ok && at >= from && o.CDC == "BCR" && !batch[i].Frozen {
				if err := o.Attribute("pulsQty", 0).Init(iec61850.Float32(power(batch[i].Exp))); err != nil {
					return nil, err
				}
			}
		}
		for _, l := range b.lost {
			d.placed = append(d.placed, placing{b.keys[l.Index], l.Reason})
		}
		b.lost = nil
		b.gather("")
		s.batches = append(s.batches, slices.Clone(batch))
	}
	b.reports(head[0], uint32(len(batches)))
	if err := revision(head[0], len(batches)); err != nil {
		return nil, err
	}
	dev.Nodes = append(head, b.list...)
	for _, n := range b.list {
		if err := unknown(n.Objects); err != nil {
			return nil, err
		}
	}
	d.device = dev.Share(inst)
	return s, nil
}

// revision gives the name plate of LLN0 the revision of the model.
func revision(lln0 *iec61850.Node, n int) error {
	plate, err := iec61850.NewObject("NamPlt", "LPL", "ldNs", "configRev")
	if err != nil {
		return err
	}
	lln0.Objects[slices.IndexFunc(lln0.Objects, func(o *iec61850.Object) bool { return o.Name == plate.Name })] = plate
	if err := plate.Attribute("ldNs", 0).Init(iec61850.Visible(ldNs)); err != nil {
		return err
	}
	return plate.Attribute("configRev", 0).Init(iec61850.Visible(strconv.Itoa(n)))
}

// unknown calls objects invalid that have no value yet, and lets clients operate those that can be.
func unknown(list []*iec61850.Object) error {
	for _, o := range list {
		if err := unknown(o.Objects); err != nil {
			return err
		}
		if o.CDC == "DPC" {
			if err := o.AddControl(iec61850.DirectEnhanced); err != nil {
				return err
			}
		}
		if q := o.Attribute("q", 0); q != nil && o.Name != "Beh" {
			if err := q.Init(iec61850.Invalid.Value()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Batches returns the registers of the shape.
func (s *Shape) Batches() [][]Register { return s.batches }

// Registers returns what of readings decides where they go, of those that the shape does not
// have and that have a value. A nil Shape has none.
func (s *Shape) Registers(readings []obis.Reading, clock obis.Clock, rules *Rules) (list []Register) {
	d := &Device{opts: Options{Rules: rules, Clock: clock}}
	d.learn(readings)
	b := newBuilder(d)
	var fresh []obis.Reading
	for i, key := range keysOf(readings, map[string]int{}) {
		b.codes[readings[i].Code] = true
		if s != nil {
			if _, known := s.device.index[key]; known {
				continue
			}
		}
		if r := &readings[i]; !r.Value.IsNone() && (r.Code.Valid() || len(r.RawID) > 0) {
			fresh = append(fresh, *r)
		}
	}
	b.single = singlePhase(b.codes)
	found := make([]int, len(fresh))
	for i := range fresh {
		found[i] = b.find(&fresh[i])
	}
	frozen := b.frozen(fresh, found)
	for i := range fresh {
		x := &fresh[i]
		_, exp, _ := x.Value.Decimal()
		_, at := state(x.Value)
		r := Register{Code: x.Code, Kind: x.Value.Kind().String(), Exp: exp, State: at, Frozen: frozen[i]}
		if !x.Code.Valid() {
			r.RawID = slices.Clone(x.RawID)
		}
		if x.Unit != obis.UnitUnknown {
			r.Unit = x.Unit.String()
		}
		list = append(list, r)
	}
	// The order in which readings came does not matter, but of those with one id.
	slices.SortStableFunc(list, func(a, b Register) int {
		if a.Code.Valid() != b.Code.Valid() {
			return cmp.Compare(len(a.RawID), len(b.RawID))
		}
		return cmp.Or(a.Code.Compare(b.Code), bytes.Compare(a.RawID, b.RawID))
	})
	return list
}

// Sum is a check of where the registers went: other rules may give them other places.
func (s *Shape) Sum() string {
	sum := fnv.New64a()
	var object func(above string, o *iec61850.Object)
	object = func(above string, o *iec61850.Object) {
		above += "." + o.Name
		for _, sub := range o.Objects {
			object(above, sub)
		}
		for _, a := range o.Attributes {
			fmt.Fprintf(sum, "%s.%s %s %d\n", above, a.Name, a.Basic, a.Count)
		}
		for _, name := range [...]string{"d", "dU"} {
			if a := o.Attribute(name, iec61850.DC); a != nil {
				fmt.Fprintf(sum, "%s=%v\n", name, a.Get())
			}
		}
	}
	for _, n := range s.device.device.Nodes {
		for _, o := range n.Objects {
			if o.Name != "NamPlt" {
				object(n.Name, o)
			}
		}
	}
	return fmt.Sprintf("%016x", sum.Sum64())
}

// Key tells shapes apart: two of the same batches and options have the same.
func Key(batches [][]Register) string {
	var key strings.Builder
	for _, batch := range batches {
		for i := range batch {
			r := &batch[i]
			fmt.Fprintf(&key, "%s|%x|%s|%s|%t|%t|%t\n", r.Code, r.RawID, r.Unit, r.Kind, r.Exp == 0, r.State, r.Frozen)
		}
		key.WriteByte('\n')
	}
	return key.String()
}

// Device returns a meter of the shape, in a logical device of that instance, all of whose
// values are invalid.
func (s *Shape) Device(inst string) *Device {
	d := *s.device
	d.device = s.device.device.Share(inst)
	return &d
}

// Logical returns the logical device of a meter of a shape.
func (d *Device) Logical() *iec61850.Device { return d.device }

// Placed returns what the places of readings do not show of them: most of all, that no logical
// node has them and they stand in GGIO.
func (d *Device) Placed(readings []obis.Reading) (lost []mapping.Loss) {
	if len(d.placed) == 0 {
		return nil
	}
	at := map[id]int{}
	for i, key := range keysOf(readings, map[string]int{}) {
		at[key] = i
	}
	for _, p := range d.placed {
		if i, ok := at[p.key]; ok {
			lost = append(lost, mapping.Loss{Index: i, Reason: p.reason})
		}
	}
	return lost
}

// Change sets what is new among the readings of a site: all of them, in an order that only
// grows at its end, and the indexes of those that are new. It is called within an update
// of the model that is served. The losses are those of the readings that are new.
func (d *Device) Change(model *iec61850.Update, data *mapping.Data, received time.Time, set []int) (lost []mapping.Loss) {
	all := data.Readings
	d.bind(all)
	d.learn(all)
	d.opts.Clock, d.received = data.Clock, received
	if d.meter != data.Meter && name(d.device, data.Meter) == nil {
		d.meter = data.Meter
	}
	u := &update{Update: model, d: d, shared: map[*iec61850.Object]*shared{}}
	if !d.begun {
		d.begun = true
		u.begin()
	}
	var parts map[*iec61850.Object]bool // those of which other readings have a part
	for _, frozen := range []bool{false, true} {
		for _, i := range set {
			at := d.bound[i]
			if at == none && !frozen {
				lost = append(lost, mapping.Loss{Index: i, Flags: all[i].Quality.Flags, Reason: "the device has no object for it"})
			}
			if at == none || d.points[at].frozen != frozen {
				continue
			}
			p := d.points[at]
			loss := u.set(p, &all[i], i)
			if loss.Index = i; loss.Reason != "" || loss.Flags != 0 {
				lost = append(lost, loss)
			}
			if p.array != nil || p.shares {
				if parts == nil {
					parts = map[*iec61850.Object]bool{}
				}
				parts[p.object] = true
			}
		}
	}
	for i, at := range d.bound {
		if at == none || parts == nil || !parts[d.points[at].object] || d.points[at].frozen {
			continue
		}
		if _, fresh := slices.BinarySearch(set, i); !fresh {
			q, _ := quality(&all[i])
			_ = u.stamp(d.points[at], &all[i], i, stamp{q, u.d.stamp(&all[i])}) // set before
		}
	}
	for _, s := range d.sums {
		u.sumOf(s, all, set)
	}
	for n, pair := range d.pairs {
		lost = append(lost, u.net(d.nets[n], pair, all, set)...)
	}
	for _, s := range u.shared {
		for _, i := range s.readings {
			if s.differ {
				lost = append(lost, mapping.Loss{Index: i, Reason: s.what + " share quality and time"})
			}
		}
	}
	slices.SortStableFunc(lost, func(a, b mapping.Loss) int { return cmp.Compare(a.Index, b.Index) })
	return lost
}

// begin says since when the states of the device are as they are.
func (u *update) begin() {
	since := iec61850.NewTimestamp(u.d.received, iec61850.ClockNotSynchronized).Value()
	for _, n := range u.d.device.Nodes {
		for _, o := range n.Objects {
			switch o.Name {
			case "Mod", "Beh", "Health", "PhyHealth", "Proxy":
				if t := o.Attribute("t", iec61850.ST); t != nil {
					_ = u.Set(t, since) // of a type that fits
				}
			}
		}
	}
}

// bind finds the points of readings that are new in the list.
func (d *Device) bind(all []obis.Reading) {
	if len(d.bound) == len(all) {
		return
	}
	d.bound = slices.Grow(d.bound[:0], len(all))
	keys := keysOf(all, map[string]int{})
	for i, key := range keys {
		at, ok := d.index[key]
		if !ok || d.given && !sameUnit(d.points[at].object, all[i].Unit) {
			at = none
		}
		d.bound = append(d.bound, int32(at))
	}
	d.pairs = d.pairs[:0:0]
	for _, n := range d.nets {
		d.pairs = append(d.pairs, [2]int32{int32(slices.Index(keys, n.minuend.key)), int32(slices.Index(keys, n.subtrahend.key))})
	}
}

// sumOf sets an object that tells whether any of several readings is not zero, where one is new.
func (u *update) sumOf(s *summary, all []obis.Reading, set []int) {
	if !slices.ContainsFunc(set, func(i int) bool { return s.rule.Match(all[i].Code) }) {
		return
	}
	worst, any := stamp{}, false
	for i := range all {
		r := &all[i]
		if !s.rule.Match(r.Code) {
			continue
		}
		q, _ := quality(r)
		if q != iec61850.Good && (worst.q.Validity() == iec61850.Good || q.Validity() == iec61850.Invalid) {
			worst.q = q
		}
		if at := u.d.stamp(r); at.Time().After(worst.t.Time()) {
			worst.t = at
		}
		any = any || !zero(r.Value)
	}
	_ = u.Set(s.object.Attribute("stVal", 0), iec61850.Bool(any)) // of the class SPS, as the quality and the time
	_ = u.setStamp(s.object, worst)
}

// net sets the difference of two readings where one is new. Where the meter gives them no
// time they are of one as long as both are renewed.
func (u *update) net(n *balance, pair [2]int32, all []obis.Reading, set []int) []mapping.Loss {
	fresh := slices.ContainsFunc(set, func(i int) bool { return i == int(pair[0]) || i == int(pair[1]) })
	if !fresh || pair[0] < 0 || pair[1] < 0 {
		return nil
	}
	a, b := &all[pair[0]], &all[pair[1]]
	x, timed := a.Time.Instant(u.d.opts.Clock)
	y, other := b.Time.Instant(u.d.opts.Clock)
	together := timed == other && (!timed || x.Equal(y))
	qa, _ := quality(a)
	qb, _ := quality(b)
	s := stamp{worse(qa, qb), u.d.stamp(a)}
	if t := u.d.stamp(b); t.Time().After(s.t.Time()) {
		s.t = t
	}
	v, known := mapping.Difference(a.Value, b.Value)
	if known && together {
		known = !failed(u.value(point{object: n.object}, v))
	}
	if !known || !together {
		s.q = s.q&^iec61850.Questionable | iec61850.Invalid
	}
	_ = u.setStamp(n.object, s) // of a class that has both
	if together {
		return nil
	}
	return []mapping.Loss{{Index: int(pair[0]), Reason: "import and export are not of one time, their difference is not shown"}}
}

// errNoCode says that an object has no code by which a command could be given.
var errNoCode = errors.New("ied: no code stands for it")

// Commanded returns the code that an object of a model shows.
func Commanded(o *iec61850.Object) (obis.Code, error) {
	d := o.Attribute("d", iec61850.DC)
	if d == nil {
		return obis.Code{}, errNoCode
	}
	c, err := obis.ParseCode(d.Get().Text())
	return c, err
}
