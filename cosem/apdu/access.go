package apdu

import "github.com/openusm/meter/cosem"

// AccessKind is one kind of request in an access-request.
type AccessKind uint8

// The kinds of an AccessKind.
const (
	AccessGet          AccessKind = 1
	AccessSet          AccessKind = 2
	AccessAction       AccessKind = 3
	AccessGetSelection AccessKind = 4
	AccessSetSelection AccessKind = 5
)

// Access is one request in an access-request. For an action Attribute.Index is the method.
type Access struct {
	Kind      AccessKind
	Attribute cosem.Attribute
	Selection *cosem.Selection // of the kinds with selection
	Data      cosem.Data       // what to write or the parameters; null-data for a get
}

// AccessRequest carries several reads, writes and actions.
type AccessRequest struct {
	Invoke LongInvokeID
	Time   []byte // a COSEM date-time, or empty
	List   []Access
}

// AccessResult is the outcome of one request of an access-request.
type AccessResult struct {
	Kind AccessKind // get, set or action
	Code uint8      // a [cosem.DataAccessResult], for an action a [cosem.ActionResult]
	Data cosem.Data
}

// AccessResponse answers an AccessRequest, item by item.
type AccessResponse struct {
	Invoke LongInvokeID
	Time   []byte   // a COSEM date-time, or empty
	Echo   []Access // the request's specifications and data, if the server repeats them
	List   []AccessResult
}

// Name returns "access-request".
func (AccessRequest) Name() string { return "access-request" }

// Name returns "access-response".
func (AccessResponse) Name() string { return "access-response" }

func (r *reader) accessRequest() PDU {
	r.Uint8("tag")
	p := AccessRequest{Invoke: LongInvokeID(r.Uint32("long-invoke-id-and-priority")), Time: r.time()}
	p.List = r.accessSpecifications()
	r.accessData(len(p.List), func(i int, d cosem.Data) { p.List[i].Data = d })
	return p
}

func (r *reader) accessSpecifications() (list []Access) {
	for range r.count("access-request-specification", 10) {
		a := Access{Kind: AccessKind(r.Uint8("access-request-specification"))}
		if r.Err() == nil && (a.Kind < AccessGet || a.Kind > AccessSetSelection) {
			r.choice("access-request-specification", uint8(a.Kind))
		}
		a.Attribute = r.attribute()
		if a.Kind >= AccessGetSelection {
			a.Selection = &cosem.Selection{Selector: r.Uint8("access-selector"), Parameters: r.data("access-parameters")}
		}
		list = append(list, a)
	}
	return list
}

// accessData reads a list of data as long as that of the specifications.
func (r *reader) accessData(want int, set func(i int, d cosem.Data)) {
	at := r.Offset()
	n := r.count("access-data", 1)
	if r.Err() == nil && n != want {
		r.Fail("access-data", at, errValue)
		return
	}
	for i := range n {
		set(i, r.data("access-data"))
	}
}

func (r *reader) accessResponse() PDU {
	r.Uint8("tag")
	p := AccessResponse{Invoke: LongInvokeID(r.Uint32("long-invoke-id-and-priority")), Time: r.time()}
	if r.optional("access-request-specification") {
		p.Echo = r.accessSpecifications()
	}
	data := r.dataList("access-response-list-of-data")
	at := r.Offset()
	n := r.count("access-response-specification", 2)
	if r.Err() == nil && n != len(data) {
		r.Fail("access-response-specification", at, errValue)
		return p
	}
	for i := range n {
		a := AccessResult{Kind: AccessKind(r.Uint8("access-response-specification")), Data: data[i]}
		if r.Err() == nil && (a.Kind < AccessGet || a.Kind > AccessAction) {
			r.choice("access-response-specification", uint8(a.Kind))
		}
		a.Code = r.Uint8("result")
		p.List = append(p.List, a)
	}
	return p
}

func appendSpecifications(dst []byte, list []Access) []byte {
	dst = cosem.AppendLength(dst, len(list))
	for _, a := range list {
		dst = a.Attribute.Append(append(dst, byte(a.Kind)))
		if a.Kind >= AccessGetSelection {
			s := a.Selection
			if s == nil {
				s = &cosem.Selection{}
			}
			dst = appendData(append(dst, s.Selector), s.Parameters)
		}
	}
	return dst
}

// AppendBinary appends the encoding. It never fails.
func (p AccessRequest) AppendBinary(dst []byte) ([]byte, error) {
	dst = appendOctets(appendUint32(append(dst, TagAccessRequest), uint32(p.Invoke)), p.Time)
	dst = cosem.AppendLength(appendSpecifications(dst, p.List), len(p.List))
	for _, a := range p.List {
		dst = appendData(dst, a.Data)
	}
	return dst, nil
}

// AppendBinary appends the encoding. It never fails.
func (p AccessResponse) AppendBinary(dst []byte) ([]byte, error) {
	dst = appendOctets(appendUint32(append(dst, TagAccessResponse), uint32(p.Invoke)), p.Time)
	if len(p.Echo) == 0 {
		dst = append(dst, 0)
	} else {
		dst = appendSpecifications(append(dst, 1), p.Echo)
	}
	dst = cosem.AppendLength(dst, len(p.List))
	for _, a := range p.List {
		dst = appendData(dst, a.Data)
	}
	dst = cosem.AppendLength(dst, len(p.List))
	for _, a := range p.List {
		dst = append(dst, byte(a.Kind), a.Code)
	}
	return dst, nil
}
