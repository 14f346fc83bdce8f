package tables_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
)

type row struct {
	ID       string
	Protocol string
	Hex      string
	Expected json.RawMessage
}

type expected struct {
	Table          uint16
	DataOrder      string `json:"data_order"`
	OBIS           string
	Identification string `json:"IDENTIFICATION"`
	Time           string
	Format         uint8 `json:"tm_format"`
	Minutes        int64 `json:"unix_minutes"`
	Second         uint8
	Day            *uint8 `json:"day_of_week"`
}

// table00 is the least of a table 00.
func table00(order, format byte) []byte {
	b := make([]byte, 19)
	b[0], b[1], b[7] = order|1<<1, format, 2
	return b
}

func TestCorpus(t *testing.T) {
	n := 0
	for _, r := range golden.Corpus[row](t, "ansi_iec.jsonl") {
		if r.Protocol != "c1219" {
			continue
		}
		n++
		t.Run(r.ID, func(t *testing.T) {
			var want expected
			require.NoError(t, json.Unmarshal(r.Expected, &want))
			b, err := hex.DecodeString(r.Hex)
			require.NoError(t, err)
			order := byte(0)
			if want.DataOrder == "BE" {
				order = 1
			}
			got, err := tables.Decode(table00(order, want.Format), want.Table, b, nil)
			require.NoError(t, err)
			require.NotEmpty(t, got.Readings)
			first := got.Readings[0]
			switch want.Table {
			case 5:
				require.Equal(t, want.Identification, first.Value.String())
				require.Equal(t, want.Identification, got.Meter.ID)
			case 12:
				require.Equal(t, obis.MustParse(want.OBIS), first.Code)
				require.NotEqual(t, obis.UnitUnknown, first.Unit)
			case 52:
				at, ok := first.Value.Time()
				require.True(t, ok)
				if want.Time != "" {
					require.Equal(t, want.Time, at.String())
				}
				if want.Minutes != 0 {
					instant, ok := at.Instant(obis.Clock{Zone: utc})
					require.True(t, ok)
					require.Equal(t, want.Minutes, instant.Unix()/60)
					require.Equal(t, want.Second, at.Second)
				}
				if want.Day != nil {
					require.Equal(t, *want.Day, at.Weekday%7)
				}
			case 61:
				var fields map[string]any
				require.NoError(t, json.Unmarshal(r.Expected, &fields))
				seen := 0
				for i, source := range got.Sources {
					if want, ok := fields[source.Field]; ok {
						seen++
						require.Equal(t, fmt.Sprint(want), got.Readings[i].Value.String(), source.Field)
					}
				}
				require.Equal(t, 6, seen)
			default:
				t.Fatalf("table %d", want.Table)
			}
		})
	}
	require.Equal(t, 15, n)
}
