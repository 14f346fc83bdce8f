package timeseries

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// AppendInflux appends a line for each reading, for each value of each profile
// and for each event:
//
//	meter,id=ABC12345678,obis=1-0:1.8.0*255,unit=Wh value=1234500 1763640000000000000
//	meter,id=ABC12345678,obis=1-0:1.29.0*255,unit=Wh,profile=1-0:99.1.0*255,period=900 value=5 1763640900000000000
//	meter_event,id=ABC12345678,log=0-0:99.98.0*255,event=12 text="cover opened" 1763640000000000000
//
// Values that are no numbers get the field "text" instead of "value"; a quality
// other than good is the field "quality", the meter's own status word the field
// "status", the start of an interval the field
// "start" in nanoseconds. A reading whose own time is no instant has that of its
// arrival and the field "received", or no time stamp where nobody said when it
// came. Rows of profiles and events without an instant are not carried, as the
// time of writing would become theirs. Nor are readings without a value or any id.
func AppendInflux(dst []byte, d *mapping.Data) ([]byte, []mapping.Loss) {
	l := lines{data: d, seen: make(map[lineKey]bool, len(d.Readings)), raw: map[rawKey]bool{}, dst: dst}
	for i := range d.Readings {
		l.reading(i, &d.Readings[i])
	}
	for i, p := range d.Profiles {
		l.profile(i, p)
	}
	for i := range d.Events {
		l.event(i, &d.Events[i])
	}
	return l.dst, d.Gather(l.lost)
}

// lines writes the lines of a meter.
type lines struct {
	data *mapping.Data
	seen map[lineKey]bool
	raw  map[rawKey]bool
	dst  []byte
	lost []mapping.Loss
}

// lineKey is what InfluxDB tells points apart by: it overwrites those that share it.
type lineKey struct {
	code obis.Code
	unit obis.Unit
	at   int64
}

// rawKey is that of a reading without a code.
type rawKey struct {
	lineKey
	id string
}

// again reports whether there was a line of the id, unit and time before.
func (l *lines) again(key lineKey, raw []byte) bool {
	if key.code.Valid() {
		was := l.seen[key]
		l.seen[key] = true
		return was
	}
	was := l.raw[rawKey{key, string(raw)}]
	l.raw[rawKey{key, string(raw)}] = true
	return was
}

func (l *lines) reading(i int, r *obis.Reading) {
	lose := func(reason string) {
		l.lost = append(l.lost, mapping.Loss{Index: i, Reason: reason})
	}
	if reason := unfit(r); reason != "" {
		l.lost = append(l.lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
		return
	}
	at, timed := r.Time.Instant(l.data.Clock)
	if timed && !inNanoseconds(at) {
		timed = false
		lose("its time, outside of 1678 to 2261")
	} else if !timed && !r.Time.IsZero() {
		lose("its time, which is no instant")
	}
	if reason := mapping.TimeLost(r.Time); timed && reason != "" {
		lose(reason)
	}
	received := !timed && !l.data.Received.IsZero() && inNanoseconds(l.data.Received)
	if received {
		at, timed = l.data.Received, true
	}
	key := lineKey{code: r.Code, unit: r.Unit}
	if timed {
		key.at = at.UnixNano()
	}
	if l.again(key, r.RawID) {
		l.lost = append(l.lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: "another reading has its id and time"})
		return
	}
	l.begin(r.Code, r.RawID, r.Unit)
	l.value(r.Value)
	l.quality(r.Quality)
	if !exact(r.Value) {
		lose(digitsLost)
	}
	if endsLines(r.Value) {
		lose(lineEndsLost)
	}
	if !r.Start.IsZero() && !l.start(r.Start) {
		lose("the start of its interval, which is no instant")
	}
	if received {
		l.dst = append(l.dst, ",received=true"...)
	}
	l.end(at, timed)
}

// begin appends the measurement and the tags of a value.
func (l *lines) begin(code obis.Code, raw []byte, unit obis.Unit) {
	l.dst = appendTag(append(l.dst, "meter"...), "id", l.data.Meter.ID)
	if code.Valid() {
		l.dst = append(l.dst, ",obis="...)
		l.dst, _ = code.AppendText(l.dst)
	} else {
		l.dst = appendTag(l.dst, "raw_id", obis.RawIDText(raw))
	}
	l.dst = appendTag(l.dst, "unit", unit.String())
}

func (l *lines) value(v obis.Value) {
	if numeric(v) {
		l.dst = v.Append(append(l.dst, " value="...))
		return
	}
	l.dst = appendString(append(l.dst, " text="...), text(v))
}

// quality appends the fields of a quality that is not good and of the meter's own status
// word, behind another field.
func (l *lines) quality(q obis.Quality) {
	if q.Flags != 0 {
		l.dst = appendString(append(l.dst, ",quality="...), q.Flags.String())
	}
	l.status(q)
}

func (l *lines) status(q obis.Quality) {
	if q.Raw != 0 {
		l.dst = append(appendStatus(append(l.dst, `,status="`...), q), '"')
	}
}

// What the lines cannot hold: their numbers are floats, and their text has no lines.
const (
	digitsLost   = "digits that a float of 64 bits does not hold"
	lineEndsLost = "the line ends of its text"
)

// endsLines reports whether a value is text of several lines.
func endsLines(v obis.Value) bool {
	return v.Kind() == obis.KindText && strings.ContainsAny(v.String(), "\r\n")
}

func (l *lines) end(at time.Time, timed bool) {
	if timed {
		l.dst = strconv.AppendInt(append(l.dst, ' '), at.UnixNano(), 10)
	}
	l.dst = append(l.dst, '\n')
}

// profile appends a line for each value of a profile, and for each that is
// missing and has a quality.
func (l *lines) profile(i int, p *obis.Profile) {
	n := rowLosses{doubles: make([]bool, len(p.Columns))}
	ids := lines{seen: map[lineKey]bool{}, raw: map[rawKey]bool{}}
	for c := range p.Columns {
		col := &p.Columns[c]
		n.doubles[c] = ids.again(lineKey{code: col.Code, unit: col.Unit}, col.RawID)
	}
	rows := make(map[int64]bool, len(p.Times))
	for row, t := range p.Times {
		at, ok := t.Instant(l.data.Clock)
		switch {
		case !ok:
			n.timeless++
			continue
		case !inNanoseconds(at):
			n.outside++
			continue
		case rows[at.UnixNano()]:
			n.doubled++
			continue
		}
		if mapping.TimeLost(t) != "" {
			n.doubtful++
		}
		rows[at.UnixNano()] = true
		for c := range p.Columns {
			l.cell(p, c, row, at, &n)
		}
	}
	for _, x := range [...]struct {
		rows   int
		reason string
	}{{n.timeless, "rows whose time is no instant"}, {n.outside, "rows outside of 1678 to 2261"}, {n.doubled, "rows of the time of another row"},
		{n.doubtful, "that the time of rows is not to be relied upon"}} {
		if x.rows > 0 {
			l.lost = append(l.lost, mapping.Loss{Part: mapping.Profile, Index: i, Rows: x.rows, Reason: x.reason})
		}
	}
	for _, x := range [...]struct {
		values int
		reason string
	}{{n.missing, "that are missing"}, {n.unfit, "that are no finite number"}, {n.nameless, "of columns without an id"}, {n.second, "of columns with the id of another"}, {n.startless, "whose start is no instant, without it"},
		{n.inexact, "without " + digitsLost}, {n.lines, "without the line ends of their text"}} {
		if x.values > 0 {
			l.lost = append(l.lost, mapping.Loss{Part: mapping.Profile, Index: i, Reason: fmt.Sprintf("%d values %s", x.values, x.reason)})
		}
	}
}

// rowLosses counts what is lost of a profile.
type rowLosses struct {
	timeless, outside, doubled, doubtful, unfit, nameless, second, startless, missing, inexact, lines int

	doubles []bool // columns with the id of one before
}

func (l *lines) cell(p *obis.Profile, column, row int, at time.Time, n *rowLosses) {
	c := &p.Columns[column]
	v := c.At(row)
	q := p.Quality.At(row).With(c.Quality.At(row).Flags)
	if q.Raw == 0 {
		q.Raw = c.Quality.At(row).Raw
	}
	switch {
	case v.IsNone() && q.Flags == 0:
		n.missing++
		return
	case !c.Code.Valid() && len(c.RawID) == 0:
		n.nameless++
		return
	case n.doubles[column]:
		n.second++
		return
	case infinite(v):
		n.unfit++
		return
	}
	l.begin(c.Code, c.RawID, c.Unit)
	l.dst = appendTag(l.dst, "profile", p.Code.String())
	if p.Period > 0 {
		l.dst = strconv.AppendInt(append(l.dst, ",period="...), int64(p.Period), 10)
	}
	if v.IsNone() {
		l.dst = appendString(append(l.dst, " quality="...), q.Flags.String())
		l.status(q)
	} else {
		l.value(v)
		l.quality(q)
		if !exact(v) {
			n.inexact++
		}
		if endsLines(v) {
			n.lines++
		}
	}
	if row < len(p.Starts) && !p.Starts[row].IsZero() && !l.start(p.Starts[row]) {
		n.startless++
	}
	l.end(at, true)
}

// start appends the field of the start of an interval, where it is an instant.
func (l *lines) start(t obis.Time) bool {
	at, ok := t.Instant(l.data.Clock)
	if ok = ok && inNanoseconds(at); ok {
		l.dst = append(strconv.AppendInt(append(l.dst, ",start="...), at.UnixNano(), 10), 'i')
	}
	return ok
}

// event appends the line of an event.
func (l *lines) event(i int, e *obis.Event) {
	lose := func(flags obis.Flags, reason string) {
		l.lost = append(l.lost, mapping.Loss{Part: mapping.Event, Index: i, Flags: flags, Reason: reason})
	}
	at, ok := e.Time.Instant(l.data.Clock)
	switch {
	case !ok:
		lose(e.Quality.Flags, "its time is no instant")
		return
	case !inNanoseconds(at):
		lose(e.Quality.Flags, "its time, outside of 1678 to 2261")
		return
	}
	if len(e.Params) > 0 {
		lose(0, "what was logged with it")
	}
	if reason := mapping.TimeLost(e.Time); reason != "" {
		lose(0, reason)
	}
	l.dst = appendTag(append(l.dst, "meter_event"...), "id", l.data.Meter.ID)
	l.dst = appendTag(l.dst, "log", e.Log.String())
	l.dst = strconv.AppendUint(append(l.dst, ",event="...), uint64(e.ID), 10)
	l.dst = appendString(append(l.dst, " text="...), e.Text)
	l.quality(e.Quality)
	if strings.ContainsAny(e.Text, "\r\n") {
		lose(0, lineEndsLost)
	}
	l.end(at, true)
}

// inNanoseconds reports whether 64 bits hold the nanoseconds of a time since 1970.
func inNanoseconds(t time.Time) bool { return t.Year() > 1677 && t.Year() < 2262 }

// appendTag appends a tag with its escapes; InfluxDB knows no empty tags.
func appendTag(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, ','), key...), '=')
	for _, r := range value {
		switch r {
		case ',', '=', ' ':
			dst = append(dst, '\\')
		case '\n', '\r', '\\':
			r = '_'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// appendString appends a field value in quotes.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			dst = append(dst, '\\')
		case '\n', '\r':
			r = ' '
		}
		dst = utf8.AppendRune(dst, r)
	}
	return append(dst, '"')
}
