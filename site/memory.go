package site

import (
	"bytes"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/openusm/meter/obis"
)

// How much a Memory keeps where nobody says.
const (
	defaultChanges = 4096
	defaultRows    = 96 * 366
)

// Memory is a Store that forgets when the program ends. Its methods may be called by
// several goroutines at once.
type Memory struct {
	mu       sync.Mutex
	limit    int
	changes  []Change // a ring, once limit is reached
	oldest   int      // in the ring
	newest   uint64
	forgot   uint64 // the highest number that is no longer kept
	last     map[ID]Change
	profiles map[profileID]*table
}

type profileID struct {
	meter ID
	code  obis.Code
}

// NewMemory returns a store that keeps the last changes, 0 for 4,096, and of each
// profile the rows of a year of quarters of an hour.
func NewMemory(changes int) *Memory {
	if changes <= 0 {
		changes = defaultChanges
	}
	return &Memory{limit: changes, last: map[ID]Change{}, profiles: map[profileID]*table{}}
}

// Append keeps changes.
func (m *Memory) Append(list ...Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range list {
		if len(m.changes) < m.limit {
			m.changes = append(m.changes, c)
		} else {
			m.forgot = m.changes[m.oldest].Seq
			m.changes[m.oldest] = c
			m.oldest = (m.oldest + 1) % m.limit
		}
		if m.newest == 0 {
			m.forgot = max(m.forgot, c.Seq-1)
		}
		m.newest = c.Seq
		if c.Data == nil {
			delete(m.last, c.Meter)
			continue
		}
		m.last[c.Meter] = c
		for _, p := range c.Data.Profiles {
			id := profileID{c.Meter, p.Code}
			t := m.profiles[id]
			if t == nil {
				t = &table{}
				m.profiles[id] = t
			}
			t.add(p, c.Data.Clock)
		}
	}
	return nil
}

// Seq returns the highest sequence number that was kept.
func (m *Memory) Seq() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newest
}

// Last returns the newest of a meter.
func (m *Memory) Last(id ID) (Change, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.last[id]
	return c, ok
}

// After yields the changes behind a sequence number, 0 for all. Where some are no longer kept, or
// the number was never given, it yields ErrGap first, and then what there is.
func (m *Memory) After(seq uint64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		m.mu.Lock()
		list := slices.Concat(m.changes[m.oldest:], m.changes[:m.oldest])
		unknown := seq > m.newest
		gap := seq > 0 && (seq < m.forgot || unknown)
		m.mu.Unlock()
		if gap && !yield(Change{}, ErrGap) {
			return
		}
		if unknown {
			seq = 0
		}
		first, _ := slices.BinarySearchFunc(list, seq+1, func(c Change, s uint64) int {
			switch {
			case c.Seq < s:
				return -1
			case c.Seq > s:
				return 1
			}
			return 0
		})
		for _, c := range list[first:] {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Rows yields the rows of a profile that are kept, those with the same columns together.
func (m *Memory) Rows(meter ID, profile obis.Code, from, to time.Time) iter.Seq2[*obis.Profile, error] {
	return func(yield func(*obis.Profile, error) bool) {
		m.mu.Lock()
		var rows []row
		if t := m.profiles[profileID{meter, profile}]; t != nil {
			rows = slices.Clone(t.between(from, to))
		}
		m.mu.Unlock() // what the rows lie in does not change
		for _, p := range pages(rows) {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// table is the rows of a profile in the order of their times.
type table struct {
	rows []row
}

// row is one row, which lies in the profile that brought it.
type row struct {
	at   time.Time
	from *obis.Profile
	n    int
}

// add adds the rows of a profile. A row of the time of another takes its place.
func (t *table) add(p *obis.Profile, clock obis.Clock) {
	for n, local := range p.Times {
		at, ok := local.Instant(clock)
		if !ok {
			at, _ = local.Instant(obis.Clock{Zone: time.UTC}) // no instant, but an order
		}
		i, there := len(t.rows), false
		if i > 0 && !t.rows[i-1].at.Before(at) {
			i, there = slices.BinarySearchFunc(t.rows, at, func(r row, at time.Time) int { return r.at.Compare(at) })
		}
		x := row{at, p, n}
		if there && ok {
			t.rows[i] = x
		} else {
			t.rows = slices.Insert(t.rows, i, x)
		}
	}
	if n := len(t.rows) - defaultRows; n > 0 {
		t.rows = slices.Delete(t.rows, 0, n)
	}
}

// between returns the rows from one time to another.
func (t *table) between(from, to time.Time) []row {
	first, end := 0, len(t.rows)
	at := func(r row, at time.Time) int { return r.at.Compare(at) }
	if !from.IsZero() {
		first, _ = slices.BinarySearchFunc(t.rows, from, at)
	}
	if !to.IsZero() {
		end, _ = slices.BinarySearchFunc(t.rows, to.Add(1), at)
	}
	return t.rows[first:max(first, end)]
}

// pages returns copies of rows, those with the same columns together.
func pages(rows []row) (list []*obis.Profile) {
	var page *obis.Profile
	for _, r := range rows {
		if page == nil || !alike(page, r.from) {
			page = r.from.Clone()
			page.Reset()
			list = append(list, page)
		}
		page.AppendRow(r.from, r.n)
	}
	return list
}

// alike reports whether two profiles have the same columns.
func alike(a, b *obis.Profile) bool {
	return a.Period == b.Period && slices.EqualFunc(a.Columns, b.Columns, func(x, y obis.Column) bool {
		return x.Code == y.Code && x.Unit == y.Unit && x.Rule == y.Rule && bytes.Equal(x.RawID, y.RawID)
	})
}
