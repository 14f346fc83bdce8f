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
}

func newLineTransport(rw io.ReadWriteCloser, cfg *Config) *lineTransport {
	t := &lineTransport{conn: stream.New(rw), cfg: cfg, link: psem.NewLink(&psem.LinkConfig{Identity: cfg.Identity, Retries: cfg.Retries})}
	t.line, _ = rw.(interface {
		SetLine(baud int, framing string) error
	})
	return t
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
