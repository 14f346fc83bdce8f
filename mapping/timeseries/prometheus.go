package timeseries

import (
	"cmp"
	_ "embed" // promunits.csv
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed promunits.csv
var promUnitsCSV []byte

// promUnit is how a metric calls a unit; a value times factor and ten to the power of exp is in it.
type promUnit struct {
	name   string
	factor int64
	exp    int
}

// promUnits reads promunits.csv, which the tests check.
var promUnits = sync.OnceValue(func() map[obis.Unit]promUnit {
	rows, err := csvrows.Read(promUnitsCSV)
	if err != nil {
		return nil
	}
	list := map[obis.Unit]promUnit{}
	for _, row := range rows {
		factor, errFactor := strconv.ParseInt(row[2], 10, 64)
		exp, errExp := strconv.Atoi(row[3])
		if u, ok := obis.UnitByName(row[0]); ok && errFactor == nil && errExp == nil {
			list[u] = promUnit{row[1], factor, exp}
		}
	}
	return list
})

// AppendPrometheus appends the readings that are numbers, of one meter or of many,
// in the text exposition format. A metric is named after the quantity and its
// unit (meter_active_energy_import_wh_total); meter, code, phase and tariff are
// labels. What is of a phase or a tariff has a metric of its own
// (meter_active_energy_import_by_tariff_wh_total), so that no sum counts it twice.
// Registers that only rise are counters, all else is a gauge.
//
// A quality other than good is a sample of meter_quality for each flag; the time
// of a reading is its sample of meter_reading_timestamp_seconds, and that of its
// arrival one of meter_received_timestamp_seconds. Of readings of one series the
// first of a meter's data, and the last of several data of one meter, is carried:
// a second sample would spoil the whole exposition.
func AppendPrometheus(dst []byte, list ...*mapping.Data) ([]byte, []mapping.Loss) {
	e := exposition{metrics: map[metricKey]*metric{}, newest: newest(list)}
	for _, d := range list {
		e.add(d)
	}
	slices.SortStableFunc(e.order, func(a, b *metric) int { return cmp.Compare(a.name, b.name) })
	last := ""
	for _, m := range e.order {
		if m.name != last {
			dst, last = m.appendHead(dst), m.name
		}
		for _, i := range m.samples {
			s := &e.samples[i]
			dst = append(s.appendLabels(append(dst, m.name...), "", ""), ' ')
			dst = append(s.value.Append(dst), '\n')
		}
	}
	if len(e.samples) == 0 {
		return dst, e.lost
	}
	dst = e.appendQuality(dst)
	return e.appendTimes(dst, list), e.lost
}

// exposition is what is to be written.
type exposition struct {
	samples []promSample
	metrics map[metricKey]*metric
	order   []*metric
	newest  map[seriesKey]*mapping.Data // whose sample stands, where several data are of one meter
	lost    []mapping.Loss
}

type promSample struct {
	metric  *metric
	data    *mapping.Data
	reading *obis.Reading
	value   obis.Value
}

// seriesKey tells samples apart.
type seriesKey struct {
	meter string
	code  obis.Code
	unit  string
	raw   string
}

func keyOf(m obis.Meter, r *obis.Reading) seriesKey {
	key := seriesKey{meter: m.ID, code: r.Code, unit: unitOf(r.Unit).name}
	if !r.Code.Valid() {
		key.raw = string(r.RawID)
	}
	return key
}

// newest returns the last data of each series, where a meter has several.
func newest(list []*mapping.Data) map[seriesKey]*mapping.Data {
	if len(list) < 2 {
		return nil
	}
	last := map[seriesKey]*mapping.Data{}
	for _, d := range list {
		for i := range d.Readings {
			if r := &d.Readings[i]; unsampled(r) == "" {
				last[keyOf(d.Meter, r)] = d
			}
		}
	}
	return last
}

// unsampled says why a reading cannot be a sample, "" where it can.
func unsampled(r *obis.Reading) string {
	if reason := unfit(r); reason != "" {
		return reason
	}
	if _, flag := r.Value.Enum(); !numeric(r.Value) && !flag {
		return "not a number"
	}
	switch _, ok := unitOf(r.Unit).in(r.Value); {
	case !ok:
		return "outside of the numbers in the base unit"
	case r.Code.Cumulative() && negative(r.Value):
		return "a counter is never negative"
	}
	return ""
}

func negative(v obis.Value) bool {
	if m, _, decimal := v.Decimal(); decimal {
		return m < 0
	}
	f, _ := v.Float64()
	return f < 0
}

func (e *exposition) add(d *mapping.Data) {
	var lost []mapping.Loss
	series := make(map[seriesKey]bool, len(d.Readings))
	e.samples = slices.Grow(e.samples, len(d.Readings))
	for i := range d.Readings {
		r := &d.Readings[i]
		key := keyOf(d.Meter, r)
		reason := unsampled(r)
		switch {
		case reason != "":
		case series[key]:
			reason = "another reading has its id"
		case e.newest != nil && e.newest[key] != d:
			reason = "a later reading has its id"
		}
		if reason != "" {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
			continue
		}
		series[key] = true
		value, _ := unitOf(r.Unit).in(r.Value)
		m := e.metric(r)
		m.samples = append(m.samples, len(e.samples))
		e.samples = append(e.samples, promSample{m, d, r, value})
		if !exact(value) {
			lost = append(lost, mapping.Loss{Index: i, Reason: digitsLost})
		}
		if !r.Start.IsZero() {
			lost = append(lost, mapping.Loss{Index: i, Reason: "the start of its interval"})
		}
		if reason := timeLost(r.Time, d.Clock); reason != "" {
			lost = append(lost, mapping.Loss{Index: i, Reason: reason})
		}
	}
	e.lost = append(e.lost, d.Gather(slices.Concat(lost, mapping.ReadingsOnly(d), mapping.StatusLost(d)))...)
}

// timeLost says what of a time is lost where an instant is written.
func timeLost(t obis.Time, clock obis.Clock) string {
	if _, ok := t.Instant(clock); !ok && !t.IsZero() {
		return "its time, which is no instant"
	}
	return mapping.TimeLost(t)
}

func (e *exposition) metric(r *obis.Reading) *metric {
	key := metricOf(r)
	m := e.metrics[key]
	if m == nil {
		m = newMetric(key)
		e.metrics[key] = m
		e.order = append(e.order, m)
	}
	return m
}

// appendQuality appends a sample for each quality flag of each sample.
func (e *exposition) appendQuality(dst []byte) []byte {
	head := metric{name: "meter_quality", help: "Flags of readings whose quality is not good"}
	for i := range e.samples {
		s := &e.samples[i]
		if s.reading.Quality.Flags == 0 {
			continue
		}
		dst = head.appendHead(dst)
		head.written = true
		for _, flag := range s.reading.Quality.Flags.Names(nil) {
			dst = append(s.appendLabels(append(dst, head.name...), s.metric.name, flag), " 1\n"...)
		}
	}
	return dst
}

// appendTimes appends when the samples were measured, and when they came.
func (e *exposition) appendTimes(dst []byte, list []*mapping.Data) []byte {
	head := metric{name: "meter_reading_timestamp_seconds", help: "When the meter took the reading, since 1970"}
	for i := range e.samples {
		s := &e.samples[i]
		at, ok := s.reading.Time.Instant(s.data.Clock)
		if !ok {
			continue
		}
		dst = head.appendHead(dst)
		head.written = true
		dst = append(s.appendLabels(append(dst, head.name...), s.metric.name, ""), ' ')
		dst = appendSeconds(dst, at)
	}
	head = metric{name: "meter_received_timestamp_seconds", help: "When the newest readings came, by the receiver's clock, since 1970"}
	last := map[string]time.Time{}
	for _, d := range list {
		if d.Received.After(last[d.Meter.ID]) {
			last[d.Meter.ID] = d.Received
		}
	}
	for _, d := range list {
		at := last[d.Meter.ID]
		if at.IsZero() {
			continue
		}
		delete(last, d.Meter.ID)
		dst = head.appendHead(dst)
		head.written = true
		dst = append(closeLabels(appendLabel(append(dst, head.name...), "meter", d.Meter.ID), len(dst)+len(head.name)), ' ')
		dst = appendSeconds(dst, at)
	}
	return dst
}

// appendSeconds appends the seconds of a time since 1970, and the end of the line.
func appendSeconds(dst []byte, at time.Time) []byte {
	if at.Nanosecond() == 0 {
		return append(strconv.AppendInt(dst, at.Unix(), 10), '\n')
	}
	return append(obis.Int(at.UnixMilli(), -3).Append(dst), '\n')
}

// metricKey is what a metric is named after: a code without what is a label, and which labels those are.
type metricKey struct {
	code    obis.Code
	unit    obis.Unit
	by      string
	counter bool
}

// metricOf returns the key of a reading. Phase, tariff and class of a voltage dip are labels.
func metricOf(r *obis.Reading) metricKey {
	key := metricKey{code: r.Code, unit: r.Unit, counter: r.Code.Cumulative()}
	c := &key.code
	if _, ok := c.Channel(); ok {
		c[1] = 0
	}
	if phase := r.Code.Phase(); obis.PhaseL1 <= phase && phase <= obis.PhaseL3 {
		key.by = " by phase"
		if c[2] <= 80 {
			c[2] = (c[2]-1)%20 + 1
		} else {
			c[2] = powerFactorExport
		}
	} else if obis.PhaseL1L2 <= phase {
		key.by = " between phases"
		c[2] = voltage
	}
	switch t, rated := r.Code.Tariff(); {
	case rated && t > 0:
		key.by += " by tariff"
		c[4] = 0
	case c[0] == 1 && c[2] == voltage && c[3] == underLimitCount && c[4] > 0:
		key.by += " by class"
		c[4] = 0
	}
	return key
}

// The values of the groups C and D of electricity that metrics fold together.
const (
	voltage           = 12
	powerFactorExport = 84
	underLimitCount   = 32
)

// metric is a group of samples.
type metric struct {
	name, help string
	counter    bool
	written    bool  // whether its head is
	samples    []int // of the exposition
}

// newMetric names the quantity of readings.
func newMetric(k metricKey) *metric {
	what := strings.TrimSuffix(obis.Describe(k.code), " total")
	if what == "" {
		what = "reading"
	}
	m := &metric{counter: k.counter, help: strings.ToUpper(what[:1]) + what[1:] + k.by}
	unit := unitOf(k.unit)
	m.name = slug("meter " + metricWords.Replace(what) + k.by + " " + unit.name)
	if m.counter {
		m.name += "_total"
	}
	switch {
	case unit.name == "":
	case unit.factor == 1 && unit.exp == 0:
		m.help += ", in " + k.unit.String()
	default:
		m.help += ", in " + strings.ReplaceAll(unit.name, "_", " ")
	}
	return m
}

// metricWords replaces what promlint takes for a unit or a type.
var metricWords = strings.NewReplacer("counter", "number", "-limit count", "-limit occurrences", "missing count", "missing occurrences", "M-Bus", "MBus", "S-FSK", "SFSK", "gauge pressure", "relative pressure", " minutes", " min", " days", " day", "US gallon", "gallon", "therm US", "american therm", "degree Fahrenheit", "degF", "degree Rankine", "degR")

// appendHead appends the two lines before the samples of a metric, unless they are written.
func (m *metric) appendHead(dst []byte) []byte {
	if m.written {
		return dst
	}
	kind := " gauge\n"
	if m.counter {
		kind = " counter\n"
	}
	dst = append(append(append(append(append(dst, "# HELP "...), m.name...), ' '), m.help...), '\n')
	return append(append(append(dst, "# TYPE "...), m.name...), kind...)
}

// unitOf returns how metrics call a unit.
func unitOf(u obis.Unit) promUnit {
	if known, ok := promUnits()[u]; ok {
		return known
	}
	return promUnit{name: slug(metricWords.Replace(u.Describe())), factor: 1}
}

// in returns a value in the unit.
func (u promUnit) in(v obis.Value) (obis.Value, bool) {
	if n, flag := v.Enum(); flag {
		v = obis.Int(n, 0)
	}
	if m, exp, decimal := v.Decimal(); decimal && u.factor != 1 {
		if m > math.MaxInt64/u.factor || m < math.MinInt64/u.factor {
			return v, false
		}
		v = obis.Int(m*u.factor, exp)
	} else if u.factor != 1 {
		f, _ := v.Float64()
		v = obis.Float64(math.Float64bits(f*float64(u.factor)), 0)
	}
	if u.exp == 0 {
		return v, true
	}
	return v.Shift(u.exp)
}

// slug turns words into a metric name: lower case letters, digits and single underscores.
func slug(s string) string { return string(appendSlug(nil, s)) }

func appendSlug(b []byte, s string) []byte {
	start := len(b)
	for _, r := range s {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b = append(b, byte(r))
		case r == '%':
			b = append(b, "percent"...)
		case len(b) > start && b[len(b)-1] != '_':
			b = append(b, '_')
		}
	}
	if len(b) > start && b[len(b)-1] == '_' {
		b = b[:len(b)-1]
	}
	return b
}

var phaseLabel = [...]string{
	obis.PhaseL1: "L1", obis.PhaseL2: "L2", obis.PhaseL3: "L3", obis.PhaseNeutral: "N",
	obis.PhaseL1L2: "L1-L2", obis.PhaseL2L3: "L2-L3", obis.PhaseL3L1: "L3-L1",
}

// appendLabels appends the labels of a sample; what is said about it names its
// metric, and its flag where it is of its quality.
func (s *promSample) appendLabels(dst []byte, metric, flag string) []byte {
	start, r := len(dst), s.reading
	dst = appendLabel(dst, "meter", s.data.Meter.ID)
	if r.Code.Valid() {
		dst = append(dst, `,obis="`...)
		dst, _ = r.Code.AppendText(dst)
		dst = append(dst, '"')
	} else {
		dst = appendLabel(dst, "raw_id", obis.RawIDText(r.RawID))
	}
	if p := int(r.Code.Phase()); p < len(phaseLabel) {
		dst = appendLabel(dst, "phase", phaseLabel[p])
	}
	if t, ok := r.Code.Tariff(); ok && t > 0 {
		dst = append(strconv.AppendUint(append(dst, `,tariff="`...), uint64(t), 10), '"')
	}
	return closeLabels(appendLabel(appendLabel(dst, "metric", metric), "flag", flag), start)
}

// closeLabels puts the labels that begin at start in braces.
func closeLabels(dst []byte, start int) []byte {
	if len(dst) == start {
		return dst
	}
	dst[start] = '{' // in place of the first comma
	return append(dst, '}')
}

func appendLabel(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, ','), key...), '=', '"')
	for _, r := range value { // the format has these three escapes and no others
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', byte(r))
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
