package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/obis"
)

// pushSession reads a meter that talks unasked: a read waits for the next message.
type pushSession struct {
	conn     *stream.Conn
	listener *listener
	cfg      *Config
	wait     time.Duration
	waiting  []*Result // messages that came together
	failed   error     // why the last message gave no result
}

// pushWait is how long a read waits for a message: meters of DSMR 2 to 4 push every ten seconds.
const pushWait = 12 * time.Second

func openPush(ctx context.Context, t Target, cfg *Config, baud int, framing string) (*pushSession, error) {
	s := &pushSession{cfg: cfg, wait: cfg.Timeout}
	if s.wait == 0 {
		s.wait = pushWait
	}
	var err error
	s.listener, err = newListener(cfg, func(r *Result, err error) {
		if r != nil {
			s.waiting = append(s.waiting, r.Clone())
		}
		s.failed = err
	})
	if err != nil {
		return nil, err
	}
	rw, err := cfg.Connect(ctx, t, baud, framing)
	if err != nil {
		return nil, err
	}
	s.conn = stream.New(rw)
	return s, nil
}

// pushTries are the ways to hear a meter that talks unasked, whatever it speaks.
func pushTries(t Target) []Try {
	if t.Scheme == "tcp" {
		return []Try{{Name: "push", Rank: 90, Dial: heardPush(0, "", 12*time.Second)}}
	}
	if t.Scheme != "serial" {
		return nil
	}
	return []Try{
		{Name: "push at 115200 8N1", Rank: 1, Dial: heardPush(115200, "8N1", 11*time.Second)},
		{Name: "push at 9600 8N1", Rank: 2, Dial: heardPush(9600, "8N1", 11*time.Second)},
		{Name: "push at 2400 8E1", Rank: 3, Dial: heardPush(2400, "8E1", 6*time.Second)},
	}
}

// heardPush returns an attempt that listens, and succeeds where a message comes
// in time. A Config.Timeout that is shorter prevails.
func heardPush(baud int, framing string, wait time.Duration) func(context.Context, Target, *Config) (Session, error) {
	return func(ctx context.Context, t Target, cfg *Config) (Session, error) {
		own := *cfg
		own.Protocol = Auto
		s, err := openPush(ctx, t, &own, baud, framing)
		if err != nil {
			return nil, err
		}
		if cfg.Timeout == 0 {
			s.wait = wait
		}
		r, err := s.next(ctx)
		if r == nil {
			_ = s.conn.Close()
			return nil, err
		}
		s.waiting = append([]*Result{r}, s.waiting...)
		return s, nil
	}
}

func (s *pushSession) Protocol() Protocol {
	if len(s.waiting) > 0 {
		return s.waiting[0].Protocol
	}
	return s.cfg.Protocol
}

func (s *pushSession) Close(context.Context) error { return s.conn.Close() }

// next waits for the next message.
func (s *pushSession) next(ctx context.Context) (*Result, error) {
	deadline := time.Now().Add(s.wait)
	buf := make([]byte, 4096)
	for len(s.waiting) == 0 {
		if err := s.failed; err != nil {
			s.failed = nil
			return nil, err
		}
		n, err := s.conn.Read(ctx, deadline, buf)
		if n > 0 {
			if s.cfg.Trace != nil {
				s.cfg.Trace(false, buf[:n])
			}
			s.listener.feed(buf[:n])
			continue
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("meter: %w: nothing was pushed in %v", ErrTimeout, s.wait)
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("meter: %w", ErrHungUp)
		case err != nil:
			return nil, driver.Outcome(err)
		}
	}
	r := s.waiting[0]
	s.waiting = s.waiting[1:]
	return r, nil
}

func (s *pushSession) Read(ctx context.Context, patterns ...obis.Pattern) (*Result, error) {
	r, err := s.next(ctx)
	if err != nil {
		return nil, err
	}
	return driver.Choose(r, patterns)
}

func (s *pushSession) Profiles(context.Context) ([]*obis.Profile, error) {
	return nil, fmt.Errorf("meter: %w: load profiles of a meter that only pushes", ErrNotSupported)
}

func (s *pushSession) Profile(context.Context, obis.Code, time.Time, time.Time) (*Result, error) {
	return nil, fmt.Errorf("meter: %w: load profiles of a meter that only pushes", ErrNotSupported)
}

func (s *pushSession) Events(context.Context, time.Time, time.Time) (*Result, error) {
	return nil, fmt.Errorf("meter: %w: event logs of a meter that only pushes", ErrNotSupported)
}
