package dlms

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/obis"
)

// Errors of values that cannot be written.
var (
	ErrNoObject = errors.New("the meter has no object of that name whose value can be set")
	ErrValue    = errors.New("the value does not fit the attribute")
)

// SetValue sets what is behind a name: the time of a clock, 1 and 0 to connect and
// disconnect a breaker (Disconnect control), the normal threshold of a Limiter in the
// unit of what it watches, and the value of Data and of registers, numbers in their
// unit without prefix. The value must fit the type that the meter has now, exactly. With
// dry nothing is written: it is only seen whether it could be.
func (c *Client) SetValue(ctx context.Context, name obis.Code, v obis.Value, dry bool) error {
	objects, err := c.Objects(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(objects, func(o cosem.Object) bool { return o.Name == name })
	if i < 0 {
		return fmt.Errorf("dlms: %v: %w", name, ErrNoObject)
	}
	o := objects[i]
	switch o.Class {
	case cosem.ClassClock:
		return c.setTime(ctx, v, dry)
	case cosem.ClassDisconnectControl:
		return c.switchBreaker(ctx, o, v, dry)
	case cosem.ClassLimiter:
		return c.setThreshold(ctx, o, v, dry)
	case cosem.ClassData:
		return c.setLike(ctx, o.Attribute(2), v, 0, dry)
	case cosem.ClassRegister, cosem.ClassExtendedRegister:
		scaler, err := c.scaler(ctx, o.Attribute(3))
		if err != nil {
			return err
		}
		return c.setLike(ctx, o.Attribute(2), v, scaler, dry)
	}
	return fmt.Errorf("dlms: %v %v: %w", o.Class, name, ErrNoObject)
}

func (c *Client) setTime(ctx context.Context, v obis.Value, dry bool) error {
	t, ok := v.Time()
	at, known := t.Instant(obis.Clock{})
	if !ok || !known {
		return fmt.Errorf("dlms: clock: %w: %v is no time with a zone", ErrValue, v)
	}
	if dry {
		return nil
	}
	return c.SetClock(ctx, at)
}

func (c *Client) switchBreaker(ctx context.Context, o cosem.Object, v obis.Value, dry bool) error {
	n, ok := v.Enum()
	if m, exp, number := v.Decimal(); number && exp == 0 {
		n, ok = m, true
	}
	if !ok || n < 0 || n > 1 {
		return fmt.Errorf("dlms: %v: %w: %v is neither 1 to connect nor 0 to disconnect", o.Name, ErrValue, v)
	}
	if dry {
		return nil
	}
	parameters := cosem.Int8(0)
	_, err := c.Action(ctx, o.Method(int8(1+n)), &parameters)
	return err
}

// setThreshold sets the normal threshold of a limiter, which has the type and the scaler of
// the attribute that it watches.
func (c *Client) setThreshold(ctx context.Context, o cosem.Object, v obis.Value, dry bool) error {
	watched, err := c.Get(ctx, o.Attribute(2), nil)
	if err != nil {
		return err
	}
	class, ok1 := watched.At(0).Uint()
	name, ok2 := watched.At(1).Code()
	var scaler int8
	if ok1 && ok2 && (cosem.Class(class) == cosem.ClassRegister || cosem.Class(class) == cosem.ClassExtendedRegister || cosem.Class(class) == cosem.ClassDemandRegister) {
		index := int8(3)
		if cosem.Class(class) == cosem.ClassDemandRegister {
			index = 4
		}
		if scaler, err = c.scaler(ctx, cosem.Attribute{Class: cosem.Class(class), Name: name, Index: index}); err != nil {
			return err
		}
	}
	return c.setLike(ctx, o.Attribute(4), v, scaler, dry)
}

func (c *Client) scaler(ctx context.Context, a cosem.Attribute) (int8, error) {
	d, err := c.Get(ctx, a, nil)
	if err != nil {
		return 0, err
	}
	s, ok := cosem.ParseScalerUnit(d)
	if !ok {
		return 0, fmt.Errorf("dlms: %v: %w: no scaler", a, ErrValue)
	}
	return s.Scaler, nil
}

// setLike writes a value in the type that the attribute has.
func (c *Client) setLike(ctx context.Context, a cosem.Attribute, v obis.Value, scaler int8, dry bool) error {
	now, err := c.Get(ctx, a, nil)
	if err != nil {
		return err
	}
	d, err := like(now.Tag(), v, scaler)
	if err != nil || dry {
		return err
	}
	return c.Set(ctx, a, nil, d)
}

// like returns a value in a type of A-XDR.
func like(tag cosem.Tag, v obis.Value, scaler int8) (cosem.Data, error) {
	refused := fmt.Errorf("dlms: %w: %v as %v with scaler %d", ErrValue, v, tag, scaler)
	if b, ok := v.Bytes(); ok {
		switch tag {
		case cosem.TagOctetString:
			return cosem.OctetString(b), nil
		case cosem.TagVisibleString:
			return cosem.VisibleString(string(b)), nil
		case cosem.TagUTF8String:
			return cosem.UTF8String(string(b)), nil
		}
		return cosem.Data{}, refused
	}
	if raw, n, ok := v.Bits(); ok && tag == cosem.TagBitString {
		return cosem.BitString(raw, n), nil
	}
	if t, ok := v.Time(); ok {
		switch tag {
		case cosem.TagOctetString:
			return cosem.DateTime(t), nil
		case cosem.TagDateTime:
			return cosem.DateTimeTagged(t), nil
		}
		return cosem.Data{}, refused
	}
	m, whole := v.Enum()
	if !whole {
		scaled, ok := v.Rescale(scaler)
		if m, _, whole = scaled.Decimal(); !ok || !whole {
			return cosem.Data{}, refused
		}
	}
	within := func(lowest, highest int64) bool { return lowest <= m && m <= highest }
	switch {
	case tag == cosem.TagBoolean && within(0, 1):
		return cosem.Bool(m == 1), nil
	case tag == cosem.TagEnum && within(0, math.MaxUint8):
		return cosem.Enum(uint8(m)), nil
	case tag == cosem.TagInteger && within(math.MinInt8, math.MaxInt8):
		return cosem.Int8(int8(m)), nil
	case tag == cosem.TagLong && within(math.MinInt16, math.MaxInt16):
		return cosem.Int16(int16(m)), nil
	case tag == cosem.TagDoubleLong && within(math.MinInt32, math.MaxInt32):
		return cosem.Int32(int32(m)), nil
	case tag == cosem.TagLong64:
		return cosem.Int64(m), nil
	case tag == cosem.TagUnsigned && within(0, math.MaxUint8):
		return cosem.Uint8(uint8(m)), nil
	case tag == cosem.TagLongUnsigned && within(0, math.MaxUint16):
		return cosem.Uint16(uint16(m)), nil
	case tag == cosem.TagDoubleLongUnsigned && within(0, math.MaxUint32):
		return cosem.Uint32(uint32(m)), nil
	case tag == cosem.TagLong64Unsigned && m >= 0:
		return cosem.Uint64(uint64(m)), nil
	}
	return cosem.Data{}, refused
}
