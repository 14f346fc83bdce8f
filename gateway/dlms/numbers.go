package dlms

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"sync"

	"github.com/openusm/meter/site"
)

// The SAPs that meters get: those below are reserved, the last two of HDLC and the last of
// addresses of one octet mean nobody and everybody.
const (
	firstSAP = 0x10
	lastSAP  = 0x3FFD
	everyone = 0x7F
)

// numbers are the SAPs of meters, which never change, also those of meters that went.
type numbers struct {
	mu    sync.Mutex
	given map[site.ID]uint16
	taken map[uint16]site.ID
	next  uint16
	file  string // "" for none
}

// newNumbers returns the SAPs that are given, and those of a file, in which new ones are kept.
func newNumbers(given map[site.ID]uint16, file string) (*numbers, error) {
	n := &numbers{given: map[site.ID]uint16{}, taken: map[uint16]site.ID{}, next: firstSAP, file: file}
	for id, sap := range given {
		if sap < 2 || sap > lastSAP || sap == everyone {
			return nil, fmt.Errorf("dlms: SAP %d of %s: want 2 to %d, but not %d", sap, id, lastSAP, everyone)
		}
		if other, taken := n.taken[sap]; taken {
			return nil, fmt.Errorf("dlms: SAP %d of %s and %s", sap, min(id, other), max(id, other))
		}
		n.given[id], n.taken[sap] = sap, id
	}
	if file == "" {
		return n, nil
	}
	return n, n.read()
}

// read reads the file: a line `16 "meter"` for each SAP. One that was not written to its end
// is taken off.
func (n *numbers) read() error {
	text, err := os.ReadFile(n.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dlms: SAPs: %w", err)
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if whole < len(text) {
		if err := os.Truncate(n.file, int64(whole)); err != nil {
			return fmt.Errorf("dlms: SAPs: %w", err)
		}
	}
	for number, line := range bytes.Split(text[:max(whole-1, 0)], []byte("\n")) {
		var sap uint16
		var id site.ID
		if len(line) == 0 {
			continue
		}
		if _, err := fmt.Sscanf(string(line), "%d %q", &sap, &id); err != nil || sap < 2 || sap > lastSAP || sap == everyone {
			return fmt.Errorf("dlms: SAPs: %s: line %d: %q, want a SAP and the name of a meter", n.file, number+1, line)
		}
		if configured := n.given[id]; configured != 0 && configured != sap {
			n.hold(sap, id) // nobody else gets the one that it had
			continue
		}
		if other, taken := n.taken[sap]; taken && other != id {
			continue // it was configured for the other since: this one gets a new one
		}
		n.given[id], n.taken[sap] = sap, id
	}
	return nil
}

// hold keeps a SAP from being given to others.
func (n *numbers) hold(sap uint16, id site.ID) {
	if _, taken := n.taken[sap]; !taken {
		n.taken[sap] = id
	}
}

var errNoSAP = errors.New("no SAP is left")

// of returns the SAP of a meter, the first free one where it has none yet; 0 where there is
// none. The error may be that it could not be kept.
func (n *numbers) of(id site.ID) (uint16, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if sap := n.given[id]; sap != 0 {
		return sap, nil
	}
	for ; n.next <= lastSAP; n.next++ {
		if _, taken := n.taken[n.next]; !taken && n.next != everyone {
			n.given[id], n.taken[n.next] = n.next, id
			return n.next, n.keep(n.next, id)
		}
	}
	return 0, errNoSAP
}

// keep appends a SAP to the file.
func (n *numbers) keep(sap uint16, id site.ID) error {
	if n.file == "" {
		return nil
	}
	f, err := os.OpenFile(n.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d %q\n", sap, string(id))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("its SAP %d is forgotten when the program ends: %w", sap, err)
	}
	return nil
}

// all returns the meters that have a SAP.
func (n *numbers) all() iter.Seq[site.ID] {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Keys(maps.Clone(n.given))
}
