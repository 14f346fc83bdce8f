// Package wmbussim simulates meters that are heard by radio, and the receiver
// through which they are heard: telegrams of modes T1 and C1 in the link layer's
// formats A and B, in the clear or with security mode 5 or 7, as the receivers of
// package wmbus hand them over.
package wmbussim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/mbussim"
	"github.com/openusm/meter/mbus/wmbus"
)

// Mode is the way in which a meter sends.
type Mode uint8

// The modes of EN 13757-4 that meters in buildings use.
const (
	T1 Mode = iota // frames of format A
	C1             // of format A or B
)

// String returns "T1" or "C1".
func (m Mode) String() string {
	if m == C1 {
		return "C1"
	}
	return "T1"
}

// Meter is a meter that sends by itself.
type Meter struct {
	Address  mbus.Address
	Mode     Mode
	Format   wmbus.Format               // of mode C1: FormatA or FormatB
	Security int                        // 0, 5 (AES-CBC) or 7 (AES-CBC with ephemeral key, and a code of the AFL)
	Key      *mbus.Key                  // for modes 5 and 7
	Records  func(now time.Time) []byte // what a telegram shows
}

// Config is who sends, and who hears it. The zero Config, and nil, are six meters
// in the clear and a CUL.
type Config struct {
	Meters   []Meter                      // nil: those of [Standard]
	Keys     func(mbus.Address) *mbus.Key // of the meters of Standard; nil, and where it returns nil: in the clear
	Receiver Receiver                     // how telegrams are handed over; empty: "cul"
	Interval time.Duration                // between telegrams; 0: half a second
	Now      func() time.Time             // the meters' clock; nil: time.Now
	Idle     time.Duration                // a connection that takes no telegram for so long ends; 0: two minutes, negative: never
}

// Air is what can be heard. Any number of connections may listen.
type Air struct {
	cfg      Config
	meters   []Meter
	handOver func(heard) ([]byte, error)

	mu    sync.Mutex
	state []state
	next  int // the meter that sends next
}

// state is what a meter counts.
type state struct {
	access  byte
	message uint32
}

// New returns the meters that cfg says.
func New(cfg *Config) (*Air, error) {
	a := &Air{}
	if cfg != nil {
		a.cfg = *cfg
	}
	if a.cfg.Now == nil {
		a.cfg.Now = time.Now
	}
	if a.cfg.Interval <= 0 {
		a.cfg.Interval = time.Second / 2
	}
	if a.cfg.Receiver == "" {
		a.cfg.Receiver = CUL
	}
	var err error
	if a.handOver, err = a.cfg.Receiver.handOver(); err != nil {
		return nil, err
	}
	now := a.cfg.Now()
	if a.meters = a.cfg.Meters; a.meters == nil {
		a.meters = Standard(now, a.cfg.Keys)
	}
	a.state = make([]state, len(a.meters))
	for i := range a.state {
		a.state[i].message = uint32(now.Unix() - firstMessage) // above that of an earlier run
	}
	for i := range a.meters {
		if _, err := a.frame(i, now); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// firstMessage is 2020-01-01: meters that start later have counted on.
const firstMessage = 1577836800

// Standard returns six meters of a building: heat, water, gas and electricity, in
// the clear or, where keys has a key for the meter, in security modes 7 and 5 in
// turn. Counters run from start on.
func Standard(start time.Time, keys func(mbus.Address) *mbus.Key) []Meter {
	wired := mbussim.Standard(6, start)
	meters := make([]Meter, len(wired))
	for i, w := range wired {
		m := Meter{Address: w.Address, Mode: Mode(i % 2), Format: wmbus.FormatB, Records: func(now time.Time) []byte { return w.Telegrams(now)[0] }}
		for digit := 0; digit < 32; digit += 4 { // of which some on wires are none
			if m.Address.ID>>digit&0xF > 9 {
				m.Address.ID &^= 0xF << digit
			}
		}
		if i == 5 {
			m.Format = wmbus.FormatA
		}
		if keys != nil {
			if m.Key = keys(m.Address); m.Key != nil {
				m.Security = 7 - 2*(i%2)
			}
		}
		meters[i] = m
	}
	return meters
}

// Meters returns the addresses of the meters, in the order in which they send.
func (a *Air) Meters() []mbus.Address {
	all := make([]mbus.Address, len(a.meters))
	for i := range a.meters {
		all[i] = a.meters[i].Address
	}
	return all
}

// Telegram returns what the receiver hands over of the next telegram, and counts on.
func (a *Air) Telegram() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cfg.Now()
	i := a.next
	a.next = (i + 1) % len(a.meters)
	f, err := a.frame(i, now)
	if err != nil {
		return nil, err
	}
	a.state[i].access++
	a.state[i].message++
	return a.handOver(heard{frame: f, meter: &a.meters[i], at: now})
}

// frame returns the telegram of a meter.
func (a *Air) frame(i int, now time.Time) (wmbus.Frame, error) {
	const shortHeader = 0x7A
	m, s := &a.meters[i], a.state[i]
	f := wmbus.Frame{C: 0x44, Address: m.Address}
	h := mbus.Header{Form: mbus.HeaderShort, Address: m.Address, Access: s.access}
	records, err := m.Records(now), error(nil)
	switch {
	case m.Security == 0:
		f.Payload = append(h.AppendBinary([]byte{shortHeader}), records...)
	case m.Key == nil:
		err = fmt.Errorf("wmbussim: meter %v has security mode %d and no key", m.Address, m.Security)
	case m.Security == 5:
		f.Payload, err = mbus.AppendEncrypted([]byte{shortHeader}, h, records, m.Key)
	case m.Security == 7:
		var message []byte
		if message, err = mbus.AppendEphemeral([]byte{shortHeader}, h, records, m.Key, s.message); err == nil {
			f.Payload, err = wmbus.AppendAuthenticated(nil, message, m.Key, s.message, m.Address.ID)
		}
	default:
		err = fmt.Errorf("wmbussim: meter %v: security mode %d: want 0, 5 or 7", m.Address, m.Security)
	}
	return f, err
}

// idleTime is how long a connection may take no telegram.
const idleTime = 2 * time.Minute

// Serve sends telegrams until the connection ends or ctx does.
func (a *Air) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	conn := stream.New(rw)
	defer conn.Close()
	_, line := rw.(interface {
		SetLine(baud int, framing string) error
	})
	tick := time.NewTicker(a.cfg.Interval)
	defer tick.Stop()
	for {
		b, err := a.Telegram()
		if err != nil {
			return err
		}
		if err := conn.Write(ctx, a.patience(line), b); err != nil {
			if errors.Is(err, io.ErrClosedPipe) || ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// patience is until when a telegram must be taken: on a line, where nobody may be
// listening, for ever.
func (a *Air) patience(line bool) time.Time {
	switch {
	case line || a.cfg.Idle < 0:
		return time.Time{}
	case a.cfg.Idle == 0:
		return time.Now().Add(idleTime)
	}
	return time.Now().Add(a.cfg.Idle)
}
