package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
)

// Send sends data to a slave (SND_UD), from the CI field on. The slave is that of
// a primary address, the selected one ([link.Selected]), or all ([link.Broadcast],
// where nobody acknowledges).
func (m *Master) Send(ctx context.Context, address byte, payload []byte) error {
	f := link.Frame{Form: link.Long, C: link.SndUD, A: address, Payload: payload}
	if address == link.Broadcast {
		f.C = f.C.WithFCB(m.fcb[address])
		return m.send(ctx, f)
	}
	if address != link.Selected && !m.reset[address] {
		if err := m.Reset(ctx, address); err != nil {
			return err
		}
	}
	f.C = f.C.WithFCB(false)
	return m.acknowledged(ctx, f)
}

// SetPrimary gives a slave another primary address, 0 to 250.
func (m *Master) SetPrimary(ctx context.Context, address, primary byte) error {
	if primary > link.MaxPrimary {
		return fmt.Errorf("bus: primary address %d, want at most %d", primary, link.MaxPrimary)
	}
	return m.Send(ctx, address, []byte{0x51, 0x01, 0x7A, primary})
}

// SetSecondary gives a slave another secondary address. Most allow another ID
// only, see [Master.SetID].
func (m *Master) SetSecondary(ctx context.Context, address byte, a mbus.Address) error {
	return m.Send(ctx, address, a.AppendSecondary([]byte{0x51, 0x07, 0x79}))
}

// SetID gives a slave another ID in its secondary address.
func (m *Master) SetID(ctx context.Context, address byte, id uint32) error {
	return m.Send(ctx, address, mbus.Address{ID: id}.AppendSecondary([]byte{0x51, 0x0C, 0x79})[:7])
}

// SetClock sets the clock of a slave to the local time that t shows (type F).
func (m *Master) SetClock(ctx context.Context, address byte, t time.Time) error {
	data, err := mbus.AppendTimeF([]byte{0x51, 0x04, 0x6D}, t)
	if err != nil {
		return err
	}
	return m.Send(ctx, address, data)
}

// ResetApplication resets the application of a slave: its next telegram is the first.
func (m *Master) ResetApplication(ctx context.Context, address byte) error {
	return m.Send(ctx, address, []byte{0x50})
}

// Application is a group of data that a slave can be told to send.
type Application byte

// The applications, in the high half octet; the low one numbers the telegram.
const (
	AllData              Application = 0x00
	UserData             Application = 0x10
	SimpleBilling        Application = 0x20
	EnhancedBilling      Application = 0x30
	MultiTariffBilling   Application = 0x40
	InstantaneousValues  Application = 0x50
	LoadManagementValues Application = 0x60
	InstallationStartup  Application = 0x80
	Testing              Application = 0x90
	Calibration          Application = 0xA0
	Manufacturing        Application = 0xB0
	Development          Application = 0xC0
	SelfTest             Application = 0xD0
)

// SelectApplication tells a slave which data to send.
func (m *Master) SelectApplication(ctx context.Context, address byte, a Application) error {
	return m.Send(ctx, address, []byte{0x50, byte(a)})
}

// SelectReadout tells a slave to send the records of these value information
// blocks, of all storage numbers; without any all that it has.
func (m *Master) SelectReadout(ctx context.Context, address byte, vibs ...[]byte) error {
	p := []byte{0x51}
	for _, vib := range vibs {
		p = append(append(p, 0x08), vib...)
	}
	if len(vibs) == 0 {
		p = append(p, 0x7F, 0x7E)
	}
	return m.Send(ctx, address, p)
}

// Alarm asks a slave for urgent data (REQ_UD1). It is not ok if there are none.
func (m *Master) Alarm(ctx context.Context, address byte) (t mbus.Telegram, ok bool, err error) {
	if address != link.Selected && !m.reset[address] {
		if err := m.Reset(ctx, address); err != nil {
			return mbus.Telegram{}, false, err
		}
	}
	t, err = m.request(ctx, address, link.ReqUD1)
	return t, err == nil && t.CI != 0, err
}

// bauds are the speeds of the CI fields from B8 on.
var bauds = [...]int{300, 600, 1200, 2400, 4800, 9600, 19200, 38400}

// lineSetter is what a connection implements whose speed can be changed.
type lineSetter interface {
	SetLine(baud int, framing string) error
}

// ErrNoLine reports a connection whose speed cannot be changed.
var ErrNoLine = errors.New("bus: the connection cannot change its speed")

// SetBaud changes the speed of a slave and of the line. The slave acknowledges
// at the old speed; if it does not answer at the new one the line goes back to
// the old, as the slave will after some minutes.
func (m *Master) SetBaud(ctx context.Context, address byte, baud int) error {
	ci := byte(0)
	for i, b := range bauds {
		if b == baud {
			ci = 0xB8 + byte(i)
		}
	}
	if ci == 0 {
		return fmt.Errorf("bus: no slave knows %d baud", baud)
	}
	line, ok := m.conn.Unwrap().(lineSetter)
	if !ok {
		return ErrNoLine
	}
	if err := m.Send(ctx, address, []byte{ci}); err != nil {
		return err
	}
	old := m.baud
	if err := line.SetLine(baud, framing); err != nil {
		return err
	}
	m.baud = baud
	err := m.Reset(ctx, address)
	if err == nil {
		return nil
	}
	m.baud = old
	if back := line.SetLine(old, framing); back != nil {
		return errors.Join(err, back)
	}
	return fmt.Errorf("bus: slave %d does not answer at %d baud: %w", address, baud, err)
}

// framing is eight data bits, even parity, one stop bit.
const framing = "8E1"
