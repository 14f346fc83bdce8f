// Package tables reads the data of a meter as ANSI C12.19 (IEEE 1377) has them: in
// tables, of which table 00 tells how the others are to be read.
//
// A [Device] holds what is known of one meter: of the tables those octets and fields
// to which others refer, and of all which were there. Tables are given to it as they are
// read, those that others depend on first: 00, then the limits (11, 21, 61, 71), the
// sources (12, 15, 16) and the selections (22, 27, 62). How each table is laid out says
// a [Description], which is data.
//
// Numbers are exact: a register is what the meter sent, times the constants of table
// 15 where they are to be applied, times the power of ten of its unit in table 12.
package tables

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/openusm/meter/obis"
)

// Device is what is known of a meter so far. It is not safe for concurrent use.
type Device struct {
	Config       Config
	descriptions []*Description
	values       map[fieldKey]int64
	raw          map[uint16][]byte
	held         int      // octets of raw
	added        []uint16 // all tables, in the order of their numbers
	sources      []source // of table 16, nil until they are needed
}

// MaxHeld is how many octets of tables a device keeps at most, of those to which others refer.
const MaxHeld = 1 << 16

type fieldKey struct {
	table uint16
	field string
}

// NewDevice returns a device of which table 00 is known. More descriptions may be
// given for manufacturers' tables.
func NewDevice(table00 []byte, more ...*Description) (*Device, error) {
	config, _, err := ParseConfig(table00)
	if err != nil {
		return nil, err
	}
	d := Bare(config, more...)
	return d, d.Add(0, table00)
}

// Bare returns a device of which only the configuration is known, from elsewhere than its table 00.
func Bare(config Config, more ...*Description) *Device {
	return &Device{Config: config, descriptions: more, values: map[fieldKey]int64{}, raw: map[uint16][]byte{}}
}

// Add gives the device a table, all of it. On an error what stood before the fault
// is known nevertheless.
func (d *Device) Add(table uint16, b []byte) error {
	if at, have := slices.BinarySearch(d.added, table); !have {
		d.added = slices.Insert(d.added, at, table)
	}
	if kept[table] {
		if d.held-len(d.raw[table])+len(b) > MaxHeld {
			return &ParseError{Table: table, Field: "table", Err: errHeld}
		}
		d.held += len(b) - len(d.raw[table])
		d.raw[table] = bytes.Clone(b)
		d.sources = nil
	}
	return d.Walk(table, b, func(f *Field) {
		if f.repeated || !d.wants(fieldKey{table, f.Name}) {
			return
		}
		if n, _, ok := f.Value.Decimal(); ok {
			d.values[fieldKey{table, f.Name}] = n
		}
	})
}

// kept are the tables of which the octets are needed: identity, what sources are, and
// what is selected.
var kept = map[uint16]bool{1: true, 5: true, 12: true, 15: true, 16: true, 22: true, 27: true, 62: true, 63: true}

// wants reports whether something depends on a field: readings and profiles on
// those of the limits, and layouts on those they name.
func (d *Device) wants(key fieldKey) bool {
	switch key.table {
	case 21, 61, 62:
		return true
	case 3:
		return key.field == fieldStatus
	}
	for _, description := range d.descriptions {
		if description.refers[key] {
			return true
		}
	}
	standard, _ := builtin()
	for _, description := range standard {
		if description.refers[key] {
			return true
		}
	}
	return false
}

// Has reports whether a table was added.
func (d *Device) Has(table uint16) bool {
	_, have := slices.BinarySearch(d.added, table)
	return have
}

// Table returns a table that was added, where it is one of those that are kept.
func (d *Device) Table(table uint16) ([]byte, bool) {
	b, ok := d.raw[table]
	return b, ok
}

// get returns a field of a table that was added, 0 where it is not known.
func (d *Device) get(table uint16, field string) int { return int(d.values[fieldKey{table, field}]) }

// layout returns how a table is laid out: as the manufacturer has it, else as the standard.
func (d *Device) layout(table uint16) *layout {
	all := d.descriptions
	if standard, err := builtin(); err == nil {
		all = append(all[:len(all):len(all)], standard...)
	}
	manufacturer := d.manufacturer()
	for _, description := range all {
		own := description.Manufacturer
		if own == "" && table&manufacturerTable == 0 || own != "" && own == manufacturer {
			if l, ok := description.tables[table]; ok {
				return l
			}
		}
	}
	return nil
}

// Described reports whether the layout of a table is known.
func (d *Device) Described(table uint16) bool { return d.layout(table) != nil }

// Needs returns the tables that say how a table is laid out, besides table 00.
func (d *Device) Needs(table uint16) (list []uint16) {
	l := d.layout(table)
	if l == nil {
		return nil
	}
	seen := map[int]bool{-1: true, 0: true, int(table): true}
	references(l.items, func(e *expr) {
		if !seen[e.table] {
			seen[e.table] = true
			list = append(list, uint16(e.table))
		}
	})
	return list
}

// references calls visit for each field that sizes, counts and conditions name.
func references(items []item, visit func(*expr)) {
	var expression func(*expr)
	expression = func(e *expr) {
		if e == nil {
			return
		}
		if e.op == 'f' {
			visit(e)
		}
		expression(e.left)
		expression(e.right)
	}
	for i := range items {
		expression(items[i].size)
		expression(items[i].count)
		expression(items[i].cond)
		references(items[i].items, visit)
		references(items[i].orElse, visit)
	}
}

// manufacturer returns the manufacturer's code of table 01, else that of table 00.
func (d *Device) manufacturer() string {
	if b := d.raw[1]; len(b) >= 4*d.Config.charLen() {
		return d.Config.text(b[:4*d.Config.charLen()])
	}
	return strings.TrimRight(string(d.Config.Manufacturer[:]), " \x00")
}

// Name returns the name of a table as the standard or the manufacturer has it.
func (d *Device) Name(table uint16) string {
	if l := d.layout(table); l != nil {
		return l.name
	}
	return ""
}

// Step is a part of the path to a field.
type Step struct {
	Name  string
	Index int // in an array, else -1
}

// Field is one field of a table. It is valid during the visit only.
type Field struct {
	Path   []Step // from the table to the field, which is the last
	Name   string
	Offset int // octets from the start of the table
	Length int
	Depth  int        // bits of a field of bits are one deeper than that
	Value  obis.Value // none where the octets are no value
	Flags  obis.Flags
	Code   obis.Code // where the description declares one

	repeated bool // in an array
}

// ID returns the path as text: "TIER_DATA_BLOCK[1].SUMMATIONS[0]".
func (f *Field) ID() string {
	var b strings.Builder
	for i, s := range f.Path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.Name)
		if s.Index >= 0 {
			b.WriteString("[" + strconv.Itoa(s.Index) + "]")
		}
	}
	return b.String()
}

// Walk calls visit for each field of a table in wire order, as far as it can be
// read, and returns the error where it broke.
func (d *Device) Walk(table uint16, b []byte, visit func(*Field)) error {
	l := d.layout(table)
	if l == nil {
		return &ParseError{Table: table, Field: "table", Err: ErrNoDescription}
	}
	if l.exact {
		w := d.walker(table, b, func(*Field) {})
		if w.items(l.items); w.err == nil && w.off < len(b) {
			w.fail("table", w.off, errNotFilled)
		}
		if w.err != nil {
			return w.err
		}
	}
	w := d.walker(table, b, visit)
	w.items(l.items)
	if w.err == nil && w.off < len(b) {
		// A later edition may have added fields.
		w.field = Field{Path: append(w.path, Step{"REST", -1}), Name: "REST", Offset: w.off, Length: len(b) - w.off, Value: obis.Octets(b[w.off:])}
		visit(&w.field)
	}
	return w.err
}

func (d *Device) walker(table uint16, b []byte, visit func(*Field)) walker {
	return walker{d: d, table: table, b: b, visit: visit, own: map[string]int64{}, budget: 4096 + 16*len(b)}
}

// walker interprets a layout.
type walker struct {
	d        *Device
	table    uint16
	b        []byte
	off      int
	path     []Step
	repeated int // arrays around the field
	own      map[string]int64
	budget   int   // items that may still be visited
	blank    int   // one more than where the zeros at the end of b begin, 0 until that is asked for
	missing  *expr // the last field of another table that was not there
	field    Field
	visit    func(*Field)
	err      error
}

var (
	// ErrNoDescription reports a table whose layout nobody described.
	ErrNoDescription = errors.New("no description of this table")
	errTooMany       = errors.New("more fields than the octets can hold")
	errUnknown       = errors.New("depends on something that is not known")
	errHeld          = fmt.Errorf("more than %d octets of tables to which others refer", MaxHeld)
	errNotFilled     = errors.New("has more octets than the layout, which is not sure")
)

func (w *walker) fail(field string, offset int, err error) {
	if w.err == nil {
		w.err = &ParseError{Table: w.table, Field: field, Offset: offset, Err: err}
	}
}

// unknown says why the layout is not known.
func (w *walker) unknown() error {
	if w.missing == nil {
		return errUnknown
	}
	return fmt.Errorf("%w: %s of table %d, which was not read", errUnknown, w.missing.field, w.missing.table)
}

func (w *walker) items(items []item) {
	for i := range items {
		if w.err != nil {
			return
		}
		w.item(&items[i])
	}
}

func (w *walker) item(it *item) {
	if w.budget--; w.budget < 0 {
		w.fail(it.name, w.off, errTooMany)
		return
	}
	if it.kind == kindIf {
		n, ok := w.eval(it.cond)
		switch {
		case !ok:
			w.fail("condition", w.off, w.unknown())
		case n != 0:
			w.items(it.items)
		default:
			w.items(it.orElse)
		}
		return
	}
	if it.count == nil {
		w.one(it, -1)
		return
	}
	count, known := w.eval(it.count)
	w.repeated++
	for i := 0; w.err == nil && (known && int64(i) < count || !known && w.goesOn(i)); i++ {
		if w.budget--; w.budget < 0 {
			w.fail(it.name, w.off, errTooMany)
		}
		w.one(it, i)
	}
	w.repeated--
}

const (
	maxUnknown = 255 // elements of an array, the number of which is always one octet
	minBlank   = 16  // zeros to the end of a table that are taken for nothing
)

// goesOn reports whether an array of which nobody knows the length, and which has i
// elements already, may have another one: it is all that there is but for zeros
// that fill up the table.
func (w *walker) goesOn(i int) bool {
	if w.off >= len(w.b) || i >= maxUnknown {
		return false
	}
	if w.blank == 0 {
		w.blank = len(bytes.TrimRight(w.b, "\x00")) + 1
	}
	return w.off < w.blank-1 || len(w.b)-w.off < minBlank
}

// one visits one element.
func (w *walker) one(it *item, index int) {
	w.path = append(w.path, Step{it.name, index})
	defer func() { w.path = w.path[:len(w.path)-1] }()
	if it.kind == kindRecord {
		w.items(it.items)
		return
	}
	size, ok := w.size(it)
	if !ok {
		w.fail(it.name, w.off, w.unknown())
		return
	}
	if size < 0 || size > len(w.b)-w.off {
		w.fail(it.name, len(w.b), io.ErrUnexpectedEOF)
		return
	}
	raw := w.b[w.off : w.off+size : w.off+size]
	value, flags := w.value(it, raw)
	w.emit(it.name, w.off, size, len(w.path)-1, value, flags, it.code)
	if it.kind == kindBits {
		all := w.d.Config.uint(raw)
		for _, bit := range it.bits {
			n := all >> bit.first & (1<<(bit.last-bit.first+1) - 1)
			w.path = append(w.path, Step{bit.name, -1})
			w.emit(bit.name, w.off, size, len(w.path)-1, obis.Uint(n, 0), 0, obis.Code{})
			w.path = w.path[:len(w.path)-1]
		}
	}
	w.off += size
}

func (w *walker) emit(name string, offset, length, depth int, v obis.Value, flags obis.Flags, code obis.Code) {
	if n, _, ok := v.Decimal(); ok {
		w.own[name] = n
	}
	w.field = Field{Path: w.path, Name: name, Offset: offset, Length: length, Depth: depth, Value: v, Flags: flags, Code: code, repeated: w.repeated > 0}
	w.visit(&w.field)
}

// size returns how many octets an element has.
func (w *walker) size(it *item) (int, bool) {
	c := &w.d.Config
	switch it.kind {
	case kindUint, kindInt, kindBits:
		return it.width, true
	case kindNI1:
		return c.NI1.Size(), true
	case kindNI2:
		return c.NI2.Size(), true
	case kindLongTime:
		return longSizes[c.Time], true
	case kindShortTime:
		return shortSizes[c.Time], true
	case kindTimeOfDay:
		return daySizes[c.Time], true
	}
	if it.size == nil {
		return len(w.b) - w.off, true
	}
	n, ok := w.eval(it.size)
	if it.kind == kindString {
		n *= int64(c.charLen())
	}
	if n > int64(len(w.b)) {
		n = int64(len(w.b)) + 1 // too many, whatever the number
	}
	return int(n), ok
}

func (w *walker) value(it *item, raw []byte) (obis.Value, obis.Flags) {
	c := &w.d.Config
	switch it.kind {
	case kindUint, kindBits:
		return obis.Uint(c.uint(raw), 0), 0
	case kindInt:
		return obis.Int(c.int(raw), 0), 0
	case kindNI1:
		return c.number(c.NI1, raw)
	case kindNI2:
		return c.number(c.NI2, raw)
	case kindLongTime, kindShortTime:
		return obis.Moment(c.time(raw)), 0
	case kindString:
		return obis.Text([]byte(c.text(raw))), 0
	}
	return obis.Octets(raw), 0
}

// eval computes an expression. It is not ok where a field is not known.
func (w *walker) eval(e *expr) (int64, bool) {
	switch e.op {
	case 'n':
		return e.number, true
	case 'u':
		if len(w.d.Config.StandardTables) == 0 {
			return truth(w.off < len(w.b)), true // nothing says which tables there are
		}
		return truth(w.d.Config.Uses(uint16(e.number))), true
	case 'f':
		if e.table < 0 || e.table == int(w.table) {
			n, ok := w.own[e.field]
			return n, ok
		}
		n, ok := w.d.values[fieldKey{uint16(e.table), e.field}]
		if !ok {
			w.missing = e
		}
		return n, ok
	}
	a, ok := w.eval(e.left)
	b, ok2 := w.eval(e.right)
	if !ok || !ok2 {
		return 0, false
	}
	switch e.op {
	case '+':
		return a + b, true
	case '-':
		return a - b, true
	case '*':
		return a * b, true
	case '/':
		if b == 0 {
			return 0, false
		}
		return a / b, true
	case '=':
		return truth(a == b), true
	case '!':
		return truth(a != b), true
	case '<':
		return truth(a < b), true
	}
	return truth(a > b), true
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Explain calls note for each field of a table, in wire order and as far as it
// can be read, and returns the error where it broke.
func (d *Device) Explain(table uint16, b []byte, note func(offset, length, depth int, field, meaning string)) error {
	return d.Walk(table, b, func(f *Field) { note(f.Offset, f.Length, f.Depth, f.ID(), f.Value.String()) })
}

// ParseError says which field of which table could not be read, and where.
type ParseError struct {
	Table  uint16
	Field  string // as the description names it
	Offset int    // octets from the start of the table
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("tables: table %d: %s at octet %d: %v", e.Table, e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }
