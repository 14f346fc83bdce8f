package coap

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func sampleTree(t testing.TB) *Tree {
	d := sample()
	d.Events = []obis.Event{
		{Log: obis.MustParse("0-0:99.98.0"), ID: 47, Time: obis.FromTime(time.Unix(1795176000, 0).UTC()), Text: "cover \"opened\""},
		{ID: 3, Time: obis.LocalTime(2026, 1, 2, 3, 4, 5), Params: []obis.Reading{{}}, Quality: obis.Quality{Flags: obis.Test}},
	}
	tree, lost := NewTree(d, nil)
	require.Equal(t, "[reading 3: quality test not carried (1-1:30D) reading 4: SenML has no unit m3/h (6-0:9.0.0*255) reading 6: no value (0-0:97.97.1*255) event 1: its time, which is no instant, its parameters; quality test not carried]", fmt.Sprint(lost))
	return tree
}

func get(t testing.TB, tree *Tree, path string, f Format, query ...string) string {
	r, err := tree.Get(path, query, f)
	require.NoError(t, err, path)
	return string(r.Body)
}

func TestTree(t *testing.T) {
	tree := sampleTree(t)
	all, _ := AppendSenML(nil, &mapping.Data{Meter: tree.data.Meter, Readings: tree.data.Readings})
	require.Equal(t, string(all), get(t, tree, "/m", AnyFormat))
	cbor, _ := AppendSenMLCBOR(nil, &mapping.Data{Meter: tree.data.Meter, Readings: tree.data.Readings})
	require.Equal(t, string(cbor), get(t, tree, "/m", SenMLCBOR))
	for _, test := range []struct {
		path string
		f    Format
		want string
	}{
		{"/id", AnyFormat, `[{"bn":"ABC_1/","n":"id","vs":"ABC 1"}]`},
		{"/m/1-0:14.7.0", AnyFormat, `[{"bn":"ABC_1/","n":"1-0:14.7.0","u":"Hz","v":49.98}]`},
		{"/m/1-0:14.7.0", Text, "49.98"},
		{"/m/1-0:9.8.0_3", Text, "1.500"},
		{"/m/1-1:30D", Text, "true"},
		{"/m/1-1:30D", SenMLCBOR, "\x81\xa3\x21\x66ABC_1/\x00\x67" + "1-1:30D\x04\xf5"},
		{"/p", AnyFormat, `</p/1-0:99.1.0>;rt="meter.profile";if="core.rp";ct="110 112";title="load profile, 3 rows"`},
		{"/p/1-0:99.1.0", AnyFormat, `[{"bver":26,"bn":"ABC_1/","n":"1-0:99.1.0/1-0:1.8.0","u":"Wh","v":100,"t":1795176000},` +
			`{"n":"1-0:99.1.0/1-0:1.8.0","u":"Wh","v":110,"t":1795176900},{"n":"1-0:99.1.0/1-0:1.8.0","u":"Wh","v":120,"t":1795177800}]`},
		{"/e", AnyFormat, `[{"bn":"ABC_1/","n":"0-0:99.98.0/47","vs":"cover \"opened\"","t":1795176000},{"n":"log/3","vs":""}]`},
		{"/3331", AnyFormat, `[{"bn":"/3331/0/","n":"5700","v":1234500,"t":1795176000},{"n":"5701","vs":"Wh"},{"n":"5750","vs":"active energy import total 1-0:1.8.0*255"}]`},
		{"/3331/0/5700", SenMLJSON, `[{"bn":"/3331/0/","n":"5700","v":1234500,"t":1795176000}]`},
		{"/3331/0/5700", Text, "1234500"},
		{"/3331/0/5701", LwM2MTLV, "\xe2\x16\x45Wh"},
		{"/3305/0/5805", SenMLCBOR, "\x81\xa4\x21\x68/3305/0/\x00\x645805\x02\x1a\x00\x12\xd6\x44\x06\x1a\x6b\x00\x36\x40"},
	} {
		require.Equal(t, test.want, get(t, tree, test.path, test.f), "%s as %v", test.path, test.f)
	}
}

func TestTreeRefuses(t *testing.T) {
	tree := sampleTree(t)
	for _, test := range []struct {
		path, query string
		f           Format
		want        error
	}{
		{"/x", "", AnyFormat, ErrNotFound}, {"", "", AnyFormat, ErrNotFound}, {"/m/", "", AnyFormat, ErrNotFound},
		{"/m/6-0:9.0.0", "", AnyFormat, ErrNotFound}, {"/3305/0/5800/0", "", AnyFormat, ErrNotFound},
		{"/m", "", Text, ErrNotAcceptable}, {"/m", "", 50, ErrNotAcceptable}, {"/p", "", SenMLJSON, ErrNotAcceptable}, {wellKnown, "", SenMLJSON, ErrNotAcceptable},
		{wellKnown, "=x", AnyFormat, ErrBadRequest},
	} {
		var query []string
		if test.query != "" {
			query = []string{test.query}
		}
		_, err := tree.Get(test.path, query, test.f)
		require.ErrorIs(t, err, test.want, test.path)
	}
}

func TestWellKnown(t *testing.T) {
	tree := sampleTree(t)
	paths := func(query ...string) string {
		var list []string
		for link := range strings.SplitSeq(get(t, tree, wellKnown, AnyFormat, query...), ",</") {
			path, _, _ := strings.Cut(strings.TrimPrefix(link, "</"), ">")
			list = append(list, path)
		}
		return strings.Join(list, " ")
	}
	require.Equal(t, "id m m/0-0:96.1.0 m/0-0:97.97.0 m/1-0:1.8.0 m/1-0:14.7.0 m/1-0:9.8.0_3 m/1-1:30D p p/1-0:99.1.0 e 3305 3305/0 3331 3331/0 3421 3421/0 10243 10243/0 10257 10257/0", paths())
	require.Equal(t, "m", paths("rt=meter.readings"))
	require.Equal(t, "m m/0-0:96.1.0 m/0-0:97.97.0 m/1-0:1.8.0 m/1-0:14.7.0 m/1-0:9.8.0_3 m/1-1:30D", paths("rt=meter.reading*"))
	require.Equal(t, "m/1-0:1.8.0 m/1-0:14.7.0", paths("href=/m/1-0:1*"))
	require.Equal(t, "m/1-0:1.8.0", paths("href=/m/1-0:1*", "title=active*"))
	require.Equal(t, "p", paths("ct=40"))
	require.Equal(t, "3305 3331 3421 10243 10257", paths("rt=oma.lwm2m"))
	require.Contains(t, paths("obs"), "m m/0-0:96.1.0")
	require.NotContains(t, paths("obs"), "p/")
	require.Equal(t, "", paths("rt=none"))
	require.Equal(t, "", paths("sz"))
	require.Equal(t, "", paths("colour=red"))
	require.Contains(t, get(t, tree, wellKnown, LinkFormat), `</m/1-0:1.8.0>;rt="meter.reading";if="core.s";ct="110 112 0";obs;title="active energy import total"`)
	require.True(t, tree.Observable("/m/1-0:1.8.0"))
	require.False(t, tree.Observable("/p/1-0:99.1.0"))
	require.False(t, tree.Observable("/x"))
}

// Values of one name are told apart, not overwritten.
func TestSameName(t *testing.T) {
	tree, _ := NewTree(&mapping.Data{Readings: []obis.Reading{reading("1-0:1.8.0", obis.WattHour, 1, 0), reading("1-0:1.8.0", obis.WattHour, 2, 0)}}, nil)
	require.Equal(t, `[{"bver":26,"n":"1-0:1.8.0","u":"Wh","v":1},{"n":"1-0:1.8.0","u":"Wh","v":2}]`, get(t, tree, "/m/1-0:1.8.0", AnyFormat))
	require.Equal(t, "1\n2", get(t, tree, "/m/1-0:1.8.0", Text))
}

func TestTreeTogether(t *testing.T) {
	tree := sampleTree(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, l := range tree.Links() {
				for _, f := range l.Formats {
					_, _ = tree.Get(l.Path, nil, f)
				}
			}
		})
	}
	wg.Wait()
	one, err := tree.Get("/m", nil, SenMLJSON)
	require.NoError(t, err)
	two, _ := tree.Get("/m", nil, AnyFormat)
	require.Same(t, one, two)
	require.NotEqual(t, [8]byte{}, one.ETag)
}

func TestAppendLinks(t *testing.T) {
	require.Equal(t, `</a%20b%22,c>;rt="x y";ct=0;sz=9;title="say \"a\\b\" "`, string(AppendLinks(nil, []Link{{Path: `/a b",c`, Type: "x y", Formats: []Format{Text}, Size: 9, Title: "say \"a\\b\"\n"}})))
}

// A filtered list is a part of the whole, whatever the query.
func FuzzFilter(f *testing.F) {
	f.Add("rt=meter*")
	f.Add("href=/m/*")
	f.Add("obs")
	tree := sampleTree(f)
	all := tree.Links()
	f.Fuzz(func(t *testing.T, query string) {
		kept, err := filter(all, []string{query})
		if err != nil {
			require.ErrorIs(t, err, ErrBadRequest)
			return
		}
		for _, l := range kept {
			require.True(t, slices.ContainsFunc(all, func(m Link) bool { return m.Path == l.Path }))
		}
		again, err := filter(kept, []string{query})
		require.NoError(t, err)
		require.Equal(t, kept, again)
	})
}

// Readings cost no memory of their own, in either form: only the set of their names grows with them.
func TestPackAllocs(t *testing.T) {
	d := &mapping.Data{}
	for i := range 1000 {
		r := obis.Reading{Code: obis.Code{1, byte(i >> 7), byte(1 + i&0x7F), 8, 0, 255}, Unit: obis.WattHour, Value: obis.Int(int64(i)*7919, -1), Time: obis.FromTime(time.Unix(1795176000, 0).UTC())}
		d.Readings = append(d.Readings, r)
	}
	dst := make([]byte, 0, 1<<20)
	require.Less(t, testing.AllocsPerRun(10, func() { AppendSenML(dst, d) }), 20.0)
	require.Less(t, testing.AllocsPerRun(10, func() { AppendSenMLCBOR(dst, d) }), 20.0)
}

func ExampleTree() {
	tree, _ := NewTree(&mapping.Data{Meter: obis.Meter{ID: "ABC12345678"}, Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:14.7.0"), Unit: obis.Hertz, Value: obis.Int(4998, -2)},
	}}, nil)
	links, _ := tree.Get("/.well-known/core", []string{"rt=meter.reading"}, AnyFormat)
	fmt.Println(string(links.Body))
	one, _ := tree.Get("/m/1-0:14.7.0", nil, SenMLJSON)
	fmt.Println(one.Format, string(one.Body))
	_, err := tree.Get("/m", nil, Text)
	fmt.Println(err)
	// Output:
	// </m/1-0:14.7.0>;rt="meter.reading";if="core.s";ct="110 112 0";obs;title="frequency"
	// application/senml+json [{"bn":"ABC12345678/","n":"1-0:14.7.0","u":"Hz","v":49.98}]
	// coap: the resource has no such content format: text/plain of /m
}
