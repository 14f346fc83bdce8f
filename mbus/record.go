package mbus

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"

	"github.com/openusm/meter/obis"
)

// Record is one data record: what its headers say of it, and its value.
type Record struct {
	ID         []byte      // DIB and VIB as transmitted, with the text of a unit in plain text: the record's identity
	Data       []byte      // the data as transmitted, without the length octet of data of variable length
	Value      obis.Value  // none where the meter had no value or it could not be used
	Storage    uint64      // 41 bits
	Qualifiers Qualifiers  // what extensions of the VIF say
	Offset     int         // of ID in the slice given to Parse, or in the full frame that a compact one stands for
	Tariff     uint32      // 20 bits
	Subunit    uint16      // 10 bits
	Unit       obis.Unit   // of Value; UnitUnknown where the model has none, see UnitText
	Function   Function    // what the value is of its quantity
	Quantity   Quantity    // what was measured; 0 for VIFs that no table has
	Error      RecordError // why there is no value, as the meter says
	dibLen     uint8       // octets of ID that are the DIB
	unitChange uint8       // what an extension makes of the unit
	plainAt    uint8       // where in ID a unit in plain text stands
	plainLen   uint8
	lvar       byte // the length octet
	variable   bool // there is one
	simple     simple
	flags      obis.Flags // quality of the value apart from Error
}

// simple marks records whose code is found without looking at all their headers.
type simple uint8

const (
	_             simple = iota
	simpleCurrent        // storage number 0 and nothing else
	simpleSetDate        // storage number 1 and nothing else
)

// Function says what a value is of its quantity.
type Function uint8

// The functions. The last two are no values of a quantity but what follows the records.
const (
	Instantaneous    Function = iota
	Maximum                   // over a period
	Minimum                   // over a period
	ErrorState                // the value while the meter was in error
	ManufacturerData          // data of the manufacturer up to the end of the telegram (DIF 0F)
	MoreFollows               // likewise, and the meter has another telegram (DIF 1F)
)

var functionNames = [...]string{"instantaneous", "maximum", "minimum", "error", "manufacturer", "more"}

// String returns the function in lower case.
func (f Function) String() string { return functionNames[f] }

// Quantity is what a record measures, the name of its VIF.
type Quantity uint8

// String returns the name in words, "" for VIFs that no table has.
func (q Quantity) String() string {
	if int(q) < len(quantityNames) {
		return quantityNames[q]
	}
	return ""
}

// Qualifiers are what the extensions of a VIF say of a value.
type Qualifiers uint64

// Names appends the names of the qualifiers.
func (q Qualifiers) Names(dst []string) []string {
	for ; q != 0; q &= q - 1 {
		if i := bits.TrailingZeros64(uint64(q)); i < len(qualifierNames) {
			dst = append(dst, qualifierNames[i])
		}
	}
	return dst
}

// RecordError is the reason that a meter gives for not having a value, 0 for none.
type RecordError uint8

// String returns the reason in words, "none" for 0.
func (e RecordError) String() string {
	if int(e) < len(recordErrors) && recordErrors[e] != "" {
		return recordErrors[e]
	}
	return fmt.Sprintf("error %d", uint8(e))
}

// vif is a row of the tables of value information fields.
type vif struct {
	quantity Quantity
	unit     obis.Unit
	exp      int8
	kind     dataType
}

// vife is a row of the tables of combinable extensions.
type vife struct {
	qualifiers Qualifiers
	effect     effect
	argument   int16
}

// effect is what an extension does to the value.
type effect uint8

const (
	effectNone         effect = iota
	effectScale               // times 10^argument
	effectAdd                 // plus 10^argument
	effectUnit                // unitChanges[argument]
	effectTime                // it is a time
	effectCount               // it is a count
	effectDuration            // it is a duration, in the unit argument
	effectProfile             // it is a compact profile
	effectOctets              // it is not to be looked into
	effectScaleless           // unit and scale are not known
	effectUnsigned            // binary numbers are of type C
	effectBits                // it is of type D
	effectError               // RecordError argument
	effectManufacturer        // the extensions that follow are not of the standard; the value is still that of the VIF
)

// DIB returns the data information block.
func (r *Record) DIB() []byte { return r.ID[:r.dibLen] }

// VIB returns the value information block.
func (r *Record) VIB() []byte { return r.ID[r.dibLen:] }

// UnitText returns the unit as text, also where the model has none: in plain
// text, as the meter sent it, or with what extensions make of it ("Wh/L").
func (r *Record) UnitText() string {
	if r.plainLen > 0 {
		text := r.ID[r.plainAt : r.plainAt+r.plainLen]
		runes := make([]rune, 0, len(text))
		for i := len(text) - 1; i >= 0; i-- {
			runes = append(runes, rune(text[i]))
		}
		return string(runes)
	}
	if r.unitChange == 0 {
		return r.Unit.String()
	}
	if r.Unit != obis.OtherUnit {
		return r.Unit.String()
	}
	return r.baseUnit().String() + unitChanges[r.unitChange]
}

// baseUnit returns the unit of the VIF before extensions changed it.
func (r *Record) baseUnit() obis.Unit {
	b := r.VIB()
	table, at := tableOf(b)
	return vifTable[table][b[at]&0x7F].unit
}

// AppendBinary appends the record as it was transmitted. It never fails.
func (r *Record) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, r.ID...)
	if r.variable {
		dst = append(dst, r.lvar)
	}
	return append(dst, r.Data...), nil
}

// Quality returns what the record itself says of its value.
func (r *Record) Quality() obis.Quality {
	if r.Error == 0 {
		return obis.Quality{Flags: r.flags}
	}
	q := obis.FromStatus(obis.StatusMBusRecord, uint64(r.Error))
	if q.Flags == 0 {
		q.Flags = obis.Invalid
	}
	return q
}

const (
	extension     = 0x80
	maxExtensions = 10
	// defaultRecords is what a reassembled message may hold; a frame holds at most 120.
	defaultRecords = 1024

	difManufacturer = 0x0F
	difMore         = 0x1F
	difFiller       = 0x2F
	difReadoutAll   = 0x7F
)

var (
	errTooManyRecords = errors.New("more")
	errTooManyDIFE    = errors.New("more than 10 extensions of the DIF")
	errTooManyVIFE    = errors.New("more than 10 extensions of the VIF")
	errReservedDIF    = errors.New("reserved")
	errReservedLVAR   = errors.New("reserved length code")
	errFieldIsCutOff  = fmt.Errorf("record is cut off: %w", io.ErrUnexpectedEOF)
)

// AppendRecords appends the records in b, which holds nothing else. On an error
// it returns the records before, and where octets are missing also that last one.
func (d *Decoder) AppendRecords(dst []Record, b []byte) ([]Record, error) {
	return d.appendRecords(dst, b, 0)
}

// usualRecord is how many octets a record has with its header, more or less.
const usualRecord = 6

// appendRecords reads the records from b[i:] on.
func (d *Decoder) appendRecords(dst []Record, b []byte, i int) ([]Record, error) {
	limit := d.MaxRecords
	if limit <= 0 {
		limit = defaultRecords
	}
	if cap(dst) == 0 {
		dst = make([]Record, 0, min(limit, 1+len(b)/usualRecord))
	}
	for i < len(b) {
		if b[i] == difFiller {
			i++
			continue
		}
		if len(dst) >= limit {
			return dst, &ParseError{Field: "records", Offset: i, Err: fmt.Errorf("%w than %d", errTooManyRecords, limit)}
		}
		if len(dst) < cap(dst) {
			dst = dst[:len(dst)+1]
			dst[len(dst)-1] = Record{}
		} else {
			dst = append(dst, Record{})
		}
		r := &dst[len(dst)-1]
		r.Offset = i
		if b[i]&0x0F == codeSpecial {
			return d.special(dst, r, b, i)
		}
		next, err := d.record(r, b, i)
		if err != nil {
			if r.dibLen == 0 {
				return dst[:len(dst)-1], err
			}
			r.Value, r.flags = obis.Value{}, obis.Invalid
			return dst, err
		}
		i = next
	}
	return dst, nil
}

// special reads what ends the records.
func (d *Decoder) special(dst []Record, r *Record, b []byte, i int) ([]Record, error) {
	switch b[i] {
	case difManufacturer:
		r.Function = ManufacturerData
	case difMore:
		r.Function = MoreFollows
	case difReadoutAll:
		r.flags = obis.Missing
	default:
		return dst[:len(dst)-1], &ParseError{Field: "DIF", Offset: i, Err: fmt.Errorf("0x%02x: %w", b[i], errReservedDIF)}
	}
	r.ID, r.dibLen = b[i:i+1:i+1], 1
	r.Data = b[i+1:]
	if r.Function != Instantaneous {
		r.Quantity = QuantityManufacturerSpecific
		r.Value = obis.Octets(r.Data)
	}
	return dst, nil
}

// record reads the record at b[i:] into r and returns where the next begins.
func (d *Decoder) record(r *Record, b []byte, i int) (next int, err error) {
	dif := b[i]
	r.Function = Function(dif >> 4 & 3)
	r.Storage = uint64(dif >> 6 & 1)
	j := i + 1
	if dif&extension != 0 {
		if j, err = r.extendDIB(b, j); err != nil {
			return 0, err
		}
	}
	if j-i > 0 && j >= len(b) {
		return 0, &ParseError{Field: "VIF", Offset: len(b), Err: errFieldIsCutOff}
	}
	r.dibLen = uint8(j - i)
	s := scale{}
	if c := b[j]; c < 0x7B && c != 0x6F {
		v := &vifTable[0][c]
		r.Quantity, r.Unit, s.exp, s.kind = v.quantity, v.unit, int(v.exp), v.kind
		j++
	} else if j, err = d.vib(r, &s, b, i, j); err != nil {
		r.ID = b[i:min(j, len(b))]
		return 0, err
	}
	r.ID = b[i:j:j]
	if r.plainLen > 0 {
		r.namePlain(&s)
	}
	if dif&0xB0 == 0 && r.Qualifiers == 0 && r.unitChange == 0 {
		r.simple = simpleCurrent + simple(dif>>6)
	}
	code := dif & 0x0F
	n := int(codeLen[code])
	if code == codeVariable {
		return d.variable(r, &s, b, j)
	}
	if n > len(b)-j {
		r.Data = b[j:]
		return 0, &ParseError{Field: "data", Offset: len(b), Err: errFieldIsCutOff}
	}
	r.Data = b[j : j+n : j+n]
	if r.Error != 0 {
		return j + n, nil
	}
	d.decode(r, code, s.kind, s.exp)
	if s.added {
		s.add(r)
	}
	return j + n, nil
}

// extendDIB reads the extensions of the DIF from b[j:] on.
func (r *Record) extendDIB(b []byte, j int) (int, error) {
	storage, tariff, unit := uint(1), uint(0), uint(0)
	for n := 0; ; n++ {
		if j >= len(b) {
			return 0, &ParseError{Field: "DIFE", Offset: len(b), Err: errFieldIsCutOff}
		}
		if n == maxExtensions {
			return 0, &ParseError{Field: "DIFE", Offset: j, Err: errTooManyDIFE}
		}
		e := b[j]
		j++
		r.Storage |= uint64(e&0x0F) << storage
		r.Tariff |= uint32(e>>4&3) << tariff
		r.Subunit |= uint16(e>>6&1) << unit
		storage, tariff, unit = storage+4, tariff+2, unit+1
		if e&extension == 0 {
			return j, nil
		}
	}
}

// scale is how the number of a record becomes its value.
type scale struct {
	exp    int
	kind   dataType
	added  bool
	addExp int
}

// add adds the constant 10^addExp of an additive extension.
func (s *scale) add(r *Record) {
	m, e, ok := r.Value.Decimal()
	if !ok {
		if !r.Value.IsNone() {
			invalid(r)
		}
		return
	}
	low := min(int(e), s.addExp)
	v, ok1 := obis.Int(m, e).Rescale(int8(low))
	c, ok2 := obis.Int(1, int8(s.addExp)).Rescale(int8(low))
	if !ok1 || !ok2 {
		invalid(r)
		return
	}
	a, _, _ := v.Decimal()
	b, _, _ := c.Decimal()
	if a > 0 && a+b < a {
		invalid(r)
		return
	}
	r.Value = obis.Int(a+b, int8(low))
}

// tableOf returns which table names the VIF at the start of a VIB, and where it stands.
func tableOf(b []byte) (table, at int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[0] {
	case 0xFB:
		return 1, 1
	case 0xFD:
		if b[1] == 0xFD && len(b) > 2 {
			return 3, 2
		}
		return 2, 1
	}
	return 0, 0
}

// vib reads the VIB at b[j:], any but a single octet of the primary table, of
// the record that begins at b[i:].
func (d *Decoder) vib(r *Record, s *scale, b []byte, i, j int) (next int, err error) {
	table, at := tableOf(b[j:])
	first := b[j]
	j += at
	c := b[j]
	j++
	v := &vifTable[table][c&0x7F]
	r.Quantity, r.Unit, s.exp, s.kind = v.quantity, v.unit, int(v.exp), v.kind
	plain := first&0x7F == 0x7C
	switch {
	case first == 0x7B || first == 0x7D: // the extension bit is missing: no table is meant
		r.Quantity, s.kind = 0, typeNone
	case first == 0xEF: // a table that is reserved: its VIF is an octet among the extensions
		r.Quantity, s.kind = 0, typeNone
		return d.skipVIFE(b, j, maxExtensions)
	case first == 0xFF:
		return d.skipVIFE(b, j, maxExtensions)
	case plain && c&extension != 0:
		return d.plainText(r, s, b, i, j)
	}
	if c&extension != 0 {
		if j, err = d.vifes(r, s, b, j); err != nil {
			return j, err
		}
	}
	if plain {
		return r.plainUnit(b, i, j)
	}
	return j, nil
}

// skipVIFE skips up to limit octets of a VIB without looking into them.
func (d *Decoder) skipVIFE(b []byte, j, limit int) (int, error) {
	for n := 0; ; n++ {
		if j >= len(b) {
			return j, &ParseError{Field: "VIFE", Offset: len(b), Err: errFieldIsCutOff}
		}
		if n == limit {
			return j, &ParseError{Field: "VIFE", Offset: j, Err: errTooManyVIFE}
		}
		j++
		if b[j-1]&extension == 0 {
			return j, nil
		}
	}
}

// vifes reads the combinable extensions from b[j:] on.
func (d *Decoder) vifes(r *Record, s *scale, b []byte, j int) (next int, err error) {
	table := 0
	for n := 0; ; n++ {
		if j >= len(b) {
			return j, &ParseError{Field: "VIFE", Offset: len(b), Err: errFieldIsCutOff}
		}
		if n == maxExtensions {
			return j, &ParseError{Field: "VIFE", Offset: j, Err: errTooManyVIFE}
		}
		c := b[j]
		j++
		if c == 0xFC && table == 0 {
			table = 1
			continue
		}
		e := &vifeTable[table][c&0x7F]
		table = 0
		if r.Qualifiers |= e.qualifiers; e.qualifiers == QualifierReserved {
			r.flags |= obis.Questionable // it may change the value, or what it is
		}
		if e.effect != effectNone {
			if e.effect == effectManufacturer && c&extension != 0 {
				return d.skipVIFE(b, j, maxExtensions)
			}
			r.apply(s, e)
		}
		if c&extension == 0 {
			return j, nil
		}
	}
}

// apply lets an extension change the value.
func (r *Record) apply(s *scale, e *vife) {
	a := int(e.argument)
	switch e.effect {
	case effectScale:
		s.exp += a
	case effectAdd:
		s.added, s.addExp = true, a
	case effectUnit:
		r.unitChange = uint8(a)
		r.Unit = changedUnit(r.Unit, unitChanges[a])
	case effectTime:
		s.kind, s.exp, r.Unit = typeTime, 0, obis.UnitUnknown
	case effectCount:
		s.kind, s.exp, r.Unit = typeUnsigned, 0, obis.Count
	case effectDuration:
		s.kind, s.exp, r.Unit = typeNumber, 0, obis.Unit(a)
	case effectProfile:
		s.kind = typeOctets
	case effectOctets:
		s.kind, r.Unit = typeOctets, obis.UnitUnknown
	case effectScaleless:
		s.exp, r.Unit, r.flags = 0, obis.UnitUnknown, obis.ScalerUnknown
	case effectUnsigned:
		if s.kind == typeNumber {
			s.kind = typeUnsigned
		}
	case effectBits:
		s.kind = typeBits
	case effectError:
		r.Error = RecordError(a)
	}
}

// changedUnit returns what an extension makes of a unit, OtherUnit where the
// model has no such unit.
func changedUnit(u obis.Unit, change string) obis.Unit {
	switch {
	case u == obis.CubicMetre && change == "/s":
		return obis.CubicMetrePerSecond
	case u == obis.CubicMetre && change == "/min":
		return obis.CubicMetrePerMinute
	case u == obis.CubicMetre && change == "/h":
		return obis.CubicMetrePerHour
	case u == obis.CubicMetre && change == "/d":
		return obis.CubicMetrePerDay
	case u == obis.Kilogram && change == "/s":
		return obis.KilogramPerSecond
	case u == obis.Kilogram && change == "/h":
		return obis.KilogramPerHour
	case u == obis.Joule && change == "/h":
		return obis.JoulePerHour
	case u == obis.Joule && change == "/s":
		return obis.Watt
	case u == obis.Metre && change == "/s":
		return obis.MetrePerSecond
	}
	return obis.OtherUnit
}

// plainText reads a unit in plain text that has extensions. The standard puts
// the text behind them, older meters before them: the order is taken in which
// the text is one, and what follows can be read if all units have that order.
func (d *Decoder) plainText(r *Record, s *scale, b []byte, i, j int) (next int, err error) {
	standard, old := *r, *r
	ss, so := *s, *s
	n1, err1 := d.vifes(&standard, &ss, b, j)
	if err1 == nil {
		n1, err1 = standard.plainUnit(b, i, n1)
	}
	n2, err2 := old.plainUnit(b, i, j)
	if err2 == nil {
		n2, err2 = d.vifes(&old, &so, b, n2)
	}
	code := b[i] & 0x0F
	is1 := err1 == nil && standard.isPlain(b[i:])
	is2 := err2 == nil && old.isPlain(b[i:])
	if is2 && !(is1 && d.readable(b, n1, code, false)) && (!is1 || d.readable(b, n2, code, true)) {
		*r, *s = old, so
		return n2, nil
	}
	*r, *s = standard, ss
	return n1, err1
}

// namePlain finds the unit of a text, where the model has it.
func (r *Record) namePlain(s *scale) {
	text := r.UnitText()
	u, exp, ok := obis.ParseUnit([]byte(text))
	if r.Unit = obis.OtherUnit; ok && (len(text) > 1 || strings.Contains(plainLetters, text)) {
		r.Unit = u
		s.exp += int(exp)
	}
}

// plainLetters are the units of one letter that meters write in plain text; of
// the others, C and F above all, it is not known what they mean.
const plainLetters = "%AVWJKLlhs"

// isPlain reports whether the unit of the record, which begins at b[0], is text.
func (r *Record) isPlain(b []byte) bool {
	for _, c := range b[r.plainAt : int(r.plainAt)+int(r.plainLen)] {
		if c < ' ' || 0x7F <= c && c < 0xA0 {
			return false
		}
	}
	return true
}

// readable reports whether data of the code at b[j:] and the next few records
// can be read, with units in plain text in one order or the other.
func (d *Decoder) readable(b []byte, j int, code byte, old bool) bool {
	for range 8 {
		n := int(codeLen[code])
		if code == codeVariable {
			if j >= len(b) {
				return false
			}
			var ok bool
			if n, ok = variableLen(b[j]); !ok {
				return false
			}
			j++
		}
		if j += n; j > len(b) {
			return false
		}
		for j < len(b) && b[j] == difFiller {
			j++
		}
		if j == len(b) || b[j] == difManufacturer || b[j] == difMore {
			return true
		}
		if b[j]&0x0F == codeSpecial {
			return false
		}
		code = b[j] & 0x0F
		var ok bool
		if j, ok = d.headerEnd(b, j, old); !ok {
			return false
		}
	}
	return true
}

// headerEnd returns where the headers of the record at b[i:] end.
func (d *Decoder) headerEnd(b []byte, i int, old bool) (j int, ok bool) {
	var r Record
	var err error
	j = i + 1
	if b[i]&extension != 0 {
		if j, err = r.extendDIB(b, j); err != nil {
			return j, false
		}
	}
	if j >= len(b) {
		return j, false
	}
	plain, extended := b[j]&0x7F == 0x7C, b[j]&extension != 0
	if plain && extended && old {
		if j, err = r.plainUnit(b, i, j+1); err != nil || !r.isPlain(b[i:]) {
			return j, false
		}
		j, err = d.skipVIFE(b, j, maxExtensions)
		return j, err == nil
	}
	if j, err = d.skipVIFE(b, j, maxExtensions+3); err != nil {
		return j, false
	}
	if plain {
		if j, err = r.plainUnit(b, i, j); err != nil || !r.isPlain(b[i:]) {
			return j, false
		}
	}
	return j, true
}

// plainUnit reads the length and the text of a unit at b[j:].
func (r *Record) plainUnit(b []byte, i, j int) (int, error) {
	if j >= len(b) || int(b[j]) > len(b)-j-1 {
		return len(b), &ParseError{Field: "unit", Offset: len(b), Err: errFieldIsCutOff}
	}
	n := int(b[j])
	if j+1-i+n > 255 {
		return j, &ParseError{Field: "unit", Offset: j, Err: fmt.Errorf("text of %d octets is too long", n)}
	}
	r.plainAt, r.plainLen = uint8(j+1-i), uint8(n)
	return j + 1 + n, nil
}

// variable reads data of variable length at b[j:].
func (d *Decoder) variable(r *Record, s *scale, b []byte, j int) (next int, err error) {
	if j >= len(b) {
		return 0, &ParseError{Field: "LVAR", Offset: len(b), Err: errFieldIsCutOff}
	}
	n, ok := variableLen(b[j])
	if !ok {
		return 0, &ParseError{Field: "LVAR", Offset: j, Err: fmt.Errorf("0x%02x: %w", b[j], errReservedLVAR)}
	}
	r.lvar, r.variable = b[j], true
	j++
	if n > len(b)-j {
		r.Data = b[j:]
		return 0, &ParseError{Field: "data", Offset: len(b), Err: errFieldIsCutOff}
	}
	r.Data = b[j : j+n : j+n]
	if r.Error == 0 {
		d.decodeVariable(r, r.lvar, s.kind, s.exp)
		if s.added {
			s.add(r)
		}
	}
	return j + n, nil
}

// variableLen returns how many octets follow a length octet.
func variableLen(lvar byte) (n int, ok bool) {
	switch {
	case lvar < 0xC0:
		return int(lvar), true
	case lvar <= 0xC9:
		return int(lvar - 0xC0), true
	case 0xD0 <= lvar && lvar <= 0xD9:
		return int(lvar - 0xD0), true
	case 0xE0 <= lvar && lvar <= 0xEF:
		return int(lvar - 0xE0), true
	case 0xF0 <= lvar && lvar <= 0xF4:
		return 4 * int(lvar-0xEC), true
	case lvar == 0xF5:
		return 48, true
	case lvar == 0xF6:
		return 64, true
	}
	return 0, false
}
