package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/obis"
)

// Device returns what is known of the meter's tables, table 00 at least.
func (c *Client) Device(ctx context.Context) (*tables.Device, error) {
	if c.device != nil {
		return c.device, nil
	}
	b, err := c.ReadTable(ctx, 0)
	if err != nil {
		return nil, err
	}
	d, err := tables.NewDevice(b, c.cfg.Descriptions...)
	if err != nil {
		return nil, err
	}
	c.device = d
	return d, nil
}

// load adds tables on which others depend, those that the meter has and that
// are not there yet.
func (c *Client) load(ctx context.Context, list ...uint16) (*tables.Device, error) {
	d, err := c.Device(ctx)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, table := range list {
		if d.Has(table) || !d.Config.Uses(table) {
			continue
		}
		if _, err := c.add(ctx, d, table); err != nil {
			if lost(err) {
				return nil, err
			}
			failed = errors.Join(failed, err)
		}
	}
	return d, failed
}

// add reads a table and gives it to the device.
func (c *Client) add(ctx context.Context, d *tables.Device, table uint16) ([]byte, error) {
	b, err := c.ReadTable(ctx, table)
	if err != nil {
		return nil, err
	}
	return b, d.Add(table, b)
}

// lost reports whether an error ends the conversation, as no refusal and no
// table that cannot be read does.
func lost(err error) bool {
	return !errors.As(err, new(*RefusedError)) && !errors.As(err, new(*tables.ParseError)) && !errors.As(err, new(*psem.ParseError)) && !errors.Is(err, psem.ErrTooLong)
}

// Meter returns the identity of the meter.
func (c *Client) Meter(ctx context.Context) (obis.Meter, error) {
	d, err := c.load(ctx, 1, 5)
	if d == nil {
		return obis.Meter{}, err
	}
	return d.Meter(), nil
}

// needed are the tables that say what registers are.
var needed = []uint16{1, 3, 5, 11, 12, 15, 16, 21, 22, 27}

// Read reads identity, clock, status and registers. For each reading there is a
// source, by its number. What could be read is returned even beside an error that
// wraps [ErrPartial].
func (c *Client) Read(ctx context.Context) ([]obis.Reading, []ansic12.Source, error) {
	return c.ReadTables(ctx, registers...)
}

// registers are the tables that Read shows besides the manufacturer's, where the meter has them: the clock
// with its status where it has that.
var registers = []uint16{5, 55, 52, 3, 23, 28, 25, 24}

// ReadTables reads tables and shows what they hold, and behind them those of the
// manufacturer whose layout is known.
func (c *Client) ReadTables(ctx context.Context, list ...uint16) (readings []obis.Reading, sources []ansic12.Source, err error) {
	d, failed := c.load(ctx, needed...)
	if d == nil {
		return nil, nil, failed
	}
	list = append(list, c.manufacturer(d)...)
	clock := false
	for _, table := range list {
		if !d.Config.Uses(table) || table == 52 && clock {
			continue
		}
		if _, err := c.load(ctx, d.Needs(table)...); err != nil {
			if lost(err) {
				return readings, sources, err
			}
			failed = errors.Join(failed, err)
		}
		b, have := d.Table(table)
		if !have || table == 3 || table >= 23 {
			if b, err = c.add(ctx, d, table); err != nil && (b == nil || lost(err)) {
				if lost(err) {
					return readings, sources, err
				}
				failed = errors.Join(failed, err)
				continue
			}
		}
		clock = clock || table == 55
		if readings, sources, err = d.AppendReadings(readings, sources, table, b); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return readings, sources, fmt.Errorf("session: %w: %w", ErrPartial, summary(failed))
	}
	return readings, sources, nil
}

// summary says once what came several times, and in one error what was refused alike.
func summary(failed error) error {
	type kind struct {
		service psem.Service
		status  psem.Status
	}
	var list []error
	alike := map[kind]*RefusedError{}
	seen := map[string]bool{}
	for _, err := range parts(failed) {
		if seen[err.Error()] {
			continue
		}
		seen[err.Error()] = true
		var refused *RefusedError
		if !errors.As(err, &refused) {
			list = append(list, err)
			continue
		}
		k := kind{refused.Service, refused.Status}
		if first := alike[k]; first != nil {
			first.More = append(first.More, refused.Table)
			continue
		}
		alike[k] = &RefusedError{Service: refused.Service, Table: refused.Table, Status: refused.Status}
		list = append(list, alike[k])
	}
	return errors.Join(list...)
}

// parts returns the errors that were joined to one, each on a line of its own.
func parts(err error) (list []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var lines []string
	for _, each := range joined.Unwrap() {
		list, lines = append(list, parts(each)...), append(lines, each.Error())
	}
	if strings.Join(lines, "\n") != err.Error() {
		return []error{err} // it says more than they do
	}
	return list
}

// manufacturer lists the manufacturer's tables that the meter has and whose layout is known.
func (c *Client) manufacturer(d *tables.Device) (list []uint16) {
	for n := range 8 * len(d.Config.ManufacturerTables) {
		if table := uint16(psem.TableManufacturer | n); d.Config.ManufacturerTables.Has(n) && d.Described(table) {
			list = append(list, table)
		}
	}
	return list
}

// profileTables are the tables that say how load profiles are laid out.
var profileTables = []uint16{11, 12, 15, 16, 61, 62}

// Profiles returns how the load profiles of the meter are laid out.
func (c *Client) Profiles(ctx context.Context) ([]*tables.LoadProfile, error) {
	d, err := c.load(ctx, profileTables...)
	if err != nil {
		return nil, summary(err)
	}
	if d.Config.Uses(63) {
		if _, err := c.add(ctx, d, 63); err != nil {
			return nil, err
		}
	}
	var all []*tables.LoadProfile
	var failed error
	for set := 1; set <= 4; set++ {
		if !d.Config.Uses(uint16(63 + set)) {
			continue
		}
		p, err := d.LoadProfile(set)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		all = append(all, p)
	}
	if len(all) == 0 && failed == nil {
		failed = fmt.Errorf("session: load profile: %w", ErrNoTable)
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, failed
}

// ProfileByCode is [Client.Profile] for the set that has a code, and for the first
// one with the zero code. It is not found where the meter has no such set.
func (c *Client) ProfileByCode(ctx context.Context, dst *obis.Profile, code obis.Code, from, to time.Time) (found bool, err error) {
	sets, err := c.Profiles(ctx)
	if err != nil {
		return false, err
	}
	for _, set := range sets {
		set.Describe(dst)
		if !code.Valid() || dst.Code == code {
			return true, c.Profile(ctx, dst, set.Set, from, to)
		}
	}
	return false, nil
}

// Profile reads the rows of a set of load profile data (1 to 4) to dst, from one time
// of the meter's clock to another, both included; zero times mean all. Blocks are read
// one by one where the meter lets parts be read, so that only those are fetched that may
// have such rows.
func (c *Client) Profile(ctx context.Context, dst *obis.Profile, set int, from, to time.Time) error {
	all, err := c.Profiles(ctx)
	if err != nil {
		return err
	}
	var p *tables.LoadProfile
	for _, each := range all {
		if each.Set == set {
			p = each
		}
	}
	if p == nil {
		return fmt.Errorf("session: load profile %d: %w", set, ErrNoTable)
	}
	p.Describe(dst)
	table := uint16(63 + set)
	if c.device.Config.Access&1 == 0 {
		b, err := c.ReadTable(ctx, table)
		if err != nil {
			return err
		}
		if err := p.AppendTable(dst, b); err != nil {
			return err
		}
		keep(dst, from, to)
		return nil
	}
	size := p.BlockSize()
	err = p.Order(func(index, intervals int) error {
		if within, err := c.within(ctx, p, index, intervals, from, to); !within {
			return err
		}
		b, err := c.readRange(ctx, table, uint32(index*size), size)
		if err != nil {
			return err
		}
		return p.AppendBlock(dst, b, intervals)
	})
	if err != nil {
		return err
	}
	keep(dst, from, to)
	return nil
}

// within reports whether a block may have rows between the times. It reads the end of
// the block where that must be known.
func (c *Client) within(ctx context.Context, p *tables.LoadProfile, index, intervals int, from, to time.Time) (bool, error) {
	if from.IsZero() && to.IsZero() {
		return true, nil
	}
	size := p.BlockSize()
	end, err := c.ReadPart(ctx, uint16(63+p.Set), uint32(index*size), uint16(min(size, p.EndSize())))
	if err != nil {
		return false, err
	}
	last, ok := p.End(end)
	first := last.Add(-time.Duration((intervals-1)*p.Minutes) * time.Minute)
	return !ok || (from.IsZero() || !last.Before(from)) && (to.IsZero() || !first.After(to)), nil
}

// keep removes the rows outside of the times.
func keep(p *obis.Profile, from, to time.Time) {
	if from.IsZero() && to.IsZero() {
		return
	}
	old := p.Clone()
	p.Reset()
	for row, t := range old.Times {
		at, ok := t.Instant(obis.Clock{Zone: time.UTC})
		if ok && (!from.IsZero() && at.Before(from) || !to.IsZero() && at.After(to)) {
			continue
		}
		p.Times = append(p.Times, t)
		if q := old.Quality.At(row); q != (obis.Quality{}) {
			p.Quality.Add(len(p.Times)-1, q)
		}
		for i := range p.Columns {
			column := &p.Columns[i]
			column.Append(old.Columns[i].At(row))
			if q := old.Columns[i].Quality.At(row); q != (obis.Quality{}) {
				column.Quality.Add(len(p.Times)-1, q)
			}
		}
	}
}

// Events reads the history log and the event log, where the meter has them, each
// from its oldest entry on.
func (c *Client) Events(ctx context.Context) (events []obis.Event, err error) {
	d, err := c.load(ctx, 71)
	if err != nil {
		return nil, err
	}
	var failed error
	read := 0
	for _, table := range []uint16{74, 76} {
		if !d.Config.Uses(table) {
			continue
		}
		b, err := c.ReadTable(ctx, table)
		if err == nil {
			read++
			events, err = d.AppendEvents(events, table, b)
		}
		if err != nil {
			if lost(err) {
				return events, err
			}
			failed = errors.Join(failed, err)
		}
	}
	switch {
	case failed != nil:
		return events, fmt.Errorf("session: %w: %w", ErrPartial, failed)
	case read == 0:
		return nil, fmt.Errorf("session: logs: %w", ErrNoTable)
	}
	return events, nil
}
