// Command headend reads hundreds of meters at once, at the same moments, and keeps what
// they say in one place: the loop of a head-end, without its database.
//
//	go run ./headend -meters 500 -interval 5s
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

func main() {
	meters := flag.Int("meters", 500, "how many simulated meters there are")
	interval := flag.Duration("interval", 5*time.Second, "time from one reading of each to the next")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	targets := make([]string, *meters)
	for i := range targets {
		targets[i] = "sim:dlms" // or tcp://…, one for each
	}
	if err := run(ctx, os.Stdout, targets, *interval); err != nil {
		log.Fatal(err)
	}
}

// run reads the meters until ctx ends, and prints what each sweep brought.
func run(ctx context.Context, out io.Writer, targets []string, interval time.Duration) error {
	here := site.New(nil)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { _ = here.Run(ctx) }) // what is not renewed grows old
	var answered, failed atomic.Int64
	plan := &meter.Plan{Jobs: []meter.Job{
		{Name: "energy", Codes: []obis.Pattern{energy}, Interval: interval},
		{Name: "profile", What: meter.ProfileRows, Interval: 15 * time.Minute, Offset: time.Minute, LookBack: time.Hour},
	}}
	for i, target := range targets {
		id := site.ID(fmt.Sprintf("meter%04d", i))
		if err := here.Add(id, obis.Meter{}); err != nil {
			return err
		}
		all.Go(func() {
			_ = meter.Poll(ctx, target, &meter.Config{Protocol: meter.DLMS}, plan, func(p *meter.Polled) error {
				if p.Result == nil {
					failed.Add(1)
					return here.Fail(id, p.Job.Name, time.Time{})
				}
				answered.Add(1)
				return here.Put(id, p.Result.Data(), site.Stamp{Job: p.Job.Name, Tick: p.Tick, Received: p.Result.Received, Until: p.Until})
			})
		})
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			known, old := 0, 0
			for _, id := range here.Meters() {
				c, _ := here.Last(id)
				for i := range c.Data.Readings {
					if known++; c.Data.Readings[i].Quality.Flags&obis.Old != 0 {
						old++
					}
				}
			}
			fmt.Fprintf(out, "%d meters, %d registers, %d old; %d answers, %d failures\n", len(targets), known, old, answered.Load(), failed.Load())
		}
	}
}

var energy, _ = obis.ParsePattern("1-0:(1-2).8.x")
