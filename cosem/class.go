package cosem

//go:generate go run ../internal/gen/cosem

import "strconv"

// Class is the number of an interface class.
type Class uint16

// ClassInfo describes an interface class.
type ClassInfo struct {
	Name       string
	Versions   string   // the versions that are known, with commas between
	Attributes []Member // in the order of their numbers
	Methods    []Member
}

// Member is an attribute or a method of a class.
type Member struct {
	Index int8
	Name  string // as the standard has it
	Type  string // of an attribute: "octet-string", "structure(integer,enum)", "choice", …
}

// Info returns what is known of the class. Classes that no table has are not ok;
// their attributes can be read all the same.
func (c Class) Info() (ClassInfo, bool) {
	i, ok := classes[c]
	return i, ok
}

// String returns the name of the class, "class 4711" where it has none.
func (c Class) String() string {
	if i, ok := classes[c]; ok {
		return i.Name
	}
	return "class " + strconv.Itoa(int(c))
}

// Attribute returns the description of attribute index.
func (i ClassInfo) Attribute(index int8) (Member, bool) { return member(i.Attributes, index) }

// Method returns the description of method index.
func (i ClassInfo) Method(index int8) (Member, bool) { return member(i.Methods, index) }

func member(list []Member, index int8) (Member, bool) {
	for _, m := range list {
		if m.Index == index {
			return m, true
		}
	}
	return Member{}, false
}
