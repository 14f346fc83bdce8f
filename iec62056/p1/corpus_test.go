package p1

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

type row struct {
	ID       string
	Protocol string
	Text     string
	Expected struct {
		Header  string
		Objects [][]json.RawMessage
		CRC     string
		CRCOK   bool `json:"crc_ok"`
	}
}

func TestCorpus(t *testing.T) {
	seen := 0
	for _, r := range golden.Corpus[row](t, "ansi_iec.jsonl") {
		if r.Protocol != "dsmr" {
			continue
		}
		seen++
		t.Run(r.ID, func(t *testing.T) { corpusRow(t, r) })
	}
	require.NotZero(t, seen)
}

func corpusRow(t *testing.T, r row) {
	b := []byte(r.Text)
	telegram, n, err := Parse(b)
	if r.Expected.CRC != "" && !r.Expected.CRCOK {
		require.ErrorIs(t, err, ErrChecksum)
		telegram, err = Salvage(b)
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		// The capture ends before the telegram does.
		require.NotContains(t, r.Text, "!")
		telegram, err = Salvage(b)
	} else {
		require.Equal(t, len(strings.TrimSpace(r.Text)), len(strings.TrimSpace(r.Text[:n])))
	}
	require.NoError(t, err)
	require.Equal(t, r.Expected.CRCOK, telegram.Checked)
	require.True(t, strings.HasPrefix(r.Text, r.Expected.Header))
	require.Empty(t, telegram.BadLines())

	i := 0
	for d, err := range telegram.DataSets() {
		require.NoError(t, err)
		id, values := object(t, r, i)
		require.Equal(t, id, string(d.ID))
		var got []string
		for f := range d.Fields() {
			s := string(f.Text)
			if f.Unit != nil {
				s += "*" + string(f.Unit)
			}
			got = append(got, s)
		}
		require.Equal(t, values, got)
		i++
	}
	require.Len(t, r.Expected.Objects, i)

	logs := 0
	nth := map[uint32]int{}
	for _, reading := range telegram.AppendReadings(nil) {
		id, values := object(t, r, int(reading.Source))
		if id == "1-0:99:97.0" {
			// A misprint of the specification: no OBIS code, so each value is a reading of its own.
			require.Equal(t, obis.RuleNone, reading.Rule)
			require.Len(t, values, 6)
			values = [][]string{values[:1], values[1:2], values[2:4], values[4:]}[nth[reading.Source]]
			nth[reading.Source]++
		}
		requireReading(t, id, values, reading)
	}
	for _, e := range telegram.Events() {
		_, values := object(t, r, eventLine(r))
		require.Equal(t, values[2+2*logs+1], duration(e, values[2+2*logs+1]))
		logs++
	}
	for _, p := range telegram.Profiles() {
		for i := range p.Len() {
			require.NotEmpty(t, p.Columns[1].At(i).String())
		}
	}
}

func object(t *testing.T, r row, i int) (id string, values []string) {
	require.Less(t, i, len(r.Expected.Objects))
	require.NoError(t, json.Unmarshal(r.Expected.Objects[i][0], &id))
	require.NoError(t, json.Unmarshal(r.Expected.Objects[i][1], &values))
	return id, values
}

func eventLine(r row) int {
	for i, o := range r.Expected.Objects {
		if strings.Contains(string(o[0]), "99.97.0") {
			return i
		}
	}
	return -1
}

// duration returns the expectation if the event has it as duration.
func duration(e obis.Event, want string) string {
	number, _, _ := strings.Cut(want, "*")
	m, _, _ := e.Params[0].Value.Decimal()
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n == m && e.Params[0].Unit == obis.Second {
		return want
	}
	return e.Params[0].Value.String()
}

func requireReading(t *testing.T, id string, values []string, r obis.Reading) {
	want := values[0]
	switch {
	case strings.Contains(id, ":24.3.") && len(values) == 7:
		require.Equal(t, "0-1:24.2.1*255", r.Code.String())
		require.Equal(t, values[0], stamp(r.Time), id)
		want = values[6] + "*" + values[5]
	case len(values) == 2 && len(values[0]) == 13:
		if strings.HasPrefix(values[0], "6325") {
			require.True(t, r.Time.IsZero())
			require.NotZero(t, r.Quality.Flags&obis.Invalid)
		} else {
			require.Equal(t, values[0], stamp(r.Time), id)
		}
		want = values[1]
	}
	if code, err := obis.ParseCode(id); err == nil && !strings.Contains(id, ":24.3.") {
		require.Equal(t, code, r.Code)
	} else if err != nil {
		require.Equal(t, id, string(r.RawID))
		require.Equal(t, obis.RuleNone, r.Rule)
	}
	number, unit, hasUnit := strings.Cut(want, "*")
	switch r.Value.Kind() {
	case obis.KindInt:
		require.Equal(t, hasUnit, r.Unit != obis.UnitUnknown && r.Unit != obis.Count, "%s %v", id, r.Unit)
		f, err := strconv.ParseFloat(number, 64)
		require.NoError(t, err)
		if hasUnit {
			_, exp := field.Unit([]byte(unit))
			for range exp {
				f *= 10
			}
			require.True(t, strings.HasSuffix(unit, r.Unit.String()))
		}
		got, _ := r.Value.Float64()
		require.InDelta(t, f, got, 1e-9*max(1, f), id)
	case obis.KindTime:
		tm, _ := r.Value.Time()
		require.Equal(t, number, stamp(tm))
	case obis.KindText:
		text := r.Value.String()
		if text != number {
			require.Equal(t, strings.ToLower(number), strings.ToLower(hexOf(text)))
		}
	default:
		require.Empty(t, number, id)
	}
}

func stamp(t obis.Time) string {
	s := strings.NewReplacer("-", "", "T", "", ":", "").Replace(t.String())[2:]
	switch {
	case t.Status == obis.TimeUnspecified:
		return s
	case t.Status&obis.TimeDST != 0:
		return s + "S"
	}
	return s + "W"
}

func hexOf(s string) string {
	out := ""
	for i := range len(s) {
		out += strconv.FormatUint(uint64(s[i])>>4, 16) + strconv.FormatUint(uint64(s[i])&15, 16)
	}
	return out
}
