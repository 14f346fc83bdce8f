package iec62056

import (
	"bytes"
	_ "embed"
	"strings"
	"sync"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/obis"
)

//go:embed tables/meters.csv
var metersCSV []byte

//go:embed tables/registers.csv
var registersCSV []byte

// register is what is known of one register of a list.
type register struct {
	code obis.Code
	text string // of a unit that means another one here
	unit obis.Unit
	role string
}

// list is how some meters number their registers: "6.8(…*GJ)" is heat energy,
// and would be reactive energy were it a reduced OBIS code.
type list struct {
	flag, model string
	medium      obis.Medium
	registers   map[string]register
}

var lists = sync.OnceValue(func() []list {
	lists, err := readLists()
	if err != nil {
		panic(err) // the tables are part of the program, and tested
	}
	return lists
})

func readLists() (all []list, err error) {
	rows, err := csvrows.Read(registersCSV)
	if err != nil {
		return nil, err
	}
	named := map[string]map[string]register{}
	for _, row := range rows {
		r := register{text: row[3], role: row[5]}
		if row[2] != "" {
			if r.code, err = obis.ParseCode(row[2]); err != nil {
				return nil, err
			}
		}
		if r.text != "" {
			r.unit, _ = obis.UnitByName(row[4])
		}
		if named[row[0]] == nil {
			named[row[0]] = map[string]register{}
		}
		named[row[0]][row[1]] = r
	}
	if rows, err = csvrows.Read(metersCSV); err != nil {
		return nil, err
	}
	for _, row := range rows {
		l := list{flag: row[0], model: row[1], registers: named[row[2]]}
		for m := range obis.Abstract {
			if m.String() == row[3] {
				l.medium = m
			}
		}
		all = append(all, l)
	}
	return all, nil
}

// list returns the list by which the meter numbers its registers, or nil where
// they are OBIS codes. The character for the rate may belong to the type's name,
// or not.
func (id Identification) list() *list {
	all := lists()
	for i := range all {
		l := &all[i]
		if l.flag == id.flagID() && (strings.Contains(string(id.Ident), l.model) || strings.HasPrefix(string(id.Baud)+string(id.Ident), l.model)) {
			return l
		}
	}
	return nil
}

// register returns what is known of an id, with the "*nn" of stored values as F.
func (l *list) register(id []byte) (r register, known bool) {
	base, stored, isStored := bytes.Cut(id, []byte("*"))
	r, known = l.registers[string(base)]
	if known && isStored {
		r.role = ""
		if len(stored) != 2 || stored[0]-'0' > 9 || stored[1]-'0' > 9 {
			return register{}, false
		}
		r.code[5] = (stored[0]-'0')*10 + stored[1] - '0'
	}
	return r, known
}

// appendReadings appends the readings of a register. One pair of parentheses may
// hold several values with "&" between them: "9.4(098.5*C&096.1*C)".
func (l *list) appendReadings(dst []obis.Reading, set *field.Set, source uint32) []obis.Reading {
	r := obis.Reading{RawID: set.ID, Source: source}
	known, _ := l.register(set.ID)
	if known.code.Valid() {
		r.Code, r.Rule = known.code, obis.RuleManufacturer
	}
	rest := set.Values
	for f, ok := cutWhole(&rest); ok; f, ok = cutWhole(&rest) {
		for more := true; more; {
			var value []byte
			value, f, more = bytes.Cut(f, []byte("&"))
			text, unit, hasUnit := bytes.Cut(value, []byte("*"))
			if !hasUnit {
				unit = nil
			}
			dst = append(dst, r)
			q := &dst[len(dst)-1]
			field.Put(q, field.Text, text, unit)
			if known.text != "" && string(unit) == known.text {
				q.Unit, q.UnitText = known.unit, nil
				q.Quality.Flags &^= obis.Questionable
			}
		}
	}
	return dst
}

// cutWhole takes the next pair of parentheses from values and returns all that
// is in it.
func cutWhole(values *[]byte) (inside []byte, ok bool) {
	open := bytes.IndexByte(*values, '(')
	if open < 0 {
		return nil, false
	}
	rest := (*values)[open+1:]
	end := bytes.IndexByte(rest, ')')
	if end < 0 {
		return nil, false
	}
	*values = rest[end+1:]
	return rest[:end:end], true
}

// note keeps what a register says of the meter's identity.
func (l *list) note(s *seen, set *field.Set) {
	text := trim(set.Text)
	if len(text) == 0 {
		return
	}
	switch r, _ := l.register(set.ID); {
	case r.role == "serial":
		s.serial = text
	case r.role == "utility" && s.utility == nil:
		s.utility = text
	}
}
