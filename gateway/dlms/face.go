// Package dlms shows meters, whatever protocol they speak, to DLMS/COSEM clients: a
// server with a logical device (SAP) for each meter.
//
// SAP 1 is the management logical device, whose object SAP assignment (0-0:41.0.0) lists the
// others. Each of them has associations of its own, its name, a clock, and its readings:
// registers, extended registers where a reading has a time of its own, and data where it is no
// number; and profiles, whose rows come from the source. Class, unit and scaler of an object
// stay what they were when its reading had its first value; a number that needs another scaler
// is sent as float64. Objects are only added, at the end of the list.
//
// The value of a reading that is old is not given out: its attribute answers temporary-failure
// (data-access-result 2), which every client understands, while the meaning of attribute
// status of an extended register is each manufacturer's own. Scaler, unit, status and the
// capture time can be read still.
package dlms

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serve"
	"github.com/openusm/meter/site"
)

// Config says how a [Face] serves. A nil *Config is the zero Config.
type Config struct {
	Listen string       // host:port, for wrapper and HDLC frames alike; without a host all addresses
	TLS    *tls.Config  // nil: in the clear
	Limits serve.Config // of connections; TLS and Logger are those of this Config where they are nil there

	// Access says who may associate, with keys of the face's own; nil lets everybody in, as a
	// client that nobody knows. Where one access needs a key or a password, those that need
	// neither see names and clocks alone.
	Access []dlms.Access
	// Counters keep the invocation counters of accesses with keys that have none of their own.
	Counters security.Counters

	Name string // of the management logical device; "": OUMGATEWAY
	// SAPs are those of some meters, from 2 on. Others get the first from 16 on that is free.
	SAPs map[site.ID]uint16
	// State is a file in which the SAPs that meters got are kept, so that a SAP never is another
	// meter's; "": they are forgotten when the program ends.
	State string

	Ready  func(net.Addr)                // told where the face listens; nil for none
	Warn   func(string)                  // told what cannot be shown, each once; nil for none
	Trace  func(send bool, frame []byte) // called for every frame, with passwords replaced; nil for none
	Logger *slog.Logger                  // nil is silent
}

// Face shows the meters of a source.
type Face struct {
	cfg       Config
	source    site.Source
	commander site.Commander
	server    *dlms.Server
	secured   bool
	numbers   *numbers
	warner    site.Warner

	mu      sync.RWMutex
	devices map[uint16]*device // by their SAPs, also those that are gone
}

var _ site.Face = (*Face)(nil)

// maxAnswer is how many octets the value of one attribute may have.
const maxAnswer = 8 << 20

// New returns a face that shows what source has. Sets and methods go to the commander, whose
// nil refuses them, with the name of the client's access, or "client" and his SAP; who has
// proven nothing has none. Who sees names and clocks alone is refused here.
//
// A set of the time of a clock, and of the value of an object that the face shows, becomes a
// command of what is behind the code, with its value in the unit of the reading. Other
// attributes, and methods, go on as they came, by class, number and A-XDR.
func New(cfg *Config, source site.Source, commander site.Commander) (*Face, error) {
	f := &Face{source: source, commander: commander, devices: map[uint16]*device{}}
	if cfg != nil {
		f.cfg = *cfg
	}
	if f.cfg.Listen == "" {
		return nil, errors.New("dlms: no address to listen on")
	}
	if f.cfg.Logger == nil {
		f.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f.warner.Hear = func(text string) {
		f.cfg.Logger.Warn("not shown in full", "what", text)
		if f.cfg.Warn != nil {
			f.cfg.Warn(text)
		}
	}
	if f.cfg.Limits.TLS == nil {
		f.cfg.Limits.TLS = f.cfg.TLS
	}
	if f.cfg.Limits.Logger == nil {
		f.cfg.Limits.Logger = f.cfg.Logger
	}
	if f.cfg.Name == "" {
		f.cfg.Name = "OUMGATEWAY"
	}
	f.secured = slices.ContainsFunc(f.cfg.Access, isSecured)
	var err error
	if f.numbers, err = newNumbers(f.cfg.SAPs, f.cfg.State); err != nil {
		return nil, err
	}
	f.server, err = dlms.NewServer(&dlms.ServerConfig{
		Link: dlms.LinkAuto, Devices: map[uint16]dlms.Device{dlms.DefaultServer: &management{f}}, Find: f.find, Access: f.cfg.Access, Counters: f.cfg.Counters,
		MaxAnswer: maxAnswer, Inactivity: -1, Trace: f.cfg.Trace, Logger: f.cfg.Logger, // the accept loop closes connections that are idle
	})
	return f, err
}

// isSecured reports whether an access asks who the client is.
func isSecured(a dlms.Access) bool { return a.Security != nil || a.Auth != apdu.MechanismNone }

// known reports whether a client has proven who he is.
func known(p *dlms.Partner) bool {
	return p != nil && (p.Auth != apdu.MechanismNone || p.Access != nil && p.Access.Security != nil)
}

// actor returns who a client is.
func (f *Face) actor(p *dlms.Partner) site.Actor {
	a := site.Actor{Face: "dlms", Remote: p.Remote}
	switch {
	case !known(p):
	case p.Access != nil && p.Access.Name != "":
		a.Name = p.Access.Name
	default:
		a.Name = fmt.Sprintf("client %d", p.Client)
	}
	return a
}

// Serve serves until ctx ends, which is no error.
func (f *Face) Serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	for id := range f.numbers.all() {
		if c, ok := f.source.Last(id); ok {
			f.show(c)
		}
	}
	watching.Go(func() {
		for c := range f.source.Watch(ctx) {
			f.show(c)
		}
	})
	watching.Go(func() { f.learn(ctx) })
	return serve.Listen(ctx, "tcp", f.cfg.Listen, &f.cfg.Limits, f.cfg.Ready, func(ctx context.Context, c net.Conn) error {
		if err := f.server.Serve(ctx, c); ctx.Err() == nil {
			return err
		}
		return nil
	})
}

// relearn is how often what was missed of profiles is looked for.
const relearn = time.Minute

// learn learns from what the source keeps which profiles the meters have: a change says only
// what it brought itself, and of changes that came at once only the last.
func (f *Face) learn(ctx context.Context) {
	tick := time.NewTicker(relearn)
	defer tick.Stop()
	for seq := uint64(0); ; {
		for c, err := range f.source.After(seq) {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				continue // a gap: what is kept follows
			}
			seq = c.Seq
			if c.Data == nil || len(c.Data.Profiles) == 0 {
				continue
			}
			if d := f.device(c.Meter); d != nil {
				d.learn(c.Data.Profiles)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// device returns what shows a meter; nil where it has no SAP.
func (f *Face) device(id site.ID) *device {
	sap, err := f.numbers.of(id)
	if err != nil {
		f.warner.Say(fmt.Sprintf("%s: %v", id, err))
	}
	if sap == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.devices[sap]
	if d == nil {
		d = &device{face: f, id: id, byCode: map[obis.Code]int{}, gone: true}
		f.devices[sap] = d
	}
	return d
}

// show shows what a change brought.
func (f *Face) show(c site.Change) {
	if d := f.device(c.Meter); d != nil {
		d.change(c)
	}
}

// find returns the logical device of a SAP. That of a meter that is gone says so to those who ask.
func (f *Face) find(sap uint16) dlms.Device {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if d := f.devices[sap]; d != nil {
		return d
	}
	return nil
}

// sap is a logical device in the list of them.
type sap struct {
	number uint16
	name   string
}

// list returns the logical devices in the order of their SAPs.
func (f *Face) list() []sap {
	f.mu.RLock()
	defer f.mu.RUnlock()
	list := []sap{{dlms.DefaultServer, f.cfg.Name}}
	for number, d := range f.devices {
		if d.isThere() {
			list = append(list, sap{number, d.name()})
		}
	}
	slices.SortFunc(list, func(a, b sap) int { return int(a.number) - int(b.number) })
	return list
}

// The objects that each logical device has.
var (
	deviceName    = obis.MustParse("0-0:42.0.0*255")
	deviceID      = obis.MustParse("0-0:96.1.0*255")
	clockName     = obis.MustParse("0-0:1.0.0*255")
	sapAssignment = obis.MustParse("0-0:41.0.0*255")
)

// management is the logical device that tells of the others.
type management struct{ face *Face }

// Objects implements [dlms.Device].
func (m *management) Objects(p *dlms.Partner) []cosem.Object {
	list := []cosem.Object{
		{Class: cosem.ClassData, Name: deviceName, Attributes: readOnly[:2]},
		{Class: cosem.ClassClock, Name: clockName, Attributes: readOnly[:2]},
		{Class: cosem.ClassSAPAssignment, Name: sapAssignment, Attributes: readOnly[:2]},
	}
	if m.face.secured && !known(p) {
		return list[:2]
	}
	return list
}

// Get implements [dlms.Device].
func (m *management) Get(p *dlms.Partner, a cosem.Attribute, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	for _, o := range m.Objects(p) {
		switch {
		case o.Name != a.Name:
			continue
		case o.Class != a.Class:
			return cosem.Data{}, cosem.ObjectClassInconsistent
		case s != nil:
			return cosem.Data{}, cosem.TypeUnmatched
		case a.Index == 1:
			return cosem.Name(a.Name), cosem.Success
		case a.Index != 2:
			return cosem.Data{}, cosem.ObjectUndefined
		}
		switch a.Class {
		case cosem.ClassClock:
			return cosem.DateTime(obis.FromTime(time.Now())), cosem.Success
		case cosem.ClassData:
			return cosem.OctetString([]byte(m.face.cfg.Name)), cosem.Success
		}
		var list []cosem.Data
		for _, d := range m.face.list() {
			list = append(list, cosem.Structure(cosem.Uint16(d.number), cosem.OctetString([]byte(d.name))))
		}
		return cosem.Array(list...), cosem.Success
	}
	return cosem.Data{}, cosem.ObjectUndefined
}

// Set implements [dlms.Device]: nothing of the face itself can be written.
func (m *management) Set(*dlms.Partner, cosem.Attribute, *cosem.Selection, cosem.Data) cosem.DataAccessResult {
	return cosem.ReadWriteDenied
}

// Action implements [dlms.Device]: nothing can be done with the face itself.
func (m *management) Action(*dlms.Partner, cosem.Method, *cosem.Data) (*cosem.Data, cosem.ActionResult) {
	return nil, cosem.ActionResult(cosem.ReadWriteDenied)
}
