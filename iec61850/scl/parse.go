package scl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openusm/meter/iec61850"
)

// Parse reads a file and makes the model of one of its IEDs. A file that is
// only too short gives an error that wraps [io.ErrUnexpectedEOF].
func Parse(b []byte, o *Options) (*File, error) {
	if o == nil {
		o = &Options{}
	}
	root, err := parseTree(b)
	if err != nil {
		return nil, err
	}
	ied, ap, err := find(root, o)
	if err != nil {
		return nil, err
	}
	p := &parser{root: root, templates: index(root)}
	f, err := p.file(ied, ap)
	if err != nil {
		return nil, err
	}
	f.Warnings = p.findings
	return f, nil
}

// find returns the IED and the access point that the options name.
func find(root *element, o *Options) (ied, ap *element, err error) {
	var names []string
	_ = root.each("IED", func(e *element) error {
		name := e.attr("name")
		if o.IED != "" && name != o.IED {
			return nil
		}
		_ = e.each("AccessPoint", func(point *element) error {
			if point.child("Server") == nil || o.AccessPoint != "" && point.attr("name") != o.AccessPoint {
				return nil
			}
			if len(names) == 0 {
				ied, ap = e, point
			}
			if len(names) == 0 || names[len(names)-1] != name {
				names = append(names, name)
			}
			return nil
		})
		return nil
	})
	switch {
	case len(names) == 0:
		return nil, nil, &ParseError{"IED", root.offset, root.line, fmt.Errorf("%w: none that is a server", ErrMissing)}
	case len(names) > 1:
		return nil, nil, &ParseError{"IED", root.offset, root.line, fmt.Errorf("%w: %s", ErrSeveral, strings.Join(names[:min(len(names), 20)], ", "))}
	}
	return ied, ap, nil
}

// ErrSeveral reports a file with several IEDs that are servers, of which none was named.
var ErrSeveral = errors.New("several, name one")

// templates are the types of a file by kind and id.
type templates map[string]map[string]*element

func index(root *element) templates {
	t := templates{}
	for _, kind := range []string{"LNodeType", "DOType", "DAType", "EnumType"} {
		t[kind] = map[string]*element{}
		_ = root.child("DataTypeTemplates").each(kind, func(e *element) error {
			if t[kind][e.attr("id")] == nil {
				t[kind][e.attr("id")] = e
			}
			return nil
		})
	}
	return t
}

// parser makes a model. With all it notes what is wrong and goes on.
type parser struct {
	root      *element
	templates templates
	all       bool
	findings  []Finding

	model   *iec61850.Model
	devices map[string]*device // by inst
	leaves  int
	arrays  map[*iec61850.Attribute][]iec61850.Value // while their elements get values
	parts   int                                      // arrays of the name that gets values: an array of data objects has one for each constraint
	has     map[constrained]bool
	order   []*iec61850.Attribute // of arrays
	enums   map[string]iec61850.Enumeration
}

type device struct {
	*iec61850.Device
	nodes map[string]*iec61850.Node
}

type constrained struct {
	o  *iec61850.Object
	fc iec61850.FC
}

const maxFindings = 10000

// wrong reports an element that cannot be read: it notes it, or returns the error that ends the reading.
func (p *parser) wrong(e *element, err error) error {
	if p.all {
		if len(p.findings) >= maxFindings {
			return &ParseError{e.path(), e.offset, e.line, fmt.Errorf("more than %d findings: %w", maxFindings, ErrTooLarge)}
		}
		p.findings = append(p.findings, Finding{e.line, e.path(), err.Error(), false})
		return nil
	}
	return &ParseError{e.path(), e.offset, e.line, err}
}

// odd notes what is wrong, but clear all the same: a warning unless mistakes are asked for.
func (p *parser) odd(e *element, format string, args ...any) {
	p.warn(e, format, args...)
	if n := len(p.findings); n > 0 && p.all {
		p.findings[n-1].Warning = false
	}
}

// warn notes what is left out.
func (p *parser) warn(e *element, format string, args ...any) {
	if len(p.findings) < maxFindings {
		p.findings = append(p.findings, Finding{e.line, e.path(), fmt.Sprintf(format, args...), true})
	}
}

func (p *parser) file(ied, ap *element) (*File, error) {
	p.model = &iec61850.Model{IED: ied.attr("name"), Vendor: ied.attr("manufacturer"), Type: ied.attr("type"), Revision: ied.attr("configVersion")}
	p.devices, p.has, p.enums = map[string]*device{}, map[constrained]bool{}, map[string]iec61850.Enumeration{}
	f := &File{Model: p.model}
	if h := p.root.child("Header"); h != nil {
		f.ID, f.Version, f.Revision = h.attr("id"), h.attr("version"), h.attr("revision")
	}
	if p.model.IED == "" {
		if err := p.wrong(ied, fmt.Errorf("name %w", ErrMissing)); err != nil {
			return nil, err
		}
	}
	server := ap.child("Server")
	if err := server.each("LDevice", p.device); err != nil {
		return nil, err
	}
	if err := server.each("LDevice", p.blocks); err != nil {
		return nil, err
	}
	f.Address.AccessPoint = ap.attr("name")
	return f, p.communication(&f.Address)
}

// device makes a device with the objects of its nodes and their values.
func (p *parser) device(e *element) error {
	inst := e.attr("inst")
	switch {
	case inst == "":
		return p.wrong(e, fmt.Errorf("inst %w", ErrMissing))
	case p.devices[inst] != nil:
		return p.wrong(e, ErrTwice)
	}
	d := &device{&iec61850.Device{Inst: inst, Name: e.attr("ldName")}, map[string]*iec61850.Node{}}
	p.devices[inst] = d
	p.model.Devices = append(p.model.Devices, d.Device)
	if err := e.each("LN0", func(e *element) error { return p.node(d, e) }); err != nil {
		return err
	}
	return e.each("LN", func(e *element) error { return p.node(d, e) })
}

// nodeName returns prefix, class and instance. LLN0 has none, whatever else some files say.
func nodeName(e *element, inst string) string {
	if e.attr("lnClass") == "LLN0" {
		return "LLN0"
	}
	return e.attr("prefix") + e.attr("lnClass") + e.attr(inst)
}

func (p *parser) node(d *device, e *element) error {
	n := &iec61850.Node{Name: nodeName(e, "inst"), Class: e.attr("lnClass")}
	if n.Class == "" {
		return p.wrong(e, fmt.Errorf("lnClass %w", ErrMissing))
	}
	if d.nodes[n.Name] != nil {
		return p.wrong(e, ErrTwice)
	}
	d.nodes[n.Name] = n
	d.Nodes = append(d.Nodes, n)
	t := p.templates["LNodeType"][e.attr("lnType")]
	if t == nil {
		return p.wrong(e, fmt.Errorf("LNodeType %q: %w", e.attr("lnType"), ErrUnknown))
	}
	if have := t.attr("lnClass"); have != n.Class {
		p.odd(e, "class %s, but LNodeType %s is of class %s", n.Class, t.attr("id"), have)
	}
	seen := map[string]bool{}
	if err := t.each("DO", func(do *element) error {
		if err := p.member(do, seen); err != nil {
			return err
		}
		o, err := p.object(do, 0)
		if o != nil {
			n.Objects = append(n.Objects, o)
		}
		return err
	}); err != nil {
		return err
	}
	return e.each("DOI", func(doi *element) error {
		o := n.Object(doi.attr("name"))
		if o == nil {
			return p.wrong(doi, fmt.Errorf("data object: %w", ErrUnknown))
		}
		p.arrays = map[*iec61850.Attribute][]iec61850.Value{}
		p.order = p.order[:0]
		if err := p.instance(o, doi); err != nil {
			return err
		}
		for _, a := range p.order {
			if err := a.Init(iec61850.ArrayOf(p.arrays[a]...)); err != nil {
				return p.wrong(doi, err)
			}
		}
		return nil
	})
}

// member checks that a type has no member twice, and not too many.
func (p *parser) member(e *element, seen map[string]bool) error {
	name := e.attr("name")
	switch {
	case name == "":
		return p.wrong(e, fmt.Errorf("name %w", ErrMissing))
	case seen[name]:
		return p.wrong(e, ErrTwice)
	case len(seen) >= maxMembers:
		return &ParseError{e.path(), e.offset, e.line, fmt.Errorf("more than %d members: %w", maxMembers, ErrTooLarge)}
	}
	seen[name] = true
	return nil
}

// object makes the object that a DO or SDO describes.
func (p *parser) object(e *element, depth int) (*iec61850.Object, error) {
	t := p.templates["DOType"][e.attr("type")]
	if t == nil {
		return nil, p.wrong(e, fmt.Errorf("DOType %q: %w", e.attr("type"), ErrUnknown))
	}
	if depth > maxDepth {
		return nil, &ParseError{e.path(), e.offset, e.line, fmt.Errorf("DOType %q within itself: %w", e.attr("type"), ErrTooLarge)}
	}
	if err := p.leaf(e, 1); err != nil {
		return nil, err
	}
	o := &iec61850.Object{Name: e.attr("name"), CDC: t.attr("cdc")}
	seen := map[string]bool{}
	for _, c := range t.children {
		switch c.name {
		case "SDO":
			if err := p.member(c, seen); err != nil {
				return nil, err
			}
			before := p.leaves
			sub, err := p.object(c, depth+1)
			if err != nil {
				return nil, err
			}
			count, err := p.count(c)
			if err != nil {
				return nil, err
			}
			if sub != nil && count > 0 {
				if err := p.leaf(c, count*(p.leaves-before)); err != nil {
					return nil, err
				}
				arrays, err := p.objectArray(c, sub, count)
				if err != nil {
					return nil, err
				}
				o.Attributes = append(o.Attributes, arrays...)
			} else if sub != nil {
				o.Objects = append(o.Objects, sub)
			}
		case "DA":
			if err := p.member(c, seen); err != nil {
				return nil, err
			}
			fc, ok := iec61850.ParseFC(c.attr("fc"))
			if !ok {
				if err := p.wrong(c, fmt.Errorf("fc %q: %w", c.attr("fc"), ErrUnknown)); err != nil {
					return nil, err
				}
				continue
			}
			constraints := []iec61850.FC{fc}
			if fc == iec61850.SG || fc == iec61850.SE { // what one names is there with both
				constraints = []iec61850.FC{iec61850.SG, iec61850.SE}
			}
			for _, fc := range constraints {
				a, err := p.attribute(c, fc, triggers(c), 0)
				if err != nil {
					return nil, err
				}
				if a != nil {
					o.Attributes = append(o.Attributes, a)
				}
			}
		}
	}
	return o, nil
}

// objectArray returns an array of data objects as MMS has it: for each
// constraint in them an array of structures.
func (p *parser) objectArray(e *element, o *iec61850.Object, count int) (list []*iec61850.Attribute, err error) {
	for fc := iec61850.ST; fc <= iec61850.US; fc++ {
		if a := constrainedPart(o, fc); a != nil {
			if hasArray(a) {
				return nil, p.wrong(e, errArrays)
			}
			list = append(list, iec61850.NewArray(a, count))
		}
	}
	return list, nil
}

var errArrays = errors.New("arrays of arrays have no place in a model")

// constrainedPart returns what of an object has the constraint, as a structure; nil where nothing has.
func constrainedPart(o *iec61850.Object, fc iec61850.FC) *iec61850.Attribute {
	var members []*iec61850.Attribute
	trigger := iec61850.Trigger(0)
	for _, sub := range o.Objects {
		if a := constrainedPart(sub, fc); a != nil {
			members, trigger = append(members, a), trigger|a.Trigger
		}
	}
	for _, a := range o.Attributes {
		if a.FC == fc {
			members, trigger = append(members, a), trigger|a.Trigger
		}
	}
	if members == nil {
		return nil
	}
	return iec61850.NewStruct(o.Name, fc, trigger, members...)
}

func triggers(e *element) (t iec61850.Trigger) {
	for name, bit := range map[string]iec61850.Trigger{"dchg": iec61850.DataChange, "qchg": iec61850.QualityChange, "dupd": iec61850.DataUpdate} {
		if e.flag(name, false) {
			t |= bit
		}
	}
	return t
}

// leaf counts what a model has, which types that use each other can make large.
func (p *parser) leaf(e *element, n int) error {
	if p.leaves += n; p.leaves > maxLeaves {
		return &ParseError{e.path(), e.offset, e.line, fmt.Errorf("model of more than %d attributes: %w", maxLeaves, ErrTooLarge)}
	}
	return nil
}

// attribute makes the attribute that a DA or BDA describes.
func (p *parser) attribute(e *element, fc iec61850.FC, trigger iec61850.Trigger, depth int) (a *iec61850.Attribute, err error) {
	name, basic := e.attr("name"), e.attr("bType")
	if err := p.leaf(e, 1); err != nil {
		return nil, err
	}
	before := p.leaves
	if basic == "Struct" {
		members, err := p.structure(e, fc, trigger, depth)
		if err != nil || members == nil {
			return nil, err
		}
		a = iec61850.NewStruct(name, fc, trigger, members...)
	} else {
		if a, err = iec61850.NewAttribute(name, fc, basic, trigger); err != nil {
			return nil, p.wrong(e, fmt.Errorf("bType %q: %w", basic, ErrUnknown))
		}
		if basic == "Enum" {
			if a.Enum, err = p.enum(e); err != nil {
				return nil, err
			}
		}
		if val := e.child("Val"); val != nil {
			if v, ok := p.value(a, e); ok {
				if err := a.Init(v); err != nil {
					return nil, p.wrong(val, err)
				}
			}
		}
	}
	count, err := p.count(e)
	if err != nil || count == 0 {
		return a, err
	}
	if hasArray(a) {
		return nil, p.wrong(e, errArrays)
	}
	if err := p.leaf(e, count*(p.leaves-before+1)); err != nil {
		return nil, err
	}
	return iec61850.NewArray(a, count), nil
}

func hasArray(a *iec61850.Attribute) bool {
	for _, m := range a.Attributes {
		if m.Count > 0 || hasArray(m) {
			return true
		}
	}
	return false
}

// structure makes the members of a structure.
func (p *parser) structure(e *element, fc iec61850.FC, trigger iec61850.Trigger, depth int) (members []*iec61850.Attribute, err error) {
	t := p.templates["DAType"][e.attr("type")]
	if t == nil {
		return nil, p.wrong(e, fmt.Errorf("DAType %q: %w", e.attr("type"), ErrUnknown))
	}
	if depth > maxDepth {
		return nil, &ParseError{e.path(), e.offset, e.line, fmt.Errorf("DAType %q within itself: %w", e.attr("type"), ErrTooLarge)}
	}
	seen := map[string]bool{}
	err = t.each("BDA", func(m *element) error {
		if err := p.member(m, seen); err != nil {
			return err
		}
		a, err := p.attribute(m, fc, trigger, depth+1)
		if a != nil {
			members = append(members, a)
		}
		return err
	})
	if err == nil && members == nil {
		err = p.wrong(t, fmt.Errorf("BDA %w", ErrMissing))
	}
	return members, err
}

// count returns the number of elements of an array, 0 where there is none. It may
// be a number, or the name of an attribute beside it whose type gives it a value.
func (p *parser) count(e *element) (int, error) {
	text := e.attr("count")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		for _, beside := range e.parent.children {
			if beside.attr("name") == text && beside.child("Val") != nil {
				n, err = strconv.Atoi(strings.TrimSpace(beside.child("Val").text))
			}
		}
	}
	if err != nil || n < 0 || n > maxArray {
		return 0, p.wrong(e, fmt.Errorf("count %q, want a number up to %d", text, maxArray))
	}
	return n, nil
}

// enum returns the name of the enumeration of an attribute, which it adds to the
// model where it is not the standard's.
func (p *parser) enum(e *element) (string, error) {
	id := e.attr("type")
	if _, ok := p.enums[id]; ok {
		return id, nil
	}
	t := p.templates["EnumType"][id]
	if t == nil {
		return "", p.wrong(e, fmt.Errorf("EnumType %q: %w", id, ErrUnknown))
	}
	enum := iec61850.Enumeration{Name: id}
	if err := t.each("EnumVal", func(v *element) error {
		ord, err := strconv.ParseInt(strings.TrimSpace(v.attr("ord")), 10, 32)
		if err != nil {
			return p.wrong(v, fmt.Errorf("ord %q is no number", v.attr("ord")))
		}
		enum.Values = append(enum.Values, iec61850.EnumValue{Ord: int(ord), Name: v.text})
		return nil
	}); err != nil {
		return "", err
	}
	p.enums[id] = enum
	if standard, _ := iec61850.StandardEnumeration(id); !sameValues(standard.Values, enum.Values) {
		p.model.Enums = append(p.model.Enums, enum)
	}
	return id, nil
}

func sameValues(a, b []iec61850.EnumValue) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// value reads the value of an attribute from the element that has it: that of
// the first setting group where there are several.
func (p *parser) value(a *iec61850.Attribute, e *element) (iec61850.Value, bool) {
	val := e.child("Val")
	if val == nil {
		return iec61850.Value{}, false
	}
	v, err := parseValue(a, p.enums[a.Enum], val.text)
	if err != nil {
		p.warn(val, "%v", err)
	}
	return v, err == nil
}

// instance gives an object the values of a DOI or of an SDI in it.
func (p *parser) instance(o *iec61850.Object, e *element) error {
	for _, c := range e.children {
		if c.name != "SDI" && c.name != "DAI" {
			continue
		}
		name := c.attr("name")
		if sub := o.Object(name); sub != nil && c.name == "SDI" {
			if err := p.instance(sub, c); err != nil {
				return err
			}
			continue
		}
		known := false
		p.parts = 0
		for _, a := range o.Attributes {
			if a.Name == name && a.Count > 0 {
				p.parts++
			}
		}
		for _, a := range o.Attributes {
			if a.Name == name {
				known = true
				if err := p.set(a, c); err != nil {
					return err
				}
			}
		}
		if !known {
			if err := p.wrong(c, fmt.Errorf("data attribute: %w", ErrUnknown)); err != nil {
				return err
			}
		}
	}
	return nil
}

// set gives an attribute the values of a DAI or SDI.
func (p *parser) set(a *iec61850.Attribute, e *element) error {
	switch {
	case a.Count > 0:
		list := p.arrays[a]
		if list == nil {
			for i := range a.Count {
				list = append(list, a.Get().At(i))
			}
			p.arrays[a] = list
			p.order = append(p.order, a)
		}
		n, ok := e.number("ix")
		if !ok || int64(n) >= int64(a.Count) {
			return p.wrong(e, fmt.Errorf("ix %q of an array of %d", e.attr("ix"), a.Count))
		}
		v, err := p.element(a, e, list[n])
		if err != nil {
			return err
		}
		list[n] = v
	case a.Basic != "Struct":
		if v, ok := p.value(a, e); ok {
			if err := a.Init(v); err != nil {
				return p.wrong(e, err)
			}
		}
	default:
		for _, c := range e.children {
			if c.name != "SDI" && c.name != "DAI" {
				continue
			}
			m := a.Child(c.attr("name"))
			if m == nil {
				if err := p.wrong(c, fmt.Errorf("data attribute: %w", ErrUnknown)); err != nil {
					return err
				}
				continue
			}
			if err := p.set(m, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// element returns the value of an element of an array, of which e says parts.
func (p *parser) element(a *iec61850.Attribute, e *element, v iec61850.Value) (iec61850.Value, error) {
	if a.Basic != "Struct" {
		if w, ok := p.value(a, e); ok {
			return w, nil
		}
		return v, nil
	}
	list := make([]iec61850.Value, v.Len())
	for i := range list {
		list[i] = v.At(i)
	}
	for _, c := range e.children {
		if c.name != "SDI" && c.name != "DAI" {
			continue
		}
		i := slices.IndexFunc(a.Attributes, func(m *iec61850.Attribute) bool { return m.Name == c.attr("name") })
		if i < 0 && p.parts > 1 {
			continue // another part of the array has it
		}
		if i < 0 {
			if err := p.wrong(c, fmt.Errorf("data attribute: %w", ErrUnknown)); err != nil {
				return v, err
			}
			continue
		}
		var err error
		if list[i], err = p.element(a.Attributes[i], c, list[i]); err != nil {
			return v, err
		}
	}
	return iec61850.Struct(list...), nil
}
