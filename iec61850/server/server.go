// Package server serves a model of IEC 61850 to MMS clients.
//
// A [Server] has a model; every connection is a call of [Server.Serve]. Reading
// is open to whoever may associate. Writing, operating and files are refused
// unless the [Config] has a policy that allows them.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/serve"
)

// Config describes a server. A nil Config works.
type Config struct {
	MaxPDU          int           // octets of a PDU; zero means 65,000
	MaxAssociations int           // at the same time; zero means 2,048
	MaxOutstanding  int           // requests that a client may have outstanding, as is told to it; zero means 5
	MaxLists        int           // named variable lists that clients may define, in each association and in each domain; zero means 32
	MaxMembers      int           // members of such a list; zero means 256
	BufferSize      int           // octets of reports that each buffered report block keeps; zero means 65,536
	MaxBuffered     int           // octets of reports that all buffered report blocks keep together; zero means 67,108,864
	MaxReports      int           // report blocks of devices that share nodes which clients have set; zero means 32,768
	LogSize         int           // entries that each log keeps; zero means 1,000
	MaxFile         int           // octets of a file that a client may send; zero means 4,194,304
	Timeout         time.Duration // for a message to be complete, an association to be asked for, and a client to take what is sent; zero means 10 s

	// TLS is the configuration of [Server.ListenAndServe]; nil means plain TCP.
	TLS *tls.Config
	// Authenticate decides about a client by the password that it sent, nil
	// where it sent none. A nil Authenticate accepts everybody.
	Authenticate func(password []byte) bool
	// Write decides whether a client may set an attribute, and makes use of the
	// value. It returns nil to have the model take it, or an
	// [mms.AccessError]. The attribute is nil where the reference is that of a
	// member of a setting group control block. A nil Write refuses all.
	Write func(reference string, a *iec61850.Attribute, v iec61850.Value) error
	// Control decides about the selection, the operation or its cancellation of
	// an object, and carries it out. A nil Control refuses all.
	Control func(ctx context.Context, c Control) AddCause
	// Files are what clients may see; nil means none.
	Files Files
	// GOOSE publishes the GOOSE control blocks of the model. With nil they are
	// disabled, and clients cannot enable them.
	GOOSE Publisher

	Trace  func(send bool, frame []byte) // called for the octets of every message on the wire; nil for none
	Logger *slog.Logger                  // nil is silent
	Now    func() time.Time              // nil means time.Now
}

func (c *Config) defaults() {
	for _, d := range []struct {
		to   *int
		zero int
	}{{&c.MaxPDU, 65000}, {&c.MaxAssociations, 2048}, {&c.MaxOutstanding, 5}, {&c.MaxLists, 32}, {&c.MaxMembers, 256},
		{&c.BufferSize, 65536}, {&c.MaxBuffered, 64 << 20}, {&c.MaxReports, 1 << 15}, {&c.LogSize, 1000}, {&c.MaxFile, 4 << 20}} {
		if *d.to == 0 {
			*d.to = d.zero
		}
	}
	c.MaxPDU = min(max(c.MaxPDU, minPDU), 1<<20)
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// minPDU is the least size of a PDU to which a server agrees.
const minPDU = 512

// Server serves a model.
type Server struct {
	cfg    Config
	model  *iec61850.Model
	stop   func()
	places places
	busy   atomic.Int32 // transfers of files from clients

	// mu guards what clients change beside the model: blocks, lists, selections.
	// It is taken after the lock of the model.
	mu          sync.Mutex
	catalogue   sync.RWMutex       // taken after mu to change domains, held to read them without mu
	domains     map[string]*domain // by name
	names       []string           // of the domains, sorted; nil where they are to be sorted anew
	devices     map[*iec61850.Device]*domain
	shapes      map[*iec61850.Node]*shape // of devices that share nodes, by the first
	reports     []*report
	buffered    int // octets that buffered reports keep
	logs        []*journal
	goose       []*gooseBlock
	byAttr      map[*iec61850.Attribute][]membership
	selected    map[string]*selection              // by the reference of the object
	substituted map[*iec61850.Attribute][]*standIn // by the attribute and by what stands in for it; not changed once made
	touched     []*report                          // memory of changed
	changes     []iec61850.Change                  // memory of seen, under the lock of the model
	tracking    map[string]*iec61850.Object        // of the nodes LTRK, by name; not changed once made
	later       []func(*iec61850.Update) error     // what a block has the model do after it was set
}

// New returns a server of the model. Close stops its watching the model.
func New(m *iec61850.Model, cfg *Config) (*Server, error) {
	s := &Server{model: m, domains: map[string]*domain{}, byAttr: map[*iec61850.Attribute][]membership{}, selected: map[string]*selection{}, devices: map[*iec61850.Device]*domain{}, shapes: map[*iec61850.Node]*shape{},
		tracking: map[string]*iec61850.Object{}, substituted: map[*iec61850.Attribute][]*standIn{}}
	if cfg != nil {
		s.cfg = *cfg
	}
	s.cfg.defaults()
	for _, d := range m.Devices {
		if err := s.addDomain(d); err != nil {
			return nil, err
		}
	}
	s.findTracking()
	s.mu.Lock() // timers of blocks run from here on
	err := s.addBlocks()
	s.mu.Unlock()
	if err != nil {
		s.stopTimers()
		return nil, err
	}
	s.stop = m.Watch(s.changed)
	return s, nil
}

// Close stops watching the model. Connections end with their context.
func (s *Server) Close() {
	s.stop()
	s.stopTimers()
}

func (s *Server) stopTimers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reports {
		r.stopTimers()
	}
	for _, j := range s.logs {
		j.stopTimer()
	}
	for _, d := range s.domains {
		if d.settings != nil {
			d.settings.leave()
		}
	}
}

// ListenAndServe serves the clients that connect to a TCP address until the
// context ends; with TLS if the Config has it.
func (s *Server) ListenAndServe(ctx context.Context, address string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return s.accept(ctx, l, s.cfg.TLS)
}

// ServeListener serves the clients that l accepts until the context ends. It closes l.
func (s *Server) ServeListener(ctx context.Context, l net.Listener) error {
	return s.accept(ctx, l, nil)
}

// accept has the times of Serve, and room besides for those that agree on TLS.
func (s *Server) accept(ctx context.Context, l net.Listener, secure *tls.Config) error {
	limits := &serve.Config{TLS: secure, Max: 2 * s.cfg.MaxAssociations, Idle: -1, Logger: s.cfg.Logger}
	return serve.Accept(ctx, l, limits, func(ctx context.Context, conn net.Conn) error { return s.Serve(ctx, conn) })
}

// Serve serves one connection until it ends or the context ends. It closes rw. Where
// there are as many as may be, one that has not associated yet makes room: one of the
// host that has most of them, the oldest.
func (s *Server) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &association{s: s, ctx: ctx, leave: cancel, begun: time.Now(), host: hostOf(rw), conn: stream.New(rw), lists: map[string][]member{}}
	a.conn.Under(ctx)
	a.stack.MaxTSDU = s.cfg.MaxPDU + 1024
	defer a.close()
	if !s.places.enter(a, s.cfg.MaxAssociations) {
		return errFull
	}
	defer s.places.leave(a)
	err := a.run()
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

var errFull = errors.New("server: more associations than allowed")

// association is one client.
type association struct {
	s      *Server
	ctx    context.Context // of the connection; ends when it does
	leave  context.CancelFunc
	begun  time.Time
	host   netip.Addr
	conn   *stream.Conn
	stack  mms.Stack
	maxPDU int
	open   bool

	evicted bool // under the mutex of places

	in, out, pdu []byte // memory of the reader
	read         mms.ReadRequest
	write        mms.WriteRequest

	sending        sync.Mutex // held to write
	frames, report []byte     // memory of the reporter, under sending
	wake           chan struct{}
	reports        []*report // enabled here, under s.mu
	pending        [][]byte  // unconfirmed PDUs of controls, under s.mu
	after          []func()  // what is to be done when the answer was sent

	lists    map[string][]member // of the association, used by the reader alone
	files    map[uint32]io.ReadSeekCloser
	nextFile uint32
	transfer *transfer // of a file from the client, nil where there is none
	nextID   uint32    // of the requests that we make
}

const firstRead = 2048

// run reads until the connection ends.
func (a *association) run() error {
	a.in = make([]byte, 0, firstRead)
	begun := time.Now() // what must be complete in time
	for {
		deadline := time.Time{}
		if !a.open || len(a.in) > 0 {
			deadline = begun.Add(a.s.cfg.Timeout)
		}
		if len(a.in) == cap(a.in) {
			a.in = slices.Grow(a.in, len(a.in))
		}
		n, err := a.conn.Read(a.ctx, deadline, a.in[len(a.in):cap(a.in)])
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return errSilent
			}
			return err
		}
		if a.open && len(a.in) == 0 {
			begun = time.Now()
		}
		a.in = a.in[:len(a.in)+n]
		used, done, err := a.take()
		if a.open && used > 0 {
			begun = time.Now()
		}
		if err := a.flush(); err != nil {
			return err
		}
		for _, f := range a.after {
			f()
		}
		a.after = a.after[:0]
		if done || err != nil {
			return err
		}
	}
}

var errSilent = errors.New("server: client silent in the middle of a message")

// maxOut is how many octets of answers are gathered before they are written.
const maxOut = 1 << 16

// take handles the complete messages in the buffer, which have so many octets;
// done when the association ended.
func (a *association) take() (used int, done bool, err error) {
	defer func() {
		rest := copy(a.in, a.in[used:])
		a.in = a.in[:rest]
		if rest == 0 && cap(a.in) > 16*firstRead {
			a.in = make([]byte, 0, firstRead)
		}
	}()
	for used < len(a.in) && !done {
		ev, n, out, err := a.stack.Next(a.in[used:], a.out)
		a.out = out
		if errors.Is(err, io.ErrUnexpectedEOF) && n == 0 && short(a.in[used:]) {
			return used, false, nil
		}
		if err != nil {
			a.abort()
			return used, false, err
		}
		a.trace(false, a.in[used:used+n])
		used += n
		switch ev.Kind {
		case mms.AssociateIn:
			done, err = a.associate(ev)
		case mms.PDUIn:
			a.handle(ev.PDU)
		case mms.Released, mms.Aborted:
			a.s.release(a) // before the answer, so that a client that comes again at once finds its blocks free
			done = true
		}
		if err != nil {
			a.abort()
			return used, false, err
		}
		if len(a.out) > maxOut {
			if err := a.flush(); err != nil {
				return used, false, err
			}
		}
	}
	return used, done, nil
}

// short reports whether the packet at the start of b is not complete.
func short(b []byte) bool {
	_, _, err := mms.ParseTPKT(b)
	return errors.Is(err, io.ErrUnexpectedEOF)
}

func (a *association) abort() {
	if a.open {
		a.out, _ = a.stack.AppendAbort(a.out)
	}
}

// flush writes what was gathered.
func (a *association) flush() error {
	if len(a.out) == 0 {
		return nil
	}
	a.trace(true, a.out)
	a.sending.Lock()
	err := a.conn.Write(a.ctx, time.Now().Add(a.s.cfg.Timeout), a.out)
	a.sending.Unlock()
	if a.out = a.out[:0]; cap(a.out) > 16*firstRead {
		a.out, a.pdu = nil, nil
	}
	return err
}

func (a *association) trace(send bool, b []byte) {
	if a.s.cfg.Trace != nil {
		a.s.cfg.Trace(send, b)
	}
}

// close gives back what the association holds.
func (a *association) close() {
	a.s.release(a)
	_ = a.conn.Close()
	for _, f := range a.files {
		_ = f.Close()
	}
	a.leaveTransfer()
}

// associate answers the request for an association.
func (a *association) associate(ev mms.Event) (done bool, err error) {
	diagnostic := uint8(mms.DiagnosticNull)
	switch cfg := a.s.cfg; {
	case !ev.ACSE.Context:
		diagnostic = mms.DiagnosticContextUnsupported
	case cfg.Authenticate != nil && !cfg.Authenticate(ev.ACSE.Password):
		diagnostic = mms.DiagnosticAuthenticationFailed
		if ev.ACSE.Password == nil {
			diagnostic = mms.DiagnosticAuthenticationRequired
		}
	}
	if diagnostic != mms.DiagnosticNull {
		a.out, err = a.stack.AppendRefuse(a.out, diagnostic)
		return true, err
	}
	p, err := mms.ParsePDU(ev.PDU)
	if err != nil {
		return false, err
	}
	asked, err := p.Initiate()
	if err != nil {
		return false, err
	}
	answer := a.s.initiate(asked)
	a.maxPDU, a.open = answer.MaxPDU, true
	a.s.places.associated(a)
	a.out, err = a.stack.AppendAccept(a.out, answer.Append(nil))
	return false, err
}

// initiate returns what the server agrees to.
func (s *Server) initiate(asked mms.Initiate) mms.Initiate {
	i := mms.Initiate{Response: true, MaxPDU: s.cfg.MaxPDU, Calling: s.cfg.MaxOutstanding, Called: s.cfg.MaxOutstanding, Nesting: 10,
		Version: 1, CBB: mms.DefaultCBB}
	if asked.MaxPDU > 0 {
		i.MaxPDU = min(i.MaxPDU, max(asked.MaxPDU, minPDU))
	}
	if asked.Calling > 0 {
		i.Calling = min(i.Calling, asked.Calling)
	}
	if asked.Called > 0 {
		i.Called = min(i.Called, asked.Called)
	}
	if asked.Nesting > 0 {
		i.Nesting = min(i.Nesting, asked.Nesting)
	}
	i.Services.Set(mms.Status, mms.GetNameList, mms.Identify, mms.Read, mms.Write, mms.GetVariableAttributes,
		mms.DefineNamedVariableList, mms.GetNamedVariableList, mms.DeleteNamedVariableList, informationReport, conclude, cancel)
	if s.cfg.Files != nil {
		i.Services.Set(mms.FileOpen, mms.FileRead, mms.FileClose, mms.FileDirectory, mms.FileDelete, mms.FileRename, mms.ObtainFile)
	}
	if len(s.logs) > 0 {
		i.Services.Set(mms.ReadJournal)
	}
	return i
}

// Bits of servicesSupported that are no tags of confirmed services.
const (
	informationReport mms.Service = 79
	conclude          mms.Service = 83
	cancel            mms.Service = 84
)
