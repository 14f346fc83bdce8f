package result

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/obis"
)

// textSource is a source that came as JSON.
type textSource struct{ text []byte }

func (s *textSource) AppendJSON(dst []byte) []byte { return append(dst, s.text...) }

func (s *textSource) Clone(list []Source) int {
	list[0] = &textSource{bytes.Clone(s.text)}
	return 1
}

// UnmarshalJSON reads what MarshalJSON wrote, and members that it does not know not at
// all. Numbers stay exact. A time that is none is left out, with a warning and a flag at
// what had it; anything else that is wrong refuses the document.
func (r *Result) UnmarshalJSON(b []byte) error {
	in := reader{Reader: *jsontext.NewReader(bytes.Clone(b)), result: r}
	*r = Result{}
	in.document()
	in.End()
	if err := in.Err(); err != nil {
		return fmt.Errorf("result: %s%w", in.where, err)
	}
	if in.schema != Schema {
		return fmt.Errorf("result: schema %q, want %q", in.schema, Schema)
	}
	return nil
}

// reader reads one result.
type reader struct {
	jsontext.Reader
	result  *Result
	schema  string
	where   string // what is being read
	sources []textSource
	names   map[string]string // texts that repeat
}

// text reads a string that repeats from one document to the next part of it.
func (in *reader) text() string {
	b := in.String()
	if len(b) == 0 {
		return ""
	}
	if s, ok := in.names[string(b)]; ok {
		return s
	}
	if in.names == nil {
		in.names = map[string]string{}
	}
	s := string(b)
	in.names[s] = s
	return s
}

func (in *reader) document() {
	r := in.result
	for in.Open('{'); in.More('}'); {
		switch string(in.Key()) {
		case "schema":
			in.schema = string(in.String())
		case "protocol":
			r.Protocol = Protocol(in.String())
		case "received":
			at, err := time.Parse(time.RFC3339, string(in.String()))
			in.Fail(err)
			r.Received = at
		case "meter":
			in.meter(&r.Meter)
		case "readings":
			in.list("reading", func() { r.Readings = append(r.Readings, in.reading()) })
		case "events":
			in.list("event", func() { r.Events = append(r.Events, in.event()) })
		case "profiles":
			in.list("profile", func() { r.Profiles = append(r.Profiles, in.profile()) })
		case "layers":
			in.list("layer", func() { r.Layers = append(r.Layers, in.layer()) })
		case "warnings":
			in.list("warning", func() { r.Warnings = append(r.Warnings, string(in.String())) })
		default:
			in.Raw()
		}
	}
}

// list reads a list, and names the element in which something is wrong.
func (in *reader) list(what string, element func()) {
	i := 0
	for in.Open('['); in.More(']'); i++ {
		if element(); in.Err() != nil {
			in.where = fmt.Sprintf("%s %d: %s", what, i, in.where)
			return
		}
	}
}

func (in *reader) meter(m *obis.Meter) {
	for in.Open('{'); in.More('}'); {
		switch string(in.Key()) {
		case "id":
			m.ID = string(in.String())
		case "manufacturer":
			m.Manufacturer = string(in.String())
		case "serial":
			m.Serial = string(in.String())
		case "model":
			m.Model = string(in.String())
		case "firmware":
			m.Firmware = string(in.String())
		case "version":
			m.Version = string(in.String())
		case "system_title":
			m.SystemTitle = string(in.String())
		case "medium":
			m.Medium = mediumByName(in.String())
		default:
			in.Raw()
		}
	}
}

func mediumByName(name []byte) obis.Medium {
	for m := obis.Unknown; m <= obis.Abstract; m++ {
		if m.String() == string(name) {
			return m
		}
	}
	return obis.Unknown
}

// cell is a value with what stands beside it.
type cell struct {
	value   obis.Value
	quality obis.Quality
	kind    string
}

// member reads a member of a value's object, and reports whether it is one.
func (in *reader) member(key []byte, c *cell) bool {
	switch string(key) {
	case "value":
		c.value = in.value()
	case "kind":
		c.kind = in.text()
	case "quality":
		for in.Open('['); in.More(']'); {
			c.quality.Flags |= in.flag(in.String())
		}
	case "status":
		text := in.String()
		n, err := strconv.ParseUint(string(bytes.TrimPrefix(text, []byte("0x"))), 16, 64)
		if err != nil || !bytes.HasPrefix(text, []byte("0x")) {
			in.Fail(fmt.Errorf("status %q is no hexadecimal number", text))
		}
		c.quality.Raw = n
	case "status_kind":
		var ok bool
		if c.quality.Kind, ok = obis.ParseStatusKind(string(in.String())); !ok {
			c.quality.Kind = obis.StatusVendor
		}
	default:
		return false
	}
	return true
}

// settle gives the value the kind that was named beside it.
func (c *cell) settle(text []byte) {
	switch c.kind {
	case "enum":
		if n, e, ok := c.value.Decimal(); ok && e == 0 {
			c.value = obis.Enum(n)
		}
	case "nan":
		c.value = obis.Float64(math.Float64bits(math.NaN()), 0)
	case "+Inf", "-Inf":
		f, _ := strconv.ParseFloat(c.kind, 64)
		c.value = obis.Float64(math.Float64bits(f), 0)
	case "tree":
		if b, ok := c.value.Bytes(); ok {
			c.value = obis.Tree(b)
		}
	case "text":
		c.value = obis.Text(text)
	case "latin-1":
		var b []byte
		for _, x := range string(text) {
			b = append(b, byte(x))
		}
		c.value = obis.Text(b)
	}
	if c.quality.Raw != 0 && c.quality.Kind == obis.StatusNone {
		c.quality.Kind = obis.StatusVendor
	}
}

func (in *reader) flag(name []byte) obis.Flags {
	f, ok := obis.ParseFlag(string(name))
	if !ok && in.Err() == nil {
		in.Fail(fmt.Errorf("unknown quality %q", name))
	}
	return f
}

func (in *reader) reading() (x obis.Reading) {
	var c cell
	var raw []byte // the value as a string
	var span interval
	source := -1
	for in.Open('{'); in.More('}'); {
		switch key := in.Key(); string(key) {
		case "obis":
			x.Code = in.code()
		case "raw_id":
			x.RawID = in.rawID()
		case "name", "ucum":
			in.String()
		case "unit":
			x.Unit = in.unit()
		case "unit_text":
			x.UnitText = in.String()
		case "rule":
			x.Rule = in.rule()
		case "source":
			if text, spaced := in.Raw(); len(text) > 0 && text[0] == '{' {
				if spaced {
					var b bytes.Buffer
					_ = json.Compact(&b, text) // it has been checked
					text = b.Bytes()
				}
				source = len(in.sources)
				in.sources = append(in.sources, textSource{text})
			}
		case "value":
			if in.Peek() == '"' {
				raw = in.String()
				c.value = in.textValue(raw)
			} else {
				c.value = in.value()
			}
		default:
			if !in.member(key, &c) && !in.interval(key, &span, &c.quality) {
				in.Raw()
			}
		}
	}
	c.settle(raw)
	x.Value, x.Quality = c.value, c.quality
	if t, ok := x.Value.Time(); ok && span.end.IsZero() && (span.season != nil || span.status != 0) {
		x.Value = obis.Moment(withStatus(t, span.season, span.status))
	}
	x.Start, x.Time = span.times()
	r := in.result
	x.Source = uint32(len(r.Sources))
	r.Sources = append(r.Sources, nil)
	if source >= 0 {
		r.Sources[x.Source] = &in.sources[source]
	}
	return x
}

// interval is when something was, or from when to when.
type interval struct {
	start, end          obis.Time
	season, startSeason *bool
	status, startStatus obis.ClockStatus // bits besides
}

// interval reads a member of an interval, and reports whether it is one.
func (in *reader) interval(key []byte, x *interval, q *obis.Quality) bool {
	switch string(key) {
	case "start":
		x.start = in.time(q)
	case "end", "time":
		x.end = in.time(q)
	case "dst":
		x.season = new(in.Bool())
	case "start_dst":
		x.startSeason = new(in.Bool())
	case "clock_status":
		x.status = in.clockStatus()
	case "start_clock_status":
		x.startStatus = in.clockStatus()
	default:
		return false
	}
	return true
}

func (in *reader) clockStatus() obis.ClockStatus {
	text := in.String()
	n, err := strconv.ParseUint(string(bytes.TrimPrefix(text, []byte("0x"))), 16, 8)
	if err != nil || !bytes.HasPrefix(text, []byte("0x")) {
		in.Fail(fmt.Errorf("clock status %q is no hexadecimal number of 8 bits", text))
	}
	return obis.ClockStatus(n) &^ obis.TimeDST
}

// times returns both times in their seasons.
func (x *interval) times() (start, end obis.Time) {
	return withStatus(x.start, x.startSeason, x.startStatus), withStatus(x.end, x.season, x.status)
}

func withStatus(t obis.Time, season *bool, bits obis.ClockStatus) obis.Time {
	if season != nil {
		t = inSeason(t, *season)
	}
	if bits != 0 && !t.IsZero() {
		if t.Status == obis.TimeUnspecified {
			t.Status = 0
		}
		t.Status |= bits
	}
	return t
}

// inSeason gives a time the bit of daylight saving.
func inSeason(t obis.Time, summer bool) obis.Time {
	if t.IsZero() {
		return t
	}
	if t.Status == obis.TimeUnspecified {
		t.Status = 0
	}
	if t.Status &^= obis.TimeDST; summer {
		t.Status |= obis.TimeDST
	}
	return t
}

func (in *reader) code() (c obis.Code) {
	text := in.String()
	if len(text) == 0 {
		return c
	}
	c, err := obis.ParseCode(string(text))
	in.Fail(err)
	return c
}

func (in *reader) rawID() []byte {
	text := in.String()
	if !bytes.HasPrefix(text, []byte("0x")) {
		return text
	}
	id, err := hex.DecodeString(string(text[2:]))
	in.Fail(err)
	return id
}

func (in *reader) unit() obis.Unit {
	text := in.String()
	if len(text) == 0 {
		return obis.UnitUnknown
	}
	u, ok := obis.UnitByName(string(text))
	if !ok && in.Err() == nil {
		in.Fail(fmt.Errorf("unknown unit %q", text))
	}
	return u
}

func (in *reader) rule() obis.Rule {
	text := in.String()
	for rule := obis.RuleNone; rule <= obis.RuleManufacturer; rule++ {
		if rule.String() == string(text) {
			return rule
		}
	}
	return obis.RuleNone
}

// time reads a time. What is none is told of, and marks what has it.
func (in *reader) time(q *obis.Quality) obis.Time {
	text := in.String()
	t, err := obis.ParseTime(string(text))
	if err != nil {
		in.result.Warn("%v", err)
		q.Flags |= obis.ClockInvalid
		return obis.Time{}
	}
	return t
}

func (in *reader) value() obis.Value {
	switch in.Peek() {
	case '"':
		return in.textValue(in.String())
	case 't', 'f':
		return obis.Bool(in.Bool())
	case 'n':
		in.Null()
		return obis.Value{}
	}
	text := in.Number()
	if in.Err() != nil {
		return obis.Value{}
	}
	v, ok := obis.ParseDecimal(text)
	if ok {
		return v
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if v = obis.Float64(math.Float64bits(f), 0); err == nil && v.String() == string(text) {
		return v // a float of more digits than its value has
	}
	in.Fail(fmt.Errorf("value %.40s has more digits than there is room for", text))
	return obis.Value{}
}

// textValue reads the value that a string stands for.
func (in *reader) textValue(s []byte) obis.Value {
	if len(s) >= 2 && s[0] == '0' {
		switch s[1] {
		case 'x':
			b := make([]byte, hex.DecodedLen(len(s)-2))
			if _, err := hex.Decode(b, s[2:]); err == nil {
				return obis.Octets(b)
			}
		case 'b':
			if b, ok := bits(s[2:]); ok {
				return obis.Bits(b, len(s)-2)
			}
		}
	}
	if !plainText(s) {
		if t, err := obis.ParseTime(string(s)); err == nil && !t.IsZero() {
			return obis.Moment(t)
		}
	}
	return obis.Text(s)
}

func bits(digits []byte) ([]byte, bool) {
	b := make([]byte, (len(digits)+7)/8)
	for i, c := range digits {
		if c != '0' && c != '1' {
			return nil, false
		}
		b[i/8] |= (c - '0') << (7 - i%8)
	}
	return b, true
}

func (in *reader) event() (e obis.Event) {
	var c cell
	var span interval
	for in.Open('{'); in.More('}'); {
		switch key := in.Key(); string(key) {
		case "log":
			e.Log = in.code()
		case "id":
			e.ID = uint32(in.Int(0, 1<<32-1))
		case "text":
			e.Text = in.text()
		case "params":
			in.list("parameter", func() { e.Params = append(e.Params, in.reading()) })
		default:
			if !in.member(key, &c) && !in.interval(key, &span, &c.quality) {
				in.Raw()
			}
		}
	}
	c.settle(nil)
	e.Quality = c.quality
	_, e.Time = span.times()
	return e
}

func (in *reader) layer() (l Layer) {
	for in.Open('{'); in.More('}'); {
		switch string(in.Key()) {
		case "name":
			l.Name = in.text()
		case "control":
			l.Control = in.text()
		case "security":
			l.Security = in.text()
		case "verified":
			if l.Tag = TagUnchecked; in.Bool() {
				l.Tag = TagVerified
			}
		case "counter":
			l.Counter, l.Counted = uint32(in.Int(0, 1<<32-1)), true
		default:
			in.Raw()
		}
	}
	return l
}

func (in *reader) profile() *obis.Profile {
	p := &obis.Profile{}
	var early []byte // rows that stand before their columns
	for in.Open('{'); in.More('}'); {
		switch string(in.Key()) {
		case "obis":
			p.Code = in.code()
		case "period_s":
			p.Period = int32(in.Int(0, 1<<31-1))
		case "columns":
			in.list("column", func() { p.Columns = append(p.Columns, in.column()) })
		case "rows":
			if p.Columns == nil {
				early, _ = in.Raw()
				continue
			}
			in.list("row", func() { in.row(p) })
		default:
			in.Raw()
		}
	}
	if early != nil {
		rest := in.Reader
		in.Reader = *jsontext.NewReader(early)
		in.list("row", func() { in.row(p) })
		rest.Fail(in.Err())
		in.Reader = rest
	}
	return p
}

func (in *reader) column() (c obis.Column) {
	for in.Open('{'); in.More('}'); {
		switch string(in.Key()) {
		case "obis":
			c.Code = in.code()
		case "raw_id":
			c.RawID = in.rawID()
		case "unit":
			c.Unit = in.unit()
		case "rule":
			c.Rule = in.rule()
		default:
			in.Raw()
		}
	}
	return c
}

// row reads the time of a row, its quality, and a cell for each column.
func (in *reader) row(p *obis.Profile) {
	n, row := 0, len(p.Times)
	var whole obis.Quality
	var start, end obis.Time
	for in.Open('['); in.More(']'); n++ {
		switch i := n - 2; {
		case n == 0:
			start, end = in.rowTime(&whole)
		case n == 1:
			q := in.rowQuality()
			whole = q.With(whole.Flags)
		case i >= len(p.Columns):
			in.Raw()
		default:
			c := in.cell()
			p.Columns[i].Append(c.value)
			if c.quality != (obis.Quality{}) {
				p.Columns[i].Quality.Add(row, c.quality)
			}
		}
	}
	if want := len(p.Columns) + 2; n != want && in.Err() == nil {
		in.Fail(fmt.Errorf("%d cells, want %d", n, want))
	}
	if !start.IsZero() {
		for len(p.Starts) < row {
			p.Starts = append(p.Starts, obis.Time{})
		}
		p.Starts = append(p.Starts, start)
	}
	p.Times = append(p.Times, end)
	if whole != (obis.Quality{}) {
		p.Quality.Add(row, whole)
	}
}

func (in *reader) rowTime(q *obis.Quality) (start, end obis.Time) {
	if in.Peek() != '{' {
		return obis.Time{}, in.time(q)
	}
	var span interval
	for in.Open('{'); in.More('}'); {
		if key := in.Key(); !in.interval(key, &span, q) {
			in.Raw()
		}
	}
	return span.times()
}

func (in *reader) rowQuality() obis.Quality {
	var c cell
	if in.Peek() != '{' {
		for _, name := range bytes.Split(in.String(), []byte{','}) {
			c.quality.Flags |= in.flag(name)
		}
		return c.quality
	}
	for in.Open('{'); in.More('}'); {
		if key := in.Key(); !in.member(key, &c) {
			in.Raw()
		}
	}
	c.settle(nil)
	return c.quality
}

// cell reads a value, or an object with one and what it has of its own.
func (in *reader) cell() (c cell) {
	if in.Peek() != '{' {
		c.value = in.value()
		return c
	}
	var raw []byte
	for in.Open('{'); in.More('}'); {
		key := in.Key()
		if string(key) == "value" && in.Peek() == '"' {
			raw = in.String()
			c.value = in.textValue(raw)
			continue
		}
		if !in.member(key, &c) {
			in.Raw()
		}
	}
	c.settle(raw)
	return c
}
