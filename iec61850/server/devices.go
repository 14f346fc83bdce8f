package server

import (
	"fmt"

	"github.com/openusm/meter/iec61850"
)

// SetDevice adds a logical device to those that are served, or puts it in the place of
// the one of its name. It is one that [iec61850.Device.Share] made; the names of devices
// that share nodes and how their data are accessed are kept once for all of them.
// Clients that hold something of a device that was replaced lose their association, so that they read the model anew.
func (s *Server) SetDevice(d *iec61850.Device) error {
	name := d.FullName(s.model)
	if !d.Shared() || len(d.Nodes) == 0 || len(name) > 64 || name == "" {
		return fmt.Errorf("server: device %q: not shared, or its name empty or too long", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dom := &domain{s: s, name: name, device: d, lists: map[string]*list{}, reports: map[*reportDef]*report{}, shape: s.shapes[d.Nodes[0]]}
	if dom.shape == nil {
		if err := s.addShape(dom); err != nil {
			return err
		}
	}
	old := s.domains[name]
	if old != nil && !old.shape.shared {
		return fmt.Errorf("server: device %q: it is one of the model", name)
	}
	dom.shape.users++
	s.catalogue.Lock()
	s.domains[name] = dom
	if old == nil {
		s.names = nil
	}
	s.catalogue.Unlock()
	s.devices[d] = dom
	if old != nil {
		s.forget(old)
	}
	return nil
}

// addShape makes the shape of the first device that has it. s.mu is held.
func (s *Server) addShape(dom *domain) error {
	sh, err := s.newShape(dom)
	if err != nil {
		return err
	}
	dom.shape, sh.sets = sh, map[string][]setRow{}
	for _, n := range dom.device.Nodes {
		for _, ds := range n.DataSets {
			rows := make([]setRow, len(ds.Members))
			for i, ref := range ds.Members {
				m, err := s.member(dom, ref)
				if err != nil || m.item.domain != dom {
					return fmt.Errorf("server: data set %s of %s/%s: member %s: %w", ds.Name, dom.name, n.Name, ref, iec61850.ErrNotFound)
				}
				rows[i] = setRow{m.item.node, m.access, ref.Item}
			}
			sh.sets[n.Name+"$"+ds.Name] = rows
		}
	}
	s.shapes[dom.device.Nodes[0]] = sh
	return nil
}

// RemoveDevice takes a device out that [Server.SetDevice] added.
func (s *Server) RemoveDevice(d *iec61850.Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dom := s.devices[d]
	if dom == nil {
		return
	}
	s.catalogue.Lock()
	delete(s.domains, dom.name)
	s.names = nil
	s.catalogue.Unlock()
	s.forget(dom)
}

// forget ends what clients have of a device that is no longer served. s.mu is held.
func (s *Server) forget(d *domain) {
	delete(s.devices, d.device)
	if d.shape.users--; d.shape.users == 0 {
		delete(s.shapes, d.device.Nodes[0])
	}
	d.gone.Store(true)
	for _, other := range s.domains { // lists that clients defined
		for name, l := range other.lists {
			if ofGone(l.members) {
				delete(other.lists, name)
			}
		}
	}
	kept := s.reports[:0:0]
	for _, r := range s.reports {
		if r.domain != d && !ofGone(r.data) {
			kept = append(kept, r)
			continue
		}
		r.stopTimers()
		r.purge()
		if r.owner != nil {
			r.owner.leave()
		}
		if r.domain != d {
			_ = r.setDataSet(nil, "", false)
			kept = append(kept, r)
		}
	}
	s.reports = kept
	for _, have := range s.selected {
		if have.device == d.device {
			have.a.leave()
		}
	}
}

// domainNames returns the names of the domains, sorted.
func (s *Server) domainNames() []string {
	s.catalogue.RLock()
	names := s.names
	s.catalogue.RUnlock()
	if names != nil {
		return names
	}
	s.catalogue.Lock()
	defer s.catalogue.Unlock()
	if s.names == nil {
		s.names = sortedKeys(s.domains)
	}
	return s.names
}
