package iec104

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Point is one information object.
type Point struct {
	Address uint32 // information object address
	Kind    Kind
	Group   uint8
	ID      string    // the OBIS code, or the raw id
	Unit    obis.Unit // of the value times 10^Exp
	Exp     int8      // power of ten of one count of a total

	count    int32   // of a total
	turns    int64   // how often the count went through zero
	float    float32 // of a value
	counted  bool    // a count was set before
	on       bool    // of a single
	carry    bool    // the count went through zero since the reading before
	quality  byte    // descriptor: IV 80, NT 40, SB 20, BL 10, OV 01
	at       time.Time
	badClock bool
	frozen   *frozen
}

// frozen is what a counter freeze kept.
type frozen struct {
	count  int32
	carry  bool
	bad    bool
	at     time.Time
	number uint8 // sequence number
}

// String shows the point as a line of a signal list.
func (p *Point) String() string {
	switch p.Kind {
	case Total:
		return fmt.Sprintf("%d M_IT_TB_1 group %d %s 10^%d %v", p.Address, p.Group, p.ID, p.Exp, p.Unit)
	case Single:
		return fmt.Sprintf("%d M_SP_TB_1 group %d %s", p.Address, p.Group, p.ID)
	}
	return fmt.Sprintf("%d M_ME_TF_1 group %d %s %v", p.Address, p.Group, p.ID, p.Unit)
}

// image is what a station shows: points that keep their addresses for good.
type image struct {
	rules  *Rules
	points []*Point
	byID   map[string]*Point
	used   map[uint32]bool
	next   [3]uint32
}

func newImage(rules *Rules) *image {
	return &image{rules: rules, byID: map[string]*Point{}, used: map[uint32]bool{0: true}, next: [3]uint32{Value: 1, Total: 10001, Single: 20001}}
}

// maxPoints is how many points a station has at most.
const maxPoints = 100_000

// update takes the readings, and returns the points that changed.
func (m *image) update(d *mapping.Data, received time.Time) (changed []*Point, lost []mapping.Loss) {
	lose := func(part mapping.Part, i int, f obis.Flags, format string, args ...any) {
		lost = append(lost, mapping.Loss{Part: part, Index: i, Flags: f, Reason: fmt.Sprintf(format, args...)})
	}
	seen, shown := map[string]bool{}, map[string]bool{}
	for i := range d.Readings {
		r := &d.Readings[i]
		id := r.ID()
		switch {
		case id == "":
			lose(mapping.Reading, i, r.Quality.Flags, "no id")
			continue
		case seen[id]:
			lose(mapping.Reading, i, r.Quality.Flags, "another reading has its id")
			continue
		}
		seen[id] = true
		p, reason := m.point(r)
		if reason != "" {
			lose(mapping.Reading, i, r.Quality.Flags, "%s", reason)
			continue
		}
		shown[id] = true
		before := *p
		if reason := p.set(r, d.Clock, received); reason != "" {
			lose(mapping.Reading, i, 0, "%s", reason)
		}
		// The time tag tells of the clock and of summer time.
		if left := p.Kind.unshown(r.Quality) &^ (obis.ClockInvalid | obis.DST); left != 0 {
			lose(mapping.Reading, i, left, "")
		}
		if p.count != before.count || p.float != before.float || p.on != before.on || p.quality != before.quality || before.at.IsZero() {
			changed = append(changed, p)
		}
	}
	for _, p := range m.points { // what the meter no longer shows is not topical
		if !shown[p.ID] && p.quality&notTopical == 0 {
			p.quality |= notTopical
			p.at = received
			changed = append(changed, p)
		}
	}
	return changed, d.Gather(slices.Concat(lost, mapping.ReadingsOnly(d), mapping.StatusLost(d)))
}

// point returns the point of a reading, which it makes when it first sees it.
func (m *image) point(r *obis.Reading) (*Point, string) {
	if p := m.byID[r.ID()]; p != nil {
		if p.Unit != r.Unit && !r.Value.IsNone() {
			return nil, fmt.Sprintf("its unit, once %v, is %v now", p.Unit, r.Unit)
		}
		return p, ""
	}
	found := m.rules.find(r.Code)
	if !r.Code.Valid() {
		found = rule{}
	}
	_, exp, decimal := r.Value.Decimal()
	switch kind := r.Value.Kind(); {
	case kind == obis.KindBool:
		if found.kind != Single {
			found = rule{kind: Single}
		}
	case kind == obis.KindInt, kind == obis.KindUint, kind == obis.KindFloat32, kind == obis.KindFloat64, kind == obis.KindEnum:
		if found.kind == Single || found.kind == Total && !decimal {
			found = rule{}
		}
	case kind == obis.KindNone:
		return nil, "no value yet"
	default:
		return nil, "neither a number nor true or false"
	}
	if len(m.points) == maxPoints {
		return nil, fmt.Sprintf("more than %d points", maxPoints)
	}
	p := &Point{Kind: found.kind, Group: found.group, ID: r.ID(), Unit: r.Unit}
	if p.Kind == Total {
		if p.Exp = countExponent(r.Value, exp); found.exp != nil {
			p.Exp = *found.exp
		}
	}
	p.Address = m.address(found)
	m.points = append(m.points, p)
	m.byID[p.ID] = p
	return p, ""
}

// address returns the address of a rule or, where it is taken or there is none, the next free one.
func (m *image) address(r rule) uint32 {
	a := r.ioa
	for a == 0 || m.used[a] {
		a = m.next[r.kind]
		m.next[r.kind]++
	}
	m.used[a] = true
	return a
}

// countExponent returns the power of ten in which a counter of 31 bits has room
// for ten times the value.
func countExponent(v obis.Value, exp int8) int8 {
	m, _, ok := v.Decimal()
	if !ok {
		return 0
	}
	if m < 0 {
		m = -(m + 1)
	}
	for m > math.MaxInt32/10 && exp < 127 {
		m /= 10
		exp++
	}
	return exp
}

// set takes the value of a reading, and says what of it is lost.
func (p *Point) set(r *obis.Reading, clock obis.Clock, received time.Time) (lost string) {
	p.quality = descriptor(r.Quality)
	at, ok := r.Time.Instant(clock)
	if !ok {
		at = received
		if !r.Time.IsZero() {
			lost = "its time, which is no instant"
		}
	}
	p.at, p.badClock = at, r.Quality.Flags&obis.ClockInvalid != 0 || r.Time.Status != obis.TimeUnspecified && r.Time.Status&(obis.TimeInvalid|obis.TimeDoubtful) != 0
	if r.Value.IsNone() {
		p.quality |= invalid
		return "no value: shown as invalid"
	}
	switch p.Kind {
	case Single:
		n, ok := r.Value.Enum()
		if !ok {
			p.quality |= invalid
			return "neither true nor false: shown as invalid"
		}
		p.on = n != 0
	case Value:
		v := r.Value
		if n, ok := v.Enum(); ok {
			v = obis.Int(n, 0)
		}
		f, _ := v.Float64()
		p.float = float32(f)
		if p.float-p.float != 0 {
			p.float = 0
			p.quality |= invalid | overflow
			return "a number that a short float cannot hold: shown as invalid"
		}
	case Total:
		return p.setTotal(r.Value, lost)
	}
	return lost
}

// modulus is where a binary counter reading begins at zero again.
const modulus = 1 << 31

func (p *Point) setTotal(v obis.Value, lost string) string {
	m, exp, ok := v.Decimal()
	if !ok {
		p.quality |= invalid
		return "no decimal number: shown as invalid"
	}
	n, whole, fits := shift(m, int(exp)-int(p.Exp))
	if !fits {
		p.quality |= invalid
		return fmt.Sprintf("more than 2^63 counts of 10^%d: shown as invalid", p.Exp)
	}
	if !whole {
		lost = fmt.Sprintf("digits below 10^%d", p.Exp)
	}
	if n >= modulus || n <= -modulus {
		lost = fmt.Sprintf("%d counts are shown modulo 2^31", n)
	}
	turns := n / modulus
	p.carry = p.carry || p.counted && turns > p.turns
	p.count, p.turns, p.counted = int32(n%modulus), turns, true
	return lost
}

// shift returns m times 10^n cut to a whole number, whether that is exact, and
// whether it fits into 64 bits.
func shift(m int64, n int) (cut int64, exact, fits bool) {
	exact = true
	for ; n < 0 && m != 0; n++ {
		exact = exact && m%10 == 0
		m /= 10
	}
	for ; n > 0 && m != 0; n-- {
		if m > math.MaxInt64/10 || m < math.MinInt64/10 {
			return 0, false, false
		}
		m *= 10
	}
	return m, exact, true
}

// freeze keeps the counts of the totals of a group, 0 for all of them.
func (m *image) freeze(group uint8, now time.Time) {
	for _, p := range m.points {
		if p.Kind != Total || group != 0 && p.Group != group {
			continue
		}
		number := uint8(0)
		if p.frozen != nil {
			number = (p.frozen.number + 1) & 0x1F
		}
		p.frozen = &frozen{count: p.count, carry: p.carry, bad: p.quality&(invalid|notTopical) != 0, at: now, number: number}
		p.carry = false
	}
}
