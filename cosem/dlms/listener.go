package dlms

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/obis"
)

// ListenerConfig describes a listener.
type ListenerConfig struct {
	// Keys returns the keys of the meter with a system title, which is zero
	// where a message does not name its sender; nil for a meter that is not
	// known. A nil Keys knows no keys.
	Keys func(security.Title) *Security
	// Handle is called for every message, one at a time for each connection.
	// The notification is valid until it returns.
	Handle func(*Notification)
	// FrameTimeout ends an HDLC frame of which the rest does not come; zero means hdlc.DefaultFrameTimeout.
	FrameTimeout time.Duration
	Trace        func(send bool, frame []byte) // called for every frame on the wire; nil for none
	Logger       *slog.Logger                  // nil is silent
}

// Notification is what a meter pushed.
type Notification struct {
	From     net.Addr // nil where the connection has no addresses
	PDU      apdu.PDU // data-notification, event-notification or information-report; nil with an error
	Layers   []Layer  // what was taken off
	Title    security.Title
	Readings []obis.Reading
	Meter    obis.Meter
	Err      error // why the message cannot be read
}

// Listener takes what meters push.
type Listener struct{ cfg ListenerConfig }

// NewListener returns a listener.
func NewListener(cfg *ListenerConfig) *Listener {
	l := &Listener{}
	if cfg != nil {
		l.cfg = *cfg
	}
	if l.cfg.FrameTimeout == 0 {
		l.cfg.FrameTimeout = hdlc.DefaultFrameTimeout
	}
	if l.cfg.Logger == nil {
		l.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return l
}

// Serve listens on one connection, with HDLC or the wrapper as its first octet
// tells, until it ends or the context does. It closes rw.
func (l *Listener) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	conn := stream.New(rw)
	defer conn.Close()
	r := &pushReader{listener: l}
	if c, ok := rw.(interface{ RemoteAddr() net.Addr }); ok {
		r.from = c.RemoteAddr()
	}
	var buf [2048]byte
	for {
		var until time.Time
		if r.scanner.Pending() {
			until = time.Now().Add(l.cfg.FrameTimeout)
		}
		n, err := conn.Read(ctx, until, buf[:])
		switch {
		case n > 0:
			r.feed(buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.scanner.Skip()
			r.feed(nil)
		case closed(err):
			return nil
		default:
			return err
		}
	}
}

// ServePacket listens for datagrams with the wrapper, until the connection is
// closed or the context ends. Each sender has a state of its own.
func (l *Listener) ServePacket(ctx context.Context, conn net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1<<16)
	readers := map[string]*pushReader{}
	for {
		n, from, err := conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		r := readers[from.String()]
		if r == nil {
			if len(readers) >= maxDatagramSessions {
				clear(readers) // they only lose what was begun
			}
			r = &pushReader{listener: l, from: from}
			readers[from.String()] = r
		}
		r.in, r.begun = r.in[:0], false // a datagram begins a frame
		r.feed(buf[:n])
	}
}

// pushReader reads what comes on one connection. It does no I/O.
type pushReader struct {
	listener *Listener
	from     net.Addr
	link     Link
	begun    bool // link holds
	scanner  hdlc.Scanner
	in       []byte // of the wrapper
	info     []byte // of HDLC segments
	blocks   transfer
	pushes   cosem.Pushes
}

// feed takes octets from the line.
func (r *pushReader) feed(b []byte) {
	if !r.begun && len(b) > 0 {
		r.begun = true
		if b[0] == 0 {
			r.link = LinkWrapper
		}
	}
	if r.link == LinkWrapper {
		r.feedWrapper(b)
		return
	}
	r.scanner.Feed(b)
	for {
		f, err := r.scanner.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil {
			r.listener.cfg.Logger.Warn("damaged frame", "error", err)
			continue
		}
		tracer(r.listener.cfg.Trace).trace(false, r.scanner.Raw())
		r.frame(f)
	}
}

func (r *pushReader) feedWrapper(b []byte) {
	r.in = append(r.in, b...)
	for {
		f, n, err := wrapper.Parse(r.in)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil {
			r.handle(nil, err)
			r.in = r.in[:0]
			return
		}
		tracer(r.listener.cfg.Trace).trace(false, r.in[:n])
		r.apdu(f.APDU)
		r.in = r.in[:copy(r.in, r.in[n:])]
	}
}

// frame takes an HDLC frame. Meters that push put everything into UI or I frames.
func (r *pushReader) frame(f hdlc.Frame) {
	if !f.Control.IsInformation() && f.Control.Kind() != hdlc.UI || len(f.Info) == 0 {
		return
	}
	// A segment that begins with an LLC header begins a message.
	if isLLC(f.Info) {
		r.info = r.info[:0]
	}
	if len(r.info)+len(f.Info) > maxPushed {
		r.info = r.info[:0]
		return
	}
	r.info = append(r.info, f.Info...)
	if f.Segmented {
		return
	}
	b := r.info
	if isLLC(b) { // Landis+Gyr E450 puts it into the first of several frames only
		b = b[3:]
	}
	r.apdu(b)
	r.info = r.info[:0]
}

// maxPushed bounds what is put together of a push.
const maxPushed = 1 << 20

func isLLC(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xE6 && (b[1] == 0xE6 || b[1] == 0xE7) && b[2] == 0
}

// apdu takes an APDU, or a block of one.
func (r *pushReader) apdu(b []byte) {
	if len(b) == 0 {
		return
	}
	if b[0] != apdu.TagGeneralBlockTransfer {
		r.handle(b, nil)
		return
	}
	p, err := parse(b)
	if err != nil {
		r.handle(nil, err)
		return
	}
	g := p.(apdu.GeneralBlockTransfer)
	if g.Number == 1 {
		r.blocks = newTransfer(1, 0)
		r.blocks.limit = maxPushed
	}
	whole, done, err := r.blocks.feed(g)
	switch {
	case err != nil:
		r.handle(nil, err)
	case done:
		r.handle(whole, nil)
	}
}

// handle turns an APDU into a notification.
func (r *pushReader) handle(b []byte, err error) {
	l, n := r.listener, &Notification{From: r.from, Err: err}
	if err == nil {
		l.open(n, b)
	}
	if p, ok := n.PDU.(apdu.DataNotification); ok {
		at, _ := cosem.ParseTime(p.Time)
		var list cosem.Readings
		r.pushes.Append(&list, p.Body, at)
		n.Readings = list.List
	} else {
		n.Readings = Readings(n.PDU)
	}
	n.identify()
	if n.Err != nil {
		l.cfg.Logger.Warn("push that cannot be read", "error", n.Err)
	}
	if l.cfg.Handle != nil {
		l.cfg.Handle(n)
	}
}

func (l *Listener) open(n *Notification, b []byte) {
	opener, _ := NewOpener(nil)
	plain, layers, err := opener.Open(b)
	if len(layers) > 0 {
		n.Title = layers[0].Title
	}
	if err != nil && l.cfg.Keys != nil {
		if sec := l.cfg.Keys(n.Title); sec != nil {
			if opener, err = NewOpener(sec); err == nil {
				plain, layers, err = opener.Open(b)
			}
		}
	}
	n.Layers = append([]Layer(nil), layers...)
	if err != nil {
		n.Err = err
		return
	}
	p, err := parse(plain)
	if err != nil {
		n.Err = err
		return
	}
	n.PDU, n.Err = p, nil
}

// identify says what the message tells of its sender, and how far it can be trusted.
func (n *Notification) identify() {
	for _, layer := range n.Layers {
		if layer.Trust == security.Unverified {
			markUnverified(n.Readings)
		}
	}
	n.Meter = cosem.Identify(n.Readings)
	if n.Title != (security.Title{}) {
		n.Meter.SystemTitle = n.Title.String()
		if n.Meter.Manufacturer == "" {
			n.Meter.Manufacturer = flagID(n.Title[:3])
		}
	}
}

func flagID(b []byte) string {
	for _, c := range b {
		if c < 'A' || c > 'Z' {
			return ""
		}
	}
	return string(b)
}

func markUnverified(readings []obis.Reading) {
	for i := range readings {
		readings[i].Quality.Flags |= obis.Unverified
	}
}

// Readings returns what a PDU says by itself: the values of a notification.
// Answers to requests say nothing without them; see [Answers].
func Readings(p apdu.PDU) []obis.Reading {
	switch p := p.(type) {
	case apdu.DataNotification:
		at, _ := cosem.ParseTime(p.Time)
		return cosem.AppendPushed(nil, p.Body, at)
	case apdu.EventNotification:
		at, _ := cosem.ParseTime(p.Time)
		return Answers([]apdu.Get{{Attribute: p.Attribute}}, []apdu.Result{{Data: p.Data}}, at)
	case apdu.AccessResponse:
		if len(p.Echo) != len(p.List) {
			return nil
		}
		at, _ := cosem.ParseTime(p.Time)
		var asked []apdu.Get
		var results []apdu.Result
		for i, r := range p.List {
			if r.Kind == apdu.AccessGet {
				asked = append(asked, apdu.Get{Attribute: p.Echo[i].Attribute})
				results = append(results, apdu.Result{Data: r.Data, Code: cosem.DataAccessResult(r.Code)})
			}
		}
		return Answers(asked, results, at)
	}
	return nil
}

// Answers returns the readings of attributes that were asked for: values, with
// scaler, unit, status and capture time where these were asked for, too.
func Answers(asked []apdu.Get, results []apdu.Result, at obis.Time) []obis.Reading {
	var registers []cosem.Register
	for i, g := range asked {
		_, ok := cosem.RegisterAttributes(g.Attribute.Class)
		if i >= len(results) || !ok || results[i].Code != cosem.Success {
			continue
		}
		found := -1
		for k := range registers {
			if registers[k].Class == g.Attribute.Class && registers[k].Name == g.Attribute.Name {
				found = k
			}
		}
		if found < 0 {
			registers = append(registers, cosem.Register{Class: g.Attribute.Class, Name: g.Attribute.Name})
			found = len(registers) - 1
		}
		registers[found].Set(g.Attribute.Index, results[i].Data)
	}
	var readings []obis.Reading
	for i := range registers {
		n := len(readings)
		readings = registers[i].AppendReadings(readings)
		for k := n; k < len(readings); k++ {
			if readings[k].Time.IsZero() {
				readings[k].Time = at
			}
		}
	}
	return readings
}
