package mbus

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/openusm/meter/obis"
)

// dataType says how the data of a record are to be read.
type dataType uint8

const (
	typeNone       dataType = iota // not known: octets
	typeNumber                     // A (BCD), B (signed) or H (float) by the DIF
	typeUnsigned                   // as typeNumber, but binary numbers are of type C
	typeBits                       // D, or a number where it is BCD
	typeTime                       // F, G, I or J by the size
	typeIdentifier                 // a number that names something
	typeOctets                     // not looked into
	typeTwelfth                    // C times 2^-12
)

// The data fields of a DIF.
const (
	codeNone      = 0x0
	codeFloat     = 0x5
	codeSelection = 0x8
	codeVariable  = 0xD
	codeSpecial   = 0xF
)

// codeLen is the length of the data by the low half of the DIF.
var codeLen = [16]uint8{0, 1, 2, 3, 4, 4, 6, 8, 0, 1, 2, 3, 4, 0, 6, 0}

// isBCD has the bits of the data fields that hold decimal digits.
const isBCD = 1<<0x9 | 1<<0xA | 1<<0xB | 1<<0xC | 1<<0xE

// bcd holds the values of two decimal digits, 255 where one is none.
var bcd = func() (t [256]uint8) {
	for i := range t {
		t[i] = 255
		if i>>4 <= 9 && i&15 <= 9 {
			t[i] = uint8(i>>4*10 + i&15)
		}
	}
	return t
}()

// decode sets the value of r from its data, which are of the code of its DIF.
// Data of another length, as a record that is cut off leaves them, are no value.
func (d *Decoder) decode(r *Record, code byte, kind dataType, exp int) {
	data := r.Data
	if len(data) != int(codeLen[code&0x0F]) {
		invalid(r)
		return
	}
	if d.msb && len(data) > 1 {
		data = d.reversed(data)
	}
	if kind == typeNumber {
		switch {
		case isBCD>>code&1 != 0:
			decodeBCD(r, data, exp)
		case code == codeFloat:
			decodeFloat(r, data, exp)
		case code == codeNone || code == codeSelection:
			r.flags = obis.Missing
		default:
			decodeSigned(r, data, exp)
		}
		return
	}
	switch {
	case code == codeNone || code == codeSelection:
		r.flags = obis.Missing
	case kind == typeTime:
		decodeTime(r, data, isBCD>>code&1 != 0)
	case kind == typeNone || kind == typeOctets:
		r.Value = obis.Octets(r.Data)
	case isBCD>>code&1 != 0:
		if kind == typeIdentifier && !decimalDigits(data) {
			r.Value = obis.Octets(r.Data)
			return
		}
		decodeBCD(r, data, exp)
	case code == codeFloat:
		decodeFloat(r, data, exp)
	case kind == typeBits:
		r.Value = obis.Bits(d.reversed(data), 8*len(data))
	case kind == typeIdentifier:
		r.Value = obis.Uint(unsigned(data), 0)
	default:
		decodeUnsigned(r, data, kind, exp)
	}
}

func invalid(r *Record) { r.Value, r.flags = obis.Value{}, obis.Invalid }

// setInt sets the number m × 10^exp; the exponents of all tables together fit int8.
func setInt(r *Record, m int64, exp int) {
	if exp < math.MinInt8 || exp > math.MaxInt8 {
		invalid(r)
		return
	}
	r.Value = obis.Int(m, int8(exp))
}

// decodeSigned reads type B, whose most negative value means "invalid".
func decodeSigned(r *Record, data []byte, exp int) {
	var m int64
	switch len(data) {
	case 1:
		m = int64(int8(data[0]))
		if m == math.MinInt8 {
			invalid(r)
			return
		}
	case 2:
		m = int64(int16(binary.LittleEndian.Uint16(data)))
		if m == math.MinInt16 {
			invalid(r)
			return
		}
	case 4:
		m = int64(int32(binary.LittleEndian.Uint32(data)))
		if m == math.MinInt32 {
			invalid(r)
			return
		}
	default:
		shift := 64 - 8*len(data)
		m = int64(unsigned(data)<<shift) >> shift
		if m == math.MinInt64>>shift {
			invalid(r)
			return
		}
	}
	setInt(r, m, exp)
}

// decodeUnsigned reads type C, all ones of which mean "invalid".
func decodeUnsigned(r *Record, data []byte, kind dataType, exp int) {
	m := unsigned(data)
	switch {
	case m == math.MaxUint64>>(64-8*len(data)):
		invalid(r)
	case kind == typeTwelfth && m <= math.MaxInt64/244140625:
		setInt(r, int64(m)*244140625, exp-12) // 2^-12 = 5^12 × 10^-12
	case kind == typeTwelfth:
		invalid(r)
	default:
		r.Value = obis.Uint(m, int8(exp))
	}
}

func unsigned(data []byte) (m uint64) {
	for i := len(data) - 1; i >= 0; i-- {
		m = m<<8 | uint64(data[i])
	}
	return m
}

// decodeBCD reads type A: an F in the highest digit is a minus; any other digit
// above 9 makes the value invalid.
func decodeBCD(r *Record, data []byte, exp int) {
	last := len(data) - 1
	top := data[last]
	negative := top >= 0xF0
	if negative {
		top &= 0x0F
	}
	m := int64(bcd[top])
	bad := m == 255
	for i := last - 1; i >= 0; i-- {
		two := bcd[data[i]]
		bad = bad || two == 255
		m = m*100 + int64(two)
	}
	if bad {
		invalid(r)
		return
	}
	if negative {
		m = -m
	}
	setInt(r, m, exp)
}

func decimalDigits(data []byte) bool {
	for _, b := range data {
		if bcd[b] == 255 {
			return false
		}
	}
	return true
}

// decodeFloat reads type H. Infinity and what is no number are invalid.
func decodeFloat(r *Record, data []byte, exp int) {
	if exp < math.MinInt8 || exp > math.MaxInt8 {
		invalid(r)
		return
	}
	var flags obis.Flags
	r.Value, flags = obis.Float32(binary.LittleEndian.Uint32(data), int8(exp)).Sound()
	r.flags |= flags
}

// decodeVariable reads data of variable length, whose length octet is lvar.
func (d *Decoder) decodeVariable(r *Record, lvar byte, kind dataType, exp int) {
	data := r.Data
	switch {
	case kind == typeOctets && lvar < 0xC0 && r.Quantity == QuantityManufacturerSpecific && printable(data):
		r.Value = obis.Text(d.reversed(data))
	case kind == typeOctets || kind == typeNone && lvar >= 0xE0:
		r.Value = obis.Octets(data)
	case lvar < 0xC0:
		r.Value = obis.Text(d.reversed(data))
	case lvar < 0xE0:
		if len(data) == 0 {
			r.flags = obis.Missing
			return
		}
		if data[len(data)-1] >= 0xF0 || len(data) > 9 {
			invalid(r)
			return
		}
		decodeBCD(r, data, exp)
		if v, e, ok := r.Value.Decimal(); ok && lvar >= 0xD0 {
			r.Value = obis.Int(-v, e)
		}
	case len(data) == 0:
		r.flags = obis.Missing
	case kind == typeTime:
		r.Value = obis.Octets(r.Data)
	case kind == typeBits:
		r.Value = obis.Bits(d.reversed(data), 8*len(data))
	case len(data) <= 8 && (kind == typeNumber || kind == typeIdentifier):
		decodeSigned(r, data, exp)
	case len(data) <= 8:
		decodeUnsigned(r, data, kind, exp)
	default:
		decodeLong(r, data, exp)
	}
}

// printable reports whether the octets are a text in ASCII.
func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7E {
			return false
		}
	}
	return len(b) > 0
}

// decodeLong reads a signed number of more than eight octets, which is kept as
// a number where trailing zeros make it fit.
func decodeLong(r *Record, data []byte, exp int) {
	r.Value = obis.Octets(r.Data)
	if len(data) > 16 {
		return
	}
	var buf [16]byte
	copy(buf[:], data)
	negative := data[len(data)-1] >= 0x80
	if negative {
		for i := len(data); i < 16; i++ {
			buf[i] = 0xFF
		}
	}
	lo, hi := binary.LittleEndian.Uint64(buf[:]), binary.LittleEndian.Uint64(buf[8:])
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	for hi != 0 || lo > math.MaxInt64 {
		q, rest := hi/10, hi%10
		l, last := bits.Div64(rest, lo, 10)
		if last != 0 {
			return
		}
		hi, lo, exp = q, l, exp+1
	}
	m := int64(lo)
	if negative {
		m = -m
	}
	setInt(r, m, exp)
}

// decodeTime reads types F (4 octets), G (2), I (6) and J (3).
func decodeTime(r *Record, data []byte, decimal bool) {
	if decimal {
		r.Value = obis.Octets(r.Data)
		return
	}
	var t obis.Time
	ok := false
	switch len(data) {
	case 2:
		t, ok = timeG(data)
	case 3:
		t, ok = timeJ(data)
	case 4:
		t, ok = timeF(data)
	case 6:
		t, ok = timeI(data)
	default:
		r.Value = obis.Octets(r.Data)
		return
	}
	if !ok {
		invalid(r)
		return
	}
	r.Value = obis.Moment(t)
}

// unspecifiedTime has no field; a type fills in those that it has.
var unspecifiedTime = obis.Time{
	Year: obis.YearUnspecified, Month: obis.Unspecified, Day: obis.Unspecified, Weekday: obis.Unspecified,
	Hour: obis.Unspecified, Minute: obis.Unspecified, Second: obis.Unspecified, Hundredths: obis.Unspecified,
	Status: obis.TimeUnspecified, Deviation: obis.DeviationUnspecified,
}

func timeG(b []byte) (t obis.Time, ok bool) {
	if b[0] == 0xFF && b[1] == 0xFF {
		return t, false
	}
	t = unspecifiedTime
	return t, setDate(&t, b[0], b[1], 0)
}

func timeF(b []byte) (t obis.Time, ok bool) {
	if b[0]&0x80 != 0 {
		return t, false
	}
	t = unspecifiedTime
	t.Status = summer(b[1]&0x80 != 0)
	ok = setDate(&t, b[2], b[3], b[1]>>5&3)
	return t, setClock(&t, b[1], b[0]) && ok
}

func timeI(b []byte) (t obis.Time, ok bool) {
	if b[1]&0x80 != 0 || b[0]&0x3F > 59 {
		return t, false
	}
	t = unspecifiedTime
	t.Status = summer(b[0]&0x40 != 0)
	t.Second = b[0] & 0x3F
	if day := b[2] >> 5; day != 0 {
		t.Weekday = day
	}
	ok = setDate(&t, b[3], b[4], 0)
	return t, setClock(&t, b[2], b[1]) && ok
}

func timeJ(b []byte) (t obis.Time, ok bool) {
	if b[0] == 0xFF && b[1] == 0xFF && b[2] == 0xFF {
		return t, false
	}
	t = unspecifiedTime
	if s := b[0] & 0x3F; s != 63 {
		t.Second = s
	}
	return t, setClock(&t, b[2], b[1]) && (t.Second <= 59 || t.Second == obis.Unspecified)
}

func summer(dst bool) obis.ClockStatus {
	if dst {
		return obis.TimeDST
	}
	return 0
}

// setDate reads day, month and the year of the century; all "every" codes leave a field unspecified.
func setDate(t *obis.Time, low, high, century byte) bool {
	day, month := low&0x1F, high&0x0F
	year := low>>5 | high&0xF0>>1
	switch {
	case year == 127:
	case year > 99:
		return false
	case century == 0 && year <= 80:
		t.Year = 2000 + uint16(year)
	default:
		t.Year = 1900 + 100*uint16(century) + uint16(year)
	}
	if month != 15 {
		t.Month = month
	}
	if day != 0 {
		t.Day = day
	}
	probe := *t // a day that every, or a leap, year or the longest month has
	if probe.Year == obis.YearUnspecified {
		probe.Year = 2000
	}
	if probe.Month == obis.Unspecified {
		probe.Month = 1
	}
	if probe.Day == obis.Unspecified {
		probe.Day = 1
	}
	return probe.HasDate()
}

func setClock(t *obis.Time, hour, minute byte) bool {
	hour, minute = hour&0x1F, minute&0x3F
	if hour != 31 {
		t.Hour = hour
	}
	if minute != 63 {
		t.Minute = minute
	}
	return (hour <= 23 || hour == 31) && (minute <= 59 || minute == 63)
}

// AppendTimeF appends the date and time that t shows, as type F: to the minute,
// from 1981 to 2299.
func AppendTimeF(dst []byte, t time.Time) ([]byte, error) {
	year := t.Year()
	if year < 1981 || year > 2299 {
		return dst, fmt.Errorf("mbus: year %d cannot be sent", year)
	}
	century, yy := byte((year-1900)/100), year%100
	if 2000 <= year && year <= 2080 {
		century = 0 // as those have it that do not know the field
	}
	hour := byte(t.Hour()) | century<<5
	if obis.IsDST(t) {
		hour |= 0x80
	}
	return append(dst, byte(t.Minute()), hour, byte(t.Day()|yy&7<<5), byte(int(t.Month())|yy>>3<<4)), nil
}
