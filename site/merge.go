package site

import (
	"bytes"
	"container/heap"
	"slices"
	"time"

	"github.com/openusm/meter/obis"
)

// job returns a job of a meter, which is made where it is new.
func (e *entry) job(name string) *job {
	j := e.jobs[name]
	if j == nil {
		j = &job{entry: e, heap: -1}
		e.jobs[name] = j
	}
	return j
}

// merge gives the readings of a meter what a job brought. It returns which are new, and
// the list with them, which is the one before where none is.
func (e *entry) merge(j *job, brought []obis.Reading, until time.Time) (set []int, list []obis.Reading) {
	list = e.last.Data.Readings
	owned := false
	j.slots = e.places(j.slots, brought, list)
	for i := range brought {
		slot, x := j.slots[i], &brought[i]
		for slot >= len(e.owner) {
			e.owner, e.until = append(e.owner, nil), append(e.until, time.Time{})
		}
		e.owner[slot], e.until[slot] = j, until
		if slot < len(list) && same(&list[slot], x) {
			continue
		}
		if !owned {
			list, owned = append(make([]obis.Reading, 0, len(list)+len(brought)-i), list...), true
		}
		if slot == len(list) {
			list = append(list, *x)
			obis.OwnReadings(list[slot:])
		} else {
			own := *x
			own.RawID = list[slot].RawID
			own.Value = x.Value.Clone()
			own.UnitText = bytes.Clone(x.UnitText)
			list[slot] = own
		}
		list[slot].Source = 0
		set = append(set, slot)
	}
	if len(set) > 1 && !slices.IsSorted(set) {
		slices.Sort(set)
		set = slices.Compact(set)
	}
	return set, list
}

// places returns where in the list each reading belongs: as the time before where
// the job brings the same in the same order.
func (e *entry) places(before []int, brought, list []obis.Reading) []int {
	if len(before) == len(brought) {
		for i := range brought {
			x, y := &brought[i], &list[before[i]]
			if x.Code != y.Code || !bytes.Equal(x.RawID, y.RawID) {
				before = nil
				break
			}
		}
		if before != nil {
			return before
		}
	}
	places := make([]int, 0, len(brought))
	times := map[key]int{}
	for i := range brought {
		k := key{code: brought[i].Code, raw: string(brought[i].RawID)}
		n := times[k]
		times[k] = n + 1
		k.nth = n
		slot, known := e.slots[k]
		if !known {
			slot = len(e.slots)
			e.slots[k] = slot
		}
		places = append(places, slot)
	}
	return places
}

// same reports whether a reading says what another one did.
func same(a, b *obis.Reading) bool {
	return a.Unit == b.Unit && a.Time == b.Time && a.Quality == b.Quality && a.Start == b.Start && a.Rule == b.Rule &&
		identical(a.Value, b.Value) && bytes.Equal(a.UnitText, b.UnitText)
}

// identical is Value.Equal, but a number that is shown with other digits is another one.
func identical(a, b obis.Value) bool { return a.Exp() == b.Exp() && a.Equal(b) }

// earliest returns when the first reading that a job brought last grows old, zero for never.
func (e *entry) earliest(j *job) (first time.Time) {
	list := e.last.Data.Readings
	for slot, owner := range e.owner {
		if owner != j || e.until[slot].IsZero() || slot < len(list) && list[slot].Quality.Flags&obis.Old != 0 && !e.until[slot].After(time.Now()) {
			continue
		}
		if first.IsZero() || e.until[slot].Before(first) {
			first = e.until[slot]
		}
	}
	return first
}

// ages are the jobs of which something grows old, the first to do so first.
type ages []*job

// renew says when the first reading of a job grows old.
func (a *ages) renew(j *job, next time.Time) {
	switch {
	case next.IsZero():
		a.remove(j)
		return
	case j.heap < 0:
		j.next = next
		heap.Push(a, j)
		return
	}
	j.next = next
	heap.Fix(a, j.heap)
}

func (a *ages) remove(j *job) {
	if j.heap >= 0 {
		heap.Remove(a, j.heap)
	}
}

// Len, Less, Swap, Push and Pop are for package heap.
func (a ages) Len() int           { return len(a) }
func (a ages) Less(i, k int) bool { return a[i].next.Before(a[k].next) }
func (a ages) Swap(i, k int) {
	a[i], a[k] = a[k], a[i]
	a[i].heap, a[k].heap = i, k
}
func (a *ages) Push(x any) {
	j := x.(*job)
	j.heap = len(*a)
	*a = append(*a, j)
}
func (a *ages) Pop() any {
	last := len(*a) - 1
	j := (*a)[last]
	*a = (*a)[:last]
	j.heap = -1
	return j
}
