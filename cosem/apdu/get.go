package apdu

import "github.com/openusm/meter/cosem"

// Get is one attribute to read.
type Get struct {
	Attribute cosem.Attribute
	Selection *cosem.Selection // nil for the whole attribute
}

// GetRequestNormal asks for one attribute.
type GetRequestNormal struct {
	Invoke InvokeID
	Get
}

// GetRequestNext asks for the block that follows.
type GetRequestNext struct {
	Invoke InvokeID
	Block  uint32 // the number of the block that was received last
}

// GetRequestWithList asks for several attributes.
type GetRequestWithList struct {
	Invoke InvokeID
	List   []Get
}

// Name returns "get-request-normal".
func (GetRequestNormal) Name() string { return "get-request-normal" }

// Name returns "get-request-next".
func (GetRequestNext) Name() string { return "get-request-next" }

// Name returns "get-request-with-list".
func (GetRequestWithList) Name() string { return "get-request-with-list" }

func (r *reader) getRequest() PDU {
	r.Uint8("tag")
	choice, invoke := r.Uint8("get-request"), InvokeID(0)
	if choice >= 1 && choice <= 3 {
		invoke = InvokeID(r.Uint8("invoke-id-and-priority"))
	}
	switch choice {
	case 1:
		return GetRequestNormal{invoke, r.get()}
	case 2:
		return GetRequestNext{invoke, r.Uint32("block-number")}
	case 3:
		p := GetRequestWithList{Invoke: invoke}
		for range r.count("attribute-descriptor-list", 10) {
			p.List = append(p.List, r.get())
		}
		return p
	}
	r.choice("get-request", choice)
	return nil
}

func (r *reader) get() Get { return Get{r.attribute(), r.selection()} }

func (g Get) append(dst []byte) []byte { return appendSelection(g.Attribute.Append(dst), g.Selection) }

// AppendBinary appends the encoding. It never fails.
func (p GetRequestNormal) AppendBinary(dst []byte) ([]byte, error) {
	return p.append(append(dst, TagGetRequest, 1, byte(p.Invoke))), nil
}

// AppendBinary appends the encoding. It never fails.
func (p GetRequestNext) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(append(dst, TagGetRequest, 2, byte(p.Invoke)), p.Block), nil
}

// AppendBinary appends the encoding. It never fails.
func (p GetRequestWithList) AppendBinary(dst []byte) ([]byte, error) {
	dst = cosem.AppendLength(append(dst, TagGetRequest, 3, byte(p.Invoke)), len(p.List))
	for _, g := range p.List {
		dst = g.append(dst)
	}
	return dst, nil
}
