package hdlc

import (
	"fmt"
	"io"
)

// Parameters are what a side can send and receive, from its own point of view;
// they travel in the information of SNRM and UA. Zero fields mean the defaults.
type Parameters struct {
	MaxInfoSend    uint16 // octets of information; default 128
	MaxInfoReceive uint16
	WindowSend     uint8 // I frames without an acknowledgement between them; default 1
	WindowReceive  uint8
}

const (
	defaultInfo   = 128
	defaultWindow = 1
	maxInfo       = 2030
	maxWindow     = 7
)

// normal replaces zero fields by defaults and limits the others.
func (p Parameters) normal() Parameters {
	info := func(n uint16) uint16 {
		if n == 0 {
			return defaultInfo
		}
		return min(n, maxInfo)
	}
	window := func(n uint8) uint8 {
		if n == 0 {
			return defaultWindow
		}
		return min(n, maxWindow)
	}
	return Parameters{info(p.MaxInfoSend), info(p.MaxInfoReceive), window(p.WindowSend), window(p.WindowReceive)}
}

// Negotiate returns what is left of p when the peer says what it can.
func (p Parameters) Negotiate(peer Parameters) Parameters {
	p, peer = p.normal(), peer.normal()
	return Parameters{
		min(p.MaxInfoSend, peer.MaxInfoReceive), min(p.MaxInfoReceive, peer.MaxInfoSend),
		min(p.WindowSend, peer.WindowReceive), min(p.WindowReceive, peer.WindowSend),
	}
}

// ParseParameters reads the information of SNRM or UA: 81 80 length, then fields
// of identifier, length and value. No information means the defaults.
func ParseParameters(b []byte) (Parameters, error) {
	if len(b) == 0 {
		return Parameters{}.normal(), nil
	}
	if len(b) < 3 {
		return Parameters{}, short("parameters", b)
	}
	if b[0] != 0x81 || b[1] != 0x80 {
		return Parameters{}, &ParseError{"parameters", 0, fmt.Errorf("% x, want 81 80", b[:2])}
	}
	if int(b[2]) > len(b)-3 {
		return Parameters{}, &ParseError{"parameters", len(b), io.ErrUnexpectedEOF}
	}
	var p Parameters
	end := 3 + int(b[2])
	for at := 3; at < end; {
		if at+2 > end || at+2+int(b[at+1]) > end {
			return Parameters{}, &ParseError{"parameter", at, fmt.Errorf("runs over the end")}
		}
		value := uint32(0)
		for _, o := range b[at+2 : at+2+int(b[at+1])] {
			value = min(value<<8|uint32(o), 0xFFFFFF)
		}
		switch b[at] {
		case 5:
			p.MaxInfoSend = uint16(min(value, maxInfo))
		case 6:
			p.MaxInfoReceive = uint16(min(value, maxInfo))
		case 7:
			p.WindowSend = uint8(min(value, maxWindow))
		case 8:
			p.WindowReceive = uint8(min(value, maxWindow))
		}
		at += 2 + int(b[at+1])
	}
	return p.normal(), nil
}

// Append appends the information of SNRM or UA.
func (p Parameters) Append(dst []byte) []byte {
	p = p.normal()
	start := len(dst)
	dst = append(dst, 0x81, 0x80, 0)
	for _, f := range []struct {
		id    byte
		value uint16
	}{{5, p.MaxInfoSend}, {6, p.MaxInfoReceive}} {
		if f.value > 0xFF {
			dst = append(dst, f.id, 2, byte(f.value>>8), byte(f.value))
		} else {
			dst = append(dst, f.id, 1, byte(f.value))
		}
	}
	dst = append(dst, 7, 4, 0, 0, 0, p.WindowSend, 8, 4, 0, 0, 0, p.WindowReceive)
	dst[start+2] = byte(len(dst) - start - 3)
	return dst
}
