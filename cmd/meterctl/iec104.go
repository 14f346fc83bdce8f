//go:build !noiec104

package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/openusm/meter/mapping/iec104"
	"github.com/openusm/meter/site"
)

// face104 shows meters as stations of IEC 60870-5-104, and prints their points.
func (a *app) face104(w *wanted) (site.Face, error) {
	f, err := iec104.New(&iec104.Config{
		Listen: w.address, TLS: w.tls, State: w.state, Ready: w.ready, Warn: w.warn, Logger: w.logger, Zone: w.cfg.Clock.Zone,
	}, w.source, w.commander)
	if err != nil {
		return nil, err
	}
	return &pointed{f, a.stderr}, nil
}

// pointed prints the points of a face, each once, when they are there.
type pointed struct {
	*iec104.Face
	to io.Writer
}

// Serve serves the face.
func (p *pointed) Serve(ctx context.Context) error {
	own, stop := context.WithCancel(ctx)
	var printing sync.WaitGroup
	defer printing.Wait()
	defer stop()
	printing.Go(func() {
		known := map[string]bool{}
		ticker := time.NewTicker(pointsEvery)
		defer ticker.Stop()
		for {
			select {
			case <-own.Done():
				return
			case <-ticker.C:
			}
			for _, x := range p.Points() {
				if text := fmt.Sprintf("point %d/%s", x.Common, x.String()); !known[text] {
					known[text] = true
					fmt.Fprintln(p.to, text)
				}
			}
		}
	})
	return p.Face.Serve(ctx)
}

// pointsEvery is how often is looked for points that are new.
const pointsEvery = 200 * time.Millisecond
