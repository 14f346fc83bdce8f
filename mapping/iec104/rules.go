// Package iec104 shows meters to masters of IEC 60870-5-104: each is a station with
// a common address of its own behind one port.
//
//	1-0:1.8.0*255  ->  M_IT_TB_1 1010800              integrated total, by counter interrogation
//	1-0:32.7.0*255 ->  M_ME_NC_1, M_ME_TF_1 1320700   measured value, by interrogation, on change
//	0-0:96.3.10    ->  M_SP_NA_1, M_SP_TB_1 960310    single point
//
// The address of an information object follows from the code, in decimal A, CC, DD
// and EE; codes that have no such one, and raw ids, get one from 16,000,000 on.
//
// The ASDUs are those of github.com/thinkgos/go-iecp5, which is under the
// LGPL-3.0: whoever links this package links it, too. The transport is our own,
// since the server there ignores its TLS setting, lets one frame past k and
// hides malformed input.
package iec104

import (
	"bytes"
	_ "embed" // the tables
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed points.csv
var pointsCSV []byte

//go:embed qualities.csv
var qualitiesCSV []byte

type qualityBits struct {
	flag obis.Flags
	bits byte
}

// qualities reads the table, which the tests check.
var qualities = sync.OnceValue(func() (list []qualityBits) {
	rows, err := csvrows.Read(qualitiesCSV)
	if err != nil {
		return nil
	}
	for _, row := range rows {
		flag, ok := obis.ParseFlag(row[0])
		bits, err := strconv.ParseUint(row[1], 16, 8)
		if ok && err == nil {
			list = append(list, qualityBits{flag, byte(bits)})
		}
	}
	return list
})

// descriptor returns the quality descriptor of flags. What must not be used is
// always invalid.
func descriptor(q obis.Quality) (bits byte) {
	for _, row := range qualities() {
		if q.Flags&row.flag != 0 {
			bits |= row.bits
		}
	}
	if v := q.Validity(); v == obis.Bad || v == obis.NoValue {
		bits |= invalid
	}
	return bits
}

// qualityOf are the bits of the descriptor that an element of each kind has.
var qualityOf = [...]byte{Value: 0xF1, Total: invalid, Single: 0xF0}

// unshown returns the flags that the element of a kind cannot express.
func (k Kind) unshown(q obis.Quality) obis.Flags {
	lost := q.Flags
	for _, row := range qualities() {
		if row.bits&qualityOf[k] != 0 {
			lost &^= row.flag
		}
	}
	return lost
}

// Bits of the quality descriptor.
const (
	invalid    = 0x80
	notTopical = 0x40
	overflow   = 0x01
)

// Kind is what a point is.
type Kind uint8

// The kinds.
const (
	Value  Kind = iota // measured value, short floating point number
	Total              // integrated total, a binary counter reading
	Single             // single point
)

var kindNames = [...]string{Value: "value", Total: "total", Single: "single"}

// String returns "value", "total" or "single".
func (k Kind) String() string { return kindNames[k] }

// rule says how a code is shown.
type rule struct {
	kind  Kind
	group uint8
	ioa   uint32 // of the first code; 0 for that of the code itself
	codes []obis.Pattern
	exp   int8 // power of ten of one count of a total
}

// Rules say which points OBIS codes are. A nil *Rules is the built-in ones.
type Rules struct{ table *mapping.Table[rule] }

// ReadRules reads rules in the form of points.csv of this package, which come
// before the built-in ones.
func ReadRules(r io.Reader) (*Rules, error) {
	own, err := readTable(r)
	if err != nil {
		return nil, err
	}
	both, err := own.Over(builtin())
	return &Rules{both}, err
}

func readTable(r io.Reader) (*mapping.Table[rule], error) {
	t, err := mapping.ReadTable(r, []string{"kind", "group", "ioa", "exp"}, parseRule)
	if err != nil {
		return nil, err
	}
	for i := range t.Rules {
		rule := &t.Rules[i]
		if rule.Target.codes = rule.Codes; rule.Target.ioa == 0 {
			continue
		}
		if n := places(rule.Codes); uint64(rule.Target.ioa)+n-1 > maxAddress {
			return nil, fmt.Errorf("iec104: rule for %v: %d addresses from %d on, there are %d", rule.Codes[0], n, rule.Target.ioa, maxAddress)
		}
	}
	return t, nil
}

// places returns how many codes patterns have.
func places(list []obis.Pattern) (n uint64) {
	for _, p := range list {
		each := uint64(1)
		for i := range p.Lo {
			each *= uint64(p.Hi[i]-p.Lo[i]) + 1
		}
		n += each
	}
	return n
}

// address returns the address that the rule gives a code: its place among those of the
// rule, counted from ioa; 0 where the rule names none.
func (r *rule) address(c obis.Code) uint32 {
	if r.ioa == 0 {
		return 0
	}
	at := uint64(r.ioa)
	for n, p := range r.codes {
		if !p.Match(c) {
			at += places(r.codes[n : n+1])
			continue
		}
		within := uint64(0)
		for i := range c {
			within = within*(uint64(p.Hi[i]-p.Lo[i])+1) + uint64(c[i]-p.Lo[i])
		}
		return uint32(at + within)
	}
	return 0
}

func parseRule(cells []string) (r rule, err error) {
	for k, name := range kindNames {
		if name == cells[0] {
			r.kind = Kind(k)
		}
	}
	if r.kind.String() != cells[0] {
		return r, fmt.Errorf("no kind %q", cells[0])
	}
	most := uint64(16)
	if r.kind == Total {
		most = 4
	}
	group, err := strconv.ParseUint(cells[1], 10, 8)
	if err != nil || group > most {
		return r, fmt.Errorf("group %q of a %v, want 0 to %d", cells[1], r.kind, most)
	}
	r.group = uint8(group)
	if cells[2] != "" {
		ioa, err := strconv.ParseUint(cells[2], 10, 24)
		if err != nil || ioa == 0 {
			return r, fmt.Errorf("information object address %q", cells[2])
		}
		r.ioa = uint32(ioa)
	}
	if cells[3] != "" {
		exp, err := strconv.ParseInt(cells[3], 10, 8)
		if err != nil {
			return r, fmt.Errorf("exponent %q", cells[3])
		}
		r.exp = int8(exp)
	}
	return r, nil
}

// builtin reads the table, which the tests check.
var builtin = sync.OnceValue(func() *mapping.Table[rule] {
	t, err := readTable(bytes.NewReader(pointsCSV))
	if err != nil {
		return &mapping.Table[rule]{}
	}
	return t
})

func (r *Rules) find(code [6]byte) rule {
	table := builtin()
	if r != nil {
		table = r.table
	}
	if found := table.Find(code); found != nil {
		return *found
	}
	return rule{}
}
