package timeseries

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func TestHomeAssistant(t *testing.T) {
	require.Len(t, deviceClasses(), 29)
	var got []string
	lost := HomeAssistant(&mapping.Data{Meter: obis.Meter{ID: "A B/1", Manufacturer: "ABC", Medium: obis.Gas}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(1, 0)},
		{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1)},
		{Code: obis.MustParse("7-0:3.0.0"), Unit: obis.CubicMetre, Value: obis.Int(1, 0)},
		{Code: obis.MustParse("8-0:1.0.0"), Unit: obis.CubicMetre, Value: obis.Int(1, 0)},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte("x"))},
		{Code: obis.MustParse("4-0:1.0.0"), Unit: obis.HCAUnit, Value: obis.Int(1, 0)},
		{Code: obis.MustParse("4-0:1.0.0"), Unit: obis.HCAUnit, Value: obis.Int(1, 0)},
		{},
	}}, "meter", func(topic, payload []byte) {
		var s struct {
			ID     string `json:"unique_id"`
			Topic  string `json:"state_topic"`
			Class  string `json:"device_class"`
			State  string `json:"state_class"`
			Unit   string `json:"unit_of_measurement"`
			Device struct {
				Identifiers []string
				Name        string
			}
		}
		require.NoError(t, json.Unmarshal(payload, &s), "%s", payload)
		require.Equal(t, "homeassistant/sensor/"+s.ID+"/config", string(topic))
		require.Equal(t, "Meter A B/1", s.Device.Name)
		got = append(got, fmt.Sprint(s.Topic, " ", s.Class, " ", s.State, " ", s.Unit))
	})
	require.Equal(t, `[reading 5: Home Assistant has no unit "HCA" reading 6: another reading has its id reading 7: no id]`, fmt.Sprint(lost))
	require.Equal(t, []string{"meter/A_B_1/1-0:1.8.0_255 energy total_increasing Wh", "meter/A_B_1/1-0:32.7.0_255 voltage measurement V",
		"meter/A_B_1/7-0:3.0.0_255 gas total_increasing m³", "meter/A_B_1/8-0:1.0.0_255 water total_increasing m³",
		"meter/A_B_1/0-0:96.1.0_255   ", "meter/A_B_1/4-0:1.0.0_255  total_increasing "}, got)
}
