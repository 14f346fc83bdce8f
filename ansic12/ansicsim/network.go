package ansicsim

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"time"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/internal/stream"
)

// NetworkConfig is how the meter takes part in C12.22. The zero value answers to any
// title, in the clear.
type NetworkConfig struct {
	Title epsem.Title // its own; nil takes every message for its own
	// Key secures messages by EAX', which is weak; nil takes messages in the clear only.
	// With a key the meter takes no others.
	Key     []byte
	KeyID   uint8
	Vectors epsem.Vectors // for secured answers; nil is [epsem.MemoryVectors]: a simulated meter has no secrets
	Idle    time.Duration // after which a silent connection ends, also one of C12.18 over TCP; 0 is five minutes
	// MaxAnswer is how many octets of answers a message may have; 0 is 65,000.
	MaxAnswer int
}

const (
	maxMessage    = 1 << 16
	maxServices   = 64    // of a message
	maxCallers    = 64    // whose sessions the meter keeps
	maxBody       = 65000 // octets of answers in a message
	repeatWithin  = 30 * time.Second
	idleNetwork   = 5 * time.Minute
	writeDeadline = 10 * time.Second
	wholeMessage  = 30 * time.Second // from its first octet on
	maxKept       = 1 << 18          // octets of answers that may have to come again, on one connection
)

func (c *NetworkConfig) maxAnswer() int {
	if c.MaxAnswer <= 0 || c.MaxAnswer > maxBody {
		return maxBody
	}
	return c.MaxAnswer
}

func (c *NetworkConfig) idle() time.Duration {
	if c.Idle <= 0 {
		return idleNetwork
	}
	return c.Idle
}

// ServeNetwork answers one connection of C12.22 (TCP or connected UDP) until it ends
// or ctx does. The meter takes requests in a session and for themselves, and without
// a logon too where it has no password.
func (m *Meter) ServeNetwork(ctx context.Context, rw io.ReadWriteCloser) error {
	conn := stream.New(rw)
	defer conn.Close()
	station := newStation(m)
	var in []byte
	var buf [4096]byte
	until := time.Now().Add(m.cfg.Network.idle())
	for {
		message, n, err := epsem.Parse(in)
		switch {
		case err == nil:
			m.trace(false, in[:n])
			answer := station.answer(&message, in[:n], "")
			in = append([]byte(nil), in[n:]...)
			until = time.Now().Add(m.cfg.Network.idle())
			if answer == nil {
				continue
			}
			m.trace(true, answer)
			if err := conn.Write(ctx, time.Now().Add(writeDeadline), answer); err != nil {
				return err
			}
			continue
		case !errors.Is(err, io.ErrUnexpectedEOF) || len(in) > maxMessage:
			return err
		}
		n, err = conn.Read(ctx, until, buf[:])
		if whole := time.Now().Add(wholeMessage); n > 0 && len(in) == 0 && whole.Before(until) {
			until = whole // octet by octet it takes no longer
		}
		in = append(in, buf[:n]...)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
				return ctx.Err()
			}
			return err
		}
	}
}

// ServePacket answers datagrams of C12.22 (UDP) until ctx ends. Each is one message.
func (m *Meter) ServePacket(ctx context.Context, conn net.PacketConn) error {
	station := newStation(m)
	return m.servePacket(ctx, conn, func(b []byte, from string) []byte {
		message, _, err := epsem.Parse(b)
		if err != nil {
			return nil
		}
		return station.answer(&message, b, from)
	})
}

// servePacket answers datagrams until ctx ends; what has no answer is passed over.
func (m *Meter) servePacket(ctx context.Context, conn net.PacketConn, answer func(b []byte, from string) []byte) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	buf := make([]byte, maxMessage)
	for failed := 0; ; {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if failed++; errors.Is(err, net.ErrClosed) || failed > maxCallers {
				return err
			}
			continue // an answer that could not be delivered, on some systems
		}
		failed = 0
		m.trace(false, buf[:n])
		b := answer(buf[:n], from.String())
		if b == nil {
			continue
		}
		m.trace(true, b)
		_ = conn.SetWriteDeadline(time.Now().Add(writeDeadline))
		_, _ = conn.WriteTo(b, from) // one caller that is gone is no failure
	}
}

func (m *Meter) trace(send bool, frame []byte) {
	if m.cfg.Trace != nil {
		m.cfg.Trace(send, frame)
	}
}

// station is the meter on one connection or socket.
type station struct {
	meter   *Meter
	link    *psem.Link // never sends; services of the line ask for one
	callers map[string]*caller
	id      uint16 // of the last answer
	kept    int    // octets of answers
}

// caller is another station with which the meter speaks.
type caller struct {
	conversation                   // in a session
	until        time.Time         // the end of the session where nothing comes
	idle         time.Duration     // of the session
	request      [sha256.Size]byte // of the last message, which may come again
	answer       []byte
	answered     time.Time
}

func newStation(m *Meter) *station {
	return &station{meter: m, link: psem.NewLink(nil), callers: map[string]*caller{}}
}

// caller finds the station that sent a message, by its title and where it came from.
func (s *station) caller(message *epsem.Message, from string, now time.Time) *caller {
	title, _ := message.Get(epsem.TagCalling)
	name := from + string(epsem.Title(title).Absolute())
	c := s.callers[name]
	if c == nil {
		if len(s.callers) >= maxCallers {
			s.forget(now)
		}
		c = &caller{}
		s.callers[name] = c
	}
	if now.After(c.until) {
		c.conversation = conversation{}
	}
	return c
}

// forget makes room: for all callers without session or, where all have one, for the
// one that has been silent for longest.
func (s *station) forget(now time.Time) {
	oldest := ""
	for name, c := range s.callers {
		if c.state != psem.StateSession || now.After(c.until) {
			s.leave(name)
		} else if oldest == "" || c.until.Before(s.callers[oldest].until) {
			oldest = name
		}
	}
	if len(s.callers) >= maxCallers {
		s.leave(oldest)
	}
}

func (s *station) leave(name string) {
	s.kept -= len(s.callers[name].answer)
	delete(s.callers, name)
}

// oldest makes room for an answer: the caller that was answered first leaves, with its
// session. It reports whether there was one besides c.
func (s *station) oldest(c *caller) bool {
	leaves := ""
	for name, other := range s.callers {
		if other != c && (leaves == "" || other.answered.Before(s.callers[leaves].answered)) {
			leaves = name
		}
	}
	if leaves == "" {
		return false
	}
	s.leave(leaves)
	return true
}

// answer returns the answer to a message, nil where there is to be none.
func (s *station) answer(message *epsem.Message, raw []byte, from string) []byte {
	if _, isAnswer := message.Get(epsem.TagCalledID); isAnswer {
		return nil
	}
	now := time.Now()
	c := s.caller(message, from, now)
	sum := sha256.Sum256(raw)
	if c.request == sum && now.Sub(c.answered) < repeatWithin {
		return c.answer // it was lost; nothing is carried out twice
	}
	s.kept -= len(c.answer)
	c.request, c.answer, c.answered = sum, nil, now
	out := epsem.Message{Control: 0x80, Elements: s.back(message)}
	services, refused := s.open(message)
	failed := refused != psem.OK
	if failed {
		out.Body = epsem.AppendService(out.Body, []byte{byte(refused)})
	} else {
		failed = s.carryOut(c, services, &out)
	}
	c.until = now.Add(c.idle)
	if len(out.Body) == 0 {
		return nil
	}
	if response := message.Response(); response == epsem.ResponseNever || response == epsem.ResponseOnException && !failed {
		return nil
	}
	c.answer = s.seal(&out, message, refused)
	s.kept += len(c.answer)
	for s.kept > maxKept && s.oldest(c) {
	}
	return c.answer
}

// back is the elements of an answer: those of the request with the names the other way
// round, and an invocation id of its own. They go in the order of their tags.
func (s *station) back(message *epsem.Message) (elements []epsem.Element) {
	s.id = (s.id + 1) & 0x7FFF
	for _, tag := range []struct{ to, from byte }{
		{epsem.TagContext, epsem.TagContext}, {epsem.TagCalled, epsem.TagCalling}, {epsem.TagCalledID, epsem.TagCallingID}, {epsem.TagCalling, epsem.TagCalled},
	} {
		if content, ok := message.Get(tag.from); ok {
			elements = append(elements, epsem.Element{Tag: tag.to, Content: content})
		}
	}
	return append(elements, epsem.Element{Tag: epsem.TagCallingID, Content: []byte{2, 2, byte(s.id >> 8), byte(s.id)}})
}

// open returns the services of a message that is for the meter and secured as it wants.
func (s *station) open(message *epsem.Message) ([][]byte, psem.Status) {
	cfg := &s.meter.cfg.Network
	if called, ok := message.Get(epsem.TagCalled); ok && cfg.Title != nil && !cfg.Title.Equal(called) {
		return nil, psem.UAT
	}
	var services [][]byte
	var err error
	switch {
	case len(cfg.Key) == 0:
		if message.Security() != epsem.Clear {
			return nil, psem.SME
		}
		services, err = message.Services()
	default:
		id, ok := message.KeyID()
		if !ok || id != cfg.KeyID || message.Security() == epsem.Clear {
			return nil, psem.SME
		}
		var opened epsem.Opened
		if opened, err = message.Verify(cfg.Key); err != nil {
			return nil, psem.SME
		}
		services = opened.Services
	}
	if err != nil || len(services) == 0 || len(services) > maxServices {
		return nil, psem.Err
	}
	return services, psem.OK
}

// carryOut appends the answers to services, up to the first that fails. Without a session
// each message stands alone and must show the password, if there is one.
func (s *station) carryOut(c *caller, services [][]byte, out *epsem.Message) (failed bool) {
	talk, alone := &c.conversation, c.state != psem.StateSession
	if alone {
		talk = &conversation{state: psem.StateIdentified, secure: s.meter.cfg.Password == "", network: true}
	}
	for i, service := range services {
		if len(service) == 0 {
			continue
		}
		code := psem.Service(service[0])
		if alone && code >= psem.ServiceRead && code <= psem.ServiceSecurity && code != psem.ServiceLogon {
			talk.state = psem.StateSession
		}
		response, _ := s.meter.respond(talk, s.link, false, service)
		if response == nil {
			continue
		}
		if response.Status == psem.OK && code == psem.ServiceLogon {
			alone = false
			s.logon(c, service, response)
		}
		if alone && response.Status == psem.OK && code == psem.ServiceSecurity && i+1 < len(services) {
			continue // as in the standard's example: what follows is answered, not the password
		}
		b, _ := response.AppendBinary(nil)
		if failed = response.Status != psem.OK; len(out.Body)+len(b) > s.meter.cfg.Network.maxAnswer() {
			b, failed = []byte{byte(psem.RSTL)}, true
		}
		if out.Body = epsem.AppendService(out.Body, b); failed {
			break
		}
	}
	if !alone {
		c.conversation = *talk
	}
	return failed
}

// logon tells after which silence the session ends.
func (s *station) logon(c *caller, service []byte, response *psem.Response) {
	request, _, _ := psem.ParseRequest(service)
	logon, _ := request.(psem.Logon)
	seconds := logon.IdleTimeout
	if seconds == 0 {
		seconds = uint16(s.meter.cfg.Network.idle() / time.Second)
	}
	c.idle = time.Duration(seconds) * time.Second
	if logon.Extended {
		response.Body = []byte{byte(seconds >> 8), byte(seconds)}
	}
}

// seal secures an answer as the request was. What the meter could not open it
// refuses in the clear.
func (s *station) seal(out, request *epsem.Message, refused psem.Status) []byte {
	cfg := &s.meter.cfg.Network
	if request.Security() == epsem.Clear || refused == psem.SME || len(cfg.Key) == 0 {
		b, _ := out.AppendBinary(nil)
		return b
	}
	vector, err := cfg.Vectors()
	if err != nil {
		return nil
	}
	b, err := out.Seal(request.Security(), cfg.Key, cfg.KeyID, vector)
	if err != nil {
		return nil
	}
	return b
}
