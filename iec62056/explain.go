package iec62056

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Note is told of each field: where it stands, how deep it is nested, what it is
// called, and what it means.
type Note = func(offset, length, depth int, field, meaning string)

// Explain calls note for each field of the first message of the protocol in b,
// and returns how many octets it took: call it again with the rest. What comes
// before a message is noted, as data sets where it is such, and returned alone.
// Where n is 0 and the error wraps [io.ErrUnexpectedEOF] nothing was noted and
// more octets are needed; [ExplainCut] takes what a capture ends with. A line of
// a readout that cannot be read is noted as such and ends nothing; with any
// other error the message was noted as far as it can be read, and n octets are
// behind it.
func Explain(b []byte, note Note) (n int, err error) {
	if len(b) == 0 {
		return 0, errMore
	}
	e := explainer{b, note}
	if n := begin(b); n > 0 {
		e.between(n)
		return n, nil
	}
	if b[0] == '/' && (len(b) < 2 || b[1] != '?') {
		n, err = e.identified()
	} else {
		n, err = e.message()
	}
	switch {
	case n > 0 || errors.Is(err, io.ErrUnexpectedEOF) && len(b) < maxExplained:
		return n, err
	case errors.Is(err, ErrChecksum):
		n = checked(err) + 1
		e.b = b[:n]
		e.broken()
	default:
		n = 1 + begin(b[1:])
		e.between(n)
	}
	return n, err
}

// maxExplained is how much is waited for the end of a message.
const maxExplained = 1 << 16

// ExplainCut explains what b holds of a message of which the end is missing.
func ExplainCut(b []byte, note Note) error {
	e := explainer{b, note}
	switch {
	case len(b) == 0:
	case b[0] == '/':
		if _, n, err := ParseIdentification(b); err == nil {
			e.identification(n)
			e.lines(n, len(b)-n, 0)
		}
	case b[0] == soh || b[0] == stx:
		e.broken()
	default:
		e.between(len(b))
	}
	return errMore
}

// begin returns where a message may begin, or the length of b.
func begin(b []byte) int {
	for i, c := range b {
		switch c {
		case '/', soh, stx, ack, nak, 0:
			return i
		}
	}
	return len(b)
}

type explainer struct {
	b    []byte
	note Note
}

// between notes the first n octets, which are no message: the middle of a
// readout perhaps.
func (e explainer) between(n int) {
	switch b := e.b[:n]; {
	case mostlyText(b) && hasDataSet(append(b[:n:n], '\n')):
		e.lines(0, n, 0)
	case len(bytes.Trim(b, "\x00\r\n ")) > 0:
		e.note(0, n, 0, "noise", "no message begins here")
	}
}

// message explains the message at the start and returns its length; on error
// nothing was noted.
func (e explainer) message() (int, error) {
	m, n, err := ParseMessage(e.b)
	if err != nil {
		return 0, err
	}
	taken, at := n, 0
	for e.b[at] == 0 {
		e.note(at, 1, 0, "NUL", "wake-up")
		at, n = at+1, n-1
	}
	switch m.Kind {
	case KindRequest:
		e.note(at, n, 0, "request", "sign-on")
		e.note(at+2, len(m.Address), 1, "device address", text(m.Address, "any device"))
	case KindIdentification:
		e.note(at, n, 0, "identification", "mode "+m.Identification.Mode().String())
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
func (e explainer) broken() {
	at := bytes.IndexByte(e.b, stx)
	if at != 0 && (at != 3 || e.b[0] != soh) {
		return
	}
	if at > 0 {
		e.note(0, 3, 0, "SOH", "programming command "+string(e.b[1:at]))
	}
	e.note(at, 1, 0, "STX", "start of data")
	end := bytes.IndexAny(e.b[at:], "\x03\x04")
	if end < 0 {
		end = len(e.b) - at
	}
	e.lines(at+1, end-1, 0)
}

// identification explains the first n octets, which are one.
func (e explainer) identification(n int) {
	id, _, _ := ParseIdentification(e.b)
	e.note(0, n, 0, "identification", "mode "+id.Mode().String())
	e.note(1, 3, 1, "manufacturer", fmt.Sprintf("%s, reaction time %v", id.Manufacturer[:], id.ReactionTime()))
	if id.Baud != 0 {
		e.note(4, 1, 1, "baud rate", fmt.Sprintf("%d baud", id.BaudRate()))
		e.note(5, len(id.Ident), 1, "identification", text(id.Ident, "none"))
	}
}

// identified explains an identification, and a bare data block behind it. On
// error nothing was noted.
func (e explainer) identified() (int, error) {
	b := e.b
	_, n, err := ParseIdentification(b)
	if err != nil {
		return 0, err
	}
	r, total, err := ParseReadout(b)
	switch {
	case errors.Is(err, errStart) || err == nil && r.Framed || errors.Is(err, ErrChecksum):
		e.identification(n) // the block is another message
		return n, nil
	case errors.Is(err, io.ErrUnexpectedEOF) && bytes.IndexByte(b[n:], stx) >= 0:
		e.identification(n)
		return n, nil
	case err != nil:
		return 0, err
	}
	e.identification(n)
	e.lines(r.offset, len(r.Data), 0)
	end := r.offset + len(r.Data)
	e.note(end, total-end, 0, "end", "end of the data block")
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
