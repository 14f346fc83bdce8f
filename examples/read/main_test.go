package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	for _, target := range []string{"sim:dlms", "sim:mbus", "sim:p1"} {
		var out strings.Builder
		require.NoError(t, run(t.Context(), &out, target))
		require.Contains(t, out.String(), "*255")
		if target == "sim:dlms" {
			require.Greater(t, strings.Count(out.String(), " 1-0:1.8.0*255="), 90, "a day of quarters of an hour")
		}
	}
	require.Error(t, run(t.Context(), new(strings.Builder), "tcp://nowhere"))
}
