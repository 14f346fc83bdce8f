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

// A list that does not name itself is known by the one before it.
func TestPushesRemember(t *testing.T) {
	power := cosem.Structure(cosem.Uint32(4711))
	var p cosem.Pushes
	before := p.Append(nil, power, obis.Time{})
	require.Equal(t, obis.RuleNone, before[0].Rule)
	p.Append(nil, kaifa(t), obis.Time{})
	after := p.Append(nil, power, obis.Time{})
	require.Equal(t, "1-0:1.7.0*255", after[0].Code.String())
	require.Equal(t, obis.Watt, after[0].Unit)
}

func kaifa(t *testing.T) cosem.Data {
	for _, v := range golden.Load(t, "testdata/push.txt") {
		if v.Name == "Kaifa, one phase, without codes" {
			d, _, err := cosem.ParseData(v.Hex)
			require.NoError(t, err)
			return d
		}
	}
	t.Fatal("no list of Kaifa")
	return cosem.Data{}
}
