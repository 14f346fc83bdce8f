package coap

import (
	"bytes"
	"errors"
	"math/bits"
	"strings"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/net/responsewriter"
	"github.com/plgd-dev/go-coap/v3/options/config"
	"github.com/plgd-dev/go-coap/v3/udp/client"

	"github.com/openusm/meter/mapping/coap"
)

// process answers a request. It stands in for go-coap's own way of doing so, which
// keeps each answer for four minutes; a GET may as well be answered again.
func (s *Server) process(req *pool.Message, conn *client.Conn, _ config.HandlerFunc[*client.Conn]) {
	if req.Code() < codes.GET || req.Code() > 31 {
		conn.ReleaseMessage(req) // an answer to nothing, or a code of no method
		return
	}
	if isCommand(req) {
		s.carryOut(req, conn)
		return
	}
	conn.ProcessReceivedMessageWithHandler(req, func(w *responsewriter.ResponseWriter[*client.Conn], req *pool.Message) {
		s.respond(conn, req, prepared(w, req))
	})
}

// prepared returns the answer to a request, of the type that it has to have.
func prepared(w *responsewriter.ResponseWriter[*client.Conn], req *pool.Message) *pool.Message {
	m := w.Message()
	m.SetType(message.NonConfirmable)
	if req.Type() == message.Confirmable {
		m.SetType(message.Acknowledgement)
		m.SetMessageID(req.MessageID())
	}
	return m
}

// monitor sees every message first. A ping is answered with a reset (RFC 7252,
// section 4.3); a reset of a notification ends the observation.
func (s *Server) monitor(conn *client.Conn, req *pool.Message) (drop bool, err error) {
	switch {
	case req.IsPing(false):
		conn.InactivityMonitor().Notify()
		pong, release := acquire(conn.Context(), conn)
		defer release()
		pong.SetType(message.Reset)
		pong.SetCode(codes.Empty)
		pong.SetMessageID(req.MessageID())
		if cm := req.ControlMessage(); cm != nil {
			answer := *cm
			answer.Src = cm.Dst
			pong.SetControlMessage(&answer)
		}
		return true, conn.Session().WriteMessage(pong)
	case req.Type() == message.Reset || req.Type() == message.Acknowledgement:
		r := s.remote(conn)
		if r == nil {
			return false, nil
		}
		ours := r.acknowledged(req.MessageID())
		if req.Type() == message.Reset {
			r.reset(req.MessageID())
		}
		return ours, nil
	}
	return false, nil
}

// query is what a GET asks for, but for the block.
type query struct {
	path, queries string
	accept        coap.Format
}

// list returns the options of the query, nil for none.
func (q query) list() []string {
	if q.queries == "" {
		return nil
	}
	return strings.Split(q.queries, "&")
}

// understood are the critical options that a GET may have.
var understood = map[message.OptionID]bool{
	message.URIHost: true, message.URIPort: true, message.URIPath: true, message.URIQuery: true, message.Accept: true, message.Block2: true,
	message.IfMatch: true, message.Block1: true,
}

// respond answers a request with no more than its sender may get.
func (s *Server) respond(conn *client.Conn, req, answer *pool.Message) {
	r := s.remote(conn)
	if r == nil { // it had to leave
		refuse(answer, codes.ServiceUnavailable, "")
		return
	}
	defer r.heard(req)()
	if !s.read(r, req, answer) {
		r.short(answer)
	}
}

// read answers a request, and reports whether the answer was taken from the credit already.
func (s *Server) read(r *remote, req, answer *pool.Message) (spent bool) {
	switch {
	case req.HasOption(message.ProxyURI) || req.HasOption(message.ProxyScheme):
		refuse(answer, codes.ProxyingNotSupported, "no proxy")
		return false
	case req.Code() != codes.GET:
		refuse(answer, codes.MethodNotAllowed, "only GET")
		return false
	}
	for _, o := range req.Options() {
		if o.ID&1 == 1 && !understood[o.ID] {
			refuse(answer, codes.BadOption, "an option that is not known")
			return false
		}
	}
	q, at, err := parse(req, s.cfg.BlockSize)
	if err != nil {
		refuse(answer, codes.BadRequest, err.Error())
		return false
	}
	rep, err := r.representation(q, at, time.Now())
	if err != nil {
		code, why := refusal(err)
		refuse(answer, code, why)
		return false
	}
	observing := s.observing(r, req, q, at, rep)
	var tags [8][]byte
	if n, err := req.ETags(tags[:]); err == nil {
		for _, tag := range tags[:n] {
			if bytes.Equal(tag, rep.ETag[:]) {
				if observing {
					answer.SetObserve(s.next())
				}
				answer.SetCode(codes.Valid)
				_ = answer.SetETag(rep.ETag[:])
				rep.freshness(answer)
				return false
			}
		}
	}
	found, fits := r.content(answer, rep, at, observing)
	switch {
	case !found:
		refuse(answer, codes.BadRequest, "a block behind the end")
		return false
	case !fits:
		if observing {
			r.forget(req.Token())
		}
		r.askEcho(answer)
	}
	return true
}

// observing registers an observation, or ends one, as the request asks for.
func (s *Server) observing(r *remote, req *pool.Message, q query, at block, rep *representation) bool {
	observe, err := req.Observe()
	switch {
	case err != nil || at.number > 0:
	case observe == 0 && s.shown.observable(q.path):
		return r.observe(req.Token(), q, at.szx, rep)
	case observe == 1:
		r.forget(req.Token())
	}
	return false
}

// freshness tells for how long what was read may be thought fresh.
func (rep *representation) freshness(m *pool.Message) {
	m.SetOptionUint32(message.MaxAge, uint32(max(0, (time.Until(rep.until)+time.Second-1)/time.Second)))
}

// stale reports whether what was read may not be thought fresh.
func (rep *representation) stale() bool {
	return !rep.until.After(time.Now())
}

// refusal returns the code of an error, and a text that is short.
func refusal(err error) (code codes.Code, why string) {
	switch {
	case errors.Is(err, errNothing):
		return codes.ServiceUnavailable, "no readings yet"
	case errors.Is(err, coap.ErrNotFound):
		return codes.NotFound, "no such resource"
	case errors.Is(err, coap.ErrNotAcceptable):
		return codes.NotAcceptable, "no such content format"
	}
	return codes.BadRequest, err.Error()
}

// refuse makes m an error response with a diagnostic payload.
func refuse(m *pool.Message, code codes.Code, why string) {
	m.ResetOptionsTo(nil)
	m.SetCode(code)
	if why != "" {
		m.SetBody(strings.NewReader(strings.TrimPrefix(why[:min(len(why), 200)], "coap: ")))
	}
}

// block is which block of a representation is meant.
type block struct {
	number int
	szx    int // 2^(szx+4) octets
}

func (b block) size() int { return 16 << b.szx }

func szxOf(size int) int {
	if size < 16 || size > 1024 || size&(size-1) != 0 {
		return -1
	}
	return bits.TrailingZeros(uint(size)) - 4
}

var errBlock = errors.New("a block size that is reserved")

// parse reads what a request asks for.
func parse(req *pool.Message, blockSize int) (q query, at block, err error) {
	q.accept = coap.AnyFormat
	if q.path, err = req.Path(); errors.Is(err, message.ErrOptionNotFound) {
		q.path, err = "/", nil
	}
	if err != nil {
		return q, at, err
	}
	if list, err := req.Queries(); err == nil {
		q.queries = strings.Join(list, "&")
	}
	if accept, err := req.Accept(); err == nil {
		q.accept = coap.Format(accept)
	}
	at.szx = szxOf(blockSize)
	if value, err := req.GetOptionUint32(message.Block2); err == nil {
		szx := int(value & 7)
		if szx == 7 {
			return q, at, errBlock
		}
		at.number = int(value >> 4)
		if szx > at.szx { // the same offset in our smaller blocks
			at.number <<= szx - at.szx
		} else {
			at.szx = szx
		}
	}
	return q, at, nil
}

// setBlock puts a block of the representation into m. It is false for a block
// behind the end.
func setBlock(m *pool.Message, rep *representation, at block, size2 bool) bool {
	size := at.size()
	start := at.number * size
	if start > 0 && start >= len(rep.Body) {
		return false
	}
	end := min(start+size, len(rep.Body))
	m.SetContentFormat(message.MediaType(rep.Format))
	if len(rep.Body) > size {
		value := uint32(at.number<<4 | at.szx)
		if end < len(rep.Body) {
			value |= 1 << 3
		}
		m.SetOptionUint32(message.Block2, value)
		if start == 0 && size2 {
			m.SetOptionUint32(message.Size2, uint32(len(rep.Body)))
		}
	}
	m.SetBody(bytes.NewReader(rep.Body[start:end]))
	return true
}
