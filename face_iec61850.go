package meter

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/ied"
	"github.com/openusm/meter/obis"
)

// iedFace is a meter as an IED of IEC 61850. Its model is made from the first
// update, and later ones set its values.
type iedFace struct {
	cfg *Config

	mu     sync.Mutex
	device *ied.Device
	server *server.Server
}

func (f *iedFace) Update(r *Result) []string {
	readings := f.stamped(r.Readings, time.Now())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.device != nil {
		return lossTexts(r, f.device.Update(readings))
	}
	device, lost, err := ied.New(r.Meter, readings, &ied.Options{Clock: f.cfg.Clock})
	if err != nil {
		return []string{err.Error()}
	}
	s, err := server.New(device.Model, &server.Config{Trace: f.cfg.Trace, Logger: f.cfg.Logger})
	if err != nil {
		return []string{err.Error()}
	}
	f.device, f.server = device, s
	return lossTexts(r, lost)
}

// stamped returns the readings, those that have no time of their own with that
// of their receipt, by a clock that is not the meter's.
func (f *iedFace) stamped(readings []obis.Reading, received time.Time) []obis.Reading {
	list := slices.Clone(readings)
	for i := range list {
		if _, ok := list[i].Time.Instant(f.cfg.Clock); !ok {
			list[i].Time = obis.FromTime(received.UTC())
			list[i].Time.Status |= obis.TimeDoubtful
		}
	}
	return list
}

func lossTexts(r *Result, lost []mapping.Loss) (texts []string) {
	d := &mapping.Data{Readings: r.Readings}
	for _, l := range lost {
		texts = append(texts, d.Describe(l))
	}
	return texts
}

var errNoModel = errors.New("meter: the face was given no readings yet")

func (f *iedFace) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	f.mu.Lock()
	s := f.server
	f.mu.Unlock()
	if s == nil {
		return errors.Join(errNoModel, rw.Close())
	}
	return s.Serve(ctx, rw)
}
