package wmbus

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus"
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
	rows := golden.Corpus[corpusRow](t, "mbus.jsonl")
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

func TestCorpusRadio(t *testing.T) {
	agreed, right := 0, 0
	for _, row := range golden.Corpus[corpusRow](t, "mbus.jsonl") {
		if row.Kind != "wireless" || row.Trust != "agreed" && row.Key == "" {
			continue
		}
		raw, err := hex.DecodeString(row.Hex)
		require.NoError(t, err)
		problems := compareRadio(t, raw, row)
		if row.Trust != "agreed" {
			require.Empty(t, problems, "%s with key %s", row.ID, row.Key)
			continue
		}
		agreed++
		if reason := radioDiffers[row.ID]; reason != "" {
			require.NotEmpty(t, problems, "%s no longer differs: %s", row.ID, reason)
			continue
		}
		if len(problems) == 0 {
			right++
			continue
		}
		t.Logf("%s %s\n\t%s", row.ID, row.Source, strings.Join(problems, "\n\t"))
	}
	t.Logf("%d of %d rows agree, %d differ for a reason", right, agreed, len(radioDiffers))
	require.Equal(t, agreed, right+len(radioDiffers))
}

// radioDiffers has the rows in which the other programs are wrong, and why.
var radioDiffers = map[string]string{
	"28a343c199db": "the most negative number of type B means that the value is invalid",
	"30cd49ea1c6e": "likewise",
	"d4c29de7796e": "likewise",
	"7612ea62d4be": "the message id FD 08 is unsigned (type C)",
	"1f1038b2b4ab": "likewise",
	"8a30963a14f5": "the extension 58 makes the value the duration of an excess, in seconds",
	"c595863b0ea0": "the extension 56 makes the value the duration of an excess, in hours",
	"a91fed0927a0": "likewise",
	"4fb0a7c36a83": "likewise",
	"d1111b3581c3": "likewise",
	"5190fb354527": "likewise",
	"2f0fd5b58262": "likewise",
	"e5d27d9ba8ae": "likewise",
	"1d4fd7e8c8ce": "a damaged telegram; bit 6 of the DIF 48 is the lowest of the storage number",
	"b7dfa9b49299": "the frame is cut off within its header, no records are expected",
	"b4f585fc9f0d": "likewise",
}

func compareRadio(t testing.TB, raw []byte, row corpusRow) (problems []string) {
	d := &Decoder{}
	if row.Key != "" {
		k, err := hex.DecodeString(row.Key)
		require.NoError(t, err)
		key, err := mbus.NewKey(k)
		require.NoError(t, err)
		d.Keys = func(mbus.Address) *mbus.Key { return key }
	}
	tg, err := d.Parse(raw)
	if row.Trust != "agreed" && errors.Is(err, mbus.ErrUnknownFormat) {
		return nil // only that it could be decrypted
	}
	if err != nil {
		return []string{err.Error()}
	}
	if tg.Broken != nil {
		problems = append(problems, tg.Broken.Error())
	}
	if row.Trust != "agreed" {
		return nil
	}
	return append(problems, compareRecords(tg.Records, row.Expected.Records)...)
}

func compareWired(raw []byte, want []corpusRecord) (problems []string) {
	f, _, err := link.Parse(raw)
	if err != nil {
		return []string{err.Error()}
	}
	tg, err := mbus.Parse(f.Payload)
	if err != nil {
		return []string{err.Error()}
	}
	if tg.Broken != nil {
		problems = append(problems, tg.Broken.Error())
	}
	return append(problems, compareRecords(tg.Records, want)...)
}

func compareRecords(have []mbus.Record, want []corpusRecord) (problems []string) {
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
func compareRecord(r *mbus.Record, want corpusRecord) string {
	if f := functionOf(want.Function); f != r.Function {
		return fmt.Sprintf("function %s, want %s", r.Function, f)
	}
	if r.Storage != want.Storage || r.Tariff != want.Tariff || r.Subunit != want.Subunit {
		return fmt.Sprintf("storage %d tariff %d subunit %d, want %d %d %d", r.Storage, r.Tariff, r.Subunit, want.Storage, want.Tariff, want.Subunit)
	}
	if r.Function >= mbus.ManufacturerData {
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

func functionOf(s string) mbus.Function {
	switch s {
	case "max", "maximum":
		return mbus.Maximum
	case "min", "minimum":
		return mbus.Minimum
	case "error":
		return mbus.ErrorState
	case "manufacturer specific":
		return mbus.ManufacturerData
	case "more records follow":
		return mbus.MoreFollows
	}
	return mbus.Instantaneous
}

// inForeignUnit returns the value in the unit in which the other program shows the quantity.
func inForeignUnit(r *mbus.Record) (float64, string) {
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

func compareNumber(r *mbus.Record, want float64, unit string) string {
	have, u := inForeignUnit(r)
	if raw, ok := r.Value.Bytes(); ok && r.Value.Kind() == obis.KindOctets && len(raw) <= 8 {
		return "" // a value without meaning: the octets are kept
	}
	if m, _, ok := r.Value.Decimal(); ok && unit == "Reserved" && float64(m) == want {
		return "" // it did not know the VIF, and shows the number as sent
	}
	if math.IsNaN(have) || math.Abs(have-want) > 1e-6*math.Max(math.Abs(want), 1e-12) {
		return fmt.Sprintf("%s %s %s, want %v %s", r.Quantity, r.Value, r.Unit, want, unit)
	}
	// The other program leaves extensions like "per pulse" out.
	if w := foreignUnit(unit); w != u && w != "?" && !strings.HasPrefix(r.UnitText(), w+"/") {
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

func compareText(r *mbus.Record, want string) string {
	have := r.Value.String()
	// Containers and profiles are octets here, and text there.
	if r.Value.Kind() == obis.KindOctets {
		return ""
	}
	// The other program's way to show a date that is invalid.
	if r.Value.IsNone() && r.Quality().Flags == obis.Invalid && (strings.HasPrefix(want, "1900-01-00") || strings.HasPrefix(want, "2000-00-00") || want == "2127-15-31") {
		return ""
	}
	if tm, ok := r.Value.Time(); ok {
		have = tm.String()
		want = strings.TrimSuffix(want, "Z")
		if strings.HasPrefix(want, "2127-") { // year 127: every year
			want = "????-" + want[5:]
		}
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
