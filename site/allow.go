package site

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/openusm/meter/obis"
)

// Allowance is a row of what actors may command.
type Allowance struct {
	Face, Name string // of the actor; "*" is any, a Name of "" nobody in particular
	Meter      ID     // "*" is any
	Codes      obis.Pattern
	// Lowest and Highest bound values that are numbers; none is no bound. A row with a
	// bound allows nothing whose value cannot be held against it: texts, attributes of
	// objects by their payload.
	Lowest, Highest obis.Value
}

// ReadAllowances reads a table in CSV with the columns actor, meter, code, lowest and
// highest. An actor is FACE:NAME, FACE for all of a face, or * for all.
func ReadAllowances(r io.Reader) (list []Allowance, err error) {
	in := csv.NewReader(r)
	in.Comment = '#'
	in.TrimLeadingSpace = true
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("site: allowances: %w", err)
	}
	if strings.Join(head, ",") != "actor,meter,code,lowest,highest" {
		return nil, fmt.Errorf("site: allowances: columns %q, want actor,meter,code,lowest,highest", strings.Join(head, ","))
	}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("site: allowances: %w", err)
		}
		line, _ := in.FieldPos(0)
		a, err := parseAllowance(row)
		if err != nil {
			return nil, fmt.Errorf("site: allowances: line %d: %w", line, err)
		}
		list = append(list, a)
	}
}

func parseAllowance(row []string) (a Allowance, err error) {
	for i := range row {
		row[i] = strings.TrimSpace(row[i])
	}
	named := false
	if a.Face, a.Name, named = strings.Cut(row[0], ":"); !named {
		a.Name = "*"
	}
	a.Meter = ID(row[1])
	if a.Face == "" || a.Meter == "" {
		return a, errors.New("an actor and a meter are wanted, or * for all")
	}
	if a.Codes, err = obis.ParsePattern(row[2]); err != nil {
		return a, err
	}
	for i, v := range []*obis.Value{&a.Lowest, &a.Highest} {
		if text := row[3+i]; text != "" {
			var ok bool
			if *v, ok = obis.ParseDecimal([]byte(text)); !ok {
				return a, fmt.Errorf("%q is no number", text)
			}
		}
	}
	return a, nil
}

// allows reports whether the row allows a command.
func (a *Allowance) allows(c *Command) bool {
	if a.Face != "*" && a.Face != c.Actor.Face || a.Name != "*" && a.Name != c.Actor.Name || a.Meter != "*" && a.Meter != c.Meter || !a.Codes.Match(c.Code) {
		return false
	}
	if a.Lowest.IsNone() && a.Highest.IsNone() {
		return true
	}
	v, ok := number(c.Value)
	return c.Class == 0 && ok && (a.Lowest.IsNone() || !less(v, a.Lowest)) && (a.Highest.IsNone() || !less(a.Highest, v))
}

// number returns a value as a decimal number.
func number(v obis.Value) (obis.Value, bool) {
	if n, ok := v.Enum(); ok {
		return obis.Int(n, 0), true
	}
	_, _, ok := v.Decimal()
	return v, ok
}

// less compares decimal numbers exactly.
func less(a, b obis.Value) bool {
	exp := min(a.Exp(), b.Exp())
	x, ok1 := a.Rescale(exp)
	y, ok2 := b.Rescale(exp)
	m, _, ok3 := x.Decimal()
	n, _, ok4 := y.Decimal()
	if ok1 && ok2 && ok3 && ok4 {
		return m < n
	}
	f, _ := a.Float64() // so far apart that digits do not matter
	g, _ := b.Float64()
	return f < g
}

// Guard returns a Commander that hands on to next what the rows allow, and refuses all
// else with ErrPolicy.
func Guard(rows []Allowance, next Commander) Commander { return &guard{rows, next} }

type guard struct {
	rows []Allowance
	next Commander
}

func (g *guard) Command(ctx context.Context, c Command) (Answer, error) {
	for i := range g.rows {
		if g.rows[i].allows(&c) {
			return Do(ctx, g.next, c)
		}
	}
	return Answer{}, fmt.Errorf("%w: %s:%s on %v of %s", ErrPolicy, c.Actor.Face, c.Actor.Name, c.Code, c.Meter)
}

// Meters is a Commander that hands on a command to the one of its meter.
type Meters map[ID]Commander

// Command hands on a command.
func (m Meters) Command(ctx context.Context, c Command) (Answer, error) {
	next := m[c.Meter]
	if next == nil {
		return Answer{}, fmt.Errorf("%w: meter %s", ErrUnknown, c.Meter)
	}
	return next.Command(ctx, c)
}
