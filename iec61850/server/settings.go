package server

import (
	"time"

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
	editor    *association // that edits, nil where none does
	reserved  uint16       // seconds for which it may; 0: as long as it is there
	expiry    *time.Timer
	changed   iec61850.Timestamp
	pairs     []settingPair
	groups    []map[*iec61850.Attribute]iec61850.Value // by number less one, keyed by the attribute of SG
}

type settingPair struct{ active, edit *iec61850.Attribute }

func settingBlock(s *Server, d *domain, n *iec61850.Node) *node {
	b := &settings{s: s, reference: d.name + "/" + n.Name + ".SGCB", count: n.Settings.Count, active: max(n.Settings.Active, 1), reserved: n.Settings.ResvTms}
	d.settings = b
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
	it := &node{name: "SGCB", path: n.Name + "$SP$SGCB", fc: iec61850.SP}
	it.addFields(b, settingFields)
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

func (*settings) members() []field { return settingFields }

func (*settings) tracked(i int) (object string, what service) {
	switch settingFields[i].name {
	case "ActSG":
		return "SgcbTrk", selectActiveGroup
	case "EditSG":
		return "SgcbTrk", selectEditGroup
	}
	return "SgcbTrk", confirmEditGroup
}

// leave ends the editing.
func (b *settings) leave() {
	b.edit, b.editor = 0, nil
	if b.expiry != nil {
		b.expiry.Stop()
		b.expiry = nil
	}
}

// begin has a client edit a group.
func (b *settings) begin(a *association, group int) {
	b.leave()
	b.edit, b.editor = group, a
	if b.reserved == 0 {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(time.Duration(b.reserved)*time.Second, func() {
		b.s.mu.Lock()
		defer b.s.mu.Unlock()
		if b.expiry == t {
			b.leave()
		}
	})
	b.expiry = t
}

// editable reports whether a client may read the group that is edited, or set it
// if it is the association a; a device without setting groups has no such limits.
func (d *domain) editable(a *association) bool {
	if d.settings == nil {
		return true
	}
	d.settings.s.mu.Lock()
	defer d.settings.s.mu.Unlock()
	return d.settings.edit > 0 && (a == nil || d.settings.editor == a)
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
	return iec61850.Uint(uint64(b.reserved))
}

// decide asks the policy about what the block allows.
func (b *settings) decide(a *association, i int, v iec61850.Value) error {
	if b.s.cfg.Write == nil {
		return mms.ObjectAccessDenied
	}
	b.s.mu.Lock()
	err := b.allows(a, i, v)
	b.s.mu.Unlock()
	if err != nil {
		return err
	}
	return b.s.cfg.Write(b.reference+"."+settingFields[i].name, nil, v)
}

// allows reports whether the state of the block lets the client set a member. s.mu is held.
func (b *settings) allows(a *association, i int, v iec61850.Value) error {
	name := settingFields[i].name
	n, _ := v.Uint()
	switch {
	case name == "ActSG" || name == "EditSG":
		if n > uint64(b.count) || n == 0 && name == "ActSG" {
			return mms.ObjectValueInvalid
		}
	case name != "CnfEdit" || !v.Bool() || b.edit == 0:
		return mms.ObjectAccessDenied
	}
	if name != "ActSG" && b.editor != nil && b.editor != a {
		return mms.TemporarilyUnavailable
	}
	return nil
}

// set changes the active group or begins and ends the editing of one. What it
// does to the model is done after the locks were released.
func (b *settings) set(a *association, i int, v iec61850.Value) error {
	if err := b.allows(a, i, v); err != nil {
		return err
	}
	n, _ := v.Uint()
	switch settingFields[i].name {
	case "ActSG":
		b.active, b.changed = int(n), iec61850.NewTimestamp(b.s.cfg.Now(), 10)
		b.load(b.active, func(p settingPair) *iec61850.Attribute { return p.active })
	case "EditSG":
		if n == 0 {
			b.leave()
			return nil
		}
		b.begin(a, int(n))
		b.load(b.edit, func(p settingPair) *iec61850.Attribute { return p.edit })
	case "CnfEdit":
		for _, p := range b.pairs {
			b.groups[b.edit-1][p.active] = p.edit.Get()
		}
		if b.edit == b.active {
			b.load(b.active, func(p settingPair) *iec61850.Attribute { return p.active })
		}
		b.leave()
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
