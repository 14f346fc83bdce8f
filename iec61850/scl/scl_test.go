package scl

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
)

func object(t testing.TB, name, cdc string, optional ...string) *iec61850.Object {
	t.Helper()
	o, err := iec61850.NewObject(name, cdc, optional...)
	require.NoError(t, err)
	return o
}

func set(t testing.TB, m *iec61850.Model, reference string, v iec61850.Value) {
	t.Helper()
	a, err := m.Attribute(reference, 0)
	require.NoError(t, err)
	require.NoError(t, a.Init(v), reference)
}

// model has something of everything that a file can say.
func model(t testing.TB) *iec61850.Model {
	t.Helper()
	switched := object(t, "Pos", "DPC", "sboTimeout", "d")
	require.NoError(t, switched.AddControl(iec61850.SelectEnhanced))
	limit := object(t, "WLim", "APC", "units")
	require.NoError(t, limit.AddControl(iec61850.DirectNormal))
	own := object(t, "Own", "ENS")
	own.Attribute("stVal", 0).Enum = "Colours"
	setting, err := iec61850.NewAttribute("setVal", iec61850.SG, "INT32", iec61850.DataChange)
	require.NoError(t, err)
	edited, err := iec61850.NewAttribute("setVal", iec61850.SE, "INT32", iec61850.DataChange)
	require.NoError(t, err)
	m := &iec61850.Model{IED: "METER", Vendor: "Würth & Söhne", Type: "X<1>", Revision: "1.0",
		Enums: []iec61850.Enumeration{{Name: "Colours", Values: []iec61850.EnumValue{{Ord: 1, Name: "red"}, {Ord: 9, Name: "blue & white"}}}},
		Devices: []*iec61850.Device{{Inst: "MTR", Nodes: []*iec61850.Node{
			{Name: "LLN0", Class: "LLN0", Objects: []*iec61850.Object{object(t, "Mod", "ENC"), object(t, "Beh", "ENS"), object(t, "NamPlt", "LPL", "configRev", "ldNs")},
				DataSets: []*iec61850.DataSet{
					{Name: "Measured", Members: []iec61850.Ref{
						{Device: "METERMTR", Item: "MMXU1$MX$TotW"}, {Device: "METERMTR", Item: "MMXU1$MX$PhV$phsB$cVal$mag$f"},
						{Device: "METERMTR", Item: "LoadMHAI2$MX$HPhV$phsAHar(3)$mag$f"}, {Device: "GAS", Item: "GGIO1$ST$Own"}, {Device: "METERMTR", Item: "MMXU1$MX"},
					}},
				},
				Reports: []*iec61850.Report{
					{Name: "urcb", ID: "id", DataSet: "Measured", ConfRev: 7, Options: iec61850.SequenceNumber | iec61850.BufferOverflow,
						Triggers: iec61850.DataChange | iec61850.Integrity, BufTime: 50, Integrity: 1000, Instances: 4},
					{Name: "brcb", DataSet: "Measured", Buffered: true, ConfRev: 1, Options: iec61850.EntryID, Triggers: iec61850.QualityChange},
				},
				Logs:     []*iec61850.Log{{Name: "log", Journal: "Events", DataSet: "Measured", Enabled: true, Triggers: iec61850.DataUpdate, Integrity: 60000}},
				GOOSE:    []*iec61850.GOOSE{{Name: "gcb", ID: "events", DataSet: "Measured", ConfRev: 3, Address: iec61850.Multicast{MAC: [6]byte{1, 0xC, 0xCD, 1, 0, 9}, AppID: 0x1001, VLAN: 0xA, Priority: 4, MinTime: 4, MaxTime: 1000}}},
				Settings: &iec61850.SettingGroups{Count: 4, Active: 2}},
			{Name: "LPHD1", Class: "LPHD", Objects: []*iec61850.Object{object(t, "PhyNam", "DPL", "serNum"), object(t, "PhyHealth", "ENS"), object(t, "Proxy", "SPS")}},
			{Name: "MMXU1", Class: "MMXU", Objects: []*iec61850.Object{object(t, "TotW", "MV", "units", "db", "d"), object(t, "PhV", "WYE", "phsA", "phsB", "units", "range")}},
			{Name: "MMTR1", Class: "MMTR", Objects: []*iec61850.Object{object(t, "DmdWh", "BCR", "units", "frVal", "frTm", "strTm")}},
			{Name: "LoadMHAI2", Class: "MHAI", Objects: []*iec61850.Object{object(t, "HPhV", "HWYE", "phsBHar", "units"), object(t, "Spectrum", "HMV")}},
			{Name: "XCBR1", Class: "XCBR", Objects: []*iec61850.Object{switched, limit}},
			{Name: "PTOC1", Class: "PTOC", Objects: []*iec61850.Object{{Name: "Set", CDC: "ING", Attributes: []*iec61850.Attribute{setting, edited}}}},
		}}, {Inst: "AUX", Name: "GAS", Nodes: []*iec61850.Node{
			{Name: "LLN0", Class: "LLN0", Objects: []*iec61850.Object{object(t, "Mod", "ENC"), object(t, "Beh", "ENS"), object(t, "NamPlt", "LPL")}},
			{Name: "GGIO1", Class: "GGIO", Objects: []*iec61850.Object{own, object(t, "Str1", "VSS", "d", "dU")}},
		}}}}
	require.NoError(t, edited.Init(iec61850.Int(-7)))
	for _, o := range m.Devices[0].Nodes[0].Objects[:2] {
		require.NoError(t, o.Attribute("stVal", 0).Init(iec61850.Int(1)))
	}
	for reference, v := range map[string]iec61850.Value{
		"METERMTR/MMXU1.TotW.units.SIUnit":         iec61850.Int(38),
		"METERMTR/MMXU1.TotW.units.multiplier":     iec61850.Int(3),
		"METERMTR/MMXU1.TotW.mag.f":                iec61850.Float32(0.1),
		"METERMTR/MMXU1.TotW.db":                   iec61850.Uint(1 << 31),
		"METERMTR/MMXU1.PhV.phsB.units.SIUnit":     iec61850.Int(29),
		"METERMTR/MMTR1.DmdWh.actVal":              iec61850.Int(1<<63 - 1),
		"METERMTR/MMTR1.DmdWh.frVal":               iec61850.Int(-5),
		"METERMTR/MMTR1.DmdWh.pulsQty":             iec61850.Float32(1e-3),
		"METERMTR/MMTR1.DmdWh.strTm":               iec61850.NewTimestamp(time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC), 0).Value(),
		"METERMTR/XCBR1.Pos.stVal":                 iec61850.Bits(2, 2),
		"METERMTR/XCBR1.Pos.sboTimeout":            iec61850.Uint(30000),
		"METERMTR/XCBR1.Pos.d":                     iec61850.Visible(` 0-0:96.3.10*255 <&"'> `),
		"METERMTR/XCBR1.Pos.Oper.origin.orIdent":   iec61850.Octets([]byte{0, 1, 255}),
		"METERMTR/PTOC1.Set.setVal":                iec61850.Int(-7),
		"GAS/GGIO1.Own.stVal":                      iec61850.Int(9),
		"GAS/GGIO1.Str1.dU":                        iec61850.UTF8("Zähler №"),
		"GAS/GGIO1.Str1.stVal":                     iec61850.Visible("on"),
		"METERMTR/LPHD1.PhyNam.serNum":             iec61850.Visible("12345678"),
		"METERMTR/LPHD1.Proxy.stVal":               iec61850.Bool(true),
		"METERMTR/LoadMHAI2.HPhV.numHar":           iec61850.Uint(41),
		"METERMTR/LoadMHAI2.HPhV.frequency":        iec61850.Float32(50),
		"METERMTR/LLN0.NamPlt.configRev":           iec61850.Visible("A"),
		"METERMTR/MMXU1.PhV.phsA.units.SIUnit":     iec61850.Int(29),
		"METERMTR/MMXU1.PhV.phsB.cVal.mag.f":       iec61850.Float32(230.25),
		"METERMTR/MMXU1.PhV.phsA.units.multiplier": iec61850.Int(-3),
		"METERMTR/LPHD1.PhyHealth.stVal":           iec61850.Int(1),
		"METERMTR/MMXU1.PhV.phsA.range":            iec61850.Int(4),
		"METERMTR/XCBR1.WLim.units.SIUnit":         iec61850.Int(38),
		"METERMTR/LLN0.NamPlt.ldNs":                iec61850.Visible("IEC 61850-7-4:2007"),
		"METERMTR/MMXU1.PhV.phsB.units.multiplier": iec61850.Int(-24),
		"METERMTR/XCBR1.WLim.mxVal.f":              iec61850.Float32(-1.5),
		"METERMTR/LLN0.NamPlt.d":                   iec61850.Visible("x"),
		"METERMTR/XCBR1.Pos.SBOw.origin.orIdent":   iec61850.Octets([]byte("me")),
		"METERMTR/XCBR1.Pos.Cancel.origin.orCat":   iec61850.Int(3),
		"METERMTR/XCBR1.Pos.Oper.Check":            iec61850.Bits(3, 2),
		"METERMTR/XCBR1.WLim.Oper.ctlVal.f":        iec61850.Float32(1e9),
		"METERMTR/XCBR1.Pos.Oper.T":                iec61850.NewTimestamp(time.Date(2030, 1, 1, 0, 0, 0, 1, time.UTC), 0).Value(),
	} {
		set(t, m, reference, v)
	}
	har := m.Devices[0].Nodes[4].Objects[0].Attribute("phsAHar", 0)
	elements := make([]iec61850.Value, har.Count)
	for i := range elements {
		elements[i] = har.Type().Element.Zero()
	}
	elements[3] = iec61850.Struct(iec61850.Struct(iec61850.Float32(1.25)), iec61850.Struct(iec61850.Float32(0)))
	elements[40] = iec61850.Struct(iec61850.Struct(iec61850.Float32(0)), iec61850.Struct(iec61850.Float32(-90)))
	require.NoError(t, har.Init(iec61850.ArrayOf(elements...)))
	return m
}

func file(t testing.TB) *File {
	a := MMSAddress("127.0.0.1", "255.0.0.0")
	a.AccessPoint, a.SubNetwork = "AP1", "Subnet1"
	return &File{ID: "f", Version: "2", Revision: "b", Model: model(t), Address: a, Values: true}
}

func text(t testing.TB, f *File) []byte {
	t.Helper()
	b, err := f.AppendText(nil)
	require.NoError(t, err)
	return b
}

// requireEqual compares all of two models, names and types and values, in their order.
func requireEqual(t testing.TB, want, have *iec61850.Model) {
	t.Helper()
	require.Equal(t, describe(want), describe(have))
}

// describe writes a model as text.
func describe(m *iec61850.Model) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q %q %v\n", m.IED, m.Vendor, m.Type, m.Revision, m.Enums)
	var attribute func(indent string, a *iec61850.Attribute)
	attribute = func(indent string, a *iec61850.Attribute) {
		fmt.Fprintf(&b, "%s%s %v %s %s %d %d %v %d", indent, a.Name, a.FC, a.Basic, a.Enum, a.Trigger, a.Count, a.Type().Kind, a.Type().Size)
		if a.Leaf() {
			fmt.Fprintf(&b, " = %v", a.Get())
		}
		b.WriteString("\n")
		for _, sub := range a.Attributes {
			attribute(indent+" ", sub)
		}
	}
	var object func(indent string, o *iec61850.Object)
	object = func(indent string, o *iec61850.Object) {
		fmt.Fprintf(&b, "%s%s %s\n", indent, o.Name, o.CDC)
		for _, sub := range o.Objects {
			object(indent+" ", sub)
		}
		for _, a := range o.Attributes {
			attribute(indent+" ", a)
		}
	}
	for _, d := range m.Devices {
		fmt.Fprintf(&b, "%s %s\n", d.Inst, d.Name)
		for _, n := range d.Nodes {
			fmt.Fprintf(&b, " %s %s %v\n", n.Name, n.Class, n.Settings)
			for _, s := range n.DataSets {
				fmt.Fprintf(&b, "  %v\n", *s)
			}
			for _, r := range n.Reports {
				fmt.Fprintf(&b, "  %+v\n", *r)
			}
			for _, l := range n.Logs {
				fmt.Fprintf(&b, "  %+v\n", *l)
			}
			for _, g := range n.GOOSE {
				fmt.Fprintf(&b, "  %+v\n", *g)
			}
			for _, o := range n.Objects {
				object("  ", o)
			}
		}
	}
	return b.String()
}

func TestRoundTrip(t *testing.T) {
	f := file(t)
	b := text(t, f)
	back, err := Parse(b, nil)
	require.NoError(t, err)
	require.Empty(t, back.Warnings)
	requireEqual(t, f.Model, back.Model)
	require.Equal(t, f.Address, back.Address)
	require.Equal(t, []string{f.ID, f.Version, f.Revision}, []string{back.ID, back.Version, back.Revision})
	back.Values = true
	require.Equal(t, string(b), string(text(t, back)))
	for _, finding := range Validate(b) {
		require.True(t, finding.Warning, "%v", finding)
	}
}

// Any model of our objects comes back as it was.
func TestRoundTripOfAny(t *testing.T) {
	var classes []string
	for _, cdc := range strings.Fields("SPS DPS INS ENS VSS ACT ACD BCR MV CMV SAV WYE DEL SEQ HMV HWYE HDEL SPC DPC INC ENC APC SPG ING ENG ASG VSG DPL LPL") {
		require.True(t, iec61850.Class(cdc), cdc)
		classes = append(classes, cdc)
	}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 6))
		m := &iec61850.Model{IED: "I", Devices: []*iec61850.Device{{Inst: "D"}}}
		for i := range 1 + r.IntN(5) {
			n := &iec61850.Node{Name: "LLN0", Class: "LLN0"}
			if i > 0 {
				n = &iec61850.Node{Name: fmt.Sprintf("P%dGGIO%d", r.IntN(3), i), Class: "GGIO"}
			}
			for j := range r.IntN(6) {
				cdc := classes[r.IntN(len(classes))]
				var optional []string
				for _, name := range strings.Fields("phsA phsB phsAB neut phsBHar units d dU dataNs range origin subEna subVal frVal frTm db rangeC sVC minVal sboTimeout vendor paramRev") {
					if r.IntN(3) == 0 {
						optional = append(optional, name)
					}
				}
				o := object(t, fmt.Sprintf("Obj%d", j), cdc, optional...)
				if cdc[len(cdc)-1] == 'C' && r.IntN(2) == 0 && len(cdc) == 3 {
					if o.AddControl(iec61850.ControlModel(r.IntN(5))) != nil {
						require.Contains(t, []string{"ACD", "ACT"}, cdc)
					}
				}
				randomise(r, o)
				n.Objects = append(n.Objects, o)
			}
			m.Devices[0].Nodes = append(m.Devices[0].Nodes, n)
		}
		f := &File{Model: m, Values: true}
		b := text(t, f)
		back, err := Parse(b, nil)
		require.NoError(t, err, "%d: %s", seed, b)
		require.Empty(t, back.Warnings)
		requireEqual(t, m, back.Model)
	}
}

// randomise gives the attributes of an object values that a file can carry, and enumerations to those without.
func randomise(r *rand.Rand, o *iec61850.Object) {
	for _, sub := range o.Objects {
		randomise(r, sub)
	}
	for _, a := range o.Attributes {
		randomiseAttribute(r, a)
	}
}

func randomiseAttribute(r *rand.Rand, a *iec61850.Attribute) {
	if a.Basic == "Enum" && a.Enum == "" {
		a.Enum = "Beh"
	}
	for _, m := range a.Attributes {
		if a.Count == 0 { // those of an array only say what its elements are like
			randomiseAttribute(r, m)
		}
	}
	process := (a.FC == iec61850.ST || a.FC == iec61850.MX) && (a.Basic == "Quality" || a.Basic == "Timestamp")
	if a.Leaf() && !process && r.IntN(2) == 0 {
		_ = a.Init(randomValue(r, a.Type())) // where it fits
	}
}

func randomValue(r *rand.Rand, t iec61850.Type) iec61850.Value {
	switch t.Kind {
	case iec61850.Structure:
		var list []iec61850.Value
		for _, m := range t.Members {
			list = append(list, randomValue(r, m.Type))
		}
		return iec61850.Struct(list...)
	case iec61850.Array:
		list := make([]iec61850.Value, t.Count)
		for i := range list {
			list[i] = t.Element.Zero()
		}
		list[r.IntN(t.Count)] = randomValue(r, *t.Element)
		return iec61850.ArrayOf(list...)
	case iec61850.Boolean:
		return iec61850.Bool(r.IntN(2) == 1)
	case iec61850.Integer:
		return iec61850.Int(r.Int64() >> (65 - t.Size) * (1 - 2*r.Int64N(2)))
	case iec61850.Unsigned:
		return iec61850.Uint(r.Uint64() >> (64 - t.Size))
	case iec61850.Float:
		return iec61850.Float32(float32(r.NormFloat64()))
	case iec61850.BitString:
		return iec61850.Bits(r.Uint64(), uint8(max(t.Size, -t.Size)))
	case iec61850.OctetString:
		return iec61850.Octets([]byte{byte(r.IntN(256)), byte(r.IntN(256))})
	case iec61850.UTCTime:
		return iec61850.Timestamp{Seconds: r.Uint32(), Fraction: r.Uint32() >> 8}.Value()
	case iec61850.UTF8String:
		return iec61850.UTF8(" <é&\"'>]]> ")
	}
	return iec61850.Visible(" <&\"'> ")
}

// An object that has a time was set by the process: its values are no part of what a device can do.
func TestValuesOfTheProcess(t *testing.T) {
	f := file(t)
	f.Values = false
	at := iec61850.NewTimestamp(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 0)
	set(t, f.Model, "METERMTR/MMTR1.DmdWh.t", at.Value())
	back, err := Parse(text(t, f), nil)
	require.NoError(t, err)
	for reference, want := range map[string]string{"MMTR1.DmdWh.actVal": "0", "MMTR1.DmdWh.pulsQty": "0.001", "LLN0.Mod.stVal": "1"} {
		a, err := back.Model.Attribute("METERMTR/"+reference, 0)
		require.NoError(t, err)
		require.Equal(t, want, a.Get().String(), reference)
	}
}

// Types with the same content are written once.
func TestTypesAreShared(t *testing.T) {
	b := text(t, file(t))
	require.Equal(t, 1, bytes.Count(b, []byte(`<DAType id="AnalogueValue">`)))
	require.Equal(t, 1, bytes.Count(b, []byte(`<DOType id="CMV`)), "phases A and B")
	require.Equal(t, 2, bytes.Count(b, []byte(`<LNodeType id="LLN0_`)), "the name plates differ")
}

func TestAppendTextRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*iec61850.Model)
		want   string
	}{
		"no LLN0":           {func(m *iec61850.Model) { m.Devices[0].Nodes = m.Devices[0].Nodes[1:] }, "LLN0"},
		"node without name": {func(m *iec61850.Model) { m.Devices[0].Nodes[6].Name = "M1" }, "no name of prefix"},
		"unknown enum":      {func(m *iec61850.Model) { m.Enums = nil }, "Colours"},
		"unknown member":    {func(m *iec61850.Model) { m.Devices[0].Nodes[0].DataSets[0].Members[0].Device = "X" }, "no such data"},
		"control character": {func(m *iec61850.Model) { m.Vendor = "a\x01" }, "XML"},
		"attribute twice": {func(m *iec61850.Model) {
			o := m.Devices[0].Nodes[2].Objects[0]
			o.Attributes = append(o.Attributes, o.Attributes[0])
		}, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			f := file(t)
			test.change(f.Model)
			b, err := f.AppendText([]byte("x"))
			require.ErrorContains(t, err, test.want)
			require.Equal(t, "x", string(b))
		})
	}
}

// What vendors' files look like: Edition 1, other namespaces, private parts, defaults left out, spellings of values.
func TestVendorFile(t *testing.T) {
	b, err := os.ReadFile("testdata/vendor.scd")
	require.NoError(t, err)
	_, err = Parse(b, nil)
	require.ErrorIs(t, err, ErrSeveral)
	f, err := Parse(b, &Options{IED: "Feeder1"})
	require.NoError(t, err)
	require.Equal(t, "10.0.0.5", f.Address.Get("IP"))
	node := f.Model.Devices[0].Nodes[0]
	require.Equal(t, 2, len(f.Model.Devices[0].Nodes))
	for reference, want := range map[string]string{
		"Feeder1LD0/LLN0.Mod.ctlModel":      "4", // from DOI
		"Feeder1LD0/LLN0.Mod.stVal":         "2", // default of the type
		"Feeder1LD0/Q1XCBR2.Pos.stVal":      "10",
		"Feeder1LD0/Q1XCBR2.BlkOpn.d":       `"blocking"`,
		"Feeder1LD0/Q1XCBR2.Har.har":        "[{{0}}, {{2.5}}, {{0}}]",
		"Feeder1LD0/Q1XCBR2.Set.setVal":     "5",
		"Feeder1LD0/Q1XCBR2.Wye.phsAHar":    "[{{0}, 0000000000000}, {{7.5}, 0000000000000}]", // an array of data objects, by constraint
		"Feeder1LD0/Q1XCBR2.Pos.sboTimeout": "0",                                              // "soon" is no number
	} {
		a, err := f.Model.Attribute(reference, 0)
		require.NoError(t, err, reference)
		require.Equal(t, want, a.Get().String(), reference)
	}
	require.Equal(t, []iec61850.Ref{
		{Device: "Feeder1LD0", Item: "Q1XCBR2$ST$Pos"}, {Device: "Feeder1LD0", Item: "Q1XCBR2$MX$Har$har(1)$mag"}, {Device: "Feeder1LD0", Item: "LLN0$ST$Mod$stVal"},
		{Device: "Feeder1LD0", Item: "Q1XCBR2$MX$Wye$phsAHar(1)$mag$f"}, {Device: "Feeder1LD0", Item: "Q1XCBR2$MX$Wye$phsAHar(0)"},
	}, node.DataSets[0].Members)
	require.Equal(t, iec61850.Report{Name: "rcb", DataSet: "ds", ConfRev: 1, Triggers: iec61850.DataChange | iec61850.GeneralInterrogation,
		Options: iec61850.BufferOverflow | iec61850.SequenceNumber, Instances: 1}, *node.Reports[0])
	require.Equal(t, 0, node.Reports[1].Instances, "not indexed")
	a, err := f.Model.Attribute("Feeder1LD0/Q1XCBR2.Wye.phsAHar", iec61850.CF)
	require.NoError(t, err)
	require.Equal(t, "[{0}, {9}]", a.Get().String())
	require.Len(t, f.Warnings, 4, "%v", f.Warnings)
	for _, w := range f.Warnings {
		require.True(t, w.Warning)
	}
	for text, found := range map[string]bool{"CSWI": false, "Feeder1LD0": false, "soon": false} {
		for _, v := range Validate(b) {
			found = found || strings.Contains(v.Text, text)
		}
		require.True(t, found, text)
	}
}

func TestParseRefuses(t *testing.T) {
	whole := string(text(t, file(t)))
	for name, test := range map[string]struct {
		old, new string
		want     error
		field    string
	}{
		"not SCL":              {"<SCL ", "<SCS ", nil, "SCS"},
		"another namespace":    {Namespace, "http://example.com/", nil, "SCL"},
		"no server":            {"Server>", "Client>", ErrMissing, "IED"},
		"device twice":         {`inst="AUX"`, `inst="MTR"`, ErrTwice, "LDevice[MTR]"},
		"node twice":           {`lnClass="LPHD" inst="1"`, `lnClass="MMXU" inst="1"`, nil, "LN[MMXU1]"},
		"unknown lnType":       {`lnType="MMXU_1"`, `lnType="none"`, ErrUnknown, "LN[MMXU1]"},
		"unknown DOType":       {`type="BCR_1"`, `type="none"`, ErrUnknown, "DO[DmdWh]"},
		"unknown DAType":       {`type="AnalogueValue"`, `type="none"`, ErrUnknown, "DA[mag]"},
		"DAType in itself":     {`<BDA name="f" bType="FLOAT32"`, `<BDA name="f" bType="Struct" type="AnalogueValue"`, ErrTooLarge, "BDA[f]"},
		"unknown EnumType":     {`bType="Enum" type="Colours"`, `bType="Enum" type="none"`, ErrUnknown, "DA[stVal]"},
		"array of arrays":      {`<BDA name="mag" bType="Struct"`, `<BDA name="mag" count="2" bType="Struct"`, nil, "DA[phsAHar]"},
		"unknown bType":        {`bType="INT64"`, `bType="INT65"`, ErrUnknown, "DA[actVal]"},
		"unknown fc":           {`fc="CF"`, `fc="CC"`, ErrUnknown, "DA[ctlModel]"},
		"count":                {`count="41"`, `count="5000"`, nil, "DA[phsAHar]"},
		"unknown DOI":          {`<DOI name="TotW"`, `<DOI name="TotV"`, ErrUnknown, "DOI[TotV]"},
		"unknown DAI":          {`<DAI name="db"`, `<DAI name="dc"`, ErrUnknown, "DAI[dc]"},
		"ix":                   {`<SDI name="phsAHar" ix="40"`, `<SDI name="phsAHar" ix="41"`, nil, "SDI[phsAHar]"},
		"unknown data set":     {`datSet="Measured" intgPd="1000"`, `datSet="none" intgPd="1000"`, ErrUnknown, "ReportControl[urcb]"},
		"FCDA of no device":    {`<FCDA ldInst="AUX"`, `<FCDA ldInst="AUY"`, ErrUnknown, "FCDA[AUY/GGIO1.Own]"},
		"FCDA of no attribute": {`daName="cVal.mag.f" fc="MX"`, `daName="cVal.mag.g" fc="MX"`, ErrUnknown, "FCDA[MTR/MMXU1.PhV.phsB]"},
		"FCDA beyond an array": {`ix="3"/>`, `ix="41"/>`, nil, "FCDA[MTR/LoadMHAI2.HPhV]"},
		"confRev":              {`confRev="7"`, `confRev="seven"`, nil, "ReportControl[urcb]"},
		"setting groups":       {`numOfSGs="4"`, `numOfSGs="1"`, nil, "SettingControl"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, whole, test.old)
			changed := strings.ReplaceAll(whole, test.old, test.new)
			_, err := Parse([]byte(changed), nil)
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
			}
			require.True(t, strings.HasSuffix(pe.Field, test.field), pe.Field)
			require.Positive(t, pe.Line)
			require.Equal(t, pe.Line, 1+strings.Count(changed[:pe.Offset], "\n"), "offset and line say the same")
			require.NotEmpty(t, Validate([]byte(changed)))
		})
	}
}

func TestTooShort(t *testing.T) {
	b := text(t, file(t))
	for n := 0; n < len(b)-len("</SCL>\n"); n += 997 {
		_, err := Parse(b[:n], nil)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, n)
	}
}

// A few types that use each other describe more attributes than any device has.
func TestLimits(t *testing.T) {
	var types strings.Builder
	for i := range 30 {
		fmt.Fprintf(&types, `<DOType id="t%d" cdc="X">`, i)
		for j := range 10 {
			fmt.Fprintf(&types, `<SDO name="s%d" type="t%d"/>`, j, i+1)
		}
		types.WriteString(`</DOType>`)
	}
	wide := `<SCL><IED name="I"><AccessPoint name="A"><Server><LDevice inst="L"><LN0 lnClass="LLN0" lnType="n"/></LDevice></Server></AccessPoint></IED>
<DataTypeTemplates><LNodeType id="n" lnClass="LLN0"><DO name="A" type="t0"/></LNodeType>` + types.String() + `<DOType id="t30" cdc="SPS"/></DataTypeTemplates></SCL>`
	for name, b := range map[string]string{
		"wide":   wide,
		"deep":   strings.Repeat("<SCL>", 100),
		"entity": `<!DOCTYPE SCL [<!ENTITY a "aaaa">]><SCL>&a;</SCL>`,
	} {
		_, err := Parse([]byte(b), nil)
		require.Error(t, err, name)
		require.NotEmpty(t, Validate([]byte(b)), name)
	}
}

func TestLatin1(t *testing.T) {
	b := bytes.Replace(text(t, file(t)), []byte(`encoding="UTF-8"`), []byte(`encoding="ISO-8859-1"`), 1)
	b = bytes.Replace(b, []byte("Würth &amp; Söhne"), []byte("W\xFCrth"), 1)
	f, err := Parse(b, nil)
	require.NoError(t, err)
	require.Equal(t, "Würth", f.Model.Vendor)
}

// Each mistake is found, where it is.
func TestValidate(t *testing.T) {
	whole := string(text(t, file(t)))
	for name, test := range map[string]struct{ old, new, path, text string }{
		"attribute missing":   {` toolID=`, ` id2=`, "Header[f]", "attribute id2"},
		"id missing":          {`<Header id="f"`, `<Header`, "SCL/Header", "id missing"},
		"order":               {`</LN0>`, `<DataSet name="late"><FCDA ldInst="MTR" lnClass="LLN0" doName="Mod" fc="ST"/></DataSet></LN0>`, "DataSet[late]", "behind SettingControl"},
		"element":             {`<DataSet `, `<Dataset name="x"/><DataSet `, "Dataset[x]", "not allowed"},
		"id twice":            {`id="HWYE_1"`, `id="BCR_1"`, "DOType[BCR_1]", "there already"},
		"name":                {`name="urcb"`, `name="2urcb"`, "ReportControl[2urcb]", "characters or length"},
		"object name":         {`<DO name="DmdWh"`, `<DO name="dmdWh"`, "DO[dmdWh]", "characters or length"},
		"long class":          {`lnClass="MMTR"`, `lnClass="MMTRX"`, "LN[MMTRX1]", "characters or length"},
		"mandatory attribute": {`<DA name="actVal"`, `<DA name="actVol"`, "DOType[BCR_1]", "without actVal"},
		"constraint":          {`<DA name="pulsQty" bType="FLOAT32" fc="CF"`, `<DA name="pulsQty" bType="FLOAT32" fc="DC"`, "DA[pulsQty]", "constraint CF"},
		"type":                {`<DA name="pulsQty" bType="FLOAT32"`, `<DA name="pulsQty" bType="INT32"`, "DA[pulsQty]", "FLOAT32"},
		"enum value":          {`<Val>blue &amp; white</Val>`, `<Val>green</Val>`, "Val", "green"},
		"number":              {`<Val>30000</Val>`, `<Val>soon</Val>`, "Val", "soon"},
		"no LPHD":             {`lnClass="LPHD"`, `lnClass="LPHE"`, "Server", "LPHD"},
		"no Beh":              {`<DO name="Beh"`, `<DO name="Bek"`, "LN0[LLN0]", "Beh"},
		"unused type":         {`<DAType id="AnalogueValue">`, `<DAType id="More"><BDA name="x" bType="BOOLEAN"/></DAType><DAType id="AnalogueValue">`, "DAType[More]", "nothing uses"},
		"not operable":        {`<Val>sbo-with-enhanced-security</Val>`, `<Val>status-only</Val>`, "LN[XCBR1]", "status-only"},
		"unknown IED":         {`iedName="METER"`, `iedName="METRE"`, "ConnectedAP[METRE AP1]", "METRE"},
		"control block twice": {`name="brcb"`, `name="urcb"`, "ReportControl[urcb]", "there already"},
		"ord twice":           {`<EnumVal ord="9">`, `<EnumVal ord="1">`, "EnumVal[1]", "ord 1"},
		"not well-formed":     {`</IED>`, `</IDE>`, "XML", "IED"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, whole, test.old)
			found := Validate([]byte(strings.ReplaceAll(whole, test.old, test.new)))
			for _, f := range found {
				if strings.HasSuffix(f.Path, test.path) && strings.Contains(f.Text, test.text) {
					require.Contains(t, f.String(), fmt.Sprintf("line %d: ", f.Line))
					return
				}
			}
			t.Fatalf("not found: %v", found)
		})
	}
}

func FuzzParse(f *testing.F) {
	vendor, err := os.ReadFile("testdata/vendor.scd")
	require.NoError(f, err)
	f.Add(vendor)
	small := &File{Model: model(f), Address: MMSAddress("127.0.0.1", "255.0.0.0"), Values: true}
	small.Model.Devices = small.Model.Devices[1:]
	f.Add(text(f, small))
	f.Fuzz(func(t *testing.T, b []byte) {
		Validate(b)
		have, err := Parse(b, nil)
		if err != nil {
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.LessOrEqual(t, pe.Offset, len(b))
			return
		}
		have.Values = true
		again, err := have.AppendText(nil)
		if err != nil {
			return
		}
		back, err := Parse(again, nil)
		require.NoError(t, err, "%s", again)
		third, err := (&File{back.ID, back.Version, back.Revision, back.Model, back.Address, true, nil}).AppendText(nil)
		require.NoError(t, err)
		require.Equal(t, string(again), string(third))
	})
}

func Example() {
	energy, err := iec61850.NewObject("DmdWh", "BCR", "units")
	if err != nil {
		fmt.Println(err)
		return
	}
	m := &iec61850.Model{IED: "METER", Devices: []*iec61850.Device{{Inst: "MTR", Nodes: []*iec61850.Node{
		{Name: "LLN0"}, {Name: "MMTR1", Objects: []*iec61850.Object{energy}},
	}}}}
	b, err := (&File{Model: m}).AppendText(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := Parse(b, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Model.IED, f.Model.Devices[0].Nodes[1].Objects[0].CDC)
	fmt.Println(Validate(b)[0])
	// Output:
	// METER BCR
	// line 19: error: SCL/IED[METER]/AccessPoint[AP1]/Server: no device has an LPHD
}

// The floor is the XML decoder alone.
func BenchmarkParse(b *testing.B) {
	raw := text(b, file(b))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw, nil); err != nil {
			b.Fatal(err)
		}
	}
	parse := b.Elapsed() / time.Duration(b.N)
	b.StopTimer()
	start := time.Now()
	for range b.N {
		d := xml.NewDecoder(bytes.NewReader(raw))
		for {
			if _, err := d.Token(); err != nil {
				if !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
				break
			}
		}
	}
	b.ReportMetric(float64(parse)/float64(time.Since(start)/time.Duration(b.N)), "of_floor")
}

func BenchmarkAppendText(b *testing.B) {
	f := file(b)
	out := text(b, f)
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.AppendText(out[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
