package mapping

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

func TestDifference(t *testing.T) {
	for _, test := range []struct {
		a, b obis.Value
		want string
	}{
		{obis.Int(5, 0), obis.Int(7, 0), "-2"}, {obis.Int(5, 3), obis.Int(1, -1), "4999.9"}, {obis.Int(-5, -2), obis.Int(-5, -2), "0.00"},
		{obis.Float64(math.Float64bits(2.5), 0), obis.Int(1, 0), "1.5"}, {obis.Int(math.MaxInt64, 0), obis.Int(-1, 0), ""}, {obis.Int(math.MinInt64, 0), obis.Int(1, 0), ""},
		{obis.Int(math.MaxInt64, 0), obis.Int(1, -1), ""}, {obis.Int(1, 0), obis.Value{}, ""}, {obis.Text([]byte("1")), obis.Int(1, 0), ""}, {obis.Bool(true), obis.Int(1, 0), ""},
	} {
		v, ok := Difference(test.a, test.b)
		require.Equal(t, test.want != "", ok, test.want)
		require.Equal(t, test.want, v.String())
	}
}
