package cim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Data returns what the document says of each of its meters. The raw id of a
// value is its reading type, also where it has a code. A value whose type or
// multiplier is not known is as it was written, and marked. Unread names the
// types, the times and the qualities that were not understood, each kind once.
func (d *Document) Data(rules *Rules) (list []*mapping.Data, unread []string) {
	r := resolver{rules: rules, seen: map[string]resolved{}, types: map[string]*TypeDescription{}, unread: map[string]int{}}
	for i := range d.ReadingTypes {
		r.types[d.ReadingTypes[i].MRID] = &d.ReadingTypes[i]
	}
	list = make([]*mapping.Data, 0, len(d.Readings))
	for i := range d.Readings {
		list = append(list, r.data(&d.Readings[i]))
	}
	for _, what := range r.order {
		unread = append(unread, fmt.Sprintf("%s, %d×", what, r.unread[what]))
	}
	return list, unread
}

// resolver finds what reading types stand for.
type resolver struct {
	rules *Rules
	types map[string]*TypeDescription
	seen  map[string]resolved

	unread map[string]int // how many values have what is not understood
	order  []string
}

// maxUnread is how many kinds of what is not understood are named.
const maxUnread = 64

func (r *resolver) note(kind, text string) {
	what := kind + " " + strconv.Quote(text[:min(len(text), 80)])
	if r.unread[what]++; r.unread[what] == 1 && len(r.order) < maxUnread {
		r.order = append(r.order, what)
	} else if r.unread[what] == 1 {
		delete(r.unread, what)
	}
}

// time returns a time, and notes one that is none.
func (r *resolver) time(t *DateTime) (obis.Time, bool) {
	at, ok := t.Time()
	if !ok && !t.IsZero() {
		r.note("the time", t.text)
	}
	return at, ok
}

type resolved struct {
	Quantity
	rule  obis.Rule
	raw   []byte
	shift int  // from the value of the document to the unit of the model
	known bool // what type it is
}

func (r *resolver) resolve(ref string) resolved {
	if out, ok := r.seen[ref]; ok {
		return out
	}
	var name obis.Code
	t, err := ParseReadingType(ref)
	if d := r.types[ref]; d != nil {
		name = d.code()
		if err != nil {
			t, err = d.readingType()
		}
	}
	out := resolved{raw: []byte(ref)}
	out.Code = name
	if name.Valid() {
		out.rule = obis.RuleDeclared
	}
	if err == nil {
		out.known = true
		out.Quantity, out.rule = r.rules.Resolve(t, name)
		out.raw, out.shift = t.Append(nil), int(t[Multiplier])-out.Exp
	}
	r.seen[ref] = out
	return out
}

// code returns the OBIS code that is a name of the type.
func (d *TypeDescription) code() obis.Code {
	for _, n := range d.Names {
		if n.Type != "OBIS" {
			continue
		}
		if code, err := obis.ParseCode(n.Name); err == nil {
			return code
		}
	}
	return obis.Code{}
}

// readingType returns the type that is a name of the description, or is told part by part.
func (d *TypeDescription) readingType() (t ReadingType, err error) {
	for _, n := range d.Names {
		if t, err = ParseReadingType(n.Name); err == nil {
			return t, nil
		}
	}
	t, told := ReadingType{}, false
	for _, n := range d.other {
		for i, part := range partNames {
			name, child, nested := strings.Cut(part, "/")
			if n.Name.Local != name {
				continue
			}
			own := n
			if nested {
				own = n.Child(child)
			}
			if own == nil {
				continue
			}
			if t[i], err = number(strings.TrimSpace(own.Text)); err != nil {
				return ReadingType{}, err
			}
			told = true
		}
	}
	if !told {
		return t, errNoType
	}
	return t, nil
}

var errNoType = errors.New("cim: no reading type")

// partNames are the elements of the parts of a reading type.
var partNames = [...]string{
	"macroPeriod", "aggregate", "measuringPeriod", "accumulation", "flowDirection", "commodity", "measurementKind",
	"interharmonic/numerator", "interharmonic/denominator", "argument/numerator", "argument/denominator", "tou", "cpp", "consumptionTier",
	"phases", "multiplier", "unit", "currency",
}

func (r *resolver) data(m *MeterReading) *mapping.Data {
	d := &mapping.Data{}
	if m.Meter != nil {
		d.Meter = m.Meter.meter()
	}
	if len(m.Readings) > 0 {
		d.Readings = make([]obis.Reading, 0, len(m.Readings))
	}
	for i := range m.Readings {
		x := &m.Readings[i]
		out := r.reading(x, x.Type)
		if !x.Start.IsZero() || !x.End.IsZero() {
			out.Start, _ = r.time(&x.Start)
			if end, ok := r.time(&x.End); ok {
				out.Time = end
			}
		}
		d.Readings = append(d.Readings, out)
	}
	for i := range m.IntervalBlocks {
		r.block(d, &m.IntervalBlocks[i])
	}
	for i := range m.Events {
		d.Events = append(d.Events, r.event(&m.Events[i], d.Meter.Medium))
	}
	return d
}

func (r *resolver) reading(x *Reading, ref string) obis.Reading {
	q := r.resolve(ref)
	out := obis.Reading{Code: q.Code, Unit: q.Unit, Rule: q.rule, RawID: q.raw, Value: x.Value}
	var scaled bool
	if out.Value, scaled = x.Value.Shift(q.shift); (!scaled || !q.known) && numeric(x.Value) {
		out.Quality.Flags |= obis.ScalerUnknown
	}
	if !q.known {
		r.note("the reading type", ref)
	}
	out.Time, _ = r.time(&x.TimeStamp)
	for _, quality := range x.Qualities {
		flags, known := flagsOf(quality.Type)
		if out.Quality.Flags |= flags; !known {
			r.note("the quality", quality.Type)
		}
	}
	return out
}

func numeric(v obis.Value) bool {
	_, _, signed := v.Decimal()
	_, _, unsigned := v.Uint64()
	return signed || unsigned
}

// flagOf returns the flag of a ReadingQualityType.
func flagOf(name string) obis.Flags {
	flag, _ := flagsOf(name)
	return flag
}

// flagsOf returns the flag of a ReadingQualityType: that of its row, else that of
// its category and index in another system, else that of its category. Nothing
// is known of those of other categories but 0, valid.
func flagsOf(name string) (flag obis.Flags, known bool) {
	rows := data().qualities
	for _, q := range rows {
		if q.name == name {
			return q.flag, true
		}
	}
	_, rest, _ := strings.Cut(name, ".")
	category, _, _ := strings.Cut(rest, ".")
	if category == "0" {
		return 0, true
	}
	for _, q := range rows {
		if q.name[1:] == "."+rest {
			return q.flag, true
		}
	}
	flag, known = categories[category]
	return flag, known
}

// categories are the flags of the categories of ReadingQualityType.
var categories = map[string]obis.Flags{
	"3": obis.Tamper, "5": obis.Questionable, "6": obis.Invalid, "7": obis.Edited, "8": obis.Estimated, "10": obis.Questionable,
	"11": obis.Derived, "12": obis.Projected,
}

// block adds a block of intervals as a profile, to the one before it where the times are the same.
func (r *resolver) block(d *mapping.Data, b *IntervalBlock) {
	q := r.resolve(b.Type)
	p := &obis.Profile{Period: q.Period, Times: make([]obis.Time, len(b.Readings))}
	for i := range b.Readings {
		x := &b.Readings[i]
		end, ok := x.TimeStamp.Time()
		if !ok {
			end, _ = x.End.Time()
		}
		p.Times[i] = end
		if start, ok := x.Start.Time(); ok && !follows(start, end, q.Period) {
			if p.Starts == nil {
				p.Starts = make([]obis.Time, len(b.Readings))
			}
			p.Starts[i] = start
		}
	}
	if n := len(d.Profiles); n > 0 {
		if last := d.Profiles[n-1]; last.Period == p.Period && slices.Equal(last.Times, p.Times) && slices.Equal(last.Starts, p.Starts) {
			p = last
		}
	}
	col := obis.Column{Code: q.Code, Unit: q.Unit, Rule: q.rule, RawID: q.raw}
	for i := range b.Readings {
		x := r.reading(&b.Readings[i], b.Type)
		col.Append(x.Value)
		if x.Quality.Flags != 0 {
			col.Quality.Add(i, x.Quality)
		}
	}
	if len(p.Columns) == 0 {
		d.Profiles = append(d.Profiles, p)
	}
	p.Columns = append(p.Columns, col)
}

// follows reports whether an interval begins a period before its end.
func follows(start, end obis.Time, period int32) bool {
	from, ok1 := start.Instant(obis.Clock{})
	to, ok2 := end.Instant(obis.Clock{})
	return ok1 && ok2 && period > 0 && to.Sub(from) == time.Duration(period)*time.Second
}

// meter returns the identity of a meter; a name of a foreign kind is its id where there is no other.
func (m *Meter) meter() obis.Meter {
	out := obis.Meter{ID: m.MRID}
	for _, n := range m.Names {
		if out.ID == "" && (n.Type == "ID" || n.Authority != authority) {
			out.ID = n.Name
		}
		switch n.Type {
		case "SerialNumber":
			out.Serial = n.Name
		case "Manufacturer":
			out.Manufacturer = n.Name
		case "Model":
			out.Model = n.Name
		case "Firmware":
			out.Firmware = n.Name
		case "Version":
			out.Version = n.Name
		case "SystemTitle":
			out.SystemTitle = n.Name
		case "Medium":
			for medium := obis.Unknown; medium <= obis.Abstract; medium++ {
				if medium.String() == n.Name {
					out.Medium = medium
				}
			}
		}
	}
	return out
}

func (r *resolver) event(e *EndDeviceEvent, medium obis.Medium) obis.Event {
	out := obis.Event{Text: e.Reason}
	out.Time, _ = r.time(&e.Created)
	device, rest, _ := strings.Cut(e.Type, ".")
	for _, t := range data().events {
		if t.name == rest {
			out.Log, out.ID = t.log, t.id
			break
		}
	}
	if e.Type != "" && (!out.Log.Valid() || device+"." != deviceType(medium)) {
		out.Params = append(out.Params, obis.Reading{RawID: []byte(eventTypeName), Value: obis.Text([]byte(e.Type))})
	}
	if out.Text == "" && !out.Log.Valid() {
		out.Text = e.Type
	}
	for _, d := range e.Details {
		code, err := obis.ParseCode(d.Value)
		id, numeric := strconv.ParseUint(d.Value, 10, 32)
		switch {
		case d.Name == "log" && err == nil:
			out.Log = code
		case d.Name == "id" && numeric == nil:
			out.ID = uint32(id)
		default:
			p := obis.Reading{RawID: []byte(d.Name), Value: parseValue([]byte(d.Value))}
			if own, err := obis.ParseCode(d.Name); err == nil {
				p.Code, p.Rule, p.RawID = own, obis.RuleDeclared, nil
			}
			out.Params = append(out.Params, p)
		}
	}
	return out
}
