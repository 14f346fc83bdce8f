package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"

	"github.com/openusm/meter"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/coap"
	"github.com/openusm/meter/mapping/timeseries"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// print writes a result in the chosen format, and its warnings to stderr.
func (a *app) print(r *meter.Result) error {
	for _, w := range r.Warnings {
		fmt.Fprintln(a.stderr, "warning:", w)
	}
	switch a.output {
	case "table":
		return a.printTable(r)
	case "json":
		return a.printJSON(r, "  ")
	case "ndjson":
		return a.printJSON(r, "")
	case "yaml":
		return a.printYAML(r)
	case "csv":
		return a.printCSV(r)
	case "influx":
		d := r.Data()
		lines, lost := timeseries.AppendInflux(nil, d)
		return a.printDocument(lines, lost, d)
	case "prom":
		d := r.Data()
		text, lost := timeseries.AppendPrometheus(nil, d)
		return a.printDocument(text, lost, d)
	case "senml":
		d := r.Data()
		pack, lost := coap.AppendSenML(nil, d)
		return a.printDocument(append(pack, '\n'), lost, d)
	}
	return usagef("unknown output format %q", a.output)
}

// printDocument writes what a mapping made of a result, and names what it could not carry.
func (a *app) printDocument(doc []byte, lost []mapping.Loss, d *mapping.Data) error {
	for _, l := range d.Gather(lost) {
		fmt.Fprintln(a.stderr, "warning:", d.Describe(l))
	}
	if _, err := a.stdout.Write(doc); err != nil {
		return err
	}
	return carried(doc, d)
}

// errNothingCarried tells that a document has nothing of what was to be written.
var errNothingCarried = fmt.Errorf("%w: nothing of it could be written", meter.ErrPartial)

// carried returns an error where a document is empty although there was something to write.
func carried(doc []byte, list ...*mapping.Data) error {
	if text := bytes.TrimSpace(doc); len(text) > 0 && string(text) != "[]" {
		return nil
	}
	for _, d := range list {
		if len(d.Readings)+len(d.Profiles)+len(d.Events) > 0 {
			return errNothingCarried
		}
	}
	return nil
}

func (a *app) printJSON(r *meter.Result, indent string) error {
	raw, err := r.MarshalJSON()
	if err != nil {
		return err
	}
	if indent != "" {
		raw = indentJSON(raw)
	}
	_, err = a.stdout.Write(append(raw, '\n'))
	return err
}

// indentJSON spreads a document over lines, but keeps what is innermost (the
// rows of profiles, lists of flags, sources) on one.
func indentJSON(raw []byte) []byte {
	var spread bytes.Buffer
	if json.Indent(&spread, raw, "", "  ") != nil {
		return raw
	}
	lines := strings.Split(spread.String(), "\n")
	var out []string
	for i := 0; i < len(lines); i++ {
		open := lines[i]
		if end := leaf(lines, i); end > 0 {
			parts := make([]string, 0, end-i)
			for _, l := range lines[i+1 : end] {
				parts = append(parts, strings.TrimSpace(l))
			}
			open += strings.Join(parts, " ") + strings.TrimSpace(lines[end])
			i = end
		}
		out = append(out, open)
	}
	return []byte(strings.Join(out, "\n"))
}

// leaf returns the line that closes what line i opens, if it holds only values and is short.
func leaf(lines []string, i int) int {
	if !strings.HasSuffix(lines[i], "[") && !strings.HasSuffix(lines[i], "{") {
		return 0
	}
	length := 0
	for end := i + 1; end < len(lines) && length < 200; end++ {
		text := strings.TrimSpace(lines[end])
		switch {
		case strings.HasPrefix(text, "]"), strings.HasPrefix(text, "}"):
			return end
		case strings.HasSuffix(text, "["), strings.HasSuffix(text, "{"):
			return 0
		}
		length += len(text)
	}
	return 0
}

// printYAML shows the JSON form as YAML; numbers keep their digits.
func (a *app) printYAML(r *meter.Result) error {
	raw, err := r.MarshalJSON()
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return err
	}
	block(&doc)
	e := yaml.NewEncoder(a.stdout)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return err
	}
	return e.Close()
}

// block turns the flow style of JSON into the block style of YAML, except where lists hold values only.
func block(n *yaml.Node) {
	nested := n.Kind == yaml.DocumentNode
	for _, child := range n.Content {
		nested = nested || len(child.Content) > 0
		block(child)
	}
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 || nested {
		n.Style = 0
	}
	if n.Kind == yaml.ScalarNode && n.Style == yaml.DoubleQuotedStyle && n.Tag == "!!str" {
		n.Style = 0
	}
}

// tables says what tables of CSV were printed.
type tables uint8

const (
	noTables tables = iota
	oneOfReadings
	others
)

// printCSV prints tables. Where all results are readings they make one table, with one header.
func (a *app) printCSV(r *meter.Result) error {
	out := timeseries.AppendCSV(nil, timeIn(r.Clock), r.Data())
	now := others
	if len(r.Profiles)+len(r.Events) == 0 {
		now = oneOfReadings
	}
	switch {
	case a.tables == oneOfReadings && now == oneOfReadings:
		_, out, _ = bytes.Cut(out, []byte("\r\n"))
	case a.tables != noTables:
		out = append([]byte("\r\n"), out...)
	}
	a.tables = now
	_, err := a.stdout.Write(out)
	return err
}

func (a *app) printTable(r *meter.Result) error {
	if line := meterLine(r); line != "" {
		fmt.Fprintln(a.stdout, line)
	}
	if len(r.Readings) > 0 {
		w := newTable(a.stdout, "OBIS", "NAME", "VALUE", "UNIT", "TIME", "QUALITY")
		for i := range r.Readings {
			x := &r.Readings[i]
			w.row(x.ID(), obis.Describe(x.Code), valueText(x.Value, r.Clock), x.Unit.Symbol(), interval(x, r.Clock), x.Quality.Flags.String())
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for _, p := range r.Profiles {
		if err := a.printProfile(p, r.Clock); err != nil {
			return err
		}
	}
	if len(r.Events) > 0 {
		w := newTable(a.stdout, "LOG", "TIME", "EVENT", "TEXT", "QUALITY")
		for _, e := range r.Events {
			w.row(e.Log.String(), result.TimeText(e.Time, r.Clock), fmt.Sprint(e.ID), e.Text, e.Quality.Flags.String())
		}
		return w.Flush()
	}
	return nil
}

func meterLine(r *meter.Result) string {
	var parts []string
	for _, p := range []struct{ name, text string }{
		{"meter", r.Meter.ID}, {"manufacturer", r.Meter.Manufacturer}, {"serial", r.Meter.Serial}, {"model", r.Meter.Model},
		{"firmware", r.Meter.Firmware}, {"medium", r.Meter.Medium.String()}, {"protocol", string(r.Protocol)},
	} {
		if p.text != "" {
			parts = append(parts, p.name+" "+p.text)
		}
	}
	return strings.Join(parts, ", ")
}

func interval(x *obis.Reading, clock obis.Clock) string {
	if x.Start.IsZero() {
		return result.TimeText(x.Time, clock)
	}
	return result.TimeText(x.Start, clock) + " / " + result.TimeText(x.Time, clock)
}

// valueText shows a value to people: without control characters, "-" where it is missing.
func valueText(v obis.Value, clock obis.Clock) string {
	switch v.Kind() {
	case obis.KindNone:
		return "-"
	case obis.KindTime:
		t, _ := v.Time()
		return result.TimeText(t, clock)
	case obis.KindText:
		return strings.Map(func(r rune) rune {
			if r < 0x20 || r == 0x7F {
				return '·'
			}
			return r
		}, result.Latin1(v))
	}
	return v.String()
}

func (a *app) printProfile(p *obis.Profile, clock obis.Clock) error {
	fmt.Fprintf(a.stdout, "%v %s, %d rows, period %d s\n", p.Code, obis.Describe(p.Code), p.Len(), p.Period)
	header := []string{"TIME", "QUALITY"}
	for i := range p.Columns {
		c := &p.Columns[i]
		name := c.Code.String()
		if name == "" {
			name = obis.RawIDText(c.RawID)
		}
		if u := c.Unit.Symbol(); u != "" {
			name += " [" + u + "]"
		}
		header = append(header, name)
	}
	w := newTable(a.stdout, header...)
	for row := range p.Len() {
		cells := []string{result.TimeText(p.Times[row], clock), p.Quality.At(row).Flags.String()}
		for i := range p.Columns {
			cells = append(cells, valueText(p.Columns[i].At(row), clock))
		}
		w.row(cells...)
	}
	return w.Flush()
}

// table aligns columns.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer, header ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)}
	t.row(header...)
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }
