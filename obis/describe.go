package obis

import (
	"strconv"
	"strings"
)

// What value group D of electricity makes of the quantity in C.
const (
	dimIntegral = 1 << iota // an integral over time: power becomes energy
	dimRated                // E is a tariff
)

// object names codes that are no quantity of a medium.
type object struct {
	pattern Pattern
	name    string
	number  byte // the group whose value replaces "n" at the end of name
}

// Describe returns what a code stands for, in words: "active energy import
// total", "heat energy", "voltage L1". It classifies by medium first, as the
// groups C to E mean other things for each. Codes that no table names, those of
// manufacturers above all, give "".
func Describe(c Code) string { return string(AppendDescription(nil, c)) }

// AppendDescription appends the text of [Describe].
func AppendDescription(dst []byte, c Code) []byte {
	for i := range objects {
		if o := &objects[i]; o.pattern.Match(c) {
			return o.append(dst, c)
		}
	}
	if int(c[0]) >= len(namesC) {
		return dst
	}
	start := len(dst)
	switch name := namesC[c[0]][c[2]]; {
	case c[0] == 1:
		dst = appendElectricity(dst, c)
	case name != "":
		dst = append(append(append(dst, mediumWord[c[0]]...), ' '), name...)
		if name := describeD(c); name != "" {
			dst = append(append(dst, ", "...), name...)
		}
		if t, ok := c.Tariff(); ok && t > 0 {
			dst = appendNumbered(dst, ", tariff ", t)
		}
	}
	if period, ok := c.BillingPeriod(); ok && len(dst) > start {
		dst = appendNumbered(dst, ", billing period ", period)
	}
	return dst
}

func appendNumbered(dst []byte, word string, n uint8) []byte {
	return strconv.AppendUint(append(dst, word...), uint64(n), 10)
}

var mediumWord = [16]string{4: "HCA", 5: "cooling", 6: "heat", 7: "gas", 8: "cold water", 9: "hot water"}

// describeD names value group D of the media other than electricity.
func describeD(c Code) string {
	if c[0] != 7 || c[2] <= 8 || 11 <= c[2] && c[2] <= 36 || 61 <= c[2] && c[2] <= 66 {
		return namesD[c[0]][c[3]]
	}
	return ""
}

var phaseWord = [...]string{PhaseL1: " L1", PhaseL2: " L2", PhaseL3: " L3", PhaseL1L2: " L1-L2", PhaseL2L3: " L2-L3", PhaseL3L1: " L3-L1"}

// appendElectricity appends the quantity with its phase, then what D and E add.
func appendElectricity(dst []byte, c Code) []byte {
	index := c[2]
	if q := electricityQuantity(c[2]); q != 0 {
		index = q
	}
	name := namesC[1][index]
	switch {
	case name == "":
		return dst
	case c[2] == 81:
		return appendAngle(dst, c)
	}
	before, after, power := strings.Cut(name, " power")
	if power && dimension[c[3]]&dimIntegral != 0 && !strings.HasPrefix(name, "power factor") {
		dst = append(append(append(dst, before...), " energy"...), after...)
	} else {
		dst = append(dst, name...)
	}
	if p := c.Phase(); int(p) < len(phaseWord) && !strings.HasPrefix(name, "neutral") {
		dst = append(dst, phaseWord[p]...)
	}
	t, rated := c.Tariff()
	switch {
	case rated && t > 0:
		dst = appendNumbered(dst, " tariff ", t)
	case c[3] == 8 && c.Phase() == PhaseSum && rated:
		dst = append(dst, " total"...)
	case c[3] == 7 && c[4] == 124:
		dst = append(dst, ", total harmonic distortion"...)
	case c[3] == 7 && 1 <= c[4] && c[4] <= 120:
		dst = appendNumbered(dst, ", harmonic ", c[4])
	}
	if d := namesD[1][c[3]]; d != "" {
		dst = append(append(dst, ", "...), d...)
	}
	return dst
}

// appendAngle appends the angle from one signal to another: E = 10 × reference + target.
func appendAngle(dst []byte, c Code) []byte {
	signal := [...]string{"U1", "U2", "U3", "", "I1", "I2", "I3", "I0"}
	from, to := int(c[4]/10), int(c[4]%10)
	dst = append(dst, "angle"...)
	if from >= len(signal) || to >= len(signal) || signal[from] == "" || signal[to] == "" {
		return dst
	}
	return append(append(append(append(dst, ' '), signal[to]...), '-'), signal[from]...)
}

func (o *object) append(dst []byte, c Code) []byte {
	name, numbered := strings.CutSuffix(o.name, " n")
	if o.number == 0 || !numbered {
		return append(dst, o.name...)
	}
	return appendNumbered(append(dst, name...), " ", c[o.number-'A'])
}
