package ied

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Update sets the values, qualities and times of readings in the model that is
// served. Readings that the device was not made with are not carried.
func (d *Device) Update(readings []obis.Reading) (lost []mapping.Loss) {
	keys := keysOf(readings)
	_ = d.Model.Update(func(u *iec61850.Update) error {
		for i := range readings {
			at, ok := d.index[keys[i]]
			if !ok {
				lost = append(lost, mapping.Loss{Index: i, Flags: readings[i].Quality.Flags, Reason: "the device has no object for it"})
				continue
			}
			if loss := d.set(u, d.points[at], &readings[i]); loss.Reason != "" || loss.Flags != 0 {
				loss.Index = i
				lost = append(lost, loss)
			}
		}
		return nil
	})
	return lost
}

// set sets one object.
func (d *Device) set(u *iec61850.Update, p point, r *obis.Reading) (loss mapping.Loss) {
	q, flags := quality(r)
	loss.Flags = flags
	if r.Value.IsNone() {
		q = q&^iec61850.Questionable | iec61850.Invalid
	} else if err := setValue(u, p, r.Value); err != nil {
		loss.Reason = err.Error()
		if err != errPrecision {
			q = q&^iec61850.Questionable | iec61850.Invalid
		}
	}
	if err := u.Set(p.object.Attribute("q", 0), q.Value()); err != nil {
		loss.Reason = err.Error()
	}
	if err := u.Set(p.object.Attribute("t", 0), d.stamp(r).Value()); err != nil {
		loss.Reason = err.Error()
	}
	return loss
}

type valueError string

func (e valueError) Error() string { return string(e) }

// errPrecision says that the value stands, rounded.
const errPrecision = valueError("digits beyond single precision")

func setValue(u *iec61850.Update, p point, v obis.Value) error {
	o := p.object
	switch o.CDC {
	case "BCR":
		mantissa, exp, ok := v.Decimal()
		if !ok {
			return valueError(fmt.Sprintf("%v is no decimal number", v.Kind()))
		}
		if err := u.Set(o.Attribute("pulsQty", 0), iec61850.Float32(power(exp))); err != nil {
			return err
		}
		return u.Set(o.Attribute("actVal", 0), iec61850.Int(mantissa))
	case "MV", "CMV":
		f, _ := v.Float64()
		if !number(v) {
			return valueError(fmt.Sprintf("%v is no number", v.Kind()))
		}
		if p.reverse {
			f = -f
		}
		mag := o.Attribute("mag", 0)
		if o.CDC == "CMV" {
			mag = o.Attribute("cVal", 0).Child("mag")
		}
		if err := u.Set(mag.Child("f"), iec61850.Float32(float32(f))); err != nil {
			return err
		}
		return precise(v, float32(math.Abs(f)))
	case "SPS":
		n, ok := v.Enum()
		if !ok {
			return valueError(fmt.Sprintf("%v is no truth value", v.Kind()))
		}
		return u.Set(o.Attribute("stVal", 0), iec61850.Bool(n != 0))
	}
	text := v.String()
	if err := u.Set(o.Attribute("stVal", 0), iec61850.Visible(visible(text))); err != nil {
		return err
	}
	if visible(text) != text {
		return valueError("characters beyond visible strings")
	}
	return nil
}

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

// stamp returns the time of a reading.
func (d *Device) stamp(r *obis.Reading) iec61850.Timestamp {
	at, ok := r.Time.Instant(d.opts.Clock)
	if !ok {
		return iec61850.NewTimestamp(d.opts.Received, iec61850.ClockNotSynchronized)
	}
	q := iec61850.TimeQuality(0) // no bit of the fraction means anything
	switch status := r.Time.Status; {
	case status == obis.TimeUnspecified:
	case status&(obis.TimeInvalid|obis.TimeBadStatus) != 0:
		q |= iec61850.ClockFailure
	case status&(obis.TimeDoubtful|obis.TimeDifferentBase) != 0:
		q |= iec61850.ClockNotSynchronized
	}
	if r.Quality.Flags&obis.ClockInvalid != 0 {
		q |= iec61850.ClockFailure
	}
	return iec61850.NewTimestamp(at, q)
}
