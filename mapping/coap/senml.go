// Package coap turns what a meter said into what constrained devices exchange:
// SenML (RFC 8428) in JSON and CBOR, the resources of a CoAP server with their
// CoRE links (RFC 6690), and objects of OMA LwM2M. It does no I/O.
package coap

import (
	"bytes"
	"cmp"
	_ "embed" // units.csv
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed units.csv
var unitsCSV []byte

type senmlUnit struct {
	unit obis.Unit
	name string
	exp  int
	read bool // only read, never written

	secondary bool // of RFC 8798
}

// senmlUnits reads units.csv, which the tests check.
var senmlUnits = sync.OnceValue(func() (list []senmlUnit) {
	rows, err := csvrows.Read(unitsCSV)
	if err != nil {
		return nil
	}
	for _, row := range rows {
		u, ok := obis.UnitByName(row[0])
		exp, err := strconv.Atoi(row[2])
		if ok && err == nil {
			list = append(list, senmlUnit{u, row[1], exp, row[3] == "read", row[4] == "secondary"})
		}
	}
	return list
})

// written returns the SenML unit of each unit of the model.
var written = sync.OnceValue(func() map[obis.Unit]senmlUnit {
	units := map[obis.Unit]senmlUnit{}
	for _, u := range senmlUnits() {
		if !u.read {
			units[u.unit] = u
		}
	}
	return units
})

// byName returns the units by their names in SenML.
var byName = sync.OnceValue(func() map[string]senmlUnit {
	units := map[string]senmlUnit{"": {}}
	for _, u := range senmlUnits() {
		if _, known := units[u.name]; !known {
			units[u.name] = u
		}
	}
	return units
})

// record is one SenML record: what of a reading, or of a cell of a profile, it carries.
type record struct {
	name    string    // in place of a code, for what is no reading
	profile obis.Code // whose cell it is
	code    obis.Code
	rawID   []byte
	unit    string
	value   obis.Value
	at      time.Time // zero where there is none

	secondary bool // the unit is one of RFC 8798
}

// AppendSenML appends a SenML pack in JSON (application/senml+json). The base
// name is the meter's id and "/", each name the OBIS code without a group F of
// 255, with "_" for "*", which SenML names cannot hold; the name of a cell of a
// profile begins with the profile's code and "/". Numbers are exact. Not
// carried: quality, invalid values, which would look like good ones, missing values, units that SenML does not know, events, by
// what rule a code was found that the meter did not send.
func AppendSenML(dst []byte, d *mapping.Data) ([]byte, []mapping.Loss) {
	p := openPack(dst, SenMLJSON, d.Meter.ID)
	lost := eachRecord(d, p.add)
	return p.close(), lost
}

// invalid is why a value is not carried where nothing can say what it is.
const invalid = "its value, which is invalid and would not be told from a good one"

// eachRecord calls use with the record of each value that SenML can carry.
func eachRecord(d *mapping.Data, use func(record)) (lost []mapping.Loss) {
	lose := func(part mapping.Part, i int, f obis.Flags, reason string) {
		if reason != "" || f != 0 {
			lost = append(lost, mapping.Loss{Part: part, Index: i, Flags: f, Reason: reason})
		}
	}
	names := make(map[obis.Code]bool, len(d.Readings))
	raw := map[string]bool{}
	for i := range d.Readings {
		r := &d.Readings[i]
		rec, reason := newRecord(r.Code, r.RawID, r.Unit, r.Value)
		if reason == "" && r.Quality.Flags&obis.Invalid != 0 {
			reason = invalid
		}
		lose(mapping.Reading, i, r.Quality.Flags, reason)
		if reason != "" {
			continue
		}
		if names[r.Code] || !r.Code.Valid() && raw[string(r.RawID)] {
			lose(mapping.Reading, i, 0, "its name, which another reading has, too")
		}
		if r.Code.Valid() {
			names[r.Code] = true
		} else {
			raw[string(r.RawID)] = true
		}
		rec.at, _ = r.Time.Instant(d.Clock)
		if rec.at.IsZero() && !r.Time.IsZero() {
			lose(mapping.Reading, i, 0, "its time, which is no instant")
		}
		if !r.Start.IsZero() {
			lose(mapping.Reading, i, 0, "the start of its interval")
		}
		lose(mapping.Reading, i, 0, mapping.TimeLost(r.Time))
		lose(mapping.Reading, i, 0, ruleLost(r.Code, r.Rule))
		lose(mapping.Reading, i, 0, kindLost(r.Unit, r.Value))
		use(rec)
	}
	for i, p := range d.Profiles {
		lost = append(lost, eachCell(d, i, p, use)...)
	}
	for i := range d.Events {
		lose(mapping.Event, i, d.Events[i].Quality.Flags, "SenML has no events")
	}
	return d.Gather(append(lost, mapping.StatusLost(d)...))
}

// ruleLost says that a reader takes a code for the meter's own that is not.
func ruleLost(code obis.Code, rule obis.Rule) string {
	if !code.Valid() || rule < obis.RuleStandard {
		return ""
	}
	return "by what rule it has its code: " + rule.String()
}

// kindLost says what a value is whose like SenML does not have, "" where it has.
func kindLost(unit obis.Unit, v obis.Value) string {
	if u, ok := written()[unit]; ok {
		if back := byName()[u.name]; back.unit != unit && u.name != "" {
			return "its unit " + unit.String() + ", for which stands " + back.unit.String()
		}
	}
	switch k := v.Kind(); k {
	case obis.KindEnum, obis.KindBits, obis.KindTime, obis.KindTree:
		return "what kind of value it is: " + k.String()
	}
	return ""
}

// eachCell calls use with the record of each value of a profile that SenML can carry.
func eachCell(d *mapping.Data, i int, p *obis.Profile, use func(record)) (lost []mapping.Loss) {
	lose := func(rows int, f obis.Flags, reason string) {
		lost = append(lost, mapping.Loss{Part: mapping.Profile, Index: i, Rows: rows, Flags: f, Reason: reason})
	}
	if len(p.Starts) > 0 {
		lose(len(p.Starts), 0, "the starts of their intervals")
	}
	times := make([]time.Time, len(p.Times))
	for row, t := range p.Times {
		times[row], _ = t.Instant(d.Clock)
	}
	const periodLost = "its period, which is not that of its rows"
	irregular := p.Period != period(len(times), func(row int) time.Time { return times[row] })
	if irregular {
		lose(0, 0, periodLost)
	}
	for c := range p.Columns {
		col := &p.Columns[c]
		if reason := ruleLost(col.Code, col.Rule); reason != "" {
			lose(0, 0, reason)
		}
		reasons := map[string]int{}
		var order []string
		used := make([]time.Time, 0, len(times))
		flags, flagged := obis.Flags(0), 0
		for row := range p.Len() {
			if f := p.Quality.At(row).Flags | col.Quality.At(row).Flags; f != 0 {
				flags |= f
				flagged++
			}
			rec, reason := newRecord(col.Code, col.RawID, col.Unit, col.At(row))
			if reason == "" && (p.Quality.At(row).Flags|col.Quality.At(row).Flags)&obis.Invalid != 0 {
				reason = invalid
			}
			if rec.at = times[row]; rec.at.IsZero() && reason == "" {
				reason = "rows whose time is no instant"
			}
			if reason == "" {
				rec.profile = p.Code
				use(rec)
				used = append(used, rec.at)
				if reason = cmp.Or(kindLost(col.Unit, col.At(row)), mapping.TimeLost(p.Times[row])); reason == "" {
					continue
				}
			}
			if reasons[reason]++; reasons[reason] == 1 {
				order = append(order, reason)
			}
		}
		for _, reason := range order {
			lose(reasons[reason], 0, reason)
		}
		if flagged > 0 {
			lose(flagged, flags, "")
		}
		if !irregular && len(used) < len(times) && p.Period != period(len(used), func(row int) time.Time { return used[row] }) {
			irregular = true
			lose(0, 0, periodLost)
		}
	}
	return lost
}

// newRecord makes the record of a value, or says why it cannot.
func newRecord(code obis.Code, rawID []byte, unit obis.Unit, value obis.Value) (rec record, reason string) {
	if !code.Valid() && len(rawID) == 0 {
		return rec, "no id"
	}
	rec = record{code: code, rawID: rawID, value: value}
	if unit != obis.UnitUnknown {
		u, ok := written()[unit]
		if !ok {
			return rec, "SenML has no unit " + unit.String()
		}
		if value.IsNone() {
			return rec, "no value"
		}
		if rec.value, ok = value.Shift(-u.exp); !ok {
			return rec, "a value in " + unit.String() + " that is no number"
		}
		rec.unit, rec.secondary = u.name, u.secondary
	}
	switch rec.value.Kind() {
	case obis.KindNone:
		return rec, "no value"
	case obis.KindFloat32, obis.KindFloat64:
		if f, _ := rec.value.Float64(); f-f != 0 {
			return rec, "not a finite number"
		}
	case obis.KindText, obis.KindTime, obis.KindBits:
		if b, text := rec.value.Bytes(); text && !utf8.Valid(b) {
			return rec, "text that is not UTF-8"
		}
	}
	return rec, ""
}

// appendID appends the name of the record.
func (r *record) appendID(dst []byte) []byte {
	if r.name != "" {
		return append(dst, r.name...)
	}
	if r.profile.Valid() {
		dst = append(appendCode(dst, r.profile), '/')
	}
	if r.code.Valid() {
		return appendCode(dst, r.code)
	}
	return appendName(dst, obis.RawIDText(r.rawID))
}

// appendCode appends a code without a group F of 255, and with "_" for "*".
func appendCode(dst []byte, c obis.Code) []byte {
	start := len(dst)
	dst, _ = c.AppendText(dst)
	if c[5] == obis.FCurrent {
		return dst[:len(dst)-len("*255")]
	}
	dst[start+bytes.IndexByte(dst[start:], '*')] = '_'
	return dst
}

// appendName appends s with "_" for what RFC 8428 does not allow in names, which
// begin with a letter or a digit.
func appendName(dst []byte, s string) []byte {
	for i, r := range s {
		alnum := r < utf8.RuneSelf && (r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
		switch {
		case alnum, i > 0 && r < utf8.RuneSelf && strings.ContainsRune("-:./_", r):
			dst = append(dst, byte(r))
		case i == 0:
			dst = append(dst, 'x', '_')
		default:
			dst = append(dst, '_')
		}
	}
	return dst
}

// seconds returns a time as SenML has it: seconds since 1970, exactly.
func seconds(at time.Time) obis.Value {
	if ms := at.UnixMilli(); ms%1000 != 0 {
		return obis.Int(ms, -3)
	}
	return obis.Int(at.Unix(), 0)
}

func (r *record) appendJSON(dst []byte) []byte {
	dst = append(r.appendID(append(dst, `"n":"`...)), '"')
	if r.unit != "" {
		dst = append(append(append(dst, `,"u":"`...), r.unit...), '"')
	}
	switch v := r.value; v.Kind() {
	case obis.KindBool:
		dst = v.Append(append(dst, `,"vb":`...))
	case obis.KindText, obis.KindTime, obis.KindBits:
		dst = jsontext.AppendString(append(dst, `,"vs":`...), v.String())
	case obis.KindOctets, obis.KindTree:
		b, _ := v.Bytes()
		dst = append(base64.RawURLEncoding.AppendEncode(append(dst, `,"vd":"`...), b), '"')
	default:
		dst = v.Append(append(dst, `,"v":`...))
	}
	if !r.at.IsZero() {
		dst = seconds(r.at).Append(append(dst, `,"t":`...))
	}
	return append(dst, '}')
}

var errSenML = errors.New("coap: SenML")
