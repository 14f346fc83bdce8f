package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/mapping.md anew")

// docs/mapping.md is what the mappings say today.
func TestLossTable(t *testing.T) {
	table, err := lossTable()
	require.NoError(t, err)
	file := filepath.Join("..", "..", "docs", "mapping.md")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, table, 0o644))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(have), string(table), "run go generate ./... in cmd/meterctl")
}
