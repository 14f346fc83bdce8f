package main

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// framed makes a capture file of frames on a link, in one of the two formats and orders.
func framed(link uint16, ng bool, order binary.AppendByteOrder, frames ...[]byte) (file []byte) {
	if !ng {
		file = order.AppendUint32(nil, 0xA1B2C3D4)
		file = order.AppendUint16(order.AppendUint16(file, 2), 4)
		file = append(file, make([]byte, 8)...)
		file = order.AppendUint32(order.AppendUint32(file, 65535), uint32(link))
		for _, f := range frames {
			file = append(file, make([]byte, 8)...)
			file = append(order.AppendUint32(order.AppendUint32(file, uint32(len(f))), uint32(len(f))), f...)
		}
		return file
	}
	block := func(kind uint32, body []byte) {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		n := uint32(12 + len(body))
		file = order.AppendUint32(append(order.AppendUint32(order.AppendUint32(file, kind), n), body...), n)
	}
	block(0x0A0D0D0A, order.AppendUint16(order.AppendUint16(order.AppendUint32(nil, 0x1A2B3C4D), 1), 0))
	block(1, order.AppendUint32(order.AppendUint16(order.AppendUint16(nil, link), 0), 65535))
	block(5, make([]byte, 12)) // statistics
	for i, f := range frames {
		if i%2 == 1 {
			block(3, append(order.AppendUint32(nil, uint32(len(f))), f...))
			continue
		}
		body := append(order.AppendUint32(nil, 0), make([]byte, 8)...)
		block(6, append(order.AppendUint32(order.AppendUint32(body, uint32(len(f))), uint32(len(f))), f...))
	}
	return file
}

// ip6 is a UDP packet of IPv6 behind hop-by-hop options.
func ip6(payload []byte) []byte {
	b := []byte{0x60, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(16+len(payload)))
	b = append(b, 0, 64)
	b = append(b, make([]byte, 32)...)
	b = append(b, 17, 0, 1, 4, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(append(b, 0x0F, 0xDB, 0x9C, 0x40), uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

func TestPackets(t *testing.T) {
	tcp, udp := tcpPacket(1000, []byte("hello")), ip6([]byte("world"))
	padded := append(append([]byte(nil), tcp...), 0, 0, 0, 0)
	for name, test := range map[string]struct {
		link   uint16
		before []byte // of what IP is in
		kind4  []byte
		kind6  []byte
	}{
		"raw":      {linkRaw, nil, nil, nil},
		"loop":     {linkNull, []byte{2, 0, 0, 0}, nil, nil},
		"ethernet": {linkEthernet, make([]byte, 12), []byte{8, 0}, []byte{0x86, 0xDD}},
		"tagged":   {linkEthernet, append(make([]byte, 12), 0x88, 0xA8, 0, 5, 0x81, 0, 0, 7), []byte{8, 0}, []byte{0x86, 0xDD}},
		"cooked":   {linkCooked, make([]byte, 14), []byte{8, 0}, []byte{0x86, 0xDD}},
		"cooked 2": {linkCooked2, make([]byte, 20), nil, nil},
		"PPPoE":    {linkEthernet, append(make([]byte, 12), 0x88, 0x64, 0x11, 0, 0, 1, 0, 47), []byte{0, 0x21}, []byte{0, 0x57}},
	} {
		frame := func(kind, b []byte) []byte { return append(append(append([]byte(nil), test.before...), kind...), b...) }
		for _, ng := range []bool{false, true} {
			for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				file := framed(test.link, ng, order, frame(test.kind4, tcp), frame(test.kind6, udp), frame(test.kind4, padded))
				var got []string
				require.NoError(t, packets(file, func(p packet) { got = append(got, string(p.payload)) }), name)
				require.Equal(t, []string{"hello", "world", "hello"}, got, "%s, pcapng %t", name, ng)
				for cut := range file {
					_ = packets(file[:cut], func(packet) {})
				}
			}
		}
	}
	for _, bad := range []string{"", "no capture of packets at all", "\x0a\x0d\x0d\x0a\x1c\x00\x00\x00no magic, it has no order"} {
		require.Error(t, packets([]byte(bad), func(packet) {}))
	}
}

func FuzzPackets(f *testing.F) {
	f.Add(framed(linkEthernet, true, binary.LittleEndian, append(append(make([]byte, 12), 8, 0), tcpPacket(1, []byte("x"))...)))
	f.Add(framed(linkRaw, false, binary.BigEndian, ip6([]byte("y"))))
	f.Fuzz(func(t *testing.T, file []byte) {
		n := 0
		_ = packets(file, func(p packet) { n += len(p.payload) })
		require.LessOrEqual(t, n, len(file))
	})
}
