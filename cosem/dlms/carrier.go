package dlms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"time"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/internal/stream"
)

// carrier brings APDUs to the peer and back.
type carrier interface {
	connect(ctx context.Context) error
	// send sends an APDU; confirmed says that an answer is expected.
	send(ctx context.Context, apdu []byte, confirmed bool) error
	// receive returns the next APDU, which stays valid until the next call.
	receive(ctx context.Context, deadline time.Time) ([]byte, error)
	disconnect(ctx context.Context) error
	// inFrame returns how many octets of an APDU one frame carries.
	inFrame() int
}

// ErrTimeout reports that the peer did not answer in time. It wraps [os.ErrDeadlineExceeded].
var ErrTimeout = fmt.Errorf("dlms: no answer in time: %w", os.ErrDeadlineExceeded)

// hdlcCarrier is the client's end of an HDLC link.
type hdlcCarrier struct {
	conn         *stream.Conn
	link         *hdlc.Link
	scanner      hdlc.Scanner
	trace        tracer
	frameTimeout time.Duration
	lastOctet    time.Time
	echo         []byte // octets that we sent and may hear again
	hearEcho     bool
	buf          [2048]byte
	out          []byte
	queue        [][]byte // APDUs that came while something else was awaited
}

func (c *hdlcCarrier) connect(ctx context.Context) error {
	c.link.Connect()
	_, err := c.await(ctx, time.Time{}, hdlc.Connected)
	return err
}

func (c *hdlcCarrier) disconnect(ctx context.Context) error {
	c.link.Disconnect()
	_, err := c.await(ctx, time.Time{}, hdlc.Disconnected)
	return err
}

func (c *hdlcCarrier) inFrame() int { return int(c.link.Parameters().MaxInfoSend) - 3 } // the LLC header

func (c *hdlcCarrier) send(ctx context.Context, apdu []byte, confirmed bool) error {
	c.link.Send(apdu, confirmed)
	return c.poll(ctx)
}

func (c *hdlcCarrier) receive(ctx context.Context, deadline time.Time) ([]byte, error) {
	if len(c.queue) > 0 {
		apdu := c.queue[0]
		c.queue = c.queue[1:]
		return apdu, nil
	}
	c.link.Expect()
	return c.await(ctx, deadline, hdlc.Message)
}

// poll writes what the link has to say.
func (c *hdlcCarrier) poll(ctx context.Context) error {
	_, err := c.write(ctx)
	return err
}

func (c *hdlcCarrier) write(ctx context.Context) (wake time.Time, err error) {
	c.out, wake = c.link.Poll(time.Now(), c.out[:0])
	if len(c.out) == 0 {
		return wake, nil
	}
	for at := 0; at < len(c.out); {
		_, n, err := hdlc.Parse(c.out[at:])
		if err != nil {
			break
		}
		c.trace.trace(true, c.out[at:at+n])
		at += n
	}
	if c.hearEcho {
		c.echo = append(c.echo[:0], c.out...)
	}
	return wake, c.conn.Write(ctx, time.Now().Add(writeTimeout), c.out)
}

const writeTimeout = 30 * time.Second

// await runs the link until the event happens.
func (c *hdlcCarrier) await(ctx context.Context, deadline time.Time, kind hdlc.EventKind) ([]byte, error) {
	for {
		if pdu, done, err := c.happened(kind); done {
			return pdu, err
		}
		wake, err := c.write(ctx)
		if err != nil {
			return nil, err
		}
		// The link may just have given up, and nothing would end the read then.
		if pdu, done, err := c.happened(kind); done {
			return pdu, err
		}
		if err := c.read(ctx, deadline, wake); err != nil {
			return nil, err
		}
	}
}

// happened looks for the event among those of the link.
func (c *hdlcCarrier) happened(kind hdlc.EventKind) (pdu []byte, done bool, err error) {
	for {
		e, ok := c.link.Next()
		switch {
		case !ok:
			return nil, false, nil
		case e.Kind == kind:
			return e.PDU, true, e.Err
		case e.Kind == hdlc.Disconnected:
			return nil, true, linkError(e.Err)
		case e.Kind == hdlc.Unnumbered && kind == hdlc.Message:
			return e.PDU, true, nil
		case e.Kind == hdlc.Message, e.Kind == hdlc.Unnumbered:
			c.queue = append(c.queue, e.PDU)
		}
	}
}

func linkError(err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("dlms: the peer disconnected: %w", io.EOF)
	case errors.Is(err, hdlc.ErrTimeout):
		return fmt.Errorf("%w (%w)", ErrTimeout, err)
	}
	return err
}

// read takes octets from the line, and gives their frames to the link.
func (c *hdlcCarrier) read(ctx context.Context, deadline, wake time.Time) error {
	until := earliest(deadline, wake)
	if c.scanner.Pending() > 0 {
		until = earliest(until, c.lastOctet.Add(c.frameTimeout))
	}
	n, err := c.conn.Read(ctx, until, c.buf[:])
	now := time.Now()
	if n > 0 {
		c.lastOctet = now
		c.scanner.Feed(c.withoutEcho(c.buf[:n]))
	}
	switch {
	case err == nil || n > 0:
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case c.scanner.Pending() > 0 && now.Sub(c.lastOctet) >= c.frameTimeout:
		c.scanner.Skip()
	case !deadline.IsZero() && !now.Before(deadline):
		return ErrTimeout
	}
	for {
		f, err := c.scanner.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			continue // a damaged frame: its sender will repeat it
		}
		c.trace.trace(false, c.scanner.Raw())
		c.link.Receive(now, f)
	}
}

// withoutEcho removes what a two-wire adapter hears of our own octets.
func (c *hdlcCarrier) withoutEcho(b []byte) []byte {
	n := 0
	for n < len(b) && n < len(c.echo) && b[n] == c.echo[n] {
		n++
	}
	if n < len(b) && n < len(c.echo) {
		c.echo = nil
		return b
	}
	c.echo = c.echo[n:]
	return b[n:]
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// gatewayCarrier puts the gateway protocol header around APDUs.
type gatewayCarrier struct {
	carrier
	gateway Gateway
	out     []byte
}

func (c *gatewayCarrier) send(ctx context.Context, b []byte, confirmed bool) error {
	var err error
	c.out, err = apdu.Gateway{Network: c.gateway.Network, Address: c.gateway.Address, PDU: b}.AppendBinary(c.out[:0])
	if err != nil {
		return err
	}
	return c.carrier.send(ctx, c.out, confirmed)
}

func (c *gatewayCarrier) inFrame() int { return c.carrier.inFrame() - 3 - len(c.gateway.Address) }

func (c *gatewayCarrier) receive(ctx context.Context, deadline time.Time) ([]byte, error) {
	for {
		b, err := c.carrier.receive(ctx, deadline)
		if err != nil {
			return nil, err
		}
		p, err := parse(b)
		if err != nil {
			return nil, err
		}
		g, ok := p.(apdu.Gateway)
		if !ok {
			return b, nil // of the gateway itself
		}
		if g.Response && g.Network == c.gateway.Network {
			return g.PDU, nil
		}
	}
}

// wrapperCarrier is either end of a connection with the wrapper.
type wrapperCarrier struct {
	conn          *stream.Conn
	local, remote uint16
	trace         tracer
	in            []byte
	used          int // octets of in that were returned
	out           []byte
}

func (c *wrapperCarrier) connect(context.Context) error    { return nil }
func (c *wrapperCarrier) disconnect(context.Context) error { return nil }
func (c *wrapperCarrier) inFrame() int                     { return math.MaxUint16 }

func (c *wrapperCarrier) send(ctx context.Context, apdu []byte, _ bool) error {
	var err error
	c.out, err = wrapper.Frame{Source: c.local, Destination: c.remote, APDU: apdu}.AppendBinary(c.out[:0])
	if err != nil {
		return err
	}
	c.trace.trace(true, c.out)
	return c.conn.Write(ctx, time.Now().Add(writeTimeout), c.out)
}

func (c *wrapperCarrier) receive(ctx context.Context, deadline time.Time) ([]byte, error) {
	for {
		f, err := c.frame(ctx, deadline)
		if err != nil {
			return nil, err
		}
		if f.Source == c.remote && f.Destination == c.local {
			return f.APDU, nil
		}
	}
}

// room is how much space a read needs: a datagram that does not fit loses its end.
func (c *wrapperCarrier) room() int {
	if a, ok := c.conn.Unwrap().(interface{ LocalAddr() net.Addr }); ok && a.LocalAddr() != nil && strings.HasPrefix(a.LocalAddr().Network(), "udp") {
		return 8192
	}
	return 512
}

// frame returns the next frame, whomever it is for.
func (c *wrapperCarrier) frame(ctx context.Context, deadline time.Time) (wrapper.Frame, error) {
	c.in = c.in[:copy(c.in, c.in[c.used:])]
	c.used = 0
	for {
		f, n, err := wrapper.Parse(c.in)
		if err == nil {
			c.used = n
			c.trace.trace(false, c.in[:n])
			return f, nil
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			return wrapper.Frame{}, err
		}
		if room := c.room(); cap(c.in)-len(c.in) < room {
			c.in = append(c.in, make([]byte, 8*room)...)[:len(c.in)]
		}
		read, err := c.conn.Read(ctx, deadline, c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+read]
		if err != nil && read == 0 {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = ErrTimeout
			}
			return wrapper.Frame{}, err
		}
	}
}
