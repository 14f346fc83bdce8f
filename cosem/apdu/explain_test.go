package apdu

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

func TestExplain(t *testing.T) {
	for _, v := range golden.Load(t, "testdata/explain.txt") {
		t.Run(v.Name, func(t *testing.T) {
			text := ""
			require.NoError(t, Explain(v.Hex, func(off, length, depth int, field, meaning string) {
				text += fmt.Sprintf("%d+%d %*s%s: %s\n", off, length, 2*depth, "", field, meaning)
			}))
			require.Equal(t, v.Want+"\n", text)
		})
	}
}
