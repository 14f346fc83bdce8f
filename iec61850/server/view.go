package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

// domain is a logical device as MMS sees it.
type domain struct {
	name     string
	device   *iec61850.Device
	items    map[string]*item
	names    []string // of the items, sorted
	lists    map[string]*list
	journals []string
	settings *settings // nil where the device has no setting groups
}

// item is a named variable: a level of the tree below a logical node.
type item struct {
	name     string // of this level
	path     string // the whole name
	domain   *domain
	children []*item
	attr     *iec61850.Attribute // nil above attributes and in control blocks
	fc       iec61850.FC
	object   *iec61850.Object // the object of an attribute
	standIn  *standIn         // nil where the attribute cannot be substituted
	block    block            // of a member of a control block
	member   int
	typ      iec61850.Type
}

// block is a control block: members by number. Called with s.mu held.
type block interface {
	get(member int) iec61850.Value
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
	item      *item
	access    []mms.Step
}

func (s *Server) addDomain(d *iec61850.Device) error {
	name := d.FullName(s.model)
	if len(name) > 64 || name == "" || s.domains[name] != nil {
		return fmt.Errorf("server: device %q: name empty, too long or used twice", name)
	}
	dom := &domain{name: name, device: d, items: map[string]*item{}, lists: map[string]*list{}}
	s.domains[name] = dom
	s.names = append(s.names, name)
	for _, n := range d.Nodes {
		node := &item{name: n.Name, path: n.Name, domain: dom}
		for fc := iec61850.ST; fc <= iec61850.US; fc++ {
			level := &item{name: fc.String(), path: n.Name + "$" + fc.String(), domain: dom, fc: fc}
			for _, o := range n.Objects {
				if it := s.objectItem(dom, o, fc, level.path); it != nil {
					level.children = append(level.children, it)
				}
			}
			if err := s.addNodeBlocks(dom, n, fc, level); err != nil {
				return err
			}
			if len(level.children) > 0 {
				node.children = append(node.children, level)
			}
		}
		dom.index(node)
	}
	dom.names = make([]string, 0, len(dom.items))
	for name := range dom.items {
		dom.names = append(dom.names, name)
	}
	slices.Sort(dom.names)
	return nil
}

// objectItem returns the part of an object that has the constraint, nil where there is none.
func (s *Server) objectItem(d *domain, o *iec61850.Object, fc iec61850.FC, above string) *item {
	it := &item{name: o.Name, path: above + "$" + o.Name, domain: d, fc: fc}
	for _, sub := range o.Objects {
		if child := s.objectItem(d, sub, fc, it.path); child != nil {
			it.children = append(it.children, child)
		}
	}
	for _, a := range o.Attributes {
		if a.FC == fc {
			it.children = append(it.children, s.attributeItem(it, o, a, s.standIn(o, a)))
		}
	}
	if len(it.children) == 0 {
		return nil
	}
	return it
}

func (s *Server) attributeItem(above *item, o *iec61850.Object, a *iec61850.Attribute, in *standIn) *item {
	it := &item{name: a.Name, path: above.path + "$" + a.Name, domain: above.domain, fc: above.fc, attr: a, object: o}
	if a.Leaf() {
		it.standIn = in
		s.watch(in)
		return it
	}
	for _, m := range a.Attributes {
		it.children = append(it.children, s.attributeItem(it, o, m, in.member(m)))
	}
	return it
}

// index enters an item and all below it.
func (d *domain) index(it *item) {
	for _, child := range it.children {
		d.index(child)
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
	d.items[it.path] = it
}

// append appends the value. The model is locked for reading, s.mu where there are control blocks.
func (it *item) append(dst []byte) []byte {
	switch {
	case it.block != nil:
		return mms.AppendData(dst, it.block.get(it.member))
	case len(it.children) == 0:
		return mms.AppendData(dst, it.get())
	}
	dst, mark := openStructure(dst)
	for _, child := range it.children {
		dst = child.append(dst)
	}
	return closeStructure(dst, mark)
}

// get returns the value of a leaf.
func (it *item) get() iec61850.Value {
	if it.standIn != nil {
		return it.standIn.get()
	}
	return it.attr.Get()
}

// value returns the value.
func (it *item) value() iec61850.Value {
	switch {
	case it.block != nil:
		return it.block.get(it.member)
	case len(it.children) == 0:
		return it.get()
	}
	members := make([]iec61850.Value, len(it.children))
	for i, child := range it.children {
		members[i] = child.value()
	}
	return iec61850.Struct(members...)
}

// blocks reports whether the item reaches into control blocks, which s.mu guards.
func (it *item) blocks() bool {
	switch it.fc {
	case iec61850.RP, iec61850.BR, iec61850.LG, iec61850.SP, iec61850.GO, 0:
		return true
	}
	return false
}

// leaves calls f for every attribute that has a value.
func (it *item) leaves(f func(*iec61850.Attribute)) {
	if it.attr != nil && len(it.children) == 0 {
		f(it.attr)
	}
	for _, child := range it.children {
		child.leaves(f)
	}
}

// reference returns the object reference without the constraint: DEVICE/MMXU1.TotW.mag.f.
func (it *item) reference() string {
	parts := strings.Split(it.path, "$")
	if len(parts) > 1 {
		parts = slices.Delete(parts, 1, 2)
	}
	return it.domain.name + "/" + strings.Join(parts, ".")
}

// find returns the item of a name.
func (s *Server) find(n mms.Name) (*item, mms.AccessError) {
	if n.Scope != mms.ScopeDomain {
		return nil, mms.ObjectNonExistent
	}
	d := s.domains[string(n.Domain)]
	if d == nil {
		return nil, mms.ObjectNonExistent
	}
	it := d.items[string(n.Item)]
	if it == nil {
		return nil, mms.ObjectNonExistent
	}
	return it, 0
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
