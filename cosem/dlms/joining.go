package dlms

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// Limits of what is put together, in octets.
const (
	maxPushed   = 1 << 20   // of a message of a live line; for captures maxLong
	maxGathered = 8 << 20   // of all messages of a live line that are not complete
	maxCaptured = 128 << 20 // the same for captures
	keptMemory  = 1 << 14   // that a buffer keeps for the next message
)

// Limits of what is remembered.
const (
	maxFlows   = 1024 // ways between two stations
	maxLayers  = 256  // of one message
	maxAsked   = 16   // requests of a conversation: as many as invoke ids
	maxBlocks  = 1 << 16
	maxList    = 1024 // attributes of a request, columns of a profile
	maxCounted = 8    // counters of a conversation
	maxRunning = 64   // how far a dedicated key that does not begin anew may lie ahead of the global one
	maxKnown   = 1024 // scalers of a conversation
)

// way is a direction between two stations. The zero way is that of APDUs which
// another carrier brought.
type way struct {
	to, from uint32
	sense    sense // where both stations have the same address
}

// sense tells requests and answers apart.
type sense uint8

const (
	bothSenses sense = iota
	requests
	answers
)

func (w way) back() way {
	w.to, w.from = w.from, w.to
	if w.sense != bothSenses {
		w.sense ^= requests ^ answers
	}
	return w
}

// sense says which way a frame goes between stations of the same address: its LLC
// header tells or, within a message, its number.
func (r *Receiver) sense(w way, f hdlc.Frame) sense {
	if isLLC(f.Info) {
		if f.Info[1] == 0xE6 {
			return requests
		}
		return answers
	}
	for _, s := range [...]sense{answers, requests} {
		w.sense = s
		if fl := r.flows[w]; fl != nil && f.Control.IsInformation() && fl.numbered.open && fl.numbered.next == f.Control.Send() {
			return s
		}
	}
	return answers
}

func station(a hdlc.Address) uint32 { return 1<<31 | uint32(a.Upper)<<16>>1 | uint32(a.Lower) }

// flow is what is known of one way.
type flow struct {
	*conversation
	used       uint64
	both       bool     // it is both ways
	numbered   segments // I frames
	pushed     segments // UI frames, and I frames that go on with what a UI frame began
	blocks     joined   // of general block transfers
	answer     joined   // of get-responses with blocks
	invoke     apdu.InvokeID
	unverified bool         // the first block of the answer is
	doubtful   bool         // a block of the answer is
	layers     []Layer      // of the message that is not complete
	warnings   []error      // about it
	pushes     cosem.Pushes // of messages without a title
	meter      obis.Meter   // that they told
}

// conversation is what is known of two stations.
type conversation struct {
	client, server security.Title  // as AARQ and AARE have them
	spoken         security.Title  // of the last verified message
	dedicated      security.Sealer // the key that the AARQ proposed
	asked          [maxAsked]asked
	access         asked
	last           []counted
	opening        bool         // a verified AARQ waits for its answer, and nothing came since
	acting         bool         // the same for an action
	requests       uint32       // how many verified requests came
	level          bool         // lead holds
	lead           uint32       // by how much the client's counter went further than that of the server
	told           [2]described // by messages that can be trusted, and by others
}

// described is what messages told of how to read others.
type described struct {
	scalers  map[cosem.Attribute]cosem.ScalerUnit
	profiles map[obis.Code]*captured
}

// described returns what a message may be read by: what came as well protected as it.
func (c *conversation) described(unverified bool) *described {
	if unverified {
		return &c.told[1]
	}
	return &c.told[0]
}

// asked is a request that waits for its answer.
type asked struct {
	list       []apdu.Get
	invoke     uint32
	single     bool // not a list
	unverified bool // nobody can tell who asked
	doubtful   bool // another request was not answered
	number     uint32
}

// forget drops the requests that wait for an answer: what comes may answer another one.
func (c *conversation) forget() {
	c.asked, c.access = [maxAsked]asked{}, asked{}
}

// flow returns what is known of a way.
func (r *Receiver) flow(w way) *flow {
	r.clock++
	if f := r.flows[w]; f != nil {
		f.used = r.clock
		return f
	}
	for len(r.flows) >= maxFlows {
		r.forgetOldest(nil)
	}
	f := &flow{used: r.clock, both: w == w.back()}
	if back := r.flows[w.back()]; back != nil {
		f.conversation = back.conversation
	} else {
		f.conversation = &conversation{}
	}
	r.flows[w] = f
	return f
}

// forgetOldest drops the way that was silent for longest, but not keep.
func (r *Receiver) forgetOldest(keep *flow) (ok bool) {
	var oldest *flow
	var at way
	for w, f := range r.flows {
		if f != keep && (oldest == nil || f.used < oldest.used) {
			oldest, at = f, w
		}
	}
	if oldest == nil {
		return false
	}
	for _, b := range []*[]byte{&oldest.numbered.b, &oldest.pushed.b, &oldest.blocks.b, &oldest.answer.b} {
		r.held -= cap(*b)
	}
	delete(r.flows, at)
	return true
}

var errTooMuch = errors.New("more than is put together")

// grow appends part to the buffer of a flow, within the limits.
func (r *Receiver) grow(f *flow, b *[]byte, part []byte) error {
	one, all := maxLong, maxCaptured
	if r.cfg.Counters != nil {
		one, all = maxPushed, maxGathered
	}
	if len(*b)+len(part) > one {
		return fmt.Errorf("dlms: message of over %d octets: %w", one, errTooMuch)
	}
	r.held -= cap(*b)
	*b = append(*b, part...)
	r.held += cap(*b)
	for r.held > all && r.forgetOldest(f) {
	}
	return nil
}

// clear empties a buffer, and keeps its memory where that is small.
func (r *Receiver) clear(b *[]byte) {
	if cap(*b) > keptMemory {
		r.held -= cap(*b)
		*b = nil
	}
	*b = (*b)[:0]
}

// Why a message that came in pieces cannot be put together.
var (
	ErrLost     = errors.New("a piece of the message was lost")
	errBegun    = errors.New("the message before ended without its last piece")
	errRepeated = errors.New("a block was repeated with other contents")
)

// segments joins the frames of one direction.
type segments struct {
	b     []byte
	last  int   // where the last segment starts in b
	more  bool  // the last segment said that another follows
	open  bool  // a message has begun
	dead  bool  // the rest of the message is dropped
	begun bool  // a message has begun since the link was connected
	known bool  // next holds
	next  uint8 // N(S) that is expected
}

// add takes a segment. It returns the message that it completes, and whether it
// consists of more than this segment.
func (s *segments) add(r *Receiver, f *flow, frame hdlc.Frame) (pdu []byte, joined bool, err error) {
	numbered, llc := frame.Control.IsInformation(), isLLC(frame.Info)
	if numbered {
		ns := frame.Control.Send()
		if s.known && ns == (s.next-1)&7 && frame.Segmented == s.more && bytes.Equal(frame.Info, s.b[s.last:]) {
			return nil, false, nil // a repetition
		}
		lost := s.known && ns != s.next
		s.known, s.next = true, (ns+1)&7
		if lost && s.open && !llc {
			s.end(r, frame.Segmented)
			return nil, false, fmt.Errorf("dlms: segment %d of %d→%d: %w", ns, frame.Source.Upper, frame.Destination.Upper, ErrLost)
		}
	} else {
		s.known = true // I frames that go on here are numbered from 0, or as they were
	}
	switch {
	case llc:
		if s.open {
			f.warn(fmt.Errorf("dlms: %d→%d: %w", frame.Source.Upper, frame.Destination.Upper, errBegun))
			f.layers = f.layers[:0]
		}
		r.clear(&s.b)
		s.dead, s.begun = false, true
	case s.dead:
		s.end(r, frame.Segmented)
		return nil, false, nil
	case !s.open && numbered:
		s.end(r, frame.Segmented)
		return nil, false, fmt.Errorf("dlms: a segment of %d octets without its beginning: %w", len(frame.Info), ErrLost)
	case !s.open:
		r.clear(&s.b)
	}
	joined = s.open && !llc
	s.last, s.more, s.open = len(s.b), frame.Segmented, frame.Segmented
	if err := r.grow(f, &s.b, frame.Info); err != nil {
		s.end(r, frame.Segmented)
		return nil, false, err
	}
	if s.open {
		return nil, false, nil
	}
	if !joined {
		return frame.Info, false, nil
	}
	return s.b, true, nil
}

// end drops what came of a message, and its rest.
func (s *segments) end(r *Receiver, rest bool) {
	r.clear(&s.b)
	s.last, s.more, s.open, s.dead = 0, rest, false, rest
}

// connect begins the numbering anew.
func (s *segments) connect(r *Receiver) {
	r.clear(&s.b)
	*s = segments{b: s.b}
}

// isLLC reports whether a segment begins with the LLC header of requests or of responses.
func isLLC(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xE6 && (b[1] == 0xE6 || b[1] == 0xE7) && b[2] == 0
}

// joined puts numbered blocks together.
type joined struct {
	b      []byte
	starts []int  // of the blocks in b
	first  uint32 // number of the first of them
	next   uint32 // number that is expected; 0 where none is
	open   bool
	dead   bool // blocks are dropped until block 1
}

// add takes a block. Block 1 begins anew; a repeated one must be as it was before.
func (j *joined) add(r *Receiver, f *flow, number uint32, part []byte, last bool) (whole []byte, err error) {
	switch {
	case number == 1:
		if j.open {
			if len(j.starts) == 1 && j.first == 1 && !last && bytes.Equal(part, j.b) {
				return nil, nil // a repetition
			}
			f.warn(fmt.Errorf("dlms: block 1 after block %d: %w", j.next-1, errBegun))
		}
		j.begin(r, 1)
	case j.next != 0 && number == j.next:
		if !j.open {
			j.begin(r, number)
		}
	case len(j.starts) > 0 && number >= j.first && number < j.next:
		i := int(number - j.first)
		end := len(j.b)
		if i+1 < len(j.starts) {
			end = j.starts[i+1]
		}
		if bytes.Equal(part, j.b[j.starts[i]:end]) {
			return nil, nil
		}
		j.end(r)
		return nil, fmt.Errorf("dlms: block %d: %w", number, errRepeated)
	case j.dead:
		return nil, nil
	case j.next == 0:
		j.end(r)
		return nil, fmt.Errorf("dlms: block %d without block 1: %w", number, ErrLost)
	default:
		want := j.next
		j.end(r)
		return nil, fmt.Errorf("dlms: block %d where %d was expected: %w", number, want, ErrLost)
	}
	if len(j.starts) == maxBlocks {
		j.end(r)
		return nil, fmt.Errorf("dlms: more than %d blocks: %w", maxBlocks, errTooMuch)
	}
	j.starts = append(j.starts, len(j.b))
	if err := r.grow(f, &j.b, part); err != nil {
		j.end(r)
		return nil, err
	}
	j.next = number + 1
	if j.open = !last; j.open {
		return nil, nil
	}
	return j.b, nil
}

func (j *joined) begin(r *Receiver, number uint32) {
	r.clear(&j.b)
	j.starts, j.first, j.open, j.dead = j.starts[:0], number, true, false
	if cap(j.starts) > keptMemory/8 {
		j.starts = nil
	}
}

// end drops what came. What follows is lost, too, until block 1.
func (j *joined) end(r *Receiver) {
	j.begin(r, 0)
	j.next, j.open, j.dead = 0, false, true
}

// empty takes a block without data, an acknowledgement, which is numbered all the same.
func (j *joined) empty(number uint32) {
	if !j.open && (number == 1 || number == j.next) {
		j.next, j.starts = number+1, j.starts[:0]
	} else if j.open && number == j.next {
		j.next++
		j.starts = append(j.starts, len(j.b))
	}
}
