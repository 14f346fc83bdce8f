package apdu

import "github.com/openusm/meter/cosem"

// SetResponseNormal answers a SetRequestNormal.
type SetResponseNormal struct {
	Invoke InvokeID
	Code   cosem.DataAccessResult
}

// SetResponseBlock asks for the block that follows.
type SetResponseBlock struct {
	Invoke InvokeID
	Number uint32 // of the block that was received last
}

// SetResponseLastBlock answers the last block of one long attribute.
type SetResponseLastBlock struct {
	Invoke InvokeID
	Code   cosem.DataAccessResult
	Number uint32
}

// SetResponseLastBlockWithList answers the last block of several attributes.
type SetResponseLastBlockWithList struct {
	Invoke InvokeID
	Codes  []cosem.DataAccessResult
	Number uint32
}

// SetResponseWithList answers a SetRequestWithList.
type SetResponseWithList struct {
	Invoke InvokeID
	Codes  []cosem.DataAccessResult
}

// Name returns "set-response-normal".
func (SetResponseNormal) Name() string { return "set-response-normal" }

// Name returns "set-response-datablock".
func (SetResponseBlock) Name() string { return "set-response-datablock" }

// Name returns "set-response-last-datablock".
func (SetResponseLastBlock) Name() string { return "set-response-last-datablock" }

// Name returns "set-response-last-datablock-with-list".
func (SetResponseLastBlockWithList) Name() string { return "set-response-last-datablock-with-list" }

// Name returns "set-response-with-list".
func (SetResponseWithList) Name() string { return "set-response-with-list" }

func (r *reader) setResponse() PDU {
	r.Uint8("tag")
	choice, invoke := r.Uint8("set-response"), InvokeID(0)
	if choice >= 1 && choice <= 5 {
		invoke = InvokeID(r.Uint8("invoke-id-and-priority"))
	}
	switch choice {
	case 1:
		return SetResponseNormal{invoke, cosem.DataAccessResult(r.Uint8("result"))}
	case 2:
		return SetResponseBlock{invoke, r.Uint32("block-number")}
	case 3:
		return SetResponseLastBlock{invoke, cosem.DataAccessResult(r.Uint8("result")), r.Uint32("block-number")}
	case 4:
		return SetResponseLastBlockWithList{invoke, r.codes(), r.Uint32("block-number")}
	case 5:
		return SetResponseWithList{invoke, r.codes()}
	}
	r.choice("set-response", choice)
	return nil
}

func (r *reader) codes() (list []cosem.DataAccessResult) {
	for range r.count("result", 1) {
		list = append(list, cosem.DataAccessResult(r.Uint8("result")))
	}
	return list
}

func appendCodes(dst []byte, list []cosem.DataAccessResult) []byte {
	dst = cosem.AppendLength(dst, len(list))
	for _, c := range list {
		dst = append(dst, byte(c))
	}
	return dst
}

// AppendBinary appends the encoding. It never fails.
func (p SetResponseNormal) AppendBinary(dst []byte) ([]byte, error) {
	return append(dst, TagSetResponse, 1, byte(p.Invoke), byte(p.Code)), nil
}

// AppendBinary appends the encoding. It never fails.
func (p SetResponseBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(append(dst, TagSetResponse, 2, byte(p.Invoke)), p.Number), nil
}

// AppendBinary appends the encoding. It never fails.
func (p SetResponseLastBlock) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(append(dst, TagSetResponse, 3, byte(p.Invoke), byte(p.Code)), p.Number), nil
}

// AppendBinary appends the encoding. It never fails.
func (p SetResponseLastBlockWithList) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(appendCodes(append(dst, TagSetResponse, 4, byte(p.Invoke)), p.Codes), p.Number), nil
}

// AppendBinary appends the encoding. It never fails.
func (p SetResponseWithList) AppendBinary(dst []byte) ([]byte, error) {
	return appendCodes(append(dst, TagSetResponse, 5, byte(p.Invoke)), p.Codes), nil
}
