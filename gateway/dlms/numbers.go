package dlms

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
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
	kept, err := n.read()
	for _, id := range slices.Sorted(maps.Keys(given)) {
		if err == nil && kept[given[id]] != id {
			err = n.keep(given[id], id)
		}
	}
	return n, err
}

// read reads the file: a line `16 "meter"` for each SAP that a meter got or was configured
// to have, of which the last one holds. One that was not written to its end is taken off.
func (n *numbers) read() (kept map[uint16]site.ID, err error) {
	text, err := os.ReadFile(n.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("dlms: SAPs: %w", err)
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if whole < len(text) {
		if err := os.Truncate(n.file, int64(whole)); err != nil {
			return nil, fmt.Errorf("dlms: SAPs: %w", err)
		}
	}
	kept = map[uint16]site.ID{}
	type line struct {
		sap uint16
		id  site.ID
	}
	var lines []line
	for number, text := range bytes.Split(text[:max(whole-1, 0)], []byte("\n")) {
		var sap uint16
		var id site.ID
		if len(text) == 0 {
			continue
		}
		if _, err := fmt.Sscanf(string(text), "%d %q", &sap, &id); err != nil || sap < 2 || sap > lastSAP || sap == everyone {
			return nil, fmt.Errorf("dlms: SAPs: %s: line %d: %q, want a SAP and the name of a meter", n.file, number+1, text)
		}
		kept[sap] = id
		lines = append(lines, line{sap, id})
	}
	for _, l := range slices.Backward(lines) {
		if _, taken := n.taken[l.sap]; taken {
			continue // it is the meter's, or another one was configured to have it since
		}
		n.taken[l.sap] = l.id // nobody else gets one that it had
		if n.given[l.id] == 0 {
			n.given[l.id] = l.sap
		}
	}
	return kept, nil
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
