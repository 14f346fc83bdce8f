package cosem

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/openusm/meter/obis"
)

// Unmarshal writes a value to v, a pointer to a Go value of the shape of the
// data: structures to structs, element by element; arrays to slices; whole
// numbers and enums to integers, which must hold them; octet-strings to []byte,
// string, [obis.Code] or [obis.Time]; bit-strings to [Bits]; anything to [Data].
// Null-data leaves the zero value. Octets and Data alias d.
func Unmarshal(d Data, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("cosem: Unmarshal to %T, which is no pointer", v)
	}
	return unmarshal(d, p.Elem(), "value")
}

// Bits is a bit-string, the first bit of which is the most significant of the first octet.
type Bits struct {
	Octets []byte
	Len    int
}

// Has reports whether bit i, counted from the first, is set.
func (b Bits) Has(i int) bool {
	return i >= 0 && i < b.Len && i/8 < len(b.Octets) && b.Octets[i/8]>>(7-i%8)&1 != 0
}

var (
	dataType = reflect.TypeFor[Data]()
	codeType = reflect.TypeFor[obis.Code]()
	timeType = reflect.TypeFor[obis.Time]()
	bitsType = reflect.TypeFor[Bits]()
)

func unmarshal(d Data, v reflect.Value, path string) error {
	mismatch := func() error { return fmt.Errorf("cosem: %s: %v does not fit %v", path, d.Tag(), v.Type()) }
	if v.Type() == dataType {
		v.Set(reflect.ValueOf(d))
		return nil
	}
	if d.IsNull() {
		v.SetZero()
		return nil
	}
	var known any
	ok := true
	switch v.Type() {
	case codeType:
		known, ok = d.Code()
	case timeType:
		known, ok = d.Time()
	case bitsType:
		var b Bits
		b.Octets, b.Len, ok = d.Bits()
		known = b
	}
	if !ok {
		return mismatch()
	}
	if known != nil {
		v.Set(reflect.ValueOf(known))
		return nil
	}
	switch v.Kind() {
	case reflect.Bool:
		n, ok := d.Uint()
		if !ok {
			return mismatch()
		}
		v.SetBool(n != 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := d.Int()
		if !ok || v.OverflowInt(n) {
			return mismatch()
		}
		v.SetInt(n)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, ok := d.Uint()
		if !ok || v.OverflowUint(n) {
			return mismatch()
		}
		v.SetUint(n)
	case reflect.String:
		b, ok := d.Bytes()
		if !ok {
			return mismatch()
		}
		v.SetString(string(b))
	case reflect.Slice:
		return unmarshalSlice(d, v, path, mismatch)
	case reflect.Struct:
		return unmarshalStruct(d, v, path, mismatch)
	default:
		return mismatch()
	}
	return nil
}

func unmarshalSlice(d Data, v reflect.Value, path string, mismatch func() error) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b, ok := d.Bytes()
		if !ok {
			return mismatch()
		}
		v.SetBytes(b)
		return nil
	}
	if tags[d.Tag()].kind != kindList && d.Tag() != TagCompactArray {
		return mismatch()
	}
	v.SetZero()
	for i, e := range d.Elements() {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := unmarshal(e, item, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
	}
	return nil
}

func unmarshalStruct(d Data, v reflect.Value, path string, mismatch func() error) error {
	fields := leaves(v)
	if d.Tag() != TagStructure || d.Len() != len(fields) {
		return mismatch()
	}
	for i, e := range d.Elements() {
		if err := unmarshal(e, fields[i].value, path+"."+fields[i].name); err != nil {
			return err
		}
	}
	return nil
}

type leaf struct {
	name  string
	value reflect.Value
}

// leaves returns the fields of a struct, those of embedded structs in their place.
func leaves(v reflect.Value) (list []leaf) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			list = append(list, leaves(v.Field(i))...)
			continue
		}
		list = append(list, leaf{f.Name, v.Field(i)})
	}
	return list
}

// View is a typed view of an object: a pointer to a struct of this package
// whose fields name their attributes in tags.
type View interface {
	// Class returns the interface class of which it is a view.
	Class() Class
}

// Attributes returns the numbers of the attributes that a view holds, in order.
func Attributes(v View) (indexes []int8) {
	t := reflect.TypeOf(v).Elem()
	for i := range t.NumField() {
		if n, err := strconv.ParseInt(t.Field(i).Tag.Get("cosem"), 10, 8); err == nil {
			indexes = append(indexes, int8(n))
		}
	}
	return indexes
}

// SetAttribute writes attribute index of an object to its view; attributes that
// the view does not have are ignored.
func SetAttribute(v View, index int8, d Data) error {
	p := reflect.ValueOf(v).Elem()
	for i := range p.NumField() {
		f := p.Type().Field(i)
		if f.Tag.Get("cosem") == strconv.Itoa(int(index)) {
			return unmarshal(d, p.Field(i), v.Class().String()+" "+f.Name)
		}
	}
	return nil
}
