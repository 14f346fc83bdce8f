package coap

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping/coap"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// FuzzFace reads and writes whatever path: what is shown is shown again, and what is commanded
// has a value and a code.
func FuzzFace(f *testing.F) {
	s := site.New(nil)
	require.NoError(f, s.Add("a", obis.Meter{ID: "x"}))
	require.NoError(f, s.Put("a", day(0, 0, 1, 2), site.Stamp{Job: "p"}))
	profiles, _ := s.Last("a")
	require.NoError(f, s.Put("a", power(5), site.Stamp{Job: "t"}))
	to := &asked{}
	face, err := New(nil, s, to)
	require.NoError(f, err)
	last, _ := s.Last("a")
	face.show(last)
	face.meter("a").learn(profiles.Data)
	for _, path := range []string{"/", "/m", "/m/a", "/m/a/", "/m/a/m/1-0:1.7.0", "/m/a/p/1-0:99.1.0", "/m/a/e", "/m/a/3305/0/5800", "/m/b/id", "/m/a/m/0-0:1.0.0", "/.well-known/core"} {
		f.Add(path, "", uint16(coap.AnyFormat), []byte("5"))
		f.Add(path, "from=1795176000&to=2026-11-20T12:30:00Z", uint16(coap.SenMLJSON), []byte(`[{"n":"1-0:1.7.0","u":"W","v":5}]`))
		f.Add(path, "rt=meter*", uint16(coap.SenMLCBOR), []byte("\x81\xa1\x02\x05"))
	}
	f.Fuzz(func(t *testing.T, path, queries string, format uint16, written []byte) {
		q := query{path: path, queries: queries, accept: coap.Format(format)}
		rep, err := face.get(q)
		if err == nil {
			again, err := face.get(q)
			require.NoError(t, err)
			require.Equal(t, rep.ETag, again.ETag)
		} else if !errors.Is(err, coap.ErrNotFound) && !errors.Is(err, coap.ErrNotAcceptable) && !errors.Is(err, coap.ErrBadRequest) {
			t.Fatal(err)
		}
		face.observable(path)
		to.list = nil
		if face.command(context.Background(), site.Actor{}, q, coap.Format(format), written) == nil {
			require.Len(t, to.list, 1)
			got := to.list[0]
			require.True(t, got.Code.Valid() && got.Meter == "a" && got.Class == 0)
			require.False(t, got.Value.IsNone())
		}
	})
}
