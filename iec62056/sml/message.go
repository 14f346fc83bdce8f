package sml

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/openusm/meter/internal/crc16"
)

// Tag says what the body of a message is.
type Tag uint32

// The messages that meters send, and their requests.
const (
	TagOpenReq             Tag = 0x0100
	TagOpenRes             Tag = 0x0101
	TagCloseReq            Tag = 0x0200
	TagCloseRes            Tag = 0x0201
	TagGetProfilePackReq   Tag = 0x0300
	TagGetProfilePackRes   Tag = 0x0301
	TagGetProfileListReq   Tag = 0x0400
	TagGetProfileListRes   Tag = 0x0401
	TagGetProcParameterReq Tag = 0x0500
	TagGetProcParameterRes Tag = 0x0501
	TagSetProcParameterReq Tag = 0x0600
	TagGetListReq          Tag = 0x0700
	TagGetListRes          Tag = 0x0701
	TagAttentionRes        Tag = 0xFF01
)

// String returns the standard's name of the message.
func (t Tag) String() string {
	switch t {
	case TagOpenReq:
		return "OpenRequest"
	case TagOpenRes:
		return "OpenResponse"
	case TagCloseReq:
		return "CloseRequest"
	case TagCloseRes:
		return "CloseResponse"
	case TagGetProfilePackReq:
		return "GetProfilePackRequest"
	case TagGetProfilePackRes:
		return "GetProfilePackResponse"
	case TagGetProfileListReq:
		return "GetProfileListRequest"
	case TagGetProfileListRes:
		return "GetProfileListResponse"
	case TagGetProcParameterReq:
		return "GetProcParameterRequest"
	case TagGetProcParameterRes:
		return "GetProcParameterResponse"
	case TagSetProcParameterReq:
		return "SetProcParameterRequest"
	case TagGetListReq:
		return "GetListRequest"
	case TagGetListRes:
		return "GetListResponse"
	case TagAttentionRes:
		return "AttentionResponse"
	}
	return fmt.Sprintf("message 0x%08x", uint32(t))
}

// Message is one message of a file. Its slices alias the input.
type Message struct {
	TransactionID []byte
	Group         uint8
	AbortOnError  uint8
	Tag           Tag
	Body          []byte // the element behind the tag
	Check         Check  // the CRC that fitted

	offset int // of Body in the slice that was parsed
}

// ParseMessage reads the message at the start of b, the data of a frame.
func ParseMessage(b []byte) (m Message, n int, err error) { return parseMessage(b, 0) }

func parseMessage(b []byte, base int) (m Message, n int, err error) {
	c := cursor{b: b, base: base, layer: "message"}
	m.head(&c)
	m.Body = c.element("messageBody")
	m.tail(&c)
	if c.err != nil {
		return Message{}, 0, c.err
	}
	return m, c.off, nil
}

// head reads what comes before the body.
func (m *Message) head(c *cursor) {
	c.list("message", 6)
	m.TransactionID = c.octets("transactionId")
	group, _ := c.unsigned("groupNo")
	abort, _ := c.unsigned("abortOnError")
	c.list("messageBody", 2)
	tag, _ := c.unsigned("messageBody")
	m.offset = c.base + c.off
	m.Group, m.AbortOnError, m.Tag = uint8(group), uint8(abort), Tag(tag)
}

// tail reads what comes behind the body, and checks the CRC.
func (m *Message) tail(c *cursor) {
	b, end := c.b, c.off
	got, _ := c.unsigned("crc16")
	if c.err == nil && c.peek() != 0 {
		c.fail("endOfSmlMsg", c.off, fmt.Errorf("0x%02x, want 0", c.peek()))
	}
	if c.err == nil && c.off >= len(b) {
		c.tl("endOfSmlMsg")
	}
	if c.err == nil {
		c.off++
		m.Check = check(b[:end], uint16(got))
		if m.Check == 0 {
			c.fail("crc16", end, fmt.Errorf("%w: %04x, want %04x", ErrChecksum, got, swap(crc16.X25(b[:end]))))
		}
	}
}

// check returns which CRC over b was transmitted.
func check(b []byte, got uint16) Check {
	x25 := crc16.X25(b)
	switch got {
	case swap(x25):
		return CheckX25
	case x25:
		return CheckSwapped
	}
	if k := crc16.Kermit(b); got == k || got == swap(k) {
		return CheckKermit
	}
	return 0
}

func swap(v uint16) uint16 { return v<<8 | v>>8 }

// AppendBinary appends the message with a CRC-16/X-25. It never fails.
func (m Message) AppendBinary(dst []byte) ([]byte, error) {
	begin := len(dst)
	dst = append(dst, 0x76)
	dst = appendOctets(dst, m.TransactionID)
	dst = append(dst, 0x62, m.Group, 0x62, m.AbortOnError, 0x72)
	if m.Tag <= 0xFFFF {
		dst = binary.BigEndian.AppendUint16(append(dst, 0x63), uint16(m.Tag))
	} else {
		dst = binary.BigEndian.AppendUint32(append(dst, 0x65), uint32(m.Tag))
	}
	dst = append(dst, m.Body...)
	crc := swap(crc16.X25(dst[begin:]))
	return append(binary.BigEndian.AppendUint16(append(dst, 0x63), crc), 0), nil
}

// Messages reads the messages of a frame one by one. After a message that
// cannot be read nothing more is found, as its length is not known; one with a
// wrong CRC gives an error and leaves the others.
func (f Frame) Messages() iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for at := 0; at < len(f.Data); {
			m, n, err := parseMessage(f.Data[at:], at)
			if err != nil {
				n = skipMessage(f.Data[at:])
				if !yield(Message{}, err) || n == 0 {
					return
				}
			} else if !yield(m, nil) {
				return
			}
			at += n
		}
	}
}

// skipMessage returns the length of a message whose elements are right, or 0.
func skipMessage(b []byte) int {
	c := cursor{b: b}
	c.list("message", 6)
	for range 5 {
		c.element("message")
	}
	if c.err != nil || c.off >= len(b) || b[c.off] != 0 {
		return 0
	}
	return c.off + 1
}

// appendOctets appends an octet string; nil and empty are an absent one.
func appendOctets(dst, b []byte) []byte {
	return append(appendTL(dst, typeOctets, len(b)), b...)
}

// appendTL appends type and length: of the content, or the number of elements of a list.
func appendTL(dst []byte, typ byte, n int) []byte {
	octets := 1
	if typ != typeList {
		for n+octets >= 1<<(4*octets) {
			octets++
		}
		n += octets
	} else {
		for n >= 1<<(4*octets) {
			octets++
		}
	}
	for i := octets - 1; i >= 0; i-- {
		tl := byte(n>>(4*i)) & 0x0F
		if i == octets-1 {
			tl |= typ << 4
		}
		if i > 0 {
			tl |= 0x80
		}
		dst = append(dst, tl)
	}
	return dst
}
