package main

import (
	"bytes"
	_ "embed" // samples.csv
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/iec104"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

//go:generate go test -run ^TestLossTable$ . -update

//go:embed samples.csv
var samplesCSV []byte

// samples are readings of all kinds of meter, all good and with a time.
func samples() ([]obis.Reading, error) {
	rows, err := csvrows.Read(samplesCSV)
	if err != nil {
		return nil, err
	}
	var doc bytes.Buffer
	doc.WriteString(`{"schema":"` + result.Schema + `","readings":[`)
	for i, row := range rows {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `{"obis":%q,"unit":%q,"value":%s,"time":"2026-11-20T12:00:00Z","quality":["good"],"rule":"transmitted"}`, row[0], row[1], row[2])
	}
	doc.WriteString("]}")
	var result meter.Result
	err = json.Unmarshal(doc.Bytes(), &result)
	return result.Readings, err
}

// lossTargets are the columns of the table, in their order.
var lossTargets = []string{"iec61850", "iec104", "cim", "espi", "senml", "lwm2m", "ngsild", "influx", "prom", "homeassistant", "csv", "parquet"}

// lossOf returns what a target loses of a meter's data.
func lossOf(target string, d *mapping.Data) ([]mapping.Loss, error) {
	if target == "iec104" {
		return iec104.NewStation(nil).Update(d, time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)), nil
	}
	_, lost, err := mapTargets[target]([]*mapping.Data{d}, nil)
	return lost, err
}

// lossTable is docs/mapping.md: for each reading, each quality flag and each
// part of the data what the targets carry of it.
func lossTable() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`# What the mappings carry

Generated from the tables of the mappings by "go generate" in cmd/meterctl: each cell is what the mapping said of that
reading, alone. An empty cell is carried whole; a number names a loss, listed below. Numbers are exact everywhere but in
IEC 61850 and IEC 104, whose measured values are short floats, and where LwM2M wants what is per hour by the second.

`)
	notes := &footnotes{index: map[string]int{}}
	list, err := samples()
	if err != nil {
		return nil, err
	}
	head(&b, "Reading")
	for i := range list {
		r := &list[i]
		what := strings.TrimSpace(fmt.Sprintf("%s %s", r.Code, obis.Describe(r.Code)))
		if r.Unit != obis.UnitUnknown {
			what += ", " + r.Unit.String()
		}
		if err := row(&b, notes, what, &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Readings: list[i : i+1]}); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n## Quality\n\nThe flags of a reading of 1-0:1.8.0.\n\n")
	head(&b, "Flag")
	for flag := obis.Flags(1); flag <= obis.ScalerUnknown; flag <<= 1 {
		r := list[0]
		r.Quality.Flags = flag
		if err := row(&b, notes, flag.String(), &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Readings: []obis.Reading{r}}); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n## Other data\n\n")
	head(&b, "Data")
	missing, raw, profile := list[0], list[0], &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{{Code: list[0].Code, Unit: obis.WattHour}}}
	missing.Value = obis.Value{}
	raw.Code, raw.RawID, raw.Rule = obis.Code{}, []byte("0C06"), obis.RuleNone
	profile.Times = []obis.Time{list[0].Time}
	profile.Columns[0].Append(obis.Int(1, 0))
	for _, part := range []struct {
		what string
		data mapping.Data
	}{
		{"a reading without a value", mapping.Data{Readings: []obis.Reading{missing}}},
		{"a reading without an OBIS code", mapping.Data{Readings: []obis.Reading{raw}}},
		{"a load profile", mapping.Data{Profiles: []*obis.Profile{profile}}},
		{"an event", mapping.Data{Events: []obis.Event{{Log: obis.MustParse("0-0:99.98.0"), ID: 1, Text: "power down", Time: list[0].Time}}}},
	} {
		part.data.Meter.ID = "ABC1"
		if err := row(&b, notes, part.what, &part.data); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n## Losses\n\n")
	for i, text := range notes.list {
		fmt.Fprintf(&b, "%d. %s\n", i+1, text)
	}
	return b.Bytes(), nil
}

// footnotes numbers texts.
type footnotes struct {
	list  []string
	index map[string]int
}

func (f *footnotes) number(text string) int {
	n, ok := f.index[text]
	if !ok {
		f.list = append(f.list, text)
		n = len(f.list)
		f.index[text] = n
	}
	return n
}

func head(b *bytes.Buffer, first string) {
	fmt.Fprintf(b, "| %s | %s |\n|---%s|\n", first, strings.Join(lossTargets, " | "), strings.Repeat("|:-:", len(lossTargets)))
}

func row(b *bytes.Buffer, notes *footnotes, what string, d *mapping.Data) error {
	fmt.Fprintf(b, "| %s |", strings.ReplaceAll(what, "*255", ""))
	for _, target := range lossTargets {
		lost, err := lossOf(target, d)
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		var cells []string
		for _, l := range lost {
			text := l.Reason
			if text == "" {
				text = "the quality flag"
			}
			if d.Readings != nil && d.Readings[0].Code.Valid() {
				text = strings.ReplaceAll(text, d.Readings[0].Code.String(), "the code")
			}
			cells = append(cells, fmt.Sprint(notes.number(text)))
		}
		fmt.Fprintf(b, " %s |", strings.Join(cells, " "))
	}
	b.WriteByte('\n')
	return nil
}
