package cim

import (
	"strconv"
	"strings"

	"github.com/openusm/meter/obis"

	"github.com/openusm/meter/mapping"
)

// Data returns what the document says of each of its meters. Values whose
// reading type has no code keep the type as their raw id, and have its unit and
// multiplier. A value that its multiplier takes out of all bounds is as it was
// written, and marked.
func (d *Document) Data(rules *Rules) []*mapping.Data {
	r := resolver{rules: rules, seen: map[string]resolved{}, names: map[string]obis.Code{}}
	for _, t := range d.ReadingTypes {
		for _, n := range t.Names {
			if code, err := obis.ParseCode(n.Name); err == nil && n.Type == "OBIS" {
				r.names[t.MRID] = code
			}
		}
	}
	list := make([]*mapping.Data, 0, len(d.Readings))
	for i := range d.Readings {
		list = append(list, r.data(&d.Readings[i]))
	}
	return list
}

// resolver finds what reading types stand for.
type resolver struct {
	rules *Rules
	names map[string]obis.Code // types that are named by a code
	seen  map[string]resolved
}

type resolved struct {
	Quantity
	rule  obis.Rule
	shift int // from the value of the document to the unit of the model
}

func (r *resolver) resolve(ref string) resolved {
	if out, ok := r.seen[ref]; ok {
		return out
	}
	var out resolved
	t, err := ParseReadingType(ref)
	if err == nil {
		q, ok := r.rules.QuantityOf(t)
		rule := obis.RuleStandard
		if !ok {
			rule = obis.RuleNone
			q.Unit, q.Exp = UnitOf(t[Unit])
		}
		out = resolved{q, rule, int(t[Multiplier]) - q.Exp}
	}
	if code, ok := r.names[ref]; ok {
		out.Code, out.rule = code, obis.RuleDeclared
		own := func(p *pattern) bool { return p.vars[Unit] == 0 && p.parts[Unit] == t[Unit] }
		if p := r.rules.table().FindFunc(code, own); p != nil {
			out.Unit, out.shift = p.unit, int(t[Multiplier])
		}
		if period, known := byNumber(data().periods, t[MeasuringPeriod]); known {
			out.Period = period
		}
	}
	r.seen[ref] = out
	return out
}

func (r *resolver) data(m *MeterReading) *mapping.Data {
	d := &mapping.Data{}
	if m.Meter != nil {
		d.Meter = m.Meter.meter()
	}
	for i := range m.Readings {
		x := &m.Readings[i]
		out := r.reading(x, x.Type)
		if !x.Start.IsZero() || !x.End.IsZero() {
			out.Start, _ = x.Start.Time()
			if end, ok := x.End.Time(); ok {
				out.Time = end
			}
		}
		d.Readings = append(d.Readings, out)
	}
	for i := range m.IntervalBlocks {
		r.block(d, &m.IntervalBlocks[i])
	}
	for i := range m.Events {
		d.Events = append(d.Events, m.Events[i].event())
	}
	return d
}

func (r *resolver) reading(x *Reading, ref string) obis.Reading {
	q := r.resolve(ref)
	out := obis.Reading{Code: q.Code, Unit: q.Unit, Rule: q.rule, Value: x.Value}
	if q.rule == obis.RuleNone {
		out.RawID = []byte(ref)
	}
	var scaled bool
	if out.Value, scaled = x.Value.Shift(q.shift); !scaled && numeric(x.Value) {
		out.Quality.Flags |= obis.ScalerUnknown
	}
	out.Time, _ = x.TimeStamp.Time()
	for _, quality := range x.Qualities {
		out.Quality.Flags |= flagOf(quality.Type)
	}
	return out
}

func numeric(v obis.Value) bool {
	_, _, signed := v.Decimal()
	_, _, unsigned := v.Uint64()
	return signed || unsigned
}

// flagOf returns the flag of a ReadingQualityType: that of its row, else that of
// its category and index in another system, else that of its category.
func flagOf(name string) obis.Flags {
	rows := data().qualities
	for _, q := range rows {
		if q.name == name {
			return q.flag
		}
	}
	_, rest, _ := strings.Cut(name, ".")
	category, _, _ := strings.Cut(rest, ".")
	if category == "0" {
		return 0
	}
	for _, q := range rows {
		if q.name[1:] == "."+rest {
			return q.flag
		}
	}
	return categories[category]
}

// categories are the flags of the categories of ReadingQualityType.
var categories = map[string]obis.Flags{
	"3": obis.Tamper, "5": obis.Questionable, "6": obis.Invalid, "7": obis.Edited, "8": obis.Estimated, "10": obis.Questionable,
	"11": obis.Derived, "12": obis.Projected,
}

// block adds a block of intervals as a profile, to the one before it where the times are the same.
func (r *resolver) block(d *mapping.Data, b *IntervalBlock) {
	q := r.resolve(b.Type)
	var p *obis.Profile
	if n := len(d.Profiles); n > 0 && d.Profiles[n-1].Period == q.Period && sameTimes(d.Profiles[n-1], b) {
		p = d.Profiles[n-1]
	} else {
		p = &obis.Profile{Period: q.Period}
		for i := range b.Readings {
			t, _ := b.Readings[i].TimeStamp.Time()
			p.Times = append(p.Times, t)
		}
		d.Profiles = append(d.Profiles, p)
	}
	col := obis.Column{Code: q.Code, Unit: q.Unit, Rule: q.rule}
	if q.rule == obis.RuleNone {
		col.RawID = []byte(b.Type)
	}
	for i := range b.Readings {
		x := r.reading(&b.Readings[i], b.Type)
		col.Append(x.Value)
		if x.Quality.Flags != 0 {
			col.Quality.Add(i, x.Quality)
		}
	}
	p.Columns = append(p.Columns, col)
}

func sameTimes(p *obis.Profile, b *IntervalBlock) bool {
	if p.Len() != len(b.Readings) {
		return false
	}
	for i := range b.Readings {
		if t, _ := b.Readings[i].TimeStamp.Time(); t != p.Times[i] {
			return false
		}
	}
	return true
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

func (e *EndDeviceEvent) event() obis.Event {
	out := obis.Event{Text: e.Reason}
	out.Time, _ = e.Created.Time()
	for _, t := range data().events {
		if t.name == e.Type {
			out.Log, out.ID = t.log, t.id
			break
		}
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
