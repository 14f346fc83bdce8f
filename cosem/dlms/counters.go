package dlms

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openusm/meter/cosem/security"
)

// FileCounters keeps invocation counters in a file, so that they survive a
// restart. It may be used by several goroutines, and the file by several
// processes of one machine: each reserves its counters under a lock
// (the file with ".lock" behind its name) before it uses them, and they are on
// the disk before. After a crash a few are skipped, and none is used twice.
//
// A counter for sending is never below the seconds since 2020, so that what
// follows a lost file lies above what was before. The lock file remembers what
// the file looked like (its number, and when it was written and changed): a file
// that was restored, copied or edited is not believed, and its counters go on one
// to two million further, as chance has it; see [FileCounters.Restored]. What cannot be noticed is a whole
// disk that was put back: then only the seconds since 2020 help.
type FileCounters struct {
	mu       sync.Mutex
	path     string
	lock     *os.File
	out, in  map[security.CounterID]span
	exact    map[security.CounterID]bool // reset to a number that the caller chose
	stamp    stamp                       // of the file that we read or wrote last
	table    *counterTable               // what it holds
	restored bool
	saved    time.Time // when a counter of what came was written last
	flush    *time.Timer
}

// span is what this process may use without looking at the file: counters from
// next on, below limit, which is what the file holds.
type span struct{ next, limit uint64 }

const (
	ahead = 64      // counters that are reserved at once
	room  = 16      // the same for what comes: so many may be refused after a crash
	skip  = 1 << 20 // counters that are left out at least, and twice that at most, when the file is not believed

	// burst is how soon after a message the next one must come that it be taken
	// without a write of its own: then the file says that all of a span came, and
	// soon after the last how many it were.
	burst     = 250 * time.Millisecond
	flushTime = time.Second
	// pastCounters is above all counters.
	pastCounters = 1 << 32
)

// counterEpoch is when counters began.
var counterEpoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// sinceEpoch returns the seconds since then: no counter that is sent is below.
func sinceEpoch() uint64 { return uint64(max(0, time.Since(counterEpoch)/time.Second)) }

var _ security.Counters = (*FileCounters)(nil)

// OpenCounters opens the counters of a file, which need not exist yet, nor its folder.
func OpenCounters(path string) (*FileCounters, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f := &FileCounters{path: path, lock: lock, out: map[security.CounterID]span{}, in: map[security.CounterID]span{}, exact: map[security.CounterID]bool{}}
	err = f.locked(func(t *counterTable) error {
		_ = os.Remove(f.temp()) // of a process that died
		return nil
	})
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return f, nil
}

// Restored reports whether the file was found to be another one than that which
// was written last: put back from a backup, copied, edited or lost. No counter is
// used again all the same, but messages that came since the backup would be
// accepted once more.
func (f *FileCounters) Restored() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.restored
}

// Close gives back what was reserved and not used. The counters may be used no more.
func (f *FileCounters) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flush != nil {
		f.flush.Stop()
	}
	err := f.giveBack(true)
	return errors.Join(err, f.lock.Close())
}

// Next implements [security.Counters].
func (f *FileCounters) Next(id security.CounterID) (uint32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.out[id]
	if s.next == s.limit || !f.unchanged() { // another process has gone on: so do we, as the peer wants counters to grow
		err := f.locked(func(t *counterTable) error {
			s.next = max(t.counters[id], 1)
			if !f.exact[id] {
				s.next = max(s.next, sinceEpoch()+t.extra)
			}
			if s.next >= pastCounters-1 {
				return security.ErrExhausted
			}
			s.limit = min(s.next+ahead, pastCounters-1)
			t.set(id, s.limit)
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	n := s.next
	s.next++
	f.out[id] = s
	return uint32(n), nil
}

// Accept implements [security.Counters].
func (f *FileCounters) Accept(id security.CounterID, counter uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, n := f.in[id], uint64(counter)
	if n < s.next {
		return security.ErrReplay
	}
	if n >= s.limit || !f.unchanged() {
		err := f.locked(func(t *counterTable) error {
			if known := t.counters[id]; known != s.limit && n < known {
				return security.ErrReplay
			}
			s.limit = n + 1
			if time.Since(f.saved) < burst {
				s.limit = min(s.limit+room, pastCounters)
			}
			t.set(id, s.limit)
			return nil
		})
		if err != nil {
			return err
		}
	}
	f.saved = time.Now()
	s.next = n + 1
	f.in[id] = s
	if s.next < s.limit && f.flush == nil {
		f.flush = time.AfterFunc(flushTime, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.flush = nil
			_ = f.giveBack(false) // the file says more than came, which is safe
		})
	}
	return nil
}

// Reset implements [security.Counters]. For counters that are sent it is the word
// of whoever knows where the peer stands: they start there, even below the
// seconds since 2020.
func (f *FileCounters) Reset(id security.CounterID, start uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.locked(func(t *counterTable) error {
		t.set(id, uint64(start))
		return nil
	})
	if err != nil {
		return err
	}
	if id.Receive {
		f.in[id] = span{uint64(start), uint64(start)}
	} else {
		f.out[id], f.exact[id] = span{}, true
	}
	return nil
}

// Expected returns the lowest counter that would be accepted or sent next. The
// zero Title stands for whichever sender counted furthest.
func (f *FileCounters) Expected(id security.CounterID) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var most uint64
	t := f.table
	if !f.unchanged() {
		var err error
		if t, _, err = f.read(); err != nil {
			return 0
		}
	}
	for other, n := range t.counters {
		if other.Key != id.Key || other.Receive != id.Receive || id.Title != (security.Title{}) && other.Title != id.Title {
			continue
		}
		own := f.out
		if id.Receive {
			own = f.in
		}
		if s := own[other]; s.limit == n && s.limit != 0 {
			n = s.next
		}
		most = max(most, n)
	}
	return uint32(min(most, pastCounters-1))
}

// settle has the file say what came, when an association ends.
func (f *FileCounters) settle() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.in {
		if s.next < s.limit {
			return f.giveBack(false)
		}
	}
	return nil
}

// settle is [FileCounters.settle] of counters that have it.
func settle(sec *Security) error {
	if sec == nil {
		return nil
	}
	if f, ok := sec.Counters.(interface{ settle() error }); ok {
		return f.settle()
	}
	return nil
}

// giveBack has the file say what was used, where it says what was reserved: for
// messages that came, and for those that are sent when all is over.
func (f *FileCounters) giveBack(all bool) error {
	give := func(t *counterTable, spans map[security.CounterID]span) {
		for id, s := range spans {
			if s.next < s.limit && t.counters[id] == s.limit {
				t.set(id, s.next)
				spans[id] = span{s.next, s.next}
			}
		}
	}
	return f.locked(func(t *counterTable) error {
		give(t, f.in)
		if all {
			give(t, f.out)
		}
		return nil
	})
}

// unchanged reports whether the file is as we wrote it.
func (f *FileCounters) unchanged() bool {
	s, err := stampOf(f.path)
	return err == nil && s == f.stamp
}

func (f *FileCounters) temp() string { return f.path + ".tmp" }

// locked has do look at the counters and change them while no other process
// does. They are on the disk when it returns.
func (f *FileCounters) locked(do func(*counterTable) error) (err error) {
	unlock, err := lockFile(f.lock)
	if err != nil {
		return fmt.Errorf("dlms: counters %s: %w", f.path, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	t, now, err := f.read()
	if err != nil {
		return err
	}
	known, err := f.vouched()
	if err != nil {
		return err
	}
	if !known.believes(t, now) {
		f.restored = true
		t.disbelieve(known)
		clear(f.out)
		for id, s := range f.in { // what we know ourselves still holds
			t.counters[id] = max(t.counters[id], s.limit)
		}
	}
	if err := do(t); err != nil {
		return err
	}
	f.stamp, f.table = now, t
	if !t.changed {
		return nil
	}
	return f.write(t, known)
}

// write puts the table in the place of the file at once.
func (f *FileCounters) write(t *counterTable, before voucher) error {
	t.generation = max(t.generation, before.next.generation, before.last.generation) + 1
	_ = os.Remove(f.temp())
	temp, err := os.OpenFile(f.temp(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = temp.Write(t.text())
	err = errors.Join(err, temp.Sync(), temp.Close())
	next := vouched{generation: t.generation}
	if err == nil {
		next.stamp, err = stampOf(f.temp())
	}
	// Until the file is in place both are vouched for.
	if err == nil {
		before.next = next
		err = f.vouch(before)
	}
	if err == nil {
		err = os.Rename(f.temp(), f.path)
	}
	if err != nil {
		_ = os.Remove(f.temp())
		return fmt.Errorf("dlms: counters: %w", err)
	}
	if err := syncFolder(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("dlms: counters: %w", err)
	}
	if f.stamp, err = stampOf(f.path); err != nil {
		return err
	}
	return f.vouch(voucher{last: vouched{t.generation, f.stamp}})
}

// counterTable is what the file holds.
type counterTable struct {
	generation uint64 // how often it was written
	extra      uint64 // counters that are left out where nothing is known of one
	counters   map[security.CounterID]uint64
	there      bool // there is a file
	changed    bool
}

func (t *counterTable) set(id security.CounterID, n uint64) {
	t.changed = t.changed || t.counters[id] != n || !t.there
	t.counters[id] = n
}

// disbelieve leaves out what may have been used since the file was made. How much
// is drawn: the same backup may be put back twice, or in two places.
func (t *counterTable) disbelieve(known voucher) {
	var drawn [4]byte
	_, _ = rand.Read(drawn[:])
	jump := skip + uint64(binary.BigEndian.Uint32(drawn[:])%skip)
	now := sinceEpoch() + t.extra
	t.extra += jump
	for id, n := range t.counters {
		if !id.Receive {
			t.counters[id] = min(max(n, now)+jump, pastCounters-1)
		}
	}
	t.generation, t.changed = max(t.generation, known.last.generation), true
}

// text returns the lines of the file, in the order of titles.
func (t *counterTable) text() []byte {
	lines := make([]string, 0, len(t.counters))
	for id, n := range t.counters {
		direction := "out"
		if id.Receive {
			direction = "in"
		}
		lines = append(lines, fmt.Sprintf("%v %d %s %d\n", id.Title, id.Key, direction, n))
	}
	slices.Sort(lines)
	return fmt.Appendf(nil, "invocation-counters %d %d\n%s", t.generation, t.extra, strings.Join(lines, ""))
}

// read reads the file, and what it looks like.
func (f *FileCounters) read() (*counterTable, stamp, error) {
	t := &counterTable{counters: map[security.CounterID]uint64{}}
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, stamp{}, nil
	}
	if err != nil {
		return nil, stamp{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	t.there = true
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		if n == 1 && strings.HasPrefix(lines.Text(), "invocation-counters ") {
			if _, err := fmt.Sscanf(lines.Text(), "invocation-counters %d %d", &t.generation, &t.extra); err != nil {
				return nil, stamp{}, fmt.Errorf("dlms: %s:%d: %w", f.path, n, err)
			}
			continue
		}
		id, counter, err := parseCounter(lines.Text())
		if err != nil {
			return nil, stamp{}, fmt.Errorf("dlms: %s:%d: %w", f.path, n, err)
		}
		t.counters[id] = counter
	}
	return t, newStamp(info), lines.Err()
}

// parseCounter reads a line: title, number of the key, direction, counter.
func parseCounter(line string) (id security.CounterID, counter uint64, err error) {
	var title, direction string
	if _, err := fmt.Sscanf(line, "%16s %d %s %d", &title, &id.Key, &direction, &counter); err != nil {
		return id, 0, err
	}
	b, err := hex.DecodeString(title)
	if err != nil || len(b) != security.TitleLen || direction != "in" && direction != "out" || counter > pastCounters {
		return id, 0, fmt.Errorf("%q is no counter", line)
	}
	id.Title, id.Receive = security.Title(b), direction == "in"
	return id, counter, nil
}

// stamp is what a file looks like from without. No two files that were written
// have the same, where the system counts changes of a file's description.
type stamp struct {
	number            uint64 // inode
	modified, changed int64
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return newStamp(info), nil
}

// vouched is a file that we wrote.
type vouched struct {
	generation uint64
	stamp
}

// voucher is what the lock file holds: the file that was put in place last, and
// that which is about to be.
type voucher struct{ last, next vouched }

// believes reports whether the file is one of those.
func (v voucher) believes(t *counterTable, s stamp) bool {
	if !t.there {
		return v.last == vouched{} // there never was one
	}
	if t.generation == v.last.generation && s == v.last.stamp {
		return true
	}
	// Put in place by a process that died before it could say so.
	n := v.next
	return n.generation != 0 && t.generation == n.generation && s.number == n.number && s.modified == n.modified
}

func (f *FileCounters) vouched() (v voucher, err error) {
	b := make([]byte, 512)
	n, err := f.lock.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return v, err
	}
	if n == 0 {
		return v, nil
	}
	_, _ = fmt.Fscan(bytes.NewReader(b[:n]), &v.last.generation, &v.last.number, &v.last.modified, &v.last.changed,
		&v.next.generation, &v.next.number, &v.next.modified) // what cannot be read vouches for nothing
	return v, nil
}

func (f *FileCounters) vouch(v voucher) error {
	b := fmt.Appendf(nil, "%d %d %d %d %d %d %d", v.last.generation, v.last.number, v.last.modified, v.last.changed,
		v.next.generation, v.next.number, v.next.modified)
	b = append(b, bytes.Repeat([]byte{' '}, max(0, 255-len(b)))...) // the same length always
	_, err := f.lock.WriteAt(append(b, '\n'), 0)
	return err
}
