package cim

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// authority gives the names by which this package keeps what CIM has no place for.
const authority = "openusm"

// New makes a document of what a meter said, in a message with the header of
// [Document.Add]. A raw id that is a reading type is written as that type. The
// losses name what the document cannot carry: readings without a reading type,
// without a value or of another kind than a number, quality flags without a
// ReadingQualityType.
func New(d *mapping.Data, rules *Rules) (*Document, []mapping.Loss) {
	doc := &Document{}
	return doc, doc.Add(d, rules)
}

// Add adds to the document what another meter said, as [New] does. An empty
// document gets a header: of an EventMessage with created MeterReadings, whose
// Timestamp is that of the newest value and whose MessageID follows from what it
// carries, so that the same values are the same message. It may be replaced.
func (d *Document) Add(data *mapping.Data, rules *Rules) []mapping.Loss {
	if d.types == nil {
		d.types, d.refs, d.ids = map[ReadingType]obis.Code{}, map[reference]string{}, map[string]bool{}
	}
	if d.Header == nil && len(d.Readings) == 0 {
		d.Header = &Header{Verb: "created", Noun: "MeterReadings", Revision: "2.0", message: "EventMessage", identify: true}
	}
	b := builder{data: data, rules: rules, doc: d, types: map[typeKey]typed{}}
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
	m.from, m.to = b.first, b.last
	if h := d.Header; h != nil && h.identify && h.Timestamp.time.Before(m.to) {
		h.Timestamp = At(m.to.UTC())
	}
	d.Readings = append(d.Readings, m)
	return b.data.Gather(append(b.lost, mapping.StatusLost(b.data)...))
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
	data        *mapping.Data
	rules       *Rules
	doc         *Document
	types       map[typeKey]typed
	first, last time.Time // of all values
	lost        []mapping.Loss
}

// reference is a type and a code that shares it with another one.
type reference struct {
	typ  ReadingType
	code obis.Code
}

// typeKey is what the type of a value depends on.
type typeKey struct {
	raw  string
	rule obis.Rule
	Quantity
}

// typed is the type of a value.
type typed struct {
	ref  string // "" where there is none
	exp  int    // power of ten from the model's unit to that of the type and its multiplier
	lost string // what it does not say
}

func (b *builder) lose(part mapping.Part, i int, flags obis.Flags, format string, args ...any) {
	b.lost = append(b.lost, mapping.Loss{Part: part, Index: i, Flags: flags, Reason: fmt.Sprintf(format, args...)})
}

// typeOf returns the reading type of a quantity, described by the name of its code
// where the type alone would not lead back to it.
func (b *builder) typeOf(raw []byte, rule obis.Rule, q Quantity) typed {
	key := typeKey{string(raw), rule, q}
	out, known := b.types[key]
	if known {
		return out
	}
	if t, exp, ok := b.rules.TypeFor(raw, q); ok {
		var named bool
		out.ref, named = b.doc.reference(t, q.Code, b.rules)
		out.exp = exp - int(t[Multiplier])
		out.lost = MediumLost(q.Medium)
		if !q.Code.Valid() {
			out.lost = ""
		}
		also := func(what string) {
			if out.lost != "" {
				what = "; " + what
			}
			out.lost += what
		}
		if rule >= obis.RuleDerived || rule == obis.RuleStandard && named {
			also("by what rule it has its code: " + rule.String())
		}
		if unit := b.rules.UnitLost(t, q); unit != "" {
			also(unit)
		}
	}
	b.types[key] = out
	return out
}

// reference returns by which text values of a type with a code refer to it, and
// whether the code is named there. A type that another code had before is
// described once more, by an id of its own.
func (d *Document) reference(t ReadingType, code obis.Code, rules *Rules) (ref string, named bool) {
	back, _ := rules.Resolve(t, obis.Code{})
	named = code.Valid() && back.Code != code
	first, seen := d.types[t]
	switch {
	case !seen:
		d.types[t] = code
		ref = t.String()
		if !named {
			return ref, false
		}
	case first == code:
		return t.String(), named
	default:
		if ref = d.refs[reference{t, code}]; ref != "" {
			return ref, true
		}
		if ref = code.String(); !code.Valid() || d.ids[ref] {
			ref = fmt.Sprintf("%v/%d", t, len(d.ReadingTypes))
		}
		d.refs[reference{t, code}], d.ids[ref] = ref, true
	}
	description := TypeDescription{MRID: ref}
	if code.Valid() {
		description.Names = []Name{{code.String(), "OBIS", authority}}
	}
	if seen {
		description.Names = append(description.Names, Name{t.String(), "ReadingType", authority})
	}
	d.ReadingTypes = append(d.ReadingTypes, description)
	return ref, true
}

func (b *builder) reading(m *MeterReading, i int) {
	r := &b.data.Readings[i]
	if r.Value.IsNone() {
		b.lose(mapping.Reading, i, r.Quality.Flags, "no value")
		return
	}
	t := b.typeOf(r.RawID, r.Rule, Quantity{Code: r.Code, Unit: r.Unit, Period: b.period(r), Medium: MediumOf(b.data, r.Code)})
	if t.ref == "" {
		b.lose(mapping.Reading, i, r.Quality.Flags, "CIM has no reading type for it in %q", r.Unit)
		return
	}
	value, ok := finite(r.Value, t.exp)
	if !ok {
		b.lose(mapping.Reading, i, r.Quality.Flags, "no number")
		return
	}
	if t.lost != "" {
		b.lose(mapping.Reading, i, 0, "%s", t.lost)
	}
	if r.Value.Kind() == obis.KindEnum {
		b.lose(mapping.Reading, i, 0, "what kind of value it is: enum")
	}
	out := Reading{Value: value, Type: t.ref}
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
	if lost := cmp.Or(mapping.TimeLost(r.Time), mapping.TimeLost(r.Start)); lost != "" {
		b.lose(mapping.Reading, i, 0, "%s", lost)
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
		if b.first.IsZero() || at.Before(b.first) {
			b.first = at
		}
		if at.After(b.last) {
			b.last = at
		}
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
	b.untimed(i)
	for c := range p.Columns {
		b.column(m, i, c)
	}
}

// untimed says how many rows of a profile have no time that CIM has.
func (b *builder) untimed(i int) {
	p := b.data.Profiles[i]
	rows, starts, doubtful := 0, 0, 0
	for row := range p.Times {
		if mapping.TimeLost(p.Times[row]) != "" {
			doubtful++
		}
		if _, ok := b.time(p.Times[row]); !ok {
			rows++
		}
		if row < len(p.Starts) && !p.Starts[row].IsZero() {
			if _, ok := b.time(p.Starts[row]); !ok {
				starts++
			}
		}
	}
	b.loseRows(i, rows, 0, "rows whose time has no date or clock")
	b.loseRows(i, doubtful, 0, "that their times are not to be relied upon")
	b.loseRows(i, starts, 0, "the starts of their intervals, without date or clock")
}

func (b *builder) loseRows(i, rows int, flags obis.Flags, reason string) {
	if rows > 0 {
		b.lost = append(b.lost, mapping.Loss{Part: mapping.Profile, Index: i, Rows: rows, Flags: flags, Reason: reason})
	}
}

func (b *builder) column(m *MeterReading, i, c int) {
	p := b.data.Profiles[i]
	col := &p.Columns[c]
	t := b.typeOf(col.RawID, col.Rule, Quantity{Code: col.Code, Unit: col.Unit, Period: p.Period, Medium: MediumOf(b.data, col.Code)})
	if t.ref == "" {
		id := obis.Reading{Code: col.Code, RawID: col.RawID}
		b.lose(mapping.Profile, i, 0, "CIM has no reading type for column %s in %q", id.ID(), col.Unit)
		return
	}
	if t.lost != "" {
		b.lose(mapping.Profile, i, 0, "%s", t.lost)
	}
	block := IntervalBlock{Type: t.ref, Readings: make([]Reading, 0, p.Len())}
	var lost obis.Flags
	flagged, bad, enums := 0, 0, 0
	for row := range p.Len() {
		if col.At(row).Kind() == obis.KindEnum {
			enums++
		}
		flags := p.Quality.At(row).Flags | col.Quality.At(row).Flags
		value, number := finite(col.At(row), t.exp)
		if !number {
			if !col.At(row).IsNone() {
				bad++
			}
			value = obis.Value{}
			flags |= obis.Missing
		}
		at, timed := b.time(p.Times[row])
		if !timed {
			continue
		}
		out := Reading{TimeStamp: at, Value: value}
		if row < len(p.Starts) && !p.Starts[row].IsZero() {
			if out.Start, timed = b.time(p.Starts[row]); timed {
				out.End = at
			}
		}
		var left obis.Flags
		if out.Qualities, left = qualitiesOf(flags); left != 0 {
			lost |= left
			flagged++
		}
		block.Readings = append(block.Readings, out)
	}
	b.loseRows(i, bad, 0, "values that are no numbers")
	b.loseRows(i, enums, 0, "what kind of value they are: enum")
	b.loseRows(i, flagged, lost, "")
	m.IntervalBlocks = append(m.IntervalBlocks, block)
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
			out.Type = deviceType(b.data.Meter.Medium) + t.name
		}
	}
	if own := typeParam(e); own != "" {
		out.Type = own
	}
	if out.Type == e.Text {
		out.Reason = ""
	}
	if out.Type == "" {
		b.lose(mapping.Event, i, 0, "no EndDeviceEventType: carried by its log and number alone")
	}
	var ok bool
	if out.Created, ok = b.time(e.Time); !ok && !e.Time.IsZero() {
		b.lose(mapping.Event, i, 0, "a time without date or clock")
	}
	for p := range e.Params {
		if string(e.Params[p].RawID) == eventTypeName && !e.Params[p].Code.Valid() {
			continue
		}
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

// eventTypeName is the raw id of the type of an event that its log and number do not lead to.
const eventTypeName = "EndDeviceEventType"

// typeParam returns the type that an event has been given.
func typeParam(e *obis.Event) string {
	for i := range e.Params {
		if p := &e.Params[i]; string(p.RawID) == eventTypeName && !p.Code.Valid() {
			return p.Value.String()
		}
	}
	return ""
}

// deviceType returns the first part of the event types of a kind of meter: 3 of
// electricity meters, whose the logs of the table are, and 0, any, of what is said
// to be another one.
func deviceType(m obis.Medium) string {
	if m == obis.Unknown || m == obis.Electricity || m == obis.Abstract {
		return "3."
	}
	return "0."
}
