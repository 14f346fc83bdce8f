// Package receive reads what goes over the lines of ANSI C12 meters without
// asking anything: packets of C12.18 and C12.21, messages of C12.22 and of OSGP,
// of a capture or of meters that push. It joins packets and parts of tables,
// checks and deciphers, pairs answers with what was asked, and turns tables into
// readings. It does no I/O.
package receive

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/internal/wire"
	"github.com/openusm/meter/obis"
)

// Form is what the octets are.
type Form uint8

// The forms.
const (
	Packets  Form = iota // of C12.18 and C12.21
	Messages             // of C12.22
	OSGP                 // application messages
	Table                // one table
)

// Config tells what is known beforehand. A nil *Config is all zero values.
type Config struct {
	Form Form
	// Table0 is table 00 of the meter, where the capture does not have it. Table is
	// the number of the Table, and that of a response of OSGP without its request.
	Table0 []byte
	Table  uint16
	// Key returns the key of EAX' with a number, of 16 octets; nil where there is none.
	// A nil Key knows no keys, and demands no protection.
	Key func(id uint8) []byte
	// Digest is the key of the digest of OSGP, nil for none, and Address that of the device.
	Digest  *osgp.Key
	Address osgp.Address
	// Live says that messages come from a line, and not from a capture: those that are
	// protected less than the keys imply are refused, and replays are.
	Live bool
	// Fresh reports whether the vector of a verified message is above all that the
	// sender used with this key before, and remembers it; [ErrReplay] where it is not.
	// Nil remembers as long as the receiver lives.
	Fresh func(calling epsem.Title, key uint8, vector uint32) error
	// AcceptUnprotected takes less protected messages all the same, as unverified.
	AcceptUnprotected bool
}

// Layer is one that was unwrapped.
type Layer struct {
	Name     string // "c12.18", "c12.22", "c12.19", "osgp"
	Control  string // service, status or name of the table
	Security string // "" for none
	Tagged   bool   // there was a MAC or a digest
	Verified bool   // and it was right
	Counter  uint32 // initialisation vector, where Counted
	Counted  bool
}

// Message is what one message said, and the tables that it completed.
type Message struct {
	Layers   []Layer
	Meter    obis.Meter
	Readings []obis.Reading
	Sources  []ansic12.Source // by the readings' Source
	Profiles []*obis.Profile
	Events   []obis.Event
	Warnings []string
	Err      error // of a part that could not be read
}

// The words by which layers are told how little their protection is worth.
const (
	WeakSecurity = "EAX' (weak)"
	brokenDigest = "OMA digest (broken)"
)

// Errors on which callers branch.
var (
	ErrNoKey       = errors.New("message is ciphered, and its key is not known")
	ErrReplay      = errors.New("message was sent before, or is older than one that came")
	ErrUnprotected = errors.New("message is protected less than its key implies")
)

// The limits of what is remembered. Of each meter that is besides
// [tables.MaxHeld] octets of the tables to which others refer.
const (
	maxPending = 1 << 17 // octets that wait for the rest of a message
	maxJoined  = 1 << 21 // octets of the packets of one message: 256 of 8,183
	maxTable   = 1 << 20 // octets of a table that comes in parts
	maxParts   = 1 << 23 // octets of parts, of all meters together
	maxMeters  = 1024
	maxTalks   = 1024
)

// Receiver finds messages in octets that come in pieces. It is not safe for
// concurrent use.
type Receiver struct {
	cfg   Config
	buf   wire.Buffer
	ended bool
	stats wire.Stats

	joined []byte // of packets
	meters *recent[string, *meter]
	parts  int // octets of parts, of all meters
	talks  *recent[talkID, *[]*psem.Read]
	vector map[sender]uint32
	asked  *osgp.Request

	message Message
	meter   *meter // of the message that is being read
}

// sender counts with one key.
type sender struct {
	title string
	key   uint8
}

// meter is what is known of one meter.
type meter struct {
	device     *tables.Device
	table      uint16 // of the parts
	parts      []byte // from the start of the table on; nil for none
	unverified bool   // the tag of one of the parts was not checked
}

// talkID tells conversations apart: who asked whom, and by which invocation.
type talkID struct{ client, server, invocation string }

// New returns a receiver. It fails where Table0 cannot be read.
func New(cfg *Config) (*Receiver, error) {
	r := &Receiver{meters: newRecent[string, *meter](maxMeters), talks: newRecent[talkID, *[]*psem.Read](maxTalks), vector: map[sender]uint32{}}
	if cfg != nil {
		r.cfg = *cfg
	}
	_, err := r.newMeter()
	return r, err
}

func (r *Receiver) newMeter() (*meter, error) {
	if len(r.cfg.Table0) == 0 {
		return &meter{}, nil
	}
	device, err := tables.NewDevice(r.cfg.Table0)
	return &meter{device: device}, err
}

// Feed adds what arrived.
func (r *Receiver) Feed(b []byte) {
	if r.ended {
		r.ended = false
		r.buf.Reset()
	}
	r.buf.Feed(b)
}

// End says that nothing more will come: parts of tables are read as far as they
// go. Next returns io.EOF when all is done; then the receiver begins anew with
// what it knows.
func (r *Receiver) End() { r.ended = true }

// Stats returns what was met so far.
func (r *Receiver) Stats() wire.Stats { return r.stats }

// Pending returns how many octets wait for the rest of a message.
func (r *Receiver) Pending() int { return len(r.buf.Rest()) }

// Next returns what the next message says, valid until the next call of a
// method. The error is io.ErrUnexpectedEOF where more octets are needed.
func (r *Receiver) Next() (*Message, error) {
	r.message = Message{Layers: r.message.Layers[:0], Readings: r.message.Readings[:0], Sources: r.message.Sources[:0]}
	if r.Pending() == 0 {
		return r.idle()
	}
	n, err := r.take(r.buf.Rest())
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && n == 0 && !r.ended && r.Pending() < maxPending:
		return nil, io.ErrUnexpectedEOF
	case n == 0: // what is no message
		n = r.noise(err)
	case err == nil:
		r.stats.Messages++
	}
	r.buf.Take(n)
	if err != nil {
		return nil, err
	}
	if r.meter != nil && r.meter.device != nil {
		r.message.Meter = r.meter.device.Meter()
	}
	return &r.message, nil
}

// idle is Next where no octets are left.
func (r *Receiver) idle() (*Message, error) {
	if !r.ended {
		return nil, io.ErrUnexpectedEOF
	}
	for _, m := range r.meters.order {
		known := r.meters.known[m]
		if known == nil || known.parts == nil {
			continue
		}
		r.meter = known
		r.whole()
		if known.device != nil {
			r.message.Meter = known.device.Meter()
		}
		return &r.message, nil
	}
	r.ended = false
	if !r.cfg.Live { // the next capture is of another line
		*r.meters = *newRecent[string, *meter](maxMeters)
		*r.talks = *newRecent[talkID, *[]*psem.Read](maxTalks)
		r.asked, r.joined, r.parts = nil, nil, 0
	}
	return nil, io.EOF
}

// noise counts octets that are no message, and returns how many.
func (r *Receiver) noise(err error) int {
	if errors.Is(err, psem.ErrCRC) {
		r.stats.ChecksumErrors++
	} else {
		r.stats.Malformed++
	}
	rest := r.buf.Rest()
	n := len(rest)
	if r.cfg.Form == Packets {
		if at := bytes.IndexByte(rest[1:], startOfPacket); at >= 0 {
			n = at + 1
		}
	}
	r.stats.Skipped += uint64(n)
	return n
}

// startOfPacket is the first octet of a packet of C12.18.
const startOfPacket = 0xEE

// take reads the first message of b, and returns how many octets it took.
func (r *Receiver) take(b []byte) (int, error) {
	switch r.cfg.Form {
	case Messages:
		return r.epsem(b)
	case OSGP:
		return r.osgp(b)
	case Table:
		return r.bare(b)
	}
	return r.packet(b)
}

// known returns what is known of the meter with a title, which may be new.
func (r *Receiver) known(title string) *meter {
	m, ok := r.meters.get(title)
	if !ok {
		m, _ = r.newMeter() // its table 00 was read before
		if old, gone := r.meters.put(title, m); gone {
			r.drop(old)
		}
	}
	r.meter = m
	return m
}

// drop forgets the parts of a table.
func (r *Receiver) drop(m *meter) {
	r.parts -= len(m.parts)
	m.parts = nil
}

// keep adds to the parts of the meter. Where all meters together have too much, those that
// have been known for longest lose theirs.
func (r *Receiver) keep(data []byte) {
	m := r.meter
	m.parts = append(m.parts, data...)
	if m.parts == nil {
		m.parts = []byte{}
	}
	r.parts += len(data)
	for i := 0; r.parts > maxParts && i < len(r.meters.order); i++ {
		old := r.meters.known[r.meters.order[(r.meters.next+i)%len(r.meters.order)]]
		if old != m && old.parts != nil {
			r.warn("%d octets of parts of table %d were dropped: too many meters are in the midst of one", len(old.parts), old.table)
			r.drop(old)
		}
	}
}

// packet takes one packet of C12.18, and the message that it completes.
func (r *Receiver) packet(b []byte) (int, error) {
	if b[0] == psem.ACK || b[0] == psem.NAK {
		return 1, nil
	}
	p, n, err := psem.Parse(b)
	if err != nil {
		return 0, err
	}
	r.known(string([]byte{p.Identity}))
	if !p.Multi || p.First {
		r.joined = r.joined[:0]
	}
	if len(r.joined)+len(p.Data) > maxJoined {
		r.joined = r.joined[:0]
		return n, fmt.Errorf("c12.18: more than %d octets in packets", maxJoined)
	}
	r.joined = append(r.joined, p.Data...)
	if p.Sequence > 0 || len(r.joined) == 0 {
		return n, nil
	}
	r.service(r.joined, talkID{server: string([]byte{p.Identity})}, false, false)
	r.joined = r.joined[:0]
	return n, nil
}

// epsem takes one message of C12.22.
func (r *Receiver) epsem(b []byte) (int, error) {
	m, n, err := epsem.Parse(b)
	if err != nil {
		return 0, err
	}
	layer := Layer{Name: "c12.22"}
	services, err := r.open(&m, &layer)
	if err != nil {
		return n, err
	}
	r.message.Layers = append(r.message.Layers, layer)
	talk := talkID{client: title(&m, epsem.TagCalling), server: title(&m, epsem.TagCalled), invocation: get(&m, epsem.TagCallingID)}
	if len(services) > 0 && len(services[0]) > 0 && services[0][0] < byte(psem.ServiceIdentify) { // an answer
		talk = talkID{client: talk.server, server: talk.client, invocation: get(&m, epsem.TagCalledID)}
	}
	pushed := m.Response() == epsem.ResponseNever
	if pushed { // its sender is the meter
		talk.client, talk.server = talk.server, talk.client
	}
	r.known(talk.server)
	// A tag that was cut off makes no message better.
	unverified := !layer.Verified && (layer.Tagged || r.cfg.Key != nil)
	if list, ok := r.talks.get(talk); ok && len(*list) > len(services) && !pushed {
		*list = (*list)[len(*list)-len(services):] // not every service is answered: those before a read open the way
	}
	for _, service := range services {
		if len(service) > 0 {
			r.service(service, talk, pushed, unverified)
		}
	}
	return n, nil
}

func title(m *epsem.Message, tag byte) string {
	b, _ := m.Get(tag)
	return string(epsem.Title(b).Absolute())
}

func get(m *epsem.Message, tag byte) string {
	b, _ := m.Get(tag)
	return string(b)
}

// open checks and deciphers a message.
func (r *Receiver) open(m *epsem.Message, layer *Layer) ([][]byte, error) {
	id, _ := m.KeyID()
	var key []byte
	if r.cfg.Key != nil {
		key = r.cfg.Key(id)
	}
	if m.Security() == epsem.Clear {
		if r.cfg.Key != nil && r.cfg.Live && !r.cfg.AcceptUnprotected {
			return nil, fmt.Errorf("c12.22: %w", ErrUnprotected)
		}
		return m.Services()
	}
	layer.Security, layer.Tagged = WeakSecurity, true
	layer.Counter, layer.Counted = m.Vector()
	if len(key) == 0 {
		if m.Security() == epsem.Ciphered {
			return nil, fmt.Errorf("c12.22: %w (key %d)", ErrNoKey, id)
		}
		r.warn("the MAC could not be checked: no key %d", id)
		return m.Services()
	}
	opened, err := m.Verify(key)
	if err != nil {
		return nil, err
	}
	layer.Verified = true
	if r.cfg.Live {
		if err := r.fresh(m, id, layer.Counter); err != nil {
			return nil, err
		}
	}
	return opened.Services, nil
}

// fresh refuses a message whose initialisation vector, which has the time in it,
// is not above those that the sender used before with this key.
func (r *Receiver) fresh(m *epsem.Message, id uint8, vector uint32) error {
	from := sender{title(m, epsem.TagCalling), id}
	if r.cfg.Fresh != nil {
		if err := r.cfg.Fresh(epsem.Title(from.title), id, vector); err != nil {
			return fmt.Errorf("c12.22: vector %d: %w", vector, err)
		}
		return nil
	}
	last, ok := r.vector[from]
	if ok && vector <= last {
		return fmt.Errorf("c12.22: %w (vector %d, want more than %d)", ErrReplay, vector, last)
	}
	if !ok && len(r.vector) >= 16*maxMeters {
		return fmt.Errorf("c12.22: %w: more than %d senders", ErrReplay, 16*maxMeters)
	}
	r.vector[from] = vector
	return nil
}

// osgp takes one message of OSGP.
func (r *Receiver) osgp(b []byte) (int, error) {
	m, err := osgp.Parse(b, r.asked)
	if err != nil {
		return 0, err
	}
	r.known("")
	r.asked = m.Request
	if m.Response != nil {
		r.asked = nil
	}
	layer := Layer{Name: "osgp", Control: m.Name(), Security: brokenDigest, Tagged: true}
	if r.cfg.Digest != nil {
		if err := r.check(&m); err != nil {
			return m.Length, err
		}
		layer.Verified = m.Request != nil // the digest of a response covers its request
	} else if r.stats.Messages == 0 {
		r.warn("digests were not checked: no key of %d octets; they would prove nothing", osgp.KeyLen)
	}
	r.message.Layers = append(r.message.Layers, layer)
	if m.Response == nil || !m.Response.Read {
		return m.Length, nil
	}
	asked := m.Request
	if asked == nil {
		asked = &osgp.Request{Service: osgp.ReadTable, Table: r.cfg.Table}
	}
	r.part(asked.Table, asked.Service == osgp.ReadPart, asked.Offset, m.Response.Data, !layer.Verified)
	return m.Length, nil
}

func (r *Receiver) check(m *osgp.Message) error {
	switch {
	case m.Response == nil:
		return m.Request.Check(r.cfg.Digest, r.cfg.Address)
	case m.Request == nil:
		return nil
	}
	return m.Response.Check(r.cfg.Digest, r.cfg.Address, *m.Request)
}

// bare takes the octets of one table.
func (r *Receiver) bare(b []byte) (int, error) {
	if !r.ended {
		return 0, io.ErrUnexpectedEOF
	}
	m := r.known("")
	if r.cfg.Table == 0 {
		device, err := tables.NewDevice(b)
		if err != nil {
			return len(b), err
		}
		m.device = device
		r.show(0, b, false)
	} else {
		r.table(r.cfg.Table, b, false)
	}
	r.message.Layers = append(r.message.Layers, Layer{Name: "c12.19", Control: m.device.Name(r.cfg.Table)})
	if r.message.Err != nil && len(r.message.Readings)+len(r.message.Events)+len(r.message.Profiles) == 0 {
		return len(b), r.message.Err
	}
	return len(b), nil
}

// service takes one request or response.
func (r *Receiver) service(b []byte, talk talkID, pushed, unverified bool) {
	if b[0] < byte(psem.ServiceIdentify) {
		r.response(b, talk, unverified)
		return
	}
	request, _, err := psem.ParseRequest(b)
	if err != nil {
		r.fail(err)
		return
	}
	r.message.Layers = append(r.message.Layers, Layer{Name: "c12.18", Control: request.Service().String()})
	if w, ok := request.(psem.Write); ok && pushed {
		if len(w.Indices) == 0 {
			r.part(w.Table, w.ByOffset, w.Offset, w.Data, unverified)
		}
		return
	}
	list, ok := r.talks.get(talk)
	if !ok || r.cfg.Form == Packets { // there is one question at a time
		list = &[]*psem.Read{}
		r.talks.put(talk, list)
	}
	var asked *psem.Read
	if read, ok := request.(psem.Read); ok {
		if asked = &read; len(read.Indices) > 0 {
			asked.Indices = indexed
		}
	}
	if len(*list) < maxQuestions {
		*list = append(*list, asked)
	}
}

// indexed stands for the indices of a question, of which only that there are some matters.
var indexed = []uint16{0}

// maxQuestions is how many services of one message wait for their answers.
const maxQuestions = 256

// response reads the table that was asked for, if it was.
func (r *Receiver) response(b []byte, talk talkID, unverified bool) {
	answer, _, err := psem.ParseResponse(b)
	if err != nil {
		r.fail(err)
		return
	}
	r.message.Layers = append(r.message.Layers, Layer{Name: "c12.18", Control: answer.Status.String()})
	var asked *psem.Read
	if list, ok := r.talks.get(talk); ok && len(*list) > 0 {
		asked = (*list)[0]
		*list = (*list)[1:]
	}
	if asked == nil || len(answer.Body) == 0 || len(asked.Indices) > 0 {
		return // elements of tables need the whole to be read
	}
	data, err := answer.TableData()
	if err != nil {
		r.fail(err)
		return
	}
	r.part(asked.Table, asked.ByOffset, asked.Offset, data, unverified)
}

// part takes a table or, by offset, a part of one. Parts that follow each other are joined.
func (r *Receiver) part(table uint16, byOffset bool, offset uint32, data []byte, unverified bool) {
	m, at := r.meter, int(offset)
	switch have := m.parts; {
	case !byOffset:
		r.whole()
		r.table(table, data, unverified)
	case have != nil && table == m.table && at == len(have):
		if len(have)+len(data) > maxTable {
			r.drop(m)
			r.fail(fmt.Errorf("table %d: more than %d octets in parts", table, maxTable))
			return
		}
		r.keep(data)
		m.unverified = m.unverified || unverified
	case have != nil && table == m.table && at+len(data) <= len(have) && bytes.Equal(have[at:at+len(data)], data):
		// It was sent again.
	case at == 0:
		r.whole()
		m.table, m.unverified = table, unverified
		r.keep(data)
	default:
		r.warn("table %d: %d octets from octet %d on cannot be read without those before", table, len(data), at)
	}
}

// whole reads the table whose parts have come. Whether more would have followed shows
// only by its layout, so one that is too short is no failure.
func (r *Receiver) whole() {
	m := r.meter
	data := m.parts
	if r.drop(m); data == nil {
		return
	}
	before := r.message.Err
	r.table(m.table, data, m.unverified)
	if errors.Is(r.message.Err, io.ErrUnexpectedEOF) && !errors.Is(before, io.ErrUnexpectedEOF) {
		r.message.Err = before
	}
}

// table reads one table.
func (r *Receiver) table(number uint16, data []byte, unverified bool) {
	m := r.meter
	if number == 0 {
		device, err := tables.NewDevice(data)
		if err != nil {
			r.fail(err)
			return
		}
		m.device = device
		return
	}
	if m.device == nil {
		m.device = tables.Bare(tables.Config{}) // a capture without table 00
	}
	if err := m.device.Add(number, data); err != nil {
		r.fail(err)
	}
	if !r.log(number, data, unverified) && !r.profile(number, data, unverified) {
		r.show(number, data, unverified)
	}
}

// show adds what a table holds as readings.
func (r *Receiver) show(number uint16, data []byte, unverified bool) {
	base, sources := len(r.message.Readings), uint32(len(r.message.Sources))
	readings, all, err := r.meter.device.AppendReadings(r.message.Readings, nil, number, data)
	if err != nil {
		r.fail(err)
	}
	for i := base; i < len(readings); i++ {
		readings[i].Source += sources
		if unverified {
			readings[i].Quality.Flags |= obis.Unverified
		}
	}
	r.message.Readings, r.message.Sources = readings, append(r.message.Sources, all...)
}

// log reads the entries of a log. It is not ok for other tables and where nobody knows the layout.
func (r *Receiver) log(number uint16, data []byte, unverified bool) (ok bool) {
	if number != 74 && number != 76 {
		return false
	}
	n := len(r.message.Events)
	events, err := r.meter.device.AppendEvents(r.message.Events, number, data)
	r.message.Events = events
	for i := n; i < len(events) && unverified; i++ {
		events[i].Quality.Flags |= obis.Unverified
	}
	return err == nil
}

// profile reads the rows of a load profile. It is not ok for other tables and where the
// tables that say how it is laid out have not come.
func (r *Receiver) profile(number uint16, data []byte, unverified bool) (ok bool) {
	if number < 64 || number > 67 {
		return false
	}
	set, err := r.meter.device.LoadProfile(int(number) - 63)
	if err != nil {
		return false
	}
	p := &obis.Profile{}
	set.Describe(p)
	if err := set.AppendTable(p, data); err != nil {
		return false
	}
	if unverified {
		var marked obis.Runs
		for row := range p.Len() {
			marked.Add(row, p.Quality.At(row).With(obis.Unverified))
		}
		p.Quality = marked
	}
	r.message.Profiles = append(r.message.Profiles, p)
	return true
}

func (r *Receiver) warn(format string, args ...any) {
	r.message.Warnings = append(r.message.Warnings, fmt.Sprintf(format, args...))
}

func (r *Receiver) fail(err error) {
	if r.message.Err != nil && r.message.Err.Error() == err.Error() {
		return
	}
	r.warn("%v", err)
	r.message.Err = errors.Join(r.message.Err, err)
}

// recent remembers the last values by key.
type recent[K comparable, V any] struct {
	known map[K]V
	order []K // ring; the one at next is forgotten next
	next  int
	limit int
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{known: map[K]V{}, limit: limit}
}

func (c *recent[K, V]) get(key K) (V, bool) {
	v, ok := c.known[key]
	return v, ok
}

// put remembers a value, and returns the one that is forgotten for it.
func (c *recent[K, V]) put(key K, v V) (old V, gone bool) {
	if _, ok := c.known[key]; !ok {
		if len(c.order) < c.limit {
			c.order = append(c.order, key)
		} else {
			old, gone = c.known[c.order[c.next]]
			delete(c.known, c.order[c.next])
			c.order[c.next] = key
			c.next = (c.next + 1) % c.limit
		}
	}
	c.known[key] = v
	return old, gone
}
