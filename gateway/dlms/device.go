package dlms

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// device is a meter as a logical device.
type device struct {
	face *Face
	id   site.ID

	mu       sync.RWMutex
	gone     bool
	data     *mapping.Data // the newest; it does not change
	objects  []object      // they are only added, at the end
	byCode   map[obis.Code]int
	shown    []int32 // of each reading: its object, or one of the numbers below
	profiles []*profile
	lost     obis.Flags // of which it was told that they are not shown
}

// A reading without an object.
const (
	undecided = -1 // it had no value yet
	hidden    = -2 // it cannot be shown
)

// object is what shows a reading, or the column of a profile. Its class, unit and scaler
// stay, as clients read them once.
type object struct {
	code    obis.Code
	class   cosem.Class
	unit    obis.Unit
	scaler  int8
	reading int32 // -1 for none
}

var _ dlms.Device = (*device)(nil)

func (d *device) isThere() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return !d.gone
}

// name returns the logical device name.
func (d *device) name() string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.identity()
}

// identity returns who the meter is. d.mu is held.
func (d *device) identity() string {
	if d.data == nil {
		return string(d.id)
	}
	switch m := &d.data.Meter; {
	case m.ID != "":
		return m.ID
	case m.Serial != "":
		return m.Manufacturer + m.Serial
	}
	return string(d.id)
}

// change takes what is new. Losses are told of each kind of a reading once.
func (d *device) change(c site.Change) {
	var lost []mapping.Loss
	d.mu.Lock()
	d.gone = c.Data == nil
	if d.gone {
		d.data = nil
		d.unbind()
		d.mu.Unlock()
		return
	}
	if len(c.Data.Readings) < len(d.shown) {
		d.unbind() // another list than before
	}
	d.data = c.Data
	for i := len(d.shown); i < len(c.Data.Readings); i++ {
		d.shown = append(d.shown, undecided)
		lost = append(lost, d.bind(i)...)
	}
	for _, i := range c.Set {
		if d.shown[i] == undecided {
			lost = append(lost, d.bind(i)...)
		}
		if d.shown[i] < 0 {
			continue
		}
		// Invalid and missing values show as none, old ones as a failure.
		if flags := c.Data.Readings[i].Quality.Flags &^ (obis.Invalid | obis.Missing | obis.Old | d.lost); flags != 0 {
			d.lost |= flags
			lost = append(lost, mapping.Loss{Index: i, Flags: flags})
		}
	}
	d.mu.Unlock()
	d.learn(c.Data.Profiles)
	for i, e := range c.Data.Events {
		lost = append(lost, mapping.Loss{Part: mapping.Event, Index: i, Flags: e.Quality.Flags, Reason: "this target has no events"})
	}
	for _, l := range c.Data.Gather(lost) {
		if l.Part == mapping.Event {
			l = mapping.Loss{Part: l.Part, Reason: l.Reason}
		}
		d.face.warner.Say(fmt.Sprintf("%s: %v", d.id, l))
	}
}

// unbind takes the readings from the objects, which stay.
func (d *device) unbind() {
	d.shown = nil
	for i := range d.objects {
		d.objects[i].reading = -1
	}
}

// bind gives a reading the object of its code, where it can be shown. d.mu is held.
func (d *device) bind(i int) (lost []mapping.Loss) {
	r := &d.data.Readings[i]
	lose := func(reason string) { lost = append(lost, mapping.Loss{Index: i, Reason: reason}) }
	if !r.Code.Valid() {
		d.shown[i] = hidden
		lose("no OBIS code")
		return lost
	}
	n, known := d.byCode[r.Code]
	switch {
	case r.Code == clockName || r.Code == deviceName || r.Code == deviceID || r.Code == sapAssignment || known && d.objects[n].reading >= 0:
		d.shown[i] = hidden
		if known {
			lose("the code is there already")
		}
		return lost
	case !known && r.Value.IsNone():
		return nil // its first value says what it is
	case !known:
		n = d.add(objectOf(r))
	}
	o := &d.objects[n]
	o.reading, d.shown[i] = int32(i), int32(n)
	if r.Unit > lastUnit {
		lose("its unit " + r.Unit.String() + ", which DLMS does not have")
	}
	if !r.Time.IsZero() && o.class != cosem.ClassExtendedRegister && r.Value.Kind() != obis.KindTime {
		lose("its time") // the object has none
	}
	if !r.Start.IsZero() {
		lose("the start of its interval")
	}
	if _, _, ok := cosem.FromValue(r.Value); !ok {
		lose("a value of structure")
	}
	return lost
}

func (d *device) add(o object) int {
	d.objects = append(d.objects, o)
	d.byCode[o.code] = len(d.objects) - 1
	return len(d.objects) - 1
}

// objectOf returns an object for a reading that has a value.
func objectOf(r *obis.Reading) object {
	o := object{code: r.Code, class: cosem.ClassData, unit: r.Unit, reading: -1}
	if !isNumber(r.Value) || r.Unit == obis.UnitUnknown && r.Value.Exp() == 0 { // a register would claim a unit
		return o
	}
	o.class, o.scaler = cosem.ClassRegister, r.Value.Exp()
	if !r.Time.IsZero() {
		o.class = cosem.ClassExtendedRegister
	}
	return o
}

func isNumber(v obis.Value) bool {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64:
		return true
	}
	return false
}

// number returns a number with a scaler that was promised, as float64 where it needs another.
func number(v obis.Value, scaler int8) cosem.Data {
	if v.Exp() != scaler {
		if exact, ok := v.Rescale(scaler); ok {
			v = exact
		} else {
			f, _ := v.Float64()
			return cosem.Float64(math.Float64bits(f / math.Pow10(int(scaler))))
		}
	}
	data, _, _ := cosem.FromValue(v)
	return data
}

// scalerUnit returns the attribute of a register.
func (o *object) scalerUnit() cosem.Data {
	unit := o.unit
	if unit == obis.UnitUnknown || unit > lastUnit {
		unit = obis.OtherUnit
	}
	return cosem.ScalerUnit{Scaler: o.scaler, Unit: unit, Known: true}.Data()
}

// value returns the value of a reading.
func (o *object) value(r *obis.Reading) (cosem.Data, cosem.DataAccessResult) {
	switch {
	case r.Quality.Flags&obis.Old != 0:
		return cosem.Data{}, cosem.TemporaryFailure
	case r.Quality.Flags&(obis.Invalid|obis.Missing) != 0 || r.Value.IsNone():
		return cosem.Null(), cosem.Success
	case isNumber(r.Value) && (o.class == cosem.ClassData || r.Unit == o.unit):
		return number(r.Value, o.scaler), cosem.Success
	case o.class != cosem.ClassData: // no number any more, or in another unit
		return cosem.Data{}, cosem.OtherReason
	}
	d, _, ok := cosem.FromValue(r.Value)
	if !ok {
		return cosem.Data{}, cosem.OtherReason
	}
	return d, cosem.Success
}

// The rights of the attributes of an object, of which each class takes the first.
var (
	readOnly  = rights(cosem.AccessRead)
	writeable = rights(cosem.AccessReadWrite)
	ofProfile = func() []cosem.AttributeAccess {
		list := rights(cosem.AccessRead)
		list[1].Selectors = []int8{1, 2}
		return list
	}()
)

// rights returns access to eight attributes, with a mode for the second.
func rights(value cosem.AccessMode) []cosem.AttributeAccess {
	list := make([]cosem.AttributeAccess, 8)
	for i := range list {
		list[i] = cosem.AttributeAccess{Index: int8(i + 1), Mode: cosem.AccessRead}
	}
	list[1].Mode = value
	return list
}

// attributes returns how many attributes a class has here.
func attributes(c cosem.Class) int {
	switch c {
	case cosem.ClassRegister:
		return 3
	case cosem.ClassExtendedRegister:
		return 5
	case cosem.ClassProfileGeneric:
		return 8
	}
	return 2
}

// hides reports whether a client sees no more than name and clock.
func (d *device) hides(p *dlms.Partner) bool { return d.face.secured && !known(p) }

// Objects implements [dlms.Device].
func (d *device) Objects(p *dlms.Partner) []cosem.Object {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.gone {
		return nil
	}
	access := readOnly
	if d.face.commander != nil {
		access = writeable
	}
	list := make([]cosem.Object, 0, 3+len(d.objects)+len(d.profiles))
	list = append(list, cosem.Object{Class: cosem.ClassClock, Name: clockName, Attributes: access[:2]}, cosem.Object{Class: cosem.ClassData, Name: deviceName, Attributes: readOnly[:2]})
	if d.hides(p) {
		return list
	}
	list = append(list, cosem.Object{Class: cosem.ClassData, Name: deviceID, Attributes: readOnly[:2]})
	for i := range d.objects {
		o := &d.objects[i]
		list = append(list, cosem.Object{Class: o.class, Name: o.code, Attributes: access[:attributes(o.class)]})
	}
	for _, of := range d.profiles {
		list = append(list, cosem.Object{Class: cosem.ClassProfileGeneric, Version: 1, Name: of.code, Attributes: ofProfile})
	}
	return list
}

// Get implements [dlms.Device].
func (d *device) Get(p *dlms.Partner, a cosem.Attribute, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	if of := d.profile(p, a); of != nil {
		return d.getProfile(of, a.Index, s)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var own object
	switch a.Name {
	case clockName:
		own.class = cosem.ClassClock
	case deviceName, deviceID:
		own.class = cosem.ClassData
	default:
		n, known := d.byCode[a.Name]
		if !known {
			return cosem.Data{}, cosem.ObjectUndefined
		}
		own = d.objects[n]
	}
	switch {
	case d.gone:
		return cosem.Data{}, cosem.ObjectUnavailable
	case d.hides(p) && a.Name != clockName && a.Name != deviceName:
		return cosem.Data{}, cosem.ObjectUndefined
	case own.class != a.Class:
		return cosem.Data{}, cosem.ObjectClassInconsistent
	case a.Index < 1 || int(a.Index) > attributes(own.class):
		return cosem.Data{}, cosem.ObjectUndefined
	case s != nil:
		return cosem.Data{}, cosem.TypeUnmatched
	case a.Index == 1:
		return cosem.Name(a.Name), cosem.Success
	}
	switch a.Name {
	case clockName:
		return cosem.DateTime(obis.FromTime(d.now())), cosem.Success
	case deviceName:
		return cosem.OctetString([]byte(d.identity())), cosem.Success
	case deviceID:
		if serial := d.data.Meter.Serial; serial != "" {
			return cosem.OctetString([]byte(serial)), cosem.Success
		}
		return cosem.OctetString([]byte(d.identity())), cosem.Success
	}
	if a.Index == 3 {
		return own.scalerUnit(), cosem.Success
	}
	if own.reading < 0 { // of a column alone, or of a reading that does not come any more
		return cosem.Null(), cosem.Success
	}
	switch r := &d.data.Readings[own.reading]; {
	case a.Index == 2:
		return own.value(r)
	case a.Index == 5:
		return cosem.DateTime(r.Time), cosem.Success
	case r.Quality.Kind != obis.StatusNone:
		return cosem.Uint64(r.Quality.Raw), cosem.Success
	}
	return cosem.Null(), cosem.Success
}

// now returns the time in the meter's zone. d.mu is held.
func (d *device) now() time.Time {
	if zone := d.data.Clock.Zone; zone != nil {
		return time.Now().In(zone)
	}
	return time.Now()
}

// Set implements [dlms.Device].
func (d *device) Set(p *dlms.Partner, a cosem.Attribute, s *cosem.Selection, data cosem.Data) cosem.DataAccessResult {
	cmd, refused := d.command(p, a, data)
	switch {
	case refused != cosem.Success:
		return refused
	case s != nil:
		return cosem.TypeUnmatched
	}
	_, err := site.Do(p.Context(), d.face.commander, cmd)
	return resultOf(err)
}

// command returns the command of a set.
func (d *device) command(p *dlms.Partner, a cosem.Attribute, data cosem.Data) (site.Command, cosem.DataAccessResult) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	cmd := site.Command{Meter: d.id, Actor: d.face.actor(p), Code: a.Name}
	switch n, shown := d.byCode[a.Name]; {
	case d.gone:
		return cmd, cosem.ObjectUnavailable
	case d.hides(p):
		return cmd, cosem.ReadWriteDenied
	case a.Class == 0 || a.Index == 0 || !a.Name.Valid(): // of a command these mean something else
		return cmd, cosem.ObjectUndefined
	case a.Name == clockName && a.Class == cosem.ClassClock && a.Index == 2:
		t, _ := data.Time()
		at, ok := t.Instant(d.data.Clock)
		if !ok {
			return cmd, cosem.TypeUnmatched
		}
		cmd.Value = obis.Moment(obis.FromTime(at))
		return cmd, cosem.Success
	case a.Name == deviceName || a.Name == deviceID:
		return cmd, cosem.ReadWriteDenied
	case shown && d.objects[n].class == a.Class:
		if a.Index != 2 {
			return cmd, cosem.ReadWriteDenied // the face's own
		}
		o := &d.objects[n]
		v := data.Value().Clone()
		scaled, ok := v.Shift(int(o.scaler))
		if o.class != cosem.ClassData && !isNumber(v) || !ok || v.IsNone() {
			return cmd, cosem.TypeUnmatched
		}
		if v.Kind() != obis.KindTree {
			cmd.Value, cmd.Unit = scaled, o.unit
			return cmd, cosem.Success
		}
	}
	cmd.Class, cmd.Attribute, cmd.Payload = uint16(a.Class), a.Index, append([]byte(nil), data.Binary()...)
	return cmd, cosem.Success
}

// Action implements [dlms.Device].
func (d *device) Action(p *dlms.Partner, m cosem.Method, parameters *cosem.Data) (*cosem.Data, cosem.ActionResult) {
	if !d.isThere() {
		return nil, cosem.ActionResult(cosem.ObjectUnavailable)
	}
	if d.hides(p) {
		return nil, cosem.ActionResult(cosem.ReadWriteDenied)
	}
	if m.Class == 0 || m.Index == 0 || !m.Name.Valid() { // of a command these mean something else
		return nil, cosem.ActionResult(cosem.ObjectUndefined)
	}
	cmd := site.Command{Meter: d.id, Actor: d.face.actor(p), Code: m.Name, Class: uint16(m.Class), Method: m.Index}
	cmd.Payload = []byte{0} // null-data
	if parameters != nil {
		cmd.Payload = append(cmd.Payload[:0], parameters.Binary()...)
	}
	if m.Class == cosem.ClassDisconnectControl && (m.Index == 1 || m.Index == 2) {
		cmd.Value = obis.Enum(int64(m.Index) - 1) // for those who decide by the value
	}
	answer, err := site.Do(p.Context(), d.face.commander, cmd)
	if err != nil {
		return nil, cosem.ActionResult(resultOf(err))
	}
	if len(answer.Payload) == 0 {
		return nil, 0
	}
	data, n, err := cosem.ParseData(answer.Payload)
	if err != nil || n != len(answer.Payload) {
		return nil, cosem.ActionResult(cosem.OtherReason) // it was done; what was returned is no A-XDR
	}
	return &data, 0
}

// resultOf returns how a command is refused.
func resultOf(err error) cosem.DataAccessResult {
	var access cosem.DataAccessResult
	var action cosem.ActionResult
	switch {
	case err == nil:
		return cosem.Success
	case errors.As(err, &access):
		return access
	case errors.As(err, &action):
		return cosem.DataAccessResult(action)
	case errors.Is(err, site.ErrPolicy):
		return cosem.ReadWriteDenied
	case errors.Is(err, site.ErrUnknown), errors.Is(err, dlms.ErrNoObject):
		return cosem.ObjectUndefined
	case errors.Is(err, dlms.ErrValue):
		return cosem.TypeUnmatched
	case errors.Is(err, site.ErrSelected), errors.Is(err, site.ErrNotSelected):
		return cosem.TemporaryFailure
	}
	return cosem.OtherReason
}
