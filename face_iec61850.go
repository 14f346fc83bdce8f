package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/ied"
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.device != nil {
		return lossTexts(r, f.device.Update(r.Readings))
	}
	device, lost, err := ied.New(r.Meter, r.Readings, &ied.Options{Clock: f.cfg.Clock, Received: time.Now()})
	if err != nil {
		return []string{err.Error()}
	}
	s, err := server.New(device.Model, nil)
	if err != nil {
		return []string{err.Error()}
	}
	f.device, f.server = device, s
	return lossTexts(r, lost)
}

func lossTexts(r *Result, lost []mapping.Loss) (texts []string) {
	for _, l := range lost {
		texts = append(texts, fmt.Sprintf("%s: %v", r.Readings[l.Index].ID(), l))
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
