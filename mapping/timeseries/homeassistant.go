package timeseries

import (
	"bytes"
	_ "embed" // classes.csv
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed classes.csv
var classesCSV []byte

type deviceClass struct {
	unit            obis.Unit
	medium          string
	class, unitName string
}

// deviceClasses reads classes.csv, which the tests check.
var deviceClasses = sync.OnceValue(func() (list []deviceClass) {
	r := csv.NewReader(bytes.NewReader(classesCSV))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil
	}
	for _, row := range rows[1:] {
		if u, ok := obis.UnitByName(row[0]); ok {
			list = append(list, deviceClass{u, row[1], row[2], row[3]})
		}
	}
	return list
})

// Discovery is a message that announces a sensor to Home Assistant: a retained
// MQTT message of its discovery.
type Discovery struct {
	Topic   string          `json:"topic"`
	Payload json.RawMessage `json:"payload"`
}

type sensor struct {
	Name         string   `json:"name"`
	UniqueID     string   `json:"unique_id"`
	ObjectID     string   `json:"object_id"`
	StateTopic   string   `json:"state_topic"`
	DeviceClass  string   `json:"device_class,omitempty"`
	StateClass   string   `json:"state_class,omitempty"`
	Unit         string   `json:"unit_of_measurement,omitempty"`
	Availability string   `json:"availability_topic,omitempty"`
	Device       haDevice `json:"device"`
}

type haDevice struct {
	Identifiers  []string `json:"identifiers"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"manufacturer,omitempty"`
	Model        string   `json:"model,omitempty"`
	SerialNumber string   `json:"serial_number,omitempty"`
	Firmware     string   `json:"sw_version,omitempty"`
}

// StateTopic returns the topic on which the state of a reading is published
// below a base topic: "meter/ABC1/1-0:1.8.0_255".
func StateTopic(base string, m obis.Meter, r *obis.Reading) string {
	return base + "/" + topicLevel(m.ID) + "/" + topicLevel(r.ID())
}

// topicLevel makes an id one level of an MQTT topic, without its wildcards.
func topicLevel(s string) string {
	if s == "" {
		return "meter"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || strings.ContainsRune("/+#*$", r) {
			return '_'
		}
		return r
	}, s)
}

// HomeAssistant returns the discovery messages of a meter's readings, whose
// states are published below base (see [StateTopic]). Readings whose unit Home
// Assistant does not know are announced without one; those without a value or
// with text have neither class nor unit.
func HomeAssistant(m obis.Meter, readings []obis.Reading, base string) ([]Discovery, []mapping.Loss, error) {
	var list []Discovery
	var lost []mapping.Loss
	seen := map[string]bool{}
	device := haDevice{Identifiers: []string{"meter_" + slug(m.ID)}, Name: strings.TrimSpace("Meter " + m.ID), Manufacturer: m.Manufacturer,
		Model: m.Model, SerialNumber: m.Serial, Firmware: m.Firmware}
	for i := range readings {
		r := &readings[i]
		id := r.ID()
		switch {
		case id == "":
			lost = append(lost, mapping.Loss{Index: i, Reason: "no id"})
			continue
		case seen[id]:
			lost = append(lost, mapping.Loss{Index: i, Reason: "another reading has its id"})
			continue
		}
		seen[id] = true
		object := "meter_" + slug(m.ID) + "_" + slug(id)
		s := sensor{Name: obis.Describe(r.Code), UniqueID: object, ObjectID: object, StateTopic: StateTopic(base, m, r), Device: device}
		if s.Name == "" {
			s.Name = id
		}
		if numeric(r.Value) || r.Value.IsNone() && r.Unit != obis.UnitUnknown {
			s.StateClass = "measurement"
			if r.Code.Cumulative() {
				s.StateClass = "total_increasing"
			}
			c, ok := classOf(r, m.Medium)
			if s.DeviceClass, s.Unit = c.class, c.unitName; !ok && r.Unit != obis.UnitUnknown {
				lost = append(lost, mapping.Loss{Index: i, Reason: "Home Assistant has no unit " + strconv.Quote(r.Unit.String())})
			}
			if c.class == "volume" && s.StateClass == "measurement" {
				s.DeviceClass = "volume_storage"
			}
		}
		payload, err := json.Marshal(s)
		if err != nil {
			return nil, nil, fmt.Errorf("timeseries: %w", err)
		}
		list = append(list, Discovery{Topic: "homeassistant/sensor/" + object + "/config", Payload: payload})
	}
	return list, lost, nil
}

func classOf(r *obis.Reading, medium obis.Medium) (deviceClass, bool) {
	own := r.Code.Medium()
	if own == obis.Abstract || !r.Code.Valid() {
		own = medium
	}
	for _, c := range deviceClasses() {
		if c.unit == r.Unit && (c.medium == "" || c.medium == own.String()) {
			return c, true
		}
	}
	return deviceClass{}, false
}
