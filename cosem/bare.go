package cosem

import "github.com/openusm/meter/obis"

// The meters by the specification of the Czech distributors (XT211; EG.D and ČEZ
// Distribuce) push arrays whose entries are no A-XDR: in each, the descriptor of
// the attribute stands without tags before its value.
//
//	02 02 | class(2) name(6) attribute(1) | value
//
// Structures of three and four have more behind the value.

const bareLen = 9 // of such a descriptor

// ParseBare reads a push of such a meter: the body of a data-notification that
// cannot be read as it stands, and all of which has this form. It returns the
// body with the descriptors as data, structure{class, name, attribute, value},
// in memory of its own.
func ParseBare(b []byte) (Data, bool) {
	r := bareReader{b: b}
	if !r.data(MaxDepth) || r.at != len(b) || r.found == 0 {
		return Data{}, false
	}
	d, n, err := ParseData(r.out)
	return d, err == nil && n == len(r.out)
}

type bareReader struct {
	b     []byte
	at    int
	out   []byte
	found int // descriptors
}

// data copies the value at r.at, with the descriptors in it as data.
func (r *bareReader) data(depth int) bool {
	if r.at >= len(r.b) || depth == 0 {
		return false
	}
	tag := Tag(r.b[r.at])
	if tag != TagArray && tag != TagStructure {
		return r.copy(depth)
	}
	if n := r.descriptor(tag); n > 0 {
		r.found++
		for range n {
			if !r.copy(depth - 1) {
				return false
			}
		}
		return true
	}
	n, at, err := length(r.b, r.at+1, tag.String())
	if err != nil {
		return false
	}
	r.out = append(r.out, r.b[r.at:at]...)
	r.at = at
	before := r.found
	for range n {
		if !r.data(depth - 1) {
			return false
		}
	}
	return tag == TagStructure || r.found == before || r.found == before+n // an array has entries of one form
}

// copy copies a value of the standard.
func (r *bareReader) copy(depth int) bool {
	if r.at >= len(r.b) {
		return false
	}
	end, err := checkData(r.b, r.at, depth)
	if err != nil {
		return false
	}
	r.out = append(r.out, r.b[r.at:end]...)
	r.at = end
	return true
}

// descriptor copies the head of a structure that begins with a descriptor without
// tags, and returns how many values follow it, 0 where it is none.
func (r *bareReader) descriptor(tag Tag) (values int) {
	const head = 2 // tag and length of the structure
	b := r.b[r.at:]
	if tag != TagStructure || len(b) <= head+bareLen || b[1] < 2 || b[1] > 4 {
		return 0
	}
	d := b[head : head+bareLen]
	class, attribute := Class(d[0])<<8|Class(d[1]), int8(d[bareLen-1])
	if _, known := class.Info(); !known || attribute < 1 {
		return 0
	}
	name := obis.Code(d[2:8])
	if _, ok := codeOf(Name(name)); !ok {
		return 0
	}
	values = int(b[1]) - 1
	r.out = append(r.out, byte(TagStructure), byte(3+values))
	for _, f := range [...]Data{Uint16(uint16(class)), Name(name), Int8(attribute)} {
		r.out = f.append(r.out)
	}
	r.at += head + bareLen
	return values
}
