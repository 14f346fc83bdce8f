package golden

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.txt")
	require.NoError(t, os.WriteFile(file, []byte("# c\n[one]\nsource: s\nhex: 01 02\n  03\nwant:\n  a\n    b\n[two]\nhex: ff\n"), 0o600))
	v := Load(t, file)
	require.Len(t, v, 2)
	require.Equal(t, "one", v[0].Name)
	require.Equal(t, "s", v[0].Fields["source"])
	require.Equal(t, []byte{1, 2, 3}, v[0].Hex)
	require.Equal(t, "a\n  b", v[0].Want)
	require.Equal(t, []byte{0xFF}, v[1].Hex)
}

func TestCorpusReadsRows(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.jsonl"), []byte("{\"a\":1,\"b\":NaN}\n{\"a\":2}\n"), 0o600))
	t.Setenv("METER_CORPUS", dir)
	rows := Corpus[struct{ A int }](t, "x.jsonl")
	require.Equal(t, 2, rows[1].A)
}
