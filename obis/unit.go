package obis

//go:generate go run ../internal/gen/obis

// Unit is a unit of measure without prefix: the number of the DLMS enumeration
// (Blue Book, scal_unit_type), or one from 256 for units that only other
// protocols have. tables/units.csv lists them all.
type Unit uint16

// UnitUnknown is the unit of a value whose unit was not transmitted.
// A number without dimension has the unit [Count].
const UnitUnknown Unit = 0

type unitInfo struct{ name, ucum, symbol, description, quantity string }

func (u Unit) info() unitInfo {
	if int(u) < len(unitTable) {
		return unitTable[u]
	}
	return unitInfo{}
}

// String returns the plain name: "Wh", "m3", "Cel", "1" for [Count], "" for
// UnitUnknown and for numbers that no table has.
func (u Unit) String() string { return u.info().name }

// defined reports whether a table has the unit, or the meter gave none.
func (u Unit) defined() bool { return u == UnitUnknown || u.info() != (unitInfo{}) }

// UCUM returns the code of the Unified Code for Units of Measure.
func (u Unit) UCUM() string { return u.info().ucum }

// Symbol returns the unit as people write it: "m³", "°C", "" for [Count].
func (u Unit) Symbol() string { return u.info().symbol }

// Describe returns the name in words: "watt hour".
func (u Unit) Describe() string { return u.info().description }

// Quantity returns what the unit measures: "active energy", "volume", …
func (u Unit) Quantity() string { return u.info().quantity }

type unitText struct {
	unit   Unit
	prefix bool // SI prefixes may stand before it
}

// ParseUnit reads a unit as meters write it in text ("kWh", "m3", "°C",
// "kvarh"), and returns the unit without prefix and the prefix's power of ten.
// Capital letters do not matter ("kwh", "KW", "v") where without them the text
// still has one meaning: "mw" and "a" have two. It is not ok for texts that it
// does not know; the empty text is no unit.
func ParseUnit(text []byte) (u Unit, exp int8, ok bool) {
	if t, found := unitByText[string(text)]; found {
		return t.unit, 0, true
	}
	if string(text) == "dm3" {
		return CubicMetre, -3, true
	}
	if len(text) >= 2 {
		exp, ok = unitPrefix(text[0])
		if t, found := unitByText[string(text[1:])]; ok && found && t.prefix {
			return t.unit, exp, true
		}
	}
	return foldedUnit(text)
}

func unitPrefix(c byte) (exp int8, ok bool) {
	switch c {
	case 'G':
		exp = 9
	case 'M':
		exp = 6
	case 'k', 'K':
		exp = 3
	case 'h':
		exp = 2
	case 'd':
		exp = -1
	case 'c':
		exp = -2
	case 'm':
		exp = -3
	}
	return exp, exp != 0
}

// foldedUnit is ParseUnit without regard to capital letters, but for those that
// tell mega from milli.
func foldedUnit(text []byte) (u Unit, exp int8, ok bool) {
	var buf [maxFold + 1]byte
	if len(text) == 0 || len(text) > len(buf) {
		return UnitUnknown, 0, false
	}
	folded := buf[:len(text)]
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		folded[i] = c
	}
	if t, found := unitByFold[string(folded)]; found {
		return t.unit, 0, true
	}
	switch text[0] {
	case 'k', 'K', 'M', 'G':
		exp, _ = unitPrefix(text[0])
		if t, found := unitByFold[string(folded[1:])]; found && t.prefix {
			return t.unit, exp, true
		}
	}
	return UnitUnknown, 0, false
}

// UnitByName returns the unit that [Unit.String] calls name.
func UnitByName(name string) (Unit, bool) {
	if name == "1" {
		return Count, true
	}
	t, ok := unitByText[name]
	return t.unit, ok && t.unit.String() == name
}
