package iec62056_test

import (
	"context"
	"fmt"
	"net"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/iec62056sim"
)

func ExampleParseReadout() {
	b := []byte("/LGZ52ZMD120APt.G03\r\n\x021.8.1(001846.0*kWh)\r\n1.6.1(02.351*kW)(0901161030)\r\n!\r\n\x03\x41")
	r, _, err := iec62056.ParseReadout(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, reading := range r.AppendReadings(nil) {
		fmt.Println(reading.Code, reading.Value, reading.Unit)
	}
	// Output:
	// 1-0:1.8.1*255 1846000 Wh
	// 1-0:1.6.1*255 2351 W
}

func ExampleClient() {
	near, far := net.Pipe()
	ctx := context.Background()
	go func() { _ = iec62056sim.New(&iec62056sim.Config{Address: "87654321"}).Serve(ctx, far) }()

	c := iec62056.NewClient(near, &iec62056.Config{Address: "87654321"})
	if err := c.Open(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(ctx)
	fmt.Println(c.Identification().Model(), c.Identification().Mode())
	r, err := c.Readout(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Meter().Serial, len(r.BadLines()))
	// Output:
	// METERSIM C
	// 87654321 0
}
