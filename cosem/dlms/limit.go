package dlms

import (
	"sync/atomic"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
)

// What a client can have a server do at once. Whoever sends nothing else than
// requests holds no more than this, whether he is known or not.
const (
	maxItems  = 256      // of one request; those beyond are refused
	maxListed = 1 << 20  // octets of the items of one answer, after which the others are refused
	maxKept   = 4 << 10  // octets of an answer whose memory is used again
	maxHeld   = 64 << 20 // octets of requests and answers in blocks, of all clients of a server
)

// objectSize is about what an object with a short name takes.
const objectSize = 80

// budget bounds what the sessions of a server hold together.
type budget struct{ held atomic.Int64 }

// adjust takes n octets, or gives them back where n is negative. It reports
// whether they were to be had.
func (b *budget) adjust(n int) bool {
	if b.held.Add(int64(n)) <= maxHeld || n <= 0 {
		return true
	}
	b.held.Add(-int64(n))
	return false
}

// answers returns the answers to an APDU, in whose place an exception stands
// where the session would hold too much. Of their memory no more is kept than
// what small answers need.
func (s *session) answers() [][]byte {
	if !s.account() {
		s.frames = append(s.frames[:0], s.plain(apdu.ExceptionResponse{State: 1, Service: apdu.PDUTooLong}))
	}
	frames := s.frames
	if cap(s.out) > maxKept || len(frames) > 0 && cap(frames[0]) > maxKept {
		s.out, s.frames = nil, nil
	}
	return frames
}

// account takes what the session holds now from the budget. Where there is not
// enough, the session forgets what is under way.
func (s *session) account() bool {
	n := len(s.long.raw) + len(s.request.raw)
	if s.names != nil {
		n += len(s.names.objects) * objectSize
	}
	if s.blocks != nil {
		n += len(s.blocks.in) + len(s.blocks.out)
	}
	if s.cfg.held.adjust(n - s.held) {
		s.held = n
		return true
	}
	s.forget()
	return false
}

// forget drops all that comes or goes in blocks.
func (s *session) forget() {
	s.long, s.request, s.blocks, s.names = longAnswer{}, longRequest{}, nil, nil
	s.cfg.held.adjust(-s.held)
	s.held = 0
}

// items answers the items of a request one by one, as long as there is room.
type items struct {
	n, size int
}

// more reports whether there is room for a further item.
func (i *items) more() bool {
	i.n++
	return i.n <= maxItems && i.size < maxListed
}

// took counts the answer to an item.
func (i *items) took(d cosem.Data) { i.size += len(d.Binary()) }

// readItem reads one of several attributes.
func (s *session) readItem(i *items, g apdu.Get) apdu.Result {
	if !i.more() {
		return apdu.Result{Code: cosem.DataBlockUnavailable}
	}
	r := s.read(g)
	i.took(r.Data)
	return r
}
