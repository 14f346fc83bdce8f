package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/openusm/meter"
)

// conversations returns what the TCP and UDP packets of a pcap or pcapng file
// carried: for each two partners their octets in order, without what was sent
// again. Where octets are missing a new part begins, so that nobody's octets
// complete another one's message.
func conversations(raw []byte) ([]io.Reader, error) {
	packets, link, err := packetSource(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: pcap: %w", meter.ErrFrame, err)
	}
	c := captured{talks: map[partners]*talk{}}
	for {
		data, info, err := packets.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: pcap: %w", meter.ErrFrame, err)
		}
		c.packet(gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true}), info.CaptureLength < info.Length)
	}
	var each []io.Reader
	for _, t := range c.order {
		t.end()
		for _, part := range t.parts {
			if len(part) > 0 {
				each = append(each, bytes.NewReader(part))
			}
		}
	}
	if len(each) == 0 {
		return nil, fmt.Errorf("%w: pcap: no octets in TCP or UDP packets", meter.ErrFrame)
	}
	return each, nil
}

func packetSource(raw []byte) (gopacket.PacketDataSource, gopacket.Decoder, error) {
	if bytes.HasPrefix(raw, []byte{0x0A, 0x0D, 0x0D, 0x0A}) {
		r, err := pcapgo.NewNgReader(bytes.NewReader(raw), pcapgo.DefaultNgReaderOptions)
		if err != nil {
			return nil, nil, err
		}
		return r, r.LinkType(), nil
	}
	r, err := pcapgo.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, err
	}
	return r, r.LinkType(), nil
}

// captured is what a file of packets holds.
type captured struct {
	talks map[partners]*talk
	order []*talk // as they began
}

// partners are two hosts and their ports, in an order of their own.
type partners struct{ network, transport gopacket.Flow }

// talk is what two partners said to each other.
type talk struct {
	parts [][]byte
	ways  []*way // of one side and of the other
}

// way is one direction of a TCP connection.
type way struct {
	from  partners
	known bool
	due   uint32    // the sequence number that comes next
	early []segment // came before others that are due
}

type segment struct {
	seq    uint32
	octets []byte
	cut    bool // the file does not have all of it
}

// maxEarly is how many segments may overtake one that is due.
const maxEarly = 64

func (c *captured) packet(p gopacket.Packet, cut bool) {
	network := p.NetworkLayer()
	if network == nil {
		return
	}
	if udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok {
		t := c.talk(partners{network.NetworkFlow(), udp.TransportFlow()})
		t.add(udp.Payload)
		if cut {
			t.begin()
		}
	}
	tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		return
	}
	from := partners{network.NetworkFlow(), tcp.TransportFlow()}
	t := c.talk(from)
	if tcp.ACK { // what the other side acknowledged and we never saw is missing in the file
		t.acknowledged(t.way(from.reverse()), tcp.Ack)
	}
	if tcp.SYN {
		t.begin()
		*t.way(from) = way{from: from, known: true, due: tcp.Seq + 1}
		return
	}
	if len(tcp.Payload) > 0 {
		t.segment(t.way(from), segment{seq: tcp.Seq, octets: tcp.Payload, cut: cut})
	}
}

func (p partners) reverse() partners { return partners{p.network.Reverse(), p.transport.Reverse()} }

// talk returns the talk of two partners, whoever of them spoke.
func (c *captured) talk(p partners) *talk {
	t := c.talks[p]
	if t == nil {
		t = c.talks[p.reverse()]
	}
	if t == nil {
		t = &talk{}
		c.talks[p] = t
		c.order = append(c.order, t)
	}
	return t
}

func (t *talk) way(from partners) *way {
	for _, w := range t.ways {
		if w.from == from {
			return w
		}
	}
	w := &way{from: from}
	t.ways = append(t.ways, w)
	return w
}

func (t *talk) add(b []byte) {
	if len(t.parts) == 0 {
		t.begin()
	}
	t.parts[len(t.parts)-1] = append(t.parts[len(t.parts)-1], b...)
}

// begin begins a new part.
func (t *talk) begin() {
	if n := len(t.parts); n == 0 || len(t.parts[n-1]) > 0 {
		t.parts = append(t.parts, nil)
	}
}

func (t *talk) segment(w *way, s segment) {
	if !w.known {
		w.known, w.due = true, s.seq
	}
	w.early = append(w.early, s)
	t.drain(w)
	if len(w.early) > maxEarly {
		t.miss(w)
	}
}

// drain takes the segments that are due.
func (t *talk) drain(w *way) {
	for again := true; again; {
		again = false
		for i, s := range w.early {
			old := int(int32(w.due - s.seq))
			if old < 0 {
				continue
			}
			w.early = append(w.early[:i], w.early[i+1:]...)
			if again = true; old < len(s.octets) {
				t.add(s.octets[old:])
				w.due = s.seq + uint32(len(s.octets))
				if s.cut {
					w.known = len(w.early) > 0
					t.begin()
				}
			}
			break
		}
	}
}

// miss goes on behind octets that never came.
func (t *talk) miss(w *way) {
	if len(w.early) == 0 {
		return
	}
	first := w.early[0].seq
	for _, s := range w.early {
		if int32(s.seq-first) < 0 {
			first = s.seq
		}
	}
	t.begin()
	w.due = first
	t.drain(w)
}

// acknowledged goes on where the receiver has octets that are not in the file.
func (t *talk) acknowledged(w *way, next uint32) {
	for len(w.early) > 0 && int32(next-w.due) > 0 {
		t.miss(w)
	}
}

// end takes what still waits.
func (t *talk) end() {
	for _, w := range t.ways {
		for len(w.early) > 0 {
			t.miss(w)
		}
	}
}
