package ied

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/ied"
	"github.com/openusm/meter/result"
)

// ErrNoModel is the error of an IED that was given no readings yet.
var ErrNoModel = errors.New("ied: it was given no readings yet")

// Single is one meter as an IED. Its model is made from the first update, and later
// ones set its values. It is safe for use by several goroutines.
type Single struct {
	cfg server.Config

	mu     sync.Mutex
	device *ied.Device
	server *server.Server
}

// NewSingle returns an IED that has no model yet. A nil cfg works.
func NewSingle(cfg *server.Config) *Single {
	f := &Single{}
	if cfg != nil {
		f.cfg = *cfg
	}
	return f
}

// Update replaces what is shown, and returns what cannot be shown.
func (f *Single) Update(r *result.Result) (lost []string) {
	received := receivedAt(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.device != nil {
		return lossTexts(r, f.device.Update(r.Readings, received))
	}
	device, losses, err := ied.New(r.Meter, r.Readings, &ied.Options{Clock: r.Clock, Received: received})
	if err != nil {
		return []string{err.Error()}
	}
	s, err := server.New(device.Model, &f.cfg)
	if err != nil {
		return []string{err.Error()}
	}
	f.device, f.server = device, s
	return lossTexts(r, losses)
}

// Serve serves one connection until it ends or ctx does. Several connections may
// be served at once.
func (f *Single) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	f.mu.Lock()
	s := f.server
	f.mu.Unlock()
	if s == nil {
		return errors.Join(ErrNoModel, rw.Close())
	}
	return s.Serve(ctx, rw)
}

// receivedAt returns when a result came: now, where it does not say.
func receivedAt(r *result.Result) time.Time {
	if r.Received.IsZero() {
		return time.Now()
	}
	return r.Received
}

func lossTexts(r *result.Result, lost []mapping.Loss) (texts []string) {
	d := &mapping.Data{Readings: r.Readings}
	for _, l := range d.Gather(lost) {
		texts = append(texts, d.Describe(l))
	}
	return texts
}
