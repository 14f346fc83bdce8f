package main

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Five hundred meters answer at once, and none is left out.
func TestRun(t *testing.T) {
	targets := make([]string, 500)
	for i := range targets {
		targets[i] = "sim:dlms"
	}
	targets[7] = "tcp://127.0.0.1:1" // nobody is there
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out := &watched{until: cancel, want: 499 * 2}
	require.NoError(t, run(ctx, out, targets, time.Second))
	require.GreaterOrEqual(t, out.registers, out.want, out.String())
	require.Contains(t, out.String(), "500 meters")
}

// watched ends the run when every meter has answered.
type watched struct {
	strings.Builder
	until           func()
	want, registers int
}

func (w *watched) Write(b []byte) (int, error) {
	if m := regexp.MustCompile(`(\d+) registers`).FindSubmatch(b); m != nil {
		if w.registers, _ = strconv.Atoi(string(m[1])); w.registers >= w.want {
			w.until()
		}
	}
	return w.Builder.Write(b)
}
