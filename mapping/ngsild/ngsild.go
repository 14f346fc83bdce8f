// Package ngsild describes what a meter said as NGSI-LD entities (ETSI GS CIM
// 009) of the Smart Data Models, for context brokers such as those of FIWARE.
//
//	1-0:1.8.0*255  ->  ACMeasurement.totalActiveEnergyImport
//	1-0:32.7.0*255 ->  ACMeasurement.phaseVoltage.L1
//	1-0:3.7.0*255, 1-0:4.7.0*255 ->  ACMeasurement.totalReactivePower, their difference
//	8-0:1.0.0*255  ->  WaterConsumptionObserved.waterConsumption, whole cubic metres
//	6-0:1.0.0*255  ->  DeviceMeasurement, an entity of its own
//
// Each attribute says from which OBIS code it comes, when it was observed and,
// where that is not good, what its quality is. What the schema of an entity does
// not allow, as a negative power of a phase, is a DeviceMeasurement.
package ngsild

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "embed" // the tables

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed attributes.csv
var attributesCSV []byte

//go:embed units.csv
var unitsCSV []byte

//go:embed limits.csv
var limitsCSV []byte

//go:embed differences.csv
var differencesCSV []byte

// attribute is where a code goes.
type attribute struct {
	entity, name, member string
	unit                 obis.Unit
}

type unitCode struct {
	code  string
	exp   int
	as    obis.Unit // the unit that an attribute may have instead, UnitUnknown for none
	shift int
}

// limit is what a schema allows of a number.
type limit struct {
	min, max float64
	integer  bool
}

// difference is an attribute that is the difference of two codes.
type difference struct {
	plus, minus obis.Pattern
	to          attribute
}

// Rules say which attributes OBIS codes have. A nil *Rules is the built-in ones.
type Rules struct {
	table *mapping.Table[attribute]
}

// ReadRules reads rules in the form of attributes.csv of this package, which
// come before the built-in ones.
func ReadRules(r io.Reader) (*Rules, error) {
	own, err := readTable(r)
	if err != nil {
		return nil, err
	}
	both, err := own.Over(builtin())
	return &Rules{both}, err
}

func readTable(r io.Reader) (*mapping.Table[attribute], error) {
	return mapping.ReadTable(r, []string{"entity", "attribute", "member", "unit"}, func(cells []string) (attribute, error) {
		u, ok := obis.UnitByName(cells[3])
		if !ok {
			return attribute{}, fmt.Errorf("no unit %q", cells[3])
		}
		return attribute{cells[0], cells[1], cells[2], u}, nil
	})
}

// The tests check that the tables can be read.
var builtin = sync.OnceValue(func() *mapping.Table[attribute] {
	t, err := readTable(bytes.NewReader(attributesCSV))
	if err != nil {
		return &mapping.Table[attribute]{}
	}
	return t
})

var units = sync.OnceValue(func() map[obis.Unit]unitCode {
	rows, err := csvrows.Read(unitsCSV)
	list := map[obis.Unit]unitCode{}
	for _, row := range rows {
		u, ok := obis.UnitByName(row[0])
		exp, bad := strconv.Atoi(row[2])
		code := unitCode{code: row[1], exp: exp}
		if row[3] != "" {
			var known bool
			var badShift error
			code.as, known = obis.UnitByName(row[3])
			code.shift, badShift = strconv.Atoi(row[4])
			ok, bad = ok && known, errors.Join(bad, badShift)
		}
		if ok && errors.Join(err, bad) == nil {
			list[u] = code
		}
	}
	return list
})

var limits = sync.OnceValue(func() map[string]limit {
	rows, err := csvrows.Read(limitsCSV)
	list := map[string]limit{}
	for _, row := range rows {
		l := limit{math.Inf(-1), math.Inf(1), row[3] == "yes"}
		for i, bound := range []*float64{&l.min, &l.max} {
			if row[1+i] != "" {
				var bad error
				*bound, bad = strconv.ParseFloat(row[1+i], 64)
				err = errors.Join(err, bad)
			}
		}
		if err == nil {
			list[row[0]] = l
		}
	}
	return list
})

var differences = sync.OnceValue(func() (list []difference) {
	rows, err := csvrows.Read(differencesCSV)
	for _, row := range rows {
		plus, bad := obis.ParsePattern(row[0])
		minus, worse := obis.ParsePattern(row[1])
		u, known := obis.UnitByName(row[4])
		if errors.Join(err, bad, worse) == nil && known {
			list = append(list, difference{plus, minus, attribute{acMeasurement, row[2], row[3], u}})
		}
	}
	return list
})

// contexts are where the terms of the entities are defined.
var contexts = map[string]string{
	acMeasurement:     "https://raw.githubusercontent.com/smart-data-models/dataModel.Energy/master/context.jsonld",
	waterConsumption:  "https://raw.githubusercontent.com/smart-data-models/dataModel.WaterConsumption/master/context.jsonld",
	deviceMeasurement: "https://raw.githubusercontent.com/smart-data-models/dataModel.Device/master/context.jsonld",
}

const coreContext = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld"

// Append appends a JSON array of entities (application/ld+json), as a context
// broker takes it to create or update them together. Readings without a value,
// and those whose attribute another reading has, are not carried; nor are
// profiles and events.
func Append(dst []byte, d *mapping.Data, rules *Rules) ([]byte, []mapping.Loss) {
	m := mapper{data: d, meter: string(appendSegment(nil, d.Meter.ID)), table: builtin(), index: map[entityKey]int{},
		codes: make(map[obis.Code]bool, len(d.Readings)), raw: map[string]bool{}}
	if rules != nil {
		m.table = rules.table
	}
	for i := range d.Readings {
		m.reading(i)
	}
	m.differences()
	m.lost = append(m.lost, mapping.ReadingsOnly(d)...)
	dst = append(dst, '[')
	for i := range m.entities {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.append(dst, &m.entities[i])
	}
	return append(dst, ']'), d.Gather(append(m.lost, mapping.StatusLost(d)...))
}

type mapper struct {
	data     *mapping.Data
	meter    string // its id as a part of URNs
	table    *mapping.Table[attribute]
	entities []entity
	index    map[entityKey]int  // of the entities by attributes
	codes    map[obis.Code]bool // that have an entity of their own
	raw      map[string]bool
	lost     []mapping.Loss
	one      property // of the DeviceMeasurement that is written
}

// entityKey tells entities by attributes apart: a meter has one of a kind for each channel.
type entityKey struct {
	kind    string
	channel uint8
	hot     bool // of hot water
}

// entity is one entity: attributes, each of one reading or of one for each
// phase, or a DeviceMeasurement, which is single.
type entity struct {
	entityKey
	props  []property
	single part
	unit   string // of single
}

type property struct {
	name, unit string
	parts      []part
}

type part struct {
	member  string
	value   obis.Value
	reading int
	minus   int // of a difference: the reading that was subtracted; alone for none
}

// alone says that a part is of one reading.
const alone = -1

func (m *mapper) lose(i int, reason string) {
	m.lost = append(m.lost, mapping.Loss{Index: i, Flags: m.data.Readings[i].Quality.Flags, Reason: reason})
}

func (m *mapper) reading(i int) {
	r := &m.data.Readings[i]
	switch {
	case r.Value.IsNone():
		m.lose(i, "no value")
		return
	case !r.Code.Valid() && len(r.RawID) == 0:
		m.lose(i, "no id")
		return
	}
	a := m.table.Find(r.Code)
	if !r.Code.Valid() || a == nil || !numeric(r.Value) {
		m.measurement(i)
		return
	}
	value, fits := a.of(r)
	if !fits {
		m.measurement(i)
		return
	}
	value, code, ok := inUnit(value, a.unit)
	if !ok {
		m.lose(i, "no finite number")
		return
	}
	l, limited := limits()[a.name]
	if f, _ := value.Float64(); limited && (f < l.min || f > l.max) {
		m.measurement(i)
		return
	}
	if limited && l.integer {
		whole, exact := integer(value)
		if !exact && !m.measurement(i) {
			return
		}
		value = whole
	}
	if !m.put(a, code, part{a.member, value, i, alone}) {
		m.lose(i, "another reading has "+a.entity+"."+a.name)
	}
}

// of returns the value of a reading in the unit of the attribute.
func (a *attribute) of(r *obis.Reading) (obis.Value, bool) {
	if a.unit == r.Unit || a.unit == obis.Count && r.Unit == obis.UnitUnknown {
		return r.Value, true
	}
	if u, known := units()[r.Unit]; known && u.as == a.unit && u.as != obis.UnitUnknown {
		return r.Value.Shift(u.shift)
	}
	return r.Value, false
}

// integer returns the whole part of a number, and whether that is all of it.
func integer(v obis.Value) (obis.Value, bool) {
	if whole, ok := v.Rescale(0); ok {
		return whole, true
	}
	if m, exp, decimal := v.Decimal(); decimal && exp < 0 {
		for ; exp < 0 && m != 0; exp++ {
			m /= 10
		}
		return obis.Int(m, 0), false
	}
	f, _ := v.Float64()
	return obis.Float64(math.Float64bits(math.Trunc(f)), 0), math.Trunc(f) == f
}

// put adds a part to its entity. It is not ok where another one is there.
func (m *mapper) put(a *attribute, code string, x part) bool {
	c := m.data.Readings[x.reading].Code
	key := entityKey{kind: a.entity, hot: a.entity == waterConsumption && c.Medium() == obis.HotWater}
	if b, ok := c.Channel(); ok {
		key.channel = b
	}
	n, known := m.index[key]
	if !known {
		n = len(m.entities)
		m.index[key] = n
		m.entities = append(m.entities, entity{entityKey: key})
	}
	e := &m.entities[n]
	p := slices.IndexFunc(e.props, func(p property) bool { return p.name == a.name })
	if p < 0 {
		e.props = append(e.props, property{name: a.name, unit: code})
		p = len(e.props) - 1
	}
	prop := &e.props[p]
	if slices.ContainsFunc(prop.parts, func(y part) bool { return y.member == a.member }) {
		return false
	}
	prop.parts = append(prop.parts, x)
	return true
}

// differences adds the attributes that are the difference of two readings of one
// time, which themselves are DeviceMeasurements.
func (m *mapper) differences() {
	for _, diff := range differences() {
		for i := range m.data.Readings {
			plus := &m.data.Readings[i]
			if !diff.plus.Match(plus.Code) || plus.Unit != diff.to.unit {
				continue
			}
			other := plus.Code
			other[2] = diff.minus.Lo[2]
			j := slices.IndexFunc(m.data.Readings, func(r obis.Reading) bool { return r.Code == other && r.Unit == diff.to.unit })
			if j < 0 || !m.together(plus, &m.data.Readings[j]) {
				continue
			}
			v, ok := mapping.Difference(plus.Value, m.data.Readings[j].Value)
			f, _ := v.Float64()
			if l, limited := limits()[diff.to.name]; !ok || !finite(v) || limited && (f < l.min || f > l.max) {
				continue
			}
			value, code, _ := inUnit(v, diff.to.unit)
			m.put(&diff.to, code, part{diff.to.member, value, i, j})
		}
	}
}

// together reports whether two readings are of one time.
func (m *mapper) together(a, b *obis.Reading) bool {
	x, timed := a.Time.Instant(m.data.Clock)
	y, other := b.Time.Instant(m.data.Clock)
	return timed == other && x.Equal(y)
}

// measurement gives a reading an entity of its own. It is not ok where it cannot have one.
func (m *mapper) measurement(i int) bool {
	r := &m.data.Readings[i]
	if m.codes[r.Code] || !r.Code.Valid() && m.raw[string(r.RawID)] {
		m.lose(i, "another reading has its id")
		return false
	}
	value, code := r.Value, ""
	if numeric(r.Value) {
		var ok bool
		if value, code, ok = inUnit(r.Value, r.Unit); !ok {
			m.lose(i, "no finite number")
			return false
		}
		if r.Unit != obis.UnitUnknown && code == "" {
			m.lose(i, "UN/CEFACT has no common code for the unit "+r.Unit.String())
		}
	}
	if r.Code.Valid() {
		m.codes[r.Code] = true
	} else {
		m.raw[string(r.RawID)] = true
	}
	m.entities = append(m.entities, entity{entityKey: entityKey{kind: deviceMeasurement}, single: part{"", value, i, alone}, unit: code})
	return true
}

// The entities of the models.
const (
	acMeasurement     = "ACMeasurement"
	waterConsumption  = "WaterConsumptionObserved"
	deviceMeasurement = "DeviceMeasurement"
)

// inUnit returns a value in the unit that has a common code.
func inUnit(v obis.Value, unit obis.Unit) (_ obis.Value, code string, ok bool) {
	u, known := units()[unit]
	if !known || unit == obis.UnitUnknown {
		return v, "", finite(v)
	}
	shifted, ok := v.Shift(u.exp)
	return shifted, u.code, ok && finite(shifted)
}

func numeric(v obis.Value) bool {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64:
		return true
	}
	return false
}

func finite(v obis.Value) bool {
	if _, _, binary := v.FloatBits(); !binary {
		return true
	}
	f, _ := v.Float64()
	return f-f == 0
}

// appendSegment appends an id as a part of a URN: what may not stand there is percent-encoded.
func appendSegment(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._:*", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	if s == "" {
		return append(dst, "meter"...)
	}
	return dst
}

// appendURN appends the id of an entity.
func (m *mapper) appendURN(dst []byte, e *entity) []byte {
	dst = append(append(append(dst, "urn:ngsi-ld:"...), e.kind...), ':')
	dst = append(dst, m.meter...)
	switch {
	case e.kind == deviceMeasurement:
		dst = append(dst, ':')
		r := &m.data.Readings[e.single.reading]
		if !r.Code.Valid() {
			return appendSegment(dst, obis.RawIDText(r.RawID))
		}
		dst, _ = r.Code.AppendText(dst)
	case e.channel > 0:
		dst = strconv.AppendUint(append(dst, ':'), uint64(e.channel), 10)
	}
	if e.hot {
		dst = append(dst, ":hot"...)
	}
	return dst
}

func (m *mapper) append(dst []byte, e *entity) []byte {
	dst = m.appendURN(append(dst, `{"id":"`...), e)
	dst = append(append(append(dst, `","type":"`...), e.kind...), '"')
	switch e.kind {
	case acMeasurement:
		dst = append(append(append(dst, `,"phaseType":{"type":"Property","value":"`...), phaseType(e)...), `"}`...)
		dst = m.appendRequired(dst, e)
	case waterConsumption:
		if e.hot {
			dst = append(dst, `,"waterType":{"type":"Property","value":"hotWater"}`...)
		}
	case deviceMeasurement:
		dst = append(append(append(dst, `,"refDevice":{"type":"Relationship","object":"urn:ngsi-ld:Device:`...), m.meter...), `"}`...)
		if r := &m.data.Readings[e.single.reading]; r.Code.Valid() {
			dst = obis.AppendDescription(append(dst, `,"controlledProperty":{"type":"Property","value":"`...), r.Code)
			dst = append(dst, `"}`...)
		}
		m.one = property{"textValue", e.unit, append(m.one.parts[:0], e.single)}
		if numeric(e.single.value) {
			m.one.name = "numValue"
		}
		dst = m.appendProperty(append(dst, ','), &m.one)
	}
	for i := range e.props {
		dst = m.appendProperty(append(dst, ','), &e.props[i])
	}
	dst = append(append(dst, `,"@context":["`...), contexts[e.kind]...)
	return append(dst, `","`+coreContext+`"]}`...)
}

// appendRequired appends what the schema requires beside the measurements, and says what of it is not known.
func (m *mapper) appendRequired(dst []byte, e *entity) []byte {
	last, own := time.Time{}, false
	for _, p := range e.props {
		for _, x := range p.parts {
			if at, ok := m.data.Readings[x.reading].Time.Instant(m.data.Clock); ok && at.After(last) {
				last, own = at, true
			}
		}
	}
	if !own {
		last = m.data.Received
	}
	missing := "location"
	if last.IsZero() {
		missing = "location and dateObserved"
	} else {
		dst = append(last.UTC().AppendFormat(append(dst, `,"dateObserved":{"type":"Property","value":"`...), time.RFC3339Nano), '"')
		dst = append(appendReceived(dst, !own), '}')
	}
	m.lost = append(m.lost, mapping.Loss{Index: e.props[0].parts[0].reading, Reason: e.kind + " requires " + missing + ", which nobody said"})
	return dst
}

// appendReceived marks a time as that at which the data came.
func appendReceived(dst []byte, received bool) []byte {
	if !received {
		return dst
	}
	return append(dst, `,"timeSource":{"type":"Property","value":"received"}`...)
}

// phaseType is "threePhase" where the meter showed more than the first phase.
func phaseType(e *entity) string {
	for _, p := range e.props {
		for _, x := range p.parts {
			if x.member == "L2" || x.member == "L3" || strings.HasPrefix(x.member, "L12") {
				return "threePhase"
			}
		}
	}
	return "singlePhase"
}

// appendProperty appends a property with its sub-properties, which have the
// members of a value by phases.
func (m *mapper) appendProperty(dst []byte, p *property) []byte {
	dst = append(append(append(dst, '"'), p.name...), `":{"type":"Property","value":`...)
	dst = appendParts(dst, p, func(dst []byte, x *part) []byte {
		if numeric(x.value) {
			return x.value.Append(dst)
		}
		return jsontext.AppendString(dst, m.text(x.value))
	})
	if p.unit != "" {
		dst = append(append(append(dst, `,"unitCode":"`...), p.unit...), '"')
	}
	at, own := m.observed(p)
	if !own {
		at = m.data.Received
	}
	if !at.IsZero() {
		dst = append(at.UTC().AppendFormat(append(dst, `,"observedAt":"`...), time.RFC3339Nano), '"')
		dst = appendReceived(dst, !own)
	}
	if start, ok := m.start(p); ok {
		dst = append(start.UTC().AppendFormat(append(dst, `,"intervalStart":{"type":"Property","value":"`...), time.RFC3339Nano), `"}`...)
	}
	dst = append(dst, `,"obis":{"type":"Property","value":`...)
	dst = appendParts(dst, p, m.appendID)
	dst = append(dst, '}')
	if slices.ContainsFunc(p.parts, func(x part) bool { return m.flags(&x) != 0 }) {
		dst = append(dst, `,"quality":{"type":"Property","value":`...)
		dst = appendParts(dst, p, func(dst []byte, x *part) []byte {
			return jsontext.AppendString(dst, m.flags(x).String())
		})
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// appendParts appends the value of a property, or an object with that of each member.
func appendParts(dst []byte, p *property, value func(dst []byte, x *part) []byte) []byte {
	if p.parts[0].member == "" {
		return value(dst, &p.parts[0])
	}
	for i := range p.parts {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		dst = append(append(append(append(dst, sep), '"'), p.parts[i].member...), `":`...)
		dst = value(dst, &p.parts[i])
	}
	return append(dst, '}')
}

// observed returns when the parts of a property were measured; where that was
// not at one time, the times of the others are lost.
func (m *mapper) observed(p *property) (at time.Time, ok bool) {
	for i, x := range p.parts {
		r := &m.data.Readings[x.reading]
		t, timed := r.Time.Instant(m.data.Clock)
		switch {
		case !timed && !r.Time.IsZero():
			m.lost = append(m.lost, mapping.Loss{Index: x.reading, Reason: "its time, which is no instant"})
		case i > 0 && timed && !t.Equal(at):
			m.lost = append(m.lost, mapping.Loss{Index: x.reading, Reason: "its time, which is not that of the other phases"})
		case i == 0:
			at, ok = t, timed
		}
		if reason := mapping.TimeLost(r.Time); timed && reason != "" {
			m.lost = append(m.lost, mapping.Loss{Index: x.reading, Reason: reason})
		}
	}
	return at, ok
}

// start returns when the interval of the parts of a property began; where that was
// not at one time, those of the others are lost.
func (m *mapper) start(p *property) (at time.Time, ok bool) {
	for i, x := range p.parts {
		r := &m.data.Readings[x.reading]
		t, timed := r.Start.Instant(m.data.Clock)
		switch {
		case i == 0 && timed:
			at, ok = t, true
		case !r.Start.IsZero() && !(timed && ok && t.Equal(at)):
			m.lost = append(m.lost, mapping.Loss{Index: x.reading, Reason: "the start of its interval"})
		}
	}
	return at, ok
}

// flags returns the flags of a part: those of both readings of a difference.
func (m *mapper) flags(x *part) obis.Flags {
	f := m.data.Readings[x.reading].Quality.Flags
	if x.minus != alone {
		f |= m.data.Readings[x.minus].Quality.Flags | obis.Derived
	}
	return f
}

func (m *mapper) text(v obis.Value) string {
	if t, ok := v.Time(); ok {
		if at, known := t.Instant(m.data.Clock); known {
			return at.Format(time.RFC3339Nano)
		}
	}
	return v.String()
}

func (m *mapper) appendID(dst []byte, x *part) []byte {
	r := &m.data.Readings[x.reading]
	if !r.Code.Valid() {
		return jsontext.AppendString(dst, obis.RawIDText(r.RawID))
	}
	dst, _ = r.Code.AppendText(append(dst, '"'))
	if x.minus != alone {
		dst, _ = m.data.Readings[x.minus].Code.AppendText(append(dst, " - "...))
	}
	return append(dst, '"')
}
