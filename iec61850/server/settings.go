package server

import (
	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

var settingFields = []field{{"NumOfSG", "INT8U"}, {"ActSG", "INT8U"}, {"EditSG", "INT8U"}, {"CnfEdit", "BOOLEAN"}, {"LActTm", "Timestamp"}, {"ResvTms", "INT16U"}}

// settings is a setting group control block with the values of its groups,
// which exist as attributes of the constraints SG and SE. Guarded by s.mu.
type settings struct {
	s         *Server
	reference string
	count     int
	active    int
	edit      int
	editor    *association
	changed   iec61850.Timestamp
	pairs     []settingPair
	groups    []map[*iec61850.Attribute]iec61850.Value // by number less one, keyed by the attribute of SG
}

type settingPair struct{ active, edit *iec61850.Attribute }

func settingBlock(s *Server, d *domain, n *iec61850.Node) *item {
	b := &settings{s: s, reference: d.name + "/" + n.Name + ".SGCB", count: n.Settings.Count, active: max(n.Settings.Active, 1)}
	for _, node := range d.device.Nodes {
		for _, o := range node.Objects {
			b.pair(o)
		}
	}
	for range b.count {
		g := map[*iec61850.Attribute]iec61850.Value{}
		for _, p := range b.pairs {
			g[p.active] = p.active.Get()
		}
		b.groups = append(b.groups, g)
	}
	it := &item{name: "SGCB", path: n.Name + "$SP$SGCB", domain: d, fc: iec61850.SP}
	for i, f := range settingFields {
		t, _ := iec61850.BasicType(f.basic)
		it.children = append(it.children, blockItem(it, f.name, t, b, i))
	}
	return it
}

// pair finds the attributes that have the constraints SG and SE.
func (b *settings) pair(o *iec61850.Object) {
	for _, sub := range o.Objects {
		b.pair(sub)
	}
	for _, a := range o.Attributes {
		if a.FC != iec61850.SG {
			continue
		}
		for _, e := range o.Attributes {
			if e.FC == iec61850.SE && e.Name == a.Name {
				b.pairs = append(b.pairs, settingPair{a, e})
			}
		}
	}
}

func (b *settings) get(i int) iec61850.Value {
	switch settingFields[i].name {
	case "NumOfSG":
		return iec61850.Uint(uint64(b.count))
	case "ActSG":
		return iec61850.Uint(uint64(b.active))
	case "EditSG":
		return iec61850.Uint(uint64(b.edit))
	case "CnfEdit":
		return iec61850.Bool(false)
	case "LActTm":
		return b.changed.Value()
	}
	return iec61850.Uint(0)
}

// set changes the active group or begins and ends the editing of one. What it
// does to the model is done after the locks were released.
func (b *settings) set(a *association, i int, v iec61850.Value) error {
	name := settingFields[i].name
	if b.s.cfg.Write == nil {
		return mms.ObjectAccessDenied
	}
	n, _ := v.Uint()
	switch {
	case name == "ActSG" || name == "EditSG":
		if n > uint64(b.count) || n == 0 && name == "ActSG" {
			return mms.ObjectValueInvalid
		}
	case name != "CnfEdit" || !v.Bool() || b.edit == 0:
		return mms.ObjectAccessDenied
	}
	if name != "ActSG" && b.editor != nil && b.editor != a && b.editor.ctx.Err() == nil {
		return mms.TemporarilyUnavailable
	}
	if err := b.s.cfg.Write(b.reference+"."+name, nil, v); err != nil {
		return err
	}
	switch name {
	case "ActSG":
		b.active, b.changed = int(n), iec61850.NewTimestamp(b.s.cfg.Now(), 10)
		b.load(b.active, func(p settingPair) *iec61850.Attribute { return p.active })
	case "EditSG":
		b.edit, b.editor = int(n), a
		if n == 0 {
			b.editor = nil
			return nil
		}
		b.load(b.edit, func(p settingPair) *iec61850.Attribute { return p.edit })
	case "CnfEdit":
		for _, p := range b.pairs {
			b.groups[b.edit-1][p.active] = p.edit.Get()
		}
		if b.edit == b.active {
			b.load(b.active, func(p settingPair) *iec61850.Attribute { return p.active })
		}
		b.edit, b.editor = 0, nil
	}
	return nil
}

// load has the model take the values of a group.
func (b *settings) load(group int, to func(settingPair) *iec61850.Attribute) {
	values := make([]iec61850.Value, len(b.pairs))
	for i, p := range b.pairs {
		values[i] = b.groups[group-1][p.active]
	}
	b.s.later = append(b.s.later, func(u *iec61850.Update) error {
		for i, p := range b.pairs {
			if err := u.Set(to(p), values[i]); err != nil {
				return err
			}
		}
		return nil
	})
}
