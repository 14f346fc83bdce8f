//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package dlms

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// lockFile waits until this process alone has made a file beside f. Where one
// died with it, somebody has to remove it.
func lockFile(f *os.File) (unlock func() error, err error) {
	name := f.Name() + ".held"
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		held, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return func() error { return errors.Join(held.Close(), os.Remove(name)) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if time.Since(start) > 10*time.Second {
			return nil, fmt.Errorf("%s is held by another process; remove it if there is none", name)
		}
	}
}

// syncFolder does nothing where folders cannot be synchronised.
func syncFolder(string) error { return nil }
