package dlms

import (
	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
)

// shortNames gives the objects of an association short names.
type shortNames struct {
	objects []cosem.Object
}

// baseStep is how far the base names of two objects lie apart: of a device with
// more objects than find a name below the association's the first are shown.
const (
	baseStep = 0x100
	maxNames = baseAssociationSN/baseStep - 1
)

// shortNames returns the names of this association, which are given once.
func (s *session) shortNames() *shortNames {
	if s.names == nil {
		objects := s.device.Objects(&s.partner)
		s.names = &shortNames{objects: append([]cosem.Object(nil), objects[:min(len(objects), maxNames)]...)}
		for i := range s.names.objects {
			s.names.objects[i].BaseName = uint16(baseStep * (i + 1))
		}
	}
	return s.names
}

// find returns the object to which a short name belongs and the offset in it.
func (n *shortNames) find(name uint16) (o cosem.Object, offset uint16, ok bool) {
	i := int(name/baseStep) - 1
	if i < 0 || i >= len(n.objects) {
		return cosem.Object{}, 0, false
	}
	return n.objects[i], name % baseStep, true
}

// attribute returns the attribute that a short name stands for.
func (n *shortNames) attribute(name uint16) (cosem.Attribute, bool) {
	o, offset, ok := n.find(name)
	index := offset/attributeStep + 1
	if !ok || offset%attributeStep != 0 || int(index) > len(o.Attributes) {
		return cosem.Attribute{}, false
	}
	return o.Attribute(int8(index)), true
}

// method returns the method that a short name stands for.
func (n *shortNames) method(name uint16) (cosem.Method, bool) {
	o, offset, ok := n.find(name)
	first, has := methodOffsets[o.Class]
	if !ok || !has || offset < first || (offset-first)%attributeStep != 0 {
		return cosem.Method{}, false
	}
	return o.Method(int8((offset-first)/attributeStep + 1)), true
}

// serveSN answers a request of SN referencing.
func (s *session) serveSN(p apdu.PDU) []byte {
	switch p := p.(type) {
	case apdu.ReadRequest:
		return s.readSN(p)
	case apdu.WriteRequest:
		response := apdu.WriteResponse{}
		for _, code := range s.writeSN(p.List, p.Data) {
			w := apdu.Written{Code: code}
			if code != cosem.Success {
				w.Kind = 1
			}
			response.List = append(response.List, w)
		}
		return s.reply(response)
	case apdu.UnconfirmedWrite:
		s.writeSN(p.List, p.Data)
		return nil
	}
	return s.reply(apdu.ExceptionResponse{State: 2, Service: apdu.ServiceNotSupported})
}

func (s *session) readSN(p apdu.ReadRequest) []byte {
	if len(p.List) == 1 && p.List[0].Kind == apdu.VariableBlockNumber {
		return s.readNextSN(p.List[0])
	}
	s.long = longAnswer{}
	response := apdu.ReadResponse{}
	var room items
	for _, v := range p.List {
		item := apdu.Read{Result: apdu.Result{Code: cosem.DataBlockUnavailable}}
		if room.more() {
			item.Result = s.readVariable(v)
			room.took(item.Data)
		}
		if item.Code != cosem.Success {
			item.Kind = apdu.ReadError
		}
		response.List = append(response.List, item)
	}
	if plain := s.plain(response); len(plain) > s.room() && s.conformance&apdu.BlockTransferGet != 0 {
		s.long = longAnswer{raw: append([]byte(nil), plain[1:]...), active: true}
		return s.answerBlockSN()
	}
	return s.reply(response)
}

// readVariable reads what a variable-access-specification names.
func (s *session) readVariable(v apdu.Variable) apdu.Result {
	switch {
	case v.Kind == apdu.VariableParameterized && v.Name == baseAssociationSN+replyToHLS:
		d, code := s.prove(&v.Selection.Parameters)
		if code != 0 {
			return apdu.Result{Code: cosem.DataAccessResult(code)}
		}
		return apdu.Result{Data: *d}
	case v.Kind != apdu.VariableName && v.Kind != apdu.VariableParameterized:
		return apdu.Result{Code: cosem.OtherReason}
	case v.Name == baseAssociationSN+attributeStep:
		return s.objectListSN(v.Selection)
	case v.Name == baseAssociationSN+2*attributeStep:
		return s.accessRightsSN(v.Selection)
	case v.Name == baseAssociationSN:
		return apdu.Result{Data: cosem.Name(associationName)}
	}
	a, ok := s.shortNames().attribute(v.Name)
	if !ok {
		return apdu.Result{Code: cosem.ObjectUndefined}
	}
	return s.read(apdu.Get{Attribute: a, Selection: v.Selection})
}

// associationSN is the entry of the association in its own object list.
var associationSN = cosem.Object{Class: cosem.ClassAssociationSN, Version: 1, Name: associationName, BaseName: baseAssociationSN,
	Attributes: []cosem.AttributeAccess{{Index: 1, Mode: cosem.AccessRead}, {Index: 2, Mode: cosem.AccessRead, Selectors: []int8{1, 2, 3}}, {Index: 3, Mode: cosem.AccessRead, Selectors: []int8{1, 2, 3}}},
	Methods:    []cosem.MethodAccess{{Index: 8, Mode: cosem.AccessRead}},
}

// objectsSN returns the objects of the association, itself first.
func (s *session) objectsSN() []cosem.Object {
	return append([]cosem.Object{associationSN}, s.shortNames().objects...)
}

// objectListSN returns attribute object_list of Association SN, or what a
// selection names: the objects of a class_id (1), or one object, which is then no
// list, by class_id and logical_name (2) or by base_name (3).
func (s *session) objectListSN(selection *cosem.Selection) apdu.Result {
	return s.selectSN(selection, objectEntrySN)
}

func objectEntrySN(o cosem.Object) cosem.Data {
	return cosem.Structure(cosem.Int16(int16(o.BaseName)), cosem.Uint16(uint16(o.Class)), cosem.Uint8(o.Version), cosem.Name(o.Name))
}

// accessRightsSN returns attribute access_rights_list of Association SN, or the
// rights to what a selection names, as that of the object list.
func (s *session) accessRightsSN(selection *cosem.Selection) apdu.Result {
	return s.selectSN(selection, func(o cosem.Object) cosem.Data {
		rights := cosem.ObjectList([]cosem.Object{o}, associationVersionServed).At(0).At(3)
		return cosem.Structure(cosem.Int16(int16(o.BaseName)), rights.At(0), rights.At(1))
	})
}

// selectSN returns what there is to say of each of the objects, or of those that
// a selection names.
func (s *session) selectSN(selection *cosem.Selection, entry func(cosem.Object) cosem.Data) apdu.Result {
	wanted, ok := func(cosem.Object) bool { return true }, true
	if selection != nil {
		switch p := selection.Parameters; selection.Selector {
		case 1:
			wanted, ok = selectsClass(p)
		case 2:
			wanted, ok = selectsObject(p)
		case 3:
			var base int64
			base, ok = p.Int()
			wanted = func(o cosem.Object) bool { return o.BaseName == uint16(base) && base == int64(int16(base)) }
		default:
			ok = false
		}
	}
	if !ok {
		return apdu.Result{Code: cosem.TypeUnmatched}
	}
	var list []cosem.Data
	for _, o := range s.objectsSN() {
		if wanted(o) {
			list = append(list, entry(o))
		}
	}
	if selection == nil || selection.Selector == 1 {
		return apdu.Result{Data: cosem.Array(list...)}
	}
	if len(list) == 0 {
		return apdu.Result{Code: cosem.ObjectUndefined}
	}
	return apdu.Result{Data: list[0]}
}

// answerBlockSN answers with the next block of a long read-response.
func (s *session) answerBlockSN() []byte {
	n := min(len(s.long.raw), max(1, s.room()-blockOverhead))
	s.long.number++
	b := apdu.Block{Last: n == len(s.long.raw), Number: s.long.number, Raw: s.long.raw[:n]}
	s.long.raw = s.long.raw[n:]
	s.long.active = !b.Last
	return s.reply(apdu.ReadResponse{List: []apdu.Read{{Kind: apdu.ReadBlock, Block: b}}})
}

func (s *session) readNextSN(v apdu.Variable) []byte {
	if !s.long.active || v.Number != s.long.number {
		code := cosem.DataBlockNumberInvalid
		if !s.long.active {
			code = cosem.NoLongGetInProgress
		}
		s.long = longAnswer{}
		return s.reply(apdu.ReadResponse{List: []apdu.Read{{Kind: apdu.ReadError, Result: apdu.Result{Code: code}}}})
	}
	return s.answerBlockSN()
}

// writeSN writes attributes and invokes methods by their short names.
func (s *session) writeSN(list []apdu.Variable, data []cosem.Data) []cosem.DataAccessResult {
	codes := make([]cosem.DataAccessResult, len(list))
	for i, v := range list {
		codes[i] = cosem.OtherReason
		if len(data) != len(list) || i >= maxItems || v.Kind != apdu.VariableName && v.Kind != apdu.VariableParameterized {
			continue
		}
		if a, ok := s.shortNames().attribute(v.Name); ok {
			codes[i] = s.write(apdu.Get{Attribute: a, Selection: v.Selection}, data[i])
			continue
		}
		codes[i] = cosem.ObjectUndefined
		if m, ok := s.shortNames().method(v.Name); ok {
			codes[i] = cosem.DataAccessResult(s.invoke(m, &data[i]).Code)
		}
	}
	return codes
}
