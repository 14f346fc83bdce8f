package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/openusm/meter"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/keys"
)

// installation gives a configuration what must survive the program where there
// are keys: invocation counters, and a system title of this installation's own.
func (a *app) installation(cfg *meter.Config) error {
	if !ciphers(cfg.Keys) {
		return nil
	}
	folder, err := a.stateFolder()
	if err != nil {
		return err
	}
	if len(cfg.Keys.SystemTitle) == 0 {
		title, err := ownTitle(filepath.Join(folder, "system-title"))
		if err != nil {
			return configError{err}
		}
		cfg.Keys.SystemTitle = title
	}
	file := a.counters
	if file == "" {
		file = filepath.Join(folder, "counters")
	}
	if a.kept != nil {
		cfg.Counters = a.kept
		return nil
	}
	counters, err := dlms.OpenCounters(file)
	if err != nil {
		return configf("invocation counters: %w", err)
	}
	if counters.Restored() {
		fmt.Fprintf(a.stderr, "warning: %s was restored or copied: counters go on far above what it says\n", file)
	}
	if a.counterStart > 0 {
		id := security.CounterID{Title: security.Title(cfg.Keys.SystemTitle)}
		if a.counterStart > counters.Expected(id) {
			if err := counters.Reset(id, a.counterStart); err != nil {
				return configError{err}
			}
		}
	}
	cfg.Counters, a.kept = counters, counters
	return nil
}

// ciphers reports whether there are keys with which DLMS messages are ciphered.
func ciphers(set keys.Set) bool {
	for own := range set.All {
		if len(own.Encryption)+len(own.Authentication) > 0 || len(own.Key) == 16 || own.SigningKey != nil {
			return true
		}
	}
	return false
}

// stateFolder returns the folder of --state, else that of the platform, and makes it.
func (a *app) stateFolder() (string, error) {
	folder := a.state
	if folder == "" {
		base := os.Getenv("XDG_STATE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", configf("--state is not given, and there is no home folder: %w", err)
			}
			base = filepath.Join(home, ".local", "state")
			switch runtime.GOOS {
			case "darwin":
				base = filepath.Join(home, "Library", "Application Support")
			case "windows":
				if base, err = os.UserCacheDir(); err != nil {
					return "", configError{err}
				}
			}
		}
		folder = filepath.Join(base, "meterctl")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", configf("--state: %w", err)
	}
	return folder, nil
}

// ownTitle returns the system title of this installation, which is drawn once:
// nobody else ciphers under it.
func ownTitle(file string) (keys.Secret, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = drawTitle(file); err == nil {
			text, err = os.ReadFile(file)
		}
	}
	if err != nil {
		return nil, err
	}
	title, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(title) != security.TitleLen {
		return nil, fmt.Errorf("%s holds no system title", file)
	}
	return title, nil
}

// drawTitle writes a title to the file, whole or not at all, unless another process did so before.
func drawTitle(file string) error {
	title := []byte{'O', 'U', 'M', 0, 0, 0, 0, 0}
	_, _ = rand.Read(title[3:])
	temp, err := os.CreateTemp(filepath.Dir(file), "title")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = fmt.Fprintf(temp, "%X\n", title)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err = os.Link(temp.Name(), file); errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
