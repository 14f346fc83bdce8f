// Package ansicsim simulates a meter of ANSI C12.18, C12.19, C12.21 and C12.22: the
// substation meter that a current transformer feeds, or a residential one. Its tables
// are made octet by octet as the standard has them, not by the package that reads them.
package ansicsim

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/tables"
)

// Config describes the simulated meter. A nil *Config is all zero values.
type Config struct {
	Residential bool   // one phase, two tariffs; else the substation meter
	Serial      string // "" is "0000000000000042"
	Password    string // that logs on; "" is any
	User        string // "" is any
	Key         []byte // DES key of C12.21; nil is a meter of C12.18
	KeyID       byte

	BigEndian bool              // order of octets in tables
	Time      tables.TimeFormat // 0 is tables.TimeOctets
	// Traffic is the silence after which the meter forgets a conversation; 0 is 6 s, by C12.21 30 s.
	Traffic time.Duration
	// NoPartial is for a meter that gives whole tables only.
	NoPartial bool

	Network NetworkConfig // for C12.22
	OSGP    OSGPConfig

	Now    func() time.Time // the meter's clock; nil is time.Now
	Faults Faults
	Trace  func(send bool, frame []byte) // sees every packet; nil sees nothing
}

// Faults are what the meter does wrong.
type Faults struct {
	Tables    map[uint16][]byte                         // what it sends in place of these tables
	NAKs      int                                       // packets that it refuses, over and over if negative
	WrongCRC  int                                       // packets that it sends with a wrong CRC
	WrongSum  bool                                      // its table data have a wrong checksum
	Answer    func(request psem.Request) *psem.Response // answers in place of the meter; nil or nil result: the meter answers
	DropReply int                                       // requests that it acknowledges but does not answer
}

// Meter is a simulated meter. All methods may be used concurrently.
type Meter struct {
	cfg    Config
	now    func() time.Time
	config tables.Config

	mu        sync.Mutex
	shift     time.Duration // of the clock, as it was set
	resets    int
	resetAt   time.Time
	procedure []byte  // table 08
	event     []entry // the newest
	events    int     // in all
	written   map[uint16][]byte
	faults    Faults
	osgp      osgpState
}

type entry struct {
	at   time.Time
	code uint16
}

// New returns a meter.
func New(cfg *Config) *Meter {
	m := &Meter{now: time.Now, written: map[uint16][]byte{}, resets: 7}
	if cfg != nil {
		m.cfg = *cfg
	}
	if m.cfg.Now != nil {
		m.now = m.cfg.Now
	}
	if m.cfg.Time == tables.NoTime {
		m.cfg.Time = tables.TimeOctets
	}
	if m.cfg.Network.Vectors == nil {
		m.cfg.Network.Vectors = epsem.MemoryVectors()
	}
	if m.cfg.Serial == "" {
		m.cfg.Serial = "0000000000000042"
	}
	m.faults = m.cfg.Faults
	m.config = tables.Config{BigEndian: m.cfg.BigEndian, Time: m.cfg.Time}
	start := m.now()
	m.resetAt = time.Date(start.Year(), start.Month(), 1, 0, 0, 0, 0, start.Location())
	m.event = []entry{
		{m.resetAt, 20}, {start.Add(-50 * time.Hour), 1}, {start.Add(-50*time.Hour + 90*time.Second), 2}, {start.Add(-3 * time.Hour), 11},
	}
	m.events = len(m.event)
	return m
}

// Tables lists the numbers of the tables that the meter has.
func (m *Meter) Tables() []uint16 {
	list := []uint16{
		0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 25, 26, 27, 28, 50, 51, 52, 53, 55, 56, 60, 61, 62, 63, 64, 70, 71, 72, 73, 74, 76,
	}
	if !m.cfg.Residential {
		list = append(list, psem.TableManufacturer)
	}
	return list
}

// record adds an event of now to the log.
func (m *Meter) record(code uint16) {
	m.event = append(m.event, entry{m.clock(), code})
	m.event = m.event[max(len(m.event)-logSize, 0):]
	m.events++
}

// clock returns the time that the meter shows.
func (m *Meter) clock() time.Time { return m.now().Add(m.shift) }

// source is a quantity that the meter measures.
type source struct {
	id        byte
	base      byte
	quadrants byte
	net       bool
	segment   byte
	exp       byte // code of the power of ten
	value     func(t time.Time) float64
}

// The codes of powers of ten in table 12.
const (
	exp0  = 0
	expM2 = 5
	expM3 = 6
)

const (
	q14   = 1<<0 | 1<<3
	q23   = 1<<1 | 1<<2
	q12   = 1<<0 | 1<<1
	q34   = 1<<2 | 1<<3
	qAll  = 15
	block = 4
)

// wave is a load that changes over the day around its mean.
func wave(mean, swing float64) func(time.Time) float64 {
	return func(t time.Time) float64 {
		day := float64(t.Hour()*3600+t.Minute()*60+t.Second()) / 86400
		return mean + swing*math.Sin(2*math.Pi*(day-0.3))
	}
}

// counter is a register that counts at a steady rate per hour.
func counter(start, perHour float64) func(time.Time) float64 {
	return func(t time.Time) float64 {
		return start + perHour*t.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, t.Location())).Hours()
	}
}

func steady(v float64) func(time.Time) float64 { return func(time.Time) float64 { return v } }

// selection is the numbers of the sources in a group.
type selection struct {
	sources               []source
	sums, demands         []byte
	coincident            []byte
	presentDem, presentVl []byte
	profile               []byte
}

// model returns what the meter measures. Values are those on the wire: the unit times
// ten to the power of exp.
func (m *Meter) model() selection {
	var s selection
	add := func(list *[]byte, x source) byte {
		n := byte(len(s.sources))
		s.sources = append(s.sources, x)
		if list != nil {
			*list = append(*list, n)
		}
		return n
	}
	energy := func(id, quadrants byte, net bool, start, rate float64) byte {
		return add(&s.sums, source{id: id, quadrants: quadrants, net: net, exp: exp0, value: counter(start, rate)})
	}
	if m.cfg.Residential {
		energy(0, q14, false, 8421000, 412)
		energy(0, q23, false, 1203000, 36)
		add(&s.demands, source{id: 0, base: block, quadrants: q14, value: wave(2500, 1200)})
		add(&s.presentVl, source{id: 0, base: 1, quadrants: q14, value: wave(630, 410)})
		add(&s.presentVl, source{id: 8, base: 1, segment: 5, exp: expM2, value: wave(12012, 60)})
		add(&s.presentVl, source{id: 12, base: 1, segment: 5, exp: expM3, value: wave(5240, 3000)})
		add(&s.presentVl, source{id: 33, base: 1, exp: expM2, value: steady(6000)})
		s.profile = s.sums[:2]
		s.presentDem = s.demands
		return s
	}
	energy(0, q14, false, 91234567, 150300)
	energy(0, q23, false, 3456789, 1200)
	energy(0, qAll, false, 94691356, 151500)
	energy(0, qAll, true, 87777778, 149100)
	energy(1, q12, false, 21000450, 31200)
	energy(1, q34, false, 1900780, 900)
	energy(2, q14, false, 95000120, 154000)
	add(&s.demands, source{id: 0, base: block, quadrants: q14, value: wave(171000, 20000)})
	s.coincident = append(s.coincident, add(nil, source{id: 24, base: 1, exp: expM3, value: steady(978)}))
	s.presentDem = s.demands
	present := func(x source) { x.base = 1; add(&s.presentVl, x) }
	present(source{id: 0, quadrants: q14, value: wave(150300, 30000)})
	present(source{id: 0, quadrants: q23, value: steady(0)})
	present(source{id: 1, quadrants: q12, value: wave(31200, 4000)})
	present(source{id: 1, quadrants: q34, value: steady(0)})
	present(source{id: 2, quadrants: q14, value: wave(153500, 30000)})
	for phase := range byte(3) {
		segment, k := 5+phase, float64(phase)
		present(source{id: 8, segment: segment, exp: expM2, value: wave(23010+12*k, 150)})
		present(source{id: 12, segment: segment, exp: expM3, value: wave(218400+900*k, 40000)})
		present(source{id: 24, segment: segment, exp: expM3, value: steady(978 - k)})
		present(source{id: 22, segment: segment, exp: expM2, value: steady(1204 + 12000*k)})
	}
	present(source{id: 24, exp: expM3, value: steady(978)})
	present(source{id: 33, exp: expM2, value: wave(5000, 2)})
	s.profile = append(s.profile, s.sums[0], s.sums[1], s.sums[4], s.sums[5])
	return s
}

func (x source) uom() uint32 {
	n := uint32(x.id) | uint32(x.base)<<8 | uint32(x.exp)<<11 | uint32(x.quadrants)<<14 | uint32(x.segment)<<19
	if x.net {
		n |= 1 << 18
	}
	return n
}

// writer makes a table.
type writer struct {
	b     []byte
	order binary.AppendByteOrder
}

func (m *Meter) writer() *writer {
	if m.cfg.BigEndian {
		return &writer{order: binary.BigEndian}
	}
	return &writer{order: binary.LittleEndian}
}

func (w *writer) u8(list ...byte) { w.b = append(w.b, list...) }
func (w *writer) u16(n uint16)    { w.b = w.order.AppendUint16(w.b, n) }
func (w *writer) u32(n uint32)    { w.b = w.order.AppendUint32(w.b, n) }
func (w *writer) u64(n uint64)    { w.b = w.order.AppendUint64(w.b, n) }
func (w *writer) text(s string, n int) {
	for i := range n {
		if i < len(s) {
			w.u8(s[i])
		} else {
			w.u8(' ')
		}
	}
}

// Table returns a table as it is now.
func (m *Meter) Table(table uint16) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table(table)
}

func (m *Meter) table(table uint16) ([]byte, bool) {
	if b, ok := m.faults.Tables[table]; ok {
		return b, true
	}
	if b, ok := m.written[table]; ok {
		return b, true
	}
	for _, t := range m.Tables() {
		if t == table {
			w := m.writer()
			m.write(w, table)
			return w.b, true
		}
	}
	return nil, false
}

// now in the meter's format.
func (m *Meter) stamp(w *writer, t time.Time, long bool) { w.b = m.config.AppendTime(w.b, t, long) }

const (
	tiers    = 2
	blocks   = 10
	perBlock = 96
	minutes  = 15
	logSize  = 16
	selfs    = 2 // self reads, at midnight
)

func (m *Meter) write(w *writer, table uint16) {
	switch s, now := m.model(), m.clock(); table / 10 {
	case 0:
		m.identification(w, table)
	case 1:
		m.sourceTable(w, s, table)
	case 2:
		m.registerTable(w, s, now, table)
	case 5:
		m.clockTable(w, now, table)
	case 6:
		m.profileTable(w, s, now, table)
	case 7:
		m.logTable(w, table)
	case psem.TableManufacturer / 10:
		m.manufacturerTable(w, now)
	}
}

// identification writes the tables of decade 0.
func (m *Meter) identification(w *writer, table uint16) {
	switch table {
	case 0:
		m.generalConfiguration(w)
	case 1:
		model := "SUBSTN-1"
		if m.cfg.Residential {
			model = "RESID-1"
		}
		w.text("OUSM", 4)
		w.text(model, 8)
		w.u8(1, 2, 3, 4)
		w.text(m.cfg.Serial, 16)
	case 2:
		w.text("1.8", 6)
		w.text("1.8", 6)
		w.u8(1)
		w.text("9S", 5)
		w.u16(2 | 4<<3 | 2<<10)
		w.u8(5 | 5<<4)
		w.text("20", 6)
		w.text("2.5", 6)
	case 3:
		w.u8(1)
		w.u16(0)
		w.u8(0, 0)
	case 5:
		w.text("OUSM"+m.cfg.Serial, 20)
	case 6:
		for range 7 {
			w.text("", 20)
		}
		w.text("", 30+8)
		w.text("OUSM", 4)
		w.u8(1, 0)
		w.text("OUSM", 4)
		w.u8(1, 0)
		w.text("", 40)
	case 7:
		w.u8(0, 0, 0)
	case 8:
		if w.b = append(w.b, m.procedure...); len(w.b) == 0 {
			w.u8(0, 0, 0, 0)
		}
	}
}

// sourceTable writes those of decade 1.
func (m *Meter) sourceTable(w *writer, s selection, table uint16) {
	switch table {
	case 10, 11:
		w.u8(1<<2, byte(len(s.sources)), 1, 4, 1, byte(len(s.sources)), 2, byte(len(s.sources)))
	case 12:
		for _, x := range s.sources {
			w.u32(x.uom())
		}
	case 13:
		w.u16(minutes)
	case 14:
		w.u32(0)
	case 15:
		for range s.sources {
			w.u64(1)
			w.u64(0)
		}
	case 16:
		for i, x := range s.sources {
			link := byte(1 | 1<<3 | 1<<4)
			if x.base == block {
				link |= 1 << 1
			}
			if i == 0 {
				link |= 1 << 2
			}
			w.u8(link)
		}
	}
}

// registerTable writes those of decade 2.
func (m *Meter) registerTable(w *writer, s selection, now time.Time, table uint16) {
	switch table {
	case 20, 21:
		w.u8(1<<1|1<<2|1<<4, 1<<1|1<<2, selfs, byte(len(s.sums)), byte(len(s.demands)), byte(len(s.coincident)), 1, tiers, byte(len(s.presentDem)), byte(len(s.presentVl)))
	case 22:
		w.u8(s.sums...)
		w.u8(s.demands...)
		w.u8(0xFF)
		w.u8(s.coincident...)
		for range s.coincident {
			w.u8(0)
		}
	case 23:
		m.registers(w, s, now)
	case 25:
		m.stamp(w, m.resetAt, false)
		m.registers(w, s, m.resetAt)
	case 26:
		m.selfReads(w, s, now)
	case 27:
		w.u8(s.presentDem...)
		w.u8(s.presentVl...)
	case 28:
		for _, i := range s.presentDem {
			w.u32(uint32(int32(s.sources[i].value(now))))
		}
		for _, i := range s.presentVl {
			w.u64(uint64(int64(s.sources[i].value(now))))
		}
	}
}

// clockTable writes those of decade 5.
func (m *Meter) clockTable(w *writer, now time.Time, table uint16) {
	switch table {
	case 50, 51:
		w.u8(0, 0, 0x01, 0, 0)
		w.u16(0)
		w.u16(0)
	case 52, 55:
		m.stamp(w, now, true)
		w.u8(byte(now.Weekday()))
		if table == 55 {
			w.u16(1)
		}
	case 53:
		if m.cfg.Time > tables.TimeOctets { // at two o'clock, by an hour
			w.u32(2 * 3600)
		} else {
			w.u8(2, 0, 0)
		}
		w.u8(60)
	case 56:
		w.u16(uint16((24-now.Hour())*60 - now.Minute()))
		w.u8(1)
	}
}

// profileTable writes those of decade 6.
func (m *Meter) profileTable(w *writer, s selection, now time.Time, table uint16) {
	switch table {
	case 60, 61:
		w.u32(uint32(m.blockSize(s) * blocks))
		w.u16(1 << 10)
		w.u8(1 << 5)
		w.u16(blocks)
		w.u16(perBlock)
		w.u8(byte(len(s.profile)), minutes)
	case 62:
		for _, i := range s.profile {
			w.u8(0, i, 0)
		}
		w.u8(32)
	case 63:
		w.u8(1<<2 | 1<<5)
		w.u16(blocks)
		w.u16(blocks - 1)
		w.u32(4711)
		w.u16(0)
		w.u16(uint16(m.lastIntervals(now)))
	case 64:
		m.profile(w, s, now)
	}
}

// logTable writes those of decade 7.
func (m *Meter) logTable(w *writer, table uint16) {
	switch table {
	case 70, 71:
		w.u8(1<<1|1<<2, 4, 0, 2, 2)
		w.u16(logSize)
		w.u16(logSize)
		w.u8(0)
		w.u16(0)
	case 72:
		w.u8(0xFF, 0xFF, 0xFF, 0xFF)
	case 73:
		w.u8(0xFF, 0xFF, 0xFF, 0xFF)
		w.b = append(w.b, make([]byte, sizeStandard+sizeManufacturer+sizeProcedures)...)
	case 74, 76:
		m.log(w)
	}
}

// manufacturerTable writes the counters of the manufacturer's table.
func (m *Meter) manufacturerTable(w *writer, now time.Time) {
	for _, n := range []uint32{5, 3, 1, 1} {
		w.u32(n)
	}
	w.u32(uint32(counter(120000, 12)(now)))
	w.u32(uint32(counter(34000, 3)(now)))
}

// Octets of the sets of table 00.
const sizeStandard, sizeManufacturer, sizeProcedures = 11, 1, 4

func (m *Meter) generalConfiguration(w *writer) {
	order := byte(0)
	if m.cfg.BigEndian {
		order = 1
	}
	access := byte(1 << 3)
	if m.cfg.NoPartial {
		access = 0
	}
	w.u8(order|1<<1, byte(m.cfg.Time)|access, byte(tables.Int64)|byte(tables.Int32)<<4)
	w.text("OUSM", 4)
	w.u8(2, 0, 32, 255, 2, 0, sizeStandard, sizeManufacturer, sizeProcedures, 0, 1, 0)
	var standard [sizeStandard]byte
	var own [sizeManufacturer]byte
	for _, t := range m.Tables() {
		if t&psem.TableManufacturer != 0 {
			own[t&7] |= 1 << (t & 7)
			continue
		}
		standard[t/8] |= 1 << (t % 8)
	}
	w.u8(standard[:]...)
	w.u8(own[:]...)
	w.u8(0, 1<<1|1<<2, 0, 0) // procedures 9 and 10
	var writable [sizeStandard]byte
	writable[0] = 1<<6 | 1<<7
	w.u8(writable[:]...)
	w.u8(0)
}

// registers are the data blocks of the tables 23 and 25.
func (m *Meter) registers(w *writer, s selection, t time.Time) {
	w.u8(byte(m.resets))
	for tier := range tiers + 1 {
		share := []float64{1, 0.625, 0.375}[tier]
		for _, i := range s.sums {
			w.u64(uint64(int64(s.sources[i].value(t) * share)))
		}
		for _, i := range s.demands {
			at := t.Truncate(minutes * time.Minute).Add(-time.Duration(tier) * time.Hour)
			m.stamp(w, at, false)
			w.u64(uint64(int64(s.sources[i].value(at)) * 12))
			w.u32(uint32(int32(s.sources[i].value(at))))
		}
		for _, i := range s.coincident {
			w.u32(uint32(int32(s.sources[i].value(t))))
		}
	}
}

// selfReads is table 26: the registers at the last midnights, the oldest first.
func (m *Meter) selfReads(w *writer, s selection, now time.Time) {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	w.u8(0, selfs, selfs-1)
	w.u16(uint16(today.YearDay()))
	w.u8(0)
	for i := range selfs {
		day := today.AddDate(0, 0, i-selfs+1)
		w.u16(uint16(day.YearDay()))
		m.stamp(w, day, false)
		m.registers(w, s, day)
	}
}

func (m *Meter) blockSize(s selection) int {
	return len(m.config.AppendTime(nil, time.Unix(0, 0), false)) + perBlock*(len(s.profile)/2+1+4*len(s.profile))
}

// lastIntervals is how many intervals the newest block has: those since midnight.
func (m *Meter) lastIntervals(now time.Time) int {
	return max((now.Hour()*60+now.Minute())/minutes, 1)
}

// profile is the load profile: a block for each day, the last one up to now.
func (m *Meter) profile(w *writer, s selection, now time.Time) {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	for day := range blocks {
		start := today.AddDate(0, 0, day-blocks+1)
		n := perBlock
		if day == blocks-1 {
			n = m.lastIntervals(now)
		}
		m.stamp(w, start.Add(time.Duration(n*minutes)*time.Minute), false)
		for k := range perBlock {
			at := start.Add(time.Duration((k+1)*minutes) * time.Minute)
			status := make([]byte, len(s.profile)/2+1)
			if k >= n {
				at = time.Time{}
			} else if day == blocks-3 && k == 40 {
				status[0] = 0x20 | 2 // power failure, the first channel is partial
			}
			w.u8(status...)
			for _, i := range s.profile {
				energy := 0.0
				if !at.IsZero() {
					value := s.sources[i].value
					energy = math.Floor(value(at)) - math.Floor(value(at.Add(-minutes*time.Minute)))
				}
				w.u32(uint32(int32(energy)))
			}
		}
	}
}

// log is the history or the event log.
func (m *Meter) log(w *writer) {
	list := m.event
	w.u8(1 << 2)
	w.u16(uint16(len(list)))
	w.u16(uint16(len(list) - 1))
	w.u32(uint32(m.events))
	w.u16(0)
	for i := range logSize {
		var e entry
		if i < len(list) {
			e = list[i]
		}
		if e.at.IsZero() {
			w.b = append(w.b, make([]byte, len(m.config.AppendTime(nil, time.Unix(0, 0), true)))...)
		} else {
			m.stamp(w, e.at, true)
		}
		w.u16(uint16(i))
		w.u16(0)
		w.u16(e.code)
		w.u16(0)
	}
}
