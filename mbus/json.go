package mbus

import (
	"strconv"

	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/obis"
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

// Origin is what a record says of a reading besides its value, in memory of its own.
type Origin struct {
	octets                                []byte // the record's identity, and its data where they are not the value
	storage                               uint64
	qualifiers                            Qualifiers
	tariff                                uint32
	subunit                               uint16
	unit                                  obis.Unit
	id                                    uint16 // how many of the octets are the identity
	function                              Function
	quantity                              Quantity
	err                                   RecordError
	valued                                bool
	dibLen, unitChange, plainAt, plainLen uint8
}

// Origin appends the octets of the record that matter to dst, and returns what refers to them there.
func (r *Record) Origin(dst []byte) (Origin, []byte) {
	n := len(dst)
	dst = append(dst, r.ID...)
	valued := !r.Value.IsNone()
	if !valued {
		dst = append(dst, r.Data...)
	}
	return Origin{
		octets: dst[n:len(dst):len(dst)], storage: r.Storage, qualifiers: r.Qualifiers, tariff: r.Tariff, subunit: r.Subunit,
		unit: r.Unit, id: uint16(len(r.ID)), function: r.Function, quantity: r.Quantity, err: r.Error, valued: valued,
		dibLen: r.dibLen, unitChange: r.unitChange, plainAt: r.plainAt, plainLen: r.plainLen,
	}, dst
}

// AppendJSON appends what [Record.AppendJSON] does.
func (o *Origin) AppendJSON(dst []byte) []byte {
	r := Record{
		ID: o.octets[:o.id], Data: o.octets[o.id:], Storage: o.storage, Qualifiers: o.qualifiers, Tariff: o.tariff, Subunit: o.subunit,
		Unit: o.unit, Function: o.function, Quantity: o.quantity, Error: o.err,
		dibLen: o.dibLen, unitChange: o.unitChange, plainAt: o.plainAt, plainLen: o.plainLen,
	}
	if o.valued {
		r.Data = nil
	}
	return r.AppendJSON(dst)
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
