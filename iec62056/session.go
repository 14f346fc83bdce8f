package iec62056

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Step is what a [Session] wants done next.
type Step struct {
	Kind    StepKind
	Data    []byte    // StepSend: the octets
	Baud    int       // StepLine
	Framing string    // StepLine: "7E1", "8N1"
	Until   time.Time // StepPause and StepRead
	Err     error     // StepDone: nil, or why it failed
	Cause   error     // why this step begins a repetition; nil where it does not

	wait time.Duration // of a pause that has not begun
}

// StepKind says what to do.
type StepKind uint8

// The kinds of step.
const (
	StepDone  StepKind = iota // the goal is reached, or Err says why not
	StepSend                  // send Data and wait until they have left the line
	StepLine                  // change rate and framing of the port
	StepPause                 // do nothing until Until
	StepRead                  // read what comes until Until and feed it
)

// Errors on which callers branch.
var (
	ErrNoAnswer = errors.New("no answer")
	ErrGarbled  = errors.New("only octets that are no text came: wrong rate or framing")
	ErrRefused  = errors.New("refused by the meter")
	ErrPassword = errors.New("password refused") // an ErrRefused too
)

// Session is the reader's side of a conversation, without I/O and clock: begin
// a goal with one of its Begin methods, then do what Poll says and feed what
// arrives until Poll says [StepDone]. It is not safe for concurrent use.
type Session struct {
	cfg       Config
	canSwitch bool // the port can change its rate

	goal    goal
	phase   phase
	err     error
	cause   error // why the next step begins a repetition
	queue   []Step
	until   time.Time // deadline of the phase, zero until the first poll
	attempt int       // sign-ons that failed
	naks    int       // repetitions asked for
	garbled bool      // the last failure brought octets that were no text
	parity  bool      // software parity is in force

	baud     int            // of the line now
	lastBaud int            // to which the meter was asked to switch, where it may still be
	id       Identification // aliases head
	head     []byte         // the identification message
	signedOn time.Time      // when it came; zero while the meter expects a request
	sent     []byte         // what an optical head may echo
	echoes   bool           // it does
	in       []byte         // what came and is not used up
	scanned  int            // how far ended has looked at in
	ended    bool           // in holds a character that may end a message
	readout  Readout
	reply    Message
	command  Message
}

type goal uint8

const (
	goalIdentify goal = iota
	goalReadout
	goalProgram
	goalHandOver
	goalCommand
	goalClose
)

type phase uint8

const (
	phaseIdle phase = iota
	phaseIdent
	phaseData
	phaseConfirm // mode E: the meter repeats the option
	phaseReply   // programming mode: an answer to the command
)

// NewSession returns a session. A port that cannot change its rate keeps the
// one of the sign-on for all that follows.
func NewSession(cfg *Config, canSwitch bool) *Session {
	s := &Session{canSwitch: canSwitch}
	if cfg != nil {
		s.cfg = *cfg
	}
	s.baud = s.cfg.baud()
	s.parity = s.cfg.Parity == ParitySoftware
	return s
}

// Identification returns what the meter answered to the last sign-on.
func (s *Session) Identification() Identification { return s.id }

// Readout returns the result of [Session.BeginReadout]. It is valid until the next Begin.
func (s *Session) Readout() Readout { return s.readout }

// Reply returns the answer to the last command. It is valid until the next Begin.
func (s *Session) Reply() Message { return s.reply }

// Baud returns the rate that is in force.
func (s *Session) Baud() int { return s.baud }

// BeginIdentify signs on. In mode C the meter then waits a second or two for
// one of the other goals.
func (s *Session) BeginIdentify() { s.beginSignOn(goalIdentify) }

// BeginReadout fetches the readout, and signs on before it where the last
// sign-on is used up or too long ago at now.
func (s *Session) BeginReadout(now time.Time) { s.begin(goalReadout, now) }

// BeginProgram enters programming mode, up to and without the password. The
// reply is the meter's P0 message where it sends one.
func (s *Session) BeginProgram(now time.Time) { s.begin(goalProgram, now) }

// BeginHandOver selects HDLC (mode E). When it is done, the port is at the rate
// and with the framing in which the meter now speaks HDLC.
func (s *Session) BeginHandOver(now time.Time) { s.begin(goalHandOver, now) }

// BeginCommand sends one message of programming mode and waits for its answer.
func (s *Session) BeginCommand(m Message) {
	s.reset(goalCommand)
	s.command = m
	s.sendCommand()
}

// BeginClose ends programming mode with a break.
func (s *Session) BeginClose() {
	s.reset(goalClose)
	s.signedOn = time.Time{}
	s.send(Message{Kind: KindCommand, Command: [2]byte{'B', '0'}})
	s.phase = phaseIdle
}

// freshness is how long after its identification a meter of mode C waits for the
// option; the standard has 1.5 s to 2.2 s.
const freshness = time.Second

func (s *Session) begin(g goal, now time.Time) {
	if s.signedOn.IsZero() || now.Sub(s.signedOn) > freshness {
		s.beginSignOn(g)
		return
	}
	s.reset(g)
	s.selectOption()
	s.advance(now)
}

func (s *Session) beginSignOn(g goal) {
	s.reset(g)
	s.signOn()
}

// reset prepares for a goal; what was read ahead stays.
func (s *Session) reset(g goal) {
	s.goal, s.err, s.queue, s.until = g, nil, s.queue[:0], time.Time{}
	s.attempt, s.naks, s.garbled = 0, 0, false
	s.readout, s.reply = Readout{}, Message{}
}

// signOn queues a request at the initial rate. After a failure it first ends
// the session that the meter may still hold, at the rate of that session.
func (s *Session) signOn() {
	s.clear()
	s.signedOn = time.Time{}
	if s.attempt > 0 && s.canSwitch {
		s.breakOff()
	}
	s.lastBaud = 0
	s.line(s.cfg.baud(), "7E1")
	if s.cfg.WakeUp {
		s.sendRaw(make([]byte, s.cfg.wakeUpOctets()))
		s.pause(wakeUpPause)
	}
	s.send(Message{Kind: KindRequest, Address: []byte(s.cfg.Address)})
	s.phase = phaseIdent
}

// breakOff queues a break at the rate at which the meter may still be, or at
// the usual ones where another reader left it.
func (s *Session) breakOff() {
	rates := []int{s.lastBaud}
	if s.lastBaud == 0 {
		rates = []int{19200, 9600, 4800, 2400}
	}
	for _, baud := range rates {
		s.line(baud, "7E1")
		s.send(Message{Kind: KindCommand, Command: [2]byte{'B', '0'}})
	}
	s.pause(breakPause)
}

const (
	breakPause  = 300 * time.Millisecond
	wakeUpPause = 1600 * time.Millisecond // the standard has 1.5 s to 1.7 s after the NULs
)

// mode is what the configuration says, or else the identification.
func (s *Session) mode() Mode {
	if s.cfg.Mode != ModeAuto {
		return s.cfg.Mode
	}
	return s.id.Mode()
}

// selectOption queues what makes the identified meter do what the goal wants.
func (s *Session) selectOption() {
	mode := s.mode()
	s.signedOn = time.Time{}
	switch {
	case s.goal == goalReadout && (mode == ModeA || mode == ModeB):
		s.phase = phaseData
		return
	case mode == ModeA || mode == ModeB:
		s.programWithoutOption()
		return
	}
	o := Option{Protocol: '0', Baud: s.rate(), Mode: '0'}
	switch s.goal {
	case goalProgram:
		o.Mode = '1'
	case goalHandOver:
		o.Protocol, o.Mode = '2', '2'
	}
	if s.cfg.Option != "" && s.goal == goalReadout {
		o.Mode = s.cfg.Option[0]
	}
	s.pause(s.id.ReactionTime())
	s.send(Message{Kind: KindOption, Option: o})
	if s.goal == goalHandOver {
		s.phase = phaseConfirm
		return
	}
	s.switchTo(o.Baud, "7E1")
	s.phase = phaseData
	if s.goal == goalProgram {
		s.phase = phaseReply
	}
}

// programWithoutOption is for meters of mode A and B, which take commands right
// after the identification and offer no HDLC.
func (s *Session) programWithoutOption() {
	s.phase = phaseIdle
	if s.goal == goalHandOver {
		s.err = fmt.Errorf("iec62056: mode %v has no hand-over to HDLC: %w", s.mode(), ErrRefused)
	}
}

// rate returns the character of the rate to ask for: the meter's, within what
// the configuration and the port allow. After garbled answers it stays at the
// initial rate.
func (s *Session) rate() byte {
	if !s.canSwitch || s.garbled && s.attempt >= 2 {
		z, _ := BaudCharacter(s.cfg.baud())
		return z
	}
	rate := s.id.BaudRate()
	if s.cfg.MaxBaud > 0 && rate > s.cfg.MaxBaud {
		rate = s.cfg.MaxBaud
	}
	z, ok := BaudCharacter(rate)
	if !ok {
		return s.id.Baud
	}
	return z
}

// switchTo queues the change of the rate, after the delay that the port needs
// to get the last character out. Each sign-on that failed lengthens it.
func (s *Session) switchTo(z byte, framing string) {
	baud, ok := BaudRate(z)
	if !ok || !s.canSwitch {
		return
	}
	if baud == s.baud && framing == "7E1" {
		return
	}
	s.lastBaud = baud
	s.pause(s.cfg.switchDelay() + time.Duration(s.attempt)*100*time.Millisecond)
	s.line(baud, framing)
}

func (s *Session) line(baud int, framing string) {
	if s.canSwitch {
		s.queue = append(s.queue, Step{Kind: StepLine, Baud: baud, Framing: framing})
	}
}

func (s *Session) pause(d time.Duration) {
	if d > 0 {
		s.queue = append(s.queue, Step{Kind: StepPause, wait: d})
	}
}

func (s *Session) send(m Message) {
	b, _ := m.AppendBinary(nil)
	s.sendRaw(b)
}

func (s *Session) sendRaw(b []byte) {
	s.queue = append(s.queue, Step{Kind: StepSend, Data: b})
	s.until = time.Time{}
}

func (s *Session) sendCommand() {
	s.clear()
	s.send(s.command)
	s.phase = phaseReply
}

// Poll returns the next step. Steps that send or change the line come once;
// pauses and reads come until their time is over.
func (s *Session) Poll(now time.Time) Step {
	for {
		if len(s.queue) > 0 {
			if step, ok := s.pop(now); ok {
				return step
			}
			continue
		}
		if s.phase == phaseIdle || s.err != nil {
			s.phase = phaseIdle
			return Step{Kind: StepDone, Err: s.err}
		}
		if s.until.IsZero() {
			s.until = now.Add(s.cfg.timeout())
		}
		if now.Before(s.until) {
			return Step{Kind: StepRead, Until: s.until}
		}
		s.until = time.Time{}
		s.expired()
	}
}

// pop returns the first step of the queue, and false where it was a pause that is over.
func (s *Session) pop(now time.Time) (Step, bool) {
	step := &s.queue[0]
	if step.Kind == StepPause {
		if step.Until.IsZero() {
			step.Until = now.Add(step.wait)
		}
		if now.Before(step.Until) {
			return *step, true
		}
	}
	done := *step
	done.Cause, s.cause = s.cause, nil
	s.queue = append(s.queue[:0], s.queue[1:]...)
	switch done.Kind {
	case StepPause:
		s.cause = done.Cause
		return Step{}, false
	case StepLine:
		s.baud = done.Baud
	case StepSend:
		s.sent = append(s.sent[:0], done.Data...)
		if s.parity {
			AddParity(done.Data)
		}
	}
	return done, true
}

// Feed takes what arrived.
func (s *Session) Feed(now time.Time, in []byte) {
	start := len(s.in)
	s.in = append(s.in, in...)
	fresh := s.in[start:]
	if s.parity {
		StripParity(fresh)
	}
	s.dropEcho()
	if len(s.in) > s.cfg.maxSize() {
		s.fail(fmt.Errorf("iec62056: more than %d octets without an end: %w", s.cfg.maxSize(), ErrGarbled))
		return
	}
	s.until = now.Add(s.cfg.timeout())
	s.advance(now)
}

// dropEcho removes what was sent from the front of what came: optical heads
// show their own light.
func (s *Session) dropEcho() {
	if s.phase == phaseConfirm && !s.echoes {
		return // the meter's confirmation looks the same
	}
	n := 0
	for n < len(s.sent) && n < len(s.in) && s.sent[n] == s.in[n] {
		n++
	}
	if n == len(s.sent) && n > 1 {
		s.in = append(s.in[:0], s.in[n:]...)
		s.sent = s.sent[:0]
		s.echoes = true
	}
}

// advance looks for what the phase waits for.
func (s *Session) advance(now time.Time) {
	switch s.phase {
	case phaseIdent:
		s.findIdentification(now)
	case phaseData:
		s.findReadout()
	case phaseConfirm:
		s.findConfirmation()
	case phaseReply:
		s.findReply()
	}
}

func (s *Session) findIdentification(now time.Time) {
	if s.cfg.Parity == ParityAuto && !s.parity && hasParity(s.in) {
		s.parity = true
		StripParity(s.in)
		s.dropEcho()
	}
	for at := 0; ; at++ {
		i := bytes.IndexByte(s.in[at:], '/')
		if i < 0 {
			return
		}
		at += i
		_, n, err := ParseIdentification(s.in[at:])
		if err != nil {
			continue
		}
		s.head = append(s.head[:0], s.in[at:at+n]...)
		s.id, _, _ = ParseIdentification(s.head)
		s.in = append(s.in[:0], s.in[at+n:]...)
		s.scanned, s.ended = 0, false
		s.signedOn = now
		s.identified()
		return
	}
}

// identified goes on behind the identification: at once where the meter does not wait.
func (s *Session) identified() {
	if s.mode() == ModeB {
		s.switchTo(s.modeB(), "7E1")
	}
	if s.goal == goalIdentify {
		s.phase = phaseIdle
		return
	}
	s.selectOption()
}

// modeB returns the digit of the rate that a meter of mode B switches to.
func (s *Session) modeB() byte {
	z, _ := BaudCharacter(s.id.BaudRate())
	return z
}

// mayEnd reports whether what came holds a character that ends messages, so that
// long answers are parsed once and not with every piece that arrives.
func (s *Session) mayEnd() bool {
	s.ended = s.ended || bytes.ContainsAny(s.in[min(s.scanned, len(s.in)):], "\x03\x04\x06\x15!")
	s.scanned = len(s.in)
	return s.ended
}

// clear drops what came.
func (s *Session) clear() { s.in, s.scanned, s.ended = s.in[:0], 0, false }

func (s *Session) findReadout() {
	if !s.mayEnd() {
		return
	}
	framed := bytes.IndexByte(s.in, stx)
	var block []byte
	switch {
	case framed >= 0:
		block = s.in[framed:]
	case !bytes.Contains(s.in, []byte("!\r")) && !bytes.Contains(s.in, []byte("!\n")):
		return
	default:
		block = append(append([]byte(nil), s.head...), s.in...)
	}
	r, _, err := ParseReadout(block)
	switch {
	case err == nil:
		r.Identification = s.id
		s.readout = r
		s.phase = phaseIdle
	case errors.Is(err, ErrChecksum):
		s.repeat(err)
	}
}

// repeat asks for the last block again, as often as the configuration allows.
func (s *Session) repeat(cause error) {
	s.naks++
	if s.naks > s.cfg.retries() {
		s.fail(cause)
		return
	}
	s.cause = cause
	s.clear()
	s.send(Message{Kind: KindNak})
}

// findConfirmation waits for the meter to repeat the option, then changes to HDLC.
func (s *Session) findConfirmation() {
	if bytes.IndexByte(s.in, stx) >= 0 && isText(s.in) {
		s.fail(fmt.Errorf("iec62056: the meter answers HDLC with its readout: %w", ErrRefused))
		return
	}
	i := bytes.IndexByte(s.in, ack)
	if i < 0 {
		return
	}
	m, n, err := ParseMessage(s.in[i:])
	if err != nil || m.Kind != KindOption {
		return
	}
	if m.Option.Protocol != '2' {
		s.fail(fmt.Errorf("iec62056: the meter chose protocol %q: %w", m.Option.Protocol, ErrRefused))
		return
	}
	s.in = append(s.in[:0], s.in[i+n:]...)
	s.handOver(m.Option.Baud)
}

// Rest returns what came behind a hand-over and belongs to the other protocol.
func (s *Session) Rest() []byte { return s.in }

// handOver changes to the line settings of HDLC and ends.
func (s *Session) handOver(z byte) {
	s.parity = false
	s.switchTo(z, "8N1")
	s.phase = phaseIdle
}

func (s *Session) findReply() {
	if !s.mayEnd() {
		return
	}
	i := bytes.IndexAny(s.in, "\x01\x02\x06\x15")
	if i < 0 {
		return
	}
	m, _, err := ParseMessage(s.in[i:])
	switch {
	case errors.Is(err, ErrChecksum):
		s.repeat(err)
	case err != nil:
	case m.Kind == KindNak:
		s.naks++
		if s.naks > s.cfg.retries() {
			s.fail(fmt.Errorf("iec62056: the meter refused the block %d times: %w", s.naks, ErrRefused))
			return
		}
		s.sendCommand()
	default:
		s.reply = m
		s.phase = phaseIdle
	}
}

// expired is called when nothing more came in time.
func (s *Session) expired() {
	got := len(s.in)
	s.garbled = got > 0 && !isText(s.in)
	cause := fmt.Errorf("iec62056: %s at %d baud: %w", s.phase.waitsFor(), s.baud, ErrNoAnswer)
	switch {
	case s.garbled:
		cause = fmt.Errorf("iec62056: %s at %d baud: %w (%d octets, the first %.16x)", s.phase.waitsFor(), s.baud, ErrGarbled, got, s.in)
	case got > 0:
		cause = fmt.Errorf("iec62056: %s at %d baud broke off after %d octets: %w", s.phase.waitsFor(), s.baud, got, ErrNoAnswer)
	}
	if s.phase == phaseConfirm {
		// Not every meter repeats the option; if it did not take it, HDLC will tell.
		s.clear()
		s.handOver(s.rate())
		return
	}
	s.attempt++
	if s.attempt > s.cfg.retries() {
		s.fail(cause)
		return
	}
	if s.cfg.Parity == ParityAuto && s.phase == phaseIdent && !s.canSwitch {
		s.parity = !s.parity
	}
	if s.goal == goalCommand && s.command.Kind == KindAck {
		// A second acknowledgement could be taken for one of the next block.
		s.fail(cause)
		return
	}
	s.cause = cause
	if s.goal == goalCommand {
		s.sendCommand()
		return
	}
	s.signOn()
}

func (s *Session) fail(err error) {
	s.err, s.queue, s.signedOn = err, s.queue[:0], time.Time{}
	s.phase = phaseIdle
}

func (p phase) waitsFor() string {
	switch p {
	case phaseIdent:
		return "identification"
	case phaseData:
		return "data readout"
	}
	return "answer"
}

// isText reports whether at least three of four octets are what the protocol uses.
func isText(b []byte) bool {
	good := 0
	for _, c := range b {
		if c >= ' ' && c < 0x7F || c == '\r' || c == '\n' || c >= soh && c <= eot || c == ack || c == nak {
			good++
		}
	}
	return good*4 >= len(b)*3
}
