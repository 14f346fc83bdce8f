package result

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/obis"
)

type resultJSON struct {
	Schema   string        `json:"schema"`
	Protocol Protocol      `json:"protocol,omitempty"`
	Meter    meterJSON     `json:"meter"`
	Readings []readingJSON `json:"readings"`
	Events   []eventJSON   `json:"events"`
	Profiles []profileJSON `json:"profiles"`
	Layers   []layerJSON   `json:"layers,omitempty"`
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
	Source  json.RawMessage `json:"source,omitempty"`
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

type layerJSON struct {
	Name     string  `json:"name"`
	Control  string  `json:"control"`
	Security string  `json:"security"`
	Verified *bool   `json:"verified"`
	Counter  *uint32 `json:"counter"`
}

func (x layerJSON) layer() Layer {
	l := Layer{Name: x.Name, Control: x.Control, Security: x.Security}
	if x.Verified != nil {
		l.Tag = TagUnchecked
		if *x.Verified {
			l.Tag = TagVerified
		}
	}
	if x.Counter != nil {
		l.Counter, l.Counted = *x.Counter, true
	}
	return l
}

// textSource is a source that came as JSON.
type textSource []byte

func (s textSource) AppendJSON(dst []byte) []byte { return append(dst, s...) }
func (s textSource) Clone(list []Source) int      { list[0] = textSource(bytes.Clone(s)); return 1 }

// UnmarshalJSON reads what MarshalJSON wrote. Numbers stay exact; texts stay
// texts, so that bits and octets come back as what their prefix says.
func (r *Result) UnmarshalJSON(b []byte) error {
	var in resultJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.Schema != Schema {
		return fmt.Errorf("result: schema %q, want %q", in.Schema, Schema)
	}
	*r = Result{Protocol: in.Protocol, Warnings: in.Warnings}
	for _, l := range in.Layers {
		r.Layers = append(r.Layers, l.layer())
	}
	r.Meter = obis.Meter{
		ID: in.Meter.ID, Manufacturer: in.Meter.Manufacturer, Serial: in.Meter.Serial, Model: in.Meter.Model,
		Firmware: in.Meter.Firmware, Version: in.Meter.Version, SystemTitle: in.Meter.SystemTitle, Medium: mediumByName(in.Meter.Medium),
	}
	for i, x := range in.Readings {
		reading, err := x.parse()
		if err != nil {
			return fmt.Errorf("result: reading %d: %w", i, err)
		}
		reading.Source = uint32(len(r.Sources))
		var source Source
		if len(x.Source) > 0 && string(x.Source) != "null" {
			var b bytes.Buffer
			if err := json.Compact(&b, x.Source); err != nil {
				return err
			}
			source = textSource(b.Bytes())
		}
		r.Sources = append(r.Sources, source)
		r.Readings = append(r.Readings, reading)
	}
	for i, x := range in.Events {
		event, err := x.parse()
		if err != nil {
			return fmt.Errorf("result: event %d: %w", i, err)
		}
		r.Events = append(r.Events, event)
	}
	for i, x := range in.Profiles {
		profile, err := x.parse()
		if err != nil {
			return fmt.Errorf("result: profile %d: %w", i, err)
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
