package meter

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/iec62056/p1"
	"github.com/openusm/meter/iec62056/sml"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/mbus/wmbus"
)

// Listen hands on what meters push (P1, SML, radio telegrams, DLMS
// notifications in HDLC, wrapper or M-Bus frames, tables by C12.22) until ctx or the connection
// ends. A message that cannot be read gives an error and ends nothing; wrong
// checksums are counted and told of once a minute.
//
// On udp targets, on tcp targets of protocol DLMS or C1222, and on tcp targets without a
// host or with a wildcard, Listen waits there for meters; else it connects.
// M-Bus and C12.22 are heard only where cfg names them.
// On a serial port whose target names no rate it tries the usual ones in turn
// until something comes.
func Listen(ctx context.Context, target string, cfg *Config, handle func(*Result, error)) error {
	if cfg == nil {
		cfg = &Config{}
	}
	t, err := ParseTarget(target)
	if err != nil {
		return err
	}
	switch {
	case t.Scheme == "udp":
		return listenUDP(ctx, t, cfg, handle)
	case t.Scheme == "tcp" && (cfg.Protocol == DLMS || cfg.Protocol == C1222 || isWildcard(t.Address)):
		return listenTCP(ctx, t, cfg, handle)
	case t.Scheme == "serial":
		return listenSerial(ctx, t, cfg, handle)
	}
	rw, err := cfg.open(ctx, t, 9600, "8N1")
	if err != nil {
		return err
	}
	return newListener(cfg, handle).run(ctx, rw, time.Time{})
}

func isWildcard(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "" || host == "0.0.0.0" || host == "::")
}

const (
	maxPushers  = 1024            // connections served at once
	idlePusher  = 5 * time.Minute // a meter that is silent for so long is disconnected
	maxDatagram = 65535
)

// listenTCP accepts meters and listens to each of them.
func listenTCP(ctx context.Context, t Target, cfg *Config, handle func(*Result, error)) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", t.Address)
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrConnect, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	messages := make(chan func())
	places := make(chan struct{}, maxPushers)
	failed := make(chan error, 1)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				failed <- err
				return
			}
			select {
			case places <- struct{}{}:
			default:
				_ = conn.Close()
				continue
			}
			go func() {
				defer func() { <-places }()
				l := newListener(cfg, func(r *Result, err error) {
					select {
					case messages <- func() { handle(r, err) }:
					case <-ctx.Done():
					}
				})
				l.idle = idlePusher
				_ = l.run(ctx, conn, time.Time{}) // one meter that breaks off is no failure
			}()
		}
	}()
	for {
		select {
		case deliver := <-messages:
			deliver()
		case err := <-failed:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("meter: %w: %w", ErrConnect, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listenUDP takes each datagram for one message.
func listenUDP(ctx context.Context, t Target, cfg *Config, handle func(*Result, error)) error {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", t.Address)
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrConnect, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	take := func(b []byte) { handle(Decode(b, cfg)) }
	if cfg.Protocol == C1222 {
		finder := newC1222Finder(cfg)
		take = func(b []byte) { finder.datagram(b, handle) }
	}
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("meter: %w", err)
		}
		take(bytes.Clone(buf[:n]))
	}
}

// serialRates are the line settings at which meters push, and how long one must
// listen to hear them.
var serialRates = []struct {
	baud    int
	framing string
	wait    time.Duration
}{
	{115200, "8N1", 12 * time.Second}, // P1 of DSMR 4 and 5, every 10 s
	{9600, "8N1", 6 * time.Second},    // SML, every 1 to 4 s
	{9600, "7E1", 12 * time.Second},   // P1 of DSMR 2.2 and 3
	{2400, "8E1", 12 * time.Second},   // M-Bus of HAN ports
}

// reopenPause is how long listening waits before it opens a port again that is gone.
const reopenPause = time.Second

// listenSerial listens at the rate of the target or, where that names none, tries
// the usual ones until something comes. A port that is unplugged is opened again
// when it is back, at the rate at which something came before.
func listenSerial(ctx context.Context, t Target, cfg *Config, handle func(*Result, error)) error {
	fixed := t.Baud != 0 || t.Framing != ""
	opened := false
	for at := 0; ; {
		rate := serialRates[at%len(serialRates)]
		until := time.Now().Add(rate.wait)
		if fixed {
			rate.baud, rate.framing, until = 9600, "8N1", time.Time{}
		} else if cfg.Tried != nil {
			cfg.Tried(fmt.Sprintf("push at %d %s", rate.baud, rate.framing))
		}
		rw, err := cfg.open(ctx, t, rate.baud, rate.framing)
		if err == nil {
			opened = true
			err = newListener(cfg, handle).run(ctx, rw, until)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNothingCame):
			at++
			continue
		case !opened:
			return err
		}
		handle(nil, fmt.Errorf("meter: %s is gone: %w", t.Address, cmp.Or(err, io.ErrUnexpectedEOF)))
		if err := stream.Sleep(ctx, reopenPause); err != nil {
			return err
		}
	}
}

var errNothingCame = errors.New("nothing came")

// listener finds messages in what one connection brings.
type listener struct {
	cfg     *Config
	handle  func(*Result, error)
	finders []finder
	heard   bool
	idle    time.Duration // after which the connection ends; 0 is never
	broken  uint64
	told    time.Time
}

// finder finds the messages of one protocol among the octets of a connection.
type finder interface {
	feed(b []byte)
	// next returns the next message; it is not ok where more octets are needed.
	next() (r *Result, err error, ok bool)
	// broken counts messages that were damaged.
	broken() uint64
}

func newListener(cfg *Config, handle func(*Result, error)) *listener {
	l := &listener{cfg: cfg, handle: handle}
	all := map[Protocol][]finder{
		P1:    {&p1Finder{cfg: cfg}},
		SML:   {&smlFinder{cfg: cfg}},
		DLMS:  {newHDLCFinder(cfg), newWrapperFinder(cfg), newMBusFinder(cfg)},
		MBus:  {newMBusFinder(cfg)},
		WMBus: {newRadioFinder(cfg)},
		C1222: {newC1222Finder(cfg)},
	}
	for protocol, finders := range all {
		if protocol == cfg.Protocol || protocol != MBus && protocol != C1222 && (cfg.Protocol == "" || cfg.Protocol == Auto) {
			l.finders = append(l.finders, finders...)
		}
	}
	return l
}

// run reads until ctx, the connection or, where nothing was heard, the time until is over.
func (l *listener) run(ctx context.Context, rw io.ReadWriteCloser, until time.Time) error {
	if len(l.finders) == 0 {
		_ = rw.Close()
		return fmt.Errorf("meter: listen for %s: %w", l.cfg.Protocol, ErrNotSupported)
	}
	conn := stream.New(rw)
	defer conn.Close()
	buf := make([]byte, 4096)
	for {
		deadline := until
		switch {
		case l.heard:
			deadline = time.Time{}
			if l.idle > 0 {
				deadline = time.Now().Add(l.idle)
			}
		case until.IsZero() && l.idle > 0:
			deadline = time.Now().Add(l.idle)
		}
		n, err := conn.Read(ctx, deadline, buf)
		if n > 0 {
			if l.cfg.Trace != nil {
				l.cfg.Trace(false, buf[:n])
			}
			l.feed(buf[:n])
			continue
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded) && !l.heard && !until.IsZero():
			return errNothingCame
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("meter: %w", err)
		}
	}
}

// feed hands on all messages that b completes. The first message that one
// finder finds settles the protocol.
func (l *listener) feed(b []byte) {
	for _, f := range l.finders {
		f.feed(bytes.Clone(b))
	}
	for i := 0; i < len(l.finders); i++ {
		f := l.finders[i]
		for r, err, ok := f.next(); ok; r, err, ok = f.next() {
			if err == nil || errors.Is(err, ErrMissingKey) || errors.Is(err, ErrAuth) || errors.Is(err, ErrPartial) || l.heard {
				l.heard = true
				l.finders, i = []finder{f}, 0
				l.handle(r, err)
			}
		}
	}
	if l.heard {
		l.report(time.Now())
	}
}

// report tells of damaged messages, once a minute at most.
func (l *listener) report(now time.Time) {
	broken := l.finders[0].broken()
	if broken == l.broken || now.Sub(l.told) < time.Minute {
		return
	}
	l.handle(nil, fmt.Errorf("meter: %w: %d damaged messages", ErrFrame, broken-l.broken))
	l.broken, l.told = broken, now
}

type p1Finder struct {
	cfg    *Config
	stream p1.Stream
}

func (f *p1Finder) feed(b []byte) { f.stream.Feed(b) }

func (f *p1Finder) next() (*Result, error, bool) {
	m, ok := f.stream.Next()
	if !ok {
		return nil, nil, false
	}
	if m.IsEncrypted() {
		r, err := decodeAPDU(bytes.Clone(m.Encrypted.APDU), f.cfg)
		return r, err, true
	}
	return telegramResult(m.Telegram, f.cfg), nil, true
}

func (f *p1Finder) broken() uint64 {
	s := f.stream.Stats()
	return s.ChecksumErrors + s.Malformed
}

type smlFinder struct {
	cfg    *Config
	stream sml.Stream
}

func (f *smlFinder) feed(b []byte) { f.stream.Feed(b) }

func (f *smlFinder) next() (*Result, error, bool) {
	frame, ok := f.stream.Next()
	if !ok {
		return nil, nil, false
	}
	return smlResult(frame, f.cfg), nil, true
}

func (f *smlFinder) broken() uint64 {
	s := f.stream.Stats()
	return s.ChecksumErrors + s.Malformed
}

// hdlcFinder joins segments and blocks over frames.
type hdlcFinder struct {
	scanner hdlc.Scanner
	decoder *dlmsDecoder
	cfg     *Config
	damaged uint64
}

func newHDLCFinder(cfg *Config) *hdlcFinder {
	f := &hdlcFinder{cfg: cfg, decoder: &dlmsDecoder{cfg: cfg, segment: map[[2]hdlc.Address][]byte{}}}
	f.decoder.result = &Result{Protocol: DLMS, Clock: cfg.Clock}
	return f
}

func (f *hdlcFinder) feed(b []byte) { f.scanner.Feed(b) }

func (f *hdlcFinder) next() (*Result, error, bool) {
	for {
		frame, err := f.scanner.Next()
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			return nil, nil, false
		case err != nil:
			f.damaged++
			continue
		}
		if r, err, ok := f.decoder.take(f.decoder.frame(frame)); ok {
			return r, err, true
		}
	}
}

func (f *hdlcFinder) broken() uint64 { return f.damaged }

// take returns what has been decoded since the last call, if a message is complete.
func (d *dlmsDecoder) take(failed error) (*Result, error, bool) {
	if failed == nil && !d.decoded {
		return nil, nil, false
	}
	r, err := d.finish(failed)
	d.result, d.decoded, d.partial = &Result{Protocol: DLMS, Clock: d.cfg.Clock}, false, nil
	return r, err, true
}

// maxPending bounds the octets that wait for the rest of a frame.
const maxPending = 1 << 17

// wrapperFinder finds wrapper frames, which follow each other without gap.
type wrapperFinder struct {
	in      []byte
	decoder *dlmsDecoder
	damaged uint64
}

func newWrapperFinder(cfg *Config) *wrapperFinder {
	return &wrapperFinder{decoder: &dlmsDecoder{cfg: cfg, result: &Result{Protocol: DLMS, Clock: cfg.Clock}}}
}

func (f *wrapperFinder) feed(b []byte) {
	if len(f.in)+len(b) > maxPending {
		f.in = f.in[:0]
	}
	f.in = append(f.in, b...)
}

func (f *wrapperFinder) next() (*Result, error, bool) {
	for len(f.in) > 0 {
		frame, n, err := wrapper.Parse(f.in)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, nil, false
		case err != nil:
			f.damaged++
			f.in = f.in[:0]
			return nil, nil, false
		}
		f.in = f.in[n:]
		if r, err, ok := f.decoder.take(f.decoder.apdu(bytes.Clone(frame.APDU))); ok {
			return r, err, true
		}
	}
	return nil, nil, false
}

func (f *wrapperFinder) broken() uint64 { return f.damaged }

// mbusFinder finds long frames of wired M-Bus, among them those that carry DLMS.
type mbusFinder struct {
	cfg     *Config
	in      []byte
	decoder *mbus.Decoder
	carried dlmsCarrier
	damaged uint64
}

func newMBusFinder(cfg *Config) *mbusFinder {
	return &mbusFinder{cfg: cfg, decoder: &mbus.Decoder{Keys: mbusKeys(cfg.Keys), Formats: &mbus.MemoryFormats{}}}
}

func (f *mbusFinder) feed(b []byte) {
	if len(f.in)+len(b) > maxPending {
		f.in = f.in[:0]
	}
	f.in = append(f.in, b...)
}

func (f *mbusFinder) next() (*Result, error, bool) {
	for {
		start := bytes.IndexByte(f.in, 0x68)
		if start < 0 {
			f.in = f.in[:0]
			return nil, nil, false
		}
		f.in = f.in[start:]
		frame, n, err := link.Parse(f.in)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, nil, false
		case err != nil:
			f.damaged++
			f.in = f.in[1:]
			continue
		}
		f.in = f.in[n:]
		frame.Payload = bytes.Clone(frame.Payload)
		r := &Result{Protocol: MBus, Clock: f.cfg.Clock}
		if err := r.addFrame(f.decoder, &f.carried, frame, f.cfg); err != nil {
			if errors.Is(err, ErrPartial) {
				return r, err, true
			}
			return nil, err, true
		}
		if len(r.Layers) > 1 {
			return r, nil, true
		}
	}
}

func (f *mbusFinder) broken() uint64 { return f.damaged }

// radioFinder splits what a receiver of radio telegrams sends.
type radioFinder struct {
	cfg      *Config
	receiver wmbus.Receiver
	decoder  *radio
	damaged  uint64
}

func newRadioFinder(cfg *Config) *radioFinder {
	return &radioFinder{cfg: cfg, decoder: radioDecoder(cfg)}
}

func (f *radioFinder) feed(b []byte) { f.receiver.Feed(b) }

func (f *radioFinder) next() (*Result, error, bool) {
	for {
		reception, err := f.receiver.Next()
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, nil, false
		case err != nil:
			f.damaged++
			continue
		}
		r, err := f.decoder.result(reception.Frame, f.cfg)
		if errors.Is(err, wmbus.ErrFragment) {
			continue
		}
		return r, err, true
	}
}

func (f *radioFinder) broken() uint64 { return f.damaged }
