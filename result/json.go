package result

import (
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
func (r *Result) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"schema":"`+Schema+`"`...)
	dst = member(dst, `,"protocol":`, string(r.Protocol))
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
	dst = append(dst, '{')
	if x.Code.Valid() {
		dst = append(dst, `"obis":"`...)
		dst, _ = x.Code.AppendText(dst)
		dst = append(dst, `",`...)
	}
	if !x.Code.Valid() || x.Rule == obis.RuleNone {
		if len(x.RawID) > 0 {
			dst = append(appendRawID(append(dst, `"raw_id":`...), x.RawID), ',')
		}
	}
	dst = appendName(dst, x.Code)
	dst = r.appendValue(append(dst, `"value":`...), x.Value)
	unit := x.Unit.String()
	dst = member(dst, `,"unit":`, unit)
	if ucum := x.Unit.UCUM(); ucum != unit {
		dst = member(dst, `,"ucum":`, ucum)
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
	dst = appendFlags(append(dst, `,"quality":`...), x.Quality.Flags)
	dst = append(append(append(dst, `,"rule":"`...), x.Rule.String()...), '"')
	if i := int(x.Source); i < len(r.Sources) && r.Sources[i] != nil {
		dst = r.Sources[i].AppendJSON(append(dst, `,"source":`...))
	}
	return append(dst, '}')
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

func appendRawID(dst, id []byte) []byte { return jsontext.AppendString(dst, obis.RawIDText(id)) }

func appendFlags(dst []byte, f obis.Flags) []byte {
	if f == 0 {
		return append(dst, `["good"]`...)
	}
	dst = append(dst, '[')
	for _, name := range f.Names(nil) {
		dst = jsontext.AppendString(comma(dst), name)
	}
	return append(dst, ']')
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
	}
	dst = member(dst, `,"text":`, e.Text)
	if len(e.Params) > 0 {
		dst = append(dst, `,"params":[`...)
		for i := range e.Params {
			dst = r.appendReading(comma(dst), &e.Params[i])
		}
		dst = append(dst, ']')
	}
	return append(appendFlags(append(dst, `,"quality":`...), e.Quality.Flags), '}')
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
	for row := range p.Len() {
		dst = r.appendTime(append(comma(dst), '['), p.Times[row])
		dst = jsontext.AppendString(append(dst, ','), p.Quality.At(row).Flags.String())
		for i := range p.Columns {
			dst = r.appendValue(append(dst, ','), p.Columns[i].At(row))
		}
		dst = append(dst, ']')
	}
	return append(dst, ']', '}')
}

func appendColumn(dst []byte, c *obis.Column) []byte {
	dst = append(dst, '{')
	if c.Code.Valid() {
		dst = append(dst, `"obis":"`...)
		dst, _ = c.Code.AppendText(dst)
		dst = append(dst, '"')
	} else if len(c.RawID) > 0 {
		dst = appendRawID(append(dst, `"raw_id":`...), c.RawID)
	}
	if name := obis.Describe(c.Code); name != "" {
		dst = member(comma(dst), `"name":`, name)
	}
	if unit := c.Unit.String(); unit != "" {
		dst = member(comma(dst), `"unit":`, unit)
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
