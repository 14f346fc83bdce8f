package coap

import (
	"bytes"
	"cmp"
	_ "embed" // lwm2m.csv
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed lwm2m.csv
var lwm2mCSV []byte

// objectNames are the objects of the built-in rules.
var objectNames = map[uint16]string{
	3305: "power measurement", 3331: "energy", 3421: "single-phase electrical meter", 3422: "three-phase electrical meter complement", 3423: "gas meter",
	3424: "water meter", 10242: "three-phase power meter", 10243: "single-phase power meter", 10257: "heat / cooling meter",
}

// Resource ids that mean the same in several objects.
const (
	sensorValue     = 5700
	sensorUnits     = 5701
	applicationType = 5750
)

// lwm2mType is the type of a resource.
type lwm2mType uint8

const (
	lwm2mFloat lwm2mType = iota
	lwm2mInteger
	lwm2mBoolean
	lwm2mString
	lwm2mTime
)

var lwm2mTypes = []string{"float", "integer", "boolean", "string", "time"}

// path is where a value stands in the objects.
type path struct {
	object, instance, resource uint16
	sub                        int32 // resource instance, -1 for none
}

// wholeInstance in place of a resource instance names the whole object instance.
const wholeInstance = -2

func (p path) String() string {
	s := fmt.Sprintf("/%d/%d/%d", p.object, p.instance, p.resource)
	if p.sub >= 0 {
		s += "/" + strconv.Itoa(int(p.sub))
	}
	return s
}

func (p path) compare(q path) int {
	return cmp.Or(cmp.Compare(p.object, q.object), cmp.Compare(p.instance, q.instance), cmp.Compare(p.resource, q.resource), cmp.Compare(p.sub, q.sub))
}

// value is a resource and what it holds.
type value struct {
	path
	kind  lwm2mType
	value obis.Value
	at    time.Time
	from  int // the reading that it is, from 1; 0 for none
}

// target is where a code goes.
type target struct {
	path
	kind   lwm2mType
	units  []divisor
	phases byte // 1 or 3, 0 for any
}

// divisor says what a value in a unit is divided by.
type divisor struct {
	unit obis.Unit
	exp  int     // of a power of ten
	per  float64 // of another number, else 0
}

// Rules say which resources of LwM2M objects OBIS codes are. A nil *Rules is the
// built-in ones.
type Rules struct {
	one, three []*mapping.Table[target] // of each object, for meters of one phase and of three
}

// ReadRules reads rules in the form of lwm2m.csv of this package, which come
// before the built-in ones: in each object that they name, the codes that they
// name go where they say.
func ReadRules(r io.Reader) (*Rules, error) {
	own, err := readTable(r)
	if err != nil {
		return nil, err
	}
	both, err := own.Over(builtinTable())
	if err != nil {
		return nil, err
	}
	return newRules(both)
}

func readTable(r io.Reader) (*mapping.Table[target], error) {
	return mapping.ReadTable(r, []string{"path", "type", "unit", "phases"}, parseTarget)
}

// newRules splits a table by objects, since a code has its place in each.
func newRules(t *mapping.Table[target]) (*Rules, error) {
	split := func(phases byte) (list []*mapping.Table[target], err error) {
		objects := map[uint16]*mapping.Table[target]{}
		for _, rule := range t.Rules {
			if rule.Target.phases != 0 && rule.Target.phases != phases {
				continue
			}
			o := objects[rule.Target.object]
			if o == nil {
				o = &mapping.Table[target]{}
				objects[rule.Target.object] = o
			}
			o.Rules = append(o.Rules, rule)
		}
		for _, id := range slices.Sorted(maps.Keys(objects)) {
			indexed, err := objects[id].Over(&mapping.Table[target]{})
			if err != nil {
				return nil, err
			}
			list = append(list, indexed)
		}
		return list, nil
	}
	one, err := split(1)
	if err != nil {
		return nil, err
	}
	three, err := split(3)
	return &Rules{one, three}, err
}

// The tests check that the table can be read.
var builtinTable = sync.OnceValue(func() *mapping.Table[target] {
	t, err := readTable(bytes.NewReader(lwm2mCSV))
	if err != nil {
		return &mapping.Table[target]{}
	}
	return t
})

var builtinRules = sync.OnceValue(func() *Rules {
	r, err := newRules(builtinTable())
	if err != nil {
		return &Rules{}
	}
	return r
})

func parseTarget(cells []string) (t target, err error) {
	if t.path, err = parsePath(cells[0]); err != nil {
		return t, err
	}
	kind := slices.Index(lwm2mTypes, cells[1])
	if kind < 0 {
		return t, fmt.Errorf("no type %q", cells[1])
	}
	t.kind = lwm2mType(kind)
	for _, text := range strings.Fields(cells[2]) {
		d, err := parseDivisor(text)
		if err != nil {
			return t, err
		}
		t.units = append(t.units, d)
	}
	switch cells[3] {
	case "":
	case "1", "3":
		t.phases = cells[3][0] - '0'
	default:
		return t, fmt.Errorf("phases %q, want 1 or 3", cells[3])
	}
	return t, nil
}

func parsePath(text string) (p path, err error) {
	p.sub = -1
	parts := strings.Split(text, "/")
	if len(parts) != 3 && len(parts) != 4 {
		return p, fmt.Errorf("path %q, want object/instance/resource", text)
	}
	var n [4]uint16
	for i, part := range parts {
		x, err := strconv.ParseUint(part, 10, 16)
		if err != nil || x == math.MaxUint16 {
			return p, fmt.Errorf("path %q: %q is no id", text, part)
		}
		n[i] = uint16(x)
	}
	p.object, p.instance, p.resource = n[0], n[1], n[2]
	if len(parts) == 4 {
		p.sub = int32(n[3])
	}
	return p, nil
}

func parseDivisor(text string) (d divisor, err error) {
	name, per, divided := strings.Cut(text, "=")
	var ok bool
	if d.unit, ok = obis.UnitByName(name); !ok {
		return d, fmt.Errorf("no unit %q", name)
	}
	if !divided {
		return d, nil
	}
	if d.per, err = strconv.ParseFloat(per, 64); err != nil || !(d.per > 0) || math.IsInf(d.per, 0) {
		return d, fmt.Errorf("divisor %q of %s", per, name)
	}
	for exp, power := -12, 1e-12; exp <= 12; exp, power = exp+1, math.Pow10(exp+1) {
		if d.per == power {
			return divisor{unit: d.unit, exp: exp}, nil
		}
	}
	return d, nil
}

// AppendLwM2M appends the resources of LwM2M objects that a meter has, in SenML
// JSON as LwM2M 1.1 has it: without units, since the objects say them.
//
//	[{"bn":"/3305/0/","n":"5800","v":1250,"t":1795176000},…
//
// Energies of object 3331 come with their unit (5701) and with what they are
// (5750). Not carried: codes and raw ids without a rule, other units than those
// of the rule, quality, profiles, events. Where several readings have one
// resource, the first is carried.
func AppendLwM2M(dst []byte, d *mapping.Data, rules *Rules) ([]byte, []mapping.Loss) {
	list, lost := lwm2mValues(d, rules)
	return appendValuesJSON(dst, list), lost
}

// lwm2mValues returns the resources in order.
func lwm2mValues(d *mapping.Data, rules *Rules) (list []value, lost []mapping.Loss) {
	if rules == nil {
		rules = builtinRules()
	}
	tables := rules.one
	if slices.ContainsFunc(d.Readings, func(r obis.Reading) bool { p := r.Code.Phase(); return p == obis.PhaseL2 || p == obis.PhaseL3 }) {
		tables = rules.three
	}
	taken := make(map[path]bool, 2*len(d.Readings))
	list = make([]value, 0, 2*len(d.Readings))
	for i := range d.Readings {
		r := &d.Readings[i]
		var last refusal
		carried := false
		for _, table := range tables {
			t := table.Find(r.Code)
			if t == nil || !r.Code.Valid() || r.Quality.Flags&obis.Invalid != 0 {
				continue
			}
			v, why := t.value(r)
			if why == fits && taken[t.path] {
				why = hasAnother
			}
			if why != fits {
				last = refusal{t, why}
				continue
			}
			v.from = i + 1
			if v.at, _ = r.Time.Instant(d.Clock); v.at.IsZero() && !r.Time.IsZero() {
				lost = append(lost, mapping.Loss{Index: i, Reason: "its time, which is no instant"})
			}
			taken[t.path], carried = true, true
			list = appendWithUnit(append(list, v), r)
			if instance := (path{t.object, t.instance, 0, wholeInstance}); !taken[instance] {
				taken[instance] = true
				list = appendIdentity(list, t.path, &d.Meter)
			}
		}
		reason := ""
		if !carried {
			if reason = last.reason(r); r.Quality.Flags&obis.Invalid != 0 {
				reason = invalid
			}
		}
		if reason != "" || r.Quality.Flags != 0 {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
		}
		if !carried {
			continue
		}
		if !r.Start.IsZero() {
			lost = append(lost, mapping.Loss{Index: i, Reason: "the start of its interval"})
		}
		if doubtful := mapping.TimeLost(r.Time); doubtful != "" {
			lost = append(lost, mapping.Loss{Index: i, Reason: doubtful})
		}
	}
	for i := range d.Profiles {
		lost = append(lost, mapping.Loss{Part: mapping.Profile, Index: i, Reason: "objects have no profiles"})
	}
	for i := range d.Events {
		lost = append(lost, mapping.Loss{Part: mapping.Event, Index: i, Reason: "objects have no events"})
	}
	list = appendPhases(list, taken)
	slices.SortFunc(list, func(a, b value) int { return a.compare(b.path) })
	return list, d.Gather(append(lost, mapping.StatusLost(d)...))
}

// why says why a resource does not take a reading.
type why uint8

const (
	fits why = iota
	noValue
	hasAnother
	otherUnit
	otherType
)

// refusal is the last reason of several objects.
type refusal struct {
	target *target
	why    why
}

func (f refusal) reason(r *obis.Reading) string {
	switch f.why {
	case noValue:
		return "no value"
	case hasAnother:
		return "another reading has " + f.target.path.String()
	case otherUnit:
		return fmt.Sprintf("%v takes no value in %v", f.target.path, cmp.Or(r.Unit, obis.Count))
	case otherType:
		return fmt.Sprintf("%v is of type %s", f.target.path, lwm2mTypes[f.target.kind])
	}
	return "no object has it"
}

// value makes the resource of a reading, or says why it cannot.
func (t *target) value(r *obis.Reading) (v value, _ why) {
	v = value{path: t.path, kind: t.kind, value: r.Value}
	if r.Value.IsNone() {
		return v, noValue
	}
	unit := cmp.Or(r.Unit, obis.Count)
	if len(t.units) > 0 {
		i := slices.IndexFunc(t.units, func(d divisor) bool { return d.unit == unit })
		if i < 0 {
			return v, otherUnit
		}
		var ok bool
		if v.value, ok = t.units[i].divide(r.Value); !ok {
			return v, otherType
		}
	}
	if !v.fits() {
		return v, otherType
	}
	return v, fits
}

func (d *divisor) divide(v obis.Value) (obis.Value, bool) {
	if d.per == 0 {
		if d.exp == 0 {
			return v, true
		}
		return v.Shift(-d.exp)
	}
	f, _ := v.Float64()
	return obis.Float64(math.Float64bits(f/d.per), 0), f-f == 0
}

// fits reports whether the value is of the resource's type.
func (v *value) fits() bool {
	switch v.kind {
	case lwm2mFloat:
		f, _ := v.value.Float64()
		return f-f == 0
	case lwm2mInteger:
		whole, ok := v.value.Rescale(0)
		if n, enum := v.value.Enum(); enum {
			whole, ok = obis.Int(n, 0), v.value.Kind() == obis.KindEnum
		}
		v.value = whole
		_, _, decimal := whole.Decimal()
		return ok && decimal
	case lwm2mBoolean:
		return v.value.Kind() == obis.KindBool
	case lwm2mTime:
		at, ok := v.value.Time()
		if !ok {
			return false
		}
		when, ok := at.Instant(obis.Clock{})
		v.value = obis.Int(when.Unix(), 0)
		return ok
	}
	text := v.value.String()
	v.value = obis.Text([]byte(text))
	return utf8.ValidString(text)
}

// appendWithUnit adds what says of a generic sensor what it measures.
func appendWithUnit(list []value, r *obis.Reading) []value {
	v := list[len(list)-1]
	if v.resource != sensorValue {
		return list
	}
	add := func(resource uint16, text string) {
		list = append(list, value{path: path{v.object, v.instance, resource, -1}, kind: lwm2mString, value: obis.Text([]byte(text))})
	}
	add(sensorUnits, r.Unit.String())
	add(applicationType, strings.TrimSpace(obis.Describe(r.Code)+" "+r.Code.String()))
	return list
}

// appendIdentity adds who the meter is to an instance of an object that has that
// (0 manufacturer, 1 model, 2 serial number).
func appendIdentity(list []value, p path, m *obis.Meter) []value {
	if p.object != 10242 && p.object != 10243 && p.object != 10257 {
		return list
	}
	for resource, text := range [...]string{m.Manufacturer, m.Model, m.Serial} {
		if text != "" {
			text = strings.ToValidUTF8(text, "\uFFFD")
			list = append(list, value{path: path{p.object, p.instance, uint16(resource), -1}, kind: lwm2mString, value: obis.Text([]byte(text))})
		}
	}
	return list
}

// The object of three phases, its resource for the instance of the first phase, and the object of that instance.
const (
	threePhases   = 3422
	firstInstance = 36
	singlePhase   = 3421
)

// appendPhases tells an instance of 3422 which instances of 3421 its phases are.
func appendPhases(list []value, taken map[path]bool) []value {
	if !taken[path{threePhases, 0, 0, wholeInstance}] {
		return list
	}
	for phase := range uint16(3) {
		at := path{threePhases, 0, firstInstance + phase, -1}
		if taken[path{singlePhase, phase, 0, wholeInstance}] && !taken[at] {
			list = append(list, value{path: at, kind: lwm2mInteger, value: obis.Int(int64(phase), 0)})
		}
	}
	return list
}

func appendValuesJSON(dst []byte, list []value) []byte {
	dst = append(dst, '[')
	for i := range list {
		v := &list[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if i == 0 || v.object != list[i-1].object || v.instance != list[i-1].instance {
			dst = append(v.appendBase(append(dst, `"bn":"`...)), `",`...)
		}
		dst = append(v.appendName(append(dst, `"n":"`...)), '"')
		switch v.kind {
		case lwm2mBoolean:
			dst = v.value.Append(append(dst, `,"vb":`...))
		case lwm2mString:
			dst = jsontext.AppendString(append(dst, `,"vs":`...), v.value.String())
		default:
			dst = v.value.Append(append(dst, `,"v":`...))
		}
		if !v.at.IsZero() {
			dst = seconds(v.at).Append(append(dst, `,"t":`...))
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendValuesCBOR(dst []byte, list []value) []byte {
	dst = appendHead(dst, cborArray, uint64(len(list)))
	for i := range list {
		v := &list[i]
		based := i == 0 || v.object != list[i-1].object || v.instance != list[i-1].instance
		pairs := uint64(2)
		if based {
			pairs++
		}
		if !v.at.IsZero() {
			pairs++
		}
		dst = appendHead(dst, cborMap, pairs)
		if based {
			dst = appendInt(dst, labelBaseName)
			dst = shiftHead(v.appendBase(dst), len(dst), cborText)
		}
		dst = appendInt(dst, labelName)
		dst = shiftHead(v.appendName(dst), len(dst), cborText)
		switch v.kind {
		case lwm2mBoolean:
			n, _ := v.value.Enum()
			dst = append(appendInt(dst, labelBool), cborFalse+byte(n))
		case lwm2mString:
			dst = appendString(appendInt(dst, labelString), cborText, v.value.String())
		default:
			dst = appendNumber(appendInt(dst, labelValue), v.value)
		}
		if !v.at.IsZero() {
			dst = appendNumber(appendInt(dst, labelTime), seconds(v.at))
		}
	}
	return dst
}

func (p path) appendBase(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, '/'), uint64(p.object), 10)
	return append(strconv.AppendUint(append(dst, '/'), uint64(p.instance), 10), '/')
}

func (p path) appendName(dst []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(p.resource), 10)
	if p.sub >= 0 {
		dst = strconv.AppendInt(append(dst, '/'), int64(p.sub), 10)
	}
	return dst
}

// appendObjects writes what is at or below a path.
func (t *Tree) appendObjects(dst []byte, at string, f Format) []byte {
	list := t.values()
	first := slices.IndexFunc(list, func(v value) bool { return v.below(at) })
	if first < 0 { // a value of another kind than before, which the resource does not take
		first = len(list)
	}
	list = list[first:]
	if n := slices.IndexFunc(list, func(v value) bool { return !v.below(at) }); n >= 0 {
		list = list[:n]
	}
	switch f {
	case SenMLCBOR:
		return appendValuesCBOR(dst, list)
	case LwM2MTLV:
		return appendTLV(dst, list, strings.Count(at, "/") == 1)
	case Text:
		for i := range list {
			if i > 0 {
				dst = append(dst, '\n')
			}
			dst = list[i].appendText(dst)
		}
		return dst
	}
	return appendValuesJSON(dst, list)
}

// below reports whether the value is at the path or below it.
func (p path) below(at string) bool {
	s := p.String()
	return s == at || len(s) > len(at) && s[len(at)] == '/' && s[:len(at)] == at
}

// appendText appends the value as text/plain of LwM2M: truth is 0 or 1.
func (v *value) appendText(dst []byte) []byte {
	if n, ok := v.value.Enum(); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	return v.value.Append(dst)
}

// The kinds of TLV (LwM2M 1.0, section 6.4.3), and the flag of an id of two octets.
const (
	tlvInstance         = 0 << 6
	tlvResourceInstance = 1 << 6
	tlvMultiple         = 2 << 6
	tlvResource         = 3 << 6
	tlvLongID           = 1 << 5
)

// appendTLV appends the values as TLV, within their object instances where an
// object is read. TLV has no times.
func appendTLV(dst []byte, list []value, instances bool) []byte {
	for len(list) > 0 {
		v, n := list[0], 1
		var inner []byte
		switch {
		case instances:
			for n < len(list) && list[n].instance == v.instance {
				n++
			}
			inner = appendTLV(nil, list[:n], false)
			dst = appendTLVHead(dst, tlvInstance, v.instance, len(inner))
		case v.sub >= 0:
			for n < len(list) && list[n].resource == v.resource {
				n++
			}
			for i := range list[:n] {
				one := list[i].appendTLVValue(nil)
				inner = append(appendTLVHead(inner, tlvResourceInstance, uint16(list[i].sub), len(one)), one...)
			}
			dst = appendTLVHead(dst, tlvMultiple, v.resource, len(inner))
		default:
			inner = v.appendTLVValue(nil)
			dst = appendTLVHead(dst, tlvResource, v.resource, len(inner))
		}
		dst = append(dst, inner...)
		list = list[n:]
	}
	return dst
}

func appendTLVHead(dst []byte, kind byte, id uint16, length int) []byte {
	start := len(dst)
	dst = append(dst, kind)
	if id > math.MaxUint8 {
		dst[start] |= tlvLongID
		dst = append(dst, byte(id>>8))
	}
	dst = append(dst, byte(id))
	switch {
	case length < 8:
		dst[start] |= byte(length)
	case length <= math.MaxUint8:
		dst[start] |= 1 << 3
		dst = append(dst, byte(length))
	case length <= math.MaxUint16:
		dst[start] |= 2 << 3
		dst = binary.BigEndian.AppendUint16(dst, uint16(length))
	default:
		dst[start] |= 3 << 3
		dst = append(dst, byte(length>>16), byte(length>>8), byte(length))
	}
	return dst
}

// appendTLVValue appends a float as 64 bits, and an integer as few octets as hold it.
func (v *value) appendTLVValue(dst []byte) []byte {
	switch v.kind {
	case lwm2mBoolean:
		n, _ := v.value.Enum()
		return append(dst, byte(n))
	case lwm2mString:
		return v.value.Append(dst)
	case lwm2mFloat:
		f, _ := v.value.Float64()
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
	}
	switch n, _, _ := v.value.Decimal(); {
	case int64(int8(n)) == n:
		return append(dst, byte(n))
	case int64(int16(n)) == n:
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	case int64(int32(n)) == n:
		return binary.BigEndian.AppendUint32(dst, uint32(n))
	default:
		return binary.BigEndian.AppendUint64(dst, uint64(n))
	}
}
