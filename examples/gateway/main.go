// Command gateway is a small gateway: three meters of three protocols, read once each and
// shown by four faces to whoever comes.
//
//	go run ./gateway
//	meterctl read tcp://127.0.0.1:4059 --protocol dlms --server 16
//	coap-client coap://127.0.0.1/m/water/m
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/gateway/coap"
	"github.com/openusm/meter/gateway/dlms"
	"github.com/openusm/meter/gateway/ied"
	"github.com/openusm/meter/mapping/iec104"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// meters are where the meters are; a real one is at /dev/ttyUSB0, tcp://192.0.2.7:4059, …
var meters = map[site.ID]string{"house": "sim:dlms", "heat": "sim:mbus", "substation": "sim:c1218"}

// listen is where each face listens.
type listen struct{ dlms, iec61850, iec104, coap string }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	at := listen{"127.0.0.1:4059", "127.0.0.1:10102", "127.0.0.1:2404", "coap://127.0.0.1:5683"}
	if err := run(ctx, at, 10*time.Second); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, at listen, interval time.Duration) error {
	here := site.New(nil)
	commands := site.Meters{}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	begin := func(f func(context.Context) error) {
		all.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				stop(err) // one that cannot go on ends all
			}
		})
	}
	begin(here.Run)
	for id, target := range meters {
		if err := here.Add(id, obis.Meter{}); err != nil {
			return err
		}
		c := &meter.Commands{}
		commands[id] = c
		begin(func(ctx context.Context) error { return poll(ctx, here, id, target, c, interval) })
	}
	// Who may command what: anybody may set the clock of the house, nothing else.
	guard := site.Guard([]site.Allowance{{Face: "*", Name: "*", Meter: "house", Codes: obis.Exactly(meter.Clock)}}, commands)
	faces, err := newFaces(at, here, guard)
	if err != nil {
		return err
	}
	for _, f := range faces {
		begin(f.Serve)
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func newFaces(at listen, source site.Source, c site.Commander) ([]site.Face, error) {
	a, err1 := dlms.New(&dlms.Config{Listen: at.dlms}, source, c)
	b, err2 := ied.New(&ied.Config{Listen: at.iec61850}, source, c)
	d, err3 := iec104.New(&iec104.Config{Listen: at.iec104}, source, c)
	e, err4 := coap.New(&coap.Config{Listen: at.coap}, source, c)
	return []site.Face{a, b, d, e}, errors.Join(err1, err2, err3, err4)
}

// poll reads a meter into the site, and says when it did not answer.
func poll(ctx context.Context, here *site.Site, id site.ID, target string, c *meter.Commands, interval time.Duration) error {
	plan := &meter.Plan{Commands: c, Jobs: []meter.Job{
		{Name: "registers", Interval: interval},
		{Name: "profile", What: meter.ProfileRows, Interval: 15 * time.Minute, Offset: 30 * time.Second},
	}}
	return meter.Poll(ctx, target, nil, plan, func(p *meter.Polled) error {
		if p.Result == nil {
			return here.Fail(id, p.Job.Name, time.Time{})
		}
		return here.Put(id, p.Result.Data(), site.Stamp{Job: p.Job.Name, Tick: p.Tick, Received: p.Result.Received, Until: p.Until})
	})
}
