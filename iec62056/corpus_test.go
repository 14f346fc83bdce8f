package iec62056

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// row is one row of the corpus.
type row struct {
	ID       string
	Protocol string
	Text     string
	Hex      string
	Expected struct {
		Header       string
		Objects      [][]json.RawMessage
		Manufacturer string
		Ident        string
		BaudChar     string `json:"baud_char"`
		Reaction     int    `json:"reaction_time_ms"`
		Baud         int
		Message      string
		Mode         any
		Protocol     *int
		Recover      bool
		BCC          string
		Cmd          string
		Operand      string
		Data         string
		Address      string
		Profile      string
		Channels     []string
		Units        []string
		Interval     int `json:"interval_min"`
		Rows         int
		Start        string
	}
}

func (r row) bytes(t *testing.T) []byte {
	if r.Hex != "" {
		return golden.Unhex(t, r.Hex)
	}
	return []byte(r.Text)
}

func TestCorpus(t *testing.T) {
	seen := 0
	for _, r := range golden.Corpus[row](t, "ansi_iec.jsonl") {
		if r.Protocol != "iec62056-21" {
			continue
		}
		seen++
		t.Run(r.ID, func(t *testing.T) {
			b := r.bytes(t)
			switch e := r.Expected; {
			case e.Cmd != "":
				corpusCommand(t, b, r)
			case e.Message != "":
				m, _, err := ParseMessage(b)
				require.NoError(t, err)
				require.Equal(t, Option{'0' + byte(*e.Protocol), e.BaudChar[0], '0' + byte(e.Mode.(float64))}, m.Option)
			case e.Profile != "":
				corpusProfile(t, b, r)
			case len(e.Objects) > 0:
				corpusReadout(t, b, r)
			default:
				corpusIdentification(t, b, r)
			}
		})
	}
	require.NotZero(t, seen)
}

func corpusIdentification(t *testing.T, b []byte, r row) {
	e := r.Expected
	id, _, err := ParseIdentification(b)
	require.NoError(t, err)
	if e.Manufacturer != "" {
		require.Equal(t, e.Manufacturer, string(id.Manufacturer[:]))
	}
	if e.Ident != "" {
		require.Equal(t, e.Ident, string(id.Ident))
	}
	if e.BaudChar != "" {
		require.Equal(t, e.BaudChar, string(id.Baud))
	}
	if e.Baud != 0 {
		require.Equal(t, e.Baud, id.BaudRate())
		require.Equal(t, e.Mode, id.Mode().String())
	}
	if e.Reaction != 0 {
		require.Equal(t, time.Duration(e.Reaction)*time.Millisecond, id.ReactionTime())
	}
	if e.Header != "" {
		require.Equal(t, e.Header, strings.TrimSpace(string(b[:strings.IndexByte(string(b), '\n')])))
	}
}

func corpusCommand(t *testing.T, b []byte, r row) {
	e := r.Expected
	m, n, err := ParseMessage(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	require.Equal(t, e.Cmd, string(m.Command[:]))
	require.Equal(t, e.BCC, fmt.Sprintf("%02x", b[n-1]))
	for d, err := range m.DataSets() {
		require.NoError(t, err)
		f, _ := d.Field(0)
		require.Equal(t, e.Operand+e.Data, keep(string(f.Text), e.Operand+e.Data != ""))
		if e.Address != "" {
			require.Equal(t, e.Address, string(d.ID))
		}
	}
}

func keep(s string, when bool) string {
	if when {
		return s
	}
	return ""
}

func corpusReadout(t *testing.T, b []byte, r row) {
	e := r.Expected
	if b[len(b)-1] == etx {
		// The row was taken from a test that leaves the block check character to its reader.
		b = append(b, BlockCheck(b[strings.IndexByte(string(b), stx)+1:]))
	}
	readout, _, err := ParseReadout(b)
	if e.Recover {
		require.Error(t, err)
		readout = Salvage(b)
		require.Len(t, readout.BadLines(), 1)
	} else {
		require.NoError(t, err)
		require.Empty(t, readout.BadLines())
		corpusIdentification(t, b, r)
	}
	readings := readout.AppendReadings(nil)
	require.Len(t, readings, len(e.Objects))
	for i, object := range e.Objects {
		var id string
		var values []string
		require.NoError(t, json.Unmarshal(object[0], &id))
		require.NoError(t, json.Unmarshal(object[1], &values))
		got := readings[i]
		require.Equal(t, id, string(got.RawID))
		code, err := obis.ParseCode(id)
		require.NoError(t, err)
		require.Equal(t, code, got.Code)
		requireValue(t, values[0], got)
	}
}

// requireValue compares a reading with "value*unit" as another program kept it.
func requireValue(t *testing.T, want string, got obis.Reading) {
	number, unit, hasUnit := strings.Cut(want, "*")
	if !hasUnit && got.Value.Kind() != obis.KindInt {
		require.Equal(t, number, got.Value.String())
		return
	}
	f, err := strconv.ParseFloat(number, 64)
	require.NoError(t, err)
	base := got.Unit.String()
	if prefix := strings.TrimSuffix(unit, base); prefix == "k" {
		f *= 1000
	} else {
		require.Equal(t, unit, base)
	}
	have, _ := got.Value.Float64()
	require.InDelta(t, f, have, 1e-9*max(1, f))
	digits := len(strings.TrimLeft(strings.ReplaceAll(number, ".", ""), "0"))
	m, _, _ := got.Value.Decimal()
	require.Equal(t, max(1, digits), len(strconv.FormatInt(m, 10)), "no digit is lost")
}

func corpusProfile(t *testing.T, b []byte, r row) {
	e := r.Expected
	m, _, err := ParseMessage(b)
	require.NoError(t, err)
	all, err := ParseProfiles(m.Data)
	require.NoError(t, err)
	require.Len(t, all, 1)
	p := all[0]
	require.Equal(t, e.Rows, p.Len())
	require.EqualValues(t, e.Interval*60, p.Period)
	require.Equal(t, e.Start, strings.NewReplacer("-", "", "T", "", ":", "").Replace(p.Times[0].String())[2:])
	for i, c := range p.Columns {
		require.Equal(t, e.Channels[i], string(c.RawID))
		require.Equal(t, e.Units[i], "k"+c.Unit.String())
		require.Equal(t, e.Rows, c.Len())
	}
	require.Equal(t, "45", p.Columns[0].At(0).String())
	require.Equal(t, "13", p.Columns[5].At(1).String())
}
