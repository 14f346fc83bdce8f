package timeseries

import (
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// anyReading returns a reading of any kind: often of codes and units that belong together, sometimes of none.
func anyReading(r *rand.Rand) obis.Reading {
	codes := []string{"1-0:1.8.0", "1-0:1.8.1", "1-0:21.8.2", "1-0:16.8.0", "1-0:1.7.0", "1-0:32.7.0", "1-0:32.7.3", "1-0:32.32.11", "1-0:124.7.0", "1-0:85.7.0", "1-0:1.29.0",
		"0-1:24.2.1", "7-0:3.1.2", "7-0:47.0.0", "6-0:12.0.0", "8-0:1.0.0", "4-0:1.0.0", "0-0:96.8.1", "0-0:0.1.0", "1-0:1.8.0*3", "1-0:1.8.0*101", "1-65:200.3.1"}
	values := []obis.Value{{}, obis.Int(r.Int64N(1000)-200, int8(r.IntN(9)-5)), obis.Uint(1<<63, 0), obis.Float32(uint32(r.Uint64()), 0), obis.Float64(r.Uint64(), 0), obis.Bool(true),
		obis.Enum(3), obis.Text([]byte("a\"b\\\n,= é\xE9")), obis.Octets([]byte{1, 2}), obis.Bits([]byte{5}, 7), obis.Moment(utc(2026, 1, 1, 0, 0, 0)), obis.Tree([]byte{0})}
	times := []obis.Time{{}, utc(2026, 11, 20, 12, r.IntN(3), 0), obis.LocalTime(2026, 10, 25, 2, 30, 0), obis.Relative(5), obis.LocalTime(2026, 2, 31, 0, 0, 0)}
	x := obis.Reading{Unit: obis.Unit(r.IntN(60)), Value: values[r.IntN(len(values))], Time: times[r.IntN(len(times))], Quality: obis.Quality{Flags: obis.Flags(r.IntN(16))}}
	if r.IntN(4) > 0 {
		x.Code = obis.MustParse(codes[r.IntN(len(codes))])
	}
	if r.IntN(3) == 0 {
		x.RawID = []byte([]string{"A.1", "a 1", "x\ny", "\x01\x02"}[r.IntN(4)])
	}
	if r.IntN(4) == 0 {
		x.Start = times[r.IntN(len(times))]
	}
	return x
}

// Whatever meters say, the exposition has each metric and each series once, the JSON
// is JSON, lines are lines, and each reading is there or its loss is said.
func TestAnyReadings(t *testing.T) {
	sampleLine := regexp.MustCompile(`^meter[a-z0-9_]*(\{([a-z_]+="([^"\\]|\\["\\n])*",?)*\})? [-+0-9.eE]+$`)
	fluxLine := regexp.MustCompile(`^meter(,[a-z_]+=([^ ,=\\]|\\[ ,=])+)* (value=[-+0-9.eE]+|text="([^"\\]|\\["\\])*")(,quality="[a-z,-]+")?(,start=-?[0-9]+i)?(,received=true)?( -?[0-9]+)?$`)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		var list []*mapping.Data
		for _, id := range []string{"M1", "M 2,\"", "M1"} {
			d := &mapping.Data{Meter: obis.Meter{ID: id}}
			if r.IntN(2) == 0 {
				d.Received = time.Unix(1.7e9, 5).UTC()
			}
			for range 12 {
				d.Readings = append(d.Readings, anyReading(r))
			}
			list = append(list, d)
		}
		text, lost := AppendPrometheus(nil, list...)
		seen, samples := map[string]bool{}, 0
		for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			switch {
			case line == "":
				continue
			case strings.HasPrefix(line, "# "):
				line = strings.Join(strings.Fields(line)[:3], " ")
			default:
				require.Regexp(t, sampleLine, line)
				line = line[:strings.LastIndexByte(line, ' ')]
				if !strings.HasPrefix(line, "meter_quality") && !strings.Contains(line, "_timestamp_seconds") {
					samples++
				}
			}
			require.False(t, seen[line], "seed %d: %s twice", seed, line)
			seen[line] = true
		}
		gone := 0
		for _, l := range lost {
			if !strings.HasPrefix(l.Reason, "its time") && !strings.HasPrefix(l.Reason, "the start") && l.Reason != digitsLost && l.Reason != lineEndsLost {
				gone += 1 + len(l.More)
			}
		}
		require.Equal(t, 36, samples+gone, "seed %d: %v", seed, lost)
		for _, d := range list {
			lines, lost := AppendInflux(nil, d)
			n := 0
			for _, line := range strings.Split(strings.TrimSuffix(string(lines), "\n"), "\n") {
				if line != "" {
					require.Regexp(t, fluxLine, line)
					n++
				}
			}
			for _, l := range lost {
				if !strings.HasPrefix(l.Reason, "its time") && !strings.HasPrefix(l.Reason, "the start") && l.Reason != digitsLost && l.Reason != lineEndsLost {
					n += 1 + len(l.More)
				}
			}
			require.Equal(t, len(d.Readings), n, "seed %d: %v", seed, lost)
			messages, refused := 0, 0
			ha := HomeAssistant(d, "base", func(topic, payload []byte) {
				require.True(t, json.Valid(payload), "%s", payload)
				require.NotContains(t, string(topic), " ")
				messages++
			})
			for _, l := range ha {
				if l.Reason == "no id" || l.Reason == "another reading has its id" || strings.HasPrefix(l.Reason, "a state") {
					refused += 1 + len(l.More)
				}
			}
			require.Equal(t, len(d.Readings)+1, messages+refused, "seed %d: %v", seed, ha)
		}
	}
}
