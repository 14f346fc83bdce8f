package session

import (
	"context"
	"crypto/des" // the standard has no other cipher
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/internal/stream"
)

// Client is a conversation with one meter.
type Client struct {
	cfg      Config
	t        transport
	state    psem.State
	identity psem.Identity
	device   *tables.Device
	sequence uint8 // of procedures
}

// NewClient returns a client for a meter on a line (C12.18, C12.21), which it then owns.
func NewClient(rw io.ReadWriteCloser, cfg *Config) *Client {
	c := &Client{}
	if cfg != nil {
		c.cfg = *cfg
	}
	c.t = newLineTransport(rw, &c.cfg)
	return c
}

// Open identifies the meter, negotiates packets, logs on and shows the password or
// proves to have the key. On a network without session it only asks who is there.
func (c *Client) Open(ctx context.Context) error {
	switch t := c.t.(type) {
	case *lineTransport:
		if err := c.identify(ctx); err != nil {
			return err
		}
		if err := c.negotiate(ctx, t); err != nil {
			return err
		}
		if err := c.timing(ctx, t); err != nil {
			return err
		}
	case *networkTransport:
		if t.Sessionless {
			return c.identify(ctx)
		}
	}
	if err := c.logon(ctx); err != nil {
		return err
	}
	if c.cfg.Password != "" {
		if err := c.security(ctx); err != nil {
			return err
		}
	}
	if len(c.cfg.Key) > 0 {
		return c.authenticate(ctx)
	}
	return nil
}

// identify begins anew where the meter still is in an earlier conversation.
func (c *Client) identify(ctx context.Context) error {
	r, err := c.do(ctx, psem.Plain{Code: psem.ServiceIdentify})
	if errors.Is(err, psem.ISSS) {
		if _, err := c.do(ctx, psem.Plain{Code: psem.ServiceTerminate}); err != nil {
			return err
		}
		r, err = c.do(ctx, psem.Plain{Code: psem.ServiceIdentify})
	}
	if err != nil {
		return err
	}
	c.state = psem.StateIdentified
	c.identity, err = r.Identity()
	return err
}

// negotiate proposes packets. A meter that does not negotiate keeps to the defaults.
func (c *Client) negotiate(ctx context.Context, line *lineTransport) error {
	request := psem.Negotiate{PacketSize: c.cfg.packetSize(), Packets: c.cfg.packets()}
	if code, ok := psem.BaudCode(c.cfg.Baud); ok && line.line != nil {
		request.Bauds = []byte{code}
	}
	r, err := c.do(ctx, request)
	if errors.As(err, new(*RefusedError)) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := r.Negotiated()
	if err != nil {
		return err
	}
	if n.PacketSize > request.PacketSize || n.Packets > request.Packets {
		return fmt.Errorf("session: the meter negotiated %d packets of %d octets, more than was proposed: %w", n.Packets, n.PacketSize, ErrOtherReply)
	}
	return line.negotiated(n)
}

// timing agrees on times with a meter of C12.21. Some answer with other retries where
// none are proposed, so at least one is.
func (c *Client) timing(ctx context.Context, line *lineTransport) error {
	if c.identity.Standard != psem.StandardC1221 {
		return nil
	}
	line.times(nil)
	if c.cfg.Timing == nil {
		return nil
	}
	request := *c.cfg.Timing
	request.Retries = max(request.Retries, 1)
	r, err := c.do(ctx, request)
	if errors.As(err, new(*RefusedError)) {
		return nil
	}
	if err != nil {
		return err
	}
	agreed, err := r.Timing()
	if err == nil {
		line.times(&agreed)
	}
	return err
}

// Wait asks the meter to keep the conversation open for so many seconds of silence.
func (c *Client) Wait(ctx context.Context, seconds uint8) error {
	_, err := c.do(ctx, psem.Wait{Seconds: seconds})
	if line, ok := c.t.(*lineTransport); ok && err == nil {
		line.last = time.Now().Add(max(time.Duration(seconds)*time.Second-line.traffic, 0))
	}
	return err
}

// sessionIdle is after how many seconds of silence a session on a network ends.
const sessionIdle = 60

func (c *Client) logon(ctx context.Context) error {
	request := psem.Logon{UserID: c.cfg.UserID}
	if len(c.cfg.User) > psem.UserLen {
		return fmt.Errorf("session: user of more than %d characters", psem.UserLen)
	}
	copy(request.User[:], c.cfg.User+strings.Repeat(" ", psem.UserLen))
	if _, ok := c.t.(*lineTransport); !ok {
		request.Extended, request.IdleTimeout = true, sessionIdle
	}
	r, err := c.do(ctx, request)
	if err != nil {
		return authError(err)
	}
	c.state = psem.StateSession
	if t, ok := c.t.(*networkTransport); ok {
		t.idle = sessionIdle * time.Second
		if len(r.Body) == 2 && (r.Body[0] != 0 || r.Body[1] != 0) {
			t.idle = time.Duration(int(r.Body[0])<<8|int(r.Body[1])) * time.Second
		}
	}
	return nil
}

func (c *Client) security(ctx context.Context) error {
	request, err := c.cfg.security(false)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, request)
	return authError(err)
}

// security is the service that shows the password, with the user where there is no session.
func (c *Config) security(sessionless bool) (psem.Security, error) {
	request := psem.Security{Extended: sessionless, UserID: c.UserID}
	if len(c.Password) > psem.PasswordLen {
		return request, fmt.Errorf("session: password of more than %d characters", psem.PasswordLen)
	}
	pad := c.PasswordPad
	if pad == 0 {
		pad = ' '
	}
	for i := range request.Password {
		request.Password[i] = pad
	}
	copy(request.Password[:], c.Password)
	return request, nil
}

// authenticate proves to the meter that we have the key, and has the meter prove it (C12.21).
func (c *Client) authenticate(ctx context.Context) error {
	ticket, ok := c.identity.Ticket()
	if !ok || len(ticket) != des.BlockSize {
		return fmt.Errorf("session: the meter offers no ticket of eight octets: %w", ErrAuth)
	}
	block, err := des.NewCipher(c.cfg.Key)
	if err != nil {
		return fmt.Errorf("session: key of %d octets: %w", len(c.cfg.Key), ErrAuth)
	}
	proof := make([]byte, 1+des.BlockSize)
	proof[0] = c.cfg.KeyID
	block.Encrypt(proof[1:], ticket)
	r, err := c.do(ctx, psem.Authenticate{Data: proof})
	if err != nil {
		return authError(err)
	}
	answer, err := r.Authentication()
	if err != nil {
		return err
	}
	if len(answer) != len(proof) {
		return fmt.Errorf("session: authentication of %d octets: %w", len(answer), ErrAuth)
	}
	var shown [des.BlockSize]byte
	block.Decrypt(shown[:], answer[1:])
	if subtle.ConstantTimeCompare(shown[:], proof[1:]) != 1 {
		return fmt.Errorf("session: the meter does not have the key: %w", ErrAuth)
	}
	return nil
}

// authError tells a refused user from other refusals.
func authError(err error) error {
	for _, s := range []psem.Status{psem.Err, psem.ISC, psem.IAR, psem.SME} {
		if errors.Is(err, s) {
			return fmt.Errorf("%w: %w", ErrAuth, err)
		}
	}
	return err
}

// Close logs off, takes leave of the meter and closes the connection.
func (c *Client) Close(ctx context.Context) error {
	var first error
	if c.t.silent(time.Now()) {
		c.state = psem.StateBase // the meter has taken leave already
	}
	if c.state == psem.StateSession {
		_, first = c.do(ctx, psem.Plain{Code: psem.ServiceLogoff})
		c.state = psem.StateIdentified
	}
	if _, ok := c.t.(*lineTransport); ok && c.state != psem.StateBase && first == nil {
		_, first = c.do(ctx, psem.Plain{Code: psem.ServiceTerminate})
	}
	c.state = psem.StateBase
	return errors.Join(first, c.t.close())
}

// Identity returns what the meter answered to identify.
func (c *Client) Identity() psem.Identity { return c.identity }

// revive opens the conversation anew where the meter has forgotten it in the silence.
func (c *Client) revive(ctx context.Context) error {
	if c.state != psem.StateSession || !c.t.silent(time.Now()) {
		return nil
	}
	c.state = psem.StateBase
	if err := c.t.again(); err != nil {
		return err
	}
	return c.Open(ctx)
}

// do carries out a request, again after a pause where the meter is busy. A refusal is
// a [RefusedError].
func (c *Client) do(ctx context.Context, request psem.Request) (psem.Response, error) {
	for pause := busyPause; ; pause *= 2 {
		r, err := c.once(ctx, request)
		busy := errors.Is(err, psem.BSY) || errors.Is(err, psem.DNR)
		if !busy || pause >= busyPause<<busyRetries {
			return r, err
		}
		if err := stream.Sleep(ctx, pause); err != nil {
			return r, err
		}
	}
}

// How often a request is repeated to a meter that is busy, and after which pause, which doubles.
const (
	busyRetries = 3
	busyPause   = 100 * time.Millisecond
)

// once carries out a request.
func (c *Client) once(ctx context.Context, request psem.Request) (psem.Response, error) {
	if err := c.revive(ctx); err != nil {
		return psem.Response{}, err
	}
	b, err := request.AppendBinary(nil)
	if err != nil {
		return psem.Response{}, err
	}
	answer, err := c.t.exchange(ctx, b)
	if err != nil {
		return psem.Response{}, fmt.Errorf("session: %v: %w", request.Service(), err)
	}
	r, _, err := psem.ParseResponse(answer)
	if err != nil {
		return psem.Response{}, err
	}
	if r.Status == psem.OK {
		return r, nil
	}
	refused := &RefusedError{Service: request.Service(), Status: r.Status}
	switch request := request.(type) {
	case psem.Read:
		refused.Table = request.Table
	case psem.Write:
		refused.Table = request.Table
	}
	if c.cfg.Logger != nil {
		c.cfg.Logger.Debug("refused", "service", request.Service(), "table", refused.Table, "status", r.Status)
	}
	return psem.Response{}, refused
}

// ReadTable reads a whole table, in parts where it is too long for one message.
func (c *Client) ReadTable(ctx context.Context, table uint16) ([]byte, error) {
	r, err := c.do(ctx, psem.Read{Table: table})
	if errors.Is(err, psem.RSTL) {
		return c.readParts(ctx, table)
	}
	if err != nil {
		return nil, err
	}
	return r.TableData()
}

const (
	firstPart = 1024    // octets of the first part that is tried
	maxParts  = 1 << 24 // octets of a table that is read in parts: offsets have 24 bits
)

// readParts reads a table in parts. How long it is shows as parts are refused:
// they become smaller until not one octet more is there.
func (c *Client) readParts(ctx context.Context, table uint16) (b []byte, err error) {
	for count := uint16(firstPart); count > 0 && len(b) < maxParts; {
		part, err := c.ReadPart(ctx, table, uint32(len(b)), count)
		b = append(b, part...)
		switch {
		case errors.Is(err, psem.RSTL), errors.Is(err, psem.IAR), errors.Is(err, psem.ONP):
			count /= 2
		case err != nil:
			return nil, err
		case len(part) < int(count):
			return b, nil
		}
	}
	if len(b) == 0 {
		return nil, &RefusedError{Service: psem.ServiceReadOffset, Table: table, Status: psem.RSTL}
	}
	return b, nil
}

// ReadPart reads count octets of a table from an offset on.
func (c *Client) ReadPart(ctx context.Context, table uint16, offset uint32, count uint16) ([]byte, error) {
	r, err := c.do(ctx, psem.Read{Table: table, ByOffset: true, Offset: offset, Count: count})
	if err != nil {
		return nil, err
	}
	data, err := r.TableData()
	if err == nil && len(data) > int(count) {
		return nil, fmt.Errorf("session: %d octets of %s where %d were asked for: %w", len(data), psem.TableName(table), count, ErrOtherReply)
	}
	return data, err
}

// ReadIndex reads count elements of a table from the element that the indices name on.
func (c *Client) ReadIndex(ctx context.Context, table uint16, count uint16, indices ...uint16) ([]byte, error) {
	r, err := c.do(ctx, psem.Read{Table: table, Indices: indices, Count: count})
	if err != nil {
		return nil, err
	}
	return r.TableData()
}

// WriteTable writes a table, or with offset a part of it. It needs the right of configuration.
func (c *Client) WriteTable(ctx context.Context, table uint16, data []byte) error {
	return c.write(ctx, psem.Write{Table: table, Data: data})
}

// WritePart writes a part of a table. It needs the right of configuration.
func (c *Client) WritePart(ctx context.Context, table uint16, offset uint32, data []byte) error {
	return c.write(ctx, psem.Write{Table: table, ByOffset: true, Offset: offset, Data: data})
}

func (c *Client) write(ctx context.Context, w psem.Write) error {
	if c.cfg.Grant&ansic12.RightConfiguration == 0 {
		return fmt.Errorf("session: writing %s: %w", psem.TableName(w.Table), ErrNotGranted)
	}
	_, err := c.do(ctx, w)
	return err
}
