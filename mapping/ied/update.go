package ied

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Update sets the values, qualities and times of readings in the model that is
// served. Readings that have no time themselves have that at which they were
// received, marked as not synchronized; the zero time leaves them without one.
// Readings that the device was not made with are not carried.
func (d *Device) Update(readings []obis.Reading, received time.Time) (lost []mapping.Loss) {
	keys := keysOf(readings, map[string]int{})
	d.learn(readings)
	d.received = received
	d.updates++
	_ = d.Model.Update(func(model *iec61850.Update) error {
		u := &update{Update: model, d: d, shared: map[*iec61850.Object]*shared{}}
		for _, frozen := range []bool{false, true} { // a frozen value has the scale of the current one
			for i := range readings {
				at, ok := d.index[keys[i]]
				if ok && d.points[at].frozen != frozen || !ok && frozen {
					continue
				}
				loss := mapping.Loss{Flags: readings[i].Quality.Flags, Reason: "the device has no object for it"}
				if ok {
					loss = u.set(d.points[at], &readings[i], i)
				}
				if loss.Index = i; loss.Reason != "" || loss.Flags != 0 {
					lost = append(lost, loss)
				}
			}
		}
		for _, s := range d.sums {
			u.sum(s, readings, keys)
		}
		for _, n := range d.nets {
			if i, ok := u.balance(n, readings, keys); !ok {
				lost = append(lost, mapping.Loss{Index: i, Reason: "import and export are not of one time, their difference is not shown"})
			}
		}
		for _, s := range u.shared {
			for _, i := range s.readings {
				if s.differ {
					lost = append(lost, mapping.Loss{Index: i, Reason: s.what + " share quality and time"})
				}
			}
		}
		return nil
	})
	slices.SortStableFunc(lost, func(a, b mapping.Loss) int { return cmp.Compare(a.Index, b.Index) })
	return (&mapping.Data{Readings: readings}).Gather(lost)
}

// update sets objects within one update of the model.
type update struct {
	*iec61850.Update
	d      *Device
	shared map[*iec61850.Object]*shared
}

// Set sets a value in the device.
func (u *update) Set(a *iec61850.Attribute, v iec61850.Value) error { return u.SetIn(u.d.device, a, v) }

// get returns a value of the device.
func (u *update) get(a *iec61850.Attribute) iec61850.Value { return u.d.device.Get(a) }

// shared is the one stamp of an object that shows several readings.
type shared struct {
	stamp
	what     string
	readings []int
	differ   bool
}

// stamp is the quality and the time of an object.
type stamp struct {
	q iec61850.Quality
	t iec61850.Timestamp
}

// set sets what one reading has to say.
func (u *update) set(p point, r *obis.Reading, i int) (loss mapping.Loss) {
	q, flags := quality(r)
	loss.Flags = flags
	if r.Value.IsNone() {
		q = q&^iec61850.Questionable | iec61850.Invalid
	}
	err := u.value(p, r.Value)
	if err != nil {
		loss.Reason = err.Error()
		if _, still := err.(note); !still {
			q = q&^iec61850.Questionable | iec61850.Invalid
		}
	}
	at := u.d.stamp(r)
	if p.frozen {
		at = u.d.frozenAt(r)
	}
	if err := u.stamp(p, r, i, stamp{q, at}); err != nil && loss.Reason == "" {
		loss.Reason = err.Error()
	}
	if _, ok := r.Time.Instant(u.d.opts.Clock); !ok && !r.Time.IsZero() {
		also(&loss, "its time, which is no instant")
	}
	if !r.Start.IsZero() {
		also(&loss, "the start of its interval")
	}
	return loss
}

// also adds a reason to a loss.
func also(loss *mapping.Loss, reason string) {
	loss.Reason = strings.TrimPrefix(loss.Reason+"; "+reason, "; ")
}

// stamp sets the quality and the time of an object.
func (u *update) stamp(p point, r *obis.Reading, i int, s stamp) error {
	o := p.object
	switch {
	case p.frozen:
		if s.q != iec61850.Good || r.Value.IsNone() {
			return note("the quality of a frozen value")
		}
		return u.Set(o.Attribute("frTm", 0), s.t.Value())
	case o.Attribute("q", 0) == nil:
		if s.q != iec61850.Good || !r.Time.IsZero() {
			return note("a setting has neither quality nor time")
		}
		return nil
	case p.array != nil:
		s = u.share(o, "harmonics", i, s)
	case p.shares:
		s = u.share(o, "magnitude and angle", i, s)
	}
	return u.setStamp(o, s)
}

// share returns the stamp of an object whose readings may differ: the worst quality and the latest time.
func (u *update) share(o *iec61850.Object, what string, i int, s stamp) stamp {
	all := u.shared[o]
	if all == nil {
		all = &shared{stamp: s, what: what}
		u.shared[o] = all
	}
	all.readings = append(all.readings, i)
	if all.stamp == s {
		return s
	}
	all.differ = true
	all.q = worse(all.q, s.q)
	if s.t.Time().After(all.t.Time()) {
		all.t = s.t
	}
	return all.stamp
}

// worse returns a quality that is as bad as both.
func worse(a, b iec61850.Quality) iec61850.Quality {
	if a.Validity() == iec61850.Invalid || b.Validity() == iec61850.Invalid {
		return (a|b)&^iec61850.Questionable | iec61850.Invalid
	}
	return a | b
}

func (u *update) setStamp(o *iec61850.Object, s stamp) error {
	if err := u.Set(o.Attribute("q", 0), s.q.Value()); err != nil {
		return err
	}
	return u.Set(o.Attribute("t", 0), s.t.Value())
}

// sum sets an object that tells whether any of several readings is not zero.
func (u *update) sum(s *summary, readings []obis.Reading, keys []id) {
	all, any := stamp{}, false
	for i := range readings {
		r := &readings[i]
		if !s.rule.Match(r.Code) {
			continue
		}
		q, _ := quality(r)
		at := u.d.stamp(r)
		if q != iec61850.Good && (all.q.Validity() == iec61850.Good || q.Validity() == iec61850.Invalid) {
			all.q = q
		}
		if at.Time().After(all.t.Time()) {
			all.t = at
		}
		any, s.set[keys[i]] = true, !zero(r.Value)
	}
	if !any {
		return
	}
	set := false
	for _, one := range s.set {
		set = set || one
	}
	_ = u.Set(s.object.Attribute("stVal", 0), iec61850.Bool(set)) // of the class SPS, as the quality and the time
	_ = u.setStamp(s.object, all)
}

// zero reports whether no bit of a register is set.
func zero(v obis.Value) bool {
	if raw, _, ok := v.Bits(); ok {
		return !slices.ContainsFunc(raw, func(b byte) bool { return b != 0 })
	}
	if raw, ok := v.Bytes(); ok {
		return !slices.ContainsFunc(raw, func(b byte) bool { return b != 0 && b != '0' })
	}
	if n, ok := v.Enum(); ok {
		return n == 0
	}
	if f, _ := v.Float64(); f != 0 {
		return v.IsNone()
	}
	return true
}

type valueError string

func (e valueError) Error() string { return string(e) }

// note is what an object does not show of a value that stands all the same.
type note string

func (n note) Error() string { return string(n) }

// value sets the value of an object. Where there is none, an object keeps what
// it has, which its quality calls invalid.
func (u *update) value(p point, v obis.Value) error {
	o := p.object
	switch {
	case p.array != nil:
		return u.element(p, v)
	case p.angle:
		return u.angle(o, v)
	case v.IsNone():
		return nil
	}
	switch o.CDC {
	case "BCR":
		if p.frozen {
			return u.counter(o, "frVal", "actVal", v)
		}
		return u.counter(o, "actVal", "frVal", v)
	case "MV", "CMV", "ASG":
		f, _ := v.Float64()
		if !number(v) {
			return valueError(fmt.Sprintf("%v is no number", v.Kind()))
		}
		if p.reverse {
			f = 0 - f // no negative zero
		}
		if p.scale.div != 0 {
			f = f * float64(p.scale.mul) / float64(p.scale.div)
		}
		if err := u.Set(magnitude(o).Child("f"), iec61850.Float32(float32(f))); err != nil || p.scale.div != 0 {
			return err
		}
		return precise(v, float32(math.Abs(f)))
	case "SPS":
		n, ok := v.Enum()
		if !ok {
			return valueError(fmt.Sprintf("%v is no truth value", v.Kind()))
		}
		return u.Set(o.Attribute("stVal", 0), iec61850.Bool(n != 0))
	case "INS":
		n, ok := v.Enum()
		if !ok {
			return valueError(fmt.Sprintf("%v is no enumeration", v.Kind()))
		}
		return u.Set(o.Attribute("stVal", 0), iec61850.Int(n))
	case "DPC":
		return u.position(o, v)
	}
	return u.text(o, v)
}

// angle sets the angle of a vector.
func (u *update) angle(o *iec61850.Object, v obis.Value) error {
	f := float32(math.NaN())
	if !v.IsNone() {
		if !number(v) {
			return valueError(fmt.Sprintf("%v is no number", v.Kind()))
		}
		wide, _ := v.Float64()
		f = float32(wide)
	}
	if err := u.Set(o.Attribute("cVal", 0).Child("ang").Child("f"), iec61850.Float32(f)); err != nil || v.IsNone() {
		return err
	}
	return precise(v, float32(math.Abs(float64(f))))
}

// magnitude returns the attribute in which a measured or set value is.
func magnitude(o *iec61850.Object) *iec61850.Attribute {
	switch o.CDC {
	case "CMV":
		return o.Attribute("cVal", 0).Child("mag")
	case "ASG":
		return o.Attribute("setMag", 0)
	}
	return o.Attribute("mag", 0)
}

// counter sets one of the two values of a counter, of which the other has the
// same power of ten.
func (u *update) counter(o *iec61850.Object, name, other string, v obis.Value) error {
	mantissa, exp, ok := v.Decimal()
	if !ok {
		return valueError(fmt.Sprintf("%v is no decimal number", v.Kind()))
	}
	if second := o.Attribute(other, 0); second != nil {
		n, _ := u.get(second).Int()
		scale, ok := exponent(u.get(o.Attribute("pulsQty", 0)))
		if !ok {
			scale = exp
		}
		exp = min(exp, scale)
		mine, fits := v.Rescale(exp)
		theirs, both := obis.Int(n, scale).Rescale(exp)
		if !fits || !both {
			return valueError("current and frozen value have no scale in common")
		}
		mantissa, _, _ = mine.Decimal()
		n, _, _ = theirs.Decimal()
		if err := u.Set(second, iec61850.Int(n)); err != nil {
			return err
		}
	}
	if err := u.Set(o.Attribute("pulsQty", 0), iec61850.Float32(power(exp))); err != nil {
		return err
	}
	return u.Set(o.Attribute(name, 0), iec61850.Int(mantissa))
}

// exponent returns the power of ten of a pulse of a counter, not ok before it has a value.
func exponent(quantity iec61850.Value) (int8, bool) {
	f, _ := quantity.Float()
	if f <= 0 {
		return 0, false
	}
	return int8(math.Round(math.Log10(f))), true
}

// element sets an element of an array of harmonics.
func (u *update) element(p point, v obis.Value) error {
	f := float32(math.NaN())
	if !v.IsNone() {
		if !number(v) {
			return valueError(fmt.Sprintf("%v is no number", v.Kind()))
		}
		wide, _ := v.Float64()
		f = float32(wide)
	}
	array := u.get(p.array)
	elements := make([]iec61850.Value, array.Len())
	for i := range elements {
		elements[i] = array.At(i)
	}
	elements[p.element] = harmonic(f)
	if err := u.Set(p.array, iec61850.ArrayOf(elements...)); err != nil || v.IsNone() {
		return err
	}
	return precise(v, float32(math.Abs(float64(f))))
}

// The positions of a switch.
const (
	off = 1
	on  = 2
)

// position sets the position of a switch: a truth value, or a control state.
func (u *update) position(o *iec61850.Object, v obis.Value) error {
	n, ok := state(v)
	if v.Kind() == obis.KindBool {
		n, ok = v.Enum()
	}
	if !ok {
		return valueError(fmt.Sprintf("%v is no position", v))
	}
	at := uint64(off)
	if n == 1 {
		at = on
	}
	if err := u.Set(o.Attribute("stVal", 0), iec61850.Bits(at, 2)); err != nil {
		return err
	}
	if n > 1 {
		return note("ready for reconnection is shown as off")
	}
	return nil
}

// text sets an object to the text of a value.
func (u *update) text(o *iec61850.Object, v obis.Value) error {
	text := v.String()
	if err := u.Set(o.Attribute("stVal", 0), iec61850.Visible(visible(text))); err != nil {
		return err
	}
	switch back := parseText(o.Name, visible(text)); {
	case visible(text) != text:
		return note("characters beyond visible strings")
	case !back.Equal(v):
		return note(fmt.Sprintf("of %v the text %s", v.Kind(), text))
	}
	return nil
}

// errPrecision says that the value stands, rounded.
const errPrecision = note("digits beyond single precision")

// power returns 10^exp in single precision.
func power(exp int8) float32 {
	f, _ := strconv.ParseFloat("1e"+strconv.Itoa(int(exp)), 32)
	return float32(f)
}

// precise reports whether the shortest decimal that f stands for is the value.
func precise(v obis.Value, f float32) error {
	if _, _, ok := v.FloatBits(); ok {
		if _, width, _ := v.FloatBits(); width == 32 && v.Exp() == 0 {
			return nil
		}
	}
	back, ok := obis.ParseNumber(strconv.AppendFloat(nil, float64(f), 'f', -1, 32))
	have := v
	if m, exp, decimal := v.Decimal(); decimal && m < 0 {
		have = obis.Int(-m, exp)
	}
	if !ok || !back.Equal(have) {
		return errPrecision
	}
	return nil
}

// quality returns the quality and the flags that it cannot express.
func quality(r *obis.Reading) (iec61850.Quality, obis.Flags) {
	raw, lost := r.Quality.Status(obis.StatusIEC61850)
	// The status word has bit 0 of the bit string lowest, the model has it highest.
	q := iec61850.Quality(bits.Reverse16(uint16(raw)) >> (16 - iec61850.QualityBits))
	switch r.Quality.Validity() {
	case obis.Good:
	case obis.Doubtful:
		if q.Validity() == iec61850.Good {
			q |= iec61850.Questionable
		}
	default:
		q = q&^iec61850.Questionable | iec61850.Invalid
	}
	return q, lost &^ (obis.ClockInvalid | obis.DST | obis.Derived | obis.Validated)
}

// stamp returns the time of a reading or, marked, when it was received.
func (d *Device) stamp(r *obis.Reading) iec61850.Timestamp {
	if s, ok := d.meterStamp(r.Time, r.Quality.Flags); ok {
		return s
	}
	return iec61850.NewTimestamp(d.received, iec61850.ClockNotSynchronized)
}

// frozenAt returns when the meter froze a value: by its own time or by that at which
// its billing period ended. It is never when the value was received.
func (d *Device) frozenAt(r *obis.Reading) iec61850.Timestamp {
	if s, ok := d.meterStamp(d.periodEnd(r), r.Quality.Flags); ok {
		return s
	}
	return iec61850.NewTimestamp(time.Time{}, iec61850.ClockFailure)
}

// meterStamp returns a time by the meter's clock.
func (d *Device) meterStamp(t obis.Time, flags obis.Flags) (iec61850.Timestamp, bool) {
	at, ok := t.Instant(d.opts.Clock)
	if !ok {
		return iec61850.Timestamp{}, false
	}
	q := iec61850.TimeQuality(0) // no bit of the fraction means anything
	switch status := t.Status; {
	case status == obis.TimeUnspecified:
	case status&(obis.TimeInvalid|obis.TimeBadStatus) != 0:
		q |= iec61850.ClockFailure
	case status&(obis.TimeDoubtful|obis.TimeDifferentBase) != 0:
		q |= iec61850.ClockNotSynchronized
	}
	if flags&obis.ClockInvalid != 0 {
		q |= iec61850.ClockFailure
	}
	return iec61850.NewTimestamp(at, q), true
}

// reset names the end of a billing period of a channel.
type reset struct{ channel, period byte }

// learn notes when billing periods ended (OBIS 0.1.2*n).
func (d *Device) learn(readings []obis.Reading) {
	for i := range readings {
		c := readings[i].Code
		if t, ok := readings[i].Value.Time(); ok && c[0] <= 1 && c[2] == 0 && c[3] == 1 && c[4] == 2 && c[5] != obis.FCurrent {
			if d.resets == nil {
				d.resets = map[reset]obis.Time{}
			}
			d.resets[reset{c[1], c[5]}] = t
		}
	}
}

// periodEnd returns the time of a reading of a billing period, or that at which the meter says that the period ended.
func (d *Device) periodEnd(r *obis.Reading) obis.Time {
	if _, ok := r.Time.Instant(d.opts.Clock); ok {
		return r.Time
	}
	for _, channel := range [...]byte{r.Code[1], 0} {
		if t, ok := d.resets[reset{channel, r.Code[5]}]; ok {
			return t
		}
	}
	return r.Time
}
