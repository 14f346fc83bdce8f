package ansicsim

import (
	"bytes"
	"context"
	"crypto/des" // the standard has no other cipher
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/internal/stream"
)

// Serve answers one connection until it ends or ctx does. Where rw has SetLine, the
// rate follows the negotiation.
func (m *Meter) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	s := &server{meter: m, conn: stream.New(rw), link: psem.NewLink(nil)}
	s.begin()
	s.line, _ = rw.(interface {
		SetLine(baud int, framing string) error
	})
	if conn, ok := rw.(net.Conn); ok && conn.RemoteAddr().Network() == "tcp" {
		s.idle = m.cfg.Network.idle()
		s.heard = time.Now()
	}
	defer s.conn.Close()
	err := s.serve(ctx)
	if errors.Is(err, errIdle) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		return ctx.Err()
	}
	return err
}

// server is one connection.
type server struct {
	meter *Meter
	conn  *stream.Conn
	link  *psem.Link
	line  interface {
		SetLine(baud int, framing string) error
	}
	conversation
	traffic time.Duration // silence after which the conversation is forgotten
	quiet   time.Time     // when that is, if nothing comes
	idle    time.Duration // after which a connection ends on which no packet came; 0 is never
	heard   time.Time     // when the last one came
	after   func() error  // what is done behind the acknowledgement of the answer
	buf     [2048]byte
}

// The channel traffic time-outs of C12.18 and C12.21.
const (
	traffic1218 = 6 * time.Second
	traffic1221 = 30 * time.Second
)

// begin is before anything was agreed.
func (s *server) begin() {
	s.link.Reset()
	s.link.Configure(psem.LinkConfig{PacketSize: 64, Packets: 255})
	s.conversation, s.after = conversation{}, nil
	switch s.traffic = s.meter.cfg.Traffic; {
	case s.traffic > 0:
	case s.meter.cfg.Key != nil:
		s.traffic = traffic1221
	default:
		s.traffic = traffic1218
	}
}

// forget ends a conversation in which the reader has fallen silent.
func (s *server) forget() error {
	s.begin()
	if s.line != nil {
		return s.line.SetLine(9600, "8N1")
	}
	return nil
}

// conversation is how far a reader has come.
type conversation struct {
	state   psem.State
	secure  bool // the password was right
	network bool // by C12.22
	ticket  [des.BlockSize]byte
}

func (s *server) serve(ctx context.Context) error {
	for {
		step := s.link.Poll(time.Now())
		switch step.Kind {
		case psem.StepSend:
			if len(step.Data) == 1 && step.Data[0] == psem.ACK { // of a packet without fault
				s.heard = time.Now()
			}
			if err := s.send(ctx, step.Data); err != nil {
				return err
			}
		case psem.StepMessage:
			if err := s.answer(step.Data); err != nil {
				return err
			}
		case psem.StepFailed:
			s.link.Expect(time.Now(), 0)
		default:
			if !s.link.Sending() && s.after != nil {
				after := s.after
				s.after = nil
				if err := after(); err != nil {
					return err
				}
			}
			if err := s.read(ctx, step.Until); err != nil {
				return err
			}
		}
	}
}

func (s *server) read(ctx context.Context, until time.Time) error {
	talking := s.state != psem.StateBase && !s.link.Sending()
	if talking && !time.Now().Before(s.quiet) {
		return s.forget()
	}
	if talking && (until.IsZero() || s.quiet.Before(until)) {
		until = s.quiet
	}
	end := s.heard.Add(s.idle)
	if s.idle > 0 && !time.Now().Before(end) {
		return errIdle // whatever else came
	}
	if s.idle > 0 && (until.IsZero() || end.Before(until)) {
		until = end
	}
	n, err := s.conn.Read(ctx, until, s.buf[:])
	if n > 0 {
		s.quiet = later(s.quiet, time.Now().Add(s.traffic))
		s.trace(false, s.buf[:n])
		if s.meter.refuses() {
			return s.write(ctx, []byte{psem.NAK})
		}
		s.link.Feed(time.Now(), s.buf[:n])
		return nil
	}
	switch {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		return nil
	}
	return err
}

// errIdle ends a network connection on which no packet came for long.
var errIdle = errors.New("idle")

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// refuses counts the packets that are answered with NAK.
func (m *Meter) refuses() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults.NAKs > 0 {
		m.faults.NAKs--
		return true
	}
	return m.faults.NAKs < 0
}

// send sends a packet or an acknowledgement, with a wrong CRC if the meter is to fail.
func (s *server) send(ctx context.Context, b []byte) error {
	s.meter.mu.Lock()
	if s.meter.faults.WrongCRC > 0 && len(b) > 1 {
		s.meter.faults.WrongCRC--
		b = bytes.Clone(b)
		b[len(b)-1] ^= 0x55
	}
	s.meter.mu.Unlock()
	return s.write(ctx, b)
}

func (s *server) write(ctx context.Context, b []byte) error {
	s.trace(true, b)
	until := time.Time{}
	if s.idle > 0 { // a line takes the time that it takes
		until = time.Now().Add(writeDeadline)
	}
	return s.conn.Write(ctx, until, b)
}

func (s *server) trace(send bool, b []byte) {
	s.meter.trace(send, b)
}

func (s *server) answer(message []byte) error {
	response, after := s.meter.respond(&s.conversation, s.link, s.line != nil, message)
	if response == nil {
		return nil
	}
	s.after = nil
	if after != nil {
		s.after = func() error { return after(s) }
	}
	b, _ := response.AppendBinary(nil)
	if err := s.link.Send(b); err != nil {
		// The reader must take more packets or ask for less.
		b, _ = psem.Response{Status: psem.ONP}.AppendBinary(nil)
		return s.link.Send(b)
	}
	return nil
}

// respond answers a request, and says what is to be done behind the answer.
func (m *Meter) respond(c *conversation, link *psem.Link, canSwitch bool, message []byte) (*psem.Response, func(*server) error) {
	request, _, err := psem.ParseRequest(message)
	if err != nil {
		return refuse(psem.Err), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults.DropReply > 0 {
		m.faults.DropReply--
		return nil, nil
	}
	if m.faults.Answer != nil {
		if r := m.faults.Answer(request); r != nil {
			return r, nil
		}
	}
	if _, unknown := request.(psem.Unknown); unknown {
		return refuse(psem.SNS), nil
	}
	next, ok := c.state.Next(request.Service())
	if !ok {
		return refuse(psem.ISSS), nil
	}
	response, after := m.carryOut(c, link, canSwitch, request)
	if response.Status == psem.OK {
		c.state = next
	}
	return response, after
}

func refuse(s psem.Status) *psem.Response { return &psem.Response{Status: s} }

func (m *Meter) carryOut(c *conversation, link *psem.Link, canSwitch bool, request psem.Request) (*psem.Response, func(*server) error) {
	switch r := request.(type) {
	case psem.Plain:
		return m.plain(c, r.Code)
	case psem.Negotiate:
		return negotiate(link.Config(), r, canSwitch)
	case psem.Wait:
		return &psem.Response{}, func(s *server) error {
			s.quiet = time.Now().Add(max(time.Duration(r.Seconds)*time.Second, s.traffic))
			return nil
		}
	case psem.Timing:
		b, _ := r.AppendBinary(nil)
		return &psem.Response{Body: b[1:]}, func(s *server) error { return s.timing(r) }
	case psem.Logon:
		if m.cfg.User != "" && strings.TrimRight(string(r.User[:]), " \x00") != m.cfg.User {
			return refuse(psem.ISC), nil
		}
		c.secure = m.cfg.Password == "" && m.cfg.Key == nil
		return &psem.Response{}, nil
	case psem.Security:
		if m.cfg.Password != "" && strings.TrimRight(string(r.Password[:]), " \x00") != m.cfg.Password {
			return refuse(psem.ISC), nil
		}
		c.secure = true
		return &psem.Response{}, nil
	case psem.Authenticate:
		return m.authenticate(c, r.Data), nil
	case psem.Read:
		return m.read(c, r), nil
	case psem.Write:
		return m.take(c, r), nil
	}
	return refuse(psem.SNS), nil
}

func (m *Meter) plain(c *conversation, code psem.Service) (*psem.Response, func(*server) error) {
	switch code {
	case psem.ServiceIdentify:
		r := m.identity(c).Response()
		return &r, nil
	case psem.ServiceTerminate, psem.ServiceDisconnect:
		c.secure = false
		return &psem.Response{}, func(s *server) error { return s.forget() }
	case psem.ServiceLogoff:
		c.secure = false
		return &psem.Response{}, nil
	}
	return refuse(psem.SNS), nil
}

// identity says what the meter is; one of C12.21 shows a ticket.
func (m *Meter) identity(c *conversation) psem.Identity {
	id := psem.Identity{Standard: psem.StandardC1218, Version: 1}
	if c.network {
		id.Standard = psem.StandardC1222
	}
	if m.cfg.Key == nil || c.network {
		return id
	}
	id.Standard = psem.StandardC1221
	binary.BigEndian.PutUint64(c.ticket[:], uint64(m.now().UnixNano()))
	id.Features = []psem.Feature{{Code: psem.FeatureTicket, Data: append([]byte{0, 0, des.BlockSize}, c.ticket[:]...)}}
	return id
}

// authenticate checks that the reader has the key, and proves that the meter has it.
func (m *Meter) authenticate(c *conversation, proof []byte) *psem.Response {
	block, err := des.NewCipher(m.cfg.Key)
	if err != nil || len(proof) != 1+des.BlockSize || proof[0] != m.cfg.KeyID {
		return refuse(psem.IAR)
	}
	var want [des.BlockSize]byte
	block.Encrypt(want[:], c.ticket[:])
	if subtle.ConstantTimeCompare(want[:], proof[1:]) != 1 {
		return refuse(psem.ISC)
	}
	c.secure = true
	body := make([]byte, 2+des.BlockSize)
	body[0], body[1] = 1+des.BlockSize, m.cfg.KeyID
	block.Encrypt(body[2:], proof[1:])
	return &psem.Response{Body: body}
}

// negotiate agrees to what the reader proposes, up to what the simulated meter can.
func negotiate(cfg psem.LinkConfig, r psem.Negotiate, canSwitch bool) (*psem.Response, func(*server) error) {
	n := psem.Negotiated{PacketSize: max(min(r.PacketSize, psem.MaxData+psem.Overhead), psem.Overhead+1), Packets: max(r.Packets, 1)}
	baud, ok := 0, false
	for _, code := range r.Bauds {
		if baud, ok = psem.BaudRate(code); ok && (canSwitch || baud == 9600) {
			n.Baud = code
			break
		}
	}
	response := n.Response()
	return &response, func(s *server) error {
		cfg.PacketSize, cfg.Packets = int(n.PacketSize), int(n.Packets)
		s.link.Configure(cfg)
		if n.Baud != 0 && s.line != nil {
			return s.line.SetLine(baud, "8N1")
		}
		return nil
	}
}

// timing sets the times that the reader proposed.
func (s *server) timing(t psem.Timing) error {
	cfg := s.link.Config()
	cfg.CharTimeout, cfg.AckTimeout = time.Duration(t.InterChar)*time.Second, time.Duration(t.Response)*time.Second
	if cfg.Retries = int(t.Retries); cfg.Retries == 0 {
		cfg.Retries = -1
	}
	s.link.Configure(cfg)
	if t.Traffic > 0 {
		s.traffic = time.Duration(t.Traffic) * time.Second
	}
	s.quiet = time.Now().Add(s.traffic)
	return nil
}

// read answers a read. Before the password the meter shows what identifies it only.
func (m *Meter) read(c *conversation, r psem.Read) *psem.Response {
	if !c.secure && r.Table > 1 && r.Table != 5 {
		return refuse(psem.ISC)
	}
	b, ok := m.table(r.Table)
	if !ok {
		return refuse(psem.IAR)
	}
	switch {
	case len(r.Indices) > 0:
		return refuse(psem.ONP)
	case r.ByOffset && m.cfg.NoPartial:
		return refuse(psem.ONP)
	case r.ByOffset && int(r.Offset)+int(r.Count) > len(b):
		return refuse(psem.IAR)
	case r.ByOffset:
		b = b[r.Offset:][:r.Count]
	}
	response, err := psem.TableResponse(b)
	if err != nil {
		return refuse(psem.ONP)
	}
	if m.faults.WrongSum {
		response.Body[len(response.Body)-1]++
	}
	return &response
}

// take answers a write: of table 06, and of table 07, which runs a procedure.
func (m *Meter) take(c *conversation, w psem.Write) *psem.Response {
	switch {
	case !c.secure:
		return refuse(psem.ISC)
	case len(w.Indices) > 0 || w.Table != 6 && w.Table != 7:
		return refuse(psem.ONP)
	case w.Table == 7:
		return m.run(w.Data)
	}
	old, _ := m.table(w.Table)
	b := bytes.Clone(old)
	if int(w.Offset)+len(w.Data) > len(b) || !w.ByOffset && len(w.Data) != len(b) {
		return refuse(psem.IAR)
	}
	copy(b[w.Offset:], w.Data)
	m.written[w.Table] = b
	m.record(10)
	return &psem.Response{}
}

// run runs a procedure and leaves its result in table 08.
func (m *Meter) run(b []byte) *psem.Response {
	if len(b) < 3 {
		return refuse(psem.IAR)
	}
	number := binary.LittleEndian.Uint16(b)
	if m.cfg.BigEndian {
		number = binary.BigEndian.Uint16(b)
	}
	result := ansic12.Completed
	switch number & 0x0FFF {
	case ansic12.ProcedureRemoteReset:
		m.resets++
		m.resetAt = m.clock()
		m.record(20)
	case ansic12.ProcedureSetClock:
		t, ok := m.parseTime(b[3:])
		if !ok {
			result = ansic12.BadParameter
			break
		}
		m.record(3)
		m.shift = t.Sub(m.now())
		m.record(4)
	default:
		result = ansic12.Unrecognized
	}
	m.procedure = append(append([]byte{}, b[:3]...), byte(result))
	return &psem.Response{}
}

// parseTime reads the parameters of procedure 10: a mask and a date and time.
func (m *Meter) parseTime(b []byte) (time.Time, bool) {
	if len(b) < 1+6 || m.config.Time != 2 {
		return time.Time{}, false
	}
	if b[2] < 1 || b[2] > 12 || b[3] < 1 || b[3] > 31 || b[4] > 23 || b[5] > 59 || b[6] > 59 {
		return time.Time{}, false
	}
	return time.Date(2000+int(b[1]), time.Month(b[2]), int(b[3]), int(b[4]), int(b[5]), int(b[6]), 0, m.now().Location()), true
}
