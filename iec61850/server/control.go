package server

import (
	"crypto/tls"
	"net"
	"strings"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

// ControlStep is what a client asks of a controllable object.
type ControlStep uint8

// The steps. Check comes before every Operate and decides alone whether it may
// be done; Operate does it.
const (
	Select ControlStep = iota + 1
	Check
	Operate
	Cancel
)

// Control is a request of a client to operate an object.
type Control struct {
	Step      ControlStep
	Reference string // DEVICE/XSWI1.Pos
	Object    *iec61850.Object
	Value     iec61850.Value // ctlVal; none where the object is selected without one
	Category  int            // orCat
	Origin    string         // orIdent
	Number    uint8          // ctlNum
	At        time.Time      // when to operate (operTm); zero means at once
	Time      iec61850.Timestamp
	Test      bool
	Checks    uint8  // bit 0 (1<<1) synchrocheck, bit 1 (1<<0) interlock
	Client    string // subject of the certificate of the client, "" where it showed none
	Remote    string // where the client is

	device *iec61850.Device
}

// AddCause is why a control was refused or ended.
type AddCause uint8

// Causes that policies need; 0 and 25 mean none.
const (
	CauseUnknown           AddCause = 0
	NotSupported           AddCause = 1
	SelectFailed           AddCause = 3
	InvalidPosition        AddCause = 4
	PositionReached        AddCause = 5
	BlockedByMode          AddCause = 8
	BlockedByProcess       AddCause = 9
	BlockedByInterlocking  AddCause = 10
	CommandInExecution     AddCause = 12
	BlockedByHealth        AddCause = 13
	AbortedByCancel        AddCause = 15
	TimeLimitOver          AddCause = 16
	ObjectNotSelected      AddCause = 18
	ObjectAlreadySelected  AddCause = 19
	NoAccessAuthority      AddCause = 20
	CauseNone              AddCause = 25
	InconsistentParameters AddCause = 26
	LockedByOtherClient    AddCause = 27
)

// Errors of LastApplError.
const (
	applUnknown    = 1
	applTimeout    = 2
	applNotAllowed = 3
)

// selection is an object that a client selected or operates. Guarded by s.mu.
type selection struct {
	a       *association
	until   time.Time
	value   iec61850.Value // that was selected with SBOw
	running bool
	timer   *time.Timer // of an operation that waits for its time, nil for others
	abort   func()      // ends such an operation
	device  *iec61850.Device
}

const defaultSelection = 30 * time.Second

// control does what a write below the constraint CO means. it is SBOw, Oper or Cancel.
func (a *association) control(it item, v iec61850.Value) error {
	if it.attr == nil || it.attr.Leaf() || strings.Count(it.path, "$") < 3 {
		return mms.ObjectAccessDenied
	}
	v, ok := it.typ.Fits(v)
	if !ok {
		return mms.TypeInconsistent
	}
	c := a.s.request(it, v)
	model := a.s.controlModel(it)
	enhanced := model == iec61850.DirectEnhanced || model == iec61850.SelectEnhanced
	cause := CauseNone
	switch it.name {
	case "SBOw":
		c.Step = Select
		cause = a.selectWith(c)
	case "Cancel":
		c.Step = Cancel
		cause = a.cancel(c)
	case "Oper":
		cause = a.operate(it, v, c, model, enhanced)
	default:
		return mms.ObjectAccessDenied
	}
	a.s.trackControl(a, it, v, c, cause)
	if cause == CauseNone {
		return nil
	}
	a.out = a.stack.AppendPDU(a.out, applError(it, c, applNotAllowed, cause).Append(nil))
	return mms.ObjectAccessDenied
}

// request reads the members of the structure, which fits its type.
func (s *Server) request(it item, v iec61850.Value) Control {
	c := Control{Reference: it.reference()[:strings.LastIndexByte(it.reference(), '.')], Object: it.object, device: it.domain.device}
	for i, m := range it.typ.Members {
		member := v.At(i)
		switch m.Name {
		case "ctlVal":
			if c.Value = member; member.Kind() == iec61850.Structure {
				c.Value = member.At(0) // of an analogue value
			}
		case "operTm":
			if member.Time().Seconds != 0 {
				c.At = member.Time().Time()
			}
		case "origin":
			category, _ := member.At(0).Int()
			c.Category, c.Origin = int(category), member.At(1).Text()
		case "ctlNum":
			number, _ := member.Uint()
			c.Number = uint8(number)
		case "T":
			c.Time = member.Time()
		case "Test":
			c.Test = member.Bool()
		case "Check":
			c.Checks = uint8(member.Bits())
		}
	}
	return c
}

func (s *Server) controlModel(it item) (m iec61850.ControlModel) {
	if a := it.object.Attribute("ctlModel", iec61850.CF); a != nil {
		s.model.View(func() {
			n, _ := it.domain.device.Get(a).Int()
			m = iec61850.ControlModel(n)
		})
	}
	return m
}

// askPolicy asks the policy.
func (a *association) askPolicy(c Control) AddCause {
	if a.s.cfg.Control == nil {
		return NoAccessAuthority
	}
	c.Client, c.Remote = a.client()
	if cause := a.s.cfg.Control(a.ctx, c); cause != CauseUnknown {
		return cause
	}
	return CauseNone
}

// reserve makes the object the association's own.
func (a *association) reserve(c Control) AddCause {
	timeout := defaultSelection
	if t := c.Object.Attribute("sboTimeout", iec61850.CF); t != nil {
		a.s.model.View(func() {
			if n, _ := c.device.Get(t).Uint(); n > 0 {
				timeout = time.Duration(n) * time.Millisecond
			}
		})
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	now := a.s.cfg.Now()
	if have := a.s.selected[c.Reference]; have != nil && (have.running || now.Before(have.until)) {
		if have.a != a {
			return LockedByOtherClient
		}
		return ObjectAlreadySelected
	}
	a.s.selected[c.Reference] = &selection{a: a, until: now.Add(timeout), value: c.Value, device: c.device}
	return CauseNone
}

func (a *association) unreserve(reference string) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if have := a.s.selected[reference]; have != nil && have.a == a {
		delete(a.s.selected, reference)
	}
}

func (a *association) selectWith(c Control) AddCause {
	if cause := a.reserve(c); cause != CauseNone {
		return cause
	}
	cause := a.askPolicy(c)
	if cause != CauseNone {
		a.unreserve(c.Reference)
	}
	return cause
}

// selectObject answers the reading of SBO: its own reference where the object was selected, else nothing.
func (a *association) selectObject(it item) iec61850.Value {
	if a.s.controlModel(it) != iec61850.SelectNormal {
		return iec61850.Visible("")
	}
	ref := it.reference()
	c := Control{Step: Select, Reference: ref[:strings.LastIndexByte(ref, '.')], Object: it.object, device: it.domain.device}
	cause := a.selectWith(c)
	a.s.trackControl(a, it, iec61850.Value{}, c, cause)
	if cause != CauseNone {
		return iec61850.Visible("")
	}
	return iec61850.Visible(it.domain.name + "/" + it.path)
}

// cancel takes a selection back, or ends an operation that waits for its time.
func (a *association) cancel(c Control) AddCause {
	a.s.mu.Lock()
	have := a.s.selected[c.Reference]
	mine := have != nil && have.a == a && (!have.running || have.timer != nil)
	a.s.mu.Unlock()
	if !mine {
		return ObjectNotSelected
	}
	cause := a.askPolicy(c)
	if cause != CauseNone {
		return cause
	}
	switch {
	case have.timer == nil:
		a.unreserve(c.Reference)
	case have.timer.Stop():
		a.after = append(a.after, have.abort)
	default:
		return CommandInExecution
	}
	return CauseNone
}

func (a *association) operate(it item, v iec61850.Value, c Control, model iec61850.ControlModel, enhanced bool) AddCause {
	switch model {
	case iec61850.StatusOnly:
		return NotSupported
	case iec61850.SelectNormal, iec61850.SelectEnhanced:
		if cause := a.chosen(c, model == iec61850.SelectEnhanced); cause != CauseNone {
			return cause
		}
	default:
		if cause := a.reserve(c); cause != CauseNone {
			return CommandInExecution
		}
	}
	wait := time.Duration(0)
	if !c.At.IsZero() {
		if wait = c.At.Sub(a.s.cfg.Now()); wait <= 0 {
			a.unreserve(c.Reference)
			return TimeLimitOver
		}
	}
	c.Step = Check
	if cause := a.askPolicy(c); cause != CauseNone {
		a.unreserve(c.Reference)
		return cause
	}
	c.Step = Operate
	if !enhanced && wait == 0 {
		defer a.unreserve(c.Reference)
		return a.askPolicy(c)
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	have := a.s.selected[c.Reference]
	if have == nil || have.a != a {
		return ObjectNotSelected
	}
	have.running = true
	if enhanced {
		a.startReporter()
	}
	if wait == 0 {
		a.after = append(a.after, func() { go a.carryOut(it, v, c, enhanced) })
		return CauseNone
	}
	have.timer = time.AfterFunc(wait, func() { a.carryOut(it, v, c, enhanced) })
	have.abort = func() { a.terminate(it, v, c, AbortedByCancel, enhanced) }
	return CauseNone
}

// chosen reports whether the association selected the object, with the same value.
func (a *association) chosen(c Control, withValue bool) AddCause {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	have := a.s.selected[c.Reference]
	switch {
	case have == nil || have.a != a || !have.running && a.s.cfg.Now().After(have.until):
		return ObjectNotSelected
	case have.running:
		return CommandInExecution
	case withValue && !have.value.Equal(c.Value):
		return InconsistentParameters
	}
	return CauseNone
}

// carryOut operates with enhanced security, or when its time came.
func (a *association) carryOut(it item, v iec61850.Value, c Control, enhanced bool) {
	a.terminate(it, v, c, a.askPolicy(c), enhanced)
}

// terminate gives the object back and, with enhanced security, reports how its operation ended.
func (a *association) terminate(it item, v iec61850.Value, c Control, cause AddCause, enhanced bool) {
	a.unreserve(c.Reference)
	if !enhanced {
		return
	}
	end := mms.Information{Variables: mms.Variables{Each: []mms.Variable{{Name: mms.DomainName(it.domain.name, it.path)}}}, Results: []mms.Result{{Value: v}}}
	if cause != CauseNone {
		failed := applError(it, c, applUnknown, cause)
		if cause == TimeLimitOver {
			failed = applError(it, c, applTimeout, cause)
		}
		end.Variables.Each = append(failed.Variables.Each, end.Variables.Each...)
		end.Results = append(failed.Results, end.Results...)
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.pending = append(a.pending, end.Append(nil))
	a.signal()
}

// applError is the report of LastApplError.
func applError(it item, c Control, code int64, cause AddCause) mms.Information {
	return mms.Information{
		Variables: mms.Variables{Each: []mms.Variable{{Name: mms.Name{Item: []byte("LastApplError")}}}},
		Results: []mms.Result{{Value: iec61850.Struct(
			iec61850.Visible(it.domain.name+"/"+it.path),
			iec61850.Int(code),
			iec61850.Struct(iec61850.Int(int64(c.Category)), iec61850.Octets([]byte(c.Origin))),
			iec61850.Uint(uint64(c.Number)),
			iec61850.Int(int64(cause)),
		)}},
	}
}

// deselect gives back what an association selected, and what waits for its time. s.mu is held.
func (s *Server) deselect(a *association) {
	for reference, have := range s.selected {
		if have.a == a && (!have.running || have.timer != nil && have.timer.Stop()) {
			delete(s.selected, reference)
		}
	}
}

// client returns who the client showed itself to be, and where it is.
func (a *association) client() (subject, remote string) {
	conn := a.conn.Unwrap()
	if c, ok := conn.(net.Conn); ok {
		remote = c.RemoteAddr().String()
	}
	if c, ok := conn.(*tls.Conn); ok {
		if chains := c.ConnectionState().VerifiedChains; len(chains) > 0 {
			subject = chains[0][0].Subject.CommonName
		}
	}
	return subject, remote
}
