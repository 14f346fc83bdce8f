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
	c.assoc = NewAssociation(&c.cfg)
	c.carrier = newCarrier(c.conn, &c.cfg)
	c.scalers = map[cosem.Attribute]cosem.ScalerUnit{}
	c.layouts = map[obis.Code]*cosem.Layout{}
	c.restricting = map[obis.Code]cosem.Capture{}
	return c
}

func newCarrier(conn *stream.Conn, cfg *Config) carrier {
	if cfg.Link == LinkWrapper {
		return &wrapperCarrier{conn: conn, local: cfg.Client, remote: cfg.Server, trace: cfg.Trace}
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
		conn: conn, trace: cfg.Trace, frameTimeout: cfg.FrameTimeout, hearEcho: cfg.Echo,
		link: hdlc.NewPrimary(hdlc.LinkConfig{
			Local: hdlc.Client(uint8(cfg.Client)), Remote: remote, Parameters: cfg.HDLC, Timeout: cfg.Timeout, Retries: retries,
		}),
	}
}

// Open connects the link and opens the association.
func (c *Client) Open(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.carrier.connect(ctx); err != nil {
		return err
	}
	request, err := c.assoc.Request()
	if err != nil {
		return err
	}
	answer, err := c.exchange(ctx, request)
	if err != nil {
		return err
	}
	if err := c.assoc.Accept(answer); err != nil {
		return err
	}
	c.cfg.Logger.Debug("association opened", "conformance", c.assoc.Conformance().String())
	return nil
}

// Close releases the association, disconnects the link and closes the
// connection, which it does even where the meter no longer answers.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.release(ctx)
	if closed(err) {
		err = nil
	}
	return errors.Join(err, c.conn.Close())
}

func (c *Client) release(ctx context.Context) error {
	request, err := c.assoc.Release()
	if err != nil {
		return err
	}
	if _, err := c.exchange(ctx, request); err != nil {
		return err
	}
	return c.carrier.disconnect(ctx)
}

// exchange sends an APDU and returns the answer.
func (c *Client) exchange(ctx context.Context, request []byte) ([]byte, error) {
	if err := c.carrier.send(ctx, request, true); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(c.cfg.Timeout)
	for {
		answer, err := c.carrier.receive(ctx, deadline)
		if err != nil {
			return nil, err
		}
		if len(answer) > 0 && (answer[0] == apdu.TagDataNotification || answer[0] == apdu.TagEventNotification) {
			continue // a push between request and answer
		}
		return answer, nil
	}
}

// request sends a PDU and returns the PDU that answers it.
func (c *Client) request(ctx context.Context, p apdu.PDU) (apdu.PDU, error) {
	b, err := p.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.exchange(ctx, b)
	if err != nil {
		return nil, err
	}
	return parse(answer)
}

// Get reads one attribute; the selection may be nil. A refusal is a [cosem.DataAccessResult].
// The data are the caller's own.
func (c *Client) Get(ctx context.Context, a cosem.Attribute, s *cosem.Selection) (cosem.Data, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.get(ctx, a, s)
}

func (c *Client) get(ctx context.Context, a cosem.Attribute, s *cosem.Selection) (cosem.Data, error) {
	p, err := c.request(ctx, apdu.GetRequestNormal{Invoke: c.assoc.next(), Get: apdu.Get{Attribute: a, Selection: s}})
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
			err = fmt.Errorf("%d octets behind the data: %w", len(raw)-n, errProtocol)
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
			return nil, fmt.Errorf("block %d where %d was expected: %w", p.Number, number, errProtocol)
		}
		if len(raw)+len(p.Raw) > maxLong {
			return nil, fmt.Errorf("more than %d octets: %w", maxLong, errProtocol)
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

// GetList reads several attributes, together where the server can and else one
// by one. Each result has its own outcome; the error is for all of them.
func (c *Client) GetList(ctx context.Context, list []apdu.Get) ([]apdu.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.getList(ctx, list)
}

// maxBatch is how many attributes are asked for at once.
const maxBatch = 10

func (c *Client) getList(ctx context.Context, list []apdu.Get) ([]apdu.Result, error) {
	results := make([]apdu.Result, 0, len(list))
	for len(list) > 0 {
		batch := c.batch(list)
		list = list[len(batch):]
		if len(batch) == 1 {
			r, err := c.getOne(ctx, batch[0])
			if err != nil {
				return results, err
			}
			results = append(results, r)
			continue
		}
		part, err := c.getBatch(ctx, batch)
		if err != nil {
			return results, err
		}
		results = append(results, part...)
	}
	return results, nil
}

// batch returns how much of the list fits into one request.
func (c *Client) batch(list []apdu.Get) []apdu.Get {
	if c.assoc.Conformance()&apdu.MultipleReferences == 0 {
		return list[:1]
	}
	size := 4
	for i, g := range list {
		b, _ := apdu.GetRequestNormal{Get: g}.AppendBinary(nil)
		size += len(b) - 3
		if i > 0 && size > c.assoc.maxSend || i == maxBatch {
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
	p, err := c.request(ctx, apdu.GetRequestWithList{Invoke: c.assoc.next(), List: batch})
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
		return nil, fmt.Errorf("dlms: %d results for %d attributes: %w", len(results), len(batch), errProtocol)
	}
	return results, nil
}
