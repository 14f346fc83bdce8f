package coap

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
)

// In the clear anybody can put another's address on a datagram, and have the server
// send to that one. So an address gets at most three times the octets that came
// from it (RFC 7252, section 11.3) until it has told something that only a receiver
// of our datagrams knows: the value of an Echo option (RFC 9175), or the message id
// of a notification or a ping of ours. Until then blocks are as small as they must be.
const (
	amplification = 3
	echo          = message.OptionID(252) // elective: who does not know it does without
	echoLen       = 6                     // so that 4.01 with an Echo fits the shortest request
	pingLen       = 4
	// guesses is how many message ids that are not ours may come before none proves
	// anything any more: there are but 65,536.
	guesses = 8
	// nearest and farthest are how far such a message id lies above that of the latest
	// request: clients and libraries keep one record for both directions, and take
	// for a repetition what comes near their own.
	nearest, farthest = 0x4100, 0xC000
)

// proof is what an address has shown of itself. It is guarded by the mutex of its remote.
type proof struct {
	proven bool
	credit int           // octets that may be sent until then
	owed   int           // of them, those of requests that are being answered
	latest uint16        // message id of the latest request
	echo   [echoLen]byte // random
	probe  int32         // message id that was sent; -1 for none
	wrong  int           // message ids that came and were not sent
	told   chan struct{} // closed when the address is proven
}

func newProof(proven bool) proof {
	p := proof{proven: proven, probe: -1, told: make(chan struct{})}
	_, _ = rand.Read(p.echo[:]) // never fails
	return p
}

// prove takes the address for one that receives what is sent to it.
func (p *proof) prove() {
	if !p.proven {
		p.proven = true
		close(p.told)
	}
}

// heard counts a request, and looks whether it proves anything. What the request earned
// is for its answer alone until answered is called.
func (r *remote) heard(req *pool.Message) (answered func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	earned := amplification * sizeOf(req)
	r.credit += earned
	r.owed += earned
	r.latest = uint16(req.MessageID())
	if value, err := req.GetOptionBytes(echo); err == nil && subtle.ConstantTimeCompare(value, r.echo[:]) == 1 {
		r.prove()
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.owed -= earned; !r.proven && len(r.observations) > 0 {
			r.wake() // what is left may do for a notification
		}
	}
}

// acknowledged takes the message id of an acknowledgement or a reset, and reports
// whether the message was sent to prove the address.
func (r *remote) acknowledged(number int32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.proven:
		return false
	case r.probe < 0 || r.probe != number || r.wrong >= guesses:
		r.wrong++
		return false
	}
	r.prove()
	return true
}

func (r *remote) isProven() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proven
}

// spend takes octets from the credit, if there are so many.
func (r *remote) spend(octets int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proven {
		return true
	}
	if octets > r.credit {
		return false
	}
	r.credit -= octets
	return true
}

// sizeOf returns how many octets a message has on the wire.
func sizeOf(m *pool.Message) int {
	const header = 4
	n, _ := m.Options().Marshal(nil) // the length, beside an error for want of room
	n = header + len(m.Token()) + max(n, 0)
	if body, err := m.BodySize(); err == nil && body > 0 {
		n += 1 + int(body)
	}
	return n
}

// short makes an answer fit the credit: a diagnostic payload is cut, and what
// still does not fit is a 4.01 that asks for an Echo.
func (r *remote) short(m *pool.Message) {
	if r.spend(sizeOf(m)) {
		return
	}
	why, _ := m.ReadBody()
	m.SetBody(nil)
	r.mu.Lock()
	room := r.credit - sizeOf(m) - 1
	r.mu.Unlock()
	if room > 0 {
		m.SetBody(bytes.NewReader(why[:min(room, len(why))]))
	}
	if m.Code() < codes.BadRequest || !r.spend(sizeOf(m)) {
		r.askEcho(m)
	}
}

// askEcho has the client ask again with an Echo.
func (r *remote) askEcho(m *pool.Message) {
	m.ResetOptionsTo(nil)
	m.SetBody(nil)
	m.SetCode(codes.Unauthorized)
	m.SetOptionBytes(echo, r.echo[:])
	if !r.spend(sizeOf(m)) {
		m.ResetOptionsTo(nil)
	}
}

// content fills m with a block of a representation, in the size that the credit
// of the remote allows. found is false for a block behind the end, and fits for one
// of which not even 16 octets may be sent.
func (r *remote) content(m *pool.Message, rep *representation, at block, observing bool) (found, fits bool) {
	proven, spend := r.isProven(), r.spend
	switch {
	case m.Type() == message.Confirmable:
		spend = r.spendUnasked
	case observing: // something is left to ask the observer whether it is there
		spend = func(octets int) bool { return r.spendBeside(octets, 3*pingLen) }
	}
	for _, bare := range []bareness{full, withoutEcho, withoutTag, withoutAge} {
		for smaller := at; smaller.szx >= 0; smaller = smaller.half() {
			m.ResetOptionsTo(nil)
			if observing {
				m.SetObserve(r.server.next())
			}
			m.SetCode(codes.Content)
			if bare < withoutTag {
				_ = m.SetETag(rep.ETag[:]) // fails only for lengths that it does not have
			}
			if bare < withoutAge {
				rep.freshness(m)
			}
			if !setBlock(m, rep, smaller, bare == full) {
				return false, true
			}
			if bare == full && !proven {
				m.SetOptionBytes(echo, r.echo[:])
			}
			if spend(sizeOf(m)) {
				return true, true
			}
		}
	}
	return true, false
}

// bareness is what an answer goes without to be short.
type bareness int

const (
	full        bareness = iota
	withoutEcho          // and without Size2
	withoutTag
	withoutAge
)

// spendBeside is spend that leaves a reserve.
func (r *remote) spendBeside(octets, reserve int) bool {
	r.mu.Lock()
	enough := r.proven || r.credit >= octets+reserve
	r.mu.Unlock()
	return enough && r.spend(octets)
}

// spendUnasked is spend for what no request waits for.
func (r *remote) spendUnasked(octets int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.proven && octets > r.credit-r.owed {
		return false
	}
	if !r.proven {
		r.credit -= octets
	}
	return true
}

// half is the same offset in blocks of half the size.
func (b block) half() block { return block{2 * b.number, b.szx - 1} }

var (
	// errUnproven reports an observer at an address that proved nothing.
	errUnproven = errors.New("no acknowledgement came from the address")
	// errNoCredit reports that nothing may be sent to it before it asks again.
	errNoCredit = errors.New("more was sent than the address may get")
)

// introduce sends a notification, or a ping where the credit does not reach for
// that, as often as the credit allows, until the address has proven itself. It reports
// whether it was the notification.
func (r *remote) introduce(o *observation, rep *representation, code codes.Code) (notified bool, err error) {
	ctx, stop := context.WithTimeout(r.conn.Context(), r.server.patience())
	defer stop()
	m, release := acquire(ctx, r.conn)
	defer release()
	m.SetType(message.Confirmable)
	m.SetToken(o.token)
	if rep == nil {
		refuse(m, code, "")
		notified = r.spendUnasked(sizeOf(m))
	} else {
		_, notified = r.content(m, rep, block{szx: o.szx}, true)
	}
	if !notified {
		m.ResetOptionsTo(nil)
		m.SetBody(nil)
		m.SetToken(nil)
		m.SetCode(codes.Empty)
		if !r.spendUnasked(pingLen) {
			return false, errNoCredit
		}
	}
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	r.mu.Lock()
	number := int32(r.latest + nearest + binary.BigEndian.Uint16(id[:])%(farthest-nearest))
	m.SetMessageID(number)
	r.probe = number
	if notified {
		o.number = number
	}
	r.mu.Unlock()
	size := sizeOf(m)
	for wait := r.server.cfg.AckTimeout; ; wait *= 2 {
		if err := r.conn.Session().WriteMessage(m); err != nil {
			return notified, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-r.told:
			timer.Stop()
			return notified, nil
		case <-ctx.Done():
			timer.Stop()
			return notified, errUnproven
		case <-timer.C:
		}
		if r.isProven() {
			return notified, nil
		}
		if !r.spendUnasked(size) {
			return notified, errNoCredit
		}
	}
}
