package server

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/internal/ber"
)

// field is a member of a control block.
type field struct {
	name  string
	basic string
}

// The members in the order of IEC 61850-8-1.
var (
	unbufferedFields = []field{{"RptID", "VisString129"}, {"RptEna", "BOOLEAN"}, {"Resv", "BOOLEAN"}, {"DatSet", "ObjRef"},
		{"ConfRev", "INT32U"}, {"OptFlds", "OptFlds"}, {"BufTm", "INT32U"}, {"SqNum", "INT8U"}, {"TrgOps", "TrgOps"},
		{"IntgPd", "INT32U"}, {"GI", "BOOLEAN"}, {"Owner", "Octet64"}}
	bufferedFields = []field{{"RptID", "VisString129"}, {"RptEna", "BOOLEAN"}, {"DatSet", "ObjRef"},
		{"ConfRev", "INT32U"}, {"OptFlds", "OptFlds"}, {"BufTm", "INT32U"}, {"SqNum", "INT16U"}, {"TrgOps", "TrgOps"},
		{"IntgPd", "INT32U"}, {"GI", "BOOLEAN"}, {"PurgeBuf", "BOOLEAN"}, {"EntryID", "EntryID"}, {"TimeofEntry", "EntryTime"},
		{"ResvTms", "INT16"}, {"Owner", "Octet64"}}
)

// report is a report control block at work. Guarded by s.mu.
type report struct {
	s       *Server
	path    string // DEVICE/LLN0$RP$name
	node    string
	domain  *domain
	def     *iec61850.Report
	fields  []field
	id      string
	dataSet string   // DEVICE/LLN0$name
	data    []member // of the data set
	list    *list    // of data, nil where there is none

	enabled   bool
	reserved  bool // by Resv
	owner     *association
	client    string    // address for which the block is reserved by configuration, "" where it is not
	holder    string    // address for which the block is held after its association was lost
	heldUntil time.Time // zero where it is not
	resvTms   int64
	confRev   uint32
	options   iec61850.ReportOptions
	bufTime   uint32
	triggers  iec61850.Trigger
	integrity uint32
	sequence  uint32

	reasons []iec61850.Trigger // of the events that are collected, by member
	fresh   []int              // members of the update that is being handled
	content content            // of the members with events
	spare   content            // memory for the next
	collect *time.Timer
	cycle   *time.Timer

	queue    []entry // what was not sent yet or, buffered, may be asked for again
	next     int     // the first of the queue that was not sent
	size     int     // octets of the queue
	lastID   uint64
	resync   []byte // EntryID that a client wrote
	overflow bool
	lastTime iec61850.Value
	lastSent [8]byte
}

// entry is one report that is to be sent.
type entry struct {
	id      uint64
	time    iec61850.Value
	content content
}

// content is the values of a report, encoded.
type content struct {
	data  []byte
	parts []part // in the order of their members, once complete
}

// part is the value of one member: data[from:to].
type part struct {
	member   int
	from, to int
	why      iec61850.Trigger
}

// partSize is the octets of memory that a part takes.
const partSize = 32

// add appends the value of a member. The model is locked.
func (c *content) add(i int, m member, why iec61850.Trigger) {
	from := len(c.data)
	c.data = m.append(c.data)
	c.parts = append(c.parts, part{i, from, len(c.data), why})
}

func (c *content) reset() { c.data, c.parts = c.data[:0], c.parts[:0] }

// size is how many octets the content takes.
func (c *content) size() int { return len(c.data) + len(c.parts)*partSize }

// membership says that a change of an attribute concerns a member of a report's data set.
type membership struct {
	report *report
	member int
}

// maxUnbuffered is how many reports wait for a slow client before they are dropped.
const maxUnbuffered = 64

// minIntegrity is the shortest period of integrity reports, in milliseconds,
// that a client may ask for.
const minIntegrity = 10

// addNodeBlocks adds the control blocks of a node below its level of one constraint.
func (s *Server) addNodeBlocks(d *domain, n *iec61850.Node, fc iec61850.FC, level *node) error {
	if d.device.Shared() && (len(n.Logs) > 0 || len(n.GOOSE) > 0 || n.Settings != nil) {
		return fmt.Errorf("server: %s/%s: nodes with logs, GOOSE or setting groups cannot be shared", d.name, n.Name)
	}
	for _, def := range n.Reports {
		want := iec61850.RP
		if def.Buffered {
			want = iec61850.BR
		}
		if fc != want {
			continue
		}
		for i := range max(def.Instances, 1) {
			name := def.Name
			if def.Instances > 0 {
				name = fmt.Sprintf("%s%02d", def.Name, i+1)
			}
			client := ""
			if i < len(def.Clients) {
				client = def.Clients[i]
			}
			it, err := s.addReport(d, n, fc, def, name, client)
			if err != nil {
				return err
			}
			level.children = append(level.children, it)
		}
	}
	if fc == iec61850.LG {
		for _, def := range n.Logs {
			level.children = append(level.children, s.addLog(d, n, def))
		}
	}
	if fc == iec61850.GO {
		for _, def := range n.GOOSE {
			level.children = append(level.children, s.addGOOSE(d, n, def))
		}
	}
	if fc == iec61850.SP && n.Settings != nil {
		level.children = append(level.children, settingBlock(s, d, n))
	}
	return nil
}

// reportDef is a report control block in any domain of a shape.
type reportDef struct {
	def    *iec61850.Report
	node   string
	path   string // LLN0$RP$name
	client string // network address of the client for which it is reserved, "" for none
}

func (s *Server) addReport(d *domain, n *iec61850.Node, fc iec61850.FC, def *iec61850.Report, name, client string) (*node, error) {
	above := &node{name: name, path: n.Name + "$" + fc.String() + "$" + name, fc: fc}
	rd := &reportDef{def: def, node: n.Name, path: above.path}
	if client != "" {
		address, err := netip.ParseAddr(client)
		if err != nil {
			return nil, fmt.Errorf("server: report %s/%s: client: %w", d.name, above.path, err)
		}
		rd.client = string(address.Unmap().AsSlice())
	}
	for i, f := range reportFields(def) {
		t, _ := iec61850.BasicType(f.basic)
		above.children = append(above.children, &node{name: f.name, path: above.path + "$" + f.name, fc: fc, report: rd, member: i, typ: t})
	}
	if !d.device.Shared() {
		r := d.newReport(rd)
		d.reports[rd] = r
		s.reports = append(s.reports, r)
	}
	return above, nil
}

func reportFields(def *iec61850.Report) []field {
	if def.Buffered {
		return bufferedFields
	}
	return unbufferedFields
}

// newReport returns a report as it is before anybody has set it.
func (d *domain) newReport(rd *reportDef) *report {
	def := rd.def
	r := &report{s: d.s, domain: d, node: rd.node, def: def, path: d.name + "/" + rd.path, id: def.ID, confRev: def.ConfRev,
		options: def.Options, bufTime: def.BufTime, triggers: def.Triggers, integrity: def.Integrity, fields: reportFields(def),
		lastTime: iec61850.EntryTimeOf(time.Time{}), client: rd.client}
	if def.DataSet != "" {
		r.dataSet = d.name + "/" + rd.node + "$" + def.DataSet
	}
	if r.client != "" {
		r.resvTms = byConfiguration
	}
	return r
}

// live returns the control block of a member, to be set. A report of a shape that is
// shared is one of its own from then on: a buffered one begins to buffer.
func (it item) live() (block, error) {
	if it.blk != nil {
		return it.blk, nil
	}
	s := it.domain.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r := it.domain.reports[it.report]
	if r != nil {
		return r, nil
	}
	r = it.domain.newReport(it.report)
	if it.domain.gone.Load() || len(s.reports) >= s.cfg.MaxReports || r.dataSet != "" && r.setDataSet(nil, r.dataSet, true) != nil {
		return r, mms.TemporarilyUnavailable
	}
	it.domain.reports[it.report] = r
	s.reports = append(s.reports, r)
	if r.def.Buffered {
		r.startCycle()
	}
	return r, nil
}

// rest gives up a report of a shape that is shared which keeps nothing for anybody: it is as
// it was configured for the next client. s.mu is held.
func (r *report) rest() {
	if !r.domain.shape.shared || r.def.Buffered || r.owner != nil || !r.heldUntil.IsZero() {
		return
	}
	r.stopTimers()
	r.unregister()
	for rd, have := range r.domain.reports {
		if have == r {
			delete(r.domain.reports, rd)
		}
	}
	r.s.reports = slices.DeleteFunc(r.s.reports, func(have *report) bool { return have == r })
}

// byConfiguration is what ResvTms says of a block that is one client's for good.
const byConfiguration = -1

// addFields adds the members of a control block.
func (it *node) addFields(b block, fields []field) {
	for i, f := range fields {
		t, _ := iec61850.BasicType(f.basic)
		it.children = append(it.children, blockNode(it, f.name, t, b, i))
	}
}

func blockNode(above *node, name string, t iec61850.Type, b block, member int) *node {
	return &node{name: name, path: above.path + "$" + name, fc: above.fc, blk: b, member: member, typ: t}
}

// addBlocks resolves the data sets of the model and of its control blocks.
func (s *Server) addBlocks() error {
	for _, d := range s.domains {
		for _, n := range d.device.Nodes {
			for _, ds := range n.DataSets {
				l := &list{}
				for _, ref := range ds.Members {
					m, err := s.member(d, ref)
					if err != nil {
						return fmt.Errorf("server: data set %s of %s/%s: member %s: %w", ds.Name, d.name, n.Name, ref, err)
					}
					l.members = append(l.members, m)
				}
				d.lists[n.Name+"$"+ds.Name] = l
			}
		}
	}
	for _, r := range s.reports {
		if r.dataSet == "" {
			continue
		}
		if err := r.setDataSet(nil, r.dataSet, true); err != nil {
			return fmt.Errorf("server: report %s: data set %s: %w", r.path, r.dataSet, err)
		}
		if r.def.Buffered {
			r.startCycle()
		}
	}
	for _, j := range s.logs {
		if err := j.open(); err != nil {
			return err
		}
	}
	for _, g := range s.goose {
		if err := g.open(); err != nil {
			return err
		}
	}
	return nil
}

// member returns what a reference in a data set of a domain names, which may be an element
// of an array or a part of one: MHAI1$MX$HA$phsAHar(3)$mag$f.
func (s *Server) member(d *domain, ref iec61850.Ref) (member, error) {
	if ref.Device == "" {
		ref.Device = d.name
	}
	m := member{reference: ref.String()}
	path, rest, indexed := strings.Cut(ref.Item, "(")
	if ref.Device == d.name {
		m.item = d.find([]byte(path))
	} else {
		m.item = s.find(mms.DomainName(ref.Device, path))
	}
	if m.item.node == nil || m.item.fc == 0 {
		return member{}, iec61850.ErrNotFound
	}
	if !indexed {
		return m, nil
	}
	number, components, ok := strings.Cut(rest, ")")
	index, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil {
		return member{}, iec61850.ErrNotFound
	}
	m.access = []mms.Step{{Index: uint32(index)}}
	for component := range strings.SplitSeq(strings.TrimPrefix(components, "$"), "$") {
		if component != "" {
			m.access = append(m.access, mms.Step{Component: []byte(component)})
		}
	}
	if _, err := follow(m.item.typ, m.item.typ.Zero(), m.access); err != nil {
		return member{}, iec61850.ErrNotFound
	}
	return m, nil
}

// setDataSet has the block report another data set.
func (r *report) setDataSet(a *association, name string, initial bool) error {
	var l *list
	var members []member
	if name != "" {
		dev, item, ok := strings.Cut(name, "/")
		switch {
		case strings.HasPrefix(name, "@") && a != nil && a.lists[name[1:]] != nil:
			members = a.lists[name[1:]]
		case ok && r.s.domains[dev] != nil && r.s.domains[dev].list(item, false) != nil:
			l = r.s.domains[dev].list(item, true)
			members = l.members
		default:
			return mms.ObjectValueInvalid
		}
	}
	if r.list != nil {
		r.list.uses--
	}
	r.unregister()
	r.dataSet, r.list, r.data = name, l, members
	if l != nil {
		l.uses++
	}
	if !initial {
		r.confRev++
	}
	r.reasons = make([]iec61850.Trigger, len(members))
	r.fresh = r.fresh[:0]
	r.content.reset()
	for i, m := range members {
		m.item.leaves(func(attr *iec61850.Attribute) {
			by := m.item.domain.memberships()
			by[attr] = append(by[attr], membership{r, i})
		})
	}
	return nil
}

func (r *report) unregister() {
	for _, m := range r.data {
		m.item.leaves(func(attr *iec61850.Attribute) {
			by := m.item.domain.memberships()
			if by[attr] = slices.DeleteFunc(by[attr], func(m membership) bool { return m.report == r }); len(by[attr]) == 0 {
				delete(by, attr)
			}
		})
	}
}

// memberships returns where reports are by the attributes of the domain.
func (d *domain) memberships() map[*iec61850.Attribute][]membership {
	if !d.shape.shared {
		return d.s.byAttr
	}
	if d.byAttr == nil {
		d.byAttr = map[*iec61850.Attribute][]membership{}
	}
	return d.byAttr
}

// changed is called by the model, locked, after every update.
func (s *Server) changed(changes []iec61850.Change) {
	changes = s.seen(changes)
	s.mu.Lock()
	defer s.mu.Unlock()
	touched := s.touched[:0]
	for _, c := range changes {
		if c.Trigger == 0 {
			continue
		}
		by := s.byAttr
		if c.Device != nil {
			d := s.devices[c.Device]
			if d == nil {
				continue
			}
			by = d.byAttr
		}
		for _, m := range by[c.Attribute] {
			if m.report.event(m.member, c.Trigger) {
				touched = append(touched, m.report)
			}
		}
	}
	for _, r := range touched {
		r.settle()
	}
	s.touched = touched
	for _, j := range s.logs {
		j.changed(changes)
	}
}

// active reports whether events are to be collected.
func (r *report) active() bool { return r.enabled || r.def.Buffered && len(r.data) > 0 }

// event collects the change of a member; it is news where it is the first of an update.
func (r *report) event(i int, why iec61850.Trigger) (news bool) {
	why &= r.triggers
	if why == 0 || !r.active() {
		return false
	}
	if slices.Contains(r.fresh, i) {
		r.reasons[i] |= why
		return false
	}
	if r.reasons[i] != 0 { // a second event during the buffer time
		r.flush()
	}
	r.fresh = append(r.fresh, i)
	r.reasons[i] = why
	return len(r.fresh) == 1
}

// append appends the value of a member. The model is locked.
func (m member) append(dst []byte) []byte {
	if len(m.access) == 0 {
		return m.item.append(dst)
	}
	v, err := follow(m.item.typ, m.item.value(), m.access)
	if err != nil {
		return mms.AppendFailure(dst, mms.ObjectNonExistent)
	}
	return mms.AppendData(dst, v)
}

// value returns the value of a member. The model is locked.
func (m member) value() iec61850.Value {
	if len(m.access) == 0 {
		return m.item.value()
	}
	v, err := follow(m.item.typ, m.item.value(), m.access)
	if err != nil {
		return iec61850.Value{}
	}
	return v
}

// settle makes a report of what an update changed, now or after the buffer time. The model is locked.
func (r *report) settle() {
	for _, i := range r.fresh {
		r.content.add(i, r.data[i], r.reasons[i])
	}
	r.fresh = r.fresh[:0]
	if r.bufTime == 0 {
		r.flush()
		return
	}
	if r.collect != nil {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(time.Duration(r.bufTime)*time.Millisecond, func() {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		if r.collect == t {
			r.flush()
		}
	})
	r.collect = t
}

// flush makes a report of what was collected before the update that is being handled.
func (r *report) flush() {
	r.stopCollect()
	if len(r.content.parts) == 0 {
		return
	}
	for _, p := range r.content.parts {
		r.reasons[p.member] = 0
	}
	slices.SortFunc(r.content.parts, func(a, b part) int { return a.member - b.member })
	c := r.content
	r.content, r.spare = r.spare, content{}
	r.push(c)
}

// all makes a report of all members. The model is locked.
func (r *report) all(why iec61850.Trigger) {
	r.flush()
	c := r.spare
	r.spare = content{}
	for i, m := range r.data {
		c.add(i, m, why)
	}
	r.push(c)
}

// push puts a report into the queue and wakes the sender.
func (r *report) push(c content) {
	r.lastID++
	e := entry{id: r.lastID, time: iec61850.EntryTimeOf(r.s.cfg.Now())}
	if r.def.Buffered {
		e.content = content{slices.Clone(c.data), slices.Clone(c.parts)}
		r.keep(c)
		for len(r.queue) > 0 && (r.size+e.content.size() > r.s.cfg.BufferSize || r.s.buffered+e.content.size() > r.s.cfg.MaxBuffered) {
			if r.next == 0 {
				r.overflow = true
			} else {
				r.next--
			}
			r.drop()
		}
	} else {
		e.content = c
		if len(r.queue) >= maxUnbuffered {
			r.drop()
			r.overflow = true
		}
	}
	r.queue = append(r.queue, e)
	r.keeps(e.content.size())
	if r.enabled {
		r.owner.signal()
	}
}

// keeps notes that so many octets more are kept.
func (r *report) keeps(n int) {
	if r.size += n; r.def.Buffered {
		r.s.buffered += n
	}
}

// keep keeps memory for the next report.
func (r *report) keep(c content) {
	c.reset()
	r.spare = c
}

// drop takes the first report from the queue.
func (r *report) drop() {
	r.keeps(-r.queue[0].content.size())
	if r.def.Buffered {
		r.queue[0] = entry{}
		r.queue = r.queue[1:]
		return
	}
	r.keep(r.queue[0].content)
	r.queue = slices.Delete(r.queue, 0, 1) // few, whose memory serves on
}

func (r *report) purge() {
	r.keeps(-r.size)
	r.queue, r.next, r.overflow = nil, 0, false
	clear(r.reasons)
	r.fresh = r.fresh[:0]
	r.content.reset()
	r.stopCollect()
}

func (r *report) stopCollect() {
	if r.collect != nil {
		r.collect.Stop()
		r.collect = nil
	}
}

func (r *report) stopTimers() {
	r.stopCollect()
	if r.cycle != nil {
		r.cycle.Stop()
		r.cycle = nil
	}
}

// startCycle begins the integrity reports.
func (r *report) startCycle() {
	if r.cycle != nil {
		r.cycle.Stop()
		r.cycle = nil
	}
	if r.integrity > 0 && r.triggers&iec61850.Integrity != 0 && r.active() {
		r.s.every(r.integrity, &r.cycle, func() { r.all(iec61850.Integrity) })
	}
}

// every calls f after each period of so many milliseconds, with the model locked
// for reading and s.mu held, for as long as its timer is the one at place. s.mu is held.
func (s *Server) every(period uint32, place **time.Timer, f func()) {
	d := time.Duration(period) * time.Millisecond
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		s.model.View(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if *place == t {
				f()
				t.Reset(d)
			}
		})
	})
	*place = t
}

func (r *report) members() []field { return r.fields }

func (r *report) tracked(int) (object string, what service) {
	if r.def.Buffered {
		return "BrcbTrk", setBufferedReport
	}
	return "UrcbTrk", setUnbufferedReport
}

// get returns a member of the block.
func (r *report) get(i int) iec61850.Value {
	switch r.fields[i].name {
	case "RptID":
		return iec61850.Visible(r.id)
	case "RptEna":
		return iec61850.Bool(r.enabled)
	case "Resv":
		return iec61850.Bool(r.owner != nil || r.client != "")
	case "DatSet":
		return iec61850.Visible(r.dataSet)
	case "ConfRev":
		return iec61850.Uint(uint64(r.confRev))
	case "OptFlds":
		return iec61850.Bits(uint64(r.options), 10)
	case "BufTm":
		return iec61850.Uint(uint64(r.bufTime))
	case "SqNum":
		return iec61850.Uint(uint64(r.sequence))
	case "TrgOps":
		return iec61850.Bits(uint64(r.triggers), 6)
	case "IntgPd":
		return iec61850.Uint(uint64(r.integrity))
	case "EntryID":
		if r.resync != nil {
			return iec61850.Octets(r.resync)
		}
		return iec61850.Octets(r.lastSent[:])
	case "TimeofEntry":
		return r.lastTime
	case "ResvTms":
		return iec61850.Int(r.resvTms)
	case "Owner":
		if r.owner != nil {
			return iec61850.Octets(r.owner.address())
		}
		return iec61850.Octets([]byte(r.client))
	}
	return iec61850.Bool(false) // GI and PurgeBuf
}

func (*report) decide(*association, int, iec61850.Value) error { return nil }

// set sets a member of the block for a client. The model is locked for reading.
func (r *report) set(a *association, i int, v iec61850.Value) error {
	name := r.fields[i].name
	if r.owner != nil && r.owner != a || r.held(a) {
		return mms.TemporarilyUnavailable
	}
	if r.client != "" && (r.client != string(a.address()) || name == "Resv" || name == "ResvTms") {
		return mms.ObjectAccessDenied
	}
	switch name {
	case "RptEna":
		return r.enable(a, v.Bool())
	case "GI":
		if !r.enabled || r.triggers&iec61850.GeneralInterrogation == 0 {
			return mms.TemporarilyUnavailable
		}
		if v.Bool() {
			r.all(iec61850.GeneralInterrogation)
		}
		return nil
	case "ConfRev", "SqNum", "TimeofEntry", "Owner":
		return mms.ObjectAccessDenied
	}
	if r.enabled {
		return mms.TemporarilyUnavailable
	}
	switch name {
	case "Resv", "ResvTms":
		return r.reserve(a, v)
	case "OptFlds":
		r.options = iec61850.ReportOptions(padBits(v, 10))
		return nil
	case "EntryID":
		r.resync = []byte(v.Text())
		return nil
	}
	changed, err := r.configure(a, name, v)
	if changed && r.def.Buffered {
		r.purge()
		r.startCycle()
	}
	return err
}

// reserve gives the block to a client, or back: by Resv, or for the seconds of ResvTms.
func (r *report) reserve(a *association, v iec61850.Value) error {
	seconds, _ := v.Int()
	if seconds < 0 {
		return mms.ObjectValueInvalid
	}
	r.leave()
	r.resvTms, r.reserved = seconds, v.Bool()
	if r.reserved || seconds > 0 {
		r.own(a)
	}
	return nil
}

// configure sets one of the members whose change makes the buffered reports
// void; changed reports whether they are.
func (r *report) configure(a *association, name string, v iec61850.Value) (changed bool, err error) {
	n, _ := v.Uint()
	switch name {
	case "RptID":
		r.id = v.Text()
	case "DatSet":
		if v.Text() == r.dataSet {
			return false, nil
		}
		if r.def.Buffered && strings.HasPrefix(v.Text(), "@") {
			return false, mms.ObjectValueInvalid
		}
		if err := r.setDataSet(a, v.Text(), false); err != nil {
			return false, err
		}
	case "BufTm":
		r.bufTime = uint32(n)
	case "TrgOps":
		r.triggers = iec61850.Trigger(padBits(v, 6))
	case "IntgPd":
		if n > 0 && n < minIntegrity {
			return false, mms.ObjectValueInvalid
		}
		r.integrity = uint32(n)
	case "PurgeBuf":
		return v.Bool(), nil
	}
	return true, nil
}

// padBits returns a bit string as if it had n bits.
func padBits(v iec61850.Value, n int) uint64 {
	if l := v.BitLen(); l < n {
		return v.Bits() << (n - l)
	}
	return v.Bits()
}

// held reports whether the block waits for another client that lost its association.
func (r *report) held(a *association) bool {
	return !r.heldUntil.IsZero() && r.s.cfg.Now().Before(r.heldUntil) && r.holder != string(a.address())
}

func (r *report) own(a *association) {
	r.owner, r.holder, r.heldUntil = a, "", time.Time{}
	if !slices.Contains(a.reports, r) {
		a.reports = append(a.reports, r)
	}
}

func (r *report) enable(a *association, on bool) error {
	if on == r.enabled {
		return nil
	}
	if !on {
		r.disable()
		if !r.reserved && r.resvTms <= 0 {
			r.leave()
		}
		return nil
	}
	if r.dataSet == "" || len(r.data) == 0 {
		return mms.TemporarilyUnavailable
	}
	r.own(a)
	a.startReporter()
	r.enabled = true
	if r.def.Buffered {
		r.seek()
	} else {
		r.purge()
		r.sequence = 0
	}
	r.startCycle()
	a.signal()
	return nil
}

// seek finds the report after the one that the client had last.
func (r *report) seek() {
	if r.resync == nil {
		return
	}
	r.next = 0
	if len(r.resync) == 8 {
		id := binary.BigEndian.Uint64(r.resync)
		if i := slices.IndexFunc(r.queue, func(e entry) bool { return e.id == id }); i >= 0 {
			r.next = i + 1
		}
	}
	r.resync = nil
}

func (r *report) disable() {
	r.enabled = false
	if !r.def.Buffered {
		r.stopTimers()
		r.purge()
	}
}

// leave ends the ownership of the block.
func (r *report) leave() {
	if r.owner != nil {
		r.owner.reports = slices.DeleteFunc(r.owner.reports, func(have *report) bool { return have == r })
	}
	r.owner, r.reserved = nil, false
}

// release gives back the blocks of an association that ended.
func (s *Server) release(a *association) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Clone(a.reports) {
		r.disable()
		if r.resvTms > 0 {
			r.holder, r.heldUntil = string(a.address()), s.cfg.Now().Add(time.Duration(r.resvTms)*time.Second)
		}
		r.leave()
		r.resvTms = min(r.resvTms, 0)
		if strings.HasPrefix(r.dataSet, "@") {
			_ = r.setDataSet(nil, "", false)
		}
		r.rest()
	}
	for _, d := range s.domains {
		if d.settings != nil && d.settings.editor == a {
			d.settings.leave()
		}
	}
	s.deselect(a)
}

// address returns the octets of the client's network address, none where it has no such.
func (a *association) address() []byte {
	if c, ok := a.conn.Unwrap().(interface{ RemoteAddr() net.Addr }); ok {
		if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			if four := tcp.IP.To4(); four != nil {
				return four
			}
			return tcp.IP
		}
	}
	return nil
}

// startReporter starts the goroutine that sends what nobody asked for. s.mu is held.
func (a *association) startReporter() {
	if a.wake == nil {
		a.wake = make(chan struct{}, 1)
		go a.reporter()
	}
}

// signal wakes the reporter, if there is one. s.mu is held.
func (a *association) signal() {
	if a.wake == nil {
		return
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// reporter sends reports until the connection ends. A client that does not take
// them in time loses its connection.
func (a *association) reporter() {
	for {
		select {
		case <-a.wake:
		case <-a.ctx.Done():
			return
		}
		for a.sendReports() {
		}
	}
}

// sendReports sends some of what waits; more reports whether to go on.
func (a *association) sendReports() (more bool) {
	a.sending.Lock()
	defer a.sending.Unlock()
	a.frames = a.frames[:0]
	a.s.mu.Lock()
	for _, pdu := range a.pending {
		a.frames = a.stack.AppendPDU(a.frames, pdu)
	}
	a.pending = nil
	for _, r := range a.reports {
		for r.enabled && r.next < len(r.queue) && len(a.frames) < maxOut {
			r.sendNext(a)
		}
	}
	a.s.mu.Unlock()
	if len(a.frames) == 0 {
		return false
	}
	a.trace(true, a.frames)
	if err := a.conn.Write(a.ctx, time.Now().Add(a.s.cfg.Timeout), a.frames); err != nil {
		_ = a.conn.Close()
		return false
	}
	if cap(a.frames) > 2*maxOut {
		a.frames = nil
	}
	return true
}

// sendNext appends the next report of the queue to the frames.
func (r *report) sendNext(a *association) {
	e := &r.queue[r.next]
	r.appendReport(a, e)
	binary.BigEndian.PutUint64(r.lastSent[:], e.id)
	r.lastTime = e.time
	r.overflow = false
	r.sequence++
	limit := uint32(1 << 8)
	if r.def.Buffered {
		r.next++
		limit = 1 << 16
	} else {
		r.drop()
	}
	r.sequence %= limit
}

// appendReport appends one report, in segments where it is longer than a PDU.
func (r *report) appendReport(a *association, e *entry) {
	parts := e.content.parts
	perMember := 8
	if r.options&iec61850.DataReference != 0 {
		perMember += 132
	}
	room := a.maxPDU - 512 - len(r.data)/8
	options := r.options &^ iec61850.Segmentation
	if len(e.content.data)+perMember*len(parts) > room {
		options |= iec61850.Segmentation
	}
	for segment := 0; ; segment++ {
		n, used := 0, 0
		for n < len(parts) && (n == 0 || used+parts[n].to-parts[n].from+perMember <= room) {
			used += parts[n].to - parts[n].from + perMember
			n++
		}
		a.report = r.appendSegment(a.report[:0], e, parts[:n], options, segment, n < len(parts))
		a.frames = a.stack.AppendPDU(a.frames, a.report)
		if parts = parts[n:]; len(parts) == 0 {
			return
		}
	}
}

// appendSegment appends the PDU of some members of a report.
func (r *report) appendSegment(pdu []byte, e *entry, parts []part, options iec61850.ReportOptions, segment int, more bool) []byte {
	pdu, outer := ber.Open(pdu, ber.Tag(mms.Unconfirmed))
	pdu, inner := ber.Open(pdu, 0xA0)
	pdu = append(pdu, 0xA1, 5, 0x80, 3, 'R', 'P', 'T')
	pdu, list := ber.Open(pdu, 0xA0)
	pdu = r.appendHeader(pdu, e, options, segment, more)
	pdu = appendInclusion(pdu, len(r.data), parts)
	if options&iec61850.DataReference != 0 {
		for _, p := range parts {
			pdu = ber.Append(pdu, 0x8A, r.data[p.member].reference)
		}
	}
	for _, p := range parts {
		pdu = append(pdu, e.content.data[p.from:p.to]...)
	}
	if options&iec61850.ReasonForInclusion != 0 {
		for _, p := range parts {
			pdu = mms.AppendData(pdu, iec61850.Bits(uint64(p.why), 6))
		}
	}
	return ber.Close(ber.Close(ber.Close(pdu, list), inner), outer)
}

// appendInclusion appends the bit string that says which of n members follow.
func appendInclusion(pdu []byte, n int, parts []part) []byte {
	octets := (n + 7) / 8
	pdu = ber.AppendLength(append(pdu, 0x84), octets+1)
	pdu = append(pdu, byte(-n&7))
	at := len(pdu)
	pdu = append(pdu, make([]byte, octets)...)
	for _, p := range parts {
		pdu[at+p.member/8] |= 0x80 >> (p.member % 8)
	}
	return pdu
}

func (r *report) appendHeader(pdu []byte, e *entry, options iec61850.ReportOptions, segment int, more bool) []byte {
	id := r.id
	if id == "" {
		id = r.path
	}
	if !r.def.Buffered {
		options &^= iec61850.BufferOverflow | iec61850.EntryID
	}
	pdu = mms.AppendData(pdu, iec61850.Visible(id))
	pdu = mms.AppendData(pdu, iec61850.Bits(uint64(options), 10))
	if options&iec61850.SequenceNumber != 0 {
		pdu = mms.AppendData(pdu, iec61850.Uint(uint64(r.sequence)))
	}
	if options&iec61850.ReportTime != 0 {
		pdu = mms.AppendData(pdu, e.time)
	}
	if options&iec61850.DataSetName != 0 {
		pdu = mms.AppendData(pdu, iec61850.Visible(r.dataSet))
	}
	if options&iec61850.BufferOverflow != 0 {
		pdu = mms.AppendData(pdu, iec61850.Bool(r.overflow))
	}
	if options&iec61850.EntryID != 0 {
		var id [8]byte
		binary.BigEndian.PutUint64(id[:], e.id)
		pdu = ber.Append(pdu, 0x89, id[:])
	}
	if options&iec61850.ConfRevision != 0 {
		pdu = mms.AppendData(pdu, iec61850.Uint(uint64(r.confRev)))
	}
	if options&iec61850.Segmentation != 0 {
		pdu = mms.AppendData(pdu, iec61850.Uint(uint64(segment)))
		pdu = mms.AppendData(pdu, iec61850.Bool(more))
	}
	return pdu
}
