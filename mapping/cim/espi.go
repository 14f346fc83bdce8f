package cim

import (
	"slices"
	"strconv"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// What ESPI, whose enumerations are those of IEC 61968-9, needs of the tables of
// this package.

// ESPIQualities returns flags as QualityOfReading, and the flags that have none
// of their own.
func ESPIQualities(f obis.Flags) (list []int32, left obis.Flags) {
	for _, q := range data().qualities {
		if f&q.flag == 0 || q.espi == 0 {
			continue
		}
		if !slices.Contains(list, q.espi) {
			list = append(list, q.espi)
		}
		if espiFlag(q.espi) != q.flag {
			left |= q.flag
		}
		f &^= q.flag
	}
	return list, left | f
}

// ESPIFlags returns what QualityOfReading says; values that are valid, or of
// which nothing bad is said, have no flag.
func ESPIFlags(list []int32) (f obis.Flags) {
	for _, n := range list {
		f |= espiFlag(n)
	}
	return f
}

func espiFlag(n int32) obis.Flags {
	for _, q := range data().qualities {
		if q.espi == n {
			return q.flag
		}
	}
	return 0
}

// UnitOf returns the unit of a UnitSymbolKind, and the power of ten from the
// unit of the model to it.
func UnitOf(number int32) (u obis.Unit, exp int) {
	if row := data().unitNumber(number); row != nil {
		return row.unit, row.exp
	}
	return obis.UnitUnknown, 0
}

// MeasuringPeriodOf returns the TimeAttributeKind of a number of seconds, 0 where there is none.
func MeasuringPeriodOf(seconds int32) int32 { return byKey(data().periods, seconds) }

// MediumOf returns the medium of a code: what its group A says or, for the M-Bus
// channel of a code 0-n:24.x.x, what the meter said in 0-n:24.1.0.
func MediumOf(d *mapping.Data, c obis.Code) obis.Medium {
	if c[0] != 0 || c[2] != 24 {
		return c.Medium()
	}
	kind := obis.Code{0, c[1], 24, 1, 0, obis.FCurrent}
	for i := range d.Readings {
		r := &d.Readings[i]
		if r.Code != kind {
			continue
		}
		n, _, ok := r.Value.Decimal()
		if !ok {
			if text, isText := r.Value.Bytes(); isText {
				parsed, err := strconv.ParseInt(string(text), 10, 64)
				n, ok = parsed, err == nil
			}
		}
		if m, known := mbusMedia[n]; ok && known {
			return m
		}
	}
	return obis.Unknown
}
