package dlms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/internal/stream"
)

// ServerConfig describes a server.
type ServerConfig struct {
	Link    Link
	Devices map[uint16]Device // by the number of the logical device
	// Find returns logical devices that are not in Devices, which may come and go; nil where
	// there is none of that number. A nil Find has none.
	Find     func(number uint16) Device
	Access   []Access        // who may associate; nil means everyone, without authentication
	Physical uint16          // lower HDLC address; zero accepts any
	HDLC     hdlc.Parameters // of HDLC; zero fields mean the defaults of the standard
	MaxPDU   uint16          // octets that we receive; zero means DefaultMaxPDU
	// Conformance is what the server knows; zero means all that this package implements.
	Conformance   apdu.Conformance
	ConformanceSN apdu.Conformance // the same for SN referencing
	MaxLong       int              // octets of a request that comes in blocks; zero means 1 MiB
	MaxAnswer     int              // octets of the value of one attribute; zero means 8 MiB
	Window        uint8            // blocks of a general block transfer that we receive before we acknowledge; zero means 1
	// Counters keep the invocation counters of accesses that have none of their own.
	Counters   security.Counters
	Inactivity time.Duration // after which a silent connection is closed; zero means DefaultInactivity, negative never

	// Trace is called for every frame on the wire, in which the octets of passwords
	// are replaced by "*"; nil for none.
	Trace  func(send bool, frame []byte)
	Logger *slog.Logger // nil is silent

	access     *atomic.Pointer[[]Access] // Access, or what replaced it
	challenges *challenges
	held       *budget
}

// DefaultInactivity is how long a server waits for a silent client.
const DefaultInactivity = 120 * time.Second

const serverConformance = apdu.GeneralProtection | apdu.GeneralBlocks | apdu.BlockTransferGet | apdu.BlockTransferSet |
	apdu.BlockTransferAction | apdu.MultipleReferences | apdu.ServiceGet | apdu.ServiceSet | apdu.ServiceAction | apdu.ServiceAccess |
	apdu.SelectiveAccess | apdu.PriorityManagement | apdu.ServiceNotification | apdu.ServiceEvent

const serverConformanceSN = apdu.GeneralProtection | apdu.ServiceRead | apdu.ServiceWrite | apdu.UnconfirmedWrites | apdu.ParameterizedAccess |
	apdu.MultipleReferences | apdu.ServiceInformation | apdu.BlockTransferGet

// Server answers clients, each connection in a call of [Server.Serve].
type Server struct{ cfg ServerConfig }

// SetAccess replaces who may associate and with which keys. Associations that
// are open go on with what they have. Keys that cannot work, or that have no
// store for their counters ([ErrNoCounters]), change nothing.
func (s *Server) SetAccess(list []Access) error {
	for i := range list {
		a := &list[i]
		if a.Security == nil && a.Require != 0 {
			return fmt.Errorf("dlms: access of client %d by %v: %w", a.Client, a.Auth, security.ErrNoKey)
		}
		sec := a.Security
		if sec != nil && sec.Counters == nil {
			sec = &Security{}
			*sec = *a.Security
			sec.Counters = s.cfg.Counters
		}
		c, err := newAssociationChannel(sec)
		if err == nil {
			err = c.able(a.Auth, false)
		}
		if err != nil {
			return fmt.Errorf("dlms: access of client %d by %v: %w", a.Client, a.Auth, err)
		}
	}
	list = slices.Clone(list)
	s.cfg.access.Store(&list)
	return nil
}

// NewServer returns a server. Without [ServerConfig.Access] everybody may
// associate as client of his choice, without authentication.
func NewServer(cfg *ServerConfig) (*Server, error) {
	s := &Server{}
	if cfg != nil {
		s.cfg = *cfg
	}
	if s.cfg.Access == nil {
		s.cfg.Access = []Access{{}}
	}
	s.cfg.access, s.cfg.challenges, s.cfg.held = &atomic.Pointer[[]Access]{}, &challenges{}, &budget{}
	if err := s.SetAccess(s.cfg.Access); err != nil {
		return nil, err
	}
	if s.cfg.MaxPDU == 0 {
		s.cfg.MaxPDU = DefaultMaxPDU
	}
	if s.cfg.Conformance == 0 {
		s.cfg.Conformance = serverConformance
	}
	if s.cfg.ConformanceSN == 0 {
		s.cfg.ConformanceSN = serverConformanceSN
	}
	if s.cfg.MaxLong == 0 {
		s.cfg.MaxLong = 1 << 20
	}
	if s.cfg.MaxAnswer == 0 {
		s.cfg.MaxAnswer = 8 << 20
	}
	if s.cfg.Inactivity == 0 {
		s.cfg.Inactivity = DefaultInactivity
	}
	if s.cfg.Logger == nil {
		s.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Serve serves one connection until it ends, the context ends, or it is silent
// for too long. It closes rw.
func (s *Server) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	conn := stream.New(rw)
	defer conn.Close()
	conn.Under(ctx)
	link, head, err := s.cfg.Link, []byte(nil), error(nil)
	if link == LinkAuto {
		if link, head, err = s.listen(ctx, conn); err != nil {
			return quiet(err)
		}
	}
	if link == LinkWrapper {
		return quiet(s.serveWrapper(ctx, conn, head))
	}
	return quiet(s.serveHDLC(ctx, conn, head))
}

// quiet forgets errors that are the normal end of a connection.
func quiet(err error) error {
	if closed(err) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// device returns the logical device of a number, nil for none.
func (s *Server) device(number uint16) Device {
	if d := s.cfg.Devices[number]; d != nil || s.cfg.Find == nil {
		return d
	}
	return s.cfg.Find(number)
}

// remoteOf returns where the other end of a connection is, "" where it has no address.
func remoteOf(conn *stream.Conn) string {
	if c, ok := conn.Unwrap().(interface{ RemoteAddr() net.Addr }); ok && c.RemoteAddr() != nil {
		return c.RemoteAddr().String()
	}
	return ""
}

// listen waits for the first octet of a connection: a flag of HDLC, or the
// version of the wrapper.
func (s *Server) listen(ctx context.Context, conn *stream.Conn) (link Link, head []byte, err error) {
	head = make([]byte, 1)
	if _, err := conn.Read(ctx, s.silence(), head); err != nil {
		return 0, nil, err
	}
	if head[0] == 0 {
		return LinkWrapper, head, nil
	}
	return LinkHDLC, head, nil
}

// silence returns when a connection that says nothing from now on is closed.
func (s *Server) silence() time.Time {
	if s.cfg.Inactivity < 0 {
		return time.Time{}
	}
	return time.Now().Add(s.cfg.Inactivity)
}

func (s *Server) serveWrapper(ctx context.Context, conn *stream.Conn, head []byte) error {
	type pair struct{ client, server uint16 }
	sessions := map[pair]*session{}
	defer func() {
		for _, session := range sessions {
			session.end()
		}
	}()
	remote := remoteOf(conn)
	c := &wrapperCarrier{conn: conn, trace: redacting(s.cfg.Trace), in: head}
	for {
		f, err := c.frame(ctx, s.silence())
		if err != nil {
			return err
		}
		device := s.device(f.Destination)
		if device == nil {
			continue
		}
		p := pair{f.Source, f.Destination}
		if sessions[p] == nil {
			if len(sessions) >= maxSessions {
				for other, one := range sessions { // those that have ended make room
					if one.state == stateIdle {
						one.end()
						delete(sessions, other)
					}
				}
			}
			if len(sessions) >= maxSessions {
				continue
			}
			sessions[p] = newSession(&s.cfg, device, Partner{Client: p.client, Server: p.server, Remote: remote, ctx: ctx})
		}
		c.local, c.remote = f.Destination, f.Source
		for _, answer := range sessions[p].handle(f.APDU) {
			if err := c.send(ctx, answer, false); err != nil {
				return err
			}
		}
	}
}

// ServePacket serves datagrams with the wrapper (UDP, over IPv4 or IPv6), until
// the connection is closed or the context ends. A client is known by its
// address and its wPort.
func (s *Server) ServePacket(ctx context.Context, conn net.PacketConn) error {
	type client struct {
		address string
		sap, to uint16
	}
	type held struct {
		*session
		last time.Time
	}
	sessions := map[client]*held{}
	defer func() {
		for _, h := range sessions {
			h.end()
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	in, out := make([]byte, 1<<16), []byte(nil)
	trace := redacting(s.cfg.Trace)
	for {
		n, from, err := conn.ReadFrom(in)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		trace.trace(false, in[:n])
		f, _, err := wrapper.Parse(in[:n])
		device := s.device(f.Destination)
		if err != nil || device == nil {
			continue
		}
		id := client{from.String(), f.Source, f.Destination}
		if sessions[id] == nil {
			if len(sessions) >= maxDatagramSessions {
				for id, h := range sessions { // nobody says goodbye on UDP
					if time.Since(h.last) > s.cfg.Inactivity {
						h.end()
						delete(sessions, id)
					}
				}
				if len(sessions) >= maxDatagramSessions {
					continue
				}
			}
			sessions[id] = &held{session: newSession(&s.cfg, device, Partner{Client: f.Source, Server: f.Destination, Remote: id.address, ctx: ctx})}
		}
		sessions[id].last = time.Now()
		for _, answer := range sessions[id].handle(f.APDU) {
			out, err = wrapper.Frame{Source: f.Destination, Destination: f.Source, APDU: answer}.AppendBinary(out[:0])
			if err != nil {
				return err
			}
			trace.trace(true, out)
			if _, err := conn.WriteTo(out, from); err != nil {
				s.cfg.Logger.Warn("answer cannot be sent", "to", from, "error", err)
			}
		}
	}
}

// maxDatagramSessions bounds the clients on one socket.
const maxDatagramSessions = 4096

// maxSessions bounds the clients on one connection.
const maxSessions = 16

// hdlcServer is the server's end of a line on which several clients may talk.
type hdlcServer struct {
	server  *Server
	conn    *stream.Conn
	trace   tracer
	scanner hdlc.Scanner
	peers   map[hdlcPair]*hdlcPeer
	out     []byte
}

type hdlcPair struct{ client, server hdlc.Address }

type hdlcPeer struct {
	link    *hdlc.Link
	session *session
}

func (s *Server) serveHDLC(ctx context.Context, conn *stream.Conn, head []byte) error {
	h := &hdlcServer{server: s, conn: conn, trace: redacting(s.cfg.Trace), peers: map[hdlcPair]*hdlcPeer{}}
	defer func() {
		for _, p := range h.peers {
			p.session.end()
		}
	}()
	h.scanner.Feed(head)
	var buf [2048]byte
	for {
		until := s.silence()
		if h.scanner.Pending() > 0 {
			until = time.Now().Add(hdlc.DefaultFrameTimeout)
		}
		n, err := conn.Read(ctx, until, buf[:])
		switch {
		case err == nil || n > 0:
		case errors.Is(err, os.ErrDeadlineExceeded) && h.scanner.Pending() > 0:
			h.scanner.Skip()
		default:
			return err
		}
		h.scanner.Feed(buf[:n])
		if err := h.frames(ctx); err != nil {
			return err
		}
	}
}

// frames serves all frames that have come.
func (h *hdlcServer) frames(ctx context.Context) error {
	for {
		f, err := h.scanner.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			continue
		}
		h.trace.trace(false, h.scanner.Raw())
		if err := h.frame(ctx, f); err != nil {
			return err
		}
	}
}

func (h *hdlcServer) frame(ctx context.Context, f hdlc.Frame) error {
	p := h.peer(ctx, f)
	if p == nil {
		return nil
	}
	now := time.Now()
	p.link.Receive(now, f)
	for {
		e, ok := p.link.Next()
		if !ok {
			break
		}
		switch e.Kind {
		case hdlc.Connected, hdlc.Disconnected:
			p.session.close()
		case hdlc.Message:
			answers := p.session.handle(e.PDU)
			for _, answer := range answers {
				p.link.Send(answer, false)
			}
			if len(answers) == 0 {
				p.link.Release()
			}
		}
	}
	h.out, _ = p.link.Poll(now, h.out[:0])
	if len(h.out) == 0 {
		return nil
	}
	h.trace.trace(true, h.out)
	return h.conn.Write(ctx, now.Add(writeTimeout), h.out)
}

// peer returns the link and the session to which a frame belongs, nil where it is not for us.
func (h *hdlcServer) peer(ctx context.Context, f hdlc.Frame) *hdlcPeer {
	s := h.server
	device := s.device(f.Destination.Upper)
	if device == nil || s.cfg.Physical != 0 && f.Destination.Size > 1 && f.Destination.Lower != s.cfg.Physical {
		return nil
	}
	pair := hdlcPair{f.Source, f.Destination}
	if h.peers[pair] == nil {
		if len(h.peers) >= maxSessions {
			for other, one := range h.peers { // those that have ended make room
				if one.session.state == stateIdle {
					one.session.end()
					delete(h.peers, other)
				}
			}
		}
		if len(h.peers) >= maxSessions {
			return nil
		}
		h.peers[pair] = &hdlcPeer{
			link:    hdlc.NewSecondary(hdlc.LinkConfig{Local: f.Destination, Remote: f.Source, Parameters: s.cfg.HDLC}),
			session: newSession(&s.cfg, device, Partner{Client: f.Source.Upper, Server: f.Destination.Upper, Remote: remoteOf(h.conn), ctx: ctx}),
		}
	}
	return h.peers[pair]
}
