package ied

import (
	"fmt"

	"github.com/openusm/meter/obis"
)

//go:generate go run ../../internal/gen/ied -out .

// rule says where the codes of a pattern go.
type rule struct {
	codes   obis.Pattern
	class   string
	object  string
	phase   string // "" where the object is not by phase
	cdc     string
	unit    uint8
	reverse bool // the object counts the other direction
}

// find returns the rule of a code and its number, -1 where there is none.
func find(c obis.Code) int {
	for i := range rules {
		if rules[i].codes.Match(c) {
			return i
		}
	}
	return -1
}

// instance names what tells codes apart that share an object: channel, quantity
// and processing beyond the object's own, tariff, billing period.
func instance(c obis.Code) string {
	e, f := c[4], c[5]
	return fmt.Sprintf("%03d.%03d.%03d.%03d", c[1], f^0xFF, e, c[3])
}

// dimensionless is the SIUnit of numbers without unit.
const dimensionless = 1

// siUnits are the units of the model that readings have.
var siUnits = map[obis.Unit]uint8{
	obis.Ampere: 5, obis.Degree: 9, obis.Celsius: 23, obis.Volt: 29, obis.Hertz: 33, obis.Watt: 38, obis.CubicMetre: 42,
	obis.CubicMetrePerSecond: 45, obis.VoltAmpere: 61, obis.Var: 63, obis.VoltAmpereHour: 71, obis.WattHour: 72, obis.VarHour: 73,
	obis.Count: dimensionless, obis.Second: 4, obis.Kelvin: 6, obis.Joule: 31, obis.Pascal: 39, obis.Percent: dimensionless,
}
