//go:build !windows

package serial

import (
	"errors"
	"io/fs"
	"os"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// Pseudo is the master side of a pseudo terminal, the other side of which
// programs open like a serial port. A pseudo terminal carries the octets; rate
// and parity mean nothing to it.
type Pseudo struct {
	*os.File
	other *os.File // kept open so that the master lives on between readers
	link  string
}

// OpenPseudo makes a pseudo terminal and, where link is not empty, a symbolic
// link of that name to its other side. The link replaces an older one, no other file.
func OpenPseudo(link string) (*Pseudo, error) {
	master, other, err := pty.Open()
	if err != nil {
		return nil, err
	}
	p := &Pseudo{File: master, other: other, link: link}
	if _, err := term.MakeRaw(int(other.Fd())); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if link == "" {
		return p, nil
	}
	if info, err := os.Lstat(link); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		_ = os.Remove(link)
	}
	if err := os.Symlink(other.Name(), link); err != nil {
		p.link = ""
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// PortName returns the name under which the other side is opened.
func (p *Pseudo) PortName() string {
	if p.link != "" {
		return p.link
	}
	return p.other.Name()
}

// Close closes both sides and removes the link.
func (p *Pseudo) Close() error {
	err := errors.Join(p.File.Close(), p.other.Close())
	if p.link != "" {
		err = errors.Join(err, os.Remove(p.link))
	}
	return err
}
