package server

import (
	"github.com/openusm/meter/iec61850"
)

// substitution has clients see another value than that of the process: the
// attributes of the constraint SV of an object. The lock of the model guards it.
type substitution struct {
	enable *iec61850.Attribute // subEna
	since  iec61850.Value      // when what is shown was substituted
	leaves []*standIn
}

// standIn is what is shown of one attribute while it is substituted.
type standIn struct {
	sub   *substitution
	attr  *iec61850.Attribute // of the process
	value *iec61850.Attribute // of SV; nil for the time stamp
	shown iec61850.Value      // to clients, as it was told to reports
}

// substitutes are the attributes of SV by those that they stand in for.
var substitutes = map[string]string{"stVal": "subVal", "mag": "subMag", "instMag": "subMag", "cVal": "subCVal", "instCVal": "subCVal", "q": "subQ", "t": ""}

func (sub *substitution) on() bool { return sub.enable.Get().Bool() }

// get returns what clients see.
func (in *standIn) get() iec61850.Value {
	switch {
	case !in.sub.on():
		return in.attr.Get()
	case in.value == nil:
		return in.sub.since
	case in.attr.Name == "q":
		return (in.value.Get().Quality() | iec61850.Substituted).Value()
	}
	return in.value.Get()
}

// substitution returns that of an object, nil where it has none.
func (s *Server) substitution(o *iec61850.Object) *substitution {
	enable := o.Attribute("subEna", iec61850.SV)
	if enable == nil {
		return nil
	}
	for _, watched := range s.substituted[enable] {
		return watched.sub
	}
	sub := &substitution{enable: enable}
	s.substituted[enable] = []*standIn{{sub: sub, attr: enable}}
	return sub
}

// standIn returns what may stand in for an attribute of an object, nil where nothing may.
func (s *Server) standIn(d *domain, o *iec61850.Object, a *iec61850.Attribute) *standIn {
	name, ok := substitutes[a.Name]
	if !ok || d.device.Shared() || a.FC != iec61850.ST && a.FC != iec61850.MX {
		return nil
	}
	sub := s.substitution(o)
	if sub == nil {
		return nil
	}
	in := &standIn{sub: sub, attr: a}
	if name != "" {
		if in.value = o.Attribute(name, iec61850.SV); in.value == nil || !in.value.Type().Equal(a.Type()) {
			return nil
		}
	}
	return in
}

// member returns the stand-in for a member of a structure.
func (in *standIn) member(a *iec61850.Attribute) *standIn {
	if in == nil {
		return nil
	}
	return &standIn{sub: in.sub, attr: a, value: in.value.Child(a.Name)}
}

// watch has the changes of a leaf and of what stands in for it be judged together.
func (s *Server) watch(in *standIn) {
	if in == nil {
		return
	}
	in.shown = in.attr.Get()
	in.sub.leaves = append(in.sub.leaves, in)
	s.substituted[in.attr] = append(s.substituted[in.attr], in)
	if in.value != nil {
		s.substituted[in.value] = append(s.substituted[in.value], in)
	}
}

// seen returns what changed to the eyes of clients: nothing of what is
// substituted, and what the substitution itself changed. The model is locked.
func (s *Server) seen(changes []iec61850.Change) []iec61850.Change {
	if len(s.substituted) == 0 {
		return changes
	}
	all := s.changes[:0]
	for _, c := range changes {
		watched := s.substituted[c.Attribute]
		if len(watched) == 0 {
			all = append(all, c)
			continue
		}
		if in := watched[0]; in.attr == c.Attribute && in.attr != in.sub.enable {
			if !in.sub.on() {
				in.shown = in.attr.Get()
				all = append(all, c)
			}
			continue
		}
		all = watched[0].sub.changed(all, iec61850.NewTimestamp(s.cfg.Now(), 10).Value())
	}
	s.changes = all
	return all
}

// changed appends what clients see changed since they were told.
func (sub *substitution) changed(all []iec61850.Change, now iec61850.Value) []iec61850.Change {
	before := len(all)
	for _, in := range sub.leaves {
		if in.value == nil {
			continue
		}
		if v := in.get(); !v.Equal(in.shown) {
			in.shown = v
			all = append(all, iec61850.Change{Attribute: in.attr, Trigger: in.attr.Trigger & (iec61850.DataChange | iec61850.QualityChange)})
		}
	}
	if len(all) > before {
		sub.since = now
	}
	return all
}
