package jsontext

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzReader holds what is a document, and its strings, against encoding/json.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5e-3,-0],"b":"\u00e9\ud83d\ude00\ud83d\"","c":{},"d":[],"e":null,"f":true}`,
		` [ 1 , {"a" : "b" } ]`, `{"a" :1}`, `01`, `[1,]`, `{,}`, `"\x"`, "\"\x01\"", `-`, `1.`, `1e`, `nul`, `[}`, "\"\xff\"", `[[[[`, `{"a":1}x`, "\"\\n\xff\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		text, spaced := r.Raw()
		ok := r.End()
		require.Equal(t, json.Valid(b), ok, "%v", r.Err())
		if !ok {
			return
		}
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, b))
		require.Equal(t, !bytes.Equal(compact.Bytes(), text), spaced)
		if text[0] == '"' {
			var want string
			require.NoError(t, json.Unmarshal(b, &want))
			require.Equal(t, want, string(NewReader(b).String()))
		}
	})
}

func TestReader(t *testing.T) {
	r := NewReader([]byte(` { "n" : [ 1 , 2 ], "s":"a\tb", "none": null, "no": null, "yes": true, "n": null, "last": -3 } `))
	got := map[string]any{}
	for r.Open('{'); r.More('}'); {
		switch key := string(r.Key()); key {
		case "n":
			var list []int64
			for r.Open('['); r.More(']'); {
				list = append(list, r.Int(0, 9))
			}
			got[key] = list
		case "s", "none":
			got[key] = string(r.String())
		case "no", "yes":
			got[key] = r.Bool()
		default:
			raw, _ := r.Raw()
			got[key] = string(raw)
		}
	}
	require.True(t, r.End())
	require.Equal(t, map[string]any{"n": []int64(nil), "s": "a\tb", "none": "", "no": false, "yes": true, "last": "-3"}, got)

	for _, bad := range []string{`{"n":10}`, `{"n":-1}`, `{"n":1.5}`, `{"n":"1"}`, `[`, `{"n" 1}`} {
		r := NewReader([]byte(bad))
		for r.Open('{'); r.More('}'); {
			r.Key()
			r.Int(0, 9)
		}
		require.False(t, r.End(), bad)
		require.Error(t, r.Err())
	}
}
