package iec62056

import (
	"bytes"
	"fmt"
	"io"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Explain goes through messages of the protocol, one behind the other, and
// calls note for each field as far as they can be read. It returns the error of
// the first that cannot; a line of a readout that cannot be read is noted as
// such and ends nothing.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	e := explainer{b, note}
	for at := 0; at < len(b); {
		n, err := e.message(at)
		if err != nil {
			if pe, ok := err.(*ParseError); ok {
				pe.Offset += at
			}
			return err
		}
		at += n
	}
	return nil
}

type explainer struct {
	b    []byte
	note func(offset, length, depth int, field, meaning string)
}

// message explains what is at the offset and returns its length.
func (e explainer) message(at int) (int, error) {
	b := e.b[at:]
	if b[0] == '/' && (len(b) < 2 || b[1] != '?') {
		return e.identified(at)
	}
	m, n, err := ParseMessage(b)
	if err != nil {
		e.broken(at)
		return 0, err
	}
	taken := n
	for e.b[at] == 0 {
		e.note(at, 1, 0, "NUL", "wake-up")
		at, n = at+1, n-1
	}
	switch m.Kind {
	case KindRequest:
		e.note(at, n, 0, "request", "sign-on")
		e.note(at+2, len(m.Address), 1, "device address", text(m.Address, "any device"))
	case KindOption:
		e.option(at, m.Option)
	case KindAck:
		e.note(at, n, 0, "ACK", "acknowledged")
	case KindNak:
		e.note(at, n, 0, "NAK", "repeat")
	case KindCommand:
		e.command(at, n, m)
	case KindData:
		e.note(at, 1, 0, "STX", "start of data")
		e.lines(at+1, len(m.Data), 0)
		e.trailer(at+n-2, m.Partial)
	}
	return taken, nil
}

// broken explains the lines of a block that has no end, or a wrong check.
func (e explainer) broken(at int) {
	start := bytes.IndexByte(e.b[at:], stx)
	if start != 0 && (start != 3 || e.b[at] != soh) {
		return
	}
	if start > 0 {
		e.note(at, 3, 0, "SOH", "programming command "+string(e.b[at+1:at+start]))
	}
	e.note(at+start, 1, 0, "STX", "start of data")
	end := bytes.IndexAny(e.b[at+start:], "\x03\x04")
	if end < 0 {
		end = len(e.b) - at - start
	}
	e.lines(at+start+1, end-1, 0)
}

// identified explains an identification, and a bare data block behind it.
func (e explainer) identified(at int) (int, error) {
	b := e.b[at:]
	id, n, err := ParseIdentification(b)
	if err != nil {
		return 0, err
	}
	e.note(at, n, 0, "identification", "mode "+id.Mode().String())
	e.note(at+1, 3, 1, "manufacturer", fmt.Sprintf("%s, reaction time %v", id.Manufacturer[:], id.ReactionTime()))
	if id.Baud != 0 {
		e.note(at+4, 1, 1, "baud rate", fmt.Sprintf("%d baud", id.BaudRate()))
		e.note(at+5, len(id.Ident), 1, "identification", text(id.Ident, "none"))
	}
	next := n
	for next < len(b) && (b[next] == '\r' || b[next] == '\n') {
		next++
	}
	if next == n && (next == len(b) || b[next] <= ' ' || b[next] == '/') {
		return n, nil
	}
	r, total, err := ParseReadout(b)
	if err != nil {
		e.lines(at+next, len(b)-next, 0)
		return 0, err
	}
	if r.Framed {
		return n, nil
	}
	e.lines(at+r.offset, len(r.Data), 0)
	end := at + r.offset + len(r.Data)
	e.note(end, at+total-end, 0, "end", "end of the data block")
	return total, nil
}

func (e explainer) option(at int, o Option) {
	rate, _ := BaudRate(o.Baud)
	e.note(at, 6, 0, "option select", "ACK")
	e.note(at+1, 1, 1, "protocol control", choice(o.Protocol, "normal", "secondary", "HDLC"))
	e.note(at+2, 1, 1, "baud rate", fmt.Sprintf("%d baud", rate))
	e.note(at+3, 1, 1, "mode control", choice(o.Mode, "data readout", "programming mode", "binary mode (HDLC)"))
}

func choice(c byte, names ...string) string {
	if i := int(c) - '0'; i >= 0 && i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%q, manufacturer specific or reserved", c)
}

func (e explainer) command(at, n int, m Message) {
	e.note(at, n, 0, "SOH", "programming command")
	e.note(at+1, 2, 1, "command", fmt.Sprintf("%s: %s", m.Command[:], commandName(m.Command)))
	if m.HasData {
		e.note(at+3, 1, 1, "STX", "start of data")
		e.lines(at+4, len(m.Data), 1)
	}
	e.trailer(at+n-2, m.Partial)
}

func commandName(c [2]byte) string {
	names := map[byte]string{'P': "password", 'R': "read", 'W': "write", 'E': "execute", 'B': "exit (break)"}
	name := names[c[0]]
	if name == "" {
		return "manufacturer specific"
	}
	switch {
	case c[0] == 'P' && c[1] == '0':
		name = "operand for the secure algorithm"
	case c[0] == 'P' && c[1] == '2':
		name = "result of the secure algorithm"
	case c[0] == 'R' && c[1] == '5', c[0] == 'W' && c[1] == '5':
		name += " (national or profile format)"
	case c[0] == 'R' && c[1] == '6':
		name += " in partial blocks"
	case (c[0] == 'R' || c[0] == 'W') && c[1] == '2':
		name += " formatted"
	case (c[0] == 'R' || c[0] == 'W') && (c[1] == '3' || c[1] == '4'):
		name += " in partial blocks"
	}
	return name
}

func (e explainer) trailer(at int, partial bool) {
	if partial {
		e.note(at, 1, 0, "EOT", "end of block, more follow")
	} else {
		e.note(at, 1, 0, "ETX", "end of text")
	}
	e.note(at+1, 1, 0, "BCC", fmt.Sprintf("0x%02x, correct", e.b[at+1]&0x7F))
}

// lines explains data sets.
func (e explainer) lines(at, length, depth int) {
	s := newScanner(e.b[at:at+length], at)
	for {
		d, err := s.next()
		switch {
		case err == io.EOF:
			return
		case err != nil && string(d.Values) == "!":
			e.note(d.Offset, 1, depth, "end", "end of the data block")
		case err != nil:
			e.note(d.Offset, len(d.ID)+len(d.Values), depth, "bad line", err.(*ParseError).Err.Error())
		default:
			e.dataSet(d, depth)
		}
	}
}

func (e explainer) dataSet(d DataSet, depth int) {
	code := obis.Code{}
	meaning := "no OBIS code"
	if id, err := obis.ParseBytes(d.ID); err == nil {
		code = id.Code
		meaning = code.String()
		if name := obis.Describe(code); name != "" {
			meaning += " " + name
		}
	}
	e.note(d.Offset, len(d.ID)+len(d.Values), depth, "data set", string(d.ID))
	e.note(d.Offset, len(d.ID), depth+1, "id", meaning)
	class := field.ClassOf(code)
	rest := d.Values
	for f, ok := cutField(&rest); ok; f, ok = cutField(&rest) {
		end := d.Offset + len(d.ID) + len(d.Values) - len(rest)
		size := len(f.Text) + 2
		if f.Unit != nil {
			size += 1 + len(f.Unit)
		}
		at := end - size
		var r obis.Reading
		f.fill(&r, class)
		e.note(at+1, len(f.Text), depth+1, "value", r.Value.Kind().String()+" "+text(f.Text, "empty"))
		if f.Unit != nil {
			unit, exp := field.Unit(f.Unit)
			e.note(at+2+len(f.Text), len(f.Unit), depth+1, "unit", fmt.Sprintf("%v × 10^%d", unit, exp))
		}
	}
}

func text(b []byte, empty string) string {
	if len(b) == 0 {
		return empty
	}
	return fmt.Sprintf("%q", b)
}
