package golden

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Generated fails where the z*.go files of the current folder are not what the
// generator, named by its folder, makes of the tables today.
func Generated(t *testing.T, generator string) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", generator, "-out", dir).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", generator, err, out)
	}
	files, err := filepath.Glob("z*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no generated file here (%v)", err)
	}
	for _, file := range files {
		want, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Errorf("%s is no file of the generator: %v", file, err)
			continue
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != string(want) {
			t.Errorf("%s is stale: run go generate", file)
		}
	}
}
