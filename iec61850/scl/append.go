package scl

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openusm/meter/iec61850"
)

// AppendText appends the file: the model with one access point. A file with the
// addresses is a CID; one without describes what the device can do, an ICD.
// What Parse made of an array of data objects, of which MMS knows only the parts
// of each constraint, cannot be written. On error dst is returned unchanged.
func (f *File) AppendText(dst []byte) ([]byte, error) {
	w := &writer{f: f, m: f.Model, ids: map[string]string{}, used: map[string]bool{}}
	w.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	w.open("SCL", "xmlns", Namespace, "version", "2007", "revision", "B")
	w.empty("Header", "id", cmp.Or(f.ID, f.Model.IED), "version", optional(f.Version), "revision", optional(f.Revision),
		"toolID", "github.com/openusm/meter", "nameStructure", "IEDName")
	w.communication()
	w.ied()
	w.dataTypes()
	w.close("SCL")
	if w.err != nil {
		return dst, w.err
	}
	return append(dst, w.out...), nil
}

// writer writes the elements of a file.
type writer struct {
	f     *File
	m     *iec61850.Model
	out   []byte
	depth int
	err   error

	ids   map[string]string // of types, by kind and content
	used  map[string]bool
	types [3]strings.Builder // LNodeType, DOType, DAType
	enums []string
}

// absent is the value of an attribute that is left out.
const absent = "\x00"

func optional(s string) string {
	if s == "" {
		return absent
	}
	return s
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("scl: "+format, args...)
	}
}

func (w *writer) raw(s string) { w.out = append(w.out, s...) }

func (w *writer) tag(name, end string, attrs []string) {
	w.raw(w.line(w.depth, name, end, attrs))
}

// line returns a line with a start tag. attrs are names and values.
func (w *writer) line(depth int, name, end string, attrs []string) string {
	var b strings.Builder
	b.WriteString(strings.Repeat("\t", depth))
	b.WriteString("<" + name)
	for i := 0; i+1 < len(attrs); i += 2 {
		if attrs[i+1] != absent {
			b.WriteString(" " + attrs[i] + `="` + w.escape(attrs[i+1]) + `"`)
		}
	}
	b.WriteString(end)
	return b.String()
}

func (w *writer) escape(s string) string {
	if !isXML(s) {
		w.fail("%q: %w", s, ErrText)
	}
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // to memory
	return b.String()
}

func (w *writer) open(name string, attrs ...string) {
	w.tag(name, ">\n", attrs)
	w.depth++
}

func (w *writer) close(name string) {
	w.depth--
	w.raw(strings.Repeat("\t", w.depth) + "</" + name + ">\n")
}

func (w *writer) empty(name string, attrs ...string) { w.tag(name, "/>\n", attrs) }

func (w *writer) text(name, text string, attrs ...string) {
	w.tag(name, ">"+w.escape(text)+"</"+name+">\n", attrs)
}

func boolean(b bool) string { return strconv.FormatBool(b) }

func number[T uint32 | uint16 | int](n T) string { return strconv.FormatInt(int64(n), 10) }

func (w *writer) accessPoint() string { return cmp.Or(w.f.Address.AccessPoint, "AP1") }

func (w *writer) communication() {
	hasGOOSE := slices.ContainsFunc(w.m.Devices, func(d *iec61850.Device) bool {
		return slices.ContainsFunc(d.Nodes, func(n *iec61850.Node) bool {
			return slices.ContainsFunc(n.GOOSE, func(g *iec61850.GOOSE) bool { return g.Address != (iec61850.Multicast{}) })
		})
	})
	a := w.f.Address
	if len(a.Parameters) == 0 && !hasGOOSE {
		return
	}
	w.open("Communication")
	w.open("SubNetwork", "name", cmp.Or(a.SubNetwork, "Subnet1"), "type", "8-MMS")
	w.open("ConnectedAP", "iedName", w.m.IED, "apName", w.accessPoint())
	if len(a.Parameters) > 0 {
		w.open("Address")
		for _, p := range a.Parameters {
			w.text("P", p.Value, "type", p.Type)
		}
		w.close("Address")
	}
	for _, d := range w.m.Devices {
		for _, n := range d.Nodes {
			for _, g := range n.GOOSE {
				w.gse(d, g)
			}
		}
	}
	w.close("ConnectedAP")
	w.close("SubNetwork")
	w.close("Communication")
}

func (w *writer) gse(d *iec61850.Device, g *iec61850.GOOSE) {
	a := g.Address
	if a == (iec61850.Multicast{}) {
		return
	}
	w.open("GSE", "ldInst", d.Inst, "cbName", g.Name)
	w.open("Address")
	w.text("P", strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", a.MAC[:])), " ", "-"), "type", "MAC-Address")
	w.text("P", fmt.Sprintf("%04X", a.AppID), "type", "APPID")
	w.text("P", fmt.Sprintf("%03X", a.VLAN), "type", "VLAN-ID")
	w.text("P", strconv.Itoa(int(a.Priority)), "type", "VLAN-PRIORITY")
	w.close("Address")
	for _, t := range []struct {
		name string
		ms   uint32
	}{{"MinTime", a.MinTime}, {"MaxTime", a.MaxTime}} {
		if t.ms > 0 {
			w.text(t.name, number(t.ms), "unit", "s", "multiplier", "m")
		}
	}
	w.close("GSE")
}

func (w *writer) ied() {
	w.open("IED", "name", w.m.IED, "type", optional(w.m.Type), "manufacturer", optional(w.m.Vendor), "configVersion", optional(w.m.Revision))
	w.services()
	w.open("AccessPoint", "name", w.accessPoint())
	w.open("Server")
	w.empty("Authentication", "none", "true")
	for _, d := range w.m.Devices {
		w.device(d)
	}
	w.close("Server")
	w.close("AccessPoint")
	w.close("IED")
}

// services says what package server does for a client.
func (w *writer) services() {
	sets, reports, logs, buffered, goose, members := 0, 0, 0, false, 0, 1
	for _, d := range w.m.Devices {
		for _, n := range d.Nodes {
			sets, logs, goose = sets+len(n.DataSets), logs+len(n.Logs), goose+len(n.GOOSE)
			for _, s := range n.DataSets {
				members = max(members, len(s.Members))
			}
			for _, r := range n.Reports {
				reports += max(r.Instances, 1)
				buffered = buffered || r.Buffered
			}
		}
	}
	w.open("Services")
	for _, name := range []string{"DynAssociation", "GetDirectory", "GetDataObjectDefinition", "DataObjectDirectory", "GetDataSetValue", "DataSetDirectory"} {
		w.empty(name)
	}
	w.empty("ConfDataSet", "max", number(max(sets, 1)), "maxAttributes", number(members))
	w.empty("DynDataSet", "max", "32", "maxAttributes", "256")
	w.empty("ReadWrite")
	if reports > 0 {
		w.empty("ConfReportControl", "max", number(reports), "bufMode", map[bool]string{true: "both", false: "unbuffered"}[buffered])
	}
	w.empty("GetCBValues")
	if logs > 0 {
		w.empty("ConfLogControl", "max", number(logs))
	}
	if reports > 0 {
		w.empty("ReportSettings", "cbName", "Fix", "datSet", "Dyn", "rptID", "Dyn", "optFields", "Dyn", "bufTime", "Dyn", "trgOps", "Dyn", "intgPd", "Dyn",
			"resvTms", boolean(buffered), "owner", "true")
	}
	if goose > 0 {
		w.empty("GOOSE", "max", number(goose))
	}
	w.empty("FileHandling")
	w.close("Services")
}

func (w *writer) device(d *iec61850.Device) {
	w.open("LDevice", "inst", d.Inst, "ldName", optional(d.Name))
	if len(d.Nodes) == 0 || d.Nodes[0].Name != "LLN0" {
		w.fail("device %s does not begin with LLN0", d.Inst)
	}
	for i, n := range d.Nodes {
		prefix, inst, ok := split(n)
		if !ok || (i == 0) != (n.Name == "LLN0") {
			w.fail("node %s/%s of class %s: no name of prefix, class and number", d.Inst, n.Name, n.ClassName())
			return
		}
		name := "LN"
		attrs := []string{"prefix", optional(prefix), "lnClass", n.ClassName(), "inst", inst, "lnType", w.nodeType(n)}
		if i == 0 {
			name, attrs = "LN0", attrs[2:]
		}
		w.open(name, attrs...)
		for _, s := range n.DataSets {
			w.dataSet(s)
		}
		w.blocks(n)
		for _, o := range n.Objects {
			w.values(o)
		}
		w.tail(n)
		w.close(name)
	}
	w.close("LDevice")
}

// split returns the prefix and the instance in the name of a node.
func split(n *iec61850.Node) (prefix, inst string, ok bool) {
	at := strings.LastIndex(n.Name, n.ClassName())
	if at < 0 {
		return "", "", false
	}
	prefix, inst = n.Name[:at], n.Name[at+len(n.ClassName()):]
	return prefix, inst, strings.Trim(inst, "0123456789") == "" && (inst == "") == (n.Name == "LLN0")
}

func (w *writer) dataSet(s *iec61850.DataSet) {
	w.open("DataSet", "name", s.Name)
	for _, ref := range s.Members {
		attrs, err := w.fcda(ref)
		if err != nil {
			w.fail("data set %s: member %v: %w", s.Name, ref, err)
			return
		}
		w.empty("FCDA", attrs...)
	}
	w.close("DataSet")
}

// fcda returns the attributes that name a member of a data set.
func (w *writer) fcda(ref iec61850.Ref) ([]string, error) {
	d := w.m.Device(ref.Device)
	names := strings.Split(ref.Item, "$")
	if d == nil || len(names) < 2 {
		return nil, iec61850.ErrNotFound
	}
	n := d.Node(names[0])
	fc, ok := iec61850.ParseFC(names[1])
	if n == nil || !ok {
		return nil, iec61850.ErrNotFound
	}
	prefix, inst, _ := split(n)
	names = names[2:]
	object, index := []string{}, absent
	if len(names) > 0 {
		o := n.Object(names[0])
		for o != nil {
			object, names = append(object, names[0]), names[1:]
			if len(names) == 0 {
				break
			}
			o = o.Object(names[0])
		}
		if len(object) == 0 {
			return nil, iec61850.ErrNotFound
		}
	}
	for i, name := range names {
		if bare, rest, ok := strings.Cut(name, "("); ok {
			names[i], index = bare, strings.TrimSuffix(rest, ")")
		}
	}
	return []string{"ldInst", d.Inst, "prefix", optional(prefix), "lnClass", n.ClassName(), "lnInst", optional(inst),
		"doName", optional(strings.Join(object, ".")), "daName", optional(strings.Join(names, ".")), "fc", fc.String(), "ix", index}, nil
}

func (w *writer) trgOps(t iec61850.Trigger) {
	w.empty("TrgOps", "dchg", boolean(t&iec61850.DataChange != 0), "qchg", boolean(t&iec61850.QualityChange != 0),
		"dupd", boolean(t&iec61850.DataUpdate != 0), "period", boolean(t&iec61850.Integrity != 0), "gi", boolean(t&iec61850.GeneralInterrogation != 0))
}

// blocks writes the control blocks that stand before the values.
func (w *writer) blocks(n *iec61850.Node) {
	for _, r := range n.Reports {
		w.open("ReportControl", "name", r.Name, "datSet", optional(r.DataSet), "intgPd", number(r.Integrity), "rptID", optional(r.ID),
			"confRev", number(r.ConfRev), "buffered", boolean(r.Buffered), "bufTime", number(r.BufTime), "indexed", boolean(r.Instances > 0))
		w.trgOps(r.Triggers)
		var fields []string
		for _, f := range options {
			fields = append(fields, f.name, boolean(r.Options&f.bit != 0))
		}
		w.empty("OptFields", fields...)
		w.empty("RptEnabled", "max", number(max(r.Instances, 1)))
		w.close("ReportControl")
	}
	for _, l := range n.Logs {
		w.open("LogControl", "name", l.Name, "datSet", optional(l.DataSet), "intgPd", number(l.Integrity),
			"logName", cmp.Or(l.Journal, l.Name), "logEna", boolean(l.Enabled))
		w.trgOps(l.Triggers)
		w.close("LogControl")
	}
}

// tail writes what stands behind the values.
func (w *writer) tail(n *iec61850.Node) {
	var logs []string
	for _, l := range n.Logs {
		if name := cmp.Or(l.Journal, l.Name); !slices.Contains(logs, name) {
			logs = append(logs, name)
			w.empty("Log", "name", name)
		}
	}
	if n.Name != "LLN0" && (len(n.GOOSE) > 0 || n.Settings != nil) {
		w.fail("node %s: GOOSE and setting groups belong to LLN0", n.Name)
	}
	for _, g := range n.GOOSE {
		w.empty("GSEControl", "name", g.Name, "datSet", optional(g.DataSet), "confRev", number(g.ConfRev), "appID", cmp.Or(g.ID, g.Name),
			"fixedOffs", boolean(g.FixedOffsets), "type", "GOOSE")
	}
	if s := n.Settings; s != nil {
		w.empty("SettingControl", "numOfSGs", number(s.Count), "actSG", number(s.Active))
	}
}

// values writes the values of an object, if there are any.
func (w *writer) values(o *iec61850.Object) {
	mark, depth := len(w.out), w.depth
	w.open("DOI", "name", o.Name)
	if !w.objectValues(o, measured(o)) {
		w.cut(mark, depth)
		return
	}
	w.close("DOI")
}

// cut takes back what was written since mark.
func (w *writer) cut(mark, depth int) {
	w.out, w.depth = w.out[:mark], depth
}

// measured reports whether the process has set the object: it has a time.
func measured(o *iec61850.Object) bool {
	t := o.Attribute("t", 0)
	return t != nil && t.Get().Time().Seconds != 0
}

func (w *writer) objectValues(o *iec61850.Object, measured bool) (any bool) {
	for _, sub := range o.Objects {
		w.sub(sub.Name, absent, func() bool {
			has := w.objectValues(sub, measuredPart(sub, measured))
			any = any || has
			return has
		})
	}
	for _, a := range o.Attributes {
		process := a.FC == iec61850.ST || a.FC == iec61850.MX
		if process && (measured && !w.f.Values || a.Basic == "Quality" || a.Basic == "Timestamp") || a.FC == iec61850.SE {
			continue
		}
		any = w.attributeValues(a, a.Get(), absent, a.Count > 0) || any
	}
	return any
}

func measuredPart(o *iec61850.Object, whole bool) bool { return whole || measured(o) }

// sub writes an SDI, if it has something in it.
func (w *writer) sub(name, index string, f func() bool) {
	mark, depth := len(w.out), w.depth
	w.open("SDI", "name", name, "ix", index)
	if !f() {
		w.cut(mark, depth)
		return
	}
	w.close("SDI")
}

// attributeValues writes the values in v, which is a's or, with an index, one of its elements.
func (w *writer) attributeValues(a *iec61850.Attribute, v iec61850.Value, index string, array bool) (any bool) {
	switch {
	case array:
		for i := range v.Len() {
			any = w.attributeValues(a, v.At(i), strconv.Itoa(i), false) || any
		}
	case a.Basic == "Struct":
		w.sub(a.Name, index, func() bool {
			for i, m := range a.Attributes {
				any = w.attributeValues(m, v.At(i), absent, m.Count > 0) || any
			}
			return any
		})
	default:
		t, _ := iec61850.BasicType(a.Basic)
		if v.Equal(t.Zero()) && a.Name != "ctlModel" {
			return false
		}
		e, _ := w.m.Enumeration(a.Enum)
		text, ok := valueText(a, e, v)
		if !ok {
			return false
		}
		w.open("DAI", "name", a.Name, "ix", index)
		w.text("Val", text)
		w.close("DAI")
		any = true
	}
	return any
}

// The kinds of types.
const (
	nodeKind = iota
	objectKind
	attributeKind
)

var kinds = [...]string{"LNodeType", "DOType", "DAType"}

// define returns the id of a type with that content, which it writes where there is none yet.
func (w *writer) define(kind int, name, body string, attrs ...string) string {
	key := kinds[kind] + strings.Join(attrs, "\x00") + body
	if id := w.ids[key]; id != "" {
		return id
	}
	id := name
	for i := 1; kind != attributeKind && i == 1 || w.used[id]; i++ {
		id = name + "_" + strconv.Itoa(i)
	}
	w.ids[key], w.used[id] = id, true
	b := &w.types[kind]
	b.WriteString(w.line(2, kinds[kind], ">\n", append([]string{"id", id}, attrs...)))
	b.WriteString(body)
	b.WriteString("\t\t</" + kinds[kind] + ">\n")
	return id
}

func (w *writer) nodeType(n *iec61850.Node) string {
	var body strings.Builder
	for _, o := range n.Objects {
		body.WriteString(w.line(3, "DO", "/>\n", []string{"name", o.Name, "type", w.objectType(o)}))
	}
	return w.define(nodeKind, n.ClassName(), body.String(), "lnClass", n.ClassName())
}

func (w *writer) objectType(o *iec61850.Object) string {
	var body strings.Builder
	names := map[string]iec61850.FC{}
	for _, sub := range o.Objects {
		names[sub.Name] = 0
		body.WriteString(w.line(3, "SDO", "/>\n", []string{"name", sub.Name, "type", w.objectType(sub)}))
	}
	for _, a := range o.Attributes {
		if first, ok := names[a.Name]; ok {
			if first != iec61850.SG || a.FC != iec61850.SE {
				w.fail("object %s has %s twice", o.Name, a.Name)
			}
			continue
		}
		names[a.Name] = a.FC
		body.WriteString(w.line(3, "DA", "/>\n", append(w.attributeType(a), "fc", a.FC.String(), "dchg", flag(a, iec61850.DataChange),
			"qchg", flag(a, iec61850.QualityChange), "dupd", flag(a, iec61850.DataUpdate))))
	}
	return w.define(objectKind, cmp.Or(o.CDC, "CDC"), body.String(), "cdc", o.CDC)
}

func flag(a *iec61850.Attribute, t iec61850.Trigger) string {
	if a.Trigger&t != 0 {
		return "true"
	}
	return absent
}

// attributeType returns the attributes of a DA or BDA that say its name and type.
func (w *writer) attributeType(a *iec61850.Attribute) []string {
	typ := absent
	switch a.Basic {
	case "Struct":
		var body strings.Builder
		for _, m := range a.Attributes {
			body.WriteString(w.line(3, "BDA", "/>\n", w.attributeType(m)))
		}
		typ = w.define(attributeKind, cmp.Or(a.Structure(), a.Name), body.String())
	case "Enum":
		typ = a.Enum
		if _, ok := w.m.Enumeration(a.Enum); !ok {
			w.fail("attribute %s: enumeration %q: %w", a.Name, a.Enum, ErrUnknown)
		}
		if !slices.Contains(w.enums, a.Enum) {
			w.enums = append(w.enums, a.Enum)
		}
	}
	count := absent
	if a.Count > 0 {
		count = number(a.Count)
	}
	return []string{"name", a.Name, "bType", a.Basic, "type", typ, "count", count}
}

func (w *writer) dataTypes() {
	w.open("DataTypeTemplates")
	for i := range w.types {
		w.raw(w.types[i].String())
	}
	slices.Sort(w.enums)
	for _, id := range w.enums {
		w.open("EnumType", "id", id)
		e, _ := w.m.Enumeration(id)
		for _, v := range e.Values {
			w.text("EnumVal", v.Name, "ord", strconv.Itoa(v.Ord))
		}
		w.close("EnumType")
	}
	w.close("DataTypeTemplates")
}

// ErrText reports text that XML cannot carry.
var ErrText = errors.New("characters that XML does not have")
