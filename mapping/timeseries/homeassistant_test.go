package timeseries

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// discovery is a discovery message of a device as Home Assistant reads it.
type discovery struct {
	Device struct {
		IDs          []string
		Name, MF, SN string
	} `json:"dev"`
	Origin     struct{ Name string } `json:"o"`
	Components map[string]struct {
		Platform string `json:"p"`
		Name     string
		ID       string `json:"unique_id"`
		Entity   string `json:"default_entity_id"`
		Topic    string `json:"state_topic"`
		Value    string `json:"value_template"`
		Class    string `json:"device_class"`
		State    string `json:"state_class"`
		Unit     string `json:"unit_of_measurement"`
	} `json:"cmps"`
}

func announced(t *testing.T, d *mapping.Data) (c discovery, states []string, lost []mapping.Loss) {
	first := true
	lost = HomeAssistant(d, "meter", func(topic, payload []byte) {
		require.True(t, json.Valid(payload), "%s", payload)
		if first {
			require.NoError(t, json.Unmarshal(payload, &c))
			require.Equal(t, "homeassistant/device/"+c.Device.IDs[0]+"/config", string(topic))
			first = false
			return
		}
		states = append(states, fmt.Sprintf("%s %s", topic, payload))
	})
	return c, states, lost
}

func TestHomeAssistant(t *testing.T) {
	require.Len(t, deviceClasses(), 38)
	d := &mapping.Data{Meter: obis.Meter{ID: "A B/1", Manufacturer: "ABC", Serial: `7"`, Medium: obis.Gas}, Received: time.Unix(1795176007, 0).UTC(), Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, -1), Time: utc(2026, 11, 20, 12, 0, 0)},
		{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1), Quality: obis.Quality{Flags: obis.Questionable}},
		{Code: obis.MustParse("7-0:3.0.0"), Unit: obis.CubicMetre, Value: obis.Int(1, 0), Quality: obis.Quality{Flags: obis.Invalid}},
		{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour, Value: obis.Int(1, 0), Start: utc(2026, 11, 20, 11, 45, 0), Time: utc(2026, 11, 20, 12, 0, 0)},
		{Code: obis.MustParse("0-0:96.1.0"), Value: obis.Text([]byte(`x"`))},
		{Code: obis.MustParse("4-0:1.0.0"), Unit: obis.HCAUnit, Value: obis.Int(1, 0)},
		{Code: obis.MustParse("4-0:1.0.0"), Unit: obis.HCAUnit, Value: obis.Int(1, 0)},
		{},
		{Code: obis.MustParse("0-0:1.0.0"), Value: obis.Moment(utc(2026, 11, 20, 12, 0, 0))},
		{Code: obis.MustParse("1-0:1.7.0"), Unit: obis.Watt},
		{Code: obis.MustParse("0-0:96.13.0"), Value: obis.Text([]byte(strings.Repeat("x", 256)))},
	}}
	c, states, lost := announced(t, d)
	require.Equal(t, `[reading 5: Home Assistant has no unit "HCA" (4-0:1.0.0*255) reading 6: another reading has its id (4-0:1.0.0*255) reading 7: no id reading 10: a state of more than 255 characters (0-0:96.13.0*255)]`, fmt.Sprint(lost))
	require.Equal(t, "Meter A B/1 ABC 7\"", c.Device.Name+" "+c.Device.MF+" "+c.Device.SN)
	require.NotEmpty(t, c.Origin.Name)
	require.Equal(t, []string{
		`meter/A%20B%2F1/1-0:1.8.0_255 {"value":1234.5,"time":"2026-11-20T12:00:00Z"}`,
		`meter/A%20B%2F1/1-0:32.7.0_255 {"value":230.1,"received":"2026-11-20T12:00:07Z","quality":"questionable"}`,
		`meter/A%20B%2F1/7-0:3.0.0_255 {"value":null,"received":"2026-11-20T12:00:07Z","quality":"invalid"}`,
		`meter/A%20B%2F1/1-0:1.29.0_255 {"value":1,"start":"2026-11-20T11:45:00Z","time":"2026-11-20T12:00:00Z"}`,
		`meter/A%20B%2F1/0-0:96.1.0_255 {"value":"x\"","received":"2026-11-20T12:00:07Z"}`,
		`meter/A%20B%2F1/4-0:1.0.0_255 {"value":1,"received":"2026-11-20T12:00:07Z"}`,
		`meter/A%20B%2F1/0-0:1.0.0_255 {"value":"2026-11-20T12:00:00Z","received":"2026-11-20T12:00:07Z"}`,
		`meter/A%20B%2F1/1-0:1.7.0_255 {"value":null,"received":"2026-11-20T12:00:07Z"}`,
	}, states)
	require.Len(t, c.Components, len(states))
	for id, s := range c.Components {
		require.Equal(t, "sensor "+id+" sensor."+id, s.Platform+" "+s.ID+" "+s.Entity)
		require.True(t, slices.ContainsFunc(states, func(state string) bool { return strings.HasPrefix(state, s.Topic+" ") }), s.Topic)
	}
	s := c.Components[c.Device.IDs[0]+"_1_0_1_8_0_255"]
	require.Equal(t, "active energy import total energy total_increasing Wh", s.Name+" "+s.Class+" "+s.State+" "+s.Unit)
}

// Meters whose ids differ are different devices with topics of their own.
func TestHomeAssistantDevices(t *testing.T) {
	devices, topics := map[string]bool{}, map[string]bool{}
	ids := []string{"ABC1", "A-1", "A_1", "A 1", "A.1", "A1", "A/1", "A%2F1", "A--1", "", "é", "è", "\xE9"}
	for _, id := range ids {
		HomeAssistant(&mapping.Data{Meter: obis.Meter{ID: id}, Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Value: obis.Int(1, 0)}}}, "meter", func(topic, payload []byte) {
			require.True(t, utf8.Valid(topic))
			require.True(t, json.Valid(payload))
			require.Regexp(t, `^(homeassistant/device/[A-Za-z0-9_-]+/config|meter/[^ +#*$/]+/1-0:1.8.0_255)$`, string(topic))
			if strings.HasPrefix(string(topic), "home") {
				devices[string(topic)] = true
			} else {
				topics[string(topic)] = true
			}
		})
	}
	require.Len(t, devices, len(ids))
	require.Len(t, topics, len(ids))
	require.True(t, devices["homeassistant/device/meter_abc1/config"])
}

func TestHomeAssistantClasses(t *testing.T) {
	gas := obis.Reading{Code: obis.MustParse("0-1:24.1.0"), Value: obis.Text([]byte("003"))}
	for _, test := range []struct{ code, unit, want string }{
		{"1-0:1.8.0", "Wh", "energy total_increasing Wh"}, {"1-0:16.8.0", "Wh", "energy total Wh"}, {"1-0:36.8.2", "Wh", "energy total Wh"},
		{"1-0:1.9.0", "Wh", "energy  Wh"}, {"1-0:1.8.0*1", "Wh", "energy  Wh"}, {"", "Wh", "energy  Wh"}, {"1-0:9.8.0", "VAh", " total_increasing VAh"}, {"1-0:9.29.0", "VAh", "  VAh"},
		{"6-0:12.0.0", "K", "temperature_delta measurement K"}, {"6-0:12.0.0", "Cel", "temperature_delta measurement °C"}, {"6-0:10.0.0", "Cel", "temperature measurement °C"},
		{"7-0:41.0.0", "K", "temperature measurement K"}, {"", "K", "temperature_delta measurement K"},
		{"0-1:24.2.1", "m3", "gas total_increasing m³"}, {"0-2:24.2.1", "m3", "volume  m³"}, {"6-0:1.2.0", "Wh", "energy  Wh"}, {"8-0:1.2.0", "m3", "water  m³"},
		{"6-0:2.0.0", "m3", "volume total_increasing m³"}, {"9-0:1.0.0", "m3", "water total_increasing m³"}, {"1-0:13.7.0", "1", "power_factor measurement "}, {"0-0:96.7.21", "1", " measurement "},
		{"0-0:96.1.0", "1", "  "}, {"1-0:0.4.2", "1", "  "}, {"1-0:1.7.0", "", "  "}, {"0-0:96.9.0", "Cel", "temperature measurement °C"},
	} {
		r := obis.Reading{Value: obis.Int(5, 0), RawID: []byte("raw")}
		if test.code != "" {
			r.Code = obis.MustParse(test.code)
		}
		r.Unit, _ = obis.UnitByName(test.unit)
		c, _, _ := announced(t, &mapping.Data{Meter: obis.Meter{ID: "M"}, Readings: []obis.Reading{r, gas}})
		for _, s := range c.Components {
			if !strings.HasSuffix(s.Topic, "0-1:24.1.0_255") {
				require.Equal(t, test.want, s.Class+" "+s.State+" "+s.Unit, "%s %s", test.code, test.unit)
			}
		}
	}
}

// No reading of any code, unit and medium has a combination that Home Assistant's own tables forbid.
func TestHomeAssistantAllows(t *testing.T) {
	text, err := os.ReadFile("testdata/state_classes.csv")
	require.NoError(t, err)
	rows, err := csvrows.Read(text)
	require.NoError(t, err)
	type rule struct{ states, units []string }
	rules := map[string]rule{}
	for _, row := range rows {
		rules[row[0]] = rule{strings.Fields(row[1]), strings.Fields(row[2])}
	}
	f, err := os.Open("../../obis/testdata/names.csv")
	require.NoError(t, err)
	defer f.Close()
	in := csv.NewReader(f)
	in.Comment = '#'
	codes, err := in.ReadAll()
	require.NoError(t, err)
	a := announcement{data: &mapping.Data{}}
	for u := range obis.Unit(270) {
		for m := obis.Unknown; m <= obis.Abstract; m++ {
			a.data.Meter.Medium = m
			for i := int(u) % 7; i < len(codes); i += 7 {
				r := obis.Reading{Unit: u, Value: obis.Int(1, 0), RawID: []byte("x")}
				if i > 0 {
					r.Code = obis.MustParse(codes[i][0])
				}
				c, _ := a.classOf(&r)
				state := a.stateClass(&r, c)
				if c.class == "" {
					continue
				}
				of, known := rules[c.class]
				require.True(t, known, c.class)
				require.True(t, state == "" || slices.Contains(of.states, state), "%v %v: %s %s", r.ID(), u, c.class, state)
				unit := c.unitName
				if unit == "" {
					unit = "-"
				}
				require.Contains(t, of.units, unit, c.class)
			}
		}
	}
}
