package iec62056

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/openusm/meter/internal/stream"
)

// Config says how to talk to a meter. The zero Config, and nil, read the only
// meter on a line in the mode that it announces.
type Config struct {
	Address     string        // device address, up to 32 letters and digits; empty reaches whatever meter is there
	Mode        Mode          // ModeAuto: what the identification announces
	Baud        int           // rate of the sign-on, and of all else on a port that cannot change it; 0 means 300
	MaxBaud     int           // highest rate to ask for; 0 means any
	Option      string        // character Y of the option for a readout, '6' to '9' being the manufacturer's; empty means '0'
	Password    string        // for programming mode, sent by P1; empty means none is sent
	Algorithm   Algorithm     // answers the operand of the meter instead of Password; nil means the password is sent as it is
	ReadCommand string        // command that reads a register, "R1" to "R5"; empty means R5, and R1 where the meter refuses that
	BlockLines  int           // profile lines for each partial block (R6); 0 means the whole answer at once (R5)
	SeasonDigit bool          // times in requests for profiles begin with the season digit of VDEW; false means they do not
	Timeout     time.Duration // for an answer to begin, and between its octets; 0 means 2.5 s
	Retries     int           // repetitions of each step; 0 means 2, negative none
	SwitchDelay time.Duration // between the last octet of the option and the change of the rate; 0 means 10 ms
	WakeUp      bool          // send NUL octets before the request, for battery meters
	Parity      Parity        // who makes the parity bits where the port cannot change its framing; 0 means to find out
	MaxSize     int           // octets of one answer; 0 means 262,144

	Trace  func(send bool, frame []byte) // sees all octets, passwords too; nil means nobody does
	Logger *slog.Logger                  // told of retries and switches; nil is silent
}

// Parity says who makes the parity bits of a line with seven bits and even parity.
type Parity uint8

// The choices. A port that can change its framing makes them itself in any case.
const (
	ParityAuto     Parity = iota // the port, unless octets arrive with parity bits or no answer comes without
	ParityPort                   // the port
	ParitySoftware               // this package: the port is at eight bits without parity
)

func (c *Config) baud() int {
	if c.Baud <= 0 {
		return initialBaud
	}
	return c.Baud
}

func (c *Config) timeout() time.Duration {
	if c.Timeout <= 0 {
		return 2500 * time.Millisecond
	}
	return c.Timeout
}

func (c *Config) retries() int {
	switch {
	case c.Retries < 0:
		return 0
	case c.Retries == 0:
		return 2
	}
	return c.Retries
}

func (c *Config) switchDelay() time.Duration {
	if c.SwitchDelay <= 0 {
		return 10 * time.Millisecond
	}
	return c.SwitchDelay
}

func (c *Config) maxSize() int {
	if c.MaxSize <= 0 {
		return 1 << 18
	}
	return c.MaxSize
}

// wakeUpOctets is how many NULs last 2.2 s at the initial rate.
func (c *Config) wakeUpOctets() int { return max(1, c.baud()*22/100) }

// Client reads one meter, or several on one line by their addresses. It is not
// safe for concurrent use.
type Client struct {
	conn    *stream.Conn
	cfg     Config
	session *Session
	line    interface {
		SetLine(baud int, framing string) error
	}
	drain   interface{ Drain() error }
	program bool   // the meter is in programming mode
	handed  bool   // the port belongs to another protocol now
	pushed  Stream // of mode D
}

// NewClient returns a client on rw, which it owns from then on. Where rw has
// the method SetLine(baud int, framing string) error, the client changes the
// rate as the protocol wants, and where it has Drain() error, uses that to know
// when octets have left the port.
func NewClient(rw io.ReadWriteCloser, cfg *Config) *Client {
	c := &Client{conn: stream.New(rw)}
	if cfg != nil {
		c.cfg = *cfg
	}
	c.line, _ = rw.(interface {
		SetLine(baud int, framing string) error
	})
	c.drain, _ = rw.(interface{ Drain() error })
	c.session = NewSession(&c.cfg, c.line != nil)
	return c
}

// Open signs on and returns when the meter has identified itself. A meter of
// mode C waits about a second for what to do next; the methods that need it
// sign on again where it no longer does.
func (c *Client) Open(ctx context.Context) error {
	if len(c.cfg.Address) > maxAddress {
		return fmt.Errorf("iec62056: address of %d characters: %w", len(c.cfg.Address), errTooLong)
	}
	c.session.BeginIdentify()
	return c.run(ctx)
}

// Identification returns what the meter answered to the last sign-on.
func (c *Client) Identification() Identification { return c.session.Identification() }

// Readout fetches the data readout. It is valid until the next call.
func (c *Client) Readout(ctx context.Context) (Readout, error) {
	c.session.BeginReadout(time.Now())
	if err := c.run(ctx); err != nil {
		return Readout{}, err
	}
	return c.session.Readout(), nil
}

// Select makes the client speak to another device on the same line.
func (c *Client) Select(ctx context.Context, address string) error {
	err := c.leave(ctx)
	c.cfg.Address = address
	c.session = NewSession(&c.cfg, c.line != nil)
	return err
}

// Listen waits for a readout that the meter sends by itself (mode D), at 2400
// baud where the configuration names no other rate. Broken ones are passed
// over; [Client.Pushed] counts them. It is valid until the next call.
func (c *Client) Listen(ctx context.Context) (Readout, error) {
	baud := c.cfg.Baud
	if baud <= 0 {
		baud = 2400
	}
	if c.line != nil && c.session.Baud() != baud {
		if err := c.line.SetLine(baud, "7E1"); err != nil {
			return Readout{}, fmt.Errorf("iec62056: line to %d 7E1: %w", baud, err)
		}
		c.session.baud = baud
	}
	var buf [1024]byte
	for {
		in, err := c.pushed.Next()
		if err == nil {
			return in.Readout, nil
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			continue
		}
		n, err := c.conn.Read(ctx, time.Time{}, buf[:])
		c.trace(false, buf[:n])
		c.pushed.Feed(buf[:n])
		if n == 0 && err != nil {
			return Readout{}, fmt.Errorf("iec62056: read: %w", err)
		}
	}
}

// Pushed returns what [Client.Listen] saw so far.
func (c *Client) Pushed() Stats { return c.pushed.Stats() }

// Close ends programming mode, if the meter is in it, and closes the
// connection unless it was handed over.
func (c *Client) Close(ctx context.Context) error {
	if c.handed {
		return nil
	}
	return errors.Join(c.leave(ctx), c.conn.Close())
}

// leave ends programming mode.
func (c *Client) leave(ctx context.Context) error {
	if c.program {
		c.program = false
		c.session.BeginClose()
		return c.run(ctx)
	}
	return nil
}

// run does what the session wants until it is done.
func (c *Client) run(ctx context.Context) error {
	var buf [1024]byte
	for {
		step := c.session.Poll(time.Now())
		if step.Cause != nil {
			c.log(ctx, "again", slog.Any("cause", step.Cause))
		}
		switch step.Kind {
		case StepDone:
			return step.Err
		case StepSend:
			if err := c.send(ctx, step.Data); err != nil {
				return err
			}
		case StepLine:
			c.log(ctx, "line", slog.Int("baud", step.Baud), slog.String("framing", step.Framing))
			if err := c.line.SetLine(step.Baud, step.Framing); err != nil {
				return fmt.Errorf("iec62056: line to %d %s: %w", step.Baud, step.Framing, err)
			}
		case StepPause:
			if err := stream.Sleep(ctx, time.Until(step.Until)); err != nil {
				return err
			}
		case StepRead:
			n, err := c.conn.Read(ctx, step.Until, buf[:])
			if n > 0 {
				c.trace(false, buf[:n])
				c.session.Feed(time.Now(), buf[:n])
			}
			if err != nil && n == 0 && !timedOut(err) {
				return fmt.Errorf("iec62056: read: %w", err)
			}
			if n == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

// send writes b and waits until it has left the port, which on a port without
// Drain takes as long as its rate says.
func (c *Client) send(ctx context.Context, b []byte) error {
	c.trace(true, b)
	if err := c.conn.Write(ctx, time.Now().Add(c.cfg.timeout()+c.duration(len(b))), b); err != nil {
		return fmt.Errorf("iec62056: write: %w", err)
	}
	switch {
	case c.drain != nil:
		if err := c.drain.Drain(); err != nil {
			return fmt.Errorf("iec62056: drain: %w", err)
		}
	case c.line != nil:
		return stream.Sleep(ctx, c.duration(len(b)))
	}
	return nil
}

// duration is how long n characters of ten bits take on the line.
func (c *Client) duration(n int) time.Duration {
	return time.Duration(n) * 10 * time.Second / time.Duration(c.session.Baud())
}

func (c *Client) trace(send bool, b []byte) {
	if c.cfg.Trace != nil && len(b) > 0 {
		c.cfg.Trace(send, b)
	}
}

func (c *Client) log(ctx context.Context, msg string, attrs ...slog.Attr) {
	if c.cfg.Logger != nil {
		c.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, msg, attrs...)
	}
}

// timedOut reports whether a read ended at its deadline.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() && !errors.Is(err, context.DeadlineExceeded)
}
