package site

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
)

// watcher is someone who hears of changes.
type watcher struct {
	mu      sync.Mutex
	pending map[*entry]struct{}
	order   []*entry // of pending, in the order of their changes
	wake    chan struct{}
	seen    map[*entry]uint64 // the change of each meter that was yielded last
}

// add remembers that a meter changed. The site is locked.
func (w *watcher) add(e *entry) {
	w.mu.Lock()
	if _, there := w.pending[e]; !there {
		w.pending[e] = struct{}{}
		w.order = append(w.order, e)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns the meters that changed, and forgets that they did.
func (w *watcher) take(into []*entry) []*entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	into = append(into[:0], w.order...)
	clear(w.order)
	w.order = w.order[:0]
	clear(w.pending)
	return into
}

// Watch yields each meter that there is, and then those that change.
func (s *Site) Watch(ctx context.Context) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		w := &watcher{pending: map[*entry]struct{}{}, wake: make(chan struct{}, 1), seen: map[*entry]uint64{}}
		s.mu.Lock()
		s.watchers[w] = struct{}{}
		list := make([]*entry, 0, len(s.meters))
		for _, e := range s.meters {
			list = append(list, e)
		}
		s.mu.Unlock()
		slices.SortFunc(list, func(a, b *entry) int { return strings.Compare(string(a.id), string(b.id)) })
		defer func() {
			s.mu.Lock()
			delete(s.watchers, w)
			s.mu.Unlock()
		}()
		for {
			for _, e := range list {
				if ctx.Err() != nil {
					return
				}
				if c, fresh := s.news(w, e); fresh && !yield(c) {
					return
				}
			}
			if list = w.take(list); len(list) > 0 {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-w.wake:
			}
		}
	}
}

// news returns what of a meter a watcher has not seen.
func (s *Site) news(w *watcher, e *entry) (Change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := e.last
	seen, known := w.seen[e]
	if seen == c.Seq {
		return c, false
	}
	if c.Data == nil {
		delete(w.seen, e)
		return c, known
	}
	w.seen[e] = c.Seq
	// Where changes were missed, what they brought is new, too.
	var set []int
	for slot, at := range e.changed {
		if at > seen || !known {
			set = append(set, slot)
		}
	}
	if len(set) != len(c.Set) {
		c.Set = set
	}
	return c, true
}
