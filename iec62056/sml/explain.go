package sml

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/obis"
)

// Note is told of each field: where it stands, how deep it is nested, what it is
// called, and what it means.
type Note = func(offset, length, depth int, field, meaning string)

// Explain calls note for each field of the first frame in b, or of the first
// message where there is no transport around it, and returns how many octets it
// took: call it again with the rest. What comes before a frame is noted and
// returned alone. Where n is 0 and the error wraps [io.ErrUnexpectedEOF] nothing
// was noted and more octets are needed; [ExplainCut] takes what a capture ends
// with. With any other error the frame was noted as far as it can be read, and n
// octets are behind it. Offsets within messages are those of b as long as no
// escape came before them.
func Explain(b []byte, note Note) (n int, err error) {
	if len(b) == 0 {
		return 0, errMore
	}
	begin := bytes.Index(b, start)
	switch {
	case begin != 0 && b[0] == firstOfMessage:
		if n, err := explainMessage(b, 0, 0, note); err == nil || errors.Is(err, io.ErrUnexpectedEOF) && begin < 0 {
			return n, err
		}
	case begin == 0:
		return explainFrame(b, note)
	}
	if begin < 0 {
		if begin = len(b) - startLen + 1; begin <= 0 {
			return 0, errMore
		}
	}
	note(0, begin, 0, "noise", "no frame begins here")
	return begin, nil
}

// firstOfMessage is the first octet of a message: a list of six.
const firstOfMessage = 0x76

// explainFrame explains the frame at the start of b.
func explainFrame(b []byte, note Note) (n int, err error) {
	f, n, err := ParseFrame(b)
	switch {
	case err == nil:
	case errors.Is(err, io.ErrUnexpectedEOF) && len(b) < maxFrame:
		return 0, err
	default:
		if n = len(b); errors.Is(err, ErrChecksum) {
			end, _, _ := findEnd(b)
			n = end + endLen
		} else if next := bytes.Index(b[startLen:], start); next >= 0 {
			n = startLen + next
		}
		_ = ExplainCut(b[:n], note) // the error of the frame is the one that counts
		return n, err
	}
	note(0, startLen, 0, "start", "transport version 1")
	err = explainMessages(f.Data, startLen, note)
	end := n - endLen
	if f.Padding > 0 {
		note(end-f.Padding, f.Padding, 0, "padding", fmt.Sprintf("%d octets", f.Padding))
	}
	note(end, 6, 0, "end", fmt.Sprintf("%d octets of padding", f.Padding))
	note(end+6, 2, 0, "CRC", f.Check.String()+", correct")
	return n, err
}

// ExplainCut explains the messages of a frame that has no end, or a wrong CRC.
func ExplainCut(b []byte, note Note) error {
	if !bytes.HasPrefix(b, start) {
		return errMore
	}
	end, _, err := findEnd(b)
	if err != nil {
		end = len(b)
	}
	note(0, startLen, 0, "start", "transport version 1")
	if broken := explainMessages(b[startLen:end], startLen, note); broken != nil {
		return broken
	}
	return errMore
}

func explainMessages(b []byte, base int, note Note) error {
	for at := 0; at < len(b); {
		n, err := explainMessage(b[at:], at, base, note)
		if err != nil {
			x := explainer{cursor{b: b[at:], layer: "message"}, base + at, note}
			x.message("not readable")
			return err
		}
		at += n
	}
	return nil
}

// explainMessage explains the message at the start of b, at octets behind base.
// On error nothing was noted.
func explainMessage(b []byte, at, base int, note Note) (n int, err error) {
	m, n, err := parseMessage(b, at)
	if err != nil {
		err.(*ParseError).Offset += base
		return 0, err
	}
	note(base+at, n, 0, "message", m.Tag.String())
	x := explainer{cursor{b: b[:n], layer: "message"}, base + at, note}
	x.message(m.Check.String() + ", correct")
	return n, nil
}

// explainer walks through elements as far as they are right.
type explainer struct {
	cursor
	base int
	note Note
}

// message explains the elements of a message; check is what is said of its CRC.
func (x *explainer) message(check string) {
	x.list("message", 6)
	x.leaf(1, "transactionId")
	x.leaf(1, "groupNo")
	x.leaf(1, "abortOnError")
	x.list("messageBody", 2)
	at := x.cursor
	tag, _ := at.unsigned("messageBody")
	x.leaf(1, "messageBody tag")
	x.tree(1, bodyNames(Tag(tag)))
	begin := x.off
	x.element("crc16")
	if x.err == nil {
		x.note(x.base+begin, x.off-begin, 1, "crc16", check)
	}
	if x.err == nil && x.off < len(x.b) {
		x.note(x.base+x.off, 1, 1, "endOfSmlMsg", "end")
	}
}

// leaf notes a simple element.
func (x *explainer) leaf(depth int, field string) {
	begin := x.off
	inner := cursor{b: x.element(field)}
	if x.err != nil {
		return
	}
	v, _ := inner.value(field, 0)
	meaning := v.String()
	switch {
	case v.IsNone():
		meaning = "absent"
	case v.Kind() == obis.KindOctets:
		if b, _ := v.Bytes(); len(b) == 6 && field == "objName" {
			code := obis.Code(b)
			meaning = code.String() + " " + obis.Describe(code)
		}
	}
	x.note(x.base+begin, x.off-begin, depth, field, meaning)
}

// names of the elements of a list, and of the elements of those.
type names struct {
	name     string
	fields   []string
	elements map[string]*names
	each     *names // of every element, where fields is nil
}

func bodyNames(t Tag) *names {
	entry := &names{name: "valListEntry", fields: []string{"objName", "status", "valTime", "unit", "scaler", "value", "valueSignature"}}
	switch t {
	case TagOpenRes:
		return &names{name: "OpenResponse", fields: []string{"codepage", "clientId", "reqFileId", "serverId", "refTime", "smlVersion"}}
	case TagCloseRes:
		return &names{name: "CloseResponse", fields: []string{"globalSignature"}}
	case TagGetListRes:
		return &names{
			name:     "GetListResponse",
			fields:   []string{"clientId", "serverId", "listName", "actSensorTime", "valList", "listSignature", "actGatewayTime"},
			elements: map[string]*names{"valList": {name: "valList", each: entry}},
		}
	case TagGetProfilePackRes:
		return &names{name: "GetProfilePackResponse", fields: []string{"serverId", "actTime", "regPeriod", "parameterTreePath", "headerList", "periodList", "rawdata", "profileSignature"}}
	case TagGetProfileListRes:
		return &names{name: "GetProfileListResponse", fields: []string{"serverId", "actTime", "regPeriod", "parameterTreePath", "valTime", "status", "periodList", "rawdata", "periodSignature"}}
	}
	return &names{name: t.String()}
}

// tree notes an element and all that is in it. Lists of the standard's time and
// those that nothing is known of are noted element by element.
func (x *explainer) tree(depth int, n *names) {
	type level struct {
		left, index int
		n           *names
	}
	name := "element"
	stack := []level{{1, 0, &names{each: n}}}
	for len(stack) > 0 && x.off < len(x.b) && x.err == nil {
		top := &stack[len(stack)-1]
		if top.left == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		child := top.n.child(top.index)
		if child != nil {
			name = child.name
		}
		top.left--
		top.index++
		if x.peek()>>4&7 != typeList {
			x.leaf(depth+len(stack)-1, name)
			continue
		}
		begin := x.off
		_, count := x.tl("")
		if x.err != nil {
			return
		}
		x.note(x.base+begin, x.off-begin, depth+len(stack)-1, name, fmt.Sprintf("list of %d", count))
		if child == nil {
			child = &names{name: name}
		}
		stack = append(stack, level{count, 0, child})
	}
}

// child returns the name of element i, nil where it is not known.
func (n *names) child(i int) *names {
	switch {
	case n.each != nil:
		return n.each
	case i < len(n.fields):
		if sub := n.elements[n.fields[i]]; sub != nil {
			return sub
		}
		return &names{name: n.fields[i]}
	case n.name != "":
		return &names{name: n.name}
	}
	return nil
}
