package dlms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/obis"
)

// Client reads one meter. Its methods may be called by several goroutines; they
// take their turns.
type Client struct {
	mu      sync.Mutex
	cfg     Config
	conn    *stream.Conn
	carrier carrier
	assoc   *Association
	plain   []byte // the request that is under way
	setup   error  // why the configuration cannot work
	open    bool
	linked  bool // the link is connected
	// unverified is set by answers whose tag could not be checked for want of a key.
	unverified bool

	setupName obis.Code // of the association's Security setup; zero where it is not known yet

	objects []cosem.Object
	byName  map[obis.Code][]int
	scalers map[cosem.Attribute]cosem.ScalerUnit
	layouts map[obis.Code]*cosem.Layout
	// restricting is the column by which each of the layouts can be restricted.
	restricting map[obis.Code]cosem.Capture
}

// NewClient returns a client that talks over rw, which it then owns.
func NewClient(rw io.ReadWriteCloser, cfg *Config) *Client {
	c := &Client{cfg: cfg.withDefaults(), conn: stream.New(rw)}
	c.assoc, c.setup = NewAssociation(&c.cfg)
	c.carrier = newCarrier(c.conn, &c.cfg)
	c.scalers = map[cosem.Attribute]cosem.ScalerUnit{}
	c.layouts = map[obis.Code]*cosem.Layout{}
	c.restricting = map[obis.Code]cosem.Capture{}
	return c
}

func newCarrier(conn *stream.Conn, cfg *Config) carrier {
	c := newLinkCarrier(conn, cfg)
	if cfg.Gateway != nil {
		return &gatewayCarrier{carrier: c, gateway: *cfg.Gateway}
	}
	return c
}

func newLinkCarrier(conn *stream.Conn, cfg *Config) carrier {
	if cfg.Link == LinkWrapper {
		return &wrapperCarrier{conn: conn, local: cfg.Client, remote: cfg.Server, trace: redacting(cfg.Trace)}
	}
	remote := hdlc.Server(cfg.Server, cfg.Physical)
	if cfg.AddressSize != 0 {
		remote.Size = cfg.AddressSize
	}
	retries := cfg.Retries
	if retries == 0 {
		retries = -1
	}
	return &hdlcCarrier{
		conn: conn, trace: redacting(cfg.Trace), frameTimeout: cfg.FrameTimeout, hearEcho: cfg.Echo,
		link: hdlc.NewPrimary(hdlc.LinkConfig{
			Local: hdlc.Client(uint8(cfg.Client)), Remote: remote, Parameters: cfg.HDLC, Timeout: cfg.Timeout, Retries: retries,
		}),
	}
}

// Open connects the link, opens the association and, with high level security,
// proves to each side that the other one knows the secret.
func (c *Client) Open(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.setup != nil {
		return c.setup
	}
	if err := c.carrier.connect(ctx); err != nil {
		return err
	}
	c.linked = true
	more, err := c.associate(ctx)
	if err == nil && more {
		err = c.prove(ctx)
	}
	if err != nil {
		c.assoc.state = stateIdle
		return err
	}
	c.open = true
	c.cfg.Logger.Debug("association opened", "conformance", c.assoc.Conformance().String())
	return nil
}

// associate sends the AARQ and takes its answer.
func (c *Client) associate(ctx context.Context) (more bool, err error) {
	request, err := c.assoc.Request()
	if err != nil {
		return false, err
	}
	answer, err := c.transmit(ctx, request, c.deadline())
	if err != nil {
		return false, err
	}
	more, err = c.assoc.Accept(answer)
	return more, c.explained(err)
}

// deadline is when the answer to a request that goes out now must be here.
func (c *Client) deadline() time.Time { return time.Now().Add(c.cfg.Timeout) }

// explained says what a refusal means that has to do with keys and counters.
// Nothing authenticates it, so that it changes nothing of ours.
func (c *Client) explained(err error) error {
	var e apdu.ExceptionResponse
	if !errors.As(err, &e) || c.cfg.Security == nil {
		return err
	}
	switch e.Service {
	case apdu.DecipheringError:
		return fmt.Errorf("dlms: the meter cannot decipher what we send: %w, system title or suite, or, as some meters put it, an invocation counter that it had before: %w", ErrWrongKey, err)
	case apdu.InvocationCounterError:
		return fmt.Errorf("dlms: the meter claims to expect invocation counter %d or more of system title %v; who knows that to be so can have the counters start there: %w",
			e.Counter, c.cfg.Security.Title, err)
	}
	return err
}

// prove is the second half of a high level security handshake.
func (c *Client) prove(ctx context.Context) error {
	proof, err := c.assoc.Prove()
	if err != nil {
		return err
	}
	parameters := cosem.OctetString(proof)
	var answer *cosem.Data
	if c.assoc.SN() {
		answer, err = c.proveSN(ctx, parameters)
	} else {
		answer, err = c.action(ctx, cosem.Method{Class: cosem.ClassAssociationLN, Name: associationName, Index: 1}, &parameters)
	}
	var refused cosem.ActionResult
	if errors.As(err, &refused) {
		return &RefusedError{Result: apdu.RejectedPermanent, Diagnostic: apdu.Diagnostic{Code: apdu.DiagnosticAuthenticationFailure}}
	}
	if err != nil {
		return err
	}
	if answer == nil {
		return fmt.Errorf("dlms: the server did not prove that it knows the secret: %w", security.ErrAuthentication)
	}
	b, _ := answer.Bytes()
	return c.assoc.Check(b)
}

// Close releases the association, disconnects the link and closes the
// connection, which it does even where the meter no longer answers.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	switch {
	case c.open:
		err = c.release(ctx)
	case c.linked:
		_ = c.carrier.disconnect(ctx) // no association came of it, which the caller knows
	}
	if closed(err) {
		err = nil
	}
	c.open, c.linked = false, false
	return errors.Join(err, settle(c.cfg.Security), c.conn.Close())
}

func (c *Client) release(ctx context.Context) error {
	request, err := c.assoc.Release()
	if err != nil {
		return err
	}
	if _, err := c.transmit(ctx, request, c.deadline()); err != nil {
		return err
	}
	return c.carrier.disconnect(ctx)
}

// transmit sends an APDU as it is, and returns the APDU that answers.
func (c *Client) transmit(ctx context.Context, request []byte, deadline time.Time) ([]byte, error) {
	if len(request) > c.assoc.maxSend && c.assoc.Conformance()&apdu.GeneralBlocks != 0 {
		t := newTransfer(c.cfg.Window, c.assoc.maxSend)
		t.send(request)
		if err := c.sendBlocks(ctx, &t); err != nil {
			return nil, err
		}
		return c.await(ctx, &t, deadline)
	}
	if err := c.carrier.send(ctx, request, true); err != nil {
		return nil, err
	}
	return c.await(ctx, nil, deadline)
}

func (c *Client) sendBlocks(ctx context.Context, t *transfer) error {
	frames := t.poll(nil)
	for i, b := range frames {
		if err := c.carrier.send(ctx, b, i == len(frames)-1); err != nil {
			return err
		}
	}
	return nil
}

// await returns the APDU that answers, put together where it comes in blocks. A
// block that brings it further moves the deadline, and nothing else does.
func (c *Client) await(ctx context.Context, t *transfer, deadline time.Time) ([]byte, error) {
	tries, stuck := 0, 0
	for {
		answer, err := c.carrier.receive(ctx, deadline)
		if errors.Is(err, ErrTimeout) && t != nil && tries < c.cfg.Retries {
			tries++
			t.repeat()
			deadline = c.deadline()
			if err := c.sendBlocks(ctx, t); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(answer) == 0 {
			continue
		}
		if answer[0] != apdu.TagGeneralBlockTransfer {
			if c.pushed(answer) {
				if !time.Now().Before(deadline) {
					return nil, ErrTimeout
				}
				continue
			}
			return answer, nil
		}
		p, err := parse(answer)
		if err != nil {
			return nil, err
		}
		if t == nil {
			n := newTransfer(c.cfg.Window, c.assoc.maxSend)
			t = &n
		}
		acked, received := t.acked, t.received
		whole, done, err := t.feed(p.(apdu.GeneralBlockTransfer))
		if err != nil {
			return nil, err
		}
		if stuck++; acked != t.acked || received != t.received {
			stuck, deadline = 0, c.deadline()
		}
		if stuck > 2*int(t.window)+c.cfg.Retries {
			return nil, fmt.Errorf("dlms: general block transfer does not advance: %w", ErrProtocol)
		}
		if done {
			if !c.pushed(whole) {
				return whole, nil
			}
			t = nil
			continue
		}
		if err := c.sendBlocks(ctx, t); err != nil {
			return nil, err
		}
	}
}

// pushed takes an APDU that shows from without that it answers nothing: what a
// meter sends of its own accord. What is protected less than the association
// requires is dropped, or has the trust that it has where the configuration says so.
func (c *Client) pushed(b []byte) bool {
	if plain, _ := apdu.PlainTag(b[0]); !isPush(b[0]) && !isPush(plain) {
		return false
	}
	plain, trust, err := c.assoc.Unprotect(b)
	c.push(plain, trust, err)
	return true
}

// push gives what was pushed to whom it concerns.
func (c *Client) push(plain []byte, trust security.Trust, err error) {
	var p apdu.PDU
	if err == nil {
		p, err = parse(plain)
	}
	if err != nil {
		c.cfg.Logger.Warn("push between request and answer", "error", err)
		return
	}
	if c.cfg.Push != nil {
		c.cfg.Push(p, trust)
	}
}

// exchange sends a request, protected as the association calls for, and returns the answer.
func (c *Client) exchange(ctx context.Context, request []byte) ([]byte, error) {
	protected, err := c.assoc.Protect(request)
	if err != nil {
		return nil, err
	}
	deadline := c.deadline()
	answer, err := c.transmit(ctx, protected, deadline)
	for ; err == nil; answer, err = c.await(ctx, nil, deadline) {
		plain, trust, err := c.assoc.Unprotect(answer)
		if err != nil {
			return nil, err
		}
		if isPush(plain[0]) {
			c.push(plain, trust, nil)
			continue
		}
		if late(request, plain) {
			continue
		}
		c.unverified = c.unverified || c.assoc.unverified
		return plain, nil
	}
	return nil, err
}

// late reports whether an answer belongs to an earlier request.
func late(request, answer []byte) bool {
	if len(request) < 3 || len(answer) < 3 || request[0] < 0xC0 || request[0] > 0xC7 || answer[0] < 0xC0 || answer[0] > 0xC7 {
		return false
	}
	return (request[2]^answer[2])&0x0F != 0
}

// request sends a PDU and returns the PDU that answers it. It aliases memory of
// the client's that the next request uses again.
func (c *Client) request(ctx context.Context, p apdu.PDU) (apdu.PDU, error) {
	b, err := p.AppendBinary(c.plain[:0])
	if err != nil {
		return nil, err
	}
	c.plain = b
	answer, err := c.exchange(ctx, b)
	if errors.Is(err, ErrTimeout) {
		c.assoc.overdue()
	}
	if err != nil {
		return nil, err
	}
	p, err = parse(answer)
	if refusal, ok := p.(error); ok {
		return nil, c.explained(refusal)
	}
	return p, err
}

// idempotent is request for what may be asked twice: it is repeated where no
// answer comes. Number gives each of the requests its invoke-id.
func (c *Client) idempotent(ctx context.Context, number func(apdu.InvokeID) apdu.PDU) (apdu.PDU, error) {
	for try := 0; ; try++ {
		p, err := c.request(ctx, number(c.assoc.next()))
		if try == c.cfg.Retries || !errors.Is(err, ErrTimeout) || ctx.Err() != nil || c.cfg.Link == LinkHDLC {
			return p, err // HDLC repeats by itself
		}
		c.cfg.Logger.Warn("no answer, asking again", "try", try+1)
	}
}

// Get reads one attribute; the selection may be nil. A refusal is a [cosem.DataAccessResult].
// The data are the caller's own.
func (c *Client) Get(ctx context.Context, a cosem.Attribute, s *cosem.Selection) (cosem.Data, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.get(ctx, a, s)
}

func (c *Client) get(ctx context.Context, a cosem.Attribute, s *cosem.Selection) (cosem.Data, error) {
	if c.assoc.SN() {
		return c.getSN(ctx, a, s)
	}
	p, err := c.idempotent(ctx, func(id apdu.InvokeID) apdu.PDU {
		return apdu.GetRequestNormal{Invoke: id, Get: apdu.Get{Attribute: a, Selection: s}}
	})
	if err != nil {
		return cosem.Data{}, err
	}
	switch p := p.(type) {
	case apdu.GetResponseNormal:
		if p.Code != cosem.Success {
			return cosem.Data{}, fmt.Errorf("dlms: %v: %w", a, p.Code)
		}
		return p.Data.Clone(), nil
	case apdu.GetResponseWithBlock:
		raw, err := c.blocks(ctx, p)
		if err != nil {
			return cosem.Data{}, fmt.Errorf("dlms: %v: %w", a, err)
		}
		d, n, err := cosem.ParseData(raw)
		if err == nil && n < len(raw) {
			err = fmt.Errorf("%d octets behind the data: %w", len(raw)-n, ErrProtocol)
		}
		return d, err
	}
	return cosem.Data{}, unexpected(p, "get-response")
}

// maxLong bounds what is gathered from the blocks of one answer.
const maxLong = 64 << 20

// blocks gathers a long answer.
func (c *Client) blocks(ctx context.Context, p apdu.GetResponseWithBlock) ([]byte, error) {
	var raw []byte
	for number := uint32(1); ; number++ {
		if p.Code != cosem.Success {
			return nil, p.Code
		}
		if p.Number != number {
			return nil, fmt.Errorf("block %d where %d was expected: %w", p.Number, number, ErrProtocol)
		}
		if len(raw)+len(p.Raw) > maxLong {
			return nil, fmt.Errorf("more than %d octets: %w", maxLong, ErrProtocol)
		}
		raw = append(raw, p.Raw...)
		if p.Last {
			return raw, nil
		}
		next, err := c.request(ctx, apdu.GetRequestNext{Invoke: p.Invoke, Block: number})
		if err != nil {
			return nil, err
		}
		switch next := next.(type) {
		case apdu.GetResponseWithBlock:
			p = next
		case apdu.GetResponseNormal:
			if next.Code != cosem.Success {
				return nil, next.Code
			}
			return nil, unexpected(next, "get-response-with-datablock")
		default:
			return nil, unexpected(next, "get-response-with-datablock")
		}
	}
}

// maxBatch is how many attributes are asked for at once.
const maxBatch = 10

// outcome is what became of one of several attributes.
type outcome struct {
	apdu.Result
	err error // why there is no result
}

// refusal returns why there is no value.
func (o outcome) refusal() error {
	switch {
	case o.err != nil:
		return o.err
	case o.Code != cosem.Success:
		return o.Code
	}
	return nil
}

// getList reads several attributes, together where the server can and else one
// by one. Each has its own outcome, and an answer that makes no sense loses no
// more than itself: attributes that were asked for together are asked for again.
// With an error the outcomes are those until then.
func (c *Client) getList(ctx context.Context, list []apdu.Get) ([]outcome, error) {
	outcomes := make([]outcome, 0, len(list))
	for len(list) > 0 {
		batch := c.batch(list)
		list = list[len(batch):]
		if len(batch) > 1 {
			part, err := c.getBatch(ctx, batch)
			if err != nil && !c.spoilt(err) {
				return outcomes, err
			}
			if err == nil {
				for _, r := range part {
					outcomes = append(outcomes, outcome{Result: r})
				}
				continue
			}
			c.cfg.Logger.Warn("a list is read one by one", "error", err)
		}
		for _, g := range batch {
			r, err := c.getOne(ctx, g)
			if err != nil && !c.spoilt(err) {
				return outcomes, err
			}
			outcomes = append(outcomes, outcome{r, err})
		}
	}
	return outcomes, nil
}

// spoilt reports whether an error is of one answer, and not of the association
// or the line. Then the next answers get another number.
func (c *Client) spoilt(err error) bool {
	for _, e := range []error{ErrProtocol, ErrUnprotected, ErrWrongKey, ErrStranger, security.ErrAuthentication, security.ErrSignature, security.ErrReplay} {
		if errors.Is(err, e) {
			c.assoc.overdue()
			return true
		}
	}
	if errors.As(err, new(*apdu.ParseError)) || errors.As(err, new(*cosem.ParseError)) {
		c.assoc.overdue()
		return true
	}
	return errors.As(err, new(apdu.ExceptionResponse)) || errors.As(err, new(apdu.ConfirmedServiceError)) || errors.As(err, new(cosem.DataAccessResult))
}

// batch returns how much of the list fits into one request, and into one frame
// of the line where that is two attributes or more.
func (c *Client) batch(list []apdu.Get) []apdu.Get {
	if c.assoc.Conformance()&apdu.MultipleReferences == 0 || c.assoc.SN() {
		return list[:1]
	}
	limit, frame := c.assoc.maxSend-c.assoc.overhead(), c.carrier.inFrame()-c.assoc.overhead()
	size := 4
	for i, g := range list {
		b, _ := apdu.GetRequestNormal{Get: g}.AppendBinary(c.plain[:0])
		size += len(b) - 3
		if i == 1 && size > frame {
			frame = limit
		}
		if i > 0 && size > min(limit, frame) || i == maxBatch {
			return list[:i]
		}
	}
	return list
}

func (c *Client) getOne(ctx context.Context, g apdu.Get) (apdu.Result, error) {
	d, err := c.get(ctx, g.Attribute, g.Selection)
	var refused cosem.DataAccessResult
	if errors.As(err, &refused) {
		return apdu.Result{Code: refused}, nil
	}
	return apdu.Result{Data: d}, err
}

func (c *Client) getBatch(ctx context.Context, batch []apdu.Get) ([]apdu.Result, error) {
	p, err := c.idempotent(ctx, func(id apdu.InvokeID) apdu.PDU { return apdu.GetRequestWithList{Invoke: id, List: batch} })
	if err != nil {
		return nil, err
	}
	var results []apdu.Result
	switch p := p.(type) {
	case apdu.GetResponseWithList:
		for _, r := range p.List {
			results = append(results, apdu.Result{Code: r.Code, Data: r.Data.Clone()})
		}
	case apdu.GetResponseWithBlock:
		raw, err := c.blocks(ctx, p)
		if err != nil {
			return nil, err
		}
		if results, err = apdu.ParseResults(raw); err != nil {
			return nil, err
		}
	default:
		return nil, unexpected(p, "get-response-with-list")
	}
	if len(results) != len(batch) {
		return nil, fmt.Errorf("dlms: %d results for %d attributes: %w", len(results), len(batch), ErrProtocol)
	}
	return results, nil
}
