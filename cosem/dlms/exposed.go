package dlms

import (
	"sync"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// Exposed is a logical device made of the readings of any meter, whatever
// protocol it speaks: a heat meter on M-Bus becomes readable by a DLMS head-end.
// Readings become registers, extended registers where they have a time, and data
// where they are no numbers; profiles become profiles, and there is a clock and
// an identity. Nothing can be written. It may be used by several goroutines.
type Exposed struct {
	// Secured shows clients without authentication and keys the logical device name
	// and the clock alone.
	Secured bool
	// Clock returns the time; nil means time.Now.
	Clock func() time.Time

	mu       sync.RWMutex
	objects  []cosem.Object
	values   map[cosem.Attribute]cosem.Data
	profiles map[obis.Code]*obis.Profile
}

var _ Device = (*Exposed)(nil)

// Update replaces what the device shows. Readings without an OBIS code are left
// out; of several with the same code the first is shown.
func (e *Exposed) Update(meter obis.Meter, readings []obis.Reading, profiles []*obis.Profile) {
	n := &Exposed{values: map[cosem.Attribute]cosem.Data{}, profiles: map[obis.Code]*obis.Profile{}}
	n.add(cosem.ClassClock, clockName, nil)
	id := meter.ID
	if id == "" {
		id = meter.Manufacturer + meter.Serial
	}
	n.add(cosem.ClassData, deviceName, []cosem.Data{cosem.OctetString([]byte(id))})
	serial := meter.Serial
	if serial == "" {
		serial = id
	}
	for _, r := range readings {
		n.reading(r)
	}
	n.add(cosem.ClassData, deviceID, []cosem.Data{cosem.OctetString([]byte(serial))}) // unless a reading is it
	for _, p := range profiles {
		n.profile(p)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.objects, e.values, e.profiles = n.objects, n.values, n.profiles
}

// add adds an object with its attributes from the second on.
func (e *Exposed) add(class cosem.Class, name obis.Code, values []cosem.Data) {
	for _, o := range e.objects {
		if o.Name == name {
			return
		}
	}
	o := cosem.Object{Class: class, Name: name}
	count := 1 + len(values)
	switch class {
	case cosem.ClassClock:
		count = 2
	case cosem.ClassProfileGeneric:
		o.Version = 1
	}
	for i := range int8(count) {
		a := cosem.AttributeAccess{Index: i + 1, Mode: cosem.AccessRead}
		if class == cosem.ClassProfileGeneric && i == 1 {
			a.Selectors = []int8{1, 2}
		}
		o.Attributes = append(o.Attributes, a)
		if i > 0 && int(i) <= len(values) {
			e.values[o.Attribute(i+1)] = values[i-1]
		}
	}
	e.objects = append(e.objects, o)
}

// reading adds the object of a reading.
func (e *Exposed) reading(r obis.Reading) {
	if !r.Code.Valid() {
		return
	}
	d, scaler, ok := cosem.FromValue(r.Value)
	if !ok || r.Quality.Flags&(obis.Invalid|obis.Missing) != 0 {
		d = cosem.Null()
	}
	d = d.Clone()
	switch r.Value.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64:
	default:
		e.add(cosem.ClassData, r.Code, []cosem.Data{d})
		return
	}
	if r.Unit == obis.UnitUnknown && scaler == 0 {
		e.add(cosem.ClassData, r.Code, []cosem.Data{d}) // a register would claim a unit
		return
	}
	unit, known := cosemUnit(r.Unit)
	if !known {
		unit = obis.OtherUnit
	}
	s := cosem.ScalerUnit{Scaler: scaler, Unit: unit, Known: true}.Data()
	if r.Time.IsZero() {
		e.add(cosem.ClassRegister, r.Code, []cosem.Data{d, s})
		return
	}
	status := cosem.Null()
	if r.Quality.Kind != obis.StatusNone {
		status = cosem.Uint64(r.Quality.Raw)
	}
	e.add(cosem.ClassExtendedRegister, r.Code, []cosem.Data{d, s, status, cosem.DateTime(r.Time)})
}

// cosemUnit returns a unit that has a number in the DLMS enumeration.
func cosemUnit(u obis.Unit) (obis.Unit, bool) {
	if u == obis.UnitUnknown || u > 255 {
		return obis.OtherUnit, u == obis.OtherUnit
	}
	return u, true
}

// profile adds a profile and registers for those of its columns that have none.
func (e *Exposed) profile(p *obis.Profile) {
	if p == nil || !p.Code.Valid() {
		return
	}
	p = p.Clone()
	e.profiles[p.Code] = p
	columns := e.columns(p)
	sort := cosem.CaptureObjects(columns[:1]).At(0)
	e.add(cosem.ClassProfileGeneric, p.Code, []cosem.Data{
		cosem.Null(), cosem.CaptureObjects(columns), cosem.Uint32(uint32(p.Period)), cosem.Enum(1), sort,
		cosem.Uint32(uint32(p.Len())), cosem.Uint32(uint32(p.Len())),
	})
}

// columns returns the capture objects of a profile: the clock and its columns.
func (e *Exposed) columns(p *obis.Profile) []cosem.Capture {
	list := []cosem.Capture{{Attribute: cosem.Attribute{Class: cosem.ClassClock, Name: clockName, Index: 2}}}
	for i := range p.Columns {
		c := &p.Columns[i]
		class := cosem.ClassData
		if len(c.Values) == 0 {
			class = cosem.ClassRegister
			unit, _ := cosemUnit(c.Unit)
			e.add(class, c.Code, []cosem.Data{cosem.Null(), cosem.ScalerUnit{Scaler: c.Exp, Unit: unit, Known: true}.Data()})
			for _, o := range e.objects { // the scaler is that of the register, which may be there already
				if o.Name == c.Code {
					class = o.Class
				}
			}
		}
		list = append(list, cosem.Capture{Attribute: cosem.Attribute{Class: class, Name: c.Code, Index: 2}})
	}
	return list
}

// Objects implements [Device].
func (e *Exposed) Objects(p *Partner) []cosem.Object {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.hides(p) {
		return e.objects
	}
	var seen []cosem.Object
	for _, o := range e.objects {
		if isPublic(o.Name) {
			seen = append(seen, o)
		}
	}
	return seen
}

// hides reports whether a client is one that nobody knows, and sees next to nothing.
func (e *Exposed) hides(p *Partner) bool {
	return e.Secured && p != nil && p.Auth == apdu.MechanismNone && (p.Access == nil || p.Access.Security == nil)
}

// isPublic reports whether an object is shown to anybody: the logical device name,
// the clock and invocation counters.
func isPublic(c obis.Code) bool {
	return c == deviceName || c == clockName || c[0] == 0 && c[2] == 43 && c[3] == 1
}

// Get implements [Device].
func (e *Exposed) Get(p *Partner, a cosem.Attribute, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.hides(p) && !isPublic(a.Name) {
		return cosem.Data{}, cosem.ObjectUndefined
	}
	for _, o := range e.objects {
		switch {
		case o.Name != a.Name:
			continue
		case o.Class != a.Class:
			return cosem.Data{}, cosem.ObjectClassInconsistent
		case a.Index == 1:
			return cosem.Name(a.Name), cosem.Success
		case a.Class == cosem.ClassClock && a.Index == 2:
			return cosem.DateTime(obis.FromTime(e.now())), cosem.Success
		case a.Class == cosem.ClassProfileGeneric && a.Index == 2:
			return e.rows(e.profiles[a.Name], s)
		}
		if d, ok := e.values[a]; ok {
			return d, cosem.Success
		}
	}
	return cosem.Data{}, cosem.ObjectUndefined
}

func (e *Exposed) now() time.Time {
	if e.Clock != nil {
		return e.Clock()
	}
	return time.Now()
}

// rows returns the rows of a profile that a selection names.
func (e *Exposed) rows(p *obis.Profile, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	first, last := 0, p.Len()
	keep := func(obis.Time) bool { return true }
	if s != nil {
		switch r, ok := s.Range(); {
		case ok:
			from, ok1 := r.From.Time()
			to, ok2 := r.To.Time()
			if !ok1 || !ok2 || r.Restricting.Class != cosem.ClassClock || len(r.Columns) > 0 {
				return cosem.Data{}, cosem.TypeUnmatched
			}
			keep = between(from, to)
		default:
			n, ok := s.Entries()
			if !ok || n.FirstRow == 0 || n.FirstColumn > 1 || n.LastColumn != 0 {
				return cosem.Data{}, cosem.TypeUnmatched
			}
			first = min(int(n.FirstRow)-1, last)
			if n.LastRow != 0 {
				last = max(first, min(last, int(n.LastRow)))
			}
		}
	}
	var list []cosem.Data
	for row := first; row < last; row++ {
		if !keep(p.Times[row]) {
			continue
		}
		cells := []cosem.Data{cosem.DateTime(p.Times[row])}
		for i := range p.Columns {
			cells = append(cells, e.cell(&p.Columns[i], row))
		}
		list = append(list, cosem.Structure(cells...))
	}
	return cosem.Array(list...), cosem.Success
}

// cell returns a value with the scaler of its register; what is missing is
// dont-care, as null-data would repeat the row before.
func (e *Exposed) cell(c *obis.Column, row int) cosem.Data {
	v := c.At(row)
	if v.IsNone() {
		return cosem.DontCare()
	}
	for _, class := range []cosem.Class{cosem.ClassRegister, cosem.ClassExtendedRegister} {
		s, ok := cosem.ParseScalerUnit(e.values[cosem.Attribute{Class: class, Name: c.Code, Index: 3}])
		if !ok || v.Exp() == s.Scaler {
			continue
		}
		if v, ok = v.Rescale(s.Scaler); !ok {
			return cosem.DontCare() // the register's scaler cannot show it
		}
	}
	d, _, ok := cosem.FromValue(v)
	if !ok {
		return cosem.DontCare()
	}
	return d
}

// between compares times as the meter shows them: by their instants where both
// have one, else by their fields.
func between(from, to obis.Time) func(obis.Time) bool {
	utc := obis.Clock{Zone: time.UTC}
	f, _ := from.Instant(utc)
	t, _ := to.Instant(utc)
	return func(at obis.Time) bool {
		i, ok := at.Instant(utc)
		return ok && !i.Before(f) && !i.After(t)
	}
}

// Set implements [Device]: nothing can be written.
func (e *Exposed) Set(*Partner, cosem.Attribute, *cosem.Selection, cosem.Data) cosem.DataAccessResult {
	return cosem.ReadWriteDenied
}

// Action implements [Device]: nothing can be done.
func (e *Exposed) Action(*Partner, cosem.Method, *cosem.Data) (*cosem.Data, cosem.ActionResult) {
	return nil, cosem.ActionResult(cosem.ReadWriteDenied)
}
