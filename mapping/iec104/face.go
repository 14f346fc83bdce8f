package iec104

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serve"
	"github.com/openusm/meter/site"
)

// Face shows the meters of a source as stations behind one port.
type Face struct {
	station *Station
	source  site.Source
	meters  map[site.ID]*image // touched by what watches the source alone
	warner  site.Warner

	mu    sync.Mutex // guards what follows
	state state
	taken map[uint16]site.ID // common addresses, those of the configuration and of the state
	next  uint16             // none below it is free
	dirty bool
}

// state is what a face remembers.
type state struct {
	Meters map[site.ID]*kept `json:"meters"`
}

// kept is what is remembered of a meter.
type kept struct {
	Common uint16      `json:"common"`
	Points []keptPoint `json:"points,omitempty"`
}

type keptPoint struct {
	ID      string    `json:"id"`
	Code    obis.Code `json:"code,omitzero"`
	Address uint32    `json:"address"`
	Kind    string    `json:"kind"`
	Group   uint8     `json:"group,omitempty"`
	Unit    string    `json:"unit,omitempty"`
	Exp     int8      `json:"exp,omitempty"`
}

var _ site.Face = (*Face)(nil)

// New returns a face of the meters of a source, which listens once it serves. Without a
// commander all commands are refused.
func New(cfg *Config, source site.Source, commander site.Commander) (*Face, error) {
	f := &Face{station: newStation(cfg), source: source, meters: map[site.ID]*image{},
		state: state{map[site.ID]*kept{}}, taken: map[uint16]site.ID{}, next: 1}
	f.warner.Hear = f.station.cfg.Warn
	if path := f.station.cfg.State; path != "" {
		if err := site.LoadState(path, &f.state); err != nil {
			return nil, fmt.Errorf("iec104: %w", err)
		}
	}
	if err := f.settle(); err != nil {
		return nil, fmt.Errorf("iec104: %w", err)
	}
	f.station.command = func(ctx context.Context, actor site.Actor, p Point, step site.Step, v obis.Value) error {
		if !p.Code.Valid() {
			return site.ErrUnknown
		}
		_, err := site.Do(ctx, commander, site.Command{Meter: p.Meter, Actor: actor, Code: p.Code, Value: v, Unit: p.Unit, Step: step})
		return err
	}
	return f, nil
}

// maxCommon is the highest common address of a station.
const maxCommon = 0xFFFE

// settle makes the common addresses of the state those of the configuration, and checks both.
func (f *Face) settle() error {
	if f.state.Meters == nil {
		f.state.Meters = map[site.ID]*kept{}
	}
	taken := f.taken
	for _, id := range slices.Sorted(maps.Keys(f.station.cfg.Addresses)) {
		common := f.station.cfg.Addresses[id]
		if other, twice := taken[common]; twice || common == 0 || common > maxCommon {
			return fmt.Errorf("common address %d of %s: it is 1 to %d, and not that of %s", common, id, maxCommon, cmp.Or(other, "another"))
		}
		taken[common] = id
		if k := f.state.Meters[id]; k != nil {
			k.Common = common
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.state.Meters)) {
		k := f.state.Meters[id]
		if k == nil || k.Common == 0 || k.Common > maxCommon {
			return fmt.Errorf("state of %s: no common address", id)
		}
		if other, twice := taken[k.Common]; twice && other != id {
			return fmt.Errorf("common address %d of %s is that of %s, too", k.Common, id, other)
		}
		taken[k.Common] = id
		for _, p := range k.Points {
			if _, err := p.point(); err != nil {
				return fmt.Errorf("state of %s: %w", id, err)
			}
		}
	}
	return nil
}

// point returns the point that was kept, not topical before it has a value.
func (k *keptPoint) point() (*Point, error) {
	kind := slices.Index(kindNames[:], k.Kind)
	unit, known := obis.UnitUnknown, true
	if k.Unit != "" {
		unit, known = obis.UnitByName(k.Unit)
	}
	if kind < 0 || !known || k.ID == "" || k.Address == 0 || k.Address > maxAddress {
		return nil, fmt.Errorf("point %q: kind, unit or address", k.ID)
	}
	return &Point{ID: k.ID, Code: k.Code, Address: k.Address, Kind: Kind(kind), Group: k.Group, Unit: unit, Exp: k.Exp, quality: invalid | notTopical}, nil
}

// Points returns the points of all meters, in the order of their addresses.
func (f *Face) Points() []Point { return f.station.Points() }

// Serve shows the meters until ctx ends.
func (f *Face) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for c := range f.source.Watch(ctx) {
			f.change(c)
		}
	})
	watching.Go(func() { f.keep(ctx) })
	limits := f.station.cfg.Limits
	// Connections have the times of the protocol, and room besides to agree on TLS.
	limits.Idle, limits.TLS, limits.Max = -1, f.station.cfg.TLS, 2*f.station.cfg.connections()
	limits.Logger = cmp.Or(limits.Logger, f.station.cfg.Logger)
	err := serve.Listen(ctx, "tcp", f.station.cfg.Listen, &limits, f.station.cfg.Ready, func(ctx context.Context, conn net.Conn) error {
		err := f.station.Serve(ctx, conn)
		_ = conn.Close()
		return err
	})
	cancel()
	watching.Wait()
	return errors.Join(err, f.save())
}

// change shows what is new of a meter.
func (f *Face) change(c site.Change) {
	m := f.meters[c.Meter]
	if c.Data == nil {
		if m != nil {
			delete(f.meters, c.Meter)
			f.station.mu.Lock()
			f.station.remove(m)
			f.station.mu.Unlock()
		}
		return
	}
	set := c.Set
	if m == nil {
		if m = f.enter(c.Meter); m == nil {
			return
		}
		set = make([]int, len(c.Data.Readings))
		for i := range set {
			set[i] = i
		}
	}
	f.station.mu.Lock()
	had := len(m.points)
	changed, lost := m.change(c.Data, set, c.Received)
	f.station.tell(changed)
	f.station.mu.Unlock()
	if len(m.points) > had {
		f.remember(m, had)
	}
	for _, l := range lost {
		f.warner.Lost(c.Meter, c.Data, l)
	}
}

// enter returns the image of a meter that is new, nil where there is no room for it.
func (f *Face) enter(id site.ID) *image {
	f.mu.Lock()
	k := f.state.Meters[id]
	if k == nil {
		common := f.free(id)
		if common == 0 {
			f.mu.Unlock()
			f.warner.Say(fmt.Sprintf("%s: no common address is free", id))
			return nil
		}
		k = &kept{Common: common}
		f.state.Meters[id], f.dirty = k, true
	}
	f.mu.Unlock()
	m := newImage(f.station.cfg.Rules, id, k.Common)
	for _, one := range k.Points {
		if p, err := one.point(); err == nil && m.at[p.Address] == nil && m.byID[p.ID] == nil {
			m.add(p)
		}
	}
	f.meters[id] = m
	f.station.mu.Lock()
	f.station.add(m)
	f.station.mu.Unlock()
	return m
}

// free returns the common address of a meter that is new, 0 where none is left.
func (f *Face) free(id site.ID) uint16 {
	if given := f.station.cfg.Addresses[id]; given != 0 {
		return given
	}
	for ; f.next <= maxCommon; f.next++ {
		if _, taken := f.taken[f.next]; !taken {
			f.taken[f.next] = id
			return f.next
		}
	}
	return 0
}

// remember notes the points of a meter from one on.
func (f *Face) remember(m *image, from int) {
	if f.station.cfg.State == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.state.Meters[m.meter]
	for _, p := range m.points[from:] {
		unit := ""
		if p.Unit != obis.UnitUnknown {
			unit = p.Unit.String()
		}
		k.Points = append(k.Points, keptPoint{p.ID, p.Code, p.Address, p.Kind.String(), p.Group, unit, p.Exp})
	}
	f.dirty = true
}

// settling is for how long what is new is gathered before it is written.
const settling = 200 * time.Millisecond

// keep writes the state where it is new.
func (f *Face) keep(ctx context.Context) {
	tick := time.NewTicker(settling)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := f.save(); err != nil {
				f.warner.Say(err.Error())
			}
		}
	}
}

func (f *Face) save() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dirty || f.station.cfg.State == "" {
		return nil
	}
	f.dirty = false
	if err := site.SaveState(f.station.cfg.State, f.state); err != nil {
		f.dirty = true
		return fmt.Errorf("iec104: %w", err)
	}
	return nil
}
