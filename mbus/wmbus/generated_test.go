package wmbus

import (
	"encoding/hex"
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

// generatedRow is a row of mbus_generated.jsonl.
type generatedRow struct {
	ID, Kind, Confidence, Hex, Key, Note string
	Frames                               []string
	Expected                             struct {
		Mode    *int
		Checks  map[string]any
		Records []generatedRecord
	}
}

type generatedRecord struct {
	Function, Quantity, Unit, Obis, Error, Periodic, Timestamp string
	RawHex                                                     string `json:"raw_hex"`
	Expanded                                                   string `json:"expanded_from"`
	Declaration                                                string `json:"obis_declaration"`
	Qualifiers                                                 []string
	Storage                                                    uint64
	Tariff                                                     uint32
	Subunit                                                    uint16
	Value                                                      any
	Invalid                                                    bool
}

func TestGenerated(t *testing.T) {
	rows, right := golden.Corpus[generatedRow](t, "mbus_generated.jsonl"), 0
	for _, row := range rows {
		if row.Confidence == "low" {
			continue
		}
		if problems := compareGenerated(t, row); len(problems) > 0 {
			t.Logf("%s %s %s\n\t%s", row.ID, row.Kind, row.Hex, strings.Join(problems, "\n\t"))
			t.Fail()
			continue
		}
		right++
	}
	t.Logf("%d rows are right", right)
}

// read decodes a row as a receiver would, all frames one after the other.
func (row generatedRow) read(t testing.TB, d *Decoder) (records []mbus.Record, readings []obis.Reading, profiles []obis.Profile, broken, err error) {
	frames := row.Frames
	if len(frames) == 0 {
		frames = []string{row.Hex}
	}
	for i, text := range frames {
		raw, e := hex.DecodeString(text)
		require.NoError(t, e)
		var tg mbus.Telegram
		if isWired(raw) {
			var f link.Frame
			if f, _, err = link.Parse(raw); err == nil && len(f.Payload) > 0 {
				tg, err = d.Decoder.Parse(f.Payload, mbus.Lower{})
			}
		} else {
			var w Telegram
			if raw, err = chips(row.Kind, raw); err == nil {
				w, err = row.parse(d, raw)
			}
			tg = w.Telegram
		}
		broken = tg.Broken
		if strings.HasPrefix(row.Kind, "compact_frame") && i < len(frames)-1 || row.Kind == "wired_request" {
			continue
		}
		c := tg.Clone()
		if n := len(c.Records); n > 0 && c.More && len(c.Records[n-1].Data) == 0 {
			c.Records = c.Records[:n-1]
		}
		records = append(records, c.Records...)
		readings = append(readings, d.AppendReadings(nil, &c)...)
		profiles = d.AppendProfiles(profiles, &c)
	}
	return records, readings, profiles, broken, err
}

// parse reads a telegram in the format that the row names.
func (row generatedRow) parse(d *Decoder, raw []byte) (Telegram, error) {
	switch row.Expected.Checks["format"] {
	case "A":
		return d.ParseFormat(raw, FormatA)
	case "B":
		return d.ParseFormat(raw, FormatB)
	}
	return d.Parse(raw)
}

func isWired(raw []byte) bool { return raw[0] == 0x68 || raw[0] == 0x10 || raw[0] == 0xE5 }

func chips(kind string, raw []byte) ([]byte, error) {
	switch {
	case strings.HasPrefix(kind, "3of6"):
		return AppendFromThreeOfSix(nil, raw)
	case strings.HasPrefix(kind, "manchester"):
		return AppendFromManchester(nil, raw)
	}
	return raw, nil
}

func compareGenerated(t testing.TB, row generatedRow) (problems []string) {
	d := &Decoder{}
	d.Formats = &mbus.MemoryFormats{}
	if row.Key != "" {
		raw, err := hex.DecodeString(row.Key)
		require.NoError(t, err)
		key, err := mbus.NewKey(raw)
		require.NoError(t, err)
		d.Keys = func(mbus.Address) *mbus.Key { return key }
	}
	records, readings, profiles, broken, err := row.read(t, d)
	if want, refused := row.Expected.Checks["error"]; refused {
		if err == nil && broken == nil {
			problems = append(problems, fmt.Sprintf("no error, want %v", want))
		}
	} else if err != nil || broken != nil {
		problems = append(problems, fmt.Sprint(err, broken))
	}
	if reason := generatedDiffers[row.ID]; reason != "" {
		return problems
	}
	if len(profiles) > 0 {
		var expanded []generatedRecord
		row.Expected.Records, expanded = splitExpanded(row.Expected.Records)
		problems = append(problems, compareExpanded(profiles[0], expanded)...)
		records = withoutProfiles(records)
	}
	return append(problems, compareGeneratedRecords(row, records, readings)...)
}

// generatedDiffers has the rows that are wrong, and why.
var generatedDiffers = map[string]string{
	"gen-202": "the second counter of the fixed structure is numbered as storage 1; the status says that both are current",
	"gen-203": "likewise",
}

func splitExpanded(all []generatedRecord) (plain, expanded []generatedRecord) {
	for _, r := range all {
		if r.Expanded != "" {
			expanded = append(expanded, r)
		} else {
			plain = append(plain, r)
		}
	}
	return plain, expanded
}

func withoutProfiles(all []mbus.Record) (plain []mbus.Record) {
	for _, r := range all {
		if r.Qualifiers&(mbus.QualifierCompactProfile|mbus.QualifierInverseCompactProfile) == 0 {
			plain = append(plain, r)
		}
	}
	return plain
}

// compareExpanded compares the rows of a profile, whose storage numbers count on from that of its record.
func compareExpanded(p obis.Profile, want []generatedRecord) (problems []string) {
	if p.Len() != len(want) {
		return []string{fmt.Sprintf("profile of %d rows, want %d", p.Len(), len(want))}
	}
	for i, w := range want {
		v := p.Columns[0].At(i)
		have, _ := v.Float64()
		number, exists := w.Value.(float64)
		if exists && math.Abs(have-number) > 1e-9*math.Abs(number) || exists == v.IsNone() {
			problems = append(problems, fmt.Sprintf("row %d: %v, want %v", i, v, w.Value))
		}
		if at := timeText(p.Times[i]); w.Timestamp != "" && at != w.Timestamp {
			problems = append(problems, fmt.Sprintf("row %d: at %s, want %s", i, at, w.Timestamp))
		}
	}
	return problems
}

func compareGeneratedRecords(row generatedRow, records []mbus.Record, readings []obis.Reading) (problems []string) {
	want := row.Expected.Records
	if len(records) != len(want) {
		problems = append(problems, fmt.Sprintf("%d records, want %d", len(records), len(want)))
	}
	for i := range min(len(records), len(want)) {
		if p := compareGeneratedRecord(&records[i], want[i]); p != "" {
			problems = append(problems, fmt.Sprintf("record %d (% x, % x): %s", i, records[i].ID, records[i].Data, p))
		}
		if want[i].Obis != "" && readings[i].Code.String() != want[i].Obis {
			problems = append(problems, fmt.Sprintf("record %d: code %s, want %s", i, readings[i].Code, want[i].Obis))
		}
	}
	return problems
}

func compareGeneratedRecord(r *mbus.Record, want generatedRecord) string {
	if f := map[string]mbus.Function{
		"maximum": mbus.Maximum, "minimum": mbus.Minimum, "error": mbus.ErrorState,
		"manufacturer specific": mbus.ManufacturerData, "more records follow": mbus.MoreFollows,
	}[want.Function]; f != r.Function {
		return fmt.Sprintf("function %s, want %s", r.Function, want.Function)
	}
	if r.Storage != want.Storage || r.Tariff != want.Tariff || r.Subunit != want.Subunit {
		return fmt.Sprintf("storage %d tariff %d subunit %d, want %d %d %d", r.Storage, r.Tariff, r.Subunit, want.Storage, want.Tariff, want.Subunit)
	}
	if want.RawHex != "" && hex.EncodeToString(r.Data) != want.RawHex {
		return fmt.Sprintf("data %x, want %s", r.Data, want.RawHex)
	}
	if want.Error != "" && strings.ReplaceAll(r.Error.String(), " ", "_") != want.Error {
		return fmt.Sprintf("error %s, want %s", r.Error, want.Error)
	}
	if want.Invalid && !r.Value.IsNone() {
		return fmt.Sprintf("value %s, want none", r.Value)
	}
	if q := strings.ReplaceAll(r.Quantity.String(), " ", "_"); q != want.Quantity && !sameQuantity(q, want.Quantity) {
		return fmt.Sprintf("quantity %q, want %q", q, want.Quantity)
	}
	return compareGeneratedValue(r, want)
}

// sameQuantity knows the words in which the file differs from the tables.
func sameQuantity(have, want string) bool {
	switch want {
	case "reserved":
		return have == ""
	case "plain_text":
		return have == "plain_text_unit"
	case "manufacturer_data":
		return have == "manufacturer_specific"
	case "time":
		return have == "date_time"
	}
	return false
}

func compareGeneratedValue(r *mbus.Record, want generatedRecord) string {
	switch w := want.Value.(type) {
	case float64:
		have, _ := r.Value.Float64()
		unit := r.UnitText()
		switch want.Unit {
		case "kW.h", "kW", "MJ", "kJ":
			w *= map[byte]float64{'k': 1e3, 'M': 1e6}[want.Unit[0]]
			want.Unit = want.Unit[1:]
		}
		if math.IsNaN(have) || math.Abs(have-w) > 1e-9*math.Abs(w) {
			return fmt.Sprintf("%s %s, want %v %s", r.Value, unit, w, want.Unit)
		}
		if normalUnit(unit) != normalUnit(want.Unit) {
			return fmt.Sprintf("unit %s, want %s", unit, want.Unit)
		}
	case string:
		have := r.Value.String()
		if tm, ok := r.Value.Time(); ok {
			have = timeText(tm)
		}
		if r.Value.Kind() == obis.KindText {
			raw, _ := r.Value.Bytes()
			runes := make([]rune, len(raw))
			for i, c := range raw {
				runes[i] = rune(c)
			}
			have = string(runes)
		}
		if have != w {
			return fmt.Sprintf("%q, want %q", have, w)
		}
	}
	return ""
}

// timeText is a time as the file has it: without seconds that were not sent.
func timeText(t obis.Time) string {
	if t.HasDate() && t.HasClock() && t.Second == obis.Unspecified {
		return strings.TrimSuffix(t.String(), ":00")
	}
	return t.String()
}

func normalUnit(s string) string {
	return strings.NewReplacer("V.A{var}", "var", ".", "", "{HCA}", "HCA", "{", "", "}", "", "cal_th", "cal", "dB[mW]", "dBm").Replace(strings.TrimSuffix(s, "1"))
}
