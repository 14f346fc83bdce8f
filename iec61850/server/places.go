package server

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// places are those of connections. Clients that have associated keep theirs, as
// they may well wait for reports and say nothing; others make room.
type places struct {
	mu      sync.Mutex
	taken   int
	waiting []*association // not associated yet, the oldest first
}

// restless is how long a connection is left alone before it may have to make room.
const restless = 50 * time.Millisecond

// enter takes a place, which may be that of another.
func (p *places) enter(a *association, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= most && !p.makeRoom() {
		return false
	}
	p.taken++
	p.waiting = append(p.waiting, a)
	return true
}

func (p *places) makeRoom() bool {
	count := map[netip.Addr]int{}
	for _, a := range p.waiting {
		count[a.host]++
	}
	var leaves *association
	for _, a := range p.waiting {
		if time.Since(a.begun) >= restless && (leaves == nil || count[a.host] > count[leaves.host]) {
			leaves = a
		}
	}
	if leaves == nil {
		return false
	}
	p.taken--
	p.remove(leaves)
	leaves.evicted = true
	leaves.leave()
	return true
}

// associated is told of a client that is one now.
func (p *places) associated(a *association) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(a)
}

// leave gives a place free.
func (p *places) leave(a *association) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(a)
	if !a.evicted {
		p.taken--
	}
}

func (p *places) remove(a *association) {
	for i, other := range p.waiting {
		if other == a {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return
		}
	}
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
