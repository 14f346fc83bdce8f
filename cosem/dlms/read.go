package dlms

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// The objects that every server has.
var (
	associationName = obis.Code{0, 0, 40, 0, 0, 255}
	deviceName      = obis.Code{0, 0, 42, 0, 0, 255}
	deviceID        = obis.Code{0, 0, 96, 1, 0, 255}
	clockName       = obis.Code{0, 0, 1, 0, 0, 255}
	firmwareID      = obis.Code{1, 0, 0, 2, 0, 255}
)

// Objects returns the objects that the association shows. They are read once.
func (c *Client) Objects(ctx context.Context) ([]cosem.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readObjects(ctx)
}

func (c *Client) readObjects(ctx context.Context) ([]cosem.Object, error) {
	if c.objects != nil {
		return c.objects, nil
	}
	list, err := c.get(ctx, cosem.Attribute{Class: cosem.ClassAssociationLN, Name: associationName, Index: 2}, nil)
	if err != nil {
		return nil, err
	}
	objects, err := cosem.ParseObjectList(list, associationVersion(list))
	if err != nil {
		return nil, err
	}
	c.byName = map[obis.Code][]int{}
	for i, o := range objects {
		c.byName[o.Name] = append(c.byName[o.Name], i)
	}
	c.objects = objects
	return objects, nil
}

// associationVersion finds the version of the current association in its own list.
func associationVersion(list cosem.Data) uint8 {
	objects, err := cosem.ParseObjectList(list, 0)
	if err != nil {
		return 0
	}
	for _, o := range objects {
		if o.Class == cosem.ClassAssociationLN && o.Name == associationName {
			return o.Version
		}
	}
	return 0
}

// readable reports whether the object list lets us read an attribute; a list
// without rights does.
func readable(o cosem.Object, index int8) bool {
	if len(o.Attributes) == 0 {
		return true
	}
	for _, a := range o.Attributes {
		if a.Index == index {
			return a.Mode&cosem.AccessRead != 0
		}
	}
	return false
}

// Read reads the values of objects. Without codes it reads identity, clock and
// all registers that show a current value. What cannot be read is missing among
// the readings, and the error says why; the other readings are good.
func (c *Client) Read(ctx context.Context, codes ...obis.Code) ([]obis.Reading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.readObjects(ctx); err != nil {
		return nil, err
	}
	objects, missing := c.choose(codes)
	readings, err := c.readRegisters(ctx, objects)
	return readings, errors.Join(append(missing, err)...)
}

// Errors of objects that the meter was not asked for.
var (
	ErrNotListed = errors.New("the meter lists no such object")
	ErrNoReading = errors.New("the object has no single value to read")
)

// choose returns the objects that codes name, or the default ones.
func (c *Client) choose(codes []obis.Code) (objects []cosem.Object, missing []error) {
	if len(codes) == 0 {
		for _, o := range c.objects {
			if isMain(o) {
				objects = append(objects, o)
			}
		}
		return objects, nil
	}
	for _, code := range codes {
		err := ErrNotListed
		for _, i := range c.byName[code] {
			o := c.objects[i]
			switch o.Class {
			case cosem.ClassProfileGeneric, cosem.ClassAssociationLN, cosem.ClassAssociationSN:
				if err == ErrNotListed {
					err = fmt.Errorf("class %d: %w", o.Class, ErrNoReading)
				}
			default:
				objects, err = append(objects, o), nil
			}
		}
		if err != nil {
			missing = append(missing, fmt.Errorf("dlms: %v: %w", code, err))
		}
	}
	return objects, missing
}

// isMain reports whether an object belongs to a readout for which nothing was named.
func isMain(o cosem.Object) bool {
	switch o.Class {
	case cosem.ClassRegister, cosem.ClassExtendedRegister, cosem.ClassDemandRegister:
		return o.Name[5] == obis.FCurrent
	case cosem.ClassClock:
		return true
	case cosem.ClassData:
		return o.Name == deviceName || o.Name == deviceID
	}
	return false
}

// readRegisters reads all attributes that the readings of the objects need.
func (c *Client) readRegisters(ctx context.Context, objects []cosem.Object) ([]obis.Reading, error) {
	var list []apdu.Get
	var owner []int
	for i, o := range objects {
		for _, index := range c.needed(o) {
			list = append(list, apdu.Get{Attribute: o.Attribute(index)})
			owner = append(owner, i)
		}
	}
	registers := make([]cosem.Register, len(objects))
	for i, o := range objects {
		registers[i] = cosem.Register{Class: o.Class, Name: o.Name}
		if _, ok := cosem.RegisterAttributes(o.Class); !ok {
			registers[i].Class = cosem.ClassData // its value attribute stands for itself
		}
	}
	c.unverified = false
	results, err := c.getList(ctx, list)
	errs := []error{err}
	failed := make([]bool, len(objects))
	for k, r := range results {
		g := list[k].Attribute
		if refusal := r.refusal(); refusal != nil {
			if g.Index == 2 || r.err != nil {
				errs = append(errs, fmt.Errorf("dlms: %v: %w", g, refusal))
			}
			failed[owner[k]] = failed[owner[k]] || r.err != nil && g.Index == 2
			continue
		}
		registers[owner[k]].Set(g.Index, r.Data)
	}
	var readings []obis.Reading
	for i := range registers {
		if (err != nil || failed[i]) && registers[i].Value.IsNull() {
			continue
		}
		c.keepScaler(&registers[i])
		readings = registers[i].AppendReadings(readings)
	}
	if c.unverified {
		markUnverified(readings)
	}
	return readings, errors.Join(errs...)
}

// needed returns the attributes of an object that must be read.
func (c *Client) needed(o cosem.Object) (indexes []int8) {
	l, ok := cosem.RegisterAttributes(o.Class)
	if !ok {
		l.Value = 2
	}
	for _, index := range [...]int8{l.Value, l.Last, l.ScalerUnit, l.Status, l.Captured, l.Start} {
		if index == 0 || !readable(o, index) {
			continue
		}
		if _, known := c.scalers[o.Attribute(index)]; known && index == l.ScalerUnit {
			continue
		}
		indexes = append(indexes, index)
	}
	return indexes
}

// keepScaler remembers scaler and unit of a register, or fills them in.
func (c *Client) keepScaler(r *cosem.Register) {
	l, _ := cosem.RegisterAttributes(r.Class)
	if l.ScalerUnit == 0 {
		return
	}
	a := cosem.Attribute{Class: r.Class, Name: r.Name, Index: l.ScalerUnit}
	if s, ok := cosem.ParseScalerUnit(r.ScalerUnit); ok {
		c.scalers[a] = s
	} else if s, ok := c.scalers[a]; ok {
		r.ScalerUnit = s.Data()
	}
}

// Meter reads what the meter says of itself.
func (c *Client) Meter(ctx context.Context) (obis.Meter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.readObjects(ctx); err != nil {
		return obis.Meter{}, err
	}
	var objects []cosem.Object
	for _, code := range []obis.Code{deviceName, deviceID, firmwareID} {
		for _, i := range c.byName[code] {
			if c.objects[i].Class == cosem.ClassData {
				objects = append(objects, c.objects[i])
			}
		}
	}
	readings, err := c.readRegisters(ctx, objects)
	m := cosem.Identify(readings)
	m.Medium = c.medium()
	return m, err
}

// medium returns the medium of the first register that has one.
func (c *Client) medium() obis.Medium {
	for _, o := range c.objects {
		if m := o.Name.Medium(); m != obis.Abstract && m != obis.Unknown && o.Class != cosem.ClassData {
			return m
		}
	}
	return obis.Unknown
}

// Profile reads the rows of a profile that lie between two instants, both
// included, to dst, whose memory is used again; zero times mean all rows.
func (c *Client) Profile(ctx context.Context, code obis.Code, from, to time.Time, dst *obis.Profile) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	layout, restricting, err := c.layout(ctx, code)
	if err != nil {
		return err
	}
	var selection *cosem.Selection
	if !from.IsZero() || !to.IsZero() {
		if selection, err = c.between(ctx, restricting, from, to); err != nil {
			return fmt.Errorf("dlms: profile %v: %w", code, err)
		}
	}
	c.unverified = false
	buffer, err := c.get(ctx, cosem.Attribute{Class: cosem.ClassProfileGeneric, Name: code, Index: 2}, selection)
	if err != nil {
		return err
	}
	layout.Describe(dst)
	err = layout.Append(dst, buffer)
	if c.unverified {
		var marked obis.Runs
		for row := range dst.Len() {
			marked.Add(row, dst.Quality.At(row).With(obis.Unverified))
		}
		dst.Quality = marked
	}
	return err
}

// Row is one row of a profile.
type Row struct {
	Time    obis.Time
	Quality obis.Quality
	Values  []obis.Value // one for each column of the profile, none where it is missing
}

// Rows iterates over the rows of a profile that lie between two instants, both
// included, and reads them day by day, so that a year needs no more memory than
// a day. The values of a row are valid until the next one. It ends with the
// first error.
func (c *Client) Rows(ctx context.Context, code obis.Code, from, to time.Time) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var p obis.Profile
		var row Row
		for !from.After(to) {
			end := from.Add(24*time.Hour - time.Second)
			if end.After(to) {
				end = to
			}
			if err := c.Profile(ctx, code, from, end, &p); err != nil {
				yield(Row{}, err)
				return
			}
			for i, at := range p.Times {
				row.Time, row.Quality, row.Values = at, p.Quality.At(i), row.Values[:0]
				for k := range p.Columns {
					row.Values = append(row.Values, p.Columns[k].At(i))
				}
				if !yield(row, nil) {
					return
				}
			}
			from = end.Add(time.Second)
		}
	}
}

// DescribeProfile makes dst the profile without its rows: code, period and columns.
func (c *Client) DescribeProfile(ctx context.Context, code obis.Code, dst *obis.Profile) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	layout, _, err := c.layout(ctx, code)
	if err != nil {
		return err
	}
	layout.Describe(dst)
	dst.Reset()
	return nil
}

// ErrNoRange reports a profile that cannot be restricted by time.
var ErrNoRange = errors.New("profile has no clock column to restrict it by")

// between selects rows by the column that the profile is restricted by.
func (c *Client) between(ctx context.Context, restricting cosem.Capture, from, to time.Time) (*cosem.Selection, error) {
	if restricting.Class != cosem.ClassClock {
		return nil, ErrNoRange
	}
	zone, err := c.zone(ctx, restricting.Name)
	if err != nil {
		return nil, err
	}
	if to.IsZero() {
		to = time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	if from.IsZero() {
		from = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return cosem.ByRange(restricting, c.meterTime(from, zone), c.meterTime(to, zone)), nil
}

// zone returns the zone in which the meter counts: that of the configuration,
// else the deviation of its clock.
func (c *Client) zone(ctx context.Context, clock obis.Code) (*time.Location, error) {
	if c.cfg.Clock.Zone != nil {
		return c.cfg.Clock.Zone, nil
	}
	d, err := c.get(ctx, cosem.Attribute{Class: cosem.ClassClock, Name: clock, Index: 2}, nil)
	var refused cosem.DataAccessResult
	if err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	now, ok := d.Time()
	if !ok || now.Deviation == obis.DeviationUnspecified {
		return nil, nil
	}
	west := int(now.Deviation)
	if c.cfg.Clock.DeviationReversed {
		west = -west
	}
	return time.FixedZone("", -60*west), nil
}

// meterTime writes an instant as the meter's clock would show it.
func (c *Client) meterTime(t time.Time, zone *time.Location) obis.Time {
	if zone == nil {
		m := obis.FromTime(t.UTC())
		m.Deviation, m.Weekday = obis.DeviationUnspecified, obis.Unspecified
		return m
	}
	m := obis.FromTime(obis.Clock{Zone: zone, StandardTime: c.cfg.Clock.StandardTime}.Wall(t))
	m.Weekday = obis.Unspecified
	if c.cfg.Clock.DeviationReversed {
		m.Deviation = -m.Deviation
	}
	return m
}

// layout returns how the buffer of a profile is made up, and by which column
// its rows can be restricted. Layouts are read once.
func (c *Client) layout(ctx context.Context, code obis.Code) (*cosem.Layout, cosem.Capture, error) {
	if l := c.layouts[code]; l != nil {
		return l, c.restricting[code], nil
	}
	profile := func(index int8) apdu.Get {
		return apdu.Get{Attribute: cosem.Attribute{Class: cosem.ClassProfileGeneric, Name: code, Index: index}}
	}
	results, err := c.getList(ctx, []apdu.Get{profile(3), profile(4), profile(6)})
	if err != nil {
		return nil, cosem.Capture{}, err
	}
	if err := results[0].refusal(); err != nil {
		return nil, cosem.Capture{}, fmt.Errorf("dlms: %v: %w", profile(3).Attribute, err)
	}
	captured, err := cosem.ParseCaptureObjects(results[0].Data)
	if err != nil {
		return nil, cosem.Capture{}, err
	}
	period, _ := results[1].Data.Uint()
	layout := &cosem.Layout{Name: code, Period: int32(min(period, 1<<31-1))}
	if layout.Columns, err = c.columns(ctx, captured); err != nil {
		return nil, cosem.Capture{}, err
	}
	restricting, ok := cosem.ParseCapture(results[2].Data)
	if !ok || restricting.Class != cosem.ClassClock {
		for _, capture := range captured {
			if capture.Class == cosem.ClassClock && capture.Index == 2 {
				restricting = capture
				break
			}
		}
	}
	c.layouts[code], c.restricting[code] = layout, restricting
	return layout, restricting, nil
}

// columns reads scaler and unit of the captured registers.
func (c *Client) columns(ctx context.Context, captured []cosem.Capture) ([]cosem.Column, error) {
	columns := make([]cosem.Column, len(captured))
	var list []apdu.Get
	var owner []int
	for i, capture := range captured {
		columns[i].Capture = capture
		l, _ := cosem.RegisterAttributes(capture.Class)
		switch {
		case capture.Index != l.Value && capture.Index != l.Last, l.ScalerUnit == 0:
			columns[i].ScalerUnit = cosem.ScalerUnit{Known: true} // no register: the number stands for itself
		default:
			a := cosem.Attribute{Class: capture.Class, Name: capture.Name, Index: l.ScalerUnit}
			if s, known := c.scalers[a]; known {
				columns[i].ScalerUnit = s
				continue
			}
			list = append(list, apdu.Get{Attribute: a})
			owner = append(owner, i)
		}
	}
	results, err := c.getList(ctx, list)
	if err != nil {
		return nil, err
	}
	for k, r := range results {
		if s, ok := cosem.ParseScalerUnit(r.Data); ok && r.refusal() == nil {
			c.scalers[list[k].Attribute] = s
			columns[owner[k]].ScalerUnit = s
		}
	}
	return columns, nil
}

// Events reads the entries of a log between two instants, both included; zero
// times mean all entries.
func (c *Client) Events(ctx context.Context, log obis.Code, from, to time.Time) ([]obis.Event, error) {
	var p obis.Profile
	err := c.Profile(ctx, log, from, to, &p)
	if errors.Is(err, ErrNoRange) {
		err = c.Profile(ctx, log, time.Time{}, time.Time{}, &p)
	}
	if err != nil {
		return nil, err
	}
	return cosem.Events(&p), nil
}
