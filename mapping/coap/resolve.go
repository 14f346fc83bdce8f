package coap

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// packReader adds the base values to the records of a pack, and sorts them into
// readings and profiles.
type packReader struct {
	fields  // the base values so far
	count   int
	records []resolved
	bases   [][]byte    // the base names, where one follows another
	units   []senmlUnit // those that occur
	names   [][]byte    // of the units
	series  []series    // of the names with several values
	unread  notes

	lastSeconds int64 // of the time that was read last
	lastTime    obis.Time
}

// resolved is a record with its base values added.
type resolved struct {
	name    []byte // without the base
	value   obis.Value
	seconds int64 // since 1970
	nanos   int32
	base    int32 // how many base names there were
	unit    int32 // which of the units
	first   int32 // the first record of the same name
	timed   bool

	// Of the first record of a name:
	last   int32 // the last one so far
	series int32 // number of the series from 1, 0 for none
	many   bool  // there are several
	mixed  bool  // their units differ, or one has no time, or two have the same
	back   bool  // their times do not only grow
}

// notes are what was not read, each kind once.
type notes struct {
	count map[string]int
	first map[string]string
	order []string
}

func (n *notes) add(name, what string) {
	if n.count == nil {
		n.count, n.first = map[string]int{}, map[string]string{}
	}
	if n.count[what]++; n.count[what] == 1 && len(n.order) < maxNotes {
		n.order = append(n.order, what)
		n.first[what] = name
	}
}

// maxNotes is how many kinds of what was not read are named.
const maxNotes = 64

func (n *notes) list() (list []string) {
	for _, what := range n.order {
		more := ""
		if c := n.count[what]; c > 1 {
			more = fmt.Sprintf(" and %d more", c-1)
		}
		list = append(list, n.first[what]+more+": "+what)
	}
	return list
}

// add adds a record.
func (p *packReader) add(f *fields) error {
	number := p.count
	p.count++
	if f.has&hasBaseName != 0 && (len(p.bases) == 0 || !bytes.Equal(p.baseName, f.baseName)) {
		p.baseName = f.baseName
		p.bases = append(p.bases, f.baseName)
	}
	if f.has&hasBaseUnit != 0 {
		p.baseUnit = f.baseUnit
	}
	if !f.baseTime.IsNone() {
		p.baseTime = f.baseTime
	}
	if !f.baseValue.IsNone() {
		p.baseValue = f.baseValue
	}
	r := resolved{name: f.name, base: int32(len(p.bases))}
	unit := p.baseUnit
	if f.has&hasUnit != 0 {
		unit = f.unit
	}
	var err error
	switch {
	case !f.value.IsNone() || !p.baseValue.IsNone() && f.has&(hasText|hasTruth|hasData|hasSum) == 0:
		if r.value, err = add(f.value, p.baseValue); err != nil {
			return &ParseError{number, "v", err}
		}
	case f.has&hasText != 0:
		r.value = obis.Text(f.text)
	case f.has&hasTruth != 0:
		r.value = obis.Bool(f.truth)
	case f.has&hasData != 0:
		r.value = obis.Octets(f.data)
	}
	at, err := add(f.time, p.baseTime)
	if err != nil {
		return &ParseError{number, "t", err}
	}
	switch {
	case r.value.IsNone():
		if f.has&hasSum != 0 {
			p.note(&r, "a sum")
		}
		return nil
	case f.rounded:
		p.note(&r, "digits beyond those of a float")
	}
	r.unit = p.unit(unit, &r)
	if shifted, can := r.value.Shift(p.units[r.unit].exp); can {
		r.value = shifted
	}
	var relative bool
	if r.seconds, r.nanos, r.timed, relative = instant(at); relative {
		p.note(&r, "its time, which counts from when the pack was received")
	}
	p.records = append(p.records, r)
	return nil
}

// unit returns the number of a unit.
func (p *packReader) unit(name []byte, r *resolved) int32 {
	for i := len(p.names) - 1; i >= max(0, len(p.names)-maxRecent); i-- {
		if bytes.Equal(p.names[i], name) {
			return int32(i)
		}
	}
	u, known := byName()[string(name)]
	if !known {
		p.note(r, "the unit "+string(name))
	}
	p.names, p.units = append(p.names, name), append(p.units, u)
	return int32(len(p.units) - 1)
}

// maxRecent is how many units are looked through before the table.
const maxRecent = 4

func (p *packReader) note(r *resolved, what string) { p.unread.add(string(p.fullName(r)), what) }

// fullName returns the name of a record with its base.
func (p *packReader) fullName(r *resolved) []byte {
	if r.base == 0 || len(p.bases[r.base-1]) == 0 {
		return r.name
	}
	return slices.Concat(p.bases[r.base-1], r.name)
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

// instant returns the time of so many seconds. Small numbers are relative to when
// the pack was received, which this package does not know.
func instant(v obis.Value) (seconds int64, nanos int32, ok, relative bool) {
	const absolute = 1 << 28
	if v.IsNone() {
		return 0, 0, false, false
	}
	if m, exp, decimal := v.Decimal(); decimal && exp >= -9 && exp <= 0 {
		scale := int64(1)
		for range -exp {
			scale *= 10
		}
		seconds, nanos = m/scale, int32(m%scale*(1e9/scale))
	} else {
		f, _ := v.Float64()
		if !(f >= absolute && f < 1<<38) {
			return 0, 0, false, f < absolute && f != 0
		}
		seconds = int64(f)
		nanos = int32((f - float64(seconds)) * 1e9)
	}
	return seconds, nanos, seconds >= absolute && seconds < 1<<38, seconds < absolute && (seconds != 0 || nanos != 0)
}

// time returns the time of a record.
func (p *packReader) time(r *resolved) obis.Time {
	switch {
	case !r.timed:
		return obis.Time{}
	case r.nanos != 0:
		return obis.FromTime(time.Unix(r.seconds, int64(r.nanos)).UTC())
	case r.seconds != p.lastSeconds || p.lastTime.IsZero():
		p.lastSeconds, p.lastTime = r.seconds, obis.FromTime(time.Unix(r.seconds, 0).UTC())
	}
	return p.lastTime
}

// series is what a name had at several times.
type series struct {
	profile obis.Code
	times   []obis.Time
	column  obis.Column
}

// finish makes readings of records whose name stands once, and profiles of the others.
func (p *packReader) finish() (*mapping.Data, []string, error) {
	d := &mapping.Data{}
	if len(p.bases) == 1 {
		d.Meter.ID = strings.TrimSuffix(string(p.bases[0]), "/")
	}
	if len(p.bases) > 1 {
		for i := range p.records {
			p.records[i].name = p.fullName(&p.records[i])
		}
	}
	different := p.group()
	d.Readings = make([]obis.Reading, 0, different)
	for i := range p.records {
		r := &p.records[i]
		first := &p.records[r.first]
		if first.series > 0 && r.timed {
			p.addTo(first.series, r)
			continue
		}
		code, profile, column, ok := codesOf(r.name)
		rule := obis.RuleTransmitted
		var raw []byte
		if !ok {
			rule, raw = obis.RuleNone, rawID(column)
		}
		unit := p.units[r.unit].unit
		if (!first.many || first.mixed) && !profile.Valid() || !r.timed {
			d.Readings = append(d.Readings, obis.Reading{Code: code, Unit: unit, Rule: rule, RawID: raw, Value: r.value, Time: p.time(r)})
			continue
		}
		p.series = append(p.series, series{profile: profile, column: obis.Column{Code: code, Unit: unit, Rule: rule, RawID: raw}})
		first.series = int32(len(p.series))
		p.addTo(first.series, r)
	}
	addProfiles(d, p.series)
	return d, p.unread.list(), nil
}

func (p *packReader) addTo(number int32, r *resolved) {
	s := &p.series[number-1]
	s.times = append(s.times, p.time(r))
	s.column.Append(r.value)
}

// group finds the records of the same name, and returns how many names there are.
func (p *packReader) group() (different int) {
	size := 1
	for size < 2*len(p.records) {
		size *= 2
	}
	seed := maphash.MakeSeed()
	table := make([]int32, size) // the numbers of first records, from 1
	anyBack := false
	for i := range p.records {
		r := &p.records[i]
		at := int(maphash.Bytes(seed, r.name)) & (size - 1)
		for table[at] != 0 && !bytes.Equal(p.records[table[at]-1].name, r.name) {
			at = (at + 1) & (size - 1)
		}
		if table[at] == 0 {
			table[at] = int32(i) + 1
			r.first, r.last, r.mixed = int32(i), int32(i), !r.timed
			different++
			continue
		}
		r.first = table[at] - 1
		first := &p.records[r.first]
		before := &p.records[first.last]
		first.last, first.many = int32(i), true
		first.mixed = first.mixed || !r.timed || before.unit != r.unit
		if r.seconds < before.seconds || r.seconds == before.seconds && r.nanos <= before.nanos {
			first.back, anyBack = true, true
		}
	}
	if anyBack {
		p.findSameTimes()
	}
	return different
}

// findSameTimes marks the names that have two values of one time.
func (p *packReader) findSameTimes() {
	type moment struct {
		first   int32
		nanos   int32
		seconds int64
	}
	seen := map[moment]bool{}
	for i := range p.records {
		r := &p.records[i]
		if first := &p.records[r.first]; first.back {
			at := moment{r.first, r.nanos, r.seconds}
			first.mixed = first.mixed || seen[at]
			seen[at] = true
		}
	}
}

// addProfiles adds series as profiles, those of the same times as one.
func addProfiles(d *mapping.Data, order []series) {
	type key struct {
		code  obis.Code
		first obis.Time
		rows  int
	}
	seen := map[key][]*obis.Profile{}
	for i := range order {
		s := &order[i]
		k := key{s.profile, s.times[0], len(s.times)}
		same := slices.IndexFunc(seen[k], func(p *obis.Profile) bool { return slices.Equal(p.Times, s.times) })
		if same >= 0 {
			seen[k][same].Columns = append(seen[k][same].Columns, s.column)
			continue
		}
		step := period(len(s.times), func(row int) time.Time {
			at, _ := s.times[row].Instant(obis.Clock{})
			return at
		})
		p := &obis.Profile{Code: s.profile, Period: step, Times: s.times, Columns: []obis.Column{s.column}}
		seen[k] = append(seen[k], p)
		d.Profiles = append(d.Profiles, p)
	}
}

// period returns the seconds between so many rows where they are always the same.
func period(rows int, at func(row int) time.Time) int32 {
	var step time.Duration
	for i := 1; i < rows; i++ {
		own := at(i).Sub(at(i - 1))
		if i > 1 && own != step {
			return 0
		}
		step = own
	}
	if step < 0 || step > math.MaxInt32*time.Second {
		return 0
	}
	return int32(step / time.Second)
}

// codesOf reads a name as this package writes it: that of a reading, or the code
// of a profile and the name of its column. Column is the name without the profile.
func codesOf(name []byte) (code, profile obis.Code, column []byte, ok bool) {
	if before, after, two := bytes.Cut(name, []byte("/")); two && len(after) > 0 {
		if p, err := parseCode(before); err == nil {
			profile, name = p, after
		}
	}
	code, err := parseCode(name[bytes.LastIndexByte(name, '/')+1:])
	return code, profile, name, err == nil
}

// parseCode reads a code in which "_" may stand for "*".
func parseCode(name []byte) (obis.Code, error) {
	if len(name) == 0 || len(name) > len("255-255:255.255.255*255") || name[0] > '9' {
		return obis.Code{}, errSenML
	}
	if bytes.IndexByte(name, '_') < 0 {
		return obis.ParseCode(string(name))
	}
	return obis.ParseCode(strings.ReplaceAll(string(name), "_", "*"))
}

// rawID returns the raw id that a name shows: octets where it is "0x" and their digits.
func rawID(name []byte) []byte {
	if digits, ok := bytes.CutPrefix(name, []byte("0x")); ok {
		if octets, err := hex.AppendDecode(nil, digits); err == nil {
			return octets
		}
	}
	return name
}
