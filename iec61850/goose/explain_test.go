package goose

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

func TestExplain(t *testing.T) {
	raw := golden.Unhex(t, message)
	text := ""
	require.NoError(t, Explain(raw, func(off, n, depth int, field, meaning string) {
		text += fmt.Sprintf("%d+%d %*s%s: %s\n", off, n, 2*depth, "", field, meaning)
	}))
	require.Equal(t, `0+2 APPID: 0x3fff
2+2 length: 53 octets
4+4 reserved: 00000000
8+2 goosePdu: `+`
10+3   gocbRef: "A"
13+4   timeAllowedtoLive: 2000 ms
17+3   datSet: "B"
20+10   t: 2026-11-20T20:39:19.213999Z not-synchronized
30+3   stNum: 3
33+3   sqNum: 4
36+3   simulation: false
39+3   confRev: 1
42+3   ndsCom: false
45+3   numDatSetEntries: 1
48+2   allData: 1 values
50+3     boolean: true
`, text)
}

func FuzzExplain(f *testing.F) {
	f.Add(golden.Unhex(f, message))
	f.Fuzz(func(t *testing.T, b []byte) {
		octets := 0
		err := Explain(b, func(off, n, _ int, field, _ string) {
			require.True(t, 0 <= off && 0 <= n && off+n <= len(b))
			require.NotEmpty(t, field)
			octets += n
		})
		require.LessOrEqual(t, octets, len(b))
		if _, n, parsing := Parse(b); len(b) > 0 && n == len(b) || parsing != nil && len(b) > 0 {
			require.Equal(t, parsing == nil, err == nil)
		}
	})
}
