package mms

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

const (
	tpktHeader = 4
	dataHeader = 3
	// DefaultTPDU is the TPDU size that this library proposes: the greatest of class 0.
	DefaultTPDU = 8192
)

// ParseTPKT reads the packet at the start of b (RFC 1006: version 3, reserved,
// length with these four octets) and returns how many octets it took.
// Input that is only too short gives an error that wraps [io.ErrUnexpectedEOF].
func ParseTPKT(b []byte) (tpdu []byte, n int, err error) {
	if len(b) > 0 && b[0] != 3 {
		return nil, 0, &ParseError{"tpkt", "version", 0, fmt.Errorf("%d, want 3", b[0])}
	}
	if len(b) < tpktHeader {
		return nil, 0, &ParseError{"tpkt", "header", len(b), io.ErrUnexpectedEOF}
	}
	n = int(binary.BigEndian.Uint16(b[2:]))
	if n < tpktHeader+2 {
		return nil, 0, &ParseError{"tpkt", "length", 2, fmt.Errorf("%d, want at least %d", n, tpktHeader+2)}
	}
	if len(b) < n {
		return nil, 0, &ParseError{"tpkt", "TPDU", len(b), io.ErrUnexpectedEOF}
	}
	return b[tpktHeader:n:n], n, nil
}

// TPDUKind is the code of a TPDU.
type TPDUKind uint8

// The TPDUs of class 0 (ISO 8073).
const (
	ConnectRequest    TPDUKind = 0xE0
	ConnectConfirm    TPDUKind = 0xD0
	DisconnectRequest TPDUKind = 0x80
	TransportData     TPDUKind = 0xF0
	TransportError    TPDUKind = 0x70
)

// TPDU is a transport PDU of class 0.
type TPDU struct {
	Kind    TPDUKind
	Dst     uint16
	Src     uint16
	Reason  uint8  // of a DisconnectRequest or TransportError
	Size    int    // TPDU size of ConnectRequest and ConnectConfirm, 128 to 8192; 0: not given
	Calling []byte // transport selectors
	Called  []byte
	Last    bool   // of TransportData: the end of the TSDU
	Data    []byte // of TransportData; aliases the input
}

// ParseTPDU reads a TPDU, which takes all of b.
func ParseTPDU(b []byte) (TPDU, error) {
	if len(b) < 2 {
		return TPDU{}, &ParseError{"cotp", "header", len(b), io.ErrUnexpectedEOF}
	}
	end := 1 + int(b[0])
	if end > len(b) {
		return TPDU{}, &ParseError{"cotp", "header", len(b), io.ErrUnexpectedEOF}
	}
	t := TPDU{Kind: TPDUKind(b[1] & 0xF0)}
	if t.Kind == TransportData {
		if end < dataHeader {
			return TPDU{}, &ParseError{"cotp", "length", 0, fmt.Errorf("%d, want 2", b[0])}
		}
		t.Last, t.Data = b[2]&0x80 != 0, b[end:]
		return t, nil
	}
	fixed := 7
	switch t.Kind {
	case ConnectRequest, ConnectConfirm, DisconnectRequest:
	case TransportError:
		fixed = 5
	default:
		return TPDU{}, &ParseError{"cotp", "code", 1, fmt.Errorf("0x%02x", b[1])}
	}
	if end < fixed {
		return TPDU{}, &ParseError{"cotp", "length", 0, fmt.Errorf("%d, want at least %d", b[0], fixed-1)}
	}
	t.Dst = binary.BigEndian.Uint16(b[2:])
	if t.Kind == TransportError {
		t.Reason = b[4]
		return t, nil
	}
	t.Src = binary.BigEndian.Uint16(b[4:])
	if t.Kind == DisconnectRequest {
		t.Reason = b[6]
		return t, nil
	}
	if b[6]>>4 != 0 {
		return TPDU{}, &ParseError{"cotp", "class", 6, fmt.Errorf("%d, want 0", b[6]>>4)}
	}
	for at := fixed; at < end; {
		if end-at < 2 || end-at-2 < int(b[at+1]) {
			return TPDU{}, &ParseError{"cotp", "parameter", at, io.ErrUnexpectedEOF}
		}
		value := b[at+2 : at+2+int(b[at+1])]
		switch b[at] {
		case 0xC0:
			if len(value) != 1 || value[0] < 7 || value[0] > 13 {
				return TPDU{}, &ParseError{"cotp", "TPDU size", at + 2, fmt.Errorf("%x, want 7 to 13", value)}
			}
			t.Size = 1 << value[0]
		case 0xC1:
			t.Calling = value
		case 0xC2:
			t.Called = value
		}
		at += 2 + len(value)
	}
	return t, nil
}

// Append appends the TPDU in its packet.
func (t TPDU) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 3, 0, 0, 0)
	switch t.Kind {
	case TransportData:
		last := byte(0)
		if t.Last {
			last = 0x80
		}
		dst = append(append(dst, 2, byte(t.Kind), last), t.Data...)
	case ConnectRequest, ConnectConfirm:
		if len(t.Calling) > 32 || len(t.Called) > 32 {
			return dst[:start], fmt.Errorf("mms: transport selector: %w", ErrTooLong)
		}
		li := len(dst)
		dst = append(dst, 0, byte(t.Kind), byte(t.Dst>>8), byte(t.Dst), byte(t.Src>>8), byte(t.Src), 0)
		if t.Size > 0 {
			dst = append(dst, 0xC0, 1, byte(bits.Len(uint(t.Size))-1))
		}
		dst = append(append(dst, 0xC1, byte(len(t.Calling))), t.Calling...)
		dst = append(append(dst, 0xC2, byte(len(t.Called))), t.Called...)
		dst[li] = byte(len(dst) - li - 1)
	case DisconnectRequest:
		dst = append(dst, 6, byte(t.Kind), byte(t.Dst>>8), byte(t.Dst), byte(t.Src>>8), byte(t.Src), t.Reason)
	case TransportError:
		dst = append(dst, 4, byte(t.Kind), byte(t.Dst>>8), byte(t.Dst), t.Reason)
	default:
		return dst[:start], fmt.Errorf("mms: TPDU of code 0x%02x", byte(t.Kind))
	}
	n := len(dst) - start
	if n > 0xFFFF {
		return dst[:start], fmt.Errorf("mms: TPDU of %d octets: %w", n, ErrTooLong)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(n))
	return dst, nil
}

// appendTSDU appends the TSDU that begins at mark in dst as packets of at most
// size octets of TPDU. The room for the first header must be there already, at
// mark-tpktHeader-dataHeader.
func appendTSDU(dst []byte, mark, size int) []byte {
	room := size - dataHeader
	if tsdu := dst[mark:]; len(tsdu) <= room {
		header(dst[mark-tpktHeader-dataHeader:], len(tsdu), true)
		return dst
	}
	tsdu := append([]byte(nil), dst[mark:]...)
	dst = dst[:mark-tpktHeader-dataHeader]
	for {
		part := tsdu[:min(room, len(tsdu))]
		tsdu = tsdu[len(part):]
		at := len(dst)
		dst = append(append(dst, make([]byte, tpktHeader+dataHeader)...), part...)
		header(dst[at:], len(part), len(tsdu) == 0)
		if len(tsdu) == 0 {
			return dst
		}
	}
}

func header(b []byte, n int, last bool) {
	b[0], b[1] = 3, 0
	binary.BigEndian.PutUint16(b[2:], uint16(n+tpktHeader+dataHeader))
	b[4], b[5], b[6] = 2, byte(TransportData), 0
	if last {
		b[6] = 0x80
	}
}
