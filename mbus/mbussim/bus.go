// Package mbussim simulates a wired M-Bus with many slaves on one line: primary
// and secondary addresses, selection with wildcards, collisions as on the wire,
// answers of several telegrams, encryption, and faults of the line.
//
// A slave is a set of records that change with time, and the rules of the link
// layer by which it shows them.
package mbussim

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/mbus/link"
)

// Config is what there is on the bus. The zero Config, and nil, give four meters.
type Config struct {
	Slaves int     // how many meters of the standard kinds there are, from primary address 1 on; 0: 4
	Meters []Meter // used instead of Slaves where there are any

	Now    func() time.Time // the meters' clock; nil: time.Now
	Faults Faults           // what goes wrong on the line
	Idle   time.Duration    // a connection without a frame for so long, or one that takes no answer, ends; 0: two minutes, negative: never. A line, which has SetLine, may be silent for ever

	Trace func(send bool, frame []byte) // gets every frame that is received and sent; nil: nobody
}

// Faults are disturbances of the line. The zero Faults are a perfect line.
type Faults struct {
	Echo       bool          // the converter sends back what the master sends
	Noise      int           // every so many answers have stray octets in front; 0: none
	Damage     int           // every so many answers have a wrong octet; 0: none
	Lose       int           // every so many requests are lost; 0: none
	Delay      time.Duration // before each answer
	Collisions bool          // answers that collide also shift against each other; without it they overlap octet by octet
	Seed       uint64        // of the stray octets
}

// Bus is a bus with its slaves. Several connections share it.
type Bus struct {
	cfg Config

	mu      sync.Mutex
	slaves  []*slave
	random  *rand.Rand
	heard   int // requests so far
	answers int // answers so far
}

// New returns a bus with the meters that cfg says.
func New(cfg *Config) *Bus {
	b := &Bus{}
	if cfg != nil {
		b.cfg = *cfg
	}
	if b.cfg.Now == nil {
		b.cfg.Now = time.Now
	}
	meters := b.cfg.Meters
	if len(meters) == 0 {
		n := b.cfg.Slaves
		if n <= 0 {
			n = 4
		}
		meters = Standard(n, b.cfg.Now())
	}
	for _, m := range meters {
		b.slaves = append(b.slaves, &slave{Meter: m})
	}
	b.random = rand.New(rand.NewPCG(b.cfg.Faults.Seed, 13757))
	return b
}

// gap is how long a frame may pause before what there is of it is dropped.
const gap = 300 * time.Millisecond

// idleTime is how long a connection may be idle where the configuration does not say.
const idleTime = 2 * time.Minute

// patience returns when a connection ends that does nothing from now on, the zero
// time for never.
func (b *Bus) patience(rw io.ReadWriteCloser) time.Time {
	if _, line := rw.(interface {
		SetLine(baud int, framing string) error
	}); line || b.cfg.Idle < 0 {
		return time.Time{}
	}
	if b.cfg.Idle == 0 {
		return time.Now().Add(idleTime)
	}
	return time.Now().Add(b.cfg.Idle)
}

// Serve answers the master at the other end of rw until it hangs up, is idle for
// too long, or ctx ends.
func (b *Bus) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	conn := stream.New(rw)
	defer func() { _ = conn.Close() }()
	var in []byte
	buf := make([]byte, 512)
	idle := b.patience(rw)
	for {
		deadline := idle
		if dropped := time.Now().Add(gap); len(in) > 0 && (idle.IsZero() || dropped.Before(idle)) {
			deadline = dropped
		}
		n, err := conn.Read(ctx, deadline, buf)
		in = append(in, buf[:n]...)
		if b.cfg.Faults.Echo && n > 0 {
			if err := conn.Write(ctx, b.patience(rw), buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && deadline.Equal(idle):
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			in = in[:0]
			continue
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe):
			return nil
		case err != nil:
			return err
		}
		heard := false
		if in, heard, err = b.take(ctx, conn, in); err != nil {
			return err
		}
		if heard {
			idle = b.patience(rw)
		}
	}
}

// take answers the frames at the start of in and returns what is left, and whether
// there were any.
func (b *Bus) take(ctx context.Context, conn *stream.Conn, in []byte) (rest []byte, heard bool, err error) {
	for len(in) > 0 {
		f, n, err := link.Parse(in)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return in, heard, nil
		}
		if err != nil {
			in = in[1:]
			continue
		}
		if b.cfg.Trace != nil {
			b.cfg.Trace(false, in[:n])
		}
		out := b.answer(f)
		in, heard = in[n:], true
		if len(out) == 0 {
			continue
		}
		if b.cfg.Faults.Delay > 0 {
			select {
			case <-time.After(b.cfg.Faults.Delay):
			case <-ctx.Done():
				return nil, heard, ctx.Err()
			}
		}
		if b.cfg.Trace != nil {
			b.cfg.Trace(true, out)
		}
		if err := conn.Write(ctx, b.patience(conn.Unwrap()), out); err != nil {
			return nil, heard, err
		}
	}
	return in[:0], heard, nil
}

// answer returns what is on the line after a frame of the master.
func (b *Bus) answer(f link.Frame) (out []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard++
	if n := b.cfg.Faults.Lose; n > 0 && b.heard%n == 0 {
		return nil
	}
	now := b.cfg.Now()
	for _, s := range b.slaves {
		if a := s.answer(f, now); a != nil {
			out = b.overlap(out, a)
		}
	}
	if out == nil {
		return nil
	}
	b.answers++
	if n := b.cfg.Faults.Damage; n > 0 && b.answers%n == 0 {
		out[b.random.IntN(len(out))] ^= 1 << b.random.IntN(8)
	}
	if n := b.cfg.Faults.Noise; n > 0 && b.answers%n == 0 {
		out = append([]byte{0xFF, byte(b.random.IntN(0x10)), 0x00}, out...)
	}
	return out
}

// overlap returns what a receiver sees when a slave sends while others do: a
// space (0) of one of them hides the marks (1) of all.
func (b *Bus) overlap(line, a []byte) []byte {
	if line == nil {
		return append([]byte(nil), a...)
	}
	if b.cfg.Faults.Collisions && len(a) > 1 {
		a = append([]byte{0xFF}, a...)
	}
	for i, c := range a {
		if i < len(line) {
			line[i] &= c
		} else {
			line = append(line, c)
		}
	}
	return line
}
