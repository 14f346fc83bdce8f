package iec104

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// Point is one information object.
type Point struct {
	Meter   site.ID // "" in a [Station] of one meter
	Common  uint16  // common address of ASDU
	Address uint32  // information object address
	Kind    Kind
	Group   uint8
	ID      string    // the OBIS code, or the raw id
	Code    obis.Code // not valid where there is only a raw id
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
	held     bool // a reading of a site has it
	switched bool // truth values are commands for it
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

// image is what is shown of a meter: points that keep their addresses for good.
type image struct {
	rules  *Rules
	meter  site.ID
	common uint16
	points []*Point
	byID   map[string]*Point
	at     map[uint32]*Point
	bound  []*Point // the points of the readings of a site, by their index; nil for those that have none
	lacks  []string // why they have none
}

func newImage(rules *Rules, meter site.ID, common uint16) *image {
	return &image{rules: rules, meter: meter, common: common, byID: map[string]*Point{}, at: map[uint32]*Point{}}
}

// maxPoints is how many points a meter has at most.
const maxPoints = 100_000

// update takes all readings, and returns the points that changed.
func (m *image) update(d *mapping.Data, received time.Time) (changed []*Point, lost []mapping.Loss) {
	seen, shown := map[string]bool{}, map[*Point]bool{}
	for i := range d.Readings {
		r := &d.Readings[i]
		id := r.ID()
		if seen[id] {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: "another reading has its id"})
			continue
		}
		seen[id] = true
		p, reason := m.point(r)
		if p == nil {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: reason})
			continue
		}
		shown[p] = true
		news, loss := p.take(r, i, d.Clock, received)
		if news {
			changed = append(changed, p)
		}
		lost = append(lost, loss...)
	}
	for _, p := range m.points { // what the meter no longer shows is not topical
		if !shown[p] && p.quality&notTopical == 0 {
			p.quality |= notTopical
			p.at = received
			changed = append(changed, p)
		}
	}
	return changed, d.Gather(slices.Concat(lost, mapping.ReadingsOnly(d), mapping.StatusLost(d)))
}

// change takes the readings of a site that are new, of a list that only grows at its end.
func (m *image) change(d *mapping.Data, set []int, received time.Time) (changed []*Point, lost []mapping.Loss) {
	for i := len(m.bound); i < len(d.Readings); i++ {
		p, reason := m.point(&d.Readings[i])
		if p != nil && p.held {
			p, reason = nil, "another reading has its id"
		}
		if p != nil {
			p.held = true
		}
		m.bound, m.lacks = append(m.bound, p), append(m.lacks, reason)
	}
	for _, i := range set {
		r, p := &d.Readings[i], m.bound[i]
		switch {
		case p == nil && m.lacks[i] == noValue && !r.Value.IsNone(): // its first value says what it is
			p, m.lacks[i] = m.point(r)
			if m.bound[i] = p; p != nil {
				p.held = true
			}
		case p != nil && p.Unit != r.Unit && !r.Value.IsNone():
			lost = append(lost, mapping.Loss{Index: i, Reason: p.otherUnit(r)})
			if p.quality&notTopical == 0 {
				p.quality |= notTopical
				changed = append(changed, p)
			}
			continue
		}
		if p == nil {
			lost = append(lost, mapping.Loss{Index: i, Flags: r.Quality.Flags, Reason: m.lacks[i]})
			continue
		}
		news, loss := p.take(r, i, d.Clock, received)
		if news {
			changed = append(changed, p)
		}
		if lost = append(lost, loss...); r.Quality.Raw != 0 {
			lost = append(lost, mapping.Loss{Index: i, Reason: "the meter's own status word"})
		}
	}
	return changed, lost
}

// take takes a reading, and reports whether it is news.
func (p *Point) take(r *obis.Reading, i int, clock obis.Clock, received time.Time) (news bool, lost []mapping.Loss) {
	before := *p
	if reason := p.set(r, clock, received); reason != "" {
		lost = append(lost, mapping.Loss{Index: i, Reason: reason})
	}
	// The time tag tells of the clock and of summer time.
	if left := p.Kind.unshown(r.Quality) &^ (obis.ClockInvalid | obis.DST); left != 0 {
		lost = append(lost, mapping.Loss{Index: i, Flags: left})
	}
	return p.count != before.count || p.float != before.float || p.on != before.on || p.quality != before.quality || before.at.IsZero(), lost
}

// noValue says why a reading that never had a value has no point.
const noValue = "no value yet"

func (p *Point) otherUnit(r *obis.Reading) string {
	return fmt.Sprintf("its unit, once %v, is %v now", p.Unit, r.Unit)
}

// point returns the point of a reading, which it makes when it first sees it.
func (m *image) point(r *obis.Reading) (*Point, string) {
	id := r.ID()
	if id == "" {
		return nil, "no id"
	}
	if p := m.byID[id]; p != nil {
		if p.Unit != r.Unit && !r.Value.IsNone() {
			return nil, p.otherUnit(r)
		}
		return p, ""
	}
	found := m.rules.find(r.Code)
	if !r.Code.Valid() {
		found = rule{}
	}
	_, _, decimal := r.Value.Decimal()
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
		return nil, noValue
	default:
		return nil, "neither a number nor true or false"
	}
	if len(m.points) == maxPoints {
		return nil, fmt.Sprintf("more than %d points", maxPoints)
	}
	p := &Point{Kind: found.kind, Group: found.group, ID: id, Code: r.Code, Unit: r.Unit, Exp: found.exp}
	p.Address = m.address(found, r.Code, id)
	m.add(p)
	return p, ""
}

func (m *image) add(p *Point) {
	p.Meter, p.Common = m.meter, m.common
	p.switched = p.Kind == Single || p.Code.Valid() && m.rules.find(p.Code).kind == Single // a switch that tells its state as a number
	m.points = append(m.points, p)
	m.byID[p.ID], m.at[p.Address] = p, p
}

// address returns the address that the rule names, or that of the code; where another
// point has it, one that follows from the id.
func (m *image) address(r rule, c obis.Code, id string) uint32 {
	for _, a := range [...]uint32{r.address(c), addressOf(c)} {
		if a != 0 && m.at[a] == nil {
			return a
		}
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(id))
	for n := sum.Sum32(); ; n++ {
		if a := firstOther + n%(maxAddress-firstOther+1); m.at[a] == nil {
			return a
		}
	}
}

// Addresses of codes are A, two digits each of C, D and E: 1-0:1.8.0 is 1010800. From
// firstOther on are those of readings whose code has no such.
const (
	firstOther = 16_000_000
	maxAddress = 1<<24 - 1
)

// addressOf returns the address of a code, 0 where it has none.
func addressOf(c obis.Code) uint32 {
	if !c.Valid() || c[0] > 15 || c[1] != 0 || c[2] > 99 || c[3] > 99 || c[4] > 99 || c[5] != obis.FCurrent {
		return 0
	}
	return (uint32(c[0])*100+uint32(c[2]))*10_000 + uint32(c[3])*100 + uint32(c[4])
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
