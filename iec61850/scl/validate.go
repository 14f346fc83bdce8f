package scl

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/openusm/meter/iec61850"
)

// Validate lists what is wrong with a file, in the order of its lines: the
// structure of the elements, names, ids and references, types against the common
// data classes, values against their types, what each device must have. Of
// substations and private parts it sees nothing.
func Validate(b []byte) []Finding {
	root, err := parseTree(b)
	if err != nil {
		var pe *ParseError
		if errors.As(err, &pe) {
			return []Finding{{pe.Line, pe.Field, pe.Err.Error(), false}}
		}
		return []Finding{{1, "SCL", err.Error(), false}}
	}
	v := &validator{templates: index(root), ids: map[string]bool{}}
	v.element(root)
	v.types(root)
	v.servers(root)
	slices.SortStableFunc(v.findings, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text)) })
	return slices.Compact(v.findings)
}

type validator struct {
	templates templates
	ids       map[string]bool
	used      map[*element]bool
	findings  []Finding
}

func (v *validator) wrong(e *element, format string, args ...any) { v.note(e, false, format, args) }
func (v *validator) warn(e *element, format string, args ...any)  { v.note(e, true, format, args) }

func (v *validator) note(e *element, warning bool, format string, args []any) {
	if len(v.findings) < maxFindings {
		v.findings = append(v.findings, Finding{e.line, e.path(), fmt.Sprintf(format, args...), warning})
	}
}

// shape is what an element may have: attributes, "!" behind those that it must
// have, and children in their order, "!" behind those that must be there and "?"
// behind those that come once at most.
type shape struct{ attrs, children string }

// shapes are those of the elements that a server needs; the content of others is not looked at.
var shapes = map[string]shape{
	"SCL":    {"version revision release", "Text? Header! Substation Process Line Communication? IED DataTypeTemplates?"},
	"Header": {"id! version revision toolID nameStructure", "Text? History?"},

	"Communication": {"desc", "Text? SubNetwork!"},
	"SubNetwork":    {"name! desc type", "Text? BitRate? ConnectedAP!"},
	"ConnectedAP":   {"iedName! apName! desc redProt", "Text? Address? GSE SMV PhysConn"},
	"Address":       {"desc", "P!"},
	"P":             {"type!", ""},
	"GSE":           {"ldInst! cbName! desc", "Text? Address? MinTime? MaxTime?"},
	"MinTime":       {"unit multiplier", ""},
	"MaxTime":       {"unit multiplier", ""},

	"IED":               {"name! desc type manufacturer configVersion originalSclVersion originalSclRevision originalSclRelease engRight owner", "Text? Services? AccessPoint! KDC"},
	"Services":          {"nameLength", "Text? DynAssociation? SettingGroups? GetDirectory? GetDataObjectDefinition? DataObjectDirectory? GetDataSetValue? SetDataSetValue? DataSetDirectory? ConfDataSet? DynDataSet? ReadWrite? TimerActivatedControl? ConfReportControl? GetCBValues? ConfLogControl? ReportSettings? LogSettings? GSESettings? SMVSettings? GSEDir? GOOSE? GSSE? SMVsc? FileHandling? ConfLNs? ClientServices? ConfLdName? SupSubscription? ConfSigRef? ValueHandling? RedProt? TimeSyncProt? CommProt?"},
	"ConfDataSet":       {"max! maxAttributes modify", ""},
	"DynDataSet":        {"max! maxAttributes", ""},
	"ConfReportControl": {"max! bufMode bufConf maxBuf", ""},
	"ConfLogControl":    {"max!", ""},
	"ReportSettings":    {"cbName datSet rptID optFields bufTime trgOps intgPd resvTms owner", ""},
	"AccessPoint":       {"name! desc router clock kdc", "Text? Server? ServerAt? LN Services? GOOSESecurity SMVSecurity"},
	"Server":            {"desc timeout", "Text? Authentication! LDevice! Association"},
	"Authentication":    {"none password weak strong certificate", ""},
	"LDevice":           {"inst! ldName desc", "Text? LN0! LN AccessControl?"},
	"LN0":               {"lnClass! inst! lnType! desc", "Text? DataSet ReportControl LogControl DOI Inputs? Log GSEControl SampledValueControl SettingControl? SCLControl?"},
	"LN":                {"prefix lnClass! inst! lnType! desc", "Text? DataSet ReportControl LogControl DOI Inputs? Log"},

	"DataSet":             {"name! desc", "Text? FCDA!"},
	"FCDA":                {"ldInst prefix lnClass lnInst doName daName fc! ix", ""},
	"ReportControl":       {"name! desc datSet intgPd rptID confRev! buffered bufTime indexed", "Text? TrgOps? OptFields! RptEnabled?"},
	"TrgOps":              {"dchg qchg dupd period gi", ""},
	"OptFields":           {"seqNum timeStamp dataSet reasonCode dataRef entryID configRef bufOvfl segmentation", ""},
	"RptEnabled":          {"max desc", "Text? ClientLN"},
	"ClientLN":            {"iedName! apRef ldInst! prefix lnClass! lnInst! desc", ""},
	"LogControl":          {"name! desc datSet intgPd ldInst prefix lnClass lnInst logName! logEna reasonCode bufTime", "Text? TrgOps?"},
	"Log":                 {"name desc", "Text?"},
	"GSEControl":          {"name! desc datSet confRev appID! type fixedOffs securityEnable", "Text? IEDName Protocol?"},
	"SettingControl":      {"numOfSGs! actSG desc resvTms", "Text?"},
	"DOI":                 {"name! desc ix accessControl", "Text? SDI DAI"},
	"SDI":                 {"name! desc ix sAddr", "Text? SDI DAI"},
	"DAI":                 {"name! desc sAddr valKind valImport ix", "Text? Val"},
	"Val":                 {"sGroup", ""},
	"DataTypeTemplates":   {"", "LNodeType! DOType! DAType EnumType"},
	"LNodeType":           {"id! desc iedType lnClass!", "Text? DO!"},
	"DO":                  {"name! type! desc accessControl transient", "Text?"},
	"DOType":              {"id! desc iedType cdc!", "Text? SDO DA"},
	"SDO":                 {"name! type! desc count", "Text?"},
	"DA":                  {"name! desc fc! bType! type count dchg qchg dupd sAddr valKind valImport", "Text? Val ProtNs"},
	"DAType":              {"id! desc iedType", "Text? BDA! ProtNs"},
	"BDA":                 {"name! desc bType! type count sAddr valKind valImport", "Text? Val"},
	"EnumType":            {"id! desc", "Text? EnumVal!"},
	"EnumVal":             {"ord! desc", ""},
	"SampledValueControl": {"name! desc datSet confRev smvID! multicast smpRate nofASDU smpMod securityEnable", "Text? IEDName SmvOpts! Protocol?"},
}

// mixed are the elements whose children of the two kinds may stand in any order.
var mixed = map[string]bool{"DOI": true, "SDI": true, "DOType": true, "Services": true}

var (
	deviceName = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)
	iedName    = regexp.MustCompile(`^[A-Za-z][0-9A-Za-z_]{0,63}$`)
	blockName  = regexp.MustCompile(`^[A-Za-z][0-9A-Za-z_]{0,31}$`)
	objectName = regexp.MustCompile(`^[A-Z][0-9A-Za-z]{0,11}$`)
	attribName = regexp.MustCompile(`^(T|Test|Check|SIUnit|Oper|SBO|SBOw|Cancel|Addr|PRIORITY|VID|APPID|[a-z][0-9A-Za-z]{0,59})$`)
	prefixName = regexp.MustCompile(`^([A-Za-z][0-9A-Za-z_]{0,10})?$`)
	className  = regexp.MustCompile(`^[A-Z]{3}[A-Z0-9]$`)
	instNumber = regexp.MustCompile(`^[0-9]{1,12}$`)
	natural    = regexp.MustCompile(`^[0-9]{1,10}$`)
	truth      = regexp.MustCompile(`^(true|false|1|0)$`)
	settable   = regexp.MustCompile(`^(Dyn|Conf|Fix)$`)
	multiplier = regexp.MustCompile(`^(m|k|M|mu|y|z|a|f|p|n|c|d|da|h|G|T|P|E|Z|Y)?$`)
	typeID     = regexp.MustCompile(`^\S{1,255}$`)
)

// booleans are the attributes that are true or false, whatever element has them.
var booleans = strings.Fields("dchg qchg dupd period gi seqNum timeStamp dataSet reasonCode dataRef entryID configRef bufOvfl segmentation buffered indexed " +
	"logEna fixedOffs securityEnable valImport transient none password weak strong certificate router clock owner multicast modify bufConf")

// patterns are what attributes must look like, by element and attribute.
var patterns = map[string]*regexp.Regexp{
	"IED name": iedName, "LDevice inst": deviceName, "LDevice ldName": deviceName, "AccessPoint name": iedName,
	"LN prefix": prefixName, "LN lnClass": className, "LN inst": instNumber, "LNodeType lnClass": className,
	"DataSet name": blockName, "ReportControl name": blockName, "LogControl name": blockName, "GSEControl name": blockName, "Log name": blockName,
	"DO name": objectName, "SDO name": regexp.MustCompile(`^[a-zA-Z][0-9A-Za-z]{0,59}$`), "DA name": attribName, "BDA name": attribName,
	"LNodeType id": typeID, "DOType id": typeID, "DAType id": typeID, "EnumType id": typeID,
	"EnumVal ord": regexp.MustCompile(`^-?[0-9]{1,10}$`), "ReportControl confRev": regexp.MustCompile(`^[0-9]{1,10}$`),
	"ConnectedAP iedName": iedName, "ConnectedAP apName": deviceName, "LogControl logName": blockName, "DOType cdc": regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,7}$`),
	"ConfDataSet max": natural, "ConfDataSet maxAttributes": natural, "DynDataSet max": natural, "DynDataSet maxAttributes": natural,
	"ConfReportControl max": natural, "ConfLogControl max": natural, "SettingControl numOfSGs": natural,
	"P type":                    regexp.MustCompile(`^[A-Z][A-Za-z0-9-]*$`),
	"MinTime multiplier":        multiplier,
	"MaxTime multiplier":        multiplier,
	"ConfReportControl bufMode": regexp.MustCompile(`^(unbuffered|buffered|both)$`),
	"ReportSettings cbName":     settable, "ReportSettings datSet": settable, "ReportSettings rptID": settable, "ReportSettings optFields": settable,
	"ReportSettings bufTime": settable, "ReportSettings trgOps": settable, "ReportSettings intgPd": settable,
	"RptEnabled max": regexp.MustCompile(`^[1-9][0-9]?$`),
}

// element holds an element and those in it against their shapes.
func (v *validator) element(e *element) {
	s, known := shapes[e.name]
	if !known {
		return
	}
	v.attributes(e, strings.Fields(s.attrs))
	v.children(e, strings.Fields(s.children))
	if id := e.attr("id"); id != "" && e.name != "Header" {
		if v.ids[e.name+" "+id] {
			v.wrong(e, "id %s %v", id, ErrTwice)
		}
		v.ids[e.name+" "+id] = true
	}
	for _, c := range e.children {
		v.element(c)
	}
}

func (v *validator) attributes(e *element, allowed []string) {
	for _, name := range allowed {
		if bare, must := strings.CutSuffix(name, "!"); must {
			if _, ok := e.lookup(bare); !ok {
				v.wrong(e, "%s %v", bare, ErrMissing)
			}
		}
	}
	for _, a := range e.attrs {
		name := a.Name.Local
		if !slices.Contains(allowed, name) && !slices.Contains(allowed, name+"!") {
			v.warn(e, "attribute %s: %v", name, ErrUnknown)
		}
		p := patterns[e.name+" "+name]
		if slices.Contains(booleans, name) && e.name != "ReportSettings" || e.name == "ReportSettings" && (name == "owner" || name == "resvTms") {
			p = truth
		}
		if p != nil && !p.MatchString(a.Value) {
			v.wrong(e, "%s %q: characters or length", name, a.Value)
		}
		if name == "desc" && len([]rune(a.Value)) > 255 {
			v.wrong(e, "desc of more than 255 characters")
		}
	}
}

func (v *validator) children(e *element, allowed []string) {
	order, count := 0, map[string]int{}
	for _, c := range e.children {
		at := slices.IndexFunc(allowed, func(name string) bool { return strings.TrimRight(name, "?!") == c.name })
		switch count[c.name]++; {
		case at < 0:
			v.wrong(c, "element %s: not allowed in %s", c.name, e.name)
			continue
		case at < order && !(mixed[e.name] && at > 0):
			v.wrong(c, "element %s: behind %s", c.name, strings.TrimRight(allowed[order], "?!"))
		case strings.HasSuffix(allowed[at], "?") && count[c.name] == 2:
			v.wrong(c, "element %s: %v", c.name, ErrTwice)
		}
		order = max(order, at)
	}
	for _, name := range allowed {
		if bare, must := strings.CutSuffix(name, "!"); must && count[bare] == 0 {
			v.wrong(e, "element %s %v", bare, ErrMissing)
		}
	}
}

// types holds the types against the common data classes, and lists those that nothing uses.
func (v *validator) types(root *element) {
	v.used = map[*element]bool{}
	_ = root.each("IED", func(e *element) error { v.uses(e); return nil })
	_ = root.child("DataTypeTemplates").each("DOType", func(e *element) error { v.class(e); return nil })
	for _, kind := range []string{"LNodeType", "DOType", "DAType", "EnumType"} {
		_ = root.child("DataTypeTemplates").each(kind, func(e *element) error {
			if !v.used[e] {
				v.warn(e, "nothing uses the type")
			}
			v.references(e)
			return nil
		})
	}
}

// uses marks the types that the nodes below e use.
func (v *validator) uses(e *element) {
	if id := e.attr("lnType"); id != "" && (e.name == "LN" || e.name == "LN0") {
		v.use(v.templates["LNodeType"][id], 0)
		return
	}
	for _, c := range e.children {
		v.uses(c)
	}
}

func (v *validator) use(t *element, depth int) {
	if t == nil || v.used[t] {
		return
	}
	v.used[t] = true
	if depth > maxDepth {
		v.wrong(t, "types that use each other in a circle, or %d deep", depth)
		return
	}
	for _, c := range t.children {
		v.use(v.templates[typeKind(c)][c.attr("type")], depth+1)
	}
}

// typeKind returns the kind of type that a member needs.
func typeKind(e *element) string {
	switch {
	case e.name == "DO" || e.name == "SDO":
		return "DOType"
	case e.attr("bType") == "Struct":
		return "DAType"
	case e.attr("bType") == "Enum":
		return "EnumType"
	}
	return ""
}

// references checks that members have types that exist, and none twice.
func (v *validator) references(t *element) {
	seen, ords := map[string]bool{}, map[string]bool{}
	for _, c := range t.children {
		if name := c.attr("name"); name != "" {
			if seen[name] {
				v.wrong(c, "%s %v", name, ErrTwice)
			}
			seen[name] = true
		}
		if c.name == "EnumVal" {
			if ords[c.attr("ord")] {
				v.wrong(c, "ord %s %v", c.attr("ord"), ErrTwice)
			}
			ords[c.attr("ord")] = true
		}
		kind, id := typeKind(c), c.attr("type")
		if kind != "" && v.templates[kind][id] == nil {
			v.wrong(c, "%s %q: %v", kind, id, ErrUnknown)
		}
		if c.name == "DA" || c.name == "BDA" {
			if _, ok := iec61850.BasicType(c.attr("bType")); !ok && c.attr("bType") != "Struct" {
				v.wrong(c, "bType %q: %v", c.attr("bType"), ErrUnknown)
			}
			if _, ok := iec61850.ParseFC(c.attr("fc")); !ok && c.name == "DA" {
				v.wrong(c, "fc %q: %v", c.attr("fc"), ErrUnknown)
			}
		}
	}
}

// class holds a type against the common data class that it says it is of.
func (v *validator) class(t *element) {
	cdc := t.attr("cdc")
	if !iec61850.Class(cdc) {
		v.warn(t, "common data class %q: %v", cdc, ErrUnknown)
		return
	}
	members := map[string]*element{}
	for _, c := range t.children {
		if c.name == "DA" || c.name == "SDO" {
			members[c.attr("name")] = c
		}
	}
	for row := range iec61850.ClassRows(cdc) {
		c := members[row.Name]
		switch {
		case c == nil && row.Optional:
		case c == nil:
			v.wrong(t, "%s without %s, which is mandatory", cdc, row.Name)
		case row.FC == 0:
			if sub := v.templates["DOType"][c.attr("type")]; c.name != "SDO" || sub != nil && sub.attr("cdc") != row.Type {
				v.wrong(c, "%s has %s as data object of class %s", cdc, row.Name, row.Type)
			}
		case c.name != "DA" && row.Array: // as some editions of the standard have it
			v.warn(c, "%s has %s as array of %s", cdc, row.Name, row.Type)
		case c.name != "DA":
			v.wrong(c, "%s has %s as attribute", cdc, row.Name)
		default:
			v.row(cdc, row, c)
		}
	}
	v.control(t, members)
}

func (v *validator) row(cdc string, row iec61850.ClassRow, c *element) {
	settings := func(fc string) bool { return fc == "SP" || fc == "SG" || fc == "SE" }
	if fc := c.attr("fc"); fc != row.FC.String() && !(settings(fc) && settings(row.FC.String())) {
		v.wrong(c, "%s has %s with constraint %v, not %s", cdc, row.Name, row.FC, fc)
	}
	want := row.Type
	if _, basic := iec61850.BasicType(want); !basic {
		want = "Struct"
	}
	have := c.attr("bType")
	switch {
	case have == want:
	case row.Name == "stVal" && have == "Enum" && want == "INT32", want == "INT64" && have == "INT128", // as Edition 1 has them
		strings.HasPrefix(want, "VisString") && strings.HasPrefix(have, "VisString"), strings.HasPrefix(want, "INT") && strings.HasPrefix(have, "INT"):
		v.warn(c, "%s has %s as %s, not %s", cdc, row.Name, want, have)
	default:
		v.wrong(c, "%s has %s as %s, not %s", cdc, row.Name, want, have)
	}
	if row.Array && c.attr("count") == "" {
		v.wrong(c, "%s has %s as array", cdc, row.Name)
	}
}

// control checks that what can be operated has what it is operated with.
func (v *validator) control(t *element, members map[string]*element) {
	selects := members["SBO"] != nil || members["SBOw"] != nil
	if selects && members["Oper"] == nil {
		v.wrong(t, "can be selected, but not operated: Oper %v", ErrMissing)
	}
	for _, name := range []string{"SBO", "SBOw", "Oper", "Cancel"} {
		if m := members[name]; m != nil && m.attr("fc") != "CO" {
			v.wrong(m, "constraint CO wanted, not %s", m.attr("fc"))
		}
	}
	if members["Oper"] != nil && members["ctlModel"] == nil {
		v.wrong(t, "Oper without ctlModel")
	}
}

// servers makes the models of all servers and checks what each must have.
func (v *validator) servers(root *element) {
	names := map[string]bool{}
	_ = root.each("IED", func(ied *element) error {
		if names[ied.attr("name")] {
			v.wrong(ied, "name %v", ErrTwice)
		}
		names[ied.attr("name")] = true
		points := map[string]bool{}
		return ied.each("AccessPoint", func(ap *element) error {
			if points[ap.attr("name")] {
				v.wrong(ap, "name %v", ErrTwice)
			}
			points[ap.attr("name")] = true
			if ap.child("Server") == nil {
				return nil
			}
			p := &parser{root: root, templates: v.templates, all: true}
			_, err := p.file(ied, ap)
			v.findings = append(v.findings, p.findings...)
			var pe *ParseError
			if errors.As(err, &pe) {
				v.findings = append(v.findings, Finding{pe.Line, pe.Field, pe.Err.Error(), false})
				return nil
			}
			v.devices(ap.child("Server"), p)
			return nil
		})
	})
	_ = root.child("Communication").each("SubNetwork", func(s *element) error {
		return s.each("ConnectedAP", func(c *element) error {
			if !names[c.attr("iedName")] {
				v.warn(c, "IED %q: %v", c.attr("iedName"), ErrUnknown)
			}
			return nil
		})
	})
}

// mandatory are the data objects that nodes of a class must have.
var mandatory = map[string][]string{"LLN0": {"Mod", "Beh", "NamPlt"}, "LPHD": {"PhyNam", "PhyHealth", "Proxy"}}

// devices checks what a server, of which p made the model, must have.
func (v *validator) devices(server *element, p *parser) {
	physical := false
	_ = server.each("LDevice", func(e *element) error {
		if n := len(p.model.IED) + len(e.attr("inst")); e.attr("ldName") == "" && n > 64 {
			v.wrong(e, "name of the device, IED and inst, of %d characters: at most 64", n)
		}
		if ln0 := e.child("LN0"); ln0 != nil && (ln0.attr("lnClass") != "LLN0" || ln0.attr("inst") != "") {
			v.wrong(ln0, "lnClass LLN0 and inst \"\" wanted")
		}
		d := p.devices[e.attr("inst")]
		for _, c := range e.children {
			if c.name != "LN0" && c.name != "LN" || d == nil {
				continue
			}
			class := c.attr("lnClass")
			physical = physical || class == "LPHD"
			if n := len(c.attr("prefix") + c.attr("inst")); n > 12 {
				v.warn(c, "prefix and inst of %d characters: at most 12", n)
			}
			if n := d.nodes[nodeName(c, "inst")]; n != nil {
				v.node(c, n)
			}
		}
		return nil
	})
	if !physical {
		v.wrong(server, "no device has an LPHD")
	}
}

func (v *validator) node(e *element, n *iec61850.Node) {
	must := mandatory[n.Class]
	if must == nil {
		must = []string{"Beh"}
	}
	for _, name := range must {
		if n.Object(name) == nil && n.Class != "" {
			v.note(e, name == "Beh", "data object %s %v", []any{name, ErrMissing})
		}
	}
	blocks := map[string]bool{}
	for _, c := range e.children {
		switch c.name {
		case "ReportControl", "LogControl", "GSEControl", "SampledValueControl":
			key := c.name + c.attr("name")
			if blocks[key] {
				v.wrong(c, "name %v", ErrTwice)
			}
			blocks[key] = true
		}
	}
	for _, o := range n.Objects {
		mode, oper := o.Attribute("ctlModel", iec61850.CF), o.Attribute("Oper", iec61850.CO)
		if mode == nil {
			continue
		}
		if i, _ := mode.Get().Int(); i == int64(iec61850.StatusOnly) && oper != nil {
			v.warn(e, "%s can be operated, but its ctlModel is status-only or has no value", o.Name)
		} else if i != int64(iec61850.StatusOnly) && oper == nil {
			v.wrong(e, "%s has ctlModel %d, but no Oper", o.Name, i)
		}
	}
}
