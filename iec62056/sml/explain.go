package sml

import (
	"bytes"
	"fmt"

	"github.com/openusm/meter/obis"
)

// Explain goes through a frame, or through messages without transport, and
// calls note for each field as far as it can be read. Offsets within messages
// are those of b as long as no escape came before them.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	if len(b) > 0 && b[0] != 0x1B {
		return explainMessages(b, 0, note)
	}
	f, n, err := ParseFrame(b)
	if err != nil {
		explainBroken(b, note)
		return err
	}
	note(0, startLen, 0, "start", "transport version 1")
	err = explainMessages(f.Data, startLen, note)
	end := n - endLen
	if f.Padding > 0 {
		note(end-f.Padding, f.Padding, 0, "padding", fmt.Sprintf("%d octets", f.Padding))
	}
	note(end, 6, 0, "end", fmt.Sprintf("%d octets of padding", f.Padding))
	note(end+6, 2, 0, "CRC", f.Check.String()+", correct")
	return err
}

// explainBroken explains the messages of a frame that has no end, or a wrong CRC.
func explainBroken(b []byte, note func(offset, length, depth int, field, meaning string)) {
	if !bytes.HasPrefix(b, start) {
		return
	}
	end, _, err := findEnd(b)
	if err != nil {
		end = len(b)
	}
	note(0, startLen, 0, "start", "transport version 1")
	_ = explainMessages(b[startLen:end], startLen, note) // the error of the frame is the one that counts
}

func explainMessages(b []byte, base int, note func(offset, length, depth int, field, meaning string)) error {
	for at := 0; at < len(b); {
		m, n, err := parseMessage(b[at:], at)
		if err != nil {
			x := explainer{cursor{b: b[at:], layer: "message"}, base + at, note}
			x.message("not readable")
			err.(*ParseError).Offset += base
			return err
		}
		note(base+at, n, 0, "message", m.Tag.String())
		x := explainer{cursor{b: b[at : at+n], layer: "message"}, base + at, note}
		x.message(m.Check.String() + ", correct")
		at += n
	}
	return nil
}

// explainer walks through elements as far as they are right.
type explainer struct {
	cursor
	base int
	note func(offset, length, depth int, field, meaning string)
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
