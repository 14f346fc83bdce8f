// Package cosemsim simulates a DLMS/COSEM electricity meter: identity, clock,
// registers, a load profile and an event log, served over HDLC or the wrapper on
// any connection.
//
// The values follow from the time alone, so that two readings at the same
// moment agree and every run gives the same meter.
package cosemsim

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// Config describes a simulated meter. A nil Config is one that anybody may read.
type Config struct {
	DeviceName string           // logical device name; empty means "OSM0000012345678"
	Serial     string           // empty means "12345678"
	Zone       *time.Location   // of the meter's clock; nil means UTC
	Now        func() time.Time // nil means time.Now
	Access     []dlms.Access    // who may associate; nil means everyone, without authentication
	// Counters keep the invocation counters of accesses with keys that have none of their own.
	Counters security.Counters
	// Public are the objects that are seen of the meter without authentication and
	// without keys, which are then read only; the others are undefined. Nil means
	// the logical device name, the clock and the invocation counters where any
	// access has authentication or keys, and all objects, as for anyone else,
	// where none has.
	Public []obis.Code
	HDLC   hdlc.Parameters // zero fields mean the defaults of the standard
	MaxPDU uint16          // octets that the meter receives; zero means dlms.DefaultMaxPDU
	Period time.Duration   // of the load profile; zero means 15 minutes
	Rows   int             // that the load profile holds; zero means 960

	Window uint8  // of general block transfer; zero means 1
	Faults Faults // what the meter does wrong; zero means nothing
	// Conformance is what the meter knows; zero means all of package dlms.
	Conformance apdu.Conformance
	Trace       func(send bool, frame []byte) // nil for none
	Logger      *slog.Logger                  // nil is silent
}

// Faults are what a simulated meter does wrong.
type Faults struct {
	DropImageBlock int // a block of an image that is lost the first time that it comes; zero means none
}

// Meter is a simulated meter. It serves any number of connections at a time.
type Meter struct {
	cfg    Config
	server *dlms.Server

	mu        sync.Mutex
	objects   []object
	index     map[obis.Code]int
	shift     time.Duration // by which the clock was set
	message   cosem.Data    // 0-0:96.13.0, which can be written
	relay     relay
	threshold uint32 // of the limiter
	policy    uint8  // attribute 2 of the Security setup
	image     image
	access    []dlms.Access // with the keys that hold now
}

// object is one COSEM object of the meter.
type object struct {
	cosem.Object
	// get returns the value of an attribute other than the logical name.
	get func(index int8, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult)
	// set writes an attribute whose access rights allow it.
	set func(index int8, d cosem.Data) cosem.DataAccessResult
	// action invokes a method whose access rights allow it.
	action func(p *dlms.Partner, index int8, parameters *cosem.Data) (*cosem.Data, cosem.ActionResult)
}

// public is what a meter with secrets shows to anybody.
var public = []obis.Code{obis.MustParse("0-0:42.0.0"), obis.MustParse("0-0:1.0.0"), obis.MustParse("0-0:43.1.0")}

// title is the system title of a meter whose access names none.
var title = security.Title{'O', 'S', 'M', 0, 0, 0xBC, 0x61, 0x4E}

// New returns a meter. It fails where the keys of an access cannot work, or have
// no store for their counters.
func New(cfg *Config) (*Meter, error) {
	m := &Meter{index: map[obis.Code]int{}}
	if cfg != nil {
		m.cfg = *cfg
	}
	if m.cfg.DeviceName == "" {
		m.cfg.DeviceName = "OSM0000012345678"
	}
	if m.cfg.Serial == "" {
		m.cfg.Serial = "12345678"
	}
	if m.cfg.Zone == nil {
		m.cfg.Zone = time.UTC
	}
	if m.cfg.Now == nil {
		m.cfg.Now = time.Now
	}
	if m.cfg.Period == 0 {
		m.cfg.Period = 15 * time.Minute
	}
	if m.cfg.Rows == 0 {
		m.cfg.Rows = 960
	}
	for _, a := range m.cfg.Access {
		if a.Auth == apdu.MechanismSHA256 && a.Security == nil { // which needs a title, and no keys
			a.Security = &dlms.Security{Title: title}
		}
		m.access = append(m.access, a)
		if m.cfg.Public == nil && (a.Auth != apdu.MechanismNone || a.Security != nil) {
			m.cfg.Public = public
		}
	}
	m.build()
	var err error
	m.server, err = dlms.NewServer(&dlms.ServerConfig{
		Link: dlms.LinkAuto, Devices: map[uint16]dlms.Device{1: m}, Access: m.access, Counters: m.cfg.Counters, HDLC: m.cfg.HDLC, MaxPDU: m.cfg.MaxPDU,
		Conformance: m.cfg.Conformance, Window: m.cfg.Window, Trace: m.cfg.Trace, Logger: m.cfg.Logger,
	})
	return m, err
}

// Serve serves one connection until it ends or the context does. It closes rw.
func (m *Meter) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return m.server.Serve(ctx, rw)
}

// ServePacket serves datagrams (UDP) until the connection is closed or the context ends.
func (m *Meter) ServePacket(ctx context.Context, conn net.PacketConn) error {
	return m.server.ServePacket(ctx, conn)
}

// Objects returns the objects of the meter.
func (m *Meter) Objects(p *dlms.Partner) []cosem.Object {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]cosem.Object, 0, len(m.objects))
	for _, o := range m.objects {
		if !m.visible(p, o.Name) {
			continue
		}
		if m.restricted(p) {
			o.Methods = nil
			o.Attributes = slices.Clone(o.Attributes)
			for i := range o.Attributes {
				o.Attributes[i].Mode &= cosem.AccessRead
			}
		}
		list = append(list, o.Object)
	}
	return list
}

// visible reports whether an association sees an object.
func (m *Meter) visible(p *dlms.Partner, name obis.Code) bool {
	return !m.restricted(p) || slices.Contains(m.cfg.Public, name)
}

// restricted reports whether an association is one of somebody unknown, in a
// meter that does not show all to everybody.
func (m *Meter) restricted(p *dlms.Partner) bool {
	return m.cfg.Public != nil && p != nil && p.Auth == apdu.MechanismNone && (p.Access == nil || p.Access.Security == nil)
}

// Get reads an attribute.
func (m *Meter) Get(p *dlms.Partner, a cosem.Attribute, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, code := m.find(p, a.Class, a.Name)
	switch {
	case code != cosem.Success:
		return cosem.Data{}, code
	case a.Index == 1:
		return cosem.Name(a.Name), cosem.Success
	case a.Index < 1 || int(a.Index) > len(o.Attributes):
		return cosem.Data{}, cosem.ObjectUndefined
	case o.Attributes[a.Index-1].Mode&cosem.AccessRead == 0:
		return cosem.Data{}, cosem.ReadWriteDenied
	}
	return o.get(a.Index, s)
}

// find returns the object of a class and a name that an association sees.
func (m *Meter) find(p *dlms.Partner, class cosem.Class, name obis.Code) (*object, cosem.DataAccessResult) {
	i, ok := m.index[name]
	switch {
	case !ok || !m.visible(p, name):
		return nil, cosem.ObjectUndefined
	case m.objects[i].Class != class:
		return nil, cosem.ObjectClassInconsistent
	}
	return &m.objects[i], cosem.Success
}

// Set writes an attribute.
func (m *Meter) Set(p *dlms.Partner, a cosem.Attribute, _ *cosem.Selection, d cosem.Data) cosem.DataAccessResult {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, code := m.find(p, a.Class, a.Name)
	switch {
	case code != cosem.Success:
		return code
	case a.Index < 1 || int(a.Index) > len(o.Attributes):
		return cosem.ObjectUndefined
	case o.Attributes[a.Index-1].Mode&cosem.AccessWrite == 0, m.restricted(p):
		return cosem.ReadWriteDenied
	}
	return o.set(a.Index, d)
}

// Action invokes a method.
func (m *Meter) Action(p *dlms.Partner, method cosem.Method, parameters *cosem.Data) (*cosem.Data, cosem.ActionResult) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, code := m.find(p, method.Class, method.Name)
	switch {
	case code != cosem.Success:
		return nil, cosem.ActionResult(code)
	case method.Index < 1 || int(method.Index) > len(o.Methods):
		return nil, cosem.ActionResult(cosem.ObjectUndefined)
	case m.restricted(p):
		return nil, cosem.ActionResult(cosem.ReadWriteDenied)
	}
	return o.action(p, method.Index, parameters)
}

// writable lets an attribute of the object that was added last be written.
func (m *Meter) writable(index int8, set func(d cosem.Data) cosem.DataAccessResult) {
	o := &m.objects[len(m.objects)-1]
	o.Attributes[index-1].Mode |= cosem.AccessWrite
	before := o.set
	o.set = func(i int8, d cosem.Data) cosem.DataAccessResult {
		if i == index {
			return set(d)
		}
		return before(i, d)
	}
}

// methods gives the object that was added last methods.
func (m *Meter) methods(n int8, action func(p *dlms.Partner, index int8, parameters *cosem.Data) (*cosem.Data, cosem.ActionResult)) {
	o := &m.objects[len(m.objects)-1]
	for i := range n {
		o.Methods = append(o.Methods, cosem.MethodAccess{Index: i + 1, Mode: cosem.AccessRead})
	}
	o.action = action
}

// add appends an object whose attributes can all be read.
func (m *Meter) add(class cosem.Class, name string, attributes int8, get func(index int8, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult)) {
	o := object{Object: cosem.Object{Class: class, Name: obis.MustParse(name)}, get: get}
	for i := range attributes {
		a := cosem.AttributeAccess{Index: i + 1, Mode: cosem.AccessRead}
		if class == cosem.ClassProfileGeneric && i == 1 {
			a.Selectors = []int8{1, 2}
		}
		o.Attributes = append(o.Attributes, a)
	}
	if class == cosem.ClassProfileGeneric {
		o.Version = 1
	}
	m.index[o.Name] = len(m.objects)
	m.objects = append(m.objects, o)
}

// values serves attributes from 2 on, each computed when it is read.
func values(list ...func() cosem.Data) func(int8, *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	return func(index int8, _ *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
		return list[index-2](), cosem.Success
	}
}

// fixed is a value that does not change.
func fixed(d cosem.Data) func() cosem.Data { return func() cosem.Data { return d } }
