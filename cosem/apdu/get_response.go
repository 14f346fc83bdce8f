package apdu

import (
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/internal/wire"
)

// GetResponseNormal answers a GetRequestNormal.
type GetResponseNormal struct {
	Invoke InvokeID
	Result
}

// GetResponseWithBlock is a part of a long answer. All blocks together hold the
// data of a GetRequestNormal, or the list of results of a GetRequestWithList.
type GetResponseWithBlock struct {
	Invoke InvokeID
	Block
	Code cosem.DataAccessResult // Success where Block.Raw holds
}

// GetResponseWithList answers a GetRequestWithList, item by item.
type GetResponseWithList struct {
	Invoke InvokeID
	List   []Result
}

// Name returns "get-response-normal".
func (GetResponseNormal) Name() string { return "get-response-normal" }

// Name returns "get-response-with-datablock".
func (GetResponseWithBlock) Name() string { return "get-response-with-datablock" }

// Name returns "get-response-with-list".
func (GetResponseWithList) Name() string { return "get-response-with-list" }

// ParseGetResponse is [Parse] for a GetResponseNormal alone. It does not allocate.
func ParseGetResponse(b []byte) (p GetResponseNormal, n int, err error) {
	r := reader{Cursor: wire.NewCursor(b), b: b}
	if tag := r.Uint8("tag"); r.Err() == nil && tag != TagGetResponse {
		r.Fail("tag", 0, fmt.Errorf("0x%02x: %w", tag, errTag))
	}
	if choice := r.Uint8("get-response"); r.Err() == nil && choice != 1 {
		r.choice("get-response", choice)
	}
	p = GetResponseNormal{InvokeID(r.Uint8("invoke-id-and-priority")), r.result()}
	if err := r.err(); err != nil {
		return GetResponseNormal{}, 0, err
	}
	return p, r.Offset(), nil
}

func (r *reader) getResponse() PDU {
	r.Uint8("tag")
	choice, invoke := r.Uint8("get-response"), InvokeID(0)
	if choice >= 1 && choice <= 3 {
		invoke = InvokeID(r.Uint8("invoke-id-and-priority"))
	}
	switch choice {
	case 1:
		return GetResponseNormal{invoke, r.result()}
	case 2:
		return r.getResponseWithBlock(invoke)
	case 3:
		return GetResponseWithList{invoke, r.results()}
	}
	r.choice("get-response", choice)
	return nil
}

func (r *reader) getResponseWithBlock(invoke InvokeID) PDU {
	p := GetResponseWithBlock{Invoke: invoke, Block: Block{Last: r.boolean("last-block"), Number: r.Uint32("block-number")}}
	switch c := r.Uint8("result"); c {
	case 0:
		p.Raw = r.octets("raw-data")
	case 1:
		p.Code = r.failure().Code
	default:
		r.choice("result", c)
	}
	return p
}

func (r *reader) results() (list []Result) {
	for range r.count("result-list", 2) {
		list = append(list, r.result())
	}
	return list
}

// ParseResults reads the list of results that the blocks of a long answer to a
// GetRequestWithList hold.
func ParseResults(b []byte) ([]Result, error) {
	r := newReader(b)
	list := r.results()
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("result-list", r.Offset(), fmt.Errorf("%d octets too many", r.Len()))
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return list, nil
}

// AppendResults appends the list of results that [ParseResults] reads.
func AppendResults(dst []byte, list []Result) []byte {
	dst = cosem.AppendLength(dst, len(list))
	for _, item := range list {
		dst = appendResult(dst, item)
	}
	return dst
}

// AppendBinary appends the encoding. It never fails.
func (p GetResponseNormal) AppendBinary(dst []byte) ([]byte, error) {
	return appendResult(append(dst, TagGetResponse, 1, byte(p.Invoke)), p.Result), nil
}

// AppendBinary appends the encoding. It never fails.
func (p GetResponseWithBlock) AppendBinary(dst []byte) ([]byte, error) {
	dst = appendUint32(appendBool(append(dst, TagGetResponse, 2, byte(p.Invoke)), p.Last), p.Number)
	if p.Code != cosem.Success {
		return append(dst, 1, byte(p.Code)), nil
	}
	return appendOctets(append(dst, 0), p.Raw), nil
}

// AppendBinary appends the encoding. It never fails.
func (p GetResponseWithList) AppendBinary(dst []byte) ([]byte, error) {
	return AppendResults(append(dst, TagGetResponse, 3, byte(p.Invoke)), p.List), nil
}
