package coap

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

func TestSenML(t *testing.T) {
	at := obis.LocalTime(2026, 11, 20, 12, 0, 0)
	at.Deviation = 0
	pack, lost, err := AppendSenML(nil, obis.Meter{ID: "ABC 1"}, []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2), Time: at},
		{Code: obis.MustParse("1-0:9.8.0*3"), Unit: obis.VoltAmpereHour, Value: obis.Int(1500, 0)},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("1234"))},
		{RawID: []byte("1-1:30D"), Value: obis.Bool(true), Quality: obis.Quality{Flags: obis.Test}},
		{Code: obis.MustParse("6-0:9.0.0"), Unit: obis.CubicMetrePerHour, Value: obis.Int(1, 0)},
		{Code: obis.MustParse("0-0:97.97.0"), Value: obis.Octets([]byte{1, 2})},
		{Code: obis.MustParse("0-0:97.97.1")},
	}, obis.Clock{})
	require.NoError(t, err)
	require.Equal(t, `[{"bn":"ABC_1/","n":"1-0:1.8.0","u":"Wh","v":1234500,"t":1795176000},`+
		`{"n":"1-0:9.8.0_3","u":"kVAh","v":1.500},{"n":"0-0:96.1.0","vs":"1234"},{"n":"1-1:30D","vb":true},{"n":"0-0:97.97.0","vd":"AQI"}]`, string(pack))
	require.Equal(t, "[reading 3: quality test not carried reading 4: SenML has no unit m3/h reading 6: no value]", fmt.Sprint(lost))
}

// Every row of the table is of a unit that there is.
func TestUnitTable(t *testing.T) {
	r := csv.NewReader(bytes.NewReader(unitsCSV))
	r.Comment = '#'
	rows, err := r.ReadAll()
	require.NoError(t, err)
	require.Len(t, senmlUnits(), len(rows)-1)
}

func ExampleAppendSenML() {
	pack, _, err := AppendSenML(nil, obis.Meter{ID: "ABC12345678"}, []obis.Reading{
		{Code: obis.MustParse("6-0:1.0.0"), Unit: obis.WattHour, Value: obis.Int(12345, 2)},
	}, obis.Clock{})
	fmt.Println(string(pack), err)
	// Output: [{"bn":"ABC12345678/","n":"6-0:1.0.0","u":"Wh","v":1234500}] <nil>
}
