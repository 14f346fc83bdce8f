package server

import (
	"fmt"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

// Publisher sends the messages of GOOSE control blocks.
type Publisher interface {
	// Enabled reports whether the messages of a block are sent. It is called with
	// the model locked.
	Enabled(g *iec61850.GOOSE) bool
	// Enable has them sent, or no longer, because a client wants so. It returns
	// nil, or an [mms.AccessError].
	Enable(g *iec61850.GOOSE, on bool) error
}

// The members of a GOOSE control block in the order of IEC 61850-8-1, and behind
// them those of DstAddress.
var gooseFields = []field{{"GoEna", "BOOLEAN"}, {"GoID", "VisString129"}, {"DatSet", "ObjRef"}, {"ConfRev", "INT32U"}, {"NdsCom", "BOOLEAN"},
	{"DstAddress", "PhyComAddr"}, {"MinTime", "INT32U"}, {"MaxTime", "INT32U"}, {"FixedOffs", "BOOLEAN"}}

// gooseBlock is a GOOSE control block. It does not change; what of it does is the publisher's.
type gooseBlock struct {
	s       *Server
	domain  *domain
	def     *iec61850.GOOSE
	dataSet string // LLN0$name, "" where there is none
}

func (s *Server) addGOOSE(d *domain, n *iec61850.Node, def *iec61850.GOOSE) *node {
	g := &gooseBlock{s: s, domain: d, def: def}
	if def.DataSet != "" {
		g.dataSet = n.Name + "$" + def.DataSet
	}
	s.goose = append(s.goose, g)
	it := &node{name: def.Name, path: n.Name + "$GO$" + def.Name, fc: iec61850.GO}
	it.addFields(g, gooseFields)
	for _, field := range it.children {
		for i, m := range field.typ.Members { // of DstAddress
			field.children = append(field.children, blockNode(field, m.Name, m.Type, g, len(gooseFields)+i))
		}
	}
	return it
}

// open checks that the data set is there.
func (g *gooseBlock) open() error {
	if g.dataSet != "" && g.domain.lists[g.dataSet] == nil {
		return fmt.Errorf("server: GOOSE %s of %s: data set %s: %w", g.def.Name, g.domain.name, g.dataSet, iec61850.ErrNotFound)
	}
	return nil
}

func (*gooseBlock) members() []field { return gooseFields }

func (*gooseBlock) tracked(int) (object string, what service) { return "GocbTrk", setGOOSE }

func (g *gooseBlock) get(i int) iec61850.Value {
	if i >= len(gooseFields) {
		return g.address().At(i - len(gooseFields))
	}
	switch gooseFields[i].name {
	case "GoEna":
		return iec61850.Bool(g.s.cfg.GOOSE != nil && g.s.cfg.GOOSE.Enabled(g.def))
	case "GoID":
		return iec61850.Visible(g.def.ID)
	case "DatSet":
		return g.domain.listName(g.dataSet)
	case "ConfRev":
		return iec61850.Uint(uint64(g.def.ConfRev))
	case "NdsCom":
		return iec61850.Bool(g.dataSet == "")
	case "DstAddress":
		return g.address()
	case "MinTime":
		return iec61850.Uint(uint64(g.def.Address.MinTime))
	case "MaxTime":
		return iec61850.Uint(uint64(g.def.Address.MaxTime))
	}
	return iec61850.Bool(g.def.FixedOffsets)
}

func (g *gooseBlock) address() iec61850.Value {
	a := g.def.Address
	return iec61850.Struct(iec61850.Octets(a.MAC[:]), iec61850.Uint(uint64(a.Priority)), iec61850.Uint(uint64(a.VLAN)), iec61850.Uint(uint64(a.AppID)))
}

// decide has the publisher turn the block on and off; nothing else of it can be set.
func (g *gooseBlock) decide(_ *association, i int, v iec61850.Value) error {
	if i >= len(gooseFields) || gooseFields[i].name != "GoEna" || g.s.cfg.GOOSE == nil {
		return mms.ObjectAccessDenied
	}
	if v.Bool() && g.dataSet == "" {
		return mms.ObjectValueInvalid
	}
	return g.s.cfg.GOOSE.Enable(g.def, v.Bool())
}

func (*gooseBlock) set(*association, int, iec61850.Value) error { return nil }
