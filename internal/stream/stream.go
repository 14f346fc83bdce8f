// Package stream reads and writes a connection under a context and a deadline,
// whether the connection knows deadlines itself (net.Conn, serial ports) or not.
package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Conn is a connection whose reads end in time. One goroutine may read and
// one may write at the same time.
type Conn struct {
	rw    io.ReadWriteCloser
	read  interface{ SetReadDeadline(time.Time) error }
	write interface{ SetWriteDeadline(time.Time) error }
	pump  *pump

	life    <-chan struct{} // of the context under which the connection is for good; nil for none
	release func() bool     // ends the waiting for that context
	endless bool            // reads are without a deadline; known under such a context only
}

// New wraps rw, which the Conn then owns.
func New(rw io.ReadWriteCloser) *Conn {
	c := &Conn{rw: rw}
	c.read, _ = rw.(interface{ SetReadDeadline(time.Time) error })
	c.write, _ = rw.(interface{ SetWriteDeadline(time.Time) error })
	if c.read == nil || c.read.SetReadDeadline(time.Time{}) != nil {
		c.read = nil
		c.pump = &pump{wake: make(chan struct{}, 1), space: make(chan struct{}, 1), done: make(chan struct{})}
	}
	return c
}

// Under has the end of the context end whatever the connection does then and
// later. Reads and writes under the same context, or one that ends with it, cost less.
func (c *Conn) Under(ctx context.Context) {
	c.life = ctx.Done()
	c.release = context.AfterFunc(ctx, func() {
		if c.read != nil {
			_ = c.read.SetReadDeadline(past)
		}
		if c.write != nil {
			_ = c.write.SetWriteDeadline(past)
		}
	})
}

// past is a moment that was.
var past = time.Unix(1, 0)

// Unwrap returns the connection itself, for SetLine and the like.
func (c *Conn) Unwrap() io.ReadWriteCloser { return c.rw }

// Read reads what is there, at least one octet, until the deadline, the zero
// time meaning none. It returns [os.ErrDeadlineExceeded] at the deadline and
// the context's error when that ends.
func (c *Conn) Read(ctx context.Context, deadline time.Time, p []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if c.pump != nil {
		return c.pump.read(ctx, c.rw, deadline, p)
	}
	if c.life != nil && c.life == ctx.Done() {
		return c.readUnder(ctx, deadline, p)
	}
	// A pipe whose other end is closed refuses deadlines, but ends reads at once.
	if err := c.read.SetReadDeadline(deadline); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return 0, err
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() { _ = c.read.SetReadDeadline(past) })()
	}
	n, err := c.rw.Read(p)
	return n, outcome(ctx, n, err)
}

// readUnder reads under the context that the connection is under for good.
func (c *Conn) readUnder(ctx context.Context, deadline time.Time, p []byte) (int, error) {
	if !c.endless || !deadline.IsZero() {
		if err := c.read.SetReadDeadline(deadline); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			return 0, err
		}
		c.endless = deadline.IsZero()
		if err := ctx.Err(); err != nil { // it ended before the deadline was set
			return 0, err
		}
	}
	n, err := c.rw.Read(p)
	return n, outcome(ctx, n, err)
}

// Write writes all of p until the deadline, the zero time meaning none. A
// connection that knows no deadlines may block for as long as it likes.
func (c *Conn) Write(ctx context.Context, deadline time.Time, p []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.write != nil {
		if err := c.write.SetWriteDeadline(deadline); err != nil && !errors.Is(err, os.ErrNoDeadline) {
			return err
		}
		if c.life != nil && c.life == ctx.Done() {
			if err := ctx.Err(); err != nil { // it ended before the deadline was set
				return err
			}
			return c.writeAll(ctx, p)
		}
		if ctx.Done() != nil {
			defer context.AfterFunc(ctx, func() { _ = c.write.SetWriteDeadline(past) })()
		}
	}
	return c.writeAll(ctx, p)
}

func (c *Conn) writeAll(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		n, err := c.rw.Write(p)
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return outcome(ctx, 0, err)
		}
		p = p[n:]
	}
	return nil
}

// Close closes the connection, which also ends a read.
func (c *Conn) Close() error {
	if c.pump != nil {
		c.pump.once.Do(func() { close(c.pump.done) })
	}
	if c.release != nil {
		c.release()
	}
	return c.rw.Close()
}

// outcome prefers the context's error to the deadline by which it was carried out.
func outcome(ctx context.Context, n int, err error) error {
	if n == 0 && err != nil && ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

// pump reads a connection without deadlines in a goroutine of its own, never
// more than one buffer ahead.
type pump struct {
	start, once sync.Once
	wake        chan struct{} // there is data or an error
	space       chan struct{} // the data were taken
	done        chan struct{}

	mu   sync.Mutex
	data []byte
	err  error
}

func (p *pump) read(ctx context.Context, r io.Reader, deadline time.Time, b []byte) (int, error) {
	p.start.Do(func() { go p.run(r) })
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	for {
		if n, err := p.take(b); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-p.wake:
		case <-expired:
			return 0, os.ErrDeadlineExceeded
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-p.done:
			return 0, io.ErrClosedPipe
		}
	}
}

func (p *pump) take(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(b, p.data)
	p.data = p.data[n:]
	if len(p.data) > 0 {
		return n, nil
	}
	if n > 0 {
		signal(p.space)
		return n, nil
	}
	return 0, p.err
}

func (p *pump) run(r io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		p.mu.Lock()
		p.data, p.err = buf[:n], err
		p.mu.Unlock()
		signal(p.wake)
		if err != nil {
			return
		}
		if n == 0 {
			continue
		}
		select {
		case <-p.space:
		case <-p.done:
			return
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Sleep waits for d, and returns early with the context's error when it ends.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
