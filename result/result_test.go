package result

import (
	"encoding/json"
	"strconv"
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
		Protocol: "mbus",
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
		Sources:  []Source{&textSource{[]byte(`{"storage":0}`)}},
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
		{"raw_id":"1-1:30D","value":"Grüße","kind":"latin-1","quality":["good"],"rule":"none","source":{"storage":0}},
		{"raw_id":"0x0c7f","value":"0xdead","quality":["good"],"rule":"none","source":{"storage":0}},
		{"obis":"0-0:97.97.0*255","name":"error register","value":"0b101","quality":["good"],"rule":"transmitted","source":{"storage":0}},
		{"obis":"1-0:1.6.0*255","name":"active power import, maximum","value":5,"unit":"W","start":"2026-11-20T12:00:00Z","end":"2026-11-20T12:00:00Z","quality":["good"],"rule":"declared","source":{"storage":0}},
		{"obis":"1-0:32.7.0*255","name":"voltage L1","value":null,"unit":"V","quality":["missing"],"rule":"declared","source":{"storage":0}},
		{"obis":"1-0:31.7.0*255","name":"current L1","value":null,"kind":"nan","unit":"A","quality":["good"],"rule":"none","source":{"storage":0}},
		{"obis":"0-0:1.0.0*255","name":"clock","value":"2026-01-02T03:04:05","quality":["good"],"rule":"none","source":{"storage":0}}],
		"events":[{"log":"0-0:99.98.0*255","id":7,"time":"2026-11-20T12:00:00Z","text":"power down","quality":["good"]}],
		"profiles":[{"obis":"1-0:99.1.0*255","period_s":900,"columns":[{"obis":"1-0:1.29.0*255","name":"active energy import, in recording interval 1","unit":"Wh"},{"raw_id":"0x01fd"}],
		"rows":[["2026-11-20T12:00:00Z","good",12.5,"x"],["2026-11-20T12:15:00","power-down,dst",null,3]]}],
		"warnings":[]}`, string(doc))
	require.Contains(t, string(doc), `"value":1234500,`, "digits as they are, no float")

	var back Result
	require.NoError(t, json.Unmarshal(doc, &back))
	again, err := json.Marshal(&back)
	require.NoError(t, err)
	require.Equal(t, string(doc), string(again))
}

func TestCloneOwns(t *testing.T) {
	r := sample()
	r.Events[0].Params = []obis.Reading{{RawID: []byte("p"), Value: obis.Text([]byte("q"))}}
	r.Sources = []Source{nil, r.Sources[0], nil, &textSource{[]byte(`{"storage":1}`)}}
	r.Readings[1].Source = 1
	doc := string(r.AppendJSON(nil))
	c := r.Clone()
	require.Equal(t, doc, string(r.AppendJSON(nil)))
	for _, list := range [][]obis.Reading{r.Readings, r.Events[0].Params} {
		for i := range list {
			clear(list[i].RawID)
			text, _ := list[i].Value.Bytes()
			clear(text)
		}
	}
	for _, s := range r.Sources {
		if text, ok := s.(*textSource); ok {
			clear(text.text)
		}
	}
	require.Equal(t, doc, string(c.AppendJSON(nil)))
	require.Equal(t, doc, string(c.Detach().AppendJSON(nil)))
	require.Empty(t, c.Readings)
}

// pairSource stands for the sources of which a protocol has a list.
type pairSource struct{ n int }

func (s *pairSource) AppendJSON(dst []byte) []byte { return strconv.AppendInt(dst, int64(s.n), 10) }
func (*pairSource) Clone(list []Source) int        { return len(Copies[*pairSource](list)) }

func TestCopies(t *testing.T) {
	given := []Source{&pairSource{1}, nil, &pairSource{3}, &textSource{[]byte("4")}, &pairSource{5}}
	c := (&Result{Sources: given}).Clone()
	for _, s := range given {
		if p, ok := s.(*pairSource); ok {
			p.n = 0
		}
	}
	require.Equal(t, []Source{&pairSource{1}, nil, &pairSource{3}, &textSource{[]byte("4")}, &pairSource{5}}, c.Sources)
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
