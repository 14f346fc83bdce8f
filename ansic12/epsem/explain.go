package epsem

import (
	"errors"
	"fmt"

	"github.com/openusm/meter/ansic12/psem"
)

var tagNames = map[byte]string{
	TagContext: "application context", TagCalled: "called AP title", TagCalledID: "called AP invocation id", TagCalling: "calling AP title",
	TagQualifier: "calling AE qualifier", TagCallingID: "calling AP invocation id", TagMechanism: "mechanism", TagAuthValue: "authentication value",
	TagUserInfo: "user information",
}

// Explain calls note for each element of the message at the start of b, in wire order,
// and returns the error where it broke.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	m, n, err := Parse(b)
	if err != nil {
		var pe *ParseError
		if errors.As(err, &pe) && pe.Offset > 0 {
			note(0, min(pe.Offset, len(b)), 0, "APDU", "as far as it can be read")
		}
		return err
	}
	head := m.Elements[0].offset
	note(0, head, 0, "APDU", fmt.Sprintf("%d octets", n-head))
	for i, e := range m.Elements {
		end := n
		if i+1 < len(m.Elements) {
			end = m.Elements[i+1].offset
		}
		name := tagNames[e.Tag]
		if name == "" {
			name = fmt.Sprintf("element 0x%02x", e.Tag)
		}
		if i != m.userInfo {
			note(e.offset, end-e.offset, 1, name, fmt.Sprintf("% x", e.Content))
			continue
		}
		note(e.offset, m.epsem-e.offset, 1, name, "")
		if err := m.explainEPSEM(note); err != nil {
			return err
		}
	}
	return nil
}

var securityNames = [...]string{"in the clear", "authenticated by EAX', which is weak", "ciphered by EAX', which is weak", "reserved security"}

// explainEPSEM notes control, class, services and MAC.
func (m *Message) explainEPSEM(note func(offset, length, depth int, field, meaning string)) error {
	at := m.epsem
	note(at, 1, 2, "EPSEM control", securityNames[m.Security()])
	at++
	if len(m.Class) > 0 {
		note(at, len(m.Class), 2, "end device class", fmt.Sprintf("% x", m.Class))
		at += len(m.Class)
	}
	services, err := m.Services()
	switch {
	case errors.Is(err, ErrCiphered):
		if len(m.Body) > 0 {
			note(at, len(m.Body), 2, "services", "ciphered")
		}
		at, err = at+len(m.Body), nil
	case err != nil:
		return err
	}
	for _, s := range services {
		size := len(appendLength(nil, len(s)))
		if m.raw[at] >= 0x80 {
			_, size, _ = length(m.raw[at:])
		}
		meaning := ""
		switch {
		case len(s) == 0:
		case s[0] < byte(psem.ServiceIdentify):
			meaning = psem.Status(s[0]).String()
		default:
			meaning = psem.Service(s[0]).String()
		}
		note(at, size, 2, "length", fmt.Sprintf("%d octets", len(s)))
		at += size
		if len(s) > 0 {
			note(at, len(s), 2, "service", meaning)
		}
		if len(s) > 1 && s[0] >= byte(psem.ServiceIdentify) {
			if err := explainService(s, at, note); err != nil {
				return err
			}
		}
		at += len(s)
	}
	if m.Security() != Clear {
		note(at, macLen, 2, "MAC", "not checked")
	}
	return nil
}

// explainService notes the fields of a request that stands at an offset of the message.
func explainService(s []byte, at int, note func(offset, length, depth int, field, meaning string)) error {
	err := psem.ExplainRequest(s, func(offset, length, depth int, field, meaning string) {
		note(at+offset, length, 3+depth, field, meaning)
	})
	var pe *psem.ParseError
	if errors.As(err, &pe) {
		return &ParseError{Field: pe.Field, Offset: at + pe.Offset, Err: pe.Err}
	}
	return err
}
