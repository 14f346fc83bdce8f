package cosem

import (
	"fmt"
	"strconv"

	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/obis"
)

// Attribute names an attribute of an object (LN referencing).
type Attribute struct {
	Class Class
	Name  obis.Code
	Index int8
}

// String returns "Register 1-0:1.8.0*255 attribute 2".
func (a Attribute) String() string {
	return fmt.Sprintf("%v %v attribute %d", a.Class, a.Name, a.Index)
}

// AppendJSON appends class and number of the attribute as a JSON object.
func (a *Attribute) AppendJSON(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, `{"class":`...), uint64(a.Class), 10)
	if name := a.Class.String(); name != "" {
		dst = jsontext.AppendString(append(dst, `,"class_name":`...), name)
	}
	return append(strconv.AppendInt(append(dst, `,"attribute":`...), int64(a.Index), 10), '}')
}

// Append appends the nine octets of a cosem-attribute-descriptor.
func (a Attribute) Append(dst []byte) []byte {
	dst = append(dst, byte(a.Class>>8), byte(a.Class))
	return append(append(dst, a.Name[:]...), byte(a.Index))
}

// Method names a method of an object.
type Method struct {
	Class Class
	Name  obis.Code
	Index int8
}

// String returns "Image transfer 0-0:44.0.0*255 method 1".
func (m Method) String() string { return fmt.Sprintf("%v %v method %d", m.Class, m.Name, m.Index) }

// Append appends the nine octets of a cosem-method-descriptor.
func (m Method) Append(dst []byte) []byte { return Attribute(m).Append(dst) }

// Selection restricts what the reading of an attribute returns (selective access).
type Selection struct {
	Selector   uint8
	Parameters Data
}

// Capture names a column of a profile: an attribute, or one element of it.
type Capture struct {
	Attribute
	Element uint16 // data-index: 0 the whole attribute, else the element from 1
}

// data returns the capture_object_definition.
func (c Capture) data() Data {
	return Structure(Uint16(uint16(c.Class)), Name(c.Name), Int8(c.Index), Uint16(c.Element))
}

// ParseCapture reads a capture_object_definition.
func ParseCapture(d Data) (c Capture, ok bool) {
	var f [4]Data
	if d.Tag() != TagStructure || !d.Split(f[:]) {
		return Capture{}, false
	}
	return parseCapture(&f)
}

func parseCapture(f *[4]Data) (c Capture, ok bool) {
	class, ok1 := f[0].Uint()
	name, ok2 := f[1].Code()
	index, ok3 := f[2].Int()
	element, ok4 := f[3].Uint()
	if !ok1 || !ok2 || !ok3 || !ok4 || class > 0xFFFF || index < -128 || index > 127 || element > 0xFFFF {
		return Capture{}, false
	}
	return Capture{Attribute{Class(class), name, int8(index)}, uint16(element)}, true
}

// ByRange selects the rows of a profile in which the column restricting lies
// from one time to another, both included, and of them the columns that are
// named, all where none is.
func ByRange(restricting Capture, from, to obis.Time, columns ...Capture) *Selection {
	return ByRangeOf(restricting, DateTime(from), DateTime(to), columns...)
}

// ByRangeOf is [ByRange] for columns of any type.
func ByRangeOf(restricting Capture, from, to Data, columns ...Capture) *Selection {
	return &Selection{1, Structure(restricting.data(), from, to, CaptureObjects(columns))}
}

// CaptureObjects returns the value of attribute capture_objects of a profile.
func CaptureObjects(columns []Capture) Data {
	selected := make([]Data, len(columns))
	for i, c := range columns {
		selected[i] = c.data()
	}
	return Array(selected...)
}

// ByEntry selects rows and columns of a profile by their numbers from 1, the
// last included; 0 as the last means all that follow.
func ByEntry(firstRow, lastRow uint32, firstColumn, lastColumn uint16) *Selection {
	return &Selection{2, Structure(Uint32(firstRow), Uint32(lastRow), Uint16(firstColumn), Uint16(lastColumn))}
}

// Range is what a [ByRange] selection asks for.
type Range struct {
	Restricting Capture
	From, To    Data
	Columns     []Capture // nil for all
}

// Range reads the parameters of selector 1 of a profile.
func (s *Selection) Range() (r Range, ok bool) {
	var f [4]Data
	if s.Selector != 1 || s.Parameters.Tag() != TagStructure || !s.Parameters.Split(f[:]) {
		return Range{}, false
	}
	if r.Restricting, ok = ParseCapture(f[0]); !ok || f[3].Tag() != TagArray {
		return Range{}, false
	}
	r.From, r.To = f[1], f[2]
	for _, e := range f[3].Elements() {
		c, ok := ParseCapture(e)
		if !ok {
			return Range{}, false
		}
		r.Columns = append(r.Columns, c)
	}
	return r, true
}

// Entries is what a [ByEntry] selection asks for.
type Entries struct {
	FirstRow, LastRow       uint32
	FirstColumn, LastColumn uint16
}

// Entries reads the parameters of selector 2 of a profile.
func (s *Selection) Entries() (e Entries, ok bool) {
	var f [4]Data
	if s.Selector != 2 || s.Parameters.Tag() != TagStructure || !s.Parameters.Split(f[:]) {
		return Entries{}, false
	}
	var n [4]uint64
	for i := range f {
		if n[i], ok = f[i].Uint(); !ok || n[i] > 0xFFFFFFFF || i > 1 && n[i] > 0xFFFF {
			return Entries{}, false
		}
	}
	return Entries{uint32(n[0]), uint32(n[1]), uint16(n[2]), uint16(n[3])}, true
}
