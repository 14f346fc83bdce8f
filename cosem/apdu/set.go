package apdu

import (
	"fmt"

	"github.com/openusm/meter/cosem"
)

// SetRequestNormal writes one attribute.
type SetRequestNormal struct {
	Invoke InvokeID
	Get
	Data cosem.Data
}

// SetRequestFirstBlock begins to write one long attribute.
type SetRequestFirstBlock struct {
	Invoke InvokeID
	Get
	Block
}

// SetRequestBlock goes on to write what a first block has begun.
type SetRequestBlock struct {
	Invoke InvokeID
	Block
}

// SetRequestWithList writes several attributes.
type SetRequestWithList struct {
	Invoke InvokeID
	List   []Get
	Data   []cosem.Data // one for each of List
}

// SetRequestWithListFirstBlock begins to write several attributes; the blocks hold the list of data.
type SetRequestWithListFirstBlock struct {
	Invoke InvokeID
	List   []Get
	Block
}

// Name returns "set-request-normal".
func (SetRequestNormal) Name() string { return "set-request-normal" }

// Name returns "set-request-with-first-datablock".
func (SetRequestFirstBlock) Name() string { return "set-request-with-first-datablock" }

// Name returns "set-request-with-datablock".
func (SetRequestBlock) Name() string { return "set-request-with-datablock" }

// Name returns "set-request-with-list".
func (SetRequestWithList) Name() string { return "set-request-with-list" }

// Name returns "set-request-with-list-and-first-datablock".
func (SetRequestWithListFirstBlock) Name() string { return "set-request-with-list-and-first-datablock" }

func (r *reader) setRequest() PDU {
	r.Uint8("tag")
	choice, invoke := r.Uint8("set-request"), InvokeID(0)
	if choice >= 1 && choice <= 5 {
		invoke = InvokeID(r.Uint8("invoke-id-and-priority"))
	}
	switch choice {
	case 1:
		return SetRequestNormal{invoke, r.get(), r.data("value")}
	case 2:
		return SetRequestFirstBlock{invoke, r.get(), r.block()}
	case 3:
		return SetRequestBlock{invoke, r.block()}
	case 4:
		return SetRequestWithList{invoke, r.gets(), r.dataList("value-list")}
	case 5:
		return SetRequestWithListFirstBlock{invoke, r.gets(), r.block()}
	}
	r.choice("set-request", choice)
	return nil
}

func (r *reader) gets() (list []Get) {
	for range r.count("attribute-descriptor-list", 10) {
		list = append(list, r.get())
	}
	return list
}

func (r *reader) dataList(field string) (list []cosem.Data) {
	for range r.count(field, 1) {
		list = append(list, r.data(field))
	}
	return list
}

// ParseDataList reads the list of data that the blocks of a long request with a list hold.
func ParseDataList(b []byte) ([]cosem.Data, error) {
	r := newReader(b)
	list := r.dataList("value-list")
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("value-list", r.Offset(), fmt.Errorf("%d octets too many", r.Len()))
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return list, nil
}

// AppendDataList appends the list of data that [ParseDataList] reads.
func AppendDataList(dst []byte, list []cosem.Data) []byte {
	dst = cosem.AppendLength(dst, len(list))
	for _, d := range list {
		dst = appendData(dst, d)
	}
	return dst
}

func appendGets(dst []byte, list []Get) []byte {
	dst = cosem.AppendLength(dst, len(list))
	for _, g := range list {
		dst = g.append(dst)
	}
	return dst
}

// AppendBinary appends the encoding. It never fails.
func (p SetRequestNormal) AppendBinary(dst []byte) ([]byte, error) {
	return appendData(p.append(append(dst, TagSetRequest, 1, byte(p.Invoke))), p.Data), nil
}

// AppendBinary appends the encoding. It never fails.
func (p SetRequestFirstBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendBlock(p.append(append(dst, TagSetRequest, 2, byte(p.Invoke))), p.Block), nil
}

// AppendBinary appends the encoding. It never fails.
func (p SetRequestBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendBlock(append(dst, TagSetRequest, 3, byte(p.Invoke)), p.Block), nil
}

// AppendBinary appends the encoding. It never fails.
func (p SetRequestWithList) AppendBinary(dst []byte) ([]byte, error) {
	return AppendDataList(appendGets(append(dst, TagSetRequest, 4, byte(p.Invoke)), p.List), p.Data), nil
}

// AppendBinary appends the encoding. It never fails.
func (p SetRequestWithListFirstBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendBlock(appendGets(append(dst, TagSetRequest, 5, byte(p.Invoke)), p.List), p.Block), nil
}
