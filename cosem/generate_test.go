package cosem

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The generated files are what the generator makes of the tables today.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("go", "run", "../internal/gen/cosem", "-out", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	files, err := filepath.Glob("z*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		want, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		have, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "%s is stale: go generate ./cosem", file)
	}
}

func TestClassCatalogue(t *testing.T) {
	i, ok := ClassProfileGeneric.Info()
	require.True(t, ok)
	require.Equal(t, "Profile generic", i.Name)
	a, ok := i.Attribute(3)
	require.True(t, ok)
	require.Equal(t, "capture_objects", a.Name)
	m, ok := i.Method(2)
	require.True(t, ok)
	require.Equal(t, "capture", m.Name)
	require.Equal(t, "class 4711", Class(4711).String())
}
