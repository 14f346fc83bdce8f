package p1

import (
	"encoding/binary"
	"fmt"
	"io"
)

const tagGloCiphering = 0xDB

// Encrypted is a telegram within a DLMS general-glo-ciphering APDU, as meters in
// Luxembourg, Austria and Lithuania send it:
//
//	DB | length, system title | length | security control | invocation counter(4) | ciphertext | tag(12)
//
// The plaintext is a telegram, or a DLMS data-notification. It aliases the input.
type Encrypted struct {
	APDU              []byte // all of it, for a DLMS implementation
	SystemTitle       []byte // eight octets
	SecurityControl   byte   // 0x30: authenticated and encrypted, suite 0
	InvocationCounter uint32
	Ciphertext        []byte // without the tag
	Tag               []byte // twelve octets, empty where nothing is authenticated
}

const tagLen = 12

// ParseEncrypted reads the APDU at the start of b.
func ParseEncrypted(b []byte) (e Encrypted, n int, err error) {
	if len(b) == 0 {
		return Encrypted{}, 0, &ParseError{"APDU", 0, io.ErrUnexpectedEOF}
	}
	if b[0] != tagGloCiphering {
		return Encrypted{}, 0, &ParseError{"APDU", 0, fmt.Errorf("tag 0x%02x, want 0x%02x", b[0], tagGloCiphering)}
	}
	if len(b) < 10 {
		return Encrypted{}, 0, &ParseError{"system title", len(b), io.ErrUnexpectedEOF}
	}
	if b[1] != 8 {
		return Encrypted{}, 0, &ParseError{"system title", 1, fmt.Errorf("%d octets, want 8", b[1])}
	}
	size, at, err := parseLength(b, 10)
	if err != nil {
		return Encrypted{}, 0, err
	}
	if size < 5 || size > maxTelegram {
		return Encrypted{}, 0, &ParseError{"length", 10, fmt.Errorf("%d octets, want 5 to %d", size, maxTelegram)}
	}
	n = at + size
	if len(b) < n {
		return Encrypted{}, 0, &ParseError{"ciphertext", len(b), io.ErrUnexpectedEOF}
	}
	e = Encrypted{
		APDU: b[:n:n], SystemTitle: b[2:10:10], SecurityControl: b[at],
		InvocationCounter: binary.BigEndian.Uint32(b[at+1:]),
		Ciphertext:        b[at+5 : n : n],
	}
	if e.SecurityControl&0x10 != 0 {
		if size < 5+tagLen {
			return Encrypted{}, 0, &ParseError{"tag", at + 5, fmt.Errorf("%d octets left, want %d", size-5, tagLen)}
		}
		e.Tag = e.Ciphertext[size-5-tagLen:]
		e.Ciphertext = e.Ciphertext[: size-5-tagLen : size-5-tagLen]
	}
	return e, n, nil
}

// parseLength reads a BER length of up to two octets behind its first.
func parseLength(b []byte, at int) (size, next int, err error) {
	if len(b) <= at {
		return 0, 0, &ParseError{"length", len(b), io.ErrUnexpectedEOF}
	}
	octets := 0
	switch c := b[at]; {
	case c < 0x80:
		return int(c), at + 1, nil
	case c == 0x81, c == 0x82:
		octets = int(c & 0x7F)
	default:
		return 0, 0, &ParseError{"length", at, fmt.Errorf("0x%02x is no length of a telegram", c)}
	}
	if len(b) < at+1+octets {
		return 0, 0, &ParseError{"length", len(b), io.ErrUnexpectedEOF}
	}
	for _, c := range b[at+1 : at+1+octets] {
		size = size<<8 | int(c)
	}
	return size, at + 1 + octets, nil
}

// AppendBinary appends the APDU from its parts. It never fails.
func (e Encrypted) AppendBinary(dst []byte) ([]byte, error) {
	size := 5 + len(e.Ciphertext) + len(e.Tag)
	dst = append(append(dst, tagGloCiphering, byte(len(e.SystemTitle))), e.SystemTitle...)
	switch {
	case size < 0x80:
		dst = append(dst, byte(size))
	case size < 0x100:
		dst = append(dst, 0x81, byte(size))
	default:
		dst = append(dst, 0x82, byte(size>>8), byte(size))
	}
	dst = append(dst, e.SecurityControl)
	dst = binary.BigEndian.AppendUint32(dst, e.InvocationCounter)
	return append(append(dst, e.Ciphertext...), e.Tag...), nil
}
