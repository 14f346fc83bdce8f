package cim

import (
	"slices"
	"strconv"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// What ESPI, whose enumerations are those of IEC 61968-9, needs of the tables of
// this package.

// ESPIQualities returns flags as QualityOfReading, and the flags that are not
// read back from it. A flag with which a value is not to be trusted, and which
// ESPI does not have, goes as 10, failed a check.
func ESPIQualities(f obis.Flags) (list []int32, left obis.Flags) {
	if f == 0 {
		return nil, 0
	}
	var back obis.Flags
	for _, q := range data().qualities {
		if f&q.flag == 0 || q.espi < 0 || slices.Contains(list, q.espi) {
			continue
		}
		list = append(list, q.espi)
		flags, _ := ESPIFlags(q.espi)
		back |= flags
	}
	return list, f &^ back
}

// ESPIFlags returns what a QualityOfReading says, and what of it the flags do not say.
func ESPIFlags(number int32) (f obis.Flags, unsaid string) {
	for i := range data().espi {
		if q := &data().espi[i]; q.number == number {
			return q.flags, q.unsaid
		}
	}
	return obis.Questionable, "what it means"
}

// UnitOf returns the unit of a UnitSymbolKind, and the power of ten from the
// unit of the model to it.
func UnitOf(number int32) (u obis.Unit, exp int) {
	if row := data().unitNumber(number); row != nil {
		return row.unit, row.exp
	}
	return obis.UnitUnknown, 0
}

// UnitNumber returns the UnitSymbolKind of a unit, 0 where it has none, and the
// power of ten from the unit to it.
func UnitNumber(u obis.Unit) (number int32, exp int) {
	if row := data().unit(u); row != nil {
		return row.number, row.exp
	}
	return 0, 0
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

// ServiceOf returns the ServiceKind of a commodity or, where it has none, that of
// a meter's medium; 0 where that has none either.
func ServiceOf(commodity int32, m obis.Medium) int {
	for _, s := range data().services {
		if s.key == commodity {
			return int(s.number)
		}
	}
	if row := data().medium(m); row != nil {
		return int(row.service)
	}
	return 0
}

// MediumOfService returns the medium of a ServiceKind.
func MediumOfService(kind int) obis.Medium {
	for _, m := range data().media {
		if int(m.service) == kind {
			return m.medium
		}
	}
	return obis.Unknown
}

// MediumLost says what neither commodity nor service say of a medium, "" where they say all.
func MediumLost(m obis.Medium) string {
	if row := data().medium(m); row != nil {
		return row.lost
	}
	return ""
}
