package hdlc

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Defaults of a [LinkConfig].
const (
	DefaultTimeout      = 5 * time.Second
	DefaultFrameTimeout = 4 * time.Second
	DefaultRetries      = 3

	busyPause  = 200 * time.Millisecond // before a station that was not ready is asked again
	idlePause  = 50 * time.Millisecond  // before a station that had nothing to say is asked again
	maxMessage = 1 << 16
)

// LinkConfig describes a [Link].
type LinkConfig struct {
	Local, Remote Address
	Parameters    Parameters    // proposed; zero fields mean the defaults of the standard
	Timeout       time.Duration // of the primary, for a response; zero means DefaultTimeout
	Retries       int           // of the primary, after a timeout; zero means DefaultRetries, negative none
}

// Link is one end of a connection between a primary (client) and a secondary
// station (server): it numbers, acknowledges, repeats and reassembles. It does
// no I/O and has no clock: frames go in by [Link.Receive], octets to write come
// out of [Link.Poll], and what happened comes out of [Link.Next].
type Link struct {
	cfg     LinkConfig
	primary bool
	state   state
	params  Parameters // negotiated

	turn     bool // we may transmit
	waiting  bool // primary: a response is expected
	peerBusy bool // the peer sent RNR
	ack      bool // something must be acknowledged

	command  Control   // primary: the unnumbered command to send; 0 for none
	va, vs   uint8     // the oldest frame that is not acknowledged, the next to send
	vr       uint8     // the next frame to receive
	out      []byte    // LLC and PDU that are being sent, from va on
	segments []int     // lengths of the segments in out that were sent and not acknowledged
	outgoing bool      // out holds a message that is not wholly acknowledged
	queue    [][]byte  // PDUs that are sent after it
	pause    time.Time // before a station that had nothing to say is asked again
	in       []byte    // what was received of a segmented message

	reply    []byte // secondary: an unnumbered response to write
	deadline time.Time
	tries    int
	events   []Event
}

type state uint8

const (
	disconnected state = iota
	connecting
	connected
	disconnecting
)

// EventKind says what happened on a link.
type EventKind uint8

// The kinds of event.
const (
	Connected    EventKind = iota + 1
	Message                // a PDU came
	Unnumbered             // a PDU came in an UI frame
	Disconnected           // by either side, or by an error
)

// Event is what happened on a link.
type Event struct {
	Kind EventKind
	PDU  []byte // of Message and Unnumbered, without LLC; it is the receiver's own
	Err  error  // of Disconnected; nil where it was asked for
}

// Errors with which a link ends.
var (
	ErrTimeout     = errors.New("hdlc: no response")
	ErrRejected    = errors.New("hdlc: the peer rejected a frame (FRMR)")
	ErrRefused     = errors.New("hdlc: the peer is disconnected (DM)")
	ErrNoLLC       = errors.New("hdlc: no LLC header")
	errLongMessage = errors.New("hdlc: message longer than 65,536 octets")
)

var (
	llcRequest  = []byte{0xE6, 0xE6, 0x00}
	llcResponse = []byte{0xE6, 0xE7, 0x00}
)

// NewPrimary returns the client's end of a link.
func NewPrimary(cfg LinkConfig) *Link {
	l := &Link{cfg: cfg, primary: true, turn: true, params: Parameters{}.normal()}
	if cfg.Timeout == 0 {
		l.cfg.Timeout = DefaultTimeout
	}
	if cfg.Retries == 0 {
		l.cfg.Retries = DefaultRetries
	}
	return l
}

// NewSecondary returns the server's end of a link.
func NewSecondary(cfg LinkConfig) *Link {
	return &Link{cfg: cfg, params: Parameters{}.normal()}
}

// Parameters returns what was negotiated.
func (l *Link) Parameters() Parameters { return l.params }

// Connect makes the primary send SNRM.
func (l *Link) Connect() { l.begin(SNRM, connecting) }

// Disconnect makes the primary send DISC.
func (l *Link) Disconnect() {
	if l.state == disconnected {
		l.event(Event{Kind: Disconnected})
		return
	}
	l.begin(DISC, disconnecting)
}

func (l *Link) begin(command Control, s state) {
	l.state, l.command, l.tries, l.turn = s, command, 0, true
	l.waiting, l.peerBusy = false, false
}

// Send queues a PDU. A primary that expects no answer, as to an unconfirmed
// request, says so.
func (l *Link) Send(pdu []byte, confirmed bool) {
	l.tries = 0
	l.waiting = l.primary && confirmed
	if l.outgoing {
		l.queue = append(l.queue, bytes.Clone(pdu))
		return
	}
	l.start(pdu)
}

// start begins to send a PDU.
func (l *Link) start(pdu []byte) {
	llc := llcResponse
	if l.primary {
		llc = llcRequest
	}
	l.out = append(append(l.out[:0], llc...), pdu...)
	l.segments, l.outgoing = l.segments[:0], true
}

// Expect makes a primary ask for a PDU, where the answer is more than one.
func (l *Link) Expect() { l.waiting = l.primary && l.state == connected }

// Release tells a secondary that there is no answer to the last message.
func (l *Link) Release() { l.ack = true }

// Next returns what happened, in order.
func (l *Link) Next() (Event, bool) {
	if len(l.events) == 0 {
		return Event{}, false
	}
	e := l.events[0]
	l.events = l.events[1:]
	return e, true
}

func (l *Link) event(e Event) { l.events = append(l.events, e) }

// Receive takes a frame from the line. Frames of others are ignored.
func (l *Link) Receive(now time.Time, f Frame) {
	if !f.Destination.Same(l.cfg.Local) && !(f.Control.Kind() == UI && f.Destination.IsBroadcast()) {
		return
	}
	if !f.Source.Same(l.cfg.Remote) && f.Control.Kind() != UI {
		return
	}
	l.deadline, l.tries = time.Time{}, 0
	if f.Control&PollFinal != 0 && f.Control.Kind() != UI {
		l.turn = true
	} else if l.primary && !l.turn {
		l.deadline = now.Add(l.cfg.Timeout)
	}
	switch f.Control.Kind() {
	case UI:
		if pdu, ok := l.cutLLC(f.Info); ok {
			l.event(Event{Kind: Unnumbered, PDU: pdu})
		}
	case SNRM, DISC:
		l.commanded(f)
	case UA, DM, FRMR:
		l.answered(f)
	case 0, RR, RNR:
		l.numbered(now, f)
	default:
		if !l.primary {
			l.reply = append(l.reply, byte(FRMR))
		}
	}
}

// commanded carries out a command of the primary.
func (l *Link) commanded(f Frame) {
	if l.primary {
		return
	}
	was := l.state
	l.reset()
	switch f.Control.Kind() {
	case SNRM:
		peer, err := ParseParameters(f.Info)
		if err != nil {
			peer = Parameters{}.normal()
		}
		l.params = l.cfg.Parameters.Negotiate(peer)
		l.state = connected
		l.reply = append(l.reply[:0], byte(UA))
		l.event(Event{Kind: Connected})
	case DISC:
		l.state = disconnected
		if was == disconnected {
			l.reply = append(l.reply[:0], byte(DM))
			return
		}
		l.reply = append(l.reply[:0], byte(UA))
		l.event(Event{Kind: Disconnected})
	}
}

func (l *Link) reset() {
	l.va, l.vs, l.vr = 0, 0, 0
	l.out, l.segments, l.outgoing, l.in = l.out[:0], l.segments[:0], false, l.in[:0]
	l.ack, l.waiting, l.peerBusy, l.queue, l.pause = false, false, false, nil, time.Time{}
}

// answered takes the secondary's unnumbered response.
func (l *Link) answered(f Frame) {
	if !l.primary {
		return
	}
	kind, state := f.Control.Kind(), l.state
	switch {
	case kind == UA && state == connecting:
		peer, err := ParseParameters(f.Info)
		if err != nil {
			l.end(err)
			return
		}
		l.reset()
		l.params = l.cfg.Parameters.Negotiate(peer)
		l.state, l.command = connected, 0
		l.event(Event{Kind: Connected})
	case (kind == UA || kind == DM) && state == disconnecting:
		l.end(nil)
	case kind == DM && state != disconnected:
		l.end(ErrRefused)
	case kind == FRMR && state != disconnected:
		l.end(ErrRejected)
	}
}

// end leaves the connected state.
func (l *Link) end(err error) {
	l.reset()
	l.state, l.command, l.turn, l.deadline = disconnected, 0, l.primary, time.Time{}
	l.event(Event{Kind: Disconnected, Err: err})
}

// numbered takes an I, RR or RNR frame.
func (l *Link) numbered(now time.Time, f Frame) {
	if l.state != connected {
		if !l.primary && l.state == disconnected && f.Control&PollFinal != 0 {
			l.reply = append(l.reply[:0], byte(DM))
		}
		return
	}
	l.acknowledged(f.Control.Receive())
	l.peerBusy = f.Control.Kind() == RNR
	if !f.Control.IsInformation() {
		if !l.outgoing && !l.primary {
			l.ack = true
		}
		if !l.outgoing && l.waiting && l.turn && !l.ack {
			l.pause = now.Add(idlePause)
		}
		return
	}
	l.ack = true
	if f.Control.Send() != l.vr {
		return // lost or repeated: the acknowledgement tells which is expected
	}
	l.vr = (l.vr + 1) & 7
	if len(l.in)+len(f.Info) > maxMessage+len(llcRequest) {
		l.end(errLongMessage)
		return
	}
	l.in = append(l.in, f.Info...)
	if f.Segmented {
		return
	}
	pdu, ok := l.cutLLC(l.in)
	l.in = l.in[:0]
	if !ok {
		l.end(ErrNoLLC)
		return
	}
	l.waiting, l.ack = false, false
	l.event(Event{Kind: Message, PDU: pdu})
}

// cutLLC returns a copy of what follows the LLC header.
func (l *Link) cutLLC(info []byte) ([]byte, bool) {
	if !bytes.HasPrefix(info, llcRequest) && !bytes.HasPrefix(info, llcResponse) {
		return nil, false
	}
	return bytes.Clone(info[len(llcRequest):]), true
}

// acknowledged forgets the segments before number n.
func (l *Link) acknowledged(n uint8) {
	count := int((n - l.va) & 7)
	if count > len(l.segments) {
		return
	}
	for _, size := range l.segments[:count] {
		l.out = l.out[:copy(l.out, l.out[size:])]
	}
	l.segments = l.segments[:copy(l.segments, l.segments[count:])]
	l.va = n
	if len(l.out) > 0 {
		return
	}
	l.outgoing = false
	if len(l.queue) > 0 {
		l.start(l.queue[0])
		l.queue = l.queue[1:]
	}
}

// Poll appends the octets to write to dst, and returns when it wants to be
// called again if nothing is received before; the zero time means never.
func (l *Link) Poll(now time.Time, dst []byte) ([]byte, time.Time) {
	for _, c := range l.reply {
		dst = l.unnumbered(dst, Control(c))
		l.turn = false
	}
	l.reply = l.reply[:0]
	if l.primary && !l.turn && !l.deadline.IsZero() && !now.Before(l.deadline) {
		if l.tries >= l.cfg.Retries {
			l.end(ErrTimeout)
			return dst, time.Time{}
		}
		l.tries++
		l.turn = true
	}
	if l.turn && l.waiting && !l.outgoing && now.Before(l.pause) {
		return dst, l.pause
	}
	if l.turn && !(l.peerBusy && now.Before(l.deadline)) {
		dst = l.transmit(now, dst)
	}
	return dst, l.deadline
}

// transmit uses the turn, if there is something to say.
func (l *Link) transmit(now time.Time, dst []byte) []byte {
	before := len(dst)
	switch {
	case l.command != 0:
		dst = l.unnumbered(dst, l.command)
	case l.state != connected:
		return dst
	case l.peerBusy && l.outgoing:
		if l.deadline.IsZero() {
			l.deadline = now.Add(busyPause)
			return dst
		}
		dst = l.frame(dst, Ready(l.vr), nil, false)
	case l.outgoing:
		dst = l.burst(dst)
	case l.ack || l.waiting:
		dst = l.frame(dst, Ready(l.vr), nil, false)
	}
	if len(dst) > before {
		l.turn, l.ack = false, false
		if l.primary {
			l.deadline = now.Add(l.cfg.Timeout)
		}
	}
	return dst
}

// burst sends as many segments as the window allows, first those that were
// sent and not acknowledged.
func (l *Link) burst(dst []byte) []byte {
	l.vs, l.segments = l.va, l.segments[:0]
	size := int(l.params.MaxInfoSend)
	for at := 0; at < len(l.out) && len(l.segments) < int(l.params.WindowSend); {
		segment := l.out[at:min(at+size, len(l.out))]
		at += len(segment)
		l.segments = append(l.segments, len(segment))
		more := at < len(l.out)
		control := Information(l.vs, l.vr)
		if more && len(l.segments) < int(l.params.WindowSend) {
			dst = l.burstFrame(dst, control, segment, more)
		} else {
			dst = l.frame(dst, control, segment, more)
		}
		l.vs = (l.vs + 1) & 7
	}
	return dst
}

// frame appends a frame with the poll/final bit.
func (l *Link) frame(dst []byte, c Control, info []byte, more bool) []byte {
	return l.burstFrame(dst, c|PollFinal, info, more)
}

// burstFrame appends a frame after which more follow.
func (l *Link) burstFrame(dst []byte, c Control, info []byte, more bool) []byte {
	f := Frame{Segmented: more, Destination: l.cfg.Remote, Source: l.cfg.Local, Control: c, Info: info}
	dst, err := f.AppendBinary(dst)
	if err != nil {
		l.event(Event{Kind: Disconnected, Err: fmt.Errorf("hdlc: %w", err)})
	}
	return dst
}

// unnumbered appends a command or its response; SNRM and UA carry the parameters.
func (l *Link) unnumbered(dst []byte, c Control) []byte {
	var info []byte
	switch {
	case c == SNRM && l.cfg.Parameters != (Parameters{}):
		info = l.cfg.Parameters.Append(nil)
	case c == UA && l.state == connected:
		info = l.params.Append(nil)
	}
	return l.frame(dst, c, info, false)
}
