package dlms

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/openusm/meter/cosem/security"
)

// FileCounters keeps invocation counters in a file, so that they survive a
// restart. Counters for sending are taken from the file some ahead: after a
// crash a few are skipped, and none is used twice. It may be used by several
// goroutines, and by one process at a time.
type FileCounters struct {
	mu     sync.Mutex
	path   string
	memory security.MemoryCounters
	saved  map[security.CounterID]uint32 // what the file holds: no counter below it will be used or accepted
}

// ahead is how many counters for sending are reserved at once.
const ahead = 64

var _ security.Counters = (*FileCounters)(nil)

// OpenCounters reads the counters of a file, which need not exist yet.
func OpenCounters(path string) (*FileCounters, error) {
	f := &FileCounters{path: path, saved: map[security.CounterID]uint32{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		id, counter, err := parseCounter(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("dlms: %s:%d: %w", path, n, err)
		}
		f.saved[id] = counter
		if err := f.memory.Reset(id, counter); err != nil {
			return nil, err
		}
	}
	return f, lines.Err()
}

// parseCounter reads a line: title, number of the key, direction, counter.
func parseCounter(line string) (id security.CounterID, counter uint32, err error) {
	var title, direction string
	if _, err := fmt.Sscanf(line, "%16s %d %s %d", &title, &id.Key, &direction, &counter); err != nil {
		return id, 0, err
	}
	b, err := hex.DecodeString(title)
	if err != nil || len(b) != security.TitleLen || direction != "in" && direction != "out" {
		return id, 0, fmt.Errorf("%q is no counter", line)
	}
	id.Title, id.Receive = security.Title(b), direction == "in"
	return id, counter, nil
}

// Next implements [security.Counters].
func (f *FileCounters) Next(id security.CounterID) (uint32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.memory.Next(id)
	if err != nil {
		return 0, err
	}
	if n >= f.saved[id] {
		if err := f.save(id, n+min(ahead, 0xFFFFFFFF-n)); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// Accept implements [security.Counters].
func (f *FileCounters) Accept(id security.CounterID, counter uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.memory.Accept(id, counter); err != nil {
		return err
	}
	return f.save(id, counter+min(1, 0xFFFFFFFF-counter))
}

// Reset implements [security.Counters].
func (f *FileCounters) Reset(id security.CounterID, start uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.memory.Reset(id, start); err != nil {
		return err
	}
	if id.Key == security.KeyDedicated {
		return nil // ends with its association
	}
	return f.save(id, start)
}

// Expected is [security.MemoryCounters.Expected].
func (f *FileCounters) Expected(id security.CounterID) uint32 { return f.memory.Expected(id) }

// save writes the file anew, and puts it in place of the old one at once.
func (f *FileCounters) save(id security.CounterID, counter uint32) error {
	if id.Key == security.KeyDedicated {
		return nil
	}
	f.saved[id] = counter
	var b bytes.Buffer
	for id, n := range f.saved {
		direction := "out"
		if id.Receive {
			direction = "in"
		}
		fmt.Fprintf(&b, "%v %d %s %d\n", id.Title, id.Key, direction, n)
	}
	temp, err := os.CreateTemp(filepath.Dir(f.path), ".counters")
	if err != nil {
		return err
	}
	_, err = temp.Write(b.Bytes())
	if !id.Receive { // what is sent must never be forgotten, even by a power failure
		err = errors.Join(err, temp.Sync())
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}
