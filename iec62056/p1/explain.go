package p1

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Note is told of each field: where it stands, how deep it is nested, what it is
// called, and what it means.
type Note = func(offset, length, depth int, field, meaning string)

// Explain calls note for each field of the first telegram in b, plain or
// encrypted, and returns how many octets it took: call it again with the rest.
// What comes before a telegram is noted and returned alone. Where n is 0 and the
// error wraps [io.ErrUnexpectedEOF] nothing was noted and more octets are
// needed; [ExplainCut] takes what a capture ends with. A line that cannot be
// read is noted as such and ends nothing; with any other error the telegram was
// noted as far as it can be read, and n octets are behind it.
func Explain(b []byte, note Note) (n int, err error) {
	if len(b) == 0 {
		return 0, errMore
	}
	if n := start(b); n > 0 {
		noise(b[:n], note)
		return n, nil
	}
	b = plainText(b)
	again, begun := field.Restart(b)
	switch {
	case again > 0 && b[0] == '/' && begun:
		return again, explainUnended(b[:again], note)
	case again > 0 && b[0] == '/':
		noise(b[:again], note)
		return again, nil
	case b[0] == tagGloCiphering:
		n, err = explainEncrypted(b, note)
	default:
		n, err = explainTelegram(b, note)
	}
	if n > 0 || errors.Is(err, io.ErrUnexpectedEOF) && again == 0 {
		return n, err
	}
	n = 1 + start(b[1:])
	noise(b[:n], note)
	if !begun {
		err = nil
	}
	return n, err
}

// ExplainCut explains what b holds of a telegram of which the end is missing.
func ExplainCut(b []byte, note Note) error {
	if len(b) == 0 || b[0] != '/' && b[0] != slash {
		return errMore
	}
	if err := explainUnended(plainText(b), note); err != errNoEnd {
		return err
	}
	return errMore
}

func explainUnended(b []byte, note Note) error {
	t, err := Salvage(b)
	if err != nil {
		return err
	}
	note(0, bytes.IndexByte(b, '\n')+1, 0, "identification", "of a telegram without end")
	explainLines(t, note)
	return errNoEnd
}

// plainText returns b without the parity bits of a telegram that begins with one.
func plainText(b []byte) []byte {
	if b[0] != slash {
		return b
	}
	b = bytes.Clone(b[:min(len(b), maxTelegram)])
	iec62056.StripParity(b)
	return b
}

// noise notes what stands between telegrams, unless it is blank.
func noise(b []byte, note Note) {
	if len(bytes.Trim(b, "\x00\r\n ")) > 0 {
		note(0, len(b), 0, "noise", "no telegram begins here")
	}
}

// explainTelegram explains a telegram that has an end. A wrong CRC is noted and
// then returned as error. Where n is 0 nothing was noted.
func explainTelegram(b []byte, note Note) (n int, err error) {
	var t Telegram
	head, end, err := t.frame(b)
	if err != nil {
		return 0, err
	}
	if n, err = t.trailer(b, end); err != nil {
		return 0, err
	}
	t.setData(b, head, end)
	_, _, err = Parse(b)
	version := "no version"
	if v := t.Version(); v.Dialect != DialectUnknown {
		version = v.Dialect.String() + " " + v.Number
	}
	note(0, head, 0, "identification", version)
	note(1, 3, 1, "manufacturer", string(b[1:4]))
	if t.Identification.Baud != 0 {
		note(4, 1, 1, "baud rate", fmt.Sprintf("%q", b[4:5]))
		note(5, len(t.Identification.Ident), 1, "identification", fmt.Sprintf("%q", t.Identification.Ident))
	}
	explainLines(t, note)
	note(end, 1, 0, "end", "end of the lines")
	switch {
	case !t.Checked:
		note(end+1, n-end-1, 0, "CRC", "none")
	case err == nil:
		note(end+1, n-end-1, 0, "CRC", fmt.Sprintf("%04X, correct", t.CRC))
	default:
		note(end+1, n-end-1, 0, "CRC", err.Error())
	}
	return n, err
}

func explainLines(t Telegram, note Note) {
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
	if s, ok := new(Decoder).unhex(text, isMessageText); ok && class == field.Text {
		return fmt.Sprintf("text %q, if hexadecimal %q", text, s)
	}
	return fmt.Sprintf("%v %q", v.Kind(), text)
}

func explainEncrypted(b []byte, note Note) (n int, err error) {
	e, n, err := ParseEncrypted(b)
	if err != nil {
		return 0, err
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
	return n, nil
}
