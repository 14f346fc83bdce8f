package coap

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// ParseWritten reads what a client writes to the resource of a reading: one value in any of
// the formats that the resource has. Unit is that of the reading, in which a number without a
// unit is, as the resource shows it; where it is unknown, the number has the unit it says.
// Texts that are times with a zone are times. It fails with [ErrBadRequest], or with
// [ErrNotAcceptable] for a format that the resource does not have.
func ParseWritten(body []byte, f Format, code obis.Code, unit obis.Unit) (obis.Value, obis.Unit, error) {
	var d *mapping.Data
	var err error
	switch f {
	case Text, AnyFormat:
		return parseText(body, unit)
	case SenMLJSON:
		d, _, err = ParseSenML(body)
	case SenMLCBOR:
		d, _, err = ParseSenMLCBOR(body)
	default:
		return obis.Value{}, unit, fmt.Errorf("%w: %v", ErrNotAcceptable, f)
	}
	switch {
	case err != nil:
		return obis.Value{}, unit, fmt.Errorf("%w: %w", ErrBadRequest, err)
	case len(d.Readings) != 1 || len(d.Profiles) > 0:
		return obis.Value{}, unit, fmt.Errorf("%w: want one record", ErrBadRequest)
	}
	r := &d.Readings[0]
	switch {
	case r.Code.Valid() && r.Code != code:
		return obis.Value{}, unit, fmt.Errorf("%w: a record of %v", ErrBadRequest, r.Code)
	case r.Value.Kind() == obis.KindText:
		text, _ := r.Value.Bytes()
		return textOrTime(text), unit, nil
	case r.Unit == obis.UnitUnknown:
		v, ok := r.Value.Shift(written()[unit].exp)
		if !ok {
			v = r.Value
		}
		return v, unit, nil
	case unit != obis.UnitUnknown && r.Unit != unit:
		return obis.Value{}, unit, fmt.Errorf("%w: a value in %v, want %v", ErrBadRequest, r.Unit, unit)
	}
	return r.Value, r.Unit, nil
}

// parseText reads a value as plain text shows it.
func parseText(body []byte, unit obis.Unit) (obis.Value, obis.Unit, error) {
	text := strings.TrimSpace(string(body))
	switch {
	case !utf8.ValidString(text) || text == "":
		return obis.Value{}, unit, fmt.Errorf("%w: no text", ErrBadRequest)
	case text == "true", text == "false":
		return obis.Bool(text == "true"), unit, nil
	}
	if v, ok := obis.ParseNumber([]byte(text)); ok {
		if v, ok = v.Shift(written()[unit].exp); ok {
			return v, unit, nil
		}
	}
	if unit != obis.UnitUnknown {
		return obis.Value{}, unit, fmt.Errorf("%w: no number", ErrBadRequest)
	}
	return textOrTime([]byte(text)), unit, nil
}

// textOrTime returns a time with a zone as one, other texts as they are.
func textOrTime(text []byte) obis.Value {
	if t, err := obis.ParseTime(string(text)); err == nil {
		if _, ok := t.Instant(obis.Clock{}); ok {
			return obis.Moment(t)
		}
	}
	return obis.Text(text)
}
