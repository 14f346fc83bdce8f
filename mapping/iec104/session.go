package iec104

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/thinkgos/go-iecp5/asdu"

	"github.com/openusm/meter/internal/stream"
)

// session is one connection of a master.
type session struct {
	station *Station
	group   *group
	seat    *seat
	conn    *stream.Conn
	link    link
	answers [][]byte // ASDUs that wait for their turn, before events
	waiting [][]byte // the frames that wait for an acknowledgement: those that are events, nil for answers
	wake    chan struct{}
	results chan result
	chosen  choice
	busy    bool // a command is being carried out
}

// choice is the point that was selected, to be operated soon.
type choice struct {
	address uint32
	on      bool
	until   time.Time
}

// result is that of a command.
type result struct {
	raw []byte
	err error
}

// selected is how long a selection lasts.
const selected = 30 * time.Second

// commandTime is how long a command may take.
const commandTime = 30 * time.Second

// rouse makes the session look for events.
func (x *session) rouse() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	frames := make(chan []byte)
	broken := make(chan error, 1)
	go func() { broken <- x.read(ctx, frames) }()
	timer := time.NewTimer(x.station.cfg.t3())
	defer timer.Stop()
	for {
		send, next, err := x.link.tick(x.station.now())
		if err != nil {
			return err
		}
		if send = x.fill(send); len(send) > 0 {
			if err := x.write(ctx, send); err != nil {
				return err
			}
			continue
		}
		timer.Reset(max(next.Sub(x.station.now()), time.Millisecond))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-broken:
			return err
		case frame := <-frames:
			if err := x.take(ctx, frame); err != nil {
				return err
			}
		case r := <-x.results:
			x.finish(r)
		case <-x.wake:
			x.displaced()
		case <-timer.C:
		}
	}
}

func (x *session) write(ctx context.Context, b []byte) error {
	return x.conn.Write(ctx, time.Now().Add(x.station.cfg.t1()), b)
}

// read passes frames on until the connection ends.
func (x *session) read(ctx context.Context, frames chan<- []byte) error {
	buf := make([]byte, 0, 4*maxFrame)
	for {
		n, err := frameLength(buf)
		if err != nil {
			return err
		}
		if n > 0 {
			frame := append([]byte(nil), buf[:n]...)
			buf = buf[:copy(buf, buf[n:])]
			select {
			case frames <- frame:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		got, err := x.conn.Read(ctx, time.Time{}, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+got]
		if err != nil && got == 0 {
			if len(buf) > 0 && err == io.EOF {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// fill appends the frames that may be sent: answers first, then events.
func (x *session) fill(dst []byte) []byte {
	now := x.station.now()
	for x.link.ready() {
		switch {
		case len(x.answers) > 0:
			dst = x.link.send(now, dst, x.answers[0])
			x.answers = x.answers[1:]
			x.waiting = append(x.waiting, nil)
		default:
			event := x.event()
			if event == nil {
				return dst
			}
			dst = x.link.send(now, dst, event)
			x.waiting = append(x.waiting, event)
		}
	}
	return dst
}

// event takes the next event from the group, if this session is the one that transfers.
func (x *session) event() []byte {
	x.station.mu.Lock()
	defer x.station.mu.Unlock()
	g := x.group
	if g.active != x || len(g.events) == 0 {
		return nil
	}
	event := g.events[0]
	g.events = g.events[1:]
	return event
}

// take takes one frame.
func (x *session) take(ctx context.Context, frame []byte) error {
	raw, function, reply, err := x.link.feed(x.station.now(), frame)
	if err != nil {
		return err
	}
	x.trim()
	switch function {
	case startAct:
		x.start()
	case stopAct:
		x.stop()
	}
	if len(reply) > 0 {
		if err := x.write(ctx, reply); err != nil {
			return err
		}
	}
	if raw != nil {
		return x.handle(ctx, raw)
	}
	return nil
}

// trim forgets what the master has acknowledged.
func (x *session) trim() { x.waiting = x.waiting[len(x.waiting)-len(x.link.times):] }

// start makes this session the one of its group that transfers data.
func (x *session) start() {
	x.station.mu.Lock()
	defer x.station.mu.Unlock()
	g := x.group
	if old := g.active; old != nil && old != x {
		old.rouse() // it finds that it is no longer the one
	}
	g.active = x
	x.seat.busy = true
	if !g.greeted {
		g.greeted = true
		x.answers = append(x.answers, x.endOfInitialization())
	}
}

// displaced stops the transfer where another connection of the group has it now.
func (x *session) displaced() {
	x.station.mu.Lock()
	defer x.station.mu.Unlock()
	if x.link.started && x.group.active != x {
		x.link.started = false
		x.seat.busy = false
		x.giveBack()
	}
}

func (x *session) stop() {
	x.station.mu.Lock()
	defer x.station.mu.Unlock()
	x.seat.busy = false
	if x.group.active == x {
		x.group.active = nil
	}
}

// giveBack returns to the group the events that the master has not acknowledged:
// the next connection tells them once more, since they may be lost.
func (x *session) giveBack() {
	var events [][]byte
	for i, event := range x.waiting {
		if event != nil {
			events = append(events, event)
		}
		x.waiting[i] = nil
	}
	x.group.events = append(events, x.group.events...)
	if a := x.group.active; a != nil && len(events) > 0 {
		a.rouse()
	}
}

func (x *session) endOfInitialization() []byte {
	a := asdu.NewASDU(params, asdu.Identifier{Type: asdu.M_EI_NA_1, Variable: asdu.VariableStruct{Number: 1},
		Coa: asdu.CauseOfTransmission{Cause: asdu.Initialized}, CommonAddr: x.station.enc.common})
	if err := a.AppendInfoObjAddr(0); err != nil {
		return nil
	}
	raw, err := a.AppendBytes(0).MarshalBinary()
	if err != nil {
		return nil
	}
	return raw
}

// testBit of the cause of transmission marks what was only sent as a test.
const testBit = 0x80

// mirror returns an ASDU of the master with another cause of transmission.
func mirror(raw []byte, cause asdu.Cause, negative bool) []byte {
	out := append([]byte(nil), raw...)
	out[2] = out[2]&testBit | byte(cause)
	if negative {
		out[2] |= 0x40
	}
	return out
}

// maxAnswers is how many ASDUs may wait for a master that asks faster than it takes.
func (x *session) maxAnswers() int { return 64 + 4*len(x.station.image.points) }

// handle answers one ASDU of the master.
func (x *session) handle(ctx context.Context, raw []byte) error {
	if len(raw) < params.IdentifierSize()+params.InfoObjAddrSize {
		return &ParseError{"ASDU", 6, io.ErrUnexpectedEOF}
	}
	answer := func(cause asdu.Cause, negative bool) { x.answers = append(x.answers, mirror(raw, cause, negative)) }
	a := asdu.NewEmptyASDU(params)
	if _, err := asdu.GetInfoObjSize(asdu.TypeID(raw[0])); err != nil {
		answer(asdu.UnknownTypeID, true)
		return nil
	}
	if err := a.UnmarshalBinary(raw); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return &ParseError{"ASDU", 6, fmt.Errorf("of type %d: %w", raw[0], err)}
	}
	if a.CommonAddr == asdu.GlobalCommonAddr { // what is asked of all, each answers with its own address
		raw = bytes.Clone(raw)
		binary.LittleEndian.PutUint16(raw[4:], uint16(x.station.enc.common))
	}
	x.station.mu.Lock()
	defer x.station.mu.Unlock()
	switch {
	case a.CommonAddr != x.station.enc.common && a.CommonAddr != asdu.GlobalCommonAddr:
		answer(asdu.UnknownCA, true)
		return nil
	case len(x.answers) > x.maxAnswers():
		answer(asdu.ActivationCon, true)
		return nil
	case a.Variable.Number != 1:
		answer(asdu.ActivationCon, true)
		return nil
	}
	if a.Type != asdu.C_RD_NA_1 && a.Coa.Cause != asdu.Activation {
		if a.Coa.Cause == asdu.Deactivation && (a.Type == asdu.C_IC_NA_1 || a.Type == asdu.C_CI_NA_1) {
			answer(asdu.DeactivationCon, true) // what was asked for is on its way already
			return nil
		}
		if a.Coa.Cause == asdu.Deactivation && isCommand(a.Type) {
			x.chosen = choice{}
			answer(asdu.DeactivationCon, false)
			return nil
		}
		answer(asdu.UnknownCOT, true)
		return nil
	}
	switch a.Type {
	case asdu.C_IC_NA_1:
		x.interrogation(a, raw)
	case asdu.C_CI_NA_1:
		x.counters(a, raw)
	case asdu.C_RD_NA_1:
		x.readPoint(a, raw)
	case asdu.C_TS_NA_1, asdu.C_TS_TA_1:
		answer(asdu.ActivationCon, false)
	case asdu.C_CS_NA_1, asdu.C_RP_NA_1: // neither the clock nor the process is the master's
		answer(asdu.ActivationCon, true)
	default:
		if !isCommand(a.Type) {
			answer(asdu.UnknownTypeID, true)
			return nil
		}
		x.command(ctx, a, raw)
	}
	return nil
}

// interrogation answers with the values and the singles of the station or of a group.
func (x *session) interrogation(a *asdu.ASDU, raw []byte) {
	_, qoi := a.GetInterrogationCmd()
	if qoi < asdu.QOIStation || qoi > asdu.QOIGroup16 {
		x.answers = append(x.answers, mirror(raw, asdu.ActivationCon, true))
		return
	}
	group := uint8(qoi - asdu.QOIStation) // 0 is the whole station
	x.answers = append(x.answers, mirror(raw, asdu.ActivationCon, false))
	for _, kind := range []Kind{Value, Single} {
		list := x.inGroup(kind, group)
		x.answers = append(x.answers, x.station.enc.points(kind, asdu.InterrogatedByStation+asdu.Cause(group), a.OrigAddr, list, false)...)
	}
	x.answers = append(x.answers, mirror(raw, asdu.ActivationTerm, false))
}

func (x *session) inGroup(kind Kind, group uint8) (list []*Point) {
	for _, p := range x.station.image.points {
		if p.Kind == kind && (group == 0 || p.Group == group) {
			list = append(list, p)
		}
	}
	return list
}

// counters answers with the totals, which a freeze keeps. To reset them is
// refused: they are the meter's.
func (x *session) counters(a *asdu.ASDU, raw []byte) {
	const general = 5
	_, qcc := a.GetCounterInterrogationCmd()
	request, freeze := byte(qcc.Request), byte(qcc.Freeze)>>6
	if freeze == 0 {
		freeze = byte(qcc.Freeze) & 3
	}
	if request < 1 || request > general || freeze > 1 {
		x.answers = append(x.answers, mirror(raw, asdu.ActivationCon, true))
		return
	}
	group := request % general // 0 is all of them
	x.answers = append(x.answers, mirror(raw, asdu.ActivationCon, false))
	if freeze == 1 {
		x.station.image.freeze(group, x.station.now())
	} else {
		cause := asdu.RequestByGeneralCounter + asdu.Cause(group)
		x.answers = append(x.answers, x.station.enc.points(Total, cause, a.OrigAddr, x.inGroup(Total, group), true)...)
	}
	x.answers = append(x.answers, mirror(raw, asdu.ActivationTerm, false))
}

func (x *session) find(address asdu.InfoObjAddr) *Point {
	for _, p := range x.station.image.points {
		if p.Address == uint32(address) {
			return p
		}
	}
	return nil
}

func (x *session) readPoint(a *asdu.ASDU, raw []byte) {
	p := x.find(a.GetReadCmd())
	switch {
	case a.Coa.Cause != asdu.Request:
		x.answers = append(x.answers, mirror(raw, asdu.UnknownCOT, true))
	case p == nil:
		x.answers = append(x.answers, mirror(raw, asdu.UnknownIOA, true))
	default:
		x.answers = append(x.answers, x.station.enc.points(p.Kind, asdu.Request, a.OrigAddr, []*Point{p}, false)...)
	}
}

func isCommand(t asdu.TypeID) bool {
	switch t {
	case asdu.C_SC_NA_1, asdu.C_SC_TA_1, asdu.C_DC_NA_1, asdu.C_DC_TA_1:
		return true
	}
	return false
}

// order reads a single or double command: which point, what, and whether only to select it.
func order(a *asdu.ASDU, raw []byte) (address asdu.InfoObjAddr, on, only, ok bool) {
	element := raw[params.IdentifierSize()+params.InfoObjAddrSize]
	only = element&0x80 != 0
	address = a.DecodeInfoObjAddr()
	switch a.Type {
	case asdu.C_SC_NA_1, asdu.C_SC_TA_1:
		return address, element&1 != 0, only, true
	}
	return address, element&3 == 2, only, element&3 == 1 || element&3 == 2
}

// command selects or operates a point, as the policy allows.
func (x *session) command(ctx context.Context, a *asdu.ASDU, raw []byte) {
	answer := func(cause asdu.Cause, negative bool) { x.answers = append(x.answers, mirror(raw, cause, negative)) }
	address, on, only, ok := order(a, raw)
	p := x.find(address)
	now := x.station.now()
	switch {
	case p == nil || p.Kind != Single:
		answer(asdu.UnknownIOA, true)
	case !ok || x.station.cfg.Command == nil || x.busy:
		answer(asdu.ActivationCon, true)
	case raw[2]&testBit != 0: // a test of the way hither: nothing is to be done
		answer(asdu.ActivationCon, false)
	case only:
		x.chosen = choice{p.Address, on, now.Add(selected)}
		answer(asdu.ActivationCon, false)
	case !x.chosen.until.IsZero() && (x.chosen.address != p.Address || x.chosen.on != on || now.After(x.chosen.until)):
		x.chosen = choice{}
		answer(asdu.ActivationCon, true)
	default:
		x.chosen = choice{}
		x.busy = true
		point := *p
		go func() {
			limited, cancel := context.WithTimeout(ctx, commandTime)
			defer cancel()
			err := x.station.cfg.Command(limited, point, on)
			select {
			case x.results <- result{raw, err}:
			case <-ctx.Done():
			}
		}()
	}
}

// finish answers a command that has been carried out, or not.
func (x *session) finish(r result) {
	x.busy = false
	x.answers = append(x.answers, mirror(r.raw, asdu.ActivationCon, r.err != nil))
	if r.err == nil {
		x.answers = append(x.answers, mirror(r.raw, asdu.ActivationTerm, false))
	}
}
