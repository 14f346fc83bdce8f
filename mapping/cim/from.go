package cim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// authority gives the names by which this package keeps what CIM has no place for.
const authority = "openusm"

// New makes a document of what a meter said. The losses name what it cannot
// carry: readings without a reading type, without a value or of another kind
// than a number, quality flags without a ReadingQualityType.
func New(d *mapping.Data, rules *Rules) (*Document, []mapping.Loss) {
	doc := &Document{}
	return doc, doc.Add(d, rules)
}

// Add adds to the document what another meter said, as [New] does.
func (d *Document) Add(data *mapping.Data, rules *Rules) []mapping.Loss {
	if d.types == nil {
		d.types = map[ReadingType]typeName{}
	}
	b := builder{data: data, rules: rules, doc: d}
	m := MeterReading{Meter: meterOf(&data.Meter)}
	m.Readings = make([]Reading, 0, len(data.Readings))
	for i := range data.Readings {
		b.reading(&m, i)
	}
	for i := range data.Profiles {
		b.profile(&m, i)
	}
	for i := range data.Events {
		b.event(&m, i)
	}
	d.Readings = append(d.Readings, m)
	return b.lost
}

func meterOf(m *obis.Meter) *Meter {
	out := &Meter{MRID: m.ID}
	for _, n := range meterNames(m) {
		if n.text != "" {
			out.Names = append(out.Names, Name{n.text, n.kind, authority})
		}
	}
	return out
}

type meterName struct{ kind, text string }

func meterNames(m *obis.Meter) []meterName {
	return []meterName{
		{"ID", m.ID}, {"SerialNumber", m.Serial}, {"Manufacturer", m.Manufacturer}, {"Model", m.Model}, {"Firmware", m.Firmware},
		{"Version", m.Version}, {"SystemTitle", m.SystemTitle}, {"Medium", m.Medium.String()},
	}
}

type builder struct {
	data  *mapping.Data
	rules *Rules
	doc   *Document
	lost  []mapping.Loss
}

// typeName is the text of a type, and the first code that had it.
type typeName struct {
	code obis.Code
	text string
}

func (b *builder) lose(part mapping.Part, i int, flags obis.Flags, format string, args ...any) {
	b.lost = append(b.lost, mapping.Loss{Part: part, Index: i, Flags: flags, Reason: fmt.Sprintf(format, args...)})
}

// typeOf returns the reading type of a code, described by the code's name where
// the type alone would not lead back to it. shared is the other code that has
// the name already.
func (b *builder) typeOf(q Quantity) (text string, exp int, shared obis.Code, ok bool) {
	t, exp, ok := b.rules.TypeOf(q)
	if !ok {
		return "", 0, shared, false
	}
	name, seen := b.doc.types[t]
	if !seen {
		name = typeName{q.Code, t.String()}
		b.doc.types[t] = name
		if back, ok := b.rules.QuantityOf(t); !ok || back.Code != q.Code {
			b.doc.ReadingTypes = append(b.doc.ReadingTypes, TypeDescription{
				MRID: name.text, Names: []Name{{q.Code.String(), "OBIS", authority}},
			})
		}
	}
	if name.code != q.Code {
		shared = name.code
	}
	return name.text, exp, shared, true
}

func (b *builder) reading(m *MeterReading, i int) {
	r := &b.data.Readings[i]
	switch {
	case r.Value.IsNone():
		b.lose(mapping.Reading, i, r.Quality.Flags, "no value")
		return
	case !r.Code.Valid():
		b.lose(mapping.Reading, i, r.Quality.Flags, "no OBIS code")
		return
	}
	q := Quantity{Code: r.Code, Unit: r.Unit, Period: b.period(r), Medium: MediumOf(b.data, r.Code)}
	text, exp, shared, ok := b.typeOf(q)
	if !ok {
		b.lose(mapping.Reading, i, r.Quality.Flags, "CIM has no reading type for %v in %q", r.Code, r.Unit)
		return
	}
	value, ok := finite(r.Value, exp)
	if !ok {
		b.lose(mapping.Reading, i, r.Quality.Flags, "no number")
		return
	}
	out := Reading{Value: value, Type: text}
	if shared.Valid() {
		b.lose(mapping.Reading, i, 0, "its code: %v has the same reading type", shared)
	}
	timed := true
	if !r.Time.IsZero() {
		out.TimeStamp, timed = b.time(r.Time)
	}
	if !r.Start.IsZero() {
		var ok bool
		out.End = out.TimeStamp
		out.Start, ok = b.time(r.Start)
		timed = timed && ok
	}
	if !timed {
		b.lose(mapping.Reading, i, 0, "a time without date or clock")
	}
	var left obis.Flags
	if out.Qualities, left = qualitiesOf(r.Quality.Flags); left != 0 {
		b.lose(mapping.Reading, i, left, "")
	}
	m.Readings = append(m.Readings, out)
}

// finite returns a number shifted by exp; it is not ok for values that are none.
func finite(v obis.Value, exp int) (obis.Value, bool) {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindEnum:
		if v.Kind() == obis.KindEnum {
			n, _ := v.Enum()
			v = obis.Int(n, 0)
		}
		return v.Shift(exp)
	case obis.KindFloat32, obis.KindFloat64:
		shifted, ok := v.Shift(exp)
		text := shifted.Append(nil)
		return shifted, ok && text[len(text)-1] <= '9' // neither NaN nor infinite
	}
	return v, false
}

// period returns the length of the interval of a reading, or of the demand period where the meter said it.
func (b *builder) period(r *obis.Reading) int32 {
	start, ok1 := r.Start.Instant(b.data.Clock)
	end, ok2 := r.Time.Instant(b.data.Clock)
	if ok1 && ok2 && !r.Start.IsZero() {
		return int32(min(max(end.Sub(start)/time.Second, 0), 1<<30))
	}
	return 0
}

// mbusMedia are the device types of EN 13757-3 that have a commodity.
var mbusMedia = map[int64]obis.Medium{2: obis.Electricity, 3: obis.Gas, 4: obis.Heat, 6: obis.HotWater, 7: obis.Water, 10: obis.Cooling, 12: obis.Heat}

// time returns a time as an instant or, where its zone is not known, as the meter's fields.
func (b *builder) time(t obis.Time) (DateTime, bool) {
	if at, ok := t.Instant(b.data.Clock); ok {
		return At(at), true
	}
	if !t.HasDate() || !t.HasClock() {
		return DateTime{}, false
	}
	return DateTime{text: t.String()}, true
}

// qualitiesOf returns the quality types of flags, and the flags that are not read
// back from them. A flag with which a value is not to be trusted, and which has
// no type, goes as questionable.
func qualitiesOf(f obis.Flags) (list []Quality, left obis.Flags) {
	if f == 0 {
		return nil, 0
	}
	var back obis.Flags
	for _, q := range data().qualities {
		if f&q.flag == 0 || slices.ContainsFunc(list, func(have Quality) bool { return have.Type == q.name }) {
			continue
		}
		list = append(list, Quality{Type: q.name})
		back |= flagOf(q.name)
	}
	return list, f &^ back
}

func (b *builder) profile(m *MeterReading, i int) {
	p := b.data.Profiles[i]
	if p.Code.Valid() {
		b.lose(mapping.Profile, i, 0, "its code: CIM has no names for blocks of intervals")
	}
	if p.Period != 0 && byKey(data().periods, p.Period) == 0 {
		b.lose(mapping.Profile, i, 0, "its period: CIM has no measuring period of %d s", p.Period)
	}
	for c := range p.Columns {
		col := &p.Columns[c]
		text, exp, shared, ok := b.typeOf(Quantity{Code: col.Code, Unit: col.Unit, Period: p.Period, Medium: MediumOf(b.data, col.Code)})
		switch {
		case !ok:
			b.lose(mapping.Profile, i, 0, "column %d: CIM has no reading type for %v in %q", c, col.Code, col.Unit)
			continue
		case shared.Valid():
			b.lose(mapping.Profile, i, 0, "column %d: its code: %v has the same reading type", c, shared)
		}
		block := IntervalBlock{Type: text, Readings: make([]Reading, 0, p.Len())}
		var lost obis.Flags
		for row := range p.Len() {
			flags := p.Quality.At(row).Flags | col.Quality.At(row).Flags
			value, number := finite(col.At(row), exp)
			if !number {
				if !col.At(row).IsNone() {
					b.lose(mapping.Profile, i, 0, "column %d, row %d: no number", c, row)
				}
				value = obis.Value{}
				flags |= obis.Missing
			}
			at, timed := b.time(p.Times[row])
			if !timed {
				b.lose(mapping.Profile, i, 0, "row %d: a time without date or clock", row)
				continue
			}
			out := Reading{TimeStamp: at, Value: value}
			var left obis.Flags
			out.Qualities, left = qualitiesOf(flags)
			lost |= left
			block.Readings = append(block.Readings, out)
		}
		if lost != 0 {
			b.lose(mapping.Profile, i, lost, "column %d", c)
		}
		m.IntervalBlocks = append(m.IntervalBlocks, block)
	}
}

type eventType struct {
	log  obis.Code
	id   uint32
	name string
}

func (t *tables) addEvent(row []string) error {
	log, err := obis.ParseCode(row[0])
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(row[1], 10, 32)
	t.events = append(t.events, eventType{log, uint32(id), row[2]})
	return err
}

func (b *builder) event(m *MeterReading, i int) {
	e := &b.data.Events[i]
	out := EndDeviceEvent{Reason: e.Text}
	if e.Log.Valid() {
		out.Details = append(out.Details, Detail{"log", e.Log.String()})
	}
	out.Details = append(out.Details, Detail{"id", strconv.FormatUint(uint64(e.ID), 10)})
	for _, t := range data().events {
		if t.log == e.Log && t.id == e.ID {
			out.Type = t.name
		}
	}
	if out.Type == "" {
		b.lose(mapping.Event, i, 0, "no EndDeviceEventType: carried by its log and number alone")
	}
	var ok bool
	if out.Created, ok = b.time(e.Time); !ok && !e.Time.IsZero() {
		b.lose(mapping.Event, i, 0, "a time without date or clock")
	}
	for p := range e.Params {
		out.Details = append(out.Details, Detail{e.Params[p].ID(), e.Params[p].Value.String()})
		if u := e.Params[p].Unit; u != obis.UnitUnknown {
			b.lose(mapping.Event, i, 0, "the unit %v of its %s", u, e.Params[p].ID())
		}
	}
	if e.Quality.Flags != 0 {
		b.lose(mapping.Event, i, e.Quality.Flags, "")
	}
	m.Events = append(m.Events, out)
}
