//go:build darwin || freebsd || netbsd

package dlms

import (
	"io/fs"
	"syscall"
)

func newStamp(info fs.FileInfo) stamp {
	s := stamp{modified: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.number, s.changed = uint64(st.Ino), syscall.TimespecToNsec(st.Ctimespec)
	}
	return s
}
