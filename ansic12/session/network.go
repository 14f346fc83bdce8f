package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/internal/stream"
)

// Network tells how messages of C12.22 are addressed and secured.
type Network struct {
	Called  epsem.Title // the meter; nil leaves it out, for the only station there
	Calling epsem.Title // us; nil leaves it out
	// Context is the content of the application context; nil sends none.
	Context []byte

	// Sessionless sends each request for itself, with the password beside it; else a
	// session is opened.
	Sessionless bool
	// Datagrams says that the connection keeps messages apart (UDP) and may lose them.
	Datagrams bool

	// Security is how requests are secured by EAX', and how answers must be. EAX' is
	// weak (see package epsem): it hides what is sent from a casual reader.
	Security epsem.Security
	Key      []byte // 16 octets
	KeyID    uint8
	Vectors  epsem.Vectors // demanded where requests are secured
}

// ErrUnsecured reports an answer that is not secured as the request was.
var ErrUnsecured = errors.New("the answer is not secured as the request was")

// NewNetworkClient returns a client that speaks C12.22 over a stream (TCP) or
// datagrams (UDP), usually port 1153. It then owns rw.
func NewNetworkClient(rw io.ReadWriteCloser, names Network, cfg *Config) *Client {
	c := &Client{part: firstPart}
	if cfg != nil {
		c.cfg = *cfg
	}
	c.t = &networkTransport{conn: stream.New(rw), cfg: &c.cfg, Network: names, id: uint16(rand.Uint32())}
	return c
}

// networkTransport carries each request in a message of its own. Answers to
// requests that were given up are skipped.
type networkTransport struct {
	Network
	conn *stream.Conn
	cfg  *Config
	id   uint16        // of the last message
	idle time.Duration // silence after which the meter ends the session
	last time.Time     // of an answer
	in   []byte
}

const (
	maxNetworkMessage = 1 << 16
	datagramRetries   = 3
	refusedPause      = 100 * time.Millisecond // before a datagram that nobody takes is sent again
)

func (t *networkTransport) exchange(ctx context.Context, request []byte) ([]byte, error) {
	t.id = (t.id + 1) & 0x7FFF
	m, err := t.message(request)
	if err != nil {
		return nil, err
	}
	b, err := t.seal(m)
	if err != nil {
		return nil, err
	}
	tries, wait := 1, t.cfg.timeout()
	if t.Datagrams && repeatable(request) {
		tries += t.retries()
		wait /= time.Duration(tries)
	}
	for ; ; tries-- {
		answer, err := t.once(ctx, b, time.Now().Add(wait))
		if tries <= 1 || !errors.Is(err, ErrNoAnswer) {
			return answer, err
		}
	}
}

func (t *networkTransport) retries() int {
	if t.cfg.Retries == 0 {
		return datagramRetries
	}
	return max(t.cfg.Retries, 0)
}

// repeatable reports whether a request may come twice: those that only read.
func repeatable(request []byte) bool {
	if len(request) == 0 {
		return false
	}
	s := psem.Service(request[0])
	return s == psem.ServiceIdentify || s == psem.ServiceResolve || s == psem.ServiceTrace || s >= psem.ServiceRead && s < psem.ServiceWrite
}

// message addresses a request.
func (t *networkTransport) message(request []byte) (epsem.Message, error) {
	m := epsem.Message{Control: 0x80}
	if t.Sessionless && t.cfg.Password != "" && psem.Service(request[0]) >= psem.ServiceRead {
		security, err := t.cfg.security(true)
		if err != nil {
			return m, err
		}
		b, _ := security.AppendBinary(nil)
		m.Body = epsem.AppendService(m.Body, b)
	}
	m.Body = epsem.AppendService(m.Body, request)
	add := func(tag byte, content []byte) {
		if content != nil {
			m.Elements = append(m.Elements, epsem.Element{Tag: tag, Content: content})
		}
	}
	add(epsem.TagContext, t.Context)
	add(epsem.TagCalled, t.Called)
	add(epsem.TagCalling, t.Calling)
	add(epsem.TagCallingID, t.invocation())
	return m, nil
}

// invocation is the invocation id of the request, an integer.
func (t *networkTransport) invocation() []byte { return []byte{2, 2, byte(t.id >> 8), byte(t.id)} }

// Buffers are lent to those that wait for an answer: most sessions wait for nothing. A
// datagram that does not fit loses its end.
var (
	datagrams = sync.Pool{New: func() any { b := make([]byte, maxNetworkMessage); return &b }}
	streams   = sync.Pool{New: func() any { b := make([]byte, 2048); return &b }}
)

func (t *networkTransport) buffers() *sync.Pool {
	if t.Datagrams {
		return &datagrams
	}
	return &streams
}

// seal secures a message where that is wanted.
func (t *networkTransport) seal(m epsem.Message) ([]byte, error) {
	if t.Security == epsem.Clear {
		return m.AppendBinary(nil)
	}
	if t.Vectors == nil {
		return nil, epsem.ErrNoVectors
	}
	vector, err := t.Vectors()
	if err != nil {
		return nil, err
	}
	return m.Seal(t.Security, t.Key, t.KeyID, vector)
}

// once sends a message and waits for its answer.
func (t *networkTransport) once(ctx context.Context, b []byte, until time.Time) ([]byte, error) {
	if t.cfg.Trace != nil {
		t.cfg.Trace(true, b)
	}
	if err := t.conn.Write(ctx, until, b); err != nil {
		return nil, err
	}
	for {
		m, err := t.receive(ctx, until)
		if err != nil {
			return nil, err
		}
		if t.answers(&m) {
			t.last = time.Now()
			return t.open(&m)
		}
	}
}

// answers reports whether a message is the answer to the last request: by the
// invocation id, and by both titles where they are there.
func (t *networkTransport) answers(m *epsem.Message) bool {
	id, ok := m.Get(epsem.TagCalledID)
	if ok && string(id) != string(t.invocation()) {
		return false
	}
	called, ok := m.Get(epsem.TagCalled)
	if ok && t.Calling != nil && !t.Calling.Equal(called) {
		return false
	}
	calling, ok := m.Get(epsem.TagCalling)
	return !ok || t.Called == nil || t.Called.Equal(calling)
}

// open returns the answer in a message. Where services went before the request in
// its message, their answers may be there, too: the first refusal counts.
func (t *networkTransport) open(m *epsem.Message) ([]byte, error) {
	services, err := m.Services()
	switch {
	case t.Security == epsem.Clear && err != nil:
		return nil, err
	case t.Security != epsem.Clear && m.Security() >= t.Security:
		opened, err := m.Verify(t.Key)
		if err != nil {
			return nil, fmt.Errorf("session: %w: %w", ErrAuth, err)
		}
		services = opened.Services
	case t.Security != epsem.Clear && !refusal(services):
		return nil, fmt.Errorf("session: %w: %w", ErrAuth, ErrUnsecured)
	}
	if len(services) < 1 || len(services) > 2 || len(services) == 2 && !t.Sessionless {
		return nil, fmt.Errorf("session: %d answers to one request: %w", len(services), ErrOtherReply)
	}
	if len(services[0]) > 0 && psem.Status(services[0][0]) != psem.OK {
		return services[0], nil
	}
	return services[len(services)-1], nil
}

// refusal reports whether an answer is nothing but a refusal, which a meter may send in
// the clear because it could not make sense of the request.
func refusal(services [][]byte) bool {
	return len(services) == 1 && len(services[0]) == 1 && psem.Status(services[0][0]) != psem.OK
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
			if t.in = append([]byte(nil), t.in[n:]...); t.Datagrams {
				t.in = nil
			}
			return m, nil
		case t.Datagrams:
			t.in = nil // a datagram that is no message is none of ours
		case !errors.Is(err, io.ErrUnexpectedEOF):
			t.in = nil
			return epsem.Message{}, err
		case len(t.in) > maxNetworkMessage:
			return epsem.Message{}, fmt.Errorf("session: %w: message", psem.ErrTooLong)
		}
		buf := t.buffers().Get().(*[]byte)
		n, err = t.conn.Read(ctx, until, *buf)
		t.in = append(t.in, (*buf)[:n]...)
		t.buffers().Put(buf)
		if n > 0 || err == nil {
			continue
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			return epsem.Message{}, fmt.Errorf("session: %w", ErrNoAnswer)
		case t.Datagrams && errors.Is(err, syscall.ECONNREFUSED):
			if err := stream.Sleep(ctx, refusedPause); err != nil {
				return epsem.Message{}, err
			}
			return epsem.Message{}, fmt.Errorf("session: %w: %w", ErrNoAnswer, err)
		}
		return epsem.Message{}, err
	}
}

func (t *networkTransport) silent(now time.Time) bool {
	return t.idle > 0 && now.Sub(t.last) >= t.idle
}

func (t *networkTransport) again() error { return nil }

func (t *networkTransport) close() error { return t.conn.Close() }

// Register makes a station known to the relay at the other end, and returns under
// which title and for how long.
func (c *Client) Register(ctx context.Context, station psem.Register) (psem.Registration, error) {
	r, err := c.do(ctx, station)
	if err != nil {
		return psem.Registration{}, err
	}
	return r.Registration()
}

// Deregister has the relay at the other end forget a station.
func (c *Client) Deregister(ctx context.Context, title epsem.Title) error {
	_, err := c.do(ctx, psem.Lookup{Code: psem.ServiceDeregister, Title: title})
	return err
}

// Resolve asks a relay for the native address of a station.
func (c *Client) Resolve(ctx context.Context, title epsem.Title) ([]byte, error) {
	r, err := c.do(ctx, psem.Lookup{Code: psem.ServiceResolve, Title: title})
	if err != nil {
		return nil, err
	}
	return r.Address()
}

// TraceRoute asks for the relays on the way to a station.
func (c *Client) TraceRoute(ctx context.Context, title epsem.Title) (relays []epsem.Title, err error) {
	r, err := c.do(ctx, psem.Lookup{Code: psem.ServiceTrace, Title: title})
	if err != nil {
		return nil, err
	}
	titles, err := r.Titles()
	for _, t := range titles {
		relays = append(relays, t)
	}
	return relays, err
}
