package dlms

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/internal/wire"
	"github.com/openusm/meter/obis"
)

// ReceiverConfig says what a [Receiver] knows and believes.
type ReceiverConfig struct {
	Link Link // LinkAuto: what the first octet says

	// Keys returns the keys of the sender with a system title, or of its partner
	// in a conversation; nil where they are not known. It is asked once for each
	// title and once for the zero title, which stands for senders that are not
	// named; Peer and Title in what it returns for that are the titles of the meter
	// and of its client. A nil Keys knows no keys.
	Keys func(title security.Title) *Security
	// Unnamed is the protection that is demanded of messages that name no sender,
	// where Keys has none for the zero title: where meters have keys, one that says
	// nothing of itself may claim to be any of them.
	Unnamed security.Control
	// Counters are those of a live line: a message that is not above all before is
	// refused with [security.ErrReplay], one that is protected less than the keys
	// of its sender imply with [ErrUnprotected]. Nil is for captures, whose messages
	// may come in any order and more than once; what is protected less is marked
	// [obis.Unverified] there.
	Counters security.Counters
	// AcceptUnprotected hands on, marked [obis.Unverified], what a live line would
	// refuse with [ErrUnprotected]: for meters that push in the clear although
	// their keys are known.
	AcceptUnprotected func(security.Title) bool
	Trace             func(frame []byte) // called for every frame; nil for none
}

// Message is what a [Receiver] found: one PDU, or a frame that carries none. It
// is valid until the next Feed, Next or APDU.
type Message struct {
	PDU    apdu.PDU // nil where the frame carries none; of an answer in blocks the whole
	Plain  []byte   // the octets of the PDU; without a PDU what was protected and is none, the telegram of a customer port
	Layers []Layer  // outermost first: frames, blocks, protections, the PDU

	Title      security.Title   // of the sender; zero where it is not known
	Control    security.Control // of the innermost protection
	Counter    uint32           // of the innermost protection
	Trust      security.Trust   // of the best protection
	Unverified bool             // nobody can tell who sent it, although it was protected or should have been

	Readings   []obis.Reading
	Attributes []cosem.Attribute // by [obis.Reading.Source]: the attribute of a reading; its class is zero where nobody told it
	Profiles   []*obis.Profile   // of buffers whose capture objects were read before
	Meter      obis.Meter
	Warnings   []error // what was wrong and did not stop the reading

	keys    *sender // with which it was deciphered
	step    uint32  // from the counter of the sender's message before
	counted bool    // step holds
	late    bool    // the sender's message before had a higher counter, or the same
	sealed  bool    // it was ciphered or signed
}

// begin makes room for the next message.
func (r *Receiver) begin() {
	r.message.reset()
	for i := range r.plain {
		if cap(r.plain[i]) > keptMemory {
			r.plain[i] = nil
		}
	}
}

func (m *Message) reset() {
	*m = Message{Layers: m.Layers[:0], Warnings: m.Warnings[:0], Profiles: nil}
}

func (m *Message) warn(err error) {
	if len(m.Warnings) < maxLayers {
		m.Warnings = append(m.Warnings, err)
	}
}

// nonsense makes an error of what deciphers to no APDU: the key was wrong, unless
// the tag was right.
func (m *Message) nonsense(err error) error {
	if !m.sealed || m.Trust == security.Verified || m.Control&security.Encrypted == 0 {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrWrongKey, err)
}

// Stats counts what a [Receiver] met.
type Stats = wire.Stats

// Receiver reads what meters and their clients send: it finds the frames, joins
// segments and blocks, takes off the protection, and makes readings of what
// names itself or answers a request. It does no I/O, and is not safe for use by
// several goroutines.
type Receiver struct {
	cfg  ReceiverConfig
	link Link
	zero bool // the octet before, of a link that is not known, was 0

	hdlc    hdlc.Scanner
	wrapper wrapper.Scanner
	noise   uint64 // octets before the link was known
	fed     uint64 // octets
	begun   uint64 // the number of the octet that begins the oldest message that is not complete; 0 where there is none

	flows   map[way]*flow
	senders map[security.Title]*sender
	clock   uint64 // grows with each use of either
	held    int    // octets of the buffers of flows

	message  Message
	readings cosem.Readings
	plain    [maxProtections][]byte // what each protection held
	explain  *explainer             // nil unless the message is explained
}

// NewReceiver returns a receiver; a nil cfg is for a capture in HDLC without keys.
func NewReceiver(cfg *ReceiverConfig) *Receiver {
	r := &Receiver{flows: map[way]*flow{}, senders: map[security.Title]*sender{}}
	if cfg != nil {
		r.cfg = *cfg
	}
	r.link = r.cfg.Link
	return r
}

// Feed adds octets from the line, of which it makes a copy.
func (r *Receiver) Feed(b []byte) {
	r.fed += uint64(len(b))
	for i := 0; r.link == LinkAuto && i < len(b); i++ {
		switch {
		case b[i] == 0x7E:
			r.link, b = LinkHDLC, b[i:]
		case b[i] == 1 && r.zero:
			r.link, b = LinkWrapper, b[i:]
			r.noise--
			r.wrapper.Feed([]byte{0})
		default:
			r.zero = b[i] == 0
			r.noise++
		}
	}
	switch r.link {
	case LinkHDLC:
		r.hdlc.Feed(b)
	case LinkWrapper:
		r.wrapper.Feed(b)
	}
}

// Next returns the next message. An error that wraps [io.ErrUnexpectedEOF] means
// that more octets are needed; any other one, that a message was damaged, or is
// not to be believed, and was skipped: call Next again.
func (r *Receiver) Next() (*Message, error) {
	for {
		var m *Message
		var err error
		switch r.link {
		case LinkHDLC:
			f, ferr := r.hdlc.Next()
			if ferr != nil {
				return nil, ferr
			}
			r.trace(r.hdlc.Raw())
			if r.Gathered() == 0 {
				r.begun = max(1, r.fed+1-uint64(r.hdlc.Pending()+len(r.hdlc.Raw()))) // the flag between frames may count twice
			}
			m, err = r.frame(f)
		case LinkWrapper:
			f, ferr := r.wrapper.Next()
			if ferr != nil {
				return nil, ferr
			}
			r.trace(r.wrapper.Raw())
			m, err = r.wrapped(f)
		default:
			return nil, &hdlc.ParseError{Field: "flag", Err: io.ErrUnexpectedEOF}
		}
		if m != nil || err != nil {
			return m, skipped(err)
		}
	}
}

func (r *Receiver) trace(frame []byte) {
	if r.cfg.Trace != nil {
		r.cfg.Trace(frame)
	}
}

// skipped makes sure that an error inside a whole frame is not taken for a frame
// of which more is to come.
func skipped(err error) error {
	if err != nil && errors.Is(err, io.ErrUnexpectedEOF) {
		return &cutError{err}
	}
	return err
}

// cutError is an error of a message that ends too early, and of which no more comes.
type cutError struct{ err error }

func (e *cutError) Error() string { return e.err.Error() }

func (e *cutError) As(target any) bool { return errors.As(e.err, target) }

func (e *cutError) Is(target error) bool {
	return target != io.ErrUnexpectedEOF && errors.Is(e.err, target)
}

// Stats returns what was counted so far.
func (r *Receiver) Stats() Stats {
	s, w := r.hdlc.Stats(), r.wrapper.Stats()
	return Stats{
		Messages: s.Messages + w.Messages, ChecksumErrors: s.ChecksumErrors,
		Malformed: s.Malformed + w.Malformed, Skipped: s.Skipped + w.Skipped + r.noise,
	}
}

// Pending returns how many octets a frame has that has begun and not ended.
func (r *Receiver) Pending() int { return r.hdlc.Pending() + r.wrapper.Pending() }

// Gathered returns how many octets came of a message in segments or blocks whose
// rest is awaited, but those of the frame that is pending.
func (r *Receiver) Gathered() int {
	if r.begun == 0 {
		return 0
	}
	for _, f := range r.flows {
		if f.numbered.open || f.pushed.open || f.blocks.open || f.answer.open {
			return int(r.fed-r.begun) + 1 - r.Pending()
		}
	}
	r.begun = 0
	return 0
}

// End says that a capture has no more octets. The message has the layers of what
// was begun and is not complete, nil where nothing was; the error says what is
// missing of it. The next octets are of another line, of which nothing is known
// but the keys.
func (r *Receiver) End() (*Message, error) {
	r.message.reset()
	var err error
	if n := r.Pending(); n > 0 {
		err = fmt.Errorf("dlms: %d octets of a frame that is not complete: %w", n, ErrLost)
	}
	for _, f := range slices.SortedFunc(maps.Values(r.flows), func(a, b *flow) int { return cmp.Compare(a.used, b.used) }) {
		r.message.Layers = append(r.message.Layers, f.layers...)
		if err == nil && (f.numbered.open || f.pushed.open || f.blocks.open || f.answer.open) {
			err = fmt.Errorf("dlms: the rest of a message in segments or blocks: %w", ErrLost)
		}
	}
	*r = Receiver{cfg: r.cfg, link: r.cfg.Link, flows: map[way]*flow{}, senders: r.senders, clock: r.clock, message: r.message, readings: r.readings, plain: r.plain}
	if len(r.message.Layers) == 0 {
		return nil, err
	}
	return &r.message, err
}

// Skip gives up on the frame that has begun; reading goes on behind its start.
func (r *Receiver) Skip() {
	if r.link == LinkWrapper {
		r.wrapper.Skip()
	} else {
		r.hdlc.Skip()
	}
}

// APDU reads one whole APDU that another carrier brought, with the LLC header of
// HDLC or without. The message is nil where it is a block that completes nothing.
func (r *Receiver) APDU(b []byte) (*Message, error) {
	r.begin()
	if isLLC(b) {
		b = b[3:]
	}
	m, err := r.apdu(r.flow(way{}), b)
	return m, skipped(err)
}

func (r *Receiver) wrapped(f wrapper.Frame) (*Message, error) {
	r.begin()
	fl := r.flow(way{to: 1<<31 | uint32(f.Destination), from: 1<<31 | uint32(f.Source)})
	fl.layer(Layer{Name: "wrapper"})
	return r.apdu(fl, f.APDU)
}

// frame takes one HDLC frame.
func (r *Receiver) frame(f hdlc.Frame) (*Message, error) {
	r.begin()
	w := way{to: station(f.Destination), from: station(f.Source)}
	if w.to == w.from {
		w.sense = r.sense(w, f)
	}
	fl := r.flow(w)
	if back := r.flows[w.back()]; f.Control.IsInformation() && back != nil && back.numbered.known && f.Control.Receive() != back.numbered.next {
		fl.forget() // its sender has heard more, or less, than we did
	}
	s := &fl.numbered
	switch kind := f.Control.Kind(); {
	case f.Control.IsInformation() && (fl.pushed.open || fl.pushed.dead) && !fl.numbered.begun && !isLLC(f.Info):
		s = &fl.pushed // pushes of meters with Gurux's software begin in a UI frame, and go on in I frames
	case kind == hdlc.UI:
		s = &fl.pushed
	case kind == hdlc.SNRM, kind == hdlc.DISC, kind == hdlc.UA:
		fl.numbered.connect(r)
		if back := r.flows[w.back()]; back != nil {
			back.numbered.connect(r)
		}
	}
	layer := Layer{Name: "hdlc", Link: f.Control}
	if !f.Control.IsInformation() && f.Control.Kind() != hdlc.UI || len(f.Info) == 0 {
		r.message.Layers = append(r.message.Layers, layer)
		return &r.message, nil
	}
	pdu, joined, err := s.add(r, fl, f)
	if err != nil {
		fl.layers = fl.layers[:0]
		return nil, err
	}
	fl.layer(layer)
	if pdu == nil {
		return nil, nil
	}
	llc := 0
	if isLLC(pdu) {
		llc = 3
	}
	r.explain.reassembled(pdu, joined, llc)
	return r.apdu(fl, pdu[llc:])
}

// layer notes a frame, or a block, of a message that is not complete.
func (f *flow) layer(l Layer) {
	if len(f.layers) < maxLayers {
		f.layers = append(f.layers, l)
	}
}

func (f *flow) warn(err error) {
	if len(f.warnings) < maxLayers {
		f.warnings = append(f.warnings, err)
	}
}

// apdu takes an APDU, or a block of one.
func (r *Receiver) apdu(f *flow, b []byte) (*Message, error) {
	if len(b) > 0 && b[0] == apdu.TagGeneralBlockTransfer {
		r.explain.pdu(b)
		whole, err := r.block(f, b)
		if err != nil {
			f.layers = f.layers[:0]
			return nil, err
		}
		if whole == nil {
			return f.told(&r.message), nil
		}
		r.explain.joined("joined blocks", whole)
		b = whole
	}
	m := &r.message
	m.Layers, m.Warnings = append(m.Layers, f.layers...), append(m.Warnings, f.warnings...)
	f.layers, f.warnings = f.layers[:0], f.warnings[:0]
	return r.whole(f, b)
}

// told makes a message of the layers where no message in blocks is under way, as of
// an acknowledgement.
func (f *flow) told(m *Message) *Message {
	if f.blocks.open || len(f.layers) == 0 {
		return nil
	}
	m.Layers = append(m.Layers, f.layers...)
	f.layers = f.layers[:0]
	return m
}

// block takes a block of a general block transfer.
func (r *Receiver) block(f *flow, b []byte) (whole []byte, err error) {
	p, err := parse(b)
	if err != nil {
		return nil, err
	}
	g := p.(apdu.GeneralBlockTransfer)
	f.layer(Layer{Name: g.Name()})
	if len(g.Data) == 0 {
		if f.both {
			return nil, nil
		}
		f.blocks.empty(uint32(g.Number))
		return nil, nil
	}
	return f.blocks.add(r, f, uint32(g.Number), g.Data, g.Last)
}

// whole takes an APDU that is not a block.
func (r *Receiver) whole(f *flow, b []byte) (*Message, error) {
	m := &r.message
	if len(b) == 0 {
		return nil, &apdu.ParseError{Field: "tag", Err: io.ErrUnexpectedEOF}
	}
	if b[0] == apdu.TagGatewayRequest || b[0] == apdu.TagGatewayResponse {
		r.explain.pdu(b)
		p, err := parse(b)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, Layer{Name: p.Name()})
		r.explain.inside(len(b) - len(p.(apdu.Gateway).PDU))
		if b = p.(apdu.Gateway).PDU; len(b) == 0 {
			return nil, &apdu.ParseError{Field: "tag", Err: io.ErrUnexpectedEOF}
		}
	}
	m.sealed = isProtected(b[0])
	plain, err := r.open(f, b)
	if err != nil {
		if m.Trust == security.Verified { // it was counted, and nobody knows what it was
			f.level = false
		}
		return nil, err
	}
	m.Plain = plain
	f.went(m)
	if m.sealed && len(plain) > 0 && plain[0] == '/' {
		return r.telegram(f)
	}
	r.explain.pdu(plain)
	n := 0
	if len(plain) > 0 && plain[0] == apdu.TagDataNotification {
		var p apdu.DataNotification
		if p, n, err = apdu.ParseDataNotification(plain); err == nil {
			m.PDU = p
		}
	} else {
		m.PDU, n, err = apdu.Parse(plain)
	}
	if err != nil {
		return nil, m.nonsense(err)
	}
	if _, unknown := m.PDU.(apdu.Unknown); unknown {
		return nil, m.nonsense(fmt.Errorf("dlms: APDU with tag 0x%02x: %w", plain[0], ErrProtocol))
	}
	if n < len(plain) {
		if m.sealed && m.Trust != security.Verified {
			return nil, m.nonsense(fmt.Errorf("dlms: %d octets behind the %s: %w", len(plain)-n, m.PDU.Name(), ErrProtocol))
		}
		m.warn(fmt.Errorf("dlms: %d octets behind the %s", len(plain)-n, m.PDU.Name()))
		m.Plain = plain[:n]
	}
	m.Layers = append(m.Layers, Layer{Name: m.PDU.Name()})
	if err := r.believe(f, tellsValues(m.PDU)); err != nil {
		return nil, err
	}
	return r.read(f)
}

// telegram takes what was protected and is the text of a customer port.
func (r *Receiver) telegram(f *flow) (*Message, error) {
	m := &r.message
	if m.Trust != security.Verified {
		for _, c := range m.Plain[:min(len(m.Plain), 32)] {
			if c != '\r' && c != '\n' && (c < ' ' || c > '~') {
				return nil, ErrWrongKey
			}
		}
	}
	if err := r.believe(f, true); err != nil {
		return nil, err
	}
	r.identify(f)
	return m, nil
}

// tellsValues reports whether a PDU is one of those from which readings are made.
func tellsValues(p apdu.PDU) bool {
	switch p.(type) {
	case apdu.DataNotification, apdu.EventNotification, apdu.InformationReport, apdu.AccessResponse, apdu.ReadResponse,
		apdu.GetResponseNormal, apdu.GetResponseWithList, apdu.GetResponseWithBlock:
		return true
	}
	return false
}

// believe says how far the message can be trusted, by the protection that the
// keys of whoever may have sent it demand.
func (r *Receiver) believe(f *flow, values bool) error {
	m, c := &r.message, f.conversation
	if m.Trust == security.Verified {
		c.spoken = m.Title
	}
	var demanded security.Control
	if m.keys != nil {
		demanded = m.keys.demanded()
	} else if r.cfg.Keys != nil {
		for i, title := range [...]security.Title{m.Title, c.server, c.client, c.spoken, {}} {
			if demanded == 0 && (i == 4 || title != (security.Title{})) {
				demanded = r.sender(title).demanded()
			}
		}
	}
	if demanded == 0 && m.keys == nil && m.Title == (security.Title{}) {
		demanded = r.cfg.Unnamed
	}
	m.Unverified = m.Trust != security.Verified && (demanded != 0 || m.sealed && m.Trust != security.Plain)
	less := demanded&security.Authenticated != 0 && m.Trust != security.Verified ||
		demanded&^m.Control&security.Encrypted != 0
	if less && values && r.cfg.Counters != nil {
		if r.cfg.AcceptUnprotected == nil || !r.cfg.AcceptUnprotected(m.Title) {
			return fmt.Errorf("%w: %s of %v", ErrUnprotected, m.Layers[len(m.Layers)-1].Name, m.Title)
		}
		m.Unverified = true
	}
	return nil
}
