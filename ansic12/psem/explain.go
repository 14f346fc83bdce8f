package psem

import (
	"errors"
	"fmt"
	"strings"
)

// Explain calls note for each field of what stands at the start of b: an
// acknowledgement or a packet with its message, in wire order and as far as it can
// be read, and returns the error where it broke. The data of a packet of several
// are one field.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	if len(b) > 0 && (b[0] == ACK || b[0] == NAK) {
		note(0, 1, 0, "answer", map[byte]string{ACK: "ACK", NAK: "NAK"}[b[0]])
		return nil
	}
	p, n, err := Parse(b)
	known := n
	var pe *ParseError
	if errors.As(err, &pe) {
		known = pe.Offset
	}
	field := func(offset, length int, name, meaning string) {
		if length > 0 && offset+length <= known {
			note(offset, length, 0, name, meaning)
		}
	}
	field(0, 1, "start", "packet")
	if known >= headerLen {
		field(1, 1, "identity", fmt.Sprint(b[1]))
		field(2, 1, "control", describeControl(b[2]))
		field(3, 1, "sequence", fmt.Sprintf("%d packets follow", b[3]))
		field(4, 2, "length", fmt.Sprintf("%d octets", int(b[4])<<8|int(b[5])))
	}
	if err != nil {
		return err
	}
	if p.Multi {
		field(headerLen, len(p.Data), "data", "part of a message")
	} else {
		err = explainMessage(p.Data, headerLen, note)
	}
	field(n-crcLen, crcLen, "CRC", "correct")
	return err
}

func describeControl(c byte) string {
	var parts []string
	for _, bit := range []struct {
		mask byte
		name string
	}{{controlMulti, "one of several"}, {controlFirst, "the first"}, {controlToggle, "toggle"}} {
		if c&bit.mask != 0 {
			parts = append(parts, bit.name)
		}
	}
	if c&controlFormat == 1 {
		parts = append(parts, "C12.22")
	}
	return strings.Join(parts, ", ")
}

// explainMessage notes the fields of a message. Whether it is a request or a
// response shows by its first octet: no service is as low as a status is high.
func explainMessage(b []byte, base int, note func(offset, length, depth int, field, meaning string)) error {
	if len(b) > 0 && b[0] < byte(ServiceIdentify) {
		note(base, 1, 1, "status", Status(b[0]).String())
		if len(b) == 1 {
			return nil
		}
		response := Response{Body: b[1:]}
		if data, err := response.TableData(); err == nil && Status(b[0]) == OK {
			note(base+1, 2, 1, "count", fmt.Sprintf("%d octets", len(data)))
			if len(data) > 0 {
				note(base+3, len(data), 1, "table data", "")
			}
			note(base+3+len(data), 1, 1, "checksum", "correct")
			return nil
		}
		note(base+1, len(b)-1, 1, "body", "")
		return nil
	}
	return ExplainRequest(b, func(offset, length, depth int, field, meaning string) {
		note(base+offset, length, depth+1, field, meaning)
	})
}

// ExplainRequest calls note for each field of the request in b, in wire order.
func ExplainRequest(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	r, n, err := ParseRequest(b)
	if len(b) > 0 {
		note(0, 1, 0, "service", Service(b[0]).String())
	}
	if err != nil {
		return err
	}
	e := explainer{at: 1, note: note}
	switch r := r.(type) {
	case Read:
		e.target(r.Table, r.Indices, r.ByOffset, r.Offset)
		if r.ByOffset || len(r.Indices) > 0 {
			e.field(2, "count", fmt.Sprint(r.Count))
		}
	case Write:
		e.target(r.Table, r.Indices, r.ByOffset, r.Offset)
		e.counted(r.Data)
	case WriteDefault:
		e.counted(r.Data)
	case Logon:
		e.field(2, "user id", fmt.Sprint(r.UserID))
		e.field(UserLen, "user", fmt.Sprintf("%q", r.User))
		if r.Extended {
			e.field(2, "idle time-out", fmt.Sprintf("%d s", r.IdleTimeout))
		}
	case Security:
		e.field(PasswordLen, "password", "")
		if r.Extended {
			e.field(2, "user id", fmt.Sprint(r.UserID))
		}
	case Authenticate:
		e.field(1, "length", fmt.Sprint(len(r.Data)))
		e.field(len(r.Data), "data", "")
	case Negotiate:
		e.field(2, "packet size", fmt.Sprint(r.PacketSize))
		e.field(1, "packets", fmt.Sprint(r.Packets))
		for _, code := range r.Bauds {
			baud, _ := BaudRate(code)
			e.field(1, "rate", fmt.Sprint(baud))
		}
	case Register:
		e.register(&r)
	case Lookup:
		e.field(len(r.Title), "AP title", fmt.Sprintf("% x", r.Title))
	case Wait:
		e.field(1, "seconds", fmt.Sprint(r.Seconds))
	case Timing:
		e.field(1, "traffic time-out", fmt.Sprintf("%d s", r.Traffic))
		e.field(1, "inter-character time-out", fmt.Sprintf("%d s", r.InterChar))
		e.field(1, "response time-out", fmt.Sprintf("%d s", r.Response))
		e.field(1, "retries", fmt.Sprint(r.Retries))
	}
	e.field(n-e.at, "data", "not looked into")
	if n < len(b) {
		e.field(len(b)-n, "rest", "behind the request")
	}
	return nil
}

type explainer struct {
	at   int
	note func(offset, length, depth int, field, meaning string)
}

func (e *explainer) field(length int, name, meaning string) {
	if length > 0 {
		e.note(e.at, length, 0, name, meaning)
		e.at += length
	}
}

func (e *explainer) register(r *Register) {
	e.field(1, "node type", fmt.Sprintf("0x%02x", r.Node))
	e.field(1, "connection type", fmt.Sprintf("0x%02x", r.Connection))
	e.field(ClassLen, "device class", fmt.Sprintf("% x", r.Class))
	e.field(len(r.Title), "AP title", fmt.Sprintf("% x", r.Title))
	e.field(len(r.Serial), "serial number", fmt.Sprintf("% x", r.Serial))
	e.field(1, "address length", fmt.Sprint(len(r.Address)))
	e.field(len(r.Address), "native address", fmt.Sprintf("%q", r.Address))
	e.field(3, "period", fmt.Sprintf("%d s", r.Period))
	e.field(1, "domain length", fmt.Sprint(len(r.Domain)))
	e.field(len(r.Domain), "domain pattern", fmt.Sprintf("% x", r.Domain))
}

func (e *explainer) target(table uint16, indices []uint16, byOffset bool, offset uint32) {
	e.field(2, "table", TableName(table))
	for _, i := range indices {
		e.field(2, "index", fmt.Sprint(i))
	}
	if byOffset {
		e.field(3, "offset", fmt.Sprint(offset))
	}
}

func (e *explainer) counted(data []byte) {
	e.field(2, "count", fmt.Sprintf("%d octets", len(data)))
	e.field(len(data), "table data", "")
	e.field(1, "checksum", "correct")
}

// The flags of a table number on the wire.
const (
	TableManufacturer = 0x0800
	TablePending      = 0x1000
	TableUser         = 0x2000
)

// TableName returns a table's short name: "ST 23", "MT 5", "pending ST 42".
func TableName(table uint16) string {
	name := "ST"
	switch {
	case table&TableManufacturer != 0:
		name = "MT"
	case table&TableUser != 0:
		name = "UT"
	}
	if table&TablePending != 0 {
		name = "pending " + name
	}
	return fmt.Sprintf("%s %d", name, table&0x07FF)
}

// ExplainFirst is [Explain] for what b begins with, a packet or what acknowledges
// one, and returns how many octets that has.
func ExplainFirst(b []byte, note func(offset, length, depth int, field, meaning string)) (n int, err error) {
	if len(b) > 0 && (b[0] == ACK || b[0] == NAK) {
		meaning := "ACK"
		if b[0] == NAK {
			meaning = "NAK"
		}
		note(0, 1, 0, "acknowledgement", meaning)
		return 1, nil
	}
	_, n, err = Parse(b)
	if err == nil {
		b = b[:n]
	}
	return n, Explain(b, note)
}
