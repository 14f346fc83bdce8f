package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

const mapInput = `{"schema":"meterctl/v1","meter":{"id":"ABC1","medium":"electricity"},"readings":[
{"obis":"1-0:1.8.0*255","value":1234500,"unit":"Wh","time":"2026-11-20T12:00:00Z","quality":["estimated"],"rule":"standard"},
{"obis":"0-0:96.1.0*255","value":"12345","quality":["good"],"rule":"standard"}],"events":[],"profiles":[],"warnings":[]}`

// Documents that can be read come back as what they were made of.
func TestMapThereAndBack(t *testing.T) {
	for _, kind := range names(mapSources) {
		t.Run(kind, func(t *testing.T) {
			doc := run(t, mapInput, "map", "--to", kind)
			require.Zero(t, doc.exit, doc.stderr)
			back := run(t, doc.stdout, "map", "--from", kind, "--to", "json")
			require.Zero(t, back.exit, back.stderr)
			var r meter.Result
			require.NoError(t, json.Unmarshal([]byte(back.stdout), &r))
			require.Equal(t, "1-0:1.8.0*255", r.Readings[0].Code.String())
			require.Equal(t, "1234500", r.Readings[0].Value.String())
			require.Equal(t, "Wh", r.Readings[0].Unit.String())
			require.Equal(t, "2026-11-20T12:00:00Z", r.Readings[0].Time.String())
		})
	}
}

func TestMapSaysWhatIsLost(t *testing.T) {
	out := run(t, mapInput, "map", "--to", "cim")
	require.Zero(t, out.exit)
	require.Contains(t, out.stderr, "not carried: reading 1: CIM has no reading type for it in \"\" (0-0:96.1.0*255)")
	require.Contains(t, run(t, mapInput, "map", "--to", "prom").stderr, "reading 1: not a number")
}

// What meterctl read goes through map as it is, with when it came and what the meter said.
func TestMapKeepsResults(t *testing.T) {
	for _, target := range []string{"sim:dlms", "sim:mbus", "sim:p1", "sim:iec62056"} {
		read := run(t, "", "read", target, "-o", "json")
		require.Zero(t, read.exit, read.stderr)
		require.Contains(t, read.stdout, `"received": "20`)
		again := run(t, read.stdout, "map", "--to", "json")
		require.Zero(t, again.exit, again.stderr)
		require.Equal(t, read.stdout, again.stdout)
	}
	profile := run(t, "", "profile", "sim:iec62056", "-o", "json")
	require.Zero(t, profile.exit, profile.stderr)
	require.Equal(t, profile.stdout, run(t, profile.stdout, "map", "--to", "json").stdout)
	wide := run(t, "", "decode", "-o", "json", "681f1f6808017278563412931533032a2341772c04151630128d4495130569011102030d16")
	require.Zero(t, wide.exit, wide.stderr)
	require.Equal(t, wide.stdout, run(t, wide.stdout, "map", "--to", "json").stdout)
}

// Whoever asks for a document gets told where it has nothing.
func TestMapToNothing(t *testing.T) {
	doc := `{"schema":"meterctl/v1","meter":{"id":"A"},"readings":[{"obis":"0-0:96.1.0*255","value":"text"}]}`
	got := run(t, doc, "map", "--to", "prom")
	require.Equal(t, exitPartial, got.exit)
	require.Contains(t, got.stderr, "nothing of it")
	require.Equal(t, exitPartial, run(t, "", "profile", "sim:dlms", "-o", "prom").exit)
	influx := run(t, "", "profile", "sim:dlms", "-o", "influx")
	require.Zero(t, influx.exit, influx.stderr)
	require.NotEmpty(t, influx.stdout)
	require.Zero(t, run(t, `{"schema":"meterctl/v1"}`, "map", "--to", "influx").exit)
}

// The hour that comes twice is told apart by what the meter said, also behind the pipe.
func TestMapZone(t *testing.T) {
	telegram := filepath.Join(t.TempDir(), "p1")
	require.NoError(t, os.WriteFile(telegram, []byte("/ISK5\\2M550T-1012\r\n\r\n0-0:1.0.0(261025023000S)\r\n0-1:24.1.0(003)\r\n0-1:24.2.1(261025023000W)(1.0*m3)\r\n!\r\n"), 0o600))
	doc := run(t, "", "decode", "--protocol", "p1", "-o", "json", telegram).stdout
	require.Contains(t, doc, `"dst": true`)
	require.Contains(t, doc, `"dst": false`)
	zoned := run(t, doc, "map", "--to", "json", "--tz", "Europe/Berlin")
	require.Zero(t, zoned.exit, zoned.stderr)
	require.Contains(t, zoned.stdout, `"value": "2026-10-25T02:30:00+02:00"`)
	require.Contains(t, zoned.stdout, `"time": "2026-10-25T02:30:00+01:00"`)
	require.Equal(t, exitUsage, run(t, doc, "map", "--to", "json", "--tz", "Nowhere/Land").exit)
}

// Each result is mapped when it comes, not when the last one has.
func TestMapStreams(t *testing.T) {
	in, feed := io.Pipe()
	out, printed := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan int)
	go func() {
		a := &app{stdin: in, stdout: printed, stderr: &stderr}
		done <- a.run(t.Context(), []string{"map", "--to", "influx"})
		_ = printed.Close()
	}()
	lines := bufio.NewScanner(out)
	for range 3 {
		_, err := io.WriteString(feed, strings.ReplaceAll(mapInput, "\n", "")+"\n")
		require.NoError(t, err)
		require.True(t, lines.Scan(), stderr.String())
		require.Contains(t, lines.Text(), "1234500")
		require.True(t, lines.Scan()) // the text
	}
	require.NoError(t, feed.Close())
	require.Equal(t, exitOK, <-done)
}

func TestMapRules(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules.csv")
	require.NoError(t, os.WriteFile(rules, []byte("obis,type,unit\n1-0:1.8.0,0.0.0.1.1.1.12.0.0.0.0.0.0.7.0.0.U.0,\n"), 0o600))
	out := run(t, mapInput, "map", "--to", "cim", "--rules", rules)
	require.Zero(t, out.exit, out.stderr)
	require.Contains(t, out.stdout, `ref="0.0.0.1.1.1.12.0.0.0.0.0.0.7.0.0.72.0"`)
	require.NoError(t, os.WriteFile(rules, []byte("obis,type\n"), 0o600))
	require.Equal(t, exitConfig, run(t, mapInput, "map", "--to", "cim", "--rules", rules).exit)
}

func TestMapRefuses(t *testing.T) {
	require.Equal(t, exitUsage, run(t, mapInput, "map", "--to", "morse").exit)
	require.Equal(t, exitUsage, run(t, mapInput, "map", "--to", "cim", "--from", "morse").exit)
	require.Equal(t, exitFrame, run(t, "{}", "map", "--to", "cim").exit)
	require.Equal(t, exitFrame, run(t, strings.Repeat("<", 9), "map", "--from", "cim", "--to", "json").exit)
}

// Whatever a mapping does not name as lost comes back as it was.
func TestMapIdentityMinusLoss(t *testing.T) {
	list, err := samples()
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	for _, kind := range names(mapSources) {
		t.Run(kind, func(t *testing.T) {
			carried := 0
			for range 300 {
				d := &mapping.Data{Meter: obis.Meter{ID: "ABC1", Medium: obis.Electricity}}
				for _, i := range random.Perm(len(list))[:5] {
					r := list[i]
					if _, _, number := r.Value.Decimal(); number && random.IntN(2) == 0 {
						r.Value = obis.Int(random.Int64N(1<<40)-1<<39, int8(random.IntN(7)-4))
					}
					if random.IntN(4) == 0 {
						r.Quality.Flags = 1 << random.IntN(30)
					}
					if random.IntN(4) == 0 {
						r.Time = obis.Time{}
					}
					if random.IntN(20) == 0 {
						r.Value = obis.Value{}
					}
					d.Readings = append(d.Readings, r)
				}
				doc, lost, err := mapTargets[kind]([]*mapping.Data{d}, nil)
				require.NoError(t, err)
				back, unread, err := mapSources[kind](doc, nil)
				require.NoError(t, err, "%s", doc)
				require.Empty(t, unread)
				for i, r := range d.Readings {
					if slices.ContainsFunc(lost, func(l mapping.Loss) bool {
						return l.Part == mapping.Reading && (l.Index == i || slices.Contains(l.More, i))
					}) {
						continue
					}
					require.True(t, slices.ContainsFunc(back, func(b *mapping.Data) bool {
						return slices.ContainsFunc(b.Readings, func(o obis.Reading) bool { return same(&r, &o) })
					}), "%v in %s", r, doc)
					carried++
				}
			}
			require.Greater(t, carried, 300)
		})
	}
}

func same(a, b *obis.Reading) bool {
	at, ok1 := a.Time.Instant(obis.Clock{})
	other, ok2 := b.Time.Instant(obis.Clock{})
	unit := a.Unit == b.Unit || a.Unit == obis.Count && b.Unit == obis.UnitUnknown // a number without unit is one
	text := a.Value.String() == b.Value.String()                                   // a time is a text where the document has no times
	return a.Code == b.Code && unit && (a.Value.Equal(b.Value) || text) && ok1 == ok2 && at.Equal(other) && a.Quality.Flags == b.Quality.Flags
}

// A device is announced once, and again where it has changed; its states come each time.
func TestMapAnnouncesOnce(t *testing.T) {
	more := strings.Replace(mapInput, `"readings":[`, `"readings":[{"obis":"1-0:2.8.0*255","value":7,"unit":"Wh","quality":["good"]},`, 1)
	other := strings.Replace(mapInput, "ABC1", "ABC2", 1)
	out := run(t, mapInput+mapInput+other+more+more, "map", "--to", "homeassistant")
	require.Zero(t, out.exit, out.stderr)
	lines := strings.Split(strings.TrimSpace(out.stdout), "\n")
	var announced []int
	for i, line := range lines {
		require.True(t, json.Valid([]byte(line)), line)
		if strings.Contains(line, "homeassistant/device/") {
			announced = append(announced, i)
		}
	}
	require.Equal(t, []int{0, 5, 8}, announced)
	require.Len(t, lines, 3+2+3+4+3)
}

// Two meters are told apart in each document, and a result that cannot be read loses only itself.
func TestMapOfSeveralMeters(t *testing.T) {
	one := strings.ReplaceAll(mapInput, "\n", "")
	other := strings.ReplaceAll(strings.ReplaceAll(one, "ABC1", "XYZ2"), "1234500", "99")
	list := one + "\n" + other + "\n" + one + "\n"
	csv := run(t, list, "map", "--to", "csv")
	require.Zero(t, csv.exit, csv.stderr)
	require.Equal(t, 7, strings.Count(csv.stdout, "\n"), csv.stdout)
	require.Equal(t, 1, strings.Count(csv.stdout, "meter,obis"), csv.stdout)
	values := run(t, list, "map", "--to", "iec61850")
	require.Zero(t, values.exit, values.stderr)
	count := strings.Count(values.stdout, "METERMTR/LLN0.Mod.stVal")
	require.Equal(t, 2, count, "of the same meter, twice")
	require.Equal(t, 1, strings.Count(values.stdout, "METER2MTR/LLN0.Mod.stVal"))

	for name, doc := range map[string]string{
		"a number that has no room": one + "\n" + strings.ReplaceAll(other, "99", "1e99999") + "\n" + one,
		"a line that is cut off":    one + "\n" + one + "\n" + other[:len(other)/2],
	} {
		for _, to := range []string{"csv", "prom", "influx", "senml", "cim", "json"} {
			got := run(t, doc, "map", "--to", to)
			require.Equal(t, exitPartial, got.exit, "%s to %s: %s", name, to, got.stderr)
			require.Contains(t, got.stderr, "result ", "%s to %s", name, to)
			require.Contains(t, got.stdout, "123450", "%s to %s", name, to)
		}
	}
	require.Equal(t, exitFrame, run(t, "{", "map", "--to", "csv").exit)
}

// The readings of a stream are one table.
func TestCSVOfAStream(t *testing.T) {
	got := run(t, "", "watch", "sim:p1", "--count", "2", "--interval", "10ms", "-o", "csv")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.LessOrEqual(t, strings.Count(got.stdout, "meter,obis"), 2)
	got = run(t, "", "watch", "sim:dlms", "1.8.0", "--count", "3", "--interval", "10ms", "-o", "csv")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Equal(t, 1, strings.Count(got.stdout, "meter,obis"), got.stdout)
	require.Equal(t, 4, strings.Count(got.stdout, "\n"), got.stdout)
}
