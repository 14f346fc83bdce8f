package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// LoadState reads what a face remembers of its addresses from a file of JSON. A file that
// is not there leaves v as it is.
func LoadState(path string, v any) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("site: state: %w", err)
	}
	return nil
}

// SaveState writes such a file, which is always whole: the one before or the new one.
func SaveState(path string, v any) (err error) {
	raw, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("site: state: %w", err)
	}
	_, err = f.Write(append(raw, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("site: state: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil { // so that the new name lasts, where folders can be synced
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}
