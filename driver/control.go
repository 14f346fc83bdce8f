package driver

import (
	"context"
	"fmt"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// Controller is a [Session] that can change something in the meter: ask a session for it as
// s.(Controller). The code of a command is [Clock], [Breaker], [Limiter] or that of a
// register, its value in the unit without prefix; with a class the attribute or method of
// an object of DLMS, whose A-XDR is the payload. Steps are Operate and, where it can be
// seen without writing whether the meter would, Check. What the protocol or the meter cannot
// do is ErrNotSupported, what the meter refuses ErrRefused.
type Controller = site.Commander

// What can be commanded of any meter that has it.
var (
	Clock   = obis.MustParse("0-0:1.0.0*255")   // a time with a zone
	Breaker = obis.MustParse("0-0:96.3.10*255") // 1 connects, 0 disconnects
	Limiter = obis.MustParse("0-0:17.0.0*255")  // the threshold, in W
)

// Command carries out a command by the backend, where that can.
func (s *meterSession) Command(ctx context.Context, c site.Command) (site.Answer, error) {
	b, ok := s.backend.(site.Commander)
	if !ok {
		return site.Answer{}, fmt.Errorf("meter: %w: %s meters are not commanded", ErrNotSupported, s.protocol)
	}
	if c.Step != site.Operate && c.Step != site.Check {
		return site.Answer{}, fmt.Errorf("meter: %w: a meter has no %v", ErrNotSupported, c.Step)
	}
	answer, err := b.Command(ctx, c)
	return answer, s.err(err)
}

// Command sets values by their names, and attributes and methods by their numbers.
func (b *dlmsBackend) Command(ctx context.Context, c site.Command) (a site.Answer, err error) {
	dry := c.Step == site.Check
	if c.Class == 0 {
		return a, b.SetValue(ctx, c.Code, c.Value, dry)
	}
	d, n, err := cosem.ParseData(c.Payload)
	if err != nil || n != len(c.Payload) {
		return a, fmt.Errorf("%w: payload of %d octets is no A-XDR", ErrNotSupported, len(c.Payload))
	}
	if dry {
		return a, nil
	}
	if c.Method != 0 {
		answer, err := b.Action(ctx, cosem.Method{Class: cosem.Class(c.Class), Name: c.Code, Index: c.Method}, &d)
		if answer != nil {
			a.Payload = answer.Binary()
		}
		return a, err
	}
	return a, b.Set(ctx, cosem.Attribute{Class: cosem.Class(c.Class), Name: c.Code, Index: c.Attribute}, nil, d)
}

// instant returns the moment of a command that sets a clock.
func instant(c site.Command) (time.Time, error) {
	if c.Class != 0 || c.Code != Clock {
		return time.Time{}, fmt.Errorf("%w: command of %v", ErrNotSupported, c.Code)
	}
	t, _ := c.Value.Time()
	at, ok := t.Instant(obis.Clock{})
	if !ok {
		return at, fmt.Errorf("%w: %v is no time with a zone", dlms.ErrValue, c.Value)
	}
	return at, nil
}

// Command sets the clock.
func (b *c12Backend) Command(ctx context.Context, c site.Command) (site.Answer, error) {
	at, err := instant(c)
	if err != nil || c.Step == site.Check {
		return site.Answer{}, err
	}
	return site.Answer{}, b.SetClock(ctx, at)
}

// Command sets the clock of the slave, to the local time of the configured zone.
func (s *slave) Command(ctx context.Context, c site.Command) (site.Answer, error) {
	at, err := instant(c)
	if err != nil || c.Step == site.Check {
		return site.Answer{}, err
	}
	address := s.address.Primary
	if s.address.Selected {
		if err := s.Select(ctx, s.address.Secondary); err != nil {
			return site.Answer{}, err
		}
		address = link.Selected
	}
	return site.Answer{}, s.SetClock(ctx, address, s.cfg.wall(at))
}

// Command writes in programming mode: the clock (0.9.1 and 0.9.2), and registers, whose value
// is the text between the parentheses, as only the meter knows its format.
func (b *iecBackend) Command(ctx context.Context, c site.Command) (a site.Answer, err error) {
	type write struct{ id, value string }
	var list []write
	if text, ok := c.Value.Bytes(); ok && c.Class == 0 && c.Code != Clock {
		list = []write{{registerID(c.Code), string(text)}}
	} else {
		at, err := instant(c)
		if err != nil {
			return a, err
		}
		at = b.cfg.wall(at)
		list = []write{{"0.9.1", at.Format("150405")}, {"0.9.2", at.Format("060102")}}
	}
	if c.Step == site.Check {
		return a, nil
	}
	if err := b.Program(ctx); err != nil {
		return a, err
	}
	for _, w := range list {
		if err := b.Write(ctx, w.id, w.value); err != nil {
			return a, err
		}
	}
	return a, nil
}

// registerID returns a code as meters name it in readouts: "1.8.1", with the medium and the
// channel where they are not those of the meter itself.
func registerID(c obis.Code) string {
	id := fmt.Sprintf("%d.%d.%d", c[2], c[3], c[4])
	if c[0] > 1 || c[1] != 0 {
		id = fmt.Sprintf("%d-%d:%s", c[0], c[1], id)
	}
	if c[5] != 255 {
		id += fmt.Sprintf("*%d", c[5])
	}
	return id
}
