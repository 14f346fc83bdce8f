package serial

import (
	"errors"
	"io"
	"sync"
	"time"

	goburrow "github.com/goburrow/serial"
)

// goburrowDriver uses goburrow/serial, which can have the driver of the port
// switch an RS-485 line. What it lacks is made up here: it cannot change the
// rate of an open port (the port is reopened after a drain), cannot drain (the
// time that the characters take is waited for), and returns 0, nil for ever
// once the device is gone.
type goburrowDriver struct {
	port    goburrow.Port
	cfg     goburrow.Config
	framing framing

	mu   sync.Mutex
	sent time.Time // when the last character written will have left
}

var errNoModemLines = errors.New("RTS is the direction of the RS-485 line, DTR is not available")

func openGoburrow(name string, baud int, f framing, cfg *Config) (driver, error) {
	if cfg.DTR != nil || cfg.RTS != nil {
		return nil, errNoModemLines
	}
	d := &goburrowDriver{cfg: goburrow.Config{
		Address: name, Timeout: slice,
		RS485: goburrow.RS485Config{
			Enabled: true, DelayRtsBeforeSend: cfg.RS485.DelayBeforeSend, DelayRtsAfterSend: cfg.RS485.DelayAfterSend,
			RtsHighDuringSend: cfg.RS485.HighDuringSend, RtsHighAfterSend: cfg.RS485.HighAfterSend,
			RxDuringTx: cfg.RS485.ReceiveDuringSend,
		},
	}}
	return d, d.open(baud, f)
}

func (d *goburrowDriver) open(baud int, f framing) (err error) {
	d.cfg.BaudRate, d.cfg.DataBits, d.cfg.Parity, d.cfg.StopBits = baud, f.dataBits, string(f.parity), f.stopBits
	d.framing = f
	d.port, err = goburrow.Open(&d.cfg)
	return err
}

func (d *goburrowDriver) read(p []byte) (int, error) {
	n, err := d.port.Read(p)
	switch {
	case errors.Is(err, goburrow.ErrTimeout):
		return 0, nil
	case n <= 0 && err == nil:
		return 0, io.EOF
	}
	return max(n, 0), err
}

func (d *goburrowDriver) write(p []byte) (int, error) {
	n, err := d.port.Write(p)
	n = max(n, 0)
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); d.sent.Before(now) {
		d.sent = now
	}
	d.sent = d.sent.Add(time.Duration(n*d.framing.bits()) * time.Second / time.Duration(d.cfg.BaudRate))
	if temporary(err) {
		err = nil
	}
	return n, err
}

// temporary reports whether the driver's buffer was only full.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (d *goburrowDriver) setLine(baud int, f framing) error {
	if err := d.port.Close(); err != nil {
		return err
	}
	return d.open(baud, f)
}

func (d *goburrowDriver) drain() error {
	d.mu.Lock()
	wait := time.Until(d.sent)
	d.mu.Unlock()
	time.Sleep(wait)
	return nil
}

func (d *goburrowDriver) setRTS(bool) error { return errNoModemLines }
func (d *goburrowDriver) setDTR(bool) error { return errNoModemLines }
func (d *goburrowDriver) close() error      { return d.port.Close() }
