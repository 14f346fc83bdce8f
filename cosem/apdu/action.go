package apdu

import (
	"fmt"

	"github.com/openusm/meter/cosem"
)

// ActionRequestNormal invokes one method.
type ActionRequestNormal struct {
	Invoke     InvokeID
	Method     cosem.Method
	Parameters *cosem.Data // nil for none
}

// ActionRequestNext asks for the block of a long answer that follows.
type ActionRequestNext struct {
	Invoke InvokeID
	Block  uint32 // the number of the block that was received last
}

// ActionRequestWithList invokes several methods.
type ActionRequestWithList struct {
	Invoke     InvokeID
	Methods    []cosem.Method
	Parameters []cosem.Data // one for each of Methods, null-data for none
}

// ActionRequestFirstBlock begins to invoke one method with long parameters.
type ActionRequestFirstBlock struct {
	Invoke InvokeID
	Method cosem.Method
	Block
}

// ActionRequestWithListFirstBlock begins to invoke several methods; the blocks hold the list of parameters.
type ActionRequestWithListFirstBlock struct {
	Invoke  InvokeID
	Methods []cosem.Method
	Block
}

// ActionRequestBlock goes on with what a first block has begun.
type ActionRequestBlock struct {
	Invoke InvokeID
	Block
}

// Name returns "action-request-normal".
func (ActionRequestNormal) Name() string { return "action-request-normal" }

// Name returns "action-request-next-pblock".
func (ActionRequestNext) Name() string { return "action-request-next-pblock" }

// Name returns "action-request-with-list".
func (ActionRequestWithList) Name() string { return "action-request-with-list" }

// Name returns "action-request-with-first-pblock".
func (ActionRequestFirstBlock) Name() string { return "action-request-with-first-pblock" }

// Name returns "action-request-with-list-and-first-pblock".
func (ActionRequestWithListFirstBlock) Name() string {
	return "action-request-with-list-and-first-pblock"
}

// Name returns "action-request-with-pblock".
func (ActionRequestBlock) Name() string { return "action-request-with-pblock" }

func (r *reader) actionRequest() PDU {
	r.Uint8("tag")
	choice, invoke := r.Uint8("action-request"), InvokeID(0)
	if choice >= 1 && choice <= 6 {
		invoke = InvokeID(r.Uint8("invoke-id-and-priority"))
	}
	switch choice {
	case 1:
		return ActionRequestNormal{invoke, r.method(), r.optionalData("method-invocation-parameters")}
	case 2:
		return ActionRequestNext{invoke, r.Uint32("block-number")}
	case 3:
		return ActionRequestWithList{invoke, r.methods(), r.dataList("method-invocation-parameters")}
	case 4:
		return ActionRequestFirstBlock{invoke, r.method(), r.block()}
	case 5:
		return ActionRequestWithListFirstBlock{invoke, r.methods(), r.block()}
	case 6:
		return ActionRequestBlock{invoke, r.block()}
	}
	r.choice("action-request", choice)
	return nil
}

func (r *reader) optionalData(field string) *cosem.Data {
	if !r.optional(field) {
		return nil
	}
	d := r.data(field)
	return &d
}

func (r *reader) methods() (list []cosem.Method) {
	for range r.count("method-descriptor-list", 9) {
		list = append(list, r.method())
	}
	return list
}

// ParseOptionalData reads the parameters of a method that the blocks of a long
// request or the data that those of a long answer hold.
func ParseOptionalData(b []byte) (*cosem.Data, error) {
	r := newReader(b)
	d := r.optionalData("method-invocation-parameters")
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("method-invocation-parameters", r.Offset(), fmt.Errorf("%d octets too many", r.Len()))
	}
	return d, r.err()
}

func appendOptionalData(dst []byte, d *cosem.Data) []byte {
	if d == nil {
		return append(dst, 0)
	}
	return appendData(append(dst, 1), *d)
}

func appendMethods(dst []byte, list []cosem.Method) []byte {
	dst = cosem.AppendLength(dst, len(list))
	for _, m := range list {
		dst = m.Append(dst)
	}
	return dst
}

// AppendBinary appends the encoding. It never fails.
func (p ActionRequestNormal) AppendBinary(dst []byte) ([]byte, error) {
	return appendOptionalData(p.Method.Append(append(dst, TagActionRequest, 1, byte(p.Invoke))), p.Parameters), nil
}

// AppendBinary appends the encoding. It never fails.
func (p ActionRequestNext) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(append(dst, TagActionRequest, 2, byte(p.Invoke)), p.Block), nil
}

// AppendBinary appends the encoding. It never fails.
func (p ActionRequestWithList) AppendBinary(dst []byte) ([]byte, error) {
	return AppendDataList(appendMethods(append(dst, TagActionRequest, 3, byte(p.Invoke)), p.Methods), p.Parameters), nil
}

// AppendBinary appends the encoding. It never fails.
func (p ActionRequestFirstBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendBlock(p.Method.Append(append(dst, TagActionRequest, 4, byte(p.Invoke))), p.Block), nil
}

// AppendBinary appends the encoding. It never fails.
func (p ActionRequestWithListFirstBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendBlock(appendMethods(append(dst, TagActionRequest, 5, byte(p.Invoke)), p.Methods), p.Block), nil
}

// AppendBinary appends the encoding. It never fails.
func (p ActionRequestBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendBlock(append(dst, TagActionRequest, 6, byte(p.Invoke)), p.Block), nil
}
