package obis

import (
	"fmt"
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
func Describe(c Code) string {
	for i := range objects {
		if o := &objects[i]; o.pattern.Match(c) {
			return o.describe(c)
		}
	}
	if int(c[0]) >= len(namesC) {
		return ""
	}
	var words []string
	switch {
	case c[0] == 1:
		words = describeElectricity(c)
	case namesC[c[0]][c[2]] != "":
		words = []string{mediumWord[c[0]] + " " + namesC[c[0]][c[2]]}
		if name := describeD(c); name != "" {
			words = append(words, name)
		}
		if t, ok := c.Tariff(); ok && t > 0 {
			words = append(words, "tariff "+strconv.Itoa(int(t)))
		}
	}
	if len(words) == 0 {
		return ""
	}
	if period, ok := c.BillingPeriod(); ok {
		words = append(words, "billing period "+strconv.Itoa(int(period)))
	}
	return strings.Join(words, ", ")
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

// describeElectricity returns the quantity with its phase, then what D and E add.
func describeElectricity(c Code) []string {
	index := c[2]
	if q := electricityQuantity(c[2]); q != 0 {
		index = q
	}
	name := namesC[1][index]
	if name == "" {
		return nil
	}
	if c[2] == 81 {
		return describeAngle(c)
	}
	integral := dimension[c[3]]&dimIntegral != 0
	if integral && !strings.HasPrefix(name, "power factor") {
		name = strings.Replace(name, " power", " energy", 1)
	}
	if p := c.Phase(); int(p) < len(phaseWord) && !strings.HasPrefix(name, "neutral") {
		name += phaseWord[p]
	}
	words := []string{name}
	t, rated := c.Tariff()
	switch {
	case rated && t > 0:
		words[0] += " tariff " + strconv.Itoa(int(t))
	case c[3] == 8 && c.Phase() == PhaseSum && rated:
		words[0] += " total"
	case c[3] == 7 && c[4] == 124:
		words = append(words, "total harmonic distortion")
	case c[3] == 7 && 1 <= c[4] && c[4] <= 120:
		words = append(words, "harmonic "+strconv.Itoa(int(c[4])))
	}
	if d := namesD[1][c[3]]; d != "" {
		words = append(words, d)
	}
	return words
}

// describeAngle names the angle from one signal to another: E = 10 × reference + target.
func describeAngle(c Code) []string {
	signal := [...]string{"U1", "U2", "U3", "", "I1", "I2", "I3", "I0"}
	from, to := int(c[4]/10), int(c[4]%10)
	if from >= len(signal) || to >= len(signal) || signal[from] == "" || signal[to] == "" {
		return []string{"angle"}
	}
	return []string{fmt.Sprintf("angle %s-%s", signal[to], signal[from])}
}

func (o *object) describe(c Code) string {
	if o.number == 0 || !strings.HasSuffix(o.name, " n") {
		return o.name
	}
	return strings.TrimSuffix(o.name, "n") + strconv.Itoa(int(c[o.number-'A']))
}
