package tables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/obis"
)

// LoadProfile is how one of the four sets of load profile data is laid out, from
// the tables 61, 62 and 63. A block of the set's table (64 to 67) is
//
//	end of the block | readings at its end | simple status | intervals
//
// and an interval the extended status and one value for each channel.
type LoadProfile struct {
	Set       int // 1 to 4
	Blocks    int // the table has
	Intervals int // of a block
	Minutes   int // of an interval
	Channels  []Channel

	descending         bool // the newest block is the first
	intervalsBackwards bool // the newest interval is the first
	valid              int  // blocks with data
	last               int  // the newest block
	validIntervals     int  // of the newest block
	endRead            bool
	endPulse           bool
	simple             bool
	extended           bool
	format             byte
	config             Config
}

// Channel is one column of a load profile.
type Channel struct {
	UOM    ansic12.UOM
	Code   obis.Code
	Unit   obis.Unit
	Exp    int8  // power of ten of the values
	Factor int64 // by which what was recorded is multiplied
	Exact  bool  // the scale is known and exact; if not, values are as they were recorded
}

// codeProfile is the first load profile.
var codeProfile = obis.Code{1, 0, 99, 1, 0, 255}

// ErrNoProfile reports a set of load profile data that the meter does not have.
var ErrNoProfile = errors.New("no such load profile")

// The formats of recorded values (INT_FMT_CDE).
var intervalSizes = map[byte]int{1: 1, 2: 2, 4: 4, 8: 1, 16: 2, 32: 4}

// LoadProfile returns how a set is laid out. The tables 61 and 62 must have been
// added; without table 63 all blocks count as full.
func (d *Device) LoadProfile(set int) (*LoadProfile, error) {
	limit := func(name string) int { return d.get(61, fmt.Sprintf("%s_SET%d", name, set)) }
	p := &LoadProfile{
		Set: set, Blocks: limit("NBR_BLKS"), Intervals: limit("NBR_BLK_INTS"), Minutes: limit("MAX_INT_TIME"),
		endRead: d.get(61, "BLK_END_READ_FLAG") != 0, endPulse: d.get(61, "BLK_END_PULSE_FLAG") != 0,
		simple: d.get(61, "SIMPLE_INT_STATUS_FLAG") != 0, extended: d.get(61, "EXTENDED_INT_STATUS_FLAG") != 0,
		format: byte(d.get(62, fmt.Sprintf("INT_FMT_CDE%d", set))), config: d.Config,
	}
	channels := limit("NBR_CHNS")
	if set < 1 || set > 4 || channels == 0 || p.Intervals == 0 || p.Minutes == 0 {
		return nil, fmt.Errorf("tables: set %d: %w", set, ErrNoProfile)
	}
	if d.get(61, "CLOSURE_STATUS_FLAG") != 0 {
		return nil, &ParseError{Table: 61, Field: "CLOSURE_STATUS_FLAG", Offset: 4, Err: errors.New("the layout of blocks with closure status is not known")}
	}
	if p.size() == 0 {
		return nil, &ParseError{Table: 62, Field: "INT_FMT_CDE", Err: fmt.Errorf("%d is reserved", p.format)}
	}
	p.channels(d, channels)
	p.status(d)
	return p, nil
}

// size returns how many octets a recorded value has.
func (p *LoadProfile) size() int {
	switch p.format {
	case 64:
		return p.config.NI1.Size()
	case 128:
		return p.config.NI2.Size()
	}
	return intervalSizes[p.format]
}

func (p *LoadProfile) channels(d *Device, n int) {
	scalars, divisors, select1 := make([]int64, n), make([]int64, n), make([]int, n)
	for i := range n {
		scalars[i], divisors[i], select1[i] = 1, 1, -1
	}
	set := fmt.Sprintf("SET%d", p.Set)
	_ = d.Walk(62, d.raw[62], func(f *Field) {
		v, _, _ := f.Value.Decimal()
		switch {
		case f.Name == "LP_SOURCE_SELECT" && f.Path[0].Name == "LP_SEL_"+set && parent(f) >= 0 && parent(f) < n:
			select1[parent(f)] = int(v)
		case f.Name == "SCALARS_"+set && last(f) >= 0 && last(f) < n:
			scalars[last(f)] = v
		case f.Name == "DIVISOR_"+set && last(f) >= 0 && last(f) < n:
			divisors[last(f)] = v
		}
	})
	for i := range n {
		s := d.source(select1[i])
		p.Channels = append(p.Channels, channel(&s, scalars[i], divisors[i]))
	}
}

// maxFactor keeps the product with any value of 32 bits within an int64.
const maxFactor = 1<<31 - 1

// channel combines scalar, divisor, constants and the power of ten of the unit.
func channel(s *source, scalar, divisor int64) Channel {
	c := Channel{UOM: s.uom, Factor: 1}
	if s.known {
		c.Code, _ = s.uom.Code(ansic12.Interval, 0)
	}
	factor := obis.Int(scalar, 0)
	digits, ok := 0, divisor > 0
	for power := int64(1); ok && power%divisor != 0; power *= 10 {
		if digits++; digits > 9 {
			ok = false
		}
	}
	if !ok || !s.known {
		return c
	}
	power := int64(1)
	for range digits {
		power *= 10
	}
	factor, ok = multiply(factor, obis.Int(power/divisor, -int8(digits)))
	if ok && s.scaled {
		factor, ok = multiply(factor, s.constants.multiplier)
		offset, _, whole := integral(s.constants.offset)
		ok = ok && whole && offset == 0
		if ok {
			factor, ok = s.transformed(factor)
		}
	}
	if ok {
		factor, ok = factor.Shift(int(s.uom.Exp()))
	}
	n, exp, decimal := factor.Decimal()
	if ok && decimal && 0 < magnitude(n) && magnitude(n) <= maxFactor {
		c.Factor, c.Exp, c.Unit, c.Exact = n, exp, s.uom.Unit(), true
	}
	return c
}

// status takes what table 63 says of the set.
func (p *LoadProfile) status(d *Device) {
	p.valid, p.last, p.validIntervals = p.Blocks, p.Blocks-1, p.Intervals
	b, ok := d.raw[63]
	if !ok {
		return
	}
	name := fmt.Sprintf("LP_STATUS_SET%d", p.Set)
	_ = d.Walk(63, b, func(f *Field) {
		if f.Path[0].Name != name {
			return
		}
		n, _, _ := f.Value.Decimal()
		switch f.Name {
		case "BLOCK_ORDER":
			p.descending = n != 0
		case "INTERVAL_ORDER":
			p.intervalsBackwards = n != 0
		case "NBR_VALID_BLOCKS":
			p.valid = min(int(n), p.Blocks)
		case "LAST_BLOCK_ELEMENT":
			p.last = int(n)
		case "NBR_VALID_INT":
			p.validIntervals = min(int(n), p.Intervals)
		}
	})
}

// BlockSize returns how many octets a block has.
func (p *LoadProfile) BlockSize() int { return p.head() + p.Intervals*p.intervalSize() }

func (p *LoadProfile) head() int {
	n := shortSizes[p.config.Time]
	if p.endRead {
		n += len(p.Channels) * p.config.NI1.Size()
	}
	if p.endPulse {
		n += len(p.Channels) * 4
	}
	if p.simple {
		n += (p.Intervals + 7) / 8
	}
	return n
}

func (p *LoadProfile) intervalSize() int { return p.statusSize() + len(p.Channels)*p.size() }

func (p *LoadProfile) statusSize() int {
	if !p.extended {
		return 0
	}
	return len(p.Channels)/2 + 1
}

// Describe makes dst an empty profile with the columns of the set, and keeps its memory.
func (p *LoadProfile) Describe(dst *obis.Profile) {
	dst.Reset()
	dst.Code = codeProfile
	dst.Code[4] = byte(p.Set - 1)
	dst.Period = int32(p.Minutes * 60)
	dst.Columns = slices.Grow(dst.Columns[:0], len(p.Channels))[:len(p.Channels)]
	for i, c := range p.Channels {
		column := &dst.Columns[i]
		column.Code, column.Unit, column.Exp, column.Rule = c.Code, c.Unit, c.Exp, obis.RuleNone
		if c.Code.Valid() {
			column.Rule = obis.RuleDerived
		}
		if column.RawID == nil {
			column.RawID = fmt.Appendf(nil, "%d.%d %s", 63+p.Set, i, c.UOM)
		}
	}
}

// Order calls block for the numbers of the blocks with data, the oldest first, and
// with how many intervals each has, until it returns an error.
func (p *LoadProfile) Order(block func(index, intervals int) error) error {
	for i := range p.valid {
		at, full := 0, p.Intervals
		switch {
		case p.descending:
			at = p.valid - 1 - i
		case p.Blocks > 0:
			at = ((p.last-p.valid+1+i)%p.Blocks + p.Blocks) % p.Blocks
		}
		if i == p.valid-1 {
			full = p.validIntervals
		}
		if err := block(at, full); err != nil {
			return err
		}
	}
	return nil
}

// AppendTable appends the rows of a whole table (64 to 67), the oldest first.
func (p *LoadProfile) AppendTable(dst *obis.Profile, b []byte) error {
	size := p.BlockSize()
	return p.Order(func(index, intervals int) error {
		if len(b) < (index+1)*size {
			return &ParseError{Table: uint16(63 + p.Set), Field: "LP_DATA_SETS", Offset: len(b), Err: io.ErrUnexpectedEOF}
		}
		if err := p.AppendBlock(dst, b[index*size:], intervals); err != nil {
			var pe *ParseError
			if errors.As(err, &pe) {
				pe.Offset += index * size
			}
			return err
		}
		return nil
	})
}

// AppendBlock appends the rows of the block at the start of b, of which so many
// intervals have data. It does not allocate where dst has room.
func (p *LoadProfile) AppendBlock(dst *obis.Profile, b []byte, intervals int) error {
	if len(b) < p.BlockSize() {
		return &ParseError{Table: uint16(63 + p.Set), Field: "block", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	if len(dst.Columns) != len(p.Channels) {
		return fmt.Errorf("tables: profile of %d columns for %d channels", len(dst.Columns), len(p.Channels))
	}
	if intervals = min(intervals, p.Intervals); intervals <= 0 {
		return nil
	}
	row := dst.Len()
	end := p.season(p.config.time(b[:shortSizes[p.config.Time]]), b, intervals)
	dst.Times = end.AppendLater(dst.Times, 1-intervals, intervals, int32(p.Minutes*60))
	for i := range dst.Columns {
		p.column(&dst.Columns[i], i, b, intervals)
	}
	if p.simple || p.extended {
		p.quality(dst, row, b, intervals)
	}
	for i := range p.Channels {
		if !p.Channels[i].Exact {
			p.unscaled(&dst.Columns[i], row, intervals)
		}
	}
	return nil
}

// offset returns where the k-th interval by time stands, of so many.
func (p *LoadProfile) offset(k, intervals int) int {
	if p.intervalsBackwards {
		k = intervals - 1 - k
	}
	return p.head() + k*p.intervalSize()
}

// season returns the end of a block with the season of its last interval, which
// the status of the intervals tells where any of them has daylight saving.
func (p *LoadProfile) season(end obis.Time, b []byte, intervals int) obis.Time {
	if !p.extended || end.IsZero() {
		return end
	}
	const dst = 0x10
	for k := range intervals {
		if b[p.offset(k, intervals)]&dst == 0 {
			continue
		}
		end.Status = 0
		if b[p.offset(intervals-1, intervals)]&dst != 0 {
			end.Status = obis.TimeDST
		}
		break
	}
	return end
}

// column appends the values of one channel.
func (p *LoadProfile) column(c *obis.Column, channel int, b []byte, intervals int) {
	first := p.statusSize() + channel*p.size()
	if len(c.Values) > 0 || p.format >= 64 {
		p.values(c, channel, b, intervals, first)
		return
	}
	row := len(c.Nums)
	c.Nums = slices.Grow(c.Nums, intervals)[:row+intervals]
	factor, size, step := p.Channels[channel].Factor, p.size(), p.intervalSize()
	at := p.offset(0, intervals) + first
	if p.intervalsBackwards {
		step = -step
	}
	nums := c.Nums[row:]
	if size == 4 && !p.config.BigEndian && p.config.Integer == 0 && p.format == 32 {
		for k := range nums {
			nums[k] = int64(int32(binary.LittleEndian.Uint32(b[at:]))) * factor
			at += step
		}
	} else {
		signed := p.format >= 8
		for k := range nums {
			n := int64(p.config.uint(b[at : at+size]))
			if signed {
				n = p.config.int(b[at : at+size])
			}
			nums[k] = n * factor
			at += step
		}
	}
	setRange(&c.Present, row, row+intervals)
}

// setRange adds the numbers from first to below end.
func setRange(b *obis.Bitmap, first, end int) {
	for first < end {
		word := first >> 6
		for word >= len(*b) {
			*b = append(*b, 0)
		}
		upTo := min(end, (word+1)<<6)
		mask := ^uint64(0) << (first & 63)
		if upTo&63 != 0 {
			mask &= 1<<(upTo&63) - 1
		}
		(*b)[word] |= mask
		first = upTo
	}
}

// values appends the values of a channel in one of the number formats of table 00.
func (p *LoadProfile) values(c *obis.Column, channel int, b []byte, intervals, first int) {
	format := p.config.NI1
	if p.format == 128 {
		format = p.config.NI2
	}
	for k := range intervals {
		at := p.offset(k, intervals) + first
		raw := b[at : at+p.size()]
		var v obis.Value
		switch {
		case p.format >= 64:
			v, _ = p.config.number(format, raw)
		case p.format >= 8:
			v = obis.Int(p.config.int(raw), 0)
		default:
			v = obis.Uint(p.config.uint(raw), 0)
		}
		if ch := &p.Channels[channel]; ch.Exact && !v.IsNone() {
			if scaled, ok := multiply(v, obis.Int(ch.Factor, ch.Exp)); ok {
				v = scaled
			} else {
				row := c.Len()
				c.Quality.Add(row, c.Quality.At(row).With(obis.ScalerUnknown))
			}
		}
		c.Append(v)
	}
}

// quality adds the status of the intervals: what is common to all channels to the
// row, what is of one channel to its cell.
func (p *LoadProfile) quality(dst *obis.Profile, row int, b []byte, intervals int) {
	simple := Set(nil)
	if p.simple {
		simple = Set(b[p.head()-(p.Intervals+7)/8 : p.head()])
	}
	for k := range intervals {
		index := k
		if p.intervalsBackwards {
			index = intervals - 1 - k
		}
		if p.simple && !simple.Has(index) {
			dst.Quality.Add(row+k, obis.Quality{Flags: obis.Invalid})
			continue
		}
		if !p.extended {
			continue
		}
		status := b[p.offset(k, intervals):][:p.statusSize()]
		if common := status[0] & 0xF0; common != 0 {
			dst.Quality.Add(row+k, obis.FromStatus(obis.StatusC1219LP, uint64(common)))
		}
		for i := range dst.Columns {
			nibble := status[(i+1)/2] >> 4
			if i%2 == 0 {
				nibble = status[i/2] & 0x0F
			}
			if nibble == 0 {
				continue
			}
			q := obis.FromStatus(obis.StatusC1219LP, uint64(nibble))
			dst.Columns[i].Quality.Add(row+k, q)
			if q.Flags&obis.Missing != 0 {
				remove(&dst.Columns[i], row+k)
			}
		}
	}
}

// remove makes a cell one without value.
func remove(c *obis.Column, row int) {
	if row < len(c.Values) {
		c.Values[row] = obis.Value{}
		return
	}
	if row < len(c.Nums) && row>>6 < len(c.Present) {
		c.Nums[row] = 0
		c.Present[row>>6] &^= 1 << (row & 63)
	}
}

// unscaled marks the cells that are as they were recorded.
func (p *LoadProfile) unscaled(c *obis.Column, row, intervals int) {
	old := c.Quality
	if len(old) > 0 && old[len(old)-1].End > row {
		return
	}
	for k := range intervals {
		c.Quality.Add(row+k, obis.Quality{Flags: obis.ScalerUnknown})
	}
}

// EndSize returns how many octets at the start of a block hold its end.
func (p *LoadProfile) EndSize() int { return max(shortSizes[p.config.Time], 1) }

// End returns the end of the last interval of the block at the start of b, as the
// meter's clock shows it, in UTC. It is not ok where the block has none.
func (p *LoadProfile) End(b []byte) (time.Time, bool) {
	if size := shortSizes[p.config.Time]; size == 0 || len(b) < size {
		return time.Time{}, false
	}
	return p.config.time(b[:shortSizes[p.config.Time]]).Instant(obis.Clock{Zone: time.UTC})
}
