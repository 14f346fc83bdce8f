package cosem

import (
	"fmt"

	"github.com/openusm/meter/obis"
)

// Object is an entry of an association's object list.
type Object struct {
	Class      Class
	Version    uint8
	Name       obis.Code
	BaseName   uint16            // of SN referencing; 0 in an LN association
	Attributes []AttributeAccess // access rights; nil where the list has none
	Methods    []MethodAccess
}

// Attribute returns a reference to one of the object's attributes.
func (o Object) Attribute(index int8) Attribute { return Attribute{o.Class, o.Name, index} }

// Method returns a reference to one of the object's methods.
func (o Object) Method(index int8) Method { return Method{o.Class, o.Name, index} }

// AttributeAccess says how the current association may use an attribute.
type AttributeAccess struct {
	Index     int8
	Mode      AccessMode
	Selectors []int8 // the selective access that it knows
}

// MethodAccess says whether the current association may invoke a method.
type MethodAccess struct {
	Index int8
	Mode  AccessMode
}

// AccessMode is a set of rights, as version 3 of Association LN has them. The
// enumeration of earlier versions is turned into it.
type AccessMode uint8

// The rights of an AccessMode.
const (
	AccessRead                  AccessMode = 0x01 // for a method: it may be invoked
	AccessWrite                 AccessMode = 0x02
	AccessAuthenticatedRequest  AccessMode = 0x04
	AccessEncryptedRequest      AccessMode = 0x08
	AccessSignedRequest         AccessMode = 0x10
	AccessAuthenticatedResponse AccessMode = 0x20
	AccessEncryptedResponse     AccessMode = 0x40
	AccessSignedResponse        AccessMode = 0x80

	AccessReadWrite = AccessRead | AccessWrite
)

// enumAccess turns access_mode of versions 0 to 2 into rights.
func enumAccess(mode uint64) AccessMode {
	a := AccessMode(mode & 3)
	if mode >= 4 && mode <= 6 {
		a = AccessMode(mode-3) | AccessAuthenticatedRequest
	}
	return a
}

// enum is the inverse of enumAccess.
func (a AccessMode) enum() uint8 {
	mode := uint8(a & AccessReadWrite)
	if mode != 0 && a&AccessAuthenticatedRequest != 0 {
		mode += 3
	}
	return mode
}

// ParseObjectList reads attribute object_list of Association LN (LN) or
// Association SN. Version is that of the association's class: from version 3 on
// access rights are bit sets. An entry that is none makes an error.
func ParseObjectList(list Data, version uint8) ([]Object, error) {
	if t := list.Tag(); t != TagArray && t != TagCompactArray {
		return nil, fmt.Errorf("cosem: object list is %v, want array", t)
	}
	objects := make([]Object, 0, min(list.Len(), len(list.b)/8))
	for i, e := range list.Elements() {
		o, ok := parseObject(e, version)
		if !ok {
			return nil, fmt.Errorf("cosem: entry %d of the object list is no object", i+1)
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// parseObject reads {class, version, name, access_rights} or {base_name, class, version, name}.
func parseObject(d Data, version uint8) (o Object, ok bool) {
	var f [4]Data
	if d.Tag() != TagStructure || !d.Split(f[:]) {
		return Object{}, false
	}
	if name, isSN := f[3].Code(); isSN {
		base, ok0 := f[0].Int()
		class, ok1 := f[1].Uint()
		v, ok2 := f[2].Uint()
		return Object{Class: Class(class), Version: uint8(v), Name: name, BaseName: uint16(base)},
			ok0 && ok1 && ok2 && class <= 0xFFFF && v <= 0xFF
	}
	class, ok1 := f[0].Uint()
	v, ok2 := f[1].Uint()
	name, ok3 := f[2].Code()
	if !ok1 || !ok2 || !ok3 || class > 0xFFFF || v > 0xFF {
		return Object{}, false
	}
	o = Object{Class: Class(class), Version: uint8(v), Name: name}
	var rights [2]Data
	if f[3].Tag() == TagStructure && f[3].Split(rights[:]) {
		o.Attributes, o.Methods = parseRights(rights, version)
	}
	return o, true
}

func parseRights(rights [2]Data, version uint8) (attributes []AttributeAccess, methods []MethodAccess) {
	mode := func(d Data) AccessMode {
		m, _ := d.Uint()
		if version >= 3 {
			return AccessMode(m)
		}
		return enumAccess(m)
	}
	for _, e := range rights[0].Elements() {
		var f [3]Data
		if !e.Split(f[:]) {
			continue
		}
		index, _ := f[0].Int()
		a := AttributeAccess{Index: int8(index), Mode: mode(f[1])}
		for _, s := range f[2].Elements() {
			n, _ := s.Int()
			a.Selectors = append(a.Selectors, int8(n))
		}
		attributes = append(attributes, a)
	}
	for _, e := range rights[1].Elements() {
		var f [2]Data
		if !e.Split(f[:]) {
			continue
		}
		index, _ := f[0].Int()
		m := MethodAccess{Index: int8(index), Mode: mode(f[1])}
		if version < 3 && m.Mode == AccessWrite { // "authenticated access"
			m.Mode = AccessRead | AccessAuthenticatedRequest
		}
		methods = append(methods, m)
	}
	return attributes, methods
}

// ObjectList returns the value of attribute object_list for an Association LN of this version.
func ObjectList(objects []Object, version uint8) Data {
	list := make([]Data, len(objects))
	for i, o := range objects {
		attributes := make([]Data, len(o.Attributes))
		for k, a := range o.Attributes {
			selectors := Null()
			if len(a.Selectors) > 0 {
				var s []Data
				for _, n := range a.Selectors {
					s = append(s, Int8(n))
				}
				selectors = Array(s...)
			}
			mode := a.Mode.enum()
			if version >= 3 {
				mode = uint8(a.Mode)
			}
			attributes[k] = Structure(Int8(a.Index), Enum(mode), selectors)
		}
		methods := make([]Data, len(o.Methods))
		for k, m := range o.Methods {
			methods[k] = Structure(Int8(m.Index), methodMode(m.Mode, version))
		}
		list[i] = Structure(Uint16(uint16(o.Class)), Uint8(o.Version), Name(o.Name), Structure(Array(attributes...), Array(methods...)))
	}
	return Array(list...)
}

func methodMode(a AccessMode, version uint8) Data {
	switch {
	case version >= 3:
		return Enum(uint8(a))
	case version == 0:
		return Bool(a&AccessRead != 0)
	case a&AccessRead != 0 && a&AccessAuthenticatedRequest != 0:
		return Enum(2)
	}
	return Enum(uint8(a & AccessRead))
}
