package mbus

import (
	"strconv"

	"github.com/openusm/meter/internal/jsontext"
)

// AppendJSON appends what M-Bus knows of a record beside its reading, as a JSON
// object: function, storage, tariff and subunit numbers, DIB and VIB and, where
// they say something, quantity, unit as text that the model does not have,
// qualifiers, why the meter has no value, and the octets that give none.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(append(append(dst, `{"function":"`...), r.Function.String()...), `","storage":`...)
	dst = strconv.AppendUint(dst, r.Storage, 10)
	dst = strconv.AppendUint(append(dst, `,"tariff":`...), uint64(r.Tariff), 10)
	dst = strconv.AppendUint(append(dst, `,"subunit":`...), uint64(r.Subunit), 10)
	dst = appendHex(append(dst, `,"dib":`...), r.DIB())
	dst = appendHex(append(dst, `,"vib":`...), r.VIB())
	if q := r.Quantity.String(); q != "" {
		dst = jsontext.AppendString(append(dst, `,"quantity":`...), q)
	}
	if r.plainLen > 0 || r.unitChange != 0 {
		if text := r.UnitText(); text != r.Unit.String() && text != "" {
			dst = jsontext.AppendString(append(dst, `,"unit":`...), text)
		}
	}
	if r.Qualifiers != 0 {
		var names [8]string
		dst = append(dst, `,"qualifiers":[`...)
		for i, name := range r.Qualifiers.Names(names[:0]) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsontext.AppendString(dst, name)
		}
		dst = append(dst, ']')
	}
	if r.Error != 0 {
		dst = jsontext.AppendString(append(dst, `,"error":`...), r.Error.String())
	}
	if r.Value.IsNone() && len(r.Data) > 0 {
		dst = appendHex(append(dst, `,"data":`...), r.Data)
	}
	return append(dst, '}')
}

// appendHex appends octets as a string of hexadecimal digits.
func appendHex(dst, b []byte) []byte {
	const digits = "0123456789ABCDEF"
	dst = append(dst, '"')
	for _, c := range b {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return append(dst, '"')
}
