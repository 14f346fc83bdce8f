package dlms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// Set writes one attribute; the selection may be nil. A refusal is a
// [cosem.DataAccessResult]. It is never repeated: after [ErrTimeout] the
// attribute may have been written or not.
func (c *Client) Set(ctx context.Context, a cosem.Attribute, s *cosem.Selection, d cosem.Data) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.assoc.SN() {
		return c.setSN(ctx, a, d)
	}
	get := apdu.Get{Attribute: a, Selection: s}
	request := apdu.SetRequestNormal{Invoke: c.assoc.next(), Get: get, Data: d}
	var p apdu.PDU
	var err error
	if c.tooLong(request, apdu.BlockTransferSet) {
		p, err = c.setBlocks(ctx, request.Invoke, d.Binary(), func(b apdu.Block) apdu.PDU {
			return apdu.SetRequestFirstBlock{Invoke: request.Invoke, Get: get, Block: b}
		})
	} else {
		p, err = c.request(ctx, request)
	}
	if err != nil {
		return err
	}
	code := cosem.Success
	switch p := p.(type) {
	case apdu.SetResponseNormal:
		code = p.Code
	case apdu.SetResponseLastBlock:
		code = p.Code
	default:
		return unexpected(p, "set-response")
	}
	if code != cosem.Success {
		return fmt.Errorf("dlms: %v: %w", a, code)
	}
	return nil
}

// SetList writes several attributes together. Each has its own outcome; the
// error is for all of them.
func (c *Client) SetList(ctx context.Context, list []apdu.Get, data []cosem.Data) ([]cosem.DataAccessResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(list) != len(data) {
		return nil, fmt.Errorf("dlms: %d attributes and %d values", len(list), len(data))
	}
	request := apdu.SetRequestWithList{Invoke: c.assoc.next(), List: list, Data: data}
	var p apdu.PDU
	var err error
	if c.tooLong(request, apdu.BlockTransferSet) {
		p, err = c.setBlocks(ctx, request.Invoke, apdu.AppendDataList(nil, data), func(b apdu.Block) apdu.PDU {
			return apdu.SetRequestWithListFirstBlock{Invoke: request.Invoke, List: list, Block: b}
		})
	} else {
		p, err = c.request(ctx, request)
	}
	if err != nil {
		return nil, err
	}
	var codes []cosem.DataAccessResult
	switch p := p.(type) {
	case apdu.SetResponseWithList:
		codes = p.Codes
	case apdu.SetResponseLastBlockWithList:
		codes = p.Codes
	default:
		return nil, unexpected(p, "set-response-with-list")
	}
	if len(codes) != len(list) {
		return nil, fmt.Errorf("dlms: %d results for %d attributes: %w", len(codes), len(list), ErrProtocol)
	}
	return codes, nil
}

// tooLong reports whether a request must be cut by its own service's blocks.
func (c *Client) tooLong(p apdu.PDU, service apdu.Conformance) bool {
	b, err := p.AppendBinary(nil)
	conformance := c.assoc.Conformance()
	return err == nil && len(b)+c.assoc.overhead() > c.assoc.maxSend && conformance&apdu.GeneralBlocks == 0 && conformance&service != 0
}

// setBlocks writes raw block by block, the first in the PDU that first makes of it.
func (c *Client) setBlocks(ctx context.Context, invoke apdu.InvokeID, raw []byte, first func(apdu.Block) apdu.PDU) (apdu.PDU, error) {
	empty, err := first(apdu.Block{}).AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	size := c.assoc.maxSend - c.assoc.overhead() - len(empty) - 4
	for number := uint32(1); ; number++ {
		size = max(size, 1)
		b := apdu.Block{Number: number, Last: len(raw) <= size, Raw: raw[:min(size, len(raw))]}
		raw = raw[len(b.Raw):]
		request := apdu.PDU(apdu.SetRequestBlock{Invoke: invoke, Block: b})
		if number == 1 {
			request = first(b)
			size = c.assoc.maxSend - c.assoc.overhead() - 3 - 1 - 4 - 3
		}
		p, err := c.request(ctx, request)
		if err != nil || b.Last {
			return p, err
		}
		switch p := p.(type) {
		case apdu.SetResponseBlock:
			if p.Number != number {
				return nil, fmt.Errorf("dlms: block %d was confirmed where %d was sent: %w", p.Number, number, ErrProtocol)
			}
		default:
			return p, nil // refused
		}
	}
}

// Action invokes a method; parameters and what it returns may be nil. A refusal
// is a [cosem.ActionResult], or a [cosem.DataAccessResult] of what it returns.
// It is never repeated: after [ErrTimeout] it may have happened or not.
func (c *Client) Action(ctx context.Context, m cosem.Method, parameters *cosem.Data) (*cosem.Data, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.assoc.SN() {
		return nil, c.actionSN(ctx, m, parameters)
	}
	return c.action(ctx, m, parameters)
}

func (c *Client) action(ctx context.Context, m cosem.Method, parameters *cosem.Data) (*cosem.Data, error) {
	request := apdu.ActionRequestNormal{Invoke: c.assoc.next(), Method: m, Parameters: parameters}
	var p apdu.PDU
	var err error
	if parameters != nil && c.tooLong(request, apdu.BlockTransferAction) {
		p, err = c.actionBlocks(ctx, request)
	} else {
		p, err = c.request(ctx, request)
	}
	if err != nil {
		return nil, err
	}
	var result apdu.Action
	switch p := p.(type) {
	case apdu.ActionResponseNormal:
		result = p.Action
	case apdu.ActionResponseBlock:
		if result, err = c.actionResult(ctx, p); err != nil {
			return nil, err
		}
	default:
		return nil, unexpected(p, "action-response")
	}
	switch {
	case result.Code != 0:
		return nil, fmt.Errorf("dlms: %v: %w", m, result.Code)
	case result.Return == nil:
		return nil, nil
	case result.Return.Code != cosem.Success:
		return nil, fmt.Errorf("dlms: %v: %w", m, result.Return.Code)
	}
	d := result.Return.Data.Clone()
	return &d, nil
}

// actionBlocks invokes a method with long parameters.
func (c *Client) actionBlocks(ctx context.Context, request apdu.ActionRequestNormal) (apdu.PDU, error) {
	raw := request.Parameters.Binary()
	overhead := c.assoc.overhead() + 3 + 9 + 1 + 4 + 3
	for number := uint32(1); ; number++ {
		size := max(1, c.assoc.maxSend-overhead)
		b := apdu.Block{Number: number, Last: len(raw) <= size, Raw: raw[:min(size, len(raw))]}
		raw = raw[len(b.Raw):]
		next := apdu.PDU(apdu.ActionRequestBlock{Invoke: request.Invoke, Block: b})
		if number == 1 {
			next = apdu.ActionRequestFirstBlock{Invoke: request.Invoke, Method: request.Method, Block: b}
		}
		p, err := c.request(ctx, next)
		if err != nil || b.Last {
			return p, err
		}
		confirmed, ok := p.(apdu.ActionResponseNext)
		if !ok {
			return p, nil // refused
		}
		if confirmed.Number != number {
			return nil, fmt.Errorf("dlms: block %d was confirmed where %d was sent: %w", confirmed.Number, number, ErrProtocol)
		}
	}
}

// actionResult gathers a long answer of a method.
func (c *Client) actionResult(ctx context.Context, p apdu.ActionResponseBlock) (apdu.Action, error) {
	var raw []byte
	for number := uint32(1); ; number++ {
		if p.Number != number {
			return apdu.Action{}, fmt.Errorf("dlms: block %d where %d was expected: %w", p.Number, number, ErrProtocol)
		}
		if len(raw)+len(p.Raw) > maxLong {
			return apdu.Action{}, fmt.Errorf("dlms: more than %d octets: %w", maxLong, ErrProtocol)
		}
		raw = append(raw, p.Raw...)
		if p.Last {
			return apdu.ParseAction(raw)
		}
		next, err := c.request(ctx, apdu.ActionRequestNext{Invoke: p.Invoke, Block: number})
		if err != nil {
			return apdu.Action{}, err
		}
		switch next := next.(type) {
		case apdu.ActionResponseBlock:
			p = next
		case apdu.ActionResponseNormal:
			return next.Action, nil
		default:
			return apdu.Action{}, unexpected(next, "action-response-with-pblock")
		}
	}
}

// Access carries out several reads, writes and actions with one request, in
// their order. Each has its own outcome; the error is for all of them.
func (c *Client) Access(ctx context.Context, list []apdu.Access) ([]apdu.AccessResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := apdu.LongInvokeID(c.assoc.next()&0x0F) | apdu.LongConfirmed | apdu.LongHighPriority
	p, err := c.request(ctx, apdu.AccessRequest{Invoke: id, List: list})
	if err != nil {
		return nil, err
	}
	response, ok := p.(apdu.AccessResponse)
	if !ok {
		return nil, unexpected(p, "access-response")
	}
	if len(response.List) != len(list) {
		return nil, fmt.Errorf("dlms: %d results for %d requests: %w", len(response.List), len(list), ErrProtocol)
	}
	for i := range response.List {
		response.List[i].Data = response.List[i].Data.Clone()
	}
	return response.List, nil
}

// SetClock sets the meter's clock to an instant, in the zone in which it counts.
func (c *Client) SetClock(ctx context.Context, t time.Time) error {
	c.mu.Lock()
	zone, err := c.zone(ctx, clockName)
	at := c.meterTime(t, zone)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if zone != nil {
		at.Weekday = obis.FromTime(t.In(zone)).Weekday
	}
	at.Hundredths = 0
	return c.Set(ctx, cosem.Attribute{Class: cosem.ClassClock, Name: clockName, Index: 2}, nil, cosem.DateTime(at))
}

// errShortName reports an object whose short name is not known.
var errShortName = errors.New("the object list has no short name for it")
