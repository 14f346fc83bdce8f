package mbus

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// corpusRow is a row of mbus.jsonl.
type corpusRow struct {
	ID, Kind, Trust, Hex, Key, Source string
	Expected                          struct {
		Records []corpusRecord
	}
}

type corpusRecord struct {
	Function, Quantity, Unit string
	Storage                  uint64
	Tariff                   uint32
	Subunit                  uint16
	Value                    any
}

// wiredDiffers has the rows in which the other programs are wrong, and why.
var wiredDiffers = map[string]string{
	"18168cf8e9c8": "records 19 to 22 carry the extension 6F, the end of the last period: they are dates; record 32 is a date of every year (127)",
	"13e4d9bcf8f9": "factors 10^-4 and 10^-3 (extensions 72 and 73) are not applied to reactive and apparent power and to the dimensionless value",
	"d7d425bba103": "factors 10^-4, 10^-1 and 10^-3 (extensions 72, 75 and 73) are not applied",
	"07a7b6e8a35e": "the extension 15 says that there are no data; the zeros must not be used",
}

func TestCorpusWired(t *testing.T) {
	rows := corpus[corpusRow](t, "mbus.jsonl")
	agreed, right := 0, 0
	for _, row := range rows {
		if row.Kind != "wired" || row.Trust != "agreed" {
			continue
		}
		agreed++
		raw, err := hex.DecodeString(row.Hex)
		require.NoError(t, err)
		problems := compareWired(raw, row.Expected.Records)
		if reason := wiredDiffers[row.ID]; reason != "" {
			require.NotEmpty(t, problems, "%s no longer differs: %s", row.ID, reason)
			continue
		}
		if len(problems) == 0 {
			right++
			continue
		}
		t.Logf("%s %s\n\t%s", row.ID, row.Source, strings.Join(problems, "\n\t"))
	}
	t.Logf("%d of %d rows agree, %d differ for a reason", right, agreed, len(wiredDiffers))
	require.Equal(t, agreed, right+len(wiredDiffers))
}

func compareWired(raw []byte, want []corpusRecord) (problems []string) {
	f, _, err := link.Parse(raw)
	if err != nil {
		return []string{err.Error()}
	}
	tg, err := Parse(f.Payload)
	if err != nil {
		return []string{err.Error()}
	}
	if tg.Broken != nil {
		problems = append(problems, tg.Broken.Error())
	}
	return append(problems, compareRecords(tg.Records, want)...)
}

func compareRecords(have []Record, want []corpusRecord) (problems []string) {
	if len(have) != len(want) {
		problems = append(problems, fmt.Sprintf("%d records, want %d", len(have), len(want)))
	}
	for i := range min(len(have), len(want)) {
		if p := compareRecord(&have[i], want[i]); p != "" {
			problems = append(problems, fmt.Sprintf("record %d (% x, % x): %s", i, have[i].ID, have[i].Data, p))
		}
	}
	return problems
}

// compareRecord names what differs, "" for nothing.
func compareRecord(r *Record, want corpusRecord) string {
	if f := functionOf(want.Function); f != r.Function {
		return fmt.Sprintf("function %s, want %s", r.Function, f)
	}
	if r.Storage != want.Storage || r.Tariff != want.Tariff || r.Subunit != want.Subunit {
		return fmt.Sprintf("storage %d tariff %d subunit %d, want %d %d %d", r.Storage, r.Tariff, r.Subunit, want.Storage, want.Tariff, want.Subunit)
	}
	if r.Function >= ManufacturerData {
		return ""
	}
	switch w := want.Value.(type) {
	case float64:
		return compareNumber(r, w, want.Unit)
	case string:
		return compareText(r, w)
	}
	return ""
}

func functionOf(s string) Function {
	switch s {
	case "max", "maximum":
		return Maximum
	case "min", "minimum":
		return Minimum
	case "error":
		return ErrorState
	case "manufacturer specific":
		return ManufacturerData
	case "more records follow":
		return MoreFollows
	}
	return Instantaneous
}

// inForeignUnit returns the value in the unit in which the other program shows the quantity.
func inForeignUnit(r *Record) (float64, string) {
	f, _ := r.Value.Float64()
	if raw, _, ok := r.Value.Bits(); ok {
		f = 0
		for _, b := range raw {
			f = 256*f + float64(b)
		}
	}
	switch r.Unit {
	case obis.Minute:
		return 60 * f, "s"
	case obis.Hour:
		return 3600 * f, "s"
	case obis.Day:
		return 86400 * f, "s"
	case obis.Month:
		return 2629743.83 * f, "s"
	case obis.Year:
		return 31556926 * f, "s"
	}
	return f, r.Unit.String()
}

func compareNumber(r *Record, want float64, unit string) string {
	have, u := inForeignUnit(r)
	if raw, ok := r.Value.Bytes(); ok && r.Value.Kind() == obis.KindOctets && len(raw) <= 8 {
		return "" // a value without meaning: the octets are kept
	}
	if math.IsNaN(have) || math.Abs(have-want) > 1e-6*math.Max(math.Abs(want), 1e-12) {
		return fmt.Sprintf("%s %s %s, want %v %s", r.Quantity, r.Value, r.Unit, want, unit)
	}
	if r.unitChange != 0 {
		u = r.baseUnit().String() // the other program leaves such extensions out
	}
	if w := foreignUnit(unit); w != u && w != "?" {
		return fmt.Sprintf("%s unit %q, want %q", r.Quantity, u, unit)
	}
	return ""
}

func foreignUnit(s string) string {
	switch s {
	case "m^3":
		return "m3"
	case "m^3/h":
		return "m3/h"
	case "m^3/min":
		return "m3/min"
	case "Units for H.C.A.":
		return "HCA"
	case "Â°C", "°C":
		return "Cel"
	case "", "-", "Reserved":
		return "?"
	}
	return s
}

func compareText(r *Record, want string) string {
	have := r.Value.String()
	if r.Value.Kind() == obis.KindOctets && want == "" {
		return ""
	}
	// The other program's way to show a date that is invalid.
	if r.Value.IsNone() && r.flags == obis.Invalid && (strings.HasPrefix(want, "1900-01-00") || strings.HasPrefix(want, "2000-00-00")) {
		return ""
	}
	if tm, ok := r.Value.Time(); ok {
		have = tm.String()
		want = strings.TrimSuffix(want, "Z")
	}
	if r.Value.Kind() == obis.KindText {
		raw, _ := r.Value.Bytes()
		runes := make([]rune, len(raw))
		for i, b := range raw {
			runes[i] = rune(b)
		}
		have = string(runes)
	}
	if strings.TrimSpace(have) != strings.TrimSpace(want) {
		return fmt.Sprintf("%s %q, want %q", r.Quantity, have, want)
	}
	return ""
}

// corpus reads a file of the corpus in which numbers may be NaN, which JSON does not know.
func corpus[T any](t testing.TB, name string) (rows []T) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(golden.CorpusDir(t), name))
	require.NoError(t, err)
	for line := range bytes.Lines(file) {
		line = bytes.ReplaceAll(line, []byte(": NaN"), []byte(": null"))
		var row T
		require.NoError(t, json.Unmarshal(line, &row))
		rows = append(rows, row)
	}
	require.NotEmpty(t, rows)
	return rows
}
