package coap

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp/client"
)

// remote is what the server remembers of one client.
type remote struct {
	server *Server
	conn   *client.Conn
	kick   chan struct{} // wakes the notifier

	mu sync.Mutex
	proof
	seen         time.Time
	asked        time.Time // when it was last asked whether it is still there
	notifying    bool
	observations map[string]*observation // by their tokens
	transfers    map[query]*transfer
	exchanges    map[int32]*exchange // commands by their message ids
}

// observation is one resource that a client observes.
type observation struct {
	token  message.Token
	query  query
	szx    int
	etag   [8]byte // of the representation that was sent last
	sent   time.Time
	stale  bool  // what was sent may not be thought fresh
	number int32 // message id of the last notification
}

// transfer is a representation that a client fetches in blocks.
type transfer struct {
	rep  *representation
	last time.Time
}

const (
	// idle is after how long a client that observes nothing gives way to a new one.
	idle = 10 * time.Second
	// restless is how long one that may be nobody is left alone.
	restless = 100 * time.Millisecond
	// maxKept is how many octets of representations are kept for transfers in blocks.
	maxKept = 32 << 20
)

// opened is told of each new client. Where there is no room for it, and nobody
// leaves, it is closed before its first message is read. The handshake of DTLS has
// proven an address.
func (s *Server) opened(conn *client.Conn, proven bool) {
	r := &remote{server: s, conn: conn, kick: make(chan struct{}, 1), seen: time.Now(), proof: newProof(proven), observations: map[string]*observation{}, transfers: map[query]*transfer{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.remotes) >= s.cfg.MaxRemotes && !s.makeRoom(r.seen) {
		s.warn("coap: too many clients", "remote", conn.RemoteAddr().String())
		_ = conn.Close()
		return
	}
	s.remotes[conn] = r
	conn.AddOnClose(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.remotes, conn)
		r.mu.Lock()
		defer r.mu.Unlock()
		for key := range r.transfers {
			r.drop(key)
		}
	})
}

// makeRoom forgets the client that was silent longest: of those whose address is not
// proven or, if there are none, of those that observe nothing.
func (s *Server) makeRoom(now time.Time) bool {
	var leaves *remote
	var since time.Time
	var proven bool
	for _, r := range s.remotes {
		r.mu.Lock()
		may := len(r.observations) == 0 && now.Sub(r.seen) > idle || !r.proven && now.Sub(r.seen) > restless
		if may && (leaves == nil || proven && !r.proven || proven == r.proven && r.seen.Before(since)) {
			leaves, since, proven = r, r.seen, r.proven
		}
		r.mu.Unlock()
	}
	if leaves == nil {
		return false
	}
	delete(s.remotes, leaves.conn)
	_ = leaves.conn.Close()
	return true
}

func (s *Server) remote(conn *client.Conn) *remote {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remotes[conn]
}

// inactive forgets a client that said nothing for long. One that observes is sent
// a notification, which it has to acknowledge.
func (s *Server) inactive(conn *client.Conn) {
	r := s.remote(conn)
	if r == nil {
		_ = conn.Close()
		return
	}
	now := time.Now()
	r.mu.Lock()
	observes := len(r.observations) > 0 && (r.proven || now.Sub(r.seen) < s.patience()) // a stranger may not even be asked for long
	ask := now.Sub(r.asked) > s.patience()
	if observes && ask {
		r.asked = now
		for _, o := range r.observations {
			o.sent = time.Time{}
			break
		}
	}
	r.mu.Unlock()
	switch {
	case !observes:
		_ = conn.Close()
	case ask:
		r.wake()
	}
}

// patience is how long an acknowledgement may take.
func (s *Server) patience() time.Duration { return (retransmits + 2) * s.cfg.AckTimeout }

// next returns the number of the next notification, of 24 bits.
func (s *Server) next() uint32 { return s.sequence.Add(1) & 0xFFFFFF }

// representation returns what is shown or, for a later block, what the transfer
// began with.
func (r *remote) representation(q query, at block, now time.Time) (*representation, error) {
	if rep := r.transfer(q, at, now); rep != nil {
		return rep, nil
	}
	rep, err := r.server.shown.get(q)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.keep(q, rep, at.szx, now)
	}
	return rep, err
}

// transfer returns what a client fetches in blocks, nil where it begins anew.
func (r *remote) transfer(q query, at block, now time.Time) *representation {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = now
	for key, t := range r.transfers {
		if now.Sub(t.last) > r.server.cfg.Transfer {
			r.drop(key)
		}
	}
	if t := r.transfers[q]; t != nil && at.number > 0 {
		t.last = now
		return t.rep
	}
	return nil
}

// keep keeps what does not fit into one block, in place of the oldest. Where all
// clients together have too much, later blocks come from the readings of then.
func (r *remote) keep(q query, rep *representation, szx int, now time.Time) {
	r.drop(q)
	if !r.proven {
		szx = 0 // blocks may be that small
	}
	if len(rep.Body) <= (block{szx: szx}).size() {
		return
	}
	if len(r.transfers) >= r.server.cfg.MaxTransfers {
		var oldest query
		var last time.Time
		for key, t := range r.transfers {
			if last.IsZero() || t.last.Before(last) {
				oldest, last = key, t.last
			}
		}
		r.drop(oldest)
	}
	if r.server.kept.Add(int64(len(rep.Body))) > maxKept {
		r.server.kept.Add(-int64(len(rep.Body)))
		return
	}
	r.transfers[q] = &transfer{rep, now}
}

// drop forgets a transfer.
func (r *remote) drop(q query) {
	if t := r.transfers[q]; t != nil {
		r.server.kept.Add(-int64(len(t.rep.Body)))
		delete(r.transfers, q)
	}
}

// observe registers an observation, or renews it. It is false where there are too
// many.
func (r *remote) observe(token message.Token, q query, szx int, rep *representation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, o := range r.observations { // a new token for the same takes the place of the old one
		if o.query == q && key != string(token) {
			delete(r.observations, key)
		}
	}
	if r.observations[string(token)] == nil && len(r.observations) >= r.server.cfg.MaxObservations {
		return false
	}
	r.observations[string(token)] = &observation{token: append(message.Token{}, token...), query: q, szx: szx, etag: rep.ETag, stale: rep.stale(), sent: time.Now(), number: -1}
	if !r.notifying {
		r.notifying = true
		go r.notify()
	}
	return true
}

func (r *remote) forget(token message.Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.observations, string(token))
}

// reset ends the observation whose last notification had this message id.
func (r *remote) reset(number int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for token, o := range r.observations {
		if o.number == number {
			delete(r.observations, token)
		}
	}
}

func (r *remote) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// notify sends notifications until the client is gone or observes no more. There
// is one at a time under way (NSTART, RFC 7252): what changes meanwhile is sent
// in its last state.
func (r *remote) notify() {
	for {
		select {
		case <-r.kick:
		case <-r.conn.Context().Done():
			return
		}
		for {
			r.mu.Lock()
			if len(r.observations) == 0 {
				r.notifying = false
				r.mu.Unlock()
				return
			}
			due, rep, code := r.due(time.Now())
			r.mu.Unlock()
			if due == nil {
				break
			}
			notified, err := true, error(nil)
			if r.isProven() {
				err = r.send(due, rep, code)
			} else {
				notified, err = r.introduce(due, rep, code)
			}
			poor := errors.Is(err, errNoCredit)
			if poor || err == nil && !notified {
				r.mu.Lock()
				due.etag, due.sent = [8]byte{}, time.Time{} // it is due still
				if rep == nil {
					r.observations[string(due.token)] = due
				}
				r.mu.Unlock()
			}
			if poor {
				break
			}
			if err != nil {
				r.server.cfg.Logger.Info("coap: an observer does not answer", "remote", r.conn.RemoteAddr().String(), "path", due.query.path, "err", err)
				r.mu.Lock()
				clear(r.observations)
				r.notifying = false
				r.mu.Unlock()
				_ = r.conn.Close()
				return
			}
		}
	}
}

// due returns an observation whose resource changed, or whose last notification
// grows old, and what to send. What is gone is sent as an error, and observed no more.
func (r *remote) due(now time.Time) (*observation, *representation, codes.Code) {
	for token, o := range r.observations {
		rep, err := r.server.shown.get(o.query)
		if err != nil {
			delete(r.observations, token)
			code, _ := refusal(err)
			return o, nil, code
		}
		stale := rep.stale()
		if rep.ETag == o.etag && stale == o.stale && !o.sent.IsZero() && (stale || now.Sub(o.sent) < r.server.cfg.MaxAge/2) {
			continue
		}
		o.stale = stale
		o.etag, o.sent, o.number = rep.ETag, now, r.conn.GetMessageID()
		r.keep(o.query, rep, o.szx, now)
		return o, rep, codes.Content
	}
	return nil, nil, 0
}

// send sends a notification and waits until it is acknowledged.
func (r *remote) send(o *observation, rep *representation, code codes.Code) error {
	ctx, stop := context.WithTimeout(r.conn.Context(), r.server.patience())
	defer stop()
	m, release := acquire(ctx, r.conn)
	defer release()
	m.SetType(message.Confirmable)
	m.SetToken(o.token)
	if rep == nil {
		refuse(m, code, "the meter shows it no more")
		return r.conn.WriteMessage(m)
	}
	m.SetMessageID(o.number)
	r.content(m, rep, block{szx: o.szx}, true)
	return r.conn.WriteMessage(m)
}
