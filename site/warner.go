package site

import (
	"sync"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Warner tells of what a face cannot show, each once. Its methods may be called by several
// goroutines at once.
type Warner struct {
	Hear func(text string) // nil hears nothing

	mu   sync.Mutex
	told map[warning]bool
}

// warning is what was told already.
type warning struct {
	meter   ID
	reading int
	flags   obis.Flags
	text    string
}

// maxWarned is how many warnings are remembered; beyond it nothing is told any more.
const maxWarned = 10_000

// Say tells a text.
func (w *Warner) Say(text string) {
	if w.first(warning{text: text}) {
		w.Hear(text)
	}
}

// Lost tells what of a meter's data is lost. What differs only in how much of it is so is the same.
func (w *Warner) Lost(id ID, d *mapping.Data, l mapping.Loss) {
	if w.first(warning{id, l.Index, l.Flags, l.Reason}) {
		w.Hear(string(id) + ": " + d.Describe(d.Gather([]mapping.Loss{l})[0]))
	}
}

// first reports whether somebody hears, and a warning was not told yet.
func (w *Warner) first(x warning) bool {
	if w.Hear == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[x] || len(w.told) >= maxWarned {
		return false
	}
	if w.told == nil {
		w.told = map[warning]bool{}
	}
	w.told[x] = true
	return true
}
