package meter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serve"
)

// Listen hands on what meters push until ctx or the connection ends. A message
// that cannot be read gives an error and ends nothing; wrong checksums are
// counted and told of once a minute. A result is valid until handle returns,
// which is called by one goroutine at a time.
//
// Messages of meters whose keys are known must be protected as those imply, and
// their counters must grow: a replay is an error, and no reading.
//
// On udp targets, on tcp targets of protocol DLMS or C1222, and on tcp targets without a
// host or with a wildcard, Listen waits there for meters; else it connects.
// C12.22 is heard only where cfg names it.
// On a serial port whose target names no rate it tries the usual ones in turn
// until something comes.
func Listen(ctx context.Context, target string, cfg *Config, handle func(*Result, error)) error {
	t, err := driver.ParseTarget(target)
	if err != nil {
		return err
	}
	cfg = driver.Prepared(cfg, true)
	if _, err := newListener(cfg, handle); err != nil {
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
	rw, err := cfg.Connect(ctx, t, 9600, "8N1")
	if err != nil {
		return err
	}
	return listenOn(ctx, rw, cfg, handle, time.Time{})
}

func isWildcard(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "" || host == "0.0.0.0" || host == "::")
}

const (
	maxPushers  = 1024            // connections, or senders of datagrams, that are remembered at once
	idlePusher  = 5 * time.Minute // a meter that is silent for so long is disconnected
	maxDatagram = 65535
)

// listenTCP accepts meters and listens to each of them.
func listenTCP(ctx context.Context, t Target, cfg *Config, handle func(*Result, error)) error {
	var mu sync.Mutex
	inTurn := func(r *Result, err error) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			handle(r, err)
		}
	}
	limits := &serve.Config{Max: maxPushers, Idle: idlePusher, Logger: cfg.Logger}
	err := serve.Listen(ctx, "tcp", t.Address, limits, nil, func(ctx context.Context, c net.Conn) error {
		return listenOn(ctx, c, cfg, inTurn, time.Time{}) // one meter that breaks off is no failure
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("meter: %w: %w", ErrConnect, err)
}

// listenUDP takes each datagram for whole messages. What a sender begins over
// several datagrams is remembered for the last senders.
func listenUDP(ctx context.Context, t Target, cfg *Config, handle func(*Result, error)) error {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", t.Address)
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrConnect, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	senders := map[netip.AddrPort]*listener{}
	var order [maxPushers]netip.AddrPort // ring: who came first is forgotten first
	next := 0
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("meter: %w", err)
		}
		at, _ := netip.ParseAddrPort(from.String())
		l := senders[at]
		if l == nil {
			if l, err = newListener(cfg, handle); err != nil {
				return err
			}
			delete(senders, order[next])
			order[next], senders[at] = at, l
			next = (next + 1) % maxPushers
		}
		l.datagram(buf[:n])
	}
}

// serialRates are the line settings at which meters push, and how long one must
// listen to hear them.
var serialRates = [...]struct {
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
		rw, err := cfg.Connect(ctx, t, rate.baud, rate.framing)
		if err == nil {
			opened = true
			err = listenOn(ctx, rw, cfg, handle, until)
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

// listenOn listens on one connection until ctx, the connection or, where nothing
// was heard, the time until is over. It closes rw.
func listenOn(ctx context.Context, rw io.ReadWriteCloser, cfg *Config, handle func(*Result, error), until time.Time) error {
	l, err := newListener(cfg, handle)
	conn := stream.New(rw)
	defer conn.Close()
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		deadline := until
		if l.heard {
			deadline = time.Time{}
		}
		n, err := conn.Read(ctx, deadline, buf)
		if n > 0 {
			if cfg.Trace != nil {
				cfg.Trace(false, buf[:n])
			}
			l.feed(buf[:n])
			continue
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded) && !l.heard && !until.IsZero():
			return errNothingCame
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			l.end()
			return nil
		case err != nil:
			return fmt.Errorf("meter: %w", err)
		}
	}
}

// listener finds messages in what one connection brings.
type listener struct {
	handle  func(*Result, error)
	clock   obis.Clock
	result  Result
	finders []finder
	heard   bool // finders is the one that was right
	counted Stats
	told    time.Time
}

// finder is a reader of one of the protocols that may be spoken.
type finder struct {
	Reader
	unchecked bool
}

func newListener(cfg *Config, handle func(*Result, error)) (*listener, error) {
	l := &listener{handle: handle, clock: cfg.Clock}
	auto := cfg.Protocol == "" || cfg.Protocol == Auto
	for _, unchecked := range []bool{false, true} {
		for d := range driver.All(cfg) {
			named := !auto && (d.Protocol == cfg.Protocol || d.Of == cfg.Protocol)
			if d.Reader == nil || d.Unchecked != unchecked || !(named && d.Heard != NotHeard || auto && d.Heard == HeardAlways) {
				continue
			}
			r, err := d.Reader(cfg)
			if err != nil {
				return nil, err
			}
			l.finders = append(l.finders, finder{Reader: r, unchecked: unchecked})
		}
	}
	if len(l.finders) == 0 {
		return nil, fmt.Errorf("meter: listen for %s: %w", cfg.Protocol, ErrNotSupported)
	}
	if len(l.finders) == 1 {
		l.finders[0].unchecked = false // there is no doubt whose message it is
	}
	return l, nil
}

// feed hands on all messages that b completes. The first message that one of the
// finders has by a right check, or of which it has a reading, settles the protocol.
func (l *listener) feed(b []byte) {
	for _, f := range l.finders {
		f.Feed(b)
	}
	for i := 0; i < len(l.finders); i++ {
		for !l.waits(i) && l.next(&i) {
		}
	}
	if l.heard {
		l.report(time.Now())
	}
}

// datagram hands on the messages of one datagram. What it leaves behind is no part of the next.
func (l *listener) datagram(b []byte) {
	found := false
	heard := l.handle
	defer func() { l.handle = heard }()
	l.handle = func(r *Result, err error) {
		found = true
		heard(r, err)
	}
	l.feed(b)
	l.end()
	if !found {
		heard(nil, fmt.Errorf("meter: %w: a datagram of %d octets is no message", ErrFrame, len(b)))
	}
}

// end hands on what a line, or a datagram, ends with.
func (l *listener) end() {
	for i := 0; i < len(l.finders); i++ {
		l.finders[i].End()
		for l.next(&i) {
		}
	}
}

// maxWaiting is for how many octets a message may wait for one that began before it.
const maxWaiting = 1 << 16

// waits reports whether a finder must wait for one with checks that comes before it
// and may have found the beginning of a message no later than it has: what a frame
// carries may look like a message, too.
func (l *listener) waits(i int) bool {
	own := l.finders[i].Pending()
	for _, f := range l.finders[:i] {
		if n := f.Pending(); !f.unchecked && own > 0 && own <= n && n < maxWaiting {
			return true
		}
	}
	return false
}

// next hands on the next message of finder *i, and is false where there is none.
func (l *listener) next(i *int) bool {
	l.result.Reset()
	l.result.Clock, l.result.Received = l.clock, time.Now()
	f := l.finders[*i]
	before := f.Stats()
	err := f.Next(&l.result)
	since := f.Stats().Since(before)
	switch {
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrFrame) && !errors.Is(err, ErrPartial):
		return false
	case since.ChecksumErrors+since.Malformed > 0: // it is told of by the minute
		return true
	case l.heard:
	case l.settles(f, err):
		l.heard = true
		l.finders, *i = []finder{f}, 0
	case errors.Is(err, ErrMissingKey), errors.Is(err, ErrAuth):
	default:
		return true
	}
	if err != nil && !errors.Is(err, ErrPartial) {
		l.handle(nil, err)
	} else {
		l.handle(&l.result, err)
	}
	return true
}

// settles reports whether a message shows what the meter speaks. One without a
// checksum must be read without a doubt: noise looks like some message of radio often enough.
func (l *listener) settles(f finder, err error) bool {
	if f.unchecked {
		known := func(x obis.Reading) bool { return x.Code.Valid() && x.Quality.Flags&obis.Invalid == 0 }
		return l.result.Verified() || err == nil && len(l.result.Warnings) == 0 && slices.ContainsFunc(l.result.Readings, known)
	}
	return err == nil || errors.Is(err, ErrPartial) || errors.Is(err, ErrMissingKey) || errors.Is(err, ErrAuth)
}

// report tells of damaged messages, once a minute at most.
func (l *listener) report(now time.Time) {
	since := l.finders[0].Stats().Since(l.counted)
	broken := since.ChecksumErrors + since.Malformed
	if broken == 0 || now.Sub(l.told) < time.Minute {
		return
	}
	l.handle(nil, fmt.Errorf("meter: %w: %d damaged messages", ErrFrame, broken))
	l.counted, l.told = l.finders[0].Stats(), now
}
