package meter

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openusm/meter/obis"
)

// Schema names the JSON form of a Result.
const Schema = "meterctl/v1"

type resultJSON struct {
	Schema   string        `json:"schema"`
	Protocol Protocol      `json:"protocol,omitempty"`
	Meter    meterJSON     `json:"meter"`
	Readings []readingJSON `json:"readings"`
	Events   []eventJSON   `json:"events"`
	Profiles []profileJSON `json:"profiles"`
	Layers   []Layer       `json:"layers,omitempty"`
	Warnings []string      `json:"warnings"`
}

type meterJSON struct {
	ID           string `json:"id,omitempty"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Serial       string `json:"serial,omitempty"`
	Model        string `json:"model,omitempty"`
	Firmware     string `json:"firmware,omitempty"`
	Version      string `json:"version,omitempty"`
	SystemTitle  string `json:"system_title,omitempty"`
	Medium       string `json:"medium,omitempty"`
}

type readingJSON struct {
	OBIS    string          `json:"obis,omitempty"`
	RawID   string          `json:"raw_id,omitempty"`
	Name    string          `json:"name,omitempty"`
	Value   json.RawMessage `json:"value"`
	Unit    string          `json:"unit,omitempty"`
	UCUM    string          `json:"ucum,omitempty"`
	Start   string          `json:"start,omitempty"`
	End     string          `json:"end,omitempty"`
	Time    string          `json:"time,omitempty"`
	Quality []string        `json:"quality"`
	Rule    string          `json:"rule"`
	Source  any             `json:"source,omitempty"`
}

type eventJSON struct {
	Log     string        `json:"log,omitempty"`
	ID      uint32        `json:"id"`
	Time    string        `json:"time,omitempty"`
	Text    string        `json:"text,omitempty"`
	Params  []readingJSON `json:"params,omitempty"`
	Quality []string      `json:"quality"`
}

type profileJSON struct {
	OBIS    string              `json:"obis,omitempty"`
	Period  int32               `json:"period_s"`
	Columns []columnJSON        `json:"columns"`
	Rows    [][]json.RawMessage `json:"rows"`
}

type columnJSON struct {
	OBIS  string `json:"obis,omitempty"`
	RawID string `json:"raw_id,omitempty"`
	Name  string `json:"name,omitempty"`
	Unit  string `json:"unit,omitempty"`
}

// MarshalJSON returns the result in the form of [Schema]: numbers as exact
// decimals in the unprefixed unit, text as strings, bits as "0b…", octets as
// "0x…", times in RFC 3339 (without zone where none is known), missing as null.
func (r *Result) MarshalJSON() ([]byte, error) {
	out := resultJSON{
		Schema: Schema, Protocol: r.Protocol, Layers: r.Layers,
		Meter: meterJSON{
			ID: r.Meter.ID, Manufacturer: r.Meter.Manufacturer, Serial: r.Meter.Serial, Model: r.Meter.Model,
			Firmware: r.Meter.Firmware, Version: r.Meter.Version, SystemTitle: r.Meter.SystemTitle, Medium: r.Meter.Medium.String(),
		},
		Readings: []readingJSON{}, Events: []eventJSON{}, Profiles: []profileJSON{},
		Warnings: append([]string{}, r.Warnings...),
	}
	for i := range r.Readings {
		out.Readings = append(out.Readings, r.reading(&r.Readings[i]))
	}
	for i := range r.Events {
		out.Events = append(out.Events, r.event(&r.Events[i]))
	}
	for _, p := range r.Profiles {
		out.Profiles = append(out.Profiles, r.profile(p))
	}
	return marshal(out)
}

// marshal is json.Marshal that leaves <, > and & alone.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func (r *Result) reading(x *obis.Reading) readingJSON {
	out := readingJSON{
		OBIS: x.Code.String(), Name: obis.Describe(x.Code), Value: r.value(x.Value), Unit: x.Unit.String(),
		Quality: x.Quality.Flags.Names(nil), Rule: x.Rule.String(),
	}
	if u := x.Unit.UCUM(); u != out.Unit {
		out.UCUM = u
	}
	if !x.Code.Valid() || x.Rule == obis.RuleNone {
		out.RawID = obis.RawIDText(x.RawID)
	}
	switch {
	case !x.Start.IsZero():
		out.Start, out.End = r.time(x.Start), r.time(x.Time)
	case !x.Time.IsZero():
		out.Time = r.time(x.Time)
	}
	if int(x.Source) < len(r.Sources) {
		out.Source = r.Sources[x.Source]
	}
	return out
}

func (r *Result) event(e *obis.Event) eventJSON {
	out := eventJSON{Log: e.Log.String(), ID: e.ID, Time: r.time(e.Time), Text: e.Text, Quality: e.Quality.Flags.Names(nil)}
	for i := range e.Params {
		out.Params = append(out.Params, r.reading(&e.Params[i]))
	}
	return out
}

func (r *Result) profile(p *obis.Profile) profileJSON {
	out := profileJSON{OBIS: p.Code.String(), Period: p.Period, Columns: []columnJSON{}, Rows: [][]json.RawMessage{}}
	for _, c := range p.Columns {
		column := columnJSON{OBIS: c.Code.String(), Name: obis.Describe(c.Code), Unit: c.Unit.String()}
		if !c.Code.Valid() {
			column.RawID = obis.RawIDText(c.RawID)
		}
		out.Columns = append(out.Columns, column)
	}
	for row := range p.Len() {
		cells := []json.RawMessage{jsonString(r.time(p.Times[row])), r.status(p.Quality.At(row))}
		for i := range p.Columns {
			cells = append(cells, r.value(p.Columns[i].At(row)))
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}

// status shows the quality of a row as its flags.
func (r *Result) status(q obis.Quality) json.RawMessage { return jsonString(q.Flags.String()) }

// time shows t as an instant where that is known, else as the meter's fields.
func (r *Result) time(t obis.Time) string { return TimeText(t, r.Clock) }

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

func (r *Result) value(v obis.Value) json.RawMessage {
	switch v.Kind() {
	case obis.KindNone:
		return json.RawMessage("null")
	case obis.KindInt, obis.KindUint, obis.KindBool, obis.KindEnum:
		return v.Append(nil)
	case obis.KindFloat32, obis.KindFloat64:
		if text := v.Append(nil); text[len(text)-1] <= '9' { // neither NaN nor ±Inf
			return text
		}
		return json.RawMessage("null")
	case obis.KindTime:
		t, _ := v.Time()
		return jsonString(r.time(t))
	case obis.KindText:
		return jsonString(Latin1(v))
	}
	return jsonString(v.String())
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

func jsonString(s string) json.RawMessage {
	b, err := marshal(s)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}

// UnmarshalJSON reads what MarshalJSON wrote. Numbers stay exact; texts stay
// texts, so that bits and octets come back as what their prefix says.
func (r *Result) UnmarshalJSON(b []byte) error {
	var in resultJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.Schema != Schema {
		return fmt.Errorf("meter: schema %q, want %q", in.Schema, Schema)
	}
	*r = Result{Protocol: in.Protocol, Layers: in.Layers, Warnings: in.Warnings}
	r.Meter = obis.Meter{
		ID: in.Meter.ID, Manufacturer: in.Meter.Manufacturer, Serial: in.Meter.Serial, Model: in.Meter.Model,
		Firmware: in.Meter.Firmware, Version: in.Meter.Version, SystemTitle: in.Meter.SystemTitle, Medium: mediumByName(in.Meter.Medium),
	}
	for i, x := range in.Readings {
		reading, err := x.parse()
		if err != nil {
			return fmt.Errorf("meter: reading %d: %w", i, err)
		}
		reading.Source = uint32(len(r.Sources))
		r.Sources = append(r.Sources, x.Source)
		r.Readings = append(r.Readings, reading)
	}
	for i, x := range in.Events {
		event, err := x.parse()
		if err != nil {
			return fmt.Errorf("meter: event %d: %w", i, err)
		}
		r.Events = append(r.Events, event)
	}
	for i, x := range in.Profiles {
		profile, err := x.parse()
		if err != nil {
			return fmt.Errorf("meter: profile %d: %w", i, err)
		}
		r.Profiles = append(r.Profiles, profile)
	}
	return nil
}

func mediumByName(name string) obis.Medium {
	for m := obis.Unknown; m <= obis.Abstract; m++ {
		if m.String() == name {
			return m
		}
	}
	return obis.Unknown
}

func (x readingJSON) parse() (out obis.Reading, err error) {
	if x.OBIS != "" {
		if out.Code, err = obis.ParseCode(x.OBIS); err != nil {
			return out, err
		}
	}
	if x.RawID != "" {
		if octets, hexed := strings.CutPrefix(x.RawID, "0x"); hexed {
			out.RawID, err = hex.DecodeString(octets)
		} else {
			out.RawID = []byte(x.RawID)
		}
		if err != nil {
			return out, err
		}
	}
	if x.Unit != "" {
		var ok bool
		if out.Unit, ok = obis.UnitByName(x.Unit); !ok {
			return out, fmt.Errorf("unknown unit %q", x.Unit)
		}
	}
	if out.Value, err = parseValue(x.Value); err != nil {
		return out, err
	}
	if out.Start, err = parseTime(x.Start); err != nil {
		return out, err
	}
	if out.Time, err = parseTime(x.Time + x.End); err != nil {
		return out, err
	}
	if out.Quality.Flags, err = parseFlags(x.Quality); err != nil {
		return out, err
	}
	for rule := obis.RuleNone; rule <= obis.RuleManufacturer; rule++ {
		if rule.String() == x.Rule {
			out.Rule = rule
		}
	}
	return out, nil
}

func parseFlags(names []string) (f obis.Flags, err error) {
	for _, name := range names {
		flag, ok := obis.ParseFlag(name)
		if !ok {
			return 0, fmt.Errorf("unknown quality %q", name)
		}
		f |= flag
	}
	return f, nil
}

func parseValue(raw json.RawMessage) (obis.Value, error) {
	text := string(bytes.TrimSpace(raw))
	switch {
	case text == "" || text == "null":
		return obis.Value{}, nil
	case text == "true" || text == "false":
		return obis.Bool(text == "true"), nil
	case text[0] != '"':
		v, ok := obis.ParseNumber([]byte(text))
		if !ok {
			return v, fmt.Errorf("value %s is no decimal number of 18 digits", text)
		}
		return v, nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return obis.Value{}, err
	}
	if octets, ok := strings.CutPrefix(s, "0x"); ok {
		if b, err := hex.DecodeString(octets); err == nil {
			return obis.Octets(b), nil
		}
	}
	if bits, ok := strings.CutPrefix(s, "0b"); ok && strings.Trim(bits, "01") == "" {
		b := make([]byte, (len(bits)+7)/8)
		for i, c := range bits {
			b[i/8] |= byte(c-'0') << (7 - i%8)
		}
		return obis.Bits(b, len(bits)), nil
	}
	if t, err := parseTime(s); err == nil && len(s) >= len("2026-11-20") {
		return obis.Moment(t), nil
	}
	return obis.Text([]byte(s)), nil
}

// parseTime reads what TimeText writes: RFC 3339 with or without zone, a date
// alone, and seconds from an unknown start.
func parseTime(s string) (obis.Time, error) {
	if s == "" {
		return obis.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return obis.FromTime(at), nil
	}
	if seconds, ok := strings.CutSuffix(s, "s"); ok {
		n, err := strconv.ParseInt(seconds, 10, 32)
		return obis.Relative(int32(n)), err
	}
	if at, err := time.Parse("2006-01-02", s); err == nil {
		return obis.LocalTime(at.Year(), int(at.Month()), at.Day(), obis.Unspecified, obis.Unspecified, obis.Unspecified), nil
	}
	at, err := time.Parse("2006-01-02T15:04:05", s)
	if err != nil {
		return obis.Time{}, err
	}
	return obis.LocalTime(at.Year(), int(at.Month()), at.Day(), at.Hour(), at.Minute(), at.Second()), nil
}

func (x eventJSON) parse() (out obis.Event, err error) {
	out = obis.Event{ID: x.ID, Text: x.Text}
	if x.Log != "" {
		if out.Log, err = obis.ParseCode(x.Log); err != nil {
			return out, err
		}
	}
	if out.Time, err = parseTime(x.Time); err != nil {
		return out, err
	}
	if out.Quality.Flags, err = parseFlags(x.Quality); err != nil {
		return out, err
	}
	for _, p := range x.Params {
		reading, err := p.parse()
		if err != nil {
			return out, err
		}
		out.Params = append(out.Params, reading)
	}
	return out, nil
}

func (x profileJSON) parse() (*obis.Profile, error) {
	p := &obis.Profile{Period: x.Period, Columns: make([]obis.Column, len(x.Columns))}
	var err error
	if x.OBIS != "" {
		if p.Code, err = obis.ParseCode(x.OBIS); err != nil {
			return nil, err
		}
	}
	for i, c := range x.Columns {
		described, err := readingJSON{OBIS: c.OBIS, RawID: c.RawID, Unit: c.Unit}.parse()
		if err != nil {
			return nil, err
		}
		p.Columns[i].Code, p.Columns[i].RawID, p.Columns[i].Unit = described.Code, described.RawID, described.Unit
	}
	for n, cells := range x.Rows {
		if len(cells) != len(x.Columns)+2 {
			return nil, fmt.Errorf("row %d has %d cells, want %d", n, len(cells), len(x.Columns)+2)
		}
		var at, status string
		if err := json.Unmarshal(cells[0], &at); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(cells[1], &status); err != nil {
			return nil, err
		}
		t, err := parseTime(at)
		if err != nil {
			return nil, err
		}
		flags, err := parseFlags(strings.Split(status, ","))
		if err != nil {
			return nil, err
		}
		p.Times = append(p.Times, t)
		if flags != 0 {
			p.Quality.Add(n, obis.Quality{Flags: flags})
		}
		for i, cell := range cells[2:] {
			v, err := parseValue(cell)
			if err != nil {
				return nil, err
			}
			p.Columns[i].Append(v)
		}
	}
	return p, nil
}
