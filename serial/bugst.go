package serial

import (
	"errors"
	"io"
	"syscall"

	bugst "go.bug.st/serial"
	"go.bug.st/serial/enumerator"
)

// bugstDriver uses go.bug.st/serial.
type bugstDriver struct{ port bugst.Port }

func openBugst(name string, baud int, f framing, cfg *Config) (driver, error) {
	mode := f.mode(baud)
	if cfg.DTR != nil || cfg.RTS != nil {
		mode.InitialStatusBits = &bugst.ModemOutputBits{DTR: cfg.DTR == nil || *cfg.DTR, RTS: cfg.RTS == nil || *cfg.RTS}
	}
	port, err := bugst.Open(name, mode)
	if err != nil {
		return nil, err
	}
	if err := port.SetReadTimeout(slice); err != nil {
		return nil, errors.Join(err, port.Close())
	}
	return &bugstDriver{port}, nil
}

func (f framing) mode(baud int) *bugst.Mode {
	m := &bugst.Mode{BaudRate: baud, DataBits: f.dataBits, StopBits: bugst.OneStopBit}
	if f.stopBits == 2 {
		m.StopBits = bugst.TwoStopBits
	}
	switch f.parity {
	case 'E':
		m.Parity = bugst.EvenParity
	case 'O':
		m.Parity = bugst.OddParity
	case 'M':
		m.Parity = bugst.MarkParity
	case 'S':
		m.Parity = bugst.SpaceParity
	}
	return m
}

func (d *bugstDriver) read(p []byte) (int, error) {
	n, err := d.port.Read(p)
	if n < 0 {
		n = 0
	}
	var portError *bugst.PortError
	if errors.As(err, &portError) && portError.Code() == bugst.PortClosed {
		err = io.EOF
	}
	return n, err
}

func (d *bugstDriver) write(p []byte) (int, error) {
	n, err := d.port.Write(p)
	return max(n, 0), err
}

func (d *bugstDriver) setLine(baud int, f framing) error {
	return uninterrupted(func() error { return d.port.SetMode(f.mode(baud)) })
}

func (d *bugstDriver) drain() error { return uninterrupted(d.port.Drain) }

// uninterrupted repeats a system call that a signal interrupted, as those of
// Go's own scheduler do.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func (d *bugstDriver) setRTS(on bool) error { return d.port.SetRTS(on) }
func (d *bugstDriver) setDTR(on bool) error { return d.port.SetDTR(on) }
func (d *bugstDriver) close() error         { return d.port.Close() }

// Info describes a serial port of this machine.
type Info struct {
	Name         string
	USB          bool
	VID, PID     string // USB vendor and product, hexadecimal
	SerialNumber string
	Product      string
}

// List returns the serial ports of this machine.
func List() ([]Info, error) {
	ports, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, p := range ports {
		all = append(all, Info{p.Name, p.IsUSB, p.VID, p.PID, p.SerialNumber, p.Product})
	}
	return all, nil
}
