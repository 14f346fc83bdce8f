// Package bus is the master of a wired M-Bus: it reads slaves by primary and by
// secondary address, finds them, and sets what can be set (EN 13757-2 and -3).
//
// The connection may be a serial port behind a level converter or a TCP
// gateway. Echoes of the converter are taken away.
package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
)

// Config is how a master talks. The zero Config, and nil, are usable.
type Config struct {
	Baud         int           // speed of the line, which the time limits depend on; 0: 2400
	Slack        time.Duration // added to the limits for converters and gateways; 0: 1 s on a network connection, else 150 ms
	Retries      int           // repetitions of a request without a valid answer; 0: 2, negative: none
	MaxTelegrams int           // telegrams that one readout may have; 0: 64

	Keys    func(mbus.Address) *mbus.Key // for encrypted telegrams; nil: no keys
	Formats mbus.Formats                 // for compact frames; nil: none
	// Counters remembers the counters of verified telegrams, see [mbus.Decoder]; nil: as long as the Master lives.
	Counters mbus.Counters
	// AcceptUnprotected delivers telegrams without protection of slaves that have a
	// key, marked as unverified; false: they are refused.
	AcceptUnprotected func(mbus.Address) bool

	Trace func(send bool, frame []byte) // gets every frame and all noise on the wire; nil: nobody
	Log   *slog.Logger                  // nil: silent
}

// The ways in which a request can fail, apart from the connection.
var (
	// ErrNoAnswer reports that no slave answered in time.
	ErrNoAnswer = errors.New("bus: no answer")
	// ErrGarbled reports octets that are no frame: several slaves answered at
	// once, or the line is disturbed.
	ErrGarbled = errors.New("bus: garbled answer")
	// ErrUnexpected reports a frame that does not answer the request.
	ErrUnexpected = errors.New("bus: unexpected answer")
)

// Master is the master of one bus. It is not safe for use by several
// goroutines, as the bus itself is not.
type Master struct {
	conn    *stream.Conn
	cfg     Config
	decoder mbus.Decoder
	baud    int

	fcb   [256]bool // of the next request with FCV to an address
	reset [256]bool // the link to an address was reset
	out   []byte
	in    []byte
}

// NewMaster returns the master of the bus at the other end of rw, which it then owns.
func NewMaster(rw io.ReadWriteCloser, cfg *Config) *Master {
	m := &Master{conn: stream.New(rw)}
	if cfg != nil {
		m.cfg = *cfg
	}
	m.baud = m.cfg.Baud
	if m.baud <= 0 {
		m.baud = 2400
	}
	if m.cfg.Slack <= 0 {
		m.cfg.Slack = 150 * time.Millisecond
		if _, network := rw.(net.Conn); network {
			m.cfg.Slack = time.Second
		}
	}
	switch {
	case m.cfg.Retries == 0:
		m.cfg.Retries = 2
	case m.cfg.Retries < 0:
		m.cfg.Retries = 0
	}
	if m.cfg.MaxTelegrams <= 0 {
		m.cfg.MaxTelegrams = 64
	}
	m.decoder.Keys, m.decoder.Formats = m.cfg.Keys, m.cfg.Formats
	m.decoder.Counters, m.decoder.AcceptUnprotected = m.cfg.Counters, m.cfg.AcceptUnprotected
	if m.decoder.Counters == nil {
		m.decoder.Counters = &mbus.MemoryCounters{}
	}
	return m
}

// Close closes the connection.
func (m *Master) Close() error { return m.conn.Close() }

// bits returns the duration of n bit times.
func (m *Master) bits(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(m.baud)
}

// answerTime is how long a slave may take to begin its answer: 330 bit times and 50 ms.
func (m *Master) answerTime() time.Duration { return m.bits(330) + 50*time.Millisecond + m.cfg.Slack }

// gapTime is how long an answer may pause: 22 bit times, and what gateways add.
func (m *Master) gapTime() time.Duration { return m.bits(22) + m.cfg.Slack }

// Reset sends SND_NKE: the slave forgets the frame count bit and begins its
// telegrams anew. Sent to [link.Selected] it deselects; nobody answers then.
func (m *Master) Reset(ctx context.Context, address byte) error {
	f := link.Frame{Form: link.Short, C: link.SndNKE, A: address}
	if address == link.Selected || address == link.Broadcast {
		m.reset[address], m.fcb[address] = true, true
		if address == link.Broadcast {
			return m.send(ctx, f)
		}
		_, err := m.ask(ctx, f)
		if errors.Is(err, ErrNoAnswer) {
			err = nil
		}
		return err
	}
	if err := m.acknowledged(ctx, f); err != nil {
		return err
	}
	m.reset[address], m.fcb[address] = true, true
	return nil
}

// Read reads the data of a slave by its primary address: all telegrams of an
// answer that needs several. On an error it returns those that came before.
func (m *Master) Read(ctx context.Context, address byte) ([]mbus.Telegram, error) {
	if !m.reset[address] {
		if err := m.Reset(ctx, address); err != nil {
			return nil, err
		}
	}
	all, err := m.readAll(ctx, address)
	if err != nil {
		m.reset[address] = false
	}
	return all, err
}

// readAll asks until no more telegrams follow.
func (m *Master) readAll(ctx context.Context, address byte) (all []mbus.Telegram, err error) {
	for range m.cfg.MaxTelegrams {
		t, err := m.request(ctx, address, link.ReqUD2)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		if e, failed := t.AppError(); failed {
			return all, e
		}
		if !t.More {
			return all, nil
		}
	}
	return all, fmt.Errorf("bus: more than %d telegrams of slave %d", m.cfg.MaxTelegrams, address)
}

// request asks for one telegram.
func (m *Master) request(ctx context.Context, address byte, c link.C) (mbus.Telegram, error) {
	f, err := m.counted(ctx, link.Frame{Form: link.Short, C: c, A: address})
	if err != nil {
		return mbus.Telegram{}, err
	}
	if f.Form == link.Ack && c == link.ReqUD1 {
		return mbus.Telegram{}, nil
	}
	if f.Form != link.Long && f.Form != link.Control || f.C.Function() != link.RspUD {
		return mbus.Telegram{}, fmt.Errorf("%w: %s frame to %s of slave %d", ErrUnexpected, f.Form, c, address)
	}
	t, err := m.decoder.Parse(f.Payload, mbus.Lower{})
	return t.Clone(), err
}

// counted sends a frame with the frame count bit of its address, which is
// toggled by a valid answer and kept for repetitions.
func (m *Master) counted(ctx context.Context, f link.Frame) (link.Frame, error) {
	f.C = f.C.WithFCB(m.fcb[f.A])
	reply, err := m.ask(ctx, f)
	if err == nil {
		m.fcb[f.A] = !m.fcb[f.A]
	}
	return reply, err
}

// acknowledged sends a frame that is to be answered by E5.
func (m *Master) acknowledged(ctx context.Context, f link.Frame) error {
	ask := m.ask
	if _, valid := f.C.FCB(); valid {
		ask = m.counted
	}
	reply, err := ask(ctx, f)
	if err == nil && reply.Form != link.Ack {
		err = fmt.Errorf("%w: %s frame to %s of slave %d, want an acknowledgement", ErrUnexpected, reply.Form, f.C, f.A)
	}
	return err
}

// ask sends a frame until a valid answer comes or the repetitions are used up.
func (m *Master) ask(ctx context.Context, f link.Frame) (reply link.Frame, err error) {
	for try := 0; try <= m.cfg.Retries; try++ {
		if try > 0 {
			if err := m.idle(ctx); err != nil {
				return link.Frame{}, err
			}
		}
		if reply, err = m.exchange(ctx, f); err == nil || !errors.Is(err, ErrNoAnswer) && !errors.Is(err, ErrGarbled) {
			return reply, err
		}
		if m.cfg.Log != nil {
			m.cfg.Log.DebugContext(ctx, "no valid answer", "slave", f.A, "control", f.C.String(), "try", try+1, "error", err)
		}
	}
	return link.Frame{}, fmt.Errorf("%w: %s to slave %d", err, f.C, f.A)
}

// exchange sends a frame once and waits for the answer.
func (m *Master) exchange(ctx context.Context, f link.Frame) (link.Frame, error) {
	if err := m.send(ctx, f); err != nil {
		return link.Frame{}, err
	}
	return m.receive(ctx)
}

func (m *Master) send(ctx context.Context, f link.Frame) error {
	var err error
	if m.out, err = f.AppendBinary(m.out[:0]); err != nil {
		return err
	}
	if m.cfg.Trace != nil {
		m.cfg.Trace(true, m.out)
	}
	return m.conn.Write(ctx, time.Now().Add(m.transmission(len(m.out))+time.Second), m.out)
}

// transmission is the time that n octets of eleven bits take.
func (m *Master) transmission(n int) time.Duration { return m.bits(11 * n) }

// receive reads one frame.
func (m *Master) receive(ctx context.Context) (link.Frame, error) {
	m.in = m.in[:0]
	deadline := time.Now().Add(m.transmission(len(m.out)) + m.answerTime())
	var buf [link.MaxFrame]byte
	for {
		n, err := m.conn.Read(ctx, deadline, buf[:])
		m.in = append(m.in, buf[:n]...)
		frame, length, at := answer(m.in, m.out)
		if length > 0 {
			if m.cfg.Trace != nil {
				m.cfg.Trace(false, m.in[at:at+length])
			}
			return frame, nil
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return link.Frame{}, m.silence()
		case err != nil && (n == 0 || !errors.Is(err, io.EOF)):
			return link.Frame{}, err
		case len(m.in) > 4*link.MaxFrame:
			return link.Frame{}, m.silence()
		}
		if n > 0 {
			deadline = time.Now().Add(m.gapTime() + m.transmission(missing(m.in[at:])))
		}
	}
}

// silence says what the octets were that came before the line fell silent.
func (m *Master) silence() error {
	rest := m.in[echo(m.in, m.out):]
	if len(rest) == 0 {
		return ErrNoAnswer
	}
	if m.cfg.Trace != nil {
		m.cfg.Trace(false, rest)
	}
	return ErrGarbled
}

// answer looks for a frame in what was received, behind the echo of what was
// sent and behind noise. It returns the frame, its length and where it begins;
// the length is 0 as long as there is none.
func answer(in, out []byte) (f link.Frame, length, at int) {
	for at = echo(in, out); at < len(in); at++ {
		f, length, err := link.Parse(in[at:])
		if err == nil && !f.C.Primary() {
			return f, length, at
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return link.Frame{}, 0, at
		}
	}
	return link.Frame{}, 0, at
}

// echo returns how many of the first octets received are the echo of those sent.
func echo(in, out []byte) int {
	n := min(len(in), len(out))
	if n == 0 || string(in[:n]) != string(out[:n]) {
		return 0
	}
	return n
}

// missing returns how many octets of a frame whose beginning is b are still to come.
func missing(b []byte) int {
	if len(b) < 2 || b[0] != 0x68 {
		return 0
	}
	return max(0, int(b[1])+6-len(b))
}

// idle waits until the line has been silent for 33 bit times, and drops what still comes.
func (m *Master) idle(ctx context.Context) error {
	var buf [link.MaxFrame]byte
	for range 16 {
		_, err := m.conn.Read(ctx, time.Now().Add(m.bits(33)+10*time.Millisecond), buf[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
