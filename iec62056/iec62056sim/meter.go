// Package iec62056sim simulates meters that speak IEC 62056-21, DSMR P1 and SML.
package iec62056sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/internal/stream"
)

// Config says what a [Meter] is. The zero Config, and nil, are an electricity
// meter of mode C at 9600 baud.
type Config struct {
	Identification string                                                 // what follows "/" and tells the mode by its fourth character; empty means "OUM5METERSIM"
	Address        string                                                 // answers to this device address, and to requests without one; empty means "12345678"
	Baud           int                                                    // rate of the sign-on; 0 means 300
	Lines          func(now time.Time) []string                           // data lines of the readout; nil means a meter with about 30 lines
	Now            func() time.Time                                       // the meter's clock; nil means that of the machine
	Zone           *time.Location                                         // of the meter's clock; nil means that Now is in
	Password       string                                                 // asked for before registers are written; empty means none
	Operand        string                                                 // what P0 sends; empty means "00000000"
	Days           int                                                    // how far back the load profile P.01 goes; 0 means 40
	Logs           []Log                                                  // entries of the log P.98; nil means three of the last days
	HandOver       func(ctx context.Context, rw io.ReadWriteCloser) error // serves HDLC after a hand-over (mode E); nil refuses one
	Idle           time.Duration                                          // a connection without a request for so long, or one that takes no answer, ends; 0 means two minutes, negative never. A line, which has SetLine, may be silent for ever
	Faults         Faults
	Trace          func(send bool, frame []byte)
}

func (c *Config) identification() string {
	if c.Identification == "" {
		return "OUM5METERSIM"
	}
	return c.Identification
}

func (c *Config) address() string {
	if c.Address == "" {
		return "12345678"
	}
	return c.Address
}

func (c *Config) baud() int {
	if c.Baud <= 0 {
		return 300
	}
	return c.Baud
}

// Faults are things that go wrong on real lines.
type Faults struct {
	WrongBlockCheck int           // the first so many blocks have a wrong block check character
	SwitchLate      time.Duration // the rate changes so much later than the protocol wants
	DeafTo          int           // the first so many requests get no answer
	NoSwitch        bool          // the meter acknowledges the new rate and stays at the old one
	NoR5            bool          // the meter knows R1 alone, not the formatted read of VDEW
}

// Meter is a simulated meter. Its methods may be called from several goroutines.
type Meter struct {
	cfg   Config
	ident iec62056.Identification
	start time.Time

	mu      sync.Mutex
	written map[string]string // registers that were written, by id
	blocks  int               // sent so far
	asked   int               // requests so far
}

// New returns a meter, which starts to count now.
func New(cfg *Config) *Meter {
	m := &Meter{}
	if cfg != nil {
		m.cfg = *cfg
	}
	if m.cfg.Now == nil {
		m.cfg.Now = time.Now
	}
	if zone, now := m.cfg.Zone, m.cfg.Now; zone != nil {
		m.cfg.Now = func() time.Time { return now().In(zone) }
	}
	if m.cfg.Lines == nil {
		m.cfg.Lines = m.lines
	}
	m.start = m.cfg.Now()
	m.ident, _, _ = iec62056.ParseIdentification([]byte("/" + m.cfg.identification() + "\r\n"))
	return m
}

// readout returns the lines of the readout, with what was written to them.
func (m *Meter) readout() []string {
	lines := m.cfg.Lines(m.cfg.Now())
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, line := range lines {
		id, _, _ := strings.Cut(line, "(")
		if value, ok := m.written[id]; ok {
			lines[i] = id + "(" + value + ")"
		}
	}
	return lines
}

// lines is the readout of a meter that draws 1 kW on average.
func (m *Meter) lines(now time.Time) []string {
	wh := 12_345_678 + int64(now.Sub(m.start)/(3600*time.Millisecond))
	kwh := func(wh int64) string { return fmt.Sprintf("%06d.%03d*kWh", wh/1000, wh%1000) }
	watt := 1000 + now.Unix()%60 - 30
	stamp := now.Format("0601021504")
	return []string{
		"F.F(00000000)",
		"C.1.0(" + m.cfg.address() + ")",
		"0.0.0(" + m.cfg.address() + ")",
		"0.2.0(1.04)",
		"0.9.1(" + now.Format("15:04:05") + ")",
		"0.9.2(" + now.Format("06-01-02") + ")",
		"0.1.0(03)",
		"0.1.2*03(" + now.AddDate(0, 0, 1-now.Day()).Format("060102") + "0000)",
		"1.8.0(" + kwh(wh) + ")",
		"1.8.1(" + kwh(wh*2/3) + ")",
		"1.8.2(" + kwh(wh-wh*2/3) + ")",
		"1.8.0*03(" + kwh(12_000_000) + ")",
		"2.8.0(" + kwh(123_456) + ")",
		"2.8.1(" + kwh(123_456) + ")",
		"2.8.2(" + kwh(0) + ")",
		"5.8.0(" + fmt.Sprintf("%010.3f*kvarh", 1234.567) + ")",
		"8.8.0(" + fmt.Sprintf("%010.3f*kvarh", 89.123) + ")",
		"1.6.0(02.351*kW)(" + stamp + ")",
		"1.6.0*03(04.927*kW)(2610161300)",
		"1.7.0(" + fmt.Sprintf("%06.3f", float64(watt)/1000) + "*kW)",
		"21.7.0(00.170*kW)",
		"41.7.0(00.247*kW)",
		"61.7.0(00.209*kW)",
		"32.7.0(230.1*V)",
		"52.7.0(229.8*V)",
		"72.7.0(230.4*V)",
		"31.7.0(000.74*A)",
		"51.7.0(001.08*A)",
		"71.7.0(000.91*A)",
		"14.7.0(50.01*Hz)",
		"13.7.0(0.98)",
		"C.7.0(0003)",
	}
}

// Serve answers one connection until it ends, is idle for too long, or ctx ends.
// Where rw has SetLine, the rate follows the protocol.
func (m *Meter) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	s := &server{meter: m, conn: stream.New(rw)}
	s.line, _ = rw.(interface {
		SetLine(baud int, framing string) error
	})
	s.drain, _ = rw.(interface{ Drain() error })
	defer s.conn.Close()
	err := s.serve(ctx)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || err == errSilence {
		return ctx.Err()
	}
	return err
}

// idleTime is how long a connection may be idle where the configuration does not say.
const idleTime = 2 * time.Minute

// patience returns when a connection ends that does nothing from now on, the zero
// time for never.
func patience(rw io.ReadWriteCloser, idle time.Duration) time.Time {
	if _, line := rw.(interface {
		SetLine(baud int, framing string) error
	}); line || idle < 0 {
		return time.Time{}
	}
	if idle == 0 {
		idle = idleTime
	}
	return time.Now().Add(idle)
}

// server is one connection.
type server struct {
	meter *Meter
	conn  *stream.Conn
	line  interface {
		SetLine(baud int, framing string) error
	}
	drain  interface{ Drain() error }
	in     []byte
	again  *iec62056.Message // a request that came while something else was expected
	parity bool              // the reader sends parity bits through a port without parity
}

// errSilence ends a wait for the reader.
var errSilence = errors.New("nothing came in time")

const (
	optionTimeout = 2200 * time.Millisecond // how long a meter of mode C waits for the option
	blockTimeout  = 1500 * time.Millisecond // how long it waits for a NAK
)

// serve answers requests one after the other.
func (s *server) serve(ctx context.Context) error {
	for {
		if err := s.setLine(s.meter.cfg.baud(), "7E1"); err != nil {
			return err
		}
		m, err := s.next(ctx)
		if err != nil {
			return err
		}
		if m.Kind != iec62056.KindRequest || !s.meter.isMeant(m.Address) || s.meter.isDeaf() {
			continue
		}
		if err := s.answer(ctx); err != nil && err != errSilence {
			return err
		}
	}
}

// next returns a request that came early, or waits for one.
func (s *server) next(ctx context.Context) (iec62056.Message, error) {
	if m := s.again; m != nil {
		s.again = nil
		return *m, nil
	}
	return s.receive(ctx, patience(s.conn.Unwrap(), s.meter.cfg.Idle), false)
}

// isMeant reports whether a request is for this meter. Leading zeros of an
// address do not count.
func (m *Meter) isMeant(address []byte) bool {
	own := m.cfg.address()
	for len(address) > 0 && address[0] == '0' && len(address) > len(own) {
		address = address[1:]
	}
	return len(address) == 0 || string(address) == own
}

func (m *Meter) isDeaf() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.asked <= m.cfg.Faults.DeafTo
}

// answer sends the identification and what its mode makes of it.
func (s *server) answer(ctx context.Context) error {
	id := s.meter.ident
	if err := s.send(ctx, iec62056.Message{Kind: iec62056.KindIdentification, Identification: id}); err != nil {
		return err
	}
	switch id.Mode() {
	case iec62056.ModeA:
		return s.readout(ctx)
	case iec62056.ModeB:
		if err := s.setLine(id.BaudRate(), "7E1"); err != nil {
			return err
		}
		return s.readout(ctx)
	}
	m, err := s.receive(ctx, time.Now().Add(optionTimeout), true)
	switch {
	case err == errSilence:
		return s.readout(ctx)
	case err != nil:
		return err
	case m.Kind != iec62056.KindOption:
		return nil
	}
	return s.follow(ctx, m.Option)
}

// follow does what the option select message asks for.
func (s *server) follow(ctx context.Context, o iec62056.Option) error {
	if o.Protocol == '2' {
		return s.handOver(ctx, o)
	}
	faults := s.meter.cfg.Faults
	if rate, ok := iec62056.BaudRate(o.Baud); ok && rate <= s.meter.ident.BaudRate() && !faults.NoSwitch {
		if err := stream.Sleep(ctx, faults.SwitchLate); err != nil {
			return err
		}
		if err := s.setLine(rate, "7E1"); err != nil {
			return err
		}
	}
	switch o.Mode {
	case '0':
		return s.readout(ctx)
	case '1':
		return s.program(ctx)
	}
	return nil
}

// handOver repeats the option and gives the line to the other protocol.
func (s *server) handOver(ctx context.Context, o iec62056.Option) error {
	if s.meter.cfg.HandOver == nil {
		return nil
	}
	if err := s.send(ctx, iec62056.Message{Kind: iec62056.KindOption, Option: o}); err != nil {
		return err
	}
	if rate, ok := iec62056.BaudRate(o.Baud); ok {
		if err := s.setLine(rate, "8N1"); err != nil {
			return err
		}
	}
	if d, ok := s.conn.Unwrap().(interface{ SetReadDeadline(time.Time) error }); ok {
		_ = d.SetReadDeadline(time.Time{})
	}
	return s.meter.cfg.HandOver(ctx, s.conn.Unwrap())
}

// readout sends the data block, and again on NAK.
func (s *server) readout(ctx context.Context) error {
	var data []byte
	for _, line := range s.meter.readout() {
		data = append(append(data, line...), '\r', '\n')
	}
	m := iec62056.Message{Kind: iec62056.KindData, Data: append(data, "!\r\n"...)}
	for {
		if err := s.sendBlock(ctx, m); err != nil {
			return err
		}
		m, err := s.receive(ctx, time.Now().Add(blockTimeout), false)
		if err == nil && m.Kind == iec62056.KindRequest {
			s.again = &m
			return nil
		}
		if err != nil || m.Kind != iec62056.KindNak {
			return err
		}
	}
}

// sendBlock sends a block with a block check character, wrong if the meter is to fail.
func (s *server) sendBlock(ctx context.Context, m iec62056.Message) error {
	b, _ := m.AppendBinary(nil)
	s.meter.mu.Lock()
	s.meter.blocks++
	if s.meter.blocks <= s.meter.cfg.Faults.WrongBlockCheck {
		b[len(b)-1] ^= 0x55
	}
	s.meter.mu.Unlock()
	return s.write(ctx, b)
}

// receive waits for the next message; octets that belong to none are skipped.
// Where an option is expected a lone ACK is its first octet.
func (s *server) receive(ctx context.Context, deadline time.Time, option bool) (iec62056.Message, error) {
	var buf [256]byte
	for {
		for len(s.in) > 0 {
			m, n, err := iec62056.ParseMessage(s.in)
			switch {
			case err == nil && option && m.Kind == iec62056.KindAck && n == len(s.in):
			case err == nil:
				m = clone(m)
				s.in = append(s.in[:0], s.in[n:]...)
				return m, nil
			case !errors.Is(err, io.ErrUnexpectedEOF):
				s.in = append(s.in[:0], s.in[1:]...)
				continue
			}
			break
		}
		n, err := s.conn.Read(ctx, deadline, buf[:])
		s.take(buf[:n])
		if n == 0 && err != nil {
			var t interface{ Timeout() bool }
			if ctx.Err() == nil && errors.As(err, &t) && t.Timeout() {
				s.in = s.in[:0]
				return iec62056.Message{}, errSilence
			}
			return iec62056.Message{}, err
		}
	}
}

// take adds what arrived. An eighth bit in a message of which all octets have
// even parity is parity.
func (s *server) take(b []byte) {
	s.trace(false, b)
	for _, c := range b {
		if c >= 0x80 {
			s.parity = true
		}
	}
	if s.parity {
		iec62056.StripParity(b)
	}
	s.in = append(s.in, b...)
	if len(s.in) > 4096 {
		s.in = s.in[:0]
	}
}

func clone(m iec62056.Message) iec62056.Message {
	m.Data = append([]byte(nil), m.Data...)
	m.Address = append([]byte(nil), m.Address...)
	return m
}

// send waits for the reaction time and sends a message.
func (s *server) send(ctx context.Context, m iec62056.Message) error {
	b, _ := m.AppendBinary(nil)
	return s.write(ctx, b)
}

func (s *server) write(ctx context.Context, b []byte) error {
	if s.line != nil {
		if err := stream.Sleep(ctx, s.meter.ident.ReactionTime()); err != nil {
			return err
		}
	}
	s.trace(true, b)
	if s.parity {
		b = append([]byte(nil), b...)
		iec62056.AddParity(b)
	}
	if err := s.conn.Write(ctx, patience(s.conn.Unwrap(), s.meter.cfg.Idle), b); err != nil {
		return err
	}
	if s.drain != nil {
		return s.drain.Drain()
	}
	return nil
}

func (s *server) setLine(baud int, framing string) error {
	if s.line == nil {
		return nil
	}
	return s.line.SetLine(baud, framing)
}

func (s *server) trace(send bool, b []byte) {
	if s.meter.cfg.Trace != nil && len(b) > 0 {
		s.meter.cfg.Trace(send, b)
	}
}
