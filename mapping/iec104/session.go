package iec104

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/thinkgos/go-iecp5/asdu"

	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// session is one connection of a master.
type session struct {
	station *Station
	group   *group
	seat    *seat
	actor   site.Actor
	conn    *stream.Conn
	link    link
	answers [][]byte // ASDUs that wait for their turn, before events
	greet   []uint16 // stations whose end of initialization is to be told
	asked   []byte   // of all stations; those in rest have not answered yet
	rest    []uint16
	waiting [][]byte // the frames that wait for an acknowledgement: those that are events, nil for answers
	wake    chan struct{}
	results chan result
	chosen  choice
	busy    bool // a command is being carried out
}

// choice is the point that was selected, to be operated soon.
type choice struct {
	common  uint16
	address uint32
	value   obis.Value
	until   time.Time
}

// result is that of a command.
type result struct {
	raw  []byte
	step site.Step
	err  error
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
	x.trace(true, b)
	return x.conn.Write(ctx, time.Now().Add(x.station.cfg.t1()), b)
}

func (x *session) trace(sent bool, frame []byte) {
	if x.station.cfg.Trace != nil {
		x.station.cfg.Trace(sent, frame)
	}
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
		if len(x.answers) == 0 && len(x.greet) == 0 && len(x.rest) > 0 {
			x.next()
		}
		switch {
		case len(x.answers) > 0:
			dst = x.link.send(now, dst, x.answers[0])
			x.answers = x.answers[1:]
			x.waiting = append(x.waiting, nil)
		case len(x.greet) > 0:
			dst = x.link.send(now, dst, endOfInitialization(x.greet[0]))
			x.greet = x.greet[1:]
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
	x.trace(false, frame)
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
	if g.greeted || g.config == nil && x.station.greeted[x.seat.host] {
		g.greeted = true
		return
	}
	g.greeted = true
	if len(x.station.greeted) < maxGreeted {
		x.station.greeted[x.seat.host] = true
	}
	x.greet = slices.Clone(x.station.common)
}

// maxGreeted is of how many hosts a station remembers that they know of its start; others
// hear of it with each connection.
const maxGreeted = 1024

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

func endOfInitialization(common uint16) []byte {
	a := asdu.NewASDU(params, asdu.Identifier{Type: asdu.M_EI_NA_1, Variable: asdu.VariableStruct{Number: 1},
		Coa: asdu.CauseOfTransmission{Cause: asdu.Initialized}, CommonAddr: asdu.CommonAddr(common)})
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
func (m *image) maxAnswers() int { return 64 + 4*len(m.points) }

func (x *session) answer(raw []byte, cause asdu.Cause, negative bool) {
	x.answers = append(x.answers, mirror(raw, cause, negative))
}

// handle answers one ASDU of the master.
func (x *session) handle(ctx context.Context, raw []byte) error {
	if len(raw) < params.IdentifierSize()+params.InfoObjAddrSize {
		return &ParseError{"ASDU", 6, io.ErrUnexpectedEOF}
	}
	a := asdu.NewEmptyASDU(params)
	if _, err := asdu.GetInfoObjSize(asdu.TypeID(raw[0])); err != nil {
		x.answer(raw, asdu.UnknownTypeID, true)
		return nil
	}
	if err := a.UnmarshalBinary(raw); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return &ParseError{"ASDU", 6, fmt.Errorf("of type %d: %w", raw[0], err)}
	}
	x.station.mu.Lock()
	defer x.station.mu.Unlock()
	if a.CommonAddr == asdu.GlobalCommonAddr {
		x.ofAll(a, raw)
		return nil
	}
	m := x.station.images[uint16(a.CommonAddr)]
	switch {
	case m == nil:
		x.answer(raw, asdu.UnknownCA, true)
	case len(x.answers) > m.maxAnswers():
		x.answer(raw, asdu.ActivationCon, true)
	default:
		x.one(ctx, m, a, raw)
	}
	return nil
}

// ofAll answers what is asked of all stations: each with its own address, the later ones
// when the master has taken what those before said.
func (x *session) ofAll(a *asdu.ASDU, raw []byte) {
	switch a.Type {
	case asdu.C_IC_NA_1, asdu.C_CI_NA_1, asdu.C_CS_NA_1, asdu.C_RP_NA_1: // nothing else may be (7.2.4)
	default:
		x.answer(raw, asdu.UnknownCA, true)
		return
	}
	if len(x.rest) > 0 || len(x.station.common) == 0 {
		x.answer(raw, asdu.ActivationCon, true)
		return
	}
	x.asked, x.rest = bytes.Clone(raw), slices.Clone(x.station.common)
	x.nextOf()
}

func (x *session) next() {
	x.station.mu.Lock()
	defer x.station.mu.Unlock()
	x.nextOf()
}

// nextOf has the next station answer what was asked of all. The station is locked.
func (x *session) nextOf() {
	m := x.station.images[x.rest[0]]
	x.rest = x.rest[1:]
	if m == nil {
		return
	}
	raw := bytes.Clone(x.asked)
	binary.LittleEndian.PutUint16(raw[4:], m.common)
	a := asdu.NewEmptyASDU(params)
	if a.UnmarshalBinary(raw) == nil {
		x.one(context.Background(), m, a, raw)
	}
}

// one has one station answer. ctx ends what commands do.
func (x *session) one(ctx context.Context, m *image, a *asdu.ASDU, raw []byte) {
	if a.Variable.Number != 1 {
		x.answer(raw, asdu.ActivationCon, true)
		return
	}
	if a.Type != asdu.C_RD_NA_1 && a.Coa.Cause != asdu.Activation {
		switch {
		case a.Coa.Cause == asdu.Deactivation && (a.Type == asdu.C_IC_NA_1 || a.Type == asdu.C_CI_NA_1):
			x.answer(raw, asdu.DeactivationCon, true) // what was asked for is on its way already
		case a.Coa.Cause == asdu.Deactivation && isCommand(a.Type):
			x.deselect(ctx, m, a, raw)
		default:
			x.answer(raw, asdu.UnknownCOT, true)
		}
		return
	}
	switch a.Type {
	case asdu.C_IC_NA_1:
		x.interrogation(m, a, raw)
	case asdu.C_CI_NA_1:
		x.counters(m, a, raw)
	case asdu.C_RD_NA_1:
		x.readPoint(m, a, raw)
	case asdu.C_TS_NA_1, asdu.C_TS_TA_1:
		x.answer(raw, asdu.ActivationCon, false)
	case asdu.C_CS_NA_1, asdu.C_RP_NA_1: // neither the clock nor the process is the master's
		x.answer(raw, asdu.ActivationCon, true)
	default:
		if !isCommand(a.Type) {
			x.answer(raw, asdu.UnknownTypeID, true)
			return
		}
		x.command(ctx, m, a, raw)
	}
}

// interrogation answers with the values and the singles of the station or of a group.
func (x *session) interrogation(m *image, a *asdu.ASDU, raw []byte) {
	_, qoi := a.GetInterrogationCmd()
	if qoi < asdu.QOIStation || qoi > asdu.QOIGroup16 {
		x.answer(raw, asdu.ActivationCon, true)
		return
	}
	group := uint8(qoi - asdu.QOIStation) // 0 is the whole station
	x.answer(raw, asdu.ActivationCon, false)
	for _, kind := range []Kind{Value, Single} {
		x.answers = append(x.answers, x.station.enc.points(plain[kind], asdu.InterrogatedByStation+asdu.Cause(group), a.OrigAddr, m.inGroup(kind, group), false)...)
	}
	x.answer(raw, asdu.ActivationTerm, false)
}

func (m *image) inGroup(kind Kind, group uint8) (list []*Point) {
	for _, p := range m.points {
		if p.Kind == kind && (group == 0 || p.Group == group) {
			list = append(list, p)
		}
	}
	return list
}

// counters answers with the totals, which a freeze keeps. To reset them is
// refused: they are the meter's.
func (x *session) counters(m *image, a *asdu.ASDU, raw []byte) {
	const general = 5
	_, qcc := a.GetCounterInterrogationCmd()
	request, freeze := byte(qcc.Request), byte(qcc.Freeze)>>6
	if freeze == 0 {
		freeze = byte(qcc.Freeze) & 3
	}
	if request < 1 || request > general || freeze > 1 {
		x.answer(raw, asdu.ActivationCon, true)
		return
	}
	group := request % general // 0 is all of them
	x.answer(raw, asdu.ActivationCon, false)
	if freeze == 1 {
		m.freeze(group, x.station.now())
	} else {
		cause := asdu.RequestByGeneralCounter + asdu.Cause(group)
		x.answers = append(x.answers, x.station.enc.points(plain[Total], cause, a.OrigAddr, m.inGroup(Total, group), true)...)
	}
	x.answer(raw, asdu.ActivationTerm, false)
}

func (x *session) readPoint(m *image, a *asdu.ASDU, raw []byte) {
	p := m.at[uint32(a.GetReadCmd())]
	switch {
	case a.Coa.Cause != asdu.Request:
		x.answer(raw, asdu.UnknownCOT, true)
	case p == nil:
		x.answer(raw, asdu.UnknownIOA, true)
	default:
		x.answers = append(x.answers, x.station.enc.points(timed[p.Kind], asdu.Request, a.OrigAddr, []*Point{p}, false)...)
	}
}

func isCommand(t asdu.TypeID) bool {
	switch t {
	case asdu.C_SC_NA_1, asdu.C_SC_TA_1, asdu.C_DC_NA_1, asdu.C_DC_TA_1, asdu.C_SE_NB_1, asdu.C_SE_TB_1, asdu.C_SE_NC_1, asdu.C_SE_TC_1:
		return true
	}
	return false
}

// order reads a single or double command, or a set point that is scaled or a short float:
// which point, what, and whether only to select it. A normalized set point is a part of a
// range that nobody gave.
func order(a *asdu.ASDU, raw []byte) (address uint32, v obis.Value, only, ok bool) {
	address = uint32(a.DecodeInfoObjAddr())
	element := raw[params.IdentifierSize()+params.InfoObjAddrSize:]
	switch a.Type {
	case asdu.C_SC_NA_1, asdu.C_SC_TA_1:
		return address, obis.Bool(element[0]&1 != 0), element[0]&0x80 != 0, true
	case asdu.C_SE_NB_1, asdu.C_SE_TB_1:
		return address, obis.Int(int64(int16(binary.LittleEndian.Uint16(element))), 0), element[2]&0x80 != 0, true
	case asdu.C_SE_NC_1, asdu.C_SE_TC_1:
		f := math.Float32frombits(binary.LittleEndian.Uint32(element))
		v, ok = obis.ParseNumber(strconv.AppendFloat(nil, float64(f), 'f', -1, 32))
		return address, v, element[4]&0x80 != 0, ok && f-f == 0
	}
	return address, obis.Bool(element[0]&3 == 2), element[0]&0x80 != 0, element[0]&3 == 1 || element[0]&3 == 2
}

// commanded reports whether a command of the kind of a value can be for a point: truth values
// for switches, numbers for what is no single point.
func (p *Point) commanded(v obis.Value) bool {
	if v.Kind() == obis.KindBool {
		return p.switched
	}
	return p.Kind != Single
}

// command selects or operates a point, as the commander allows.
func (x *session) command(ctx context.Context, m *image, a *asdu.ASDU, raw []byte) {
	address, v, only, ok := order(a, raw)
	p := m.at[address]
	now := x.station.now()
	chosen := x.chosen
	switch {
	case p == nil || ok && !p.commanded(v):
		x.answer(raw, asdu.UnknownIOA, true)
		return
	case !ok || x.station.command == nil || x.busy:
		x.answer(raw, asdu.ActivationCon, true)
		return
	case raw[2]&testBit != 0: // a test of the way hither: nothing is to be done
		x.answer(raw, asdu.ActivationCon, false)
		return
	case only:
		x.chosen = choice{m.common, address, v, now.Add(selected)}
		x.do(ctx, raw, *p, site.Select, v)
		return
	}
	x.chosen = choice{}
	if !chosen.until.IsZero() && (chosen.common != m.common || chosen.address != address || !chosen.value.Equal(v) || now.After(chosen.until)) {
		x.answer(raw, asdu.ActivationCon, true)
		return
	}
	x.do(ctx, raw, *p, site.Operate, v)
}

// deselect gives up what was selected.
func (x *session) deselect(ctx context.Context, m *image, a *asdu.ASDU, raw []byte) {
	address, v, _, _ := order(a, raw)
	chosen := x.chosen
	p := m.at[address]
	if x.busy || p == nil || chosen.until.IsZero() || chosen.common != m.common || chosen.address != address {
		x.answer(raw, asdu.DeactivationCon, true)
		return
	}
	x.chosen = choice{}
	x.do(ctx, raw, *p, site.Cancel, v)
}

// do has a step of a command carried out, beside what goes on.
func (x *session) do(ctx context.Context, raw []byte, p Point, step site.Step, v obis.Value) {
	x.busy = true
	go func() {
		limited, cancel := context.WithTimeout(ctx, commandTime)
		defer cancel()
		err := x.station.command(limited, x.actor, p, step, v)
		select {
		case x.results <- result{raw, step, err}:
		case <-ctx.Done():
		}
	}()
}

// finish answers a command that has been carried out, or not.
func (x *session) finish(r result) {
	x.busy = false
	switch r.step {
	case site.Cancel:
		x.answer(r.raw, asdu.DeactivationCon, r.err != nil)
		return
	case site.Select:
		if r.err != nil {
			x.chosen = choice{}
		}
	}
	x.answer(r.raw, asdu.ActivationCon, r.err != nil)
	if r.err == nil && r.step == site.Operate {
		x.answer(r.raw, asdu.ActivationTerm, false)
	}
}
