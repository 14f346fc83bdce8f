package coap

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// ParseError says which record of a SenML pack could not be read, and which of its fields.
type ParseError struct {
	Record int
	Field  string
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("coap: SenML record %d: %s: %v", e.Record, e.Field, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// resolved is a record with its base values added.
type resolved struct {
	name, unit string
	value      obis.Value
	at         obis.Time
}

// base holds what later records inherit.
type base struct {
	name, unit  string
	time, value obis.Value
}

// fields is one record in the terms of JSON.
type fields struct {
	bn, bu, n, u, vs  *string
	bt, bv, v, t, sum obis.Value
	vb                *bool
	vd                []byte
	version           uint64
	must              string // a label that we do not know but must
}

// ParseSenML reads a SenML pack in JSON. Names that are OBIS codes, as this
// package writes them, become codes, others raw ids; values of one name at
// several times a profile. Unread names the records that say something else,
// such as sums.
func ParseSenML(doc []byte) (d *mapping.Data, unread []string, err error) {
	var pack []map[string]json.RawMessage
	if err := json.Unmarshal(doc, &pack); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errSenML, err)
	}
	list := make([]fields, len(pack))
	for i, rec := range pack {
		for label, raw := range rec {
			if err := list[i].setJSON(label, raw); err != nil {
				return nil, nil, &ParseError{i, label, err}
			}
		}
	}
	return resolve(list)
}

func (f *fields) setJSON(label string, raw json.RawMessage) (err error) {
	text := func(to **string) error { return json.Unmarshal(raw, to) }
	number := func(to *obis.Value) error {
		v, ok := parseNumber(string(raw))
		if !ok {
			return fmt.Errorf("%s is no number of 18 digits", raw)
		}
		*to = v
		return nil
	}
	switch label {
	case "bn":
		return text(&f.bn)
	case "bu":
		return text(&f.bu)
	case "n":
		return text(&f.n)
	case "u":
		return text(&f.u)
	case "vs":
		return text(&f.vs)
	case "bt":
		return number(&f.bt)
	case "bv":
		return number(&f.bv)
	case "v":
		return number(&f.v)
	case "t":
		return number(&f.t)
	case "s", "bs":
		return number(&f.sum)
	case "vb":
		return json.Unmarshal(raw, &f.vb)
	case "bver":
		return json.Unmarshal(raw, &f.version)
	case "vd":
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		f.vd, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
		return err
	}
	if strings.HasSuffix(label, "_") {
		f.must = label
	}
	return nil
}

// parseNumber reads a number of JSON, exactly.
func parseNumber(s string) (obis.Value, bool) {
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil {
			return obis.Value{}, false
		}
		mantissa, exponent = s[:i], n
	}
	v, ok := obis.ParseNumber([]byte(mantissa))
	if !ok {
		v, ok = parseWhole(mantissa)
	}
	if !ok && exponent == 0 {
		return parseFar(mantissa)
	}
	if !ok || exponent == 0 {
		return v, ok
	}
	return v.Shift(max(min(exponent, 1000), -1000))
}

// parseFar reads a number that lies outside the decimal exponents of
// [obis.Value]: a float of CBOR is written as such. Text that is not exactly
// the shortest form of a float is refused, since its digits would be lost.
func parseFar(s string) (obis.Value, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || strconv.FormatFloat(f, 'f', -1, 64) != s {
		return obis.Value{}, false
	}
	return obis.Float64(math.Float64bits(f), 0), true
}

// parseWhole reads a whole number of more digits than [obis.ParseNumber] takes:
// those of 64 bits, and zeros at the end.
func parseWhole(s string) (obis.Value, bool) {
	short := strings.TrimRight(s, "0")
	zeros := len(s) - len(short)
	if zeros > math.MaxInt8 {
		return obis.Value{}, false
	}
	if n, err := strconv.ParseInt(short, 10, 64); err == nil {
		return obis.Int(n, int8(zeros)), true
	}
	n, err := strconv.ParseUint(short, 10, 64)
	return obis.Uint(n, int8(zeros)), err == nil
}

// senmlDecoder bounds what CBOR may hold.
var senmlDecoder = sync.OnceValues(func() (cbor.DecMode, error) {
	return cbor.DecOptions{MaxNestedLevels: 8, MaxArrayElements: 1 << 20, MaxMapPairs: 32}.DecMode()
})

// ParseSenMLCBOR reads a SenML pack in CBOR; see [ParseSenML].
func ParseSenMLCBOR(doc []byte) (d *mapping.Data, unread []string, err error) {
	var pack []map[any]cbor.RawMessage
	decoder, err := senmlDecoder()
	if err == nil {
		err = decoder.Unmarshal(doc, &pack)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errSenML, err)
	}
	list := make([]fields, len(pack))
	for i, rec := range pack {
		for label, raw := range rec {
			if err := list[i].setCBOR(decoder, label, raw); err != nil {
				return nil, nil, &ParseError{i, fmt.Sprint(label), err}
			}
		}
	}
	return resolve(list)
}

func (f *fields) setCBOR(decoder cbor.DecMode, label any, raw cbor.RawMessage) error {
	number := func(to *obis.Value) (err error) {
		var x any
		if err = decoder.Unmarshal(raw, &x); err == nil {
			*to, err = fromCBOR(x)
		}
		return err
	}
	var n int64
	switch l := label.(type) {
	case int64:
		n = l
	case uint64:
		n = int64(min(l, 100))
	case string:
		if strings.HasSuffix(l, "_") {
			f.must = l
		}
		return nil
	default:
		return nil
	}
	switch n {
	case -1:
		return decoder.Unmarshal(raw, &f.version)
	case -2:
		return decoder.Unmarshal(raw, &f.bn)
	case -3:
		return number(&f.bt)
	case -4:
		return decoder.Unmarshal(raw, &f.bu)
	case -5:
		return number(&f.bv)
	case 0:
		return decoder.Unmarshal(raw, &f.n)
	case 1:
		return decoder.Unmarshal(raw, &f.u)
	case 2:
		return number(&f.v)
	case 3:
		return decoder.Unmarshal(raw, &f.vs)
	case 4:
		return decoder.Unmarshal(raw, &f.vb)
	case 5, -6:
		return number(&f.sum)
	case 6:
		return number(&f.t)
	case 8:
		return decoder.Unmarshal(raw, &f.vd)
	}
	return nil
}

func fromCBOR(x any) (obis.Value, error) {
	switch n := x.(type) {
	case int64:
		return obis.Int(n, 0), nil
	case uint64:
		return obis.Uint(n, 0), nil
	case float64:
		return obis.Float64(math.Float64bits(n), 0), nil
	case float32:
		return obis.Float32(math.Float32bits(n), 0), nil
	case cbor.Tag:
		parts, ok := n.Content.([]any)
		if n.Number != decimalFraction || !ok || len(parts) != 2 {
			break
		}
		exp, err1 := fromCBOR(parts[0])
		m, err2 := fromCBOR(parts[1])
		if n, whole, ok := exp.Decimal(); ok && whole == 0 && n >= math.MinInt8 && n <= math.MaxInt8 && err1 == nil && err2 == nil && m.Kind() <= obis.KindUint {
			if shifted, ok := m.Shift(int(n)); ok {
				return shifted, nil
			}
		}
	}
	return obis.Value{}, fmt.Errorf("%v is neither an integer of 64 bits nor a decimal fraction nor a float", x)
}

// maxVersion is the version of SenML that RFC 8428 describes.
const maxVersion = 10

// resolve adds the base values to the records, and sorts them into readings and profiles.
func resolve(list []fields) (*mapping.Data, []string, error) {
	var b base
	var records []resolved
	var unread []string
	id, common := "", true
	for i := range list {
		f := &list[i]
		if f.must != "" {
			return nil, nil, &ParseError{i, f.must, fmt.Errorf("a label that must be understood")}
		}
		if f.version > maxVersion {
			return nil, nil, &ParseError{i, "bver", fmt.Errorf("version %d, want at most %d", f.version, maxVersion)}
		}
		if f.bn != nil {
			b.name = *f.bn
			common = common && (id == "" || id == b.name)
			id = b.name
		}
		if f.bu != nil {
			b.unit = *f.bu
		}
		if !f.bt.IsNone() {
			b.time = f.bt
		}
		if !f.bv.IsNone() {
			b.value = f.bv
		}
		r, field, err := b.resolve(f)
		if err != nil {
			return nil, nil, &ParseError{i, field, err}
		}
		if r.value.IsNone() {
			if !f.sum.IsNone() {
				unread = append(unread, r.name+": a sum")
			}
			continue
		}
		records = append(records, r)
	}
	d := &mapping.Data{}
	if common {
		d.Meter.ID = strings.TrimSuffix(id, "/")
		for i := range records {
			records[i].name = strings.TrimPrefix(records[i].name, id)
		}
	}
	return d, append(unread, sort(d, records)...), nil
}

func (b *base) resolve(f *fields) (r resolved, field string, err error) {
	r.name, r.unit = b.name, b.unit
	if f.n != nil {
		r.name += *f.n
	}
	if f.u != nil {
		r.unit = *f.u
	}
	switch {
	case !f.v.IsNone() || !b.value.IsNone() && f.vs == nil && f.vb == nil && f.vd == nil && f.sum.IsNone():
		if r.value, err = add(f.v, b.value); err != nil {
			return r, "v", err
		}
	case f.vs != nil:
		r.value = obis.Text([]byte(*f.vs))
	case f.vb != nil:
		r.value = obis.Bool(*f.vb)
	case f.vd != nil:
		r.value = obis.Octets(f.vd)
	}
	at, err := add(f.t, b.time)
	if err != nil {
		return r, "t", err
	}
	r.at = instant(at)
	return r, "", nil
}

// add returns the sum of two numbers, either of which may be none.
func add(a, b obis.Value) (obis.Value, error) {
	if a.IsNone() || b.IsNone() {
		if a.IsNone() {
			return b, nil
		}
		return a, nil
	}
	exp := min(a.Exp(), b.Exp())
	x, ok1 := a.Rescale(exp)
	y, ok2 := b.Rescale(exp)
	m, _, ok3 := x.Decimal()
	n, _, ok4 := y.Decimal()
	if ok1 && ok2 && ok3 && ok4 && (n >= 0 && m <= math.MaxInt64-n || n < 0 && m >= math.MinInt64-n) {
		return obis.Int(m+n, exp), nil
	}
	f, _ := a.Float64()
	g, _ := b.Float64()
	if f-f != 0 || g-g != 0 {
		return obis.Value{}, fmt.Errorf("a sum that is no number")
	}
	return obis.Float64(math.Float64bits(f+g), 0), nil
}

// instant returns the time of so many seconds; small numbers are relative to
// when the pack was received, which this package does not know.
func instant(v obis.Value) obis.Time {
	const absolute = 1 << 28
	f, _ := v.Float64()
	if v.IsNone() || !(f >= absolute && f < 1<<38) {
		return obis.Time{}
	}
	whole := int64(f)
	if m, exp, ok := v.Decimal(); ok && exp >= -9 && exp <= 0 {
		scale := int64(1)
		for range -exp {
			scale *= 10
		}
		return obis.FromTime(time.Unix(m/scale, m%scale*(1e9/scale)).UTC())
	}
	return obis.FromTime(time.Unix(whole, int64((f-float64(whole))*1e9)).UTC())
}

// sort makes readings of records whose name stands once, and profiles of the
// others. It names the units that the model does not have.
func sort(d *mapping.Data, records []resolved) (unread []string) {
	timed := seriesNames(records)
	columns := map[string]*series{}
	var order []*series
	for i := range records {
		r := &records[i]
		code, profile, column, ok := codesOf(r.name)
		unit, exp, known := unitOf(r.unit)
		if !known {
			unread = append(unread, r.name+": the unit "+r.unit)
		}
		value := r.value
		if shifted, can := value.Shift(exp); can {
			value = shifted
		}
		if !timed[r.name] && !profile.Valid() || r.at.IsZero() {
			out := obis.Reading{Code: code, Unit: unit, Rule: obis.RuleTransmitted, Value: value, Time: r.at}
			if !ok {
				out.Rule, out.RawID = obis.RuleNone, []byte(column)
			}
			d.Readings = append(d.Readings, out)
			continue
		}
		s := columns[r.name]
		if s == nil {
			s = &series{profile: profile, column: obis.Column{Code: code, Unit: unit, Rule: obis.RuleTransmitted}}
			if !ok {
				s.column.Rule, s.column.RawID = obis.RuleNone, []byte(column)
			}
			columns[r.name] = s
			order = append(order, s)
		}
		s.times = append(s.times, r.at)
		s.column.Append(value)
	}
	for _, s := range order {
		s.addTo(d)
	}
	return unread
}

// seriesNames returns the names that have several values, all of one unit and
// each at a time of its own.
func seriesNames(records []resolved) map[string]bool {
	type seen struct {
		unit  string
		times map[obis.Time]bool
		bad   bool
	}
	all := map[string]*seen{}
	for i := range records {
		r := &records[i]
		s := all[r.name]
		if s == nil {
			s = &seen{unit: r.unit, times: map[obis.Time]bool{}}
			all[r.name] = s
		}
		s.bad = s.bad || r.at.IsZero() || s.times[r.at] || s.unit != r.unit
		s.times[r.at] = true
	}
	names := map[string]bool{}
	for name, s := range all {
		names[name] = !s.bad && len(s.times) > 1
	}
	return names
}

// series is what a name had at several times.
type series struct {
	profile obis.Code
	times   []obis.Time
	column  obis.Column
}

func (s *series) addTo(d *mapping.Data) {
	for _, p := range d.Profiles {
		if p.Code == s.profile && slices.Equal(p.Times, s.times) {
			p.Columns = append(p.Columns, s.column)
			return
		}
	}
	d.Profiles = append(d.Profiles, &obis.Profile{Code: s.profile, Period: period(s.times), Times: s.times, Columns: []obis.Column{s.column}})
}

// period returns the seconds between rows where they are always the same.
func period(times []obis.Time) int32 {
	var step time.Duration
	for i := 1; i < len(times); i++ {
		a, _ := times[i-1].Instant(obis.Clock{})
		b, _ := times[i].Instant(obis.Clock{})
		if i > 1 && b.Sub(a) != step {
			return 0
		}
		step = b.Sub(a)
	}
	if step < 0 || step > math.MaxInt32*time.Second {
		return 0
	}
	return int32(step / time.Second)
}

// codesOf reads a name as this package writes it: that of a reading, or the code
// of a profile and the name of its column. Column is the name without the profile.
func codesOf(name string) (code, profile obis.Code, column string, ok bool) {
	if before, after, two := strings.Cut(name, "/"); two && after != "" {
		if p, err := obis.ParseCode(strings.ReplaceAll(before, "_", "*")); err == nil {
			profile, name = p, after
		}
	}
	code, err := obis.ParseCode(strings.ReplaceAll(name[strings.LastIndexByte(name, '/')+1:], "_", "*"))
	return code, profile, name, err == nil
}

// unitOf returns the unit of the model, and the power of ten by which its values differ.
func unitOf(name string) (u obis.Unit, exp int, known bool) {
	for _, u := range senmlUnits() {
		if u.name == name && name != "" {
			return u.unit, u.exp, true
		}
	}
	return obis.UnitUnknown, 0, name == ""
}
