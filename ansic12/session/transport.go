package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/internal/stream"
)

// transport carries a request and brings its answer.
type transport interface {
	exchange(ctx context.Context, request []byte) ([]byte, error)
	// silent reports whether the meter has forgotten the conversation by now.
	silent(now time.Time) bool
	// again goes back to the beginning of a conversation.
	again() error
	close() error
}

// lineTransport is a line with the packets of C12.18.
type lineTransport struct {
	conn *stream.Conn
	link *psem.Link
	cfg  *Config
	line interface {
		SetLine(baud int, framing string) error
	}
	buf [2048]byte

	traffic time.Duration // silence after which the meter forgets the conversation
	last    time.Time     // of traffic
}

// The times of C12.18 and C12.21.
const (
	traffic1218 = 6 * time.Second
	traffic1221 = 30 * time.Second
	char1221    = time.Second
	ack1221     = 4 * time.Second
)

func newLineTransport(rw io.ReadWriteCloser, cfg *Config) *lineTransport {
	t := &lineTransport{conn: stream.New(rw), cfg: cfg}
	t.line, _ = rw.(interface {
		SetLine(baud int, framing string) error
	})
	t.signals(rw)
	t.begin()
	return t
}

// signals sets the lines from which a probe may draw its power. A port that has no
// such lines works without them.
func (t *lineTransport) signals(rw io.ReadWriteCloser) {
	modem, ok := rw.(interface {
		SetRTS(on bool) error
		SetDTR(on bool) error
	})
	if !ok || t.cfg.Signals == KeepSignals {
		return
	}
	err := errors.Join(modem.SetRTS(t.cfg.Signals != DTROn), modem.SetDTR(t.cfg.Signals != RTSOn))
	if err != nil && t.cfg.Logger != nil {
		t.cfg.Logger.Debug("RTS and DTR", "error", err)
	}
}

// begin sets what holds before anything is agreed.
func (t *lineTransport) begin() {
	t.link = psem.NewLink(&psem.LinkConfig{Identity: t.cfg.Identity, Retries: t.cfg.Retries})
	t.traffic, t.last = traffic1218, time.Time{}
}

// silent reports whether the meter has forgotten the conversation by now.
func (t *lineTransport) silent(now time.Time) bool {
	return !t.last.IsZero() && now.Sub(t.last) >= t.traffic
}

// again goes back to the beginning of a conversation.
func (t *lineTransport) again() error {
	t.begin()
	if t.line == nil || t.cfg.Baud == 0 {
		return nil
	}
	return t.line.SetLine(9600, "8N1")
}

// times sets the times of C12.21 and those that were agreed on.
func (t *lineTransport) times(agreed *psem.Timing) {
	cfg := t.link.Config()
	cfg.CharTimeout, cfg.AckTimeout, t.traffic = char1221, ack1221, traffic1221
	if agreed != nil {
		second := func(n uint8, standard time.Duration) time.Duration {
			if n == 0 {
				return standard
			}
			return time.Duration(n) * time.Second
		}
		cfg.CharTimeout, cfg.AckTimeout = second(agreed.InterChar, char1221), second(agreed.Response, ack1221)
		t.traffic = second(agreed.Traffic, traffic1221)
		if cfg.Retries = int(agreed.Retries); cfg.Retries == 0 {
			cfg.Retries = -1
		}
	}
	t.link.Configure(cfg)
}

func (t *lineTransport) exchange(ctx context.Context, request []byte) ([]byte, error) {
	if err := t.link.Send(request); err != nil {
		return nil, err
	}
	t.link.Expect(time.Now().Add(t.cfg.timeout()))
	var message []byte
	for {
		step := t.link.Poll(time.Now())
		switch step.Kind {
		case psem.StepSend:
			if t.cfg.Trace != nil {
				t.cfg.Trace(true, step.Data)
			}
			if err := t.conn.Write(ctx, time.Now().Add(t.cfg.timeout()), step.Data); err != nil {
				return nil, err
			}
		case psem.StepMessage:
			message = append([]byte(nil), step.Data...)
			t.last = time.Now()
			return message, nil
		case psem.StepFailed:
			return nil, step.Err
		default:
			if err := t.read(ctx, step.Until); err != nil {
				return nil, err
			}
		}
	}
}

func (t *lineTransport) read(ctx context.Context, until time.Time) error {
	n, err := t.conn.Read(ctx, until, t.buf[:])
	if n > 0 {
		if t.cfg.Trace != nil {
			t.cfg.Trace(false, t.buf[:n])
		}
		t.link.Feed(time.Now(), t.buf[:n])
		return nil
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

// negotiated sets what the meter agreed to. The rate changes at once.
func (t *lineTransport) negotiated(n psem.Negotiated) error {
	cfg := t.link.Config()
	cfg.PacketSize, cfg.Packets = int(n.PacketSize), int(n.Packets)
	t.link.Configure(cfg)
	baud, ok := psem.BaudRate(n.Baud)
	if !ok || t.line == nil || t.cfg.Baud == 0 {
		return nil
	}
	if err := t.line.SetLine(baud, "8N1"); err != nil {
		return fmt.Errorf("session: %d baud: %w", baud, err)
	}
	return nil
}

func (t *lineTransport) close() error { return t.conn.Close() }
