package server

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

// domain is a logical device as MMS sees it.
type domain struct {
	s        *Server
	name     string
	device   *iec61850.Device
	shape    *shape
	lists    map[string]*list                     // those of a shape that is shared only where a report needs them
	reports  map[*reportDef]*report               // those of a shape that is shared only once a client has set one
	byAttr   map[*iec61850.Attribute][]membership // of a shape that is shared
	journals []string
	settings *settings   // nil where the device has no setting groups
	gone     atomic.Bool // another one took its place, or none
}

// shape is what domains of the same nodes share.
type shape struct {
	nodes  map[string]*node
	names  []string            // of the nodes, sorted
	sets   map[string][]setRow // data sets, of a shape that is shared
	shared bool
	users  int
}

// setRow is a member of a data set in any domain of a shape.
type setRow struct {
	node   *node
	access []mms.Step
	item   string
}

// node is a named variable: a level of the tree below a logical node.
type node struct {
	name     string // of this level
	path     string // the whole name
	children []*node
	attr     *iec61850.Attribute // nil above attributes and in control blocks
	fc       iec61850.FC
	object   *iec61850.Object // the object of an attribute
	standIn  *standIn         // nil where the attribute cannot be substituted
	blk      block            // of a member of a control block that is no report's
	report   *reportDef       // of a member of a report control block
	member   int
	typ      iec61850.Type
}

// item is a node in one of the domains that have it; its node is nil where there is none.
type item struct {
	*node
	domain *domain
}

// child returns an item below it.
func (it item) child(n *node) item { return item{n, it.domain} }

// isBlock reports whether it is a member of a control block.
func (it item) isBlock() bool { return it.node != nil && (it.blk != nil || it.report != nil) }

// block returns the control block of a member, to be read. s.mu is held.
func (it item) block() block {
	if it.blk != nil {
		return it.blk
	}
	if r := it.domain.reports[it.report]; r != nil {
		return r
	}
	return it.domain.newReport(it.report)
}

// block is a control block: members by number.
type block interface {
	get(member int) iec61850.Value // s.mu is held
	// decide asks those outside of the server whether a client may set a member. No lock is held.
	decide(a *association, member int, v iec61850.Value) error
	// set sets a member about which was decided. The model is locked for reading, s.mu is held.
	set(a *association, member int, v iec61850.Value) error
	members() []field
	// tracked returns where service tracking notes that the member was set, and as what.
	tracked(member int) (object string, what service)
}

// list is a named variable list of a domain.
type list struct {
	members   []member
	deletable bool
	uses      int // report and log control blocks that need it
}

// member is one member of a list.
type member struct {
	reference string // as reports carry it
	item      item
	access    []mms.Step
}

// listName returns the value of a DatSet, "" for no data set.
func (d *domain) listName(list string) iec61850.Value {
	if list == "" {
		return iec61850.Visible("")
	}
	return iec61850.Visible(d.name + "/" + list)
}

func (s *Server) addDomain(d *iec61850.Device) error {
	name := d.FullName(s.model)
	if len(name) > 64 || name == "" || s.domains[name] != nil {
		return fmt.Errorf("server: device %q: name empty, too long or used twice", name)
	}
	dom := &domain{s: s, name: name, device: d, lists: map[string]*list{}, reports: map[*reportDef]*report{}}
	sh, err := s.newShape(dom)
	if err != nil {
		return err
	}
	dom.shape = sh
	s.domains[name] = dom
	s.names = nil
	return nil
}

// newShape makes the tree of the nodes of a domain.
func (s *Server) newShape(dom *domain) (*shape, error) {
	sh := &shape{nodes: map[string]*node{}, shared: dom.device.Shared()}
	for _, n := range dom.device.Nodes {
		root := &node{name: n.Name, path: n.Name}
		for fc := iec61850.ST; fc <= iec61850.US; fc++ {
			level := &node{name: fc.String(), path: n.Name + "$" + fc.String(), fc: fc}
			for _, o := range n.Objects {
				if it := s.objectNode(dom, o, fc, level.path); it != nil {
					level.children = append(level.children, it)
				}
			}
			if err := s.addNodeBlocks(dom, n, fc, level); err != nil {
				return nil, err
			}
			if len(level.children) > 0 {
				root.children = append(root.children, level)
			}
		}
		sh.index(root)
	}
	sh.names = make([]string, 0, len(sh.nodes))
	for name := range sh.nodes {
		sh.names = append(sh.names, name)
	}
	slices.Sort(sh.names)
	return sh, nil
}

// objectNode returns the part of an object that has the constraint, nil where there is none.
func (s *Server) objectNode(d *domain, o *iec61850.Object, fc iec61850.FC, above string) *node {
	it := &node{name: o.Name, path: above + "$" + o.Name, fc: fc}
	for _, sub := range o.Objects {
		if child := s.objectNode(d, sub, fc, it.path); child != nil {
			it.children = append(it.children, child)
		}
	}
	for _, a := range o.Attributes {
		if a.FC == fc {
			it.children = append(it.children, s.attributeNode(it, o, a, s.standIn(d, o, a)))
		}
	}
	if len(it.children) == 0 {
		return nil
	}
	return it
}

func (s *Server) attributeNode(above *node, o *iec61850.Object, a *iec61850.Attribute, in *standIn) *node {
	it := &node{name: a.Name, path: above.path + "$" + a.Name, fc: above.fc, attr: a, object: o}
	if a.Leaf() {
		it.standIn = in
		s.watch(in)
		return it
	}
	for _, m := range a.Attributes {
		it.children = append(it.children, s.attributeNode(it, o, m, in.member(m)))
	}
	return it
}

// index enters a node and all below it.
func (sh *shape) index(it *node) {
	for _, child := range it.children {
		sh.index(child)
	}
	switch {
	case len(it.children) > 0:
		it.typ = iec61850.Type{Kind: iec61850.Structure}
		for _, child := range it.children {
			it.typ.Members = append(it.typ.Members, iec61850.Member{Name: child.name, Type: child.typ})
		}
	case it.attr != nil:
		it.typ = it.attr.Type()
	}
	sh.nodes[it.path] = it
}

// append appends the value. The model is locked for reading, s.mu where there are control blocks.
func (it item) append(dst []byte) []byte {
	switch {
	case it.isBlock():
		return mms.AppendData(dst, it.block().get(it.member))
	case len(it.children) == 0:
		return mms.AppendData(dst, it.get())
	}
	dst, mark := openStructure(dst)
	for _, child := range it.children {
		dst = it.child(child).append(dst)
	}
	return closeStructure(dst, mark)
}

// get returns the value of a leaf.
func (it item) get() iec61850.Value {
	if it.standIn != nil {
		return it.standIn.get()
	}
	return it.domain.device.Get(it.attr)
}

// value returns the value.
func (it item) value() iec61850.Value {
	switch {
	case it.isBlock():
		return it.block().get(it.member)
	case len(it.children) == 0:
		return it.get()
	}
	members := make([]iec61850.Value, len(it.children))
	for i, child := range it.children {
		members[i] = it.child(child).value()
	}
	return iec61850.Struct(members...)
}

// blocks reports whether the item reaches into control blocks, which s.mu guards.
func (it item) blocks() bool {
	switch it.fc {
	case iec61850.RP, iec61850.BR, iec61850.LG, iec61850.SP, iec61850.GO, 0:
		return true
	}
	return false
}

// leaves calls f for every attribute that has a value.
func (it item) leaves(f func(*iec61850.Attribute)) {
	if it.attr != nil && len(it.children) == 0 {
		f(it.attr)
	}
	for _, child := range it.children {
		it.child(child).leaves(f)
	}
}

// reference returns the object reference without the constraint: DEVICE/MMXU1.TotW.mag.f.
func (it item) reference() string {
	parts := strings.Split(it.path, "$")
	if len(parts) > 1 {
		parts = slices.Delete(parts, 1, 2)
	}
	return it.domain.name + "/" + strings.Join(parts, ".")
}

// find returns the item of a name, one without a node where there is none.
func (s *Server) find(n mms.Name) item {
	if n.Scope != mms.ScopeDomain {
		return item{}
	}
	s.catalogue.RLock()
	d := s.domains[string(n.Domain)]
	s.catalogue.RUnlock()
	if d == nil {
		return item{}
	}
	return d.find(n.Item)
}

func (d *domain) find(path []byte) item {
	if n := d.shape.nodes[string(path)]; n != nil {
		return item{n, d}
	}
	return item{}
}

// list returns a data set or the list of a client, nil where there is none. One of a
// shape that is shared is kept where it is wanted for longer. s.mu is held.
func (d *domain) list(name string, keep bool) *list {
	if l := d.lists[name]; l != nil || !d.shape.shared {
		return l
	}
	rows, ok := d.shape.sets[name]
	if !ok {
		return nil
	}
	l := &list{members: make([]member, len(rows))}
	for i, row := range rows {
		l.members[i] = member{d.name + "/" + row.item, item{row.node, d}, row.access}
	}
	if keep {
		d.lists[name] = l
	}
	return l
}

// listNames returns the names of the data sets and the lists of clients, sorted. s.mu is held.
func (d *domain) listNames() []string {
	names := sortedKeys(d.lists)
	for name := range d.shape.sets {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// follow goes the steps of an alternate access into a value.
func follow(t iec61850.Type, v iec61850.Value, steps []mms.Step) (iec61850.Value, error) {
	for _, step := range steps {
		switch {
		case step.Component != nil && t.Kind == iec61850.Structure:
			i := slices.IndexFunc(t.Members, func(m iec61850.Member) bool { return m.Name == string(step.Component) })
			if i < 0 {
				return v, mms.ObjectNonExistent
			}
			t, v = t.Members[i].Type, v.At(i)
		case step.Component == nil && t.Kind == iec61850.Array:
			if int64(step.Index)+int64(max(step.Count, 1)) > int64(v.Len()) {
				return v, mms.ObjectNonExistent
			}
			if step.Count == 0 {
				t, v = *t.Element, v.At(int(step.Index))
				continue
			}
			part := make([]iec61850.Value, step.Count)
			for i := range part {
				part[i] = v.At(int(step.Index) + i)
			}
			t.Count, v = len(part), iec61850.ArrayOf(part...)
		default:
			return v, mms.ObjectAttributeInconsistent
		}
	}
	return v, nil
}
