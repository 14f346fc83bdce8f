package tables

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/openusm/meter/obis"
)

// Description says how tables are laid out. It is data: the standard's own tables
// are one, and those of a manufacturer can be added as another. It is written in a
// small language, free in its use of white space, # up to the end of the line being comment:
//
//	manufacturer ABCD                  tables of this manufacturer (table 01), not of the standard
//	table 23 NAME { items }            a table, by its number on the wire
//	table 26 NAME exact { items }      a table that is read only where the items fill it to the last octet
//	record NAME { items }              a group of items used in several places, above its users
//
//	NAME type                          a field
//	NAME type [count]                  an array
//	NAME type obis 0-0:96.7.21         a field that is a reading with this code
//	include RECORD                     the items of a record, as if written here
//	if condition { items } else { items }
//
// Types are uint8 uint16 uint24 uint32 uint40 uint48 uint64, the same as int…, ni1 and
// ni2 (the number formats of table 00), ltime, stime and time (long and short date and
// time, time of day), string n (characters), octets n, bcd n and set n (octets),
// bits8, bits16 and bits32 with fields in braces by their bits, as { FLAG 0 CODE 4-6 },
// and the name of a record. In place of n, rest takes all that is left.
//
// Sizes, counts and conditions are expressions of numbers, fields above in the
// same table, fields of other tables as 21.NBR_TIERS, uses(64) for whether table 00
// lists a standard table, + - * / == != < > and parentheses.
type Description struct {
	Manufacturer string // whose tables they are, as in table 01; "" are the standard's
	tables       map[uint16]*layout
	records      map[string][]item
	refers       map[fieldKey]bool // fields of other tables on which layouts depend
}

// layout is one table.
type layout struct {
	name  string
	items []item
	exact bool // read only where the items fill it
}

// item is one line of a layout.
type item struct {
	name   string
	kind   itemKind
	size   *expr // of kinds with a size; nil is the rest
	width  int   // octets of integers and bits
	count  *expr // nil is no array
	bits   []bitField
	cond   *expr
	items  []item // of records and conditions
	orElse []item
	code   obis.Code // of a reading, else zero
}

type itemKind uint8

const (
	kindUint itemKind = iota
	kindInt
	kindNI1
	kindNI2
	kindLongTime
	kindShortTime
	kindTimeOfDay
	kindString
	kindOctets
	kindBCD
	kindSet
	kindBits
	kindRecord
	kindIf
)

type bitField struct {
	name        string
	first, last uint8
}

//go:embed standard.tdl
var standardText string

//go:embed openusm.tdl
var openusmText string

var builtin = sync.OnceValues(func() ([]*Description, error) {
	var all []*Description
	for _, text := range []string{standardText, openusmText} {
		d, err := ParseDescription(text)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
})

// ParseDescription reads a description.
func ParseDescription(text string) (*Description, error) {
	p := parser{d: &Description{tables: map[uint16]*layout{}, records: map[string][]item{}}, line: 1, text: text}
	p.next()
	for p.token != "" && p.err == nil {
		p.declaration()
	}
	if p.err != nil {
		return nil, p.err
	}
	p.d.refers = map[fieldKey]bool{}
	for number, l := range p.d.tables {
		references(l.items, func(e *expr) {
			if e.table >= 0 && e.table != int(number) {
				p.d.refers[fieldKey{uint16(e.table), e.field}] = true
			}
		})
	}
	return p.d, nil
}

// parser reads a description, token by token. After an error there are no more tokens.
type parser struct {
	d     *Description
	text  string
	line  int
	token string
	depth int
	err   error
}

var errSyntax = errors.New("syntax")

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("tables: description line %d: %w: %s", p.line, errSyntax, fmt.Sprintf(format, args...))
	}
	p.token, p.text = "", ""
}

// next takes the next token: a word, a number, or a sign.
func (p *parser) next() {
	for {
		p.token = ""
		if p.text == "" {
			return
		}
		switch c := p.text[0]; {
		case c == '\n':
			p.line++
			p.text = p.text[1:]
		case c == ' ', c == '\t', c == '\r':
			p.text = p.text[1:]
		case c == '#':
			_, p.text, _ = strings.Cut(p.text, "\n")
			p.line++
		case isWord(c):
			n := 1
			for n < len(p.text) && isWord(p.text[n]) {
				n++
			}
			p.token, p.text = p.text[:n], p.text[n:]
			return
		default:
			n := 1
			if strings.HasPrefix(p.text, "==") || strings.HasPrefix(p.text, "!=") {
				n = 2
			}
			p.token, p.text = p.text[:n], p.text[n:]
			return
		}
	}
}

func isWord(c byte) bool {
	return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// take returns the token and goes on to the next.
func (p *parser) take() string {
	t := p.token
	if t == "" {
		p.fail("the text ends early")
	}
	p.next()
	return t
}

func (p *parser) expect(t string) {
	if got := p.take(); got != t {
		p.fail("%q, want %q", got, t)
	}
}

func (p *parser) number(max int) int {
	t := p.take()
	n, err := strconv.Atoi(t)
	if err != nil || n < 0 || n > max {
		p.fail("%q is no number up to %d", t, max)
		return 0
	}
	return n
}

func (p *parser) declaration() {
	switch word := p.take(); word {
	case "manufacturer":
		p.d.Manufacturer = p.take()
	case "table":
		number := p.number(0xFFFF)
		l := &layout{name: p.take()}
		if l.exact = p.token == "exact"; l.exact {
			p.next()
		}
		l.items = p.block()
		if _, twice := p.d.tables[uint16(number)]; twice {
			p.fail("table %d twice", number)
		}
		p.d.tables[uint16(number)] = l
	case "record":
		name := p.take()
		p.d.records[name] = p.block()
	default:
		p.fail("%q, want table or record", word)
	}
}

// maxDepth is how deeply items may be nested.
const maxDepth = 16

func (p *parser) block() (items []item) {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested too deeply")
	}
	p.expect("{")
	for p.token != "}" && p.err == nil {
		items = append(items, p.item()...)
	}
	p.expect("}")
	p.depth--
	return items
}

func (p *parser) item() []item {
	switch p.token {
	case "include":
		p.next()
		return p.record(p.take())
	case "if":
		p.next()
		it := item{kind: kindIf, cond: p.expression()}
		it.items = p.block()
		if p.token == "else" {
			p.next()
			it.orElse = p.block()
		}
		return []item{it}
	}
	it := item{name: p.take()}
	p.kind(&it)
	if p.token == "[" {
		p.next()
		it.count = p.expression()
		p.expect("]")
	}
	if p.token == "obis" {
		p.text = strings.TrimLeft(p.text, " \t")
		code, rest, _ := strings.Cut(p.text, "\n")
		var err error
		if it.code, err = obis.ParseCode(strings.TrimSpace(code)); err != nil {
			p.fail("%v", err)
			return nil
		}
		p.text = "\n" + rest
		p.next()
	}
	return []item{it}
}

func (p *parser) record(name string) []item {
	items, ok := p.d.records[name]
	if !ok {
		p.fail("no record %q", name)
	}
	return items
}

// kinds are the types that take no size.
var kinds = map[string]itemKind{"ni1": kindNI1, "ni2": kindNI2, "ltime": kindLongTime, "stime": kindShortTime, "time": kindTimeOfDay}

// sized are the types that take one.
var sized = map[string]itemKind{"string": kindString, "octets": kindOctets, "bcd": kindBCD, "set": kindSet}

func (p *parser) kind(it *item) {
	word := p.take()
	if k, ok := kinds[word]; ok {
		it.kind = k
		return
	}
	if k, ok := sized[word]; ok {
		it.kind = k
		if p.token == "rest" {
			p.next()
			return
		}
		it.size = p.expression()
		return
	}
	for prefix, k := range map[string]itemKind{"uint": kindUint, "int": kindInt, "bits": kindBits} {
		bits, err := strconv.Atoi(strings.TrimPrefix(word, prefix))
		if !strings.HasPrefix(word, prefix) || err != nil || bits <= 0 || bits > 64 || bits%8 != 0 {
			continue
		}
		it.kind, it.width = k, bits/8
		if k == kindBits {
			it.bits = p.bits(bits)
		}
		return
	}
	it.kind, it.items = kindRecord, p.record(word)
}

func (p *parser) bits(width int) (list []bitField) {
	p.expect("{")
	for p.token != "}" && p.err == nil {
		b := bitField{name: p.take()}
		b.first = uint8(p.number(width - 1))
		b.last = b.first
		if p.token == "-" {
			p.next()
			b.last = uint8(p.number(width - 1))
		}
		if b.last < b.first {
			p.fail("bits %d-%d", b.first, b.last)
		}
		list = append(list, b)
	}
	p.expect("}")
	return list
}

// expr is an expression: a number, a field, or an operation on two.
type expr struct {
	op          byte // 'n' number, 'f' field, 'u' uses, else the operator; '=' and '!' for == and !=
	number      int64
	table       int // of a field; -1 is the same table
	field       string
	left, right *expr
}

// expression reads comparisons of sums.
func (p *parser) expression() *expr {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested too deeply")
	}
	e := p.binary(map[string]byte{"==": '=', "!=": '!', "<": '<', ">": '>'}, func() *expr {
		return p.binary(map[string]byte{"+": '+', "-": '-'}, func() *expr {
			return p.binary(map[string]byte{"*": '*', "/": '/'}, p.primary)
		})
	})
	p.depth--
	return e
}

func (p *parser) binary(operators map[string]byte, operand func() *expr) *expr {
	e := operand()
	for {
		op, ok := operators[p.token]
		if !ok || p.err != nil {
			return e
		}
		p.next()
		e = &expr{op: op, left: e, right: operand()}
	}
}

func (p *parser) primary() *expr {
	t := p.take()
	switch {
	case t == "":
		return nil
	case t == "(":
		e := p.expression()
		p.expect(")")
		return e
	case t == "uses":
		p.expect("(")
		n := p.number(2047)
		p.expect(")")
		return &expr{op: 'u', number: int64(n)}
	case !isWord(t[0]):
		p.fail("%q is neither number nor field", t)
		return nil
	case t[0] < '0' || t[0] > '9':
		return &expr{op: 'f', table: -1, field: t}
	}
	table, field, ok := strings.Cut(t, ".")
	n, err := strconv.Atoi(table)
	if err != nil || n > 0xFFFF {
		p.fail("%q is neither number nor field", t)
		return nil
	}
	if !ok {
		return &expr{op: 'n', number: int64(n)}
	}
	return &expr{op: 'f', table: n, field: field}
}
