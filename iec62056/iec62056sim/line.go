package iec62056sim

import (
	"io"
	"math/bits"
	"os"
	"sync"
	"time"
)

// Port is one end of a serial line inside the process. Characters take their
// time on it, and whoever listens at another rate or with another framing than
// the sender gets what a real port would show: garbage, or parity bits.
//
// It has SetLine, Drain and deadlines, as ports of serial hardware have.
type Port struct {
	line *wire
	end  int // 0 or 1
}

// wire is what both ends share.
type wire struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when anything changes
	ends    [2]endpoint
}

type endpoint struct {
	settings []setting   // how this end was set, oldest first
	incoming []character // on their way to this end, in order
	sentAt   time.Time   // when the last character that this end sent has left
	deadline time.Time
	closed   bool
}

type setting struct {
	from    time.Time
	baud    int
	framing string
}

type character struct {
	value byte
	at    time.Time
	sent  setting
}

// Line returns the two ends of a line, both at 300 baud 7E1.
func Line() (*Port, *Port) {
	w := &wire{changed: make(chan struct{})}
	for i := range w.ends {
		w.ends[i].settings = []setting{{baud: 300, framing: "7E1"}}
	}
	return &Port{w, 0}, &Port{w, 1}
}

// notify wakes whoever waits. The lock is held.
func (w *wire) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// SetLine changes rate and framing ("7E1", "8N1") of this end.
func (p *Port) SetLine(baud int, framing string) error {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	e := &p.line.ends[p.end]
	e.forget()
	e.settings = append(e.settings, setting{time.Now(), baud, framing})
	return nil
}

// Baud returns the rate of this end.
func (p *Port) Baud() int {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	s := p.line.ends[p.end].settings
	return s[len(s)-1].baud
}

// Write queues characters, which then leave one after the other.
func (p *Port) Write(b []byte) (int, error) {
	w := p.line
	w.mu.Lock()
	defer w.mu.Unlock()
	own, other := &w.ends[p.end], &w.ends[1-p.end]
	if own.closed || other.closed {
		return 0, io.ErrClosedPipe
	}
	now := time.Now()
	if own.sentAt.Before(now) {
		own.sentAt = now
	}
	set := own.settings[len(own.settings)-1]
	for _, c := range b {
		own.sentAt = own.sentAt.Add(10 * time.Second / time.Duration(set.baud))
		other.incoming = append(other.incoming, character{c, own.sentAt, set})
	}
	w.notify()
	return len(b), nil
}

// Drain returns when all that was written has left the port.
func (p *Port) Drain() error {
	p.line.mu.Lock()
	left := time.Until(p.line.ends[p.end].sentAt)
	p.line.mu.Unlock()
	time.Sleep(left)
	return nil
}

// Read waits for at least one character, until the deadline.
func (p *Port) Read(b []byte) (int, error) {
	w := p.line
	for {
		w.mu.Lock()
		own := &w.ends[p.end]
		n, next := own.take(b, time.Now())
		closed := own.closed || w.ends[1-p.end].closed && len(own.incoming) == 0
		deadline, changed := own.deadline, w.changed
		w.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case closed:
			return 0, io.EOF
		case !deadline.IsZero() && !time.Now().Before(deadline):
			return 0, os.ErrDeadlineExceeded
		case !deadline.IsZero() && (next.IsZero() || deadline.Before(next)):
			next = deadline
		}
		wait(next, changed)
	}
}

// wait returns at the time, where it is not zero, or when something changed.
func wait(until time.Time, changed <-chan struct{}) {
	if until.IsZero() {
		<-changed
		return
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	}
}

// take moves the characters that have arrived to b, and returns when the next one will.
func (e *endpoint) take(b []byte, now time.Time) (n int, next time.Time) {
	for len(e.incoming) > 0 && n < len(b) {
		c := e.incoming[0]
		if c.at.After(now) {
			return n, c.at
		}
		b[n] = c.seenBy(e.settingAt(c.at))
		n++
		e.incoming = e.incoming[1:]
	}
	return n, time.Time{}
}

// forget drops settings that no character on its way can meet any more.
func (e *endpoint) forget() {
	oldest := time.Now()
	if len(e.incoming) > 0 {
		oldest = e.incoming[0].at
	}
	for len(e.settings) > 1 && !e.settings[1].from.After(oldest) {
		e.settings = e.settings[1:]
	}
}

func (e *endpoint) settingAt(t time.Time) setting {
	s := e.settings[0]
	for _, later := range e.settings[1:] {
		if later.from.After(t) {
			break
		}
		s = later
	}
	return s
}

// seenBy is what a port with this setting makes of the character.
func (c character) seenBy(s setting) byte {
	v := c.value
	if c.sent.baud != s.baud {
		return v*37 | 0x80
	}
	if c.sent.framing == "7E1" {
		v &= 0x7F
		if s.framing != "7E1" {
			v |= byte(bits.OnesCount8(v)&1) << 7
		}
	}
	if s.framing == "7E1" {
		v &= 0x7F
	}
	return v
}

// SetReadDeadline ends reads at t; the zero time means never.
func (p *Port) SetReadDeadline(t time.Time) error {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	p.line.ends[p.end].deadline = t
	p.line.notify()
	return nil
}

// Close ends reads and writes of both ends.
func (p *Port) Close() error {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	p.line.ends[p.end].closed = true
	p.line.notify()
	return nil
}
