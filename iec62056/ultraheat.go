package iec62056

import (
	"bytes"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Landis+Gyr Ultraheat meters (identification "LUG…", UH50 and its relatives)
// number their registers by a list of their own. "6.8(…*GJ)" is heat energy,
// and would be reactive energy were it a reduced OBIS code. Registers whose
// meaning is public get a code; all others keep their id alone.

// isUltraheat recognises the meters by their identification.
func (id Identification) isUltraheat() bool { return id.flagID() == "LUG" }

// ultraheatCode returns the code of a register, with the "*nn" of stored values as F.
func ultraheatCode(id []byte) (c obis.Code, ok bool) {
	base, stored, isStored := bytes.Cut(id, []byte("*"))
	switch string(base) {
	case "6.8":
		c = obis.Code{6, 0, 1, 0, 0, obis.FCurrent} // heat energy
	case "6.26":
		c = obis.Code{6, 0, 2, 0, 0, obis.FCurrent} // volume
	default:
		return obis.Code{}, false
	}
	if isStored {
		if len(stored) != 2 || stored[0]-'0' > 9 || stored[1]-'0' > 9 {
			return obis.Code{}, false
		}
		c[5] = (stored[0]-'0')*10 + stored[1] - '0'
	}
	return c, true
}

// appendUltraheat appends the readings of a register. One pair of parentheses
// may hold several values with "&" between them: "9.4(098.5*C&096.1*C)".
func appendUltraheat(dst []obis.Reading, set *field.Set, source uint32) []obis.Reading {
	r := obis.Reading{RawID: set.ID, Source: source}
	if code, ok := ultraheatCode(set.ID); ok {
		r.Code, r.Rule = code, obis.RuleManufacturer
	}
	values := bytes.TrimPrefix(bytes.TrimSuffix(set.Values, []byte(")")), []byte("("))
	for more := true; more; {
		var value []byte
		value, values, more = bytes.Cut(values, []byte("&"))
		text, unit, hasUnit := bytes.Cut(value, []byte("*"))
		if !hasUnit {
			unit = nil
		}
		dst = append(dst, r)
		q := &dst[len(dst)-1]
		q.Value, q.Unit, q.Quality.Flags = field.Value(field.Text, text, unit)
		if q.Unit == obis.Coulomb {
			q.Unit = obis.Celsius // they write C for it
		}
	}
	return dst
}
