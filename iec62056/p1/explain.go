package p1

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Explain goes through a telegram, plain or encrypted, and calls note for each
// field as far as it can be read. A line that cannot be read is noted as such
// and ends nothing; a wrong CRC is noted and then returned as error.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	if len(b) > 0 && b[0] == tagGloCiphering {
		return explainEncrypted(b, note)
	}
	var t Telegram
	head, end, err := t.frame(b)
	if err != nil {
		if broken, salvageErr := Salvage(b); salvageErr == nil && len(b) > 0 && b[0] == '/' && err.(*ParseError).Err == io.ErrUnexpectedEOF {
			note(0, bytes.IndexByte(b, '\n')+1, 0, "identification", "of a telegram without end")
			explainLines(broken, note)
		}
		return err
	}
	version := "no version"
	t.setData(b, head, end)
	n, trailerErr := t.trailer(b, end)
	if v := t.Version(); v.Dialect != DialectUnknown {
		version = v.Dialect.String() + " " + v.Number
	}
	note(0, head, 0, "identification", version)
	note(1, 3, 1, "manufacturer", string(b[1:4]))
	note(4, 1, 1, "baud rate", fmt.Sprintf("%q", b[4:5]))
	note(5, len(t.Identification.Ident), 1, "identification", fmt.Sprintf("%q", t.Identification.Ident))
	explainLines(t, note)
	note(end, 1, 0, "end", "end of the lines")
	if trailerErr != nil {
		return trailerErr
	}
	if !t.Checked {
		note(end+1, n-end-1, 0, "CRC", "none")
		return nil
	}
	_, _, err = Parse(b)
	switch {
	case err == nil:
		note(end+1, n-end-1, 0, "CRC", fmt.Sprintf("%04X, correct", t.CRC))
	default:
		note(end+1, n-end-1, 0, "CRC", err.Error())
	}
	return err
}

func explainLines(t Telegram, note func(offset, length, depth int, field, meaning string)) {
	for d, err := range t.DataSets() {
		var pe *ParseError
		if errors.As(err, &pe) {
			note(d.Offset, len(d.ID)+len(d.Values), 0, "bad line", pe.Err.Error())
			continue
		}
		code, ok := field.Code(d.ID)
		meaning := "no OBIS code"
		if ok {
			meaning = code.String() + " " + obis.Describe(code)
		}
		note(d.Offset, len(d.ID)+len(d.Values), 0, "data set", string(d.ID))
		note(d.Offset, len(d.ID), 1, "id", meaning)
		rest := d.Values
		class := field.ClassOf(code)
		for text, unit, ok := field.Cut(&rest); ok; text, unit, ok = field.Cut(&rest) {
			at := d.Offset + len(d.ID) + len(d.Values) - len(rest) - 1 - len(text)
			if unit != nil {
				at -= 1 + len(unit)
			}
			note(at, len(text), 1, "value", explainValue(class, text, unit))
			if unit != nil {
				u, exp := field.Unit(unit)
				note(at+len(text)+1, len(unit), 1, "unit", fmt.Sprintf("%v × 10^%d", u, exp))
			}
		}
	}
}

func explainValue(class field.Class, text, unit []byte) string {
	if t, ok := field.ParseTime(text); ok && len(text) == stampLen {
		season := "winter"
		if t.Status&obis.TimeDST != 0 {
			season = "summer"
		}
		return t.String() + " " + season + " time"
	}
	if isUnspecified(text) {
		return "no time"
	}
	v, _, _ := field.Value(class, text, unit)
	if s, ok := new(Decoder).unhex(text); ok && class == field.Text {
		return fmt.Sprintf("text %q, if hexadecimal %q", text, s)
	}
	return fmt.Sprintf("%v %q", v.Kind(), text)
}

func explainEncrypted(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	e, n, err := ParseEncrypted(b)
	if err != nil {
		return err
	}
	at := n - len(e.Tag) - len(e.Ciphertext) - 5
	note(0, n, 0, "general-glo-ciphering", "telegram within a DLMS APDU")
	note(2, 8, 1, "system title", fmt.Sprintf("%X", e.SystemTitle))
	note(10, at-10, 1, "length", fmt.Sprint(n-at))
	note(at, 1, 1, "security control", fmt.Sprintf("0x%02X", e.SecurityControl))
	note(at+1, 4, 1, "invocation counter", fmt.Sprint(e.InvocationCounter))
	note(at+5, len(e.Ciphertext), 1, "ciphertext", fmt.Sprintf("%d octets", len(e.Ciphertext)))
	if len(e.Tag) > 0 {
		note(n-len(e.Tag), len(e.Tag), 1, "authentication tag", fmt.Sprintf("%X", e.Tag))
	}
	return nil
}
