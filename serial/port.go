// Package serial opens serial ports for meters: optical heads, M-Bus level
// converters, RS-485 adapters.
//
// A [Port] is an io.ReadWriteCloser with deadlines, with a line that can be
// changed while it is open (IEC 62056-21 and mode E do), and with a Close that
// ends a blocked Read. A port is used by go.bug.st/serial, or by
// goburrow/serial where RS-485 direction control by the driver is asked for.
package serial

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Config tells how to open a port. A nil *Config is all zero values.
type Config struct {
	Baud    int    // bits per second; 0 is 9600
	Framing string // data bits, parity (N, E, O, M, S), stop bits; "" is "8N1"
	RS485   *RS485 // nil: the adapter turns its direction itself
	DTR     *bool  // state after opening; nil is on. Many optical heads draw power from it
	RTS     *bool  // likewise
}

// RS485 asks the port's driver to switch the direction of a half-duplex line by RTS.
type RS485 struct {
	DelayBeforeSend, DelayAfterSend time.Duration
	HighDuringSend, HighAfterSend   bool // level of RTS
	ReceiveDuringSend               bool // hear one's own characters
}

// slice is how long one read of the driver lasts; deadlines and Close take effect within it.
const slice = 50 * time.Millisecond

// driver is what a Port needs of a library. It is used by one goroutine at a
// time for reading and one for writing.
type driver interface {
	// read waits for at most the time of one slice, and returns 0, nil where nothing came.
	read(p []byte) (int, error)
	// write may write less than all of p.
	write(p []byte) (int, error)
	setLine(baud int, framing framing) error
	drain() error
	setRTS(on bool) error
	setDTR(on bool) error
	close() error
}

// Port is an open serial port. One goroutine may read and one may write at the same time.
type Port struct {
	name   string
	driver driver
	unlock func() error
	line   sync.RWMutex // held for reading by one slice of Read, for writing by SetLine and Close

	mu            sync.Mutex
	readDeadline  time.Time
	writeDeadline time.Time
	closed        chan struct{}
	once          sync.Once
}

// Opener opens a port as meter.Config.OpenSerial has it opened: OpenSerial: serial.Opener.
func Opener(name string, baud int, framing string) (io.ReadWriteCloser, error) {
	p, err := Open(name, &Config{Baud: baud, Framing: framing})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Open opens the port with this name, "/dev/ttyUSB0" or "COM3", for us alone.
func Open(name string, cfg *Config) (*Port, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	baud, text := cfg.Baud, cfg.Framing
	if baud == 0 {
		baud = 9600
	}
	if text == "" {
		text = "8N1"
	}
	f, err := parseFraming(text)
	if err != nil {
		return nil, err
	}
	open := openBugst
	if cfg.RS485 != nil {
		open = openGoburrow
	}
	unlock, err := lock(name)
	if err != nil {
		return nil, fmt.Errorf("serial: %s: %w", name, err)
	}
	d, err := open(name, baud, f, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serial: %s: %w", name, err), unlock())
	}
	return &Port{name: name, driver: d, unlock: unlock, closed: make(chan struct{})}, nil
}

// Name returns the name by which the port was opened.
func (p *Port) Name() string { return p.name }

// Read returns as soon as at least one octet is there. At the deadline it
// returns [os.ErrDeadlineExceeded], after Close [os.ErrClosed], and where the
// device is gone an error that wraps [io.ErrUnexpectedEOF].
func (p *Port) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		select {
		case <-p.closed:
			return 0, os.ErrClosed
		default:
		}
		n, err := p.readSlice(b)
		if n > 0 || err != nil {
			return n, err
		}
		if d := p.deadline(&p.readDeadline); !d.IsZero() && !time.Now().Before(d) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (p *Port) readSlice(b []byte) (int, error) {
	p.line.RLock()
	defer p.line.RUnlock()
	n, err := p.driver.read(b)
	if err == nil {
		return n, nil
	}
	select {
	case <-p.closed:
		return 0, os.ErrClosed
	default:
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("serial: %s: %w", p.name, err)
}

// Write writes all of b, or says why not.
func (p *Port) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		select {
		case <-p.closed:
			return written, os.ErrClosed
		default:
		}
		if d := p.deadline(&p.writeDeadline); !d.IsZero() && !time.Now().Before(d) {
			return written, os.ErrDeadlineExceeded
		}
		p.line.RLock()
		n, err := p.driver.write(b)
		p.line.RUnlock()
		written, b = written+n, b[n:]
		if err != nil {
			return written, fmt.Errorf("serial: %s: %w", p.name, err)
		}
		if n == 0 {
			time.Sleep(time.Millisecond) // the driver's buffer is full
		}
	}
	return written, nil
}

func (p *Port) deadline(t *time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *t
}

// SetReadDeadline ends a Read at t; the zero time means never. It takes effect within 50 ms.
func (p *Port) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readDeadline = t
	return nil
}

// SetWriteDeadline is [Port.SetReadDeadline] for writing.
func (p *Port) SetWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeDeadline = t
	return nil
}

// SetDeadline sets both deadlines.
func (p *Port) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// SetLine waits until all that was written has left the port, then changes rate and framing ("7E1").
func (p *Port) SetLine(baud int, text string) error {
	f, err := parseFraming(text)
	if err != nil {
		return err
	}
	p.line.Lock()
	defer p.line.Unlock()
	if err := p.driver.drain(); err != nil {
		return fmt.Errorf("serial: %s: drain: %w", p.name, err)
	}
	if err := p.driver.setLine(baud, f); err != nil {
		return fmt.Errorf("serial: %s: %d %s: %w", p.name, baud, text, err)
	}
	return nil
}

// Drain waits until all that was written has left the port.
func (p *Port) Drain() error {
	p.line.RLock()
	defer p.line.RUnlock()
	return p.driver.drain()
}

// SetRTS switches the RTS line.
func (p *Port) SetRTS(on bool) error { return p.driver.setRTS(on) }

// SetDTR switches the DTR line.
func (p *Port) SetDTR(on bool) error { return p.driver.setDTR(on) }

// Close closes the port and ends a Read within 50 ms.
func (p *Port) Close() (err error) {
	p.once.Do(func() {
		close(p.closed)
		p.line.Lock()
		defer p.line.Unlock()
		err = p.driver.close()
		if p.unlock != nil {
			err = errors.Join(err, p.unlock())
		}
	})
	return err
}

// framing is the shape of one character on the line.
type framing struct {
	dataBits int
	parity   byte // N, E, O, M or S
	stopBits int
}

func parseFraming(s string) (framing, error) {
	if len(s) != 3 || s[0] < '5' || s[0] > '8' || s[2] < '1' || s[2] > '2' {
		return framing{}, fmt.Errorf("serial: framing %q, want for example 8N1", s)
	}
	switch s[1] {
	case 'N', 'E', 'O', 'M', 'S':
		return framing{int(s[0] - '0'), s[1], int(s[2] - '0')}, nil
	}
	return framing{}, fmt.Errorf("serial: parity %q, want N, E, O, M or S", s[1:2])
}

// bits returns the length of one character on the line, start bit included.
func (f framing) bits() int {
	n := 1 + f.dataBits + f.stopBits
	if f.parity != 'N' {
		n++
	}
	return n
}
