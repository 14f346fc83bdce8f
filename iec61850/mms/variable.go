package mms

import (
	"errors"
	"fmt"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/internal/ber"
)

// Scope says where a name belongs.
type Scope uint8

// The scopes.
const (
	ScopeVMD Scope = iota
	ScopeDomain
	ScopeAssociation
)

// Name names a variable, a list of variables or a journal.
type Name struct {
	Scope  Scope
	Domain []byte // of ScopeDomain; aliases the input
	Item   []byte
}

// DomainName returns the name of something in a domain.
func DomainName(domain, item string) Name { return Name{ScopeDomain, []byte(domain), []byte(item)} }

// String returns the name as it is written: domain and item with a slash.
func (n Name) String() string {
	switch n.Scope {
	case ScopeDomain:
		return string(n.Domain) + "/" + string(n.Item)
	case ScopeAssociation:
		return "@" + string(n.Item)
	}
	return string(n.Item)
}

// parseName reads the choice of an ObjectName.
func parseName(e ber.Element) (n Name, err error) {
	switch e.Tag {
	case 0x80:
		return Name{ScopeVMD, nil, e.Contents}, nil
	case 0x82:
		return Name{ScopeAssociation, nil, e.Contents}, nil
	case 0xA1:
		r := e.Reader()
		domain, err := r.Want(0x1A, "domain")
		if err != nil {
			return n, err
		}
		item, err := r.Want(0x1A, "item")
		return Name{ScopeDomain, domain.Contents, item.Contents}, err
	}
	return n, &ber.Error{Field: "name", Offset: e.Offset, Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
}

// parseNameIn reads an element that holds an ObjectName.
func parseNameIn(e ber.Element) (Name, error) {
	r := e.Reader()
	inner, err := r.Next("name")
	if err != nil {
		return Name{}, err
	}
	return parseName(inner)
}

func (n Name) append(dst []byte) []byte {
	switch n.Scope {
	case ScopeDomain:
		dst, mark := ber.Open(dst, 0xA1)
		dst = ber.Append(ber.Append(dst, 0x1A, n.Domain), 0x1A, n.Item)
		return ber.Close(dst, mark)
	case ScopeAssociation:
		return ber.Append(dst, 0x82, n.Item)
	}
	return ber.Append(dst, 0x80, n.Item)
}

func (n Name) appendIn(dst []byte, tag ber.Tag) []byte {
	dst, mark := ber.Open(dst, tag)
	return ber.Close(n.append(dst), mark)
}

// Variable is one variable of a list.
type Variable struct {
	Name   Name
	Access []Step // the way to a part of it, nil for the whole
}

// Step is one step of an alternate access: a component by name, or an element
// of an array by number, or several of them.
type Step struct {
	Component []byte // nil where it is an index
	Index     uint32
	Count     uint32 // of a range; 0 for a single element
}

// ErrAlternateAccess reports an alternate access that selects more than one way.
var ErrAlternateAccess = errors.New("alternate access with several selections")

func parseVariable(e ber.Element) (v Variable, err error) {
	r := e.Reader()
	spec, err := r.Want(0xA0, "variable")
	if err != nil {
		return v, err
	}
	if v.Name, err = parseNameIn(spec); err != nil {
		return v, err
	}
	access, ok, err := r.Option(0xA5, "alternate access")
	if ok {
		v.Access, err = parseAccess(access, nil, maxDepth)
	}
	return v, err
}

func parseAccess(e ber.Element, steps []Step, depth int) ([]Step, error) {
	if depth == 0 {
		return nil, &ber.Error{Field: "alternate access", Offset: e.Offset, Err: errTooDeep}
	}
	r := e.Reader()
	selection, err := r.Next("alternate access")
	if err != nil {
		return nil, err
	}
	if r.More() {
		return nil, &ber.Error{Field: "alternate access", Offset: r.Offset(), Err: ErrAlternateAccess}
	}
	if selection.Tag != 0xA0 { // selectAccess: component [1], index [2], range [3]
		step, err := parseStep(selection, 1)
		return append(steps, step), err
	}
	in := selection.Reader() // selectAlternateAccess: component [0], index [1], range [2], then the rest
	first, err := in.Next("access selection")
	if err != nil {
		return nil, err
	}
	step, err := parseStep(first, 0)
	if err != nil {
		return nil, err
	}
	rest, err := in.Want(0x30, "alternate access")
	if err != nil {
		return nil, err
	}
	return parseAccess(rest, append(steps, step), depth-1)
}

// parseStep reads a selection whose component has the number first.
func parseStep(e ber.Element, first ber.Tag) (s Step, err error) {
	switch e.Tag {
	case 0x80 | first:
		s.Component = e.Contents
		if len(s.Component) == 0 {
			err = &ber.Error{Field: "component", Offset: e.Offset, Err: ber.ErrLength}
		}
	case 0x80 | first + 1:
		s.Index, err = e.Uint32("index")
	case 0xA0 | first + 2:
		r := e.Reader()
		low, err := r.Want(0x80, "low index")
		if err != nil {
			return s, err
		}
		count, err := r.Want(0x81, "number of elements")
		if err != nil {
			return s, err
		}
		if s.Index, err = low.Uint32("low index"); err != nil {
			return s, err
		}
		s.Count, err = count.Uint32("number of elements")
		return s, err
	default:
		err = &ber.Error{Field: "access selection", Offset: e.Offset, Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
	}
	return s, err
}

func (v Variable) append(dst []byte) []byte {
	dst, mark := ber.Open(dst, 0x30)
	dst = v.Name.appendIn(dst, 0xA0)
	if len(v.Access) > 0 {
		dst = appendAccess(dst, 0xA5, v.Access)
	}
	return ber.Close(dst, mark)
}

func appendAccess(dst []byte, tag ber.Tag, steps []Step) []byte {
	dst, mark := ber.Open(dst, tag)
	if len(steps) == 1 {
		return ber.Close(steps[0].append(dst, 1), mark)
	}
	dst, inner := ber.Open(dst, 0xA0)
	dst = steps[0].append(dst, 0)
	dst = appendAccess(dst, 0x30, steps[1:])
	return ber.Close(ber.Close(dst, inner), mark)
}

func (s Step) append(dst []byte, first ber.Tag) []byte {
	switch {
	case s.Component != nil:
		return ber.Append(dst, 0x80|first, s.Component)
	case s.Count == 0:
		return ber.AppendUint(dst, 0x80|first+1, uint64(s.Index))
	}
	dst, mark := ber.Open(dst, 0xA0|first+2)
	dst = ber.AppendUint(ber.AppendUint(dst, 0x80, uint64(s.Index)), 0x81, uint64(s.Count))
	return ber.Close(dst, mark)
}

// Variables are the variables of a request: a list, or the name of one.
type Variables struct {
	Named bool
	List  Name // where Named
	Each  []Variable
}

// parse reads the choice [0] listOfVariable or [1] variableListName. It reuses the memory of Each.
func (v *Variables) parse(e ber.Element) error {
	v.Each, v.Named = v.Each[:0], false
	switch e.Tag {
	case 0xA1:
		var err error
		v.Named = true
		v.List, err = parseNameIn(e)
		return err
	case 0xA0:
		r := e.Reader()
		for r.More() {
			item, err := r.Want(0x30, "variable")
			if err != nil {
				return err
			}
			variable, err := parseVariable(item)
			if err != nil {
				return err
			}
			v.Each = append(v.Each, variable)
		}
		return nil
	}
	return &ber.Error{Field: "variables", Offset: e.Offset, Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
}

func (v Variables) append(dst []byte) []byte {
	if v.Named {
		return v.List.appendIn(dst, 0xA1)
	}
	return appendVariables(dst, 0xA0, v.Each)
}

func appendVariables(dst []byte, tag ber.Tag, list []Variable) []byte {
	dst, mark := ber.Open(dst, tag)
	for _, variable := range list {
		dst = variable.append(dst)
	}
	return ber.Close(dst, mark)
}

// ReadRequest asks for the values of variables.
type ReadRequest struct {
	WithSpecification bool // the answer is to repeat which variables
	Variables         Variables
	spec              []byte
}

// Parse reads the parameters of the request. It reuses the memory of the list.
func (q *ReadRequest) Parse(b Body) error { return layered("mms", q.parse(b)) }

func (q *ReadRequest) parse(b Body) error {
	r := b.e.Reader()
	flag, ok, err := r.Option(0x80, "specification with result")
	if err != nil {
		return err
	}
	q.WithSpecification = false
	if ok {
		if q.WithSpecification, err = flag.Bool("specification with result"); err != nil {
			return err
		}
	}
	spec, err := r.Want(0xA1, "variable access specification")
	if err != nil {
		return err
	}
	q.spec = spec.Contents
	r = spec.Reader()
	e, err := r.Next("variables")
	if err != nil {
		return err
	}
	return q.Variables.parse(e)
}

// Append appends the parameters of the request.
func (q ReadRequest) Append(dst []byte) []byte {
	if q.WithSpecification {
		dst = ber.AppendBool(dst, 0x80, true)
	}
	dst, mark := ber.Open(dst, 0xA1)
	return ber.Close(q.Variables.append(dst), mark)
}

// AppendSpecification appends what the answer repeats of the request, if it is to.
func (q *ReadRequest) AppendSpecification(dst []byte) []byte {
	if !q.WithSpecification {
		return dst
	}
	return ber.Append(dst, 0xA0, q.spec)
}

// ParseReadResponse reads the parameters of the answer.
func ParseReadResponse(b Body) ([]Result, error) {
	r := b.e.Reader()
	if _, _, err := r.Option(0xA0, "variable access specification"); err != nil {
		return nil, layered("mms", err)
	}
	list, err := r.Want(0xA1, "access results")
	if err != nil {
		return nil, layered("mms", err)
	}
	results, err := parseResults(list)
	return results, layered("mms", err)
}

func parseResults(list ber.Element) (results []Result, err error) {
	r := list.Reader()
	for r.More() {
		e, err := r.Next("access result")
		if err != nil {
			return nil, err
		}
		result, err := parseResult(e)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// WriteRequest sets variables.
type WriteRequest struct {
	Variables Variables
	Data      []iec61850.Value
}

// Parse reads the parameters of the request. It reuses the memory of the lists.
func (q *WriteRequest) Parse(b Body) error { return layered("mms", q.parse(b)) }

func (q *WriteRequest) parse(b Body) error {
	r := b.e.Reader()
	e, err := r.Next("variable access specification")
	if err != nil {
		return err
	}
	if err := q.Variables.parse(e); err != nil {
		return err
	}
	list, err := r.Want(0xA0, "list of data")
	if err != nil {
		return err
	}
	q.Data, err = parseDataList(list, maxDepth)
	return err
}

// Append appends the parameters of the request.
func (q WriteRequest) Append(dst []byte) []byte {
	dst, mark := ber.Open(q.Variables.append(dst), 0xA0)
	for _, v := range q.Data {
		dst = AppendData(dst, v)
	}
	return ber.Close(dst, mark)
}

// AppendWritten appends the outcome of writing one variable, err being nil or an [AccessError].
func AppendWritten(dst []byte, err error) []byte {
	var code AccessError
	switch {
	case err == nil:
		return append(dst, 0x81, 0)
	case errors.As(err, &code):
		return AppendFailure(dst, code)
	}
	return AppendFailure(dst, ObjectAccessDenied)
}

// ParseWriteResponse reads the parameters of the answer: nil or an AccessError for each variable.
func ParseWriteResponse(b Body) (results []error, err error) {
	r := b.e.Reader()
	for r.More() {
		e, err := r.Next("write result")
		if err != nil {
			return nil, layered("mms", err)
		}
		var result error
		if e.Tag == 0x80 {
			code, err := e.Uint32("failure")
			if err != nil {
				return nil, layered("mms", err)
			}
			result = AccessError(min(code, 0xFF))
		}
		results = append(results, result)
	}
	return results, nil
}

// ParseNameRequest reads the parameters of GetVariableAccessAttributes ([0]
// name) or, as they are the name itself, of GetNamedVariableListAttributes.
func ParseNameRequest(b Body, s Service) (Name, error) {
	r := b.e.Reader()
	e, err := r.Next("name")
	if err == nil && s == GetVariableAttributes {
		if e.Tag != 0xA0 {
			err = &ber.Error{Field: "name", Offset: e.Offset, Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
		} else {
			r = e.Reader()
			e, err = r.Next("name")
		}
	}
	if err != nil {
		return Name{}, layered("mms", err)
	}
	n, err := parseName(e)
	return n, layered("mms", err)
}

// AppendNameRequest appends what ParseNameRequest reads.
func AppendNameRequest(dst []byte, s Service, n Name) []byte {
	if s == GetVariableAttributes {
		return n.appendIn(dst, 0xA0)
	}
	return n.append(dst)
}

// AppendAttributes appends the parameters of the answer to GetVariableAccessAttributes.
func AppendAttributes(dst []byte, t iec61850.Type) []byte {
	return appendTypeIn(append(dst, 0x80, 1, 0), 0xA2, t)
}

// ParseAttributes reads the parameters of the answer to GetVariableAccessAttributes.
func ParseAttributes(b Body) (iec61850.Type, error) {
	r := b.e.Reader()
	for r.More() {
		e, err := r.Next("attributes")
		if err != nil {
			return iec61850.Type{}, layered("mms", err)
		}
		if e.Tag == 0xA2 {
			in := e.Reader()
			inner, err := in.Next("type")
			if err != nil {
				return iec61850.Type{}, layered("mms", err)
			}
			t, err := parseType(inner, maxDepth)
			return t, layered("mms", err)
		}
	}
	return iec61850.Type{}, &ParseError{"mms", "type", r.Offset(), fmt.Errorf("%w: none", ber.ErrTag)}
}
