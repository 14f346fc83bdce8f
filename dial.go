package meter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/openusm/meter/driver"
)

// Dial opens a session with the meter at a target (see [ParseTarget]). Where
// the protocol is Auto it finds out, which takes a few seconds on a serial line.
// At a target where meters call in it waits for the first one: see [Accept].
func Dial(ctx context.Context, target string, cfg *Config) (Session, error) {
	t, err := driver.ParseTarget(target)
	if err != nil {
		return nil, err
	}
	cfg = driver.Prepared(cfg, true)
	switch t.Scheme {
	case "file", "stdin":
		return nil, fmt.Errorf("meter: %s is no meter: decode it", target)
	case "listen":
		return dialIn(ctx, t, cfg)
	case "sim":
		if cfg.Protocol, err = driver.Simulated(cfg, t.Address); err != nil {
			return nil, err
		}
	}
	if cfg.Protocol == "" || cfg.Protocol == Auto {
		return detectSession(ctx, t, cfg)
	}
	return dialProtocol(ctx, t, cfg)
}

// dialProtocol opens a session in the protocol that cfg names.
func dialProtocol(ctx context.Context, t Target, cfg *Config) (Session, error) {
	switch d := driver.Of(cfg, cfg.Protocol); {
	case d == nil:
	case d.Dial != nil:
		return d.Dial(ctx, t, cfg)
	case d.Heard != NotHeard:
		s, err := openPush(ctx, t, cfg, d.Rate, "8N1")
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, fmt.Errorf("meter: %s: %w: no session in protocol %s", t, ErrNotSupported, cfg.Protocol)
}

// detectSession tries the protocols one after the other and reports what it tried.
func detectSession(ctx context.Context, t Target, cfg *Config) (Session, error) {
	var tries []Try
	var protocols []Protocol
	add := func(p Protocol, ways []Try) {
		for _, try := range ways {
			at, _ := slices.BinarySearchFunc(tries, try, func(a, b Try) int { return cmp.Or(cmp.Compare(a.Rank, b.Rank), -1) })
			tries, protocols = slices.Insert(tries, at, try), slices.Insert(protocols, at, p)
		}
	}
	for d := range driver.All(cfg) {
		if d.Tries != nil {
			add(d.Protocol, d.Tries(t))
		}
	}
	add(Auto, pushTries(t))
	var tried []string
	last := ErrNotSupported
	for i, try := range tries {
		if cfg.Tried != nil {
			cfg.Tried(try.Name)
		}
		own := *cfg
		own.Protocol = protocols[i]
		if own.Retries == 0 {
			own.Retries = -1
		}
		s, err := try.Dial(ctx, t, &own)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil || !driver.Unheard(err) {
			return nil, err
		}
		tried, last = append(tried, try.Name), err
	}
	return nil, fmt.Errorf("meter: %s: tried %s: %w", t, strings.Join(tried, ", "), last)
}
