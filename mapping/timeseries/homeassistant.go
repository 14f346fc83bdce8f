package timeseries

import (
	"bytes"
	_ "embed" // classes.csv
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed classes.csv
var classesCSV []byte

type deviceClass struct {
	codes           []obis.Pattern
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
		u, ok := obis.UnitByName(row[1])
		if !ok {
			return nil
		}
		c := deviceClass{unit: u, medium: row[2], class: row[3], unitName: row[4]}
		for _, text := range strings.Fields(row[0]) {
			p, err := obis.ParsePattern(text)
			if err != nil {
				return nil
			}
			c.codes = append(c.codes, p)
		}
		list = append(list, c)
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

// appendLevel appends an id as one level of an MQTT topic. What may not stand there
// is percent-encoded, so that no two ids have one topic.
func appendLevel(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	if s == "" {
		return append(dst, "meter"...)
	}
	valid := utf8.ValidString(s)
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7F || c > 0x7F && !valid || strings.IndexByte("/+#*$%", c) >= 0 {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// appendDeviceID appends the id of the device of a meter: "meter_abc1". One that
// loses characters has a hash behind it, which tells it from others that lose them.
func appendDeviceID(dst []byte, id string) []byte {
	dst = appendSlug(append(dst, "meter_"...), id)
	if strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" {
		return dst
	}
	h := fnv.New32a()
	h.Write([]byte(id)) // never fails
	return fmt.Appendf(dst, "_%08x", h.Sum32())
}

// HomeAssistant makes the MQTT messages of a meter's readings: first the discovery
// message of the device, to be retained, in which each reading is a sensor, then
// the state of each sensor, on its topic below base (see [AppendStateTopic]):
//
//	homeassistant/device/meter_abc1/config  {"dev":{…},"o":{…},"cmps":{"meter_abc1_1_0_1_8_0_255":{"p":"sensor",…}}}
//	meter/ABC1/1-0:1.8.0_255                {"value":1234500,"time":"2026-11-20T12:00:00Z"}
//
// A state has the time of the reading or, where the meter gave none, that of its
// arrival ("received"), the start of its interval, and its quality where that is
// not good, which Home Assistant shows as an attribute. A reading that is invalid
// or has no value is unknown there, not 0. publish may keep neither topic nor payload.
// Readings whose unit Home Assistant does not know are announced without one;
// profiles and events have no sensors.
func HomeAssistant(d *mapping.Data, base string, publish func(topic, payload []byte)) []mapping.Loss {
	a := announcement{data: d, base: base, device: string(appendDeviceID(nil, d.Meter.ID)), media: media(d.Readings),
		codes: make(map[obis.Code]bool, len(d.Readings)), raw: map[string]bool{}}
	a.config = appendDevice(append(make([]byte, 0, 500*len(d.Readings)), `{"dev":`...), d.Meter, a.device)
	a.config = append(a.config, `,"o":{"name":"openusm meter","url":"https://github.com/openusm/meter"},"cmps":{`...)
	for i := range d.Readings {
		a.sensor(i, &d.Readings[i])
	}
	if len(a.states) > 0 {
		publish([]byte("homeassistant/device/"+a.device+"/config"), append(a.config, "}}"...))
	}
	var topic, payload []byte
	for _, i := range a.states {
		r := &d.Readings[i]
		topic = AppendStateTopic(topic[:0], base, d.Meter, r)
		payload = a.appendState(payload[:0], r)
		publish(topic, payload)
	}
	return d.Gather(slices.Concat(a.lost, mapping.ReadingsOnly(d), mapping.StatusLost(d)))
}

// announcement gathers the sensors of a meter.
type announcement struct {
	data    *mapping.Data
	base    string
	device  string
	media   map[uint8]obis.Medium // by channel, where an M-Bus device type says so
	codes   map[obis.Code]bool    // that have a sensor
	raw     map[string]bool       // the same by id
	config  []byte                // the discovery message up to the last sensor
	scratch []byte
	states  []int // the readings that are sensors
	lost    []mapping.Loss
}

// maxState is how long the state of a sensor may be.
const maxState = 255

func (a *announcement) sensor(i int, r *obis.Reading) {
	lose := func(reason string) {
		a.lost = append(a.lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
	}
	if !r.Code.Valid() && len(r.RawID) == 0 {
		lose("no id")
		return
	}
	a.scratch = a.appendValue(a.scratch[:0], r)
	switch {
	case len(a.scratch) > maxState+len(`""`):
		lose("a state of more than 255 characters")
		return
	case a.again(r):
		lose("another reading has its id")
		return
	}
	c, known := a.classOf(r)
	if !known && r.Unit != obis.UnitUnknown {
		a.lost = append(a.lost, mapping.Loss{Index: i, Reason: "Home Assistant has no unit " + strconv.Quote(r.Unit.String())})
	}
	if infinite(r.Value) {
		a.lost = append(a.lost, mapping.Loss{Index: i, Reason: "not a finite number"})
	}
	if _, ok := r.Start.Instant(a.data.Clock); !ok && !r.Start.IsZero() {
		a.lost = append(a.lost, mapping.Loss{Index: i, Reason: "the start of its interval, which is no instant"})
	}
	if reason := timeLost(r.Time, a.data.Clock); reason != "" {
		a.lost = append(a.lost, mapping.Loss{Index: i, Reason: reason})
	}
	if len(a.states) > 0 {
		a.config = append(a.config, ',')
	}
	a.states = append(a.states, i)
	a.config = append(a.appendSensor(a.config, r, c), '}')
}

// again reports whether another reading has the sensor of a reading.
func (a *announcement) again(r *obis.Reading) bool {
	if r.Code.Valid() {
		was := a.codes[r.Code]
		a.codes[r.Code] = true
		return was
	}
	object := string(a.appendObject(nil, r))
	was := a.raw[object]
	a.raw[object] = true
	return was
}

// appendObject appends the id of a sensor: "meter_abc1_1_0_1_8_0_255".
func (a *announcement) appendObject(dst []byte, r *obis.Reading) []byte {
	dst = append(append(dst, a.device...), '_')
	if !r.Code.Valid() {
		start := len(dst)
		if dst = appendSlug(dst, obis.RawIDText(r.RawID)); len(bytes.Trim(dst[start:], "0123456789_")) == 0 {
			dst = append(dst, "_raw"...) // it looks like a code
		}
		return dst
	}
	for i, g := range r.Code {
		if i > 0 {
			dst = append(dst, '_')
		}
		dst = strconv.AppendUint(dst, uint64(g), 10)
	}
	return dst
}

// appendSensor appends the description of a sensor, but for the brace at its end.
func (a *announcement) appendSensor(dst []byte, r *obis.Reading, c deviceClass) []byte {
	dst = append(a.appendObject(append(dst, '"'), r), `":{"p":"sensor","name":"`...)
	start := len(dst)
	if dst = obis.AppendDescription(dst, r.Code); len(dst) == start {
		dst = jsontext.AppendString(dst[:start-1], r.ID())
	} else {
		dst = append(dst, '"')
	}
	dst = append(a.appendObject(append(dst, `,"unique_id":"`...), r), `","default_entity_id":"sensor.`...)
	dst = append(a.appendObject(dst, r), `","state_topic":`...)
	dst = append(a.appendTopic(dst, r), `,"value_template":"{{ value_json.value }}","json_attributes_topic":`...)
	dst = a.appendTopic(dst, r)
	dst = append(dst, `,"json_attributes_template":"{{ {'quality': value_json.quality | default('good')} | tojson }}"`...)
	switch {
	case r.Value.Kind() == obis.KindTime:
		if at, _ := r.Value.Time(); a.isInstant(at) {
			return append(dst, `,"device_class":"timestamp"`...)
		}
		return dst
	case !numeric(r.Value) && !(r.Value.IsNone() && r.Unit != obis.UnitUnknown), r.Value.Kind() == obis.KindEnum:
		return dst
	}
	for _, f := range [...]struct{ name, text string }{{"state_class", a.stateClass(r, c)}, {"device_class", c.class}, {"unit_of_measurement", c.unitName}} {
		if f.text != "" {
			dst = append(append(append(append(append(dst, `,"`...), f.name...), `":"`...), f.text...), '"')
		}
	}
	return dst
}

// appendTopic appends the topic of the state of a reading as a JSON string.
func (a *announcement) appendTopic(dst []byte, r *obis.Reading) []byte {
	start := len(dst)
	dst = AppendStateTopic(append(dst, '"'), a.base, a.data.Meter, r)
	if bytes.ContainsAny(dst[start+1:], "\"\\") {
		return jsontext.AppendString(dst[:start], string(dst[start+1:]))
	}
	return append(dst, '"')
}

// sums are the device classes that Home Assistant lets be a sum only.
var sums = []string{"energy", "reactive_energy", "gas", "water", "volume"}

// stateClass returns what statistics Home Assistant may make. A sum that starts
// anew, and a stored one, has none: no statistics are better than wrong ones.
func (a *announcement) stateClass(r *obis.Reading, c deviceClass) string {
	summed := slices.Contains(sums, c.class)
	switch {
	case r.Unit == obis.UnitUnknown, r.Code[2] == 0 && r.Code.Valid(), identity.Match(r.Code): // no measurements: ids, settings
		return ""
	case !summed && c.class != "" && c.class != "weight": // whatever the code says
		return "measurement"
	case a.register(r):
		return "total_increasing"
	case r.Code.Direction() == obis.Net && r.Code[3] == 8 && r.Code[5] == obis.FCurrent:
		return "total"
	case summed, c.unitName == "VAh":
		return ""
	}
	return "measurement"
}

// identity is what meters say of themselves.
var identity = obis.Pattern{Lo: obis.Code{0, 0, 96, 1, 0, 0}, Hi: obis.Code{255, 255, 96, 2, 255, 255}}

// register reports whether a reading counts upwards for ever. The reading of an
// M-Bus device does where it is known to be a volume or an energy.
func (a *announcement) register(r *obis.Reading) bool {
	if _, known := a.media[r.Code[1]]; !known || !meterReading.Match(r.Code) {
		return r.Code.Cumulative()
	}
	switch r.Unit.Quantity() {
	case "volume", "active energy", "energy":
		return true
	}
	return false
}

// meterReading is what DSMR meters show of an M-Bus device, and deviceType what device that is.
var (
	meterReading = obis.Pattern{Lo: obis.Code{0, 1, 24, 2, 1, 255}, Hi: obis.Code{0, 64, 24, 2, 1, 255}}
	deviceType   = obis.Pattern{Lo: obis.Code{0, 1, 24, 1, 0, 255}, Hi: obis.Code{0, 64, 24, 1, 0, 255}}
)

// mbusMedia are the device types of EN 13757-3 that are a medium of Home Assistant's.
var mbusMedia = map[int64]obis.Medium{
	0x02: obis.Electricity, 0x03: obis.Gas, 0x04: obis.Heat, 0x0A: obis.Cooling, 0x0B: obis.Cooling, 0x0C: obis.Heat,
	0x06: obis.HotWater, 0x07: obis.Water, 0x15: obis.HotWater, 0x16: obis.Water,
}

// media returns the medium of each channel whose device type a reading says.
func media(readings []obis.Reading) map[uint8]obis.Medium {
	list := map[uint8]obis.Medium{}
	for i := range readings {
		r := &readings[i]
		if !deviceType.Match(r.Code) {
			continue
		}
		n, exp, ok := r.Value.Decimal()
		if text, isText := r.Value.Bytes(); isText {
			parsed, err := strconv.ParseInt(string(text), 10, 8)
			n, exp, ok = parsed, 0, err == nil
		}
		if m, known := mbusMedia[n]; ok && exp == 0 && known {
			list[r.Code[1]] = m
		}
	}
	return list
}

func (a *announcement) isInstant(t obis.Time) bool {
	_, ok := t.Instant(a.data.Clock)
	return ok
}

// appendValue appends the state of a sensor as JSON.
func (a *announcement) appendValue(dst []byte, r *obis.Reading) []byte {
	t, timed := r.Value.Time()
	switch {
	case r.Value.IsNone(), infinite(r.Value), r.Quality.Flags&(obis.Invalid|obis.Missing) != 0:
		return append(dst, "null"...)
	case timed:
		if at, ok := t.Instant(a.data.Clock); ok {
			return appendTime(dst, at)
		}
	case numeric(r.Value):
		return r.Value.Append(dst)
	}
	return jsontext.AppendString(dst, text(r.Value))
}

// appendState appends the state message of a reading.
func (a *announcement) appendState(dst []byte, r *obis.Reading) []byte {
	dst = a.appendValue(append(dst, `{"value":`...), r)
	if start, ok := r.Start.Instant(a.data.Clock); ok {
		dst = appendTime(append(dst, `,"start":`...), start)
	}
	if at, ok := r.Time.Instant(a.data.Clock); ok {
		dst = appendTime(append(dst, `,"time":`...), at)
	} else if !a.data.Received.IsZero() {
		dst = appendTime(append(dst, `,"received":`...), a.data.Received)
	}
	if r.Quality.Flags != 0 {
		dst = jsontext.AppendString(append(dst, `,"quality":`...), r.Quality.Flags.String())
	}
	return append(dst, '}')
}

func appendTime(dst []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
}

func appendDevice(dst []byte, m obis.Meter, id string) []byte {
	dst = append(append(append(dst, `{"ids":["`...), id...), `"]`...)
	for _, f := range [...]struct{ name, text string }{
		{"name", strings.TrimSpace("Meter " + m.ID)}, {"mf", m.Manufacturer}, {"mdl", m.Model}, {"sn", m.Serial}, {"sw", m.Firmware},
	} {
		if f.text != "" {
			dst = jsontext.AppendString(append(append(append(dst, `,"`...), f.name...), `":`...), f.text)
		}
	}
	return append(dst, '}')
}

func (a *announcement) classOf(r *obis.Reading) (deviceClass, bool) {
	own := r.Code.Medium()
	if of, known := a.media[r.Code[1]]; known && r.Code[0] == 0 {
		own = of
	} else if own == obis.Abstract || !r.Code.Valid() {
		own = a.data.Meter.Medium
	}
	for _, c := range deviceClasses() {
		if c.unit == r.Unit && (c.medium == "" || c.medium == own.String()) && (len(c.codes) == 0 || slices.ContainsFunc(c.codes, func(p obis.Pattern) bool { return p.Match(r.Code) })) {
			return c, true
		}
	}
	return deviceClass{}, false
}
