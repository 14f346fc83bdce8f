package mapping

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/openusm/meter/obis"
)

// Rule says what a target makes of the codes of some patterns.
type Rule[T any] struct {
	Codes  []obis.Pattern
	Target T
}

// Match reports whether the rule is for a code.
func (r *Rule[T]) Match(c obis.Code) bool {
	return slices.ContainsFunc(r.Codes, func(p obis.Pattern) bool { return p.Match(c) })
}

// Table finds the rule for a code: the first in its order that matches. It is
// safe for use by several goroutines.
type Table[T any] struct {
	Rules []Rule[T]

	byC [256][]uint16 // the rules that may match a code of this group C, in order
}

// ReadTable reads rules from CSV, such as a mapping's built-in table or a user's
// own. Lines with "#" are comments. The first line names the columns: "obis" and
// the given ones, in this order. The cells below "obis" are patterns as
// [obis.ParsePattern] reads them, several with blanks between; parse makes the
// target of the other cells.
func ReadTable[T any](r io.Reader, columns []string, parse func(cells []string) (T, error)) (*Table[T], error) {
	in := csv.NewReader(r)
	in.Comment = '#'
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("mapping: table: %w", err)
	}
	if !slices.Equal(header, append([]string{"obis"}, columns...)) {
		return nil, fmt.Errorf("mapping: table: columns %v, want obis %v", header, columns)
	}
	t := &Table[T]{}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return t, t.index()
		}
		if err != nil {
			return nil, fmt.Errorf("mapping: table: %w", err)
		}
		line, _ := in.FieldPos(0)
		rule := Rule[T]{}
		for _, text := range strings.Fields(row[0]) {
			p, err := obis.ParsePattern(text)
			if err != nil {
				return nil, fmt.Errorf("mapping: table: line %d: %w", line, err)
			}
			rule.Codes = append(rule.Codes, p)
		}
		if rule.Target, err = parse(row[1:]); err != nil {
			return nil, fmt.Errorf("mapping: table: line %d: %w", line, err)
		}
		t.Rules = append(t.Rules, rule)
	}
}

// maxRules is how many rules a table may have.
const maxRules = 1 << 16

func (t *Table[T]) index() error {
	if len(t.Rules) > maxRules {
		return fmt.Errorf("mapping: table: %d rules, at most %d", len(t.Rules), maxRules)
	}
	for i := range t.Rules {
		for c := range t.byC {
			if slices.ContainsFunc(t.Rules[i].Codes, func(p obis.Pattern) bool { return int(p.Lo[2]) <= c && c <= int(p.Hi[2]) }) {
				t.byC[c] = append(t.byC[c], uint16(i))
			}
		}
	}
	return nil
}

// Over returns a table in which the rules of t come before those of base: a
// user's over the built-in ones. Either may be nil.
func (t *Table[T]) Over(base *Table[T]) (*Table[T], error) {
	switch {
	case t == nil:
		return base, nil
	case base == nil:
		return t, nil
	}
	both := &Table[T]{Rules: slices.Concat(t.Rules, base.Rules)}
	return both, both.index()
}

// Find returns the target of a code, nil where no rule is for it.
func (t *Table[T]) Find(c obis.Code) *T { return t.FindFunc(c, func(*T) bool { return true }) }

// FindFunc returns the first target of a code that fits, nil where there is none.
func (t *Table[T]) FindFunc(c obis.Code, fits func(*T) bool) *T {
	for _, i := range t.byC[c[2]] {
		if t.Rules[i].Match(c) && fits(&t.Rules[i].Target) {
			return &t.Rules[i].Target
		}
	}
	return nil
}
