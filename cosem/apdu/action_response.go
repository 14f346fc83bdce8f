package apdu

import (
	"fmt"

	"github.com/openusm/meter/cosem"
)

// Action is the outcome of invoking one method.
type Action struct {
	Code   cosem.ActionResult
	Return *Result // nil where the method returns nothing
}

// ActionResponseNormal answers an ActionRequestNormal.
type ActionResponseNormal struct {
	Invoke InvokeID
	Action
	Short bool // nothing stands behind the result, as some servers end a refusal
}

// ActionResponseBlock is a part of a long answer. All blocks together hold what
// follows invoke-id-and-priority in an [ActionResponseNormal] or [ActionResponseWithList].
type ActionResponseBlock struct {
	Invoke InvokeID
	Block
}

// ActionResponseWithList answers an ActionRequestWithList, item by item.
type ActionResponseWithList struct {
	Invoke InvokeID
	List   []Action
}

// ActionResponseNext asks for the block of a long request that follows.
type ActionResponseNext struct {
	Invoke InvokeID
	Number uint32 // of the block that was received last
}

// Name returns "action-response-normal".
func (ActionResponseNormal) Name() string { return "action-response-normal" }

// Name returns "action-response-with-pblock".
func (ActionResponseBlock) Name() string { return "action-response-with-pblock" }

// Name returns "action-response-with-list".
func (ActionResponseWithList) Name() string { return "action-response-with-list" }

// Name returns "action-response-next-pblock".
func (ActionResponseNext) Name() string { return "action-response-next-pblock" }

func (r *reader) actionResponse() PDU {
	r.Uint8("tag")
	choice, invoke := r.Uint8("action-response"), InvokeID(0)
	if choice >= 1 && choice <= 4 {
		invoke = InvokeID(r.Uint8("invoke-id-and-priority"))
	}
	switch choice {
	case 1:
		a := Action{Code: cosem.ActionResult(r.Uint8("result"))}
		short := r.Err() == nil && r.Len() == 0
		if !short {
			a.Return = r.optionalResult()
		}
		return ActionResponseNormal{invoke, a, short}
	case 2:
		return ActionResponseBlock{invoke, r.block()}
	case 3:
		p := ActionResponseWithList{Invoke: invoke}
		for range r.count("list-of-responses", 2) {
			p.List = append(p.List, r.action())
		}
		return p
	case 4:
		return ActionResponseNext{invoke, r.Uint32("block-number")}
	}
	r.choice("action-response", choice)
	return nil
}

func (r *reader) action() Action {
	return Action{cosem.ActionResult(r.Uint8("result")), r.optionalResult()}
}

func (r *reader) optionalResult() *Result {
	if !r.optional("return-parameters") {
		return nil
	}
	result := r.result()
	return &result
}

func (a Action) append(dst []byte) []byte {
	dst = append(dst, byte(a.Code))
	if a.Return == nil {
		return append(dst, 0)
	}
	return appendResult(append(dst, 1), *a.Return)
}

// AppendBinary appends the encoding. It never fails.
func (p ActionResponseNormal) AppendBinary(dst []byte) ([]byte, error) {
	if p.Short && p.Return == nil {
		return append(dst, TagActionResponse, 1, byte(p.Invoke), byte(p.Code)), nil
	}
	return p.append(append(dst, TagActionResponse, 1, byte(p.Invoke))), nil
}

// AppendBinary appends the encoding. It never fails.
func (p ActionResponseBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendBlock(append(dst, TagActionResponse, 2, byte(p.Invoke)), p.Block), nil
}

// AppendBinary appends the encoding. It never fails.
func (p ActionResponseWithList) AppendBinary(dst []byte) ([]byte, error) {
	dst = cosem.AppendLength(append(dst, TagActionResponse, 3, byte(p.Invoke)), len(p.List))
	for _, a := range p.List {
		dst = a.append(dst)
	}
	return dst, nil
}

// AppendBinary appends the encoding. It never fails.
func (p ActionResponseNext) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(append(dst, TagActionResponse, 4, byte(p.Invoke)), p.Number), nil
}

// ParseAction reads what the blocks of a long answer hold: result and return parameters.
func ParseAction(b []byte) (Action, error) {
	r := newReader(b)
	a := r.action()
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("return-parameters", r.Offset(), fmt.Errorf("%d octets too many", r.Len()))
	}
	if err := r.err(); err != nil {
		return Action{}, err
	}
	return a, nil
}
