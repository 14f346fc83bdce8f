//go:build !windows

package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// Pseudo is the near end of a line inside the machine, the far end of which
// programs open like a serial port. Once [Pseudo.SetLine] was called the line has
// a rate: characters take their time, and where the program at the far end has
// set another rate, both sides see garbage, as on a real line. Parity means
// nothing to it. One goroutine may read and one may write at the same time.
type Pseudo struct {
	master *os.File
	far    *os.File // kept open so that the line lives on between readers
	link   string

	mu   sync.Mutex
	baud int       // 0 until SetLine: no rate, no delay
	bits int       // of one character
	busy time.Time // when the last character written will have left
}

// OpenPseudo makes a line and, where link is not empty, a symbolic link of that
// name to its far end. The link replaces an older one, no other file.
func OpenPseudo(link string) (*Pseudo, error) {
	master, far, err := pty.Open()
	if err != nil {
		return nil, err
	}
	if master, err = pollable(master); err != nil {
		return nil, errors.Join(err, far.Close())
	}
	p := &Pseudo{master: master, far: far}
	if _, err := term.MakeRaw(int(far.Fd())); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if link == "" {
		return p, nil
	}
	if info, err := os.Lstat(link); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		_ = os.Remove(link)
	}
	if err := os.Symlink(far.Name(), link); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.link = link
	return p, nil
}

// pollable returns the file anew, such that deadlines and Close end its reads: pty
// has made it blocking. It closes f.
func pollable(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	err = errors.Join(err, f.Close())
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, syscall.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// PortName returns the name under which the far end is opened.
func (p *Pseudo) PortName() string {
	if p.link != "" {
		return p.link
	}
	return p.far.Name()
}

// SetLine gives the near end a rate and a framing ("7E1"), after all that was written has left.
func (p *Pseudo) SetLine(baud int, text string) error {
	f, err := parseFraming(text)
	if err != nil {
		return err
	}
	if baud <= 0 {
		return fmt.Errorf("serial: rate %d", baud)
	}
	if err := p.Drain(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.baud, p.bits = baud, f.bits()
	return nil
}

// Drain waits until all that was written has left.
func (p *Pseudo) Drain() error {
	p.mu.Lock()
	wait := time.Until(p.busy)
	p.mu.Unlock()
	time.Sleep(wait)
	return nil
}

// Read reads what the far end sent; at the deadline it returns [os.ErrDeadlineExceeded].
func (p *Pseudo) Read(b []byte) (int, error) {
	n, err := p.master.Read(b)
	if p.mismatch() {
		garble(b[:n])
	}
	return n, err
}

// Write sends b at the rate of the line, character by character.
func (p *Pseudo) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), p.portion())]
		if p.mismatch() {
			part = append([]byte(nil), part...)
			garble(part)
		}
		n, err := p.master.Write(part)
		written, b = written+n, b[n:]
		if err != nil {
			return written, err
		}
		p.take(n)
	}
	return written, nil
}

// portion is how many characters are sent at once: those of 10 ms.
func (p *Pseudo) portion() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.baud == 0 {
		return 4096
	}
	return max(1, p.baud/p.bits/100)
}

// take waits while n characters leave.
func (p *Pseudo) take(n int) {
	p.mu.Lock()
	if p.baud == 0 {
		p.mu.Unlock()
		return
	}
	if now := time.Now(); p.busy.Before(now) {
		p.busy = now
	}
	p.busy = p.busy.Add(time.Duration(n*p.bits) * time.Second / time.Duration(p.baud))
	wait := time.Until(p.busy)
	p.mu.Unlock()
	time.Sleep(wait)
}

// mismatch reports whether the far end has set another rate.
func (p *Pseudo) mismatch() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	far, ok := rateOf(p.master)
	return p.baud != 0 && ok && far != p.baud
}

// garble makes of characters what a port at another rate sees of them.
func garble(b []byte) {
	for i := range b {
		b[i] = b[i]<<3 ^ 0x95 | 0x80
	}
}

// SetReadDeadline ends a Read at t; the zero time means never.
func (p *Pseudo) SetReadDeadline(t time.Time) error { return p.master.SetReadDeadline(t) }

// SetWriteDeadline is [Pseudo.SetReadDeadline] for writing.
func (p *Pseudo) SetWriteDeadline(t time.Time) error { return p.master.SetWriteDeadline(t) }

// Close closes both ends and removes the link.
func (p *Pseudo) Close() error {
	err := errors.Join(p.master.Close(), p.far.Close())
	if p.link != "" {
		err = errors.Join(err, os.Remove(p.link))
	}
	return err
}
