// Package ied shows meters, whatever protocol they speak, as an IED of IEC 61850 that
// MMS clients read: each is a logical device. It also describes a meter in a file of the
// substation configuration language. The models are those of package mapping/ied.
package ied

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/scl"
	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/ied"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serve"
	"github.com/openusm/meter/site"
)

// Config of a [Face].
type Config struct {
	Listen string      // host:port; MMS has port 102, over TLS 3782
	TLS    *tls.Config // nil is in the clear. Who commands is the subject of the client's certificate
	// Limits of connections. A zero Idle closes none: clients may well wait for reports and say nothing.
	Limits serve.Config
	IED    string // name of the IED; "" means METER
	// Devices are the instances of the logical devices of meters; of others it is the name
	// of the meter, as far as MMS can spell it.
	Devices map[site.ID]string
	// Models are meters whose model is given as a file of the substation configuration
	// language, with the codes in the descriptions of its objects as [AppendSCL] writes them.
	// They have the names of the file and do not grow: what has no object there is a loss.
	Models map[site.ID][]byte
	// State is a file in which the face keeps the models of meters, so that names mean the
	// same after a restart, whatever comes first; "" for none.
	State     string
	Rules     *ied.Rules // nil means the built-in ones
	Direction ied.Direction
	Clients   int // report control blocks of each kind; zero means 4
	// Authenticate decides about a client by the password that it sent, nil where it sent none; a nil Authenticate accepts everybody.
	Authenticate func(password []byte) bool

	Logger *slog.Logger                  // nil is silent
	Trace  func(sent bool, frame []byte) // called for the octets of every message; nil for none
	Warn   func(string)                  // hears what cannot be shown, each once; nil for none
	Ready  func(net.Addr)                // hears where the face listens; nil for none
}

// Face shows the meters of a source as logical devices of one IED. Their models grow at
// their ends with what they say, each time as a new revision.
type Face struct {
	cfg       Config
	source    site.Source
	commander site.Commander
	model     *iec61850.Model
	server    *server.Server

	given  map[site.ID]given
	shapes map[string]*shape // by their keys; touched by what watches the source alone
	meters map[site.ID]*meter
	warner site.Warner

	mu    sync.Mutex // guards what follows
	known map[site.ID]*known
	names map[string]site.ID // meters by the complete names of their logical devices
	dirty bool
}

// given is a model that was given.
type given struct {
	name  string // of its logical device
	shape *ied.Shape
}

// shape is a shape and how many meters have it.
type shape struct {
	*ied.Shape
	sum   string
	users int
}

// meter is a meter that is shown.
type meter struct {
	known   *known
	device  *ied.Device // nil before the meter has said anything
	seen    int         // readings that were looked at
	waiting []int       // those of them that had no value yet
}

// known is what is remembered of a meter. The batches do not change but at their end.
type known struct {
	inst    string
	key     string
	sum     string // of where the registers went
	batches [][]ied.Register
}

// state is how it is kept.
type state struct {
	Shapes []keptShape         `json:"shapes"`
	Meters map[site.ID]keeping `json:"meters"`
}

type keptShape struct {
	Sum     string           `json:"sum"`
	Batches [][]ied.Register `json:"batches"`
}

type keeping struct {
	Device string `json:"device"`
	Shape  int    `json:"shape"`
}

var _ site.Face = (*Face)(nil)

// New returns a face of the meters of a source, which listens once it serves. Without a
// commander nothing can be operated. A nil cfg works.
func New(cfg *Config, source site.Source, commander site.Commander) (*Face, error) {
	f := &Face{source: source, commander: commander, given: map[site.ID]given{},
		known: map[site.ID]*known{}, names: map[string]site.ID{}}
	if cfg != nil {
		f.cfg = *cfg
	}
	f.cfg.IED = cmp.Or(f.cfg.IED, "METER")
	f.warner.Hear = f.cfg.Warn
	if err := f.load(); err != nil {
		return nil, fmt.Errorf("ied: %w", err)
	}
	return f, f.begin()
}

// begin makes the server, without meters.
func (f *Face) begin() (err error) {
	f.shapes, f.meters = map[string]*shape{}, map[site.ID]*meter{}
	f.model = &iec61850.Model{IED: f.cfg.IED, Vendor: "openusm", Type: "meter", Revision: "-"}
	f.server, err = server.New(f.model, &server.Config{Authenticate: f.cfg.Authenticate, Trace: f.cfg.Trace, Logger: f.cfg.Logger,
		MaxAssociations: max(f.cfg.Limits.Max, 0), Control: f.control})
	return err
}

// maxName is the longest name of a logical device.
const maxName = 64

// load reads the state, of which the names of the configuration take precedence.
func (f *Face) load() error {
	var have state
	if f.cfg.State != "" {
		if err := site.LoadState(f.cfg.State, &have); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.cfg.Models)) {
		if err := f.give(id, f.cfg.Models[id]); err != nil {
			return fmt.Errorf("model of %s: %w", id, err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.cfg.Devices)) {
		inst := f.cfg.Devices[id]
		if inst == "" || inst != spell(inst) || len(f.cfg.IED)+len(inst) > maxName || f.names[f.cfg.IED+inst] != "" {
			return fmt.Errorf("device %q of %s: not a name, or used twice", inst, id)
		}
		f.names[f.cfg.IED+inst] = id
	}
	for i := range have.Shapes {
		if err := f.recognize(&have.Shapes[i]); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(have.Meters)) {
		k := have.Meters[id]
		inst := cmp.Or(f.cfg.Devices[id], k.Device)
		if f.given[id].shape != nil {
			continue
		}
		if k.Shape < 0 || k.Shape >= len(have.Shapes) || inst == "" || inst != spell(inst) || len(f.cfg.IED)+len(inst) > maxName || f.names[f.cfg.IED+inst] != "" && f.names[f.cfg.IED+inst] != id {
			return fmt.Errorf("state of %s: device %q or shape %d", id, inst, k.Shape)
		}
		f.names[f.cfg.IED+inst] = id
		kept := have.Shapes[k.Shape]
		f.known[id] = &known{inst: inst, key: ied.Key(kept.Batches), sum: kept.Sum, batches: kept.Batches}
	}
	return nil
}

// recognize makes a model another revision where the rules give its registers other places
// than they had.
func (f *Face) recognize(k *keptShape) error {
	s, err := f.shape(k.Batches)
	if err != nil || s.Sum() == k.Sum {
		return err
	}
	f.warner.Say(fmt.Sprintf("the rules give %d registers other places than they had: clients have to read the models anew", len(slices.Concat(k.Batches...))))
	k.Batches, k.Sum = append(k.Batches, nil), s.Sum()
	f.dirty = true
	return nil
}

func (f *Face) shape(batches [][]ied.Register) (*ied.Shape, error) {
	return ied.NewShape(batches, &ied.Options{IED: f.cfg.IED, Direction: f.cfg.Direction, Clients: f.cfg.Clients, Rules: f.cfg.Rules})
}

// give takes the model of a meter from a file of the substation configuration language.
func (f *Face) give(id site.ID, file []byte) error {
	parsed, err := scl.Parse(file, nil)
	if err != nil {
		return err
	}
	if len(parsed.Model.Devices) != 1 {
		return fmt.Errorf("it has %d logical devices, want one", len(parsed.Model.Devices))
	}
	dev := parsed.Model.Devices[0]
	name := dev.FullName(parsed.Model)
	s, err := ied.GivenShape(dev, &ied.Options{Direction: f.cfg.Direction, Rules: f.cfg.Rules})
	if err != nil {
		return err
	}
	if f.names[name] != "" {
		return fmt.Errorf("its device %s is that of %s, too", name, f.names[name])
	}
	f.names[name], f.given[id] = id, given{name, s}
	return nil
}

// spell returns what MMS can spell of a name.
func spell(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r == '_':
			return r
		case r == '-', r == '.', r == ':', r == '/', r == ' ':
			return '_'
		}
		return -1
	}, name)
}

// Serve shows the meters until ctx ends.
func (f *Face) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for c := range f.source.Watch(ctx) {
			f.change(c)
		}
	})
	watching.Go(func() { f.keep(ctx) })
	limits := f.cfg.Limits
	limits.TLS, limits.Logger = f.cfg.TLS, cmp.Or(limits.Logger, f.cfg.Logger)
	limits.Max = cmp.Or(max(limits.Max, 0), defaultMax)
	if limits.Idle == 0 {
		limits.Idle = -1
	}
	err := serve.Listen(ctx, "tcp", f.cfg.Listen, &limits, f.cfg.Ready, func(ctx context.Context, conn net.Conn) error { return f.server.Serve(ctx, conn) })
	cancel()
	watching.Wait()
	f.server.Close()
	return errors.Join(err, f.save(), f.begin())
}

// defaultMax is how many clients there may be at once.
const defaultMax = 2048

// change shows what is new of a meter.
func (f *Face) change(c site.Change) {
	m := f.meters[c.Meter]
	if c.Data == nil {
		if m != nil && m.device != nil {
			f.server.RemoveDevice(m.device.Logical())
			if m.known != nil {
				f.leave(m.known.key)
			}
		}
		delete(f.meters, c.Meter)
		return
	}
	if m == nil {
		m = &meter{}
		if f.given[c.Meter].shape == nil {
			m.known = f.enter(c.Meter)
		}
		f.meters[c.Meter] = m
	}
	set := c.Set
	old := m.device
	if f.grow(m, c) {
		set = make([]int, len(c.Data.Readings))
		for i := range set {
			set[i] = i
		}
	}
	if m.device == nil {
		return
	}
	var lost []mapping.Loss
	_ = f.model.Update(func(u *iec61850.Update) error {
		lost = m.device.Change(u, c.Data, c.Received, set)
		return nil
	})
	if m.device != old {
		lost = append(lost, m.device.Placed(c.Data.Readings)...)
		if err := f.server.SetDevice(m.device.Logical()); err != nil {
			f.warner.Say(err.Error())
		}
	}
	for _, l := range lost {
		f.warner.Lost(c.Meter, c.Data, l)
	}
}

// enter returns what is remembered of a meter, or begins to.
func (f *Face) enter(id site.ID) *known {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.known[id]; k != nil {
		return k
	}
	inst := f.cfg.Devices[id]
	if inst == "" {
		base := cmp.Or(spell(string(id)), "meter")
		base = base[:min(len(base), maxName-len(f.cfg.IED)-8)]
		inst = base
		for n := 2; f.names[f.cfg.IED+inst] != ""; n++ {
			inst = base + "_" + strconv.Itoa(n)
		}
	}
	f.names[f.cfg.IED+inst] = id
	k := &known{inst: inst}
	f.known[id] = k
	return k
}

// maxRegisters is how many readings of a meter have a place.
const maxRegisters = 4096

// grow gives a meter the model that its readings need, and reports whether it is another one.
func (f *Face) grow(m *meter, c site.Change) bool {
	fresh := m.device == nil
	if m.known == nil {
		if fresh {
			own := f.given[c.Meter]
			m.device = own.shape.Device("")
			m.device.Logical().Name = own.name
		}
		return fresh
	}
	if !fresh && m.seen == len(c.Data.Readings) &&
		!slices.ContainsFunc(m.waiting, func(i int) bool { return !c.Data.Readings[i].Value.IsNone() }) {
		return false
	}
	before, batches, room := m.known.key, m.known.batches, maxRegisters
	if fresh && len(batches) > 0 {
		if err := f.take(m, batches); err != nil { // of rules that are no longer
			f.warner.Say(string(c.Meter) + ": " + err.Error())
			batches = nil
		}
	}
	var have *ied.Shape
	if m.device != nil {
		have = f.shapes[m.known.key].Shape
	}
	m.seen = len(c.Data.Readings)
	m.waiting = m.waiting[:0]
	for i := range c.Data.Readings {
		if c.Data.Readings[i].Value.IsNone() {
			m.waiting = append(m.waiting, i)
		}
	}
	more := have.Registers(c.Data.Readings, c.Data.Clock, f.cfg.Rules)
	for _, batch := range batches {
		room -= len(batch)
	}
	more = more[:min(len(more), max(room, 0))]
	if len(more) == 0 {
		return fresh
	}
	had := m.device != nil
	if err := f.take(m, append(slices.Clip(batches), more)); err != nil {
		f.warner.Say(string(c.Meter) + ": " + err.Error())
		return fresh
	}
	if had {
		f.leave(before)
	}
	return true
}

// take gives a meter a device of the shape of batches.
func (f *Face) take(m *meter, batches [][]ied.Register) error {
	key := ied.Key(batches)
	s := f.shapes[key]
	if s == nil {
		made, err := f.shape(batches)
		if err != nil {
			return err
		}
		s = &shape{Shape: made, sum: made.Sum()}
		f.shapes[key] = s
	}
	s.users++
	m.device = s.Device(m.known.inst)
	f.mu.Lock()
	f.dirty = f.dirty || m.known.key != key
	m.known.key, m.known.sum, m.known.batches = key, s.sum, s.Batches()
	f.mu.Unlock()
	return nil
}

// leave gives back a shape.
func (f *Face) leave(key string) {
	if s := f.shapes[key]; s != nil {
		if s.users--; s.users == 0 {
			delete(f.shapes, key)
		}
	}
}

// commandTime is how long a command may take.
const commandTime = 30 * time.Second

// control has an object operated by the commander.
func (f *Face) control(ctx context.Context, c server.Control) server.AddCause {
	step, known := map[server.ControlStep]site.Step{server.Select: site.Select, server.Check: site.Check, server.Operate: site.Operate, server.Cancel: site.Cancel}[c.Step]
	name, _, _ := strings.Cut(c.Reference, "/")
	f.mu.Lock()
	id := f.names[name]
	f.mu.Unlock()
	code, err := ied.Commanded(c.Object)
	if err != nil || id == "" || !known {
		return server.NotSupported
	}
	if c.Test && step == site.Operate { // nothing is to be done
		step = site.Check
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	_, err = site.Do(ctx, f.commander, site.Command{Meter: id, Actor: site.Actor{Face: "iec61850", Name: c.Client, Remote: c.Remote},
		Code: code, Value: obis.Bool(c.Value.Bool()), Step: step})
	return cause(err)
}

// cause says why a command was not carried out.
func cause(err error) server.AddCause {
	for _, known := range []struct {
		err   error
		cause server.AddCause
	}{{nil, server.CauseNone}, {site.ErrPolicy, server.NoAccessAuthority}, {site.ErrUnknown, server.NotSupported}, {site.ErrSelected, server.LockedByOtherClient},
		{site.ErrNotSelected, server.ObjectNotSelected}, {site.ErrUncertain, server.TimeLimitOver}, {context.DeadlineExceeded, server.TimeLimitOver}} {
		if errors.Is(err, known.err) {
			return known.cause
		}
	}
	return server.BlockedByProcess
}

// settling is for how long what is new is gathered before it is written.
const settling = 200 * time.Millisecond

// keep writes the state where it is new.
func (f *Face) keep(ctx context.Context) {
	tick := time.NewTicker(settling)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := f.save(); err != nil {
				f.warner.Say(err.Error())
			}
		}
	}
}

func (f *Face) save() error {
	f.mu.Lock()
	if !f.dirty || f.cfg.State == "" {
		f.mu.Unlock()
		return nil
	}
	f.dirty = false
	all, numbers := state{Meters: map[site.ID]keeping{}}, map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(f.known)) {
		k := f.known[id]
		if len(k.batches) == 0 {
			continue
		}
		n, listed := numbers[k.key]
		if !listed {
			n = len(all.Shapes)
			numbers[k.key], all.Shapes = n, append(all.Shapes, keptShape{k.sum, k.batches})
		}
		all.Meters[id] = keeping{k.inst, n}
	}
	f.mu.Unlock()
	if err := site.SaveState(f.cfg.State, all); err != nil {
		f.mu.Lock()
		f.dirty = true
		f.mu.Unlock()
		return fmt.Errorf("ied: %w", err)
	}
	return nil
}
