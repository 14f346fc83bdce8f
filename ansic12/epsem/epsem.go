// Package epsem reads and writes the messages of ANSI C12.22: an ACSE APDU with
// the names of the stations, and in it EPSEM with the services of C12.18.
//
//	60 length
//	  A1 application context   A2 called AP title   A4 called AP invocation id
//	  A6 calling AP title      A7 calling AE qualifier   A8 calling AP invocation id
//	  8B mechanism             AC authentication value
//	  BE user information: 28 length 81 length EPSEM
//
// EPSEM is a control octet, an end device class where that says so, the services,
// each behind its length, and a MAC of four octets where the message is secured.
//
// A message is whole: those that stations cut to segments for short datagrams are
// refused, and what is too long for one is not sent.
//
// The security of C12.22, EAX', is weak: messages can be forged where the
// cleartext that it covers is short, and its MAC has four octets. [Message.Seal] and
// [Message.Verify] exist because meters ask for it, and say so; it is no protection.
package epsem

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// The tags of the ACSE APDU.
const (
	TagAPDU       = 0x60
	TagContext    = 0xA1
	TagCalled     = 0xA2
	TagCalledID   = 0xA4
	TagCalling    = 0xA6
	TagQualifier  = 0xA7
	TagCallingID  = 0xA8
	TagMechanism  = 0x8B
	TagAuthValue  = 0xAC
	TagUserInfo   = 0xBE
	tagExternal   = 0x28
	tagOctets     = 0x81
	tagAbsolute   = 0x06
	tagRelative   = 0x80
	macLen        = 4
	maxElements   = 32
	classLen      = 4
	flagRecovery  = 0x40
	flagProxy     = 0x20
	flagClass     = 0x10
	maskSecurity  = 0x0C
	shiftSecurity = 2
	maskResponse  = 0x03
)

// Security says how a message is secured.
type Security uint8

// The securities.
const (
	Clear Security = iota
	Authenticated
	Ciphered // and authenticated
)

// Element is one element of the APDU in wire order.
type Element struct {
	Tag     byte
	Content []byte // aliases the input after parsing
	offset  int    // of the tag
}

// Message is one message of C12.22. The elements other than the user information
// are kept as they came.
type Message struct {
	Elements []Element
	Control  byte    // of EPSEM
	Class    []byte  // end device class, four octets where Control says that it is there
	Body     []byte  // services behind their lengths; ciphertext if Ciphered
	MAC      [4]byte // if secured
	userInfo int     // where in Elements the user information is
	raw      []byte  // the whole APDU
	epsem    int     // where EPSEM begins in raw
	lengths  [3]int  // octets of BE, 28 and 81 with their lengths
}

// Parse reads the message at the start of b and returns how many octets it took. The
// message aliases b.
func Parse(b []byte) (m Message, n int, err error) {
	if len(b) > 0 && b[0] != TagAPDU {
		return Message{}, 0, &ParseError{Field: "APDU", Err: fmt.Errorf("tag 0x%02x, want 0x60", b[0])}
	}
	content, n, err := element(b, 0, "APDU")
	if err != nil {
		return Message{}, 0, err
	}
	m = Message{raw: b[:n:n], userInfo: -1, Elements: make([]Element, 0, 8)}
	for at := n - len(content); at < n; {
		part, size, err := element(b[:n], at, "element")
		if err != nil {
			return Message{}, 0, malformed(err)
		}
		if len(m.Elements) == maxElements {
			return Message{}, 0, &ParseError{Field: "element", Offset: at, Err: fmt.Errorf("more than %d", maxElements)}
		}
		switch b[at] {
		case TagCalled, TagCalledID, TagCalling, TagCallingID: // by which stations are remembered
			if len(part) > 2+maxTitle {
				return Message{}, 0, &ParseError{Field: "title or invocation id", Offset: at, Err: fmt.Errorf("%d octets, want at most %d", len(part), 2+maxTitle)}
			}
		}
		if b[at] == TagUserInfo && m.userInfo < 0 {
			m.userInfo = len(m.Elements)
		}
		m.Elements = append(m.Elements, Element{b[at], part, at})
		at += size
	}
	if m.userInfo < 0 {
		return Message{}, 0, &ParseError{Field: "user information", Offset: n, Err: errMissing}
	}
	if err := m.parseEPSEM(b[:n]); err != nil {
		return Message{}, 0, malformed(err)
	}
	return m, n, nil
}

var (
	errMissing   = errors.New("missing")
	errMalformed = errors.New("does not fit into what is around it")
)

// malformed makes a length that leads out of the APDU, which is all there, no shortness.
func malformed(err error) error {
	var pe *ParseError
	if errors.As(err, &pe) && errors.Is(err, io.ErrUnexpectedEOF) {
		return &ParseError{Field: pe.Field, Offset: pe.Offset, Err: errMalformed}
	}
	return err
}

// element reads tag and length at an offset of b, and returns the content and how
// many octets the element has.
func element(b []byte, at int, field string) (content []byte, n int, err error) {
	short := func() ([]byte, int, error) {
		return nil, 0, &ParseError{Field: field, Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	if len(b)-at < 2 {
		return short()
	}
	size, head, ok := length(b[at+1:])
	if !ok {
		return nil, 0, &ParseError{Field: field + " length", Offset: at + 1, Err: fmt.Errorf("0x%02x", b[at+1])}
	}
	if head == 0 || size > len(b)-at-1-head {
		return short()
	}
	start := at + 1 + head
	return b[start : start+size : start+size], 1 + head + size, nil
}

// length reads a length in BER of up to two octets behind the first. head is 0 where b is too short.
func length(b []byte) (size, head int, ok bool) {
	switch {
	case len(b) == 0:
		return 0, 0, true
	case b[0] < 0x80:
		return int(b[0]), 1, true
	case b[0] == 0x81 && len(b) >= 2:
		return int(b[1]), 2, true
	case b[0] == 0x82 && len(b) >= 3:
		return int(b[1])<<8 | int(b[2]), 3, true
	case b[0] == 0x81, b[0] == 0x82:
		return 0, 0, true
	}
	return 0, 0, false
}

func appendLength(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n < 0x100:
		return append(dst, 0x81, byte(n))
	}
	return append(dst, 0x82, byte(n>>8), byte(n))
}

// parseEPSEM reads what is in the user information.
func (m *Message) parseEPSEM(b []byte) error {
	info := m.Elements[m.userInfo]
	end := info.offset + 1
	_, head, _ := length(b[end:])
	at := end + head
	last := at + len(info.Content)
	for i, tag := range []byte{tagExternal, tagOctets} {
		if at >= last || b[at] != tag {
			return &ParseError{Field: "user information", Offset: at, Err: fmt.Errorf("want tag 0x%02x: %w", tag, errSegment)}
		}
		content, n, err := element(b[:last], at, "user information")
		if err != nil {
			return err
		}
		m.lengths[i+1] = n - len(content)
		at += n - len(content)
		last = at + len(content)
	}
	m.epsem = at
	if at >= last {
		return &ParseError{Field: "EPSEM control", Offset: at, Err: io.ErrUnexpectedEOF}
	}
	m.Control = b[at]
	at++
	if m.Control&flagClass != 0 {
		if last-at < classLen {
			return &ParseError{Field: "end device class", Offset: last, Err: io.ErrUnexpectedEOF}
		}
		m.Class = b[at : at+classLen : at+classLen]
		at += classLen
	}
	if m.Security() != Clear {
		if last-at < macLen {
			return &ParseError{Field: "MAC", Offset: last, Err: io.ErrUnexpectedEOF}
		}
		last -= macLen
		copy(m.MAC[:], b[last:])
	}
	m.Body = b[at:last:last]
	return nil
}

// AppendBinary appends the message. The user information stands where it stood, or last.
func (m Message) AppendBinary(dst []byte) ([]byte, error) {
	epsem := append([]byte{m.Control}, m.Class...)
	epsem = append(epsem, m.Body...)
	if m.Security() != Clear {
		epsem = append(epsem, m.MAC[:]...)
	}
	if want := int(m.Control&flagClass) / flagClass * classLen; len(m.Class) != want {
		return dst, fmt.Errorf("epsem: end device class of %d octets", len(m.Class))
	}
	info := wrap(tagExternal, wrap(tagOctets, epsem))
	var content []byte
	placed := false
	for _, e := range m.Elements {
		if e.Tag == TagUserInfo {
			if !placed {
				content = append(content, wrap(TagUserInfo, info)...)
			}
			placed = true
			continue
		}
		content = append(content, wrap(e.Tag, e.Content)...)
	}
	if !placed {
		content = append(content, wrap(TagUserInfo, info)...)
	}
	if len(content) > 0xFFFF {
		return dst, fmt.Errorf("epsem: message of %d octets: %w", len(content), ErrTooLong)
	}
	return append(dst, wrap(TagAPDU, content)...), nil
}

func wrap(tag byte, content []byte) []byte {
	return append(appendLength([]byte{tag}, len(content)), content...)
}

// Security returns how the message is secured.
func (m *Message) Security() Security { return Security(m.Control & maskSecurity >> shiftSecurity) }

// ResponseControl says when the other station is to answer.
type ResponseControl uint8

// The response controls.
const (
	ResponseAlways ResponseControl = iota
	ResponseOnException
	ResponseNever
)

// Response returns when the message wants an answer.
func (m *Message) Response() ResponseControl { return ResponseControl(m.Control & maskResponse) }

// Get returns the content of the first element with the tag.
func (m *Message) Get(tag byte) ([]byte, bool) {
	for _, e := range m.Elements {
		if e.Tag == tag {
			return e.Content, true
		}
	}
	return nil, false
}

// Services returns the services or responses of a message in the clear.
func (m *Message) Services() (list [][]byte, err error) {
	if m.Security() == Ciphered {
		return nil, fmt.Errorf("epsem: %w", ErrCiphered)
	}
	return split(m.Body)
}

func split(b []byte) (list [][]byte, err error) {
	count := 0
	for at := 0; at < len(b); count++ {
		size, head, ok := length(b[at:])
		if !ok || head == 0 || size > len(b)-at-head {
			break
		}
		at += head + size
	}
	list = make([][]byte, 0, count)
	for at := 0; at < len(b); {
		size, head, ok := length(b[at:])
		if !ok || head == 0 || size > len(b)-at-head {
			return nil, &ParseError{Field: "service", Offset: at, Err: errMalformed}
		}
		list = append(list, b[at+head:at+head+size])
		at += head + size
	}
	return list, nil
}

// AppendService appends a service behind its length.
func AppendService(dst, service []byte) []byte {
	return append(appendLength(dst, len(service)), service...)
}

// ErrTooLong reports a message that would have to go in segments: read or write in parts.
var ErrTooLong = errors.New("longer than 65,535 octets, and segments are not sent")

// errSegment is what a message of the network layer may be that is not whole.
var errSegment = errors.New("no whole message; segments are not joined")

// ErrCiphered reports services that cannot be read without the key.
var ErrCiphered = errors.New("ciphered")

// ParseError says which field of a message could not be read, and where.
type ParseError struct {
	Field  string
	Offset int // octets from the start of the slice given to Parse; of Services from the start of the body
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("epsem: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// Detect reports whether b begins with a message, or with as much of one as has a
// called AP title. The AARQ of DLMS/COSEM, which is an ACSE APDU too, is none.
func Detect(b []byte) bool {
	cosem := []byte{0x60, 0x85, 0x74, 0x05, 0x08, 0x01} // its application contexts
	if len(b) <= 4 || b[0] != TagAPDU || bytes.Contains(b[:min(len(b), 64)], cosem) {
		return false
	}
	_, _, err := Parse(b)
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF) && bytes.IndexByte(b[:min(len(b), 32)], TagCalled) >= 0
}
