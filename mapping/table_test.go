package mapping_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func register(cells []string) (int, error) { return strconv.Atoi(cells[0]) }

func TestTable(t *testing.T) {
	base, err := mapping.ReadTable(strings.NewReader("# a table\nobis,register\n1-x:1.8.0 1-x:2.8.0,1\n1-x:(1-9).8.x*x,2\n"), []string{"register"}, register)
	require.NoError(t, err)
	user, err := mapping.ReadTable(strings.NewReader("obis,register\n1-0:1.8.0,7\n"), []string{"register"}, register)
	require.NoError(t, err)
	both, err := user.Over(base)
	require.NoError(t, err)
	for code, want := range map[string][2]int{"1-0:1.8.0": {1, 7}, "1-1:1.8.0": {1, 1}, "1-0:2.8.0": {1, 1}, "1-0:1.8.1": {2, 2}, "1-0:3.8.0*4": {2, 2}, "7-0:3.0.0": {}} {
		for i, table := range []*mapping.Table[int]{base, both} {
			got := table.Find(obis.MustParse(code))
			if want[i] == 0 {
				require.Nil(t, got)
				continue
			}
			require.Equal(t, want[i], *got, "%s in table %d", code, i)
		}
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { both.Find(obis.MustParse("1-0:1.8.1")) }))
}

func TestReadTableRefuses(t *testing.T) {
	for csv, want := range map[string]string{
		"":                             "EOF",
		"obis,object\n":                "columns [obis object]",
		"obis,register\n1-0:1.8,x\n":   "line 2",
		"obis,register\n1-0:300.8,1\n": "line 2",
		"obis,register\n1-0:1.8.0\n":   "wrong number of fields",
	} {
		_, err := mapping.ReadTable(strings.NewReader(csv), []string{"register"}, register)
		require.ErrorContains(t, err, want)
	}
}

func ExampleReadTable() {
	rules := "obis,register\n1-x:1.8.x,40001\n1-x:32.7.0,40011\n"
	table, err := mapping.ReadTable(strings.NewReader(rules), []string{"register"}, register)
	fmt.Println(*table.Find(obis.MustParse("1-0:32.7.0")), table.Find(obis.MustParse("1-0:14.7.0")), err)
	// Output: 40011 <nil> <nil>
}
