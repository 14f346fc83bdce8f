package obis

import (
	"errors"
	"fmt"
)

// Groups is a set of value groups.
type Groups uint8

// The value groups of an OBIS code.
const (
	HaveA Groups = 1 << iota
	HaveB
	HaveC
	HaveD
	HaveE
	HaveF

	HaveAll = HaveA | HaveB | HaveC | HaveD | HaveE | HaveF
)

// Ident is an OBIS code as a meter wrote it, with the groups that it left out.
type Ident struct {
	Code Code   // groups that are not in Have hold their default, see Parse
	Have Groups // the groups that were written
	Mark byte   // before F: '*' stored automatically, '&' by a manual reset; else 0
}

// Parse reads one OBIS code and takes the whole of s. It knows
//
//	1-0:1.8.0*255   canonical; '&' or '.' may stand for '*'
//	1-0:1.8.0       without F
//	1.8.0  1.8      reduced (IEC 62056-61, 62056-21)
//	C.1.0  F.F  P.01  with letters in C or D: C=96, F=97, L=98, P=99
//	1.0.1.8.0.255   six numbers with dots (COSEM)
//	0100010800FF    twelve hexadecimal digits (SML, MQTT topics)
//
// Groups left out get these defaults: E 0, F 255, B 0, and A 0 where C is 94 to
// 97 (service entries, errors), else 1 for electricity, which
// [Ident.In] replaces by the meter's medium. It does not allocate unless it fails.
func Parse(s string) (Ident, error) { return parse(s) }

// ParseBytes is [Parse] of a byte slice, which it does not retain.
func ParseBytes(b []byte) (Ident, error) { return parse(b) }

// ParseCode reads a code of which at least C and D are written, with the defaults of [Parse].
func ParseCode(s string) (Code, error) { return parseCode(s) }

// MustParse is [ParseCode] for codes in program text: it panics on an error.
func MustParse(s string) Code {
	c, err := parseCode(s)
	if err != nil {
		panic(err)
	}
	return c
}

func parseCode[T string | []byte](s T) (Code, error) {
	id, err := parse(s)
	return id.Code, err
}

// In returns the code with A taken from medium where the meter left A out and
// C does not say that the object is abstract.
func (id Ident) In(m Medium) Code {
	c := id.Code
	if id.Have&HaveA == 0 && c[0] != 0 && m != Unknown {
		c[0] = m.A()
	}
	return c
}

// AppendText appends the groups that were written, in the form A-B:C.D.E*F. It never fails.
func (id Ident) AppendText(dst []byte) ([]byte, error) {
	start := len(dst)
	for g, b := range id.Code {
		if id.Have&(1<<g) == 0 {
			continue
		}
		if len(dst) > start {
			switch {
			case g == 5 && id.Mark != 0:
				dst = append(dst, id.Mark)
			case g == 2 && id.Have&HaveB == 0:
				dst = append(dst, ':')
			default:
				dst = append(dst, "-:..*"[g-1])
			}
		}
		dst = appendUint8(dst, b)
	}
	return dst, nil
}

// String returns the text of [Ident.AppendText].
func (id Ident) String() string {
	b, _ := id.AppendText(make([]byte, 0, len("255-255:255.255.255*255")))
	return string(b)
}

func appendUint8(dst []byte, b byte) []byte {
	if b >= 100 {
		dst = append(dst, '0'+b/100)
	}
	if b >= 10 {
		dst = append(dst, '0'+b/10%10)
	}
	return append(dst, '0'+b%10)
}

var (
	errMissing   = errors.New("missing")
	errNotDigit  = errors.New("neither a digit nor one of C, F, L, P")
	errTooLarge  = errors.New("larger than 255")
	errSeparator = errors.New("separator out of place")
	errLetter    = errors.New("a letter stands for C or D only")
)

// canonical reads the form A-B:C.D.E*F, with or without F, which most codes have.
func canonical[T string | []byte](s T) (id Ident, ok bool) {
	i := 0
	for g := range id.Code {
		start, v := i, uint(0)
		for i < len(s) && s[i]-'0' <= 9 && v <= 255 {
			v = v*10 + uint(s[i]-'0')
			i++
		}
		if i == start || v > 255 {
			return Ident{}, false
		}
		id.Code[g] = byte(v)
		switch {
		case i == len(s) && g == 5:
			id.Have = HaveAll
			return id, true
		case i == len(s) && g == 4:
			id.Code[5], id.Have = FCurrent, HaveAll&^HaveF
			return id, true
		case g == 5 || i == len(s):
			return Ident{}, false
		case g == 4 && (s[i] == '*' || s[i] == '&' || s[i] == '.'):
			id.Mark = s[i]
		case g == 4 || s[i] != "-:.."[g]:
			return Ident{}, false
		}
		i++
	}
	return Ident{}, false
}

// parse reads the groups as they come, each with the separator behind it, and
// places them when the separators have told what they were.
func parse[T string | []byte](s T) (id Ident, err error) {
	if id, ok := canonical(s); ok {
		return id, nil
	}
	if len(s) == 12 {
		if c, ok := parseHex(s); ok {
			return Ident{Code: c, Have: HaveAll, Mark: '*'}, nil
		}
	}
	var group [6]byte
	var sep [6]byte    // sep[i] stands before group[i]
	var letters Groups // bit i: group[i] was a letter
	n := 0
	for i := 0; ; i++ {
		if n == len(group) {
			return Ident{}, &ParseError{Field: "code", Offset: i, Err: errSeparator}
		}
		start, v := i, uint(0)
		for i < len(s) && s[i]-'0' <= 9 && v <= 255 {
			v = v*10 + uint(s[i]-'0')
			i++
		}
		if v > 255 {
			return Ident{}, &ParseError{Field: "group", Offset: start, Err: errTooLarge}
		}
		if i == start {
			if v = letter(s, i); v == 0 {
				return Ident{}, &ParseError{Field: "group", Offset: i, Err: errNotDigit}
			}
			i++
			letters |= 1 << n
		}
		group[n] = byte(v)
		n++
		if i == len(s) {
			break
		}
		if n < len(sep) {
			sep[n] = s[i]
		}
	}
	return place(group, sep, letters, n, len(s))
}

// letter reads one of the letters that stand for a number, or returns 0.
func letter[T string | []byte](s T, i int) uint {
	if i < len(s) {
		switch s[i] {
		case 'C':
			return 96
		case 'F':
			return 97
		case 'L':
			return 98
		case 'P':
			return 99
		}
	}
	return 0
}

// place gives the n groups their letters from the separators before them.
func place(group, sep [6]byte, letters Groups, n, end int) (id Ident, err error) {
	at, g := 0, 2 // the next group to read and the letter that it gets
	switch {
	case n == 6 && letters == 0 && sep == [6]byte{0, '.', '.', '.', '.', '.'}:
		return Ident{Code: group, Have: HaveAll, Mark: '.'}, nil
	case n >= 2 && sep[1] == '-':
		g = 0
	case n >= 2 && sep[1] == ':':
		g = 1
	}
	for ; at < n; at, g = at+1, g+1 {
		switch s := sep[at]; {
		case g > 5:
			return Ident{}, &ParseError{Field: "code", Offset: end, Err: errSeparator}
		case at == 0:
		case g == 1 && s == '-', g == 2 && s == ':', (g == 3 || g == 4) && s == '.':
		case g == 4 && (s == '*' || s == '&'):
			g, id.Mark = 5, s // E left out: "F.F*01"
		case g == 5 && (s == '*' || s == '&' || s == '.' && id.Have&HaveB != 0):
			id.Mark = s
		default:
			return Ident{}, &ParseError{Field: groupName(g), Offset: end, Err: errSeparator}
		}
		if letters&(1<<at) != 0 && g != 2 && g != 3 {
			return Ident{}, &ParseError{Field: groupName(g), Offset: end, Err: errLetter}
		}
		id.Code[g] = group[at]
		id.Have |= 1 << g
	}
	if id.Have&(HaveC|HaveD) != HaveC|HaveD {
		return Ident{}, &ParseError{Field: "D", Offset: end, Err: errMissing}
	}
	if id.Have&HaveF == 0 {
		id.Code[5] = FCurrent
	}
	if c := id.Code[2]; id.Have&HaveA == 0 && (c < 94 || c > 97) {
		id.Code[0] = 1
	}
	return id, nil
}

// parseHex reads twelve hexadecimal digits. Twelve decimal digits are hexadecimal too.
func parseHex[T string | []byte](s T) (c Code, ok bool) {
	for i := range len(s) {
		d := s[i]
		switch {
		case d-'0' <= 9:
			d -= '0'
		case d|0x20-'a' <= 5:
			d = d | 0x20 - 'a' + 10
		default:
			return Code{}, false
		}
		c[i/2] = c[i/2]<<4 | d
	}
	return c, true
}

func groupName(g int) string { return "ABCDEF"[g : g+1] }

// ParseError says which part of a text could not be read, and where.
type ParseError struct {
	Field  string // a value group A to F, or what the text should have been
	Offset int    // octets from the start of the text
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("obis: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }
