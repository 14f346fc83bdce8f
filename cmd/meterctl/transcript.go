package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/keys"
)

// traceFrame shows a frame with its fields on standard error.
func (a *app) traceFrame(send bool, frame []byte) {
	mark := "<"
	if send {
		mark = ">"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s % x\n", mark, frame)
	var fields bytes.Buffer
	if err := explain(&fields, bytes.NewReader(frame), &meter.Config{}); err == nil {
		for line := range strings.Lines(fields.String()) {
			b.WriteString("    " + line)
		}
	}
	_, _ = a.stderr.Write(b.Bytes())
}

// transcript makes cfg record the conversation to --record, or take it from --replay.
func (a *app) transcript(cfg *meter.Config) error {
	hide := hider(cfg.Keys)
	if a.replay != "" {
		f, err := os.Open(a.replay)
		if err != nil {
			return configError{err}
		}
		defer f.Close()
		steps, err := parseTranscript(f)
		if err != nil {
			return configf("%s: %w", a.replay, err)
		}
		cfg.Open = func(context.Context, meter.Target, *meter.Config) (io.ReadWriteCloser, error) {
			return &replayer{steps: steps, hide: hide}, nil
		}
		return nil
	}
	out, err := os.OpenFile(a.record, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // what meters say concerns nobody
	if err != nil {
		return configError{err}
	}
	start := time.Now()
	cfg.Open = func(ctx context.Context, t meter.Target, cfg *meter.Config) (io.ReadWriteCloser, error) {
		rw, err := meter.Open(ctx, t, cfg)
		if err != nil {
			return nil, err
		}
		return &recorder{ReadWriteCloser: rw, out: out, start: start, hide: hide}, nil
	}
	return nil
}

// hider returns what replaces passwords in octets by as many "*".
func hider(set keys.Set) func([]byte) []byte {
	var passwords [][]byte
	for own := range set.All {
		if len(own.Password) > 0 {
			passwords = append(passwords, own.Password)
		}
	}
	return func(b []byte) []byte {
		for _, p := range passwords {
			b = bytes.ReplaceAll(b, p, bytes.Repeat([]byte("*"), len(p)))
		}
		return b
	}
}

// recorder writes a line for all that is sent (">") and received ("<"), passwords
// replaced by "*":
//
//	> 0.000 7ea0070321930f017e
//	< 0.012 7ea0070321730f017e
type recorder struct {
	io.ReadWriteCloser
	mu    sync.Mutex
	out   *os.File
	start time.Time
	hide  func([]byte) []byte
}

func (r *recorder) line(mark string, b []byte) {
	if len(b) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "%s %.3f %x\n", mark, time.Since(r.start).Seconds(), r.hide(b))
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(b)
	r.line("<", b[:n])
	return n, err
}

func (r *recorder) Write(b []byte) (int, error) {
	r.line(">", b)
	return r.ReadWriteCloser.Write(b)
}

// The connection's own abilities pass through.

func (r *recorder) SetReadDeadline(t time.Time) error {
	if d, ok := r.ReadWriteCloser.(interface{ SetReadDeadline(time.Time) error }); ok {
		return d.SetReadDeadline(t)
	}
	return os.ErrNoDeadline
}

func (r *recorder) SetWriteDeadline(t time.Time) error {
	if d, ok := r.ReadWriteCloser.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return d.SetWriteDeadline(t)
	}
	return os.ErrNoDeadline
}

func (r *recorder) SetLine(baud int, framing string) error {
	if l, ok := r.ReadWriteCloser.(interface{ SetLine(int, string) error }); ok {
		return l.SetLine(baud, framing)
	}
	return nil
}

// step is what one side said before the other did.
type step struct {
	sent   bool
	octets []byte
}

func parseTranscript(r io.Reader) (steps []step, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<22)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		if len(fields) != 3 || fields[0] != ">" && fields[0] != "<" {
			return nil, fmt.Errorf("line %d: want > or <, a time and hexadecimal digits", n)
		}
		b, err := hex.DecodeString(fields[2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		sent := fields[0] == ">"
		if last := len(steps) - 1; last >= 0 && steps[last].sent == sent {
			steps[last].octets = append(steps[last].octets, b...)
			continue
		}
		steps = append(steps, step{sent, b})
	}
	return steps, lines.Err()
}

// replayer plays the meter's part of a recorded conversation. What is sent must
// be what was sent then.
type replayer struct {
	mu       sync.Mutex
	steps    []step
	hide     func([]byte) []byte
	deadline time.Time
}

var errDiffers = errors.New("replay: the conversation differs from the recorded one")

func (r *replayer) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, c := range r.hide(b) {
		if len(r.steps) > 0 && len(r.steps[0].octets) == 0 {
			r.steps = r.steps[1:]
		}
		if len(r.steps) == 0 || !r.steps[0].sent || r.steps[0].octets[0] != c {
			return i, fmt.Errorf("%w: sent % x", errDiffers, b[i:])
		}
		r.steps[0].octets = r.steps[0].octets[1:]
	}
	return len(b), nil
}

func (r *replayer) Read(b []byte) (int, error) {
	for {
		r.mu.Lock()
		if len(r.steps) > 0 && len(r.steps[0].octets) == 0 {
			r.steps = r.steps[1:]
		}
		if len(r.steps) == 0 {
			r.mu.Unlock()
			return 0, io.EOF
		}
		if !r.steps[0].sent {
			n := copy(b, r.steps[0].octets)
			r.steps[0].octets = r.steps[0].octets[n:]
			r.mu.Unlock()
			return n, nil
		}
		deadline := r.deadline
		r.mu.Unlock()
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		time.Sleep(time.Millisecond) // it is our turn to send
	}
}

func (r *replayer) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
	return nil
}

func (r *replayer) SetWriteDeadline(time.Time) error { return nil }
func (r *replayer) SetLine(int, string) error        { return nil }
func (r *replayer) Close() error                     { return nil }
