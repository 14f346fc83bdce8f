package mms

import (
	"errors"
	"fmt"

	"github.com/openusm/meter/internal/ber"
)

// ObjectClass is what a name list is of.
type ObjectClass uint8

// The classes that IEC 61850 has.
const (
	NamedVariables     ObjectClass = 0
	NamedVariableLists ObjectClass = 2
	Journals           ObjectClass = 8
	Domains            ObjectClass = 9
)

// NameListRequest asks for names.
type NameListRequest struct {
	Class  ObjectClass
	Scope  Scope
	Domain []byte
	After  []byte // the name after which to go on; nil: from the first
}

// ParseNameListRequest reads the parameters of the request.
func ParseNameListRequest(b Body) (q NameListRequest, err error) {
	q, err = parseNameListRequest(b)
	if err != nil {
		return NameListRequest{}, layered("mms", err)
	}
	return q, nil
}

func parseNameListRequest(b Body) (q NameListRequest, err error) {
	r := b.e.Reader()
	class, err := r.Want(0xA0, "object class")
	if err != nil {
		return q, err
	}
	in := class.Reader()
	basic, err := in.Want(0x80, "object class")
	if err != nil {
		return q, err
	}
	n, err := basic.Uint32("object class")
	if err != nil {
		return q, err
	}
	q.Class = ObjectClass(min(n, 0xFF))
	scope, err := r.Want(0xA1, "object scope")
	if err != nil {
		return q, err
	}
	in = scope.Reader()
	e, err := in.Next("object scope")
	if err != nil {
		return q, err
	}
	switch e.Tag {
	case 0x80:
		q.Scope = ScopeVMD
	case 0x81:
		q.Scope, q.Domain = ScopeDomain, e.Contents
	case 0x82:
		q.Scope = ScopeAssociation
	default:
		return q, &ber.Error{Field: "object scope", Offset: e.Offset, Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
	}
	after, ok, err := r.Option(0x82, "continue after")
	if ok {
		q.After = after.Contents
	}
	return q, err
}

// Append appends the parameters of the request.
func (q NameListRequest) Append(dst []byte) []byte {
	dst = append(dst, 0xA0, 3, 0x80, 1, byte(q.Class))
	dst, mark := ber.Open(dst, 0xA1)
	switch q.Scope {
	case ScopeDomain:
		dst = ber.Append(dst, 0x81, q.Domain)
	case ScopeAssociation:
		dst = append(dst, 0x82, 0)
	default:
		dst = append(dst, 0x80, 0)
	}
	dst = ber.Close(dst, mark)
	if q.After != nil {
		dst = ber.Append(dst, 0x82, q.After)
	}
	return dst
}

// AppendNameList appends the parameters of the answer: as many of the names as
// fit in room octets, but one at least, and whether more follow.
func AppendNameList(dst []byte, names []string, room int) []byte {
	dst, mark := ber.Open(dst, 0xA0)
	sent := 0
	for _, name := range names {
		if sent > 0 && len(dst)-mark+len(name)+12 > room {
			break
		}
		dst = ber.Append(dst, 0x1A, name)
		sent++
	}
	dst = ber.Close(dst, mark)
	return ber.AppendBool(dst, 0x81, sent < len(names))
}

// ParseNameList reads the parameters of the answer.
func ParseNameList(b Body) (names []string, more bool, err error) {
	r := b.e.Reader()
	list, err := r.Want(0xA0, "identifiers")
	if err != nil {
		return nil, false, layered("mms", err)
	}
	in := list.Reader()
	for in.More() {
		e, err := in.Next("identifier")
		if err != nil {
			return nil, false, layered("mms", err)
		}
		names = append(names, string(e.Contents))
	}
	if more, err = moreFollows(&r, true); err != nil {
		return nil, false, layered("mms", err)
	}
	return names, more, nil
}

// ListAttributes is what a named variable list holds.
type ListAttributes struct {
	Deletable bool
	Variables []Variable
}

// Append appends the parameters of the answer to GetNamedVariableListAttributes.
func (l ListAttributes) Append(dst []byte) []byte {
	return appendVariables(ber.AppendBool(dst, 0x80, l.Deletable), 0xA1, l.Variables)
}

// ParseListAttributes reads the parameters of the answer to GetNamedVariableListAttributes.
func ParseListAttributes(b Body) (l ListAttributes, err error) {
	r := b.e.Reader()
	e, err := r.Want(0x80, "deletable")
	if err == nil {
		l.Deletable, err = e.Bool("deletable")
	}
	if err == nil {
		e, err = r.Want(0xA1, "variables")
	}
	if err == nil {
		var v Variables
		err = v.parse(ber.Element{Tag: 0xA0, Contents: e.Contents, Offset: e.Offset})
		l.Variables = v.Each
	}
	if err != nil {
		return ListAttributes{}, layered("mms", err)
	}
	return l, nil
}

// DefineRequest makes a named variable list.
type DefineRequest struct {
	Name      Name
	Variables []Variable
}

// ParseDefineRequest reads the parameters of the request.
func ParseDefineRequest(b Body) (q DefineRequest, err error) {
	r := b.e.Reader()
	e, err := r.Next("name")
	if err == nil {
		q.Name, err = parseName(e)
	}
	if err == nil {
		e, err = r.Want(0xA0, "variables")
	}
	if err == nil {
		var v Variables
		err = v.parse(e)
		q.Variables = v.Each
	}
	if err != nil {
		return DefineRequest{}, layered("mms", err)
	}
	return q, nil
}

// Append appends the parameters of the request.
func (q DefineRequest) Append(dst []byte) []byte {
	return appendVariables(q.Name.append(dst), 0xA0, q.Variables)
}

// DeleteRequest deletes named variable lists. Scope 0 deletes those named, 1
// those of the association, 2 those of Domain, 3 all.
type DeleteRequest struct {
	Scope  uint8
	Names  []Name
	Domain []byte
}

// ParseDeleteRequest reads the parameters of the request.
func ParseDeleteRequest(b Body) (q DeleteRequest, err error) {
	r := b.e.Reader()
	for err == nil && r.More() {
		var e ber.Element
		if e, err = r.Next("delete"); err != nil {
			break
		}
		switch e.Tag {
		case 0x80:
			var n uint32
			n, err = e.Uint32("scope of delete")
			q.Scope = uint8(min(n, 0xFF))
		case 0xA1:
			in := e.Reader()
			for err == nil && in.More() {
				var name ber.Element
				var n Name
				if name, err = in.Next("name"); err == nil {
					n, err = parseName(name)
				}
				q.Names = append(q.Names, n)
			}
		case 0x82:
			q.Domain = e.Contents
		}
	}
	if err != nil {
		return DeleteRequest{}, layered("mms", err)
	}
	return q, nil
}

// Append appends the parameters of the request.
func (q DeleteRequest) Append(dst []byte) []byte {
	dst = ber.AppendUint(dst, 0x80, uint64(q.Scope))
	if len(q.Names) > 0 {
		var mark int
		dst, mark = ber.Open(dst, 0xA1)
		for _, n := range q.Names {
			dst = n.append(dst)
		}
		dst = ber.Close(dst, mark)
	}
	if q.Domain != nil {
		dst = ber.Append(dst, 0x82, q.Domain)
	}
	return dst
}

// Deleted is the answer to a DeleteRequest.
type Deleted struct{ Matched, Deleted uint32 }

// Append appends the parameters of the answer.
func (d Deleted) Append(dst []byte) []byte {
	return ber.AppendUint(ber.AppendUint(dst, 0x80, uint64(d.Matched)), 0x81, uint64(d.Deleted))
}

// ParseDeleted reads the parameters of the answer.
func ParseDeleted(b Body) (d Deleted, err error) {
	r := b.e.Reader()
	for i, to := range []*uint32{&d.Matched, &d.Deleted} {
		e, err := r.Want(0x80|ber.Tag(i), "number")
		if err == nil {
			*to, err = e.Uint32("number")
		}
		if err != nil {
			return Deleted{}, layered("mms", err)
		}
	}
	return d, nil
}

// Information is an unconfirmed information report: of a named list (Named), or
// of variables.
type Information struct {
	Variables Variables
	Results   []Result
}

// Append appends the whole unconfirmed PDU.
func (i Information) Append(dst []byte) []byte {
	dst, pdu := ber.Open(dst, ber.Tag(Unconfirmed))
	dst, report := ber.Open(dst, 0xA0)
	dst = i.Variables.append(dst)
	dst, list := ber.Open(dst, 0xA0)
	for _, r := range i.Results {
		dst = appendResult(dst, r)
	}
	return ber.Close(ber.Close(ber.Close(dst, list), report), pdu)
}

// ErrNoReport reports an unconfirmed PDU that is no information report.
var ErrNoReport = errors.New("not an information report")

// Information reads the body of an unconfirmed PDU.
func (p PDU) Information() (Information, error) {
	i, err := p.information()
	if err != nil {
		return Information{}, layered("mms", err)
	}
	return i, nil
}

func (p PDU) information() (i Information, err error) {
	r := p.Body.e.Reader()
	service, err := r.Next("unconfirmed service")
	if err != nil {
		return i, err
	}
	if service.Tag != 0xA0 {
		return i, &ber.Error{Field: "unconfirmed service", Offset: service.Offset, Err: ErrNoReport}
	}
	r = service.Reader()
	e, err := r.Next("variables")
	if err != nil {
		return i, err
	}
	if err := i.Variables.parse(e); err != nil {
		return i, err
	}
	list, err := r.Want(0xA0, "access results")
	if err != nil {
		return i, err
	}
	i.Results, err = parseResults(list)
	return i, err
}
