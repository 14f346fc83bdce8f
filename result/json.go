package result

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/obis"
)

// Schema names the JSON form of a Result.
const Schema = "meterctl/v1"

// MarshalJSON returns what [Result.AppendJSON] appends.
func (r *Result) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// AppendJSON appends the result in the form of [Schema]: numbers as exact
// decimals in the unprefixed unit, text as strings, bits as "0b…", octets as
// "0x…", times in RFC 3339 (without zone where none is known), missing as null.
// What is read of it is what was written, but for the exponents of numbers, for
// the binary width of floats and for what Clock has made of local times.
func (r *Result) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"schema":"`+Schema+`"`...)
	dst = member(dst, `,"protocol":`, string(r.Protocol))
	if !r.Received.IsZero() {
		dst = append(r.Received.UTC().AppendFormat(append(dst, `,"received":"`...), "2006-01-02T15:04:05.000Z07:00"), '"')
	}
	dst = appendMeter(append(dst, `,"meter":`...), &r.Meter)
	dst = append(dst, `,"readings":[`...)
	for i := range r.Readings {
		dst = r.appendReading(comma(dst), &r.Readings[i])
	}
	dst = append(dst, `],"events":[`...)
	for i := range r.Events {
		dst = r.appendEvent(comma(dst), &r.Events[i])
	}
	dst = append(dst, `],"profiles":[`...)
	for _, p := range r.Profiles {
		dst = r.appendProfile(comma(dst), p)
	}
	if len(r.Layers) > 0 {
		dst = append(dst, `],"layers":[`...)
		for i := range r.Layers {
			dst = r.Layers[i].AppendJSON(comma(dst))
		}
	}
	dst = append(dst, `],"warnings":[`...)
	for _, w := range r.Warnings {
		dst = jsontext.AppendString(comma(dst), w)
	}
	return append(dst, ']', '}')
}

// comma appends what parts the elements of a list.
func comma(dst []byte) []byte {
	if last := dst[len(dst)-1]; last == '[' || last == '{' {
		return dst
	}
	return append(dst, ',')
}

// member appends a name with its comma and a text, where there is one.
func member(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return jsontext.AppendString(append(dst, name...), text)
}

func appendMeter(dst []byte, m *obis.Meter) []byte {
	dst = append(dst, '{')
	for _, f := range [...]struct{ name, text string }{
		{`"id":`, m.ID}, {`"manufacturer":`, m.Manufacturer}, {`"serial":`, m.Serial}, {`"model":`, m.Model},
		{`"firmware":`, m.Firmware}, {`"version":`, m.Version}, {`"system_title":`, m.SystemTitle}, {`"medium":`, m.Medium.String()},
	} {
		if f.text != "" {
			dst = member(comma(dst), f.name, f.text)
		}
	}
	return append(dst, '}')
}

// AppendJSON appends the layer as a JSON object.
func (l *Layer) AppendJSON(dst []byte) []byte {
	dst = jsontext.AppendString(append(dst, `{"name":`...), l.Name)
	dst = member(dst, `,"control":`, l.Control)
	dst = member(dst, `,"security":`, l.Security)
	if l.Security != "" {
		dst = append(dst, `,"protected":true`...)
	}
	if l.Tag != TagNone {
		dst = strconv.AppendBool(append(dst, `,"verified":`...), l.Tag == TagVerified)
	}
	if l.Counted {
		dst = strconv.AppendUint(append(dst, `,"counter":`...), uint64(l.Counter), 10)
	}
	return append(dst, '}')
}

func (r *Result) appendReading(dst []byte, x *obis.Reading) []byte {
	var source Source
	if uint64(x.Source) < uint64(len(r.Sources)) { // not NoSource
		source = r.Sources[x.Source]
	}
	dst = append(dst, '{')
	if x.Code.Valid() {
		dst = append(dst, `"obis":"`...)
		dst, _ = x.Code.AppendText(dst)
		dst = append(dst, `",`...)
	}
	if !x.Code.Valid() || x.Rule == obis.RuleNone || source == nil {
		if len(x.RawID) > 0 {
			dst = append(appendRawID(append(dst, `"raw_id":`...), x.RawID), ',')
		}
	}
	dst = appendName(dst, x.Code)
	dst = r.appendValue(append(dst, `"value":`...), x.Value)
	if kind := kindOf(x.Value); kind != "" {
		dst = member(dst, `,"kind":`, kind)
	}
	unit := x.Unit.String()
	dst = member(dst, `,"unit":`, unit)
	if ucum := x.Unit.UCUM(); ucum != unit {
		dst = member(dst, `,"ucum":`, ucum)
	}
	if len(x.UnitText) > 0 {
		dst = jsontext.AppendString(append(dst, `,"unit_text":`...), Latin1(obis.Text(x.UnitText)))
	}
	switch {
	case !x.Start.IsZero():
		dst = r.appendTime(append(dst, `,"start":`...), x.Start)
		if !x.Time.IsZero() {
			dst = r.appendTime(append(dst, `,"end":`...), x.Time)
		}
	case !x.Time.IsZero():
		dst = r.appendTime(append(dst, `,"time":`...), x.Time)
	}
	dst = r.appendSeason(dst, x)
	dst = appendQuality(append(dst, ','), x.Quality)
	dst = append(append(append(dst, `,"rule":"`...), x.Rule.String()...), '"')
	if source != nil {
		dst = source.AppendJSON(append(dst, `,"source":`...))
	}
	return append(dst, '}')
}

// season says what t says of daylight saving, where its text does not: it has no zone,
// or one that is not told apart from another place's.
func (r *Result) season(t obis.Time) (dst, said bool) {
	if t.Status == obis.TimeUnspecified || t.Status&obis.TimeDST == 0 && t.Deviation != obis.DeviationUnspecified && t.HasDate() && t.HasClock() || t.IsZero() {
		return false, false
	}
	if _, relative := t.Relative(); relative {
		return false, false
	}
	dst = t.Status&obis.TimeDST != 0
	_, zoned := t.Instant(r.Clock)
	return dst, dst || !zoned
}

// appendSeason appends what the text of a time does not say: "dst" and "clock_status" of
// the end or the value, "start_dst" and "start_clock_status" of the start.
func (r *Result) appendSeason(dst []byte, x *obis.Reading) []byte {
	end := x.Time
	if t, ok := x.Value.Time(); end.IsZero() && ok {
		end = t
	}
	dst = r.appendStatus(dst, end, `,"dst":`, `,"clock_status":"0x`)
	return r.appendStatus(dst, x.Start, `,"start_dst":`, `,"start_clock_status":"0x`)
}

func (r *Result) appendStatus(dst []byte, t obis.Time, season, status string) []byte {
	if summer, said := r.season(t); said {
		dst = strconv.AppendBool(append(dst, season...), summer)
	}
	if bits := doubts(t); bits != 0 {
		dst = append(strconv.AppendUint(append(dst, status...), uint64(bits), 16), '"')
	}
	return dst
}

// doubts returns the bits of a clock's status that say how far it is to be trusted.
func doubts(t obis.Time) obis.ClockStatus {
	if _, relative := t.Relative(); relative || t.Status == obis.TimeUnspecified {
		return 0
	}
	return t.Status &^ obis.TimeDST
}

// kindOf names the kind of a value that would be read back as another one.
func kindOf(v obis.Value) string {
	switch v.Kind() {
	case obis.KindEnum, obis.KindTree:
		return v.Kind().String()
	case obis.KindFloat32, obis.KindFloat64:
		switch f, _ := v.Float64(); {
		case math.IsNaN(f):
			return "nan"
		case math.IsInf(f, 0):
			return v.String() // +Inf or -Inf
		}
	case obis.KindText:
		switch b, _ := v.Bytes(); {
		case !utf8.Valid(b):
			return "latin-1"
		case !plainText(b):
			return "text"
		}
	}
	return ""
}

// plainText reports whether a text looks like nothing else.
func plainText(b []byte) bool {
	if len(b) >= 2 && b[0] == '0' && (b[1] == 'x' || b[1] == 'b') {
		return false
	}
	if len(b) < 3 || b[0] > '9' && b[0] != '?' {
		return true
	}
	_, err := obis.ParseTime(string(b))
	return err != nil
}

// appendName appends what a code stands for, with a comma behind it, where that is known.
func appendName(dst []byte, c obis.Code) []byte {
	const key = `"name":"`
	start := len(dst)
	dst = append(dst, key...)
	if dst = obis.AppendDescription(dst, c); len(dst) == start+len(key) {
		return dst[:start]
	}
	return append(dst, `",`...)
}

func appendRawID(dst, id []byte) []byte {
	if strings.HasPrefix(string(id[:min(2, len(id))]), "0x") {
		return append(obis.Octets(id).Append(append(dst, '"')), '"')
	}
	return jsontext.AppendString(dst, obis.RawIDText(id))
}

func appendFlags(dst []byte, f obis.Flags) []byte {
	if f == 0 {
		return append(dst, `["good"]`...)
	}
	dst = append(dst, '[')
	for ; f != 0; f &= f - 1 {
		dst = append(append(append(comma(dst), '"'), (f&-f).String()...), '"')
	}
	return append(dst, ']')
}

// appendQuality appends the members of a quality: its flags, and the meter's own word.
func appendQuality(dst []byte, q obis.Quality) []byte {
	dst = appendFlags(append(dst, `"quality":`...), q.Flags)
	if q.Raw == 0 {
		return dst
	}
	dst = strconv.AppendUint(append(dst, `,"status":"0x`...), q.Raw, 16)
	return member(append(dst, '"'), `,"status_kind":`, q.Kind.String())
}

func (r *Result) appendEvent(dst []byte, e *obis.Event) []byte {
	dst = append(dst, '{')
	if e.Log.Valid() {
		dst = append(dst, `"log":"`...)
		dst, _ = e.Log.AppendText(dst)
		dst = append(dst, `",`...)
	}
	dst = strconv.AppendUint(append(dst, `"id":`...), uint64(e.ID), 10)
	if !e.Time.IsZero() {
		dst = r.appendTime(append(dst, `,"time":`...), e.Time)
		dst = r.appendStatus(dst, e.Time, `,"dst":`, `,"clock_status":"0x`)
	}
	dst = member(dst, `,"text":`, e.Text)
	if len(e.Params) > 0 {
		dst = append(dst, `,"params":[`...)
		for i := range e.Params {
			dst = r.appendReading(comma(dst), &e.Params[i])
		}
		dst = append(dst, ']')
	}
	return append(appendQuality(append(dst, ','), e.Quality), '}')
}

func (r *Result) appendProfile(dst []byte, p *obis.Profile) []byte {
	dst = append(dst, '{')
	if p.Code.Valid() {
		dst = append(dst, `"obis":"`...)
		dst, _ = p.Code.AppendText(dst)
		dst = append(dst, `",`...)
	}
	dst = strconv.AppendInt(append(dst, `"period_s":`...), int64(p.Period), 10)
	dst = append(dst, `,"columns":[`...)
	for i := range p.Columns {
		dst = appendColumn(comma(dst), &p.Columns[i])
	}
	dst = append(dst, `],"rows":[`...)
	rows := p.Quality.Reader()
	cells := make([]obis.RunReader, len(p.Columns))
	for i := range p.Columns {
		cells[i] = p.Columns[i].Quality.Reader()
	}
	for row := range p.Len() {
		dst = r.appendRowTime(append(comma(dst), '['), p, row)
		switch q := rows.At(row); q.Raw {
		case 0:
			dst = jsontext.AppendString(append(dst, ','), q.Flags.String())
		default:
			dst = append(appendQuality(append(dst, ',', '{'), q), '}')
		}
		for i := range p.Columns {
			v, q := p.Columns[i].At(row), cells[i].At(row)
			kind := kindOf(v)
			if q == (obis.Quality{}) && kind == "" {
				dst = r.appendValue(append(dst, ','), v)
				continue
			}
			dst = r.appendValue(append(dst, `,{"value":`...), v)
			dst = member(dst, `,"kind":`, kind)
			dst = append(appendQuality(append(dst, ','), q), '}')
		}
		dst = append(dst, ']')
	}
	return append(dst, ']', '}')
}

// appendRowTime appends the time of a row, as an object where that says more than its text.
func (r *Result) appendRowTime(dst []byte, p *obis.Profile, row int) []byte {
	end := p.Times[row]
	var start obis.Time
	if row < len(p.Starts) {
		start = p.Starts[row]
	}
	_, said := r.season(end)
	if _, zoned := end.Instant(r.Clock); start.IsZero() && doubts(end) == 0 && (!said || zoned) {
		return r.appendTime(dst, end)
	}
	dst = append(dst, '{')
	if !start.IsZero() {
		dst = append(r.appendTime(append(dst, `"start":`...), start), ',')
	}
	dst = r.appendTime(append(dst, `"end":`...), end)
	return append(r.appendSeason(dst, &obis.Reading{Start: start, Time: end}), '}')
}

func appendColumn(dst []byte, c *obis.Column) []byte {
	dst = append(dst, '{')
	if c.Code.Valid() {
		dst = append(dst, `"obis":"`...)
		dst, _ = c.Code.AppendText(dst)
		dst = append(dst, '"')
	}
	if len(c.RawID) > 0 {
		dst = appendRawID(append(comma(dst), `"raw_id":`...), c.RawID)
	}
	if name := obis.Describe(c.Code); name != "" {
		dst = member(comma(dst), `"name":`, name)
	}
	if unit := c.Unit.String(); unit != "" {
		dst = member(comma(dst), `"unit":`, unit)
	}
	if c.Rule != obis.RuleNone {
		dst = member(comma(dst), `"rule":`, c.Rule.String())
	}
	return append(dst, '}')
}

// appendTime appends t as an instant where that is known, else as the meter's fields.
func (r *Result) appendTime(dst []byte, t obis.Time) []byte {
	return append(AppendTimeText(append(dst, '"'), t, r.Clock), '"')
}

// TimeText returns t in RFC 3339: as an instant where deviation or zone is known, else without zone.
func TimeText(t obis.Time, clock obis.Clock) string { return string(AppendTimeText(nil, t, clock)) }

// AppendTimeText appends the text of [TimeText].
func AppendTimeText(dst []byte, t obis.Time, clock obis.Clock) []byte {
	at, ok := t.Instant(clock)
	if !ok {
		return t.Append(dst)
	}
	if at.Nanosecond() != 0 {
		return at.AppendFormat(dst, "2006-01-02T15:04:05.00Z07:00")
	}
	return at.AppendFormat(dst, time.RFC3339)
}

func (r *Result) appendValue(dst []byte, v obis.Value) []byte {
	switch v.Kind() {
	case obis.KindNone:
		return append(dst, "null"...)
	case obis.KindInt, obis.KindUint, obis.KindBool, obis.KindEnum:
		return v.Append(dst)
	case obis.KindFloat32, obis.KindFloat64:
		start := len(dst)
		if dst = v.Append(dst); dst[len(dst)-1] <= '9' { // neither NaN nor ±Inf
			return dst
		}
		return append(dst[:start], "null"...)
	case obis.KindTime:
		t, _ := v.Time()
		return r.appendTime(dst, t)
	case obis.KindText:
		b, _ := v.Bytes()
		if utf8.Valid(b) {
			return jsontext.AppendString(dst, b)
		}
		return jsontext.AppendString(dst, Latin1(v))
	}
	return append(v.Append(append(dst, '"')), '"')
}

// Latin1 returns a text value as UTF-8: as it is where it is valid, else read as Latin-1.
func Latin1(v obis.Value) string {
	b, _ := v.Bytes()
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}
