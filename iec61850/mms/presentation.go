package mms

import (
	"bytes"
	"fmt"

	"github.com/openusm/meter/internal/ber"
)

// Object identifiers, as the contents of their encoding.
var (
	oidACSE     = []byte{0x52, 0x01, 0x00, 0x01}       // 2.2.1.0.1
	oidMMS      = []byte{0x28, 0xCA, 0x22, 0x02, 0x01} // 1.0.9506.2.1
	oidBER      = []byte{0x51, 0x01}                   // 2.1.1
	oidMMSAnnex = []byte{0x28, 0xCA, 0x22, 0x02, 0x03} // 1.0.9506.2.3, the application context
	oidPassword = []byte{0x52, 0x03, 0x01}             // 2.2.3.1, the authentication mechanism
)

// Contexts are the numbers that the caller gave the presentation contexts, in the order of its proposal.
type Contexts struct {
	ACSE, MMS int64
	Count     int     // proposed contexts
	At        [8]bool // which of the first are ACSE or MMS
}

// The contexts that this library proposes as a caller.
var proposed = Contexts{ACSE: 1, MMS: 3, Count: 2, At: [8]bool{true, true}}

// Presentation is a connect PDU, CP or CPA.
type Presentation struct {
	Accept   bool // CPA rather than CP
	Calling  []byte
	Called   []byte // of CP; in a CPA the responding selector
	Contexts Contexts
	Data     []byte // of the ACSE context; aliases the input
}

// ParsePresentation reads a CP or, where accept, a CPA, which takes all of b.
func ParsePresentation(b []byte, accept bool) (Presentation, error) {
	p, err := parsePresentation(b, accept)
	if err != nil {
		return Presentation{}, layered("presentation", err)
	}
	return p, nil
}

func parsePresentation(b []byte, accept bool) (p Presentation, err error) {
	p.Accept = accept
	r := ber.NewReader(b)
	set, err := r.Want(0x31, "PPDU")
	if err != nil {
		return p, err
	}
	r = set.Reader()
	for r.More() {
		e, err := r.Next("mode")
		if err != nil {
			return p, err
		}
		if e.Tag == 0xA2 {
			if err := p.parseParameters(e); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func (p *Presentation) parseParameters(e ber.Element) error {
	r := e.Reader()
	for r.More() {
		e, err := r.Next("parameters")
		if err != nil {
			return err
		}
		switch e.Tag {
		case 0x81:
			p.Calling = e.Contents
		case 0x82, 0x83:
			p.Called = e.Contents
		case 0xA4:
			if err := p.Contexts.parse(e); err != nil {
				return err
			}
		case 0x61:
			if _, p.Data, err = parsePDV(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Contexts) parse(list ber.Element) error {
	r := list.Reader()
	for r.More() {
		item, err := r.Want(0x30, "context")
		if err != nil {
			return err
		}
		in := item.Reader()
		id, err := in.Want(0x02, "context identifier")
		if err != nil {
			return err
		}
		number, err := id.Int("context identifier")
		if err != nil {
			return err
		}
		syntax, err := in.Want(0x06, "abstract syntax")
		if err != nil {
			return err
		}
		if c.Count == len(c.At) {
			return &ber.Error{Field: "contexts", Offset: item.Offset, Err: ErrTooLong}
		}
		switch {
		case bytes.Equal(syntax.Contents, oidACSE):
			c.ACSE, c.At[c.Count] = number, true
		case bytes.Equal(syntax.Contents, oidMMS):
			c.MMS, c.At[c.Count] = number, true
		}
		c.Count++
	}
	return nil
}

// Append appends the CP or CPA.
func (p Presentation) Append(dst []byte) []byte {
	dst, set := ber.Open(dst, 0x31)
	dst = append(dst, 0xA0, 3, 0x80, 1, 1)
	dst, params := ber.Open(dst, 0xA2)
	if p.Accept {
		dst = ber.Append(dst, 0x83, p.Called)
		var list int
		dst, list = ber.Open(dst, 0xA5)
		for i := range p.Contexts.Count {
			if p.Contexts.At[i] {
				dst = append(dst, 0x30, 7, 0x80, 1, 0, 0x81, 2, oidBER[0], oidBER[1])
			} else {
				dst = append(dst, 0x30, 6, 0x80, 1, 2, 0x82, 1, 1) // provider rejection, abstract syntax not supported
			}
		}
		dst = ber.Close(dst, list)
	} else {
		dst = ber.Append(dst, 0x81, p.Calling)
		dst = ber.Append(dst, 0x82, p.Called)
		var list int
		dst, list = ber.Open(dst, 0xA4)
		dst = appendContext(dst, p.Contexts.ACSE, oidACSE)
		dst = appendContext(dst, p.Contexts.MMS, oidMMS)
		dst = ber.Close(dst, list)
	}
	dst = appendPDV(dst, p.Contexts.ACSE, p.Data)
	return ber.Close(ber.Close(dst, params), set)
}

func appendContext(dst []byte, id int64, syntax []byte) []byte {
	dst, mark := ber.Open(dst, 0x30)
	dst = ber.Append(ber.AppendInt(dst, 0x02, id), 0x06, syntax)
	dst, list := ber.Open(dst, 0x30)
	dst = ber.Append(dst, 0x06, oidBER)
	return ber.Close(ber.Close(dst, list), mark)
}

// ParseUserData reads the presentation user data of a data transfer and returns its context.
func ParseUserData(b []byte) (context int64, data []byte, err error) {
	r := ber.NewReader(b)
	e, err := r.Want(0x61, "user data")
	if err == nil {
		context, data, err = parsePDV(e)
	}
	if err != nil {
		return 0, nil, layered("presentation", err)
	}
	return context, data, nil
}

// parsePDV reads the list of fully encoded data, of which there is one.
func parsePDV(e ber.Element) (context int64, data []byte, err error) {
	r := e.Reader()
	list, err := r.Want(0x30, "PDV list")
	if err != nil {
		return 0, nil, err
	}
	r = list.Reader()
	if _, _, err := r.Option(0x06, "transfer syntax"); err != nil {
		return 0, nil, err
	}
	id, err := r.Want(0x02, "context identifier")
	if err != nil {
		return 0, nil, err
	}
	if context, err = id.Int("context identifier"); err != nil {
		return 0, nil, err
	}
	value, err := r.Next("presentation data")
	if err != nil {
		return 0, nil, err
	}
	if value.Tag != 0xA0 && value.Tag != 0x81 {
		return 0, nil, &ber.Error{Field: "presentation data", Offset: value.Offset, Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(value.Tag))}
	}
	return context, value.Contents, nil
}

// appendPDV appends user data of one context.
func appendPDV(dst []byte, context int64, data []byte) []byte {
	dst = appendPDVHeader(dst, context, len(data))
	return append(dst, data...)
}

// appendPDVHeader appends what stands before n octets of user data.
func appendPDVHeader(dst []byte, context int64, n int) []byte {
	var id [12]byte
	number := ber.AppendInt(id[:0], 0x02, context)
	inner := len(number) + 1 + ber.LengthSize(n) + n
	outer := 1 + ber.LengthSize(inner) + inner
	dst = ber.AppendLength(append(dst, 0x61), outer)
	dst = ber.AppendLength(append(dst, 0x30), inner)
	return ber.AppendLength(append(append(dst, number...), 0xA0), n)
}
