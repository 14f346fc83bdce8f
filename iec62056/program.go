package iec62056

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/openusm/meter/obis"
)

// Algorithm is a manufacturer's way to prove that the reader may enter
// programming mode.
type Algorithm interface {
	// Answer returns the command, "P1" or "P2", and the data behind it for
	// the operand that the meter sent by P0. Both are without parentheses.
	Answer(operand, password []byte) (command string, data []byte, err error)
}

// Program enters programming mode, and proves the reader's right where the
// configuration has a password or an algorithm. Without, most meters still let
// their registers be read.
func (c *Client) Program(ctx context.Context) error {
	if c.program {
		return nil
	}
	c.session.BeginProgram(time.Now())
	if err := c.run(ctx); err != nil {
		return err
	}
	c.program = true
	reply := c.session.Reply()
	if err := reply.Err(); err != nil {
		return err
	}
	if c.cfg.Password == "" && c.cfg.Algorithm == nil {
		return nil
	}
	command, data, err := c.answer(reply)
	if err != nil {
		return err
	}
	m := Message{Kind: KindCommand, Command: [2]byte([]byte(command)), Data: parentheses(data), HasData: true}
	reply, err = c.exchange(ctx, m)
	switch {
	case errors.Is(err, ErrRefused):
		return fmt.Errorf("iec62056: %w: %w", ErrPassword, err)
	case err != nil:
		return fmt.Errorf("iec62056: password: %w", err)
	case reply.Kind != KindAck:
		c.program = reply.Kind != KindCommand // a break
		return fmt.Errorf("iec62056: %w: the meter answered %v %s: %w", ErrPassword, reply.Kind, bytes.Trim(reply.Command[:], "\x00"), ErrRefused)
	}
	return nil
}

// answer returns what proves the reader's right.
func (c *Client) answer(reply Message) (command string, data []byte, err error) {
	if c.cfg.Algorithm == nil {
		return "P1", []byte(c.cfg.Password), nil
	}
	operand := bytes.TrimSuffix(bytes.TrimPrefix(reply.Data, []byte("(")), []byte(")"))
	command, data, err = c.cfg.Algorithm.Answer(operand, []byte(c.cfg.Password))
	if err == nil && len(command) != 2 {
		err = fmt.Errorf("iec62056: algorithm gave the command %q", command)
	}
	return command, data, err
}

func parentheses(b []byte) []byte {
	return append(append(append(make([]byte, 0, len(b)+2), '('), b...), ')')
}

// exchange sends a message and returns the answer; one that the meter refuses
// is an error.
func (c *Client) exchange(ctx context.Context, m Message) (Message, error) {
	c.session.BeginCommand(m)
	if err := c.run(ctx); err != nil {
		return Message{}, err
	}
	reply := c.session.Reply()
	return reply, reply.Err()
}

// Command sends any command of programming mode, "R1" to "E2" and the
// manufacturer's own, and returns the data of the answer. Where that comes in
// partial blocks it fetches and joins all of them. The data are empty where the
// meter only acknowledges.
func (c *Client) Command(ctx context.Context, command string, data []byte) ([]byte, error) {
	if len(command) != 2 {
		return nil, fmt.Errorf("iec62056: command %q is not two characters", command)
	}
	if err := c.Program(ctx); err != nil {
		return nil, err
	}
	m := Message{Kind: KindCommand, Command: [2]byte([]byte(command)), Data: data, HasData: true}
	var all []byte
	for {
		reply, err := c.exchange(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("iec62056: %s: %w", command, err)
		}
		if reply.Kind == KindCommand {
			c.program = false
			return nil, fmt.Errorf("iec62056: %s: the meter ended the session: %w", command, ErrRefused)
		}
		all = append(all, reply.Data...)
		if len(all) > c.cfg.maxSize() {
			return nil, fmt.Errorf("iec62056: %s: answer of more than %d octets: %w", command, c.cfg.maxSize(), errTooLong)
		}
		if !reply.Partial {
			return all, nil
		}
		m = Message{Kind: KindAck}
	}
}

// Read reads one register, or whatever the meter has under an id, and returns
// the answer as a readout of those lines.
func (c *Client) Read(ctx context.Context, id string) (Readout, error) {
	command := c.cfg.ReadCommand
	if command == "" {
		command = "R5"
	}
	data, err := c.Command(ctx, command, []byte(id+"()"))
	if c.cfg.ReadCommand == "" && refused(err) {
		if data, err = c.Command(ctx, "R1", []byte(id+"()")); err == nil {
			c.cfg.ReadCommand = "R1"
		}
	}
	if err != nil {
		return Readout{}, err
	}
	if len(data) > 0 && data[0] == '(' {
		data = append([]byte(id), data...)
	}
	return Readout{Identification: c.session.Identification(), Data: data}, nil
}

// refused reports whether the meter answered, but not with data.
func refused(err error) bool {
	return errors.Is(err, ErrRefused) && !errors.Is(err, ErrPassword)
}

// Write writes a register by W5, or by W1 where the configuration reads by R1.
// The value is what stands between the parentheses.
func (c *Client) Write(ctx context.Context, id, value string) error {
	command := "W5"
	if c.cfg.ReadCommand != "" {
		command = "W" + c.cfg.ReadCommand[1:]
	}
	_, err := c.Command(ctx, command, []byte(id+"("+value+")"))
	return err
}

// Execute sends the command E2.
func (c *Client) Execute(ctx context.Context, data string) error {
	_, err := c.Command(ctx, "E2", []byte(data))
	return err
}

// Profile reads a load profile, "P.01" or "P.02", of the time between from and
// to as the meter's clock shows it; the zero Time leaves that end open.
func (c *Client) Profile(ctx context.Context, id string, from, to obis.Time) ([]*obis.Profile, error) {
	data, err := c.interval(ctx, id, from, to)
	if err != nil {
		return nil, err
	}
	return ParseProfiles(data)
}

// Events reads a log, "P.98", of the time between from and to as the meter's
// clock shows it; the zero Time leaves that end open.
func (c *Client) Events(ctx context.Context, id string, from, to obis.Time) ([]obis.Event, error) {
	data, err := c.interval(ctx, id, from, to)
	if err != nil {
		return nil, err
	}
	return ParseEvents(data), nil
}

// interval sends id(from;to) by R5, or id(from;to;lines) by R6.
func (c *Client) interval(ctx context.Context, id string, from, to obis.Time) ([]byte, error) {
	request := append([]byte(id), '(')
	request = c.appendTime(request, from)
	request = c.appendTime(append(request, ';'), to)
	command := "R5"
	if c.cfg.BlockLines > 0 {
		command = "R6"
		request = fmt.Appendf(request, ";%d", c.cfg.BlockLines)
	}
	return c.Command(ctx, command, append(request, ')'))
}

// appendTime appends YYMMDDhhmm, after the season digit where the configuration wants it.
func (c *Client) appendTime(b []byte, t obis.Time) []byte {
	if !t.HasDate() || !t.HasClock() {
		return b
	}
	if c.cfg.SeasonDigit {
		season := byte('0')
		if t.Status != obis.TimeUnspecified && t.Status&obis.TimeDST != 0 {
			season = '1'
		}
		b = append(b, season)
	}
	return fmt.Appendf(b, "%02d%02d%02d%02d%02d", t.Year%100, t.Month, t.Day, t.Hour, t.Minute)
}

// HandOver makes a meter of mode E change to HDLC and returns the live
// connection, at the rate and with the framing that both sides agreed on. The
// client must not be used afterwards; closing the connection is up to its new
// owner.
func (c *Client) HandOver(ctx context.Context) (io.ReadWriteCloser, error) {
	c.session.BeginHandOver(time.Now())
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	c.handed = true
	l := live{client: c, head: bytes.Clone(c.session.Rest())}
	l.deadline, _ = c.conn.Unwrap().(interface{ SetReadDeadline(time.Time) error })
	if l.deadline != nil && l.deadline.SetReadDeadline(time.Time{}) != nil {
		l.deadline = nil
	}
	if w, ok := c.conn.Unwrap().(interface{ SetWriteDeadline(time.Time) error }); ok {
		return &liveWriter{l, w}, nil
	}
	return &l, nil
}

// live is a connection that was handed over: what was read too far comes first.
type live struct {
	client   *Client
	head     []byte
	deadline interface{ SetReadDeadline(time.Time) error } // nil where the connection knows none
}

func (l *live) Read(p []byte) (int, error) {
	if len(l.head) > 0 {
		n := copy(p, l.head)
		l.head = l.head[n:]
		return n, nil
	}
	if l.deadline != nil {
		return l.client.conn.Unwrap().Read(p)
	}
	return l.client.conn.Read(context.Background(), time.Time{}, p)
}

func (l *live) Write(p []byte) (int, error) { return l.client.conn.Unwrap().Write(p) }

func (l *live) Close() error { return l.client.conn.Close() }

var errNoDeadline = errors.New("iec62056: the connection knows no deadlines")

// SetReadDeadline fails where the connection itself knows no deadlines.
func (l *live) SetReadDeadline(t time.Time) error {
	if l.deadline == nil {
		return errNoDeadline
	}
	return l.deadline.SetReadDeadline(t)
}

// SetLine changes rate and framing where the connection can.
func (l *live) SetLine(baud int, framing string) error {
	if l.client.line == nil {
		return nil
	}
	return l.client.line.SetLine(baud, framing)
}

// Drain waits until all octets have left the port, where the connection can.
func (l *live) Drain() error {
	if l.client.drain == nil {
		return nil
	}
	return l.client.drain.Drain()
}

type liveWriter struct {
	live
	write interface{ SetWriteDeadline(time.Time) error }
}

func (l *liveWriter) SetWriteDeadline(t time.Time) error { return l.write.SetWriteDeadline(t) }
