// Package coap turns readings into the documents that constrained devices
// exchange: SenML (RFC 8428) in JSON.
package coap

import (
	"bytes"
	_ "embed" // units.csv
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed units.csv
var unitsCSV []byte

type senmlUnit struct {
	name string
	exp  int
}

// senmlUnits reads units.csv, which the tests check.
var senmlUnits = sync.OnceValue(func() map[obis.Unit]senmlUnit {
	r := csv.NewReader(bytes.NewReader(unitsCSV))
	r.Comment = '#'
	rows, _ := r.ReadAll()
	units := map[obis.Unit]senmlUnit{}
	for _, row := range rows[1:] {
		u, ok := obis.UnitByName(row[0])
		exp, err := strconv.Atoi(row[2])
		if ok && err == nil {
			units[u] = senmlUnit{row[1], exp}
		}
	}
	return units
})

// record is one SenML record, the keys in the order of RFC 8428.
type record struct {
	BaseName string          `json:"bn,omitempty"`
	Name     string          `json:"n,omitempty"`
	Unit     string          `json:"u,omitempty"`
	Value    json.RawMessage `json:"v,omitempty"`
	String   *string         `json:"vs,omitempty"`
	Bool     *bool           `json:"vb,omitempty"`
	Data     string          `json:"vd,omitempty"`
	Time     json.RawMessage `json:"t,omitempty"`
}

// AppendSenML appends a SenML pack in JSON (application/senml+json). The base
// name is the meter's id and "/", each name the OBIS code without a group F of
// 255, with "_" for "*", which SenML names cannot hold. Numbers are exact. Not
// carried: quality, missing values, units that SenML does not know.
func AppendSenML(dst []byte, m obis.Meter, readings []obis.Reading, clock obis.Clock) ([]byte, []mapping.Loss, error) {
	pack := []record{}
	var lost []mapping.Loss
	for i := range readings {
		r := &readings[i]
		rec, reason := newRecord(r, clock)
		if reason != "" || r.Quality.Flags != 0 {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
		}
		if reason == "" {
			pack = append(pack, rec)
		}
	}
	if len(pack) > 0 && m.ID != "" {
		pack[0].BaseName = name(m.ID) + "/"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(pack); err != nil {
		return dst, nil, fmt.Errorf("coap: SenML: %w", err)
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), lost, nil
}

// newRecord makes the record of one reading, or says why it cannot.
func newRecord(r *obis.Reading, clock obis.Clock) (rec record, reason string) {
	switch {
	case r.Code.Valid() && r.Code[5] == obis.FCurrent:
		rec.Name = strings.TrimSuffix(r.Code.String(), "*255")
	case r.Code.Valid():
		rec.Name = strings.ReplaceAll(r.Code.String(), "*", "_")
	case len(r.RawID) > 0:
		rec.Name = name(obis.RawIDText(r.RawID))
	default:
		return rec, "no id"
	}
	value := r.Value
	if r.Unit != obis.UnitUnknown {
		u, ok := senmlUnits()[r.Unit]
		if !ok {
			return rec, "SenML has no unit " + r.Unit.String()
		}
		if value, ok = value.Shift(-u.exp); !ok {
			return rec, "a value in " + r.Unit.String() + " that is no number"
		}
		rec.Unit = u.name
	}
	if reason := rec.set(value); reason != "" {
		return rec, reason
	}
	if at, ok := r.Time.Instant(clock); ok {
		t := obis.Int(at.UnixMilli(), -3)
		if at.UnixMilli()%1000 == 0 {
			t = obis.Int(at.Unix(), 0)
		}
		rec.Time = t.Append(nil)
	}
	return rec, ""
}

// set places the value under the key of its kind.
func (rec *record) set(v obis.Value) (reason string) {
	switch v.Kind() {
	case obis.KindInt, obis.KindUint, obis.KindEnum:
		rec.Value = v.Append(nil)
	case obis.KindFloat32, obis.KindFloat64:
		if rec.Value = v.Append(nil); !json.Valid(rec.Value) {
			return "not a finite number"
		}
	case obis.KindBool:
		n, _ := v.Enum()
		b := n != 0
		rec.Bool = &b
	case obis.KindText, obis.KindTime, obis.KindBits:
		s := v.String()
		if !utf8.ValidString(s) {
			return "text that is not UTF-8"
		}
		rec.String = &s
	case obis.KindOctets, obis.KindTree:
		b, _ := v.Bytes()
		rec.Data = base64.RawURLEncoding.EncodeToString(b)
	default:
		return "no value"
	}
	return ""
}

// name replaces what RFC 8428 does not allow in names by "_".
func name(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("-:./_", r)) {
			return r
		}
		return '_'
	}, s)
}
