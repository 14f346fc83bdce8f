package cosem_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
)

// Arrangements of pushed values, each with what it must become.
func TestAppendPushed(t *testing.T) {
	for _, v := range golden.Load(t, "testdata/push.txt") {
		t.Run(v.Name, func(t *testing.T) {
			d, n, err := cosem.ParseData(v.Hex)
			require.NoError(t, err)
			require.Equal(t, len(v.Hex), n)
			text := ""
			for _, r := range cosem.AppendPushed(nil, d, obis.Time{}) {
				text += fmt.Sprintf("%s %v %s %v %v\n", r.ID(), r.Value, r.Unit, r.Rule, r.Quality.Flags)
			}
			require.Equal(t, v.Want+"\n", text)
		})
	}
}
