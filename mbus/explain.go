package mbus

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/openusm/meter/mbus/link"
)

// Note is told of each field of a message: where it stands, how deep it is
// nested, what it is called, and what it means.
type Note = func(offset, length, depth int, field, meaning string)

// ExplainFrame explains the first frame of a wired bus in b, its link layer and
// within that its application layer, and returns how many octets it took: call it
// again with the rest. What comes before a frame is noted and returned alone.
// Where n is 0 and the error wraps [io.ErrUnexpectedEOF] nothing was noted and
// more octets are needed; [link.Explain] takes what a capture ends with. With any
// other error the frame was noted as far as it can be read, and n octets are
// behind it.
func (d *Decoder) ExplainFrame(b []byte, note Note) (n int, err error) {
	f, n, err := link.Parse(b)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return 0, err
	case err != nil:
		return link.ExplainDamaged(b, note)
	case len(f.Payload) == 0:
		return n, link.Explain(b, note)
	}
	var inner error
	err = link.Explain(b, func(offset, length, depth int, field, meaning string) {
		if field != "payload" {
			note(offset, length, depth, field, meaning)
			return
		}
		inner = d.Explain(f.Payload, Lower{}, func(o, l, dep int, field, meaning string) {
			note(offset+o, l, depth+dep, field, meaning)
		})
		var pe *ParseError
		if errors.As(inner, &pe) {
			pe.Offset += offset
		}
	})
	if err == nil {
		err = inner
	}
	return n, err
}

// Explain calls all for each field of a telegram from the CI field on, in wire
// order, as far as it can be read, and returns the error where it broke. Of an
// encrypted telegram the fields of the plain text are noted at the places of the
// encrypted octets; those of a compact frame, whose headers are not in it, are not.
func (d *Decoder) Explain(b []byte, lower Lower, all Note) error {
	t, err := d.Parse(b, lower)
	if len(b) == 0 {
		return err
	}
	note := func(offset, length, depth int, field, meaning string) {
		if length > 0 {
			all(offset, length, depth, field, meaning)
		}
	}
	note(0, 1, 0, "CI", named(t.CI.String(), fmt.Sprintf("0x%02x", b[0])))
	at := 1
	if t.CI != CI(b[0]) { // the header could not be read
		return err
	}
	if t.Content == ContentFixed {
		explainFixed(&t, b, note)
		return err
	}
	at = explainHeader(&t.Header, at, note)
	if t.Security.Mode != 0 {
		if err == nil {
			at = t.start
		}
		if extra := at - headerLen(t.Header.Form); extra > 0 {
			note(headerLen(t.Header.Form), extra, 1, "configuration extension", modeName(t.Security.Mode))
		}
	}
	switch {
	case err != nil && (t.Security.Mode != 0 || errors.As(err, new(*SecurityError))):
		note(at, len(b)-at, 1, "payload", err.Error())
	case t.Content == ContentCompact:
		if len(t.Payload) >= 4 {
			note(at, 2, 1, "format signature", hex.EncodeToString(t.Payload[:2]))
			note(at+2, 2, 1, "CRC of the full frame", hex.EncodeToString(t.Payload[2:4]))
			note(at+4, len(b)-at-4, 1, "data", recordsText(&t))
		}
	case t.Content == ContentRecords || t.Content == ContentCommand:
		explainRecords(&t, b, at, note)
		if err == nil {
			err = t.Broken
		}
	case len(b) > at:
		note(at, len(b)-at, 1, t.Content.String(), explainPayload(&t))
	}
	return err
}

func named(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// headerLen is where a header of a form ends, counted from the CI field.
func headerLen(form HeaderForm) int {
	switch form {
	case HeaderShort:
		return 1 + shortHeaderLen
	case HeaderLong:
		return 1 + longHeaderLen
	}
	return 1
}

// explainHeader notes the header at offset at and returns where it ends.
func explainHeader(h *Header, at int, note Note) int {
	if h.Form == HeaderNone {
		return at
	}
	if h.Form == HeaderLong {
		note(at, 4, 1, "ID", fmt.Sprintf("%08X", h.Address.ID))
		note(at+4, 2, 1, "manufacturer", h.Address.Manufacturer.String())
		note(at+6, 1, 1, "version", fmt.Sprint(h.Address.Version))
		note(at+7, 1, 1, "device type", named(h.Address.Type.String(), "reserved"))
		at += 8
	}
	note(at, 1, 1, "access number", fmt.Sprint(h.Access))
	note(at+1, 1, 1, "status", statusText(h.Status))
	note(at+2, 2, 1, "configuration", fmt.Sprintf("mode %d (%s)", h.Config.Mode(), modeName(h.Config.Mode())))
	return at + 4
}

// statusText names the bits of a status octet.
func statusText(s byte) string {
	var words []string
	switch s & statusApplication {
	case StatusBusy:
		words = append(words, "application busy")
	case StatusError:
		words = append(words, "application error")
	case StatusAlarm:
		words = append(words, "alarm")
	}
	for _, bit := range []struct {
		mask byte
		name string
	}{{StatusLowPower, "low power"}, {StatusPermanent, "permanent error"}, {StatusTemporary, "temporary error"}} {
		if s&bit.mask != 0 {
			words = append(words, bit.name)
		}
	}
	if s&0xE0 != 0 {
		words = append(words, fmt.Sprintf("manufacturer bits 0x%02x", s&0xE0))
	}
	if len(words) == 0 {
		return "no error"
	}
	return strings.Join(words, ", ")
}

func explainFixed(t *Telegram, b []byte, note Note) {
	if len(t.Records) != 2 {
		return
	}
	note(1, 4, 1, "ID", fmt.Sprintf("%08X", t.Header.Address.ID))
	note(5, 1, 1, "access number", fmt.Sprint(b[5]))
	note(6, 1, 1, "status", statusText(t.Header.Status))
	note(7, 2, 1, "medium and units", named(t.Header.Address.Type.String(), "reserved"))
	for i := range t.Records {
		note(9+4*i, 4, 1, fmt.Sprintf("counter %d", i+1), recordText(&t.Records[i]))
	}
	if len(b) > 1+fixedLen {
		note(1+fixedLen, len(b)-1-fixedLen, 1, "rest", "behind the fixed data structure")
	}
}

// explainRecords notes the records from b[at:] on.
func explainRecords(t *Telegram, b []byte, at int, note Note) {
	for i := range t.Records {
		r := &t.Records[i]
		start := r.Offset
		if start > at {
			note(at, start-at, 1, "filler", "")
		}
		note(start, int(r.dibLen), 1, "DIB", dibText(r))
		at = start + int(r.dibLen)
		if n := len(r.ID) - int(r.dibLen); n > 0 {
			note(at, n, 1, "VIB", vibText(r))
			at += n
		}
		if r.variable && at < len(b) {
			note(at, 1, 1, "LVAR", fmt.Sprintf("%d octets", len(r.Data)))
			at++
		}
		if len(r.Data) > 0 {
			note(at, len(r.Data), 1, "data", recordText(r))
			at += len(r.Data)
		}
	}
	if end := t.start + len(t.Payload); at < end && t.Broken == nil {
		note(at, end-at, 1, "filler", "")
		at = end
	}
	if at < len(b) && t.Broken == nil {
		note(at, len(b)-at, 1, "tag", "message authentication code")
	}
}

func dibText(r *Record) string {
	return fmt.Sprintf("%s, storage %d, tariff %d, subunit %d", r.Function, r.Storage, r.Tariff, r.Subunit)
}

func vibText(r *Record) string {
	words := []string{named(r.Quantity.String(), "reserved")}
	words = r.Qualifiers.Names(words)
	if u := r.UnitText(); u != "" {
		words = append(words, "in "+u)
	}
	return strings.Join(words, ", ")
}

func recordText(r *Record) string {
	switch {
	case r.Error != 0:
		return "no value: " + r.Error.String()
	case r.Value.IsNone():
		return "invalid"
	}
	return strings.TrimSpace(r.Value.String() + " " + r.UnitText())
}

func recordsText(t *Telegram) string {
	words := make([]string, len(t.Records))
	for i := range t.Records {
		words[i] = recordText(&t.Records[i])
	}
	return strings.Join(words, "; ")
}

func explainPayload(t *Telegram) string {
	if e, ok := t.AppError(); ok {
		return e.Error()
	}
	if a, ok := t.Alarm(); ok {
		return fmt.Sprintf("alarm bits 0x%02x", a)
	}
	return t.Content.String()
}
