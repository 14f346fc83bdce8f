package coap

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/net/responsewriter"
	"github.com/plgd-dev/go-coap/v3/udp/client"

	"github.com/openusm/meter/mapping/coap"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

const (
	// exchangeLifetime is for how long a message id is remembered (EXCHANGE_LIFETIME of RFC 7252, section 4.8.2).
	exchangeLifetime = 247 * time.Second
	// maxExchanges is how many of them are remembered of a client.
	maxExchanges = 64
	// maxWaiting is how many commands of a client are carried out at once.
	maxWaiting = 8
	// maxCommands is how many commands are carried out at once, of all clients.
	maxCommands = 64
	// commandTime is how long a command may take: as long as a client sends its request again
	// (MAX_TRANSMIT_WAIT).
	commandTime = 93 * time.Second
)

// exchange is a command of a client, which comes again where the answer is late or was lost.
type exchange struct {
	begun time.Time
	done  bool
	code  codes.Code
	why   string
}

// commander is what can be commanded, of what a server shows.
type commander interface {
	command(ctx context.Context, actor site.Actor, q query, format coap.Format, body []byte) error
	allowed() bool
}

// isCommand reports whether a request changes something.
func isCommand(req *pool.Message) bool { return req.Code() == codes.POST || req.Code() == codes.PUT }

// begin remembers a command, and returns the one that it repeats, nil for none.
func (r *remote) begin(number int32) (again *exchange, room bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = now
	waiting := 0
	for id, e := range r.exchanges {
		if !e.done {
			waiting++
		}
		if now.Sub(e.begun) > exchangeLifetime {
			delete(r.exchanges, id)
		}
	}
	if e := r.exchanges[number]; e != nil {
		copied := *e
		return &copied, true
	}
	if len(r.exchanges) >= maxExchanges || waiting >= maxWaiting {
		return nil, false
	}
	if r.exchanges == nil {
		r.exchanges = map[int32]*exchange{}
	}
	r.exchanges[number] = &exchange{begun: now}
	return nil, true
}

// end remembers how a command was answered. What was not carried out is forgotten.
func (r *remote) end(number int32, answer *pool.Message, why string, carried bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.exchanges[number]
	if e == nil {
		return
	}
	if !carried {
		delete(r.exchanges, number)
		return
	}
	e.done, e.code, e.why = true, answer.Code(), why
}

// carryOut answers a command beside the other messages of its client: it takes as long as the
// meter does. A repetition is answered as the first one, once that is.
func (s *Server) carryOut(req *pool.Message, conn *client.Conn) {
	r := s.remote(conn)
	if r == nil {
		conn.ReleaseMessage(req)
		return
	}
	again, room := r.begin(req.MessageID())
	if again != nil && !again.done {
		conn.ReleaseMessage(req)
		return
	}
	busy := again == nil && room && s.commands.Add(1) > maxCommands
	if busy {
		s.commands.Add(-1)
	}
	go conn.ProcessReceivedMessageWithHandler(req, func(w *responsewriter.ResponseWriter[*client.Conn], req *pool.Message) {
		m := prepared(w, req)
		defer r.heard(req)()
		var why string
		carried := false
		switch {
		case again != nil:
			refuse(m, again.code, again.why)
		case !room || busy:
			refuse(m, codes.ServiceUnavailable, "too many commands")
		default:
			defer s.commands.Add(-1)
			why, carried = s.write(r, req, m)
		}
		if again == nil && room {
			r.end(req.MessageID(), m, why, carried)
		}
		r.short(m)
	})
}

// understoodByPut are the critical options that a command may have.
var understoodByPut = map[message.OptionID]bool{
	message.URIHost: true, message.URIPort: true, message.URIPath: true, message.URIQuery: true, message.Accept: true, message.Block1: true, message.IfMatch: true,
}

// write carries out a command, and reports what its answer says, and whether it came to that.
func (s *Server) write(r *remote, req, answer *pool.Message) (why string, carried bool) {
	c, can := s.shown.(commander)
	switch {
	case req.HasOption(message.ProxyURI) || req.HasOption(message.ProxyScheme):
		refuse(answer, codes.ProxyingNotSupported, "no proxy")
		return "", false
	case !can || !c.allowed():
		refuse(answer, codes.MethodNotAllowed, "only GET")
		return "", false
	}
	for _, o := range req.Options() {
		if o.ID&1 == 1 && !understoodByPut[o.ID] {
			refuse(answer, codes.BadOption, "an option that is not known")
			return "", false
		}
	}
	if more, err := req.GetOptionUint32(message.Block1); err == nil && (more>>4 > 0 || more&8 != 0) {
		refuse(answer, codes.RequestEntityTooLarge, "one block")
		return "", false
	}
	if !r.isProven() {
		r.askEcho(answer)
		return "", false
	}
	q, _, err := parse(req, s.cfg.BlockSize)
	if err != nil {
		refuse(answer, codes.BadRequest, err.Error())
		return "", false
	}
	if !s.matches(req, q) {
		refuse(answer, codes.PreconditionFailed, "")
		return "", false
	}
	format := coap.AnyFormat
	if f, err := req.ContentFormat(); err == nil {
		format = coap.Format(f)
	}
	body, err := req.ReadBody()
	if err != nil {
		refuse(answer, codes.BadRequest, "")
		return "", false
	}
	ctx, stop := context.WithTimeout(r.conn.Context(), commandTime)
	defer stop()
	err = c.command(ctx, r.actor(), q, format, body)
	code, why := commanded(err)
	refuse(answer, code, why)
	return why, true
}

// matches reports whether the resource is one that an option If-Match names.
func (s *Server) matches(req *pool.Message, q query) bool {
	if !req.HasOption(message.IfMatch) {
		return true
	}
	q.accept, q.queries = coap.AnyFormat, ""
	rep, err := s.shown.get(q)
	if err != nil {
		return false
	}
	for _, o := range req.Options() {
		if o.ID == message.IfMatch && (len(o.Value) == 0 || string(o.Value) == string(rep.ETag[:])) {
			return true
		}
	}
	return false
}

// actor returns who a client is: nobody in the clear.
func (r *remote) actor() site.Actor {
	a := site.Actor{Face: "coap", Remote: r.conn.RemoteAddr().String()}
	if secure, ok := r.conn.NetConn().(*dtlsConn); ok {
		if state, ok := secure.ConnectionState(); ok {
			a.Name = string(state.IdentityHint)
		}
	}
	return a
}

// commanded returns how a command is answered.
func commanded(err error) (code codes.Code, why string) {
	var network net.Error
	switch {
	case err == nil:
		return codes.Changed, ""
	case errors.Is(err, coap.ErrNotAcceptable):
		return codes.UnsupportedMediaType, ""
	case errors.Is(err, coap.ErrBadRequest):
		return codes.BadRequest, err.Error()
	case errors.Is(err, errReadOnly):
		return codes.MethodNotAllowed, "only GET"
	case errors.Is(err, site.ErrPolicy):
		return codes.Forbidden, ""
	case errors.Is(err, coap.ErrNotFound), errors.Is(err, site.ErrUnknown):
		return codes.NotFound, ""
	case errors.Is(err, site.ErrSelected), errors.Is(err, site.ErrNotSelected):
		return conflict, ""
	case errors.Is(err, site.ErrUncertain), errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return codes.GatewayTimeout, "sent, but not answered"
	}
	return codes.BadGateway, "the meter did not do it"
}

// conflict is 4.09 (RFC 8132).
const conflict codes.Code = 4<<5 | 9

// errReadOnly reports a resource to which nothing can be written.
var errReadOnly = errors.New("coap: it can be read only")

// allowed implements commander.
func (f *Face) allowed() bool { return f.commander != nil }

// command implements commander.
func (f *Face) command(ctx context.Context, actor site.Actor, q query, format coap.Format, body []byte) error {
	m, rest := f.split(q.path)
	if m == nil {
		return coap.ErrNotFound
	}
	name, ok := strings.CutPrefix(rest, "/m/")
	if !ok {
		return errReadOnly
	}
	code, ok := codeOf(name)
	if !ok {
		return errReadOnly
	}
	v, unit, err := coap.ParseWritten(body, format, code, m.unit(code))
	if err != nil {
		return err
	}
	_, err = site.Do(ctx, f.commander, site.Command{Meter: m.id, Actor: actor, Code: code, Value: v, Unit: unit})
	return err
}

// unit returns the unit of a reading, UnitUnknown where there is none.
func (m *meter) unit(code obis.Code) obis.Unit {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data != nil {
		for i := range m.data.Readings {
			if r := &m.data.Readings[i]; r.Code == code {
				return r.Unit
			}
		}
	}
	return obis.UnitUnknown
}
