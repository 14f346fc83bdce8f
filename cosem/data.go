// Package cosem is the vocabulary of DLMS/COSEM (IEC 62056-6-2, IEC 62056-5-3):
// values in A-XDR ([Data]), interface classes, references to attributes and
// methods, selective access, and the step from COSEM objects to OBIS readings.
//
// A value on the wire is a tag octet and what the tag calls for:
//
//	null-data 00 · boolean 03 b · double-long 05 i32 · double-long-unsigned 06 u32
//	octet-string 09 len … · visible-string 0A len … · integer 0F i8 · unsigned 11 u8
//	structure 02 count element… · array 01 count element…
//	compact-array 13 type-description len untagged elements
//
// The packages below carry it: apdu, security, hdlc and wrapper are codecs, dlms
// has client, server and push listener, cosemsim a simulated meter.
package cosem

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/openusm/meter/internal/ber"
	"github.com/openusm/meter/obis"
)

// Tag is the type of a [Data], with the number that it has on the wire.
type Tag uint8

// The types of IEC 62056-6-2.
const (
	TagNull               Tag = 0x00
	TagArray              Tag = 0x01
	TagStructure          Tag = 0x02
	TagBoolean            Tag = 0x03
	TagBitString          Tag = 0x04
	TagDoubleLong         Tag = 0x05 // int32
	TagDoubleLongUnsigned Tag = 0x06 // uint32
	TagOctetString        Tag = 0x09
	TagVisibleString      Tag = 0x0A
	TagUTF8String         Tag = 0x0C
	TagBCD                Tag = 0x0D
	TagInteger            Tag = 0x0F // int8
	TagLong               Tag = 0x10 // int16
	TagUnsigned           Tag = 0x11 // uint8
	TagLongUnsigned       Tag = 0x12 // uint16
	TagCompactArray       Tag = 0x13
	TagLong64             Tag = 0x14
	TagLong64Unsigned     Tag = 0x15
	TagEnum               Tag = 0x16
	TagFloat32            Tag = 0x17
	TagFloat64            Tag = 0x18
	TagDateTime           Tag = 0x19
	TagDate               Tag = 0x1A
	TagTime               Tag = 0x1B
	TagDeltaInteger       Tag = 0x1C
	TagDeltaLong          Tag = 0x1D
	TagDeltaDoubleLong    Tag = 0x1E
	TagDeltaUnsigned      Tag = 0x1F
	TagDeltaLongUnsigned  Tag = 0x20
	TagDeltaDoubleLongU   Tag = 0x21
	TagDontCare           Tag = 0xFF
)

// kind says how the contents of a tag are laid out.
type kind uint8

const (
	kindUnknown kind = iota
	kindFixed        // width octets
	kindOctets       // length, octets
	kindBits         // length in bits, octets
	kindList         // count, elements
	kindCompact      // type description, length, untagged elements
)

type tagInfo struct {
	kind  kind
	width uint8
	name  string
}

var tags = [256]tagInfo{
	TagNull:               {kindFixed, 0, "null-data"},
	TagArray:              {kindList, 0, "array"},
	TagStructure:          {kindList, 0, "structure"},
	TagBoolean:            {kindFixed, 1, "boolean"},
	TagBitString:          {kindBits, 0, "bit-string"},
	TagDoubleLong:         {kindFixed, 4, "double-long"},
	TagDoubleLongUnsigned: {kindFixed, 4, "double-long-unsigned"},
	TagOctetString:        {kindOctets, 0, "octet-string"},
	TagVisibleString:      {kindOctets, 0, "visible-string"},
	TagUTF8String:         {kindOctets, 0, "utf8-string"},
	TagBCD:                {kindFixed, 1, "bcd"},
	TagInteger:            {kindFixed, 1, "integer"},
	TagLong:               {kindFixed, 2, "long"},
	TagUnsigned:           {kindFixed, 1, "unsigned"},
	TagLongUnsigned:       {kindFixed, 2, "long-unsigned"},
	TagCompactArray:       {kindCompact, 0, "compact-array"},
	TagLong64:             {kindFixed, 8, "long64"},
	TagLong64Unsigned:     {kindFixed, 8, "long64-unsigned"},
	TagEnum:               {kindFixed, 1, "enum"},
	TagFloat32:            {kindFixed, 4, "float32"},
	TagFloat64:            {kindFixed, 8, "float64"},
	TagDateTime:           {kindFixed, 12, "date-time"},
	TagDate:               {kindFixed, 5, "date"},
	TagTime:               {kindFixed, 4, "time"},
	TagDeltaInteger:       {kindFixed, 1, "delta-integer"},
	TagDeltaLong:          {kindFixed, 2, "delta-long"},
	TagDeltaDoubleLong:    {kindFixed, 4, "delta-double-long"},
	TagDeltaUnsigned:      {kindFixed, 1, "delta-unsigned"},
	TagDeltaLongUnsigned:  {kindFixed, 2, "delta-long-unsigned"},
	TagDeltaDoubleLongU:   {kindFixed, 4, "delta-double-long-unsigned"},
	TagDontCare:           {kindFixed, 0, "dont-care"},
}

// sizes holds how many octets a value with a tag takes, the tag included, or that
// the length octet behind it or more must be read.
var sizes = func() (s [256]uint8) {
	for i, t := range tags {
		switch t.kind {
		case kindFixed:
			s[i] = 1 + t.width
		case kindOctets:
			s[i] = sizeString
		default:
			s[i] = sizeOther
		}
	}
	return s
}()

const (
	sizeString = 254
	sizeOther  = 255
)

// String returns the name of the standard in lower case.
func (t Tag) String() string {
	if name := tags[t].name; name != "" {
		return name
	}
	return fmt.Sprintf("tag 0x%02x", uint8(t))
}

// MaxDepth is how deeply arrays and structures may be nested.
const MaxDepth = 32

// Data is one well-formed value in A-XDR: a view of octets that [ParseData] has
// checked, or that the functions of this package have made. It aliases them.
// The zero Data is null-data.
type Data struct {
	b []byte
	// Of a list: how many elements from the first on are laid out alike, tag for
	// tag and length for length, and the octets of each. 0 where that is not known.
	alike, size uint32
}

var (
	errTag     = errors.New("unknown type")
	errDepth   = errors.New("nested too deeply")
	errLength  = errors.New("length does not fit 32 bits")
	errContent = errors.New("contents do not end with an element")
	errEmpty   = errors.New("elements without contents")
)

// ParseData reads the value at the start of b, checks all that is nested in it,
// and returns how many octets it took. Input that is only too short gives an
// error that wraps [io.ErrUnexpectedEOF].
func ParseData(b []byte) (Data, int, error) {
	return dataAt(b, 0)
}

// dataAt returns the value at b[off:], and where it ends.
func dataAt(b []byte, off int) (d Data, end int, err error) {
	if off < len(b) && tags[b[off]].kind == kindList {
		count, at, err := length(b, off+1, tags[b[off]].name)
		if err != nil {
			return Data{}, 0, err
		}
		if end, d.alike, d.size, err = checkList(b, at, MaxDepth-1, count); err != nil {
			return Data{}, 0, err
		}
	} else if end, err = checkData(b, off, MaxDepth); err != nil {
		return Data{}, 0, err
	}
	d.b = b[off:end:end]
	return d, end, nil
}

// checkData returns where the value at b[off:] ends.
func checkData(b []byte, off, depth int) (end int, err error) {
	if off >= len(b) {
		return 0, short("tag", b)
	}
	tag := &tags[b[off]]
	switch tag.kind {
	case kindFixed:
		if end = off + 1 + int(tag.width); end > len(b) {
			return 0, short(tag.name, b)
		}
		return end, nil
	case kindOctets, kindBits:
		return checkString(b, off+1, tag)
	case kindList:
		if depth == 0 {
			return 0, &ParseError{Field: tag.name, Offset: off, Err: errDepth}
		}
		count, at, err := length(b, off+1, tag.name)
		if err != nil {
			return 0, err
		}
		end, _, _, err = checkList(b, at, depth-1, count)
		return end, err
	case kindCompact:
		if depth == 0 {
			return 0, &ParseError{Field: tag.name, Offset: off, Err: errDepth}
		}
		return checkCompact(b, off+1, depth-1)
	}
	return 0, &ParseError{Field: "tag", Offset: off, Err: fmt.Errorf("0x%02x: %w", b[off], errTag)}
}

// checkList returns where a list of count elements ends, and how many elements
// at its start are laid out alike, each in size octets.
func checkList(b []byte, at, depth, count int) (end int, alike, size uint32, err error) {
	n := 0
	if count >= minAlike && at < len(b) && tags[b[at]].kind == kindList {
		first, err := checkData(b, at, depth)
		if err != nil {
			return 0, 0, 0, err
		}
		n = countAlike(b[at:], first-at, count)
		alike, size = uint32(n), uint32(first-at)
		at = max(first, at+n*(first-at))
		n = max(n, 1)
	}
	var tag byte // of the numbers or strings at the start
	for i := n; i < count; i++ {
		before := at
		// Most elements are numbers or short strings: only their length is to be checked.
		if at+1 < len(b) {
			octets := int(sizes[b[at]])
			if octets == sizeString && b[at+1] < 0x80 {
				octets = 2 + int(b[at+1])
			}
			if octets < sizeString && at+octets <= len(b) {
				at += octets
				if int(alike) == i && (i == 0 || b[before] == tag && uint32(octets) == size) {
					alike, size, tag = alike+1, uint32(octets), b[before]
				}
				continue
			}
		}
		if at, err = checkData(b, at, depth); err != nil {
			return 0, 0, 0, err
		}
	}
	return at, alike, size, nil
}

const (
	minAlike = 4   // elements of a list for which it pays to look for likeness
	maxAlike = 512 // octets of an element that is compared with others
)

// countAlike returns how many of count elements at the start of b, which holds a
// checked one of size octets, have the tags, counts and lengths of the first.
func countAlike(b []byte, size, count int) int {
	var mask [maxAlike]byte
	if size < 8 || size > maxAlike || !markFrame(mask[:], b, 0) {
		return 0
	}
	first := b[:size]
	for n := 1; n < count; n++ {
		b = b[size:]
		if len(b) < size {
			return n
		}
		for at := 0; ; at += 8 {
			at = min(at, size-8)
			if (binary.LittleEndian.Uint64(b[at:])^binary.LittleEndian.Uint64(first[at:]))&binary.LittleEndian.Uint64(mask[at:]) != 0 {
				return n
			}
			if at == size-8 {
				break
			}
		}
	}
	return count
}

// markFrame sets the octets of mask where the checked value at b[off:] has tags,
// counts and lengths. It is not ok for values that hold no tags of their own.
func markFrame(mask, b []byte, off int) (ok bool) {
	_, ok = mark(mask, b, off)
	return ok
}

func mark(mask, b []byte, off int) (end int, ok bool) {
	tag := &tags[b[off]]
	mask[off] = 0xFF
	if tag.kind == kindFixed {
		return off + 1 + int(tag.width), true
	}
	if tag.kind != kindList && tag.kind != kindOctets {
		return 0, false
	}
	n, at, _ := length(b, off+1, "")
	for i := off + 1; i < at; i++ {
		mask[i] = 0xFF
	}
	if tag.kind == kindOctets {
		return at + n, true
	}
	for range n {
		if at, ok = mark(mask, b, at); !ok {
			return 0, false
		}
	}
	return at, true
}

// checkString returns where a string whose length stands at off ends.
func checkString(b []byte, off int, tag *tagInfo) (end int, err error) {
	n, at, err := length(b, off, tag.name)
	if err != nil {
		return 0, err
	}
	if tag.kind == kindBits {
		n = (n + 7) / 8
	}
	if n > len(b)-at {
		return 0, short(tag.name, b)
	}
	return at + n, nil
}

// length reads a length or count at off, and returns where it ends.
func length(b []byte, off int, field string) (n, end int, err error) {
	if off >= len(b) {
		return 0, 0, short(field, b)
	}
	if b[off] < 0x80 {
		return int(b[off]), off + 1, nil
	}
	octets := int(b[off] & 0x7F)
	if octets == 0 || octets > 4 {
		return 0, 0, &ParseError{Field: field, Offset: off, Err: errLength}
	}
	if off+1+octets > len(b) {
		return 0, 0, short(field, b)
	}
	for _, o := range b[off+1 : off+1+octets] {
		n = n<<8 | int(o)
	}
	if n > math.MaxInt32 {
		return 0, 0, &ParseError{Field: field, Offset: off, Err: errLength}
	}
	return n, off + 1 + octets, nil
}

// AppendLength appends a length or count as A-XDR has it: one octet below 128,
// else the number of octets with bit 7 set and the octets.
func AppendLength(dst []byte, n int) []byte { return ber.AppendLength(dst, n) }

// ParseLength reads a length or count as [AppendLength] writes it.
func ParseLength(b []byte) (length_, n int, err error) { return length(b, 0, "length") }

// Tag returns the type.
func (d Data) Tag() Tag {
	if len(d.b) == 0 {
		return TagNull
	}
	return Tag(d.b[0])
}

// IsNull reports whether there is no value: null-data or dont-care.
func (d Data) IsNull() bool { return d.Tag() == TagNull || d.Tag() == TagDontCare }

// Clone returns the value with memory of its own.
func (d Data) Clone() Data {
	d.b = bytes.Clone(d.b)
	return d
}

// Equal reports whether both values are encoded alike.
func (d Data) Equal(e Data) bool {
	return bytes.Equal(d.b, e.b) || d.Tag() == TagNull && e.Tag() == TagNull
}

// Binary returns the encoding, tag first. It aliases the value.
func (d Data) Binary() []byte {
	if len(d.b) == 0 {
		return []byte{byte(TagNull)}
	}
	return d.b
}

// AppendBinary appends the encoding, tag first. It never fails.
func (d Data) AppendBinary(dst []byte) ([]byte, error) { return d.append(dst), nil }

func (d Data) append(dst []byte) []byte {
	if len(d.b) == 0 {
		return append(dst, byte(TagNull))
	}
	return append(dst, d.b...)
}

// Len returns the number of elements of an array, a structure or a compact array, and 0 for all others.
func (d Data) Len() int {
	switch d.Tag() {
	case TagArray, TagStructure:
		n, _, _ := length(d.b, 1, "")
		return n
	case TagCompactArray:
		n := 0
		for range d.Elements() {
			n++
		}
		return n
	}
	return 0
}

// Elements iterates over the elements of an array, a structure or a compact array.
func (d Data) Elements() iter.Seq2[int, Data] {
	return func(yield func(int, Data) bool) {
		if d.Tag() == TagCompactArray {
			expanded, err := d.Expand(nil)
			if err != nil {
				return
			}
			d = expanded
		}
		if tags[d.Tag()].kind != kindList {
			return
		}
		count, at, _ := length(d.b, 1, "")
		for i := range count {
			e, end := d.element(i, at)
			if !yield(i, e) {
				return
			}
			at = end
		}
	}
}

// element returns the element number i, which starts at d.b[at:], and where it ends.
func (d Data) element(i, at int) (e Data, end int) {
	if i < int(d.alike) {
		end = at + int(d.size)
		return Data{b: d.b[at:end:end]}, end
	}
	e, end, _ = dataAt(d.b, at)
	return e, end
}

// At returns element i, null-data where there is none. Elements that are laid
// out alike, as the rows of a profile mostly are, are found at once; others by
// walking from the start, where [Data.Elements] costs less.
func (d Data) At(i int) Data {
	if d.Tag() == TagCompactArray {
		d, _ = d.Expand(nil)
	}
	if tags[d.Tag()].kind != kindList || i < 0 {
		return Data{}
	}
	count, at, _ := length(d.b, 1, "")
	if i >= count {
		return Data{}
	}
	n := min(i, int(d.alike))
	at += n * int(d.size)
	for ; n < i; n++ {
		at, _ = checkData(d.b, at, MaxDepth)
	}
	e, _ := d.element(i, at)
	return e
}

// Split writes the elements of an array or structure to into. It is not ok
// where there are not exactly as many.
func (d Data) Split(into []Data) (ok bool) {
	if tags[d.Tag()].kind != kindList || d.Len() != len(into) {
		return false
	}
	for i, e := range d.Elements() {
		into[i] = e
	}
	return true
}

// Int returns an integer of any width, an enum or a boolean.
func (d Data) Int() (int64, bool) {
	if len(d.b) < 2 {
		return 0, false
	}
	c := d.b[1:]
	switch d.Tag() {
	case TagInteger, TagDeltaInteger:
		return int64(int8(c[0])), true
	case TagLong, TagDeltaLong:
		return int64(int16(binary.BigEndian.Uint16(c))), true
	case TagDoubleLong, TagDeltaDoubleLong:
		return int64(int32(binary.BigEndian.Uint32(c))), true
	case TagLong64:
		return int64(binary.BigEndian.Uint64(c)), true
	}
	u, ok := d.Uint()
	return int64(u), ok && u <= math.MaxInt64
}

// Uint returns an integer that is not negative, an enum or a boolean.
func (d Data) Uint() (uint64, bool) {
	if len(d.b) < 2 {
		return 0, false
	}
	c := d.b[1:]
	switch d.Tag() {
	case TagUnsigned, TagDeltaUnsigned, TagEnum, TagBoolean:
		return uint64(c[0]), true
	case TagLongUnsigned, TagDeltaLongUnsigned:
		return uint64(binary.BigEndian.Uint16(c)), true
	case TagDoubleLongUnsigned, TagDeltaDoubleLongU:
		return uint64(binary.BigEndian.Uint32(c)), true
	case TagLong64Unsigned:
		return binary.BigEndian.Uint64(c), true
	case TagInteger, TagLong, TagDoubleLong, TagLong64, TagDeltaInteger, TagDeltaLong, TagDeltaDoubleLong:
		i, _ := d.Int()
		return uint64(i), i >= 0
	}
	return 0, false
}

// Bytes returns the octets of an octet-string, a visible-string or a
// utf8-string, and those of a date-time, date or time. They alias the value.
func (d Data) Bytes() ([]byte, bool) {
	switch tags[d.Tag()].kind {
	case kindOctets:
		n, at, err := length(d.b, 1, "")
		return d.b[at : at+n : at+n], err == nil
	case kindFixed:
		if t := d.Tag(); t == TagDateTime || t == TagDate || t == TagTime {
			return d.b[1:], true
		}
	}
	return nil, false
}

// Bits returns the octets of a bit-string, the first bit the most significant, and the number of bits.
func (d Data) Bits() (raw []byte, n int, ok bool) {
	if d.Tag() != TagBitString {
		return nil, 0, false
	}
	n, at, err := length(d.b, 1, "")
	return d.b[at:], n, err == nil
}

// Code returns the logical name that an octet-string of six octets holds.
func (d Data) Code() (obis.Code, bool) {
	if d.Tag() != TagOctetString || len(d.b) != 8 {
		return obis.Code{}, false
	}
	return obis.Code(d.b[2:]), true
}

// Time returns a date-time, a date or a time, also from an octet-string of their length (12, 5, 4).
func (d Data) Time() (obis.Time, bool) {
	if t := d.Tag(); t != TagOctetString && t != TagDateTime && t != TagDate && t != TagTime {
		return obis.Time{}, false
	}
	b, _ := d.Bytes()
	return ParseTime(b)
}

// Value returns the value in the model of readings: numbers, text, octets,
// bits, times as they are; null-data as none; what has elements as a tree.
// It aliases the octets of d.
func (d Data) Value() obis.Value {
	switch d.Tag() {
	case TagNull, TagDontCare:
		return obis.Value{}
	case TagArray, TagStructure, TagCompactArray:
		return obis.Tree(d.b)
	case TagBoolean:
		return obis.Bool(d.b[1] != 0)
	case TagEnum:
		return obis.Enum(int64(d.b[1]))
	case TagBitString:
		raw, n, _ := d.Bits()
		return obis.Bits(raw, n)
	case TagOctetString:
		b, _ := d.Bytes()
		return obis.Octets(b)
	case TagVisibleString, TagUTF8String:
		b, _ := d.Bytes()
		return obis.Text(b)
	case TagBCD:
		if hi, lo := d.b[1]>>4, d.b[1]&15; hi < 10 && lo < 10 {
			return obis.Int(int64(10*hi+lo), 0)
		}
		return obis.Octets(d.b[1:])
	case TagFloat32:
		return obis.Float32(binary.BigEndian.Uint32(d.b[1:]), 0)
	case TagFloat64:
		return obis.Float64(binary.BigEndian.Uint64(d.b[1:]), 0)
	case TagDateTime, TagDate, TagTime:
		t, _ := d.Time()
		return obis.Moment(t)
	case TagLong64Unsigned:
		return obis.Uint(binary.BigEndian.Uint64(d.b[1:]), 0)
	}
	i, _ := d.Int()
	return obis.Int(i, 0)
}

// ParseError says which field of a value could not be read, and where.
type ParseError struct {
	Field  string // the type that was being read, as the standard names it
	Offset int    // octets from the start of the slice that was given
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("cosem: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

func short(field string, b []byte) error {
	return &ParseError{Field: field, Offset: len(b), Err: io.ErrUnexpectedEOF}
}
