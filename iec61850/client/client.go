// Package client is an MMS client of IEC 61850: it reads and writes the data of
// a server, and receives its reports.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/internal/stream"
)

// Config describes a client. A nil Config works.
type Config struct {
	MaxPDU   int            // octets that we receive; zero means 65,000
	Calling  *mms.Selectors // nil means [mms.DefaultSelectors]
	Called   *mms.Selectors // nil means [mms.DefaultSelectors]
	Password []byte         // nil means none
	Timeout  time.Duration  // for each answer; zero means 10 s
	TLS      *tls.Config    // of [Dial]; nil means plain TCP
	// Information is called for every information report, one at a time, in the
	// order of their coming. It must not call the client. Nil drops them.
	Information func(mms.Information)

	Trace  func(send bool, frame []byte) // called for the octets of every message on the wire; nil for none
	Logger *slog.Logger                  // nil is silent
}

// Client is one association. Its methods may be called from several goroutines;
// as many requests are outstanding as the server allows.
type Client struct {
	cfg       Config
	conn      *stream.Conn
	stack     mms.Stack
	agreed    mms.Initiate
	slots     chan struct{}
	done      chan struct{}
	life      context.Context // of the connection
	cancel    context.CancelFunc
	sending   sync.Mutex
	pdu, out  []byte // memory of the sender
	concluded chan struct{}
	once      sync.Once
	calls     sync.Pool // of *call, that no goroutine uses

	mu      sync.Mutex
	nextID  uint32
	waiting map[uint32]chan answer
	files   map[string][]byte // that the server may fetch
	err     error

	open     map[uint32]*bytes.Reader // files that the server reads, used by the receiver alone
	nextFile uint32
}

type answer struct {
	pdu mms.PDU
	err error
}

// ErrRefused reports that the server does not associate with this client.
var ErrRefused = errors.New("client: association refused")

// Dial connects to a TCP address, as "192.0.2.7:102".
func Dial(ctx context.Context, address string, cfg *Config) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if cfg != nil && cfg.TLS != nil {
		secure := tls.Client(conn, cfg.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		conn = secure
	}
	return New(ctx, conn, cfg)
}

// New associates over a connection, which the Client then owns.
func New(ctx context.Context, rw io.ReadWriteCloser, cfg *Config) (*Client, error) {
	c := &Client{conn: stream.New(rw), done: make(chan struct{}), waiting: map[uint32]chan answer{}, concluded: make(chan struct{})}
	if cfg != nil {
		c.cfg = *cfg
	}
	if c.cfg.MaxPDU == 0 {
		c.cfg.MaxPDU = 65000
	}
	if c.cfg.Timeout == 0 {
		c.cfg.Timeout = 10 * time.Second
	}
	if c.cfg.Logger == nil {
		c.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for _, s := range []**mms.Selectors{&c.cfg.Calling, &c.cfg.Called} {
		if *s == nil {
			d := mms.DefaultSelectors()
			*s = &d
		}
	}
	c.stack.MaxTSDU = c.cfg.MaxPDU + 1024
	rest, err := c.associate(ctx)
	if err != nil {
		_ = c.conn.Close()
		return nil, err
	}
	c.slots = make(chan struct{}, max(1, min(c.agreed.Calling, 64)))
	c.life, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.conn.Under(c.life)
	go c.receive(c.life, rest)
	return c, nil
}

// Agreed returns what the server agreed to.
func (c *Client) Agreed() mms.Initiate { return c.agreed }

// associate does the handshake; rest is what came behind it.
func (c *Client) associate(ctx context.Context) (rest []byte, err error) {
	deadline := time.Now().Add(c.cfg.Timeout)
	out, err := c.stack.AppendConnect(nil, *c.cfg.Calling, *c.cfg.Called)
	if err != nil {
		return nil, err
	}
	in, buf := []byte(nil), make([]byte, 4096)
	for {
		if len(out) > 0 {
			c.trace(true, out)
			if err := c.conn.Write(ctx, deadline, out); err != nil {
				return nil, err
			}
		}
		n, err := c.conn.Read(ctx, deadline, buf)
		if err != nil {
			return nil, fmt.Errorf("client: association: %w", err)
		}
		in = append(in, buf[:n]...)
		out = out[:0]
		for len(in) > 0 {
			ev, n, answer, err := c.stack.Next(in, out)
			if incomplete(in, err) {
				break
			}
			if err != nil {
				return nil, err
			}
			c.trace(false, in[:n])
			in, out = in[n:], answer
			switch ev.Kind {
			case mms.TransportOpen:
				if out, err = c.stack.AppendAssociate(out, *c.cfg.Calling, *c.cfg.Called, nil, c.cfg.Password, c.initiate()); err != nil {
					return nil, err
				}
			case mms.AssociateOut:
				return in, c.agree(ev)
			case mms.Aborted, mms.Released:
				return nil, ErrRefused
			}
		}
	}
}

// incomplete reports whether err means that the packet at the start of b is not complete.
func incomplete(b []byte, err error) bool {
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	_, _, err = mms.ParseTPKT(b)
	return errors.Is(err, io.ErrUnexpectedEOF)
}

func (c *Client) initiate() []byte {
	i := mms.Initiate{MaxPDU: c.cfg.MaxPDU, Calling: 5, Called: 5, Nesting: 10, Version: 1, CBB: mms.DefaultCBB}
	i.Services.Set(mms.Status, mms.GetNameList, mms.Identify, mms.Read, mms.Write, mms.GetVariableAttributes, mms.DefineNamedVariableList,
		mms.GetNamedVariableList, mms.DeleteNamedVariableList, mms.ReadJournal, mms.FileOpen, mms.FileRead, mms.FileClose,
		mms.FileRename, mms.FileDelete, mms.FileDirectory, mms.ObtainFile, 79, 83)
	return i.Append(nil)
}

// agree reads the answer of the server.
func (c *Client) agree(ev mms.Event) error {
	if ev.ACSE.Result != 0 {
		return fmt.Errorf("%w: result %d, diagnostic %d", ErrRefused, ev.ACSE.Result, ev.ACSE.Diagnostic)
	}
	p, err := mms.ParsePDU(ev.PDU)
	if err != nil {
		return err
	}
	if p.Kind != mms.InitiateResponse {
		return fmt.Errorf("%w: PDU 0x%02x", ErrRefused, byte(p.Kind))
	}
	c.agreed, err = p.Initiate()
	return err
}

func (c *Client) trace(send bool, b []byte) {
	if c.cfg.Trace != nil {
		c.cfg.Trace(send, b)
	}
}

// receive reads until the connection ends.
func (c *Client) receive(ctx context.Context, in []byte) {
	err := c.loop(ctx, append(make([]byte, 0, 4096), in...))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		err = net.ErrClosed
	}
	c.err = err
	for id, w := range c.waiting {
		w <- answer{err: err}
		delete(c.waiting, id)
	}
	_ = c.conn.Close()
	close(c.done)
}

func (c *Client) loop(ctx context.Context, in []byte) error {
	var out []byte
	for {
		used := 0
		for used < len(in) {
			ev, n, answer, err := c.stack.Next(in[used:], out[:0])
			out = answer
			if incomplete(in[used:], err) {
				break
			}
			if err != nil {
				return err
			}
			c.trace(false, in[used:used+n])
			used += n
			switch ev.Kind {
			case mms.PDUIn:
				c.dispatch(ev.PDU)
			case mms.Released, mms.Aborted:
				return nil
			}
		}
		in = in[:copy(in, in[used:])]
		if len(in) == cap(in) {
			in = append(make([]byte, 0, 2*cap(in)), in...)
		}
		n, err := c.conn.Read(ctx, time.Time{}, in[len(in):cap(in)])
		if err != nil {
			return err
		}
		in = in[:len(in)+n]
	}
}

// dispatch gives a PDU to who waits for it.
func (c *Client) dispatch(b []byte) {
	p, err := mms.ParsePDU(b)
	if err != nil {
		c.cfg.Logger.Warn("PDU not understood", "error", err)
		return
	}
	switch p.Kind {
	case mms.ConfirmedResponse, mms.ConfirmedError:
		c.deliver(p.InvokeID, b)
	case mms.RejectPDUKind:
		if r, err := p.Reject(); err == nil && r.HasInvokeID {
			c.deliver(r.InvokeID, b)
		}
	case mms.ConfirmedRequest:
		c.serve(p)
	case mms.ConcludeResponse, mms.ConcludeError:
		c.once.Do(func() { close(c.concluded) })
	case mms.Unconfirmed:
		if c.cfg.Information == nil {
			return
		}
		if i, err := p.Information(); err == nil {
			c.cfg.Information(i)
		} else {
			c.cfg.Logger.Warn("report not understood", "error", err)
		}
	}
}

// deliver hands a copy of an answer over.
func (c *Client) deliver(id uint32, b []byte) {
	c.mu.Lock()
	w := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if w == nil {
		return
	}
	p, err := mms.ParsePDU(append([]byte(nil), b...))
	w <- answer{p, err}
}

// call is a request that waits for its answer. Its memory serves many.
type call struct {
	answer chan answer
	timer  *time.Timer
}

// call returns one that times out after the time for each answer.
func (c *Client) call() *call {
	if w, ok := c.calls.Get().(*call); ok {
		w.timer.Reset(c.cfg.Timeout)
		return w
	}
	return &call{answer: make(chan answer, 1), timer: time.NewTimer(c.cfg.Timeout)}
}

// do sends a request and returns the parameters of the response.
func (c *Client) do(ctx context.Context, s mms.Service, build func(dst []byte, id uint32) []byte) (mms.Body, error) {
	if ctx.Err() != nil {
		return mms.Body{}, context.Cause(ctx)
	}
	w := c.call()
	defer w.timer.Stop()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.done:
		return mms.Body{}, c.err
	case <-ctx.Done():
		return mms.Body{}, context.Cause(ctx)
	case <-w.timer.C:
		return mms.Body{}, os.ErrDeadlineExceeded
	}
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return mms.Body{}, c.err
	}
	c.nextID++
	id := c.nextID
	c.waiting[id] = w.answer
	c.mu.Unlock()
	if err := c.sendBuilt(func(dst []byte) []byte { return build(dst, id) }); err != nil {
		c.forget(id)
		return mms.Body{}, err
	}
	select {
	case a := <-w.answer:
		w.timer.Stop()
		c.calls.Put(w)
		return c.outcome(s, a)
	case <-ctx.Done():
		c.forget(id)
		return mms.Body{}, context.Cause(ctx)
	case <-w.timer.C:
		c.forget(id)
		return mms.Body{}, os.ErrDeadlineExceeded
	}
}

func (c *Client) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// send sends a PDU. The end of a request's context does not end the writing of
// it, which would leave half a message on the wire.
func (c *Client) send(pdu []byte) error {
	return c.sendBuilt(func(dst []byte) []byte { return append(dst, pdu...) })
}

// sendBuilt sends the PDU that build appends.
func (c *Client) sendBuilt(build func(dst []byte) []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.pdu = build(c.pdu[:0])
	c.out = c.stack.AppendPDU(c.out[:0], c.pdu)
	c.trace(true, c.out)
	return c.conn.Write(c.life, time.Now().Add(c.cfg.Timeout), c.out)
}

func (c *Client) outcome(s mms.Service, a answer) (mms.Body, error) {
	if a.err != nil {
		return mms.Body{}, a.err
	}
	switch a.pdu.Kind {
	case mms.ConfirmedError:
		e, err := a.pdu.ServiceError()
		if err == nil {
			err = e
		}
		return mms.Body{}, err
	case mms.RejectPDUKind:
		r, err := a.pdu.Reject()
		if err == nil {
			err = r
		}
		return mms.Body{}, err
	}
	if a.pdu.Service != s {
		return mms.Body{}, fmt.Errorf("client: answer to service %d, want %d", a.pdu.Service, s)
	}
	return a.pdu.Body, nil
}

// request does a service whose request is constructed or not.
func (c *Client) request(ctx context.Context, s mms.Service, constructed bool, params func([]byte) []byte) (mms.Body, error) {
	return c.do(ctx, s, func(dst []byte, id uint32) []byte {
		return mms.AppendConfirmed(dst, mms.ConfirmedRequest, id, s, constructed, params)
	})
}

// Done is closed when the association ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Conclude ends the association as MMS has it, then releases it and closes the connection.
func (c *Client) Conclude(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	defer c.Close()
	if err := c.send(mms.AppendConclude(nil, mms.ConcludeRequest)); err != nil {
		return err
	}
	select {
	case <-c.concluded:
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	c.sending.Lock()
	out, err := c.stack.AppendRelease(nil)
	if err == nil {
		c.trace(true, out)
		err = c.conn.Write(ctx, time.Now().Add(c.cfg.Timeout), out)
	}
	c.sending.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the connection.
func (c *Client) Close() error {
	c.cancel()
	err := c.conn.Close()
	<-c.done
	return err
}
