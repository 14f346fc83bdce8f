package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/mapping/iec104"
)

// stationFace shows a meter as a station of IEC 60870-5-104.
type stationFace struct {
	station *iec104.Station
	signals func(iec104.Point) // told of every point that is new
	known   map[uint32]bool
}

func (a *app) newStationFace() *stationFace {
	return &stationFace{
		station: iec104.NewStation(nil), known: map[uint32]bool{},
		signals: func(p iec104.Point) { fmt.Fprintln(a.stderr, "point", p.String()) },
	}
}

func (f *stationFace) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return f.station.Serve(ctx, rw)
}

func (f *stationFace) Update(r *meter.Result) (lost []string) {
	d := r.Data()
	for _, l := range f.station.Update(d, time.Now()) {
		lost = append(lost, d.Describe(l))
	}
	for _, p := range f.station.Points() {
		if !f.known[p.Address] {
			f.known[p.Address] = true
			f.signals(p)
		}
	}
	return lost
}
