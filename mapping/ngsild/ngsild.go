// Package ngsild describes what a meter said as NGSI-LD entities (ETSI GS CIM
// 009) of the Smart Data Models, for context brokers such as those of FIWARE.
//
//	1-0:1.8.0*255  ->  ACMeasurement.totalActiveEnergyImport
//	1-0:32.7.0*255 ->  ACMeasurement.phaseVoltage.L1
//	8-0:1.0.0*255  ->  WaterConsumptionObserved.waterConsumption
//	6-0:1.0.0*255  ->  DeviceMeasurement, an entity of its own
//
// Each attribute says from which OBIS code it comes and, where that is not good,
// what its quality is.
package ngsild

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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

// attribute is where a code goes.
type attribute struct {
	entity, name, member string
	unit                 obis.Unit
}

type unitCode struct {
	code string
	exp  int
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
		if ok && errors.Join(err, bad) == nil {
			list[u] = unitCode{row[1], exp}
		}
	}
	return list
})

// contexts are where the terms of the entities are defined.
var contexts = map[string]string{
	"ACMeasurement":            "https://raw.githubusercontent.com/smart-data-models/dataModel.Energy/master/context.jsonld",
	"WaterConsumptionObserved": "https://raw.githubusercontent.com/smart-data-models/dataModel.WaterConsumption/master/context.jsonld",
	"DeviceMeasurement":        "https://raw.githubusercontent.com/smart-data-models/dataModel.Device/master/context.jsonld",
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
	m.lost = append(m.lost, mapping.ReadingsOnly(d)...)
	dst = append(dst, '[')
	for i := range m.entities {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.append(dst, &m.entities[i])
	}
	return append(dst, ']'), m.lost
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
}

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
	if !r.Code.Valid() || a == nil || a.unit != r.Unit && !(a.unit == obis.Count && r.Unit == obis.UnitUnknown) || !numeric(r.Value) {
		m.measurement(i)
		return
	}
	value, code, ok := inUnit(r)
	if !ok {
		m.lose(i, "no finite number")
		return
	}
	key := entityKey{kind: a.entity}
	if b, ok := r.Code.Channel(); ok {
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
	if slices.ContainsFunc(prop.parts, func(x part) bool { return x.member == a.member }) {
		m.lose(i, "another reading has "+a.entity+"."+a.name)
		return
	}
	prop.parts = append(prop.parts, part{a.member, value, i})
}

// measurement gives a reading an entity of its own.
func (m *mapper) measurement(i int) {
	r := &m.data.Readings[i]
	if m.codes[r.Code] || !r.Code.Valid() && m.raw[string(r.RawID)] {
		m.lose(i, "another reading has its id")
		return
	}
	value, code := r.Value, ""
	if numeric(r.Value) {
		var ok bool
		if value, code, ok = inUnit(r); !ok {
			m.lose(i, "no finite number")
			return
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
	m.entities = append(m.entities, entity{entityKey: entityKey{kind: deviceMeasurement}, single: part{"", value, i}, unit: code})
}

const deviceMeasurement = "DeviceMeasurement"

// inUnit returns the value in the unit that has a common code.
func inUnit(r *obis.Reading) (v obis.Value, code string, ok bool) {
	u, known := units()[r.Unit]
	if !known || r.Unit == obis.UnitUnknown {
		return r.Value, "", finite(r.Value)
	}
	v, ok = r.Value.Shift(u.exp)
	return v, u.code, ok && finite(v)
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
	return dst
}

func (m *mapper) append(dst []byte, e *entity) []byte {
	dst = m.appendURN(append(dst, `{"id":"`...), e)
	dst = append(append(append(dst, `","type":"`...), e.kind...), '"')
	switch e.kind {
	case "ACMeasurement":
		dst = append(append(append(dst, `,"phaseType":{"type":"Property","value":"`...), phaseType(e)...), `"}`...)
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
	if at, ok := m.observed(p); ok {
		dst = append(at.UTC().AppendFormat(append(dst, `,"observedAt":"`...), time.RFC3339Nano), '"')
	}
	dst = append(dst, `,"obis":{"type":"Property","value":`...)
	dst = appendParts(dst, p, m.appendID)
	dst = append(dst, '}')
	if slices.ContainsFunc(p.parts, func(x part) bool { return m.data.Readings[x.reading].Quality.Flags != 0 }) {
		dst = append(dst, `,"quality":{"type":"Property","value":`...)
		dst = appendParts(dst, p, func(dst []byte, x *part) []byte {
			return jsontext.AppendString(dst, m.data.Readings[x.reading].Quality.Flags.String())
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
	}
	return at, ok
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
	return append(dst, '"')
}
