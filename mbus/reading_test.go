package mbus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

func TestReadings(t *testing.T) {
	named := map[string]bool{}
	for _, v := range golden.Load(t, "testdata/*.txt") {
		t.Run(v.Name, func(t *testing.T) {
			var d Decoder
			tg, err := d.Parse(v.Hex, Lower{})
			require.NoError(t, err)
			require.NoError(t, tg.Broken)
			var lines []string
			for _, r := range d.AppendReadings(nil, &tg) {
				lines = append(lines, line(r))
				if r.Rule == obis.RuleManufacturer {
					named[tg.Header.Address.Manufacturer.String()] = true
				}
			}
			require.Equal(t, v.Want, strings.Join(lines, "\n"))
		})
	}
	for i := range manufacturerTable {
		require.True(t, named[manufacturerTable[i].manufacturer.String()], "%s has no telegram", manufacturerTable[i].manufacturer)
	}
}

// line shows a reading as the vectors have it.
func line(r obis.Reading) string {
	s := strings.TrimSpace(fmt.Sprint(r.Code, " ", r.Rule, " ", r.Value, " ", r.Unit))
	if !r.Time.IsZero() {
		s += " at " + r.Time.String()
	}
	if r.Quality.Flags != 0 {
		s += " " + r.Quality.Flags.String()
	}
	return s
}
