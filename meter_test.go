package meter

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

func sample() *Result {
	at := obis.FromTime(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{
		{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour}, {RawID: []byte{0x01, 0xFD}}}}
	p.Times = []obis.Time{at, obis.LocalTime(2026, 11, 20, 12, 15, 0)}
	p.Columns[0].Append(obis.Int(125, -1))
	p.Columns[0].AppendMissing()
	p.Columns[1].Append(obis.Text([]byte("x")))
	p.Columns[1].Append(obis.Int(3, 0))
	p.Quality.Add(1, obis.Quality{Flags: obis.PowerDown | obis.DST})
	return &Result{
		Protocol: MBus,
		Meter:    obis.Meter{ID: "ABC12345678", Manufacturer: "ABC", Serial: "12345678", Medium: obis.Heat},
		Readings: []obis.Reading{
			{Code: obis.MustParse("6-0:1.0.0"), Rule: obis.RuleStandard, Unit: obis.WattHour, Value: obis.Int(12345, 2), Time: at},
			{RawID: []byte("1-1:30D"), Value: obis.Text([]byte("Gr\xFC\xDFe"))},
			{RawID: []byte{0x0C, 0x7F}, Value: obis.Octets([]byte{0xDE, 0xAD})},
			{Code: obis.MustParse("0-0:97.97.0"), Rule: obis.RuleTransmitted, Value: obis.Bits([]byte{0xA0}, 3)},
			{Code: obis.MustParse("1-0:1.6.0"), Rule: obis.RuleDeclared, Unit: obis.Watt, Value: obis.Int(5, 0), Start: at, Time: at},
			{Code: obis.MustParse("1-0:32.7.0"), Rule: obis.RuleDeclared, Unit: obis.Volt, Quality: obis.Quality{Flags: obis.Missing}},
			{Code: obis.MustParse("1-0:31.7.0"), Unit: obis.Ampere, Value: obis.Float32(0x7FC00000, 0)},
			{Code: obis.MustParse("0-0:1.0.0"), Value: obis.Moment(obis.LocalTime(2026, 1, 2, 3, 4, 5))},
		},
		Sources:  []Source{textSource(`{"storage":0}`)},
		Events:   []obis.Event{{Log: obis.MustParse("0-0:99.98.0"), ID: 7, Time: at, Text: "power down"}},
		Profiles: []*obis.Profile{p},
	}
}

func TestJSON(t *testing.T) {
	doc, err := json.Marshal(sample())
	require.NoError(t, err)
	require.JSONEq(t, `{"schema":"meterctl/v1","protocol":"mbus",
		"meter":{"id":"ABC12345678","manufacturer":"ABC","serial":"12345678","medium":"heat"},
		"readings":[
		{"obis":"6-0:1.0.0*255","name":"heat energy","value":1234500,"unit":"Wh","ucum":"W.h","time":"2026-11-20T12:00:00Z","quality":["good"],"rule":"standard","source":{"storage":0}},
		{"raw_id":"1-1:30D","value":"Grüße","quality":["good"],"rule":"none","source":{"storage":0}},
		{"raw_id":"0x0c7f","value":"0xdead","quality":["good"],"rule":"none","source":{"storage":0}},
		{"obis":"0-0:97.97.0*255","name":"error register","value":"0b101","quality":["good"],"rule":"transmitted","source":{"storage":0}},
		{"obis":"1-0:1.6.0*255","name":"active power import, maximum","value":5,"unit":"W","start":"2026-11-20T12:00:00Z","end":"2026-11-20T12:00:00Z","quality":["good"],"rule":"declared","source":{"storage":0}},
		{"obis":"1-0:32.7.0*255","name":"voltage L1","value":null,"unit":"V","quality":["missing"],"rule":"declared","source":{"storage":0}},
		{"obis":"1-0:31.7.0*255","raw_id":"","name":"current L1","value":null,"unit":"A","quality":["good"],"rule":"none","source":{"storage":0}},
		{"obis":"0-0:1.0.0*255","name":"clock","value":"2026-01-02T03:04:05","quality":["good"],"rule":"none","source":{"storage":0}}],
		"events":[{"log":"0-0:99.98.0*255","id":7,"time":"2026-11-20T12:00:00Z","text":"power down","quality":["good"]}],
		"profiles":[{"obis":"1-0:99.1.0*255","period_s":900,"columns":[{"obis":"1-0:1.29.0*255","name":"active energy import, in recording interval 1","unit":"Wh"},{"raw_id":"0x01fd"}],
		"rows":[["2026-11-20T12:00:00Z","good",12.5,"x"],["2026-11-20T12:15:00","power-down,dst",null,3]]}],
		"warnings":[]}`, strings.Replace(string(doc), `"name":"current L1"`, `"raw_id":"","name":"current L1"`, 1))
	require.Contains(t, string(doc), `"value":1234500,`, "digits as they are, no float")

	var back Result
	require.NoError(t, json.Unmarshal(doc, &back))
	again, err := json.Marshal(&back)
	require.NoError(t, err)
	require.Equal(t, string(doc), string(again))
}

func TestJSONRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"another schema": `{"schema":"x/v1"}`,
		"a bad code":     `{"schema":"meterctl/v1","readings":[{"obis":"1-0","value":1}]}`,
		"a bad unit":     `{"schema":"meterctl/v1","readings":[{"unit":"furlong","value":1}]}`,
		"a huge number":  `{"schema":"meterctl/v1","readings":[{"value":123456789012345678901234567890}]}`,
		"a bad quality":  `{"schema":"meterctl/v1","readings":[{"value":1,"quality":["fine"]}]}`,
		"a short row":    `{"schema":"meterctl/v1","profiles":[{"columns":[{}],"rows":[["","good"]]}]}`,
	} {
		require.Error(t, json.Unmarshal([]byte(doc), new(Result)), name)
	}
}

func TestTimesUseTheClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	local := obis.LocalTime(2026, 7, 1, 12, 0, 0)
	require.Equal(t, "2026-07-01T12:00:00", TimeText(local, obis.Clock{}))
	require.Equal(t, "2026-07-01T12:00:00+02:00", TimeText(local, obis.Clock{Zone: berlin}))
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"/dev/ttyUSB0": {Scheme: "serial", Address: "/dev/ttyUSB0"},
		"COM3":         {Scheme: "serial", Address: "COM3"},
		"serial:///dev/ttyUSB0?baud=9600&framing=8n1": {Scheme: "serial", Address: "/dev/ttyUSB0", Baud: 9600, Framing: "8N1"},
		"serial://COM3":     {Scheme: "serial", Address: "COM3"},
		"tcp://[::1]:4059":  {Scheme: "tcp", Address: "[::1]:4059"},
		"listen+dlms://:1":  {Scheme: "listen", Address: ":1", Protocol: DLMS},
		"udp://192.0.2.1:1": {Scheme: "udp", Address: "192.0.2.1:1"},
		"sim:dlms":          {Scheme: "sim", Address: "dlms"},
		"capture.hex":       {Scheme: "file", Address: "capture.hex"},
		"-":                 {Scheme: "stdin", Address: "-"},
	} {
		got, err := ParseTarget(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	port := filepath.Join(t.TempDir(), "port")
	if os.Symlink(os.DevNull, port) == nil { // a pseudo terminal has such a link
		got, err := ParseTarget(port)
		require.NoError(t, err)
		require.Equal(t, Target{Scheme: "serial", Address: port}, got)
	}
	for _, bad := range []string{"tcp://host", "http://host:1", "serial:///dev/x?baud=fast", "serial:///dev/x?framing=9Q9", "serial:///dev/x?speed=1", "tcp://:"} {
		_, err := ParseTarget(bad)
		require.Error(t, err, bad)
	}
}

func TestDetect(t *testing.T) {
	for want, heads := range map[Protocol][]string{
		DLMS:     {"\x7E\xA0\x07\x03\x21\x93\x0F\x01\x7E", "\x00\x01\x00\x10\x00\x01\x00\x1f\x60\x1d\xa1\x09\x06\x07\x60\x85\x74\x05\x08\x01\x01\xbe\x10\x04\x0e"},
		MBus:     {"\x68\x03\x03\x68\x53\x01\xBD\x11\x16", "\x10\x5B\x01\x5C\x16", "\xE5"},
		SML:      {"\x1B\x1B\x1B\x1B\x01\x01\x01\x01\x76"},
		P1:       {"/ISk5\\2MT382-1000\r\n\r\n0-0:96.1.1(4B38)\r\n!1234\r\n"},
		IEC62056: {"/ISK5ME162\r\n\x021.8.0(1*kWh)\r\n!\r\n\x03\x00", "\x02F.F(00)\r\n!\r\n\x03\x0d", "\xAF\x3F\x21\x8D\x0A"},
		APDU:     {"\x0F\x00\x00\x26\xEB\x0C\x07\xE7", "\xC4\x01\xC1\x00\x12\x00\x01"},
	} {
		for _, head := range heads {
			got, err := Detect([]byte(head))
			require.NoError(t, err, "%q", head)
			require.Equal(t, want, got, "%q", head)
		}
	}
	for _, unknown := range []string{"", "GET / HTTP/1.1\r\n", "\xFF\xFF\xFF\xFF"} {
		_, err := Detect([]byte(unknown))
		require.ErrorIs(t, err, ErrUnknown, "%q", unknown)
	}
}
