package ngsild

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Whatever a meter says, the entities are JSON with ids of their own, their numbers are
// those that the schemas allow, and each reading is in one of them or its loss is said.
func TestAnyReadings(t *testing.T) {
	var codes []string
	for _, r := range builtin().Rules {
		c := r.Codes[0].Lo
		c[1] = 0
		codes = append(codes, c.String())
	}
	for _, d := range differences() {
		for _, p := range []obis.Pattern{d.plus, d.minus} {
			c := p.Lo
			c[1] = 1
			codes = append(codes, c.String())
		}
	}
	units := []obis.Unit{obis.UnitUnknown, obis.Count, obis.Percent, obis.Volt, obis.Ampere, obis.Watt, obis.Var, obis.WattHour, obis.Hertz, obis.CubicMetre, obis.Litre, obis.HCAUnit}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 6))
		d := &mapping.Data{Meter: obis.Meter{ID: "M \"1"}}
		if r.IntN(2) == 0 {
			d.Received = time.Unix(1.7e9, 0)
		}
		for range 30 {
			x := obis.Reading{Unit: units[r.IntN(len(units))], Quality: obis.Quality{Flags: obis.Flags(r.IntN(8))}}
			if r.IntN(5) > 0 {
				x.Code = obis.MustParse(codes[r.IntN(len(codes))])
			} else if r.IntN(3) > 0 {
				x.RawID = []byte{'r', byte('?' + r.IntN(60)), '"'}
			}
			x.Value = []obis.Value{{}, obis.Int(r.Int64N(4000)-1000, int8(r.IntN(7)-4)), obis.Float32(uint32(r.Uint64()), 0), obis.Float64(math.Float64bits(-0.5), 0), obis.Text([]byte("a\"\\\xE9")), obis.Bool(true)}[r.IntN(6)]
			x.Time = []obis.Time{{}, obis.FromTime(time.Unix(1.7e9+int64(r.IntN(2)), 0)), obis.LocalTime(2026, 1, 1, 0, 0, 0)}[r.IntN(3)]
			x.Start = []obis.Time{{}, {}, obis.FromTime(time.Unix(1.6e9, 0)), obis.LocalTime(2026, 1, 1, 0, 0, 0)}[r.IntN(4)]
			d.Readings = append(d.Readings, x)
		}
		out, lost := Append(nil, d, nil)
		var entities []map[string]any
		require.NoError(t, json.Unmarshal(out, &entities), "%s", out)
		ids := map[any]bool{}
		for _, e := range entities {
			require.False(t, ids[e["id"]], "seed %d: %v twice", seed, e["id"])
			ids[e["id"]] = true
			for name, p := range e {
				l, limited := limits()[name]
				property, ok := p.(map[string]any)
				if !limited || !ok {
					continue
				}
				values := []any{property["value"]}
				if members, phases := values[0].(map[string]any); phases {
					values = values[:0]
					for _, v := range members {
						values = append(values, v)
					}
				}
				for _, v := range values {
					f := v.(float64)
					require.True(t, l.min <= f && f <= l.max && (!l.integer || f == math.Trunc(f)), "seed %d: %s %v", seed, name, f)
				}
			}
		}
		said := map[int]bool{}
		for _, l := range lost {
			said[l.Index] = true
			for _, i := range l.More {
				said[i] = true
			}
		}
		text := string(out)
		for i := range d.Readings {
			id, _ := json.Marshal(d.Readings[i].ID())
			require.True(t, said[i] || strings.Contains(text, string(id)), fmt.Sprintf("seed %d: %s is nowhere", seed, id))
		}
	}
}
