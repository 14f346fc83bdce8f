package iec104

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"
)

// seat is the place of a connection. Whoever transfers data keeps it; the others, who
// may be nobody, make room.
type seat struct {
	host  netip.Addr
	begun time.Time
	leave func()
	busy  bool // transfers data
}

// errFull reports a connection for which there is no room.
var errFull = errors.New("iec104: more connections than allowed")

// restless is how long a connection is left alone before it may have to make room.
const restless = 50 * time.Millisecond

// sit takes a place, which may be that of another: of the host that has most that
// do not transfer data, the oldest.
func (s *Station) sit(own *seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seats) >= s.cfg.connections() {
		count := map[netip.Addr]int{}
		for _, other := range s.seats {
			if !other.busy {
				count[other.host]++
			}
		}
		at := -1
		for i, other := range s.seats {
			if !other.busy && time.Since(other.begun) >= restless && (at < 0 || count[other.host] > count[s.seats[at].host]) {
				at = i
			}
		}
		if at < 0 {
			return false
		}
		s.seats[at].leave()
		s.seats = slices.Delete(s.seats, at, at+1)
	}
	s.seats = append(s.seats, own)
	return true
}

// rise gives a place free.
func (s *Station) rise(own *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seats = slices.DeleteFunc(s.seats, func(other *seat) bool { return other == own })
}

// hostOf returns the address of the peer, the zero one where it has none.
func hostOf(rw io.ReadWriteCloser) netip.Addr {
	conn, ok := rw.(net.Conn)
	if !ok {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}
