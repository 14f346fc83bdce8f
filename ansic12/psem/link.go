package psem

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// LinkConfig are the parameters of a [Link]. All zero values mean the defaults of C12.18.
type LinkConfig struct {
	Identity    byte          // 0 between two stations
	PacketSize  int           // octets of a whole packet that we may send; 0 is 64
	Packets     int           // packets of a message that we may send; 0 is 1
	AckTimeout  time.Duration // until a packet must be acknowledged; 0 is 2 s
	CharTimeout time.Duration // between octets of a packet; 0 is 500 ms
	Retries     int           // repetitions of a packet; 0 is 3, -1 none
	MaxMessage  int           // octets of a message that is received; 0 is 131,072
}

func (c *LinkConfig) packetSize() int    { return or(c.PacketSize, 64) }
func (c *LinkConfig) packets() int       { return or(c.Packets, 1) }
func (c *LinkConfig) retries() int       { return max(or(c.Retries, 3), 0) }
func (c *LinkConfig) maxMessage() int    { return or(c.MaxMessage, 1<<17) }
func (c *LinkConfig) ack() time.Duration { return or(c.AckTimeout, 2*time.Second) }
func (c *LinkConfig) char() time.Duration {
	return or(c.CharTimeout, 500*time.Millisecond)
}

func or[T int | time.Duration](v, standard T) T {
	if v == 0 {
		return standard
	}
	return v
}

// Errors of a link.
var (
	ErrNoAnswer = errors.New("no answer")
	ErrNAK      = errors.New("packets are refused (NAK)")
	ErrGarbled  = errors.New("packets arrive garbled")
	ErrSequence = errors.New("packets of a message out of sequence")
)

// maxParts is how often a wait is prolonged: by all packets of a message and of its answer.
const maxParts = 2 * 256

// Step is what a [Link] wants done next.
type Step struct {
	Kind  StepKind
	Data  []byte    // StepSend: the octets; StepMessage: the message; both valid until the next call
	Until time.Time // StepRead: the zero time is without end
	Err   error     // StepFailed
}

// StepKind says what to do.
type StepKind uint8

// The kinds of step.
const (
	StepRead    StepKind = iota // read what comes until Until and feed it
	StepSend                    // send Data
	StepMessage                 // a message is complete
	StepFailed                  // the message could not be sent or none came
)

// Link sends and receives messages: packets, acknowledgements, repetitions and
// duplicates, for either side and without I/O and clock. It is not safe for
// concurrent use.
type Link struct {
	cfg    LinkConfig
	toggle bool

	out      [][]byte // packets of the message that is being sent
	send     bool     // out[0] is to be sent
	tries    int
	ackUntil time.Time

	in        []byte
	charUntil time.Time
	reply     []byte // ACK or NAK to be sent
	message   []byte // of the packets so far
	complete  bool
	expect    byte // sequence of the next packet
	partial   bool // more packets of a message are to come
	bad       int  // packets in a row that were garbled
	last      struct {
		known  bool
		toggle bool
		crc    [crcLen]byte
	}
	wait     time.Duration // for a message or its next part; 0 is for ever
	deadline time.Time     // when that is over
	progress bool          // a part came since the deadline was set
	parts    int           // that have postponed it
	err      error
}

// NewLink returns a link with nothing sent.
func NewLink(cfg *LinkConfig) *Link {
	l := &Link{}
	if cfg != nil {
		l.cfg = *cfg
	}
	return l
}

// Configure changes the parameters from the next message on.
func (l *Link) Configure(cfg LinkConfig) { l.cfg = cfg }

// Config returns the parameters in force.
func (l *Link) Config() LinkConfig { return l.cfg }

// Reset forgets toggles and everything that is under way.
func (l *Link) Reset() { *l = Link{cfg: l.cfg} }

// Send begins to send a message. The error wraps [ErrTooLong] where the packets
// that were negotiated do not hold it.
func (l *Link) Send(message []byte) error {
	room := min(l.cfg.packetSize()-Overhead, MaxData)
	if room < 1 {
		return fmt.Errorf("psem: %w: packets of %d octets hold nothing", ErrTooLong, l.cfg.packetSize())
	}
	n := max((len(message)+room-1)/room, 1)
	if n > l.cfg.packets() || n > 255 {
		return fmt.Errorf("psem: %w: message of %d octets in %d packets of %d", ErrTooLong, len(message), l.cfg.packets(), l.cfg.packetSize())
	}
	l.out = l.out[:0]
	for i := range n {
		p := Packet{Identity: l.cfg.Identity, Multi: n > 1, First: n > 1 && i == 0, Toggle: l.toggle, Sequence: byte(n - 1 - i)}
		p.Data = message[i*room : min((i+1)*room, len(message))]
		b, err := p.AppendBinary(nil)
		if err != nil {
			return err
		}
		l.out = append(l.out, b)
		l.toggle = !l.toggle
	}
	l.send, l.tries, l.err = true, 0, nil
	return nil
}

// Expect sets how long the other side may stay silent before a message has come, 0
// meaning for ever, and forgets a failure. Each packet and acknowledgement of a long message counts.
func (l *Link) Expect(now time.Time, wait time.Duration) {
	l.wait, l.deadline, l.err, l.bad, l.progress, l.parts = wait, time.Time{}, nil, 0, true, 0
	l.postpone(now)
}

// postpone sets the deadline anew where something has come of the message.
func (l *Link) postpone(now time.Time) {
	if l.progress && l.wait > 0 && l.parts <= maxParts {
		l.deadline = now.Add(l.wait)
		l.parts++
	}
	l.progress = false
}

// Sending reports whether packets still have to be acknowledged.
func (l *Link) Sending() bool { return len(l.out) > 0 }

// Poll returns the next step.
func (l *Link) Poll(now time.Time) Step {
	for {
		l.advance()
		l.postpone(now)
		switch {
		case len(l.reply) > 0:
			b := l.reply
			l.reply = nil
			return Step{Kind: StepSend, Data: b}
		case l.err != nil:
			err := l.err
			l.err, l.out = nil, l.out[:0]
			return Step{Kind: StepFailed, Err: err}
		case l.complete:
			l.complete, l.wait, l.deadline = false, 0, time.Time{}
			return Step{Kind: StepMessage, Data: l.message}
		case len(l.out) > 0 && l.send:
			l.send = false
			l.ackUntil = now.Add(l.cfg.ack())
			return Step{Kind: StepSend, Data: l.out[0]}
		case len(l.in) > 0 && !now.Before(l.charUntil):
			// The rest of a packet is lost.
			l.in = l.in[:0]
			l.garbled(io.ErrUnexpectedEOF)
			continue
		case len(l.out) > 0 && !now.Before(l.ackUntil):
			l.repeat(ErrNoAnswer)
			continue
		case len(l.out) == 0 && !l.deadline.IsZero() && !now.Before(l.deadline):
			l.wait, l.deadline = 0, time.Time{}
			return Step{Kind: StepFailed, Err: fmt.Errorf("psem: %w", ErrNoAnswer)}
		}
		return Step{Kind: StepRead, Until: l.until()}
	}
}

// until returns when something must be done if nothing comes.
func (l *Link) until() time.Time {
	until := l.deadline
	if len(l.out) > 0 {
		until = l.ackUntil
	}
	if len(l.in) > 0 && (until.IsZero() || l.charUntil.Before(until)) {
		until = l.charUntil
	}
	return until
}

// repeat sends the packet again, or gives up.
func (l *Link) repeat(why error) {
	l.tries++
	if l.tries > l.cfg.retries() {
		l.err = fmt.Errorf("psem: %w", why)
		return
	}
	l.send = true
}

// Feed takes what arrived.
func (l *Link) Feed(now time.Time, in []byte) {
	l.in = append(l.in, in...)
	l.charUntil = now.Add(l.cfg.char())
	l.advance()
	l.postpone(now)
}

// advance uses up what came, as far as the steps before are done.
func (l *Link) advance() {
	for len(l.in) > 0 && len(l.reply) == 0 && !l.complete && l.err == nil {
		n := l.take()
		if n == 0 {
			return
		}
		l.in = append(l.in[:0], l.in[n:]...)
	}
}

// take uses up the start of what came, and returns how many octets.
func (l *Link) take() int {
	switch c := l.in[0]; {
	case c == ACK && len(l.out) > 0:
		l.acknowledged()
		return 1
	case c == NAK && len(l.out) > 0:
		l.repeat(ErrNAK)
		return 1
	case c != start:
		return l.noise()
	}
	p, n, err := Parse(l.in)
	var pe *ParseError
	switch {
	case err == nil:
		l.packet(p, l.in[:n])
		return n
	case errors.Is(err, io.ErrUnexpectedEOF):
		return 0
	case errors.Is(err, ErrCRC) && errors.As(err, &pe):
		n = pe.Offset + crcLen
		l.garbled(err)
		return n
	}
	return 1 + l.noiseFrom(1)
}

// noise returns how many octets there are before the next packet.
func (l *Link) noise() int { return l.noiseFrom(0) }

func (l *Link) noiseFrom(first int) int {
	for i := first; i < len(l.in); i++ {
		if c := l.in[i]; i > 0 && (c == start || len(l.out) > 0 && (c == ACK || c == NAK)) {
			return i - first
		}
	}
	return len(l.in) - first
}

func (l *Link) acknowledged() {
	l.out = append(l.out[:0], l.out[1:]...)
	l.tries, l.send, l.progress = 0, len(l.out) > 0, true
}

// garbled asks for a packet again, or gives up.
func (l *Link) garbled(err error) {
	l.reply = []byte{NAK}
	if l.bad++; l.bad > l.cfg.retries() {
		l.bad = 0
		l.err = fmt.Errorf("psem: %w: %w", ErrGarbled, err)
	}
}

// packet takes a packet without fault.
func (l *Link) packet(p Packet, raw []byte) {
	if len(l.out) > 0 && bytes.Equal(raw, l.out[0]) {
		return // an optical head shows its own light
	}
	if p.Identity != l.cfg.Identity {
		return // for another station on a shared line
	}
	crc := [crcLen]byte(raw[len(raw)-crcLen:])
	repeated := l.last.known && l.last.toggle == p.Toggle && l.last.crc == crc
	l.reply = []byte{ACK}
	l.bad = 0
	if repeated {
		return
	}
	l.last.known, l.last.toggle, l.last.crc = true, p.Toggle, crc
	if len(l.out) == 1 {
		l.acknowledged() // only the acknowledgement was lost: this is already the answer
	}
	l.assemble(p)
}

// assemble adds a packet to the message.
func (l *Link) assemble(p Packet) {
	switch {
	case !p.Multi || p.First:
		l.message = l.message[:0]
	case !l.partial || p.Sequence != l.expect:
		l.err = fmt.Errorf("psem: %w: packet %d, want %d", ErrSequence, p.Sequence, l.expect)
		l.partial = false
		return
	}
	if len(l.message)+len(p.Data) > l.cfg.maxMessage() {
		l.err = fmt.Errorf("psem: %w: message of more than %d octets", ErrTooLong, l.cfg.maxMessage())
		l.partial = false
		return
	}
	l.message = append(l.message, p.Data...)
	l.partial = p.Multi && p.Sequence > 0
	l.expect = p.Sequence - 1
	l.complete, l.progress = !l.partial, true
}
