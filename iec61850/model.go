// Package iec61850 is the data model of IEC 61850-7: an IED with logical
// devices, logical nodes, data objects of common data classes, data sets and
// control blocks, and the values in them.
//
//	Model ─ Device ─ Node ─ Object ─ Attribute ─ Value
//	                   └─ DataSet, Report, Log, GOOSE, SettingGroups
//
// A model is built first, then served ([Model.Update] sets values while it is).
// The packages below this one carry it: mms is the wire, scl the file, server and
// client are the actors.
package iec61850

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// FC is a functional constraint.
type FC uint8

// The functional constraints.
const (
	ST FC = iota + 1 // status
	MX               // measurands
	SP               // setpoint
	SV               // substitution
	CF               // configuration
	DC               // description
	SG               // setting group
	SE               // setting group, editable
	SR               // service response
	OR               // operate received
	BL               // blocking
	EX               // extended definition
	CO               // control
	RP               // unbuffered report
	BR               // buffered report
	LG               // log
	GO               // GOOSE control
	MS               // multicast sampled values
	US               // unicast sampled values
)

const fcNames = "STMXSPSVCFDCSGSESRORBLEXCORPBRLGGOMSUS"

// String returns the two letters of the constraint.
func (f FC) String() string {
	if f == 0 || int(f) > len(fcNames)/2 {
		return ""
	}
	return fcNames[2*f-2 : 2*f]
}

// ParseFC returns the constraint of two letters.
func ParseFC(s string) (FC, bool) {
	if len(s) == 2 {
		for i := 0; i < len(fcNames); i += 2 {
			if fcNames[i:i+2] == s {
				return FC(i/2 + 1), true
			}
		}
	}
	return 0, false
}

// Trigger is a set of reasons for a report.
type Trigger uint8

// The triggers, as bits of TrgOps: bit 0 is reserved, bit 1 data change, and so on.
const (
	DataChange Trigger = 1 << (4 - iota)
	QualityChange
	DataUpdate
	Integrity
	GeneralInterrogation
)

// Model is an IED.
type Model struct {
	IED      string // name, the beginning of the name of every logical device
	Vendor   string
	Type     string // what the vendor calls the product
	Revision string
	Devices  []*Device
	Enums    []Enumeration // those that the standard does not have, or has otherwise

	mu       sync.RWMutex
	watchers []*watcher
	changes  []Change
	update   Update // that which is under way
}

// Device is a logical device.
type Device struct {
	Inst  string
	Name  string // "" means the name of the IED and Inst
	Nodes []*Node

	cells []cell               // by the places of attributes, where nodes are shared with other devices; nil where attributes hold their values
	own   map[*Attribute]Value // what no cell holds, where it is not what the nodes have
}

// Node is a logical node.
type Node struct {
	Name     string // prefix, class and instance: "MMXU1"
	Class    string // "MMXU"; "" means what Name says
	Objects  []*Object
	DataSets []*DataSet
	Reports  []*Report
	Logs     []*Log
	GOOSE    []*GOOSE       // LLN0 only
	Settings *SettingGroups // nil where the node has none; LLN0 only
}

// Object is a data object, or a sub-data object.
type Object struct {
	Name       string
	CDC        string
	Objects    []*Object
	Attributes []*Attribute
}

// Attribute is a data attribute: a basic one that has a value, or a structure of others.
type Attribute struct {
	Name       string
	FC         FC
	Basic      string // the type as SCL calls it: "INT64", "Quality", "Struct", …
	Enum       string // the enumeration of Basic "Enum", where one is known
	Trigger    Trigger
	Attributes []*Attribute // members of a "Struct"
	Count      int          // elements of an array; 0: no array
	// Of is what an array of data objects is made of. The array has the part of it
	// with the constraint, and others beside it have the rest. Nil for all else.
	Of *Object

	typ   Type
	value Value
	place int32 // of the cells of devices that share the attribute, less one; 0 for none
}

// DataSet is a list of data.
type DataSet struct {
	Name    string
	Members []Ref
}

// Ref names something in a device: an MMS name, as "MMXU1$MX$TotW$mag$f".
type Ref struct {
	Device string // name of the logical device, complete; "" is that of the data set
	Item   string
}

// String returns the reference as reports carry it.
func (r Ref) String() string { return r.Device + "/" + r.Item }

// Report is a report control block.
type Report struct {
	Name      string
	ID        string // "" means the reference of the block
	DataSet   string // name of a data set of the same node; "" where a client chooses
	Buffered  bool
	ConfRev   uint32
	Options   ReportOptions
	Triggers  Trigger
	BufTime   uint32 // milliseconds during which events are collected
	Integrity uint32 // milliseconds between integrity reports; 0: none
	Instances int    // blocks of this description, each named with two digits; 0: one, named as it is
	// Clients are the network addresses of the clients for which the instances are
	// reserved by configuration, in their order; "" for none.
	Clients []string
}

// ReportOptions are the optional fields of a report, as the bits of OptFlds.
type ReportOptions uint16

// The options.
const (
	SequenceNumber ReportOptions = 1 << (8 - iota)
	ReportTime
	ReasonForInclusion
	DataSetName
	DataReference
	BufferOverflow
	EntryID
	ConfRevision
	Segmentation
)

// Log is a log control block with its log.
type Log struct {
	Name      string // of the control block
	Journal   string // name of the log, "" means Name
	DataSet   string
	Enabled   bool
	Triggers  Trigger
	Integrity uint32 // milliseconds; 0: none
}

// GOOSE is a GOOSE control block.
type GOOSE struct {
	Name         string
	ID           string // goID
	DataSet      string
	ConfRev      uint32
	FixedOffsets bool
	Address      Multicast
}

// Multicast is where a control block sends to; the zero Multicast says nothing.
type Multicast struct {
	MAC      [6]byte
	AppID    uint16
	VLAN     uint16
	Priority uint8
	MinTime  uint32 // milliseconds from a change to its first repetition
	MaxTime  uint32 // milliseconds between messages where nothing changes
}

// SettingGroups describes a setting group control block.
type SettingGroups struct {
	Count   int
	Active  int
	ResvTms uint16 // seconds for which a client has a group for editing; 0: as long as it is there
}

// FullName returns the name of the domain.
func (d *Device) FullName(m *Model) string {
	if d.Name != "" {
		return d.Name
	}
	return m.IED + d.Inst
}

// Share returns a device of that instance with the nodes of d and values of its own, which
// are those of the nodes at first. Devices that share nodes cost little more than their
// values of status and measurands. The nodes are not to change from then on.
func (d *Device) Share(inst string) *Device {
	n := int32(0)
	for _, node := range d.Nodes {
		for _, o := range node.Objects {
			n = o.share(n)
		}
	}
	return &Device{Inst: inst, Nodes: d.Nodes, cells: make([]cell, n)}
}

// Shared reports whether the device was made by [Device.Share].
func (d *Device) Shared() bool { return d != nil && d.cells != nil }

// cell is a value that is neither text nor list: so are nearly all that move with the process.
type cell struct {
	num  uint64
	kind Kind // None for what is in own or as the node has it
	size uint8
}

// share gives the attributes that move with the process their places, behind the first n.
func (o *Object) share(n int32) int32 {
	for _, sub := range o.Objects {
		n = sub.share(n)
	}
	for _, a := range o.Attributes {
		n = a.share(n)
	}
	return n
}

func (a *Attribute) share(n int32) int32 {
	if !a.Leaf() {
		for _, m := range a.Attributes {
			n = m.share(n)
		}
		return n
	}
	if a.FC == ST || a.FC == MX {
		if n++; a.place != n { // others may read it
			a.place = n
		}
	}
	return n
}

// Get returns the value that an attribute of a node of the device has in it, as [Attribute.Get].
func (d *Device) Get(a *Attribute) Value {
	if !d.Shared() {
		return a.Get()
	}
	if !a.Leaf() {
		list := make([]Value, len(a.Attributes))
		for i, m := range a.Attributes {
			list[i] = d.Get(m)
		}
		return Struct(list...)
	}
	if a.place > 0 {
		if c := d.cells[a.place-1]; c.kind != None {
			return Value{kind: c.kind, size: c.size, num: c.num}
		}
	}
	if v, ok := d.own[a]; ok {
		return v
	}
	return a.value
}

// Init is [Attribute.Init] for an attribute of a node of the device.
func (d *Device) Init(a *Attribute, v Value) error {
	if !d.Shared() {
		return a.Init(v)
	}
	v, ok := a.typ.Fits(v)
	if !ok || !a.Leaf() {
		return fmt.Errorf("iec61850: %s: %w", a.Name, ErrType)
	}
	d.put(a, v)
	return nil
}

// put sets the value of a leaf.
func (d *Device) put(a *Attribute, v Value) {
	if !d.Shared() {
		a.value = v
		return
	}
	simple := v.text == "" && v.list == nil
	if a.place > 0 {
		d.cells[a.place-1] = cell{}
		if simple {
			d.cells[a.place-1] = cell{v.num, v.kind, v.size}
		}
	}
	switch {
	case a.place > 0 && simple, a.value.Equal(v):
		delete(d.own, a)
	default:
		if d.own == nil {
			d.own = map[*Attribute]Value{}
		}
		d.own[a] = v
	}
}

// ClassName returns the class of the node: Class, or the last four letters of
// Name that are followed by digits only.
func (n *Node) ClassName() string {
	if n.Class != "" {
		return n.Class
	}
	name := strings.TrimRight(n.Name, "0123456789")
	if n.Name == "LLN0" || len(name) < 4 {
		return n.Name
	}
	return name[len(name)-4:]
}

// NewAttribute returns an attribute of a basic type; it fails on a type that [BasicType] does not know.
func NewAttribute(name string, fc FC, basic string, trigger Trigger) (*Attribute, error) {
	t, ok := BasicType(basic)
	if !ok {
		return nil, fmt.Errorf("iec61850: attribute %s of type %q", name, basic)
	}
	return &Attribute{Name: name, FC: fc, Basic: basic, Trigger: trigger, typ: t, value: t.Zero()}, nil
}

// NewStruct returns an attribute that is a structure. Members take its FC.
func NewStruct(name string, fc FC, trigger Trigger, members ...*Attribute) *Attribute {
	a := &Attribute{Name: name, FC: fc, Basic: "Struct", Trigger: trigger, Attributes: members}
	a.retype()
	return a
}

// NewArray returns an attribute that is an array of count elements like a, with its value.
func NewArray(a *Attribute, count int) *Attribute {
	element := a.Type()
	array := *a
	array.Count = count
	array.typ = Type{Kind: Array, Count: count, Element: &element}
	array.value = ArrayOf(slices.Repeat([]Value{a.Get()}, count)...)
	return &array
}

func (a *Attribute) retype() {
	a.typ = Type{Kind: Structure, Members: make([]Member, len(a.Attributes))}
	for i, m := range a.Attributes {
		a.typ.Members[i] = Member{m.Name, m.Type()}
	}
}

// Leaf reports whether the attribute has a value of its own, rather than members that have.
func (a *Attribute) Leaf() bool { return a.Count > 0 || a.Basic != "Struct" }

// Type returns what values the attribute takes.
func (a *Attribute) Type() Type { return a.typ }

// Init gives a leaf the value that it has before the model is served.
func (a *Attribute) Init(v Value) error {
	v, ok := a.typ.Fits(v)
	if !ok || !a.Leaf() {
		return fmt.Errorf("iec61850: %s: %w", a.Name, ErrType)
	}
	a.value = v
	return nil
}

// Get returns the value; members of a structure are gathered. Only within
// [Model.View] or [Model.Update] is it safe while others update.
func (a *Attribute) Get() Value {
	if a.Leaf() {
		return a.value
	}
	list := make([]Value, len(a.Attributes))
	for i, m := range a.Attributes {
		list[i] = m.Get()
	}
	return Struct(list...)
}

// Child returns the member of that name, nil where there is none.
func (a *Attribute) Child(name string) *Attribute { return named(a.Attributes, name) }

// Attribute returns the attribute of that name and constraint, nil where there is none.
func (o *Object) Attribute(name string, fc FC) *Attribute {
	for _, a := range o.Attributes {
		if a.Name == name && (a.FC == fc || fc == 0) {
			return a
		}
	}
	return nil
}

// Object returns the sub-data object of that name, nil where there is none.
func (o *Object) Object(name string) *Object {
	for _, s := range o.Objects {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Object returns the data object of that name, nil where there is none.
func (n *Node) Object(name string) *Object {
	for _, o := range n.Objects {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// Node returns the node of that name, nil where there is none.
func (d *Device) Node(name string) *Node {
	for _, n := range d.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Device returns the device of that complete name or instance, nil where there is none.
func (m *Model) Device(name string) *Device {
	for _, d := range m.Devices {
		if d.FullName(m) == name || d.Inst == name {
			return d
		}
	}
	return nil
}

// Attribute finds an attribute by its object reference without the constraint:
// "DEVICE/MMXU1.TotW.mag.f". fc 0 takes the first of any constraint.
func (m *Model) Attribute(reference string, fc FC) (*Attribute, error) {
	device, path, ok := strings.Cut(reference, "/")
	names := strings.Split(path, ".")
	d := m.Device(device)
	if !ok || d == nil || len(names) < 3 {
		return nil, fmt.Errorf("iec61850: %s: %w", reference, ErrNotFound)
	}
	n := d.Node(names[0])
	if n == nil {
		return nil, fmt.Errorf("iec61850: %s: %w", reference, ErrNotFound)
	}
	o := n.Object(names[1])
	names = names[2:]
	for o != nil && len(names) > 1 && o.Object(names[0]) != nil {
		o, names = o.Object(names[0]), names[1:]
	}
	if o != nil {
		a := o.Attribute(names[0], fc)
		for _, name := range names[1:] {
			if a != nil {
				a = a.Child(name)
			}
		}
		if a != nil {
			return a, nil
		}
	}
	return nil, fmt.Errorf("iec61850: %s: %w", reference, ErrNotFound)
}

func named(list []*Attribute, name string) *Attribute {
	for _, a := range list {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Errors that callers branch on.
var (
	ErrType     = errors.New("value of another type")
	ErrNotFound = errors.New("no such data")
)

// Change is one attribute that an update set.
type Change struct {
	Attribute *Attribute
	Trigger   Trigger // the triggers of the attribute that the update pulled; 0 where it has none of them
	Device    *Device // whose value it is, where devices share the attribute; nil where they do not
}

// Update sets values. It is valid only within the call of [Model.Update] that made it.
type Update struct{ m *Model }

// Set sets the value of a leaf, or the members of a structure in their order.
func (u *Update) Set(a *Attribute, v Value) error { return u.SetIn(nil, a, v) }

// SetIn is [Update.Set] for a device that shares its nodes with others, see [Device.Share].
func (u *Update) SetIn(d *Device, a *Attribute, v Value) error {
	if !a.Leaf() {
		if v.Kind() != Structure || v.Len() != len(a.Attributes) {
			return fmt.Errorf("iec61850: %s: %w", a.Name, ErrType)
		}
		if _, ok := a.typ.Fits(v); !ok {
			return fmt.Errorf("iec61850: %s: %w", a.Name, ErrType)
		}
		for i, member := range a.Attributes {
			if err := u.SetIn(d, member, v.At(i)); err != nil {
				return err
			}
		}
		return nil
	}
	v, ok := a.typ.Fits(v)
	if !ok {
		return fmt.Errorf("iec61850: %s: %w: %v for %v", a.Name, ErrType, v.Kind(), a.typ.Kind)
	}
	pulled := a.Trigger & DataUpdate
	if !d.Get(a).Equal(v) {
		pulled |= a.Trigger & (DataChange | QualityChange)
		d.put(a, v)
	}
	u.m.changes = append(u.m.changes, Change{a, pulled, d})
	return nil
}

// Update runs f, which alone may set values then, and afterwards tells the
// watchers what changed. f and the watchers must not call back into the model.
func (m *Model) Update(f func(*Update) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes = m.changes[:0]
	m.update.m = m
	err := f(&m.update)
	for _, w := range m.watchers {
		w.f(m.changes)
	}
	return err
}

// View runs f while no values change.
func (m *Model) View(f func()) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f()
}

type watcher struct{ f func([]Change) }

// Watch calls f after every update, with the model still locked, until stop is
// called. f must not keep the slice.
func (m *Model) Watch(f func([]Change)) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &watcher{f}
	m.watchers = append(m.watchers, w)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, have := range m.watchers {
			if have == w {
				m.watchers = append(m.watchers[:i:i], m.watchers[i+1:]...)
				return
			}
		}
	}
}
