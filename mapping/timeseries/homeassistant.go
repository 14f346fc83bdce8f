package timeseries

import (
	"bytes"
	_ "embed" // classes.csv
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/internal/jsontext"
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
	rows, err := csvrows.Read(classesCSV)
	if err != nil {
		return nil
	}
	for _, row := range rows {
		if u, ok := obis.UnitByName(row[0]); ok {
			list = append(list, deviceClass{u, row[1], row[2], row[3]})
		}
	}
	return list
})

// AppendStateTopic appends the topic on which the state of a reading is
// published below a base topic: "meter/ABC1/1-0:1.8.0_255".
func AppendStateTopic(dst []byte, base string, m obis.Meter, r *obis.Reading) []byte {
	dst = append(append(dst, base...), '/')
	dst = append(appendLevel(dst, m.ID), '/')
	if r.Code.Valid() {
		start := len(dst)
		dst, _ = r.Code.AppendText(dst)
		dst[start+bytes.IndexByte(dst[start:], '*')] = '_'
		return dst
	}
	return appendLevel(dst, obis.RawIDText(r.RawID))
}

// appendLevel appends an id as one level of an MQTT topic, without its wildcards.
func appendLevel(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "meter"...)
	}
	for _, r := range s {
		if r <= ' ' || strings.ContainsRune("/+#*$", r) {
			r = '_'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// HomeAssistant makes the discovery messages of a meter's readings, whose states
// are published below base (see [AppendStateTopic]): retained MQTT messages that
// announce a sensor each. announce may keep neither topic nor payload. Readings
// whose unit Home Assistant does not know are announced without one; those with
// text have neither class nor unit. Profiles and events have no sensors.
func HomeAssistant(d *mapping.Data, base string, announce func(topic, payload []byte)) []mapping.Loss {
	m, readings := d.Meter, d.Readings
	var lost []mapping.Loss
	device := appendDevice(nil, m)
	var object, topic, payload []byte
	codes, raw := make(map[obis.Code]bool, len(readings)), map[string]bool{}
	for i := range readings {
		r := &readings[i]
		switch {
		case !r.Code.Valid() && len(r.RawID) == 0:
			lost = append(lost, mapping.Loss{Index: i, Reason: "no id"})
			continue
		case r.Code.Valid() && codes[r.Code], !r.Code.Valid() && raw[string(r.RawID)]:
			lost = append(lost, mapping.Loss{Index: i, Reason: "another reading has its id"})
			continue
		case r.Code.Valid():
			codes[r.Code] = true
		default:
			raw[string(r.RawID)] = true
		}
		object = appendObject(object[:0], m, r)
		topic = append(append(append(topic[:0], "homeassistant/sensor/"...), object...), "/config"...)
		c, known := classOf(r, m.Medium)
		if !known && r.Unit != obis.UnitUnknown {
			lost = append(lost, mapping.Loss{Index: i, Reason: "Home Assistant has no unit " + strconv.Quote(r.Unit.String())})
		}
		payload = appendSensor(payload[:0], m, r, base, object, c)
		payload = append(append(append(payload, `,"device":`...), device...), '}')
		announce(topic, payload)
	}
	return append(lost, mapping.ReadingsOnly(d)...)
}

// appendObject appends the id of a sensor: "meter_abc1_1_0_1_8_0_255".
func appendObject(dst []byte, m obis.Meter, r *obis.Reading) []byte {
	dst = append(appendSlug(append(dst, "meter_"...), m.ID), '_')
	if !r.Code.Valid() {
		return appendSlug(dst, obis.RawIDText(r.RawID))
	}
	for i, g := range r.Code {
		if i > 0 {
			dst = append(dst, '_')
		}
		dst = strconv.AppendUint(dst, uint64(g), 10)
	}
	return dst
}

// appendSensor appends the description of a sensor but for its device.
func appendSensor(dst []byte, m obis.Meter, r *obis.Reading, base string, object []byte, c deviceClass) []byte {
	dst = append(dst, `{"name":"`...)
	if start := len(dst); r.Code.Valid() {
		if dst = obis.AppendDescription(dst, r.Code); len(dst) == start {
			dst, _ = r.Code.AppendText(dst)
		}
		dst = append(dst, '"')
	} else {
		dst = jsontext.AppendString(dst[:start-1], obis.RawIDText(r.RawID))
	}
	dst = append(append(append(dst, `,"unique_id":"`...), object...), `","object_id":"`...)
	dst = append(append(dst, object...), `","state_topic":"`...)
	start := len(dst)
	if dst = AppendStateTopic(dst, base, m, r); bytes.ContainsAny(dst[start:], "\"\\") {
		dst = jsontext.AppendString(dst[:start-1], string(dst[start:]))
	} else {
		dst = append(dst, '"')
	}
	if !numeric(r.Value) && (!r.Value.IsNone() || r.Unit == obis.UnitUnknown) {
		return dst
	}
	class, state := c.class, "measurement"
	switch {
	case r.Code.Cumulative():
		state = "total_increasing"
	case class == "volume":
		class = "volume_storage"
	}
	dst = append(append(append(dst, `,"state_class":"`...), state...), '"')
	if class != "" {
		dst = append(append(append(dst, `,"device_class":"`...), class...), '"')
	}
	if c.unitName != "" {
		dst = append(append(append(dst, `,"unit_of_measurement":"`...), c.unitName...), '"')
	}
	return dst
}

func appendDevice(dst []byte, m obis.Meter) []byte {
	dst = append(appendSlug(append(dst, `{"identifiers":["meter_`...), m.ID), `"]`...)
	for _, f := range [...]struct{ name, text string }{
		{"name", strings.TrimSpace("Meter " + m.ID)}, {"manufacturer", m.Manufacturer}, {"model", m.Model}, {"serial_number", m.Serial}, {"sw_version", m.Firmware},
	} {
		if f.text != "" {
			dst = jsontext.AppendString(append(append(append(dst, `,"`...), f.name...), `":`...), f.text)
		}
	}
	return append(dst, '}')
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
