package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/internal/stream"
)

// Network are the names of the stations in C12.22, as the contents of AP titles: an
// object identifier with its tag and length, 06 absolute or 80 relative.
type Network struct {
	Called  []byte // the meter
	Calling []byte // us
	// Context is the application context; nil sends none.
	Context []byte
}

// NewNetworkClient returns a client that speaks C12.22 in the clear over a stream
// (TCP) or datagrams (UDP), usually port 1153. It then owns rw.
func NewNetworkClient(rw io.ReadWriteCloser, names Network, cfg *Config) *Client {
	c := &Client{}
	if cfg != nil {
		c.cfg = *cfg
	}
	c.t = &networkTransport{conn: stream.New(rw), cfg: &c.cfg, names: names}
	return c
}

// networkTransport carries each request in a message of its own. Answers to
// requests that were given up are skipped.
type networkTransport struct {
	conn  *stream.Conn
	cfg   *Config
	names Network
	id    uint16
	in    []byte
	buf   [4096]byte
}

const maxNetworkMessage = 1 << 16

func (t *networkTransport) exchange(ctx context.Context, request []byte) ([]byte, error) {
	t.id++
	m := epsem.Message{Control: 0x80, Body: epsem.AppendService(nil, request)}
	if t.names.Context != nil {
		m.Elements = append(m.Elements, epsem.Element{Tag: epsem.TagContext, Content: t.names.Context})
	}
	id := []byte{2, 2, byte(t.id >> 8 & 0x7F), byte(t.id)}
	m.Elements = append(m.Elements,
		epsem.Element{Tag: epsem.TagCalled, Content: t.names.Called},
		epsem.Element{Tag: epsem.TagCalling, Content: t.names.Calling},
		epsem.Element{Tag: epsem.TagCallingID, Content: id})
	b, err := m.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(t.cfg.timeout())
	if t.cfg.Trace != nil {
		t.cfg.Trace(true, b)
	}
	if err := t.conn.Write(ctx, until, b); err != nil {
		return nil, err
	}
	for {
		answer, err := t.receive(ctx, until)
		if err != nil {
			return nil, err
		}
		if called, ok := answer.Get(epsem.TagCalledID); ok && string(called) != string(id) {
			continue
		}
		services, err := answer.Services()
		if err != nil {
			return nil, err
		}
		if len(services) != 1 {
			return nil, fmt.Errorf("session: %d answers to one request: %w", len(services), ErrOtherReply)
		}
		return services[0], nil
	}
}

// receive returns the next message. It is valid until the next call.
func (t *networkTransport) receive(ctx context.Context, until time.Time) (epsem.Message, error) {
	for {
		m, n, err := epsem.Parse(t.in)
		switch {
		case err == nil:
			if t.cfg.Trace != nil {
				t.cfg.Trace(false, t.in[:n])
			}
			t.in = append([]byte(nil), t.in[n:]...)
			return m, nil
		case !errors.Is(err, io.ErrUnexpectedEOF):
			t.in = nil
			return epsem.Message{}, err
		case len(t.in) > maxNetworkMessage:
			return epsem.Message{}, fmt.Errorf("session: %w: message", psem.ErrTooLong)
		}
		n, err = t.conn.Read(ctx, until, t.buf[:])
		t.in = append(t.in, t.buf[:n]...)
		if n > 0 || err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			return epsem.Message{}, fmt.Errorf("session: %w", ErrNoAnswer)
		}
		return epsem.Message{}, err
	}
}

func (t *networkTransport) close() error { return t.conn.Close() }

// Resolve asks a relay for the native address of a station by its AP title, with tag and length.
func (c *Client) Resolve(ctx context.Context, title []byte) ([]byte, error) {
	r, err := c.do(ctx, psem.Unknown{Raw: append([]byte{byte(psem.ServiceResolve)}, title...)})
	if err != nil {
		return nil, err
	}
	if len(r.Body) == 0 || len(r.Body) != 1+int(r.Body[0]) {
		return nil, &psem.ParseError{Field: "native address", Offset: len(r.Body), Err: io.ErrUnexpectedEOF}
	}
	return r.Body[1:], nil
}
