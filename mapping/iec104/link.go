package iec104

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The frames of IEC 60870-5-104, clause 5:
//
//	0x68 | length(1) | control(4) | ASDU
//
// control is the numbers N(S) and N(R) of an I frame, N(R) of an S frame, or one
// of six functions of a U frame.
const (
	startByte   = 0x68
	controlSize = 4
	maxFrame    = 2 + 253
	numbers     = 1 << 15 // of frames
)

// Functions of U frames.
const (
	startAct = 0x07
	startCon = 0x0B
	stopAct  = 0x13
	stopCon  = 0x23
	testAct  = 0x43
	testCon  = 0x83
)

// ParseError says what of a frame is not as it must be.
type ParseError struct {
	Field  string // as the standard names it
	Offset int    // octets from the start of the frame
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("iec104: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// errSequence reports a peer that counts frames wrongly; the connection is to be closed.
var errSequence = errors.New("frame out of sequence")

// link is the state of one connection without its I/O: who has acknowledged
// what, and until when something must happen.
type link struct {
	cfg     *Config
	started bool
	ending  bool        // STOPDT is confirmed when the frames that wait are acknowledged
	sent    uint16      // N(S) of the next frame
	acked   uint16      // oldest frame that is not acknowledged
	got     uint16      // N(S) of the next frame from the peer
	told    uint16      // N(R) that the peer knows of
	times   []time.Time // when the frames that are not acknowledged were sent
	heard   time.Time   // when the peer was last heard
	owed    time.Time   // since when the peer waits for an acknowledgement
	testing time.Time   // when a test was sent that is not answered
}

// feed takes one frame. It returns the ASDU of an I frame, the U function of a
// U frame (which it answers itself), and what is to be sent at once.
func (l *link) feed(now time.Time, frame []byte) (asdu []byte, function byte, reply []byte, err error) {
	c := frame[2:6]
	l.heard = now
	switch {
	case c[0]&1 == 0:
		if !l.started {
			return nil, 0, nil, &ParseError{"control", 2, errors.New("an I frame before STARTDT")}
		}
		if n := binary.LittleEndian.Uint16(c) >> 1; n != l.got {
			return nil, 0, nil, &ParseError{"N(S)", 2, fmt.Errorf("%d, want %d: %w", n, l.got, errSequence)}
		}
		if err := l.acknowledge(binary.LittleEndian.Uint16(c[2:]) >> 1); err != nil {
			return nil, 0, nil, err
		}
		l.got = (l.got + 1) % numbers
		if l.owed.IsZero() {
			l.owed = now
		}
		if l.unacknowledged() >= l.cfg.w() {
			reply = l.supervise(nil)
		}
		return frame[6:], 0, reply, nil
	case c[0]&3 == 1:
		if err := l.acknowledge(binary.LittleEndian.Uint16(c[2:]) >> 1); err != nil {
			return nil, 0, nil, err
		}
		return nil, 0, l.confirmStop(nil), nil
	}
	function = c[0]
	switch function {
	case startAct:
		l.started, l.ending = true, false
		reply = unnumbered(startCon)
	case stopAct:
		l.started, l.ending = false, true
		if l.unacknowledged() > 0 {
			reply = l.supervise(nil)
		}
		reply = l.confirmStop(reply)
	case testAct:
		reply = unnumbered(testCon)
	case testCon:
		l.testing = time.Time{}
	case startCon, stopCon:
		return nil, 0, nil, &ParseError{"control", 2, errors.New("a confirmation of what was not asked for")}
	default:
		return nil, 0, nil, &ParseError{"control", 2, fmt.Errorf("function %#02x of a U frame", function)}
	}
	return nil, function, reply, nil
}

// confirmStop appends the confirmation of STOPDT once nothing waits for an
// acknowledgement any more.
func (l *link) confirmStop(dst []byte) []byte {
	if !l.ending || len(l.times) > 0 {
		return dst
	}
	l.ending = false
	return append(dst, unnumbered(stopCon)...)
}

// acknowledge takes N(R): all frames before it have arrived.
func (l *link) acknowledge(n uint16) error {
	waiting := (l.sent - l.acked + numbers) % numbers
	arrived := (n - l.acked + numbers) % numbers
	if arrived > waiting {
		return &ParseError{"N(R)", 4, fmt.Errorf("%d acknowledges what was not sent: %w", n, errSequence)}
	}
	l.acked = n
	l.times = l.times[:copy(l.times, l.times[arrived:])]
	return nil
}

func (l *link) unacknowledged() int { return int((l.got - l.told + numbers) % numbers) }

// ready reports whether one more I frame may be sent: no more than k wait for an acknowledgement.
func (l *link) ready() bool { return l.started && len(l.times) < l.cfg.k() }

// send appends the I frame of an ASDU.
func (l *link) send(now time.Time, dst, asdu []byte) []byte {
	dst = append(dst, startByte, byte(controlSize+len(asdu)))
	dst = binary.LittleEndian.AppendUint16(dst, l.sent<<1)
	dst = binary.LittleEndian.AppendUint16(dst, l.got<<1)
	l.sent = (l.sent + 1) % numbers
	l.told = l.got
	l.owed = time.Time{}
	l.times = append(l.times, now)
	return append(dst, asdu...)
}

// supervise appends an S frame.
func (l *link) supervise(dst []byte) []byte {
	l.told = l.got
	l.owed = time.Time{}
	return binary.LittleEndian.AppendUint16(append(dst, startByte, controlSize, 1, 0), l.got<<1)
}

func unnumbered(function byte) []byte { return []byte{startByte, controlSize, function, 0, 0, 0} }

// errQuiet reports a peer that did not answer in time.
var errQuiet = errors.New("iec104: the peer does not answer in time")

// tick returns what is to be sent now that time has passed, and when to look again.
func (l *link) tick(now time.Time) (send []byte, next time.Time, err error) {
	switch {
	case len(l.times) > 0 && now.Sub(l.times[0]) >= l.cfg.t1(),
		!l.testing.IsZero() && now.Sub(l.testing) >= l.cfg.t1():
		return nil, now, errQuiet
	}
	if !l.owed.IsZero() && now.Sub(l.owed) >= l.cfg.t2() {
		send = l.supervise(send)
	}
	if l.testing.IsZero() && now.Sub(l.heard) >= l.cfg.t3() {
		send = append(send, unnumbered(testAct)...)
		l.testing = now
	}
	next = l.heard.Add(l.cfg.t3())
	if !l.testing.IsZero() {
		next = l.testing.Add(l.cfg.t1())
	}
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if len(l.times) > 0 {
		earlier(l.times[0].Add(l.cfg.t1()))
	}
	if !l.owed.IsZero() {
		earlier(l.owed.Add(l.cfg.t2()))
	}
	return send, next, nil
}

// frameLength returns the length of the frame that begins with b, 0 where more of it is needed.
func frameLength(b []byte) (int, error) {
	switch {
	case len(b) > 0 && b[0] != startByte:
		return 0, &ParseError{"start", 0, fmt.Errorf("%#02x, want 0x68", b[0])}
	case len(b) < 2:
		return 0, nil
	case b[1] < controlSize || b[1] > maxFrame-2:
		return 0, &ParseError{"length", 1, fmt.Errorf("%d, want 4 to 253", b[1])}
	case b[1] > controlSize && len(b) > 2 && b[2]&1 == 1:
		return 0, &ParseError{"length", 1, fmt.Errorf("%d of an S or U frame, want 4", b[1])}
	case len(b) < 2+int(b[1]):
		return 0, nil
	}
	return 2 + int(b[1]), nil
}
