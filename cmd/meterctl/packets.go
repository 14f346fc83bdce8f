package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// packet is what a TCP or UDP packet of a capture carried.
type packet struct {
	from, to netip.AddrPort
	udp      bool
	syn, ack bool
	seq, acq uint32 // sequence and acknowledgement numbers
	payload  []byte
	cut      bool // the file does not have all of it
}

// Link types (https://www.tcpdump.org/linktypes.html) that packets of IP are found behind.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRawBSD   = 12
	linkRawBSD14 = 14
	linkRaw      = 101
	linkLoop     = 108
	linkCooked   = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkCooked2  = 276
)

var errPcap = errors.New("no capture of packets")

// packets calls yield for each TCP and UDP packet of a pcap or pcapng file, as far as it goes.
func packets(raw []byte, yield func(packet)) error {
	if bytes.HasPrefix(raw, []byte{0x0A, 0x0D, 0x0D, 0x0A}) {
		return packetsNg(raw, yield)
	}
	if len(raw) < 24 {
		return io.ErrUnexpectedEOF
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch magic := order.Uint32(raw); {
	case magic == 0xA1B2C3D4 || magic == 0xA1B23C4D:
	case binary.BigEndian.Uint32(raw) == 0xA1B2C3D4 || binary.BigEndian.Uint32(raw) == 0xA1B23C4D:
		order = binary.BigEndian
	default:
		return errPcap
	}
	link := order.Uint32(raw[20:]) & 0xFFFF
	for b := raw[24:]; len(b) >= 16; {
		kept, sent := order.Uint32(b[8:]), order.Uint32(b[12:])
		if b = b[16:]; uint64(kept) > uint64(len(b)) {
			kept = uint32(len(b)) // the file breaks off
		}
		linkPacket(link, b[:kept], kept < sent, yield)
		b = b[kept:]
	}
	return nil
}

// packetsNg reads the blocks of a pcapng file (draft-ietf-opsawg-pcapng): sections,
// interfaces, and packets in their three kinds of block.
func packetsNg(raw []byte, yield func(packet)) error {
	var order binary.ByteOrder = binary.LittleEndian
	var links []uint32
	var snaps []uint32
	for b := raw; len(b) >= 12; {
		if binary.BigEndian.Uint32(b) == 0x0A0D0D0A {
			if order = binary.LittleEndian; binary.BigEndian.Uint32(b[8:]) == 0x1A2B3C4D {
				order = binary.BigEndian
			} else if order.Uint32(b[8:]) != 0x1A2B3C4D {
				return errPcap
			}
			links, snaps = nil, nil
		}
		size := order.Uint32(b[4:])
		if size < 12 || size%4 != 0 {
			return fmt.Errorf("%w: a block of %d octets", errPcap, size)
		}
		if uint64(size) > uint64(len(b)) {
			return nil // the file breaks off
		}
		body := b[8 : size-4]
		switch kind := order.Uint32(b); {
		case kind == 1 && len(body) >= 8: // interface description
			links, snaps = append(links, uint32(order.Uint16(body))), append(snaps, order.Uint32(body[4:]))
		case (kind == 6 || kind == 2) && len(body) >= 20: // enhanced packet, and the one before it
			at := order.Uint32(body)
			if kind == 2 {
				at = uint32(order.Uint16(body))
			}
			kept, sent := order.Uint32(body[12:]), order.Uint32(body[16:])
			if uint64(at) < uint64(len(links)) && uint64(kept) <= uint64(len(body)-20) {
				linkPacket(links[at], body[20:20+kept], kept < sent, yield)
			}
		case kind == 3 && len(body) >= 4 && len(links) > 0: // simple packet
			sent, data := order.Uint32(body), body[4:]
			kept := min(uint64(sent), uint64(len(data)))
			if snaps[0] > 0 {
				kept = min(kept, uint64(snaps[0]))
			}
			linkPacket(links[0], data[:kept], kept < uint64(sent), yield)
		}
		b = b[size:]
	}
	return nil
}

// linkPacket finds the IP packet in a frame of the link.
func linkPacket(link uint32, b []byte, cut bool, yield func(packet)) {
	skip := map[uint32]int{linkNull: 4, linkLoop: 4, linkEthernet: 12, linkCooked: 14, linkCooked2: 0, linkRaw: 0, linkRawBSD: 0, linkRawBSD14: 0, linkIPv4: 0, linkIPv6: 0}
	n, known := skip[link]
	if !known || len(b) < n+2 {
		return
	}
	b = b[n:]
	switch link {
	case linkEthernet, linkCooked:
		kind := binary.BigEndian.Uint16(b)
		for b = b[2:]; (kind == 0x8100 || kind == 0x88A8) && len(b) >= 4; b = b[4:] { // tags of virtual networks
			kind = binary.BigEndian.Uint16(b[2:])
		}
		if kind == 0x8864 && len(b) >= 8 { // PPPoE session
			b = b[8:]
		} else if kind != 0x0800 && kind != 0x86DD {
			return
		}
	case linkCooked2:
		if len(b) < 20 {
			return
		}
		b = b[20:]
	}
	if len(b) > 0 && b[0]>>4 == 4 {
		ipv4(b, cut, yield)
	} else if len(b) > 0 && b[0]>>4 == 6 {
		ipv6(b, cut, yield)
	}
}

func ipv4(b []byte, cut bool, yield func(packet)) {
	if len(b) < 20 {
		return
	}
	head, size := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || len(b) < head || binary.BigEndian.Uint16(b[6:])&0x3FFF != 0 { // fragments are not put together
		return
	}
	if size >= head && size < len(b) { // what fills up a short frame is no part of it
		b = b[:size]
	}
	from, to := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	transport(b[9], from, to, b[head:], cut, yield)
}

func ipv6(b []byte, cut bool, yield func(packet)) {
	if len(b) < 40 {
		return
	}
	next, size := b[6], 40+int(binary.BigEndian.Uint16(b[4:]))
	from, to := netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	if size > 40 && size < len(b) {
		b = b[:size]
	}
	for b = b[40:]; next == 0 || next == 43 || next == 60; { // options and routing
		if len(b) < 8 || len(b) < 8+int(b[1])*8 {
			return
		}
		next, b = b[0], b[8+int(b[1])*8:]
	}
	transport(next, from, to, b, cut, yield)
}

func transport(protocol byte, from, to netip.Addr, b []byte, cut bool, yield func(packet)) {
	if protocol != 6 && protocol != 17 || len(b) < 8 {
		return
	}
	p := packet{
		from: netip.AddrPortFrom(from, binary.BigEndian.Uint16(b)), to: netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:])),
		udp: protocol == 17, cut: cut,
	}
	head := 8
	if !p.udp {
		if len(b) < 20 {
			return
		}
		head = int(b[12]>>4) * 4
		p.seq, p.acq, p.syn, p.ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13]&2 != 0, b[13]&16 != 0
	} else if size := int(binary.BigEndian.Uint16(b[4:])); size >= 8 && size < len(b) {
		b = b[:size]
	}
	if head > len(b) || head < 8 {
		return
	}
	p.payload = b[head:]
	yield(p)
}
