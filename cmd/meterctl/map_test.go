package main

import (
	"encoding/json"
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
					if slices.ContainsFunc(lost, func(l mapping.Loss) bool { return l.Part == mapping.Reading && (l.Index == i || slices.Contains(l.More, i)) }) {
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
