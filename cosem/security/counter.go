package security

import "sync"

// CounterID names an invocation counter.
type CounterID struct {
	Title   Title   // of the sender
	Key     KeyName // the key with which it counts
	Receive bool    // the counter of messages that came, rather than went
}

// KeyName tells the symmetric keys of a party apart.
type KeyName uint8

// The symmetric keys.
const (
	KeyUnicast KeyName = iota
	KeyBroadcast
	KeyAuthentication
	KeyMaster
	KeyDedicated
)

// Counters keeps the invocation counters of all keys and directions. It must
// survive a restart: a counter that is used twice breaks the cipher.
type Counters interface {
	// Next returns a counter for sending that was never returned before.
	Next(id CounterID) (uint32, error)
	// Accept records the counter of a message that came and proved genuine. It
	// returns [ErrReplay] for one that is not above all that were accepted before.
	Accept(id CounterID, counter uint32) error
	// Reset starts the counter again, for a new key; the next one will be start.
	Reset(id CounterID, start uint32) error
}

// MemoryCounters are counters that do not survive a restart. The zero value is
// ready, starts at 1 and may be used by several goroutines.
type MemoryCounters struct {
	mu   sync.Mutex
	next map[CounterID]uint64
}

// Next implements [Counters].
func (m *MemoryCounters) Next(id CounterID) (uint32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.next[id]
	if !ok {
		n = 1
	}
	if n >= counterMax {
		return 0, ErrExhausted
	}
	m.set(id, n+1)
	return uint32(n), nil
}

// Accept implements [Counters].
func (m *MemoryCounters) Accept(id CounterID, counter uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if uint64(counter) < m.next[id] {
		return ErrReplay
	}
	m.set(id, uint64(counter)+1)
	return nil
}

// Reset implements [Counters].
func (m *MemoryCounters) Reset(id CounterID, start uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(id, uint64(start))
	return nil
}

// Expected returns the lowest counter that would be accepted or sent next. The
// zero Title stands for whichever sender counted furthest.
func (m *MemoryCounters) Expected(id CounterID) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.next[id]
	for other, n := range m.next {
		if id.Title == (Title{}) && other.Key == id.Key && other.Receive == id.Receive {
			next = max(next, n)
		}
	}
	return uint32(min(next, counterMax))
}

func (m *MemoryCounters) set(id CounterID, n uint64) {
	if m.next == nil {
		m.next = map[CounterID]uint64{}
	}
	m.next[id] = n
}
