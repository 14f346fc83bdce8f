package iec62056sim_test

import (
	"context"
	"fmt"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/iec62056sim"
	"github.com/openusm/meter/obis"
)

func ExampleMeter() {
	near, far := iec62056sim.Line() // a serial line at 300 baud
	ctx := context.Background()
	go func() { _ = iec62056sim.New(&iec62056sim.Config{Baud: 9600}).Serve(ctx, far) }()

	c := iec62056.NewClient(near, &iec62056.Config{Baud: 9600})
	defer c.Close(ctx)
	events, err := c.Events(ctx, "P.98", obis.Time{}, obis.Time{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(events), "events; the first has status", events[0].ID)
	// Output:
	// 3 events; the first has status 128
}
