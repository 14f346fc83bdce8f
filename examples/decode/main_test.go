package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(strings.NewReader("0001000100100008c401c100120203e8\nzz\n6828286808017278563412430401042a0000000c05452301000c13100235000b2b0042000a5a03070a5e02053a16\n"), &out, nil))
	require.Contains(t, out.String(), "line 2: ")
	require.Contains(t, out.String(), "12345678 ")
}
