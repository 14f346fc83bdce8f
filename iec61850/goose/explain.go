package goose

import (
	"fmt"

	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/internal/ber"
)

// names are the fields of a goosePdu.
var names = map[ber.Tag]string{0x80: "gocbRef", 0x81: "timeAllowedtoLive", 0x82: "datSet", 0x83: "goID", 0x84: "t", 0x85: "stNum", 0x86: "sqNum",
	0x87: "simulation", 0x88: "confRev", 0x89: "ndsCom", 0x8A: "numDatSetEntries", 0xAB: "allData"}

// Explain calls note for each field of the messages in b, in their order, as far
// as they can be read, and returns the error where that ends.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	for at := 0; at < len(b); {
		m, n, err := Parse(b[at:])
		if err != nil {
			if pe, ok := err.(*ParseError); ok {
				err = &ParseError{pe.Field, at + pe.Offset, pe.Err}
			}
			note(at, len(b)-at, 0, "octets", "no message")
			return err
		}
		note(at, 2, 0, "APPID", fmt.Sprintf("0x%04x", m.AppID))
		note(at+2, 2, 0, "length", fmt.Sprintf("%d octets", n))
		note(at+4, 4, 0, "reserved", reserved(m))
		explainPDU(b[at+headerLen:at+n], m, func(off, length, depth int, field, meaning string) {
			note(at+headerLen+off, length, depth, field, meaning)
		})
		at += n
	}
	return nil
}

func reserved(m Message) string {
	if m.Reserved[0]&0x80 != 0 {
		return "simulated"
	}
	return fmt.Sprintf("%x", m.Reserved)
}

// explainPDU explains the PDU of a message that was read.
func explainPDU(b []byte, m Message, note func(offset, length, depth int, field, meaning string)) {
	r := ber.NewReader(b)
	pdu, err := r.Next("goosePdu")
	if err != nil {
		return
	}
	note(0, pdu.Offset, 0, "goosePdu", "")
	in := pdu.Reader()
	for in.More() {
		start := in.Offset()
		e, err := in.Next("field")
		if err != nil {
			return
		}
		name, end := names[e.Tag], in.Offset()
		switch {
		case name == "":
			note(start, end-start, 1, fmt.Sprintf("[%x]", uint32(e.Tag)), fmt.Sprintf("%x", e.Contents))
		case e.Tag != 0xAB:
			note(start, end-start, 1, name, m.meaning(e))
		default:
			note(start, e.Offset-start, 1, name, fmt.Sprintf("%d values", len(m.Data)))
			for off := 0; off < len(e.Contents); {
				_, n, err := mms.ParseData(e.Contents[off:])
				if err != nil {
					return
				}
				base := e.Offset + off
				_ = mms.ExplainData(e.Contents[off:], func(off, length, depth int, field, meaning string) { note(base+off, length, depth+2, field, meaning) })
				off += n
			}
		}
	}
	if r.More() {
		note(r.Offset(), len(b)-r.Offset(), 0, "octets", "behind the PDU")
	}
}

// meaning is what Parse read from a field.
func (m Message) meaning(e ber.Element) string {
	switch e.Tag {
	case 0x80:
		return fmt.Sprintf("%q", m.Block)
	case 0x81:
		return fmt.Sprintf("%d ms", m.TTL)
	case 0x82:
		return fmt.Sprintf("%q", m.DataSet)
	case 0x83:
		return fmt.Sprintf("%q", m.ID)
	case 0x84:
		return m.Time.String()
	case 0x85:
		return fmt.Sprint(m.State)
	case 0x86:
		return fmt.Sprint(m.Sequence)
	case 0x87:
		return fmt.Sprint(m.Simulation)
	case 0x88:
		return fmt.Sprint(m.ConfRev)
	case 0x89:
		return fmt.Sprint(m.NeedsCom)
	}
	return fmt.Sprint(len(m.Data))
}
