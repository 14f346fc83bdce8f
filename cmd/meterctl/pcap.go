package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"

	"github.com/openusm/meter"
)

// conversations returns what the TCP and UDP packets of a pcap or pcapng file
// carried: for each two partners their octets in order, without what was sent
// again. Where octets are missing a new part begins, so that nobody's octets
// complete another one's message.
func conversations(raw []byte) ([]io.Reader, error) {
	c := captured{talks: map[partners]*talk{}}
	if err := packets(raw, c.packet); err != nil {
		return nil, fmt.Errorf("%w: pcap: %w", meter.ErrFrame, err)
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

// captured is what a file of packets holds.
type captured struct {
	talks map[partners]*talk
	order []*talk // as they began
}

// partners are two hosts and their ports, and what they speak, in an order of their own.
type partners struct {
	from, to netip.AddrPort
	udp      bool
}

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

func (c *captured) packet(p packet) {
	from := partners{p.from, p.to, p.udp}
	t := c.talk(from)
	if p.udp {
		t.add(p.payload)
		if p.cut {
			t.begin()
		}
		return
	}
	if p.ack { // what the other side acknowledged and we never saw is missing in the file
		t.acknowledged(t.way(from.reverse()), p.acq)
	}
	if p.syn {
		t.begin()
		*t.way(from) = way{from: from, known: true, due: p.seq + 1}
		return
	}
	if len(p.payload) > 0 {
		t.segment(t.way(from), segment{seq: p.seq, octets: p.payload, cut: p.cut})
	}
}

func (p partners) reverse() partners { return partners{p.to, p.from, p.udp} }

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
