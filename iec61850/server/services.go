package server

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/internal/ber"
)

func openStructure(dst []byte) ([]byte, int)     { return ber.Open(dst, 0xA2) }
func closeStructure(dst []byte, mark int) []byte { return ber.Close(dst, mark) }

// handle answers one PDU.
func (a *association) handle(b []byte) {
	a.pdu = a.pdu[:0]
	p, err := mms.ParsePDU(b)
	if err != nil {
		a.pdu = mms.Reject{Kind: mms.RejectPDU, Reason: mms.InvalidPDU}.AppendReject(a.pdu)
		a.send()
		return
	}
	switch p.Kind {
	case mms.ConfirmedRequest:
		a.confirmed(p)
	case mms.ConcludeRequest:
		a.pdu = mms.AppendConclude(a.pdu, mms.ConcludeResponse)
	case mms.CancelRequest: // what it names was answered before it came, unless it is the sending of a file
		if a.cancelTransfer(p.InvokeID) {
			a.pdu = mms.AppendCancel(a.pdu, mms.CancelResponse, p.InvokeID)
		} else {
			a.pdu = mms.AppendCancelError(a.pdu, p.InvokeID)
		}
	case mms.ConfirmedResponse, mms.ConfirmedError, mms.RejectPDUKind:
		a.transferred(p)
		return
	case mms.Unconfirmed:
		return
	default:
		a.pdu = mms.Reject{Kind: mms.RejectPDU, Reason: mms.InvalidPDU}.AppendReject(a.pdu)
	}
	a.send()
}

// send gathers the PDU that was made.
func (a *association) send() {
	if len(a.pdu) > 0 {
		a.out = a.stack.AppendPDU(a.out, a.pdu)
	}
}

// confirmed answers a request, with an error or a reject where it fails.
func (a *association) confirmed(p mms.PDU) {
	err := a.answer(p)
	if err == nil && len(a.pdu) > a.maxPDU {
		err = mms.ErrResource
	}
	if err != nil {
		a.refuse(p.InvokeID, err)
	}
}

// refuse makes the PDU that says why a request failed.
func (a *association) refuse(id uint32, err error) {
	a.pdu = a.pdu[:0]
	var refused mms.ServiceError
	var reject mms.Reject
	switch {
	case errors.As(err, &refused):
		a.pdu = mms.AppendError(a.pdu, id, refused)
	case errors.As(err, &reject):
		a.pdu = reject.AppendReject(a.pdu)
	default:
		a.pdu = mms.Reject{InvokeID: id, HasInvokeID: true, Kind: mms.RejectConfirmed, Reason: mms.InvalidArgument}.AppendReject(a.pdu)
	}
}

// respond appends a response with the parameters.
func (a *association) respond(p mms.PDU, constructed bool, params func([]byte) []byte) {
	a.pdu = mms.AppendConfirmed(a.pdu, mms.ConfirmedResponse, p.InvokeID, p.Service, constructed, params)
}

func (a *association) answer(p mms.PDU) error {
	switch p.Service {
	case mms.Read:
		return a.readVariables(p)
	case mms.Write:
		return a.writeVariables(p)
	case mms.GetNameList:
		return a.nameList(p)
	case mms.GetVariableAttributes:
		return a.attributes(p)
	case mms.GetNamedVariableList:
		return a.listAttributes(p)
	case mms.DefineNamedVariableList:
		return a.define(p)
	case mms.DeleteNamedVariableList:
		return a.remove(p)
	case mms.Identify:
		m := a.s.model
		a.respond(p, true, mms.Identity{Vendor: m.Vendor, Model: m.Type, Revision: m.Revision}.Append)
		return nil
	case mms.Status:
		a.respond(p, true, mms.States{}.Append)
		return nil
	case mms.ReadJournal:
		if len(a.s.logs) > 0 {
			return a.readJournal(p)
		}
	case mms.FileOpen, mms.FileRead, mms.FileClose, mms.FileRename, mms.FileDelete, mms.FileDirectory, mms.ObtainFile:
		if a.s.cfg.Files != nil {
			return a.file(p)
		}
	}
	return mms.Reject{InvokeID: p.InvokeID, HasInvokeID: true, Kind: mms.RejectConfirmed, Reason: mms.UnrecognizedService}
}

// readVariables answers Read. It makes the response in place and does not allocate.
func (a *association) readVariables(p mms.PDU) error {
	if err := a.read.Parse(p.Body); err != nil {
		return err
	}
	named := a.read.Variables.Named
	var members []member
	if named {
		var err error
		if members, err = a.members(a.read.Variables.List); err != nil {
			return err
		}
	}
	selected := a.selections()
	pdu, outer := mms.OpenConfirmed(a.pdu, mms.ConfirmedResponse, p.InvokeID)
	pdu, service := ber.Open(pdu, 0xA4)
	pdu = a.read.AppendSpecification(pdu)
	pdu, results := ber.Open(pdu, 0xA1)
	a.s.model.View(func() {
		if named {
			for i := range members {
				if pdu = a.appendItem(pdu, members[i].item, members[i].access); len(pdu) > a.maxPDU {
					return
				}
			}
			return
		}
		for i := range a.read.Variables.Each {
			v := &a.read.Variables.Each[i]
			it := a.s.find(v.Name)
			switch {
			case it.node == nil:
				pdu = mms.AppendFailure(pdu, mms.ObjectNonExistent)
			case selected[i].Kind() != iec61850.None:
				pdu = mms.AppendData(pdu, selected[i])
			default:
				pdu = a.appendItem(pdu, it, v.Access)
			}
			if len(pdu) > a.maxPDU {
				return
			}
		}
	})
	a.pdu = ber.Close(ber.Close(ber.Close(pdu, results), service), outer)
	return nil
}

// selections selects the objects whose SBO is to be read, by the number of the
// variable; nil where there are none.
func (a *association) selections() (selected map[int]iec61850.Value) {
	for i := range a.read.Variables.Each {
		v := &a.read.Variables.Each[i]
		if !bytes.HasSuffix(v.Name.Item, []byte("$SBO")) {
			continue
		}
		if it := a.s.find(v.Name); it.node != nil && it.fc == iec61850.CO && it.attr != nil {
			if selected == nil {
				selected = map[int]iec61850.Value{}
			}
			selected[i] = a.selectObject(it)
		}
	}
	return selected
}

// appendItem appends the value of an item. The model is locked for reading.
func (a *association) appendItem(pdu []byte, it item, access []mms.Step) []byte {
	if it.fc == iec61850.SE && !it.domain.editable(nil) {
		return mms.AppendFailure(pdu, mms.TemporarilyUnavailable)
	}
	if it.blocks() {
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
	}
	if len(access) == 0 {
		return it.append(pdu)
	}
	v, err := follow(it.typ, it.value(), access)
	var code mms.AccessError
	if errors.As(err, &code) {
		return mms.AppendFailure(pdu, code)
	}
	return mms.AppendData(pdu, v)
}

// members returns the members of a named list.
func (a *association) members(n mms.Name) ([]member, error) {
	if n.Scope == mms.ScopeAssociation {
		if m, ok := a.lists[string(n.Item)]; ok && !ofGone(m) {
			return m, nil
		}
		return nil, mms.ErrDomainMissing
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if d := a.s.domains[string(n.Domain)]; d != nil && n.Scope == mms.ScopeDomain {
		if l := d.list(string(n.Item), false); l != nil {
			return l.members, nil
		}
	}
	return nil, mms.ErrDomainMissing
}

// ofGone reports whether a member is of a device that is no longer served.
func ofGone(list []member) bool {
	return slices.ContainsFunc(list, func(m member) bool { return m.item.domain.gone.Load() })
}

// writeVariables answers Write, one variable after the other.
func (a *association) writeVariables(p mms.PDU) error {
	if err := a.write.Parse(p.Body); err != nil {
		return err
	}
	var targets []member
	if a.write.Variables.Named {
		var err error
		if targets, err = a.members(a.write.Variables.List); err != nil {
			return err
		}
	} else {
		for _, v := range a.write.Variables.Each {
			it := a.s.find(v.Name)
			targets = append(targets, member{item: it, access: v.Access})
		}
	}
	if len(targets) != len(a.write.Data) {
		return mms.Reject{InvokeID: p.InvokeID, HasInvokeID: true, Kind: mms.RejectConfirmed, Reason: mms.InvalidArgument}
	}
	a.respond(p, true, func(dst []byte) []byte {
		for i, t := range targets {
			dst = mms.AppendWritten(dst, a.writeOne(t, a.write.Data[i]))
		}
		return dst
	})
	return nil
}

func (a *association) writeOne(t member, v iec61850.Value) error {
	it := t.item
	switch {
	case it.node == nil:
		return mms.ObjectNonExistent
	case len(t.access) > 0:
		return mms.ObjectAccessUnsupported
	case it.isBlock():
		return a.writeBlock(it, v)
	case it.fc == iec61850.CO:
		return a.control(it, v)
	case it.attr == nil:
		return mms.ObjectAccessDenied
	}
	fitted, ok := it.typ.Fits(v)
	if !ok {
		return mms.TypeInconsistent
	}
	err := a.writeAttribute(it, fitted)
	a.s.track(a, "GenTrk", it.reference(), setDataValues, err, nil)
	return err
}

func (a *association) writeAttribute(it item, v iec61850.Value) error {
	if a.s.cfg.Write == nil || !writable(it.fc) {
		return mms.ObjectAccessDenied
	}
	if it.fc == iec61850.SE && !it.domain.editable(a) {
		return mms.TemporarilyUnavailable
	}
	if err := a.s.cfg.Write(it.reference(), it.attr, v); err != nil {
		return err
	}
	device := it.domain.device
	if !device.Shared() {
		device = nil
	}
	return a.s.model.Update(func(u *iec61850.Update) error { return u.SetIn(device, it.attr, v) })
}

// writable reports whether clients may write attributes of the constraint at all.
func writable(fc iec61850.FC) bool {
	switch fc {
	case iec61850.SP, iec61850.SV, iec61850.CF, iec61850.DC, iec61850.SE, iec61850.BL:
		return true
	}
	return false
}

func (a *association) writeBlock(it item, v iec61850.Value) error {
	v, ok := it.typ.Fits(v)
	if !ok {
		return mms.TypeInconsistent
	}
	b, err := it.live()
	if err == nil {
		err = b.decide(a, it.member, v)
	}
	var later []func(*iec61850.Update) error
	var values map[string]iec61850.Value
	a.s.model.View(func() {
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
		if err == nil {
			err = b.set(a, it.member, v)
		}
		later, a.s.later = a.s.later, nil
		if len(a.s.tracking) > 0 {
			values = snapshot(b, b.members(), it.member, v)
		}
	})
	for _, f := range later {
		if err := a.s.model.Update(f); err != nil {
			return err
		}
	}
	if values != nil {
		a.s.trackBlock(a, it, b, err, values)
	}
	return err
}

// nameList answers GetNameList.
func (a *association) nameList(p mms.PDU) error {
	q, err := mms.ParseNameListRequest(p.Body)
	if err != nil {
		return err
	}
	names, err := a.namesOf(q)
	if err != nil {
		return err
	}
	if q.After != nil {
		after := string(q.After)
		names = names[sort.Search(len(names), func(i int) bool { return names[i] > after }):]
	}
	a.respond(p, true, func(dst []byte) []byte { return mms.AppendNameList(dst, names, a.maxPDU-64) })
	return nil
}

// namesOf returns the names that a request is about, sorted.
func (a *association) namesOf(q mms.NameListRequest) ([]string, error) {
	switch {
	case q.Scope == mms.ScopeVMD && q.Class == mms.Domains:
		return a.s.domainNames(), nil
	case q.Scope == mms.ScopeAssociation && q.Class == mms.NamedVariableLists:
		return sortedKeys(a.lists), nil
	case q.Scope != mms.ScopeDomain:
		return nil, nil
	}
	a.s.catalogue.RLock()
	d := a.s.domains[string(q.Domain)]
	a.s.catalogue.RUnlock()
	if d == nil {
		return nil, mms.ErrDomainMissing
	}
	switch q.Class {
	case mms.NamedVariables:
		return d.shape.names, nil
	case mms.Journals:
		return d.journals, nil
	case mms.NamedVariableLists:
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
		return d.listNames(), nil
	}
	return nil, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// attributes answers GetVariableAccessAttributes.
func (a *association) attributes(p mms.PDU) error {
	n, err := mms.ParseNameRequest(p.Body, p.Service)
	if err != nil {
		return err
	}
	it := a.s.find(n)
	if it.node == nil {
		return mms.ErrDomainMissing
	}
	a.respond(p, true, func(dst []byte) []byte { return mms.AppendAttributes(dst, it.typ) })
	return nil
}

// listAttributes answers GetNamedVariableListAttributes.
func (a *association) listAttributes(p mms.PDU) error {
	n, err := mms.ParseNameRequest(p.Body, p.Service)
	if err != nil {
		return err
	}
	members, err := a.members(n)
	if err != nil {
		return err
	}
	l := mms.ListAttributes{Deletable: n.Scope == mms.ScopeAssociation}
	if n.Scope == mms.ScopeDomain {
		a.s.mu.Lock()
		if d := a.s.domains[string(n.Domain)]; d != nil && d.lists[string(n.Item)] != nil {
			l.Deletable = d.lists[string(n.Item)].deletable
		}
		a.s.mu.Unlock()
	}
	for _, m := range members {
		l.Variables = append(l.Variables, mms.Variable{Name: mms.DomainName(m.item.domain.name, m.item.path), Access: m.access})
	}
	a.respond(p, true, l.Append)
	return nil
}

// define answers DefineNamedVariableList.
func (a *association) define(p mms.PDU) error {
	q, err := mms.ParseDefineRequest(p.Body)
	if err != nil {
		return err
	}
	if len(q.Variables) == 0 || len(q.Variables) > a.s.cfg.MaxMembers || len(q.Name.Item) == 0 || len(q.Name.Item) > 129 {
		return mms.ErrResource
	}
	members := make([]member, len(q.Variables))
	for i, v := range q.Variables {
		it := a.s.find(v.Name)
		if it.node == nil || it.fc == 0 {
			return mms.ErrDefinitionInvalid
		}
		if len(v.Access) > 0 {
			if _, err := follow(it.typ, it.typ.Zero(), v.Access); err != nil {
				return mms.ErrDefinitionInvalid
			}
		}
		members[i] = newMember(it, cloneSteps(v.Access))
	}
	if err := a.defineList(q.Name, members); err != nil {
		return err
	}
	a.s.track(a, "GenTrk", listReference(q.Name), createDataSet, nil, nil)
	a.respond(p, false, nil)
	return nil
}

func (a *association) defineList(n mms.Name, members []member) error {
	name := string(n.Item)
	switch n.Scope {
	case mms.ScopeAssociation:
		if a.lists[name] != nil {
			return mms.ErrDefinitionExists
		}
		if len(a.lists) >= a.s.cfg.MaxLists {
			return mms.ErrResource
		}
		a.lists[name] = members
		return nil
	case mms.ScopeDomain:
		return a.s.defineList(string(n.Domain), name, members)
	}
	return mms.ErrAccessUnsupported
}

// listReference returns the reference of a data set: DEVICE/LLN0.name or @name.
func listReference(n mms.Name) string { return strings.ReplaceAll(n.String(), "$", ".") }

// newMember returns the member of a list that a client defined.
func newMember(it item, access []mms.Step) member {
	reference := []byte(iec61850.Ref{Device: it.domain.name, Item: it.path}.String())
	for _, step := range access {
		if step.Component != nil {
			reference = append(append(reference, '$'), step.Component...)
		} else {
			reference = fmt.Appendf(reference, "(%d)", step.Index)
		}
	}
	return member{reference: string(reference), item: it, access: access}
}

func cloneSteps(steps []mms.Step) []mms.Step {
	var list []mms.Step
	for _, s := range steps {
		if s.Component != nil {
			s.Component = []byte(string(s.Component))
		}
		list = append(list, s)
	}
	return list
}

func (s *Server) defineList(domain, name string, members []member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.domains[domain]
	node, _, ok := strings.Cut(name, "$")
	if d == nil || !ok || d.shape.nodes[node] == nil {
		return mms.ErrDomainMissing
	}
	if d.list(name, false) != nil {
		return mms.ErrDefinitionExists
	}
	dynamic := 0
	for _, l := range d.lists {
		if l.deletable {
			dynamic++
		}
	}
	if dynamic >= s.cfg.MaxLists {
		return mms.ErrResource
	}
	d.lists[name] = &list{members: members, deletable: true}
	return nil
}

// remove answers DeleteNamedVariableList. Only lists that clients defined and nothing uses are deleted.
func (a *association) remove(p mms.PDU) error {
	q, err := mms.ParseDeleteRequest(p.Body)
	if err != nil {
		return err
	}
	if q.Scope > 1 {
		return mms.ErrAccessUnsupported
	}
	var d mms.Deleted
	var gone []mms.Name
	if q.Scope == 1 {
		d.Matched = uint32(len(a.lists))
		d.Deleted = d.Matched
		clear(a.lists)
	}
	a.s.mu.Lock()
	for _, n := range q.Names {
		name := string(n.Item)
		switch {
		case n.Scope == mms.ScopeAssociation && a.lists[name] != nil:
			d.Matched++
			d.Deleted++
			delete(a.lists, name)
			gone = append(gone, n)
		case n.Scope == mms.ScopeDomain && a.s.domains[string(n.Domain)] != nil:
			lists := a.s.domains[string(n.Domain)].lists
			if l := a.s.domains[string(n.Domain)].list(name, false); l != nil {
				d.Matched++
				if l.deletable && l.uses == 0 {
					d.Deleted++
					delete(lists, name)
					gone = append(gone, n)
				}
			}
		}
	}
	a.s.mu.Unlock()
	for _, n := range gone {
		a.s.track(a, "GenTrk", listReference(n), deleteDataSet, nil, nil)
	}
	a.respond(p, true, d.Append)
	return nil
}
