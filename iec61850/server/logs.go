package server

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

var logFields = []field{{"LogEna", "BOOLEAN"}, {"LogRef", "ObjRef"}, {"DatSet", "ObjRef"}, {"OldEntrTm", "EntryTime"}, {"NewEntrTm", "EntryTime"},
	{"OldEntr", "EntryID"}, {"NewEntr", "EntryID"}, {"TrgOps", "TrgOps"}, {"IntgPd", "INT32U"}}

// journal is a log and its control block. Guarded by s.mu.
type journal struct {
	s         *Server
	domain    *domain
	name      string // of the journal, in its domain
	dataSet   string
	data      []member                      // of the data set
	byAttr    map[*iec61850.Attribute][]int // members that it belongs to
	enabled   bool
	triggers  iec61850.Trigger
	integrity uint32
	entries   []mms.JournalEntry
	lastID    uint64
	cycle     *time.Timer
}

func (s *Server) addLog(d *domain, n *iec61850.Node, def *iec61850.Log) *node {
	name := def.Journal
	if name == "" {
		name = def.Name
	}
	j := &journal{s: s, domain: d, name: n.Name + "$" + name, enabled: def.Enabled, triggers: def.Triggers, integrity: def.Integrity,
		byAttr: map[*iec61850.Attribute][]int{}}
	if def.DataSet != "" {
		j.dataSet = n.Name + "$" + def.DataSet
	}
	s.logs = append(s.logs, j)
	d.journals = append(d.journals, j.name)
	slices.Sort(d.journals)
	it := &node{name: def.Name, path: n.Name + "$LG$" + def.Name, fc: iec61850.LG}
	it.addFields(j, logFields)
	return it
}

// open resolves the data set.
func (j *journal) open() error {
	if j.dataSet == "" {
		return nil
	}
	l := j.domain.lists[j.dataSet]
	if l == nil {
		return fmt.Errorf("server: log %s/%s: data set %s: %w", j.domain.name, j.name, j.dataSet, iec61850.ErrNotFound)
	}
	j.data = l.members
	for i, m := range j.data {
		m.item.leaves(func(a *iec61850.Attribute) { j.byAttr[a] = append(j.byAttr[a], i) })
	}
	j.startCycle()
	return nil
}

// changed enters what an update changed. The model and s.mu are locked.
func (j *journal) changed(changes []iec61850.Change) {
	if !j.enabled {
		return
	}
	var reasons []iec61850.Trigger
	for _, c := range changes {
		why := c.Trigger & j.triggers
		if why == 0 || len(j.byAttr[c.Attribute]) == 0 {
			continue
		}
		if reasons == nil {
			reasons = make([]iec61850.Trigger, len(j.data))
		}
		for _, i := range j.byAttr[c.Attribute] {
			reasons[i] |= why
		}
	}
	if reasons != nil {
		j.enter(reasons)
	}
}

// enter adds an entry of the members that have a reason.
func (j *journal) enter(reasons []iec61850.Trigger) {
	j.lastID++
	e := mms.JournalEntry{ID: binary.BigEndian.AppendUint64(nil, j.lastID), Time: iec61850.EntryTimeOf(j.s.cfg.Now())}
	for i, why := range reasons {
		if why != 0 {
			e.Variables = append(e.Variables, mms.JournalVariable{Tag: j.data[i].reference, Value: j.data[i].value()},
				mms.JournalVariable{Tag: "ReasonCode", Value: iec61850.Bits(uint64(why), 6)})
		}
	}
	if len(j.entries) >= j.s.cfg.LogSize {
		j.entries[0] = mms.JournalEntry{}
		j.entries = j.entries[1:]
	}
	j.entries = append(j.entries, e)
}

func (j *journal) stopTimer() {
	if j.cycle != nil {
		j.cycle.Stop()
		j.cycle = nil
	}
}

// startCycle begins the entries of integrity.
func (j *journal) startCycle() {
	j.stopTimer()
	if j.enabled && j.integrity > 0 && j.triggers&iec61850.Integrity != 0 {
		j.s.every(j.integrity, &j.cycle, func() { j.enter(slices.Repeat([]iec61850.Trigger{iec61850.Integrity}, len(j.data))) })
	}
}

func (*journal) members() []field { return logFields }

func (*journal) tracked(int) (object string, what service) { return "LocbTrk", setLog }

func (j *journal) get(i int) iec61850.Value {
	old := mms.JournalEntry{ID: make([]byte, 8), Time: iec61850.EntryTimeOf(time.Time{})}
	last := old
	if len(j.entries) > 0 {
		old, last = j.entries[0], j.entries[len(j.entries)-1]
	}
	switch logFields[i].name {
	case "LogEna":
		return iec61850.Bool(j.enabled)
	case "LogRef":
		return iec61850.Visible(j.domain.name + "/" + j.name)
	case "DatSet":
		return j.domain.listName(j.dataSet)
	case "OldEntrTm":
		return old.Time
	case "NewEntrTm":
		return last.Time
	case "OldEntr":
		return iec61850.Octets(old.ID)
	case "NewEntr":
		return iec61850.Octets(last.ID)
	case "TrgOps":
		return iec61850.Bits(uint64(j.triggers), 6)
	}
	return iec61850.Uint(uint64(j.integrity))
}

func (*journal) decide(*association, int, iec61850.Value) error { return nil }

// set lets clients turn the log on and off and choose its triggers.
func (j *journal) set(_ *association, i int, v iec61850.Value) error {
	switch logFields[i].name {
	case "LogEna":
		j.enabled = v.Bool() && len(j.data) > 0
		j.startCycle()
		if v.Bool() != j.enabled {
			return mms.TemporarilyUnavailable
		}
		return nil
	case "TrgOps", "IntgPd":
		if j.enabled {
			return mms.TemporarilyUnavailable
		}
		if n, ok := v.Uint(); ok {
			if n > 0 && n < minIntegrity {
				return mms.ObjectValueInvalid
			}
			j.integrity = uint32(n)
		} else {
			j.triggers = iec61850.Trigger(padBits(v, 6))
		}
		return nil
	}
	return mms.ObjectAccessDenied
}

// readJournal answers ReadJournal.
func (a *association) readJournal(p mms.PDU) error {
	q, err := mms.ParseJournalRequest(p.Body)
	if err != nil {
		return err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	i := slices.IndexFunc(a.s.logs, func(j *journal) bool {
		return q.Name.Scope == mms.ScopeDomain && j.domain.name == string(q.Name.Domain) && j.name == string(q.Name.Item)
	})
	if i < 0 {
		return mms.ErrDomainMissing
	}
	entries := a.s.logs[i].query(q)
	a.respond(p, true, func(dst []byte) []byte { return mms.AppendJournal(dst, entries, a.maxPDU-128) })
	return nil
}

// query returns the entries that a request asks for.
func (j *journal) query(q mms.JournalRequest) []mms.JournalEntry {
	list := j.entries
	from := func(match func(mms.JournalEntry) bool, past int) {
		i := slices.IndexFunc(list, match)
		if i < 0 {
			list = nil
			return
		}
		list = list[i+past:]
	}
	switch {
	case q.AfterID != nil:
		from(func(e mms.JournalEntry) bool { return string(e.ID) == string(q.AfterID) }, 1)
	case q.Start.Kind() == iec61850.EntryTime:
		from(func(e mms.JournalEntry) bool { return !e.Time.EntryTime().Before(q.Start.EntryTime()) }, 0)
	case q.Start.Kind() == iec61850.OctetString:
		from(func(e mms.JournalEntry) bool { return string(e.ID) == q.Start.Text() }, 0)
	}
	if q.Stop.Kind() == iec61850.EntryTime {
		if i := slices.IndexFunc(list, func(e mms.JournalEntry) bool { return e.Time.EntryTime().After(q.Stop.EntryTime()) }); i >= 0 {
			list = list[:i]
		}
	} else if n, ok := q.Stop.Int(); ok && n >= 0 && n < int64(len(list)) {
		list = list[:n]
	}
	return list
}
