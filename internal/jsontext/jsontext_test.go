package jsontext

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAppendString holds the strings against encoding/json.
func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\x00\x1f<>&\u2028é\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		require.NoError(t, json.Unmarshal(AppendString(nil, s), &back))
		require.Equal(t, strings.ToValidUTF8(s, "\uFFFD"), mergeInvalid(back, s))
	})
}

// mergeInvalid makes runs of U+FFFD one, as ToValidUTF8 does.
func mergeInvalid(back, s string) string {
	if strings.ToValidUTF8(s, "") == s {
		return back
	}
	for strings.Contains(back, "\uFFFD\uFFFD") {
		back = strings.ReplaceAll(back, "\uFFFD\uFFFD", "\uFFFD")
	}
	return back
}
