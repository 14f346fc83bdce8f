package scl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/openusm/meter/iec61850"
)

// blocks reads the data sets and control blocks of a device.
func (p *parser) blocks(e *element) error {
	d := p.devices[e.attr("inst")]
	if d == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name != "LN0" && c.name != "LN" {
			continue
		}
		n := d.nodes[nodeName(c, "inst")]
		if n == nil {
			continue
		}
		if err := p.nodeBlocks(d, n, c); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) nodeBlocks(d *device, n *iec61850.Node, e *element) error {
	seen := map[string]bool{}
	for _, c := range e.children {
		if c.name != "DataSet" {
			continue
		}
		if err := p.member(c, seen); err != nil {
			return err
		}
		set := &iec61850.DataSet{Name: c.attr("name")}
		n.DataSets = append(n.DataSets, set)
		if err := c.each("FCDA", func(m *element) error {
			ref, err := p.fcda(m)
			if err != nil {
				return p.wrong(m, err)
			}
			set.Members = append(set.Members, ref)
			return nil
		}); err != nil {
			return err
		}
	}
	for _, c := range e.children {
		var err error
		switch c.name {
		case "ReportControl", "LogControl", "GSEControl":
			err = p.control(n, c, seen)
		case "SettingControl":
			count, a := c.number("numOfSGs")
			active, b := c.number("actSG")
			if !a || !b || count == 0 || count > 255 || active > count {
				err = p.wrong(c, fmt.Errorf("numOfSGs %q, actSG %q", c.attr("numOfSGs"), c.attr("actSG")))
				break
			}
			n.Settings = &iec61850.SettingGroups{Count: int(count), Active: int(active)}
		case "SampledValueControl":
			p.warn(c, "sampled values have no place in the model")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// control reads a control block. data are the names of the data sets of the node.
func (p *parser) control(n *iec61850.Node, e *element, data map[string]bool) error {
	name, set := e.attr("name"), e.attr("datSet")
	switch {
	case name == "":
		return p.wrong(e, fmt.Errorf("name %w", ErrMissing))
	case set != "" && !data[set]:
		return p.wrong(e, fmt.Errorf("data set %q: %w", set, ErrUnknown))
	}
	for _, r := range []string{"confRev", "bufTime", "intgPd"} {
		if _, ok := e.number(r); !ok {
			return p.wrong(e, fmt.Errorf("%s %q is no number", r, e.attr(r)))
		}
	}
	revision, _ := e.number("confRev")
	period, _ := e.number("intgPd")
	switch e.name {
	case "ReportControl":
		delay, _ := e.number("bufTime")
		r := &iec61850.Report{Name: name, ID: e.attr("rptID"), DataSet: set, Buffered: e.flag("buffered", false), ConfRev: revision,
			BufTime: delay, Integrity: period, Triggers: trgOps(e.child("TrgOps")), Options: optFields(e.child("OptFields"))}
		if e.flag("indexed", true) {
			count, ok := e.child("RptEnabled").max()
			if !ok {
				return p.wrong(e, errors.New("RptEnabled max, want 1 to 99"))
			}
			r.Instances = count
		}
		n.Reports = append(n.Reports, r)
	case "LogControl":
		l := &iec61850.Log{Name: name, Journal: e.attr("logName"), DataSet: set, Enabled: e.flag("logEna", true),
			Triggers: trgOps(e.child("TrgOps")), Integrity: period}
		if l.Journal == name {
			l.Journal = ""
		}
		n.Logs = append(n.Logs, l)
	case "GSEControl":
		if e.attr("type") == "GSSE" {
			p.warn(e, "GSSE has no place in the model")
			return nil
		}
		if len(n.GOOSE) >= maxMembers {
			return &ParseError{e.path(), e.offset, e.line, fmt.Errorf("more than %d: %w", maxMembers, ErrTooLarge)}
		}
		n.GOOSE = append(n.GOOSE, &iec61850.GOOSE{Name: name, ID: e.attr("appID"), DataSet: set, ConfRev: revision, FixedOffsets: e.flag("fixedOffs", false)})
	}
	return nil
}

// max returns how many clients a report control block is for.
func (e *element) max() (int, bool) {
	if e == nil || e.attr("max") == "" {
		return 1, true
	}
	n, ok := e.number("max")
	return int(n), ok && n >= 1 && n <= 99
}

// trgOps reads the triggers; a general interrogation is one unless it is said not to be.
func trgOps(e *element) (t iec61850.Trigger) {
	if e == nil {
		return iec61850.GeneralInterrogation
	}
	t = triggers(e)
	if e.flag("period", false) {
		t |= iec61850.Integrity
	}
	if e.flag("gi", true) {
		t |= iec61850.GeneralInterrogation
	}
	return t
}

// options are the attributes of OptFields with their bits, in the order of the schema.
var options = [...]struct {
	name string
	bit  iec61850.ReportOptions
}{
	{"seqNum", iec61850.SequenceNumber}, {"timeStamp", iec61850.ReportTime}, {"dataSet", iec61850.DataSetName},
	{"reasonCode", iec61850.ReasonForInclusion}, {"dataRef", iec61850.DataReference}, {"entryID", iec61850.EntryID},
	{"configRef", iec61850.ConfRevision}, {"bufOvfl", iec61850.BufferOverflow},
}

func optFields(e *element) (o iec61850.ReportOptions) {
	if e == nil {
		return iec61850.BufferOverflow
	}
	for _, f := range options {
		if e.flag(f.name, f.name == "bufOvfl") {
			o |= f.bit
		}
	}
	return o
}

// fcda returns the name of a member of a data set.
func (p *parser) fcda(e *element) (iec61850.Ref, error) {
	d := p.devices[e.attr("ldInst")]
	if d == nil { // some have the name of the IED in it
		if d = p.devices[strings.TrimPrefix(e.attr("ldInst"), p.model.IED)]; d != nil {
			p.odd(e, "ldInst %q, want %q", e.attr("ldInst"), d.Inst)
		}
	}
	if d == nil {
		return iec61850.Ref{}, fmt.Errorf("LDevice %q: %w", e.attr("ldInst"), ErrUnknown)
	}
	n := d.nodes[nodeName(e, "lnInst")]
	if n == nil {
		return iec61850.Ref{}, fmt.Errorf("LN %q: %w", nodeName(e, "lnInst"), ErrUnknown)
	}
	fc, ok := iec61850.ParseFC(e.attr("fc"))
	if !ok {
		return iec61850.Ref{}, fmt.Errorf("fc %q: %w", e.attr("fc"), ErrUnknown)
	}
	ref := iec61850.Ref{Device: d.FullName(p.model), Item: n.Name + "$" + fc.String()}
	if e.attr("doName") == "" {
		return ref, nil
	}
	names := strings.Split(e.attr("doName"), ".")
	o := n.Object(names[0])
	if o == nil {
		return ref, fmt.Errorf("doName %q: %w", e.attr("doName"), ErrUnknown)
	}
	ref.Item += "$" + names[0]
	for names = names[1:]; len(names) > 0 && o.Object(names[0]) != nil; names = names[1:] {
		o = o.Object(names[0])
		ref.Item += "$" + names[0]
	}
	if e.attr("daName") != "" { // what is left of doName is an array of data objects
		names = append(names, strings.Split(e.attr("daName"), ".")...)
	}
	if len(names) == 0 {
		if !p.constrained(o, fc) {
			return ref, fmt.Errorf("doName %q has nothing of constraint %v", e.attr("doName"), fc)
		}
		return ref, nil
	}
	item, err := attributeItem(o, fc, names, e)
	ref.Item += item
	return ref, err
}

// attributeItem returns the part of the name of a member that is behind its data object.
func attributeItem(o *iec61850.Object, fc iec61850.FC, names []string, e *element) (item string, err error) {
	unknown := fmt.Errorf("%s of constraint %v: %w", strings.Join(names, "."), fc, ErrUnknown)
	index, indexed := e.lookup("ix")
	var a *iec61850.Attribute
	for i, name := range names {
		if bare, rest, ok := strings.Cut(name, "("); ok {
			name, index, indexed = bare, strings.TrimSuffix(rest, ")"), true
		}
		if i == 0 {
			a = o.Attribute(name, fc)
		} else {
			a = a.Child(name)
		}
		if a == nil {
			return "", unknown
		}
		item += "$" + name
		if a.Count > 0 && indexed {
			n, err := strconv.ParseUint(index, 10, 16)
			if err != nil || int(n) >= a.Count {
				return "", fmt.Errorf("ix %q of an array of %d", index, a.Count)
			}
			item += fmt.Sprintf("(%d)", n)
			indexed = false
		}
	}
	if indexed {
		return "", fmt.Errorf("ix %q, but %s is no array", index, e.attr("daName"))
	}
	return item, nil
}

// constrained reports whether an object has an attribute of the constraint.
func (p *parser) constrained(o *iec61850.Object, fc iec61850.FC) bool {
	key := constrained{o, fc}
	has, known := p.has[key]
	if known {
		return has
	}
	for _, a := range o.Attributes {
		has = has || a.FC == fc
	}
	for _, sub := range o.Objects {
		has = has || p.constrained(sub, fc)
	}
	p.has[key] = has
	return has
}

// communication reads the addresses of the access point and of its GOOSE messages.
func (p *parser) communication(a *Address) error {
	return p.root.child("Communication").each("SubNetwork", func(sub *element) error {
		return sub.each("ConnectedAP", func(ap *element) error {
			if ap.attr("iedName") != p.model.IED || ap.attr("apName") != a.AccessPoint {
				return nil
			}
			a.SubNetwork = sub.attr("name")
			_ = ap.child("Address").each("P", func(e *element) error {
				a.Parameters = append(a.Parameters, Parameter{e.attr("type"), strings.TrimSpace(e.text)})
				return nil
			})
			return ap.each("GSE", p.gse)
		})
	})
}

// gse gives a GOOSE control block its address.
func (p *parser) gse(e *element) error {
	var block *iec61850.GOOSE
	if d := p.devices[e.attr("ldInst")]; d != nil && d.nodes["LLN0"] != nil {
		for _, g := range d.nodes["LLN0"].GOOSE {
			if g.Name == e.attr("cbName") {
				block = g
			}
		}
	}
	if block == nil {
		return p.wrong(e, fmt.Errorf("GSEControl %q: %w", e.attr("cbName"), ErrUnknown))
	}
	number := func(text string, base, bits int) uint64 {
		n, err := strconv.ParseUint(strings.TrimSpace(text), base, bits)
		if err != nil {
			p.warn(e, "%q is no number", text)
		}
		return n
	}
	_ = e.child("Address").each("P", func(v *element) error {
		switch v.attr("type") {
		case "MAC-Address":
			mac, ok := parseMAC(strings.TrimSpace(v.text))
			if !ok {
				p.warn(v, "%q is no address", v.text)
			}
			block.Address.MAC = mac
		case "APPID":
			block.Address.AppID = uint16(number(v.text, 16, 16))
		case "VLAN-ID":
			block.Address.VLAN = uint16(number(v.text, 16, 12))
		case "VLAN-PRIORITY":
			block.Address.Priority = uint8(number(v.text, 10, 3))
		}
		return nil
	})
	for name, to := range map[string]*uint32{"MinTime": &block.Address.MinTime, "MaxTime": &block.Address.MaxTime} {
		if t := e.child(name); t != nil {
			*to = uint32(number(t.text, 10, 32))
		}
	}
	return nil
}
