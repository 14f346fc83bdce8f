//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package dlms

import (
	"os"
	"syscall"
)

// lockFile waits until this process alone has the file. The lock ends with the process.
func lockFile(f *os.File) (unlock func() error, err error) {
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return nil, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }, nil
}

// syncFolder has the names in a folder survive a power failure.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
