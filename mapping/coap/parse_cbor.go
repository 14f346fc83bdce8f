package coap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// The labels of RFC 8428, table 6, that are only read.
const (
	labelVersion   = -1
	labelBaseTime  = -3
	labelBaseUnit  = -4
	labelBaseValue = -5
	labelBaseSum   = -6
	labelSum       = 5
)

// What else this package reads of CBOR.
const (
	cborNull       = 0xF6
	cborUndefined  = 0xF7
	cborHalf       = 0xF9
	cborFloat      = 0xFA
	cborBreak      = 0xFF
	cborIndefinite = 31 // as the length of a string, an array or a map
	positiveBignum = 2
	negativeBignum = 3
	maxCBORDepth   = 8
)

// cborReader reads data items one after the other. Its first error is kept.
type cborReader struct {
	b   []byte
	at  int
	err error
}

func (r *cborReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("CBOR: octet %d: %w", r.at, fmt.Errorf(format, args...))
	}
}

// head reads the head of a data item: its major type, what follows it in the
// first octet, and the number that they say.
func (r *cborReader) head() (major, info byte, n uint64) {
	if r.err != nil {
		return 0, 0, 0
	}
	if r.at >= len(r.b) {
		r.fail("%w", io.ErrUnexpectedEOF)
		return 0, 0, 0
	}
	first := r.b[r.at]
	major, info = first&0xE0, first&0x1F
	r.at++
	if info < 24 {
		return major, info, uint64(info)
	}
	if info == cborIndefinite {
		return major, info, 0
	}
	size := 1 << (info - 24)
	switch {
	case info > 27:
		r.at--
		r.fail("0x%02X begins no data item", first)
		return 0, 0, 0
	case len(r.b)-r.at < size:
		r.fail("%w", io.ErrUnexpectedEOF)
		return 0, 0, 0
	}
	switch octets := r.b[r.at:]; size {
	case 1:
		n = uint64(octets[0])
	case 2:
		n = uint64(binary.BigEndian.Uint16(octets))
	case 4:
		n = uint64(binary.BigEndian.Uint32(octets))
	default:
		n = binary.BigEndian.Uint64(octets)
	}
	r.at += size
	return major, info, n
}

// more reports whether an array or a map of so many elements has one more.
func (r *cborReader) more(info byte, n uint64, read *uint64) bool {
	if r.err != nil {
		return false
	}
	if info != cborIndefinite {
		*read++
		return *read <= n
	}
	if r.at < len(r.b) && r.b[r.at] == cborBreak {
		r.at++
		return false
	}
	return true
}

// want reads a head of a major type.
func (r *cborReader) want(major byte, what string) (info byte, n uint64) {
	start := r.at
	got, info, n := r.head()
	if r.err == nil && got != major {
		r.at = start
		r.fail("no %s", what)
	}
	return info, n
}

// octets reads a string of octets or of text, which may come in parts.
func (r *cborReader) octets(major byte) []byte {
	what := "text"
	if major == cborBytes {
		what = "string of octets"
	}
	info, n := r.want(major, what)
	if r.err != nil {
		return nil
	}
	var out []byte
	if info != cborIndefinite {
		out = r.take(n)
	} else {
		out = []byte{}
		for r.err == nil {
			if r.at < len(r.b) && r.b[r.at] == cborBreak {
				r.at++
				break
			}
			info, n := r.want(major, "part of a string")
			if info == cborIndefinite {
				r.fail("a part of a string in parts")
			}
			out = append(out, r.take(n)...)
		}
	}
	if major == cborText && !utf8.Valid(out) {
		r.fail("text that is not UTF-8")
	}
	return out
}

func (r *cborReader) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.b)-r.at) {
		r.fail("%w", io.ErrUnexpectedEOF)
		return nil
	}
	out := r.b[r.at : r.at+int(n) : r.at+int(n)]
	r.at += int(n)
	return out
}

// null reads null or undefined, where that comes next.
func (r *cborReader) null() bool {
	if r.at < len(r.b) && (r.b[r.at] == cborNull || r.b[r.at] == cborUndefined) {
		r.at++
		return true
	}
	return false
}

// number reads an integer, a float or a decimal fraction of integers.
func (r *cborReader) number() obis.Value {
	start := r.at
	major, info, n := r.head()
	switch {
	case r.err != nil:
		return obis.Value{}
	case major|info == cborHalf:
		return obis.Float64(math.Float64bits(half(uint16(n))), 0)
	case major|info == cborFloat:
		return obis.Float32(uint32(n), 0)
	case major|info == cborDouble:
		return obis.Float64(n, 0)
	case major == cborTag && n == decimalFraction && info != cborIndefinite:
		if v, ok := r.fraction(); ok || r.err != nil {
			return v
		}
	default:
		if v := r.integerOf(major, info, n); !v.IsNone() || r.err != nil {
			return v
		}
	}
	r.at = start
	r.fail("neither an integer of 64 bits nor a decimal fraction nor a float")
	return obis.Value{}
}

// integer reads an integer, none for what is not one of 64 bits.
func (r *cborReader) integer() obis.Value {
	major, info, n := r.head()
	return r.integerOf(major, info, n)
}

func (r *cborReader) integerOf(major, info byte, n uint64) obis.Value {
	switch {
	case r.err != nil || info == cborIndefinite:
	case major == cborUint:
		return obis.Uint(n, 0)
	case major == cborNegint && n <= math.MaxInt64:
		return obis.Int(-1-int64(n), 0)
	case major == cborTag && (n == positiveBignum || n == negativeBignum):
		return r.bignum(n == negativeBignum)
	}
	return obis.Value{}
}

// fraction reads the exponent and the mantissa of a decimal fraction.
func (r *cborReader) fraction() (obis.Value, bool) {
	if info, n := r.want(cborArray, "array"); n != 2 || info == cborIndefinite {
		return obis.Value{}, false
	}
	exp, _, ok := r.integer().Decimal()
	mantissa := r.integer()
	if r.err != nil || !ok || mantissa.IsNone() || exp < -1<<20 || exp > 1<<20 {
		return obis.Value{}, false
	}
	return mantissa.Shift(int(exp))
}

// bignum reads an integer of any length, of which 64 bits are kept.
func (r *cborReader) bignum(negative bool) obis.Value {
	octets := r.octets(cborBytes)
	for len(octets) > 0 && octets[0] == 0 {
		octets = octets[1:]
	}
	var n uint64
	for _, b := range octets {
		n = n<<8 | uint64(b)
	}
	if len(octets) > 8 || negative && n > math.MaxInt64 {
		return obis.Value{}
	}
	if negative {
		return obis.Int(-1-int64(n), 0)
	}
	return obis.Uint(n, 0)
}

// half returns the number of an IEEE 754 half.
func half(bits uint16) float64 {
	mantissa, exp := float64(bits&0x3FF), int(bits>>10&0x1F)
	f := math.Ldexp(mantissa+1024, exp-25)
	switch exp {
	case 0:
		f = math.Ldexp(mantissa, -24)
	case 31:
		f = math.Inf(1)
		if mantissa != 0 {
			f = math.NaN()
		}
	}
	if bits&0x8000 != 0 {
		return -f
	}
	return f
}

// skip reads any data item.
func (r *cborReader) skip(depth int) {
	if depth > maxCBORDepth {
		r.fail("nested too deep")
		return
	}
	start := r.at
	major, info, n := r.head()
	switch major {
	case cborBytes, cborText:
		r.at = start
		r.octets(major)
	case cborArray:
		for read := uint64(0); r.more(info, n, &read); {
			r.skip(depth + 1)
		}
	case cborMap:
		for read := uint64(0); r.more(info, n, &read); {
			r.skip(depth + 1)
			r.skip(depth + 1)
		}
	case cborTag:
		r.skip(depth + 1)
	default:
		if info == cborIndefinite {
			r.at = start
			r.fail("an end where nothing is open")
		}
	}
}

// ParseSenMLCBOR reads a SenML pack in CBOR; see [ParseSenML].
func ParseSenMLCBOR(doc []byte) (d *mapping.Data, unread []string, err error) {
	r := &cborReader{b: append([]byte(nil), doc...)}
	p := packReader{records: make([]resolved, 0, len(doc)/32)}
	info, n := r.want(cborArray, "array")
	for read := uint64(0); r.more(info, n, &read); {
		var f fields
		info, n := r.want(cborMap, "map")
		for read := uint64(0); r.more(info, n, &read); {
			if label, err := f.readCBOR(r); err != nil {
				return nil, nil, &ParseError{p.count, label, err}
			}
		}
		if r.err != nil {
			break
		}
		if err := p.add(&f); err != nil {
			return nil, nil, err
		}
	}
	if r.err == nil && r.at < len(r.b) {
		r.fail("something behind the pack")
	}
	if r.err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errSenML, r.err)
	}
	return p.finish()
}

// readCBOR reads a label and its value.
func (f *fields) readCBOR(r *cborReader) (label string, err error) {
	n, text := r.label()
	if r.err != nil {
		return "label", r.err
	}
	if n == noLabel || r.null() {
		err := unknownLabel(text)
		if n == noLabel {
			r.skip(0)
		}
		return text, errors.Join(err, r.err)
	}
	f.readField(r, n)
	if r.err != nil {
		return fmt.Sprint(n), r.err
	}
	return "", nil
}

// noLabel stands for a label that is a text.
const noLabel = math.MinInt64

func (r *cborReader) label() (n int64, text string) {
	if r.at < len(r.b) && r.b[r.at]&0xE0 == cborText {
		return noLabel, string(r.octets(cborText))
	}
	major, info, u := r.head()
	switch {
	case r.err != nil || info == cborIndefinite || major != cborUint && major != cborNegint:
		r.fail("a label that is neither an integer nor a text")
	case u > math.MaxInt32:
		return math.MaxInt32, ""
	case major == cborNegint:
		return -1 - int64(u), ""
	}
	return int64(u), ""
}

func (f *fields) readField(r *cborReader, label int64) {
	switch label {
	case labelVersion:
		n, _, ok := r.number().Decimal()
		if r.err == nil && !ok {
			r.fail("no version")
		} else if err := version(n); err != nil {
			r.fail("%w", err)
		}
	case labelBaseName:
		f.baseName = r.octets(cborText)
		f.has |= hasBaseName
	case labelBaseTime:
		f.baseTime = r.number()
	case labelBaseUnit:
		f.baseUnit = r.octets(cborText)
		f.has |= hasBaseUnit
	case labelBaseValue:
		f.baseValue = r.number()
	case labelName:
		f.name = r.octets(cborText)
	case labelUnit:
		f.unit = r.octets(cborText)
		f.has |= hasUnit
	case labelValue:
		f.value = r.number()
	case labelString:
		f.text = r.octets(cborText)
		f.has |= hasText
	case labelBool:
		start := r.at
		first, info, _ := r.head()
		if f.truth = first|info == cborTrue; r.err == nil && !f.truth && first|info != cborFalse {
			r.at = start
			r.fail("neither true nor false")
		}
		f.has |= hasTruth
	case labelSum, labelBaseSum:
		r.number()
		f.has |= hasSum
	case labelTime:
		f.time = r.number()
	case labelData:
		f.data = r.octets(cborBytes)
		f.has |= hasData
	default:
		r.skip(0)
	}
}
